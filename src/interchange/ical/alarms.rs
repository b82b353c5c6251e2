//! Reminders as `VALARM`s, and back.

use icalendar::Property;
use icalendar::parser;

use super::lines::{duration, parameter, time};
use super::spelling::{line, utc};
use crate::pb::{Reminder, Task, reminder};

/// What is due on a day is due at its end, and `DUE` says its beginning.
const DAY_SECONDS: i64 = 24 * 60 * 60;

/// The reminders of a task as `VALARM`s.
pub(super) fn written(task: &Task) -> String {
    task.reminders
        .iter()
        .filter_map(|reminder| trigger(task, reminder))
        .map(|trigger| {
            let description = line(Property::new("DESCRIPTION", task.title.as_str()));
            format!("BEGIN:VALARM\r\nACTION:DISPLAY\r\n{description}{}END:VALARM\r\n", line(trigger))
        })
        .collect()
}

fn trigger(task: &Task, reminder: &Reminder) -> Option<Property> {
    match reminder.when.as_ref()? {
        reminder::When::Time(time) => {
            Some(Property::new("TRIGGER", utc(time)).add_parameter("VALUE", "DATE-TIME").done())
        }
        reminder::When::Offset(offset) => {
            let after = if task.due_time.is_some() { -offset.seconds } else { DAY_SECONDS - offset.seconds };
            let sign = if after < 0 { "-" } else { "" };
            let text = format!("{sign}PT{}S", after.unsigned_abs());
            Some(Property::new("TRIGGER", text).add_parameter("RELATED", "END").done())
        }
    }
}

/// The reminder that a `TRIGGER` means, for a task whose other times were read.
///
/// # Errors
/// Why it is left out.
pub(super) fn reminder(
    task: &Task,
    trigger: &parser::Property<'_>,
    zone: &str,
) -> Result<Reminder, &'static str> {
    let value = trigger.val.as_str();
    let at = |when| Ok(Reminder { when: Some(when) });
    if parameter(trigger, "VALUE").is_some_and(|kind| kind.eq_ignore_ascii_case("DATE-TIME")) {
        let (time, _) = time(trigger, zone).ok_or("its time is none")?;
        return at(reminder::When::Time(time));
    }
    let after = duration(value).ok_or("its time is none")?;
    let is_of_end = parameter(trigger, "RELATED").is_some_and(|to| to.eq_ignore_ascii_case("END"));
    let is_due = task.due_time.is_some() || task.due_date.is_some();
    match (&task.start_time, is_of_end || task.start_time.is_none()) {
        (_, true) if is_due => {
            let before = if task.due_time.is_some() { -after } else { DAY_SECONDS - after };
            if before < 0 {
                return Err("it is after the due");
            }
            at(reminder::When::Offset(prost_types::Duration { seconds: before, nanos: 0 }))
        }
        (Some(start), false) => at(reminder::When::Time(prost_types::Timestamp {
            seconds: start.seconds + after,
            nanos: start.nanos,
        })),
        _ => Err("the task is neither due nor does it begin"),
    }
}
