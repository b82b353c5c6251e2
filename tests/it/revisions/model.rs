//! What the contract says of one user's tasks, as a model in memory: small, slow, and one call at a time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use prost_types::Timestamp;
use taskwire::domain::Position;
use taskwire::pb;
use taskwire::pb::task_change::Type;
use taskwire::pb::undo_conflict::Reason;

/// A call.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Op {
    Create(pb::CreateTaskRequest),
    Update(pb::UpdateTaskRequest),
    Delete(pb::DeleteTaskRequest),
    Undelete(pb::UndeleteTaskRequest),
    BatchCreate(pb::BatchCreateTasksRequest),
    BatchUpdate(pb::BatchUpdateTasksRequest),
    BatchDelete(pb::BatchDeleteTasksRequest),
    Undo(pb::UndoChangesRequest),
    Get(String),
    Count { show_deleted: bool },
}

/// What a call answers, with every etag left out.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    Tasks(Vec<pb::Task>),
    Undone(pb::UndoChangesResponse),
    /// Total, completed, open, low, medium, high, overdue.
    Counts([i64; 7]),
    /// The reason, and the path of the item that is to blame.
    Refused(String, Option<String>),
}

/// Which etag a task had at which revision, as answered.
pub(super) type Etags = HashMap<(String, i64), String>;

/// What decides besides the tasks.
#[derive(Debug, Clone)]
pub(super) struct Circumstances {
    pub(super) now: Timestamp,
    pub(super) purge_after: i64,
    pub(super) live_tasks_max: usize,
}

/// An entry of the log. A purge has neither state.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: Type,
    pub(super) name: String,
    pub(super) before: Option<pb::Task>,
    pub(super) after: Option<pb::Task>,
    pub(super) fields: Vec<String>,
    pub(super) time: Timestamp,
}

/// One user's tasks.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) user: String,
    pub(super) tasks: BTreeMap<String, pb::Task>,
    /// The first has revision 1.
    pub(super) log: Vec<Arc<Entry>>,
    pub(super) answers: BTreeMap<String, (Op, Outcome)>,
}

type Answer = Result<pb::Task, &'static str>;

impl Op {
    pub(super) fn request_id(&self) -> &str {
        match self {
            Self::Create(request) => &request.request_id,
            Self::Update(request) => &request.request_id,
            Self::Delete(request) => &request.request_id,
            Self::Undelete(request) => &request.request_id,
            Self::BatchCreate(request) => &request.request_id,
            Self::BatchUpdate(request) => &request.request_id,
            Self::BatchDelete(request) => &request.request_id,
            Self::Undo(request) => &request.request_id,
            Self::Get(_) | Self::Count { .. } => "",
        }
    }

    /// The names that the service made up for new tasks, out of what it answered.
    fn made(&self, answered: &Outcome) -> Vec<String> {
        match (self, answered) {
            (Self::Create(_) | Self::BatchCreate(_), Outcome::Tasks(tasks)) => {
                tasks.iter().map(|task| task.name.clone()).collect()
            }
            // It failed; any name does.
            _ => Vec::new(),
        }
    }
}

impl Model {
    pub(super) fn new(user: &str) -> Self {
        Self { user: user.to_owned(), tasks: BTreeMap::new(), log: Vec::new(), answers: BTreeMap::new() }
    }

    pub(super) fn revision(&self) -> i64 {
        i64::try_from(self.log.len()).unwrap()
    }

    pub(super) fn live(&self) -> usize {
        self.tasks.values().filter(|task| task.delete_time.is_none()).count()
    }

    /// Carries out a call, or does nothing where it is refused. `answered` is what the service said of it, for the
    /// names that it made up.
    pub(super) fn apply(
        &mut self,
        op: &Op,
        answered: &Outcome,
        etags: &Etags,
        at: &Circumstances,
    ) -> Outcome {
        if let Some((first, outcome)) = self.answers.get(op.request_id()) {
            let reused = || Outcome::Refused("REQUEST_ID_REUSED".to_owned(), None);
            return if first == op { outcome.clone() } else { reused() };
        }
        let mut draft = Draft { model: self.clone(), etags, at };
        let outcome = draft.call(op, op.made(answered));
        let rehearsal = matches!(op, Op::Undo(request) if request.validate_only);
        if matches!(outcome, Outcome::Refused(..)) || rehearsal {
            return outcome;
        }
        *self = draft.model;
        if !op.request_id().is_empty() {
            self.answers.insert(op.request_id().to_owned(), (op.clone(), outcome.clone()));
        }
        outcome
    }

    /// Removes a deleted task for good.
    pub(super) fn purge(&mut self, name: &str, time: Timestamp) {
        self.tasks.remove(name).unwrap();
        let (kind, name) = (Type::Purged, name.to_owned());
        self.log.push(Arc::new(Entry { kind, name, before: None, after: None, fields: Vec::new(), time }));
    }

    fn count(&self, show_deleted: bool, now: &Timestamp) -> [i64; 7] {
        let mut counts = [0; 7];
        for task in self.tasks.values().filter(|task| show_deleted || task.delete_time.is_none()) {
            counts[0] += 1;
            counts[if task.completed { 1 } else { 2 }] += 1;
            counts[2 + usize::try_from(task.priority).unwrap()] += 1;
            let due = task.due_time.as_ref().is_some_and(|due| due.seconds < now.seconds);
            counts[6] += i64::from(due && !task.completed && task.delete_time.is_none());
        }
        counts
    }
}

/// A call under way.
struct Draft<'a> {
    model: Model,
    etags: &'a Etags,
    at: &'a Circumstances,
}

impl Draft<'_> {
    fn call(&mut self, op: &Op, made: Vec<String>) -> Outcome {
        let mut made = made.into_iter();
        match op {
            Op::Create(request) => one(self.create(request, made.next())),
            Op::Update(request) => one(self.update(request)),
            Op::Delete(request) => one(self.delete(request)),
            Op::Undelete(request) => one(self.undelete(&request.name)),
            Op::BatchCreate(batch) => all(&batch.requests, |item| self.create(item, made.next())),
            Op::BatchUpdate(batch) => all(&batch.requests, |item| self.update(item)),
            Op::BatchDelete(batch) => all(&batch.requests, |item| self.delete(item)),
            Op::Undo(request) => self.undo(request),
            Op::Get(name) => one(self.model.tasks.get(name).cloned().ok_or("TASK_NOT_FOUND")),
            Op::Count { show_deleted } => Outcome::Counts(self.model.count(*show_deleted, &self.at.now)),
        }
    }

    /// Takes a revision for what becomes of a task.
    fn store(&mut self, kind: Type, task: pb::Task, fields: Vec<String>) -> pb::Task {
        let now = self.at.now;
        let task = pb::Task { revision: self.model.revision() + 1, update_time: Some(now), ..task };
        let before = self.model.tasks.insert(task.name.clone(), task.clone());
        let (name, after) = (task.name.clone(), Some(task.clone()));
        self.model.log.push(Arc::new(Entry { kind, name, before, after, fields, time: now }));
        task
    }

    fn create(&mut self, request: &pb::CreateTaskRequest, made: Option<String>) -> Answer {
        let task = request.task.clone().unwrap();
        let name = match request.task_id.as_str() {
            "" => made.unwrap_or_else(|| format!("made up {}", self.model.log.len())),
            id => format!("{}/tasks/{id}", self.model.user),
        };
        if self.model.tasks.contains_key(&name) {
            return Err("TASK_ALREADY_EXISTS");
        }
        if self.model.live() >= self.at.live_tasks_max {
            return Err("QUOTA_EXCEEDED");
        }
        let task = pb::Task {
            name,
            create_time: Some(self.at.now),
            complete_time: task.completed.then_some(self.at.now),
            priority: priority(task.priority),
            position: Position::at_end(self.model.revision() + 1).into_string(),
            ..task
        };
        Ok(self.store(Type::Created, task, Vec::new()))
    }

    fn check(&self, task: &pb::Task, etag: &str) -> Result<(), &'static str> {
        let current = self.etags.get(&(task.name.clone(), task.revision));
        if etag.is_empty() || current.is_some_and(|current| current == etag) {
            Ok(())
        } else {
            Err("ETAG_MISMATCH")
        }
    }

    fn update(&mut self, request: &pb::UpdateTaskRequest) -> Answer {
        let wanted = request.task.as_ref().unwrap();
        let current = self.model.tasks.get(&wanted.name).ok_or("TASK_NOT_FOUND")?;
        if current.delete_time.is_some() {
            return Err("TASK_DELETED");
        }
        self.check(current, &wanted.etag)?;
        let paths = request.update_mask.as_ref().map(|mask| mask.paths.as_slice());
        let covers = |path: &str, populated| match paths {
            None => populated,
            Some(paths) => paths.iter().any(|one| one == path || one == "*"),
        };
        let mut task = current.clone();
        if covers("title", !wanted.title.is_empty()) {
            task.title.clone_from(&wanted.title);
        }
        if covers("description", wanted.description.is_some()) {
            task.description.clone_from(&wanted.description);
        }
        if covers("completed", wanted.completed) && task.completed != wanted.completed {
            task.completed = wanted.completed;
            task.complete_time = wanted.completed.then_some(self.at.now);
        }
        if covers("priority", wanted.priority != 0) {
            task.priority = priority(wanted.priority);
        }
        if covers("due_time", wanted.due_time.is_some()) {
            task.due_time = wanted.due_time;
        }
        if covers("labels", !wanted.labels.is_empty()) {
            task.labels.clone_from(&wanted.labels);
        }
        let fields = changed(current, &task);
        if fields.is_empty() { Ok(task) } else { Ok(self.store(Type::Updated, task, fields)) }
    }

    fn delete(&mut self, request: &pb::DeleteTaskRequest) -> Answer {
        match self.model.tasks.get(&request.name).cloned() {
            Some(task) if task.delete_time.is_none() => {
                self.check(&task, &request.etag)?;
                let task = self.put_away(task);
                Ok(self.store(Type::Deleted, task, Vec::new()))
            }
            missing if request.allow_missing => Ok(missing.unwrap_or_default()),
            _ => Err("TASK_NOT_FOUND"),
        }
    }

    fn put_away(&self, task: pb::Task) -> pb::Task {
        let now = self.at.now;
        let purge_time = Timestamp { seconds: now.seconds + self.at.purge_after, ..now };
        pb::Task { delete_time: Some(now), purge_time: Some(purge_time), ..task }
    }

    fn undelete(&mut self, name: &str) -> Answer {
        let task = self.model.tasks.get(name).cloned().ok_or("TASK_NOT_FOUND")?;
        if task.delete_time.is_none() {
            return Err("TASK_NOT_DELETED");
        }
        if self.model.live() >= self.at.live_tasks_max {
            return Err("QUOTA_EXCEEDED");
        }
        let task = pb::Task { delete_time: None, purge_time: None, ..task };
        Ok(self.store(Type::Undeleted, task, Vec::new()))
    }

    fn undo(&mut self, request: &pb::UndoChangesRequest) -> Outcome {
        if request.end_revision > self.model.revision() {
            return Outcome::Refused("REVISION_IN_FUTURE".to_owned(), None);
        }
        let place = |revision: i64| usize::try_from(revision).unwrap();
        let range = self.model.log[place(request.start_revision)..place(request.end_revision)].to_vec();
        let mut done = pb::UndoChangesResponse::default();
        let mut seen = Vec::new();
        for entry in range {
            if !seen.contains(&entry.name) {
                seen.push(entry.name.clone());
                self.bring_back(&entry, request, &mut done);
            }
        }
        if self.model.live() > self.at.live_tasks_max {
            return Outcome::Refused("QUOTA_EXCEEDED".to_owned(), None);
        }
        Outcome::Undone(done)
    }

    /// Takes a task back to where it was before this entry, the first about it.
    fn bring_back(
        &mut self,
        entry: &Entry,
        request: &pb::UndoChangesRequest,
        done: &mut pb::UndoChangesResponse,
    ) {
        let name = entry.name.clone();
        let Some(current) = self.model.tasks.get(&name).cloned() else {
            let reason = Reason::Purged.into();
            return done.conflicts.push(pb::UndoConflict { task: name, reason, ..Default::default() });
        };
        let mut wanted = entry.before.clone().unwrap_or_else(|| current.clone());
        let was_deleted = entry.before.as_ref().is_none_or(|before| before.delete_time.is_some());
        wanted.delete_time = current.delete_time;
        wanted.purge_time = current.purge_time;
        let kind = match (current.delete_time.is_some(), was_deleted) {
            (false, true) => {
                wanted = self.put_away(wanted);
                Type::Deleted
            }
            (true, false) => {
                (wanted.delete_time, wanted.purge_time) = (None, None);
                Type::Undeleted
            }
            _ => Type::Updated,
        };
        let fields = changed(&current, &wanted);
        if kind == Type::Updated && fields.is_empty() {
            return;
        }
        if current.revision > request.end_revision && !request.force {
            let (revision, reason) = (current.revision, Reason::ChangedSince.into());
            return done.conflicts.push(pb::UndoConflict {
                task: name,
                revision,
                reason,
                ..Default::default()
            });
        }
        let had = current.revision;
        let task = self.store(kind, wanted, fields);
        if request.validate_only {
            done.tasks.push(pb::Task { revision: had, ..task });
        } else {
            done.revisions.push(task.revision);
            done.tasks.push(task);
        }
    }
}

fn one(answer: Answer) -> Outcome {
    match answer {
        Ok(task) => Outcome::Tasks(vec![task]),
        Err(reason) => Outcome::Refused(reason.to_owned(), None),
    }
}

fn all<T>(items: &[T], mut item: impl FnMut(&T) -> Answer) -> Outcome {
    let mut tasks = Vec::new();
    for (at, one) in items.iter().enumerate() {
        match item(one) {
            Ok(task) => tasks.push(task),
            Err(reason) => return Outcome::Refused(reason.to_owned(), Some(format!("requests[{at}]"))),
        }
    }
    Outcome::Tasks(tasks)
}

fn priority(number: i32) -> i32 {
    if number == 0 { pb::Priority::Medium.into() } else { number }
}

/// The fields that differ, in the order of the contract.
fn changed(before: &pb::Task, after: &pb::Task) -> Vec<String> {
    let fields = [
        ("title", before.title != after.title),
        ("description", before.description != after.description),
        ("completed", (before.completed, before.complete_time) != (after.completed, after.complete_time)),
        ("priority", before.priority != after.priority),
        ("due_time", before.due_time != after.due_time),
        ("labels", before.labels != after.labels),
    ];
    fields.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned()).collect()
}
