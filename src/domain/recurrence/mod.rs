//! Tasks that come again: which occurrence follows which, and when that is where the task is.

mod days;
mod rule;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Disambiguation;
use jiff::{Span, tz};

pub use rule::RecurrenceRule;

use self::rule::End;
use super::{
    Day, DueDay, Error, InvalidReason, Result, Rule, Schedule, Task, TimeZone, Timestamp, Violations,
};

/// From what the next occurrence is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Basis {
    /// From when the task was due.
    #[default]
    Due,
    /// From the day on which it was completed.
    Completion,
}

/// How a task comes again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recurrence {
    /// The rule as the caller wrote it.
    pub rrule: Box<str>,
    /// From what the next one is counted.
    pub basis: Basis,
    /// Where the rule began.
    pub anchor: Anchor,
}

/// What a rule takes from the first task: so that a time that a clock change moved is not handed on, and what is counted is counted
/// from one beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Anchor {
    /// Its due day where it is, as `Day::number`.
    pub day: i32,
    /// The time of that day in microseconds; absent where it is due on a day.
    pub time: Option<i64>,
    /// How many days before that day it starts, and at which time in microseconds.
    pub start: Option<(i32, i64)>,
    /// Occurrences that were before it.
    pub before: u32,
}

/// When a task is due that comes again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurrence {
    /// The point in time, of a task with one.
    pub due_time: Option<Timestamp>,
    /// The day, of a task with one.
    pub due_day: Option<DueDay>,
    /// When it starts, of a task that says so.
    pub start_time: Option<Timestamp>,
    anchor: Anchor,
}

impl Recurrence {
    /// How a task comes again by this rule; where it begins is for `begin` to say.
    pub fn new(rule: &RecurrenceRule, basis: Basis) -> Self {
        Self { rrule: rule.as_str().into(), basis, anchor: Anchor::default() }
    }

    /// Whether they are the same to whoever wrote them.
    pub fn is_alike(&self, other: &Self) -> bool {
        self.rrule == other.rrule && self.basis == other.basis
    }

    /// The occurrence with which it begins.
    pub(super) fn first(&self, task: &Schedule) -> Occurrence {
        let Schedule { due_time, due_day, start_time, .. } = *task;
        Occurrence { due_time, due_day, start_time, anchor: self.anchor }
    }

    fn rule(&self) -> std::result::Result<RecurrenceRule, Rule> {
        RecurrenceRule::parse(&self.rrule)
    }

    /// The same that begins with this due, and goes on from a former one, if it does: what is counted is counted on.
    pub(super) fn begin(self, task: &Schedule, former: Option<&Schedule>) -> Self {
        let before = former.map_or(0, |former| self.gone_before(former));
        Self { anchor: Anchor::of(task, before), ..self }
    }

    /// How many occurrences there were before a task of this recurrence; 0 where nobody counts.
    fn gone_before(&self, task: &Schedule) -> u32 {
        let Ok(RecurrenceRule { end: End::Count(_), .. }) = self.rule() else { return 0 };
        let (Ok(rule), Basis::Due, Some(due)) = (self.rule(), self.basis, Local::of(task)) else {
            return self.anchor.before;
        };
        let Some(start) = date_of(self.anchor.day) else { return self.anchor.before };
        let passed = rule.days(start, start).take_while(|day| *day < due.day).count();
        self.anchor.before.saturating_add(passed.try_into().unwrap_or(u32::MAX))
    }

    /// Checks a rule beside the rest of a task; `is_new` says that it was written just now.
    pub(super) fn check(&self, task: &Schedule, is_new: bool, violations: &mut Violations) {
        let broken = |text: &'static str| Rule::of(InvalidReason::Recurrence, text);
        let Some(due) = Local::of(task) else {
            violations
                .add(broken("needs a due_time or a due_date from which it begins").at("task.recurrence"));
            return;
        };
        if task.due_day.is_some() && task.time_zone.is_none() {
            let text = "must say in which zone the days are on which a task recurs";
            violations.add(broken(text).at("task.time_zone"));
        }
        let field = "task.recurrence.rrule";
        match self.rule() {
            Ok(rule) if is_new => {
                if rule.days(due.day, due.day).next().is_none() {
                    violations.add(broken("must have an occurrence").at(field));
                }
                let zone = zone_of(task.time_zone.as_ref());
                if self.place(task, due.day, &zone).is_some_and(|first| rule.is_over(due.day, &first, &zone))
                {
                    violations.add(broken("must not have UNTIL before the task is due").at(field));
                }
            }
            Ok(_) => {}
            Err(rule) => violations.add(rule.at(field)),
        }
    }

    /// What follows after a task, at most so many, and nothing that is past at a given time.
    ///
    /// # Errors
    /// `Internal`, when it is none that was checked.
    pub fn following(&self, task: &Schedule, now: Timestamp, count: usize) -> Result<Vec<Occurrence>> {
        let broken = |rule: Rule| Error::Internal(format!("a rule of a task {}: {}", rule.text, self.rrule));
        let rule = self.rule().map_err(broken)?;
        Ok(match self.basis {
            Basis::Due => self.after_due(&rule, task, now, count),
            Basis::Completion => self.after_completion(&rule, task, now, count),
        })
    }

    fn after_due(
        &self,
        rule: &RecurrenceRule,
        task: &Schedule,
        now: Timestamp,
        count: usize,
    ) -> Vec<Occurrence> {
        let zone = zone_of(task.time_zone.as_ref());
        let (Some(start), Some(due)) = (date_of(self.anchor.day), task.due()) else { return Vec::new() };
        // A clock change may move a time into the next day.
        let from = day_at(due.max(now), &zone).yesterday().unwrap_or(start);
        let most = match rule.end {
            End::Count(most) => most.saturating_sub(self.anchor.before) as usize,
            _ => usize::MAX,
        };
        rule.days(start, from)
            .take(most)
            .skip_while(|day| *day < from)
            .map_while(|day| self.place(task, day, &zone).map(|one| (day, one)))
            .take_while(|(day, one)| !rule.is_over(*day, one, &zone))
            .filter(|(_, one)| one.due().is_some_and(|at| at > due && at >= now))
            .take(count)
            .map(|(_, one)| one)
            .collect()
    }

    /// Each from the day after which it is next, as if the one before were done when it was due.
    fn after_completion(
        &self,
        rule: &RecurrenceRule,
        task: &Schedule,
        now: Timestamp,
        count: usize,
    ) -> Vec<Occurrence> {
        let zone = zone_of(task.time_zone.as_ref());
        let mut day = day_at(now, &zone);
        let mut found = Vec::new();
        let mut before = self.anchor.before;
        while found.len() < count {
            before += 1;
            if matches!(rule.end, End::Count(most) if before >= most) {
                break;
            }
            let Some(next) = rule.days(day, day).find(|next| *next > day) else { break };
            let Some(one) = self.place(task, next, &zone).filter(|one| !rule.is_over(next, one, &zone))
            else {
                break;
            };
            let anchor = Anchor { day: day_of(next).number(), before, ..self.anchor };
            found.push(Occurrence { anchor, ..one });
            day = next;
        }
        found
    }

    /// When it is due on a day of the rule: into a gap of the clock it moves forward, of an hour that is there twice it is the first.
    fn place(&self, task: &Schedule, day: Date, zone: &tz::TimeZone) -> Option<Occurrence> {
        let anchor = self.anchor;
        let (due_time, due_day) = match anchor.time {
            Some(time) => (Some(at(day.to_datetime(time_of(time)?), zone)?), None),
            None => {
                let day = day_of(day);
                (None, Some(DueDay { day, end: day.end(task.time_zone.as_ref()) }))
            }
        };
        let due = due_time.or(due_day.map(|due| due.end));
        let start_time = anchor.start.and_then(|(days, time)| {
            let day = day.checked_sub(Span::new().try_days(days).ok()?).ok()?;
            at(day.to_datetime(time_of(time)?), zone)
        });
        // A gap may move the start behind the due time.
        let start_time = start_time.map(|start| due.map_or(start, |due| start.min(due)));
        Some(Occurrence { due_time, due_day, start_time, anchor })
    }
}

impl Occurrence {
    /// The due time, or the end of the due day.
    pub fn due(&self) -> Option<Timestamp> {
        self.due_time.or(self.due_day.map(|due| due.end))
    }

    /// A task with this in place of when it was due.
    pub(super) fn on(self, task: Task) -> Task {
        let recurrence =
            task.recurrence.map(|recurrence| Box::new(Recurrence { anchor: self.anchor, ..*recurrence }));
        let Self { due_time, due_day, start_time, .. } = self;
        Task { due_time, due_day, start_time, recurrence, ..task }
    }
}

impl RecurrenceRule {
    /// Whether its `UNTIL` is before an occurrence.
    fn is_over(&self, day: Date, one: &Occurrence, zone: &tz::TimeZone) -> bool {
        match (self.end, one.due_time) {
            (End::Never | End::Count(_), _) => false,
            (End::Until(until), Some(time)) => zone.to_datetime(jiff_time(time)) > until,
            (End::Until(until), None) => day > until.date(),
            (End::UntilUtc(until), time) => {
                let Some(until) = at(until, &tz::TimeZone::UTC) else { return false };
                match time {
                    Some(time) => time > until,
                    None => day > day_at(until, zone),
                }
            }
        }
    }
}

impl Anchor {
    /// Where a rule begins by what a task says of its due; nowhere without one.
    fn of(task: &Schedule, before: u32) -> Self {
        let Some(due) = Local::of(task) else { return Self { before, ..Self::default() } };
        let zone = zone_of(task.time_zone.as_ref());
        let start = task.start_time.map(jiff_time).map(|start| {
            let start = zone.to_datetime(start);
            ((due.day - start.date()).get_days(), micros_of(start.time()))
        });
        Self { day: day_of(due.day).number(), time: due.time.map(micros_of), start, before }
    }
}

/// When a task is due where it is.
struct Local {
    day: Date,
    time: Option<Time>,
}

impl Local {
    fn of(task: &Schedule) -> Option<Self> {
        if let Some(due) = task.due_day {
            return Some(Self { day: due.day.date(), time: None });
        }
        let local = zone_of(task.time_zone.as_ref()).to_datetime(jiff_time(task.due_time?));
        Some(Self { day: local.date(), time: Some(local.time()) })
    }
}

fn zone_of(zone: Option<&TimeZone>) -> tz::TimeZone {
    zone.map_or(tz::TimeZone::UTC, TimeZone::rules)
}

/// Its own calendar ends some hours before the last day does.
fn jiff_time(time: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(time.as_micros()).unwrap_or(jiff::Timestamp::MAX)
}

fn day_at(time: Timestamp, zone: &tz::TimeZone) -> Date {
    zone.to_datetime(jiff_time(time)).date()
}

fn at(local: DateTime, zone: &tz::TimeZone) -> Option<Timestamp> {
    let placed = zone.to_ambiguous_zoned_datetime(local).disambiguate(Disambiguation::Compatible).ok()?;
    Timestamp::from_micros(placed.timestamp().as_microsecond())
}

fn date_of(number: i32) -> Option<Date> {
    Day::from_number(number).map(Day::date)
}

const fn day_of(date: Date) -> Day {
    Day::from_date(date)
}

fn micros_of(time: Time) -> i64 {
    let seconds = i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second());
    seconds * 1_000_000 + i64::from(time.subsec_nanosecond()) / 1000
}

fn time_of(micros: i64) -> Option<Time> {
    let seconds = micros.div_euclid(1_000_000);
    let part = |number: i64| i8::try_from(number).ok();
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1000).ok()?;
    Time::new(part(seconds / 3600)?, part(seconds / 60 % 60)?, part(seconds % 60)?, nanos).ok()
}
