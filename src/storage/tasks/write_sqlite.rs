//! A write batch on SQLite, on the thread that blocks for it: no future here ever waits. Other processes are told
//! nothing; they poll.

use diesel::{QueryDsl as _, RunQueryDsl as _, SqliteConnection};

use super::set_statements::{
    find_requests, find_tasks, insert_answers, insert_changes, insert_tasks, lock_users, raise_counters,
    remove_tasks, update_tasks,
};
use super::task_row::TaskRow;
use super::write_conn::{Snapshot, WriteConn, Writes};
use crate::domain::{HistoryId, Result};
use crate::storage::engine::types::Id;
use crate::storage::schema::database_state;

impl WriteConn for SqliteConnection {
    async fn read(
        &mut self,
        users: Vec<Id>,
        tasks: Vec<(Id, Id)>,
        requests: Vec<(Id, Id)>,
    ) -> Result<Snapshot> {
        let counters = lock_users(users).load::<(Id, i64, i64)>(self)?;
        let tasks: Vec<TaskRow> =
            if tasks.is_empty() { Vec::new() } else { find_tasks(&tasks).load(self)? };
        let requests: Vec<(Id, Id, Vec<u8>, Vec<u8>)> =
            if requests.is_empty() { Vec::new() } else { find_requests(&requests).load(self)? };
        Ok(Snapshot { counters, tasks, requests })
    }

    async fn history(&mut self) -> Result<HistoryId> {
        let history: Id = database_state::table.select(database_state::history).first(self)?;
        Ok(history.into())
    }

    async fn write(&mut self, writes: Writes, _origin: uuid::Uuid) -> Result<()> {
        macro_rules! unless_empty {
            ($rows:expr, $statement:ident) => {
                if !$rows.is_empty() {
                    $statement(&$rows).execute(self)?;
                }
            };
        }
        unless_empty!(writes.counters, raise_counters);
        unless_empty!(writes.created, insert_tasks);
        unless_empty!(writes.updated, update_tasks);
        unless_empty!(writes.removed, remove_tasks);
        unless_empty!(writes.changes, insert_changes);
        unless_empty!(writes.answers, insert_answers);
        Ok(())
    }
}
