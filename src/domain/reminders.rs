//! When a task is to be remembered: before it is due, or at points in time.

use super::{Rule, Task, Timestamp, Violations};

/// One reminder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reminder {
    /// So many microseconds before the task is due.
    Before(i64),
    /// At a point in time.
    At(Timestamp),
}

impl Reminder {
    /// Longest time before the due, in seconds: a leap year.
    pub const BEFORE_SECONDS_MAX: i64 = 366 * 24 * 60 * 60;

    /// Reads how long before the due, in seconds and nanoseconds; cut to microseconds.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn before(seconds: i64, nanos: i32) -> Result<Self, Rule> {
        let rule = || Rule::field("must lie from 0 to 366 days before the task is due");
        let is_within =
            (0..=Self::BEFORE_SECONDS_MAX).contains(&seconds) && (0..1_000_000_000).contains(&nanos);
        let micros = seconds.saturating_mul(1_000_000).saturating_add(i64::from(nanos) / 1000);
        if is_within && micros <= Self::BEFORE_SECONDS_MAX * 1_000_000 {
            Ok(Self::Before(micros))
        } else {
            Err(rule())
        }
    }

    /// When that is, for a task that is due then.
    fn moment(self, due: Option<Timestamp>) -> Option<Timestamp> {
        match self {
            Self::Before(micros) => Timestamp::from_micros(due?.as_micros() - micros),
            Self::At(time) => Some(time),
        }
    }
}

/// The reminders of a task, in the order given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reminders(Vec<Reminder>);

impl Reminders {
    /// Most reminders of a task.
    pub const MAX: usize = 5;

    /// Reads reminders.
    ///
    /// # Errors
    /// The rule, when there are too many.
    pub fn parse(reminders: Vec<Reminder>) -> Result<Self, Rule> {
        if reminders.len() > Self::MAX {
            return Err(Rule::field("must hold at most 5 reminders"));
        }
        Ok(Self(reminders))
    }

    /// Those there are.
    pub fn as_slice(&self) -> &[Reminder] {
        &self.0
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that the next occurrence of a task has too: what was said of one day is not meant for another.
    pub fn of_next(&self) -> Self {
        Self(self.0.iter().copied().filter(|one| matches!(one, Reminder::Before(_))).collect())
    }

    /// What they ask of the task.
    pub(super) fn check(&self, due: Option<Timestamp>, violations: &mut Violations) {
        if due.is_none() && self.0.iter().any(|one| matches!(one, Reminder::Before(_))) {
            let text = "must name points in time where the task is due at none";
            violations.add(Rule::field(text).at("task.reminders"));
        }
    }

    /// The first moment after this one.
    fn first_after(&self, due: Option<Timestamp>, after: Timestamp) -> Option<Timestamp> {
        self.0.iter().filter_map(|one| one.moment(due)).filter(|moment| *moment > after).min()
    }
}

impl Task {
    /// Whether it is one that anybody is to be reminded of.
    const fn is_open(&self) -> bool {
        self.complete_time.is_none() && self.delete_time.is_none()
    }

    /// Sets the time of its next reminder, after it was like `before`. What has come due since and was not told yet is still
    /// told, unless the change is about that.
    pub(crate) fn remind(&mut self, before: Option<&Self>, now: Timestamp) {
        if self.reminders.is_empty() && self.remind_time.is_none() {
            return;
        }
        let is_as_before = before.is_some_and(|before| {
            before.is_open() && before.reminders == self.reminders && before.due() == self.due()
        });
        self.remind_time = match before {
            _ if !self.is_open() => None,
            Some(before) if is_as_before => before.remind_time,
            _ => self.reminders.first_after(self.due(), now),
        };
    }

    /// The time of the reminder that comes after the one at this time.
    pub fn next_reminder(&self, told: Timestamp) -> Option<Timestamp> {
        self.is_open().then(|| self.reminders.first_after(self.due(), told)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::{Reminder, Reminders};
    use crate::domain::Timestamp;

    #[test]
    fn a_reminder_lies_within_a_year_before_the_due() {
        assert_eq!(Reminder::before(0, 0), Ok(Reminder::Before(0)));
        assert_eq!(Reminder::before(3600, 1_999), Ok(Reminder::Before(3_600_000_001)));
        assert!(Reminder::before(Reminder::BEFORE_SECONDS_MAX, 0).is_ok());
        for (seconds, nanos) in
            [(-1, 0), (0, -1), (0, 1_000_000_000), (Reminder::BEFORE_SECONDS_MAX, 1000), (i64::MAX, 0)]
        {
            assert!(Reminder::before(seconds, nanos).is_err(), "{seconds} {nanos}");
        }
    }

    #[test]
    fn the_first_to_come_is_the_next() {
        let at = |seconds| Timestamp::from_parts(seconds, 0).unwrap();
        let all = vec![Reminder::Before(60_000_000), Reminder::At(at(10)), Reminder::Before(0)];
        let reminders = Reminders::parse(all).unwrap();
        let after = |seconds| reminders.first_after(Some(at(100)), at(seconds));
        assert_eq!(
            [after(0), after(10), after(40), after(100)],
            [Some(at(10)), Some(at(40)), Some(at(100)), None]
        );
        assert_eq!(reminders.first_after(None, at(10)), None);
        // Before the year 1 there is nothing.
        assert_eq!(reminders.first_after(Some(Timestamp::MIN), at(10)), None);
        assert!(Reminders::parse(vec![Reminder::Before(1); 6]).is_err());
    }
}
