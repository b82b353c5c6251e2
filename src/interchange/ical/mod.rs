//! iCalendar (RFC 5545): tasks as `VTODO`s. What a `VTODO` has no property for stands in properties of this service's own, which
//! other programs leave alone.

mod alarms;
mod lines;
mod read;
mod spelling;
mod todo;
mod write;
mod zones;

pub(super) use self::read::read;
pub use self::write::Calendar;

/// Properties of this service's own.
mod own {
    /// The id of the list that a task is in.
    pub(super) const LIST: &str = "X-TASKWIRE-LIST";
    /// What that list is called.
    pub(super) const LIST_TITLE: &str = "X-TASKWIRE-LIST-TITLE";
    /// The time zone in which the days of a task are meant.
    pub(super) const TIME_ZONE: &str = "X-TASKWIRE-TIME-ZONE";
    /// When a task begins, where `DTSTART` cannot say it: it must be of the same kind as `DUE`, and be there where `RRULE` is.
    pub(super) const START: &str = "X-TASKWIRE-START";
    /// `COMPLETION`, where the next time counts from that.
    pub(super) const BASIS: &str = "X-TASKWIRE-RECURRENCE-BASIS";
    /// A key and a value, with an equals sign between them; as often as there are some.
    pub(super) const ANNOTATION: &str = "X-TASKWIRE-ANNOTATION";
}

/// By what a calendar that this program wrote is known.
const PRODUCT: &str = "-//Taskwire//Tasks//EN";

/// The priority of a task as a number of iCalendar, 1 to 9 from the most urgent.
const PRIORITIES: [(crate::pb::Priority, &str); 3] =
    [(crate::pb::Priority::High, "1"), (crate::pb::Priority::Medium, "5"), (crate::pb::Priority::Low, "9")];
