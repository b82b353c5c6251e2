//! Tasks and lists row by row: whether each can be read, agrees with itself, with its keys and with what the log says of it.

use diesel::sql_types::{BigInt, Nullable, SmallInt, Text};
use diesel_async::RunQueryDsl as _;

use super::{Findings, Invariant};
use crate::domain::{ChangeType, Error, Result, Subject, Task, TaskList, Unfinished, text};
use crate::storage::Storage;
use crate::storage::engine::pool::with_conn;
use crate::storage::engine::sql::{Fragment, Value, Whole};
use crate::storage::engine::types::{DbUuid, Id};
use crate::storage::tasks::change_row;
use crate::storage::tasks::list_row::{self, ListRow, ListRowTypes};
use crate::storage::tasks::task_row::{self, TaskRow, TaskRowTypes};

/// Rows that are read at once: a few megabytes where all are as large as they can be.
const ROWS_AT_ONCE: i64 = 500;

/// What the log says at the revision of a row: subject, type, state; and the user's last revision, and the last that is no
/// longer kept.
type Beside = (Option<Id>, Option<i16>, Option<String>, Option<i64>, Option<i64>);
type BesideTypes = (Nullable<DbUuid>, Nullable<SmallInt>, Nullable<Text>, Nullable<BigInt>, Nullable<BigInt>);
const BESIDE: &str = "c.task_id, c.type, c.state, u.revision, u.compacted_revision";

/// A task, the keys of its texts, and what stands beside it.
type TaskAndKeys = (TaskRow, String, Option<String>, Beside);
type TaskAndKeysTypes = (TaskRowTypes, Text, Nullable<Text>, BesideTypes);

type Key = (Id, Id);

pub(super) async fn check(storage: &Storage, findings: &mut Findings) -> Result<()> {
    let mut after = (Id(uuid::Uuid::nil()), Id(uuid::Uuid::nil()));
    loop {
        let keys = keys(storage, Table::Tasks, after).await?;
        let Some(last) = keys.last().copied() else { break };
        match tasks(storage, after, last).await {
            Ok(rows) => rows.into_iter().for_each(|row| check_task(row, findings)),
            // One of them cannot be read: which, is seen when each is read alone.
            Err(Error::Internal(_)) => {
                for key in keys {
                    match tasks(storage, before(key), key).await {
                        Ok(rows) => rows.into_iter().for_each(|row| check_task(row, findings)),
                        Err(Error::Internal(_)) => unreadable(Table::Tasks, key, findings),
                        Err(error) => return Err(error),
                    }
                }
            }
            Err(error) => return Err(error),
        }
        after = last;
    }
    let mut after = (Id(uuid::Uuid::nil()), Id(uuid::Uuid::nil()));
    loop {
        let keys = keys(storage, Table::Lists, after).await?;
        let Some(last) = keys.last().copied() else { return Ok(()) };
        lists(storage, after, last).await?.into_iter().for_each(|row| check_list(row, findings));
        after = last;
    }
}

#[derive(Debug, Clone, Copy)]
enum Table {
    Tasks,
    Lists,
}

impl Table {
    const fn name(self) -> &'static str {
        match self {
            Self::Tasks => "tasks",
            Self::Lists => "task_lists",
        }
    }

    fn key(self, (user, id): Key) -> String {
        match self {
            Self::Tasks => format!("users/{}/tasks/{}", user.0, id.0),
            Self::Lists => format!("users/{}/taskLists/{}", user.0, id.0),
        }
    }
}

/// The key right before this one.
fn before((user, id): Key) -> Key {
    match id.0.as_u128() {
        0 => (Id(uuid::Uuid::from_u128(user.0.as_u128().saturating_sub(1))), Id(uuid::Uuid::max())),
        number => (user, Id(uuid::Uuid::from_u128(number - 1))),
    }
}

/// The keys of the next rows.
async fn keys(storage: &Storage, table: Table, after: Key) -> Result<Vec<Key>> {
    let statement = || {
        let mut out = Fragment::new();
        match table {
            Table::Tasks => {
                out.sql("select user_id, task_id from tasks where (user_id, task_id) > (");
                pair(&mut out, after);
                out.sql(") order by user_id, task_id limit ");
            }
            Table::Lists => {
                out.sql("select user_id, list_id from task_lists where (user_id, list_id) > (");
                pair(&mut out, after);
                out.sql(") order by user_id, list_id limit ");
            }
        }
        out.bind(Value::Big(ROWS_AT_ONCE));
        Whole::<(DbUuid, DbUuid)>::new(out)
    };
    with_conn!(&storage.pool, |conn| { statement().load(conn).await })
}

fn pair(out: &mut Fragment, (user, id): Key) {
    out.bind(Value::Id(user)).sql(", ").bind(Value::Id(id));
}

/// The tasks after one key and up to another.
async fn tasks(storage: &Storage, after: Key, last: Key) -> Result<Vec<TaskAndKeys>> {
    let statement = || {
        let mut out = Fragment::new();
        out.sql("select ")
            .sql(task_row::COLUMNS)
            .sql(", tasks.title_key, tasks.description_key, ")
            .sql(BESIDE);
        out.sql(" from tasks left join users u on u.id = tasks.user_id left join task_changes c \
                 on c.user_id = tasks.user_id and c.revision = tasks.revision where (tasks.user_id, tasks.task_id) > (");
        pair(&mut out, after);
        out.sql(") and (tasks.user_id, tasks.task_id) <= (");
        pair(&mut out, last);
        out.sql(")");
        Whole::<TaskAndKeysTypes>::new(out)
    };
    with_conn!(&storage.pool, |conn| { statement().load(conn).await })
}

async fn lists(storage: &Storage, after: Key, last: Key) -> Result<Vec<(ListRow, Beside)>> {
    let statement = || {
        let mut out = Fragment::new();
        out.sql("select ").sql(list_row::COLUMNS).sql(", ").sql(BESIDE);
        out.sql(
            " from task_lists left join users u on u.id = task_lists.user_id left join task_changes c \
                 on c.user_id = task_lists.user_id and c.revision = task_lists.revision \
                 where (task_lists.user_id, task_lists.list_id) > (",
        );
        pair(&mut out, after);
        out.sql(") and (task_lists.user_id, task_lists.list_id) <= (");
        pair(&mut out, last);
        out.sql(")");
        Whole::<(ListRowTypes, BesideTypes)>::new(out)
    };
    with_conn!(&storage.pool, |conn| { statement().load(conn).await })
}

fn unreadable(table: Table, key: Key, findings: &mut Findings) {
    findings.note(Invariant::Rows, table.name(), table.key(key), "the row cannot be read".to_owned());
}

fn check_task((row, title_key, description_key, beside): TaskAndKeys, findings: &mut Findings) {
    findings.rows += 1;
    let id = (row.user_id, row.task_id);
    let key = Table::Tasks.key(id);
    let Ok(task) = Task::try_from(row) else { return unreadable(Table::Tasks, id, findings) };
    let mut note = |invariant, problem: &str| {
        findings.note(invariant, "tasks", key.clone(), problem.to_owned());
    };
    if title_key != text::fold(task.title.as_str()) {
        note(Invariant::Keys, "title_key is not the key of the title");
    }
    if description_key != task.description.as_ref().map(|one| text::fold(one.as_str())) {
        note(Invariant::Keys, "description_key is not the key of the description");
    }
    if task.completed != task.complete_time.is_some() {
        note(Invariant::Rows, "completed and complete_time contradict each other");
    }
    if task.delete_time.is_some() != task.purge_time.is_some() {
        note(Invariant::Rows, "delete_time and purge_time contradict each other");
    }
    if !task.position.is_well_formed() {
        note(Invariant::Positions, "its place is none");
    }
    let is_noted = |text: &str| {
        task_row::decode(task.owner, task.id, text).map(|noted| {
            // What was told of since is no change; and there was a time without places.
            let had_place = !noted.position.as_str().is_empty();
            let position = if had_place { noted.position.clone() } else { task.position.clone() };
            Task { remind_time: task.remind_time, position, ..noted } == task
        })
    };
    if let Some(problem) = in_log(task.revision, Subject::Task(task.id), beside, is_noted) {
        note(Invariant::Log, problem);
    }
}

fn check_list((row, beside): (ListRow, Beside), findings: &mut Findings) {
    findings.rows += 1;
    let id = row.key();
    let key = Table::Lists.key(id);
    let Ok(list) = TaskList::try_from(row) else { return unreadable(Table::Lists, id, findings) };
    let mut note = |invariant, problem: &str| {
        findings.note(invariant, "task_lists", key.clone(), problem.to_owned());
    };
    if list.delete_time.is_some() != list.purge_time.is_some() {
        note(Invariant::Rows, "delete_time and purge_time contradict each other");
    }
    let fits = match list.unfinished {
        Some(Unfinished::Delete | Unfinished::Keep) => list.is_deleted(),
        Some(Unfinished::Restore) => !list.is_deleted(),
        None => true,
    };
    if !fits {
        note(Invariant::Rows, "unfinished and delete_time contradict each other");
    }
    if !list.position.is_well_formed() {
        note(Invariant::Positions, "its place is none");
    }
    let is_noted = |text: &str| {
        list_row::decode(list.owner, list.id, text)
            .map(|noted| TaskList { unfinished: list.unfinished, ..noted } == list)
    };
    if let Some(problem) = in_log(list.revision, Subject::List(list.id), beside, is_noted) {
        note(Invariant::Log, problem);
    }
}

/// What is wrong with what the log says at the revision of a row. Of a user who does not exist nothing is said here.
fn in_log(
    revision: i64,
    subject: Subject,
    (id, code, state, last, compacted): Beside,
    is_noted: impl FnOnce(&str) -> Result<bool>,
) -> Option<&'static str> {
    let (last, compacted) = last.zip(compacted)?;
    if revision > last {
        return Some("its revision is higher than the user's");
    }
    if revision <= compacted {
        return None;
    }
    let Some((id, code)) = id.zip(code) else {
        return Some("the log has nothing at its revision");
    };
    if (id, code > change_row::OF_LISTS) != is_about(subject) || code == purged(subject) {
        return Some("the log tells of something else at its revision");
    }
    match state.as_deref().map(is_noted) {
        Some(Ok(true)) => None,
        Some(Ok(false)) => Some("the row is not as the log says"),
        Some(Err(_)) | None => Some("what the log says at its revision cannot be read"),
    }
}

/// The id, and whether it is a list's.
const fn is_about(subject: Subject) -> (Id, bool) {
    match subject {
        Subject::Task(id) => (Id(id.uuid()), false),
        Subject::List(id) => (Id(id.uuid()), true),
    }
}

const fn purged(subject: Subject) -> i16 {
    change_row::code(ChangeType::Purged, subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_before_is_the_next_smaller_one() {
        let key = |user, id| (Id(uuid::Uuid::from_u128(user)), Id(uuid::Uuid::from_u128(id)));
        assert_eq!(before(key(7, 5)), key(7, 4));
        assert_eq!(before(key(7, 0)), key(6, u128::MAX));
    }
}
