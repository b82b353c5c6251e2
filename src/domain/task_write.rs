//! What a write does to a task: decided here, carried out by the storage inside its transaction.
//!
//! A write is data and the decision a pure function of the task as it stands under the owner's lock, so one
//! call, a batch of calls and a retry all decide alike.

use std::time::Duration;

use super::{
    ChangeType, Error, Etag, NewTask, Resource, Result, Task, TaskFields, TaskId, TaskPatch, Timestamp,
    UserId,
};

/// A change that a caller asks for.
#[derive(Debug, Clone)]
pub enum TaskWrite {
    /// Make a task.
    Create(NewTask),
    /// Change fields of a task.
    Update {
        /// Which task.
        id: TaskId,
        /// What to change.
        patch: TaskPatch,
        /// The etag that the task must still have.
        etag: Option<Etag>,
    },
    /// Put a task away.
    Delete {
        /// Which task.
        id: TaskId,
        /// The etag that the task must still have.
        etag: Option<Etag>,
        /// Answer a deleted or missing task as it is, instead of failing.
        allow_missing: bool,
    },
    /// Take a deleted task back.
    Undelete {
        /// Which task.
        id: TaskId,
    },
}

/// What a decision depends on besides the task.
#[derive(Debug, Clone, Copy)]
pub struct WriteRules {
    /// The time of the write.
    pub now: Timestamp,
    /// How long a deleted task can be taken back.
    pub purge_after: Duration,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: this is the answer; `None` for a task that never existed.
    Keep(Option<Task>),
    /// Store the task under the owner's next revision, and note the change.
    Store {
        /// The task, still with its old revision.
        task: Task,
        /// What kind of change it is.
        change: ChangeType,
        /// Which fields it changes; only an update has any.
        fields: TaskFields,
        /// How the owner's number of live tasks changes: 1, 0 or -1.
        live: i64,
    },
}

impl TaskWrite {
    /// The task that it is about.
    pub const fn id(&self) -> TaskId {
        match self {
            Self::Create(new) => new.id,
            Self::Update { id, .. } | Self::Delete { id, .. } | Self::Undelete { id } => *id,
        }
    }

    /// What this write does to the task as it stands.
    ///
    /// # Errors
    /// `TaskAlreadyExists`, `NotFound`, `TaskDeleted`, `TaskNotDeleted` or `EtagMismatch`.
    pub fn decide(self, owner: UserId, current: Option<Task>, rules: WriteRules) -> Result<Decision> {
        match self {
            Self::Create(new) => match current {
                Some(_) => Err(Error::TaskAlreadyExists),
                None => Ok(store(Task::create(new, owner, rules.now), ChangeType::Created, 1)),
            },
            Self::Update { patch, etag, .. } => update(existing(current)?, patch, etag.as_ref(), rules),
            Self::Delete {
                etag, allow_missing, ..
            } => delete(current, etag.as_ref(), allow_missing, rules),
            Self::Undelete { .. } => undelete(existing(current)?, rules),
        }
    }
}

fn existing(current: Option<Task>) -> Result<Task> {
    current.ok_or(Error::NotFound(Resource::Task))
}

fn check_etag(current: &Task, expected: Option<&Etag>) -> Result<()> {
    match expected {
        Some(expected) if *expected != current.etag() => Err(Error::EtagMismatch {
            current: current.etag(),
        }),
        _ => Ok(()),
    }
}

fn store(task: Task, change: ChangeType, live: i64) -> Decision {
    Decision::Store {
        task,
        change,
        fields: TaskFields::default(),
        live,
    }
}

fn update(current: Task, patch: TaskPatch, etag: Option<&Etag>, rules: WriteRules) -> Result<Decision> {
    if current.is_deleted() {
        return Err(Error::TaskDeleted);
    }
    check_etag(&current, etag)?;
    let (mut task, fields) = patch.apply(&current, rules.now);
    if fields.is_empty() {
        return Ok(Decision::Keep(Some(current)));
    }
    task.update_time = rules.now.max(current.update_time);
    Ok(Decision::Store {
        task,
        change: ChangeType::Updated,
        fields,
        live: 0,
    })
}

fn delete(
    current: Option<Task>,
    etag: Option<&Etag>,
    allow_missing: bool,
    rules: WriteRules,
) -> Result<Decision> {
    let current = match current {
        Some(current) if !current.is_deleted() => current,
        missing if allow_missing => return Ok(Decision::Keep(missing)),
        _ => return Err(Error::NotFound(Resource::Task)),
    };
    check_etag(&current, etag)?;
    let now = rules.now.max(current.update_time);
    let task = Task {
        update_time: now,
        delete_time: Some(now),
        purge_time: Some(now.after(rules.purge_after)),
        ..current
    };
    Ok(store(task, ChangeType::Deleted, -1))
}

fn undelete(current: Task, rules: WriteRules) -> Result<Decision> {
    if !current.is_deleted() {
        return Err(Error::TaskNotDeleted);
    }
    let update_time = rules.now.max(current.update_time);
    let task = Task {
        update_time,
        delete_time: None,
        purge_time: None,
        ..current
    };
    Ok(store(task, ChangeType::Undeleted, 1))
}
