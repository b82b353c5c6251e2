//! One standby: its connections, what is known of it, and what can be asked of it.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::holdings::Holdings;
use super::lanes::{LANE_KINDS, StandbyLanes};
use super::reads::{self, AtLeast, Held};
use crate::domain::{ChangePage, Error, HistoryId, Owner, Result, Task, TaskCounts, TaskId, TaskQuery};
use crate::storage::Limits;
use crate::storage::engine::connections::probe_standby;
use crate::storage::engine::meters::PoolState;
use crate::storage::engine::pool::{Engine, Pool};
use crate::storage::engine::postgres::Target;
use crate::storage::engine::replication::Lag;
use crate::storage::engine::server::Server;
use crate::storage::tasks::ranges::Ranges;
use crate::storage::tasks::read_statements;

/// How many times as long as for a read is waited for a look at it.
const PROBES: u32 = 3;

/// The server.
#[derive(Debug)]
pub(in crate::storage) struct Standby {
    /// Host, port and database, for people.
    pub(super) name: String,
    target: Target,
    pool: Pool,
    /// For what reaches rows by their key alone.
    by_key: Pool,
    server: Arc<Server>,
    /// Opened with the first call, since they need a runtime.
    lanes: OnceLock<StandbyLanes>,
    /// Whether it may be asked.
    is_used: AtomicBool,
    lag_micros: AtomicU64,
    lag_bytes: AtomicI64,
    holdings: Holdings,
    /// Calls that it answered.
    pub(super) answered: AtomicU64,
}

impl Standby {
    pub(super) fn new(target: Target, limits: Limits, primary: &Server) -> Self {
        let server = Arc::new(Server::standby(primary.clock().clone()));
        let (pool, by_key) = Pool::postgres(&target, limits, &server, limits.lanes_of(LANE_KINDS));
        Self {
            name: target.shown().to_owned(),
            target,
            pool,
            by_key,
            server,
            lanes: OnceLock::new(),
            is_used: AtomicBool::new(false),
            lag_micros: AtomicU64::new(0),
            lag_bytes: AtomicI64::new(0),
            holdings: Holdings::new(),
            answered: AtomicU64::new(0),
        }
    }

    pub(super) fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }

    /// How far it was behind when it was looked at last.
    pub(super) fn lag(&self) -> Lag {
        let time = Duration::from_micros(self.lag_micros.load(Ordering::Relaxed));
        Lag { time, bytes: self.lag_bytes.load(Ordering::Relaxed) }
    }

    /// How long it has to answer.
    pub(super) const fn patience(&self) -> Duration {
        self.pool.limits.standby_timeout
    }

    /// What is known of how far it has come with each user.
    pub(super) const fn holdings(&self) -> &Holdings {
        &self.holdings
    }

    pub(super) fn pool_states(&self) -> impl Iterator<Item = PoolState> {
        self.pool.state("standbys").into_iter().chain(self.by_key.state("standbys"))
    }

    /// Looks at it, and asks it from now on or no longer.
    pub(super) async fn probe(&self, primary: &Server) {
        let seen = match &self.by_key.engine {
            Engine::Postgres(connections) => {
                probe_standby(connections, &self.server, PROBES * self.patience()).await
            }
            Engine::Sqlite { .. } => return,
        };
        let fit = seen.map_err(|error| error.to_string()).and_then(|seen| {
            if !seen.is_standby {
                return Err("it is not a standby, or not any more".to_owned());
            }
            if primary.present_history() != Some(HistoryId::from(seen.history))
                || primary.seen_on() != seen.seen_on
            {
                return Err("it follows another primary, or has not heard yet of the present one".to_owned());
            }
            Ok(seen.replayed.unwrap_or_default())
        });
        match fit {
            Ok(replayed) => {
                let lag = primary.written().lag(replayed, Instant::now());
                self.lag_bytes.store(lag.bytes, Ordering::Relaxed);
                let micros = u64::try_from(lag.time.as_micros()).unwrap_or(u64::MAX);
                self.lag_micros.store(micros, Ordering::Relaxed);
                if !self.is_used.swap(true, Ordering::Relaxed) {
                    tracing::info!(standby = self.name, "a standby answers reads");
                }
            }
            Err(cause) => self.set_aside(&cause),
        }
    }

    /// Asks it no longer, until it looks well again.
    pub(super) fn set_aside(&self, cause: &str) {
        if self.is_used.swap(false, Ordering::Relaxed) {
            tracing::warn!(
                standby = self.name,
                cause,
                "a standby is not asked any more; the primary answers"
            );
        }
    }

    fn lanes(&self) -> Option<&StandbyLanes> {
        let count = self.pool.limits.lanes;
        (count > 0).then(|| self.lanes.get_or_init(|| StandbyLanes::open(&self.target, &self.pool, count)))
    }

    /// The task, deleted or not; `None` when there is none.
    pub(in crate::storage) async fn find(
        &self,
        owner: Owner,
        id: TaskId,
        at_least: AtLeast,
    ) -> Result<Held<Option<Task>>> {
        let asked = ((owner.user(), id), at_least);
        if let Some(lanes) = self.lanes() {
            return lanes.find(owner, asked).await;
        }
        let found = reads::each(&self.by_key, &[asked]).await?;
        found.into_iter().next().unwrap_or_else(|| Err(Error::Internal("a read answered nothing".into())))
    }

    /// The tasks with these ids, in order.
    pub(in crate::storage) async fn find_many(
        &self,
        owner: Owner,
        ids: &[TaskId],
        at_least: AtLeast,
    ) -> Result<Held<Vec<Option<Task>>>> {
        reads::many(&self.by_key, owner, ids, at_least).await
    }

    /// A page of a list, and one task more where there is one.
    pub(in crate::storage) async fn list(
        &self,
        owner: Owner,
        query: &TaskQuery,
        at_least: AtLeast,
    ) -> Result<Held<Vec<Task>>> {
        match (self.lanes(), Ranges::of(owner, query)) {
            (Some(lanes), Some(ranges)) => lanes.list(ranges, at_least).await,
            (None, Some(ranges)) => reads::tasks(&self.pool, owner, || ranges.statement(), at_least).await,
            (_, None) => {
                let statement = || read_statements::list(owner, query);
                reads::tasks(&self.pool, owner, statement, at_least).await
            }
        }
    }

    /// How many tasks pass a filter.
    pub(in crate::storage) async fn count(
        &self,
        owner: Owner,
        query: &TaskQuery,
        at_least: AtLeast,
    ) -> Result<Held<TaskCounts>> {
        reads::count(&self.pool, owner, query, at_least).await
    }

    /// A page of all live tasks in the order of their ids.
    pub(in crate::storage) async fn walk(
        &self,
        owner: Owner,
        after: Option<TaskId>,
        limit: i64,
        at_least: AtLeast,
    ) -> Result<Held<Vec<Task>>> {
        let statement = || read_statements::walk(owner, after, limit);
        reads::tasks(&self.pool, owner, statement, at_least).await
    }

    /// A stretch of the change log.
    pub(in crate::storage) async fn changes(
        &self,
        owner: Owner,
        known: Option<HistoryId>,
        start_revision: i64,
        limit: usize,
        at_least: AtLeast,
    ) -> Result<Held<Result<ChangePage>>> {
        // What lies behind the start has to be there as well, else it would seem to be in the future.
        let at_least = AtLeast { revision: at_least.revision.max(start_revision), ..at_least };
        reads::changes(&self.by_key, owner, known, start_revision, limit, at_least).await
    }
}
