//! Which failed calls are repeated, when, and when no more.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tonic::Code;

use super::error::{Error, Origin};

const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Whether the call can be made again without doing anything twice.
///
/// `is_safe` says that a second call does nothing more than the first, even when the first was carried out.
pub(super) fn may_repeat(is_safe: bool, error: &Error) -> bool {
    match error.origin() {
        Origin::Unsent => true,
        Origin::Lost => is_safe,
        Origin::Here => false,
        Origin::Service => match (error.code(), error.reason()) {
            // Refused before anything was done.
            (_, "OVERLOADED" | "RATE_LIMITED") => true,
            (Code::Unavailable, _) | (Code::Aborted, "CONFLICT" | "REQUEST_IN_PROGRESS") => is_safe,
            _ => false,
        },
    }
}

/// How long to wait after so many failures: ever longer, differently for each, never less than was asked for.
pub(super) fn pause(failures: u32, asked: Option<Duration>) -> Duration {
    let grown = PAUSE_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(10));
    let random = grown.min(PAUSE_MAX).mul_f64(0.5 + fastrand::f64());
    // Whoever was refused together shall not come back together.
    asked.map_or(random, |asked| random.max(asked + asked.mul_f64(fastrand::f64() * 0.2)))
}

/// What may be spent on repetitions, so that clients do not keep a service down that most calls fail at.
pub(super) struct Budget(AtomicU32);

const BUDGET_MAX: u32 = 200;
const FAILURE_COSTS: u32 = 2;
const SUCCESS_RETURNS: u32 = 1;

impl Budget {
    pub(super) const fn full() -> Self {
        Self(AtomicU32::new(BUDGET_MAX))
    }

    pub(super) fn note_success(&self) {
        self.change(|left| (left + SUCCESS_RETURNS).min(BUDGET_MAX));
    }

    /// Whether another attempt is within the budget.
    pub(super) fn spend(&self) -> bool {
        self.change(|left| left.saturating_sub(FAILURE_COSTS)) > BUDGET_MAX / 2
    }

    fn change(&self, change: impl Fn(u32) -> u32) -> u32 {
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(change(left)));
        before.unwrap_or_else(|left| left)
    }
}
