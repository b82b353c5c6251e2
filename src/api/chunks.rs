//! An answer that is a file: its bytes in chunks that wait for a reader.

use std::time::Duration;

use tokio::sync::mpsc::{self, Sender, error::SendTimeoutError};
use tokio_util::sync::CancellationToken;

use super::tasks::watch::WatchStream;
use crate::domain::{Error, Result};
use crate::pb::HttpBody;

/// Most bytes of a chunk.
const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks that wait for the reader.
const CHUNKS_WAITING: usize = 4;

/// How files are answered.
#[derive(Debug, Clone)]
pub struct Files {
    /// How long a reader may not read.
    pub stall_timeout: Duration,
    /// What ends them all.
    pub shutdown: CancellationToken,
}

impl Files {
    /// The stream of a file that `work` writes, for as long as the reader reads and the caller's token is valid.
    pub(in crate::api) fn stream<Work: Future<Output = Result<()>> + Send + 'static>(
        &self,
        content_type: &'static str,
        lifetime: Duration,
        work: impl FnOnce(Chunks) -> Work,
    ) -> WatchStream<HttpBody> {
        let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
        let (reader, last_sender, shutdown) = (sender.clone(), sender.clone(), self.shutdown.clone());
        let chunks = Chunks { sender, stall_timeout: self.stall_timeout, content_type, chunk: Vec::new() };
        let work = work(chunks);
        let bounded = async move {
            tokio::select! {
                ended = Box::pin(work) => ended,
                () = reader.closed() => Ok(()),
                () = shutdown.cancelled() => Err(Error::Draining),
                () = tokio::time::sleep(lifetime) => Err(Error::TokenExpired),
            }
        };
        WatchStream::of(receiver, last_sender, bounded)
    }
}

/// Where the bytes of a file go.
pub(in crate::api) struct Chunks {
    sender: Sender<Box<HttpBody>>,
    stall_timeout: Duration,
    content_type: &'static str,
    chunk: Vec<u8>,
}

impl Chunks {
    /// Writes bytes into the file, and waits while there are too many for the reader.
    ///
    /// # Errors
    /// `StreamTooSlow`.
    pub(in crate::api) async fn add(&mut self, bytes: &[u8]) -> Result<()> {
        self.chunk.extend_from_slice(bytes);
        while self.chunk.len() >= CHUNK_BYTES {
            let rest = self.chunk.split_off(CHUNK_BYTES);
            let chunk = std::mem::replace(&mut self.chunk, rest);
            self.send(chunk).await?;
        }
        Ok(())
    }

    /// Sends what is left.
    ///
    /// # Errors
    /// `StreamTooSlow`.
    pub(in crate::api) async fn end(&mut self) -> Result<()> {
        match std::mem::take(&mut self.chunk) {
            rest if rest.is_empty() => Ok(()),
            rest => self.send(rest).await,
        }
    }

    async fn send(&self, data: Vec<u8>) -> Result<()> {
        let chunk = HttpBody { content_type: self.content_type.to_owned(), data, extensions: Vec::new() };
        match self.sender.send_timeout(Box::new(chunk), self.stall_timeout).await {
            Ok(()) => Ok(()),
            Err(SendTimeoutError::Timeout(_)) => Err(Error::StreamTooSlow),
            // The reader has gone; the work ends by itself.
            Err(SendTimeoutError::Closed(_)) => std::future::pending().await,
        }
    }
}
