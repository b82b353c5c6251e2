//! Lists of tasks: made, shown, renamed, moved, deleted and restored; and the places of tasks in them.

use super::listing::named;
use super::table::{line, lists_table, time};
use super::which_list::{list_line, which};
use super::{Context, Outcome};
use crate::cli::task_lists::{ListCommand, Move};
use crate::client::{MoveTarget, Place};
use crate::commands::say_error;

pub(super) async fn run(context: &Context, command: ListCommand) -> Outcome {
    let tasks = context.client.tasks();
    let (done, list) = match command {
        ListCommand::Show { deleted } => return show(context, deleted).await,
        ListCommand::Add { title } => ("Added", tasks.create_list(&title.join(" ")).await),
        ListCommand::Rename { list, title } => {
            let name = which(context, &list, false).await?.name;
            ("Renamed", tasks.rename_list(&name, &title.join(" ")).await)
        }
        ListCommand::Move { list, before, after } => {
            let name = which(context, &list, false).await?.name;
            let to = match (before, after) {
                (Some(before), _) => Place::Before(which(context, &before, false).await?.name),
                (None, Some(after)) => Place::After(which(context, &after, false).await?.name),
                (None, None) => Place::End,
            };
            ("Moved", tasks.move_list(&name, &to).await)
        }
        ListCommand::Rm { list, keep_tasks } => {
            let name = which(context, &list, false).await?.name;
            ("Deleted", tasks.delete_list(&name, keep_tasks).await)
        }
        ListCommand::Restore { list } => {
            let name = which(context, &list, true).await?.name;
            ("Restored", tasks.undelete_list(&name).await)
        }
    };
    let list = list.map_err(|error| context.service.refused(&error))?;
    let until = match list.purge_time {
        Some(_) => format!(" (can be restored until {})", time(list.purge_time)),
        None => String::new(),
    };
    context.output.answer("TaskList", &list, || format!("{done} {}{until}", list_line(&list)))
}

async fn show(context: &Context, deleted: bool) -> Outcome {
    let lists = context.client.tasks().lists(deleted).await;
    let mut lists = lists.map_err(|error| context.service.refused(&error))?;
    lists.retain(|list| list.delete_time.is_some() == deleted);
    if context.output.is_json() {
        return lists.iter().try_for_each(|list| context.output.answer("TaskList", list, String::new));
    }
    if lists.is_empty() {
        say_error("no lists");
        return Ok(());
    }
    lists_table(&context.output, &lists).iter().try_for_each(|line| context.output.line(line))
}

pub(super) async fn move_task(context: &Context, given: Move) -> Outcome {
    let anchor = given.before.as_ref().or(given.after.as_ref());
    let others = given.parent.iter().chain(anchor);
    let pieces: Vec<String> = std::iter::once(&given.task).chain(others).cloned().collect();
    let mut names = named(context, &pieces, false).await?.into_iter();
    let name = names.next().unwrap_or_default();
    let parent = match given.parent {
        Some(_) => names.next(),
        None => given.no_parent.then(String::new),
    };
    let place = match names.next() {
        None => Place::End,
        Some(anchor) if given.before.is_some() => Place::Before(anchor),
        Some(anchor) => Place::After(anchor),
    };
    let list = match given.list {
        Some(list) => Some(which(context, &list, false).await?.name),
        None => given.no_list.then(String::new),
    };
    let target = MoveTarget { list, parent, place };
    let moved = context.client.tasks().move_task(&name, &target).await;
    let moved = moved.map_err(|error| context.service.refused(&error))?;
    context.output.answer("Task", &moved, || format!("Moved {}", line(&moved)))
}
