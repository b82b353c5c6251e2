//! The HTTP client that webhooks are sent by: one POST, no redirects, nothing read of the answer but its status.

use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::RootCertStore;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tower::Service;

use super::addresses::AddressPolicy;
use super::signature;
use crate::domain::{FailureReason, Timestamp};

/// Longest time for an answer, the connection included.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time that one address is tried for.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a connection is kept for the next message.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// More than this no receiver can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(4 * 60 * 60);

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempted {
    /// What the receiver answered; 0 where it did not.
    pub code: u16,
    /// What went wrong; `None` where the receiver took it.
    pub failure: Option<FailureReason>,
    /// When the receiver wants to be asked again.
    pub retry_after: Option<Duration>,
}

impl Attempted {
    /// It could not be signed.
    pub(super) const SECRET_LOST: Self = Self::failed(FailureReason::SecretLost);

    const fn failed(reason: FailureReason) -> Self {
        Self { code: 0, failure: Some(reason), retry_after: None }
    }

    fn answered(response: &Response<Incoming>) -> Self {
        let status = response.status();
        let failure = (!status.is_success()).then_some(FailureReason::Refused);
        let may_ask = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&status);
        let asked = response.headers().get(header::RETRY_AFTER).filter(|_| may_ask);
        let seconds = asked.and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
        let retry_after = seconds.map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
        Self { code: status.as_u16(), failure, retry_after }
    }

    /// Whether the receiver says that it is gone for good.
    pub const fn is_gone(&self) -> bool {
        self.code == 410
    }
}

/// The client. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Client {
    /// Made for the first message: it reads the machine's certificates, which takes longer than all else at the start of the service.
    http: Arc<OnceCell<Http>>,
    addresses: AddressPolicy,
}

type Http = legacy::Client<HttpsConnector<Guarded>, Full<Bytes>>;

impl Client {
    /// Trusts what the machine trusts, and connects to addresses that are allowed.
    pub(super) fn new(addresses: AddressPolicy) -> Self {
        Self { http: Arc::default(), addresses }
    }

    async fn http(&self) -> &Http {
        let made = || async {
            let addresses = self.addresses.clone();
            // Files are read, many of them.
            match tokio::task::spawn_blocking(|| Self::connected(addresses)).await {
                Ok(http) => http,
                // The runtime ends, or making it panicked: then here as well.
                Err(_) => Self::connected(self.addresses.clone()),
            }
        };
        self.http.get_or_init(made).await
    }

    fn connected(addresses: AddressPolicy) -> Http {
        let mut roots = RootCertStore::empty();
        // Where there are none, or some cannot be read, the handshake fails and says so.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap_or_else(|_| rustls::ClientConfig::builder())
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnector::from((Guarded(addresses), tls));
        legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(8)
            .build(connector)
    }

    pub(super) const fn addresses(&self) -> &AddressPolicy {
        &self.addresses
    }

    /// Sends one message.
    pub(super) async fn post(
        &self,
        longest: Duration,
        url: &str,
        (id, now): (&str, Timestamp),
        secrets: &[Vec<u8>],
        body: Vec<u8>,
    ) -> Attempted {
        let seconds = now.as_micros().div_euclid(1_000_000);
        let request = Request::post(url)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(
                header::USER_AGENT,
                HeaderValue::from_static(concat!("taskwire/", env!("CARGO_PKG_VERSION"))),
            )
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", signature::header(secrets, id, seconds, &body))
            .body(Full::new(Bytes::from(body)));
        let Ok(request) = request else { return Attempted::failed(FailureReason::Broken) };
        let http = self.http().await;
        match tokio::time::timeout(longest, http.request(request)).await {
            Ok(Ok(response)) => Attempted::answered(&response),
            Ok(Err(error)) => Attempted::failed(reason(&error)),
            Err(_) => Attempted::failed(FailureReason::TimedOut),
        }
    }
}

/// Why there is no answer.
fn reason(error: &legacy::Error) -> FailureReason {
    let mut cause = error.source();
    while let Some(one) = cause {
        if let Some(NotConnected(reason)) = one.downcast_ref() {
            return *reason;
        }
        if one.is::<rustls::Error>() {
            return FailureReason::TlsFailed;
        }
        let inner = one.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if inner.is_some_and(|inner| inner.is::<rustls::Error>()) {
            return FailureReason::TlsFailed;
        }
        cause = one.source();
    }
    if error.is_connect() { FailureReason::Unreachable } else { FailureReason::Broken }
}

/// Why a connection was not made.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.text())]
struct NotConnected(FailureReason);

/// Makes connections, to allowed addresses alone.
#[derive(Debug, Clone)]
struct Guarded(AddressPolicy);

impl Service<Uri> for Guarded {
    type Response = TokioIo<TcpStream>;
    type Error = NotConnected;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, NotConnected>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NotConnected>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let policy = self.0.clone();
        Box::pin(async move {
            let host = uri.host().ok_or(NotConnected(FailureReason::NameUnknown))?;
            let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
            // What was looked up here is what is connected to: there is no second look that could lead elsewhere.
            for address in policy.resolve(host, port).await.map_err(NotConnected)? {
                if let Ok(Ok(stream)) =
                    tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await
                {
                    // Without it the message would wait for the answer to its head.
                    let _ = stream.set_nodelay(true);
                    return Ok(TokioIo::new(stream));
                }
            }
            Err(NotConnected(FailureReason::Unreachable))
        })
    }
}
