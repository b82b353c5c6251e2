//! When a task is to be done, when somebody is to be reminded of it, and how it comes again, as it was typed.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

use super::{Context, Failure};
use crate::cli::client::Fields;
use crate::cli::due::Due;
use crate::cli::remind::Remind;
use crate::pb::recurrence::Basis;
use crate::pb::reminder::When;
use crate::pb::{self, Recurrence, Reminder, Task};

/// What a task says of it; other fields are as in an empty one.
pub(super) async fn schedule(context: &Context, fields: &Fields, is_new: bool) -> Result<Task, Failure> {
    let here = ZonedDateTime::now().time_zone().clone();
    let recurrence = recurrence(fields);
    let mut task = Task {
        recurrence,
        start_time: fields.start.and_then(|start| start_time(start, &here)),
        reminders: reminders(&fields.reminders)?,
        ..Task::default()
    };
    if task.recurrence.is_some() || matches!(fields.due, Some(Due::Day(_))) {
        // One without a name is nothing that others could know.
        task.time_zone = here.iana_name().unwrap_or_default().to_owned();
    }
    match fields.due {
        Some(Due::Time(time)) => task.due_time = Some(timestamp(time)),
        Some(Due::Day(day)) if task.time_zone.is_empty() => task.due_time = end_of(day, &here),
        Some(Due::Day(day)) => task.due_date = Some(date(day)),
        None if is_new && task.recurrence.is_some() => {
            if task.time_zone.is_empty() {
                "UTC".clone_into(&mut task.time_zone);
            }
            task.due_date = Some(first_day(context, &task).await?);
        }
        None => {}
    }
    Ok(task)
}

fn recurrence(fields: &Fields) -> Option<Recurrence> {
    let every = fields.every.as_ref().map(|every| every.0.clone());
    let basis = if fields.after_done { Basis::Completion } else { Basis::Due };
    every.or_else(|| fields.repeat.clone()).map(|rrule| Recurrence { rrule, basis: basis.into() })
}

fn reminders(given: &[Remind]) -> Result<Vec<Reminder>, Failure> {
    if given.len() > 1 && given.contains(&Remind::None) {
        return Err(Failure::usage(vec!["--remind none: must stand alone".to_owned()]));
    }
    let whens = given.iter().filter_map(|remind| match remind {
        Remind::None => None,
        Remind::Before(seconds) => Some(When::Offset(prost_types::Duration { seconds: *seconds, nanos: 0 })),
        Remind::At(time) => Some(When::Time(timestamp(*time))),
    });
    Ok(whens.map(|when| Reminder { when: Some(when) }).collect())
}

/// The first day of a rule from today on. One that names no days begins today.
async fn first_day(context: &Context, task: &Task) -> Result<pb::Date, Failure> {
    let today = ZonedDateTime::now().date();
    let rrule =
        task.recurrence.as_ref().map(|recurrence| recurrence.rrule.to_uppercase()).unwrap_or_default();
    let mut parts: Vec<&str> = rrule.split(';').collect();
    if !parts.iter().any(|part| part.starts_with("BY")) {
        return Ok(date(today));
    }
    parts.retain(|part| !part.starts_with("INTERVAL=") && !part.starts_with("COUNT="));
    let rule = Recurrence { rrule: parts.join(";"), ..Recurrence::default() };
    let yesterday = today.yesterday().unwrap_or(today);
    let like = Task { due_date: Some(date(yesterday)), recurrence: Some(rule), ..task.clone() };
    let told = context.client.tasks().preview(like, 2).await;
    let told = told.map_err(|error| context.service.refused(&error))?;
    Ok(told.get(1).and_then(|first| first.due_date).unwrap_or_else(|| date(today)))
}

fn date(day: Date) -> pb::Date {
    pb::Date { year: day.year().into(), month: day.month().into(), day: day.day().into() }
}

/// What begins on a day begins with it.
fn start_time(start: Due, here: &TimeZone) -> Option<prost_types::Timestamp> {
    match start {
        Due::Time(time) => Some(timestamp(time)),
        Due::Day(day) => at(day, (0, 0, 0), here),
    }
}

/// A day is over when it ends: what is due on a day is not late during it.
fn end_of(day: Date, here: &TimeZone) -> Option<prost_types::Timestamp> {
    at(day, (23, 59, 59), here)
}

fn at(day: Date, (hour, minute, second): (i8, i8, i8), here: &TimeZone) -> Option<prost_types::Timestamp> {
    let time = day.at(hour, minute, second, 0).to_zoned_datetime(here.clone()).ok()?;
    Some(timestamp(time.timestamp()))
}

fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    // The rest counts forwards, also before 1970.
    let nanos = time.as_nanosecond();
    prost_types::Timestamp {
        seconds: nanos.div_euclid(1_000_000_000).try_into().unwrap_or_default(),
        nanos: nanos.rem_euclid(1_000_000_000).try_into().unwrap_or_default(),
    }
}
