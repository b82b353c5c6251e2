//! Connections: which engine, how many, how long anything may take, and the two macros that run one piece of
//! code on either engine.
//!
//! The macros expand their body once per engine, so a query that one engine cannot express does not compile.
//! Where the SQL must differ, the query type says so (`storage/engine/sql.rs`), not its caller.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use diesel::SqliteConnection;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::{AsyncConnection, AsyncPgConnection, TransactionManager as _};
use tracing::Instrument as _;

use super::connections::{Connections, SqliteConn, builder, checkout};
use super::deadline::Deadline;
use super::last_change::LastChange;
use super::limits::Limits;
use super::meters::{PoolState, StorageErrors};
use super::postgres::Planner;
use super::server::{SILENT, Server};
use super::set::Place;
use super::{postgres, sqlite};
use crate::domain::{Error, HistoryId, Result, UserId};
use crate::storage::SPANS;

/// The connections to whichever engine the URL named.
#[derive(Clone)]
pub(in crate::storage) struct Pool {
    pub(in crate::storage) engine: Engine,
    pub(in crate::storage) limits: Limits,
    errors: Arc<StorageErrors>,
    server: Arc<Server>,
}

/// One variant per engine.
#[derive(Clone)]
pub(in crate::storage) enum Engine {
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
    /// Connections to PostgreSQL: those for everything, and those for what reaches rows by their key alone. So many others
    /// are made elsewhere, which count as well.
    pub(in crate::storage) fn postgres(
        target: &postgres::Target,
        limits: Limits,
        server: &Arc<Server>,
        others: u32,
    ) -> (Self, Self) {
        let left = limits.postgres_connections_max.saturating_sub(others).max(2);
        let by_key = (left / 4).max(1);
        let shared = Self::of_postgres(target, limits, left - by_key, Planner::Free, server, Arc::default());
        let errors = Arc::clone(&shared.errors);
        let by_key = Self::of_postgres(target, limits, by_key, Planner::ByKey, server, errors);
        (shared, by_key)
    }

    fn of_postgres(
        target: &postgres::Target,
        limits: Limits,
        size: u32,
        planner: Planner,
        server: &Arc<Server>,
        errors: Arc<StorageErrors>,
    ) -> Self {
        let (target, of) = (target.clone(), Arc::clone(server));
        let make = move || {
            let config = postgres::manager_config(&target, limits, planner, &of);
            builder(size, limits.checkout_timeout, &of)
                .build_unchecked(AsyncDieselConnectionManager::new_with_config("", config))
        };
        let connections = Connections::made_by(make, size, limits.checkout_timeout, server);
        Self { engine: Engine::Postgres(connections), limits, errors, server: Arc::clone(server) }
    }

    /// What is known of the database server.
    pub(in crate::storage) const fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Where the rows of a batch are. Each connection that is handed out has told.
    pub(in crate::storage) fn place(&self) -> Place {
        if self.server.is_distributed() { Place::OneShard } else { Place::Here }
    }

    /// Takes in which history is the present one.
    pub(in crate::storage) fn saw_history(&self, history: HistoryId) {
        self.server.saw(history);
        if let Engine::Sqlite { last_change, .. } = &self.engine {
            last_change.saw(history);
        }
    }

    /// Notes what was committed, for whoever compares the database with it when it is opened the next time.
    pub(in crate::storage) fn note_committed(&self, raised: &[(UserId, i64)]) {
        if let Engine::Sqlite { last_change, .. } = &self.engine {
            last_change.note(raised);
        }
    }

    /// How its connections stand, under this name where it does not have several kinds.
    pub(in crate::storage) fn state(&self, name: &'static str) -> Vec<PoolState> {
        match &self.engine {
            Engine::Postgres(connections) => vec![connections.state(name)],
            Engine::Sqlite { writer, readers, .. } => vec![writer.state("writer"), readers.state("readers")],
        }
    }

    /// What failed.
    pub(in crate::storage) fn errors(&self) -> &StorageErrors {
        &self.errors
    }

    /// A pool of one connection, for work that goes one at a time.
    /// It counts its waits with `sibling` and its errors with `shared`.
    pub(in crate::storage) fn single(
        target: &postgres::Target,
        planner: Planner,
        sibling: Option<&Self>,
        shared: &Self,
    ) -> Self {
        let errors = Arc::clone(&shared.errors);
        let mut pool = Self::of_postgres(target, shared.limits, 1, planner, &shared.server, errors);
        if let (Engine::Postgres(own), Some(Engine::Postgres(siblings))) =
            (&mut pool.engine, sibling.map(|sibling| &sibling.engine))
        {
            own.checkouts = siblings.checkouts.clone();
        }
        pool
    }

    /// A pool of one connection to another server than the shared one's, for work that goes one at a time.
    pub(in crate::storage) fn single_at(
        target: &postgres::Target,
        planner: Planner,
        server: &Arc<Server>,
        shared: &Self,
    ) -> Self {
        Self::of_postgres(target, shared.limits, 1, planner, server, Arc::clone(&shared.errors))
    }

    pub(in crate::storage) fn sqlite(target: &sqlite::Target, limits: Limits, server: &Arc<Server>) -> Self {
        let last_change = Arc::new(LastChange::beside(target.path()));
        let pool = |size, role| {
            let (path, of, last_change) = (target.path_text(), Arc::clone(server), Arc::clone(&last_change));
            let make = move || {
                let config = sqlite::manager_config(role, limits, &of, &last_change);
                let manager = AsyncDieselConnectionManager::new_with_config(path.clone(), config);
                builder(size, limits.checkout_timeout, &of).build_unchecked(manager)
            };
            Connections::made_by(make, size, limits.checkout_timeout, server)
        };
        let writer = pool(1, sqlite::Role::Writer);
        let readers = pool(limits.sqlite_readers_max, sqlite::Role::Reader);
        let engine = Engine::Sqlite { writer, readers, last_change };
        Self { engine, limits, errors: Arc::default(), server: Arc::clone(server) }
    }

    /// Notes that a user was deleted, after `history::raise_mark` answered this mark.
    pub(in crate::storage) fn note_deletion(&self, mark: Option<i64>) {
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
    pub(in crate::storage) async fn bounded<T>(
        &self,
        operation: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let operation = operation.instrument(self.span("storage read"));
        let turn = self.server.turn();
        let limit = Deadline::cap(self.limits.operation_timeout());
        let result = self.until_silence(limit, operation).await;
        self.take_note(&result, turn);
        result
    }

    /// Waits for an operation, no longer than `limit`, and no longer than until the server is known to be silent: a lane
    /// would wait for it while another server is there.
    async fn until_silence<T>(
        &self,
        limit: Duration,
        operation: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let mut silences = self.server.silences();
        tokio::select! {
            biased;
            result = operation => result,
            () = tokio::time::sleep(limit) => Err(Error::DeadlineExceeded),
            Ok(()) = silences.changed() => Err(Error::StorageUnavailable(SILENT.into())),
        }
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
    pub(in crate::storage) async fn bounded_write<T>(
        &self,
        operation: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let operation = operation.instrument(self.span("storage write"));
        let turn = self.server.turn();
        let result = self.until_silence(self.limits.operation_timeout(), operation).await;
        self.take_note(&result, turn);
        result
    }
}

/// What a statement outside a transaction answered. A connection that was lost meanwhile is marked, so that the pool
/// drops it: the driver itself may notice the closed socket only after the pool has handed it out again.
pub(in crate::storage) fn answered<C: AsyncConnection, T>(
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
        use $crate::storage::engine::connections::checkout;
        use $crate::storage::engine::pool::{Engine, answered};
        let pool: &$crate::storage::engine::pool::Pool = $pool;
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
pub(in crate::storage) use with_conn;

/// Reads on a connection to PostgreSQL, and once more on another one when it turns out to be dead.
macro_rules! on_postgres {
    ($connections:expr, |$conn:ident| $body:block) => {{
        let mut tried = false;
        loop {
            let mut guard = $crate::storage::engine::connections::checkout($connections).await?;
            let $conn = &mut *guard;
            let result = async { $body }.await;
            match $crate::storage::engine::pool::answered(&mut *guard, result) {
                Err($crate::domain::Error::StorageUnavailable(_)) if !tried => tried = true,
                result => break result,
            }
        }
    }};
}
pub(in crate::storage) use on_postgres;

/// Reads on a connection to SQLite, as a whole on the thread that blocks for it: no row is copied from there.
pub(in crate::storage) async fn on_sqlite<T: Send + 'static>(
    readers: &Connections<SqliteConn>,
    read: impl FnOnce(&mut SqliteConnection) -> diesel::QueryResult<T> + Send + 'static,
) -> Result<T> {
    let mut guard = checkout(readers).await?;
    Ok(guard.spawn_blocking(read).await?)
}

/// Reads rows with one statement, and makes of them what is wanted where they are read.
///
/// `load!(pool, Row, statement, convert)`: the statement owns what it binds; `convert` is a function of all rows.
macro_rules! load {
    ($pool:expr, $row:ty, $statement:expr, $convert:expr) => {{
        use $crate::storage::engine::pool::{Engine, on_postgres, on_sqlite};
        let pool: &$crate::storage::engine::pool::Pool = $pool;
        pool.bounded(async {
            match &pool.engine {
                Engine::Postgres(connections) => {
                    on_postgres!(connections, |conn| {
                        let rows: diesel::QueryResult<Vec<$row>> =
                            diesel_async::RunQueryDsl::load($statement, conn).await;
                        rows.map($convert)
                    })
                }
                Engine::Sqlite { readers, .. } => {
                    let statement = $statement;
                    let read = move |conn: &mut _| {
                        let rows: Vec<$row> = diesel::RunQueryDsl::load(statement, conn)?;
                        Ok($convert(rows))
                    };
                    on_sqlite(readers, read).await
                }
            }
        })
        .await
    }};
}
pub(in crate::storage) use load;

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
        use $crate::storage::engine::connections::checkout;
        use $crate::storage::engine::pool::Engine;
        let pool: &$crate::storage::engine::pool::Pool = $pool;
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
pub(in crate::storage) use in_transaction;

/// A connection whose transaction is about to be committed.
pub(in crate::storage) trait BeforeCommit {
    /// Takes the time limit off the commit. A PostgreSQL that waits for a synchronous standby answers a commit that runs
    /// into its limit as done, though the standby does not have it. What limits it is our side, which believes nothing.
    fn before_commit(&mut self) -> impl Future<Output = diesel::QueryResult<()>> + Send;
}

impl BeforeCommit for AsyncPgConnection {
    async fn before_commit(&mut self) -> diesel::QueryResult<()> {
        use diesel_async::SimpleAsyncConnection as _;
        self.batch_execute("set local statement_timeout = 0").await
    }
}

impl BeforeCommit for SqliteConn {
    async fn before_commit(&mut self) -> diesel::QueryResult<()> {
        Ok(())
    }
}

/// As `in_transaction!`, in a task of its own, so that a caller who goes away cannot cut it in the middle.
macro_rules! with_write {
    ($pool:expr, async move |$conn:ident| $body:block) => {{
        let pool: $crate::storage::engine::pool::Pool = $pool.clone();
        $crate::storage::engine::pool::to_its_end(async move {
            $crate::storage::engine::pool::in_transaction!(&pool, async move |$conn| {
                let done: Result<_, $crate::domain::Error> = async { $body }.await;
                let done = done?;
                $crate::storage::engine::pool::BeforeCommit::before_commit($conn).await?;
                Ok(done)
            })
        })
        .await
    }};
}
pub(in crate::storage) use with_write;

/// Does some work in a task of its own, under the deadline of the call that it is for.
pub(in crate::storage) async fn to_its_end<T: Send + 'static, E: From<Error> + Send + 'static>(
    work: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, E> {
    let deadline = Deadline::current();
    let work = async move {
        match deadline {
            Some(deadline) => deadline.scope(work).await,
            None => work.await,
        }
    };
    match tokio::spawn(work.in_current_span()).await {
        Ok(result) => result,
        Err(stopped) => Err(Error::Internal(format!("a write stopped: {stopped}")).into()),
    }
}
