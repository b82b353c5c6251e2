//! The one integration test binary. A test owns its world: a fresh database, no shared state, no order.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod edge;
mod support;
