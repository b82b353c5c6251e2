//! The rows of a CSV whose first one names its columns.

use std::collections::HashMap;
use std::io::{self, BufRead, Chain, Cursor, Read as _};

use csv::{ByteRecord, ReaderBuilder};

use super::detect::HEAD_BYTES;
use super::lines::LINE_MAX;
use super::{Refused, Unreadable};

/// Why there is no row.
pub(super) enum Broken {
    Row(Refused),
    File(Unreadable),
}

/// Rows, none of them longer than what fits.
pub(super) struct Rows<R> {
    reader: csv::Reader<Bounded<Chain<Cursor<Vec<u8>>, R>>>,
    columns: Option<Vec<String>>,
}

/// A row.
#[derive(Debug)]
pub(super) struct Row {
    /// The line at which it begins, from 1.
    pub(super) line: u64,
    cells: HashMap<String, String>,
}

impl Row {
    /// What stands in a column; empty where there is no such one.
    pub(super) fn cell(&self, column: &str) -> &str {
        self.cells.get(column).map(String::as_str).unwrap_or_default()
    }

    pub(super) fn refused(&self, field: &str, rule: &str) -> Refused {
        Refused { line: self.line, field: field.to_owned(), rule: rule.to_owned() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.cells.values().all(|cell| cell.trim().is_empty())
    }
}

impl<R: BufRead> Rows<R> {
    /// Columns may be separated by commas, semicolons or tabs, as the first line has it.
    pub(super) fn new(mut input: R) -> Self {
        let mut head = Vec::new();
        // What cannot be read now cannot be read later either, and is told then.
        let _ = input.by_ref().take(HEAD_BYTES as u64).read_until(b'\n', &mut head);
        let first = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let count = |separator: u8| first.iter().filter(|byte| **byte == separator).count();
        let separator = [b',', b';', b'\t'].into_iter().rev().max_by_key(|one| count(*one)).unwrap_or(b',');
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(separator)
            .from_reader(Bounded::new(Cursor::new(head).chain(input)));
        Self { reader, columns: None }
    }

    /// Whether there is such a column.
    pub(super) fn has(&self, column: &str) -> bool {
        self.columns.iter().flatten().any(|one| one == column)
    }

    /// The next row that is not empty.
    pub(super) fn next(&mut self) -> Result<Option<Row>, Broken> {
        loop {
            let Some((line, cells)) = self.cells()? else { return Ok(None) };
            let Some(columns) = &self.columns else {
                let name = |cell: &String| cell.trim().trim_start_matches('\u{feff}').to_owned();
                self.columns = Some(cells.iter().map(name).collect());
                continue;
            };
            if cells.len() > columns.len()
                && cells.iter().skip(columns.len()).any(|cell| !cell.trim().is_empty())
            {
                let rule = format!(
                    "must have at most the {} cells that have a column: quote texts with commas",
                    columns.len()
                );
                return Err(Broken::Row(Refused { line, field: String::new(), rule }));
            }
            let row = Row { line, cells: columns.iter().cloned().zip(cells).collect() };
            if row.is_empty() {
                continue;
            }
            return Ok(Some(row));
        }
    }

    fn cells(&mut self) -> Result<Option<(u64, Vec<String>)>, Broken> {
        self.reader.get_mut().read = 0;
        let mut record = ByteRecord::new();
        let is_there = self.reader.read_byte_record(&mut record).map_err(|error| {
            let line = self.reader.position().line();
            Broken::File(match error.into_kind() {
                csv::ErrorKind::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                    Unreadable::format(format!("line {line}: {error}"))
                }
                csv::ErrorKind::Io(error) => Unreadable::Io(error),
                _ => Unreadable::format(format!("line {line}: must be CSV")),
            })
        })?;
        if !is_there {
            return Ok(None);
        }
        // The reader stands behind the end of the row, and counts empty lines before it as the row's.
        let inner = record.iter().flatten().filter(|byte| **byte == b'\n').count() as u64;
        let line = self.reader.position().line().saturating_sub(inner + 1).max(1);
        let broken = |rule: &str| Broken::Row(Refused { line, field: String::new(), rule: rule.to_owned() });
        let mut cells = Vec::with_capacity(record.len());
        for cell in &record {
            if cell.contains(&0) {
                return Err(broken("must not hold NUL bytes"));
            }
            let text =
                std::str::from_utf8(cell).map_err(|_| broken("must be UTF-8: save the file as that"))?;
            cells.push(text.to_owned());
        }
        Ok(Some((line, cells)))
    }
}

/// A reader that gives no more than a row may have before it is asked for another. Lines end with a line feed alone, the last one too, so
/// that they can be counted.
struct Bounded<R> {
    input: R,
    read: usize,
    last: u8,
    has_return: bool,
}

impl<R: BufRead> Bounded<R> {
    const fn new(input: R) -> Self {
        Self { input, read: 0, last: b'\n', has_return: false }
    }
}

impl<R: BufRead> io::Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.read > LINE_MAX {
            let text = "must be a row of at most 1 MiB; a quote may be missing before it";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let mut written = 0;
        while written == 0 && !into.is_empty() {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                let end = if std::mem::take(&mut self.has_return) { b'\r' } else { b'\n' };
                if end == b'\n' && self.last == b'\n' {
                    break;
                }
                put(into, &mut written, end);
                break;
            }
            let mut used = 0;
            for &byte in buffer {
                if self.has_return && byte != b'\n' && !put(into, &mut written, b'\r') {
                    break;
                }
                self.has_return = false;
                if byte == b'\r' {
                    self.has_return = true;
                } else if !put(into, &mut written, byte) {
                    break;
                }
                used += 1;
            }
            self.input.consume(used);
        }
        self.last = written.checked_sub(1).and_then(|at| into.get(at)).copied().unwrap_or(self.last);
        self.read += written;
        Ok(written)
    }
}

/// Whether there was room for it.
fn put(into: &mut [u8], written: &mut usize, byte: u8) -> bool {
    let Some(place) = into.get_mut(*written) else { return false };
    *place = byte;
    *written += 1;
    true
}
