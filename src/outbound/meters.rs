//! What is counted of what leaves, for whoever runs the service.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::storage::QueueCounts;

/// The counts of one process.
#[derive(Debug, Default)]
pub(super) struct Meters {
    taken: AtomicU64,
    failed: AtomicU64,
    disabled: AtomicU64,
    queues: Mutex<Option<QueueCounts>>,
}

/// The counts as they are.
#[derive(Debug, Clone, Copy)]
pub struct MeterState {
    /// Events that receivers took.
    pub taken: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Webhooks that were disabled.
    pub disabled: u64,
    /// What webhooks have still to be told, where this process tells them.
    pub queues: Option<QueueCounts>,
}

impl Meters {
    /// Notes what became of an attempt.
    pub(super) fn attempted(&self, taken: bool) {
        let count = if taken { &self.taken } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a webhook was disabled.
    pub(super) fn disabled(&self) {
        self.disabled.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes how much is to be told; nothing, where another process tells it.
    pub(super) fn queued(&self, counts: Option<QueueCounts>) {
        *self.queues.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    }

    /// As they are now.
    pub(super) fn state(&self) -> MeterState {
        MeterState {
            taken: self.taken.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            disabled: self.disabled.load(Ordering::Relaxed),
            queues: *self.queues.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

/// Takes the numbers of queues back when this process no longer tells webhooks.
pub(super) struct Telling<'a>(pub(super) &'a Meters);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.0.queued(None);
    }
}
