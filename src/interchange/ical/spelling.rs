//! How properties and times are spelt.

use icalendar::Property;
use jiff::civil::DateTime;

use crate::interchange::times;

/// A property as lines, folded and escaped.
pub(super) fn line(property: Property) -> String {
    // Writing to a text does not fail.
    folded(&TryInto::<String>::try_into(property).unwrap_or_default())
}

/// Lines of at most 75 bytes. The crate folds them too, but lets the last one have a byte more.
pub(super) fn folded(text: &str) -> String {
    const BYTES_MAX: usize = 75;
    let mut lines = String::with_capacity(text.len());
    for line in text.replace("\r\n ", "").split_terminator("\r\n") {
        let (mut rest, mut most) = (line, BYTES_MAX);
        while rest.len() > most {
            let at = (1..=most).rev().find(|at| rest.is_char_boundary(*at)).unwrap_or(rest.len());
            let (head, tail) = rest.split_at(at);
            lines.push_str(head);
            lines.push_str("\r\n ");
            (rest, most) = (tail, BYTES_MAX - 1);
        }
        lines.push_str(rest);
        lines.push_str("\r\n");
    }
    lines
}

/// The clocks of a zone may show a year that iCalendar does not spell.
pub(super) fn is_of_years(local: &DateTime) -> bool {
    matches!(local.year(), 1..=9999)
}

pub(super) fn without_fraction(local: DateTime) -> DateTime {
    local.date().at(local.hour(), local.minute(), local.second(), 0)
}

/// A time of day without a zone, `20260301T090000`.
pub(super) fn basic(local: DateTime) -> String {
    let (date, time) = (local.date(), local.time());
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}",
        date.year(),
        date.month(),
        date.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

/// A point in time in UTC, to the second, which is all that iCalendar has.
pub(super) fn utc(time: &prost_types::Timestamp) -> String {
    times::local(time, "").map(|local| format!("{}Z", basic(local))).unwrap_or_default()
}

pub(super) fn day_of(name: &str, local: DateTime) -> Property {
    let date = local.date();
    let text = format!("{:04}{:02}{:02}", date.year(), date.month(), date.day());
    Property::new(name, text).add_parameter("VALUE", "DATE").done()
}
