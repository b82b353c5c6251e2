//! What the change log says of a task or a list: which kind of change, of which fields, and what came out of it.

use super::{HistoryId, Task, TaskId, TaskList, TaskListId, Timestamp};

/// The kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeType {
    /// It came into being.
    Created,
    /// Fields of it changed.
    Updated,
    /// It was put away, to be purged later.
    Deleted,
    /// It was taken back.
    Undeleted,
    /// It is gone for good.
    Purged,
}

impl ChangeType {
    /// The number under which it is stored.
    pub const fn code(self) -> i16 {
        match self {
            Self::Created => 1,
            Self::Updated => 2,
            Self::Deleted => 3,
            Self::Undeleted => 4,
            Self::Purged => 5,
        }
    }

    /// The kind with this number.
    pub const fn from_code(code: i16) -> Option<Self> {
        Some(match code {
            1 => Self::Created,
            2 => Self::Updated,
            3 => Self::Deleted,
            4 => Self::Undeleted,
            5 => Self::Purged,
            _ => return None,
        })
    }
}

macro_rules! task_fields {
    (
        written { $($field:ident = $bit:literal => $name:literal,)+ }
        kept { $($kept:ident = $kept_bit:literal => $kept_name:literal,)+ }
    ) => {
        /// A field of a task that a change is said to have changed. The number is how the change log stores it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum TaskField {
            $(#[doc = concat!("`", $name, "`")] $field = $bit,)+
            $(#[doc = concat!("`", $kept_name, "`, which follows from other calls")] $kept = $kept_bit,)+
        }

        impl TaskField {
            /// Every field, in the order of the API.
            pub const ALL: &[Self] = &[$(Self::$field,)+ $(Self::$kept,)+];

            /// The names of those that a caller writes.
            pub const WRITTEN: &[&'static str] = &[$($name,)+];

            /// The names of those that the service keeps.
            pub const KEPT: &[&'static str] = &[$($kept_name,)+];

            /// The name in the API.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$field => $name,)+
                    $(Self::$kept => $kept_name,)+
                }
            }
        }
    };
}

task_fields! {
    written {
        Title = 0 => "title",
        Description = 1 => "description",
        Completed = 2 => "completed",
        Priority = 3 => "priority",
        DueTime = 4 => "due_time",
        Labels = 5 => "labels",
        DueDate = 6 => "due_date",
        StartTime = 7 => "start_time",
        TimeZone = 8 => "time_zone",
        Annotations = 9 => "annotations",
        TaskList = 10 => "task_list",
        ParentTask = 12 => "parent_task",
        Recurrence = 14 => "recurrence",
        Reminders = 15 => "reminders",
    }
    kept {
        Position = 11 => "position",
        SubtaskCount = 13 => "subtask_count",
    }
}

impl TaskField {
    const fn bit(self) -> i16 {
        1 << self as i16
    }
}

/// A set of fields, small enough to be stored as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TaskFields(i16);

impl TaskFields {
    /// The set with this number; bits that stand for no field are dropped.
    pub fn from_bits(bits: i16) -> Self {
        Self(bits & TaskField::ALL.iter().fold(0, |all, field| all | field.bit()))
    }

    /// The number under which the set is stored.
    pub const fn bits(self) -> i16 {
        self.0
    }

    /// Adds a field when `changed`.
    pub fn note(&mut self, field: TaskField, changed: bool) {
        if changed {
            self.0 |= field.bit();
        }
    }

    /// Takes a field out.
    pub fn forget(&mut self, field: TaskField) {
        self.0 &= !field.bit();
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this field is in the set.
    pub const fn contains(self, field: TaskField) -> bool {
        self.0 & field.bit() != 0
    }

    /// The fields in the set, in the order of the API.
    pub fn iter(self) -> impl Iterator<Item = TaskField> {
        TaskField::ALL.iter().copied().filter(move |field| self.0 & field.bit() != 0)
    }
}

/// What a change is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A task.
    Task(TaskId),
    /// A list of tasks.
    List(TaskListId),
}

/// What a change is about, as it was at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// A task.
    Task(Box<Task>),
    /// A list of tasks.
    List(Box<TaskList>),
}

impl State {
    /// The revision at its last change.
    pub const fn revision(&self) -> i64 {
        match self {
            Self::Task(task) => task.revision,
            Self::List(list) => list.revision,
        }
    }

    /// The task.
    pub fn task(self) -> Option<Task> {
        match self {
            Self::Task(task) => Some(*task),
            Self::List(_) => None,
        }
    }

    /// The list.
    pub fn list(self) -> Option<TaskList> {
        match self {
            Self::List(list) => Some(*list),
            Self::Task(_) => None,
        }
    }
}

/// One entry of a user's change log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskChange {
    /// Its number; the one before it has the number before.
    pub revision: i64,
    /// What kind of change it is.
    pub kind: ChangeType,
    /// Which task or list.
    pub subject: Subject,
    /// Which fields changed; only an update has any.
    pub fields: TaskFields,
    /// It as of this change; absent for a purge.
    pub state: Option<State>,
    /// It before this change; absent for a creation and a purge.
    pub before: Option<State>,
    /// When.
    pub create_time: Timestamp,
}

/// A stretch of a user's change log.
#[derive(Debug, Clone)]
pub struct ChangePage {
    /// The changes, in order and without a gap.
    pub changes: Vec<TaskChange>,
    /// The number of the user's last change.
    pub current_revision: i64,
    /// The history that the numbers belong to.
    pub history: HistoryId,
    /// The smallest number after which changes can still be listed.
    pub earliest_revision: i64,
    /// Whether there are more after these.
    pub has_more: bool,
}
