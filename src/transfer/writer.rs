//! Writing a backup, table after table.

use std::io::Write;

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;
use serde::Serialize;
use zstd::stream::write::Encoder;

use super::format::{FORMAT, FRAME_BYTES_MAX, Kind, MAGIC, Summing};
use super::{BackupError, Column, Manifest, Origin, SealedKeys, TableEntry};

/// What zstd takes for the best of size and time.
const LEVEL: i32 = 3;

/// A backup that is being written.
pub struct Writer<W: Write> {
    encoder: Encoder<'static, Summing<W>>,
    manifest: Manifest,
    open: Option<(TableEntry, Context)>,
}

impl<W: Write> std::fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

impl<W: Write> Writer<W> {
    /// Begins with where the data comes from.
    ///
    /// # Errors
    /// `Write`.
    pub fn begin(out: W, origin: Origin) -> Result<Self, BackupError> {
        let mut out = Summing::new(out);
        out.write_all(MAGIC).and_then(|()| writeln!(out, "{FORMAT}")).map_err(BackupError::Write)?;
        let mut encoder = Encoder::new(out, LEVEL).map_err(BackupError::Write)?;
        encoder.include_checksum(true).map_err(BackupError::Write)?;
        let manifest = Manifest { format: FORMAT, origin, tables: Vec::new(), keys: false };
        let mut writer = Self { encoder, manifest, open: None };
        let origin = writer.manifest.origin.clone();
        writer.json(Kind::Origin, &origin)?;
        Ok(writer)
    }

    /// Begins a table; ends the one before.
    ///
    /// # Errors
    /// `Write`.
    pub fn table(&mut self, name: &str, columns: Vec<Column>) -> Result<(), BackupError> {
        self.end_table()?;
        self.json(Kind::Table, &(name, &columns))?;
        let entry = TableEntry { name: name.to_owned(), columns, rows: 0, bytes: 0, sha256: String::new() };
        self.open = Some((entry, Context::new(&SHA256)));
        Ok(())
    }

    /// Rows of the table that was begun, in the order of its key.
    ///
    /// # Errors
    /// `Write`.
    pub fn rows(&mut self, count: u64, bytes: &[u8]) -> Result<(), BackupError> {
        if let Some((entry, sum)) = &mut self.open {
            entry.rows += count;
            entry.bytes += bytes.len() as u64;
            sum.update(bytes);
        }
        self.frame(Kind::Rows, bytes)
    }

    /// The keys, sealed.
    ///
    /// # Errors
    /// `Write`.
    pub fn keys(&mut self, keys: &SealedKeys) -> Result<(), BackupError> {
        self.end_table()?;
        self.manifest.keys = true;
        self.json(Kind::Keys, keys)
    }

    /// Ends the backup; answers what was written, and where to.
    ///
    /// # Errors
    /// `Write`.
    pub fn finish(mut self) -> Result<(Manifest, W), BackupError> {
        self.end_table()?;
        let manifest = self.manifest.clone();
        self.json(Kind::Manifest, &manifest)?;
        let out = self.encoder.finish().and_then(Summing::seal).map_err(BackupError::Write)?;
        Ok((manifest, out))
    }

    fn end_table(&mut self) -> Result<(), BackupError> {
        let Some((mut entry, sum)) = self.open.take() else { return Ok(()) };
        entry.sha256 = HEXLOWER.encode(sum.finish().as_ref());
        self.json(Kind::TableEnd, &(entry.rows, &entry.sha256))?;
        self.manifest.tables.push(entry);
        Ok(())
    }

    fn json(&mut self, kind: Kind, value: &impl Serialize) -> Result<(), BackupError> {
        let text = serde_json::to_vec(value).map_err(|error| BackupError::Write(error.into()))?;
        self.frame(kind, &text)
    }

    fn frame(&mut self, kind: Kind, bytes: &[u8]) -> Result<(), BackupError> {
        let length = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= FRAME_BYTES_MAX);
        let length = length.ok_or_else(|| BackupError::Write(std::io::ErrorKind::FileTooLarge.into()))?;
        let mut put = |bytes: &[u8]| self.encoder.write_all(bytes).map_err(BackupError::Write);
        put(&[kind.byte()])?;
        put(&length.to_be_bytes())?;
        put(bytes)
    }
}
