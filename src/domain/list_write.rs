//! What a write does to a list of tasks: decided here, carried out by the storage inside its transaction. What it does to the
//! tasks of the list follows from what becomes of the list.

use super::change::{ChangeType, State, TaskField, TaskFields};
use super::position::{Placement, place};
use super::{
    Error, Etag, ImportedList, NewTaskList, Position, Resource, Result, TaskList, TaskListId, TasksOfDeleted,
    Title, Unfinished, UserId, WriteRules,
};

/// A place among others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<Id> {
    /// Behind all of them.
    End,
    /// Right before this one.
    Before(Id),
    /// Right after this one.
    After(Id),
}

/// A change of a list that a caller asks for.
#[derive(Debug, Clone)]
pub enum ListWrite {
    /// Make a list, behind the others.
    Create(NewTaskList),
    /// Take one in under the id that it brings.
    Import(ImportedList),
    /// Call it otherwise.
    Update {
        /// Which list.
        id: TaskListId,
        /// What it is called from now on; as before when absent.
        title: Option<Title>,
        /// The etag that it must still have.
        etag: Option<Etag>,
    },
    /// Give it another place among the lists.
    Move {
        /// Which list.
        id: TaskListId,
        /// Where to.
        to: Place<TaskListId>,
    },
    /// Put it away.
    Delete {
        /// Which list.
        id: TaskListId,
        /// The etag that it must still have.
        etag: Option<Etag>,
        /// Answer a deleted or missing list as it is, instead of failing.
        allow_missing: bool,
        /// What becomes of its tasks.
        tasks: TasksOfDeleted,
    },
    /// Take it back, and the tasks that were deleted with it.
    Undelete {
        /// Which list.
        id: TaskListId,
    },
    /// Bring it back to a former state; its tasks have states of their own.
    Restore {
        /// Which list.
        id: TaskListId,
        /// The former state; `None` when it did not exist then.
        former: Option<Box<TaskList>>,
        /// A list changed after this revision is left alone.
        end_revision: i64,
        /// Unless this is set.
        force: bool,
    },
    /// Go on with what is unfinished.
    Finish {
        /// Which list.
        id: TaskListId,
    },
    /// Remove it for good, once its time has come.
    Purge {
        /// Which list.
        id: TaskListId,
    },
}

/// What is to be done with a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListDecision {
    /// Nothing: this is the answer; `None` for a list that never existed.
    Keep(Option<TaskList>),
    /// Store the list under the owner's next revision, and note the change. What is `unfinished` is to be done.
    Store {
        /// The list, still with its old revision.
        list: TaskList,
        /// What kind of change it is.
        change: ChangeType,
        /// Which fields it changes; only an update has any.
        fields: TaskFields,
    },
    /// Store these lists at their new places, each under a revision of its own.
    Spread(Vec<TaskList>),
    /// Nothing but what is unfinished.
    Finish(TaskList),
    /// Nothing, because the list went on since; this is how it stands, `None` when it is gone.
    Conflict(Option<TaskList>),
    /// Remove the list, and note that it is gone.
    Remove,
}

impl ListWrite {
    /// The list that it is about.
    pub const fn id(&self) -> TaskListId {
        match self {
            Self::Create(new) => new.id,
            Self::Import(list) => list.new.id,
            Self::Update { id, .. }
            | Self::Move { id, .. }
            | Self::Delete { id, .. }
            | Self::Undelete { id }
            | Self::Restore { id, .. }
            | Self::Finish { id }
            | Self::Purge { id } => *id,
        }
    }

    /// What this write does to the list as it stands. `lists` are all live ones, by which places are given.
    ///
    /// # Errors
    /// `TaskListAlreadyExists`, `NotFound`, `TaskListDeleted`, `TaskListNotDeleted`, `EtagMismatch`, or `Invalid` for a
    /// place that there is not.
    pub fn decide(
        self,
        owner: UserId,
        current: Option<TaskList>,
        lists: &[TaskList],
        rules: WriteRules,
        revision: i64,
    ) -> Result<ListDecision> {
        match self {
            Self::Create(new) => match current {
                Some(_) => Err(Error::TaskListAlreadyExists),
                None => Ok(store(create(new, owner, rules, revision), ChangeType::Created)),
            },
            Self::Import(list) => list.decide(owner, current, rules, revision),
            Self::Update { title, etag, .. } => {
                let current = live(current)?;
                check_etag(&current, etag.as_ref())?;
                let title = title.unwrap_or_else(|| current.title.clone());
                Ok(updated(TaskList { title, ..current.clone() }, current, rules))
            }
            Self::Move { to, .. } => moved(live(current)?, to, lists, rules, revision),
            Self::Delete { etag, allow_missing, tasks, .. } => match current {
                Some(current) if !current.is_deleted() => {
                    check_etag(&current, etag.as_ref())?;
                    let unfinished = match tasks {
                        TasksOfDeleted::Delete => Unfinished::Delete,
                        TasksOfDeleted::Keep => Unfinished::Keep,
                    };
                    Ok(store(put_away(current, rules, unfinished), ChangeType::Deleted))
                }
                missing if allow_missing => Ok(ListDecision::Keep(missing)),
                _ => Err(Error::NotFound(Resource::TaskList)),
            },
            Self::Undelete { .. } => {
                let current = current.ok_or(Error::NotFound(Resource::TaskList))?;
                if !current.is_deleted() {
                    return Err(Error::TaskListNotDeleted);
                }
                Ok(store(taken_back(current, rules, Some(Unfinished::Restore)), ChangeType::Undeleted))
            }
            Self::Restore { former, end_revision, force, .. } => {
                Ok(restore(current, former.map(|former| *former), (end_revision, force), rules))
            }
            Self::Finish { .. } => Ok(match current {
                Some(list) if list.unfinished.is_some() => ListDecision::Finish(list),
                current => ListDecision::Keep(current),
            }),
            Self::Purge { .. } => Ok(match current {
                // What is to be done with its tasks comes first.
                Some(list)
                    if list.unfinished.is_none() && list.purge_time.is_some_and(|time| time <= rules.now) =>
                {
                    ListDecision::Remove
                }
                current => ListDecision::Keep(current),
            }),
        }
    }
}

pub(super) fn create(new: NewTaskList, owner: UserId, rules: WriteRules, revision: i64) -> TaskList {
    TaskList {
        owner,
        id: new.id,
        title: new.title,
        position: Position::at_end(revision),
        create_time: rules.now,
        update_time: rules.now,
        delete_time: None,
        purge_time: None,
        revision: 0,
        unfinished: None,
    }
}

fn live(current: Option<TaskList>) -> Result<TaskList> {
    let current = current.ok_or(Error::NotFound(Resource::TaskList))?;
    if current.is_deleted() { Err(Error::TaskListDeleted) } else { Ok(current) }
}

fn check_etag(current: &TaskList, expected: Option<&Etag>) -> Result<()> {
    match expected {
        Some(expected) if *expected != current.etag() => Err(Error::EtagMismatch {
            current: current.etag(),
            state: Some(State::List(Box::new(current.clone()))),
        }),
        _ => Ok(()),
    }
}

pub(super) fn store(list: TaskList, change: ChangeType) -> ListDecision {
    ListDecision::Store { list, change, fields: TaskFields::default() }
}

/// An ordinary change, or none.
pub(super) fn updated(list: TaskList, current: TaskList, rules: WriteRules) -> ListDecision {
    let mut fields = TaskFields::default();
    fields.note(TaskField::Title, list.title != current.title);
    fields.note(TaskField::Position, list.position != current.position);
    if fields.is_empty() {
        return ListDecision::Keep(Some(current));
    }
    let update_time = rules.now.max(current.update_time);
    ListDecision::Store { list: TaskList { update_time, ..list }, change: ChangeType::Updated, fields }
}

fn put_away(list: TaskList, rules: WriteRules, unfinished: Unfinished) -> TaskList {
    let now = rules.now.max(list.update_time);
    TaskList {
        update_time: now,
        delete_time: Some(now),
        purge_time: Some(now.after(rules.purge_after)),
        unfinished: Some(unfinished),
        ..list
    }
}

fn taken_back(list: TaskList, rules: WriteRules, unfinished: Option<Unfinished>) -> TaskList {
    let update_time = rules.now.max(list.update_time);
    TaskList { update_time, delete_time: None, purge_time: None, unfinished, ..list }
}

fn restore(
    current: Option<TaskList>,
    former: Option<TaskList>,
    (end_revision, force): (i64, bool),
    rules: WriteRules,
) -> ListDecision {
    let Some(current) = current else { return ListDecision::Conflict(None) };
    let was_deleted = former.as_ref().is_none_or(TaskList::is_deleted);
    let (title, position) = former.map_or_else(
        || (current.title.clone(), current.position.clone()),
        |former| (former.title, former.position),
    );
    let restored = TaskList { title, position, ..current.clone() };
    let decision = match (current.is_deleted(), was_deleted) {
        // Its tasks have been restored by themselves; who is left stays.
        (false, true) => store(put_away(restored, rules, Unfinished::Keep), ChangeType::Deleted),
        (true, false) => store(taken_back(restored, rules, None), ChangeType::Undeleted),
        _ => updated(restored, current.clone(), rules),
    };
    match decision {
        ListDecision::Store { .. } if current.revision > end_revision && !force => {
            ListDecision::Conflict(Some(current))
        }
        decision => decision,
    }
}

/// The list at another place, and those that move apart for it.
fn moved(
    current: TaskList,
    to: Place<TaskListId>,
    lists: &[TaskList],
    rules: WriteRules,
    revision: i64,
) -> Result<ListDecision> {
    let mut others: Vec<&TaskList> = lists.iter().filter(|list| list.id != current.id).collect();
    others.sort_unstable_by(|one, other| one.position.cmp(&other.position));
    let at = |anchor: TaskListId, field: &'static str| {
        others.iter().position(|list| list.id == anchor).ok_or_else(|| Error::position_invalid(field))
    };
    let behind = match to {
        Place::End => others.len(),
        Place::Before(anchor) => at(anchor, "before")?,
        Place::After(anchor) => at(anchor, "after")? + 1,
    };
    let below: Vec<_> = others[..behind].iter().rev().map(|list| (list.id, &list.position)).collect();
    let above: Vec<_> = others[behind..].iter().map(|list| (list.id, &list.position)).collect();
    let own = (current.id, Some(&current.position));
    // All of them are known.
    Ok(match place(own, &below, &above, usize::MAX, revision) {
        Placement::Stays | Placement::Further => ListDecision::Keep(Some(current)),
        Placement::There(position) => updated(TaskList { position, ..current.clone() }, current, rules),
        Placement::Spread(keys) => {
            let lists = keys.into_iter().filter_map(|(id, position)| {
                let list =
                    if id == current.id { &current } else { *others.iter().find(|list| list.id == id)? };
                Some(TaskList { position, update_time: rules.now.max(list.update_time), ..list.clone() })
            });
            ListDecision::Spread(lists.collect())
        }
    })
}
