//! The limits of the transport, with the values to start from.

use std::time::Duration;

use super::admission::AdmissionLimits;
use super::deadline::DeadlineLimits;
use super::rate_limit::RateLimit;

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

impl Default for TransportLimits {
    fn default() -> Self {
        Self {
            message_bytes_max: 1024 * 1024,
            drain_timeout: Duration::from_secs(10),
            drain_lead: Duration::ZERO,
            connections: ConnectionLimits::default(),
            deadlines: DeadlineLimits::default(),
            admission: AdmissionLimits::default(),
            rate: None,
        }
    }
}

/// Limits of connections.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Connections at the same time; what the process may open decides when absent.
    pub connections_max: Option<usize>,
    /// How long a peer may stay silent before it has greeted.
    pub first_bytes_timeout: Duration,
    /// How long the TLS handshake may take.
    pub tls_handshake_timeout: Duration,
    /// How old a connection may become, give or take a tenth.
    pub age: Duration,
    /// How long calls may go on after that.
    pub grace: Duration,
    /// How long a connection may be without calls.
    pub idle: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections_max: None,
            first_bytes_timeout: Duration::from_secs(10),
            tls_handshake_timeout: Duration::from_secs(10),
            age: Duration::from_secs(30 * 60),
            grace: Duration::from_secs(30),
            idle: Duration::from_secs(15 * 60),
        }
    }
}

/// Files kept free for the database, the log, and whatever libraries open.
const FILES_RESERVED: u64 = 256;
/// Beyond it memory is what counts.
const CONNECTIONS_MAX: u64 = 10_000;

impl ConnectionLimits {
    /// Connections at the same time.
    pub(super) fn connections(&self) -> usize {
        self.connections_max.unwrap_or_else(|| {
            let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
            of_files(files.unwrap_or(u64::MAX))
        })
    }
}

/// How many connections there may be when so many files may be open.
fn of_files(files: u64) -> usize {
    let connections =
        files.saturating_sub(FILES_RESERVED).min(CONNECTIONS_MAX).max((files / 2).min(CONNECTIONS_MAX));
    usize::try_from(connections).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::of_files;

    #[test]
    fn connections_leave_files_for_the_rest() {
        assert_eq!(of_files(64), 32);
        assert_eq!(of_files(256), 128);
        assert_eq!(of_files(512), 256);
        assert_eq!(of_files(1024), 768);
        assert_eq!(of_files(1_048_576), 10_000);
        assert_eq!(of_files(u64::MAX), 10_000);
    }
}
