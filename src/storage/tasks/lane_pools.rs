//! The connections of one lane: one to the server that the URL names, and where a lane goes straight to the workers of a
//! cluster, one to each of those.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::shards::{Shards, Worker};
use crate::domain::{Error, Result, UserId};
use crate::storage::engine::connections::checkout;
use crate::storage::engine::pool::{Engine, Pool};
use crate::storage::engine::postgres::Planner;

/// How long a connection to a worker is waited for before the coordinator is asked instead.
const WORKER_PATIENCE: Duration = Duration::from_millis(500);

/// What a lane works with.
#[derive(Debug)]
pub(in crate::storage) struct LanePools {
    own: Pool,
    planner: Planner,
    shards: Arc<Shards>,
    /// Made when they are first needed.
    of_workers: Mutex<Vec<(Arc<Worker>, Pool)>>,
}

/// Where something is sent to.
pub(in crate::storage) struct Way {
    pub(in crate::storage) pool: Pool,
    /// The worker at its end, unless it leads to the server that the URL names.
    worker: Option<Arc<Worker>>,
}

impl LanePools {
    pub(in crate::storage) fn new(own: Pool, planner: Planner, shards: &Arc<Shards>) -> Self {
        Self { own, planner, shards: Arc::clone(shards), of_workers: Mutex::default() }
    }

    fn own(&self) -> Way {
        Way { pool: self.own.clone(), worker: None }
    }

    /// The way to a user's rows: straight to their worker where that can be connected to.
    pub(in crate::storage) async fn way_to(&self, user: Option<UserId>) -> Way {
        let Some(worker) = user.and_then(|user| self.shards.worker_of(user)) else { return self.own() };
        let pool = self.pool_of(&worker);
        let Engine::Postgres(connections) = &pool.engine else { return self.own() };
        let connected = tokio::time::timeout(WORKER_PATIENCE, checkout(connections)).await;
        match connected.map_err(|_| Error::DeadlineExceeded).flatten().map(drop) {
            Ok(()) => Way { pool, worker: Some(worker) },
            Err(error) => {
                worker.set_aside(&error.to_string());
                self.own()
            }
        }
    }

    fn pool_of(&self, worker: &Arc<Worker>) -> Pool {
        let mut pools = self.of_workers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, pool)) = pools.iter().find(|(known, _)| Arc::ptr_eq(known, worker)) {
            return pool.clone();
        }
        // One that is not asked any more may be at another address by now.
        pools.retain(|(known, _)| known.is_used());
        let pool = worker.pool(self.planner);
        pools.push((Arc::clone(worker), pool.clone()));
        pool
    }

    /// Reads, and once more through the coordinator when a worker went away meanwhile.
    pub(in crate::storage) async fn read<Asked: Clone, Answer, Reading>(
        &self,
        user: Option<UserId>,
        asked: Vec<Asked>,
        read: impl Fn(Pool, Vec<Asked>) -> Reading,
    ) -> Vec<Result<Answer>>
    where
        Reading: Future<Output = Vec<Result<Answer>>>,
    {
        let way = self.way_to(user).await;
        let Some(worker) = way.worker else { return read(way.pool, asked).await };
        let answers = read(way.pool, asked.clone()).await;
        let Some(Err(Error::StorageUnavailable(cause))) = answers.as_slice().first() else { return answers };
        worker.set_aside(cause);
        read(self.own.clone(), asked).await
    }
}
