//! What handlers take in of streams of messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the bytes that handlers have taken in of streams on one connection, which lets as much more come: what a peer sends
/// beyond its calls' messages is cut. In the extensions of a request that brings a stream.
#[derive(Debug, Clone, Default)]
pub struct Intake(Arc<AtomicU64>);

impl Intake {
    /// A handler has taken so many.
    pub(super) fn took(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// So many were taken.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
