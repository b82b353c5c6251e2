//! Ends open streams whose caller has been shut out: logged out, revoked, disabled, deleted.
//!
//! A unary call is over before that matters. A stream was admitted once; this asks again whenever something was
//! revoked, and ends it with the error that a new call would get.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::TryFutureExt as _;
use futures_util::future::{BoxFuture, Either, MapOk};
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::auth::{Authenticator, Principal, Revocations};
use crate::domain::Error;
use crate::methods::Method;

#[derive(Debug, Clone)]
pub(in crate::server) struct RevocableLayer {
    authenticator: Arc<Authenticator>,
    revocations: Arc<Revocations>,
}

impl RevocableLayer {
    pub(in crate::server) const fn new(
        authenticator: Arc<Authenticator>,
        revocations: Arc<Revocations>,
    ) -> Self {
        Self { authenticator, revocations }
    }
}

impl<Inner> Layer<Inner> for RevocableLayer {
    type Service = Revocable<Inner>;

    fn layer(&self, inner: Inner) -> Self::Service {
        Revocable { inner, layer: self.clone() }
    }
}

#[derive(Debug, Clone)]
pub(in crate::server) struct Revocable<Inner> {
    inner: Inner,
    layer: RevocableLayer,
}

type Wrapped<Answer> = MapOk<Answer, Box<dyn FnOnce(Response<Body>) -> Response<Body> + Send>>;

impl<Inner, RequestBody> Service<Request<RequestBody>> for Revocable<Inner>
where
    Inner: Service<Request<RequestBody>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = Inner::Error;
    type Future = Either<Inner::Future, Wrapped<Inner::Future>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let principal = request.extensions().get::<Principal>().copied();
        match principal {
            Some(principal) if Method::of(request.uri().path()).ends_when_shut_out() => {
                let shut_out = self.layer.shut_out(principal);
                let wrap = move |response: Response<Body>| {
                    response.map(|body| Body::new(RevocableBody { body, shut_out: Some(shut_out) }))
                };
                let wrap: Box<dyn FnOnce(Response<Body>) -> Response<Body> + Send> = Box::new(wrap);
                Either::Right(self.inner.call(request).map_ok(wrap))
            }
            _ => Either::Left(self.inner.call(request)),
        }
    }
}

impl RevocableLayer {
    /// Done once this caller may no longer be heard.
    fn shut_out(&self, principal: Principal) -> BoxFuture<'static, Error> {
        let authenticator = Arc::clone(&self.authenticator);
        // From now on, so that nothing falls between the check of the call and this.
        let mut changes = self.revocations.subscribe();
        async move {
            loop {
                if let Err(error) = authenticator.check(&principal) {
                    return error;
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        }
        .boxed()
    }
}

/// A body that ends early when its caller is shut out.
struct RevocableBody {
    body: Body,
    /// `None` once it has ended the body.
    shut_out: Option<BoxFuture<'static, Error>>,
}

impl HttpBody for RevocableBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(shut_out) = &mut self.shut_out else {
            return Poll::Ready(None);
        };
        // First: whoever has been shut out gets nothing more, however much there is.
        if let Poll::Ready(error) = shut_out.poll_unpin(context) {
            self.shut_out = None;
            let mut trailers = http::HeaderMap::new();
            return Poll::Ready(Some(match Status::from(error).add_header(&mut trailers) {
                Ok(()) => Ok(Frame::trailers(trailers)),
                Err(status) => Err(status),
            }));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.shut_out.is_none() || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
