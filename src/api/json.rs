//! Messages in the JSON of protocol buffers, as the gateway answers them: fields without presence also where they hold their
//! default.

use std::sync::OnceLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde::Serializer;

use crate::domain::{Error, Result};
use crate::pb;

/// Writes a message of `taskwire.v1` that has this name.
///
/// # Errors
/// `Internal`, for a message that the contract does not have, or another one.
pub(super) fn write<S: Serializer>(name: &str, message: &impl Message, serializer: S) -> Result<S::Ok> {
    static CONTRACT: OnceLock<Option<DescriptorPool>> = OnceLock::new();
    let unknown = || Error::Internal(format!("the contract has no message {name}"));
    let contract = CONTRACT.get_or_init(|| DescriptorPool::decode(pb::DESCRIPTOR_SET).ok());
    let contract = contract.as_ref().ok_or_else(unknown)?;
    let descriptor = contract.get_message_by_name(&format!("taskwire.v1.{name}")).ok_or_else(unknown)?;
    let unwritable = |cause: String| Error::Internal(format!("{name} cannot be written: {cause}"));
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())
        .map_err(|cause| unwritable(cause.to_string()))?;
    let options = SerializeOptions::new().skip_default_fields(false);
    dynamic.serialize_with_options(serializer, &options).map_err(|cause| unwritable(cause.to_string()))
}
