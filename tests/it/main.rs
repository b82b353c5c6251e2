//! The one integration test binary. A test owns its world: a fresh database, no shared state, no order.

#![allow(clippy::unwrap_used, clippy::expect_used)]
// In a test a copy costs nothing, and what is compared reads best as it is.
#![allow(clippy::cloned_ref_to_slice_refs, clippy::result_large_err, clippy::type_complexity)]

mod accounts;
mod auth;
mod citus;
mod cli;
mod client;
mod edge;
mod events;
mod hosts;
mod interchange;
mod operator;
mod plans;
mod process;
mod recurrence;
mod revisions;
mod rpc;
mod standbys;
mod storage;
mod support;
mod surface;
mod transfer;
