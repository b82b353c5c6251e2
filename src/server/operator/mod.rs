//! What whoever runs the service sees and says: the admin port, metrics, health, readiness.

pub(super) mod admin;
pub(super) mod gauges;
pub(super) mod health;
pub(super) mod metrics;
pub(super) mod readiness;
