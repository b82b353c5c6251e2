//! What is read on a standby: each statement answers, from one and the same snapshot, what was asked for and how much the
//! standby holds of the user's changes.

use std::collections::HashMap;

use diesel::sql_types::{BigInt, Nullable};
use diesel_async::RunQueryDsl as _;

use crate::domain::{
    ChangePage, Error, HistoryId, Owner, Result, Task, TaskCounts, TaskId, TaskQuery, UserId,
};
use crate::storage::engine::pool::{Pool, with_conn};
use crate::storage::engine::sql::{Fragment, Value, Whole};
use crate::storage::engine::types::{DbUuid, Id};
use crate::storage::tasks::change_row::{self, ChangeRow, ChangeRowTypes, Counters};
use crate::storage::tasks::read_statements;
use crate::storage::tasks::set_statements::find_held;
use crate::storage::tasks::task_row::{TaskRow, TaskRowTypes, as_tasks};

/// What a standby has to hold to answer: the user's changes up to this revision of this history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) struct AtLeast {
    pub(in crate::storage) revision: i64,
    pub(in crate::storage) history: HistoryId,
}

impl AtLeast {
    fn is_held(self, revision: i64, history: Option<Id>) -> bool {
        revision >= self.revision && history.map(HistoryId::from) == Some(self.history)
    }
}

/// What a standby says.
#[derive(Debug, Clone)]
pub(in crate::storage) enum Held<T> {
    /// It holds enough: this, as of this revision of the user.
    Yes(T, i64),
    /// It does not, or has never heard of the user.
    No,
}

impl<T> Held<T> {
    fn and_then<U>(self, convert: impl FnOnce(T) -> Result<U>) -> Result<Held<U>> {
        match self {
            Self::Yes(value, revision) => Ok(Held::Yes(convert(value)?, revision)),
            Self::No => Ok(Held::No),
        }
    }
}

/// What every row begins with: the user's revision, and the history.
type Beside<Types> = (BigInt, Nullable<DbUuid>, Nullable<Types>);
type Row<T> = (i64, Option<Id>, Option<T>);

/// A statement's answer beside what the standby holds. There is one row at least, unless it has never heard of the user; the
/// rows keep the order of the statement, since they are joined to a single one.
fn beside<Types>(owner: Owner, columns: &'static str, statement: Fragment) -> Whole<Beside<Types>> {
    let mut sql = Fragment::new();
    sql.sql("select users.revision, (select history from database_state), ").sql(columns);
    sql.sql(" from users left join (").append(statement);
    sql.sql(") as page on true where users.id = ").bind(Value::Id(owner.user().into()));
    Whole::new(sql)
}

/// What the rows say, all of which say the same about what is held.
fn held<T>(rows: Vec<Row<T>>, at_least: AtLeast) -> Held<Vec<T>> {
    let Some((revision, history, _)) = rows.as_slice().first() else { return Held::No };
    let (revision, is_held) = (*revision, at_least.is_held(*revision, *history));
    if is_held {
        Held::Yes(rows.into_iter().filter_map(|(_, _, row)| row).collect(), revision)
    } else {
        Held::No
    }
}

/// The statement of a list of tasks, and what its rows are.
pub(in crate::storage) fn tasks_of(owner: Owner, statement: Fragment) -> Whole<Beside<TaskRowTypes>> {
    beside(owner, "page.*", statement)
}

/// What the rows of a list of tasks say.
pub(in crate::storage) fn held_tasks(rows: Vec<Row<TaskRow>>, at_least: AtLeast) -> Result<Held<Vec<Task>>> {
    held(rows, at_least).and_then(as_tasks)
}

/// A list of tasks.
pub(in crate::storage) async fn tasks(
    pool: &Pool,
    owner: Owner,
    statement: impl Fn() -> Fragment,
    at_least: AtLeast,
) -> Result<Held<Vec<Task>>> {
    let rows: Vec<Row<TaskRow>> = with_conn!(pool, |conn| { tasks_of(owner, statement()).load(conn).await })?;
    held_tasks(rows, at_least)
}

/// A task that is asked for, and what has to be held for it.
pub(in crate::storage) type Asked = ((UserId, TaskId), AtLeast);

/// Single tasks of whomever, each by itself; `None` where there is none.
pub(in crate::storage) async fn each(
    pool: &Pool,
    asked: &[Asked],
) -> Result<Vec<Result<Held<Option<Task>>>>> {
    let keys: Vec<(Id, Id)> =
        asked.iter().map(|((user, task), _)| ((*user).into(), (*task).into())).collect();
    type Found = (Id, Id, i64, Option<Id>, Option<TaskRow>);
    let rows: Vec<Found> = with_conn!(pool, |conn| { find_held(&keys).load(conn).await })?;
    let found: HashMap<(UserId, TaskId), _> = rows
        .into_iter()
        .map(|(user, task, revision, history, row)| {
            ((user.into(), task.into()), (revision, history, row.map(Task::try_from)))
        })
        .collect();
    let answer = |(key, at_least): &Asked| match found.get(key) {
        Some((revision, history, task)) if at_least.is_held(*revision, *history) => {
            Ok(Held::Yes(task.clone().transpose()?, *revision))
        }
        _ => Ok(Held::No),
    };
    Ok(asked.iter().map(answer).collect())
}

/// The tasks with these ids, in order; `None` where there is none.
pub(in crate::storage) async fn many(
    pool: &Pool,
    owner: Owner,
    ids: &[TaskId],
    at_least: AtLeast,
) -> Result<Held<Vec<Option<Task>>>> {
    let asked: Vec<Asked> = ids.iter().map(|id| ((owner.user(), *id), at_least)).collect();
    let (mut tasks, mut as_of) = (Vec::with_capacity(ids.len()), 0);
    for held in each(pool, &asked).await? {
        let Held::Yes(task, revision) = held? else { return Ok(Held::No) };
        tasks.push(task);
        as_of = revision;
    }
    Ok(Held::Yes(tasks, as_of))
}

/// How many tasks pass a filter.
pub(in crate::storage) async fn count(
    pool: &Pool,
    owner: Owner,
    query: &TaskQuery,
    at_least: AtLeast,
) -> Result<Held<TaskCounts>> {
    type Counts = (BigInt, BigInt, BigInt, BigInt, BigInt, BigInt);
    let statement = || beside::<Counts>(owner, "page.*", read_statements::count(owner, query));
    type Found = Row<(i64, i64, i64, i64, i64, i64)>;
    let rows: Vec<Found> = with_conn!(pool, |conn| { statement().load(conn).await })?;
    held(rows, at_least).and_then(|counts| {
        let (total, completed, low, medium, high, overdue) =
            counts.into_iter().next().ok_or_else(|| Error::Internal("a count answered nothing".into()))?;
        Ok(TaskCounts { total, completed, low, medium, high, overdue })
    })
}

/// A stretch of the change log. What concerns the caller, such as a stretch that is compacted, is an answer as well.
pub(in crate::storage) async fn changes(
    pool: &Pool,
    owner: Owner,
    known: Option<HistoryId>,
    start_revision: i64,
    limit: usize,
    at_least: AtLeast,
) -> Result<Held<Result<ChangePage>>> {
    type Types = (BigInt, BigInt, Nullable<DbUuid>, Nullable<ChangeRowTypes>);
    let statement = || {
        let mut sql = Fragment::new();
        sql.sql(
            "select users.revision, users.compacted_revision, (select history from database_state), page.* ",
        );
        sql.sql("from users left join (select ").sql(change_row::COLUMNS);
        sql.sql(" from task_changes where user_id = ").bind(Value::Id(owner.user().into()));
        sql.sql(" and revision > ").bind(Value::Big(start_revision)).sql(" order by revision limit ");
        sql.bind(Value::Big(i64::try_from(limit).unwrap_or(i64::MAX)));
        sql.sql(") as page on true where users.id = ").bind(Value::Id(owner.user().into()));
        Whole::<Types>::new(sql)
    };
    let rows: Vec<(i64, i64, Option<Id>, Option<ChangeRow>)> =
        with_conn!(pool, |conn| { statement().load(conn).await })?;
    let Some((current, earliest, history, _)) = rows.as_slice().first() else { return Ok(Held::No) };
    let (current, earliest, history) = (*current, *earliest, *history);
    if !at_least.is_held(current, history) {
        return Ok(Held::No);
    }
    let rows = rows.into_iter().filter_map(|(_, _, _, change)| change).collect();
    let counters = Counters { current, earliest, history: at_least.history };
    Ok(Held::Yes(change_row::page(owner, known, start_revision, limit, rows, counters), current))
}
