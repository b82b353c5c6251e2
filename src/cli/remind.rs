//! Reminders as people write them: so long before a task is due, a time, or none.

use std::str::FromStr;

use jiff::Timestamp;

use super::due::Due;

/// The forms that are understood.
const FORMS: &str = "must be so long before the task is due (30m, 1h, 2d, 1w, 1h30m, or 0m), a time (2026-12-24T09:00, +90m, or \
                     2026-12-24T09:00:00Z), or none";

/// What the units are, in seconds, the longest first.
const UNITS: [(char, i64); 4] = [('w', 7 * 24 * 60 * 60), ('d', 24 * 60 * 60), ('h', 60 * 60), ('m', 60)];

/// When to be reminded of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remind {
    /// Never: what there was goes.
    None,
    /// So many seconds before it is due.
    Before(i64),
    /// At this time.
    At(Timestamp),
}

impl FromStr for Remind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("none") {
            return Ok(Self::None);
        }
        if let Some(seconds) = seconds(text) {
            return Ok(Self::Before(seconds));
        }
        match text.parse() {
            Ok(Due::Time(time)) => Ok(Self::At(time)),
            // A day has no moment to be reminded at.
            Ok(Due::Day(_)) | Err(_) => Err(FORMS.to_owned()),
        }
    }
}

/// The length of a text such as `1h30m`.
fn seconds(text: &str) -> Option<i64> {
    let (mut whole, mut count, mut last) = (0_i64, None::<i64>, i64::MAX);
    for char in text.chars() {
        if let Some(digit) = char.to_digit(10) {
            count = Some(count.unwrap_or(0).checked_mul(10)?.checked_add(digit.into())?);
            continue;
        }
        let (_, unit) = UNITS.into_iter().find(|(name, unit)| *name == char && *unit < last)?;
        whole = whole.checked_add(count.take()?.checked_mul(unit)?)?;
        last = unit;
    }
    // A number without a unit, or nothing at all.
    (count.is_none() && last != i64::MAX).then_some(whole)
}

/// A length as it is typed: `1h30m`. Of less than a minute, the seconds as they are.
pub(crate) fn length(seconds: i64) -> String {
    let (mut rest, mut text) = (seconds, String::new());
    for (name, unit) in UNITS {
        if rest >= unit {
            text.push_str(&format!("{}{name}", rest / unit));
            rest %= unit;
        }
    }
    match rest {
        0 if text.is_empty() => "0m".to_owned(),
        0 => text,
        rest => format!("{text}{rest}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_and_written() {
        for (text, expected) in
            [("0m", 0), ("30m", 1800), ("1h", 3600), ("1h30m", 5400), ("2d", 172_800), ("1w1d", 691_200)]
        {
            assert_eq!(text.parse(), Ok(Remind::Before(expected)), "{text}");
            assert_eq!(length(expected), text);
        }
        assert_eq!("90m".parse(), Ok(Remind::Before(5400)));
        assert_eq!((length(61), length(8 * 24 * 3600)), ("1m1s".to_owned(), "1w1d".to_owned()));
        assert_eq!(" None ".parse(), Ok(Remind::None));
        let time = "2026-12-24T08:00:00Z".parse().unwrap();
        assert_eq!("2026-12-24T09:00:00+01:00".parse(), Ok(Remind::At(time)));
        for wrong in [
            "",
            "1",
            "h",
            "1x",
            "1m1h",
            "1h1h",
            "-1h",
            "1h 30m",
            "99999999999999999999m",
            "today",
            "2026-12-24",
            "soon",
        ] {
            assert_eq!(wrong.parse::<Remind>(), Err(FORMS.to_owned()), "{wrong}");
        }
    }
}
