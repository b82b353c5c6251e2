//! The lines of a file, none of them longer than what fits.

use std::io::{self, BufRead};

use super::Unreadable;

/// Longest line, in bytes: more than any task of the service takes.
pub(super) const LINE_MAX: usize = 1 << 20;

/// A line and what is wrong with it, if something is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: u64,
    /// Without its end.
    pub(super) text: Result<String, &'static str>,
}

/// Reads lines, whichever way they end.
#[derive(Debug)]
pub(super) struct Lines<R> {
    input: R,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) const fn new(input: R) -> Self {
        Self { input, number: 0 }
    }

    fn line(&mut self) -> io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        let (mut is_too_long, mut has_any) = (false, false);
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                break;
            }
            has_any = true;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or_default();
            if bytes.len() + part.len() > LINE_MAX {
                is_too_long = true;
                bytes.clear();
            } else if !is_too_long {
                bytes.extend_from_slice(part);
            }
            let used = end.map_or(buffer.len(), |end| end + 1);
            self.input.consume(used);
            if end.is_some() {
                break;
            }
        }
        if !has_any {
            return Ok(None);
        }
        self.number += 1;
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        if self.number == 1 && bytes.starts_with(b"\xef\xbb\xbf") {
            bytes.drain(..3);
        }
        let text = if is_too_long {
            Err("must have at most 1 MiB")
        } else if bytes.contains(&0) {
            Err("must not hold NUL bytes")
        } else {
            String::from_utf8(bytes).map_err(|_| "must be UTF-8: save the file as that")
        };
        Ok(Some(Line { number: self.number, text }))
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<Line, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        self.line().map_err(Unreadable::Io).transpose()
    }
}
