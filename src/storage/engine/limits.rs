//! The limits of the storage, with the values to start from.

use std::time::Duration;

/// How many connections there are and how long anything may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections to PostgreSQL.
    pub postgres_connections_max: u32,
    /// Reading connections to SQLite, beside the one that writes.
    pub sqlite_readers_max: u32,
    /// Time to establish one connection.
    pub connect_timeout: Duration,
    /// Time to wait for a free connection.
    pub checkout_timeout: Duration,
    /// Time one statement may take.
    pub statement_timeout: Duration,
    /// Time a statement may wait for a lock.
    pub lock_timeout: Duration,
    /// Time a standby has to answer before the primary is asked.
    pub standby_timeout: Duration,
    /// Lanes of each kind; 0 sends every call to the pool by itself.
    pub lanes: usize,
}

impl Limits {
    /// Lanes of so many kinds.
    pub(in crate::storage) fn lanes_of(&self, kinds: u32) -> u32 {
        kinds * u32::try_from(self.lanes).unwrap_or(0)
    }

    /// Time one operation may take as a whole. A database that hangs cannot enforce its own limits, so this one
    /// stands on our side, a second above the limit of a statement.
    pub(in crate::storage) fn operation_timeout(&self) -> Duration {
        self.statement_timeout + Duration::from_secs(1)
    }
}
