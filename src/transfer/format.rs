//! What stands where in the file: its first line, the kinds of frames, and the sums that are kept while bytes pass.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{Context, SHA256};

/// How the first line begins; the format and the end of the line follow.
pub(super) const MAGIC: &[u8] = b"taskwire backup ";
/// The format that is written, and the newest that is read.
pub(super) const FORMAT: u32 = 1;
/// Bytes of a SHA-256.
pub(super) const SUM_BYTES: usize = 32;
/// No frame is longer: it is held in memory.
pub(super) const FRAME_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The first bytes of a frame: its kind and its length.
pub(super) const FRAME_HEAD_BYTES: usize = 5;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Origin,
    Table,
    Rows,
    TableEnd,
    Keys,
    Manifest,
}

impl Kind {
    const ALL: [(Self, u8); 6] = [
        (Self::Origin, b'H'),
        (Self::Table, b'T'),
        (Self::Rows, b'R'),
        (Self::TableEnd, b'E'),
        (Self::Keys, b'K'),
        (Self::Manifest, b'M'),
    ];

    pub(super) fn byte(self) -> u8 {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or(0, |(_, byte)| *byte)
    }

    pub(super) fn of(byte: u8) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == byte).map(|(kind, _)| *kind)
    }
}

/// Writes on, and keeps the sum of what was written.
pub(super) struct Summing<W> {
    inner: W,
    sum: Context,
}

impl<W: Write> Summing<W> {
    pub(super) fn new(inner: W) -> Self {
        Self { inner, sum: Context::new(&SHA256) }
    }

    /// Writes the sum of all before, and answers where it was written to.
    pub(super) fn seal(mut self) -> io::Result<W> {
        self.inner.write_all(self.sum.finish().as_ref())?;
        self.inner.flush()?;
        Ok(self.inner)
    }
}

impl<W: Write> Write for Summing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Reads on, and keeps the sum of what was read, and how much that was.
pub(super) struct Summed<R> {
    inner: BufReader<R>,
    sum: Context,
    count: Arc<AtomicU64>,
    /// Whether the end of the input was seen.
    pub(super) is_at_end: bool,
}

impl<R: Read> Summed<R> {
    pub(super) fn new(inner: R, count: Arc<AtomicU64>) -> Self {
        let inner = BufReader::with_capacity(128 * 1024, inner);
        Self { inner, sum: Context::new(&SHA256), count, is_at_end: false }
    }

    /// Bytes so far.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// The sum of what was read so far.
    pub(super) fn sum(&self) -> [u8; SUM_BYTES] {
        let mut sum = [0; SUM_BYTES];
        sum.copy_from_slice(self.sum.clone().finish().as_ref());
        sum
    }
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let count = ready.len().min(into.len());
        into[..count].copy_from_slice(&ready[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for Summed<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let ready = self.inner.fill_buf()?;
        self.is_at_end |= ready.is_empty();
        Ok(ready)
    }

    fn consume(&mut self, count: usize) {
        self.sum.update(&self.inner.buffer()[..count]);
        self.count.fetch_add(count as u64, Ordering::Relaxed);
        self.inner.consume(count);
    }
}
