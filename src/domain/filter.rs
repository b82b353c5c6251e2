//! What a list is filtered by: the tree, not its spelling (`api/tasks/filter.rs`) nor its SQL (`storage/tasks/filter.rs`).
//!
//! The logic has two values only. A comparison with an absent time is false, so its negation is true.

use super::{Day, Priority, TaskId, TaskListId, Timestamp, UserId};

/// A condition on tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// All of them hold; with none, every task matches.
    All(Vec<Filter>),
    /// At least one of them holds.
    Any(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
    /// A single condition.
    Is(Condition),
}

impl Filter {
    /// The filter that every task passes.
    pub const fn everything() -> Self {
        Self::All(Vec::new())
    }
}

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A time of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeField {
    /// When it was made.
    Create,
    /// When it last changed.
    Update,
    /// When it is due; may be absent.
    Due,
    /// When it was completed; may be absent.
    Complete,
    /// When it was deleted; may be absent.
    Delete,
    /// When work on it is to begin; may be absent.
    Start,
}

/// A field that may be absent or empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresentField {
    /// `description`
    Description,
    /// `due_time`
    DueTime,
    /// `complete_time`
    CompleteTime,
    /// `labels`
    Labels,
    /// `due_date`
    DueDate,
    /// `start_time`
    StartTime,
    /// `delete_time`
    DeleteTime,
    /// `task_list`
    TaskList,
    /// `parent_task`
    ParentTask,
}

/// A single condition. The texts of `TitleContains` and `Word` are folded (`text::fold`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It is completed, or is not.
    Completed(bool),
    /// Its priority compares so; LOW < MEDIUM < HIGH.
    Priority(Comparison, Priority),
    /// Its title is exactly this.
    TitleIs(String),
    /// Its title contains this.
    TitleContains(String),
    /// This time of it is there and compares so.
    Time(TimeField, Comparison, Timestamp),
    /// This field is there and not empty.
    Present(PresentField),
    /// It carries exactly this label.
    HasLabel(String),
    /// Its title or its description contains this.
    Word(String),
    /// Its due day is there and compares so.
    DueDate(Comparison, Day),
    /// It is overdue at the time of the question, or is not.
    Overdue(bool),
    /// It is in this list, of this user; without one, of the user whose tasks are asked for. `None` stands for no list.
    InList(Option<(Option<UserId>, TaskListId)>),
    /// It is below this task, as `InList`.
    Below(Option<(Option<UserId>, TaskId)>),
    /// It comes again, or not.
    Recurring(bool),
    /// It has an annotation with this key.
    HasAnnotation(String),
    /// Its annotation with this key is there and exactly this.
    Annotation(String, String),
}
