//! Rules of recurrence as people write them: `2 weeks on monday and friday`, `month on the last day`.

use std::str::FromStr;

/// The forms that are understood.
const FORMS: &str = "must be like: day, weekday, 3 days, weekly on monday and thursday, 2 weeks, monthly on the 15th, month on the \
                     last day, month on the first monday, yearly on march 1; --repeat takes any RRULE";

/// The days of the week and what an `RRULE` calls them.
pub(super) const WEEKDAYS: [(&str, &str); 7] = [
    ("monday", "MO"),
    ("tuesday", "TU"),
    ("wednesday", "WE"),
    ("thursday", "TH"),
    ("friday", "FR"),
    ("saturday", "SA"),
    ("sunday", "SU"),
];

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// How often a task comes again, as the value of an `RRULE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Every(pub String);

impl FromStr for Every {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.to_lowercase().replace(',', " ");
        let mut words: Vec<&str> =
            text.split_whitespace().filter(|word| !["and", "the"].contains(word)).collect();
        if words.first() == Some(&"every") {
            words.remove(0);
        }
        rule(&words).map(Self).ok_or_else(|| FORMS.to_owned())
    }
}

fn rule(words: &[&str]) -> Option<String> {
    let (interval, words) = match words {
        ["other", rest @ ..] => (2, rest),
        [number, rest @ ..] if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            (number.parse::<u16>().ok()?, rest)
        }
        words => (1, words),
    };
    let (unit, rest) = words.split_first()?;
    let days = match rest.split_first() {
        Some((&"on", days)) if !days.is_empty() => days,
        None => &[],
        // Days of the week need no word before them.
        _ if weekdays(words).is_some() => &[],
        _ => return None,
    };
    let every = if interval == 1 { String::new() } else { format!(";INTERVAL={interval}") };
    Some(match *unit {
        "day" | "days" | "daily" if days.is_empty() => format!("FREQ=DAILY{every}"),
        "weekday" | "weekdays" | "workday" | "workdays" if days.is_empty() && interval == 1 => {
            "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR".to_owned()
        }
        "weekend" | "weekends" if days.is_empty() && interval == 1 => "FREQ=WEEKLY;BYDAY=SA,SU".to_owned(),
        "week" | "weeks" | "weekly" if days.is_empty() => format!("FREQ=WEEKLY{every}"),
        "week" | "weeks" | "weekly" => format!("FREQ=WEEKLY{every};BYDAY={}", weekdays(days)?),
        "month" | "months" | "monthly" if days.is_empty() => format!("FREQ=MONTHLY{every}"),
        "month" | "months" | "monthly" => format!("FREQ=MONTHLY{every};{}", of_month(days)?),
        "year" | "years" | "yearly" if days.is_empty() => format!("FREQ=YEARLY{every}"),
        "year" | "years" | "yearly" => format!("FREQ=YEARLY{every};{}", of_year(days)?),
        _ => format!("FREQ=WEEKLY{every};BYDAY={}", weekdays(words)?),
    })
}

fn weekday(word: &str) -> Option<&'static str> {
    let word = word.strip_suffix('s').filter(|word| word.ends_with("day")).unwrap_or(word);
    WEEKDAYS.iter().find(|(name, _)| *name == word || name.get(..3) == Some(word)).map(|(_, short)| *short)
}

fn weekdays(words: &[&str]) -> Option<String> {
    let days: Option<Vec<&str>> = words.iter().map(|word| weekday(word)).collect();
    days.filter(|days| !days.is_empty()).map(|days| days.join(","))
}

/// Which of several: `15th`, `first`, `last`.
fn ordinal(word: &str) -> Option<i8> {
    match word {
        "first" => return Some(1),
        "second" => return Some(2),
        "third" => return Some(3),
        "fourth" => return Some(4),
        "last" => return Some(-1),
        _ => {}
    }
    let digits = ["st", "nd", "rd", "th"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
    digits.parse().ok().filter(|number| (1..=31).contains(number))
}

/// Days by their number, or days of the week by theirs.
fn of_month(words: &[&str]) -> Option<String> {
    if let [which, day] = words
        && let (Some(which), Some(day)) = (ordinal(which), weekday(day))
    {
        return Some(format!("BYDAY={which}{day}"));
    }
    let words = words.strip_suffix(&["day"]).unwrap_or(words);
    let days: Option<Vec<String>> =
        words.iter().map(|word| ordinal(word).map(|day| day.to_string())).collect();
    days.filter(|days| !days.is_empty()).map(|days| format!("BYMONTHDAY={}", days.join(",")))
}

fn of_year(words: &[&str]) -> Option<String> {
    let [one, other] = words else { return None };
    let month = |word: &str| {
        let at = MONTHS.iter().position(|name| *name == word || name.get(..3) == Some(word))?;
        Some(at + 1)
    };
    let (month, day) = match (month(one), month(other)) {
        (Some(month), None) => (month, ordinal(other)?),
        (None, Some(month)) => (month, ordinal(one)?),
        _ => return None,
    };
    Some(format!("BYMONTH={month};BYMONTHDAY={day}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_people_write_them() {
        for (text, rrule) in [
            ("day", "FREQ=DAILY"),
            ("every day", "FREQ=DAILY"),
            ("Daily", "FREQ=DAILY"),
            ("3 days", "FREQ=DAILY;INTERVAL=3"),
            ("other day", "FREQ=DAILY;INTERVAL=2"),
            ("weekday", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"),
            ("weekend", "FREQ=WEEKLY;BYDAY=SA,SU"),
            ("week", "FREQ=WEEKLY"),
            ("weekly on monday", "FREQ=WEEKLY;BYDAY=MO"),
            ("2 weeks on mon, wed and fridays", "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE,FR"),
            ("monday", "FREQ=WEEKLY;BYDAY=MO"),
            ("Tue and Thu", "FREQ=WEEKLY;BYDAY=TU,TH"),
            ("other sunday", "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU"),
            ("monthly", "FREQ=MONTHLY"),
            ("monthly on the 15th", "FREQ=MONTHLY;BYMONTHDAY=15"),
            ("month on the 1st and 15th", "FREQ=MONTHLY;BYMONTHDAY=1,15"),
            ("month on the last day", "FREQ=MONTHLY;BYMONTHDAY=-1"),
            ("3 months on the first monday", "FREQ=MONTHLY;INTERVAL=3;BYDAY=1MO"),
            ("month on the last friday", "FREQ=MONTHLY;BYDAY=-1FR"),
            ("yearly on march 1", "FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=1"),
            ("year on 24 dec", "FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=24"),
        ] {
            assert_eq!(text.parse(), Ok(Every(rrule.to_owned())), "{text}");
        }
        for wrong in [
            "",
            "every",
            "on monday",
            "sometimes",
            "week on",
            "week on the 15th",
            "month on the 32nd",
            "day on monday",
            "2 weekdays",
            "monday foo",
            "yearly on monday",
            "year on march",
            "99999999 days",
            "m\u{f6}ntag",
        ] {
            assert!(wrong.parse::<Every>().is_err(), "{wrong}");
        }
    }
}
