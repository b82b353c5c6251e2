//! Which history the data has. A new one begins when the database was put back to an earlier state, which each engine
//! shows in its own way: PostgreSQL by its timeline (`server.rs`), SQLite by a file beside it (`last_change.rs`).

use diesel::{ExpressionMethods as _, QueryDsl as _};
use diesel_async::RunQueryDsl as _;

use super::pool::{Engine, Pool, with_conn, with_write};
use super::types::Id;
use crate::domain::{Error, HistoryId, Result};
use crate::storage::Storage;
use crate::storage::schema::database_state;

/// The present history as a column of any query, so that it belongs to what the query reads.
pub(in crate::storage) type Present =
    diesel::dsl::SingleValue<diesel::dsl::Select<database_state::table, database_state::history>>;

/// The present history as a column of any query.
pub(in crate::storage) fn present() -> Present {
    database_state::table.select(database_state::history).single_value()
}

/// What a query answered for the present history.
pub(in crate::storage) fn read(history: Option<Id>) -> Result<HistoryId> {
    history.map(HistoryId::from).ok_or_else(|| Error::Internal("the database has no history".into()))
}

/// On SQLite, raises the mark, so that the last change may go with its user; answers it for `note_deletion`. On
/// PostgreSQL nothing depends on it, and deletions would wait for each other.
pub(in crate::storage) async fn raise_mark(pool: &Pool) -> Result<Option<i64>> {
    if matches!(pool.engine, Engine::Postgres(_)) {
        return Ok(None);
    }
    with_write!(pool, async move |conn| {
        let state = diesel::update(database_state::table);
        state.set(database_state::mark.eq(database_state::mark + 1)).execute(conn).await?;
        let mark: i64 = database_state::table.select(database_state::mark).first(conn).await?;
        Ok::<Option<i64>, Error>(Some(mark))
    })
}

impl Storage {
    /// The present history.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn history(&self) -> Result<HistoryId> {
        let history: Id = with_conn!(&self.pool, |conn| {
            database_state::table.select(database_state::history).first(conn).await
        })?;
        Ok(history.into())
    }

    /// Begins a new history, for whoever knows that the data was put back where the service cannot.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn begin_history(&self) -> Result<HistoryId> {
        let history = HistoryId::generate();
        with_write!(&self.pool, async move |conn| {
            let state = diesel::update(database_state::table);
            state.set(database_state::history.eq(Id::from(history))).execute(conn).await?;
            Ok::<(), Error>(())
        })?;
        self.pool.saw_history(history);
        Ok(history)
    }
}
