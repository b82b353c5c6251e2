//! `taskwire restore`: a backup into an empty database, all of it or nothing.

use std::io::{IsTerminal as _, Read};
use std::sync::Arc;

use tokio::sync::mpsc::{Sender, channel};

use super::backup::{PIECES_WAITING, file_of, open, prove, shown, told};
use super::database::{checked, checked_storage};
use super::outcome::{Failure, Outcome, say, say_error};
use super::progress::{Progress, State, unless_interrupted};
use super::{keys, passphrase};
use crate::cli::transfer::RestoreArgs;
use crate::config::Config;
use crate::domain::HistoryId;
use crate::storage::{Class, Column, Piece, Storage, TransferError};
use crate::transfer::{self, BackupError, Keys, Manifest, Part, Reader, SealedKeys};

type Input = Reader<Box<dyn Read + Send>>;

/// What opens the keys, and where they go.
struct Opening {
    passphrase: secrecy::SecretString,
    config: Config,
}

pub(super) async fn run(args: RestoreArgs) -> Outcome {
    let file = file_of(&args.file);
    if file.is_none() && std::io::stdin().is_terminal() {
        return Err(Failure::usage(vec!["a backup does not come from a terminal: name a file".to_owned()]));
    }
    let mut opening = None;
    let storage = if args.keys.include_keys {
        let passphrase = passphrase::read(args.keys.passphrase_file.as_deref(), false)?;
        let config = checked(*args.settings)?;
        let storage = config.storage.clone();
        opening = Some(Opening { passphrase, config });
        storage
    } else {
        checked_storage(*args.settings)?
    };
    let place = shown(file);
    let failed = |error: BackupError| Failure::new(format!("{place} {error}"));
    let progress = Progress::of("restore");
    // Before anything is touched. What comes as a stream can be read only once, and is proved before the commit.
    if file.is_some() {
        let proving = Progress::of("verify");
        let (_, sealed) = prove(args.file.clone(), &proving.state).await?;
        if let Some(opening) = &opening {
            open_keys(opening, sealed.as_ref(), &place)?;
        }
    }
    let (path, state) = (args.file.clone(), Arc::clone(&progress.state));
    let begun = tokio::task::spawn_blocking(move || open(&path, &state)).await;
    let reader = begun.map_err(Failure::new)?.map_err(failed)?;
    let version = reader.origin().schema.clone();
    let work = async {
        let is_older = prepare(&storage, &version, &place).await?;
        let filled = fill(&storage, reader, opening, &progress.state, &place).await?;
        Ok((is_older, filled))
    };
    let (is_older, (manifest, history, had_keys)) =
        unless_interrupted("the database is as empty as before", Box::pin(work)).await?;
    if is_older {
        let applied = storage.migrate().await.map_err(Failure::new)?;
        say(&format!("brought the schema from {version} up to date: {}", applied.join(", ")))?;
    }
    progress.end();
    if had_keys && !args.keys.include_keys {
        say_error("the keys in it were left there: --include-keys restores them");
    }
    say(&format!("restored {place}: {}", told(&manifest)))?;
    say(&format!("a new history begins, {history}: whoever syncs or watches begins again from a list"))
}

/// Makes the tables as they were when the backup was taken; answers whether that is an older schema than this program's.
async fn prepare(storage: &Storage, version: &str, place: &str) -> Result<bool, Failure> {
    if let Some(table) = storage.occupied().await.map_err(Failure::new)? {
        return Err(Failure::new(TransferError::NotEmpty(table)));
    }
    let state = storage.schema_state().await.map_err(Failure::new)?;
    let versions = state.versions();
    if !versions.iter().any(|known| known == version) {
        let text = format!(
            "{place} holds the schema {version}, which this program does not know: use a newer taskwire"
        );
        return Err(Failure::new(text));
    }
    if versions.last().is_some_and(|newest| newest == version) {
        storage.migrate().await.map_err(Failure::new)?;
        return Ok(false);
    }
    if state.migrations.iter().all(|migration| migration.applied) {
        let text = format!(
            "{place} is of the older schema {version}, and the database has newer tables already: restore into a database \
             without tables, which are then brought up to date"
        );
        return Err(Failure::new(text));
    }
    storage.migrate_to(version).await.map_err(Failure::new)?;
    Ok(true)
}

async fn fill(
    storage: &Storage,
    reader: Input,
    opening: Option<Opening>,
    state: &Arc<State>,
    place: &str,
) -> Result<(Manifest, HistoryId, bool), Failure> {
    let (sender, receiver) = channel(PIECES_WAITING);
    let (told, shown) = (Arc::clone(state), place.to_owned());
    let reading =
        tokio::task::spawn_blocking(move || send_parts(reader, &sender, opening.as_ref(), &told, &shown));
    let imported = storage.import(receiver).await;
    let read = reading.await.map_err(|stopped| Failure::new(format!("reading stopped: {stopped}")))?;
    // Whatever the database says of rows that were not written so: the file is what is wrong.
    let (manifest, keys) = read?;
    let history = imported.map_err(Failure::new)?;
    let had_keys = manifest.keys;
    if let Some((config, opened)) = keys {
        keys::restore(&config, opened.signing.as_deref(), opened.secrets.as_deref())?;
    }
    Ok((manifest, history, had_keys))
}

/// Hands over what is read. `End` comes once all of it was proved. When nobody takes it any more, the rest is proved all the same, so
/// that damage is called by its name.
fn send_parts(
    mut reader: Input,
    pieces: &Sender<Piece>,
    opening: Option<&Opening>,
    state: &State,
    place: &str,
) -> Result<(Manifest, Option<(Config, Keys)>), Failure> {
    let failed = |error: BackupError| Failure::new(format!("{place} {error}"));
    let mut opened = None;
    loop {
        let piece = match reader.next_part().map_err(failed)? {
            Part::Table { name, columns } => {
                state.step(&name);
                Piece::Table { name, columns: read_columns(columns), is_keys: false }
            }
            Part::Rows { count, bytes } => {
                state.add_rows(count);
                Piece::Rows { count, bytes }
            }
            Part::Keys(sealed) => {
                opened = opening.map(|opening| open_keys(opening, Some(&sealed), place)).transpose()?;
                continue;
            }
            Part::End(manifest) => {
                let keys = match (opening, opened) {
                    (None, _) => None,
                    (Some(_), None) => return Err(Failure::new(format!("{place} holds no keys"))),
                    (Some(opening), Some(keys)) => {
                        send_keys(&keys, pieces).map_err(failed)?;
                        Some((opening.config.clone(), keys))
                    }
                };
                let _ = pieces.blocking_send(Piece::End);
                return Ok((manifest, keys));
            }
        };
        let _ = pieces.blocking_send(piece);
    }
}

/// Hands over the keys that lie in the database.
fn send_keys(keys: &Keys, pieces: &Sender<Piece>) -> Result<(), BackupError> {
    for (name, bytes) in keys.tables()? {
        let column = |name: &str, class, is_key| Column { name: name.to_owned(), class, is_key };
        let columns = vec![
            column("name", Class::Text, true),
            column("create_time", Class::Integer, false),
            column("value", Class::Bytes, false),
        ];
        let _ = pieces.blocking_send(Piece::Table { name, columns, is_keys: true });
        let _ = pieces.blocking_send(Piece::Rows { count: 0, bytes });
    }
    Ok(())
}

/// Opens the keys, and sees to it that they can go where they belong.
fn open_keys(opening: &Opening, sealed: Option<&SealedKeys>, place: &str) -> Result<Keys, Failure> {
    let sealed = sealed.ok_or_else(|| Failure::new(format!("{place} holds no keys")))?;
    let keys = sealed.open(&opening.passphrase);
    let keys = keys.map_err(|error| Failure::new(format!("{place} {error}")))?;
    keys::check_restore(&opening.config, keys.signing.as_deref(), keys.secrets.as_deref())?;
    Ok(keys)
}

fn read_columns(columns: Vec<transfer::Column>) -> Vec<Column> {
    let read = |column: transfer::Column| {
        let class = [Class::Integer, Class::Text, Class::Bytes].into_iter();
        let class = class.into_iter().find(|class| class.name() == column.kind).unwrap_or(Class::Bytes);
        Column { name: column.name, class, is_key: column.key }
    };
    columns.into_iter().map(read).collect()
}
