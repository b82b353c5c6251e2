//! The port for whoever runs the service: HTTP on the loopback address, for probes, scrapers and people.
//!
//! It needs nothing of the service's own line of calls, so it answers under overload and until the very end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::metrics;
use super::readiness::Readiness;
use crate::auth::Tokens;
use crate::server::connections::handshakes::Handshakes;

/// How long a request may take, from the connection to its end.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long its headers may take.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections at the same time; the oldest one gives way.
const CONNECTIONS_MAX: usize = 64;
/// Bytes of a body, which says no more than what is to be logged.
const BODY_BYTES_MAX: usize = 1024;
/// Bytes that a request may have before its body.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long to wait when the system has no more files to open.
const BACK_OFF: Duration = Duration::from_millis(50);

/// What is logged, and how that is changed.
pub trait LogLevel: Send + Sync + std::fmt::Debug {
    /// The filter in force.
    fn get(&self) -> String;

    /// Puts another filter in its place.
    ///
    /// # Errors
    /// What is wrong with it; the one in force stays.
    fn set(&self, filter: &str) -> Result<(), String>;
}

/// What the port tells of.
#[derive(Debug, Clone)]
pub(in crate::server) struct Admin {
    pub(in crate::server) registry: Arc<Registry>,
    pub(in crate::server) readiness: Readiness,
    pub(in crate::server) tokens: Arc<Tokens>,
    pub(in crate::server) log_level: Option<Arc<dyn LogLevel>>,
}

/// Answers until `ended`.
pub(in crate::server) async fn serve(listener: TcpListener, admin: Admin, ended: CancellationToken) {
    let router = router(admin);
    // Here everybody counts as silent: no connection has more than one request to make.
    let places = Handshakes::new(CONNECTIONS_MAX);
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = ended.cancelled() => break,
            Some(_) = open.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(BACK_OFF).await;
            continue;
        };
        let place = places.begin(ended.child_token());
        let router = router.clone();
        open.spawn(async move {
            let closing = place.closing();
            tokio::select! {
                () = closing.cancelled() => {}
                _ = tokio::time::timeout(REQUEST_TIMEOUT, answer(stream, router)) => {}
            }
        });
    }
}

/// One request, one answer: whoever has more to ask connects again.
async fn answer(stream: TcpStream, router: Router) {
    let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let router = router.clone();
        async move { Ok::<_, Infallible>(router.oneshot(request).await.into_response()) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a request to the admin port failed");
    }
}

fn router(admin: Admin) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/version", get(version))
        .route("/.well-known/jwks.json", get(jwks))
        .route("/log-level", get(log_level).put(set_log_level))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(admin)
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    (status, headers, format!("{value}\n")).into_response()
}

async fn readyz(State(admin): State<Admin>) -> Response {
    match admin.readiness.why_not() {
        None => json(StatusCode::OK, &serde_json::json!({"ready": true})),
        Some(why) => {
            let value = serde_json::json!({"ready": false, "reason": why.reason(), "text": why.text()});
            json(StatusCode::SERVICE_UNAVAILABLE, &value)
        }
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let headers = [(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    (headers, metrics::text(&admin.registry)).into_response()
}

async fn version() -> Response {
    let value = serde_json::json!({"name": "taskwire", "version": env!("CARGO_PKG_VERSION")});
    json(StatusCode::OK, &value)
}

async fn jwks(State(admin): State<Admin>) -> Response {
    // Short: a key that was withdrawn must go from caches soon.
    let headers = [(CONTENT_TYPE, "application/jwk-set+json"), (CACHE_CONTROL, "public, max-age=60")];
    (headers, admin.tokens.jwks()).into_response()
}

async fn log_level(State(admin): State<Admin>) -> Response {
    match &admin.log_level {
        Some(level) => format!("{}\n", level.get()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn set_log_level(State(admin): State<Admin>, headers: HeaderMap, body: String) -> Response {
    // A page in the browser of whoever sits at this machine must not reach here.
    if headers.contains_key(ORIGIN) {
        return (StatusCode::FORBIDDEN, "not for browsers\n").into_response();
    }
    let Some(level) = &admin.log_level else { return StatusCode::NOT_FOUND.into_response() };
    match level.set(body.trim()) {
        Ok(()) => format!("{}\n", level.get()).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, format!("not a log filter: {error}\n")).into_response(),
    }
}
