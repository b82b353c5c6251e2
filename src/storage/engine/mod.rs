//! All that knows an engine: connections, limits, transactions, migrations, pieces of SQL, types, what an error means.

pub(super) mod connections;
pub(super) mod deadline;
pub(super) mod distribution;
pub(super) mod erasure;
pub(super) mod error;
pub(super) mod history;
pub(super) mod last_change;
pub(super) mod limits;
pub(super) mod meters;
pub(super) mod migrations;
pub(super) mod pool;
pub(super) mod postgres;
pub(super) mod replication;
pub(super) mod server;
pub(super) mod set;
pub(super) mod sql;
pub(super) mod sqlite;
pub(super) mod types;
