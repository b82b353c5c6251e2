//! Days and times as people write them in English, and how often something comes again: `Oct 5 2026`, `tomorrow at 9am`, `every monday
//! at 18:00`. What is not understood is none.

use jiff::civil::{Date, Time, Weekday};
use jiff::{Span, ToSpan as _};

use super::every::Every;
use crate::domain::{Basis, Day, DueDay, Recurrence, RecurrenceRule, Schedule};

/// What was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spoken {
    pub(super) date: Date,
    pub(super) time: Option<Time>,
    /// The value of an `RRULE`, and whether it counts from when the task is done.
    pub(super) rule: Option<(String, bool)>,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Reads it, on this day.
pub(super) fn parse(text: &str, today: Date) -> Option<Spoken> {
    let text = text.trim().to_lowercase().replace(',', " ");
    let words: Vec<&str> = text.split_whitespace().collect();
    let (words, time) = timed(&words);
    let (first, rest) = words.split_first()?;
    match *first {
        "every" | "ev" => recurring(rest, today, false, time),
        "every!" | "ev!" => recurring(rest, today, true, time),
        "daily" | "weekly" | "monthly" | "yearly" => recurring(&words, today, false, time),
        _ => Some(Spoken { date: date(&words, today)?, time, rule: None }),
    }
}

/// The words without the time of day at their end, and that.
fn timed<'a>(words: &[&'a str]) -> (Vec<&'a str>, Option<Time>) {
    let mut kept = words.to_vec();
    // A time can stand before a date from which something begins, too.
    let until = kept
        .iter()
        .position(|word| ["starting", "from", "until", "ending"].contains(word))
        .unwrap_or(kept.len());
    let (head, tail) = kept.split_at(until);
    let (mut head, tail) = (head.to_vec(), tail.to_vec());
    if let Some((day, time)) =
        head.last().and_then(|last| last.split_once('t')).filter(|(day, _)| day.len() == 10)
        && let Some(time) = time_of(time.trim_end_matches('z'))
    {
        head.pop();
        head.push(day);
        return ([head, tail].concat(), Some(time));
    }
    let found = match head.as_slice() {
        [.., hour, half @ ("am" | "pm")] => time_of(&format!("{hour}{half}")).map(|time| (2, time)),
        [.., last] => time_of(last).map(|time| (1, time)),
        [] => None,
    };
    let Some((count, time)) = found else { return (words.to_vec(), None) };
    head.truncate(head.len() - count);
    if matches!(head.last(), Some(&("at" | "@"))) {
        head.pop();
    }
    kept = [head, tail].concat();
    (kept, Some(time))
}

fn time_of(word: &str) -> Option<Time> {
    match word {
        "noon" => return Time::new(12, 0, 0, 0).ok(),
        "midnight" => return Time::new(0, 0, 0, 0).ok(),
        _ => {}
    }
    let (digits, half) = match (word.strip_suffix("am"), word.strip_suffix("pm")) {
        (Some(digits), _) => (digits, Some(0)),
        (_, Some(digits)) => (digits, Some(12)),
        _ => (word, None),
    };
    let mut parts = digits.split(':');
    let number = |part: &str| -> Option<i8> {
        let is_number = (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| part.parse().ok()).flatten()
    };
    let hour = number(parts.next()?)?;
    let minute = parts.next().map(number);
    let second = parts.next().map(number);
    // A number alone is a day.
    if parts.next().is_some() || (minute.is_none() && half.is_none()) {
        return None;
    }
    let hour = match half {
        Some(half) if (1..=12).contains(&hour) => hour % 12 + half,
        Some(_) => return None,
        None => hour,
    };
    Time::new(hour, minute.unwrap_or(Some(0))?, second.unwrap_or(Some(0))?, 0).ok()
}

fn date(words: &[&str], today: Date) -> Option<Date> {
    match words {
        ["today"] => Some(today),
        ["tomorrow"] => today.tomorrow().ok(),
        ["yesterday"] => today.yesterday().ok(),
        [word] if word.len() == 10 && word.contains('-') => word.parse().ok(),
        [word] | ["next" | "on", word] if weekday(word).is_some() => {
            let day = weekday(word)?;
            let ahead = (i32::from(day.to_monday_zero_offset())
                - i32::from(today.weekday().to_monday_zero_offset()))
            .rem_euclid(7);
            today.checked_add(Span::new().try_days(if ahead == 0 { 7 } else { ahead }).ok()?).ok()
        }
        ["in", count, "day" | "days"] => {
            today.checked_add(Span::new().try_days(count.parse::<i32>().ok()?).ok()?).ok()
        }
        [one, other] => of_year(one, other, today),
        [one, other, year] => {
            let (month, day) = month_and_day(one, other)?;
            let is_year = year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit());
            is_year.then(|| Date::new(year.parse().ok()?, month, day).ok()).flatten()
        }
        _ => None,
    }
}

/// A day of the year is the next one.
fn of_year(one: &str, other: &str, today: Date) -> Option<Date> {
    let (month, day) = month_and_day(one, other)?;
    (0..8)
        .filter_map(|years| Date::new(today.year().checked_add(years)?, month, day).ok())
        .find(|date| *date >= today)
}

fn month_and_day(one: &str, other: &str) -> Option<(i8, i8)> {
    let month = |word: &str| {
        let at = MONTHS.iter().position(|name| {
            word.get(..3) == Some(name) && word.bytes().all(|byte| byte.is_ascii_lowercase())
        })?;
        i8::try_from(at + 1).ok()
    };
    let day = |word: &str| {
        let digits = ["st", "nd", "rd", "th"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
        digits.parse::<i8>().ok()
    };
    month(one).zip(day(other)).or_else(|| month(other).zip(day(one)))
}

fn weekday(word: &str) -> Option<Weekday> {
    const DAYS: [(&str, Weekday); 7] = [
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ];
    DAYS.iter()
        .find(|(name, _)| *name == word || (word.len() >= 3 && name.get(..3) == Some(word)))
        .map(|(_, day)| *day)
}

fn recurring(words: &[&str], today: Date, is_after_done: bool, time: Option<Time>) -> Option<Spoken> {
    let at = |names: &[&str]| words.iter().position(|word| names.contains(word));
    let (from, until) = (at(&["starting", "from"]), at(&["until", "ending"]));
    let end_of = |start: usize| {
        [from, until].into_iter().flatten().filter(|at| *at > start).min().unwrap_or(words.len())
    };
    let named = |place: Option<usize>| match place {
        None => Some(None),
        Some(place) => date(words.get(place + 1..end_of(place))?, today).map(Some),
    };
    let (from_date, until_date) = (named(from)?, named(until)?);
    let head = words.get(..[from, until].into_iter().flatten().min().unwrap_or(words.len()))?;
    let Every(mut rrule) = head.join(" ").parse().ok()?;
    let start = from_date.unwrap_or(today);
    let date = first_day(&rrule, start)?;
    if let Some(until) = until_date {
        rrule.push_str(&format!(";UNTIL={:04}{:02}{:02}", until.year(), until.month(), until.day()));
    }
    Some(Spoken { date, time, rule: Some((rrule, is_after_done)) })
}

/// The first day of a rule from this one on. One that names no days begins at once.
fn first_day(rrule: &str, start: Date) -> Option<Date> {
    if !rrule.split(';').any(|part| part.starts_with("BY")) {
        return Some(start);
    }
    let parts: Vec<&str> = rrule.split(';').filter(|part| !part.starts_with("INTERVAL=")).collect();
    let rule = RecurrenceRule::parse(&parts.join(";")).ok()?;
    let before = start.checked_sub(1.day()).ok()?;
    let day = Day::from_parts(before.year().into(), before.month().into(), before.day().into()).ok()?;
    let due_day = Some(DueDay { day, end: day.end(None) });
    let schedule = Schedule { due_time: None, due_day, start_time: None, time_zone: None };
    let next = Recurrence::new(&rule, Basis::Due).following(&schedule, day.end(None), 1).ok()?;
    let (year, month, day) = next.first()?.due_day?.day.to_parts();
    Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}
