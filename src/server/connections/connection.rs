//! One connection, from its first byte to its last: TLS, HTTP/2, its age, and its end.
//!
//! tonic's own server is not used for this: it never times out a peer that does not speak, and with a grace it sends
//! no GOAWAY at the end of a connection's age.

use std::convert::Infallible;
use std::future::poll_fn;
use std::hash::{BuildHasher as _, Hasher as _};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpConnectInfo;
use tower::{Service, ServiceExt as _};

use super::handshakes::Handshake;
use super::io::{Activity, Io, OpenCall, Watched};
use crate::methods::IMPORT_TASKS;
use crate::server::operator::metrics::{ConnectionCounts, Ended};

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

/// Files kept free for the database, the log, and whatever libraries open.
const FILES_RESERVED: u64 = 256;
/// Beyond it memory is what counts.
const CONNECTIONS_MAX: u64 = 10_000;

impl ConnectionLimits {
    /// Connections at the same time.
    pub(in crate::server) fn connections(&self) -> usize {
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

/// Streams one connection may have open. A limit that is not set is none: one connection could open any number.
const STREAMS_MAX: u32 = 200;
/// Streams that our own errors may reset before the connection is cut (rapid reset, MadeYouReset). As above.
const LOCAL_RESETS_MAX: usize = 1024;
/// Streams reset by the peer that may wait to be accepted.
const PENDING_RESETS_MAX: usize = 20;
/// All headers of a request together, in bytes.
const HEADERS_BYTES_MAX: u32 = 16 * 1024;
/// After this long a silence the peer is asked whether it is still there, and has so long to answer.
pub(in crate::server) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection that was told to go may stay without calls: those it sent before it heard are on their way.
const LINGER: Duration = Duration::from_secs(1);

/// Says that the connection closes, to streams that would keep it open. In the extensions of each request.
#[derive(Debug, Clone)]
pub(in crate::server) struct Closing(pub(in crate::server) CancellationToken);

/// What all connections share.
pub(in crate::server) struct Connections<Stack> {
    stack: Stack,
    http2: http2::Builder<TokioExecutor>,
    limits: ConnectionLimits,
    message_bytes_max: usize,
    counts: ConnectionCounts,
}

impl<Stack, ResponseBody> Connections<Stack>
where
    Stack: Service<Request<Incoming>, Response = Response<ResponseBody>, Error = Infallible>,
    Stack: Clone + Send + Sync + 'static,
    Stack::Future: Send,
    ResponseBody: Body<Data = Bytes> + Unpin + Send + 'static,
    ResponseBody::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub(in crate::server) fn new(
        stack: Stack,
        limits: ConnectionLimits,
        message_bytes_max: usize,
        counts: ConnectionCounts,
    ) -> Self {
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            // Says nothing in gRPC.
            .auto_date_header(false)
            .max_concurrent_streams(STREAMS_MAX)
            .max_local_error_reset_streams(LOCAL_RESETS_MAX)
            .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
            .max_header_list_size(HEADERS_BYTES_MAX)
            .keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT);
        Self { stack, http2, limits, message_bytes_max, counts }
    }

    pub(in crate::server) const fn limits(&self) -> &ConnectionLimits {
        &self.limits
    }

    pub(in crate::server) const fn counts(&self) -> &ConnectionCounts {
        &self.counts
    }

    /// Serves one connection to its end, or until `closing` and then some.
    pub(in crate::server) async fn serve(&self, io: Box<dyn Io>, peer: TcpConnectInfo, handshake: Handshake) {
        tracing::debug!(peer = ?peer.remote_addr(), "a connection was taken in");
        let activity = Activity::begin();
        let closing = handshake.closing();
        let calls = Calls {
            stack: self.stack.clone(),
            activity: Arc::clone(&activity),
            peer,
            closing: Closing(closing.clone()),
        };
        let io = Watched::new(io, Arc::clone(&activity), self.message_bytes_max, Some(handshake));
        let mut serving = pin!(self.http2.serve_connection(TokioIo::new(io), calls));
        let mut life = Life::begin(&self.limits, &activity);
        let mut timer = pin!(sleep_until(life.next(&activity).into()));
        let mut told_to_go = pin!(closing.cancelled());
        let mut turns = Turns::default();
        loop {
            tokio::select! {
                biased;
                ended = poll_fn(|context| turns.poll(serving.as_mut(), &activity, context)) => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended");
                        self.counts.ended(Ended::Broken);
                    }
                    return;
                }
                () = &mut told_to_go, if !life.is_ending() => {
                    // Nothing was asked yet, so nothing is lost; the HTTP library would wait for a greeting.
                    if !activity.spoke() {
                        self.counts.ended(Ended::GaveWay);
                        return;
                    }
                    serving.as_mut().graceful_shutdown();
                    life.end();
                }
                () = &mut timer => match life.due(&activity) {
                    Due::Nothing => {}
                    // What ends streams ends this connection with the next turn.
                    Due::GoAway => closing.cancel(),
                    Due::Cut(why) => {
                        tracing::debug!(?why, "a connection is cut");
                        self.counts.ended(why);
                        return;
                    }
                },
            }
            timer.as_mut().reset(life.next(&activity).into());
        }
    }
}

/// Lets the calls of a connection that are about to answer do so before it is written to. Each answer wakes its
/// connection, and the runtime runs next what was woken last: one answer would be written at a time, with a system call
/// each, where a batch has answered many.
#[derive(Debug, Default)]
struct Turns {
    gave_way: bool,
}

impl Turns {
    fn poll<F: Future>(
        &mut self,
        serving: Pin<&mut F>,
        activity: &Activity,
        context: &mut Context<'_>,
    ) -> Poll<F::Output> {
        if !self.gave_way && activity.has_several_calls() {
            self.gave_way = true;
            // At the end of the queue.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.gave_way = false;
        serving.poll(context)
    }
}

/// What a connection's clock says.
#[derive(Debug)]
enum Due {
    Nothing,
    GoAway,
    Cut(Ended),
}

/// How old a connection may become.
#[derive(Debug)]
struct Life {
    speak_by: Instant,
    idle: Duration,
    go_at: Instant,
    grace: Duration,
    told_at: Option<Instant>,
}

impl Life {
    fn begin(limits: &ConnectionLimits, activity: &Activity) -> Self {
        let begin = activity.since();
        Self {
            speak_by: begin + limits.first_bytes_timeout,
            idle: limits.idle,
            go_at: begin + jittered(limits.age),
            grace: limits.grace,
            told_at: None,
        }
    }

    const fn is_ending(&self) -> bool {
        self.told_at.is_some()
    }

    fn end(&mut self) {
        self.told_at = Some(Instant::now());
    }

    /// When to look again, at the latest.
    fn next(&self, activity: &Activity) -> Instant {
        match (self.told_at, activity.quiet_since()) {
            (Some(told), Some(quiet)) => (told.max(quiet) + LINGER).min(told + self.grace),
            // Between the last call's end and the cut no frame need come, so it is looked for.
            (Some(told), None) => (Instant::now() + LINGER).min(told + self.grace),
            (None, _) if !activity.spoke() => self.speak_by,
            (None, Some(quiet)) => (quiet + self.idle).min(self.go_at),
            (None, None) => self.go_at.min(Instant::now() + self.idle),
        }
    }

    fn due(&self, activity: &Activity) -> Due {
        let now = Instant::now();
        let quiet = activity.quiet_since();
        match self.told_at {
            Some(told) if now >= told + self.grace => Due::Cut(Ended::Grace),
            Some(told) if quiet.is_some_and(|quiet| now >= told.max(quiet) + LINGER) => {
                Due::Cut(Ended::Retired)
            }
            Some(_) => Due::Nothing,
            None if !activity.spoke() && now >= self.speak_by => Due::Cut(Ended::Silent),
            None if now >= self.go_at => Due::GoAway,
            None if quiet.is_some_and(|quiet| now >= quiet + self.idle) => Due::GoAway,
            None => Due::Nothing,
        }
    }
}

/// Within a tenth of `age`, so that connections that came together do not go together.
fn jittered(age: Duration) -> Duration {
    // Seeded anew each time; that is all the chance needed here.
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    let share = f64::from((random % 2001) as u32) / 10_000.0;
    age.mul_f64(0.9 + share)
}

/// The calls of one connection, on their way to the layers.
struct Calls<Stack> {
    stack: Stack,
    activity: Arc<Activity>,
    peer: TcpConnectInfo,
    closing: Closing,
}

impl<Stack, ResponseBody> hyper::service::Service<Request<Incoming>> for Calls<Stack>
where
    Stack: Service<Request<Incoming>, Response = Response<ResponseBody>, Error = Infallible>,
    Stack: Clone + Send + 'static,
    Stack::Future: Send,
{
    type Response = Response<CountedBody<ResponseBody>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let call = self.activity.call();
        // Where tonic's `Request::remote_addr` looks.
        request.extensions_mut().insert(self.peer.clone());
        request.extensions_mut().insert(self.closing.clone());
        if request.uri().path() == IMPORT_TASKS {
            request.extensions_mut().insert(self.activity.intake.clone());
        }
        let answer = self.stack.clone().oneshot(request);
        async move { Ok(answer.await?.map(|body| CountedBody { body, _call: call })) }.boxed()
    }
}

/// A body that keeps its call open for as long as it is there.
struct CountedBody<Inner> {
    body: Inner,
    _call: OpenCall,
}

impl<Inner: Body + Unpin> Body for CountedBody<Inner> {
    type Data = Inner::Data;
    type Error = Inner::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
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
