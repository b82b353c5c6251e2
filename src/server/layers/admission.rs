//! How many calls there may be: the layer before the queue (`admission_queue.rs`).

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};

use super::admission_queue::AdmissionQueue;
use crate::api::status;
use crate::methods::{Class, Method};
use crate::storage::Deadline;

#[derive(Debug, Clone)]
pub(in crate::server) struct AdmissionLayer {
    queue: Arc<AdmissionQueue>,
}

impl AdmissionLayer {
    pub(in crate::server) const fn new(queue: Arc<AdmissionQueue>) -> Self {
        Self { queue }
    }
}

impl<Inner> Layer<Inner> for AdmissionLayer {
    type Service = Admission<Inner>;

    fn layer(&self, inner: Inner) -> Self::Service {
        Admission { inner, queue: Arc::clone(&self.queue) }
    }
}

#[derive(Debug, Clone)]
pub(in crate::server) struct Admission<Inner> {
    inner: Inner,
    queue: Arc<AdmissionQueue>,
}

impl<Inner, RequestBody> Service<Request<RequestBody>> for Admission<Inner>
where
    Inner: Service<Request<RequestBody>, Response = Response<Body>> + Clone + Send + 'static,
    Inner::Future: Send + 'static,
    RequestBody: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Inner::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, Inner::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let class = Method::of(request.uri().path()).class();
        if class == Class::Always {
            return self.inner.call(request).boxed();
        }
        if let Some(permit) = self.queue.try_enter(class) {
            let answer = self.inner.call(request);
            let inside = async move {
                let answered = answer.await;
                drop(permit);
                answered
            };
            return inside.boxed();
        }
        // The layers further in are always ready, so a clone of them is.
        let (mut inner, queue) = (self.inner.clone(), Arc::clone(&self.queue));
        let in_line = async move {
            let remaining = Deadline::current().map_or(Duration::MAX, Deadline::remaining);
            match queue.enter(class, remaining).await {
                Ok(permit) => {
                    let answered = inner.call(request).await;
                    drop(permit);
                    answered
                }
                Err(error) => Ok(status::response(error)),
            }
        };
        in_line.boxed()
    }
}
