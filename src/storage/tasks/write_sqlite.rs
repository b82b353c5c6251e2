//! A write batch on SQLite, on the thread that blocks for it: no future here ever waits. Other processes are told
//! nothing; they poll.

use diesel::sql_types::BigInt;
use diesel::{ExpressionMethods as _, QueryDsl as _, RunQueryDsl as _, SqliteConnection};
use uuid::Uuid;

use super::list_row::{ListRowTypes, as_lists};
use super::set_statements::{
    find_children, find_lists, find_requests, find_tasks, insert_answers, insert_changes, insert_lists,
    insert_tasks, lock_users, raise_counters, remove_lists, remove_tasks, update_lists, update_tasks,
};
use super::task_row::{TaskRow, TaskRowTypes, as_tasks};
use super::write_conn::{Keys, Snapshot, WriteConn, Writes};
use crate::domain::{HistoryId, Result, Task, TaskList};
use crate::storage::engine::sql::{Fragment, Whole};
use crate::storage::engine::types::Id;
use crate::storage::events::outbox::insert_stretches;
use crate::storage::schema::{database_state, event_listeners};

impl WriteConn for SqliteConnection {
    async fn read(&mut self, keys: Keys) -> Result<Snapshot> {
        let Keys { users, tasks, lists, requests } = keys;
        let counters = lock_users(users).load::<(Id, i64, i64, bool)>(self)?;
        let tasks: Vec<TaskRow> =
            if tasks.is_empty() { Vec::new() } else { find_tasks(&tasks).load(self)? };
        let lists = if lists.is_empty() { Vec::new() } else { self.lists_by_key(lists).await? };
        let requests: Vec<(Id, Id, Vec<u8>, Vec<u8>)> =
            if requests.is_empty() { Vec::new() } else { find_requests(&requests).load(self)? };
        Ok(Snapshot { counters, tasks, lists, requests })
    }

    async fn tasks_by_key(&mut self, keys: Vec<(Id, Id)>) -> Result<Vec<Task>> {
        as_tasks(find_tasks(&keys).load(self)?)
    }

    async fn children(&mut self, parents: Vec<(Id, Id)>) -> Result<Vec<Task>> {
        as_tasks(find_children(&parents).load(self)?)
    }

    async fn lists_by_key(&mut self, keys: Vec<(Id, Id)>) -> Result<Vec<TaskList>> {
        as_lists(find_lists(&keys).load(self)?)
    }

    async fn lists(&mut self, statement: Fragment) -> Result<Vec<TaskList>> {
        as_lists(Whole::<ListRowTypes>::new(statement).load(self)?)
    }

    async fn tasks(&mut self, statement: Fragment) -> Result<Vec<Task>> {
        as_tasks(Whole::<TaskRowTypes>::new(statement).load(self)?)
    }

    async fn count(&mut self, statement: Fragment) -> Result<i64> {
        Ok(Whole::<BigInt>::new(statement).get_result(self)?)
    }

    async fn history(&mut self) -> Result<HistoryId> {
        let history: Id = database_state::table.select(database_state::history).first(self)?;
        Ok(history.into())
    }

    async fn write(&mut self, writes: Writes, _: Uuid) -> Result<bool> {
        macro_rules! unless_empty {
            ($rows:expr, $statement:ident) => {
                if !$rows.is_empty() {
                    $statement(&$rows).execute(self)?;
                }
            };
        }
        unless_empty!(writes.counters, raise_counters);
        unless_empty!(writes.tasks.created, insert_tasks);
        unless_empty!(writes.tasks.updated, update_tasks);
        unless_empty!(writes.tasks.removed, remove_tasks);
        unless_empty!(writes.lists.created, insert_lists);
        unless_empty!(writes.lists.updated, update_lists);
        unless_empty!(writes.lists.removed, remove_lists);
        unless_empty!(writes.changes, insert_changes);
        unless_empty!(writes.answers, insert_answers);
        // In this transaction nobody else can begin to listen.
        let listened = event_listeners::table.filter(event_listeners::everyone.eq(true)).count();
        let everything = listened.get_result::<i64>(self)? > 0;
        let told = writes.told(everything);
        unless_empty!(told, insert_stretches);
        Ok(!told.is_empty())
    }
}
