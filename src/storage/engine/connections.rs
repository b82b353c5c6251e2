//! Connections of one kind: how many, how one is waited for, and how all of them are given up at once.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use diesel::SqliteConnection;
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::bb8::{Pool as Bb8Pool, PooledConnection, RunError};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, PoolError};
use diesel_async::sync_connection_wrapper::SyncConnectionWrapper;

use super::deadline::Deadline;
use super::distribution::check_worker;
use super::meters::{Checkouts, PoolState};
use super::replication::{Sight, look_at};
use super::server::{SILENT, Server};
use crate::domain::{Error, Result};

/// A connection to SQLite.
pub(in crate::storage) type SqliteConn = SyncConnectionWrapper<SqliteConnection>;

/// Connections of one kind, and how they are waited for.
pub(in crate::storage) struct Connections<C>
where
    AsyncDieselConnectionManager<C>: bb8::ManageConnection,
{
    /// The pool of the present turn. When connections are given up, a new one takes its place, and those of the old one
    /// are dropped as soon as nobody holds them.
    current: Arc<RwLock<(u64, Bb8Pool<C>)>>,
    make: Arc<dyn Fn() -> Bb8Pool<C> + Send + Sync>,
    server: Arc<Server>,
    pub(in crate::storage) checkouts: Checkouts,
    size: u32,
    wait_max: Duration,
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
            wait_max: self.wait_max,
        }
    }
}

impl<C> Connections<C>
where
    AsyncDieselConnectionManager<C>: bb8::ManageConnection,
{
    pub(in crate::storage) fn made_by(
        make: impl Fn() -> Bb8Pool<C> + Send + Sync + 'static,
        size: u32,
        wait_max: Duration,
        server: &Arc<Server>,
    ) -> Self {
        let current = Arc::new(RwLock::new((server.turn(), make())));
        let (make, server) = (Arc::new(make), Arc::clone(server));
        Self { current, make, server, checkouts: Checkouts::default(), size, wait_max }
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

    pub(in crate::storage) fn state(&self, name: &'static str) -> PoolState {
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

pub(in crate::storage) fn builder<C>(
    size: u32,
    wait_max: Duration,
    server: &Server,
) -> bb8::Builder<AsyncDieselConnectionManager<C>>
where
    AsyncDieselConnectionManager<C>: bb8::ManageConnection<Error = PoolError>,
{
    // That another server is away is said once, by whoever looks at it every second.
    let sink: Box<dyn bb8::ErrorSink<PoolError>> =
        if server.is_primary() { Box::new(LogSink) } else { Box::new(bb8::NopErrorSink) };
    Bb8Pool::<C>::builder()
        .max_size(size)
        .connection_timeout(wait_max)
        // Whoever waits gives up after the checkout timeout; a failed attempt is made again by the next caller.
        .retry_connection(false)
        .error_sink(sink)
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

/// How long a connection is waited for to a server that gives no answer: whoever has another replica asks there.
const SILENCE_PATIENCE: Duration = Duration::from_millis(500);

/// Between two attempts to connect while there is no connection at all and somebody waits for one.
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(250);

/// Takes a connection out of a pool, unless the call that wants it has passed its deadline before there is one.
pub(in crate::storage) async fn checkout<C>(
    connections: &Connections<C>,
) -> Result<PooledConnection<'static, C>>
where
    AsyncDieselConnectionManager<C>: bb8::ManageConnection<Connection = C, Error = PoolError>,
{
    let _waiting = connections.checkouts.begin();
    let taken = match Deadline::current() {
        Some(deadline) => tokio::time::timeout_at(deadline.instant().into(), take(connections))
            .await
            .map_err(|_| Error::DeadlineExceeded)?,
        None => take(connections).await,
    };
    taken.map_err(|error| match error {
        RunError::User(error) => Error::StorageUnavailable(error.to_string()),
        // With not a single connection the pool is not busy: the database is away.
        RunError::TimedOut if connections.pool().state().connections == 0 => {
            Error::StorageUnavailable("no connection could be made in time".into())
        }
        RunError::TimedOut => Error::Overloaded,
    })
}

/// A connection of the present turn.
async fn take<C>(connections: &Connections<C>) -> Result<PooledConnection<'static, C>, RunError>
where
    AsyncDieselConnectionManager<C>: bb8::ManageConnection<Connection = C, Error = PoolError>,
{
    // Nearly always there is one.
    {
        let pool = connections.pool();
        let mut taking = std::pin::pin!(pool.get_owned());
        if let std::task::Poll::Ready(taken) = futures_util::poll!(&mut taking) {
            return taken;
        }
    }
    // Boxed, so that a call that need not wait does not carry the room for it.
    Box::pin(wait(connections)).await
}

/// Waits for a connection of the present turn. A pool without any tries again only when somebody asks: so this does,
/// as long as it waits.
async fn wait<C>(connections: &Connections<C>) -> Result<PooledConnection<'static, C>, RunError>
where
    AsyncDieselConnectionManager<C>: bb8::ManageConnection<Connection = C, Error = PoolError>,
{
    let began = tokio::time::Instant::now();
    let mut turns = connections.server.turns();
    loop {
        turns.mark_unchanged();
        let is_silent = connections.server.is_silent();
        let wait_max =
            if is_silent { connections.wait_max.min(SILENCE_PATIENCE) } else { connections.wait_max };
        let pool = connections.pool();
        let is_in_vain = async {
            loop {
                tokio::time::sleep(ATTEMPT_INTERVAL).await;
                if pool.state().connections == 0 {
                    return;
                }
            }
        };
        tokio::select! {
            taken = pool.get_owned() => return taken,
            () = tokio::time::sleep_until(began + wait_max) => return Err(RunError::TimedOut),
            _ = turns.changed() => {}
            () = is_in_vain => {}
        }
    }
}

/// How long a server has to say how it is. One that does not answer in this time may be the wrong one: the connections
/// to it are given up.
const PROBE_PATIENCE: Duration = Duration::from_millis(1500);

/// Asks the server on one of these connections whether it is still what it was.
pub(in crate::storage) async fn probe(
    connections: &Connections<AsyncPgConnection>,
    server: &Server,
) -> Result<()> {
    if server.is_read_only() {
        // The address may lead to another one by now, or the driver choose it.
        server.leave(server.turn(), "the database is still read-only");
    }
    let turn = server.turn();
    let mut guard = checkout(connections).await?;
    within(server, PROBE_PATIENCE, server.probe(&mut guard, turn)).await
}

/// Looks at a standby on one of these connections. All of them are given up when it does not answer in this time.
pub(in crate::storage) async fn probe_standby(
    connections: &Connections<AsyncPgConnection>,
    server: &Server,
    patience: Duration,
) -> Result<Sight> {
    let look = async {
        let mut guard = checkout(connections).await?;
        Ok(look_at(&mut guard).await?)
    };
    within(server, patience, look).await
}

/// Looks at a worker of a Citus on one of these connections, as at a standby.
pub(in crate::storage) async fn probe_worker(
    connections: &Connections<AsyncPgConnection>,
    server: &Server,
    group: i32,
) -> Result<()> {
    let look = async {
        let mut guard = checkout(connections).await?;
        check_worker(&mut guard, group).await.map_err(Error::StorageUnavailable)
    };
    within(server, PROBE_PATIENCE, look).await
}

/// Waits so long for an answer of a server. Without one, all connections to it are given up.
async fn within<T>(server: &Server, patience: Duration, look: impl Future<Output = Result<T>>) -> Result<T> {
    let turn = server.turn();
    match tokio::time::timeout(patience, look).await {
        Ok(result) => result,
        Err(_) => {
            server.leave_silent(turn);
            Err(Error::StorageUnavailable(SILENT.into()))
        }
    }
}
