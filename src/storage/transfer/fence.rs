//! What keeps two databases from being taken for one: the mark of a copy that is not finished, the lock that keeps two copies apart, and
//! the end of writes at a source that was left.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::TransferError;
use super::catalogue::COPY_TABLE;
use super::side::Side;
use crate::domain::HistoryId;
use crate::storage::engine::sqlite::Role;
use crate::storage::{OpenError, Storage, Target};

/// How often the tables of the source are locked anew when a writer and this wait for each other. Each time takes a second, since it is
/// mostly this that PostgreSQL refuses: it began to wait first.
const ATTEMPTS: usize = 20;

/// The key of the lock that a copy holds at its target.
const LOCK_KEY: i64 = i64::from_be_bytes(*b"taskcopy");

/// How long the end of another copy is waited for, in seconds.
const HOLD_SECONDS: u8 = 60;

/// What whoever writes is told. Both engines' words for a server that cannot be written to, so that clients wait and try again.
const MOVED: &str =
    "attempt to write a readonly database: it was copied to another one, which serves in its place";

/// What keeps others from copying to the same target.
pub(super) enum Held {
    /// A connection to its server, which is also the one to write on.
    Server(Side),
    /// The file's, until it is dropped.
    File(FileLock),
}

/// Takes a target for as long as what is answered lives. A server may go on for a while with what a copy gave it that was killed, and
/// would commit rows that the next one has not seen, so that its end is waited for; whoever was killed writes no more to a file.
///
/// # Errors
/// `Busy`, when another copy holds it, on a server for too long.
pub(super) async fn hold(target: &Storage) -> Result<Held, TransferError> {
    if let Target::Sqlite(file) = &target.target {
        let held = file.prepare_directory().and_then(|()| FileLock::take(file.path()));
        let refused = |error| OpenError::Refused(format!("{}: {error}", file.path().display()));
        return held.map_err(refused)?.map(Held::File).ok_or(TransferError::Busy);
    }
    let mut side = Side::connect(target, Role::Writer).await?;
    let sql = format!(
        "set lock_timeout = '{HOLD_SECONDS}s'; select pg_advisory_lock({LOCK_KEY}); reset lock_timeout"
    );
    match side.run(sql).await {
        Err(TransferError::Database(text)) if text.contains("lock timeout") => Err(TransferError::Busy),
        held => held.map(|()| Held::Server(side)),
    }
}

/// A file beside a database that whoever copies to that has locked. Not the database itself: SQLite has locks of its own there, which
/// end when a process closes it, by whatever way it was opened.
pub(super) struct FileLock {
    /// Locked while it is open.
    _file: File,
    path: PathBuf,
}

impl FileLock {
    /// `None` while another process has it.
    fn take(database: &Path) -> io::Result<Option<Self>> {
        let mut path = database.as_os_str().to_owned();
        path.push("-copying");
        let path = PathBuf::from(path);
        loop {
            let file = File::options().read(true).append(true).create(true).mode(0o600).open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // Whoever had it may have removed it between the opening and the lock.
            let (held, there) = (file.metadata()?, std::fs::metadata(&path));
            if there.is_ok_and(|there| (there.dev(), there.ino()) == (held.dev(), held.ino())) {
                return Ok(Some(Self { _file: file, path }));
            }
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // While it is still locked. Where it cannot be removed, the next one finds and locks it.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether nobody writes to the source any more.
pub(super) async fn is_stopped(source: &mut Side) -> Result<bool, TransferError> {
    let sql = match source {
        Side::Postgres(_) => "select 1 where to_regprocedure('taskwire_moved()') is not null",
        Side::Sqlite(_) => {
            "select 1 from sqlite_master where type = 'trigger' and name like 'taskwire!_moved!_%' escape '!' limit 1"
        }
    };
    Ok(source.text(sql.to_owned()).await?.is_some())
}

pub(super) async fn is_marked(side: &mut Side) -> Result<bool, TransferError> {
    let sql = match side {
        Side::Postgres(_) => format!("select 1 where to_regclass('{COPY_TABLE}') is not null"),
        Side::Sqlite(_) => format!("select 1 from sqlite_master where name = '{COPY_TABLE}'"),
    };
    Ok(side.text(sql).await?.is_some())
}

/// Says of what the target is an unfinished copy.
pub(super) async fn mark(target: &mut Side, history: &str) -> Result<(), TransferError> {
    let sql = format!(
        "begin; create table {COPY_TABLE} (source text not null); insert into {COPY_TABLE} values ('{history}'); commit"
    );
    target.run(sql).await
}

/// The copy is finished, and the target a database by itself.
pub(super) async fn finish(target: &mut Side, history: HistoryId) -> Result<(), TransferError> {
    let history = history.uuid().simple();
    let sql = match target {
        Side::Postgres(_) => format!(
            "set synchronous_commit = on; begin; update database_state set history = '{history}', seen_on = null; \
             drop table {COPY_TABLE}; commit"
        ),
        Side::Sqlite(_) => format!(
            "pragma synchronous = full; begin; update database_state set history = x'{history}', seen_on = null; \
             drop table {COPY_TABLE}; commit; pragma wal_checkpoint(truncate)"
        ),
    };
    target.run(sql).await
}

/// Begins a transaction in which nobody else can write, and after whose commit nobody writes at all.
pub(super) async fn stop(source: &mut Side, tables: &[&str]) -> Result<(), TransferError> {
    let sql = match source {
        Side::Sqlite(_) => {
            let triggers = tables.iter().flat_map(|table| {
                ["insert", "update", "delete"].map(|write| {
                    format!(
                        "create trigger if not exists taskwire_moved_{table}_{write} before {write} on {table} \
                         begin select raise(abort, '{MOVED}'); end"
                    )
                })
            });
            let triggers: Vec<String> = triggers.collect();
            format!("begin immediate; {}", triggers.join("; "))
        }
        Side::Postgres(_) => {
            let triggers = tables.iter().map(|table| {
                format!(
                    "create or replace trigger taskwire_moved before insert or update or delete on {table} \
                     for each statement execute function taskwire_moved()"
                )
            });
            let triggers: Vec<String> = triggers.collect();
            format!(
                "begin; lock table {} in share row exclusive mode; create or replace function taskwire_moved() \
                 returns trigger language plpgsql as $$ begin raise exception '{MOVED}' using errcode = '25006'; \
                 end $$; {}",
                tables.join(", "),
                triggers.join("; "),
            )
        }
    };
    let mut failed = None;
    for _ in 0..ATTEMPTS {
        match source.run(sql.clone()).await {
            Ok(()) => return Ok(()),
            Err(error) => failed = Some(error),
        }
        // A transaction that was refused in the middle; on SQLite there may be none.
        let _ = source.run("rollback".to_owned()).await;
    }
    Err(failed.unwrap_or(TransferError::Stopped))
}

/// Takes away what `stop` has made.
pub(super) async fn reopen(source: &mut Side, tables: &[&str]) -> Result<(), TransferError> {
    let drops: Vec<String> = match source {
        Side::Sqlite(_) => tables
            .iter()
            .flat_map(|table| {
                ["insert", "update", "delete"]
                    .map(|write| format!("drop trigger if exists taskwire_moved_{table}_{write}"))
            })
            .collect(),
        Side::Postgres(_) => vec!["drop function if exists taskwire_moved() cascade".to_owned()],
    };
    source.run(format!("begin; {}; commit", drops.join("; "))).await
}
