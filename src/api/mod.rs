//! Transport: from messages to domain values and back, and from errors to statuses.
//!
//! A handler is four moves: parse, authorise, one operation, answer. Nothing here names diesel; nothing here
//! decides what a change does.

mod batch;
mod changes;
mod convert;
mod convert_user;
mod field_mask;
mod fields;
mod filter;
mod names;
mod order_by;
mod page_token;
mod replay;
pub mod request_id;
pub mod status;
mod task_service;
mod user_service;
mod watch;

pub use page_token::PageTokens;
pub use task_service::{TaskApi, TaskRules};
pub use user_service::UserApi;
pub use watch::WatchLimits;

use tonic::Request;

use crate::auth::Principal;
use crate::domain::{Error, Result};

/// The caller, as the auth interceptor verified it, and the message.
fn caller<T>(request: Request<T>) -> Result<(Principal, T)> {
    // Present for every method that asks for a token; absent means that no interceptor ran, so nobody may pass.
    let principal = request.extensions().get::<Principal>().copied().ok_or(Error::TokenMissing)?;
    Ok((principal, request.into_inner()))
}

/// The address of the peer, without its port; empty when there is none.
fn peer<T>(request: &Request<T>) -> String {
    request.remote_addr().map(|address| address.ip().to_string()).unwrap_or_default()
}
