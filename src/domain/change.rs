//! What the change log says of a task: which kind of change, of which fields, and what came out of it.

use super::{HistoryId, Task, TaskId, Timestamp};

/// The kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeType {
    /// The task came into being.
    Created,
    /// Fields of the task changed.
    Updated,
    /// The task was put away, to be purged later.
    Deleted,
    /// The task was taken back.
    Undeleted,
    /// The task is gone for good.
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
    ($($field:ident => $name:literal,)+) => {
        /// A field of a task that a caller can change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum TaskField {
            $(#[doc = concat!("`", $name, "`")] $field,)+
        }

        impl TaskField {
            /// Every field, in the order of the API.
            pub const ALL: &[Self] = &[$(Self::$field,)+];

            /// The names of all of them.
            pub const NAMES: &[&'static str] = &[$($name,)+];

            /// The name in the API.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$field => $name,)+
                }
            }
        }
    };
}

// The place in the list is how the change log stores a field: new ones come last.
task_fields! {
    Title => "title",
    Description => "description",
    Completed => "completed",
    Priority => "priority",
    DueTime => "due_time",
    Labels => "labels",
    DueDate => "due_date",
    StartTime => "start_time",
    TimeZone => "time_zone",
    Annotations => "annotations",
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

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The fields in the set, in the order of the API.
    pub fn iter(self) -> impl Iterator<Item = TaskField> {
        TaskField::ALL.iter().copied().filter(move |field| self.0 & field.bit() != 0)
    }
}

/// One entry of a user's change log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskChange {
    /// Its number; the one before it has the number before.
    pub revision: i64,
    /// What kind of change it is.
    pub kind: ChangeType,
    /// Which task.
    pub task_id: TaskId,
    /// Which fields changed; only an update has any.
    pub fields: TaskFields,
    /// The task as of this change; absent for a purge.
    pub task: Option<Task>,
    /// The task before it; absent for a creation and a purge.
    pub before: Option<Task>,
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
