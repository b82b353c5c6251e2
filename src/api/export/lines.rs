//! The lines of an export, in chunks that wait for a reader, and how many there are of each kind.

use std::time::Duration;

use tokio::sync::mpsc::{Sender, error::SendTimeoutError};

use crate::api::json;
use crate::domain::{Error, Result};
use crate::pb;
use crate::pb::export_line::Line;

/// Most bytes of a chunk.
const CHUNK_BYTES: usize = 64 * 1024;

/// What the lines are.
const CONTENT_TYPE: &str = "application/jsonl";

/// Where lines go.
pub(super) struct Lines {
    sender: Sender<Box<pb::HttpBody>>,
    stall_timeout: Duration,
    chunk: Vec<u8>,
    counts: pb::ExportEnd,
}

impl Lines {
    pub(super) fn new(sender: Sender<Box<pb::HttpBody>>, stall_timeout: Duration) -> Self {
        Self { sender, stall_timeout, chunk: Vec::new(), counts: pb::ExportEnd::default() }
    }

    /// Tells when the reader has left.
    pub(super) fn reader(&self) -> Sender<Box<pb::HttpBody>> {
        self.sender.clone()
    }

    /// Adds a line, and waits while there are too many for the reader.
    ///
    /// # Errors
    /// `StreamTooSlow`.
    pub(super) async fn add(&mut self, line: Line) -> Result<()> {
        let counts = &mut self.counts;
        let count = match &line {
            Line::Session(_) => Some(&mut counts.sessions),
            Line::ApiKey(_) => Some(&mut counts.api_keys),
            Line::Webhook(_) => Some(&mut counts.webhooks),
            Line::TaskList(_) => Some(&mut counts.task_lists),
            Line::Task(_) => Some(&mut counts.tasks),
            Line::Change(_) => Some(&mut counts.changes),
            Line::AuditEvent(_) => Some(&mut counts.audit_events),
            Line::Export(_) | Line::User(_) | Line::End(_) => None,
        };
        if let Some(count) = count {
            *count += 1;
        }
        let line = pb::ExportLine { line: Some(line) };
        json::write("ExportLine", &line, &mut serde_json::Serializer::new(&mut self.chunk))?;
        self.chunk.push(b'\n');
        while self.chunk.len() >= CHUNK_BYTES {
            let rest = self.chunk.split_off(CHUNK_BYTES);
            let chunk = std::mem::replace(&mut self.chunk, rest);
            self.send(chunk).await?;
        }
        Ok(())
    }

    /// The last line: how many there were. Changes after `earliest_revision` are all there.
    ///
    /// # Errors
    /// `StreamTooSlow`.
    pub(super) async fn end(&mut self, earliest_revision: i64) -> Result<()> {
        let end = pb::ExportEnd { earliest_revision, ..self.counts };
        self.add(Line::End(end)).await?;
        match std::mem::take(&mut self.chunk) {
            rest if rest.is_empty() => Ok(()),
            rest => self.send(rest).await,
        }
    }

    async fn send(&self, data: Vec<u8>) -> Result<()> {
        let chunk = pb::HttpBody { content_type: CONTENT_TYPE.to_owned(), data, extensions: Vec::new() };
        match self.sender.send_timeout(Box::new(chunk), self.stall_timeout).await {
            Ok(()) => Ok(()),
            Err(SendTimeoutError::Timeout(_)) => Err(Error::StreamTooSlow),
            // The reader has gone; the export ends by itself.
            Err(SendTimeoutError::Closed(_)) => std::future::pending().await,
        }
    }
}
