//! The course of one measurement, as all callers see it, and what each connection's callers found.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use tokio::sync::Notify;

use crate::plan::Work;
use crate::world::World;

const WARMING_UP: u8 = 0;
const MEASURING: u8 = 1;
const OVER: u8 = 2;

/// What the callers share.
#[derive(Debug)]
pub(crate) struct Course {
    pub(crate) work: Work,
    pub(crate) world: Arc<World>,
    /// What reads name as new enough.
    pub(crate) min_revision: Option<i64>,
    phase: AtomicU8,
    exhausted: AtomicBool,
    exhaustion: Notify,
}

impl Course {
    pub(crate) fn new(work: Work, world: Arc<World>, min_revision: Option<i64>) -> Self {
        Self {
            work,
            world,
            min_revision,
            phase: AtomicU8::new(WARMING_UP),
            exhausted: AtomicBool::new(false),
            exhaustion: Notify::new(),
        }
    }

    pub(crate) fn begin_measuring(&self) {
        self.phase.store(MEASURING, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.phase.store(OVER, Ordering::Relaxed);
    }

    /// Done once there is nothing left to do it with.
    pub(crate) async fn exhausted(&self) {
        self.exhaustion.notified().await;
    }

    pub(crate) fn is_measuring(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == MEASURING
    }

    pub(crate) fn is_over(&self) -> bool {
        self.exhausted.load(Ordering::Relaxed) || self.phase.load(Ordering::Relaxed) == OVER
    }

    /// There is nothing left to do it with.
    pub(crate) fn exhaust(&self) {
        self.exhausted.store(true, Ordering::Relaxed);
        self.exhaustion.notify_one();
    }
}

/// What one connection's callers found.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) nanos: Vec<u64>,
    pub(crate) failed: u32,
}
