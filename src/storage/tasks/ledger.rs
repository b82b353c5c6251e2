//! A write batch: operations of any number of callers, decided in order, stored in one transaction.
//!
//! An operation is all or nothing by itself and fails by itself. Operations see what those before them in the
//! batch did. One call is a batch of one; a batch RPC is one operation with many writes; a lane's batch is many
//! operations.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::task_row;
use super::write_conn::{AnswerRow, ChangeRow, Snapshot, WriteConn, Writes};
use crate::domain::{
    Decision, Effect, Error, HistoryId, Owner, Result, Task, TaskFields, TaskId, TaskWrite, UserId,
    WriteResult, WriteRules,
};
use crate::storage::engine::types::Id;

/// How a call is recognised when it comes again (its idempotency key), and what it is then answered.
#[derive(Clone)]
pub struct Idempotency {
    /// What the caller gave it as `request_id`.
    pub key: uuid::Uuid,
    /// Hash of method and message.
    pub fingerprint: Vec<u8>,
    /// The answer to be remembered, given what was done.
    pub answer: Arc<Answer>,
}

/// Makes the encoded answer out of what became of each write.
type Answer = dyn Fn(&[WriteResult]) -> Vec<u8> + Send + Sync;

impl std::fmt::Debug for Idempotency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Idempotency").field("key", &self.key).finish_non_exhaustive()
    }
}

/// What one caller wants done, all or nothing.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Whose tasks.
    pub owner: Owner,
    /// The writes, in order.
    pub writes: Vec<TaskWrite>,
    /// The time, and how long deleted tasks are kept.
    pub rules: WriteRules,
    /// How many live tasks the owner may have.
    pub live_tasks_max: i64,
    /// The history that the caller believes in, where that matters.
    pub history: Option<HistoryId>,
    /// What makes a retry of it safe.
    pub idempotency: Option<Idempotency>,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Has a word in it before anything is done.
    pub review: Option<Review>,
}

/// Looks at what would become of an operation, and may refuse it.
#[derive(Clone)]
pub struct Review(pub Arc<Look>);

/// Passes, or says why an operation must not be carried out.
type Look = dyn Fn(&[WriteResult]) -> Result<()> + Send + Sync;

impl std::fmt::Debug for Review {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Review").finish_non_exhaustive()
    }
}

/// What became of an operation.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It was carried out: what became of each write.
    Applied(Vec<WriteResult>),
    /// It had been carried out before: the answer of that time.
    Replayed(Vec<u8>),
}

/// Why an operation was not carried out.
#[derive(Debug, Clone)]
pub struct WriteError {
    /// The write that failed; `None` when it was none of them in particular.
    pub at: Option<usize>,
    /// Why.
    pub error: Error,
}

impl From<Error> for WriteError {
    fn from(error: Error) -> Self {
        Self { at: None, error }
    }
}

/// What became of each operation, and the new revisions of the users whose tasks changed.
pub(in crate::storage) type Report = (Vec<Result<Outcome, WriteError>>, Vec<(UserId, i64)>);

/// Carries out a batch inside a transaction. Outer errors are the storage's and concern the whole batch. `origin`
/// names this process to others that listen.
pub(in crate::storage) async fn run<C: WriteConn>(
    conn: &mut C,
    operations: Vec<Operation>,
    origin: uuid::Uuid,
) -> Result<Report> {
    // Sorted and without repetition: locks are taken in this order.
    let users: BTreeSet<UserId> = operations.iter().map(|operation| operation.owner.user()).collect();
    let tasks: BTreeSet<(UserId, TaskId)> = operations
        .iter()
        .flat_map(|operation| {
            let known = operation.writes.iter().filter(|write| write.may_exist());
            known.map(|write| (operation.owner.user(), write.id()))
        })
        .collect();
    let requests = operations
        .iter()
        .filter_map(|operation| {
            Some((operation.owner.user().into(), Id(operation.idempotency.as_ref()?.key)))
        })
        .collect();
    let snapshot = conn
        .read(
            users.into_iter().map(Id::from).collect(),
            tasks.into_iter().map(|(user, task)| (user.into(), task.into())).collect(),
            requests,
        )
        .await?;
    let history = match operations.iter().any(|operation| operation.history.is_some()) {
        true => Some(conn.history().await?),
        false => None,
    };

    let mut ledger = Ledger::open(snapshot, history)?;
    let results = operations.into_iter().map(|operation| ledger.apply(operation)).collect();
    let writes = ledger.close();
    let raised = writes.counters.iter().map(|(user, revision, _)| (*user, *revision)).collect();
    if !writes.is_empty() {
        conn.write(writes, origin).await?;
    }
    Ok((results, raised))
}

#[derive(Debug, Clone, Copy)]
struct Counters {
    revision: i64,
    live_tasks: i64,
}

#[derive(Debug)]
struct Entry {
    task: Option<Task>,
    /// Whether the table has a row for it.
    stored: bool,
    changed: bool,
}

/// The batch's view of the world, as it changes from operation to operation.
#[derive(Debug)]
struct Ledger {
    counters: HashMap<UserId, Counters>,
    raised: BTreeSet<UserId>,
    tasks: HashMap<(UserId, TaskId), Entry>,
    requests: HashMap<(UserId, Id), (Vec<u8>, Vec<u8>)>,
    /// The present history, where an operation wants it to be the one that it knows.
    history: Option<HistoryId>,
    changes: Vec<ChangeRow>,
    answers: Vec<AnswerRow>,
}

/// What one operation does, until it is known that all of it can be done.
#[derive(Debug)]
struct Draft {
    counters: Counters,
    tasks: HashMap<TaskId, Option<Task>>,
    changes: Vec<ChangeRow>,
    written: Vec<WriteResult>,
}

impl Ledger {
    fn open(snapshot: Snapshot, history: Option<HistoryId>) -> Result<Self> {
        let counters = snapshot
            .counters
            .into_iter()
            .map(|(user, revision, live_tasks)| (user.into(), Counters { revision, live_tasks }));
        let tasks = snapshot.tasks.into_iter().map(|row| {
            let task = Task::try_from(row)?;
            Ok(((task.owner, task.id), Entry { task: Some(task), stored: true, changed: false }))
        });
        let requests = snapshot
            .requests
            .into_iter()
            .map(|(user, request, fingerprint, answer)| ((user.into(), request), (fingerprint, answer)));
        Ok(Self {
            counters: counters.collect(),
            raised: BTreeSet::new(),
            tasks: tasks.collect::<Result<_>>()?,
            requests: requests.collect(),
            history,
            changes: Vec::new(),
            answers: Vec::new(),
        })
    }

    fn apply(&mut self, operation: Operation) -> Result<Outcome, WriteError> {
        let user = operation.owner.user();
        if let Some(call) = &operation.idempotency
            && let Some((fingerprint, answer)) = self.requests.get(&(user, Id(call.key)))
        {
            return if *fingerprint == call.fingerprint {
                Ok(Outcome::Replayed(answer.clone()))
            } else {
                Err(Error::RequestIdReused.into())
            };
        }
        self.history.map_or(Ok(()), |present| present.check(operation.history))?;
        // The token outlived its account.
        let counters = *self.counters.get(&user).ok_or(Error::SessionRevoked)?;
        let mut draft = Draft { counters, tasks: HashMap::new(), changes: Vec::new(), written: Vec::new() };
        for (at, write) in operation.writes.into_iter().enumerate() {
            self.decide(&mut draft, user, write, operation.rules, operation.live_tasks_max)
                .map_err(|error| WriteError { at: Some(at), error })?;
        }
        // Of an undo only what comes of it counts: it may restore one task before it puts another away.
        if draft.counters.live_tasks > operation.live_tasks_max.max(counters.live_tasks) {
            return Err(Error::QuotaExceeded { limit: operation.live_tasks_max }.into());
        }
        if let Some(Review(review)) = &operation.review {
            review(&draft.written)?;
        }
        if operation.dry_run {
            return Ok(Outcome::Applied(self.as_numbered_now(user, draft.written)));
        }
        if let Some(Idempotency { key, fingerprint, answer }) = operation.idempotency {
            let (key, answer) = (Id(key), answer(&draft.written));
            self.requests.insert((user, key), (fingerprint.clone(), answer.clone()));
            self.answers.push(AnswerRow { user, key, fingerprint, answer, time: operation.rules.now });
        }
        Ok(Outcome::Applied(self.keep(user, draft)))
    }

    fn decide(
        &self,
        draft: &mut Draft,
        user: UserId,
        write: TaskWrite,
        rules: WriteRules,
        live_tasks_max: i64,
    ) -> Result<()> {
        let id = write.id();
        let current = match draft.tasks.get(&id) {
            Some(drafted) => drafted.clone(),
            None => self.tasks.get(&(user, id)).and_then(|entry| entry.task.clone()),
        };
        let before = current.clone();
        let counted_at_end = matches!(write, TaskWrite::Restore { .. });
        let (kind, fields, task) = match write.decide(user, current, rules)? {
            Decision::Keep(task) => {
                draft.written.push(WriteResult { task, effect: Effect::Unchanged, etag_now: None });
                return Ok(());
            }
            Decision::Conflict(task) => {
                draft.written.push(WriteResult { task, effect: Effect::Conflict, etag_now: None });
                return Ok(());
            }
            Decision::Remove(_) => (crate::domain::ChangeType::Purged, TaskFields::default(), None),
            Decision::Store { task, change, fields, live } => {
                if live > 0 && !counted_at_end && draft.counters.live_tasks >= live_tasks_max {
                    return Err(Error::QuotaExceeded { limit: live_tasks_max });
                }
                draft.counters.live_tasks += live;
                (change, fields, Some(task))
            }
        };
        draft.counters.revision += 1;
        let revision = draft.counters.revision;
        let task = task.map(|task| Task { revision, ..task });
        draft.changes.push(ChangeRow {
            owner: user,
            revision,
            kind,
            task: id,
            fields,
            state: task.as_ref().map(task_row::encode).transpose()?,
            // What is gone for good is gone from the log's last entry as well.
            before: before.as_ref().filter(|_| task.is_some()).map(task_row::encode).transpose()?,
            time: rules.now,
        });
        draft.written.push(WriteResult { task: task.clone(), effect: Effect::Changed, etag_now: None });
        draft.tasks.insert(id, task);
        Ok(())
    }

    /// The tasks as they would be, still with the revisions and etags that they have: nothing has been given out.
    fn as_numbered_now(&self, user: UserId, written: Vec<WriteResult>) -> Vec<WriteResult> {
        let stored = |id| self.tasks.get(&(user, id)).and_then(|entry| entry.task.as_ref());
        let renumber = |one: WriteResult| {
            let now = one.task.as_ref().and_then(|task| stored(task.id));
            let revision = now.map_or(0, |now| now.revision);
            let task = one.task.map(|task| Task { revision, ..task });
            WriteResult { task, etag_now: now.map(Task::etag), ..one }
        };
        written.into_iter().map(renumber).collect()
    }

    /// Takes over what an operation did.
    fn keep(&mut self, user: UserId, draft: Draft) -> Vec<WriteResult> {
        if !draft.changes.is_empty() {
            self.counters.insert(user, draft.counters);
            self.raised.insert(user);
        }
        for (id, task) in draft.tasks {
            let entry =
                self.tasks.entry((user, id)).or_insert(Entry { task: None, stored: false, changed: false });
            entry.task = task;
            entry.changed = true;
        }
        self.changes.extend(draft.changes);
        draft.written
    }

    /// What is to be stored.
    fn close(self) -> Writes {
        let mut writes = Writes { changes: self.changes, answers: self.answers, ..Writes::default() };
        for user in self.raised {
            if let Some(counters) = self.counters.get(&user) {
                writes.counters.push((user, counters.revision, counters.live_tasks));
            }
        }
        for ((user, id), entry) in self.tasks {
            match (entry.task, entry.stored) {
                _ if !entry.changed => {}
                (Some(task), false) => writes.created.push(task),
                (Some(task), true) => writes.updated.push(task),
                (None, true) => writes.removed.push((user, id)),
                (None, false) => {}
            }
        }
        writes
    }
}
