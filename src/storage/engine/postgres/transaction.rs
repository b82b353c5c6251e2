//! A transaction on PostgreSQL whose beginning and end take no round trips of their own: they go out together with its first and its
//! last statements.

use diesel::QueryResult;
use diesel::connection::TransactionManagerStatus;
use diesel::sql_types::BigInt;
use diesel_async::{
    AsyncConnection, AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _, TransactionManager as _,
};

use crate::domain::Result;
use crate::storage::engine::sql::{Fragment, Whole};

type Manager = <AsyncPgConnection as AsyncConnection>::TransactionManager;

/// A connection with such a transaction. Dropped in the middle it leaves one that the pool does not take back, as nobody knows
/// where it stands.
pub(in crate::storage) struct Transaction<'a> {
    conn: &'a mut AsyncPgConnection,
    is_committed: bool,
}

impl<'a> Transaction<'a> {
    pub(in crate::storage) fn on(conn: &'a mut AsyncPgConnection) -> Self {
        Manager::transaction_manager_status_mut(conn).set_in_error();
        Self { conn, is_committed: false }
    }

    /// What statements are sent on.
    pub(in crate::storage) const fn conn(&self) -> &AsyncPgConnection {
        self.conn
    }

    /// Begins it: to be sent before all else.
    pub(in crate::storage) async fn begin(&self) -> QueryResult<()> {
        (&mut &*self.conn).batch_execute("begin").await
    }

    /// Commits it: to be sent after all else, as a prepared statement as those are, since only then it cannot overtake one that is
    /// still being prepared. It would overtake one with a type that the server has to be asked about; ours all have fixed numbers.
    /// When a statement before it failed, the server takes this one for a rollback, and says nothing of it.
    pub(in crate::storage) async fn commit(&self) -> QueryResult<()> {
        let mut commit = Fragment::new();
        commit.sql("commit");
        Whole::<BigInt>::new(commit).execute(&mut &*self.conn).await.map(drop)
    }

    /// Notes that it has been committed, and that all statements before were carried out.
    pub(in crate::storage) const fn committed(&mut self) {
        self.is_committed = true;
    }

    /// Ends it if it has not ended: what failed is taken back.
    pub(in crate::storage) async fn end<T>(self, result: Result<T>) -> Result<T> {
        let ended = match &result {
            Ok(_) if self.is_committed => Ok(()),
            Ok(_) => self.commit().await,
            Err(_) => (&mut &*self.conn).batch_execute("rollback").await,
        };
        match ended {
            Ok(()) => {
                *Manager::transaction_manager_status_mut(self.conn) = TransactionManagerStatus::default()
            }
            // What failed first says more.
            Err(error) => return result.and(Err(error.into())),
        }
        result
    }
}
