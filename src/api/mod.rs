//! Transport: from messages to domain values and back, and from errors to statuses.
//!
//! A handler is four moves: parse, authorise, one operation, answer. Nothing here names diesel; nothing here
//! decides what a change does.

mod accounts;
pub mod answer;
mod chunks;
mod events;
mod export;
mod field_mask;
mod fields;
mod idempotency;
mod intake;
mod json;
mod names;
mod page_token;
mod places;
pub mod reason;
pub mod request_id;
pub mod status;
mod tasks;

pub use accounts::user_service::UserApi;
pub use chunks::Files;
pub use events::body::event_body;
pub use events::event_service::EventApi;
pub use intake::Intake;
pub use tasks::task_service::{TaskApi, TaskRules};
pub use tasks::watch::WatchLimits;

use std::net::IpAddr;

use tonic::Request;

use crate::auth::Principal;
use crate::domain::{Error, Result, Trace};

/// The address of the caller, as the extensions of a request carry it once it is known whom to believe about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub IpAddr);

/// The caller, as the auth interceptor verified it, and the message.
fn caller<T>(request: Request<T>) -> Result<(Principal, T)> {
    // Present for every method that asks for a token; absent means that no interceptor ran, so nobody may pass.
    let principal = request.extensions().get::<Principal>().copied().ok_or(Error::TokenMissing)?;
    Ok((principal, request.into_inner()))
}

/// The caller, how what they do is to be recorded, and the message.
fn traced<T>(request: Request<T>) -> Result<(Principal, Trace, T)> {
    let trace = trace(&request);
    let (principal, message) = caller(request)?;
    Ok((principal, trace, message))
}

/// Who is calling, from where, in which call.
fn trace<T>(request: &Request<T>) -> Trace {
    Trace {
        actor: request.extensions().get::<Principal>().map(Principal::actor),
        peer: peer(request),
        request_id: request_id::current().map(|id| id.as_ref().to_owned()).unwrap_or_default(),
    }
}

/// The address of the caller, without a port; empty when there is none.
fn peer<T>(request: &Request<T>) -> String {
    let known = request.extensions().get::<PeerAddress>().map(|peer| peer.0);
    let address = known.or_else(|| request.remote_addr().map(|address| address.ip().to_canonical()));
    address.map(|address| address.to_string()).unwrap_or_default()
}
