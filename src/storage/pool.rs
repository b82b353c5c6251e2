//! Connections: which engine, how many, how long anything may take, and the two macros that run one piece of
//! code on either engine.
//!
//! The macros expand their body once per engine, so a query that one engine cannot express does not compile.
//! Where the SQL must differ, the query type says so (`storage/sql.rs`), not its caller.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use diesel::SqliteConnection;
use diesel_async::pooled_connection::bb8::{Pool as Bb8Pool, PooledConnection, RunError};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, PoolError};
use diesel_async::sync_connection_wrapper::SyncConnectionWrapper;
use diesel_async::{AsyncConnection, AsyncPgConnection, TransactionManager as _};
use tracing::Instrument as _;

use super::deadline::Deadline;
use super::meters::{Checkouts, PoolState, StorageErrors};
use super::{SPANS, postgres, sqlite};
use crate::domain::{Error, Result};

/// A connection to SQLite.
pub(super) type SqliteConn = SyncConnectionWrapper<SqliteConnection>;

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
    /// Lanes for reading, and as many for writing; 0 sends every call to the pool by itself.
    pub lanes: usize,
}

impl Limits {
    /// Time one operation may take as a whole. A database that hangs cannot enforce its own limits, so this one
    /// stands on our side, a second above the limit of a statement.
    pub(super) fn operation_timeout(&self) -> Duration {
        self.statement_timeout + Duration::from_secs(1)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            postgres_connections_max: 20,
            sqlite_readers_max: 4,
            connect_timeout: Duration::from_secs(5),
            checkout_timeout: Duration::from_millis(500),
            statement_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(2),
            lanes: 1,
        }
    }
}

/// The connections to whichever engine the URL named.
#[derive(Clone)]
pub(super) struct Pool {
    pub(super) engine: Engine,
    pub(super) limits: Limits,
    errors: Arc<StorageErrors>,
}

/// One variant per engine.
#[derive(Clone)]
pub(super) enum Engine {
    Postgres(Connections<AsyncPgConnection>),
    Sqlite { writer: Connections<SqliteConn>, readers: Connections<SqliteConn> },
}

impl Engine {
    /// As OpenTelemetry names it.
    const fn name(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "postgresql",
            Self::Sqlite { .. } => "sqlite",
        }
    }
}

/// Connections of one kind, and how they are waited for.
pub(super) struct Connections<C>
where
    AsyncDieselConnectionManager<C>: bb8::ManageConnection,
{
    pool: Bb8Pool<C>,
    checkouts: Checkouts,
    size: u32,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let engine = match self.engine {
            Engine::Postgres(_) => "postgres",
            Engine::Sqlite { .. } => "sqlite",
        };
        f.debug_struct("Pool").field("engine", &engine).field("limits", &self.limits).finish()
    }
}

impl Pool {
    pub(super) fn postgres(target: &postgres::Target, limits: Limits) -> Self {
        let manager =
            AsyncDieselConnectionManager::new_with_config("", postgres::manager_config(target, limits));
        // The lanes' own connections count as well.
        let shared =
            limits.postgres_connections_max.saturating_sub(2 * u32::try_from(limits.lanes).unwrap_or(0));
        let size = shared.max(1);
        let pool = builder(size, limits).build_unchecked(manager);
        let connections = Connections { pool, checkouts: Checkouts::default(), size };
        Self { engine: Engine::Postgres(connections), limits, errors: Arc::default() }
    }

    /// How its connections stand.
    pub(super) fn state(&self) -> Vec<PoolState> {
        match &self.engine {
            Engine::Postgres(connections) => vec![connections.state("shared")],
            Engine::Sqlite { writer, readers } => vec![writer.state("writer"), readers.state("readers")],
        }
    }

    /// What failed.
    pub(super) fn errors(&self) -> &StorageErrors {
        &self.errors
    }

    /// A pool of one connection, for work that goes one at a time.
    /// It counts its waits with `sibling` and its errors with `shared`.
    pub(super) fn single(
        target: &postgres::Target,
        limits: Limits,
        sibling: Option<&Self>,
        shared: &Self,
    ) -> Self {
        let mut pool = Self::postgres(target, Limits { postgres_connections_max: 1, lanes: 0, ..limits });
        if let (Engine::Postgres(own), Some(Engine::Postgres(siblings))) =
            (&mut pool.engine, sibling.map(|sibling| &sibling.engine))
        {
            own.checkouts = siblings.checkouts.clone();
        }
        pool.errors = Arc::clone(&shared.errors);
        pool
    }

    pub(super) fn sqlite(target: &sqlite::Target, limits: Limits) -> Self {
        let pool = |size, role| {
            let manager = AsyncDieselConnectionManager::new_with_config(
                target.path_text(),
                sqlite::manager_config(role, limits),
            );
            let pool = builder(size, limits).build_unchecked(manager);
            Connections { pool, checkouts: Checkouts::default(), size }
        };
        let writer = pool(1, sqlite::Role::Writer);
        let readers = pool(limits.sqlite_readers_max, sqlite::Role::Reader);
        Self { engine: Engine::Sqlite { writer, readers }, limits, errors: Arc::default() }
    }

    /// The span of one operation; none where nothing is traced.
    fn span(&self, name: &'static str) -> tracing::Span {
        tracing::trace_span!(
            target: SPANS,
            "storage",
            otel.name = name,
            otel.kind = "client",
            db.system.name = self.engine.name(),
        )
    }

    /// Bounds one operation in time; no longer than the call has left that it is for.
    pub(super) async fn bounded<T>(&self, operation: impl Future<Output = Result<T>>) -> Result<T> {
        let operation = operation.instrument(self.span("storage read"));
        let result = tokio::time::timeout(Deadline::cap(self.limits.operation_timeout()), operation)
            .await
            .unwrap_or(Err(Error::DeadlineExceeded));
        self.errors.note(&result);
        result
    }

    /// Bounds one transaction in time. A call's deadline bounds the wait for the connection (`checkout`) and not
    /// what has begun: cutting transactions costs connections, just when there are too few.
    pub(super) async fn bounded_write<T>(&self, operation: impl Future<Output = Result<T>>) -> Result<T> {
        let operation = operation.instrument(self.span("storage write"));
        let result = tokio::time::timeout(self.limits.operation_timeout(), operation)
            .await
            .unwrap_or(Err(Error::DeadlineExceeded));
        self.errors.note(&result);
        result
    }
}

impl<C> Clone for Connections<C>
where
    AsyncDieselConnectionManager<C>: bb8::ManageConnection,
{
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), checkouts: self.checkouts.clone(), size: self.size }
    }
}

impl<C> Connections<C>
where
    AsyncDieselConnectionManager<C>: bb8::ManageConnection,
{
    fn state(&self, name: &'static str) -> PoolState {
        let state = self.pool.state();
        PoolState {
            name,
            connections: state.connections,
            idle: state.idle_connections,
            connections_max: self.size,
            waiting: self.checkouts.waiting(),
            checkouts: self.checkouts.seconds(),
        }
    }
}

fn builder<C>(size: u32, limits: Limits) -> bb8::Builder<AsyncDieselConnectionManager<C>>
where
    AsyncDieselConnectionManager<C>: bb8::ManageConnection<Error = PoolError>,
{
    Bb8Pool::<C>::builder()
        .max_size(size)
        .connection_timeout(limits.checkout_timeout)
        // Whoever waits gives up after the checkout timeout; a failed attempt is made again by the next caller.
        .retry_connection(false)
        .error_sink(Box::new(LogSink))
}

/// Notes failed connection attempts, which `bb8` makes in the background and would otherwise swallow.
#[derive(Debug, Clone, Copy)]
struct LogSink;

impl bb8::ErrorSink<PoolError> for LogSink {
    fn sink(&self, error: PoolError) {
        // A dead connection found at checkout is no news; that none can be made is.
        if let PoolError::ConnectionError(error) = error {
            tracing::warn!(%error, "cannot connect to the database");
        }
    }

    fn boxed_clone(&self) -> Box<dyn bb8::ErrorSink<PoolError>> {
        Box::new(*self)
    }
}

/// Takes a connection out of a pool, unless the call that wants it has passed its deadline before there is one.
pub(super) async fn checkout<C>(connections: &Connections<C>) -> Result<PooledConnection<'static, C>>
where
    AsyncDieselConnectionManager<C>: bb8::ManageConnection<Connection = C, Error = PoolError>,
{
    let pool = &connections.pool;
    let _waiting = connections.checkouts.begin();
    let taken = match Deadline::current() {
        Some(deadline) => tokio::time::timeout_at(deadline.instant().into(), pool.get_owned())
            .await
            .map_err(|_| Error::DeadlineExceeded)?,
        None => pool.get_owned().await,
    };
    taken.map_err(|error| match error {
        RunError::User(error) => Error::StorageUnavailable(error.to_string()),
        // With not a single connection the pool is not busy: the database is away.
        RunError::TimedOut if pool.state().connections == 0 => {
            Error::StorageUnavailable("no connection could be made in time".into())
        }
        RunError::TimedOut => Error::Overloaded,
    })
}

/// What a statement outside a transaction answered. A connection that was lost meanwhile is marked, so that the pool
/// drops it: the driver itself may notice the closed socket only after the pool has handed it out again.
pub(super) fn answered<C: AsyncConnection, T>(
    connection: &mut C,
    result: diesel::QueryResult<T>,
) -> Result<T> {
    let result = result.map_err(Error::from);
    if matches!(result, Err(Error::StorageUnavailable(_))) {
        C::TransactionManager::transaction_manager_status_mut(connection).set_in_error();
    }
    result
}

/// Runs reading statements on a pooled connection of whichever engine is there.
///
/// `with_conn!(pool, |conn| { … })`: the body awaits what it runs on `conn` and answers a
/// `Result<T, diesel::result::Error>`. Everything in it is read-only, so when the connection turns out to be
/// dead the body runs once more on another one.
macro_rules! with_conn {
    ($pool:expr, |$conn:ident| $body:block) => {{
        use $crate::storage::pool::{Engine, answered, checkout};
        let pool: &$crate::storage::pool::Pool = $pool;
        pool.bounded(async {
            let mut tried = false;
            loop {
                let result = match &pool.engine {
                    Engine::Postgres(connections) => {
                        let mut guard = checkout(connections).await?;
                        let $conn = &mut *guard;
                        let result = async { $body }.await;
                        answered(&mut *guard, result)
                    }
                    Engine::Sqlite { readers, .. } => {
                        let mut guard = checkout(readers).await?;
                        let $conn = &mut *guard;
                        let result = async { $body }.await;
                        answered(&mut *guard, result)
                    }
                };
                match result {
                    Err($crate::domain::Error::StorageUnavailable(_)) if !tried => tried = true,
                    result => break result,
                }
            }
        })
        .await
    }};
}
pub(super) use with_conn;

/// Runs a write transaction on whichever engine is there, opened as each wants it.
///
/// `in_transaction!(pool, async move |conn| { … })`: the body answers a `Result<T, Error>`; an error rolls back.
/// An error of a statement must leave the body as an error: PostgreSQL turns the commit of a failed transaction
/// into a rollback and reports success.
///
/// Whoever drops this in the middle leaves a transaction that the server rolls back when it notices.
macro_rules! in_transaction {
    ($pool:expr, async move |$conn:ident| $body:block) => {{
        use diesel_async::AsyncConnection as _;
        use $crate::domain::Error;
        use $crate::storage::pool::{Engine, checkout};
        let pool: &$crate::storage::pool::Pool = $pool;
        match &pool.engine {
            Engine::Postgres(connections) => {
                let work = async {
                    let mut guard = checkout(connections).await?;
                    (&mut *guard).transaction::<_, Error, _>(async move |$conn| $body).await
                };
                pool.bounded_write(work).await
            }
            Engine::Sqlite { writer, .. } => {
                let work = async {
                    let mut guard = checkout(writer).await?;
                    (&mut *guard).immediate_transaction::<_, Error, _>(async move |$conn| $body).await
                };
                pool.bounded_write(work).await
            }
        }
    }};
}
pub(super) use in_transaction;

/// As `in_transaction!`, in a task of its own, so that a caller who goes away cannot cut it in the middle.
macro_rules! with_write {
    ($pool:expr, async move |$conn:ident| $body:block) => {{
        let pool: $crate::storage::pool::Pool = $pool.clone();
        let deadline = $crate::storage::Deadline::current();
        let work = async move { $crate::storage::pool::in_transaction!(&pool, async move |$conn| $body) };
        let work = async move {
            match deadline {
                Some(deadline) => deadline.scope(work).await,
                None => work.await,
            }
        };
        match tokio::spawn(tracing::Instrument::in_current_span(work)).await {
            Ok(result) => result,
            Err(stopped) => Err($crate::domain::Error::Internal(format!("a write stopped: {stopped}"))),
        }
    }};
}
pub(super) use with_write;
