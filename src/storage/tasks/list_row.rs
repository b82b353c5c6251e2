//! A list of tasks as a row of `task_lists`, and as the change log keeps it.

use diesel::sql_types::{BigInt, Nullable, SmallInt, Text};
use diesel::{Queryable, Selectable};
use serde::{Deserialize, Serialize};

use crate::domain::{Error, Position, Result, TaskList, TaskListId, Timestamp, Title, Unfinished, UserId};
use crate::storage::engine::error::corrupt;
use crate::storage::engine::set::{Column, Rows};
use crate::storage::engine::types::{DbTimestamp, DbUuid, Id, Moment};
use crate::storage::schema::task_lists;

/// The SQL types of a `ListRow`, in order.
pub(in crate::storage) type ListRowTypes = (
    DbUuid,
    DbUuid,
    Text,
    Text,
    DbTimestamp,
    DbTimestamp,
    Nullable<DbTimestamp>,
    Nullable<DbTimestamp>,
    BigInt,
    Nullable<SmallInt>,
);

/// The columns of a `ListRow`, in order, for statements written by hand.
pub(in crate::storage) const COLUMNS: &str = "task_lists.user_id, task_lists.list_id, task_lists.title, task_lists.position, \
    task_lists.create_time, task_lists.update_time, task_lists.delete_time, task_lists.purge_time, task_lists.revision, \
    task_lists.unfinished";

/// A list as it is read, and as the change log keeps it: JSON, times in microseconds. There owner and id stand beside it.
#[derive(Debug, Queryable, Selectable, Serialize, Deserialize)]
#[diesel(table_name = task_lists)]
#[diesel(check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
pub(in crate::storage) struct ListRow {
    #[serde(skip)]
    user_id: Id,
    #[serde(skip)]
    list_id: Id,
    title: String,
    position: String,
    create_time: Moment,
    update_time: Moment,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delete_time: Option<Moment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    purge_time: Option<Moment>,
    revision: i64,
    /// How far it is belongs to the present alone.
    #[serde(skip)]
    unfinished: Option<i16>,
}

impl ListRow {
    /// Whose it is, and its id.
    pub(in crate::storage) const fn key(&self) -> (Id, Id) {
        (self.user_id, self.list_id)
    }
}

impl TryFrom<ListRow> for TaskList {
    type Error = Error;

    fn try_from(row: ListRow) -> Result<Self> {
        let time = |moment: Option<Moment>| -> Result<Option<Timestamp>> {
            moment.map(TryInto::try_into).transpose()
        };
        let unfinished = row.unfinished.map(|code| {
            Unfinished::from_code(code)
                .ok_or_else(|| Error::Internal("what is unfinished of a stored list is unknown".into()))
        });
        Ok(Self {
            owner: row.user_id.into(),
            id: row.list_id.into(),
            title: Title::parse(row.title).map_err(corrupt("title"))?,
            position: Position::stored(row.position),
            create_time: row.create_time.try_into()?,
            update_time: row.update_time.try_into()?,
            delete_time: time(row.delete_time)?,
            purge_time: time(row.purge_time)?,
            revision: row.revision,
            unfinished: unfinished.transpose()?,
        })
    }
}

impl From<&TaskList> for ListRow {
    fn from(list: &TaskList) -> Self {
        Self {
            user_id: list.owner.into(),
            list_id: list.id.into(),
            title: list.title.as_str().to_owned(),
            position: list.position.as_str().to_owned(),
            create_time: list.create_time.into(),
            update_time: list.update_time.into(),
            delete_time: list.delete_time.map(Into::into),
            purge_time: list.purge_time.map(Into::into),
            revision: list.revision,
            unfinished: list.unfinished.map(Unfinished::code),
        }
    }
}

/// Lists as rows to be written.
pub(in crate::storage) fn rows(lists: &[TaskList]) -> Rows<'_> {
    fn column<'a, T>(lists: &'a [TaskList], value: impl Fn(&'a TaskList) -> T) -> Vec<T> {
        lists.iter().map(value).collect()
    }
    Rows::new(vec![
        ("user_id", Column::Ids(column(lists, |list| list.owner.into()))),
        ("list_id", Column::Ids(column(lists, |list| list.id.into()))),
        ("title", Column::Texts(column(lists, |list| list.title.as_str().into()))),
        ("position", Column::Texts(column(lists, |list| list.position.as_str().into()))),
        ("create_time", Column::Times(column(lists, |list| list.create_time.into()))),
        ("update_time", Column::Times(column(lists, |list| list.update_time.into()))),
        ("delete_time", Column::MaybeTimes(column(lists, |list| list.delete_time.map(Into::into)))),
        ("purge_time", Column::MaybeTimes(column(lists, |list| list.purge_time.map(Into::into)))),
        ("revision", Column::Bigs(column(lists, |list| list.revision))),
        ("unfinished", Column::MaybeSmalls(column(lists, |list| list.unfinished.map(Unfinished::code)))),
    ])
}

/// The list as text for the change log.
pub(in crate::storage) fn encode(list: &TaskList) -> Result<String> {
    serde_json::to_string(&ListRow::from(list))
        .map_err(|error| Error::Internal(format!("a list cannot be noted: {error}")))
}

/// The list out of the change log.
pub(in crate::storage) fn decode(owner: UserId, id: TaskListId, text: &str) -> Result<TaskList> {
    let row: ListRow = serde_json::from_str(text)
        .map_err(|error| Error::Internal(format!("a noted list cannot be read: {error}")))?;
    ListRow { user_id: owner.into(), list_id: id.into(), ..row }.try_into()
}

/// All or nothing, as tasks are.
pub(in crate::storage) fn as_lists(rows: Vec<ListRow>) -> Result<Vec<TaskList>> {
    rows.into_iter().map(TaskList::try_from).collect()
}
