//! Due dates as people write them, in the time zone of the machine (or of `TZ`).

use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::{Span, Timestamp, ZonedDateTime};

/// The forms that are understood.
const FORMS: &str = "must be a day (2026-12-01, today, tomorrow, +3d, +2w), a time (2026-12-01T18:00, +90m, +4h) or an \
                     RFC 3339 time (2026-12-01T18:00:00Z)";

/// When a task is due, or begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// On this day here.
    Day(Date),
    /// At this time.
    Time(Timestamp),
}

impl FromStr for Due {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text.trim(), &ZonedDateTime::now()).ok_or_else(|| FORMS.to_owned())
    }
}

fn parse(text: &str, now: &ZonedDateTime) -> Option<Due> {
    match text.to_ascii_lowercase().as_str() {
        "today" => return Some(Due::Day(now.date())),
        "tomorrow" => return Some(Due::Day(now.date().tomorrow().ok()?)),
        _ => {}
    }
    if let Some(distance) = text.strip_prefix('+') {
        return after(distance, now);
    }
    if text.len() == "2026-12-01".len() {
        return Some(Due::Day(text.parse::<Date>().ok()?));
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(Due::Time(time));
    }
    // Without an offset it is a time of day here. Other forms, such as a date with a zone's name, are not for typing.
    let is_simple = text.chars().all(|char| char.is_ascii_digit() || "-T: t.".contains(char));
    let time = text.parse::<DateTime>().ok().filter(|_| is_simple && text.contains(':'))?;
    Some(Due::Time(time.to_zoned_datetime(now.time_zone().clone()).ok()?.timestamp()))
}

fn after(distance: &str, now: &ZonedDateTime) -> Option<Due> {
    let unit = distance.chars().next_back()?;
    let digits = distance.strip_suffix(unit)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: i64 = digits.parse().ok()?;
    let days =
        |count: Option<i64>| Some(Due::Day(now.date().checked_add(Span::new().try_days(count?).ok()?).ok()?));
    match unit {
        'm' => Some(Due::Time(now.timestamp().checked_add(Span::new().try_minutes(count).ok()?).ok()?)),
        'h' => Some(Due::Time(now.timestamp().checked_add(Span::new().try_hours(count).ok()?).ok()?)),
        'd' => days(Some(count)),
        'w' => days(count.checked_mul(7)),
        _ => None,
    }
}
