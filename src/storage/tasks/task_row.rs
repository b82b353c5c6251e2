//! A task as a row of `tasks`, and as the change log keeps it.

use diesel::deserialize::FromSqlRow;
use diesel::sql_types::{BigInt, Bool, Nullable, SmallInt, Text};
use diesel::{Queryable, Selectable};
use serde::{Deserialize, Serialize};

use std::borrow::Borrow;
use std::collections::BTreeMap;

use crate::domain::{
    Anchor, Annotations, Basis, Day, DeletedWith, Description, DueDay, Error, Labels, Position, Priority,
    Recurrence, Reminder, Reminders, Result, Subtasks, Task, TaskId, TimeZone, Timestamp, Title, UserId,
    text,
};
use crate::storage::engine::error::corrupt;
use crate::storage::engine::set::{Column, Rows};
use crate::storage::engine::types::{
    DbJson, DbTimestamp, DbUuid, Document, Id, Json, Moment, TextList, from_json,
};
use crate::storage::schema::tasks;

/// The SQL types of a `TaskRow`, in order.
pub(in crate::storage) type TaskRowTypes = (
    DbUuid,
    DbUuid,
    Text,
    Nullable<Text>,
    Bool,
    SmallInt,
    Nullable<DbTimestamp>,
    DbJson,
    DbTimestamp,
    DbTimestamp,
    Nullable<DbTimestamp>,
    Nullable<DbTimestamp>,
    Nullable<DbTimestamp>,
    BigInt,
    Nullable<DbJson>,
    Nullable<DbUuid>,
    Text,
    Nullable<DbUuid>,
);

/// The columns of a `TaskRow`, in order, for statements written by hand.
pub(in crate::storage) const COLUMNS: &str = "tasks.user_id, tasks.task_id, tasks.title, tasks.description, tasks.completed, \
    tasks.priority, tasks.due_time, tasks.labels, tasks.create_time, tasks.update_time, tasks.complete_time, \
    tasks.delete_time, tasks.purge_time, tasks.revision, tasks.details, tasks.list_id, \
    tasks.position, tasks.parent_id";

/// A task as it is read, from its table or out of the change log. There it is JSON, times in microseconds, and owner and id stand
/// beside it.
#[derive(Debug, Queryable, Selectable, Deserialize)]
#[diesel(table_name = tasks)]
#[diesel(check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
pub(in crate::storage) struct TaskRow {
    #[serde(skip)]
    pub(in crate::storage) user_id: Id,
    #[serde(skip)]
    pub(in crate::storage) task_id: Id,
    title: String,
    #[serde(default)]
    description: Option<String>,
    completed: bool,
    priority: i16,
    #[serde(default)]
    due_time: Option<Moment>,
    #[serde(default)]
    labels: TextList,
    create_time: Moment,
    update_time: Moment,
    #[serde(default)]
    complete_time: Option<Moment>,
    #[serde(default)]
    delete_time: Option<Moment>,
    #[serde(default)]
    purge_time: Option<Moment>,
    revision: i64,
    #[serde(default)]
    details: Option<Boxed>,
    #[serde(default)]
    list_id: Option<Id>,
    /// Absent in the log of a time when there were none.
    #[serde(default)]
    position: String,
    #[serde(default)]
    parent_id: Option<Id>,
}

/// A task as it is written into the change log: what a `TaskRow` is read from, as far as it is there.
#[derive(Serialize)]
struct Noted<'a> {
    title: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    completed: bool,
    priority: i16,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_time: Option<Moment>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    labels: &'a [String],
    create_time: Moment,
    update_time: Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    complete_time: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delete_time: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purge_time: Option<Moment>,
    revision: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
    #[serde(skip_serializing_if = "Option::is_none")]
    list_id: Option<Id>,
    position: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<Id>,
}

impl<'a> From<&'a Task> for Noted<'a> {
    fn from(task: &'a Task) -> Self {
        Self {
            title: task.title.as_str(),
            description: task.description.as_ref().map(Description::as_str),
            completed: task.completed,
            priority: task.priority.code(),
            due_time: task.due_time.map(Into::into),
            labels: task.labels.as_slice(),
            create_time: task.create_time.into(),
            update_time: task.update_time.into(),
            complete_time: task.complete_time.map(Into::into),
            delete_time: task.delete_time.map(Into::into),
            purge_time: task.purge_time.map(Into::into),
            revision: task.revision,
            details: Details::of(task),
            list_id: task.task_list.map(Into::into),
            position: task.position.as_str(),
            parent_id: task.parent_task.map(Into::into),
        }
    }
}

/// What few tasks have. Times in microseconds, days by their number.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Details {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start_time: Option<Moment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due_day: Option<i32>,
    /// The last point in time of that day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due_end: Option<Moment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deleted_with_list: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deleted_with_parent: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    took_subtasks: Option<bool>,
    /// All, and the completed ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subtasks: Option<(i32, i32)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recurrence: Option<RecurrenceRow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_task: Option<Id>,
    /// How long before the due, or when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reminders: Vec<ReminderRow>,
    /// When the next one of them is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    remind_time: Option<Moment>,
}

/// A reminder. Times in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ReminderRow {
    Before(i64),
    At(Moment),
}

impl From<Reminder> for ReminderRow {
    fn from(reminder: Reminder) -> Self {
        match reminder {
            Reminder::Before(micros) => Self::Before(micros),
            Reminder::At(time) => Self::At(time.into()),
        }
    }
}

fn reminders(rows: Vec<ReminderRow>) -> Result<Reminders> {
    let reminder = |row| match row {
        ReminderRow::Before(micros) => Ok(Reminder::Before(micros)),
        ReminderRow::At(time) => Ok(Reminder::At(time.try_into()?)),
    };
    let all = rows.into_iter().map(reminder).collect::<Result<_>>()?;
    Reminders::parse(all).map_err(corrupt("set of reminders"))
}

/// How a task comes again. Times of the day in microseconds.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RecurrenceRow {
    rrule: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from_completion: Option<bool>,
    day: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<(i32, i64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<u32>,
}

impl From<&Recurrence> for RecurrenceRow {
    fn from(recurrence: &Recurrence) -> Self {
        let Recurrence { rrule, basis, anchor: Anchor { day, time, start, before } } = recurrence;
        Self {
            rrule: rrule.to_string(),
            from_completion: (*basis == Basis::Completion).then_some(true),
            day: *day,
            time: *time,
            start: *start,
            before: (*before > 0).then_some(*before),
        }
    }
}

impl From<RecurrenceRow> for Recurrence {
    fn from(row: RecurrenceRow) -> Self {
        let RecurrenceRow { rrule, from_completion, day, time, start, before } = row;
        Self {
            rrule: rrule.into(),
            basis: if from_completion.is_some() { Basis::Completion } else { Basis::Due },
            anchor: Anchor { day, time, start, before: before.unwrap_or_default() },
        }
    }
}

/// Those in a box, so that a task without any is no larger for them.
#[derive(Debug, FromSqlRow, Deserialize)]
#[diesel(sql_type = DbJson)]
#[serde(transparent)]
pub(in crate::storage) struct Boxed(Box<Details>);
impl Json for Boxed {}
from_json!(Boxed);

impl Details {
    /// Those of a task; `None` where there is nothing.
    fn of(task: &Task) -> Option<Self> {
        // Nearly all have none.
        if task.start_time.is_none()
            && task.due_day.is_none()
            && task.time_zone.is_none()
            && task.annotations.is_empty()
            && task.deleted_with.is_none()
            && !task.took_subtasks
            && task.subtasks == Subtasks::default()
            && task.recurrence.is_none()
            && task.next_task.is_none()
            && task.reminders.is_empty()
        {
            return None;
        }
        Some(Self {
            start_time: task.start_time.map(Into::into),
            due_day: task.due_day.map(|due| due.day.number()),
            due_end: task.due_day.map(|due| due.end.into()),
            time_zone: task.time_zone.as_ref().map(|zone| zone.as_str().to_owned()),
            annotations: task.annotations.as_map().clone(),
            deleted_with_list: (task.deleted_with == Some(DeletedWith::List)).then_some(true),
            deleted_with_parent: (task.deleted_with == Some(DeletedWith::Parent)).then_some(true),
            took_subtasks: task.took_subtasks.then_some(true),
            subtasks: (task.subtasks != Subtasks::default())
                .then_some((task.subtasks.count, task.subtasks.completed)),
            recurrence: task.recurrence.as_deref().map(Into::into),
            next_task: task.next_task.map(Into::into),
            reminders: task.reminders.as_slice().iter().copied().map(Into::into).collect(),
            remind_time: task.remind_time.map(Into::into),
        })
    }

    fn document(&self) -> Document {
        // Texts and numbers can always be written.
        Document(serde_json::to_string(self).unwrap_or_default())
    }

    /// The task with these.
    fn put_into(self, task: Task) -> Result<Task> {
        Ok(Task {
            due_day: self.due_day()?,
            start_time: times(self.start_time)?,
            time_zone: self.time_zone.map(TimeZone::stored),
            annotations: Annotations::parse(self.annotations).map_err(corrupt("set of annotations"))?,
            subtasks: self
                .subtasks
                .map_or_else(Subtasks::default, |(count, completed)| Subtasks { count, completed }),
            deleted_with: match (self.deleted_with_list, self.deleted_with_parent) {
                (Some(_), _) => Some(DeletedWith::List),
                (None, Some(_)) => Some(DeletedWith::Parent),
                (None, None) => None,
            },
            took_subtasks: self.took_subtasks.is_some(),
            recurrence: self.recurrence.map(|recurrence| Box::new(recurrence.into())),
            next_task: self.next_task.map(Into::into),
            reminders: reminders(self.reminders)?,
            remind_time: times(self.remind_time)?,
            ..task
        })
    }

    fn due_day(&self) -> Result<Option<DueDay>> {
        let Some((number, end)) = self.due_day.zip(self.due_end) else { return Ok(None) };
        let day =
            Day::from_number(number).ok_or_else(|| Error::Internal("a stored day is unknown".into()))?;
        Ok(Some(DueDay { day, end: end.try_into()? }))
    }
}

fn times(moment: Option<Moment>) -> Result<Option<Timestamp>> {
    moment.map(TryInto::try_into).transpose()
}

impl TryFrom<TaskRow> for Task {
    type Error = Error;

    fn try_from(row: TaskRow) -> Result<Self> {
        let description =
            row.description.map(|text| Description::parse(text).map_err(corrupt("description")));
        let priority = Priority::from_code(row.priority);
        let task = Self {
            owner: row.user_id.into(),
            id: row.task_id.into(),
            title: Title::parse(row.title).map_err(corrupt("title"))?,
            description: description.transpose()?,
            completed: row.completed,
            priority: priority.ok_or_else(|| Error::Internal("a stored priority is unknown".into()))?,
            due_time: times(row.due_time)?,
            labels: Labels::parse(row.labels.0).map_err(corrupt("set of labels"))?,
            due_day: None,
            start_time: None,
            time_zone: None,
            annotations: Annotations::default(),
            task_list: row.list_id.map(Into::into),
            position: Position::stored(row.position),
            parent_task: row.parent_id.map(Into::into),
            subtasks: Subtasks::default(),
            deleted_with: None,
            took_subtasks: false,
            recurrence: None,
            next_task: None,
            reminders: Reminders::default(),
            remind_time: None,
            create_time: row.create_time.try_into()?,
            update_time: row.update_time.try_into()?,
            complete_time: times(row.complete_time)?,
            delete_time: times(row.delete_time)?,
            purge_time: times(row.purge_time)?,
            revision: row.revision,
        };
        match row.details {
            // Nearly all have none.
            None => Ok(task),
            Some(Boxed(details)) => details.put_into(task),
        }
    }
}

/// What hardly any task has when it is made.
pub(in crate::storage) const RARE: [&str; 6] =
    ["complete_time", "delete_time", "purge_time", "details", "list_id", "parent_id"];

/// Tasks as rows to be written, with the keys that they are searched and ordered by.
pub(in crate::storage) fn rows<B: Borrow<Task>>(tasks: &[B]) -> Rows<'_> {
    fn column<'a, B: Borrow<Task>, T>(tasks: &'a [B], value: impl Fn(&'a Task) -> T) -> Vec<T> {
        tasks.iter().map(|task| value(task.borrow())).collect()
    }
    fn text_of(task: &Task) -> Option<&str> {
        task.description.as_ref().map(Description::as_str)
    }
    Rows::new(vec![
        ("user_id", Column::Ids(column(tasks, |task| task.owner.into()))),
        ("task_id", Column::Ids(column(tasks, |task| task.id.into()))),
        ("title", Column::Texts(column(tasks, |task| task.title.as_str().into()))),
        ("title_key", Column::Texts(column(tasks, |task| text::fold(task.title.as_str()).into()))),
        ("description", Column::MaybeTexts(column(tasks, |task| text_of(task).map(Into::into)))),
        (
            "description_key",
            Column::MaybeTexts(column(tasks, |task| text_of(task).map(|text| text::fold(text).into()))),
        ),
        ("completed", Column::Bools(column(tasks, |task| task.completed))),
        ("priority", Column::Smalls(column(tasks, |task| task.priority.code()))),
        ("due_time", Column::MaybeTimes(column(tasks, |task| task.due_time.map(Into::into)))),
        ("labels", Column::Lists(column(tasks, |task| TextList(task.labels.as_slice().to_vec())))),
        ("create_time", Column::Times(column(tasks, |task| task.create_time.into()))),
        ("update_time", Column::Times(column(tasks, |task| task.update_time.into()))),
        ("complete_time", Column::MaybeTimes(column(tasks, |task| task.complete_time.map(Into::into)))),
        ("delete_time", Column::MaybeTimes(column(tasks, |task| task.delete_time.map(Into::into)))),
        ("purge_time", Column::MaybeTimes(column(tasks, |task| task.purge_time.map(Into::into)))),
        ("revision", Column::Bigs(column(tasks, |task| task.revision))),
        (
            "details",
            Column::MaybeDocuments(column(tasks, |task| Details::of(task).map(|some| some.document()))),
        ),
        ("list_id", Column::MaybeIds(column(tasks, |task| task.task_list.map(Into::into)))),
        ("position", Column::Texts(column(tasks, |task| task.position.as_str().into()))),
        ("parent_id", Column::MaybeIds(column(tasks, |task| task.parent_task.map(Into::into)))),
    ])
}

/// The task as text for the change log.
pub(in crate::storage) fn encode(task: &Task) -> Result<String> {
    serde_json::to_string(&Noted::from(task))
        .map_err(|error| Error::Internal(format!("a task cannot be noted: {error}")))
}

/// The task out of the change log.
pub(in crate::storage) fn decode(owner: UserId, id: TaskId, text: &str) -> Result<Task> {
    let row: TaskRow = serde_json::from_str(text)
        .map_err(|error| Error::Internal(format!("a noted task cannot be read: {error}")))?;
    TaskRow { user_id: owner.into(), task_id: id.into(), ..row }.try_into()
}

/// All or nothing: a list that left out what cannot be read would lie.
pub(in crate::storage) fn as_tasks(rows: Vec<TaskRow>) -> Result<Vec<Task>> {
    // A `collect` of results knows no length and grows as it goes, and a task is no small thing to be moved.
    let mut tasks = Vec::with_capacity(rows.len());
    for row in rows {
        tasks.push(row.try_into()?);
    }
    Ok(tasks)
}
