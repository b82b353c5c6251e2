//! Single values: from messages and back.

use prost_types::Timestamp as PbTimestamp;

use crate::domain::{Day, Reminder, Reminders, Rule, Timestamp};
use crate::pb;

pub(in crate::api) fn required<T>(value: Option<T>) -> Result<T, Rule> {
    value.ok_or_else(|| Rule::field("is required"))
}

pub(in crate::api) fn time(value: Option<PbTimestamp>) -> Result<Option<Timestamp>, Rule> {
    value.map(|value| Timestamp::from_parts(value.seconds, value.nanos)).transpose()
}

pub(in crate::api) fn day(value: Option<pb::Date>) -> Result<Option<Day>, Rule> {
    value.map(|date| Day::from_parts(date.year, date.month, date.day)).transpose()
}

/// A day as it is answered.
pub(in crate::api) fn day_to_pb(day: Day) -> pb::Date {
    let (year, month, day) = day.to_parts();
    pb::Date { year, month, day }
}

/// Reads the reminders of a task.
pub(in crate::api) fn reminders(given: Vec<pb::Reminder>) -> Result<Reminders, Rule> {
    use pb::reminder::When;
    let reminder = |one: pb::Reminder| match one.when {
        Some(When::Offset(offset)) => Reminder::before(offset.seconds, offset.nanos),
        Some(When::Time(time)) => Timestamp::from_parts(time.seconds, time.nanos).map(Reminder::At),
        None => Err(Rule::field("must each hold `offset` or `time`")),
    };
    // Before each of them is looked at: there may be thousands.
    if given.len() > Reminders::MAX {
        return Reminders::parse(vec![Reminder::Before(0); given.len()]);
    }
    Reminders::parse(given.into_iter().map(reminder).collect::<Result<_, _>>()?)
}

/// The reminders of a task as they are answered.
pub(in crate::api) fn reminders_to_pb(reminders: &Reminders) -> Vec<pb::Reminder> {
    use pb::reminder::When;
    let reminder = |one: &Reminder| {
        let when = match one {
            Reminder::Before(micros) => When::Offset(prost_types::Duration {
                seconds: micros / 1_000_000,
                nanos: i32::try_from(micros % 1_000_000 * 1000).unwrap_or(0),
            }),
            Reminder::At(time) => When::Time(time_to_pb(*time)),
        };
        pb::Reminder { when: Some(when) }
    };
    reminders.as_slice().iter().map(reminder).collect()
}

/// A time as it is answered.
pub(in crate::api) fn time_to_pb(time: Timestamp) -> PbTimestamp {
    let (seconds, nanos) = time.to_parts();
    PbTimestamp { seconds, nanos }
}
