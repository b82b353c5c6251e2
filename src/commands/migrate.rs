//! `taskwire migrate`: the schema, brought up to date, spread over several servers, or looked at.

use super::outcome::{Failure, Outcome, say};
use crate::storage::Storage;

pub(super) async fn up(storage: &Storage) -> Outcome {
    let applied = storage.migrate().await.map_err(Failure::new)?;
    if applied.is_empty() {
        return say("nothing to apply: the schema is up to date");
    }
    applied.iter().try_for_each(|version| say(&format!("applied {version}")))
}

pub(super) async fn distribute(storage: &Storage, shards: Option<u16>) -> Outcome {
    let done = storage.distribute(shards).await.map_err(Failure::new)?;
    if done.is_empty() {
        return say("nothing to do: all tables are where they have to be");
    }
    done.iter().try_for_each(|line| say(line))
}

pub(super) async fn status(storage: &Storage) -> Outcome {
    let state = storage.schema_state().await.map_err(Failure::new)?;
    for migration in &state.migrations {
        say(&format!("{}  {}", if migration.applied { "applied" } else { "missing" }, migration.name))?;
    }
    for version in &state.unknown {
        say(&format!("unknown  {version}"))?;
    }
    state.check().map_err(Failure::new)
}
