//! Reading a backup, and proving on the way that it is what was written.

use std::io::{self, BufRead as _, Read};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;
use serde::de::DeserializeOwned;
use zstd::stream::read::Decoder;

use super::format::{FORMAT, FRAME_BYTES_MAX, FRAME_HEAD_BYTES, Kind, MAGIC, SUM_BYTES, Summed};
use super::{BackupError, Column, Manifest, Origin, SealedKeys, TableEntry};

/// How much of what was read before a compressed piece may refer to, as a power of two: memory for 8 MiB.
const WINDOW_LOG_MAX: u32 = 23;
/// Digits of the largest format that can be spoken of.
const FORMAT_DIGITS_MAX: u64 = 6;

/// What comes next.
#[derive(Debug)]
pub enum Part {
    /// A table begins.
    Table {
        /// Its name.
        name: String,
        /// Its columns.
        columns: Vec<Column>,
    },
    /// Some of its rows.
    Rows {
        /// How many.
        count: u64,
        /// As they were written.
        bytes: Vec<u8>,
    },
    /// The keys.
    Keys(SealedKeys),
    /// All of it was read, and is what was written.
    End(Manifest),
}

/// A backup that is being read.
pub struct Reader<R: Read> {
    decoder: Option<Decoder<'static, Summed<R>>>,
    count: Arc<AtomicU64>,
    read: Manifest,
    open: Option<(TableEntry, Context)>,
}

impl<R: Read> std::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("read", &self.read).finish_non_exhaustive()
    }
}

impl<R: Read> Reader<R> {
    /// Begins to read; `count` tells from now on how many bytes were read.
    ///
    /// # Errors
    /// `NotABackup`, `NewerFormat`, `Cut`, `Damaged` or `Read`.
    pub fn begin(input: R, count: Arc<AtomicU64>) -> Result<Self, BackupError> {
        let mut input = Summed::new(input, Arc::clone(&count));
        read_first_line(&mut input)?;
        let mut decoder = Decoder::with_buffer(input).map_err(BackupError::Read)?.single_frame();
        decoder.window_log_max(WINDOW_LOG_MAX).map_err(BackupError::Read)?;
        let nothing = Origin {
            taskwire: String::new(),
            engine: String::new(),
            schema: String::new(),
            history: String::new(),
            time: String::new(),
            one_moment: false,
        };
        let read = Manifest { format: FORMAT, origin: nothing, tables: Vec::new(), keys: false };
        let mut reader = Self { decoder: Some(decoder), count, read, open: None };
        let (kind, bytes) = reader.frame()?;
        if kind != Kind::Origin {
            return Err(damaged("it does not begin with where it comes from"));
        }
        reader.read.origin = json(&bytes)?;
        Ok(reader)
    }

    /// Where the data comes from. Not proved before the end.
    pub const fn origin(&self) -> &Origin {
        &self.read.origin
    }

    /// The next part; after `End` there is none.
    ///
    /// # Errors
    /// `Cut`, `Damaged` or `Read`.
    pub fn next_part(&mut self) -> Result<Part, BackupError> {
        loop {
            let (kind, bytes) = self.frame()?;
            match (kind, &mut self.open) {
                (Kind::Table, None) => {
                    let (name, columns): (String, Vec<Column>) = json(&bytes)?;
                    let entry = TableEntry {
                        name: name.clone(),
                        columns: columns.clone(),
                        rows: 0,
                        bytes: 0,
                        sha256: String::new(),
                    };
                    self.open = Some((entry, Context::new(&SHA256)));
                    return Ok(Part::Table { name, columns });
                }
                (Kind::Rows, Some((entry, sum))) => {
                    let count = count_rows(&bytes).ok_or_else(|| damaged("a row has no end"))?;
                    entry.rows += count;
                    entry.bytes += bytes.len() as u64;
                    sum.update(&bytes);
                    return Ok(Part::Rows { count, bytes });
                }
                (Kind::TableEnd, Some(_)) => self.end_table(&bytes)?,
                (Kind::Keys, None) if !self.read.keys => {
                    self.read.keys = true;
                    return Ok(Part::Keys(json(&bytes)?));
                }
                (Kind::Manifest, None) => return self.end(&bytes),
                _ => return Err(damaged("its parts are not in order")),
            }
        }
    }

    /// Reads all that is left, for nothing but the proof.
    ///
    /// # Errors
    /// As `next_part`.
    pub fn verify(mut self) -> Result<Manifest, BackupError> {
        loop {
            if let Part::End(manifest) = self.next_part()? {
                return Ok(manifest);
            }
        }
    }

    fn end_table(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        let Some((mut entry, sum)) = self.open.take() else { return Ok(()) };
        let (rows, sha256): (u64, String) = json(bytes)?;
        entry.sha256 = HEXLOWER.encode(sum.finish().as_ref());
        if (rows, &sha256) != (entry.rows, &entry.sha256) {
            return Err(damaged(&format!("the rows of {} are not those that were written", entry.name)));
        }
        self.read.tables.push(entry);
        Ok(())
    }

    /// Compares what was read with the manifest, and all bytes with their sum.
    fn end(&mut self, bytes: &[u8]) -> Result<Part, BackupError> {
        let manifest: Manifest = json(bytes)?;
        if manifest != self.read {
            return Err(damaged("its manifest tells of other tables"));
        }
        let mut decoder = self.decoder.take().ok_or_else(|| damaged("it has ended"))?;
        let more = decoder.read(&mut [0]).map_err(|error| self.failed(&decoder, error))?;
        if more > 0 {
            return Err(damaged("it goes on behind its manifest"));
        }
        let mut input = decoder.finish();
        let found = input.sum();
        let mut sum = [0; SUM_BYTES];
        match input.read_exact(&mut sum) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(BackupError::Cut(input.count()));
            }
            Err(error) => return Err(BackupError::Read(error)),
        }
        if sum != found {
            return Err(damaged("its bytes are not those that were written"));
        }
        if !input.fill_buf().map_err(BackupError::Read)?.is_empty() {
            return Err(damaged("something follows behind its end"));
        }
        Ok(Part::End(manifest))
    }

    fn frame(&mut self) -> Result<(Kind, Vec<u8>), BackupError> {
        let mut decoder = self.decoder.take().ok_or_else(|| damaged("it has ended"))?;
        let read = read_frame(&mut decoder);
        let read = read.map_err(|error| self.failed(&decoder, error));
        self.decoder = Some(decoder);
        let (kind, bytes) = read?;
        let kind = Kind::of(kind).ok_or_else(|| damaged("a part is of no kind that is known"))?;
        Ok((kind, bytes.ok_or_else(|| damaged("a part is longer than any is written"))?))
    }

    fn failed(&self, decoder: &Decoder<'static, Summed<R>>, error: io::Error) -> BackupError {
        if error.raw_os_error().is_some() {
            return BackupError::Read(error);
        }
        if decoder.get_ref().is_at_end {
            return BackupError::Cut(self.count.load(std::sync::atomic::Ordering::Relaxed));
        }
        damaged(&error.to_string())
    }
}

fn damaged(text: &str) -> BackupError {
    BackupError::Damaged(text.to_owned())
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BackupError> {
    serde_json::from_slice(bytes).map_err(|_| damaged("a part does not say what it should"))
}

/// Rows follow each other, each led by its length; `None` when the last one has no end.
fn count_rows(mut bytes: &[u8]) -> Option<u64> {
    let mut count = 0;
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk()?;
        bytes = rest.get(u32::from_be_bytes(*length) as usize..)?;
        count += 1;
    }
    Some(count)
}

/// The kind and the bytes; none where they would be too many.
fn read_frame(decoder: &mut impl Read) -> io::Result<(u8, Option<Vec<u8>>)> {
    let mut head = [0; FRAME_HEAD_BYTES];
    decoder.read_exact(&mut head)?;
    let [kind, length @ ..] = head;
    let length = u32::from_be_bytes(length) as usize;
    if length > FRAME_BYTES_MAX {
        return Ok((kind, None));
    }
    // Grows with what is there, whatever the length says.
    let mut bytes = Vec::with_capacity(length.min(1024 * 1024));
    let read = decoder.take(length as u64).read_to_end(&mut bytes)?;
    if read < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((kind, Some(bytes)))
}

fn read_first_line<R: Read>(input: &mut Summed<R>) -> Result<(), BackupError> {
    let mut line = Vec::new();
    let limit = MAGIC.len() as u64 + FORMAT_DIGITS_MAX + 1;
    (&mut *input).take(limit).read_until(b'\n', &mut line).map_err(BackupError::Read)?;
    let Some(rest) = line.strip_prefix(MAGIC) else {
        let is_begun = !line.is_empty() && MAGIC.starts_with(&line);
        return Err(if is_begun { BackupError::Cut(line.len() as u64) } else { BackupError::NotABackup });
    };
    let Some(digits) = rest.strip_suffix(b"\n") else {
        let is_begun = input.is_at_end && rest.iter().all(u8::is_ascii_digit);
        return Err(if is_begun { BackupError::Cut(line.len() as u64) } else { BackupError::NotABackup });
    };
    let digits = std::str::from_utf8(digits).unwrap_or_default();
    match digits.parse::<u32>() {
        Ok(FORMAT) if digits == FORMAT.to_string() => Ok(()),
        Ok(found) if found > FORMAT => Err(BackupError::NewerFormat { found, known: FORMAT }),
        _ => Err(BackupError::NotABackup),
    }
}
