//! One line per call: method, code, time, request id. Never a token, a name or a title.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Buf;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::{Instrument as _, Span};

use super::request_id::RequestId;
use super::spans;
use crate::methods::Method;
use crate::server::operator::metrics::Metrics;

/// What operators filter the lines of calls by. It is documented, and does not move with this file.
const CALLS: &str = "taskwire::server::access_log";

#[derive(Debug, Clone)]
pub(in crate::server) struct AccessLogLayer {
    metrics: Arc<Metrics>,
    traces: bool,
}

impl AccessLogLayer {
    pub(in crate::server) const fn new(metrics: Arc<Metrics>, traces: bool) -> Self {
        Self { metrics, traces }
    }
}

impl<Inner> Layer<Inner> for AccessLogLayer {
    type Service = AccessLog<Inner>;

    fn layer(&self, inner: Inner) -> Self::Service {
        AccessLog { inner, layer: self.clone() }
    }
}

#[derive(Debug, Clone)]
pub(in crate::server) struct AccessLog<Inner> {
    inner: Inner,
    layer: AccessLogLayer,
}

impl<Inner, RequestBody, ResponseBody> Service<Request<RequestBody>> for AccessLog<Inner>
where
    Inner: Service<Request<RequestBody>, Response = Response<ResponseBody>>,
    Inner::Future: Send + 'static,
{
    type Response = Response<LoggedBody<ResponseBody>>;
    type Error = Inner::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let mut line = Line::begin(&request, &self.layer);
        // Entered for the call itself as well, as what it spawns takes the span of now.
        let entered = line.span.as_ref().map(Span::enter);
        let answer = self.inner.call(request);
        drop(entered);
        async move {
            let response = match line.span.clone() {
                None => answer.await?,
                Some(span) => answer.instrument(span).await?,
            };
            line.note(response.headers());
            Ok(response.map(|body| LoggedBody { body, line }))
        }
        .boxed()
    }
}

/// The line of one call. It is written when the call is over in whichever way: answered, failed, or given up by
/// its caller.
#[derive(Debug)]
struct Line {
    method: Method,
    metrics: Arc<Metrics>,
    /// Where calls are traced.
    span: Option<Span>,
    request_id: Option<Arc<str>>,
    begin: Instant,
    code: Option<Code>,
}

impl Line {
    fn begin<B>(request: &Request<B>, layer: &AccessLogLayer) -> Self {
        let method = Method::of(request.uri().path());
        let metrics = Arc::clone(&layer.metrics);
        metrics.calls.begin(method);
        let span = layer.traces.then(|| spans::begin(method, request.headers()));
        let request_id = request.extensions().get::<RequestId>().map(|id| Arc::clone(&id.0));
        Self { method, metrics, span, request_id, begin: Instant::now(), code: None }
    }

    fn note(&mut self, headers: &HeaderMap) {
        if let Some(code) = headers.get(Status::GRPC_STATUS) {
            self.code = Some(Code::from_bytes(code.as_bytes()));
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let took = self.begin.elapsed();
        let milliseconds = took.as_secs_f64() * 1000.0;
        let code = self.code.unwrap_or(Code::Cancelled);
        self.metrics.calls.end(self.method, code, took);
        let method = self.method.path().unwrap_or("unknown");
        let trace_id = self.span.as_ref().and_then(|span| {
            spans::end(span, code);
            spans::trace_id(span)
        });
        let request_id = self.request_id.as_deref().unwrap_or_default();
        // Probes come every few seconds and say nothing.
        if method.starts_with("/grpc.health.") {
            tracing::debug!(target: CALLS, method, ?code, milliseconds, request_id, trace_id, "call");
        } else {
            tracing::info!(target: CALLS, method, ?code, milliseconds, request_id, trace_id, "call");
        }
    }
}

/// A body that reads the status off its trailers as they pass.
#[derive(Debug)]
pub(in crate::server) struct LoggedBody<B> {
    body: B,
    line: Line,
}

impl<B: Body + Unpin> Body for LoggedBody<B>
where
    B::Data: Buf,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(trailers) = frame.trailers_ref()
        {
            self.line.note(trailers);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
