//! Single values: from messages and back.

use prost_types::Timestamp as PbTimestamp;

use crate::domain::{Day, Rule, Timestamp};
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

/// A time as it is answered.
pub(in crate::api) fn time_to_pb(time: Timestamp) -> PbTimestamp {
    let (seconds, nanos) = time.to_parts();
    PbTimestamp { seconds, nanos }
}
