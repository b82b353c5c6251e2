//! Recurrence rules as they are written (RFC 5545, 3.3.10), as far as tasks need them.

use std::borrow::Cow;

use jiff::civil::{Date, DateTime, Weekday};

use crate::domain::{InvalidReason, Rule};

/// How often a period comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Frequency {
    /// Every so many days.
    Daily,
    /// Every so many weeks.
    Weekly,
    /// Every so many months.
    Monthly,
    /// Every so many years.
    Yearly,
}

/// A day of the week, or with a number the so-manieth of the month or year, from its end where negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ByDay {
    pub(super) nth: Option<i16>,
    pub(super) day: Weekday,
}

/// When a rule ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Never.
    Never,
    /// After so many occurrences, the first one included.
    Count(u32),
    /// With this local time; a day means all of it.
    Until(DateTime),
    /// With this point in time.
    UntilUtc(DateTime),
}

/// A rule as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecurrenceRule {
    text: Box<str>,
    pub(super) frequency: Frequency,
    pub(super) interval: u32,
    pub(super) end: End,
    pub(super) months: Vec<i8>,
    pub(super) month_days: Vec<i8>,
    pub(super) year_days: Vec<i16>,
    pub(super) by_days: Vec<ByDay>,
    pub(super) set_positions: Vec<i16>,
    pub(super) week_start: Weekday,
}

const INTERVAL_MAX: u32 = 1000;
const COUNT_MAX: u32 = 10_000;
/// Values of one part: a month has no more days that could be listed, and back from its end.
const VALUES_MAX: usize = 62;

/// What is wrong with a rule.
type Broken = Cow<'static, str>;

impl RecurrenceRule {
    /// Longest rule, in bytes.
    pub const MAX_BYTES: usize = 500;

    /// Reads the value of an `RRULE`.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, Rule> {
        Self::read(text).map_err(|broken| Rule::of(InvalidReason::Recurrence, broken))
    }

    fn read(text: &str) -> Result<Self, Broken> {
        if text.len() > Self::MAX_BYTES {
            return Err(format!("must have at most {} bytes", Self::MAX_BYTES).into());
        }
        let mut rule = Self {
            text: text.into(),
            frequency: Frequency::Daily,
            interval: 1,
            end: End::Never,
            months: Vec::new(),
            month_days: Vec::new(),
            year_days: Vec::new(),
            by_days: Vec::new(),
            set_positions: Vec::new(),
            week_start: Weekday::Monday,
        };
        let mut seen: Vec<String> = Vec::new();
        for part in text.split(';') {
            let (name, value) =
                part.split_once('=').ok_or("must be parts NAME=VALUE separated by semicolons")?;
            let name = name.to_ascii_uppercase();
            let value = value.to_ascii_uppercase();
            if seen.contains(&name) {
                return Err(format!("must name {name} once").into());
            }
            rule.read_part(&name, &value)?;
            seen.push(name);
        }
        let has = |name: &str| seen.iter().any(|one| one == name);
        if !has("FREQ") {
            return Err("must have FREQ=DAILY, WEEKLY, MONTHLY or YEARLY".into());
        }
        if has("COUNT") && has("UNTIL") {
            return Err("must end by COUNT or by UNTIL, not by both".into());
        }
        rule.check(&has)?;
        Ok(rule)
    }

    fn read_part(&mut self, name: &str, value: &str) -> Result<(), Broken> {
        match name {
            "FREQ" => {
                self.frequency = match value {
                    "DAILY" => Frequency::Daily,
                    "WEEKLY" => Frequency::Weekly,
                    "MONTHLY" => Frequency::Monthly,
                    "YEARLY" => Frequency::Yearly,
                    _ => return Err("must have FREQ=DAILY, WEEKLY, MONTHLY or YEARLY".into()),
                }
            }
            "INTERVAL" => self.interval = number(name, value, 1, INTERVAL_MAX)?,
            "COUNT" => self.end = End::Count(number(name, value, 1, COUNT_MAX)?),
            "UNTIL" => self.end = until(value)?,
            "BYMONTH" => self.months = list(name, value, |value| (1..=12).contains(&value))?,
            "BYMONTHDAY" => {
                self.month_days =
                    list(name, value, |value| (1..=31).contains(&value) || (-31..=-1).contains(&value))?;
            }
            "BYYEARDAY" => {
                self.year_days =
                    list(name, value, |value| (1..=366).contains(&value) || (-366..=-1).contains(&value))?;
            }
            "BYSETPOS" => {
                self.set_positions =
                    list(name, value, |value| (1..=366).contains(&value) || (-366..=-1).contains(&value))?;
            }
            "BYDAY" => self.by_days = by_days(value)?,
            "WKST" => self.week_start = weekday(value).ok_or("must have one of MO TU WE TH FR SA SU as WKST")?,
            "BYWEEKNO" | "BYHOUR" | "BYMINUTE" | "BYSECOND" => {
                let text = format!("must not have {name}: a task recurs on days, at the time that it is due");
                return Err(text.into());
            }
            _ => return Err("must have no parts but FREQ, INTERVAL, COUNT, UNTIL, BYMONTH, BYMONTHDAY, BYYEARDAY, BYDAY, \
                 BYSETPOS and WKST"
                .into()),
        }
        Ok(())
    }

    fn check(&self, has: &dyn Fn(&str) -> bool) -> Result<(), Broken> {
        let is = |frequency| self.frequency == frequency;
        if has("BYMONTHDAY") && is(Frequency::Weekly) {
            return Err("must not have BYMONTHDAY with FREQ=WEEKLY".into());
        }
        if has("BYYEARDAY") && !is(Frequency::Yearly) {
            return Err("must have BYYEARDAY with FREQ=YEARLY alone".into());
        }
        let has_numbers = self.by_days.iter().any(|day| day.nth.is_some());
        if has_numbers && !(is(Frequency::Monthly) || is(Frequency::Yearly)) {
            return Err("must have numbers in BYDAY with FREQ=MONTHLY or YEARLY alone".into());
        }
        if has("BYSETPOS") && !["BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYDAY"].iter().any(|part| has(part)) {
            return Err("must have another BY part beside BYSETPOS".into());
        }
        Ok(())
    }

    /// It as it was written.
    pub const fn as_str(&self) -> &str {
        &self.text
    }
}

fn number(name: &str, value: &str, least: u32, most: u32) -> Result<u32, Broken> {
    let is_plain = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    value
        .parse()
        .ok()
        .filter(|number| is_plain && (least..=most).contains(number))
        .ok_or_else(|| format!("must have a number from {least} to {most} as {name}").into())
}

fn list<T>(name: &str, value: &str, fits: impl Fn(i16) -> bool) -> Result<Vec<T>, Broken>
where
    T: TryFrom<i16>,
{
    let read = |one: &str| -> Option<T> {
        let number: i16 = one.parse().ok().filter(|number| fits(*number))?;
        T::try_from(number).ok()
    };
    let values: Vec<&str> = value.split(',').collect();
    if values.len() > VALUES_MAX {
        return Err(format!("must have at most {VALUES_MAX} values in {name}").into());
    }
    let read: Option<Vec<T>> = values.into_iter().map(read).collect();
    read.ok_or_else(|| format!("must not have values in {name} that do not exist").into())
}

fn weekday(text: &str) -> Option<Weekday> {
    Some(match text {
        "MO" => Weekday::Monday,
        "TU" => Weekday::Tuesday,
        "WE" => Weekday::Wednesday,
        "TH" => Weekday::Thursday,
        "FR" => Weekday::Friday,
        "SA" => Weekday::Saturday,
        "SU" => Weekday::Sunday,
        _ => return None,
    })
}

fn by_days(value: &str) -> Result<Vec<ByDay>, Broken> {
    let read = |one: &str| -> Option<ByDay> {
        let (number, day) = one.split_at_checked(one.len().checked_sub(2)?)?;
        let nth = match number {
            "" => None,
            number => Some(number.parse::<i16>().ok().filter(|nth| (1..=53).contains(&nth.unsigned_abs()))?),
        };
        Some(ByDay { nth, day: weekday(day)? })
    };
    let values: Vec<&str> = value.split(',').collect();
    if values.len() > VALUES_MAX {
        return Err(format!("must have at most {VALUES_MAX} values in BYDAY").into());
    }
    let read: Option<Vec<ByDay>> = values.into_iter().map(read).collect();
    read.ok_or_else(|| {
        "must have days MO TU WE TH FR SA SU in BYDAY, with numbers from 1 to 53 or -1 to -53".into()
    })
}

fn until(value: &str) -> Result<End, Broken> {
    let broken =
        || Broken::from("must have a date such as 20261231 or a time such as 20261231T225959Z as UNTIL");
    let shape: String = value.chars().map(|char| if char.is_ascii_digit() { '0' } else { char }).collect();
    let part =
        |at: usize, length: usize| value.get(at..at + length).unwrap_or_default().parse::<i16>().unwrap_or(0);
    let small = |at: usize| i8::try_from(part(at, 2)).unwrap_or(0);
    let day = || Date::new(part(0, 4), small(4), small(6)).map_err(|_| broken());
    let time = || {
        DateTime::new(part(0, 4), small(4), small(6), small(9), small(11), small(13), 0).map_err(|_| broken())
    };
    match shape.as_str() {
        "00000000" => Ok(End::Until(day()?.at(23, 59, 59, 999_999_999))),
        "00000000T000000" => Ok(End::Until(time()?)),
        "00000000T000000Z" => Ok(End::UntilUtc(time()?)),
        _ => Err(broken()),
    }
}
