//! All rows of a database on their way: out of it in one snapshot, into another one at once, whichever the engines. Knows no file.

mod catalogue;
mod copy;
mod differences;
mod fence;
mod postgres;
mod row;
mod side;
mod sqlite;

use tokio::sync::mpsc::{Receiver, Sender};

use self::catalogue::{Carried, NOT_CARRIED, TABLES, Table};
pub use self::catalogue::{Class, Column};
pub use self::copy::{Copied, CopyEnd, Told};
use super::{OpenError, Storage, Target};
use crate::domain::HistoryId;

/// How many bytes of rows go in one piece, or a little more.
const PIECE_BYTES: usize = 256 * 1024;

/// Why rows cannot be taken out of a database or put into one.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database refused, or went away.
    #[error("the database failed: {0}")]
    Database(String),
    /// There is no file.
    #[error("there is no database at {0}")]
    NoFile(String),
    /// There are no tables of this program.
    #[error("the database holds no tables of taskwire")]
    NoSchema,
    /// Something is there that this program does not know, and would lose.
    #[error("the database holds {0}, which this program does not know")]
    Unknown(String),
    /// Somebody's data is there already.
    #[error("the database is not empty: {0} holds rows")]
    NotEmpty(String),
    /// What comes in does not fit.
    #[error("the database has no place for what comes in: {0}")]
    Unfit(String),
    /// It is taken by a copy of another database.
    #[error("the database holds an unfinished copy of another one, of the history {0}")]
    OtherCopy(String),
    /// Another copy writes to it.
    #[error("another copy writes to the database, or one that was killed has not ended there yet")]
    Busy,
    /// What was copied is not the same.
    #[error("the databases differ: {0}")]
    Differs(String),
    /// The other side has ended before its end.
    #[error("it was ended in the middle")]
    Stopped,
}

/// Where rows come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// `sqlite` or `postgresql`.
    pub engine: &'static str,
    /// The newest migration.
    pub schema: String,
    /// The history of the data; absent in a schema of before there was any.
    pub history: Option<HistoryId>,
    /// Whether all tables are of one moment.
    pub one_moment: bool,
}

/// What comes out of a database, in order.
#[derive(Debug)]
pub enum Piece {
    /// First.
    Source(Source),
    /// A table begins.
    Table {
        /// Its name.
        name: String,
        /// Its columns, in the order of the fields.
        columns: Vec<Column>,
        /// Whether these are keys of the service.
        is_keys: bool,
    },
    /// Rows of it, in the order of its key.
    Rows {
        /// How many.
        count: u64,
        /// As `row.rs` has them.
        bytes: Vec<u8>,
    },
    /// All of it.
    End,
}

/// The names of the tables that are carried, and of those that never are with the reason.
pub fn carried_tables() -> (Vec<&'static str>, Vec<(&'static str, &'static str)>) {
    (TABLES.iter().map(|table| table.name).collect(), NOT_CARRIED.to_vec())
}

impl Storage {
    /// Reads everything that belongs into a backup, as of one moment, and hands it over piece by piece. Writes nothing, and holds
    /// up no writer.
    ///
    /// # Errors
    /// `Stopped` when nobody takes the pieces any more; those of the database.
    pub async fn export(&self, with_keys: bool, pieces: Sender<Piece>) -> Result<(), TransferError> {
        let wanted = move |table: &Table| match table.listed.carried {
            Carried::Always => true,
            Carried::AsKeys => with_keys,
            Carried::WithKeys => false,
        };
        match &self.target {
            Target::Postgres(target) => postgres::export(target, wanted, &pieces).await,
            Target::Sqlite(target) => sqlite::export(target, self.pool.limits, wanted, pieces).await,
        }
    }

    /// Puts what comes into an empty database that has the schema of it, all at its `End` or nothing. A new history begins; answers
    /// which.
    ///
    /// # Errors
    /// `NotEmpty`, `Unfit`; `Stopped` when the pieces end before their end; those of the database.
    pub async fn import(&self, pieces: Receiver<Piece>) -> Result<HistoryId, TransferError> {
        let history = HistoryId::generate();
        match &self.target {
            Target::Postgres(target) => postgres::import(target, pieces, history).await?,
            Target::Sqlite(target) => sqlite::import(target, self.pool.limits, pieces, history).await?,
        }
        Ok(history)
    }

    /// Whether there is a table with rows that a restore would add to: names it.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn occupied(&self) -> Result<Option<String>, TransferError> {
        let seen = match &self.target {
            Target::Postgres(target) => postgres::occupied(target).await,
            Target::Sqlite(target) => sqlite::occupied(target, self.pool.limits).await,
        };
        match seen {
            Err(TransferError::NoSchema | TransferError::NoFile(_)) => Ok(None),
            seen => seen,
        }
    }
}

/// The table that comes in, if its columns are those that it has here.
fn expected(tables: &[Table], name: &str, columns: &[Column]) -> Result<Table, TransferError> {
    let table = tables.iter().find(|table| table.name() == name);
    let table = table.ok_or_else(|| TransferError::Unfit(format!("the table {name}")))?;
    if table.columns != columns {
        let other = |one: &[Column], others: &[Column]| {
            one.iter().find(|column| !others.contains(column)).map(|column| column.name.clone())
        };
        let name_of = other(columns, &table.columns).or_else(|| other(&table.columns, columns));
        let text = format!("the column {} of the table {name}", name_of.unwrap_or_default());
        return Err(TransferError::Unfit(text));
    }
    Ok(table.clone())
}

/// A row that is not as its table has it.
fn misfit(table: &Table) -> TransferError {
    TransferError::Unfit(format!("a row of {} is not as its columns are", table.name()))
}

impl From<diesel::result::Error> for TransferError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Database(error.to_string())
    }
}

impl From<tokio_postgres::Error> for TransferError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(super::engine::postgres::root_cause(&error))
    }
}
