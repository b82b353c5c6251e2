//! `taskwire check`: whether what has to hold in the database does.

use super::database::prepare_schema;
use super::outcome::{Failure, Outcome, say};
use crate::storage::Storage;

/// Looks, and says what is wrong.
pub(super) async fn run(storage: &Storage) -> Outcome {
    prepare_schema(storage, false).await?;
    let findings = storage.check().await.map_err(Failure::new)?;
    if findings.orphans.is_empty() {
        return say("the database is sound: all tasks and changes belong to users that exist");
    }
    let line = |orphans: &crate::storage::Orphans| {
        format!("{} holds rows of {}, who does not exist", orphans.table, orphans.user)
    };
    let mut lines: Vec<String> = findings.orphans.iter().map(line).collect();
    lines.push(
        "nobody can reach such rows; to remove them: delete from TABLE where user_id = 'USER'".to_owned(),
    );
    Err(Failure::lines(lines))
}
