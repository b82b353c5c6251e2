//! What a write does to a task: decided here, carried out by the storage inside its transaction.
//!
//! A write is data and the decision a pure function of the task as it stands under the owner's lock, so one
//! call, a batch of calls and a retry all decide alike.

use std::time::Duration;

use super::task::changed_fields;
use super::{
    Basis, ChangeType, Error, Etag, ImportedTask, NewTask, Position, Resource, Result, State, Task,
    TaskField, TaskFields, TaskId, TaskPatch, Timestamp, UserId,
};

/// A change of a task that depends on no other one.
#[derive(Debug, Clone)]
pub enum TaskWrite {
    /// Make a task.
    Create(Box<NewTask>),
    /// Take a task in under the id that it brings.
    Import(Box<ImportedTask>),
    /// Change fields of a task.
    Update {
        /// Which task.
        id: TaskId,
        /// What to change.
        patch: Box<TaskPatch>,
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
    /// Move a task that comes again to its next occurrence.
    Skip {
        /// Which task.
        id: TaskId,
        /// The etag that the task must still have.
        etag: Option<Etag>,
    },
    /// Bring a task back to a former state.
    Restore {
        /// Which task.
        id: TaskId,
        /// The former state; `None` when the task did not exist then.
        former: Option<Box<Task>>,
        /// A task changed after this revision is left alone.
        end_revision: i64,
        /// Unless this is set.
        force: bool,
    },
    /// Bring one task back to a former state.
    Rollback {
        /// Which task.
        id: TaskId,
        /// The former state.
        former: Box<Task>,
        /// The etag that the task must still have.
        etag: Option<Etag>,
    },
    /// Remove a task for good, once its time has come.
    Purge {
        /// Which task.
        id: TaskId,
    },
}

/// What a decision depends on besides the task.
#[derive(Debug, Clone, Copy)]
pub struct WriteRules {
    /// The time of the write.
    pub now: Timestamp,
    /// How long what is deleted can be taken back.
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
        task: Box<Task>,
        /// What kind of change it is.
        change: ChangeType,
        /// Which fields it changes; only an update has any.
        fields: TaskFields,
        /// How the owner's number of live tasks changes: 1, 0 or -1.
        live: i64,
        /// The task that follows it, to be made behind it.
        next: Option<Box<Task>>,
    },
    /// Nothing, because the task went on since; this is how it stands, `None` when it is gone.
    Conflict(Option<Task>),
    /// Remove the task, and note that it is gone.
    Remove(Task),
}

impl TaskWrite {
    /// The task that it is about.
    pub const fn id(&self) -> TaskId {
        match self {
            Self::Create(new) => new.id,
            Self::Import(task) => task.new.id,
            Self::Update { id, .. }
            | Self::Delete { id, .. }
            | Self::Undelete { id }
            | Self::Skip { id, .. }
            | Self::Restore { id, .. }
            | Self::Rollback { id, .. }
            | Self::Purge { id } => *id,
        }
    }

    /// Whether it brings a task back to a former state, as far as those around it allow that.
    pub const fn restores(&self) -> bool {
        matches!(self, Self::Restore { .. } | Self::Rollback { .. })
    }

    /// The former state that it brings back, if there was one.
    pub fn former(&self) -> Option<&Task> {
        match self {
            Self::Restore { former, .. } => former.as_deref(),
            Self::Rollback { former, .. } => Some(former),
            _ => None,
        }
    }

    /// Whether there may be such a task already, so that the write has to be told how it stands.
    pub const fn may_exist(&self) -> bool {
        !matches!(self, Self::Create(new) if new.id_is_new)
    }

    /// What this write does to the task as it stands. `revision` is the one that it takes if it changes something.
    ///
    /// # Errors
    /// `TaskAlreadyExists`, `NotFound`, `TaskDeleted`, `TaskNotDeleted` or `EtagMismatch`.
    pub fn decide(
        self,
        owner: UserId,
        current: Option<Task>,
        rules: WriteRules,
        revision: i64,
    ) -> Result<Decision> {
        match self {
            Self::Create(new) => match current {
                Some(_) => Err(Error::TaskAlreadyExists),
                None => {
                    let task = Task::create(*new, owner, Position::at_end(revision), rules.now);
                    task.check_days(None)?;
                    Ok(store(task, ChangeType::Created, 1))
                }
            },
            Self::Import(task) => task.decide(owner, current, rules, revision),
            Self::Update { patch, etag, .. } => {
                update(existing(current)?, *patch, etag.as_ref(), rules, revision)
            }
            Self::Delete { etag, allow_missing, .. } => delete(current, etag.as_ref(), allow_missing, rules),
            Self::Undelete { .. } => undelete(existing(current)?, rules),
            Self::Skip { etag, .. } => skip(existing(current)?, etag.as_ref(), rules),
            Self::Restore { former, end_revision, force, .. } => {
                let Some(current) = current else {
                    return Ok(Decision::Conflict(None));
                };
                let went_on = current.revision > end_revision;
                match restore(current.clone(), former.map(|former| *former), rules) {
                    Decision::Store { .. } if went_on && !force => Ok(Decision::Conflict(Some(current))),
                    decision => Ok(decision),
                }
            }
            Self::Rollback { former, etag, .. } => {
                let current = existing(current)?;
                check_etag(&current, etag.as_ref())?;
                Ok(restore(current, Some(*former), rules))
            }
            Self::Purge { .. } => Ok(match current {
                Some(task) if task.purge_time.is_some_and(|time| time <= rules.now) => Decision::Remove(task),
                // Taken back in the meantime, or purged by another replica.
                current => Decision::Keep(current),
            }),
        }
    }
}

/// Back to `former`, under a new revision. A task that did not exist then is put away. When it was or will be put
/// away is no part of a former state: what becomes deleted becomes so now, what is deleted stays so.
fn restore(current: Task, former: Option<Task>, rules: WriteRules) -> Decision {
    let now = rules.now.max(current.update_time);
    let was_deleted = former.as_ref().is_none_or(Task::is_deleted);
    // One of a time when there were no places yet.
    let former = former.map(|former| match former.position.as_str() {
        "" => Task { position: current.position.clone(), ..former },
        _ => former,
    });
    let restored = Task {
        deleted_with: match current.is_deleted() {
            true => current.deleted_with.filter(|_| was_deleted),
            false => former.as_ref().and_then(|former| former.deleted_with),
        },
        took_subtasks: match current.is_deleted() {
            true => current.took_subtasks && was_deleted,
            false => former.as_ref().is_some_and(|former| former.took_subtasks),
        },
        // Kept by whoever changes one of them.
        subtasks: current.subtasks,
        owner: current.owner,
        id: current.id,
        create_time: current.create_time,
        update_time: current.update_time,
        delete_time: current.delete_time,
        purge_time: current.purge_time,
        revision: current.revision,
        ..former.unwrap_or_else(|| current.clone())
    };
    let (restored, change, live) = match (current.is_deleted(), was_deleted) {
        (false, true) => (restored.put_away(now, rules.purge_after), ChangeType::Deleted, -1),
        (true, false) => (Task { delete_time: None, purge_time: None, ..restored }, ChangeType::Undeleted, 1),
        _ => (restored, ChangeType::Updated, 0),
    };
    if restored == current {
        return Decision::Keep(Some(current));
    }
    let fields = changed_fields(&current, &restored);
    let task = Box::new(Task { update_time: now, ..restored });
    Decision::Store { task, change, fields, live, next: None }
}

pub(super) fn existing(current: Option<Task>) -> Result<Task> {
    current.ok_or(Error::NotFound(Resource::Task))
}

pub(super) fn check_etag(current: &Task, expected: Option<&Etag>) -> Result<()> {
    match expected {
        Some(expected) if *expected != current.etag() => Err(Error::EtagMismatch {
            current: current.etag(),
            state: Some(State::Task(Box::new(current.clone()))),
        }),
        _ => Ok(()),
    }
}

fn store(task: Task, change: ChangeType, live: i64) -> Decision {
    Decision::Store { task: Box::new(task), change, fields: TaskFields::default(), live, next: None }
}

fn update(
    current: Task,
    patch: TaskPatch,
    etag: Option<&Etag>,
    rules: WriteRules,
    revision: i64,
) -> Result<Decision> {
    if current.is_deleted() {
        return Err(Error::TaskDeleted);
    }
    check_etag(&current, etag)?;
    let now = rules.now.max(current.update_time);
    let next_id = patch.next_id;
    let (mut task, mut fields) = patch.apply(&current, Position::at_end(revision), now);
    if fields.is_empty() {
        return Ok(Decision::Keep(Some(current)));
    }
    task.update_time = now;
    let mut next = None;
    if task.completed && !current.completed && task.recurrence.is_some() {
        // The rule is checked as that of the open task that it is on.
        let open = Task { completed: false, ..task.clone() };
        open.check_days(Some(&current))?;
        let id = next_id.ok_or_else(|| Error::Internal("a completion has no id for what follows".into()))?;
        (task, next) = task.completed_by_rule(id, Position::at_end(revision + 1), now)?;
        fields.note(TaskField::Recurrence, true);
    } else {
        task.check_days(Some(&current))?;
    }
    Ok(Decision::Store { task: Box::new(task), change: ChangeType::Updated, fields, live: 0, next })
}

fn skip(current: Task, etag: Option<&Etag>, rules: WriteRules) -> Result<Decision> {
    if current.is_deleted() {
        return Err(Error::TaskDeleted);
    }
    check_etag(&current, etag)?;
    let now = rules.now.max(current.update_time);
    let recurrence = current.recurrence.as_ref().ok_or(Error::TaskNotRecurring)?;
    // Nobody has completed it, so that of one that is not due yet the day is not over.
    let from = match recurrence.basis {
        Basis::Due => now,
        Basis::Completion => current.due().map_or(now, |due| due.max(now)),
    };
    let next = recurrence.following(&current.schedule(), from, 1)?.pop().ok_or(Error::RecurrenceEnded)?;
    let task = Box::new(Task { update_time: now, ..next.on(current.clone()) });
    let fields = changed_fields(&current, &task);
    Ok(Decision::Store { task, change: ChangeType::Updated, fields, live: 0, next: None })
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
    Ok(store(current.put_away(now, rules.purge_after), ChangeType::Deleted, -1))
}

fn undelete(current: Task, rules: WriteRules) -> Result<Decision> {
    if !current.is_deleted() {
        return Err(Error::TaskNotDeleted);
    }
    Ok(store(current.taken_back(rules.now), ChangeType::Undeleted, 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Annotations, Labels, Priority, Title};

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_parts(1_800_000_000 + seconds, 0).unwrap()
    }

    fn rules(seconds: i64) -> WriteRules {
        WriteRules { now: at(seconds), purge_after: DAY }
    }

    /// What is stored.
    fn stored(decision: Result<Decision>) -> Task {
        match decision.unwrap() {
            Decision::Store { task, .. } => *task,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_task_is_purged_when_its_time_has_come_and_not_if_it_was_taken_back() {
        let owner = UserId::generate();
        let new = NewTask {
            id: TaskId::generate(),
            id_is_new: true,
            title: Title::parse("Buy milk").unwrap(),
            description: None,
            completed: false,
            priority: Priority::Medium,
            due_time: None,
            labels: Labels::default(),
            due_date: None,
            start_time: None,
            time_zone: None,
            annotations: Annotations::default(),
            task_list: None,
            parent_task: None,
            recurrence: None,
            reminders: Default::default(),
        };
        let id = new.id;
        let purge = |task: &Task, seconds| {
            TaskWrite::Purge { id }.decide(owner, Some(task.clone()), rules(seconds), 9).unwrap()
        };
        let made = stored(TaskWrite::Create(Box::new(new)).decide(owner, None, rules(0), 1));
        let delete = TaskWrite::Delete { id, etag: None, allow_missing: false };
        let deleted = stored(delete.decide(owner, Some(made), rules(10), 2));
        let day = 24 * 60 * 60;
        assert_eq!(purge(&deleted, 10 + day - 1), Decision::Keep(Some(deleted.clone())));
        assert_eq!(purge(&deleted, 10 + day), Decision::Remove(deleted.clone()));
        let restored = stored(TaskWrite::Undelete { id }.decide(owner, Some(deleted), rules(20), 3));
        assert_eq!(purge(&restored, 10 + day), Decision::Keep(Some(restored.clone())));
        let gone = TaskWrite::Purge { id }.decide(owner, None, rules(10 + day), 4).unwrap();
        assert_eq!(gone, Decision::Keep(None));
    }
}
