//! Until when the call that is being served is wanted.

use std::future::Future;
use std::time::{Duration, Instant};

tokio::task_local! {
    static CURRENT: Deadline;
}

/// A point in time after which nobody waits for the answer any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// So long from now.
    pub fn after(duration: Duration) -> Self {
        Self(Instant::now() + duration)
    }

    /// That of the call which this task serves; `None` outside of one. A task that is spawned has none of its own.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|deadline| *deadline).ok()
    }

    /// The smaller of `limit` and what the call of this task has left.
    pub fn cap(limit: Duration) -> Duration {
        Self::current().map_or(limit, |deadline| limit.min(deadline.remaining()))
    }

    /// Runs `work` as part of a call with this deadline. Nothing is cut off by it: `work` may look at it.
    pub fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, work)
    }

    /// How long it is still; zero once it has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// When it is.
    pub const fn instant(self) -> Instant {
        self.0
    }
}
