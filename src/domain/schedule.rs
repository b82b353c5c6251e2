//! When a task is to be done: from when, by when, and in which zone its days are.

use super::{DueDay, Occurrence, Recurrence, Result, Rule, TimeZone, Timestamp, Violations};

/// What a task says of when it is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// When it is due, if at a point in time.
    pub due_time: Option<Timestamp>,
    /// On which day it is due, if on a day.
    pub due_day: Option<DueDay>,
    /// When work on it begins.
    pub start_time: Option<Timestamp>,
    /// Where its days are; UTC when absent.
    pub time_zone: Option<TimeZone>,
}

impl Schedule {
    /// The due time, or the end of the due day.
    pub fn due(&self) -> Option<Timestamp> {
        self.due_time.or(self.due_day.map(|due| due.end))
    }

    /// What its parts, and a recurrence that may have been written just now, say together.
    pub(super) fn check(&self, recurrence: Option<&Recurrence>, is_new: bool, violations: &mut Violations) {
        if self.due_time.is_some() && self.due_day.is_some() {
            let text = "must not stand beside due_time: a task is due on a day or at a point in time";
            violations.add(Rule::field(text).at("task.due_date"));
        }
        if self.start_time.zip(self.due()).is_some_and(|(start, due)| start > due) {
            violations.add(Rule::field("must not be after the task is due").at("task.start_time"));
        }
        if let Some(recurrence) = recurrence {
            recurrence.check(self, is_new, violations);
        }
    }

    /// A recurrence that begins with this due.
    pub fn begin(&self, recurrence: Recurrence) -> Recurrence {
        recurrence.begin(self, None)
    }

    /// When a task like this is due, at most so many times: now, and each time that follows if it is always done when it is due.
    ///
    /// # Errors
    /// `Invalid` with all rules that it breaks.
    pub fn occurrences(&self, recurrence: Recurrence, count: usize) -> Result<Vec<Occurrence>> {
        let recurrence = self.begin(recurrence);
        let mut violations = Violations::default();
        self.check(Some(&recurrence), true, &mut violations);
        violations.finish()?;
        let Some(due) = self.due() else { return Ok(Vec::new()) };
        let mut all = vec![recurrence.first(self)];
        all.extend(recurrence.following(self, due, count.saturating_sub(1))?);
        Ok(all)
    }
}
