//! Files that are one JSON document: read as a whole, but each task by itself, so that one that is broken does not break the rest.

use std::io::{BufRead, Read as _};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::detect::readable;
use super::{Entries, Entry, Item, Options, Record, Refused, Unreadable, fit};
use crate::pb::{Task, TaskList};

/// Largest document, in bytes: it lies in memory as a whole.
const BYTES_MAX: u64 = 256 << 20;

/// What becomes of a document.
pub(super) struct Document<'a> {
    text: &'a str,
    /// Where lines begin behind the first.
    breaks: Vec<usize>,
    pub(super) options: &'a Options,
    pub(super) entries: Vec<Entry>,
}

/// Reads a document and everything in it.
pub(super) fn read<'a>(
    input: impl BufRead + Send + 'a,
    options: &Options,
    entries: fn(&mut Document<'_>, &RawValue) -> Result<(), Unreadable>,
) -> Entries<'a> {
    match all(input, options, entries) {
        Ok(entries) => Box::new(entries.into_iter().map(Ok)),
        Err(error) => Box::new(std::iter::once(Err(error))),
    }
}

fn all(
    input: impl BufRead,
    options: &Options,
    entries: fn(&mut Document<'_>, &RawValue) -> Result<(), Unreadable>,
) -> Result<Vec<Entry>, Unreadable> {
    let mut bytes = Vec::new();
    input.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    readable(&bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(Unreadable::format("must have at most 256 MiB, since it is read as one document"));
    }
    let text =
        String::from_utf8(bytes).map_err(|_| Unreadable::format("must be UTF-8: save the file as that"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let root: &RawValue = serde_json::from_str(text)
        .map_err(|error| Unreadable::format(format!("must be one JSON document: {error}")))?;
    let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
    let mut document = Document { text, breaks, options, entries: Vec::new() };
    entries(&mut document, root)?;
    Ok(document.entries)
}

impl Document<'_> {
    /// The line at which a piece of the document begins, from 1.
    pub(super) fn line(&self, piece: &RawValue) -> u64 {
        // A piece borrows from the text, so that its place is the distance of both.
        let at = (piece.get().as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let before = self.breaks.partition_point(|line| *line < at);
        u64::try_from(before).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Reads a piece; one that is broken is told, and is none.
    pub(super) fn piece<'d, T: Deserialize<'d>>(&mut self, place: &str, piece: &'d RawValue) -> Option<T> {
        match serde_json::from_str(piece.get()) {
            Ok(read) => Some(read),
            Err(error) => {
                // Its line and column are those in the piece.
                let text = error.to_string();
                let rule = text.split(" at line ").next().unwrap_or_default().to_owned();
                self.refuse(self.line(piece), place, &rule);
                None
            }
        }
    }

    pub(super) fn refuse(&mut self, line: u64, field: &str, rule: &str) {
        self.entries.push(Entry::Refused(Refused { line, field: field.to_owned(), rule: rule.to_owned() }));
    }

    pub(super) fn left_out(&mut self, line: u64, what: &str) {
        self.entries.push(Entry::LeftOut { line, what: what.to_owned() });
    }

    /// Takes a task, made to fit.
    pub(super) fn task(&mut self, line: u64, place: &str, task: Task, mut notes: Vec<String>) {
        match fit::task(task, &mut notes) {
            Ok(task) => {
                self.entries.push(Entry::Item(Item { line, record: Record::Task(Box::new(task)), notes }))
            }
            Err((field, rule)) => self.refuse(line, &format!("{place}.{field}"), &rule),
        }
    }

    /// Takes a list, made to fit; whether it could be.
    pub(super) fn list(&mut self, line: u64, place: &str, list: TaskList, mut notes: Vec<String>) -> bool {
        match fit::list(list, &mut notes) {
            Ok(list) => {
                self.entries.push(Entry::Item(Item { line, record: Record::TaskList(list), notes }));
                true
            }
            Err((field, rule)) => {
                self.refuse(line, &format!("{place}.{field}"), &rule);
                false
            }
        }
    }
}

/// Whether a text that a product leaves empty says nothing.
pub(super) fn said(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}
