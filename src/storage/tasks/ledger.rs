//! A write batch: operations of any number of callers, decided in order, stored in one transaction.
//!
//! An operation is all or nothing by itself and fails by itself. Operations see what those before them in the
//! batch did. One call is a batch of one; a batch RPC is one operation with many writes; a lane's batch is many
//! operations.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::deciding::{Deciding, Draft};
use super::known::{Entry, Known};
use super::operation::{Idempotency, Operation, Outcome, Review, WriteError};
use super::surroundings;
use super::write_conn::{AnswerRow, ChangeRow, Keys, RowWrites, Snapshot, WriteConn, Writes};
use crate::domain::{
    Error, HistoryId, Result, State, Task, TaskId, TaskList, TaskListId, UserId, Write, WriteResult,
};
use crate::storage::engine::types::Id;

/// What became of a batch.
#[derive(Debug)]
pub(in crate::storage) struct Report {
    /// Of each operation.
    pub(in crate::storage) results: Vec<Result<Outcome, WriteError>>,
    /// The new revisions of the users whose tasks changed.
    pub(in crate::storage) raised: Vec<(UserId, i64)>,
    /// Whether there is something in the outbox.
    pub(in crate::storage) is_told: bool,
}

/// Whether a batch is carried out, or only decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) enum Purpose {
    /// What is decided is stored.
    Write,
    /// Nothing is; operations still see what those before them would have done.
    Rehearse,
}

/// Carries out a batch inside a transaction. Outer errors are the storage's and concern the whole batch.
pub(in crate::storage) async fn run<C: WriteConn>(
    conn: &mut C,
    operations: Vec<Operation>,
    purpose: Purpose,
    origin: Uuid,
) -> Result<Report> {
    let snapshot = conn.read(keys(&operations)).await?;
    let history = match operations.iter().any(|operation| operation.history.is_some()) {
        true => Some(conn.history().await?),
        false => None,
    };

    let mut ledger = Ledger::open(snapshot, history)?;
    surroundings::read(conn, &mut ledger.known, &operations).await?;
    let results = operations.into_iter().map(|operation| ledger.apply(operation)).collect();
    if purpose == Purpose::Rehearse {
        return Ok(Report { results, raised: Vec::new(), is_told: false });
    }
    let writes = ledger.close();
    let raised = writes.counters.iter().map(|(user, revision, _)| (*user, *revision)).collect();
    let is_told = if writes.is_empty() { false } else { conn.write(writes, origin).await? };
    Ok(Report { results, raised, is_told })
}

/// The rows that these operations name.
fn keys(operations: &[Operation]) -> Keys {
    // Sorted and without repetition: locks are taken in this order.
    let users: BTreeSet<UserId> = operations.iter().map(|operation| operation.owner.user()).collect();
    let mut tasks: BTreeSet<(UserId, TaskId)> = BTreeSet::new();
    let mut lists: BTreeSet<(UserId, TaskListId)> = BTreeSet::new();
    for operation in operations {
        let user = operation.owner.user();
        for write in &operation.writes {
            match write {
                Write::Task(write) if !write.may_exist() => {}
                Write::Task(write) => drop(tasks.insert((user, write.id()))),
                Write::Move(write) => {
                    tasks.extend(std::iter::once(write.id).chain(write.anchor()).map(|task| (user, task)))
                }
                Write::List(write) => drop(lists.insert((user, write.id()))),
            }
            lists.extend(write.task_list().map(|list| (user, list)));
            tasks.extend(write.parent_task().map(|parent| (user, parent)));
        }
    }
    let requests = operations.iter().filter_map(|operation| {
        Some((operation.owner.user().into(), Id(operation.idempotency.as_ref()?.key)))
    });
    Keys {
        users: users.into_iter().map(Id::from).collect(),
        tasks: tasks.into_iter().map(|(user, task)| (user.into(), task.into())).collect(),
        lists: lists.into_iter().map(|(user, list)| (user.into(), list.into())).collect(),
        requests: requests.collect(),
    }
}

/// The batch's view of the world, as it changes from operation to operation.
#[derive(Debug)]
struct Ledger {
    known: Known,
    raised: BTreeSet<UserId>,
    requests: HashMap<(UserId, Id), (Vec<u8>, Vec<u8>)>,
    /// The present history, where an operation wants it to be the one that it knows.
    history: Option<HistoryId>,
    changes: Vec<ChangeRow>,
    answers: Vec<AnswerRow>,
}

impl Ledger {
    fn open(snapshot: Snapshot, history: Option<HistoryId>) -> Result<Self> {
        let requests = snapshot
            .requests
            .into_iter()
            .map(|(user, request, fingerprint, answer)| ((user.into(), request), (fingerprint, answer)));
        Ok(Self {
            requests: requests.collect(),
            known: Known::open(snapshot.counters, snapshot.tasks, snapshot.lists)?,
            raised: BTreeSet::new(),
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
        let counters = *self.known.counters.get(&user).ok_or(Error::SessionRevoked)?;
        let mut draft = Draft::new(counters);
        let (rules, live_tasks_max) = (operation.rules, operation.live_tasks_max);
        let mut deciding = Deciding { known: &self.known, draft: &mut draft, user, rules, live_tasks_max };
        for (at, write) in operation.writes.into_iter().enumerate() {
            deciding.write(write).map_err(|error| WriteError { at: Some(at), error })?;
        }
        deciding.finish()?;
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

    /// What was written as it would be, still with the revisions and etags that it has: nothing has been given out.
    fn as_numbered_now(&self, user: UserId, written: Vec<WriteResult>) -> Vec<WriteResult> {
        let renumber = |one: WriteResult| match one.state {
            Some(State::Task(task)) => {
                let now = self.known.task(user, task.id);
                let task = Task { revision: now.map_or(0, |now| now.revision), ..*task };
                let state = Some(State::Task(Box::new(task)));
                WriteResult { state, etag_now: now.map(Task::etag), ..one }
            }
            Some(State::List(list)) => {
                let now = self.known.list(user, list.id);
                let list = TaskList { revision: now.map_or(0, |now| now.revision), ..*list };
                let state = Some(State::List(Box::new(list)));
                WriteResult { state, etag_now: now.map(TaskList::etag), ..one }
            }
            None => one,
        };
        written.into_iter().map(renumber).collect()
    }

    /// Takes over what an operation did.
    fn keep(&mut self, user: UserId, draft: Draft) -> Vec<WriteResult> {
        if !draft.changes.is_empty() {
            self.known.counters.insert(user, draft.counters);
            self.raised.insert(user);
        }
        for (id, task) in draft.tasks {
            self.known.tasks.entry((user, id)).or_insert(Entry::absent()).becomes(task);
        }
        for (id, list) in draft.lists {
            self.known.lists.entry((user, id)).or_insert(Entry::absent()).becomes(list);
        }
        self.changes.extend(draft.changes);
        draft.written
    }

    /// What is to be stored.
    fn close(self) -> Writes {
        let mut writes = Writes { changes: self.changes, answers: self.answers, ..Writes::default() };
        for user in self.raised {
            if let Some(counters) = self.known.counters.get(&user) {
                writes.counters.push((user, counters.revision, counters.live_tasks));
                if counters.listened {
                    writes.listened.insert(user);
                }
            }
        }
        sort_out(self.known.tasks, &mut writes.tasks);
        sort_out(self.known.lists, &mut writes.lists);
        // Rows of one user lie together in every index: the next one finds its pages where the one before left them.
        writes.tasks.created.sort_unstable_by_key(|task| (task.owner, task.id));
        writes.tasks.updated.sort_unstable_by_key(|task| (task.owner, task.id));
        writes.changes.sort_unstable_by_key(|change| (change.owner, change.revision));
        writes
    }
}

/// What has become of rows.
fn sort_out<Key, T>(entries: HashMap<Key, Entry<T>>, rows: &mut RowWrites<Key, T>) {
    for (key, entry) in entries {
        match (entry.now, entry.stored) {
            _ if !entry.changed => {}
            (Some(row), false) => rows.created.push(row),
            (Some(row), true) => rows.updated.push(row),
            (None, true) => rows.removed.push(key),
            (None, false) => {}
        }
    }
}
