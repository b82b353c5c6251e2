//! Which days follow which by a rule, in local time.
//!
//! The time of day is the task's own, and where the days lie in time is for whoever has the zone. Each period (a year, a month, a
//! week, a day) gives its days in order; nothing is looked for day by day.

use jiff::civil::{Date, date};
use jiff::{Span, ToSpan as _};

use super::rule::{ByDay, End, Frequency, RecurrenceRule};

/// Periods without a single day after which a rule is taken to have no more. The calendar of years is the same after 400; a day
/// of February on a day of the week comes again after 40 years, or where a rule looks at few of its months, some times as many.
const fn empty_max(frequency: Frequency) -> u32 {
    match frequency {
        Frequency::Yearly => 400,
        Frequency::Monthly => 1200,
        Frequency::Weekly | Frequency::Daily => 4800,
    }
}

/// Periods over which occurrences are counted from the beginning, a hundred years or some thousand days: nobody counts longer, and
/// counting must not cost more than looking.
const fn counted_max(frequency: Frequency) -> u32 {
    match frequency {
        Frequency::Yearly => 100,
        Frequency::Monthly => 1200,
        Frequency::Weekly | Frequency::Daily => 10_000,
    }
}

impl RecurrenceRule {
    /// The days on which a rule that begins on `start` occurs, in order, from the start on; `COUNT` and `UNTIL` are for whoever
    /// knows the time of day. From a later day on where nothing counts from the first.
    pub(super) fn days(&self, start: Date, from: Date) -> Days<'_> {
        let from = from.max(start);
        let period = match self.end {
            // They are counted from the start.
            End::Count(_) => 0,
            _ => self.period_of(start, from),
        };
        let periods = match self.end {
            End::Count(_) => counted_max(self.frequency),
            _ => u32::MAX,
        };
        Days { rule: self, start, period, empty: 0, periods, left: Vec::new() }
    }

    /// The number of the period in which a day is, or of one before it.
    fn period_of(&self, start: Date, day: Date) -> u32 {
        let units = match self.frequency {
            Frequency::Daily => i64::from((day - start).get_days()),
            Frequency::Weekly => i64::from((day - start).get_days()) / 7,
            Frequency::Monthly => months(day) - months(start),
            Frequency::Yearly => i64::from(day.year()) - i64::from(start.year()),
        };
        u32::try_from(units.max(0)).unwrap_or(0) / self.interval
    }

    /// The days of a period in order, without those before the start; `None` behind the year 9999.
    fn period(&self, start: Date, period: u32) -> Option<Vec<Date>> {
        let units = i64::from(period) * i64::from(self.interval);
        let mut days = match self.frequency {
            Frequency::Daily => {
                let day = start.checked_add(Span::new().try_days(units).ok()?).ok()?;
                vec![day]
            }
            Frequency::Weekly => {
                let back = i64::from(start.weekday().since(self.week_start));
                let first = start.checked_sub(Span::new().try_days(back).ok()?).unwrap_or(start);
                let first = if units == 0 {
                    // The first week begins with the start itself.
                    start
                } else {
                    first.checked_add(Span::new().try_days(units * 7).ok()?).ok()?
                };
                let rest = 7 - i64::from(first.weekday().since(self.week_start));
                (0..rest).map_while(|day| first.checked_add(day.days()).ok()).collect()
            }
            Frequency::Monthly => {
                let month = months(start) + units;
                let (year, month) = (month.div_euclid(12), month.rem_euclid(12) + 1);
                if year > 9999 {
                    return None;
                }
                self.of_month(i16::try_from(year).ok()?, i8::try_from(month).ok()?, start)
            }
            Frequency::Yearly => {
                let year = i64::from(start.year()) + units;
                if year > 9999 {
                    return None;
                }
                self.of_year(i16::try_from(year).ok()?, start)
            }
        };
        if days.is_empty() {
            return Some(days);
        }
        if matches!(self.frequency, Frequency::Daily | Frequency::Weekly) {
            days.retain(|day| self.passes(*day, start));
        }
        days.sort_unstable();
        days.dedup();
        if !self.set_positions.is_empty() {
            let at = |position: &i16| -> Option<Date> {
                let place = usize::from(position.unsigned_abs()) - 1;
                if *position > 0 { days.get(place) } else { days.iter().rev().nth(place) }.copied()
            };
            let mut chosen: Vec<Date> = self.set_positions.iter().filter_map(at).collect();
            chosen.sort_unstable();
            chosen.dedup();
            days = chosen;
        }
        days.retain(|day| *day >= start);
        Some(days)
    }

    /// Whether a day of a week, or one by itself, is meant.
    fn passes(&self, day: Date, start: Date) -> bool {
        let by_month = self.months.is_empty() || self.months.contains(&day.month());
        let by_month_day = self.month_days.is_empty()
            || self.month_days.iter().any(|of| month_day(day.year(), day.month(), *of) == Some(day));
        let by_day = if self.by_days.is_empty() {
            self.frequency != Frequency::Weekly || day.weekday() == start.weekday()
        } else {
            self.by_days.iter().any(|by| by.day == day.weekday())
        };
        by_month && by_month_day && by_day
    }

    /// The days of a month; days of the week are counted in it.
    fn of_month(&self, year: i16, month: i8, start: Date) -> Vec<Date> {
        if !self.months.is_empty() && !self.months.contains(&month) {
            return Vec::new();
        }
        let month_days =
            |of: &[i8]| of.iter().filter_map(|of| month_day(year, month, *of)).collect::<Vec<_>>();
        match (self.by_days.is_empty(), self.month_days.is_empty()) {
            (true, true) => month_days(&[start.day()]),
            (true, false) => month_days(&self.month_days),
            (false, true) => self.weekdays(first_of(year, month), last_of(year, month)),
            (false, false) => {
                let of = month_days(&self.month_days);
                let mut days = self.weekdays(first_of(year, month), last_of(year, month));
                days.retain(|day| of.contains(day));
                days
            }
        }
    }

    /// The days of a year; days of the week are counted in its months where some are named, else in the year.
    fn of_year(&self, year: i16, start: Date) -> Vec<Date> {
        let months = || (1..=12).filter(|month| self.months.is_empty() || self.months.contains(month));
        let month_days = |of: &[i8]| -> Vec<Date> {
            months().flat_map(|month| of.iter().filter_map(move |of| month_day(year, month, *of))).collect()
        };
        // What each part gives; a day is in all of them.
        let mut parts = Vec::new();
        if !self.year_days.is_empty() {
            parts.push(self.year_days.iter().filter_map(|of| year_day(year, *of)).collect());
        }
        if !self.month_days.is_empty() {
            parts.push(month_days(&self.month_days));
        }
        if !self.by_days.is_empty() {
            parts.push(match self.months.is_empty() {
                true => self.weekdays(first_of(year, 1), last_of(year, 12)),
                false => months()
                    .flat_map(|month| self.weekdays(first_of(year, month), last_of(year, month)))
                    .collect(),
            });
        }
        let mut parts = parts.into_iter();
        match parts.next() {
            Some(mut days) => {
                days.retain(|day| self.months.is_empty() || self.months.contains(&day.month()));
                parts.for_each(|part: Vec<Date>| days.retain(|day| part.contains(day)));
                days
            }
            None if self.months.is_empty() => {
                month_day(year, start.month(), start.day()).into_iter().collect()
            }
            None => month_days(&[start.day()]),
        }
    }

    /// The days of the week between two days, or those with their numbers among them.
    fn weekdays(&self, first: Date, last: Date) -> Vec<Date> {
        self.by_days.iter().flat_map(|by| weekdays(first, last, *by)).collect()
    }
}

/// The days of a rule, one after the other.
#[derive(Debug)]
pub(super) struct Days<'a> {
    rule: &'a RecurrenceRule,
    start: Date,
    period: u32,
    empty: u32,
    /// How many more are looked at.
    periods: u32,
    /// What is left of a period, the last one first.
    left: Vec<Date>,
}

impl Iterator for Days<'_> {
    type Item = Date;

    fn next(&mut self) -> Option<Date> {
        loop {
            if let Some(day) = self.left.pop() {
                return Some(day);
            }
            if self.empty > empty_max(self.rule.frequency) {
                return None;
            }
            self.periods = self.periods.checked_sub(1)?;
            let mut days = self.rule.period(self.start, self.period)?;
            self.period = self.period.checked_add(1)?;
            self.empty = if days.is_empty() { self.empty + 1 } else { 0 };
            days.reverse();
            self.left = days;
        }
    }
}

fn months(day: Date) -> i64 {
    i64::from(day.year()) * 12 + i64::from(day.month()) - 1
}

fn first_of(year: i16, month: i8) -> Date {
    date(year, month, 1)
}

fn last_of(year: i16, month: i8) -> Date {
    date(year, month, 1).last_of_month()
}

/// A day of a year by its number, from the end where negative; `None` where the year has none.
fn year_day(year: i16, number: i16) -> Option<Date> {
    let (first, last) = (first_of(year, 1), last_of(year, 12));
    let length = last.day_of_year();
    let day = if number > 0 { number } else { length + 1 + number };
    (1..=length).contains(&day).then(|| first.checked_add((day - 1).days()).ok()).flatten()
}

/// A day of a month by its number, from the end where negative; `None` where the month has none.
fn month_day(year: i16, month: i8, number: i8) -> Option<Date> {
    let length = last_of(year, month).day();
    let day = if number > 0 { number } else { length + 1 + number };
    (1..=length).contains(&day).then(|| date(year, month, day))
}

/// The days of the week between two days, or the one with this number among them.
fn weekdays(first: Date, last: Date, by: ByDay) -> Vec<Date> {
    let ahead = i64::from(by.day.since(first.weekday()));
    let length = i64::from((last - first).get_days());
    let days: Vec<i64> = (ahead..=length).step_by(7).collect();
    let chosen: Vec<i64> = match by.nth {
        None => days,
        Some(nth) => {
            let place = usize::from(nth.unsigned_abs()) - 1;
            let at = if nth > 0 { days.get(place) } else { days.iter().rev().nth(place) };
            at.copied().into_iter().collect()
        }
    };
    chosen.into_iter().filter_map(|day| first.checked_add(day.days()).ok()).collect()
}
