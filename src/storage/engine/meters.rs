//! What the storage measures about itself, for whoever watches over it. How it is shown is the server's business.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use prometheus_client::metrics::histogram::Histogram;

use crate::domain::{Error, Result};

/// From what a query of an idle database takes to beyond what anybody waits, in seconds.
const SECONDS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// A histogram of waits, in seconds.
pub(in crate::storage) fn waits() -> Histogram {
    Histogram::new(SECONDS)
}

/// How connections are taken out of one pool. Clones count together.
#[derive(Debug, Clone)]
pub(in crate::storage) struct Checkouts {
    waiting: Arc<AtomicUsize>,
    seconds: Histogram,
}

impl Default for Checkouts {
    fn default() -> Self {
        Self { waiting: Arc::default(), seconds: waits() }
    }
}

impl Checkouts {
    /// Somebody begins to wait; the wait ends when what this answers is dropped.
    pub(in crate::storage) fn begin(&self) -> Checkout<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Checkout { all: self, begin: Instant::now() }
    }

    pub(in crate::storage) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(in crate::storage) fn seconds(&self) -> Histogram {
        self.seconds.clone()
    }
}

/// One wait for a connection.
#[derive(Debug)]
pub(in crate::storage) struct Checkout<'a> {
    all: &'a Checkouts,
    begin: Instant,
}

impl Drop for Checkout<'_> {
    fn drop(&mut self) {
        self.all.waiting.fetch_sub(1, Ordering::Relaxed);
        self.all.seconds.observe(self.begin.elapsed().as_secs_f64());
    }
}

/// One pool, as it stands.
#[derive(Debug)]
pub struct PoolState {
    /// `shared`, `by_key`, `lanes`, `standbys`, `workers`, `writer` or `readers`.
    pub name: &'static str,
    /// Connections there are.
    pub connections: u32,
    /// Of these, connections that nobody uses.
    pub idle: u32,
    /// Connections there may be.
    pub connections_max: u32,
    /// Callers who wait for one.
    pub waiting: usize,
    /// How long callers waited, in seconds.
    pub checkouts: Histogram,
}

impl PoolState {
    /// Several of one kind, all together; their waits are those of the first.
    pub(in crate::storage) fn sum(states: impl Iterator<Item = Self>) -> Option<Self> {
        states.reduce(|sum, one| Self {
            connections: sum.connections + one.connections,
            idle: sum.idle + one.idle,
            connections_max: sum.connections_max + one.connections_max,
            waiting: sum.waiting + one.waiting,
            ..sum
        })
    }
}

/// Kinds of errors, as labels. What a caller did wrong is none of the storage's.
const KINDS: [&str; 6] = ["unavailable", "overloaded", "timeout", "full", "conflict", "internal"];

/// Operations that failed, by kind.
#[derive(Debug, Default)]
pub struct StorageErrors([AtomicU64; KINDS.len()]);

impl StorageErrors {
    pub(in crate::storage) fn note<T>(&self, result: &Result<T>) {
        let kind = match result {
            Err(Error::StorageUnavailable(_)) => 0,
            Err(Error::Overloaded) => 1,
            Err(Error::DeadlineExceeded) => 2,
            Err(Error::StorageFull) => 3,
            Err(Error::Conflict) => 4,
            Err(Error::Internal(_)) => 5,
            _ => return,
        };
        self.0[kind].fetch_add(1, Ordering::Relaxed);
    }

    /// Each kind with its count.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        KINDS.into_iter().zip(self.0.iter().map(|count| count.load(Ordering::Relaxed)))
    }
}
