//! Due dates as people write them, in the time zone of the machine (or of `TZ`).

use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ZonedDateTime};

/// The forms that are understood.
const FORMS: &str = "must be a day (2026-12-01, today, tomorrow, +3d, +2w), a time (2026-12-01T18:00, +90m, +4h) or an \
                     RFC 3339 time (2026-12-01T18:00:00Z)";

/// When a task is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Since 1970 began, in seconds.
    pub seconds: i64,
    /// And the rest, in nanoseconds.
    pub nanos: i32,
}

impl FromStr for Due {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text.trim(), &ZonedDateTime::now()).ok_or_else(|| FORMS.to_owned()).map(|time| {
            // The rest counts forwards, also before 1970.
            let nanos = time.as_nanosecond();
            let seconds = nanos.div_euclid(1_000_000_000);
            let rest = nanos.rem_euclid(1_000_000_000);
            Self {
                seconds: seconds.try_into().unwrap_or_default(),
                nanos: rest.try_into().unwrap_or_default(),
            }
        })
    }
}

fn parse(text: &str, now: &ZonedDateTime) -> Option<Timestamp> {
    let zone = now.time_zone();
    match text.to_ascii_lowercase().as_str() {
        "today" => return end_of(now.date(), zone),
        "tomorrow" => return end_of(now.date().tomorrow().ok()?, zone),
        _ => {}
    }
    if let Some(distance) = text.strip_prefix('+') {
        return after(distance, now);
    }
    if text.len() == "2026-12-01".len() {
        return end_of(text.parse::<Date>().ok()?, zone);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    // Without an offset it is a time of day here. Other forms, such as a date with a zone's name, are not for typing.
    let is_simple = text.chars().all(|char| char.is_ascii_digit() || "-T: t.".contains(char));
    let time = text.parse::<DateTime>().ok().filter(|_| is_simple && text.contains(':'))?;
    Some(time.to_zoned_datetime(zone.clone()).ok()?.timestamp())
}

/// A day is over when it ends: what is due on a day is not late during it.
fn end_of(day: Date, zone: &TimeZone) -> Option<Timestamp> {
    Some(day.at(23, 59, 59, 0).to_zoned_datetime(zone.clone()).ok()?.timestamp())
}

fn after(distance: &str, now: &ZonedDateTime) -> Option<Timestamp> {
    let unit = distance.chars().next_back()?;
    let digits = distance.strip_suffix(unit)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: i64 = digits.parse().ok()?;
    let days = |count: Option<i64>| {
        let day = now.date().checked_add(Span::new().try_days(count?).ok()?).ok()?;
        end_of(day, now.time_zone())
    };
    match unit {
        'm' => Some(now.timestamp().checked_add(Span::new().try_minutes(count).ok()?).ok()?),
        'h' => Some(now.timestamp().checked_add(Span::new().try_hours(count).ok()?).ok()?),
        'd' => days(Some(count)),
        'w' => days(count.checked_mul(7)),
        _ => None,
    }
}
