//! Backups as files: how one is written, read, proved whole and kept from others. Knows no database: a table is a name, its
//! columns and its rows as bytes.
//!
//! ```text
//! taskwire backup 1\n  zstd( frames … )  SHA-256 of all before
//! ```
//!
//! A frame is its kind (one byte), its length (four bytes, the highest first) and so many bytes. The frames, in order: `H` where
//! it comes from; for each table `T` its name and columns, any number of `R` with rows, `E` how many there were and their
//! SHA-256; `K` the sealed keys, if there are any; `M` the manifest, which repeats all that was said.

mod format;
mod keys;
mod manifest;
mod output;
mod reader;
mod writer;

use std::io;

pub use keys::{Keys, PASSPHRASE_CHARS_MIN, SealedKeys};
pub use manifest::{Column, Manifest, Origin, TableEntry};
pub use output::Output;
pub use reader::{Part, Reader};
pub use writer::Writer;

/// Why a backup cannot be written or read. The text completes "the file …".
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It begins with something else.
    #[error("is not a backup of taskwire")]
    NotABackup,
    /// A later version of the program made it.
    #[error(
        "was written by a newer taskwire, in format {found}; this one reads format {known}: use that version"
    )]
    NewerFormat {
        /// Its format.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// It ends before its end.
    #[error("is cut off: it ends after {0} bytes, in the middle")]
    Cut(u64),
    /// It is not what was written.
    #[error("is damaged: {0}")]
    Damaged(String),
    /// The system does not let it be read.
    #[error("cannot be read: {0}")]
    Read(io::Error),
    /// The system does not let it be written.
    #[error("cannot be written: {0}")]
    Write(io::Error),
    /// Another backup is being written to the same place.
    #[error("is being written by another backup")]
    Busy,
    /// There is one already.
    #[error("exists already; --force replaces it")]
    Exists,
    /// The passphrase does not open the keys.
    #[error("holds keys that this passphrase does not open")]
    WrongPassphrase,
    /// Sealing failed.
    #[error("cannot hold keys: {0}")]
    Seal(&'static str),
}
