//! `taskwire backup`: everything in one file, while the service serves; and whether such a file is whole.

use std::io::{IsTerminal as _, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::SecretString;
use tokio::sync::mpsc::{Receiver, channel};

use super::database::{checked, checked_storage};
use super::outcome::{Failure, Outcome, say, say_error};
use super::progress::{Progress, State, unless_interrupted};
use super::{keys, passphrase};
use crate::cli::transfer::BackupArgs;
use crate::domain::machine_time;
use crate::storage::{Column, OpenError, Piece, Storage, TransferError};
use crate::transfer::{self, BackupError, Keys, Manifest, Origin, Output, Part, Reader, Writer};

/// Pieces on their way between two threads: a few, so that memory is bounded.
pub(super) const PIECES_WAITING: usize = 4;

pub(super) async fn run(args: BackupArgs) -> Outcome {
    if args.verify {
        return verify(args).await;
    }
    let file = file_of(&args.file);
    if file.is_none() && std::io::stdout().is_terminal() {
        return Err(Failure::usage(vec!["a backup is not for a terminal: name a file".to_owned()]));
    }
    let mut sealing = None;
    let storage = if args.keys.include_keys {
        let passphrase = passphrase::read(args.keys.passphrase_file.as_deref(), true)?;
        let config = checked(*args.settings)?;
        let (signing, secrets) = keys::texts(&config)?;
        sealing = Some((passphrase, Keys { signing, secrets, ..Keys::default() }));
        config.storage
    } else {
        checked_storage(*args.settings)?
    };
    check_schema(&storage).await?;

    let place = shown(file);
    let failed = |error: BackupError| Failure::new(format!("{place} {error}"));
    let output = file.map(|file| Output::create(file, args.force)).transpose().map_err(failed)?;
    let out: Box<dyn Write + Send> = match &output {
        Some(output) => Box::new(output.writer().map_err(failed)?),
        None => Box::new(std::io::stdout()),
    };
    let progress = Progress::of("backup");
    let work = write(&storage, out, sealing, &progress.state, &place);
    let manifest = unless_interrupted("there is no backup", work).await?;
    if let Some(output) = output {
        output.finish(args.force).map_err(failed)?;
    }
    progress.end();
    if !manifest.origin.one_moment {
        say_error(
            "the data lies on several servers: each table is as of a moment of its own, unless nothing was written meanwhile",
        );
    }
    let told = format!("wrote {place}: {}", told(&manifest));
    if file.is_some() {
        return say(&told);
    }
    say_error(&told);
    Ok(())
}

/// The file that is named, unless it is `-`.
pub(super) fn file_of(path: &Path) -> Option<&Path> {
    (path != Path::new("-")).then_some(path)
}

/// For people.
pub(super) fn shown(file: Option<&Path>) -> String {
    file.map_or_else(|| "the stream".to_owned(), |file| file.display().to_string())
}

/// What is in it, for people.
pub(super) fn told(manifest: &Manifest) -> String {
    let Origin { taskwire, engine, schema, history, time, .. } = &manifest.origin;
    let keys = if manifest.keys { ", and the keys" } else { "" };
    format!(
        "{} rows of {} tables{keys}; taken {time} from {engine} by taskwire {taskwire}, schema {schema}, history {history}",
        manifest.rows(),
        manifest.tables.len(),
    )
}

/// Refuses a database that holds what this program does not know. One that is behind is taken as it is.
async fn check_schema(storage: &Storage) -> Outcome {
    if let Some(file) = storage.file().filter(|file| !file.exists()) {
        return Err(Failure::new(TransferError::NoFile(file.display().to_string())));
    }
    let state = storage.schema_state().await.map_err(Failure::new)?;
    match state.unknown.last() {
        Some(version) => Err(Failure::new(OpenError::SchemaAhead { version: version.clone() })),
        None => Ok(()),
    }
}

async fn write(
    storage: &Storage,
    out: Box<dyn Write + Send>,
    sealing: Option<(SecretString, Keys)>,
    state: &Arc<State>,
    place: &str,
) -> Result<Manifest, Failure> {
    let (sender, receiver) = channel(PIECES_WAITING);
    let with_keys = sealing.is_some();
    let told = Arc::clone(state);
    let writing = tokio::task::spawn_blocking(move || write_pieces(receiver, out, sealing, &told));
    let exported = storage.export(with_keys, sender).await;
    let written = writing.await.map_err(|stopped| Failure::new(format!("writing stopped: {stopped}")))?;
    match (exported, written) {
        // Whoever takes the pieces has said why there are to be no more.
        (Err(TransferError::Stopped) | Ok(()), Err(Some(error))) => {
            Err(Failure::new(format!("{place} {error}")))
        }
        (Err(error), _) => Err(Failure::new(error)),
        (Ok(()), Err(None)) => Err(Failure::new(TransferError::Stopped)),
        (Ok(()), Ok(manifest)) => Ok(manifest),
    }
}

/// Writes the pieces; fails with nothing where they end before their end.
fn write_pieces(
    mut pieces: Receiver<Piece>,
    out: Box<dyn Write + Send>,
    mut sealing: Option<(SecretString, Keys)>,
    state: &State,
) -> Result<Manifest, Option<BackupError>> {
    let Some(Piece::Source(source)) = pieces.blocking_recv() else { return Err(None) };
    let origin = Origin {
        taskwire: env!("CARGO_PKG_VERSION").to_owned(),
        engine: source.engine.to_owned(),
        schema: source.schema,
        history: source.history.map_or_else(String::new, |history| history.to_string()),
        time: now(),
        one_moment: source.one_moment,
    };
    let mut writer = Writer::begin(out, origin).map_err(Some)?;
    // The table of keys whose rows come now.
    let mut of_keys: Option<(String, Vec<u8>)> = None;
    loop {
        let piece = pieces.blocking_recv().ok_or(None)?;
        if !matches!(piece, Piece::Rows { .. })
            && let (Some((table, rows)), Some((_, keys))) = (of_keys.take(), &mut sealing)
        {
            keys.put_rows(&table, &rows);
        }
        match piece {
            Piece::Source(_) => {}
            Piece::Table { name, is_keys: true, .. } => of_keys = Some((name, Vec::new())),
            Piece::Table { name, columns, .. } => {
                state.step(&name);
                writer.table(&name, written_columns(columns)).map_err(Some)?;
            }
            Piece::Rows { count, bytes } => {
                state.add_rows(count);
                match &mut of_keys {
                    Some((_, rows)) => rows.extend_from_slice(&bytes),
                    None => writer.rows(count, &bytes).map_err(Some)?,
                }
            }
            Piece::End => break,
        }
    }
    if let Some((passphrase, keys)) = sealing {
        writer.keys(&keys.seal(&passphrase).map_err(Some)?).map_err(Some)?;
    }
    writer.finish().map(|(manifest, _)| manifest).map_err(Some)
}

fn now() -> String {
    let (seconds, nanos) = machine_time().to_parts();
    prost_types::Timestamp { seconds, nanos }.to_string()
}

/// Columns as a file has them.
fn written_columns(columns: Vec<Column>) -> Vec<transfer::Column> {
    let written = |column: Column| transfer::Column {
        name: column.name,
        kind: column.class.name().to_owned(),
        key: column.is_key,
    };
    columns.into_iter().map(written).collect()
}

/// Proves a file whole, and tells what is in it.
async fn verify(args: BackupArgs) -> Outcome {
    let passphrase = if args.keys.include_keys {
        Some(passphrase::read(args.keys.passphrase_file.as_deref(), false)?)
    } else {
        None
    };
    let progress = Progress::of("verify");
    let (manifest, keys) = prove(args.file.clone(), &progress.state).await?;
    if let Some(passphrase) = passphrase {
        let place = shown(file_of(&args.file));
        let keys = keys.ok_or_else(|| Failure::new(format!("{place} holds no keys")))?;
        keys.open(&passphrase).map_err(|error| Failure::new(format!("{place} {error}")))?;
    }
    progress.end();
    say(&format!("{} is whole: {}", shown(file_of(&args.file)), told(&manifest)))?;
    manifest
        .tables
        .iter()
        .try_for_each(|table| say(&format!("{}  {}  {}", table.sha256, table.name, table.rows)))
}

/// Reads all of a file.
pub(super) async fn prove(
    path: PathBuf,
    state: &Arc<State>,
) -> Result<(Manifest, Option<transfer::SealedKeys>), Failure> {
    let state = Arc::clone(state);
    let work = async move {
        let proved = tokio::task::spawn_blocking(move || {
            let place = shown(file_of(&path));
            let mut reader = open(&path, &state).map_err(|error| format!("{place} {error}"))?;
            let mut keys = None;
            loop {
                match reader.next_part().map_err(|error| format!("{place} {error}"))? {
                    Part::Table { name, .. } => state.step(&name),
                    Part::Rows { count, .. } => state.add_rows(count),
                    Part::Keys(sealed) => keys = Some(sealed),
                    Part::End(manifest) => return Ok((manifest, keys)),
                }
            }
        });
        let proved: Result<_, String> = proved.await.unwrap_or_else(|stopped| Err(stopped.to_string()));
        proved.map_err(Failure::new)
    };
    unless_interrupted("nothing was changed", work).await
}

/// Begins to read a file, or standard input.
pub(super) fn open(path: &Path, state: &State) -> Result<Reader<Box<dyn Read + Send>>, BackupError> {
    let input: Box<dyn Read + Send> = match file_of(path) {
        None => Box::new(std::io::stdin()),
        Some(path) => {
            let file = std::fs::File::open(path).map_err(BackupError::Read)?;
            state.set_whole(file.metadata().map_or(0, |found| found.len()));
            Box::new(file)
        }
    };
    Reader::begin(input, Arc::clone(&state.done))
}
