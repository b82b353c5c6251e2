//! What a backup says of itself.

use serde::{Deserialize, Serialize};

/// Where and when it was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The version of the program.
    pub taskwire: String,
    /// `sqlite` or `postgresql`.
    pub engine: String,
    /// The newest migration of the schema, as `20261129050000`.
    pub schema: String,
    /// The history that the data had.
    pub history: String,
    /// When it was begun (RFC 3339).
    pub time: String,
    /// Whether all tables are of one moment. They are not where they lay on several servers and the service wrote.
    pub one_moment: bool,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// `integer`, `text` or `bytes`.
    pub kind: String,
    /// Whether it belongs to the key, in whose order the rows stand.
    pub key: bool,
}

/// A table, and what was in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableEntry {
    /// Its name.
    pub name: String,
    /// Its columns, those of the key first.
    pub columns: Vec<Column>,
    /// How many rows.
    pub rows: u64,
    /// How many bytes they are, before compression.
    pub bytes: u64,
    /// Their SHA-256, in hexadecimal digits. The same rows have the same one on either engine.
    pub sha256: String,
}

/// The whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format of the file.
    pub format: u32,
    /// Where it comes from.
    pub origin: Origin,
    /// The tables, in order.
    pub tables: Vec<TableEntry>,
    /// Whether it holds keys.
    pub keys: bool,
}

impl Manifest {
    /// Rows of all tables.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }
}
