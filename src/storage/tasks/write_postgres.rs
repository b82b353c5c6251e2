//! A write batch on PostgreSQL. The statements of a step go out together, without waiting for each other's answers.

use std::collections::HashMap;
use std::time::Duration;

use diesel::sql_types::BigInt;
use diesel::{ExpressionMethods as _, QueryDsl as _, QueryResult};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};

use super::list_row::{ListRow, ListRowTypes, as_lists};
use super::notifier::{self, pg_notify};
use super::set_statements::{
    find_children, find_lists, find_requests, find_tasks, find_tasks_in_place, insert_answers,
    insert_changes, insert_lists, insert_tasks, lock_users, lock_users_in_place, raise_counters,
    remove_lists, remove_tasks, update_lists, update_tasks,
};
use super::task_row::{TaskRow, TaskRowTypes, as_tasks};
use super::write_conn::{Keys, News, Snapshot, WriteConn, Writes};
use crate::domain::{Error, HistoryId, Result, Task, TaskList, UserId};
use crate::storage::Limits;
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

/// A connection inside a write transaction, and where the rows of the batch are.
pub(in crate::storage) struct PostgresBatch<'a> {
    conn: &'a mut AsyncPgConnection,
    place: Place,
    limits: Limits,
    /// Whether what is told on it reaches the other processes.
    is_heard: bool,
    /// Where the users' rows are, which are locked.
    users: HashMap<Id, Tid>,
    /// Where tasks of theirs were found since.
    tasks: HashMap<(Id, Id), Tid>,
}

impl<'a> PostgresBatch<'a> {
    pub(in crate::storage) fn new(
        conn: &'a mut AsyncPgConnection,
        place: Place,
        limits: Limits,
        is_heard: bool,
    ) -> Self {
        Self { conn, place, limits, is_heard, users: HashMap::new(), tasks: HashMap::new() }
    }
}

impl PostgresBatch<'_> {
    /// Locks the users' rows and reads their counters. The limit of a wait for a lock is not heeded by the servers of a Citus,
    /// that of a statement by the one that it is sent to: there it stands in for the other.
    async fn lock(&self, users: Vec<Id>) -> Result<Vec<Locked>> {
        let conn = &*self.conn;
        if self.place == Place::Here {
            let rows: Vec<(Id, i64, i64, bool, Tid)> = lock_users_in_place(users).load(&mut &*conn).await?;
            let locked =
                |(user, revision, live, listened, tid)| ((user, revision, live, listened), Some(tid));
            return Ok(rows.into_iter().map(locked).collect());
        }
        let lock = lock_users(users);
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
        let conn = &*self.conn;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        if self.place == Place::Here {
            let rows: Vec<(TaskRow, Tid)> = find_tasks_in_place(&keys).load(&mut &*conn).await?;
            return Ok(rows.into_iter().map(|(row, tid)| (row, Some(tid))).collect());
        }
        let rows = find_tasks(&keys).at(self.place).load::<TaskRow>(&mut &*conn).await?;
        Ok(rows.into_iter().map(|row| (row, None)).collect())
    }

    async fn raise(&self, counters: &[(UserId, i64, i64)]) -> QueryResult<usize> {
        let places = counters.iter().map(|(user, ..)| self.users.get(&(*user).into()).copied()).collect();
        self.change(counters.len(), places, || raise_counters(counters)).await
    }

    async fn update(&self, tasks: &[Box<Task>]) -> QueryResult<usize> {
        let place = |task: &Task| self.tasks.get(&(task.owner.into(), task.id.into())).copied();
        self.change(tasks.len(), tasks.iter().map(|task| place(task)).collect(), || update_tasks(tasks)).await
    }

    /// Changes rows where they were found under the locks of their users, without a way down an index. Nobody else can have moved
    /// them since; if one is not there all the same, by their keys.
    async fn change<'r>(
        &self,
        rows: usize,
        places: Option<Vec<Tid>>,
        statement: impl Fn() -> SetStatement<'r>,
    ) -> QueryResult<usize> {
        let conn = &*self.conn;
        if rows == 0 {
            return Ok(0);
        }
        if places.is_some() {
            let changed = statement().in_places(places).execute(&mut &*conn).await?;
            if changed == rows {
                return Ok(changed);
            }
        }
        statement().at(self.place).execute(&mut &*conn).await
    }
}

/// User, revision, live tasks, whether one of the user's webhooks listens; and where the row is.
type Locked = ((Id, i64, i64, bool), Option<Tid>);

impl WriteConn for PostgresBatch<'_> {
    async fn read(&mut self, keys: Keys) -> Result<Snapshot> {
        let Keys { users, tasks, lists, requests } = keys;
        let (conn, place) = (&*self.conn, self.place);
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
        // `biased`: they are sent in the order written, so that what is read is read under the locks.
        let (counters, tasks, lists, requests) = tokio::try_join!(biased; counters, tasks, lists, requests)?;
        self.users = counters.iter().filter_map(|((user, ..), tid)| Some((*user, (*tid)?))).collect();
        self.tasks =
            tasks.iter().filter_map(|(row, tid)| Some(((row.user_id, row.task_id), (*tid)?))).collect();
        let counters = counters.into_iter().map(|(counters, _)| counters).collect();
        let tasks = tasks.into_iter().map(|(row, _)| row).collect();
        Ok(Snapshot { counters, tasks, lists, requests })
    }

    async fn tasks_by_key(&mut self, keys: Vec<(Id, Id)>) -> Result<Vec<Task>> {
        as_tasks(find_tasks(&keys).at(self.place).load(self.conn).await?)
    }

    async fn children(&mut self, parents: Vec<(Id, Id)>) -> Result<Vec<Task>> {
        as_tasks(find_children(&parents).at(self.place).load(self.conn).await?)
    }

    async fn lists_by_key(&mut self, keys: Vec<(Id, Id)>) -> Result<Vec<TaskList>> {
        as_lists(find_lists(&keys).at(self.place).load(self.conn).await?)
    }

    async fn lists(&mut self, statement: Fragment) -> Result<Vec<TaskList>> {
        as_lists(Whole::<ListRowTypes>::new(statement).load(self.conn).await?)
    }

    async fn tasks(&mut self, statement: Fragment) -> Result<Vec<Task>> {
        as_tasks(Whole::<TaskRowTypes>::new(statement).load(self.conn).await?)
    }

    async fn count(&mut self, statement: Fragment) -> Result<i64> {
        Ok(Whole::<BigInt>::new(statement).get_result(self.conn).await?)
    }

    async fn history(&mut self) -> Result<HistoryId> {
        let history: Id = database_state::table.select(database_state::history).first(self.conn).await?;
        Ok(history.into())
    }

    async fn write(&mut self, writes: Writes, news: News<'_>) -> Result<bool> {
        let (conn, place) = (&*self.conn, self.place);
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
        let everything = news.ears.hears_everyone();
        let told = writes.told(everything);
        let (.., somebody_listens, _) = tokio::try_join!(
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
            // Where that is known, what is told too much is dropped later.
            async { if everything { Ok(true) } else { listens_to_everyone(conn).await } },
            tell(conn, self.is_heard, &writes.counters, news.origin)
        )?;
        if somebody_listens && !everything {
            news.ears.learn(true);
            let told = writes.told_as_well();
            unless_empty!(told, insert_stretches).await?;
        }
        Ok(somebody_listens || !told.is_empty())
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
    origin: uuid::Uuid,
) -> QueryResult<usize> {
    // Without a round trip of its own, as `BeforeCommit` in pool.rs says.
    let limitless = set_config("statement_timeout", "0", true);
    if counters.is_empty() || !is_heard {
        return diesel::select(limitless).execute(&mut &*conn).await;
    }
    let payload = notifier::payload(origin, counters.iter().map(|(user, _, _)| *user));
    diesel::select((pg_notify(notifier::CHANNEL, payload), limitless)).execute(&mut &*conn).await
}
