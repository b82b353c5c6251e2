//! Connections: which engine, how many, how long anything may take, and the two macros that run one piece of
//! code on either engine.
//!
//! The macros expand their body once per engine, so a query that one engine cannot express does not compile.
//! Where the SQL must differ, the query type says so (`storage/sql.rs`), not its caller.

use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use diesel::SqliteConnection;
use diesel_async::pooled_connection::bb8::{Pool as Bb8Pool, PooledConnection, RunError};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, PoolError};
use diesel_async::sync_connection_wrapper::SyncConnectionWrapper;
use diesel_async::{AsyncConnection, AsyncPgConnection, TransactionManager as _};
use tracing::Instrument as _;

use super::deadline::Deadline;
use super::last_change::LastChange;
use super::meters::{Checkouts, PoolState, StorageErrors};
use super::server::Server;
use super::{SPANS, postgres, sqlite};
use crate::domain::{Error, HistoryId, Result, UserId};

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
    server: Arc<Server>,
}

/// One variant per engine.
#[derive(Clone)]
pub(super) enum Engine {
    Postgres(Connections<AsyncPgConnection>),
    Sqlite { writer: Connections<SqliteConn>, readers: Connections<SqliteConn>, last_change: Arc<LastChange> },
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
    /// The pool of the present turn. When connections are given up, a new one takes its place, and those of the old one
    /// are dropped as soon as nobody holds them.
    current: Arc<RwLock<(u64, Bb8Pool<C>)>>,
    make: Arc<dyn Fn() -> Bb8Pool<C> + Send + Sync>,
    server: Arc<Server>,
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
    pub(super) fn postgres(target: &postgres::Target, limits: Limits, server: &Arc<Server>) -> Self {
        // The lanes' own connections count as well.
        let shared =
            limits.postgres_connections_max.saturating_sub(2 * u32::try_from(limits.lanes).unwrap_or(0));
        let size = shared.max(1);
        let (target, of) = (target.clone(), Arc::clone(server));
        let make = move || {
            let config = postgres::manager_config(&target, limits, &of);
            builder(size, limits).build_unchecked(AsyncDieselConnectionManager::new_with_config("", config))
        };
        let connections = Connections::made_by(make, size, server);
        let server = Arc::clone(server);
        Self { engine: Engine::Postgres(connections), limits, errors: Arc::default(), server }
    }

    /// What is known of the database server.
    pub(super) const fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Takes in which history is the present one.
    pub(super) fn saw_history(&self, history: HistoryId) {
        self.server.saw(history);
        if let Engine::Sqlite { last_change, .. } = &self.engine {
            last_change.saw(history);
        }
    }

    /// Notes what was committed, for whoever compares the database with it when it is opened the next time.
    pub(super) fn note_committed(&self, raised: &[(UserId, i64)]) {
        if let Engine::Sqlite { last_change, .. } = &self.engine {
            last_change.note(raised);
        }
    }

    /// How its connections stand.
    pub(super) fn state(&self) -> Vec<PoolState> {
        match &self.engine {
            Engine::Postgres(connections) => vec![connections.state("shared")],
            Engine::Sqlite { writer, readers, .. } => vec![writer.state("writer"), readers.state("readers")],
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
        let limits = Limits { postgres_connections_max: 1, lanes: 0, ..limits };
        let mut pool = Self::postgres(target, limits, &shared.server);
        if let (Engine::Postgres(own), Some(Engine::Postgres(siblings))) =
            (&mut pool.engine, sibling.map(|sibling| &sibling.engine))
        {
            own.checkouts = siblings.checkouts.clone();
        }
        pool.errors = Arc::clone(&shared.errors);
        pool
    }

    pub(super) fn sqlite(target: &sqlite::Target, limits: Limits, server: &Arc<Server>) -> Self {
        let last_change = Arc::new(LastChange::beside(target.path()));
        let pool = |size, role| {
            let (path, of, last_change) = (target.path_text(), Arc::clone(server), Arc::clone(&last_change));
            let make = move || {
                let config = sqlite::manager_config(role, limits, &of, &last_change);
                let manager = AsyncDieselConnectionManager::new_with_config(path.clone(), config);
                builder(size, limits).build_unchecked(manager)
            };
            Connections::made_by(make, size, server)
        };
        let writer = pool(1, sqlite::Role::Writer);
        let readers = pool(limits.sqlite_readers_max, sqlite::Role::Reader);
        let engine = Engine::Sqlite { writer, readers, last_change };
        Self { engine, limits, errors: Arc::default(), server: Arc::clone(server) }
    }

    /// Notes that a user was deleted, after `history::raise_mark` answered this mark.
    pub(super) fn note_deletion(&self, mark: Option<i64>) {
        if let (Engine::Sqlite { last_change, .. }, Some(mark)) = (&self.engine, mark) {
            last_change.note_deletion(mark);
        }
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
        let turn = self.server.turn();
        let result = tokio::time::timeout(Deadline::cap(self.limits.operation_timeout()), operation)
            .await
            .unwrap_or(Err(Error::DeadlineExceeded));
        self.take_note(&result, turn);
        result
    }

    /// Counts what failed. What tells that the server is going away, or is the wrong one, concerns all connections.
    fn take_note<T>(&self, result: &Result<T>, turn: u64) {
        self.errors.note(result);
        if let (Err(Error::StorageUnavailable(cause)), Engine::Postgres(_)) = (result, &self.engine)
            && super::error::tells_of_another_server(cause)
        {
            self.server.leave(turn, cause);
        }
    }

    /// Bounds one transaction in time. A call's deadline bounds the wait for the connection (`checkout`) and not
    /// what has begun: cutting transactions costs connections, just when there are too few.
    pub(super) async fn bounded_write<T>(&self, operation: impl Future<Output = Result<T>>) -> Result<T> {
        let operation = operation.instrument(self.span("storage write"));
        let turn = self.server.turn();
        let result = tokio::time::timeout(self.limits.operation_timeout(), operation)
            .await
            .unwrap_or(Err(Error::DeadlineExceeded));
        self.take_note(&result, turn);
        result
    }
}

impl<C> Clone for Connections<C>
where
    AsyncDieselConnectionManager<C>: bb8::ManageConnection,
{
    fn clone(&self) -> Self {
        Self {
            current: Arc::clone(&self.current),
            make: Arc::clone(&self.make),
            server: Arc::clone(&self.server),
            checkouts: self.checkouts.clone(),
            size: self.size,
        }
    }
}

impl<C> Connections<C>
where
    AsyncDieselConnectionManager<C>: bb8::ManageConnection,
{
    fn made_by(
        make: impl Fn() -> Bb8Pool<C> + Send + Sync + 'static,
        size: u32,
        server: &Arc<Server>,
    ) -> Self {
        let current = Arc::new(RwLock::new((server.turn(), make())));
        let (make, server) = (Arc::new(make), Arc::clone(server));
        Self { current, make, server, checkouts: Checkouts::default(), size }
    }

    /// The pool of the present turn.
    fn pool(&self) -> Bb8Pool<C> {
        let turn = self.server.turn();
        {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            if current.0 == turn {
                return current.1.clone();
            }
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.0 < turn {
            *current = (turn, (self.make)());
        }
        current.1.clone()
    }

    fn state(&self, name: &'static str) -> PoolState {
        let state = self.pool().state();
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
    let pool = &connections.pool();
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

/// How long a server has to say how it is. One that does not answer in this time may be the wrong one: the connections
/// to it are given up.
const PROBE_PATIENCE: Duration = Duration::from_millis(1500);

/// Asks the server on one of these connections whether it is still what it was.
pub(super) async fn probe(connections: &Connections<AsyncPgConnection>, server: &Server) -> Result<()> {
    if server.is_read_only() {
        // The address may lead to another one by now, or the driver choose it.
        server.leave(server.turn(), "the database is still read-only");
    }
    let turn = server.turn();
    let mut guard = checkout(connections).await?;
    match tokio::time::timeout(PROBE_PATIENCE, server.probe(&mut guard, turn)).await {
        Ok(result) => result,
        Err(_) => {
            server.leave(turn, "the server does not answer");
            Err(Error::StorageUnavailable("the server does not answer".into()))
        }
    }
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
