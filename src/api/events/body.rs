//! What the receiver of a webhook gets: type, time and the message in the form that it has over REST.

use prost::Message;
use serde_json::{Map, Value};

use super::convert_event::data_to_pb;
use crate::domain::{Event, Timestamp};
use crate::pb::event::Data;

/// The JSON of an event.
pub fn event_body(event: &Event) -> Vec<u8> {
    let data = match data_to_pb(event) {
        Data::Change(change) => json("TaskChange", &change),
        Data::Account(user) => json("User", &user),
        Data::Reminder(reminder) => json("DueReminder", &reminder),
    };
    body(event.kind.name(), event.create_time, data)
}

/// The JSON of the event that a receiver is tried with.
pub(super) fn test_body(now: Timestamp) -> Vec<u8> {
    body("webhook.test", now, Value::Object(Map::new()))
}

fn body(kind: &str, time: Timestamp, data: Value) -> Vec<u8> {
    let timestamp = crate::api::tasks::convert_value::time_to_pb(time).to_string();
    serde_json::json!({"type": kind, "timestamp": timestamp, "data": data}).to_string().into_bytes()
}

/// A message as the gateway answers it. Its own messages the service can always write.
fn json(name: &str, message: &impl Message) -> Value {
    crate::api::json::write(name, message, serde_json::value::Serializer).unwrap_or_default()
}
