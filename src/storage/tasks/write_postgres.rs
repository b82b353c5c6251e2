//! A write batch on PostgreSQL, in two round trips: the statements of a step go out together, without waiting for each other's
//! answers, and the transaction begins with the first step and ends with the last.

use std::collections::HashMap;
use std::time::Duration;

use diesel::sql_types::BigInt;
use diesel::{ExpressionMethods as _, QueryDsl as _, QueryResult};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};
use futures_util::TryFutureExt as _;
use uuid::Uuid;

use super::list_row::{ListRow, ListRowTypes, as_lists};
use super::notifier::{self, pg_notify};
use super::set_statements::{
    find_children, find_lists, find_requests, find_tasks, find_tasks_in_place, insert_answers,
    insert_changes, insert_lists, insert_tasks, lock_users, lock_users_in_place, raise_counters,
    remove_lists, remove_tasks, update_lists, update_tasks,
};
use super::task_row::{TaskRow, TaskRowTypes, as_tasks};
use super::write_conn::{Keys, Snapshot, WriteConn, Writes};
use crate::domain::{Error, HistoryId, Result, Task, TaskList, UserId};
use crate::storage::Limits;
use crate::storage::engine::postgres::transaction::Transaction;
use crate::storage::engine::set::{Place, SetStatement};
use crate::storage::engine::sql::{Fragment, Whole};
use crate::storage::engine::types::{Id, Tid};
use crate::storage::events::outbox::insert_stretches;
use crate::storage::schema::{database_state, event_listeners};

diesel::define_sql_function! {
    /// PostgreSQL's `set_config`.
    fn set_config(
        name: diesel::sql_types::Text,
        value: diesel::sql_types::Text,
        is_local: diesel::sql_types::Bool,
    ) -> diesel::sql_types::Text;
}

/// How a batch gets to the rows that it changes, on PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) enum Reach {
    /// By their keys.
    ByKey,
    /// Where it found them, if they are on one server. The batch fails as a whole with `Conflict` when one is not there any more.
    InPlace,
}

/// A write transaction, and where the rows of the batch are.
pub(in crate::storage) struct PostgresBatch<'a> {
    transaction: Transaction<'a>,
    place: Place,
    reach: Reach,
    limits: Limits,
    /// Whether what is told on it reaches the other processes.
    is_heard: bool,
    /// Where the users' rows are, which are locked.
    users: HashMap<Id, Tid>,
    /// Where tasks of theirs were found since.
    tasks: HashMap<(Id, Id), Tid>,
    /// Whether somebody listens to all users.
    everything: bool,
}

impl<'a> PostgresBatch<'a> {
    pub(in crate::storage) fn new(
        transaction: Transaction<'a>,
        (place, reach): (Place, Reach),
        limits: Limits,
        is_heard: bool,
    ) -> Self {
        let (users, tasks) = (HashMap::new(), HashMap::new());
        Self { transaction, place, reach, limits, is_heard, users, tasks, everything: false }
    }

    /// Ends the transaction, where it has not ended.
    pub(in crate::storage) async fn end<T>(self, result: Result<T>) -> Result<T> {
        self.transaction.end(result).await
    }
}

impl PostgresBatch<'_> {
    const fn conn(&self) -> &AsyncPgConnection {
        self.transaction.conn()
    }

    /// Locks the users' rows and reads their counters. The limit of a wait for a lock is not heeded by the servers of a Citus,
    /// that of a statement by the one that it is sent to: there it stands in for the other.
    async fn lock(&self, users: Vec<Id>) -> Result<Vec<Locked>> {
        let conn = self.conn();
        if self.reach == Reach::InPlace {
            let rows: Vec<(Id, i64, i64, bool, Tid)> = lock_users_in_place(users).load(&mut &*conn).await?;
            let locked =
                |(user, revision, live, listened, tid)| ((user, revision, live, listened), Some(tid));
            return Ok(rows.into_iter().map(locked).collect());
        }
        let lock = lock_users(users);
        if self.place == Place::Here {
            let locked = lock.load(&mut &*conn).await?;
            return Ok(locked.into_iter().map(|counters| (counters, None)).collect());
        }
        let limit = |time: Duration| {
            let limit = set_config("statement_timeout", time.as_millis().to_string(), true);
            async { diesel::select(limit).execute(&mut &*conn).await.map_err(Error::from) }
        };
        let locked = async {
            let locked = lock.load(&mut &*conn).await.map_err(Error::from);
            locked.map_err(|error| if error == Error::DeadlineExceeded { Error::Conflict } else { error })
        };
        let (_, locked, _) = tokio::try_join!(
            biased;
            limit(self.limits.lock_timeout),
            locked,
            limit(self.limits.statement_timeout)
        )?;
        Ok(locked.into_iter().map(|counters| (counters, None)).collect())
    }

    /// Reads tasks under the locks.
    async fn find(&self, keys: Vec<(Id, Id)>) -> Result<Vec<(TaskRow, Option<Tid>)>> {
        let conn = self.conn();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        if self.reach == Reach::InPlace {
            let rows: Vec<(TaskRow, Tid)> = find_tasks_in_place(&keys).load(&mut &*conn).await?;
            return Ok(rows.into_iter().map(|(row, tid)| (row, Some(tid))).collect());
        }
        let rows = find_tasks(&keys).at(self.place).load::<TaskRow>(&mut &*conn).await?;
        Ok(rows.into_iter().map(|row| (row, None)).collect())
    }

    async fn raise(&self, counters: &[(UserId, i64, i64)]) -> QueryResult<usize> {
        if counters.is_empty() {
            return Ok(0);
        }
        let place = |user: UserId| self.users.get(&user.into()).copied();
        self.change(raise_counters(counters), counters.iter().map(|(user, ..)| place(*user)).collect()).await
    }

    async fn update(&self, tasks: &[Box<Task>]) -> QueryResult<usize> {
        if tasks.is_empty() {
            return Ok(0);
        }
        let place = |task: &Task| self.tasks.get(&(task.owner.into(), task.id.into())).copied();
        self.change(update_tasks(tasks), tasks.iter().map(|task| place(task)).collect()).await
    }

    /// Changes rows, where it is known where they are there: they were found under the locks of their users, and nobody else can
    /// have moved them since.
    async fn change(&self, statement: SetStatement<'_>, places: Option<Vec<Tid>>) -> QueryResult<usize> {
        statement.at(self.place).in_places(places).execute(&mut self.conn()).await
    }
}

/// User, revision, live tasks, whether one of the user's webhooks listens; and where the row is.
type Locked = ((Id, i64, i64, bool), Option<Tid>);

impl WriteConn for PostgresBatch<'_> {
    async fn read(&mut self, keys: Keys) -> Result<Snapshot> {
        let Keys { users, tasks, lists, requests } = keys;
        let (conn, place) = (self.conn(), self.place);
        let (counters, tasks) = (self.lock(users), self.find(tasks));
        let lists = async {
            if lists.is_empty() {
                return Ok(Vec::new());
            }
            as_lists(find_lists(&lists).at(place).load::<ListRow>(&mut &*conn).await?)
        };
        let requests = async {
            if requests.is_empty() {
                return Ok(Vec::new());
            }
            Ok(find_requests(&requests).at(place).load::<(Id, Id, Vec<u8>, Vec<u8>)>(&mut &*conn).await?)
        };
        let begun = self.transaction.begin().map_err(Error::from);
        let everything = listens_to_everyone(conn).map_err(Error::from);
        // `biased`: they are sent in the order written, so that what is read is read under the locks.
        let (_, counters, everything, tasks, lists, requests) =
            tokio::try_join!(biased; begun, counters, everything, tasks, lists, requests)?;
        self.everything = everything;
        self.users = counters.iter().filter_map(|((user, ..), tid)| Some((*user, (*tid)?))).collect();
        self.tasks =
            tasks.iter().filter_map(|(row, tid)| Some(((row.user_id, row.task_id), (*tid)?))).collect();
        let counters = counters.into_iter().map(|(counters, _)| counters).collect();
        let tasks = tasks.into_iter().map(|(row, _)| row).collect();
        Ok(Snapshot { counters, tasks, lists, requests })
    }

    async fn tasks_by_key(&mut self, keys: Vec<(Id, Id)>) -> Result<Vec<Task>> {
        as_tasks(find_tasks(&keys).at(self.place).load(&mut self.conn()).await?)
    }

    async fn children(&mut self, parents: Vec<(Id, Id)>) -> Result<Vec<Task>> {
        as_tasks(find_children(&parents).at(self.place).load(&mut self.conn()).await?)
    }

    async fn lists_by_key(&mut self, keys: Vec<(Id, Id)>) -> Result<Vec<TaskList>> {
        as_lists(find_lists(&keys).at(self.place).load(&mut self.conn()).await?)
    }

    async fn lists(&mut self, statement: Fragment) -> Result<Vec<TaskList>> {
        as_lists(Whole::<ListRowTypes>::new(statement).load(&mut self.conn()).await?)
    }

    async fn tasks(&mut self, statement: Fragment) -> Result<Vec<Task>> {
        as_tasks(Whole::<TaskRowTypes>::new(statement).load(&mut self.conn()).await?)
    }

    async fn count(&mut self, statement: Fragment) -> Result<i64> {
        Ok(Whole::<BigInt>::new(statement).get_result(&mut self.conn()).await?)
    }

    async fn history(&mut self) -> Result<HistoryId> {
        let history: Id =
            database_state::table.select(database_state::history).first(&mut self.conn()).await?;
        Ok(history.into())
    }

    async fn write(&mut self, writes: Writes, origin: Uuid) -> Result<bool> {
        let (conn, place) = (self.conn(), self.place);
        macro_rules! unless_empty {
            ($rows:expr, $statement:ident) => {
                async {
                    if $rows.is_empty() {
                        return Ok(0);
                    }
                    $statement(&$rows).at(place).execute(&mut &*conn).await
                }
            };
        }
        let told = writes.told(self.everything);
        // In this order. Nothing here has to look at what another one did, so that the end goes out with them.
        tokio::try_join!(
            biased;
            self.raise(&writes.counters),
            unless_empty!(writes.tasks.created, insert_tasks),
            self.update(&writes.tasks.updated),
            unless_empty!(writes.tasks.removed, remove_tasks),
            unless_empty!(writes.lists.created, insert_lists),
            unless_empty!(writes.lists.updated, update_lists),
            unless_empty!(writes.lists.removed, remove_lists),
            unless_empty!(writes.changes, insert_changes),
            unless_empty!(writes.answers, insert_answers),
            unless_empty!(told, insert_stretches),
            tell(conn, self.is_heard, &writes.counters, origin),
            self.transaction.commit()
        )?;
        self.transaction.committed();
        Ok(!told.is_empty())
    }
}

/// Whether somebody listens to all users. Asked under the locks of the batch's users: whoever changed them before has either been
/// told of, or was before all that is told.
async fn listens_to_everyone(conn: &AsyncPgConnection) -> QueryResult<bool> {
    let listened = event_listeners::table.filter(event_listeners::everyone.eq(true));
    diesel::select(diesel::dsl::exists(listened)).get_result(&mut &*conn).await
}

/// One notification per transaction; the server delivers it with the commit.
async fn tell(
    conn: &AsyncPgConnection,
    is_heard: bool,
    counters: &[(UserId, i64, i64)],
    origin: Uuid,
) -> QueryResult<usize> {
    // Without a round trip of its own, as `BeforeCommit` in pool.rs says.
    let limitless = set_config("statement_timeout", "0", true);
    if counters.is_empty() || !is_heard {
        return diesel::select(limitless).execute(&mut &*conn).await;
    }
    let payload = notifier::payload(origin, counters.iter().map(|(user, _, _)| *user));
    diesel::select((pg_notify(notifier::CHANNEL, payload), limitless)).execute(&mut &*conn).await
}
