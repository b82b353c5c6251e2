//! Health per service: serving while the storage answers and its schema fits, not serving otherwise.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthReporter;

use super::readiness::{NotReady, Readiness};
use crate::api::{EventApi, TaskApi, UserApi};
use crate::pb::event_service_server::EventServiceServer;
use crate::pb::task_service_server::TaskServiceServer;
use crate::pb::user_service_server::UserServiceServer;
use crate::storage::{Deadline, OpenError, Storage};

/// How often the storage is asked while it answers.
const INTERVAL: Duration = Duration::from_secs(1);
/// The same while it does not: callers wait for it.
const INTERVAL_AWAY: Duration = Duration::from_millis(250);
/// How long it has for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// From here on a machine's clock is worth a line of the log, in microseconds.
const CLOCK_OFF_MICROS: u64 = 1_000_000;

/// The names that are reported: the process as a whole, and each service.
const NAMES: [&str; 4] = [
    "",
    <TaskServiceServer<TaskApi> as NamedService>::NAME,
    <UserServiceServer<UserApi> as NamedService>::NAME,
    <EventServiceServer<EventApi> as NamedService>::NAME,
];

/// What answers health checks.
pub(in crate::server) type HealthService = HealthServer<tonic_health::server::HealthService>;

const fn why(error: &OpenError) -> NotReady {
    match error {
        OpenError::SchemaBehind { .. } | OpenError::SchemaAhead { .. } => NotReady::SchemaMismatch,
        _ => NotReady::StorageUnavailable,
    }
}

/// Says once that this machine's clock differs from the one that the service goes by; answers whether it does.
fn tell_of_clock(storage: &Storage, was_off: bool) -> bool {
    let ahead = storage.clock().machine_ahead_micros();
    let is_off = ahead.unsigned_abs() > CLOCK_OFF_MICROS;
    if is_off && !was_off {
        let seconds = ahead as f64 / 1e6;
        tracing::warn!(
            ahead_seconds = seconds,
            "the machine's clock is not the database's, which the service goes by"
        );
    }
    is_off
}

/// A storage that can only be read does not serve.
fn why_away(storage: &Storage) -> NotReady {
    if storage.is_read_only() { NotReady::StorageReadOnly } else { NotReady::StorageUnavailable }
}

/// What the health checks say.
pub(in crate::server) struct Health {
    reporter: HealthReporter,
    serving: bool,
    readiness: watch::Sender<Option<NotReady>>,
}

impl Health {
    /// Not serving, until the storage has answered.
    pub(in crate::server) async fn new() -> (Self, HealthService, Readiness) {
        let reporter = HealthReporter::new();
        let service = tonic_health::server::HealthService::from_health_reporter(reporter.clone());
        let (sender, readiness) = Readiness::begin();
        let mut health = Self { reporter, serving: true, readiness: sender };
        health.report(Some(NotReady::Starting)).await;
        (health, HealthServer::new(service), readiness)
    }

    async fn report(&mut self, why_not: Option<NotReady>) {
        self.readiness.send_replace(why_not);
        let serving = why_not.is_none();
        if serving == self.serving {
            return;
        }
        self.serving = serving;
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for name in NAMES {
            self.reporter.set_service_status(name, status).await;
        }
    }

    /// Asks the storage until the shutdown, and then says that nothing is served.
    pub(in crate::server) async fn watch(mut self, storage: Storage, shutdown: CancellationToken) -> Self {
        let (mut fits, mut is_off) = (false, false);
        loop {
            let asked = async {
                // A schema that fits does not stop fitting while the process runs.
                if !fits {
                    storage
                        .schema_state()
                        .await
                        .and_then(|state| state.check())
                        .map_err(|error| (why(&error), error.to_string()))?;
                    fits = true;
                }
                storage.probe().await.map_err(|error| (why_away(&storage), error.to_string()))
            };
            let answered = tokio::select! {
                answered = Deadline::after(PATIENCE).scope(asked) => answered,
                () = shutdown.cancelled() => break,
            };
            match &answered {
                Ok(()) if !self.serving => tracing::info!("ready: the storage answers"),
                Err((_, cause)) if self.serving => {
                    tracing::warn!(%cause, "not ready: the storage does not answer")
                }
                _ => {}
            }
            let is_read_only = matches!(answered, Err((NotReady::StorageReadOnly, _)));
            if answered.is_ok() {
                is_off = tell_of_clock(&storage, is_off);
            }
            self.report(answered.err().map(|(why_not, _)| why_not)).await;
            let interval = if self.serving || is_read_only { INTERVAL } else { INTERVAL_AWAY };
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = shutdown.cancelled() => break,
            }
        }
        self.report(Some(NotReady::Draining)).await;
        self
    }

    /// Ends all watches.
    pub(in crate::server) async fn end(mut self) {
        for name in NAMES {
            self.reporter.clear_service_status(name).await;
        }
    }
}
