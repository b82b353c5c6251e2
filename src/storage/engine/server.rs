//! What a process knows of the PostgreSQL server that it talks to: whether it can be written to, on which timeline it
//! is, what time it has. Each new connection is asked before anything else is done with it, and one of them every
//! second; so no change is made on a server that is the wrong one, and no answer given once there is a right one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _};
use tokio::sync::watch;

use super::distribution::{self, Distribution, HAS_CITUS};
use super::replication::Written;
use super::types::{DbTimestamp, DbUuid, Id, Moment};
use crate::domain::{Clock, Error, HistoryId, Result, Timestamp};

/// The server, or whatever database it is: on SQLite only the history is of interest.
#[derive(Debug)]
pub(in crate::storage) struct Server {
    /// Counts how often all connections were given up. Whoever holds one of an earlier turn lets it go.
    turn: watch::Sender<u64>,
    /// Counts how often the server gave no answer. Whoever still waits for one need not.
    silence: watch::Sender<u64>,
    history: watch::Sender<Option<HistoryId>>,
    seen_on: Mutex<Option<String>>,
    read_only: AtomicBool,
    /// Whether the last question to it was not answered.
    is_silent: AtomicBool,
    role: Role,
    /// Whether its tables are spread over several servers.
    is_distributed: AtomicBool,
    /// Whether that is known: whether any connection has told.
    has_told: AtomicBool,
    /// How far its log has come, for standbys to be compared with.
    written: Mutex<Written>,
    clock: Clock,
}

/// What it is to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The one that the URL leads to: of a Citus, its coordinator.
    Primary,
    /// Only ever read.
    Standby,
    /// Of a Citus, the worker with this number.
    Worker(i32),
}

/// Why nothing is waited for any longer.
pub(in crate::storage) const SILENT: &str = "the server does not answer";
const READ_ONLY: &str = "the database is read-only";

/// The cluster, its timeline, the database and the table: what is not the same any more when data was put back.
const SEEN_ON: &str = "(select system_identifier::text from pg_control_system())";
/// Where a server does not tell its identifier to everybody.
const SEEN_ON_ANY: &str = "'any'";

#[derive(QueryableByName)]
struct Look {
    #[diesel(sql_type = Bool)]
    read_only: bool,
    #[diesel(sql_type = DbTimestamp)]
    now: Moment,
    #[diesel(sql_type = Nullable<Text>)]
    here: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    written: Option<i64>,
    #[diesel(sql_type = Bool)]
    has_citus: bool,
    #[diesel(sql_type = DbUuid)]
    history: Id,
    #[diesel(sql_type = Nullable<Text>)]
    seen_on: Option<String>,
}

#[derive(QueryableByName)]
struct Began {
    #[diesel(sql_type = DbUuid)]
    history: Id,
}

/// One look at the server. In recovery it has no timeline of its own to tell.
fn look(identifier: &str) -> String {
    format!(
        "select current_setting('transaction_read_only')::bool or pg_is_in_recovery() as read_only, \
         clock_timestamp() as now, \
         case when pg_is_in_recovery() then null else concat_ws('/', {identifier}, \
         substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8), \
         (select oid from pg_database where datname = current_database()), 'database_state'::regclass::oid) end \
         as here, \
         case when pg_is_in_recovery() then null else (pg_current_wal_lsn() - '0/0')::bigint end as written, \
         {HAS_CITUS} as has_citus, history, seen_on from database_state"
    )
}

impl Server {
    pub(in crate::storage) fn new(clock: Clock) -> Self {
        Self {
            turn: watch::Sender::new(0),
            silence: watch::Sender::new(0),
            history: watch::Sender::new(None),
            seen_on: Mutex::default(),
            read_only: AtomicBool::new(false),
            is_silent: AtomicBool::new(false),
            role: Role::Primary,
            is_distributed: AtomicBool::new(false),
            has_told: AtomicBool::new(false),
            written: Mutex::default(),
            clock,
        }
    }

    /// A standby of the server that keeps this clock.
    pub(in crate::storage) fn standby(clock: Clock) -> Self {
        Self { role: Role::Standby, ..Self::new(clock) }
    }

    /// A worker of the cluster whose coordinator keeps this clock.
    pub(in crate::storage) fn worker(clock: Clock, group: i32) -> Self {
        Self { role: Role::Worker(group), is_distributed: AtomicBool::new(true), ..Self::new(clock) }
    }

    /// Whether it is the one that the URL leads to.
    pub(in crate::storage) fn is_primary(&self) -> bool {
        self.role == Role::Primary
    }

    /// Whether its tables are spread over several servers, as far as is known. Each connection that is handed out has told.
    pub(in crate::storage) fn is_distributed(&self) -> bool {
        AtomicBool::load(&self.is_distributed, Ordering::Relaxed)
    }

    /// Whether any connection has told how its tables are spread.
    pub(in crate::storage) fn has_told(&self) -> bool {
        AtomicBool::load(&self.has_told, Ordering::Relaxed)
    }

    /// How far its log has come.
    pub(in crate::storage) fn written(&self) -> Written {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The present history, as far as it is known.
    pub(in crate::storage) fn present_history(&self) -> Option<HistoryId> {
        *self.history.borrow()
    }

    /// The cluster, timeline and database that it was seen on last.
    pub(in crate::storage) fn seen_on(&self) -> Option<String> {
        self.seen_on.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The clock that is held to the server's.
    pub(in crate::storage) const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// How often all connections were given up.
    pub(in crate::storage) fn turn(&self) -> u64 {
        *self.turn.borrow()
    }

    /// Tells when all connections are given up.
    pub(in crate::storage) fn turns(&self) -> watch::Receiver<u64> {
        self.turn.subscribe()
    }

    /// Tells when the server gave no answer.
    pub(in crate::storage) fn silences(&self) -> watch::Receiver<u64> {
        self.silence.subscribe()
    }

    /// Gives up all connections to a server that does not answer, and what is under way on them.
    pub(in crate::storage) fn leave_silent(&self, turn: u64) {
        self.is_silent.store(true, Ordering::Relaxed);
        self.leave(turn, SILENT);
        self.silence.send_modify(|count| *count += 1);
    }

    /// Whether the last question to it was not answered.
    pub(in crate::storage) fn is_silent(&self) -> bool {
        AtomicBool::load(&self.is_silent, Ordering::Relaxed)
    }

    /// Tells when another history begins.
    pub(in crate::storage) fn histories(&self) -> watch::Receiver<Option<HistoryId>> {
        self.history.subscribe()
    }

    /// Whether the last server that answered could only be read.
    pub(in crate::storage) fn is_read_only(&self) -> bool {
        AtomicBool::load(&self.read_only, Ordering::Relaxed)
    }

    /// Notes whether servers answered of which none can be written to.
    pub(in crate::storage) fn note_read_only(&self, is_so: bool) {
        self.read_only.store(is_so, Ordering::Relaxed);
    }

    /// Gives up all connections of this turn and before.
    pub(in crate::storage) fn leave(&self, turn: u64, why: &str) {
        let left = self.turn.send_if_modified(|current| {
            let is_news = *current == turn;
            *current += u64::from(is_news);
            is_news
        });
        if left && (self.is_read_only() || !self.is_primary()) {
            tracing::debug!(why, "all connections to the database are made anew");
        } else if left {
            tracing::warn!(why, "all connections to the database are made anew");
        }
    }

    /// Takes in which history is the present one; answers whether that is news.
    pub(in crate::storage) fn saw(&self, history: HistoryId) -> bool {
        self.history.send_if_modified(|known| known.replace(history) != Some(history))
    }

    /// Asks a new connection which server it leads to, and whether that is what was known. One that can only be read is
    /// used for that alone.
    ///
    /// # Errors
    /// Why not.
    pub(in crate::storage) async fn admit(&self, connection: &mut AsyncPgConnection) -> Result<(), String> {
        match self.role {
            Role::Primary => {}
            Role::Standby => return never_write(connection).await,
            Role::Worker(group) => return distribution::check_worker(connection, group).await,
        }
        let turn = self.turn();
        let was_read_only = self.is_read_only();
        let seen = self.look(connection).await.map_err(|error| error.to_string())?;
        self.see_distribution(connection, seen.has_citus).await.map_err(|error| error.to_string())?;
        let Some(here) = seen.here.filter(|_| !seen.read_only) else {
            // Reading goes on. Should this very server be promoted, its new timeline is to be seen before anything is
            // written there: so not on this connection.
            return never_write(connection).await;
        };
        if was_read_only {
            self.leave(turn, "the database can be written to again");
        }
        let history = match seen.seen_on {
            Some(seen_on) if seen_on == here => HistoryId::from(seen.history),
            _ => begin(connection, &here).await.map_err(|error| error.to_string())?,
        };
        let before = {
            let mut seen_on = self.seen_on.lock().unwrap_or_else(PoisonError::into_inner);
            seen_on.replace(here.clone())
        };
        if before.is_some_and(|before| before != here) {
            self.leave(turn, "the server is another one, or was promoted");
        }
        self.saw(history);
        Ok(())
    }

    /// Asks a connection that is in use whether the server is still what it was.
    ///
    /// # Errors
    /// `StorageUnavailable` when it is not, and then every connection is given up, or those of the storage.
    pub(in crate::storage) async fn probe(
        &self,
        connection: &mut AsyncPgConnection,
        turn: u64,
    ) -> Result<()> {
        let seen = self.look(connection).await?;
        if seen.read_only {
            self.leave(turn, READ_ONLY);
            return Err(Error::StorageUnavailable(READ_ONLY.into()));
        }
        if self.seen_on() != seen.here {
            self.leave(turn, "the server was promoted");
            return Err(Error::StorageUnavailable("the server was promoted".into()));
        }
        self.saw(seen.history.into());
        self.see_distribution(connection, seen.has_citus).await
    }

    /// Takes in whether the tables are spread over several servers.
    async fn see_distribution(&self, connection: &mut AsyncPgConnection, has_citus: bool) -> Result<()> {
        let seen = if has_citus { Distribution::of(connection).await? } else { Distribution::None };
        self.is_distributed.store(seen == Distribution::Whole, Ordering::Relaxed);
        self.has_told.store(true, Ordering::Relaxed);
        match seen {
            Distribution::Half(_) => {
                Err(Error::StorageUnavailable("the database is distributed in part".into()))
            }
            Distribution::None | Distribution::Whole => Ok(()),
        }
    }

    async fn look(&self, connection: &mut AsyncPgConnection) -> diesel::QueryResult<Look> {
        let sent = Instant::now();
        let mut look_at = async |identifier| sql_query(look(identifier)).get_result::<Look>(connection).await;
        let seen = match look_at(SEEN_ON).await {
            Err(error) if error.to_string().contains("permission denied") => look_at(SEEN_ON_ANY).await?,
            seen => seen?,
        };
        self.read_only.store(seen.read_only, Ordering::Relaxed);
        self.is_silent.store(false, Ordering::Relaxed);
        if let Some(written) = seen.written {
            self.written.lock().unwrap_or_else(PoisonError::into_inner).note(sent, written);
        }
        // A standby's time is as good, but a server that is refused decides nothing.
        if !seen.read_only
            && let Ok(now) = Timestamp::try_from(seen.now)
        {
            self.clock.hold_to(now, sent);
        }
        Ok(seen)
    }
}

/// Keeps a connection from ever writing, also should its server be promoted.
async fn never_write(connection: &mut AsyncPgConnection) -> Result<(), String> {
    let never = "set default_transaction_read_only = on";
    connection.batch_execute(never).await.map_err(|error| error.to_string())
}

/// Notes that the data is seen here for the first time. When it was seen elsewhere before, a new history begins; of
/// several who notice it at once, one begins it.
async fn begin(connection: &mut AsyncPgConnection, here: &str) -> diesel::QueryResult<HistoryId> {
    let new = HistoryId::generate();
    let began: Began = sql_query(
        "update database_state set seen_on = $1, history = case when seen_on is null or seen_on = $1 then history \
         else $2 end returning history",
    )
    .bind::<Text, _>(here)
    .bind::<DbUuid, _>(Id::from(new))
    .get_result(connection)
    .await?;
    if HistoryId::from(began.history) == new {
        tracing::warn!(history = %new, "the server is on another timeline than before: a new history begins");
    }
    Ok(began.history.into())
}
