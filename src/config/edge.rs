//! Settings of the edge: TLS, connections, deadlines, how many calls, how often, and how the service ends.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::ConfigError;
use crate::server::{
    AdmissionLimits, ConnectionLimits, DeadlineLimits, RateLimit, TlsFiles, TransportLimits,
};

/// The settings of the edge, as given.
#[derive(Debug, Clone, Args)]
pub struct EdgeSettings {
    /// Certificate to serve TLS with (PEM, with its chain); read again when it changes and on SIGHUP
    #[arg(long, env = "TASKWIRE_TLS_CERT_FILE", value_name = "FILE", default_value = "")]
    pub tls_cert_file: String,

    /// Private key of the certificate (PEM)
    #[arg(long, env = "TASKWIRE_TLS_KEY_FILE", value_name = "FILE", default_value = "")]
    pub tls_key_file: String,

    /// Authorities (PEM, one or several) of which one must have signed a client's certificate
    #[arg(long, env = "TASKWIRE_TLS_CLIENT_CA_FILE", value_name = "FILE", default_value = "")]
    pub tls_client_ca_file: String,

    /// Connections at the same time; further ones are closed at once; 0 for as many as the limit of open files leaves room for
    #[arg(long, env = "TASKWIRE_CONNECTIONS_MAX", value_name = "COUNT", default_value = "0")]
    pub connections_max: u32,

    /// Longest silence at the beginning of a connection
    // A client speaks first, and at once.
    #[arg(
        long,
        env = "TASKWIRE_FIRST_BYTES_TIMEOUT_MS",
        value_name = "MILLISECONDS",
        default_value = "10000"
    )]
    pub first_bytes_timeout_ms: NonZeroU64,

    /// Longest time a TLS handshake may take
    #[arg(
        long,
        env = "TASKWIRE_TLS_HANDSHAKE_TIMEOUT_MS",
        value_name = "MILLISECONDS",
        default_value = "10000"
    )]
    pub tls_handshake_timeout_ms: NonZeroU64,

    /// Age at which a connection is told to go, give or take a tenth
    // So that clients spread over new replicas, and new certificates come into use.
    #[arg(long, env = "TASKWIRE_CONNECTION_AGE_SECONDS", value_name = "SECONDS", default_value = "1800")]
    pub connection_age_seconds: NonZeroU32,

    /// How long calls of a connection that was told to go may go on
    #[arg(long, env = "TASKWIRE_CONNECTION_GRACE_SECONDS", value_name = "SECONDS", default_value = "30")]
    pub connection_grace_seconds: NonZeroU32,

    /// How long a connection may stay without calls
    #[arg(long, env = "TASKWIRE_CONNECTION_IDLE_SECONDS", value_name = "SECONDS", default_value = "900")]
    pub connection_idle_seconds: NonZeroU32,

    /// Deadline of a call whose caller sends none
    // Above what one operation of the storage may take.
    #[arg(long, env = "TASKWIRE_DEADLINE_DEFAULT_MS", value_name = "MILLISECONDS", default_value = "10000")]
    pub deadline_default_ms: NonZeroU64,

    /// Longest deadline; a caller who asks for more gets this
    #[arg(long, env = "TASKWIRE_DEADLINE_MAX_MS", value_name = "MILLISECONDS", default_value = "60000")]
    pub deadline_max_ms: NonZeroU64,

    /// Longest life of a stream; its reader then opens another one
    #[arg(long, env = "TASKWIRE_STREAM_SECONDS_MAX", value_name = "SECONDS", default_value = "3600")]
    pub stream_seconds_max: NonZeroU32,

    /// Calls under way at the same time; further ones wait in line
    // Several batches of a lane; far more would only wait further in.
    #[arg(long, env = "TASKWIRE_CALLS_MAX", value_name = "COUNT", default_value = "512")]
    pub calls_max: NonZeroU32,

    /// Calls that wait in line; further ones are answered UNAVAILABLE
    #[arg(long, env = "TASKWIRE_CALLS_WAITING_MAX", value_name = "COUNT", default_value = "2048")]
    pub calls_waiting_max: u32,

    /// Calls a second that one user may make, on each replica; 0 for any number
    #[arg(long, env = "TASKWIRE_RATE_PER_SECOND", value_name = "COUNT", default_value = "0")]
    pub rate_per_second: u32,

    /// Calls that one user may make at once after a rest, where the rate is limited
    #[arg(long, env = "TASKWIRE_RATE_BURST", value_name = "COUNT", default_value = "100")]
    pub rate_burst: NonZeroU32,

    /// How long the service goes on, saying that it is not serving, after a signal to stop
    // What sends calls here needs that long to hear of it: its interval between health checks, and a bit.
    #[arg(long, env = "TASKWIRE_DRAIN_LEAD_MS", value_name = "MILLISECONDS", default_value = "0")]
    pub drain_lead_ms: u64,
}

impl EdgeSettings {
    /// The limits of the transport; what the other settings say of it is given.
    pub(super) fn limits(&self, message_bytes_max: usize, drain_timeout: Duration) -> TransportLimits {
        let milliseconds = |value: NonZeroU64| Duration::from_millis(value.get());
        let seconds = |value: NonZeroU32| Duration::from_secs(value.get().into());
        TransportLimits {
            message_bytes_max,
            drain_timeout,
            drain_lead: Duration::from_millis(self.drain_lead_ms),
            connections: ConnectionLimits {
                connections_max: (self.connections_max > 0).then_some(self.connections_max as usize),
                first_bytes_timeout: milliseconds(self.first_bytes_timeout_ms),
                tls_handshake_timeout: milliseconds(self.tls_handshake_timeout_ms),
                age: seconds(self.connection_age_seconds),
                grace: seconds(self.connection_grace_seconds),
                idle: seconds(self.connection_idle_seconds),
            },
            deadlines: DeadlineLimits {
                default: milliseconds(self.deadline_default_ms),
                max: milliseconds(self.deadline_max_ms),
                stream_max: seconds(self.stream_seconds_max),
            },
            admission: AdmissionLimits {
                calls_max: self.calls_max.get() as usize,
                waiting_max: self.calls_waiting_max as usize,
            },
            rate: NonZeroU32::new(self.rate_per_second)
                .map(|per_second| RateLimit { per_second, burst: self.rate_burst }),
        }
    }

    /// The files for TLS; `None` without.
    pub fn tls(&self) -> Option<TlsFiles> {
        Some(TlsFiles {
            cert: file(&self.tls_cert_file)?,
            key: file(&self.tls_key_file)?,
            client_ca: file(&self.tls_client_ca_file),
        })
    }

    /// What one setting alone does not show.
    pub(super) fn problems(&self) -> Vec<ConfigError> {
        const DAY_SECONDS: u64 = 24 * 60 * 60;
        let mut problems = Vec::new();
        let mut problem = |key, text: &str| problems.push(ConfigError { key, text: text.to_owned() });
        match (file(&self.tls_cert_file), file(&self.tls_key_file)) {
            (Some(_), None) => {
                problem("TASKWIRE_TLS_KEY_FILE", "is required with TASKWIRE_TLS_CERT_FILE (--tls-cert-file)")
            }
            (None, Some(_)) => {
                problem("TASKWIRE_TLS_CERT_FILE", "is required with TASKWIRE_TLS_KEY_FILE (--tls-key-file)")
            }
            (None, None) if file(&self.tls_client_ca_file).is_some() => {
                problem(
                    "TASKWIRE_TLS_CLIENT_CA_FILE",
                    "needs TASKWIRE_TLS_CERT_FILE and TASKWIRE_TLS_KEY_FILE",
                );
            }
            _ => {}
        }
        if self.deadline_default_ms > self.deadline_max_ms {
            problem("TASKWIRE_DEADLINE_DEFAULT_MS", "must not be longer than TASKWIRE_DEADLINE_MAX_MS");
        }
        let bounds = [
            ("TASKWIRE_CONNECTIONS_MAX", self.connections_max.into(), 1_000_000),
            ("TASKWIRE_FIRST_BYTES_TIMEOUT_MS", self.first_bytes_timeout_ms.get(), 600_000),
            ("TASKWIRE_TLS_HANDSHAKE_TIMEOUT_MS", self.tls_handshake_timeout_ms.get(), 600_000),
            ("TASKWIRE_CONNECTION_AGE_SECONDS", self.connection_age_seconds.get().into(), 30 * DAY_SECONDS),
            ("TASKWIRE_CONNECTION_GRACE_SECONDS", self.connection_grace_seconds.get().into(), DAY_SECONDS),
            ("TASKWIRE_CONNECTION_IDLE_SECONDS", self.connection_idle_seconds.get().into(), 30 * DAY_SECONDS),
            ("TASKWIRE_DEADLINE_MAX_MS", self.deadline_max_ms.get(), 3_600_000),
            ("TASKWIRE_STREAM_SECONDS_MAX", self.stream_seconds_max.get().into(), 30 * DAY_SECONDS),
            ("TASKWIRE_CALLS_MAX", self.calls_max.get().into(), 100_000),
            ("TASKWIRE_CALLS_WAITING_MAX", self.calls_waiting_max.into(), 1_000_000),
            ("TASKWIRE_RATE_PER_SECOND", self.rate_per_second.into(), 1_000_000),
            ("TASKWIRE_RATE_BURST", self.rate_burst.get().into(), 1_000_000),
            ("TASKWIRE_DRAIN_LEAD_MS", self.drain_lead_ms, 600_000),
        ];
        for (key, value, max) in bounds {
            if value > max {
                problem(key, &format!("must be at most {max}"));
            }
        }
        problems
    }

    /// Every setting with its value.
    pub(super) fn lines(&self) -> Vec<(&'static str, String)> {
        vec![
            ("TASKWIRE_TLS_CERT_FILE", self.tls_cert_file.clone()),
            ("TASKWIRE_TLS_KEY_FILE", self.tls_key_file.clone()),
            ("TASKWIRE_TLS_CLIENT_CA_FILE", self.tls_client_ca_file.clone()),
            ("TASKWIRE_CONNECTIONS_MAX", self.connections_max.to_string()),
            ("TASKWIRE_FIRST_BYTES_TIMEOUT_MS", self.first_bytes_timeout_ms.to_string()),
            ("TASKWIRE_TLS_HANDSHAKE_TIMEOUT_MS", self.tls_handshake_timeout_ms.to_string()),
            ("TASKWIRE_CONNECTION_AGE_SECONDS", self.connection_age_seconds.to_string()),
            ("TASKWIRE_CONNECTION_GRACE_SECONDS", self.connection_grace_seconds.to_string()),
            ("TASKWIRE_CONNECTION_IDLE_SECONDS", self.connection_idle_seconds.to_string()),
            ("TASKWIRE_DEADLINE_DEFAULT_MS", self.deadline_default_ms.to_string()),
            ("TASKWIRE_DEADLINE_MAX_MS", self.deadline_max_ms.to_string()),
            ("TASKWIRE_STREAM_SECONDS_MAX", self.stream_seconds_max.to_string()),
            ("TASKWIRE_CALLS_MAX", self.calls_max.to_string()),
            ("TASKWIRE_CALLS_WAITING_MAX", self.calls_waiting_max.to_string()),
            ("TASKWIRE_RATE_PER_SECOND", self.rate_per_second.to_string()),
            ("TASKWIRE_RATE_BURST", self.rate_burst.to_string()),
            ("TASKWIRE_DRAIN_LEAD_MS", self.drain_lead_ms.to_string()),
        ]
    }
}

/// The file that a setting names; none if it is empty.
fn file(setting: &str) -> Option<PathBuf> {
    (!setting.is_empty()).then(|| PathBuf::from(setting))
}
