//! What is counted of mail, for whoever runs the service.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::MailCounts;

/// How long the number of waiting mails is good for.
const COUNTED_FOR: Duration = Duration::from_secs(15);

/// The counts of one process.
#[derive(Debug, Default)]
pub(super) struct Meters {
    sent: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    waiting: Mutex<Option<(Instant, MailCounts)>>,
}

/// The counts as they are.
#[derive(Debug, Clone, Copy)]
pub struct MeterState {
    /// Mails that were handed over.
    pub sent: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Mails that were given up since their time was over.
    pub dropped: u64,
    /// What waits, as this process saw it last.
    pub waiting: MailCounts,
}

impl Meters {
    /// Notes what became of an attempt.
    pub(super) fn attempted(&self, sent: bool) {
        let count = if sent { &self.sent } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a mail was given up.
    pub(super) fn dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes how many wait.
    pub(super) fn waiting(&self, counts: MailCounts) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), counts));
    }

    /// Whether it is time to count again how many wait.
    pub(super) fn is_old(&self) -> bool {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.is_none_or(|(counted, _)| counted.elapsed() > COUNTED_FOR)
    }

    /// As they are now.
    pub(super) fn state(&self) -> MeterState {
        let waiting = *self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        MeterState {
            sent: self.sent.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            waiting: waiting.map(|(_, counts)| counts).unwrap_or_default(),
        }
    }
}
