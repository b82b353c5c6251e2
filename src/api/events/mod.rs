//! `EventService`: its handlers, messages about webhooks and events, and the body that a receiver gets.

pub(super) mod body;
pub(super) mod convert_event;
pub(super) mod convert_webhook;
pub(super) mod event_service;
pub(super) mod watch;
