//! What every test stands on.

#[allow(dead_code, reason = "not every suite needs all of it")]
pub(crate) mod process;
