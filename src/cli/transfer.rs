//! The words for data that moves: backups, and from database to database.

use std::path::PathBuf;

use clap::Args;

use crate::config::Settings;

/// Variables that only these commands read.
pub const VARIABLES: [&str; 3] =
    ["TASKWIRE_BACKUP_PASSPHRASE_FILE", "TASKWIRE_COPY_FROM", "TASKWIRE_COPY_TO"];

pub(super) const BACKUP_EXAMPLES: &str = "Examples:
  taskwire backup taskwire.backup
  taskwire backup --verify taskwire.backup
  taskwire backup - | ssh backup@host 'cat >taskwire.backup'
  taskwire backup --include-keys --passphrase-file passphrase taskwire.backup

The file appears once it is whole. It holds everything but the keys of the service; keep those elsewhere, or put them in with
--include-keys. Exit status: 0 done, 1 failed, 64 wrong usage, 130 interrupted.";

pub(super) const RESTORE_EXAMPLES: &str = "Examples:
  taskwire restore taskwire.backup
  taskwire restore --database-url postgres://taskwire@db.example/taskwire taskwire.backup

The database must be empty; its tables are made. A backup of either engine can be restored into the other. Nothing is there
before all of it is, and a new history begins: whoever syncs or watches begins again from a list. Stop the service first.";

pub(super) const COPY_EXAMPLES: &str = "Examples:
  taskwire copy --from sqlite:taskwire-data/taskwire.db --to postgres://taskwire@db.example/taskwire
  taskwire copy --from sqlite:taskwire-data/taskwire.db --to postgres://taskwire@db.example/taskwire --verify --cutover
  taskwire copy --from sqlite:taskwire-data/taskwire.db --reopen

The target is empty, or holds an unfinished copy of the same source, which goes on. Without --cutover the copy is of one moment,
begins a history of its own, and the source goes on by itself. With it the source is stopped for the last changes and takes no
writes afterwards: start the service on the target, where the history goes on.";

/// `taskwire copy`
#[derive(Debug, Args)]
pub struct CopyArgs {
    /// URL of the database that is copied. The service may serve it
    #[arg(long, env = "TASKWIRE_COPY_FROM", value_name = "URL", hide_env_values = true)]
    pub from: String,
    /// URL of the database that it is copied to. No service may run on it before this is done
    #[arg(
        long,
        env = "TASKWIRE_COPY_TO",
        value_name = "URL",
        hide_env_values = true,
        required_unless_present = "reopen"
    )]
    pub to: Option<String>,
    /// Compare every row at the end, and name the first that differs
    #[arg(long)]
    pub verify: bool,
    /// Stop all writes at the source, copy the last changes, and leave the source closed for writes
    #[arg(long)]
    pub cutover: bool,
    /// Let the source be written to again after a cutover, as it was left
    #[arg(long, conflicts_with_all = ["cutover", "verify"])]
    pub reopen: bool,
}

/// `taskwire backup`
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// File to write, readable for its owner alone; - for standard output
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Replace a file that exists
    #[arg(long, conflicts_with = "verify")]
    pub force: bool,
    /// Read the file, prove it whole and tell what is in it; no database is asked. - reads standard input
    #[arg(long)]
    pub verify: bool,
    /// The passphrase, and whether keys are meant
    #[command(flatten)]
    pub keys: KeysArgs,
    /// The settings
    #[command(flatten)]
    pub settings: Box<Settings>,
}

/// `taskwire restore`
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// File to read; - for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The passphrase, and whether keys are meant
    #[command(flatten)]
    pub keys: KeysArgs,
    /// The settings
    #[command(flatten)]
    pub settings: Box<Settings>,
}

/// Keys within a backup.
#[derive(Debug, Args)]
pub struct KeysArgs {
    /// Also the keys of the service: those that sign tokens, those that seal secrets, and those in the database; sealed by a
    /// passphrase
    #[arg(long)]
    pub include_keys: bool,
    /// File whose first line is the passphrase; when absent, the one that TASKWIRE_BACKUP_PASSPHRASE_FILE names, else it is
    /// asked for on a terminal
    #[arg(long, value_name = "FILE", requires = "include_keys")]
    pub passphrase_file: Option<PathBuf>,
}
