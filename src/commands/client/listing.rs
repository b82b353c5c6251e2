//! Lists, and which task is meant by a piece of its id.

use futures_util::TryStreamExt as _;
use uuid::Uuid;

use super::table::{short_id, table};
use super::text::visible;
use super::which_list::which;
use super::{Context, Failure, Outcome};
use crate::cli::client::{Listing, Urgency};
use crate::client::ListOptions;
use crate::commands::say_error;
use crate::pb::Task;

/// The largest page that there is.
const PAGE_SIZE_MAX: i32 = 500;
/// Shorter pieces of an id are mistakes rather than ids.
const PIECE_MIN: usize = 4;

pub(super) async fn list(context: &Context, listing: Listing) -> Outcome {
    let limit = if listing.all { usize::MAX } else { listing.limit.get() };
    let list = match &listing.list {
        Some(list) => Some(which(context, list, false).await?.name),
        None => listing.no_list.then(String::new),
    };
    // Those of a list stand in the order that was given to them, unless another one is asked for.
    let in_order = || if list.is_some() { "position" } else { "" }.to_owned();
    let options = ListOptions {
        filter: filter(&listing, list.as_deref()),
        order_by: listing.order_by.clone().unwrap_or_else(in_order),
        show_deleted: listing.deleted,
        // One more tells whether there are more.
        page_size: i32::try_from(limit.saturating_add(1)).unwrap_or(PAGE_SIZE_MAX).min(PAGE_SIZE_MAX),
    };
    let mut found = context.client.tasks().list(options);
    let (mut tasks, mut count, mut has_more) = (Vec::new(), 0_usize, false);
    while let Some(task) = found.try_next().await.map_err(|error| context.service.refused(&error))? {
        if listing.deleted && task.delete_time.is_none() {
            continue;
        }
        if count == limit {
            has_more = true;
            break;
        }
        count += 1;
        if context.output.is_json() {
            context.output.answer("Task", &task, String::new)?;
        } else {
            tasks.push(task);
        }
    }
    if list.is_some() {
        indent(&mut tasks);
    }
    if !tasks.is_empty() {
        table(&context.output, &tasks).iter().try_for_each(|line| context.output.line(line))?;
    } else if !context.output.is_json() {
        say_error("no tasks");
    }
    if has_more {
        say_error(&format!("there are more than these {count}: --all shows them, or --limit COUNT"));
    }
    Ok(())
}

/// Puts subtasks behind the tasks that they are below, and in from the margin, where both are here.
fn indent(tasks: &mut Vec<Task>) {
    let (mut below, above): (Vec<Task>, Vec<Task>) =
        std::mem::take(tasks).into_iter().partition(|task| !task.parent_task.is_empty());
    for parent in above {
        let name = parent.name.clone();
        tasks.push(parent);
        let (own, others) = below.into_iter().partition(|task: &Task| task.parent_task == name);
        below = others;
        tasks.extend(own.into_iter().map(|task: Task| Task { title: format!("  {}", task.title), ..task }));
    }
    tasks.extend(below);
}

/// The conditions, in the language of the service.
fn filter(listing: &Listing, list: Option<&str>) -> String {
    let mut conditions = Vec::new();
    conditions.extend(list.map(|name| format!("task_list = {}", quoted(name))));
    if listing.completed || listing.open {
        conditions.push(format!("completed = {}", listing.completed));
    }
    if listing.overdue {
        conditions.push("overdue = true".to_owned());
    }
    if let Some(priority) = listing.priority {
        let name = match priority {
            Urgency::Low => "LOW",
            Urgency::Medium => "MEDIUM",
            Urgency::High => "HIGH",
        };
        conditions.push(format!("priority = {name}"));
    }
    conditions.extend(listing.labels.iter().map(|label| format!("labels:{}", quoted(label))));
    conditions.extend(listing.texts.iter().map(|text| quoted(text)));
    match listing.filter.as_deref().filter(|filter| !filter.trim().is_empty()) {
        // As it was typed, so that places in errors are those of what was typed.
        Some(filter) if conditions.is_empty() => filter.to_owned(),
        Some(filter) => {
            conditions.insert(0, format!("({filter})"));
            conditions.join(" AND ")
        }
        None => conditions.join(" AND "),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The names of the tasks that are meant, each by its name, its id, or the beginning or end of its id.
pub(super) async fn named(
    context: &Context,
    given: &[String],
    deleted: bool,
) -> Result<Vec<String>, Failure> {
    let is_whole =
        |given: &str| given.contains('/') || Uuid::try_parse(given).is_ok_and(|_| given.len() == 36);
    let mut pieces: Vec<(String, Vec<Task>)> = Vec::new();
    for given in given.iter().filter(|given| !is_whole(given)) {
        let piece = given.to_ascii_lowercase();
        let is_piece = piece.chars().all(|char| char.is_ascii_hexdigit() || char == '-');
        if !is_piece || piece.len() < PIECE_MIN {
            let rule =
                format!("needs {PIECE_MIN} or more digits (0-9, a-f) of a task's id, from either end of it");
            return Err(Failure::usage(vec![format!("{}: {rule}", visible(given))]));
        }
        pieces.push((piece, Vec::new()));
    }
    if !pieces.is_empty() {
        find(context, &mut pieces, deleted).await?;
    }
    let mut pieces = pieces.into_iter();
    let names = given.iter().map(|given| match is_whole(given) {
        true => Ok(given.clone()),
        false => {
            pieces.next().map_or_else(|| Ok(given.clone()), |(piece, found)| only(&piece, &found, deleted))
        }
    });
    names.collect()
}

/// Reads the tasks, and keeps of those that fit a piece as many as are told.
async fn find(context: &Context, pieces: &mut [(String, Vec<Task>)], deleted: bool) -> Result<(), Failure> {
    let options = ListOptions { show_deleted: deleted, page_size: PAGE_SIZE_MAX, ..ListOptions::default() };
    let mut tasks = context.client.tasks().list(options);
    while let Some(task) = tasks.try_next().await.map_err(|error| context.service.refused(&error))? {
        if deleted != task.delete_time.is_some() {
            continue;
        }
        let id = task.name.rsplit('/').next().unwrap_or_default();
        for (piece, found) in pieces.iter_mut() {
            if id.starts_with(&*piece) || id.ends_with(&*piece) {
                found.push(task.clone());
            }
        }
    }
    Ok(())
}

fn only(piece: &str, found: &[Task], deleted: bool) -> Result<String, Failure> {
    /// So many are told.
    const TOLD_MAX: usize = 5;
    match found {
        [task] => Ok(task.name.clone()),
        [] => {
            let (kind, list) = if deleted { ("deleted task", " --deleted") } else { ("task", "") };
            let next = format!("`taskwire task list{list} --all` lists them");
            Err(Failure::new(format!("no {kind} has an id that begins or ends with {piece}; {next}")))
        }
        several => {
            let first = format!(
                "{} tasks have an id that begins or ends with {piece}; give more of it",
                several.len()
            );
            let told = several.iter().take(TOLD_MAX).map(|task| {
                let id = task.name.rsplit('/').next().unwrap_or_default();
                format!("{}  {}", visible(id), visible(&task.title))
            });
            Err(Failure { lines: std::iter::once(first).chain(told).collect(), status: 1 })
        }
    }
}

/// How a task is told of that could not be dealt with.
pub(super) fn of(name: &str, failure: Failure) -> Vec<String> {
    let id = short_id(name);
    failure.lines.into_iter().map(|line| format!("{id}: {line}")).collect()
}
