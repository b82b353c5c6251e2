//! The statements of a write batch, run on either engine: what it reads first, and what it stores at the end.
//!
//! On PostgreSQL the statements of a step go out together, without waiting for each other's answers.

use std::future::Future;

use diesel::sql_types::{BigInt, Binary};
use diesel::{QueryDsl as _, QueryResult};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};

use super::feed;
use super::pool::SqliteConn;
use super::schema::database_state;
use super::set::{Column, Rows, SetStatement};
use super::task_row::{self, TaskRow, TaskRowTypes};
use super::types::{DbUuid, Id, Moment};
use crate::domain::{ChangeType, HistoryId, Result, Task, TaskFields, TaskId, Timestamp, UserId};

/// What a batch needs to know before it decides.
#[derive(Debug)]
pub(super) struct Known {
    /// User, revision, live tasks; of users that exist. Their rows are held until the transaction ends.
    pub(super) counters: Vec<(Id, i64, i64)>,
    pub(super) tasks: Vec<TaskRow>,
    /// User, request id, fingerprint, answer.
    pub(super) requests: Vec<(Id, Id, Vec<u8>, Vec<u8>)>,
}

/// A change to be noted.
#[derive(Debug)]
pub(super) struct Noted {
    pub(super) owner: UserId,
    pub(super) revision: i64,
    pub(super) kind: ChangeType,
    pub(super) task: TaskId,
    pub(super) fields: TaskFields,
    pub(super) state: Option<String>,
    pub(super) before: Option<String>,
    pub(super) time: Timestamp,
}

/// An answer to be remembered.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) user: UserId,
    pub(super) request: Id,
    pub(super) fingerprint: Vec<u8>,
    pub(super) answer: Vec<u8>,
    pub(super) time: Timestamp,
}

/// Everything that a batch stores.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// User, new revision, new number of live tasks.
    pub(super) counters: Vec<(UserId, i64, i64)>,
    pub(super) created: Vec<Task>,
    pub(super) updated: Vec<Task>,
    pub(super) removed: Vec<(UserId, TaskId)>,
    pub(super) changes: Vec<Noted>,
    pub(super) answers: Vec<Answered>,
}

impl Outcome {
    pub(super) const fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.answers.is_empty()
    }
}

/// A connection inside a write transaction.
pub(super) trait WriteConn: Send {
    /// Locks the users' rows in the order of their ids and reads the rest as it stands under those locks.
    fn know(
        &mut self,
        users: Vec<Id>,
        tasks: Vec<(Id, Id)>,
        requests: Vec<(Id, Id)>,
    ) -> impl Future<Output = Result<Known>> + Send;

    /// The present history.
    fn history(&mut self) -> impl Future<Output = Result<HistoryId>> + Send;

    /// Stores a batch, and tells the other processes on this database whose tasks changed.
    fn store(&mut self, outcome: Outcome, origin: uuid::Uuid) -> impl Future<Output = Result<()>> + Send;
}

fn ids<T>(pairs: &[(T, T)]) -> Rows<'static>
where
    T: Copy + Into<Id>,
{
    Rows::new(vec![
        ("user_id", Column::Ids(pairs.iter().map(|pair| pair.0.into()).collect())),
        ("other_id", Column::Ids(pairs.iter().map(|pair| pair.1.into()).collect())),
    ])
}

fn lock_users(users: Vec<Id>) -> SetStatement<'static, (DbUuid, BigInt, BigInt)> {
    let rows = Rows::new(vec![("user_id", Column::Ids(users))]);
    // One order for all, so that two batches cannot hold each other up. On SQLite the transaction has the file.
    SetStatement::new(
        "select users.id, users.revision, users.live_tasks from",
        rows,
        "cross join users where users.id = v.user_id order by users.id",
    )
    .on_postgres_also(" for update of users")
}

pub(super) fn find_tasks(keys: &[(Id, Id)]) -> SetStatement<'static, TaskRowTypes> {
    SetStatement::new(
        "select tasks.user_id, tasks.task_id, tasks.title, tasks.description, tasks.completed, tasks.priority, \
         tasks.due_time, tasks.labels, tasks.create_time, tasks.update_time, tasks.complete_time, \
         tasks.delete_time, tasks.purge_time, tasks.revision from",
        ids(keys),
        "cross join tasks where tasks.user_id = v.user_id and tasks.task_id = v.other_id",
    )
}

fn find_requests(keys: &[(Id, Id)]) -> SetStatement<'static, (DbUuid, DbUuid, Binary, Binary)> {
    SetStatement::new(
        "select requests.user_id, requests.request_id, requests.fingerprint, requests.answer from",
        ids(keys),
        "cross join requests where requests.user_id = v.user_id and requests.request_id = v.other_id",
    )
}

fn raise_counters(counters: &[(UserId, i64, i64)]) -> SetStatement<'_> {
    let rows = Rows::new(vec![
        ("user_id", Column::Ids(counters.iter().map(|(user, _, _)| (*user).into()).collect())),
        ("revision", Column::Bigs(counters.iter().map(|(_, revision, _)| *revision).collect())),
        ("live_tasks", Column::Bigs(counters.iter().map(|(_, _, live)| *live).collect())),
    ]);
    SetStatement::new(
        "update users set revision = v.revision, live_tasks = v.live_tasks from",
        rows,
        "where users.id = v.user_id",
    )
}

fn insert_tasks(tasks: &[Task]) -> SetStatement<'_> {
    SetStatement::new(
        "insert into tasks (user_id, task_id, title, title_key, description, description_key, completed, \
         priority, due_time, labels, create_time, update_time, complete_time, delete_time, purge_time, revision) \
         select v.* from",
        task_row::rows(tasks),
        "",
    )
}

fn update_tasks(tasks: &[Task]) -> SetStatement<'_> {
    SetStatement::new(
        "update tasks set title = v.title, title_key = v.title_key, description = v.description, \
         description_key = v.description_key, completed = v.completed, priority = v.priority, \
         due_time = v.due_time, labels = v.labels, update_time = v.update_time, \
         complete_time = v.complete_time, delete_time = v.delete_time, purge_time = v.purge_time, \
         revision = v.revision from",
        task_row::rows(tasks),
        "where tasks.user_id = v.user_id and tasks.task_id = v.task_id",
    )
}

fn remove_tasks(keys: &[(UserId, TaskId)]) -> SetStatement<'_> {
    let keys: Vec<(Id, Id)> = keys.iter().map(|(user, task)| ((*user).into(), (*task).into())).collect();
    SetStatement::new(
        "delete from tasks where (user_id, task_id) in (select v.user_id, v.other_id from",
        ids(&keys),
        ")",
    )
}

fn insert_changes(changes: &[Noted]) -> SetStatement<'_> {
    fn column<'a, T>(changes: &'a [Noted], value: impl Fn(&'a Noted) -> T) -> Vec<T> {
        changes.iter().map(value).collect()
    }
    let rows = Rows::new(vec![
        ("user_id", Column::Ids(column(changes, |change| change.owner.into()))),
        ("revision", Column::Bigs(column(changes, |change| change.revision))),
        ("type", Column::Smalls(column(changes, |change| change.kind.code()))),
        ("task_id", Column::Ids(column(changes, |change| change.task.into()))),
        ("fields", Column::Smalls(column(changes, |change| change.fields.bits()))),
        ("state", Column::MaybeTexts(column(changes, |change| change.state.as_deref().map(Into::into)))),
        ("before", Column::MaybeTexts(column(changes, |change| change.before.as_deref().map(Into::into)))),
        ("create_time", Column::Times(column(changes, |change| change.time.into()))),
    ]);
    SetStatement::new(
        "insert into task_changes (user_id, revision, type, task_id, fields, state, before, create_time) \
         select v.* from",
        rows,
        "",
    )
}

fn insert_answers(answers: &[Answered]) -> SetStatement<'_> {
    let rows = Rows::new(vec![
        ("user_id", Column::Ids(answers.iter().map(|answer| answer.user.into()).collect())),
        ("request_id", Column::Ids(answers.iter().map(|answer| answer.request).collect())),
        ("fingerprint", Column::Bytes(answers.iter().map(|answer| answer.fingerprint.as_slice()).collect())),
        ("answer", Column::Bytes(answers.iter().map(|answer| answer.answer.as_slice()).collect())),
        ("create_time", Column::Times(answers.iter().map(|answer| Moment::from(answer.time)).collect())),
    ]);
    SetStatement::new(
        "insert into requests (user_id, request_id, fingerprint, answer, create_time) select v.* from",
        rows,
        "",
    )
}

/// The two steps, given how futures on this connection are run: together or in turn.
macro_rules! write_conn {
    ($connection:ty, |$this:ident| $shared:expr, $run:ident, $tell:ident) => {
        impl WriteConn for $connection {
            async fn know(
                &mut self,
                users: Vec<Id>,
                tasks: Vec<(Id, Id)>,
                requests: Vec<(Id, Id)>,
            ) -> Result<Known> {
                let $this = self;
                let (counters, tasks, requests) = $run!(
                    lock_users(users).load::<(Id, i64, i64)>($shared),
                    async {
                        if tasks.is_empty() {
                            return Ok(Vec::new());
                        }
                        find_tasks(&tasks).load::<TaskRow>($shared).await
                    },
                    async {
                        if requests.is_empty() {
                            return Ok(Vec::new());
                        }
                        find_requests(&requests).load::<(Id, Id, Vec<u8>, Vec<u8>)>($shared).await
                    }
                )?;
                Ok(Known { counters, tasks, requests })
            }

            async fn history(&mut self) -> Result<HistoryId> {
                let $this = self;
                let history: Id =
                    database_state::table.select(database_state::history).first($shared).await?;
                Ok(history.into())
            }

            async fn store(&mut self, outcome: Outcome, origin: uuid::Uuid) -> Result<()> {
                let $this = self;
                macro_rules! unless_empty {
                    ($rows:expr, $statement:ident) => {
                        async {
                            if $rows.is_empty() {
                                return Ok(0);
                            }
                            $statement(&$rows).execute($shared).await
                        }
                    };
                }
                $run!(
                    unless_empty!(outcome.counters, raise_counters),
                    unless_empty!(outcome.created, insert_tasks),
                    unless_empty!(outcome.updated, update_tasks),
                    unless_empty!(outcome.removed, remove_tasks),
                    unless_empty!(outcome.changes, insert_changes),
                    unless_empty!(outcome.answers, insert_answers),
                    $tell!($shared, outcome.counters, origin)
                )?;
                Ok(())
            }
        }
    };
}

macro_rules! together {
    ($($future:expr),*) => {
        // `biased`: they are sent in the order written, so that what is read is read under the locks.
        tokio::try_join!(biased; $($future),*)
    };
}

macro_rules! in_turn {
    ($($future:expr),*) => {
        async { QueryResult::Ok(($($future.await?,)*)) }.await
    };
}

/// One notification per transaction; the server delivers it with the commit.
macro_rules! notify {
    ($shared:expr, $counters:expr, $origin:expr) => {
        async {
            // Without a round trip of its own, as `BeforeCommit` in pool.rs says.
            let limitless = set_config("statement_timeout", "0", true);
            if $counters.is_empty() {
                return diesel::select(limitless).execute($shared).await;
            }
            let payload = feed::payload($origin, $counters.iter().map(|(user, _, _)| *user));
            diesel::select((pg_notify(feed::CHANNEL, payload), limitless)).execute($shared).await
        }
    };
}

/// SQLite knows nothing of other processes; they poll.
macro_rules! tell_nobody {
    ($shared:expr, $counters:expr, $origin:expr) => {
        async {
            let _ = $origin;
            QueryResult::Ok(0_usize)
        }
    };
}

diesel::define_sql_function! {
    /// PostgreSQL's `set_config`.
    fn set_config(
        name: diesel::sql_types::Text,
        value: diesel::sql_types::Text,
        is_local: diesel::sql_types::Bool,
    ) -> diesel::sql_types::Text;
}

diesel::define_sql_function! {
    /// PostgreSQL's `pg_notify`.
    fn pg_notify(channel: diesel::sql_types::Text, payload: diesel::sql_types::Text);
}

write_conn!(AsyncPgConnection, |conn| &mut &*conn, together, notify);
write_conn!(SqliteConn, |conn| &mut *conn, in_turn, tell_nobody);
