//! Lists in pages: how many, in which order, from where on.

use super::{Filter, Priority, Rule, Task, TaskId, Timestamp};

/// How many results a page holds at most: 1 to 500.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSize(u16);

impl PageSize {
    /// What 0 stands for.
    pub const DEFAULT: u16 = 50;
    /// What anything larger is cut to.
    pub const MAX: u16 = 500;
    /// The largest one.
    pub const LARGEST: Self = Self(Self::MAX);

    /// Reads a page size as sent.
    ///
    /// # Errors
    /// The rule, for a negative one.
    pub fn parse(size: i32) -> Result<Self, Rule> {
        match size {
            ..0 => Err(Rule::field("must not be negative; 0 stands for the default of 50")),
            0 => Ok(Self(Self::DEFAULT)),
            size => Ok(Self(u16::try_from(size).unwrap_or(Self::MAX).min(Self::MAX))),
        }
    }

    /// The number of results.
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

/// What a list can be ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderField {
    /// When it was made.
    CreateTime,
    /// When it last changed.
    UpdateTime,
    /// When it is due; tasks without a due time come last in either direction.
    DueTime,
    /// LOW before MEDIUM before HIGH.
    Priority,
    /// By the folded title, code point by code point.
    Title,
    /// When it is due, the end of the due day included; tasks that are not come last in either direction.
    Due,
    /// When work on it is to begin; tasks without a start come last in either direction.
    StartTime,
    /// In the order that the owner gave the tasks.
    Position,
}

/// One key of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderKey {
    /// What is compared.
    pub field: OrderField,
    /// Whether the largest comes first.
    pub descending: bool,
}

/// The order of a list: its keys, then the id in the direction of the last key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskOrder(Vec<OrderKey>);

impl TaskOrder {
    /// Newest first.
    pub fn newest_first() -> Self {
        Self(vec![OrderKey { field: OrderField::CreateTime, descending: true }])
    }

    /// An order by these keys.
    ///
    /// # Errors
    /// The rule, when there are none or a field stands twice.
    pub fn by(keys: Vec<OrderKey>) -> Result<Self, Rule> {
        let doubled =
            keys.iter().enumerate().any(|(at, key)| keys[..at].iter().any(|other| other.field == key.field));
        if keys.is_empty() || doubled {
            return Err(Rule::of(super::InvalidReason::OrderBy, "must name each field at most once"));
        }
        Ok(Self(keys))
    }

    /// The keys, most significant first; never empty.
    pub fn keys(&self) -> &[OrderKey] {
        &self.0
    }

    /// The direction of the id, which breaks ties.
    pub fn id_descending(&self) -> bool {
        self.0.last().is_some_and(|key| key.descending)
    }

    /// Where `task` stands in this order.
    pub fn cursor_at(&self, task: &Task) -> Cursor {
        let value = |key: &OrderKey| match key.field {
            OrderField::CreateTime => SortValue::Time(Some(task.create_time)),
            OrderField::UpdateTime => SortValue::Time(Some(task.update_time)),
            OrderField::DueTime => SortValue::Time(task.due_time),
            OrderField::Priority => SortValue::Priority(task.priority),
            OrderField::Title => SortValue::Text(super::text::fold(task.title.as_str())),
            OrderField::Due => SortValue::Time(task.due()),
            OrderField::StartTime => SortValue::Time(task.start_time),
            OrderField::Position => SortValue::Text(task.position.as_str().to_owned()),
        };
        Cursor { values: self.0.iter().map(value).collect(), id: task.id }
    }
}

/// The value of one key at a cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SortValue {
    /// A time; absent only for those that a task may lack.
    Time(Option<Timestamp>),
    /// A priority.
    Priority(Priority),
    /// A folded title, or a position.
    Text(String),
}

/// The place of the last task of a page: the next page starts right after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// One value per key of the order.
    pub values: Vec<SortValue>,
    /// The task's id.
    pub id: TaskId,
}

/// One list of tasks to be read.
#[derive(Debug, Clone)]
pub struct TaskQuery {
    /// What to list.
    pub filter: Filter,
    /// In which order.
    pub order: TaskOrder,
    /// Whether deleted tasks are listed as well.
    pub show_deleted: bool,
    /// The time of the question: what is past then is overdue.
    pub now: Timestamp,
    /// After which place; from the start when absent.
    pub after: Option<Cursor>,
    /// At most how many.
    pub page_size: PageSize,
    /// The revision of the user up to which the answer has to hold every change; `None` for all that there is.
    pub min_revision: Option<i64>,
}

/// One page of tasks.
#[derive(Debug, Clone)]
pub struct TaskPage {
    /// The tasks, in order.
    pub tasks: Vec<Task>,
    /// Where the next page starts; absent on the last one.
    pub next: Option<Cursor>,
    /// The revision of the user of which the next page has to be at least, where it may come from elsewhere.
    pub revision: Option<i64>,
}

/// How many tasks there are, of which kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskCounts {
    /// All that were counted.
    pub total: i64,
    /// Those that are completed.
    pub completed: i64,
    /// Those of low priority.
    pub low: i64,
    /// Those of medium priority.
    pub medium: i64,
    /// Those of high priority.
    pub high: i64,
    /// Those that are neither completed nor deleted, and were due before now.
    pub overdue: i64,
}
