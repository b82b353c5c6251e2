//! Everything between the socket and a handler: the layer stack, health, limits of the transport, shutdown.
//!
//! No business rules here, and no globals: what is served, from where and until when are arguments.

mod access_log;
mod health;
pub mod jobs;
pub mod key_watch;
mod panics;
mod peer;
mod request_id;
mod revocable;
mod wire_errors;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;
use tower::ServiceBuilder;

use crate::api::{TaskApi, TaskRules, UserApi, status};
use crate::auth::interceptor::AuthLayer;
use crate::auth::{Accounts, PasswordPolicy, Tokens};
use crate::domain::Clock;
use crate::pb;
use crate::pb::task_service_server::TaskServiceServer;
use crate::pb::user_service_server::UserServiceServer;
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
    /// Accounts and sessions.
    pub accounts: Accounts,
    /// Which passwords are accepted.
    pub passwords: PasswordPolicy,
    /// What is configured about tasks.
    pub tasks: TaskRules,
}

/// Limits of the transport.
#[derive(Debug, Clone, Copy)]
pub struct TransportLimits {
    /// Largest message taken in, in bytes, after decompression.
    pub message_bytes_max: usize,
    /// How long calls under way may go on after the shutdown has begun.
    pub drain_timeout: Duration,
}

impl Default for TransportLimits {
    fn default() -> Self {
        Self { message_bytes_max: 1024 * 1024, drain_timeout: Duration::from_secs(10) }
    }
}

/// Largest message given out, in bytes: beyond it lies a bug, and it should be loud.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Streams one connection may have open. tonic's default lifts hyper's limit; one connection could open any number.
const STREAMS_MAX: u32 = 200;
/// Streams that our own errors may reset before the connection is cut (rapid reset, MadeYouReset). As above.
const LOCAL_RESETS_MAX: usize = 1024;
/// Streams reset by the peer that may wait to be accepted.
const PENDING_RESETS_MAX: usize = 20;
/// All headers of a request together, in bytes.
const HEADERS_BYTES_MAX: u32 = 16 * 1024;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until `shutdown`, then lets calls under way finish within the drain timeout.
///
/// # Errors
/// When the transport cannot be set up.
pub async fn serve(
    listener: TcpListener,
    services: Services,
    limits: TransportLimits,
    shutdown: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (health, health_service) = health::Health::new().await;
    let watching = tokio::spawn(health.watch(services.storage.clone(), shutdown.clone()));
    let storage = services.storage.clone();
    let until = shutdown.clone();
    let following = tokio::spawn(async move { storage.follow_changes(until).await });
    // Nobody is admitted before it is known who no longer may be. When the storage is away, a job tries again.
    if let Err(cause) = services.accounts.revocations().refresh(&services.storage).await {
        tracing::warn!(%cause, "the revocations cannot be read yet");
    }
    let keeping_house = tokio::spawn(jobs::run(services.clone(), shutdown.clone()));

    let incoming =
        TcpIncoming::from(listener).with_nodelay(Some(true)).with_keepalive(Some(KEEPALIVE_INTERVAL));
    let routes = routes(&services, limits, health_service, shutdown.clone())?;
    let stack = ServiceBuilder::new()
        // First, so that every answer carries an id and every line of the log can name it.
        .layer(request_id::RequestIdLayer)
        // One line per call, whatever becomes of it further in.
        .layer(access_log::AccessLogLayer)
        // A bug in a handler costs that call, not the process.
        .layer(panics::layer())
        // What the framework answers by itself gets the codes and reasons of the contract.
        .layer(wire_errors::WireErrorsLayer)
        // Whose address it is: throttling and sessions need it, and a caller may claim any.
        .layer(peer::PeerLayer::new(Arc::clone(services.accounts.trusted_proxies())))
        // Nothing behind this runs for a caller who may not call it.
        .layer(AuthLayer::new(services.accounts.authenticator(), status::response::<tonic::body::Body>))
        // What a caller was given the right to once, they keep only as long as they have it.
        .layer(revocable::RevocableLayer::new(
            services.accounts.authenticator(),
            Arc::clone(services.accounts.revocations()),
        ));

    let server = tonic::transport::Server::builder()
        .max_concurrent_streams(Some(STREAMS_MAX))
        .http2_max_local_error_reset_streams(Some(LOCAL_RESETS_MAX))
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
        .http2_max_header_list_size(Some(HEADERS_BYTES_MAX))
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .layer(stack)
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());

    // A peer that never speaks, or never reads, would hold up the shutdown for ever.
    let drained = async {
        shutdown.cancelled().await;
        tokio::time::sleep(limits.drain_timeout).await;
    };
    tokio::select! {
        served = server => served?,
        () = drained => tracing::warn!("calls still under way after the drain timeout are cut off"),
    }
    watching.await?;
    following.await?;
    keeping_house.await?;
    Ok(())
}

fn routes(
    services: &Services,
    limits: TransportLimits,
    health_service: health::HealthService,
    shutdown: CancellationToken,
) -> Result<tonic::service::Routes, Box<dyn std::error::Error + Send + Sync>> {
    let storage = services.storage.clone();
    let tasks = TaskApi::new(storage.clone(), services.clock.clone(), services.tasks, shutdown);
    let users = UserApi::new(storage, services.accounts.clone(), services.clock.clone(), services.passwords);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            // Encoded, because decoding it would drop the annotations.
            .register_encoded_file_descriptor_set(pb::DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    Ok(tonic::service::Routes::default()
        .add_service(
            TaskServiceServer::new(tasks)
                .max_decoding_message_size(limits.message_bytes_max)
                .max_encoding_message_size(ANSWER_BYTES_MAX),
        )
        .add_service(
            UserServiceServer::new(users)
                .max_decoding_message_size(limits.message_bytes_max)
                .max_encoding_message_size(ANSWER_BYTES_MAX),
        )
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?))
}
