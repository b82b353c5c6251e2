//! Gives every request an id: the caller's own when it is a sane one, else a new UUIDv7.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, Response};
use tower::{Layer, Service};

use crate::api::request_id;

/// The metadata key.
const HEADER: &str = "x-request-id";

/// The id, as the extensions of a request carry it.
#[derive(Debug, Clone)]
pub(in crate::server) struct RequestId(pub(in crate::server) Arc<str>);

#[derive(Debug, Clone, Copy)]
pub(in crate::server) struct RequestIdLayer;

impl<Inner> Layer<Inner> for RequestIdLayer {
    type Service = RequestIds<Inner>;

    fn layer(&self, inner: Inner) -> Self::Service {
        RequestIds { inner }
    }
}

#[derive(Debug, Clone)]
pub(in crate::server) struct RequestIds<Inner> {
    inner: Inner,
}

impl<Inner, RequestBody, Body> Service<Request<RequestBody>> for RequestIds<Inner>
where
    Inner: Service<Request<RequestBody>, Response = Response<Body>>,
    Inner::Future: Send + 'static,
{
    type Response = Inner::Response;
    type Error = Inner::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<RequestBody>) -> Self::Future {
        let given = request.headers().get(HEADER).and_then(|value| request_id::accept(value.as_bytes()));
        let id: Arc<str> = given.map_or_else(|| uuid::Uuid::now_v7().to_string().into(), Into::into);
        request.extensions_mut().insert(RequestId(Arc::clone(&id)));
        let answer = request_id::scope(Arc::clone(&id), self.inner.call(request));
        async move {
            let mut response = answer.await?;
            if let Ok(mut value) = HeaderValue::from_str(&id) {
                // No id comes twice, so the connection's table of headers need not remember it.
                value.set_sensitive(true);
                response.headers_mut().insert(HEADER, value);
            }
            Ok(response)
        }
        .boxed()
    }
}
