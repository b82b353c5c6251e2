//! What the service measures: calls by method and code, connections, jobs. What other floors measure is read when
//! somebody asks (`gauges.rs`).
//!
//! A call costs a few atomic operations and one short lock: every label is known beforehand, and each pair of a
//! method and a code has its histogram at a fixed place.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tonic::Code;

use crate::methods::Method;

/// The buckets that OpenTelemetry advises, and three below, since most calls take less than the least of those.
const SECONDS: [f64; 17] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The names of the codes, by number, as OpenTelemetry wants them.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The name of a code.
pub(in crate::server) fn code_name(code: Code) -> &'static str {
    usize::try_from(i32::from(code)).ok().and_then(|number| CODES.get(number)).copied().unwrap_or("UNKNOWN")
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    rpc_system_name: &'static str,
    rpc_method: &'static str,
    rpc_response_status_code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    rpc_method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobLabels {
    // `job` is the scraper's own label.
    job_name: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobRunLabels {
    job_name: &'static str,
    outcome: &'static str,
}

/// Everything that the server counts as it happens.
#[derive(Debug, Default)]
pub(in crate::server) struct Metrics {
    pub(in crate::server) calls: Calls,
    pub(in crate::server) connections: ConnectionCounts,
    pub(in crate::server) jobs: JobCounts,
    pub(in crate::server) panics: Counter,
}

impl Metrics {
    /// Makes them known by their names.
    pub(in crate::server) fn register(&self, registry: &mut Registry) {
        self.calls.register(registry);
        self.connections.register(registry);
        self.jobs.register(registry);
        registry.register("taskwire_panics", "Calls that ended by a bug of the service", self.panics.clone());
    }
}

/// Calls, by method and code.
#[derive(Debug)]
pub(in crate::server) struct Calls {
    durations: Family<CallLabels, Histogram, fn() -> Histogram>,
    in_flight: Family<MethodLabels, Gauge>,
    /// By the number of the method: its calls under way, and its histogram for each code once there was one.
    places: Vec<(Gauge, [OnceLock<Histogram>; CODES.len()])>,
}

impl Default for Calls {
    fn default() -> Self {
        let in_flight = Family::<MethodLabels, Gauge>::default();
        let place = |method: Method| {
            let gauge = in_flight.get_or_create(&MethodLabels { rpc_method: method.label() }).clone();
            (gauge, std::array::from_fn(|_| OnceLock::new()))
        };
        let places = Method::all().map(place).collect();
        Self { durations: Family::new_with_constructor(|| Histogram::new(SECONDS)), in_flight, places }
    }
}

impl Calls {
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "rpc_server_call_duration_seconds",
            "How long calls took, by method and code; streams count when they end",
            self.durations.clone(),
        );
        registry.register("taskwire_calls_in_flight", "Calls and streams under way", self.in_flight.clone());
    }

    pub(in crate::server) fn begin(&self, method: Method) {
        self.places[method.number()].0.inc();
    }

    pub(in crate::server) fn end(&self, method: Method, code: Code, took: Duration) {
        let (in_flight, by_code) = &self.places[method.number()];
        in_flight.dec();
        let number = usize::try_from(i32::from(code)).unwrap_or_default();
        let Some(place) = by_code.get(number) else { return };
        let duration = place.get_or_init(|| {
            let labels = CallLabels {
                rpc_system_name: "grpc",
                rpc_method: method.label(),
                rpc_response_status_code: code_name(code),
            };
            self.durations.get_or_create(&labels).clone()
        });
        duration.observe(took.as_secs_f64());
    }
}

/// Why a connection was not taken in, or not kept.
#[derive(Debug, Clone, Copy)]
pub(in crate::server) enum Ended {
    /// There were as many as there may be.
    TooMany,
    /// The system could not take it in.
    Accept,
    /// It gave way to another one while it was silent.
    GaveWay,
    /// Its peer did not speak.
    Silent,
    /// No TLS was agreed on.
    Tls,
    /// TLS took too long.
    TlsTimeout,
    /// Its calls went on for longer than its grace.
    Grace,
    /// It was told to go, and had no calls.
    Retired,
    /// Its peer broke the protocol, sent a flood, or vanished.
    Broken,
}

impl Ended {
    /// Those that befall connections which were taken in.
    const OF_THE_OPEN: [Self; 7] =
        [Self::GaveWay, Self::Silent, Self::Tls, Self::TlsTimeout, Self::Grace, Self::Retired, Self::Broken];

    const fn reason(self) -> &'static str {
        match self {
            Self::TooMany => "too_many",
            Self::Accept => "accept",
            Self::GaveWay => "gave_way",
            Self::Silent => "silent",
            Self::Tls => "tls",
            Self::TlsTimeout => "tls_timeout",
            Self::Grace => "grace",
            Self::Retired => "retired",
            Self::Broken => "broken",
        }
    }
}

/// Connections. Clones count together.
#[derive(Debug, Clone, Default)]
pub(in crate::server) struct ConnectionCounts {
    open: Gauge,
    accepted: Counter,
    refused: Family<ReasonLabels, Counter>,
    ended: Family<ReasonLabels, Counter>,
}

impl ConnectionCounts {
    fn register(&self, registry: &mut Registry) {
        // There from the beginning, as an alert cannot be raised on what is not there.
        for reason in [Ended::TooMany, Ended::Accept] {
            drop(self.refused.get_or_create(&ReasonLabels { reason: reason.reason() }));
        }
        for reason in Ended::OF_THE_OPEN {
            drop(self.ended.get_or_create(&ReasonLabels { reason: reason.reason() }));
        }
        registry.register("taskwire_connections_open", "Connections that are open", self.open.clone());
        registry.register(
            "taskwire_connections_accepted",
            "Connections that were taken in",
            self.accepted.clone(),
        );
        registry.register(
            "taskwire_connections_refused",
            "Connections that were not taken in, by reason",
            self.refused.clone(),
        );
        registry.register(
            "taskwire_connections_cut",
            "Connections that the service ended, or that broke, by reason",
            self.ended.clone(),
        );
    }

    /// A connection is there until what this answers is dropped.
    pub(in crate::server) fn open(&self) -> OpenConnection {
        self.accepted.inc();
        self.open.inc();
        OpenConnection(self.open.clone())
    }

    pub(in crate::server) fn refused(&self, why: Ended) {
        self.refused.get_or_create(&ReasonLabels { reason: why.reason() }).inc();
    }

    pub(in crate::server) fn ended(&self, why: Ended) {
        self.ended.get_or_create(&ReasonLabels { reason: why.reason() }).inc();
    }
}

/// A connection that is counted as open.
#[derive(Debug)]
pub(in crate::server) struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Work in the background.
#[derive(Debug, Default)]
pub(in crate::server) struct JobCounts {
    runs: Family<JobRunLabels, Counter>,
    succeeded: Family<JobLabels, Gauge>,
}

impl JobCounts {
    fn register(&self, registry: &mut Registry) {
        registry.register("taskwire_job_runs", "Runs of background jobs, by outcome", self.runs.clone());
        registry.register(
            "taskwire_job_last_success_timestamp_seconds",
            "When a background job last succeeded",
            self.succeeded.clone(),
        );
    }

    pub(in crate::server) fn ran(&self, job_name: &'static str, succeeded: bool) {
        let outcome = if succeeded { "ok" } else { "failed" };
        self.runs.get_or_create(&JobRunLabels { job_name, outcome }).inc();
        if succeeded {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
            self.succeeded.get_or_create(&JobLabels { job_name }).set(seconds);
        }
    }
}

/// The text of everything that is registered, as OpenMetrics has it.
pub(in crate::server) fn text(registry: &Registry) -> String {
    let mut text = String::with_capacity(64 * 1024);
    // Writing to a string does not fail, and neither do our labels.
    let _ = prometheus_client::encoding::text::encode(&mut text, registry);
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::registry::Registry;
    use tonic::Code;

    use super::{CODES, Metrics, code_name, text};
    use crate::methods::Method;

    #[test]
    fn every_code_has_its_name() {
        for number in 0..17 {
            let code = Code::from(number);
            let name = code_name(code).replace('_', "").to_lowercase();
            assert_eq!(name, format!("{code:?}").to_lowercase());
        }
        assert_eq!(CODES.len(), 17);
    }

    #[test]
    fn methods_that_nobody_knows_share_one_label() {
        let (metrics, mut registry) = (Metrics::default(), Registry::default());
        metrics.register(&mut registry);
        for path in ["/nobody.v1.Nothing/Do", "/x", "/taskwire.v1.TaskService/Nothing"] {
            let method = Method::of(path);
            metrics.calls.begin(method);
            metrics.calls.end(method, Code::Unimplemented, Duration::from_millis(1));
        }
        let text = text(&registry);
        let series: Vec<&str> =
            text.lines().filter(|line| line.starts_with("rpc_server_call_duration_seconds_count")).collect();
        assert_eq!(
            series,
            ["rpc_server_call_duration_seconds_count{rpc_system_name=\"grpc\",rpc_method=\"_OTHER\",\
              rpc_response_status_code=\"UNIMPLEMENTED\"} 3"]
        );
    }
}
