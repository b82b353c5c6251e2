//! The lines of iCalendar: put together where they were folded, and what stands in them. What a line means, the crate says.

use std::io::BufRead;

use icalendar::parser::Property;
use jiff::civil::{Date, DateTime};

use crate::interchange::lines::{LINE_MAX, Line, Lines};
use crate::interchange::{Unreadable, times};
use crate::pb;

/// A content line, and what is wrong with it, if something is.
pub(super) struct Content {
    /// The first of its lines, from 1.
    pub(super) number: u64,
    pub(super) text: Result<String, &'static str>,
}

/// Content lines, unfolded.
pub(super) struct Contents<R> {
    lines: Lines<R>,
    next: Option<Line>,
}

impl<R: BufRead> Contents<R> {
    pub(super) const fn new(input: R) -> Self {
        Self { lines: Lines::new(input), next: None }
    }

    /// How many lines there were, once all were read.
    fn line(&mut self) -> Result<Option<Line>, Unreadable> {
        match self.next.take() {
            Some(line) => Ok(Some(line)),
            None => self.lines.next().transpose(),
        }
    }

    fn content(&mut self) -> Result<Option<Content>, Unreadable> {
        let Some(Line { number, mut text }) = self.line()? else { return Ok(None) };
        while let Some(line) = self.line()? {
            let more = match &line.text {
                Ok(more) if more.starts_with([' ', '\t']) => more.get(1..).unwrap_or_default().to_owned(),
                _ => {
                    self.next = Some(line);
                    break;
                }
            };
            match &mut text {
                Ok(text) if text.len() + more.len() <= LINE_MAX => text.push_str(&more),
                Ok(_) => text = Err("must have at most 1 MiB"),
                Err(_) => {}
            }
        }
        Ok(Some(Content { number, text }))
    }
}

impl<R: BufRead> Iterator for Contents<R> {
    type Item = Result<Content, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        self.content().transpose()
    }
}

/// A content line as a property.
///
/// # Errors
/// The rule that it breaks.
pub(super) fn property(text: &str) -> Result<Property<'_>, &'static str> {
    let is_name = |char: char| char.is_ascii_alphanumeric() || char == '-';
    let name = text.find([':', ';']).and_then(|at| text.get(..at)).unwrap_or_default();
    if name.is_empty() || !name.chars().all(is_name) || !text.contains(':') {
        return Err("must be NAME:VALUE");
    }
    Property::try_from(text).map_err(|_| "must be NAME;PARAMETER=VALUE:VALUE")
}

/// A parameter of a property.
pub(super) fn parameter<'a>(property: &'a Property<'_>, name: &str) -> Option<&'a str> {
    let found = property.params.iter().find(|one| one.key.as_str().eq_ignore_ascii_case(name));
    found.and_then(|one| one.val.as_ref()).map(|value| value.as_str())
}

/// When a property says that something is: on a day, or at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Day(pb::Date),
    /// By clocks, if they are not UTC.
    Local(DateTime),
    Utc(prost_types::Timestamp),
}

/// Reads a `DATE` or a `DATE-TIME`.
pub(super) fn when(text: &str) -> Option<When> {
    let digits = |at: usize, length: usize| -> Option<i16> {
        let part = text.get(at..at + length)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok()).flatten()
    };
    let two = |at: usize| i8::try_from(digits(at, 2)?).ok();
    let date = Date::new(digits(0, 4)?, two(4)?, two(6)?).ok().filter(|date| date.year() >= 1)?;
    if text.len() == 8 {
        return Some(When::Day(times::day(date)));
    }
    if text.get(8..9)? != "T" {
        return None;
    }
    // A leap second is the second before it.
    let local =
        date.at(0, 0, 0, 0).with().hour(two(9)?).minute(two(11)?).second(two(13)?.min(59)).build().ok()?;
    match text.get(15..)? {
        "" => Some(When::Local(local)),
        "Z" | "z" => Some(When::Utc(times::at(local, "")?)),
        _ => None,
    }
}

/// The point in time that a property says, with the zone that it names; days begin with their first second.
pub(super) fn time(property: &Property<'_>, zone: &str) -> Option<(prost_types::Timestamp, Option<String>)> {
    let named = parameter(property, "TZID").and_then(times::zone_named);
    let zone = named.as_deref().unwrap_or(zone);
    let time = match when(property.val.as_str().trim())? {
        When::Utc(time) => return Some((time, None)),
        When::Local(local) => times::at(local, zone)?,
        When::Day(day) => times::at(times::date(&day)?.at(0, 0, 0, 0), zone)?,
    };
    Some((time, named))
}

/// Reads a `DURATION` such as `-P1DT30M`, in seconds.
pub(super) fn duration(text: &str) -> Option<i64> {
    let text = text.trim();
    let (sign, text) = match text.strip_prefix('-') {
        Some(text) => (-1, text),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut seconds: i64 = 0;
    let (mut number, mut is_time, mut has_any) = (String::new(), false, false);
    for char in text.strip_prefix('P')?.chars() {
        let unit = match char {
            '0'..='9' => {
                number.push(char);
                continue;
            }
            'T' if !is_time && number.is_empty() => {
                is_time = true;
                continue;
            }
            'W' if !is_time => 7 * 24 * 60 * 60,
            'D' if !is_time => 24 * 60 * 60,
            'H' if is_time => 60 * 60,
            'M' if is_time => 60,
            'S' if is_time => 1,
            _ => return None,
        };
        let count: i64 = std::mem::take(&mut number).parse().ok()?;
        seconds = seconds.checked_add(count.checked_mul(unit)?)?;
        has_any = true;
    }
    (has_any && number.is_empty()).then_some(sign * seconds)
}
