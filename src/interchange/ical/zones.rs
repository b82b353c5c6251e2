//! The time zones that a calendar names, with the changes of their clocks as far as its tasks reach.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::{Dst, Offset};

use super::spelling::{basic, line};
use crate::interchange::times;
use icalendar::Property;

/// How long after the last time the changes are told, in seconds: what comes again reaches further than what is written.
const AHEAD_SECONDS: i64 = 10 * 366 * 24 * 60 * 60;
/// So many changes at most: a zone changes its clocks for ever.
const CHANGES_MAX: usize = 200;

/// Names of zones, each with the first and the last time that was written in it.
#[derive(Debug, Default)]
pub(super) struct Zones(BTreeMap<String, (i64, i64)>);

/// From which offset to which, by which name.
type Change = (Offset, Offset, String, bool);

impl Zones {
    /// Notes that a time, in seconds, was written by the clocks of a zone.
    pub(super) fn add(&mut self, name: &str, seconds: i64) {
        let (first, last) = self.0.entry(name.to_owned()).or_insert((seconds, seconds));
        *first = seconds.min(*first);
        *last = seconds.max(*last);
    }

    /// Each as a `VTIMEZONE`.
    pub(super) fn written(&self) -> String {
        self.0.iter().map(|(name, (first, last))| zone(name, *first, *last)).collect()
    }
}

fn zone(name: &str, first: i64, last: i64) -> String {
    let rules = times::rules(name);
    let at = |seconds: i64| Timestamp::from_second(seconds).unwrap_or_default();
    let end = at(last.saturating_add(AHEAD_SECONDS));
    let before = rules.preceding(at(first.saturating_add(1))).next();
    // The clocks as they are set before the first time.
    let start = before.as_ref().map_or(Timestamp::MIN, |change| change.timestamp());
    let mut offset = rules.to_offset(start);
    let mut changes: BTreeMap<Change, Vec<String>> = BTreeMap::new();
    let mut order: Vec<Change> = Vec::new();
    let mut note = |change: Change, local: String| {
        if !changes.contains_key(&change) {
            order.push(change.clone());
        }
        changes.entry(change).or_default().push(local);
    };
    match &before {
        Some(change) => {
            let former = rules.to_offset(at(change.timestamp().as_second() - 1));
            let local = former.to_datetime(change.timestamp());
            note((former, offset, change.abbreviation().to_owned(), change.dst() == Dst::Yes), basic(local));
        }
        None => {
            let info = rules.to_offset_info(at(first));
            offset = info.offset();
            note((offset, offset, info.abbreviation().to_owned(), false), "19000101T000000".to_owned());
        }
    }
    let following =
        rules.following(at(first)).take_while(|change| change.timestamp() <= end).take(CHANGES_MAX);
    for change in following {
        let local = offset.to_datetime(change.timestamp());
        note(
            (offset, change.offset(), change.abbreviation().to_owned(), change.dst() == Dst::Yes),
            basic(local),
        );
        offset = change.offset();
    }
    let mut text = String::from("BEGIN:VTIMEZONE\r\n");
    text.push_str(&line(Property::new("TZID", name)));
    for change in order {
        let locals = changes.remove(&change).unwrap_or_default();
        text.push_str(&observance(&change, &locals));
    }
    text.push_str("END:VTIMEZONE\r\n");
    text
}

fn observance((from, to, name, is_dst): &Change, locals: &[String]) -> String {
    let kind = if *is_dst { "DAYLIGHT" } else { "STANDARD" };
    let mut text = format!("BEGIN:{kind}\r\n");
    let (first, others) =
        locals.split_first().map_or(("", &[][..]), |(first, others)| (first.as_str(), others));
    // Writing to a text does not fail.
    let _ = write!(text, "DTSTART:{first}\r\n");
    if !others.is_empty() {
        text.push_str(&line(Property::new("RDATE", others.join(","))));
    }
    let _ = write!(text, "TZOFFSETFROM:{}\r\nTZOFFSETTO:{}\r\n", signed(*from), signed(*to));
    text.push_str(&line(Property::new("TZNAME", name.as_str())));
    let _ = write!(text, "END:{kind}\r\n");
    text
}

/// An offset such as `+0100`, with seconds where it has some.
fn signed(offset: Offset) -> String {
    let seconds = offset.seconds();
    let (sign, all) = (if seconds < 0 { '-' } else { '+' }, seconds.unsigned_abs());
    let (hours, minutes, rest) = (all / 3600, all / 60 % 60, all % 60);
    if rest == 0 {
        format!("{sign}{hours:02}{minutes:02}")
    } else {
        format!("{sign}{hours:02}{minutes:02}{rest:02}")
    }
}
