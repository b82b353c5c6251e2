//! Everything between the socket and a handler: connections, the layer stack, health, limits, shutdown.
//!
//! No business rules here, and no globals: what is served, from where and until when are arguments.

mod connections;
pub mod jobs;
pub mod key_watch;
mod layers;
mod limits;
pub mod notify;
mod operator;
mod routes;

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use ipnet::IpNet;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::{Service, ServiceBuilder};

pub use crate::storage::SPANS;
pub use connections::address::Address;
pub use connections::connection::ConnectionLimits;
pub use connections::listener::Listener;
pub use connections::tls::{Tls, TlsError, TlsFiles};
pub use layers::admission_queue::AdmissionLimits;
pub use layers::deadline::DeadlineLimits;
pub use layers::rate_limit::RateLimit;
pub use limits::TransportLimits;
pub use operator::admin::LogLevel;

use crate::accounts::{Accounts, PasswordPolicy};
use crate::api::{TaskRules, status};
use crate::auth::interceptor::AuthLayer;
use crate::auth::{Authenticator, Sealer, Tokens};
use crate::domain::Clock;
use crate::outbound::Outbound;
use crate::storage::Storage;

/// What the process serves.
#[derive(Debug, Clone)]
pub struct Services {
    /// Where everything is kept.
    pub storage: Storage,
    /// The one clock.
    pub clock: Clock,
    /// Access tokens.
    pub tokens: Arc<Tokens>,
    /// Who is calling.
    pub authenticator: Arc<Authenticator>,
    /// Accounts and sessions.
    pub accounts: Accounts,
    /// Secrets at rest.
    pub sealer: Arc<Sealer>,
    /// What leaves the house.
    pub outbound: Outbound,
    /// Which passwords are accepted.
    pub passwords: PasswordPolicy,
    /// What is configured about tasks.
    pub tasks: TaskRules,
    /// The gateways whose word on a caller's address is taken (`x-forwarded-for`).
    pub trusted_proxies: Arc<[IpNet]>,
}

/// What whoever runs the service has to do with it; nothing at all by default.
#[derive(Default)]
pub struct Operator {
    /// Where the admin port is.
    pub admin: Option<TcpListener>,
    /// What is logged.
    pub log_level: Option<Arc<dyn LogLevel>>,
    /// How many lines of the log were given up because nobody read them.
    pub log_lines_dropped: Option<Arc<dyn Fn() -> u64 + Send + Sync>>,
    /// Whether calls are traced.
    pub traces: bool,
}

impl std::fmt::Debug for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operator").field("admin", &self.admin).finish_non_exhaustive()
    }
}

/// Serves until `shutdown`. Then it says that it is not serving, goes on for the lead time, tells connections to go
/// and streams to end, and lets calls under way finish within the drain timeout.
///
/// # Errors
/// When a part of it cannot be set up, or stops by a fault of its own.
pub async fn serve(
    listener: impl Into<Listener>,
    services: Services,
    limits: TransportLimits,
    shutdown: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Boxed as below.
    Box::pin(serve_with(listener, services, limits, Operator::default(), shutdown)).await
}

/// As `serve`, under the eyes of an operator.
///
/// # Errors
/// As `serve`.
pub async fn serve_with(
    listener: impl Into<Listener>,
    services: Services,
    limits: TransportLimits,
    operator: Operator,
    shutdown: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (health, health_service, readiness) = operator::health::Health::new().await;
    let metrics = Arc::new(operator::metrics::Metrics::default());
    let queue = layers::admission_queue::AdmissionQueue::new(limits.admission);
    // Until the last call is over, so that the end can be watched as well.
    let ended = CancellationToken::new();
    let _ends = ended.clone().drop_guard();
    let log_level = operator.log_level;
    if let Some(admin) = operator.admin {
        let gauges = operator::gauges::Gauges {
            services: services.clone(),
            queue: Arc::clone(&queue),
            readiness: readiness.clone(),
            lines_dropped: operator.log_lines_dropped,
            connections_max: limits.connections.connections(),
        };
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        registry.register_collector(Box::new(gauges));
        let tokens = Arc::clone(&services.tokens);
        let about = operator::admin::Admin { registry: Arc::new(registry), readiness, tokens, log_level };
        tokio::spawn(operator::admin::serve(admin, about, ended));
    }
    let calls = layers::access_log::AccessLogLayer::new(Arc::clone(&metrics), operator.traces);
    let watched = (metrics, queue, calls);
    // Boxed, so that whoever serves does not carry the room for it.
    Box::pin(serve_calls(listener.into(), services, limits, (health, health_service), watched, shutdown))
        .await
}

async fn serve_calls(
    mut listener: Listener,
    services: Services,
    limits: TransportLimits,
    (health, health_service): (operator::health::Health, operator::health::HealthService),
    (metrics, queue, calls): (
        Arc<operator::metrics::Metrics>,
        Arc<layers::admission_queue::AdmissionQueue>,
        layers::access_log::AccessLogLayer,
    ),
    shutdown: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let draining = CancellationToken::new();
    let watching = tokio::spawn(health.watch(services.storage.clone(), shutdown.clone()));
    let (storage, until) = (services.storage.clone(), draining.clone());
    let following = tokio::spawn(async move { storage.follow_changes(until).await });
    // Nobody is admitted before it is known who no longer may be. When the storage is away, a job tries again.
    if let Err(cause) = services.authenticator.revocations().refresh(&services.storage).await {
        tracing::warn!(%cause, "the revocations cannot be read yet");
    }
    let keeping_house = tokio::spawn(jobs::run(services.clone(), Arc::clone(&metrics), shutdown.clone()));
    listener.watch_tls(shutdown.clone());

    let routes = routes::Routes::new(&services, limits, health_service, draining.clone())?;
    let stack = stack(&services, limits, (&metrics, queue, calls), routes);
    let counts = metrics.connections.clone();
    let connections = connections::connection::Connections::new(
        stack,
        limits.connections,
        limits.message_bytes_max,
        counts,
    );
    let mut accepting =
        tokio::spawn(connections::listener::accept_all(listener, Arc::new(connections), draining.clone()));
    tokio::select! {
        () = shutdown.cancelled() => {}
        stopped = &mut accepting => {
            stopped?;
            return Err("connections are no longer taken in".into());
        }
    }

    let health = watching.await?;
    // Whoever sends calls here needs a moment to hear of it.
    tokio::time::sleep(limits.drain_lead).await;
    draining.cancel();
    health.end().await;
    let mut open = accepting.await?;
    let drained = async { while open.join_next().await.is_some() {} };
    // A peer that never reads would hold up the end for ever.
    if tokio::time::timeout(limits.drain_timeout, drained).await.is_err() {
        tracing::warn!(connections = open.len(), "calls still under way after the drain timeout are cut off");
        open.shutdown().await;
    }
    following.await?;
    keeping_house.await?;
    Ok(())
}

/// What a call passes on its way in, outermost first.
fn stack(
    services: &Services,
    limits: TransportLimits,
    (metrics, queue, calls): (
        &operator::metrics::Metrics,
        Arc<layers::admission_queue::AdmissionQueue>,
        layers::access_log::AccessLogLayer,
    ),
    routes: routes::Routes,
) -> impl Service<
    Request<hyper::body::Incoming>,
    Response = Response<
        impl http_body::Body<Data = bytes::Bytes, Error = impl Into<BoxError>> + Unpin + Send + 'static,
    >,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send
+ Sync
+ 'static {
    ServiceBuilder::new()
        .map_request(|request: Request<hyper::body::Incoming>| request.map(Body::new))
        // First, so that every answer carries an id and every line of the log can name it.
        .layer(layers::request_id::RequestIdLayer)
        // One line per call, whatever becomes of it further in.
        .layer(calls)
        // A bug further in costs that call, not the process; its answer is logged and carries the id like any other.
        .layer(layers::panics::layer(metrics.panics.clone()))
        // What the framework answers by itself gets the codes and reasons of the contract.
        .layer(layers::wire_errors::WireErrorsLayer)
        // Whose address it is: throttling and sessions need it, and a caller may claim any.
        .layer(layers::peer::PeerLayer::new(Arc::clone(&services.trusted_proxies)))
        // Before anything that takes time: waiting counts.
        .layer(layers::deadline::DeadlineLayer::new(limits.deadlines))
        // Before tokens are verified, which costs more than refusing does.
        .layer(layers::admission::AdmissionLayer::new(queue))
        // Nothing behind this runs for a caller who may not call it.
        .layer(AuthLayer::new(Arc::clone(&services.authenticator), status::response::<Body>))
        // What a caller was given the right to once, they keep only as long as they have it.
        .layer(layers::revocable::RevocableLayer::new(Arc::clone(&services.authenticator)))
        // Knows users, and so comes after they are known.
        .layer(layers::rate_limit::RateLimitLayer::new(limits.rate))
        .service(routes)
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;
