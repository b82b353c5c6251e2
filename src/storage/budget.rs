//! Whether a PostgreSQL server has room for all the connections that the replicas of the service may take.

use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl as _;

use super::Storage;
use super::engine::pool::{Engine, on_postgres};
use super::tasks::lanes::LANE_KINDS;
use super::tasks::notifier::CHANNEL;
use crate::domain::Result;

/// What the replicas may take, and what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionBudget {
    /// Replicas that are there, this one included.
    pub replicas: i64,
    /// Connections of one replica at most, if all are set as this one.
    pub of_each: i64,
    /// Connections that the server lets others than superusers have.
    pub allowed: i64,
}

impl ConnectionBudget {
    /// Whether there may be too few.
    pub const fn is_exceeded(self) -> bool {
        self.replicas * self.of_each > self.allowed
    }
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    others: i64,
    #[diesel(sql_type = BigInt)]
    allowed: i64,
}

impl Storage {
    /// What the replicas of the service may take of the server's connections; `None` on SQLite. A replica is told by the
    /// connection on which it listens for changes.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn connection_budget(&self) -> Result<Option<ConnectionBudget>> {
        let Engine::Postgres(connections) = &self.pool.engine else { return Ok(None) };
        let read = async {
            on_postgres!(connections, |conn| {
                sql_query(
                    "select (select count(*) from pg_stat_activity where datname = current_database() \
                     and query = 'listen ' || $1) as others, \
                     (current_setting('max_connections')::bigint \
                     - current_setting('superuser_reserved_connections')::bigint \
                     - coalesce(current_setting('reserved_connections', true)::bigint, 0)) as allowed",
                )
                .bind::<Text, _>(CHANNEL)
                .get_result::<Row>(conn)
                .await
            })
        };
        let row = self.pool.bounded(read).await?;
        let limits = self.pool.limits;
        // Three at least beside the lanes, and the one that listens.
        let of_each = i64::from(limits.postgres_connections_max.max(limits.lanes_of(LANE_KINDS) + 3)) + 1;
        Ok(Some(ConnectionBudget { replicas: row.others + 1, of_each, allowed: row.allowed }))
    }
}
