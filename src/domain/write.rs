//! Whatever a caller wants changed, and what became of it.

use super::{Etag, ListWrite, State, Subject, Task, TaskId, TaskList, TaskListId, TaskMove, TaskWrite};

/// A change that a caller asks for.
#[derive(Debug, Clone)]
pub enum Write {
    /// Of a task by itself.
    Task(TaskWrite),
    /// Of the place of a task among others.
    Move(TaskMove),
    /// Of a list.
    List(ListWrite),
}

impl Write {
    /// What it is about.
    pub const fn subject(&self) -> Subject {
        match self {
            Self::Task(write) => Subject::Task(write.id()),
            Self::Move(write) => Subject::Task(write.id),
            Self::List(write) => Subject::List(write.id()),
        }
    }

    /// The task that a task is to be below afterwards.
    pub fn parent_task(&self) -> Option<TaskId> {
        match self {
            Self::Task(TaskWrite::Create(new)) => new.parent_task,
            Self::Task(TaskWrite::Import(task)) => task.new.parent_task,
            Self::Task(TaskWrite::Update { patch, .. }) => patch.parent_task.flatten(),
            Self::Task(write) => write.former()?.parent_task,
            Self::Move(write) => write.parent_task.flatten(),
            Self::List(_) => None,
        }
    }

    /// The list that a task is to be in afterwards.
    pub fn task_list(&self) -> Option<TaskListId> {
        match self {
            Self::Task(TaskWrite::Create(new)) => new.task_list,
            Self::Task(TaskWrite::Import(task)) => task.new.task_list,
            Self::Task(TaskWrite::Update { patch, .. }) => patch.task_list.flatten(),
            Self::Task(write) => write.former()?.task_list,
            Self::Move(write) => write.task_list.flatten(),
            Self::List(_) => None,
        }
    }
}

impl From<TaskWrite> for Write {
    fn from(write: TaskWrite) -> Self {
        Self::Task(write)
    }
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteResult {
    /// The task or list as it stands afterwards; `None` when there is none.
    pub state: Option<State>,
    /// What was done.
    pub effect: Effect,
    /// The etag that it has now, where the write is only tried out.
    pub etag_now: Option<Etag>,
}

impl WriteResult {
    /// The task as it stands afterwards.
    pub fn task(&self) -> Option<&Task> {
        match &self.state {
            Some(State::Task(task)) => Some(task),
            _ => None,
        }
    }

    /// The list as it stands afterwards.
    pub fn list(&self) -> Option<&TaskList> {
        match &self.state {
            Some(State::List(list)) => Some(list),
            _ => None,
        }
    }
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It came into being, and took a revision.
    Created,
    /// The task changed and took a revision.
    Changed,
    /// There was nothing to change.
    Unchanged,
    /// The task went on since, and was left alone.
    Conflict,
}
