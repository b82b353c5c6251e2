//! A panic in a handler becomes `INTERNAL`; the process and the connection live on.

use std::any::Any;

use http::Response;
use prometheus_client::metrics::counter::Counter;
use tonic::body::Body;
use tower_http::catch_panic::{CatchPanicLayer, ResponseForPanic};

use crate::api::status;
use crate::domain::Error;

/// The layer that catches, and counts.
pub(in crate::server) fn layer(counter: Counter) -> CatchPanicLayer<Answer> {
    CatchPanicLayer::custom(Answer(counter))
}

/// What becomes of a panic.
#[derive(Debug, Clone)]
pub(in crate::server) struct Answer(Counter);

impl ResponseForPanic for Answer {
    type ResponseBody = Body;

    fn response_for_panic(&mut self, panic: Box<dyn Any + Send + 'static>) -> Response<Body> {
        self.0.inc();
        let text = panic
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no text".to_owned());
        status::response(Error::Internal(format!("a handler panicked: {text}")))
    }
}
