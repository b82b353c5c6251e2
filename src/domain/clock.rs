//! The clock of the service: one time for everything that is stored or compared with what is stored.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use super::Timestamp;

/// A clock. Every time that is stored or compared with a stored one comes from here. Clones show the same time.
///
/// A following clock goes by the monotonic clock of the machine and is held to a reference, which somebody reads for it
/// every second: the database server's time where several replicas share one, else the machine's own. So the time
/// that a machine believes in, and what is done to it, concern only whoever has no other reference.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    Following(Arc<Following>),
    Manual(Arc<AtomicI64>),
}

/// Beyond this a clock that is ahead of its reference is set back. Below it, it goes slower until it is not.
const STEP_BACK: Duration = Duration::from_secs(1);

impl Clock {
    /// The time of this machine; never runs back while the process runs.
    pub fn system() -> Self {
        Self::following(machine_time(), false)
    }

    /// A clock that begins with the time `start` and waits for a first look at its reference. Only one that
    /// `may_step_back` is ever set back.
    pub fn following(start: Timestamp, may_step_back: bool) -> Self {
        let pace = Pace { since: Instant::now(), time: start, ahead: Duration::ZERO };
        Self(Source::Following(Arc::new(Following { pace: RwLock::new(pace), may_step_back })))
    }

    /// A clock that stands still until it is moved.
    pub fn manual(start: Timestamp) -> (Self, ManualClock) {
        let micros = Arc::new(AtomicI64::new(start.as_micros()));
        (Self(Source::Manual(Arc::clone(&micros))), ManualClock(micros))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::Following(following) => following.now(),
            Source::Manual(micros) => {
                Timestamp::from_micros(micros.load(Ordering::SeqCst)).unwrap_or(Timestamp::MAX)
            }
        }
    }

    /// Holds the clock to its reference, which showed `reference` some time between `sent` and now.
    pub fn hold_to(&self, reference: Timestamp, sent: Instant) {
        if let Source::Following(following) = &self.0 {
            following.hold_to(reference, sent, Instant::now());
        }
    }

    /// As `hold_to`, with the time of this machine for a reference.
    pub fn hold_to_machine(&self) {
        self.hold_to(machine_time(), Instant::now());
    }

    /// By how many microseconds the machine's own clock is ahead of this one; negative when it is behind.
    pub fn machine_ahead_micros(&self) -> i64 {
        machine_time().as_micros().saturating_sub(self.now().as_micros())
    }
}

/// The time of this machine. One that stands before 1970 gets the epoch: wrong, but never a panic.
pub fn machine_time() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(0).unwrap_or(Timestamp::MIN).after(since)
}

#[derive(Debug)]
struct Following {
    pace: RwLock<Pace>,
    may_step_back: bool,
}

/// At `since` it was `time`, which was `ahead` of the reference.
#[derive(Debug, Clone, Copy)]
struct Pace {
    since: Instant,
    time: Timestamp,
    ahead: Duration,
}

impl Pace {
    /// Half as fast until what it was ahead is made up for.
    fn at(&self, instant: Instant) -> Timestamp {
        let passed = instant.saturating_duration_since(self.since);
        self.time.after(passed - (passed / 2).min(self.ahead))
    }
}

impl Following {
    fn now(&self) -> Timestamp {
        self.pace.read().unwrap_or_else(PoisonError::into_inner).at(Instant::now())
    }

    fn hold_to(&self, reference: Timestamp, sent: Instant, received: Instant) {
        let mut pace = self.pace.write().unwrap_or_else(PoisonError::into_inner);
        let round_trip = received.saturating_duration_since(sent);
        let shown = pace.at(received);
        // It is now some time between these two. A clock that agrees is left alone, so that a slow answer moves nothing.
        let (earliest, latest) = (reference, reference.after(round_trip));
        let middle = reference.after(round_trip / 2);
        let ahead = shown.since(latest);
        *pace = if shown < earliest || (ahead > STEP_BACK && self.may_step_back) {
            Pace { since: received, time: middle, ahead: Duration::ZERO }
        } else if ahead > Duration::ZERO {
            Pace { since: received, time: shown, ahead: shown.since(middle) }
        } else {
            Pace { since: received, time: shown, ahead: Duration::ZERO }
        };
    }
}

/// The hand that moves a manual clock.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Sets the clock back, as a step of the server's does.
    pub fn set_back(&self, by: Duration) {
        self.0.fetch_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(1_800_000_000_000_000 + millis * 1000).unwrap()
    }

    fn following(may_step_back: bool) -> (Following, Instant) {
        let since = Instant::now();
        let pace = Pace { since, time: at(0), ahead: Duration::ZERO };
        (Following { pace: RwLock::new(pace), may_step_back }, since)
    }

    /// What it shows so many milliseconds after its start.
    fn shown(clock: &Following, start: Instant, millis: u64) -> Timestamp {
        clock.pace.read().unwrap().at(start + Duration::from_millis(millis))
    }

    /// The reference showed `reference` between these two.
    fn hold(clock: &Following, start: Instant, reference: i64, (sent, received): (u64, u64)) {
        let instant = |millis| start + Duration::from_millis(millis);
        clock.hold_to(at(reference), instant(sent), instant(received));
    }

    #[test]
    fn half_the_round_trip_is_taken_off() {
        let (clock, start) = following(true);
        hold(&clock, start, 90_000, (0, 100));
        assert_eq!(shown(&clock, start, 100), at(90_050));
        assert_eq!(shown(&clock, start, 1100), at(91_050));
    }

    #[test]
    fn a_slow_answer_that_agrees_moves_nothing() {
        let (clock, start) = following(true);
        for reference in [0, 500, 1000] {
            hold(&clock, start, reference, (0, 1000));
            assert_eq!(shown(&clock, start, 1000), at(1000));
            assert_eq!(shown(&clock, start, 2000), at(2000));
        }
    }

    #[test]
    fn a_clock_that_is_a_little_ahead_slows_down() {
        let (clock, start) = following(true);
        hold(&clock, start, 800, (1000, 1000));
        assert_eq!(shown(&clock, start, 1000), at(1000));
        assert_eq!(shown(&clock, start, 1200), at(1100));
        assert_eq!(shown(&clock, start, 1400), at(1200));
        assert_eq!(shown(&clock, start, 2000), at(1800));
    }

    #[test]
    fn a_clock_that_is_a_second_ahead_is_not_yet_set_back() {
        let (clock, start) = following(true);
        hold(&clock, start, 0, (1000, 1000));
        assert_eq!(shown(&clock, start, 1000), at(1000));
        assert_eq!(shown(&clock, start, 3000), at(2000));
    }

    #[test]
    fn a_clock_that_is_far_behind_its_machine_is_set_to_it() {
        let clock = Clock::following(at(0).before(Duration::from_secs(60 * 60 * 24 * 365 * 20)), false);
        let before = machine_time();
        clock.hold_to_machine();
        assert!(clock.now() >= before, "{:?}", clock.now());
    }

    #[test]
    fn how_far_the_machine_is_ahead_is_told_in_microseconds() {
        let hour = Duration::from_secs(60 * 60);
        let (clock, _hand) = Clock::manual(machine_time().before(hour));
        let ahead = clock.machine_ahead_micros();
        // A minute is more than this takes.
        assert!((3_600_000_000..3_660_000_000).contains(&ahead), "{ahead}");
    }

    #[test]
    fn a_clock_that_is_far_ahead_is_set_back_only_where_it_may_be() {
        let (clock, start) = following(true);
        hold(&clock, start, -90_000, (1000, 1000));
        assert_eq!(shown(&clock, start, 1000), at(-90_000));

        let (clock, start) = following(false);
        hold(&clock, start, -90_000, (1000, 1000));
        assert_eq!(shown(&clock, start, 1000), at(1000));
        assert_eq!(shown(&clock, start, 3000), at(2000));
        // Looked at every second, it still does not run back, and has caught up in the end.
        for second in 2..=300_i64 {
            let millis = u64::try_from(second * 1000).unwrap();
            let before = shown(&clock, start, millis);
            hold(&clock, start, second * 1000 - 91_000, (millis, millis));
            assert_eq!(shown(&clock, start, millis), before);
        }
        assert_eq!(shown(&clock, start, 300_000), at(300_000 - 91_000));
    }
}
