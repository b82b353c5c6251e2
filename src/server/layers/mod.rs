//! What every call passes on its way to a handler, one file per layer. The stack stands in `server`.
//!
//! Each is a `Layer` and a `Service` by hand: an async function as a layer would cost a box per call and layer.

pub(super) mod access_log;
pub(super) mod admission;
pub(super) mod admission_queue;
pub(super) mod deadline;
mod ending_body;
pub(super) mod grpc_timeout;
pub(super) mod panics;
pub(super) mod peer;
pub(super) mod rate_limit;
pub(super) mod request_id;
pub(super) mod revocable;
pub(super) mod spans;
pub(super) mod stream_life;
pub(super) mod wire_errors;
