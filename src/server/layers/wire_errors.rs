//! What tonic answers by itself, in the codes and reasons of the contract; what is not gRPC at all is not served.
//!
//! Every error of ours carries details, so a status without them comes from the framework: a message that is no
//! protobuf (it says `INTERNAL`), a message that is too large (`OUT_OF_RANGE`), a deadline that passed
//! (`CANCELLED`). Its text describes the decoder and stays inside.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use futures_util::TryFutureExt as _;
use futures_util::future::{Either, MapOk};
use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::api::reason::Reason;
use crate::api::status::refusal;

const DETAILS: &str = "grpc-status-details-bin";

#[derive(Debug, Clone, Copy)]
pub(in crate::server) struct WireErrorsLayer;

impl<Inner> Layer<Inner> for WireErrorsLayer {
    type Service = WireErrors<Inner>;

    fn layer(&self, inner: Inner) -> Self::Service {
        WireErrors { inner }
    }
}

#[derive(Debug, Clone)]
pub(in crate::server) struct WireErrors<Inner> {
    inner: Inner,
}

impl<Inner, RequestBody> Service<Request<RequestBody>> for WireErrors<Inner>
where
    Inner: Service<Request<RequestBody>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = Inner::Error;
    type Future = Either<Translated<Inner::Future>, Ready<Result<Response<Body>, Inner::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        if !is_grpc(&request) {
            return Either::Right(ready(Ok(unsupported())));
        }
        Either::Left(self.inner.call(request).map_ok(translate as fn(Response<Body>) -> Response<Body>))
    }
}

type Translated<Answer> = MapOk<Answer, fn(Response<Body>) -> Response<Body>>;

fn is_grpc<B>(request: &Request<B>) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    request.method() == http::Method::POST
        && content_type.is_some_and(|value| {
            value
                .strip_prefix(b"application/grpc")
                .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
        })
}

/// Whoever speaks another protocol could not read a gRPC status either (gRPC over HTTP/2, "Responses").
fn unsupported() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    response
}

fn translate(response: Response<Body>) -> Response<Body> {
    let headers = response.headers();
    if headers.contains_key(DETAILS) {
        return response;
    }
    let translated = match Status::from_header_map(headers).map(|status| status.code()) {
        Some(Code::Internal) => {
            refusal(Reason::MessageMalformed, "the request is not one well-formed message of its type")
        }
        Some(Code::OutOfRange) => {
            refusal(Reason::MessageTooLarge, "the request is larger than this method takes")
        }
        Some(Code::Cancelled) => refusal(Reason::DeadlineExceeded, "the deadline has passed"),
        _ => return response,
    };
    translated.into_http()
}
