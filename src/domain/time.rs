//! Time: points in whole microseconds.

use std::time::Duration;

use super::Rule;

/// A point in time in whole microseconds since 1970-01-01T00:00:00Z, between the years 1 and 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 0001-01-01T00:00:00Z
    pub const MIN: Self = Self(-62_135_596_800_000_000);
    /// 9999-12-31T23:59:59.999999Z
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// The point this many microseconds after the epoch; `None` outside the years 1 to 9999.
    pub fn from_micros(micros: i64) -> Option<Self> {
        (Self::MIN.0..=Self::MAX.0).contains(&micros).then_some(Self(micros))
    }

    /// From seconds and nanoseconds, cut (not rounded) to microseconds.
    ///
    /// # Errors
    /// The rule, when the nanoseconds are not within a second or the year is not between 1 and 9999.
    pub fn from_parts(seconds: i64, nanos: i32) -> Result<Self, Rule> {
        if !(0..1_000_000_000).contains(&nanos) {
            return Err(Rule::field("nanos must be between 0 and 999999999"));
        }
        seconds
            .checked_mul(1_000_000)
            .and_then(|micros| micros.checked_add(i64::from(nanos / 1000)))
            .and_then(Self::from_micros)
            .ok_or_else(|| Rule::field("must lie between the years 1 and 9999"))
    }

    /// Microseconds since the epoch; negative before it.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, and the nanoseconds of the begun one.
    pub fn to_parts(self) -> (i64, i32) {
        let nanos = self.0.rem_euclid(1_000_000) * 1000;
        // Below a thousand million by construction.
        (self.0.div_euclid(1_000_000), i32::try_from(nanos).unwrap_or_default())
    }

    /// This point, `by` later; the last representable point when that lies beyond it.
    pub fn after(self, by: Duration) -> Self {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros).min(Self::MAX.0))
    }

    /// This point, `by` earlier; the first representable point when that lies before it.
    pub fn before(self, by: Duration) -> Self {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros).max(Self::MIN.0))
    }

    /// The time since `earlier`; zero when that is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn the_calendar_has_its_ends() {
        let last = Timestamp::from_parts(253_402_300_799, 999_999_999).unwrap();
        assert_eq!(last, Timestamp::MAX);
        assert_eq!(last.to_parts(), (253_402_300_799, 999_999_000));
        assert!(Timestamp::from_parts(253_402_300_800, 0).is_err());
        assert_eq!(Timestamp::from_parts(-62_135_596_800, 0).unwrap(), Timestamp::MIN);
        assert!(Timestamp::from_parts(-62_135_596_801, 999_999_999).is_err());
        assert!(Timestamp::from_parts(i64::MAX, 0).is_err());
        assert!(Timestamp::from_parts(0, -1).is_err());
        assert!(Timestamp::from_parts(0, 1_000_000_000).is_err());
    }

    #[test]
    fn times_before_the_epoch_are_cut_downwards() {
        let time = Timestamp::from_parts(-1, 999_999_999).unwrap();
        assert_eq!(time.as_micros(), -1);
        assert_eq!(time.to_parts(), (-1, 999_999_000));
    }
}
