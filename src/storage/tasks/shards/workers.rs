//! The workers of a cluster, for what goes to them without the coordinator in between.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;

use super::layout::{Layout, Node};
use crate::storage::engine::connections::probe_worker;
use crate::storage::engine::meters::PoolState;
use crate::storage::engine::pool::{Engine, Pool};
use crate::storage::engine::postgres::{Planner, Target};
use crate::storage::engine::server::Server;

/// One worker, at the address where the coordinator knows it.
#[derive(Debug)]
pub(in crate::storage) struct Worker {
    node: Node,
    target: Target,
    server: Arc<Server>,
    /// A connection to look at it by.
    probe: Pool,
    /// Whether it may be asked.
    is_used: AtomicBool,
    /// Those that lanes have to it.
    pools: Mutex<Vec<Pool>>,
}

/// All workers that have shards.
#[derive(Debug)]
pub(super) struct Workers {
    coordinator: Target,
    /// By their numbers.
    known: Mutex<BTreeMap<i32, Arc<Worker>>>,
}

impl Worker {
    fn new(node: Node, coordinator: &Target, shared: &Pool) -> Self {
        let target = coordinator.at(&node.host, node.port);
        let server = Arc::new(Server::worker(shared.server().clock().clone(), node.group));
        let probe = Pool::single_at(&target, Planner::Free, &server, shared);
        Self { node, target, server, probe, is_used: AtomicBool::new(false), pools: Mutex::default() }
    }

    /// A connection of their own for a lane.
    pub(in crate::storage) fn pool(&self, planner: Planner) -> Pool {
        let pool = Pool::single_at(&self.target, planner, &self.server, &self.probe);
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).push(pool.clone());
        pool
    }

    pub(in crate::storage) fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }

    /// Looks at it, and asks it from now on or no longer.
    async fn probe(&self) {
        let Engine::Postgres(connections) = &self.probe.engine else { return };
        match probe_worker(connections, &self.server, self.node.group).await {
            Ok(()) if self.is_used.swap(true, Ordering::Relaxed) => {}
            Ok(()) => tracing::info!(worker = self.target.shown(), "a worker is asked directly"),
            Err(error) => self.set_aside(&error.to_string()),
        }
    }

    /// Asks it no longer, until it looks well again.
    pub(in crate::storage) fn set_aside(&self, cause: &str) {
        if self.is_used.swap(false, Ordering::Relaxed) {
            let worker = self.target.shown();
            tracing::warn!(worker, cause, "a worker is not asked directly any more; the coordinator is");
        }
    }
}

impl Workers {
    pub(super) fn of(coordinator: &Target) -> Self {
        Self { coordinator: coordinator.clone(), known: Mutex::default() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<i32, Arc<Worker>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The worker with this number, if it may be asked.
    pub(super) fn get(&self, node: &Node) -> Option<Arc<Worker>> {
        self.lock().get(&node.group).filter(|worker| worker.is_used()).cloned()
    }

    /// Goes by where the servers are now: what was at another address is left at once.
    pub(super) fn take_in(&self, layout: &Layout, shared: &Pool) {
        let mut known = self.lock();
        known.retain(|_, worker| layout.nodes.contains(&worker.node));
        for node in layout.nodes.iter().filter(|node| node.is_informed) {
            let new = || Arc::new(Worker::new(node.clone(), &self.coordinator, shared));
            known.entry(node.group).or_insert_with(new);
        }
    }

    /// Looks at all of them.
    pub(super) async fn probe(&self) {
        let workers: Vec<Arc<Worker>> = self.lock().values().cloned().collect();
        join_all(workers.iter().map(|worker| worker.probe())).await;
    }

    /// How the connections to them stand, all together.
    pub(super) fn pool_state(&self) -> Option<PoolState> {
        let state = |worker: &Arc<Worker>| {
            let pools = worker.pools.lock().unwrap_or_else(PoisonError::into_inner);
            let own = std::iter::once(&worker.probe);
            own.chain(pools.iter()).flat_map(|pool| pool.state("workers")).collect::<Vec<_>>()
        };
        PoolState::sum(self.lock().values().flat_map(state))
    }
}
