//! How long a call may take: what its caller says, within what the service allows.
//!
//! tonic has a timer of its own; it answers `CANCELLED`, takes any nonsense for "no limit" and tells nobody further
//! in, so it is not used. A stream is bounded by its life instead (`stream_life.rs`).

use std::future::{Ready, ready};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Either};
use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};

use super::grpc_timeout;
use super::stream_life::StreamLife;
use crate::api::status;
use crate::domain::Error;
use crate::methods::Method;
use crate::server::connections::connection::Closing;
use crate::storage::Deadline;

/// How long calls may take.
#[derive(Debug, Clone, Copy)]
pub struct DeadlineLimits {
    /// Where the caller does not say.
    pub default: Duration,
    /// Whatever the caller says.
    pub max: Duration,
    /// Life of a stream.
    pub stream_max: Duration,
}

#[derive(Debug, Clone, Copy)]
pub(in crate::server) struct DeadlineLayer {
    limits: DeadlineLimits,
}

impl DeadlineLayer {
    pub(in crate::server) const fn new(limits: DeadlineLimits) -> Self {
        Self { limits }
    }
}

impl<Inner> Layer<Inner> for DeadlineLayer {
    type Service = Deadlines<Inner>;

    fn layer(&self, inner: Inner) -> Self::Service {
        Deadlines { inner, limits: self.limits }
    }
}

#[derive(Debug, Clone)]
pub(in crate::server) struct Deadlines<Inner> {
    inner: Inner,
    limits: DeadlineLimits,
}

impl<Inner, RequestBody> Service<Request<RequestBody>> for Deadlines<Inner>
where
    Inner: Service<Request<RequestBody>, Response = Response<Body>>,
    Inner::Future: Send + 'static,
    Inner::Error: Send,
{
    type Response = Response<Body>;
    type Error = Inner::Error;
    type Future = Either<
        BoxFuture<'static, Result<Response<Body>, Inner::Error>>,
        Ready<Result<Response<Body>, Inner::Error>>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let given = match grpc_timeout::read(request.headers()) {
            Ok(given) => given,
            Err(error) => return Either::Right(ready(Ok(status::response(error)))),
        };
        if given.is_some_and(|given| given.is_zero()) {
            return Either::Right(ready(Ok(status::response(Error::DeadlineExceeded))));
        }
        let opening = given.unwrap_or(self.limits.default).min(self.limits.max);
        let life = Method::of(request.uri().path())
            .may_last()
            .then(|| StreamLife::begin(given, self.limits.stream_max, request.extensions().get::<Closing>()));
        let deadline = Deadline::after(opening);
        let answer = deadline.scope(self.inner.call(request));
        let bounded = async move {
            let Ok(answered) = tokio::time::timeout_at(deadline.instant().into(), answer).await else {
                return Ok(status::response(Error::DeadlineExceeded));
            };
            let response = answered?;
            Ok(match life {
                Some(life) => response.map(|body| life.bound(body)),
                None => response,
            })
        };
        Either::Left(bounded.boxed())
    }
}
