//! A panic in a handler becomes `INTERNAL`; the process and the connection live on.

use std::any::Any;

use http::Response;
use tonic::body::Body;
use tower_http::catch_panic::CatchPanicLayer;

use crate::api::status;
use crate::domain::Error;

/// The layer that catches.
pub(super) fn layer() -> CatchPanicLayer<Answer> {
    CatchPanicLayer::custom(answer as Answer)
}

/// What becomes of a panic.
type Answer = fn(Box<dyn Any + Send + 'static>) -> Response<Body>;

fn answer(panic: Box<dyn Any + Send + 'static>) -> Response<Body> {
    let text = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no text".to_owned());
    status::response(Error::Internal(format!("a handler panicked: {text}")))
}
