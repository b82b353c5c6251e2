//! Ends open streams whose caller has been shut out: logged out, revoked, disabled, deleted.
//!
//! A unary call is over before that matters. A stream was admitted once; this asks again whenever something was
//! revoked, and ends it with the error that a new call would get.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::TryFutureExt as _;
use futures_util::future::{BoxFuture, Either, MapOk};
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::ending_body::{EndingBody, When};
use crate::auth::{Authenticator, Principal};
use crate::methods::Method;

/// How often it is looked whether a token has ended with which its stream does.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub(in crate::server) struct RevocableLayer {
    authenticator: Arc<Authenticator>,
}

impl RevocableLayer {
    pub(in crate::server) const fn new(authenticator: Arc<Authenticator>) -> Self {
        Self { authenticator }
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
                    response.map(|body| EndingBody::wrap(body, shut_out, When::AtOnce))
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
    fn shut_out(&self, principal: Principal) -> BoxFuture<'static, Status> {
        let authenticator = Arc::clone(&self.authenticator);
        // From now on, so that nothing falls between the check of the call and this.
        let mut changes = self.authenticator.revocations().subscribe();
        async move {
            loop {
                if let Err(error) = authenticator.check(&principal) {
                    return Status::from(error);
                }
                tokio::select! {
                    changed = changes.changed() => if changed.is_err() {
                        std::future::pending::<()>().await;
                    },
                    () = tokio::time::sleep(LOOK_EVERY), if principal.ends_with_its_token() => {}
                }
            }
        }
        .boxed()
    }
}
