//! Lists of tasks: what one is, and how it looks after a change.

use super::etag::{Content, Etag};
use super::{Position, TaskListId, Timestamp, Title, UserId};

/// A list to be made.
#[derive(Debug, Clone)]
pub struct NewTaskList {
    /// Its id, the client's or a new one.
    pub id: TaskListId,
    /// What it is called.
    pub title: Title,
}

/// What becomes of the tasks of a list that is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TasksOfDeleted {
    /// They are deleted with it.
    Delete,
    /// They stay, without a list.
    Keep,
}

/// What a change of a list has still to do with its tasks, where they were too many for one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// Delete them.
    Delete,
    /// Take them out of it.
    Keep,
    /// Restore those that were deleted with it.
    Restore,
}

impl Unfinished {
    /// The number under which it is stored.
    pub const fn code(self) -> i16 {
        match self {
            Self::Delete => 1,
            Self::Keep => 2,
            Self::Restore => 3,
        }
    }

    /// The one with this number.
    pub fn from_code(code: i16) -> Option<Self> {
        [Self::Delete, Self::Keep, Self::Restore].into_iter().find(|one| one.code() == code)
    }
}

/// A list as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskList {
    /// Whose it is.
    pub owner: UserId,
    /// Its id, unique below its owner.
    pub id: TaskListId,
    /// What it is called.
    pub title: Title,
    /// Its place among the owner's lists.
    pub position: Position,
    /// When it was made.
    pub create_time: Timestamp,
    /// When it last changed in any way. Never runs backwards, even when the clock does.
    pub update_time: Timestamp,
    /// When it was deleted, while it is.
    pub delete_time: Option<Timestamp>,
    /// When it will be gone for good, while it is deleted.
    pub purge_time: Option<Timestamp>,
    /// The owner's revision at its last change.
    pub revision: i64,
    /// What is still to be done with its tasks. No part of what callers see.
    pub unfinished: Option<Unfinished>,
}

impl TaskList {
    /// Changes with every change of the list.
    pub fn etag(&self) -> Etag {
        // Taken apart, so that a new field is not forgotten. Whose it is and which one, the name says.
        let Self {
            owner: _,
            id: _,
            title,
            position,
            create_time,
            update_time,
            delete_time,
            purge_time,
            revision,
            unfinished: _,
        } = self;
        let time = |time: &Option<Timestamp>| time.map(Timestamp::as_micros);
        let content = Content::new().text(title.as_str()).text(position.as_str()).numbers([
            Some(create_time.as_micros()),
            Some(update_time.as_micros()),
            time(delete_time),
            time(purge_time),
        ]);
        content.etag(*revision)
    }

    /// Whether it is deleted.
    pub const fn is_deleted(&self) -> bool {
        self.delete_time.is_some()
    }
}
