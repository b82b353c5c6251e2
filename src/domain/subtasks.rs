//! What a task knows of those below it.

use super::Task;

/// How many live tasks are below one, and how many of them are completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Subtasks {
    /// All of them.
    pub count: i32,
    /// Those that are completed.
    pub completed: i32,
}

impl Subtasks {
    /// Most live tasks below one.
    pub const MAX: i32 = 500;

    /// What a task counts for where it is below another one.
    pub fn of(task: &Task) -> Self {
        match task.is_deleted() {
            true => Self::default(),
            false => Self { count: 1, completed: task.completed.into() },
        }
    }

    /// With these added.
    pub const fn plus(self, other: Self) -> Self {
        Self { count: self.count + other.count, completed: self.completed + other.completed }
    }

    /// With these taken away.
    pub const fn minus(self, other: Self) -> Self {
        Self { count: self.count - other.count, completed: self.completed - other.completed }
    }
}

/// As part of what a task was deleted, and so comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletedWith {
    /// Its list.
    List,
    /// The task that it is below.
    Parent,
}
