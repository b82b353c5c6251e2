//! Connections to SQLite: where the file is, who may read it, and the pragmas every connection starts with.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::pooled_connection::{ManagerConfig, RecyclingMethod};
use diesel_async::{AsyncConnection as _, SimpleAsyncConnection as _};
use futures_util::FutureExt as _;
use tokio::time::{Instant, sleep};

use super::connections::SqliteConn;
use super::last_change::LastChange;
use super::server::Server;
use crate::storage::Limits;

/// What SQLite says while another process holds the file.
pub(in crate::storage) const LOCKED: &str = "database is locked";

/// The file.
#[derive(Debug, Clone)]
pub(in crate::storage) struct Target {
    path: PathBuf,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) enum Role {
    /// The one that writes.
    Writer,
    /// One of those that cannot.
    Reader,
}

impl Target {
    /// Reads `sqlite:path`; `sqlite://path` and `sqlite:///absolute/path` mean the same.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(in crate::storage) fn parse(url: &str) -> Result<Self, String> {
        let path = url.strip_prefix("sqlite:").unwrap_or(url);
        let path = path.strip_prefix("//").unwrap_or(path);
        match path {
            "" => Err("names no file".into()),
            // Each connection would have a database of its own.
            ":memory:" => Err("asks for a database in memory; name a file".into()),
            path if path.contains('?') => Err("has parameters, which SQLite files do not take".into()),
            path => Ok(Self { path: PathBuf::from(path) }),
        }
    }

    pub(in crate::storage) fn path(&self) -> &Path {
        &self.path
    }

    pub(in crate::storage) fn path_text(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    /// Makes the directory (0700) where it is missing.
    pub(in crate::storage) fn prepare_directory(&self) -> io::Result<()> {
        if let Some(directory) = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        Ok(())
    }

    /// Makes the directory and the file (0600) where they are missing. SQLite gives the files beside it the same mode.
    pub(in crate::storage) fn prepare(&self) -> io::Result<()> {
        self.prepare_directory()?;
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&self.path)?;
        Ok(())
    }

    /// Makes one connection.
    pub(in crate::storage) async fn connect(
        &self,
        role: Role,
        limits: Limits,
    ) -> ConnectionResult<SqliteConn> {
        establish(&self.path_text(), role, limits).await
    }
}

pub(in crate::storage) fn manager_config(
    role: Role,
    limits: Limits,
    server: &Arc<Server>,
    last_change: &Arc<LastChange>,
) -> ManagerConfig<SqliteConn> {
    let (server, last_change) = (Arc::clone(server), Arc::clone(last_change));
    let mut config = ManagerConfig::default();
    config.recycling_method = RecyclingMethod::Fast;
    config.custom_setup = Box::new(move |path| {
        let (server, last_change, path) = (Arc::clone(&server), Arc::clone(&last_change), path.to_owned());
        async move {
            if let Some(history) = last_change.compare(|| establish(&path, Role::Writer, limits)).await? {
                server.saw(history);
            }
            establish(&path, role, limits).await
        }
        .boxed()
    });
    config
}

async fn establish(path: &str, role: Role, limits: Limits) -> ConnectionResult<SqliteConn> {
    let mut connection = SqliteConn::establish(path).await?;
    let deadline = Instant::now() + limits.lock_timeout;
    loop {
        match connection.batch_execute(&pragmas(role, limits)).await {
            Ok(()) => return Ok(connection),
            // Of two who turn a new file to write-ahead logging at once, one is told so without the busy timeout.
            Err(error) if error.to_string().contains(LOCKED) && Instant::now() < deadline => {
                sleep(Duration::from_millis(5)).await;
            }
            Err(error) => return Err(ConnectionError::BadConnection(error.to_string())),
        }
    }
}

/// `synchronous=FULL`: in WAL mode anything less loses acknowledged commits when the power goes.
fn pragmas(role: Role, limits: Limits) -> String {
    let common = format!(
        "pragma busy_timeout = {}; pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on;",
        limits.lock_timeout.as_millis(),
    );
    match role {
        // What is deleted is overwritten with zeros where it stood, in pages that are written anyway and in those that become
        // free: what a user had erased is in no file. It costs no write more than a few percent of its processor time.
        //
        // A batch touches a few hundred pages. They stay in memory, and so does what undoes a statement that fails in
        // the middle; the file is brought up to date every 32 MiB of log and not, as by default, with nearly every batch.
        Role::Writer => format!(
            "{common} pragma cache_size = -65536; pragma temp_store = memory; pragma wal_autocheckpoint = 8192; \
             pragma secure_delete = on;"
        ),
        Role::Reader => format!("{common} pragma cache_size = -16384; pragma query_only = on;"),
    }
}
