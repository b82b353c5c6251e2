//! Which failed calls are repeated, when, and when no more.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tonic::Code;
use uuid::Uuid;

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

/// What a call is known by when it is repeated.
pub(super) fn idempotency_key() -> String {
    Uuid::now_v7().to_string()
}

/// How long to wait after so many failures: ever longer, differently for each, never less than was asked for.
pub(super) fn pause(failures: u32, asked: Option<Duration>) -> Duration {
    let grown = PAUSE_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(10));
    let random = grown.min(PAUSE_MAX).mul_f64(0.5 + fastrand::f64());
    // Whoever was refused together shall not come back together.
    asked.map_or(random, |asked| random.max(asked + asked.mul_f64(fastrand::f64() * 0.2)))
}

/// What may be spent on repetitions, so that clients do not keep a service down that most calls fail at: many at once,
/// as when it starts anew, and in the long run one for every two calls that succeed.
pub(super) struct Budget(AtomicU32);

const BUDGET_MAX: u32 = 1000;
const REPETITION_COSTS: u32 = 2;
const SUCCESS_RETURNS: u32 = 1;

impl Budget {
    pub(super) const fn full() -> Self {
        Self(AtomicU32::new(BUDGET_MAX))
    }

    pub(super) fn note_success(&self) {
        let more = |left: u32| (left < BUDGET_MAX).then_some(left + SUCCESS_RETURNS);
        // It fails where the budget is full.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Pays for a repetition, if the budget has it.
    pub(super) fn spend(&self) -> bool {
        let less = |left: u32| left.checked_sub(REPETITION_COSTS);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Budget, PAUSE_MAX, pause};

    #[test]
    fn repetitions_end_with_the_budget_and_come_back_with_success() {
        let budget = Budget::full();
        let spent = std::iter::repeat_with(|| budget.spend()).take_while(|spent| *spent).count();
        assert_eq!(spent, 500);
        budget.note_success();
        assert!(!budget.spend());
        budget.note_success();
        assert!(budget.spend());
        assert!(!budget.spend());
        for _ in 0..5000 {
            budget.note_success();
        }
        assert_eq!(std::iter::repeat_with(|| budget.spend()).take_while(|spent| *spent).count(), 500);
    }

    #[test]
    fn pauses_grow_up_to_a_bound_and_are_never_shorter_than_asked_for() {
        for (failures, grown) in [(1, 100), (2, 200), (3, 400), (5, 1600), (6, 2000), (u32::MAX, 2000)] {
            let grown = Duration::from_millis(grown);
            for _ in 0..100 {
                assert!((grown / 2..=grown * 3 / 2).contains(&pause(failures, None)));
            }
        }
        let asked = PAUSE_MAX * 10;
        for _ in 0..100 {
            assert!((asked..=asked * 6 / 5).contains(&pause(1, Some(asked))));
        }
    }
}
