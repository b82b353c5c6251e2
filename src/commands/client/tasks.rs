//! Changes of tasks: add, complete, edit, delete, restore, undo.

use futures_util::future::BoxFuture;

use super::listing::{named, of};
use super::schedule::schedule;
use super::table::{due, line, short_id, time};
use super::which_list::{list_line, which};
use super::{Context, Failure, Outcome};
use crate::cli::client::{Edit, Fields, Undo, Urgency};
use crate::client::{Checkpoint, Tasks, UndoOptions};
use crate::pb::undo_conflict::Reason;
use crate::pb::{Priority, Task, UndoChangesResponse, UndoConflict};

/// What becomes of a call about a task.
type Answer = crate::client::Result<Task>;

pub(super) async fn add(context: &Context, title: &str, parent: Option<String>, fields: Fields) -> Outcome {
    let parent_task = match parent {
        Some(parent) => named(context, &[parent], false).await?.remove(0),
        None => String::new(),
    };
    let task = Task {
        parent_task: context.client.tasks().full_name(&parent_task),
        title: title.to_owned(),
        task_list: list_named(context, fields.list.as_deref()).await?,
        ..schedule(context, &fields, true).await?
    };
    let task = Task {
        description: fields.description,
        priority: priority(fields.priority).into(),
        labels: fields.labels,
        ..task
    };
    let added = context.client.tasks().create(task).await.map_err(|error| context.service.refused(&error))?;
    context.output.answer("Task", &added, || format!("Added {}", line(&added)))
}

pub(super) async fn complete(context: &Context, given: &[String], with_subtasks: bool) -> Outcome {
    let names = named(context, given, false).await?;
    let complete = move |tasks: Tasks, name: String| -> BoxFuture<'static, Answer> {
        Box::pin(async move { tasks.complete(&name, with_subtasks).await })
    };
    each(context, names, complete, |task| match task.next_task.as_str() {
        "" => format!("Done {}", line(task)),
        next => format!("Done {} (next: {})", line(task), short_id(next)),
    })
    .await
}

pub(super) async fn skip(context: &Context, given: &str) -> Outcome {
    let names = named(context, &[given.to_owned()], false).await?;
    let skip = |tasks: Tasks, name: String| -> BoxFuture<'static, Answer> {
        Box::pin(async move { tasks.skip(&name).await })
    };
    each(context, names, skip, |task| format!("Skipped to {}: {}", due(task), line(task))).await
}

pub(super) async fn delete(context: &Context, given: &[String]) -> Outcome {
    let names = named(context, given, false).await?;
    let delete = |tasks: Tasks, name: String| -> BoxFuture<'static, Answer> {
        Box::pin(async move { tasks.delete(&name).await })
    };
    let told =
        |task: &Task| format!("Deleted {} (can be restored until {})", line(task), time(task.purge_time));
    each(context, names, delete, told).await
}

pub(super) async fn restore(context: &Context, given: &[String]) -> Outcome {
    let names = named(context, given, true).await?;
    let restore = |tasks: Tasks, name: String| -> BoxFuture<'static, Answer> {
        Box::pin(async move { tasks.undelete(&name).await })
    };
    each(context, names, restore, |task| format!("Restored {}", line(task))).await
}

/// Does the same with each task. One that fails does not keep the others from being done.
async fn each(
    context: &Context,
    names: Vec<String>,
    change: impl Fn(Tasks, String) -> BoxFuture<'static, Answer>,
    told: impl Fn(&Task) -> String,
) -> Outcome {
    let is_alone = names.len() == 1;
    let (mut lines, mut status) = (Vec::new(), 0);
    for name in names {
        match change(context.client.tasks(), name.clone()).await {
            Ok(task) => context.output.answer("Task", &task, || told(&task))?,
            Err(error) => {
                let failure = context.service.refused(&error);
                if is_alone {
                    return Err(failure);
                }
                status = failure.status.max(status);
                lines.extend(of(&name, failure));
            }
        }
    }
    if lines.is_empty() { Ok(()) } else { Err(Failure { lines, status }) }
}

pub(super) async fn edit(context: &Context, edit: Edit) -> Outcome {
    let names = named(context, std::slice::from_ref(&edit.task), false).await?;
    let fields = edit.fields;
    let when = schedule(context, &fields, false).await?;
    let paths = [
        ("title", edit.title.is_some()),
        ("description", fields.description.is_some() || edit.no_description),
        ("priority", fields.priority.is_some()),
        // What it is due on instead goes, whichever it was.
        ("due_time", fields.due.is_some() || edit.no_due),
        ("due_date", fields.due.is_some() || edit.no_due),
        ("start_time", fields.start.is_some() || edit.no_start),
        ("time_zone", !when.time_zone.is_empty()),
        ("reminders", !fields.reminders.is_empty()),
        ("recurrence", when.recurrence.is_some() || edit.no_repeat),
        ("labels", !fields.labels.is_empty() || edit.no_labels),
        ("task_list", fields.list.is_some() || edit.no_list),
        ("completed", edit.completed || edit.open),
    ];
    let paths: Vec<&str> = paths.iter().filter(|(_, given)| *given).map(|(path, _)| *path).collect();
    let task = Task {
        name: names.into_iter().next().unwrap_or_default(),
        title: edit.title.unwrap_or_default(),
        description: fields.description,
        priority: priority(fields.priority).into(),
        labels: fields.labels,
        task_list: list_named(context, fields.list.as_deref()).await?,
        completed: edit.completed,
        ..when
    };
    let tasks = context.client.tasks();
    let changed = tasks.update(task, &paths).await.map_err(|error| context.service.refused(&error))?;
    context.output.answer("Task", &changed, || format!("Changed {}", line(&changed)))
}

pub(super) async fn undo(context: &Context, undo: Undo) -> Outcome {
    let refused = |error| context.service.refused(&error);
    let tasks = context.client.tasks();
    let Checkpoint { revision: end_revision, history } = tasks.checkpoint().await.map_err(refused)?;
    let start_revision = undo.to.unwrap_or_else(|| end_revision.saturating_sub(undo.changes).max(0));
    if start_revision >= end_revision {
        let rule = format!("there is no change after revision {start_revision} to undo");
        return Err(Failure::new(rule));
    }
    // Not by force: what is changed meanwhile was not meant.
    let options =
        UndoOptions { start_revision, end_revision, validate_only: undo.dry_run, force: false, history };
    let undone = tasks.undo(options).await.map_err(refused)?;
    context.output.answer("UndoChangesResponse", &undone, || told(&undone, undo.dry_run))?;
    if undone.conflicts.is_empty() {
        return Ok(());
    }
    Err(Failure { lines: undone.conflicts.iter().map(conflict).collect(), status: 1 })
}

/// The name of the list that is meant; empty for none.
async fn list_named(context: &Context, given: Option<&str>) -> Result<String, Failure> {
    match given {
        Some(list) => Ok(which(context, list, false).await?.name),
        None => Ok(String::new()),
    }
}

fn told(undone: &UndoChangesResponse, is_dry_run: bool) -> String {
    let words = if is_dry_run { ("Would delete", "Would change back") } else { ("Deleted", "Changed back") };
    let done = |is_deleted: bool| if is_deleted { words.0 } else { words.1 };
    let lists = undone.task_lists.iter();
    let lists = lists.map(|list| format!("{} list {}", done(list.delete_time.is_some()), list_line(list)));
    let tasks = undone.tasks.iter();
    let tasks = tasks.map(|task| format!("{} {}", done(task.delete_time.is_some()), line(task)));
    let lines: Vec<String> = lists.chain(tasks).collect();
    if lines.is_empty() { "Nothing to change back".to_owned() } else { lines.join("\n") }
}

fn conflict(conflict: &UndoConflict) -> String {
    let why = match conflict.reason() {
        Reason::Purged => "was purged, and nothing brings it back",
        Reason::ChangedSince | Reason::Unspecified => "was changed again meanwhile, and left alone",
    };
    match conflict.task_list.as_str() {
        "" => format!("{} {why}", short_id(&conflict.task)),
        list => format!("list {} {why}", short_id(list)),
    }
}

fn priority(urgency: Option<Urgency>) -> Priority {
    match urgency {
        None => Priority::Unspecified,
        Some(Urgency::Low) => Priority::Low,
        Some(Urgency::Medium) => Priority::Medium,
        Some(Urgency::High) => Priority::High,
    }
}
