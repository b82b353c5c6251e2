//! Days and the time zones in which they are meant.

use jiff::civil;
use jiff::tz::{self, Disambiguation};

use super::{InvalidReason, Rule, Timestamp};

/// A calendar day between the years 1 and 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(civil::Date);

impl Day {
    /// From a whole date.
    ///
    /// # Errors
    /// The rule, when a part of it is missing or there is no such day.
    pub fn from_parts(year: i32, month: i32, day: i32) -> Result<Self, Rule> {
        let parts = (i16::try_from(year), i8::try_from(month), i8::try_from(day));
        let (Ok(year @ 1..=9999), Ok(month), Ok(day)) = parts else { return Err(Self::rule()) };
        civil::Date::new(year, month, day).map(Self).map_err(|_| Self::rule())
    }

    /// Reads a day as ISO 8601 spells it, `2026-03-01`.
    ///
    /// # Errors
    /// The rule, when it is spelled otherwise or there is no such day.
    pub fn parse(text: &str) -> Result<Self, Rule> {
        let shape = text.replace(|digit: char| digit.is_ascii_digit(), "0");
        let (Some(year), Some(month), Some(day)) = (text.get(..4), text.get(5..7), text.get(8..)) else {
            return Err(Self::rule());
        };
        if shape != "0000-00-00" {
            return Err(Self::rule());
        }
        let number = |digits: &str| digits.parse().unwrap_or(0);
        Self::from_parts(number(year), number(month), number(day))
    }

    fn rule() -> Rule {
        Rule::field("must be a whole date that exists, with a year from 1 to 9999, a month and a day")
    }

    /// The day with this number.
    pub fn from_number(number: i32) -> Option<Self> {
        let span = jiff::Span::new().try_days(number).ok()?;
        let day = civil::date(1970, 1, 1).checked_add(span).ok()?;
        (1..=9999).contains(&day.year()).then_some(Self(day))
    }

    /// Days since 1970-01-01; negative before it.
    pub fn number(self) -> i32 {
        // Both are within ten thousand years of each other.
        (self.0 - civil::date(1970, 1, 1)).get_days()
    }

    pub(super) const fn from_date(date: civil::Date) -> Self {
        Self(date)
    }

    pub(super) const fn date(self) -> civil::Date {
        self.0
    }

    /// Year, month and day.
    pub fn to_parts(self) -> (i32, i32, i32) {
        (self.0.year().into(), self.0.month().into(), self.0.day().into())
    }

    /// The last point in time that belongs to this day in a time zone. Where the clock goes back over midnight, the day has
    /// an hour twice, and ends with the second.
    pub fn end(self, zone: Option<&TimeZone>) -> Timestamp {
        let last = self.0.at(23, 59, 59, 999_999_000);
        let zone = zone.map_or(tz::TimeZone::UTC, TimeZone::rules);
        let end = zone.into_ambiguous_zoned_datetime(last).disambiguate(Disambiguation::Later);
        end.ok()
            .and_then(|end| Timestamp::from_micros(end.timestamp().as_microsecond()))
            // Only the last day of all may end outside of what there is.
            .unwrap_or(Timestamp::MAX)
    }
}

/// The name of a time zone in the IANA time zone database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeZone(Box<str>);

impl TimeZone {
    /// Longer than any name that there is.
    pub const MAX_BYTES: usize = 64;

    /// Reads the name of a time zone that the database knows; none from an empty text.
    ///
    /// # Errors
    /// The rule, when it knows none of this name.
    pub fn parse(name: &str) -> Result<Option<Self>, Rule> {
        if name.is_empty() {
            return Ok(None);
        }
        // Copies of the whole database that systems have below it, and files in it that are no zones.
        let first = name.split('/').next().unwrap_or_default();
        let is_a_zone = !["posix", "right", "localtime", "posixrules", "Factory"].contains(&first)
            && name != "Etc/Unknown";
        if name.len() > Self::MAX_BYTES {
            return Err(Self::rule());
        }
        match tz::TimeZone::get(name) {
            // The database takes names in any case; they are answered as given, so as it spells them.
            Ok(zone) if is_a_zone && zone.iana_name() == Some(name) => Ok(Some(Self(name.into()))),
            _ => Err(Self::rule()),
        }
    }

    fn rule() -> Rule {
        let text =
            "must be the name of a time zone in the IANA database, as `Europe/Berlin`, or empty for UTC";
        Rule::of(InvalidReason::TimeZone, text)
    }

    /// One that was read before. The database may have forgotten it since.
    pub fn stored(name: String) -> Self {
        Self(name.into())
    }

    /// The name.
    pub const fn as_str(&self) -> &str {
        &self.0
    }

    /// UTC for one that the database has forgotten.
    pub(super) fn rules(&self) -> tz::TimeZone {
        tz::TimeZone::get(&self.0).unwrap_or(tz::TimeZone::UTC)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        Day::parse(text).unwrap()
    }

    fn end(text: &str, zone: &str) -> String {
        let zone = TimeZone::parse(zone).unwrap();
        let (seconds, _) = day(text).end(zone.as_ref()).to_parts();
        jiff::Timestamp::from_second(seconds).unwrap().to_string()
    }

    #[test]
    fn a_day_is_a_whole_date_that_exists() {
        for text in ["0001-01-01", "1970-01-01", "2024-02-29", "2026-12-31", "9999-12-31"] {
            let day = day(text);
            assert_eq!(Day::from_number(day.number()), Some(day), "{text}");
            let (year, month, of_month) = day.to_parts();
            assert_eq!(format!("{year:04}-{month:02}-{of_month:02}"), text);
        }
        assert_eq!((day("1970-01-01").number(), day("1969-12-31").number()), (0, -1));
        for wrong in [
            "",
            "2026-2-01",
            "2026-02-29",
            "0000-01-01",
            "10000-01-01",
            "2026-13-01",
            "٢026-01-01",
            "2026-01-01 ",
            "2026/01/01",
            "-026-01-01",
        ] {
            assert!(Day::parse(wrong).is_err(), "{wrong}");
        }
        for (year, month, of_month) in
            [(0, 1, 1), (2026, 0, 0), (2026, 1, 0), (2026, 1, 32), (i32::MAX, 1, 1)]
        {
            assert!(Day::from_parts(year, month, of_month).is_err());
        }
        assert_eq!(Day::from_number(i32::MAX), None);
    }

    #[test]
    fn a_day_ends_where_the_person_is() {
        assert_eq!(end("2026-03-01", ""), "2026-03-01T23:59:59Z");
        assert_eq!(end("2026-03-01", "Europe/Berlin"), "2026-03-01T22:59:59Z");
        assert_eq!(end("2026-03-29", "Europe/Berlin"), "2026-03-29T21:59:59Z");
        assert_eq!(end("2026-03-01", "Pacific/Kiritimati"), "2026-03-01T09:59:59Z");
        // In Chile the clock goes back from midnight to eleven: that hour is twice, and the day ends with the second.
        assert_eq!(end("2026-04-04", "America/Santiago"), "2026-04-05T03:59:59Z");
        // Samoa left this day out.
        assert_eq!(end("2011-12-30", "Pacific/Apia"), "2011-12-31T09:59:59Z");
        assert_eq!(end("0001-01-01", "Etc/GMT-14"), "0001-01-01T09:59:59Z");
        assert_eq!(
            day("9999-12-31").end(TimeZone::parse("America/New_York").unwrap().as_ref()),
            Timestamp::MAX
        );
        assert_eq!(day("9999-12-31").end(None), Timestamp::MAX);
    }

    #[test]
    fn a_zone_has_a_name_that_the_database_knows() {
        for name in [
            "UTC",
            "Europe/Berlin",
            "Asia/Calcutta",
            "US/Pacific",
            "America/Argentina/Buenos_Aires",
            "Etc/GMT+5",
        ] {
            assert_eq!(TimeZone::parse(name).unwrap().unwrap().as_str(), name);
        }
        assert_eq!(TimeZone::parse(""), Ok(None));
        for wrong in [
            " ",
            "Berlin",
            "europe/berlin",
            "Europe/Berlin ",
            "Mars/Olympus",
            "../etc/passwd",
            "UTC+1",
            "+01:00",
            "posix/Europe/Berlin",
            "right/UTC",
            "localtime",
            "Etc/Unknown",
            "Factory",
            "\0",
            "Europe",
        ] {
            assert!(TimeZone::parse(wrong).is_err(), "{wrong}");
        }
        // What the database has forgotten is as UTC.
        assert_eq!(
            day("2026-03-01").end(Some(&TimeZone::stored("Old/Gone".into()))),
            day("2026-03-01").end(None)
        );
    }
}
