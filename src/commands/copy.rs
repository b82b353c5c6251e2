//! `taskwire copy`: from one database to another while the first one serves.

use super::outcome::{Failure, Outcome, say};
use super::progress::{Progress, unless_interrupted};
use crate::cli::transfer::CopyArgs;
use crate::config::Settings;
use crate::storage::{CopyEnd, Storage, Told, TransferError};

pub(super) async fn run(args: CopyArgs) -> Outcome {
    let from = open("--from", &args.from)?;
    if args.reopen {
        from.reopen().await.map_err(Failure::new)?;
        return say(&format!("{} can be written to again", from.describe()));
    }
    let to = open("--to", args.to.as_deref().unwrap_or_default())?;
    let end = CopyEnd { cutover: args.cutover, verify: args.verify };
    if let Some(file) = from.file().filter(|file| !file.exists()) {
        return Err(Failure::new(TransferError::NoFile(file.display().to_string())));
    }
    let progress = Progress::of("copy");
    let state = std::sync::Arc::clone(&progress.state);
    let tell = move |told: Told<'_>| match told {
        Told::Whole(rows) => state.set_whole(rows),
        Told::Round(number) => {
            state.round(number);
            if number > 1 {
                // What is looked at again is not what was counted.
                state.set_whole(0);
            }
        }
        Told::Table(name) => state.step(name),
        Told::Rows(count) => {
            state.add_rows(count);
            state.done.fetch_add(count, std::sync::atomic::Ordering::Relaxed);
        }
        Told::Stopped => state.step("the source is stopped"),
        Told::Verifying => state.step("verifying"),
    };
    let work = async { from.copy_to(&to, end, &tell).await.map_err(Failure::new) };
    let copied =
        unless_interrupted("the copy is not finished; the same command goes on with it", Box::pin(work))
            .await?;
    progress.end();
    let verified =
        copied.verified.map_or_else(String::new, |rows| format!(", {rows} rows compared and the same"));
    let (source, target) = (from.describe(), to.describe());
    if copied.rounds == 0 {
        say(&format!("{source} was copied to {target} before{verified}"))?;
    } else {
        let (written, rounds) = (copied.written, copied.rounds);
        say(&format!("copied {source} to {target}: {written} rows written in {rounds} rounds{verified}"))?;
    }
    if args.cutover {
        return say(&format!(
            "the source takes no writes any more; the history {} goes on at the target: start the service there",
            copied.history,
        ));
    }
    say(&format!("the copy has a history of its own, {}; the source goes on by itself", copied.history))
}

fn open(flag: &str, url: &str) -> Result<Storage, Failure> {
    let defaults = Settings::defaults().map_err(Failure::new)?;
    Storage::open(url, defaults.storage_limits())
        .map_err(|error| Failure::usage(vec![format!("{flag}: {error}")]))
}
