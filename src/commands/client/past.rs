//! One task, as it is and as it was: show, log, roll back.

use std::num::NonZeroUsize;

use futures_util::TryStreamExt as _;

use super::listing::named;
use super::table::{details, line, time};
use super::watch::told_at;
use super::{Context, Failure, Outcome};
use crate::commands::say_error;

/// The name of the task that is meant, whether it is deleted or not.
async fn any(context: &Context, given: &str) -> Result<String, Failure> {
    let names = match named(context, &[given.to_owned()], false).await {
        Err(live) => named(context, &[given.to_owned()], true).await.map_err(|_| live)?,
        found => found?,
    };
    Ok(names.into_iter().next().unwrap_or_default())
}

pub(super) async fn show(context: &Context, given: &str, revision: Option<i64>) -> Outcome {
    let name = any(context, given).await?;
    let tasks = context.client.tasks();
    let task = match revision {
        Some(revision) => tasks.get_at(&name, revision).await,
        None => tasks.get(&name).await,
    };
    let task = task.map_err(|error| context.service.refused(&error))?;
    let list = match task.task_list.is_empty() || context.output.is_json() {
        true => None,
        // What is only told beside the task keeps nobody from seeing it.
        false => tasks.get_list(&task.task_list).await.ok(),
    };
    context.output.answer("Task", &task, || details(&context.output, &task, list.as_ref()).join("\n"))
}

pub(super) async fn log(context: &Context, given: &str, limit: Option<NonZeroUsize>) -> Outcome {
    let name = any(context, given).await?;
    let mut changes = context.client.tasks().revisions(&name);
    let (mut count, limit) = (0, limit.map_or(usize::MAX, NonZeroUsize::get));
    while let Some(change) = changes.try_next().await.map_err(|error| context.service.refused(&error))? {
        if count == limit {
            break;
        }
        count += 1;
        let told = || format!("{:>6}  {}", change.revision, told_at(&change, time(change.create_time)));
        context.output.answer("TaskChange", &change, told)?;
    }
    if count == 0 && !context.output.is_json() {
        say_error("no change of this task is kept any more");
    }
    Ok(())
}

pub(super) async fn roll_back(context: &Context, given: &str, to: i64) -> Outcome {
    let name = any(context, given).await?;
    let task = context.client.tasks().rollback(&name, to).await;
    let task = task.map_err(|error| context.service.refused(&error))?;
    context.output.answer("Task", &task, || format!("Rolled back {}", line(&task)))
}
