//! The database of a command: settings that are checked, a schema that fits, the time that goes there.

use super::outcome::{Failure, Outcome, say_error};
use crate::config::{Config, Settings};
use crate::domain::Timestamp;
use crate::storage::{OpenError, Storage, TransferError};

/// The settings, checked; all problems at once when there are any.
pub(super) fn checked(settings: Settings) -> Result<Config, Failure> {
    settings.validate().map_err(|problems| Failure::usage(problems.iter().map(ToString::to_string).collect()))
}

/// For commands that need the database alone: a signing key is not asked for.
pub(super) fn checked_storage(mut settings: Settings) -> Result<Storage, Failure> {
    let placeholder = settings.data_dir.join("signing-key.pem");
    settings.signing_key_file.get_or_insert(placeholder);
    Ok(checked(settings)?.storage)
}

/// Brings the schema up to date where that is wanted, and refuses one that does not fit. A database that is away
/// is no reason not to start: the service is then not ready until it comes.
pub(super) async fn prepare_schema(storage: &Storage, migrate: bool) -> Outcome {
    if storage.is_embedded() || migrate {
        match storage.migrate().await {
            Ok(applied) if applied.is_empty() => {}
            Ok(applied) => tracing::info!(versions = applied.join(", "), "applied migrations"),
            Err(error) => return Err(Failure::new(error)),
        }
    }
    let state = storage.schema_state().await;
    match state.and_then(|state| state.check().map(|()| state.unknown)) {
        Ok(newer) => {
            if let Some(version) = newer.last() {
                tracing::warn!(
                    version,
                    "the database schema is newer than this program, which can work on it"
                );
            }
            storage.check_distribution().await.map_err(Failure::new)?;
            match storage.copied_from().await {
                Ok(Some(history)) => Err(Failure::new(format!(
                    "the database is an unfinished copy of the history {history}: run `taskwire copy` to its end, or remove it"
                ))),
                // One that went away just now is as one that was away before.
                Ok(None) | Err(TransferError::Open(OpenError::Away(_))) => Ok(()),
                Err(error) => Err(Failure::new(error)),
            }
        }
        Err(OpenError::Away(cause)) => {
            tracing::warn!(%cause, "the database does not answer yet; not ready until it does");
            Ok(())
        }
        Err(error) => Err(Failure::new(error)),
    }
}

/// The time that the services on this database go by; this machine's where the database cannot be asked.
pub(super) async fn time_of(storage: &Storage) -> Timestamp {
    if !storage.is_embedded() && storage.probe().await.is_err() {
        say_error("the database does not answer; the time is this machine's");
    }
    storage.clock().now()
}
