//! The span of a call, as a child of what its caller sends (W3C `traceparent`). None where nothing is traced.

use http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::Code;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::methods::Method;
use crate::server::SPANS;
use crate::server::operator::metrics::code_name;

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

/// Begins the span of a call.
pub(in crate::server) fn begin(method: Method, headers: &HeaderMap) -> Span {
    let span = tracing::trace_span!(
        target: SPANS,
        "call",
        otel.name = method.label(),
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system.name = "grpc",
        rpc.method = method.label(),
        rpc.response.status_code = Empty,
    );
    let parent = TraceContextPropagator::new().extract(&Headers(headers));
    // Fails for a span that is not there, which needs no parent.
    let _ = span.set_parent(parent);
    span
}

/// Says how the call ended.
pub(in crate::server) fn end(span: &Span, code: Code) {
    span.record("rpc.response.status_code", code_name(code));
    // What the caller did wrong is no error of the service.
    let failed = matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    );
    if failed {
        span.record("otel.status_code", "ERROR");
    }
}

/// The trace that a span belongs to, for the log; `None` when nobody keeps it.
pub(in crate::server) fn trace_id(span: &Span) -> Option<String> {
    let context = span.context();
    let context = context.span().span_context().clone();
    context.is_sampled().then(|| context.trace_id().to_string())
}
