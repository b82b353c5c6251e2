//! The limits of the transport. What they are where nothing is set is `config`'s to say.

use std::time::Duration;

use super::connections::connection::ConnectionLimits;
use super::layers::admission_queue::AdmissionLimits;
use super::layers::deadline::DeadlineLimits;
use super::layers::rate_limit::RateLimit;

/// Limits of the transport.
#[derive(Debug, Clone, Copy)]
pub struct TransportLimits {
    /// Largest message taken in, in bytes, after decompression.
    pub message_bytes_max: usize,
    /// How long calls under way may go on once connections are told to go.
    pub drain_timeout: Duration,
    /// How long the service goes on after a signal to stop, while it says that it is not serving.
    pub drain_lead: Duration,
    /// Limits of connections.
    pub connections: ConnectionLimits,
    /// How long calls may take.
    pub deadlines: DeadlineLimits,
    /// How many calls there may be.
    pub admission: AdmissionLimits,
    /// How often one user may call; as often as they like when absent.
    pub rate: Option<RateLimit>,
}
