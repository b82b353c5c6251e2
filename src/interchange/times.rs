//! Days, times and zones, as files spell them.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use super::windows_zones;
use crate::domain;
use crate::pb;

/// The seconds at which the years 1 and 10000 begin: what lies between them is a time.
const SECONDS: std::ops::Range<i64> = -62_135_596_800..253_402_300_800;

/// A point in time as messages carry it; none outside of the years 1 to 9999.
pub(super) fn to_pb(time: Timestamp) -> Option<prost_types::Timestamp> {
    let nanos = time.as_nanosecond();
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
    let rest = i32::try_from(nanos.rem_euclid(1_000_000_000)).ok()?;
    SECONDS.contains(&seconds).then_some(prost_types::Timestamp { seconds, nanos: rest })
}

/// A point in time out of a message.
pub(super) fn from_pb(time: &prost_types::Timestamp) -> Option<Timestamp> {
    SECONDS.contains(&time.seconds).then(|| Timestamp::new(time.seconds, time.nanos).ok()).flatten()
}

/// Reads a point in time of RFC 3339, with any offset.
pub(super) fn rfc3339(text: &str) -> Option<prost_types::Timestamp> {
    to_pb(text.trim().parse().ok()?)
}

/// Spells a point in time as RFC 3339 does, in UTC.
pub(super) fn to_rfc3339(time: &prost_types::Timestamp) -> String {
    from_pb(time).map(|time| time.to_string()).unwrap_or_default()
}

/// A day as messages carry it.
pub(super) fn day(date: Date) -> pb::Date {
    pb::Date { year: date.year().into(), month: date.month().into(), day: date.day().into() }
}

/// A day out of a message.
pub(super) fn date(day: &pb::Date) -> Option<Date> {
    let (year, month) = (i16::try_from(day.year).ok()?, i8::try_from(day.month).ok()?);
    Date::new(year, month, i8::try_from(day.day).ok()?).ok().filter(|date| date.year() >= 1)
}

/// Spells a day as ISO 8601 does.
pub(super) fn to_iso(day: &pb::Date) -> String {
    format!("{:04}-{:02}-{:02}", day.year, day.month, day.day)
}

/// Reads a day of ISO 8601, `2026-03-01`.
pub(super) fn iso(text: &str) -> Option<pb::Date> {
    let (year, month, day) = domain::Day::parse(text.trim()).ok()?.to_parts();
    Some(pb::Date { year, month, day })
}

/// The rules of a zone, by its name in the IANA database; UTC where there is none.
pub(super) fn rules(zone: &str) -> TimeZone {
    if zone.is_empty() { TimeZone::UTC } else { TimeZone::get(zone).unwrap_or(TimeZone::UTC) }
}

/// When it is this time of day in a zone. A time that a change of the clock leaves out moves forward with it; of one that is there
/// twice it is the first.
pub(super) fn at(local: DateTime, zone: &str) -> Option<prost_types::Timestamp> {
    to_pb(rules(zone).to_ambiguous_zoned_datetime(local).compatible().ok()?.timestamp())
}

/// What the clocks of a zone show at this time.
pub(super) fn local(time: &prost_types::Timestamp, zone: &str) -> Option<DateTime> {
    Some(rules(zone).to_datetime(from_pb(time)?))
}

/// The name in the IANA database of a zone that a file names: by that name, by the one that Windows gives it, or by a name of a
/// calendar program that ends with it.
pub(super) fn zone_named(name: &str) -> Option<String> {
    let name = name.trim().trim_matches('"');
    let known =
        |name: &str| domain::TimeZone::parse(name).ok().flatten().map(|zone| zone.as_str().to_owned());
    if name.is_empty() {
        return None;
    }
    if ["utc", "gmt", "z", "etc/utc", "etc/gmt"].contains(&name.to_ascii_lowercase().as_str()) {
        return Some("UTC".to_owned());
    }
    let last = |count: usize| {
        let parts: Vec<&str> = name.split('/').collect();
        (parts.len() > count).then(|| parts.get(parts.len() - count..).map(|parts| parts.join("/"))).flatten()
    };
    known(name)
        .or_else(|| windows_zones::iana(name).and_then(known))
        .or_else(|| last(3).and_then(|name| known(&name)))
        .or_else(|| last(2).and_then(|name| known(&name)))
}
