//! The lines of an export, in chunks that wait for a reader, and how many there are of each kind.

use crate::api::chunks::Chunks;
use crate::api::json;
use crate::domain::Result;
use crate::pb;
use crate::pb::export_line::Line;

/// Where lines go.
pub(super) struct Lines {
    chunks: Chunks,
    counts: pb::ExportEnd,
}

impl Lines {
    pub(super) fn new(chunks: Chunks) -> Self {
        Self { chunks, counts: pb::ExportEnd::default() }
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
        let mut bytes = Vec::new();
        json::write("ExportLine", &line, &mut serde_json::Serializer::new(&mut bytes))?;
        bytes.push(b'\n');
        self.chunks.add(&bytes).await
    }

    /// The last line: how many there were. Changes after `earliest_revision` are all there.
    ///
    /// # Errors
    /// `StreamTooSlow`.
    pub(super) async fn end(&mut self, earliest_revision: i64) -> Result<()> {
        let end = pb::ExportEnd { earliest_revision, ..self.counts };
        self.add(Line::End(end)).await?;
        self.chunks.end().await
    }
}
