//! What the receiver of a webhook gets: type, time and the message in the form that it has over REST.

use std::sync::OnceLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::{Map, Value};

use super::convert_event::data_to_pb;
use crate::domain::{Event, Timestamp};
use crate::pb;
use crate::pb::event::Data;

/// The JSON of an event.
pub fn event_body(event: &Event) -> Vec<u8> {
    let data = match data_to_pb(event) {
        Data::Change(change) => json("taskwire.v1.TaskChange", &change),
        Data::Account(user) => json("taskwire.v1.User", &user),
        Data::Reminder(reminder) => json("taskwire.v1.DueReminder", &reminder),
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

/// A message as the gateway answers it: fields without presence also where they hold their default.
fn json(name: &str, message: &impl Message) -> Value {
    static CONTRACT: OnceLock<Option<DescriptorPool>> = OnceLock::new();
    let contract = CONTRACT.get_or_init(|| DescriptorPool::decode(pb::DESCRIPTOR_SET).ok());
    let written = contract.as_ref().and_then(|contract| {
        let descriptor = contract.get_message_by_name(name)?;
        let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).ok()?;
        let options = SerializeOptions::new().skip_default_fields(false);
        dynamic.serialize_with_options(serde_json::value::Serializer, &options).ok()
    });
    // Its own messages the service can always write.
    written.unwrap_or_default()
}
