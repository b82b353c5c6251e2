//! Changes as they happen.

use futures_util::TryStreamExt as _;

use super::table::{line, short_id, time_of_day};
use super::text::visible;
use super::which_list::list_line;
use super::{Context, Failure, Outcome};
use crate::client::{Checkpoint, Event, WatchFrom};
use crate::commands::say_error;
use crate::pb::TaskChange;
use crate::pb::task_change::Type;

/// What shells make of a command that Ctrl-C has ended.
pub(super) const INTERRUPTED: u8 = 130;

/// Prints changes until the reader has seen enough, or the right to see them ends.
pub(super) async fn watch(context: &Context, state: bool, from: Option<Checkpoint>) -> Outcome {
    let from = match from {
        Some(place) => WatchFrom::After(place),
        None if state => WatchFrom::State,
        None => WatchFrom::Now,
    };
    let mut state_is_wanted = state;
    let mut events = context.client.tasks().watch(from);
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        let event = tokio::select! {
            _ = &mut interrupted => return Err(Failure { lines: Vec::new(), status: INTERRUPTED }),
            event = events.try_next() => event.map_err(|error| context.service.refused(&error))?,
        };
        let Some(event) = event else { return Ok(()) };
        match event {
            Event::Change(change, _) => context.output.answer("TaskChange", &change, || told(&change))?,
            Event::Task(task) => {
                let done = if task.completed { "done" } else { "open" };
                context.output.answer("Task", &task, || format!("{done:>18}  {}", line(&task)))?;
            }
            Event::TaskList(list) => {
                context
                    .output
                    .answer("TaskList", &list, || format!("{:>18}  {}", "list", list_line(&list)))?;
            }
            Event::StateBegin if !state_is_wanted => {
                say_error("the changes since are gone: here is everything as it is, then what changes");
            }
            Event::StateBegin => state_is_wanted = false,
            Event::StateEnd(_) => {}
        }
    }
}

/// A change in words, with the time of day.
pub(super) fn told(change: &TaskChange) -> String {
    told_at(change, time_of_day(change.create_time))
}

/// A change in words, with this said of when it was.
pub(super) fn told_at(change: &TaskChange, time: String) -> String {
    let task = change.task.clone().unwrap_or_default();
    let (name, title) = match &change.task_list {
        Some(list) => (&list.name, &list.title),
        None => (&task.name, &task.title),
    };
    let has_changed = |field: &str| change.changed_fields.iter().any(|changed| changed == field);
    let what = match change.r#type() {
        Type::Created => "added",
        Type::Updated if has_changed("completed") && task.completed => "done",
        Type::Updated if has_changed("completed") => "reopened",
        Type::Updated => "changed",
        Type::Deleted => "deleted",
        Type::Undeleted => "restored",
        Type::Purged => "purged",
        Type::Unspecified => "",
    };
    let mut told = format!("{time}  {what:>8}  {}", short_id(name));
    if change.task_list.is_some() {
        told = format!("{told}  list");
    }
    if !title.is_empty() {
        told = format!("{told}  {}", visible(title));
    }
    let fields: Vec<&str> =
        change.changed_fields.iter().map(String::as_str).filter(|field| *field != "completed").collect();
    if fields.is_empty() { told } else { format!("{told}  ({})", visible(&fields.join(", "))) }
}
