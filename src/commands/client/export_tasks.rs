//! Tasks into a file.

use std::io::{self, ErrorKind, Write};
use std::path::Path;

use futures_util::TryStreamExt as _;

use super::{Context, Failure, Outcome};
use crate::cli::interchange::{Export, Written};
use crate::client::ListOptions;
use crate::interchange::{Calendar, Csv, JsonLines, Writer};
use crate::transfer::{BackupError, Output};

/// The largest page that there is.
const PAGE_SIZE: i32 = 500;
/// Tasks at the top, then those below them, which refer to them.
const LEVELS: [&str; 2] = ["NOT parent_task:*", "parent_task:*"];

pub(super) async fn export(context: &Context, given: Export) -> Outcome {
    let format = given.format.unwrap_or_else(|| by_ending(&given.output));
    let writer: Box<dyn Writer> = match format {
        Written::Jsonl => Box::new(JsonLines::new()),
        Written::Csv => Box::new(Csv::new()),
        Written::Ical => Box::new(Calendar::new(Some("Tasks"))),
    };
    if given.output == Path::new("-") {
        let result = write(context, writer, &mut io::stdout()).await;
        return result.map_err(|stopped| match stopped {
            Stopped::Writing(error) if error.kind() == ErrorKind::BrokenPipe => Failure::silent(),
            Stopped::Writing(error) => Failure::new(format!("cannot write the tasks: {error}")),
            Stopped::Reading(failure) => failure,
        });
    }
    let path = given.output.display();
    let told = |error: BackupError| match error {
        BackupError::Exists => Failure::new(format!("{path} is there already; --replace replaces it")),
        error => Failure::new(format!("{path}: {error}")),
    };
    let output = Output::create(&given.output, given.replace).map_err(told)?;
    let mut file = output.writer().map_err(told)?;
    let result = write(context, writer, &mut file).await;
    result.map_err(|stopped| match stopped {
        Stopped::Writing(error) => Failure::new(format!("{path}: cannot be written: {error}")),
        Stopped::Reading(failure) => failure,
    })?;
    drop(file);
    output.finish(given.replace).map_err(told)
}

fn by_ending(path: &Path) -> Written {
    match path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase).as_deref() {
        Some("csv") => Written::Csv,
        Some("ics" | "ical" | "ifb") => Written::Ical,
        _ => Written::Jsonl,
    }
}

/// Why it was not written to its end.
enum Stopped {
    Reading(Failure),
    Writing(io::Error),
}

async fn write(
    context: &Context,
    mut writer: Box<dyn Writer>,
    output: &mut impl Write,
) -> Result<(), Stopped> {
    let tasks = context.client.tasks();
    let refused = |error| Stopped::Reading(context.service.refused(&error));
    output.write_all(&writer.begin()).map_err(Stopped::Writing)?;
    for list in tasks.lists(false).await.map_err(refused)? {
        output.write_all(&writer.list(&list)).map_err(Stopped::Writing)?;
    }
    for filter in LEVELS {
        let options = ListOptions {
            filter: filter.to_owned(),
            order_by: "position".to_owned(),
            page_size: PAGE_SIZE,
            ..ListOptions::default()
        };
        let mut found = tasks.list(options);
        while let Some(task) = found.try_next().await.map_err(refused)? {
            output.write_all(&writer.task(&task)).map_err(Stopped::Writing)?;
        }
    }
    output.write_all(&writer.end()).map_err(Stopped::Writing)?;
    output.flush().map_err(Stopped::Writing)
}
