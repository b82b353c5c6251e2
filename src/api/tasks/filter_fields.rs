//! The fields of a filter: the operators that each takes, and how their values are spelled.

use std::borrow::Cow;

use crate::api::names::{self, UserRef};
use crate::domain::{
    Comparison, Condition, Day, PresentField, Priority, TaskId, TaskListId, TimeField, Timestamp, UserId,
    text::fold,
};

const TIME: &str = "expected an RFC 3339 time such as \"2026-03-01T09:00:00Z\"";

pub(super) type Parsed<T> = Result<T, Refusal>;

#[derive(Debug)]
pub(super) enum Refusal {
    /// Something else may stand here.
    NotHere,
    /// This is wrong, after this many bytes, whatever else is tried.
    Final(usize, Cow<'static, str>),
}

pub(super) fn refused<T>(at: usize, what: impl Into<Cow<'static, str>>) -> Parsed<T> {
    Err(Refusal::Final(at, what.into()))
}

/// The fields and the operators that they take.
pub(super) const FIELDS: [(&str, &str); 17] = [
    ("completed", "= and !="),
    ("priority", "= != < <= > >="),
    ("title", "= != and :"),
    ("description", ":* alone"),
    ("labels", ": alone"),
    ("due_time", "= != < <= > >= and :*"),
    ("create_time", "= != < <= > >="),
    ("update_time", "= != < <= > >="),
    ("complete_time", "= != < <= > >= and :*"),
    ("delete_time", "= != < <= > >= and :*"),
    ("start_time", "= != < <= > >= and :*"),
    ("due_date", "= != < <= > >= and :*"),
    ("overdue", "= and !="),
    ("task_list", "= != and :*"),
    ("parent_task", "= != and :*"),
    ("recurring", "= and !="),
    (ANNOTATIONS, "= != and :*"),
];

/// What the name of a field begins with that is an annotation.
pub(super) const ANNOTATION: &str = "annotations.";
pub(super) const ANNOTATIONS: &str = "annotations.KEY";

#[derive(Clone, Copy)]
pub(super) enum Operator {
    Has,
    /// Also for `!=`, as the opposite of `=`.
    Is(Comparison),
}

/// What `operator` says of `field`; nothing when the field does not take it.
pub(super) fn comparison(
    field: &str,
    key: Option<&str>,
    operator: Operator,
    value: &Text,
) -> Parsed<Option<Condition>> {
    use Operator::{Has, Is};
    let anything = value.chars == "*" && !value.quoted;
    Ok(Some(match (field, operator) {
        ("completed", Is(Comparison::Equal)) => Condition::Completed(value.truth()?),
        ("priority", Is(comparison)) => Condition::Priority(comparison, value.priority()?),
        ("title", Is(Comparison::Equal)) => Condition::TitleIs(value.chars.clone()),
        ("title", Has) => Condition::TitleContains(fold(value.not_empty()?)),
        ("description", Has) if anything => Condition::Present(PresentField::Description),
        ("labels", Has) if anything => Condition::Present(PresentField::Labels),
        ("labels", Has) => Condition::HasLabel(value.not_empty()?.to_owned()),
        ("due_time", Has) if anything => Condition::Present(PresentField::DueTime),
        ("complete_time", Has) if anything => Condition::Present(PresentField::CompleteTime),
        ("due_time", Is(comparison)) => Condition::Time(TimeField::Due, comparison, value.time()?),
        ("create_time", Is(comparison)) => Condition::Time(TimeField::Create, comparison, value.time()?),
        ("update_time", Is(comparison)) => Condition::Time(TimeField::Update, comparison, value.time()?),
        ("complete_time", Is(comparison)) => Condition::Time(TimeField::Complete, comparison, value.time()?),
        ("delete_time", Has) if anything => Condition::Present(PresentField::DeleteTime),
        ("delete_time", Is(comparison)) => Condition::Time(TimeField::Delete, comparison, value.time()?),
        ("start_time", Has) if anything => Condition::Present(PresentField::StartTime),
        ("start_time", Is(comparison)) => Condition::Time(TimeField::Start, comparison, value.time()?),
        ("due_date", Has) if anything => Condition::Present(PresentField::DueDate),
        ("due_date", Is(comparison)) => Condition::DueDate(comparison, value.day()?),
        ("overdue", Is(Comparison::Equal)) => Condition::Overdue(value.truth()?),
        ("task_list", Has) if anything => Condition::Present(PresentField::TaskList),
        ("task_list", Is(Comparison::Equal)) => Condition::InList(value.list()?),
        ("recurring", Is(Comparison::Equal)) => Condition::Recurring(value.truth()?),
        ("parent_task", Has) if anything => Condition::Present(PresentField::ParentTask),
        ("parent_task", Is(Comparison::Equal)) => Condition::Below(value.parent()?),
        _ => match (key, operator) {
            (Some(key), Has) if anything => Condition::HasAnnotation(key.to_owned()),
            (Some(key), Is(Comparison::Equal)) => Condition::Annotation(key.to_owned(), value.chars.clone()),
            _ => return Ok(None),
        },
    }))
}

/// A word, or a string without its quotes and escapes.
pub(super) struct Text {
    pub(super) at: usize,
    pub(super) chars: String,
    pub(super) quoted: bool,
}

impl Text {
    pub(super) fn not_empty(&self) -> Parsed<&str> {
        match self.chars.as_str() {
            "" => refused(self.at, "the text must not be empty"),
            chars => Ok(chars),
        }
    }

    fn truth(&self) -> Parsed<bool> {
        let truth = self.chars.parse();
        truth.or_else(|_| refused(self.at, "expected true or false"))
    }

    fn priority(&self) -> Parsed<Priority> {
        match self.chars.strip_prefix("PRIORITY_").unwrap_or(&self.chars) {
            "LOW" => Ok(Priority::Low),
            "MEDIUM" => Ok(Priority::Medium),
            "HIGH" => Ok(Priority::High),
            _ => refused(self.at, "expected LOW, MEDIUM or HIGH"),
        }
    }

    /// The name of a list; the empty text stands for none.
    fn list(&self) -> Parsed<Option<(Option<UserId>, TaskListId)>> {
        if self.chars.is_empty() {
            return Ok(None);
        }
        match names::parse_task_list(&self.chars) {
            Ok((UserRef::Me, list)) => Ok(Some((None, list))),
            Ok((UserRef::Id(user), list)) => Ok(Some((Some(user), list))),
            Err(_) => refused(self.at, "expected users/{user}/taskLists/{task_list}, or \"\" for no list"),
        }
    }

    /// The name of a task; the empty text stands for none.
    fn parent(&self) -> Parsed<Option<(Option<UserId>, TaskId)>> {
        if self.chars.is_empty() {
            return Ok(None);
        }
        match names::parse_task(&self.chars) {
            Ok((UserRef::Me, task)) => Ok(Some((None, task))),
            Ok((UserRef::Id(user), task)) => Ok(Some((Some(user), task))),
            Err(_) => refused(self.at, "expected users/{user}/tasks/{task}, or \"\" for none"),
        }
    }

    /// A day as ISO 8601 spells it.
    fn day(&self) -> Parsed<Day> {
        Day::parse(&self.chars)
            .or_else(|_| refused(self.at, "expected a date such as 2026-03-01 that exists"))
    }

    /// A time as RFC 3339 spells it in upper case. Digits below the microsecond are cut off.
    fn time(&self) -> Parsed<Timestamp> {
        let shape = self.chars.replace(|digit: char| digit.is_ascii_digit(), "0");
        let rest = shape.strip_prefix("0000-00-00T00:00:00").unwrap_or_default();
        let zone = rest.strip_prefix(".0").map_or(rest, |more| more.trim_start_matches('0'));
        if !matches!(zone, "Z" | "+00:00" | "-00:00") {
            return refused(self.at, TIME);
        }
        // The clock of the service knows no leap seconds; to take one would be to guess what is meant.
        if self.chars.get(17..19) == Some("60") {
            return refused(self.at, "expected no leap second, as none is known here");
        }
        // prost reads more spellings than RFC 3339 has; the shape leaves it the calendar and the offset.
        let Ok(time) = self.chars.parse::<prost_types::Timestamp>() else {
            return refused(self.at, "expected a date, a time of day and an offset that exist");
        };
        Timestamp::from_parts(time.seconds, time.nanos)
            .or_else(|_| refused(self.at, "expected a time between the years 1 and 9999 in UTC"))
    }
}
