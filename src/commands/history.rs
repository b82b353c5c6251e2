//! The commands about the history of the data.

use super::database::prepare_schema;
use super::outcome::{Failure, Outcome, say};
use crate::storage::Storage;

/// Prints the present history.
pub(super) async fn show(storage: &Storage) -> Outcome {
    prepare_schema(storage, false).await?;
    say(&storage.history().await.map_err(Failure::new)?.to_string())
}

/// Begins a new history, and prints it. A service that runs hears of it within a second.
pub(super) async fn begin(storage: &Storage) -> Outcome {
    prepare_schema(storage, false).await?;
    say(&storage.begin_history().await.map_err(Failure::new)?.to_string())
}
