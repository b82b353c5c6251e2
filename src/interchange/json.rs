//! Messages of the contract in the JSON of protocol buffers.

use prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions,
};

use crate::pb;

/// What a task and a list consist of.
#[derive(Debug, Clone)]
pub(super) struct Contract {
    task: Option<MessageDescriptor>,
    list: Option<MessageDescriptor>,
}

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Task,
    List,
}

impl Contract {
    pub(super) fn new() -> Self {
        let pool = DescriptorPool::decode(pb::DESCRIPTOR_SET).ok();
        let message = |name| pool.as_ref()?.get_message_by_name(name);
        Self { task: message("taskwire.v1.Task"), list: message("taskwire.v1.TaskList") }
    }

    fn of(&self, kind: Kind) -> Option<MessageDescriptor> {
        match kind {
            Kind::Task => self.task.clone(),
            Kind::List => self.list.clone(),
        }
    }

    /// Reads a message. Fields that it does not have are refused.
    ///
    /// # Errors
    /// What is wrong with it, as the parser says.
    pub(super) fn read<M: Message + Default>(&self, kind: Kind, text: &str) -> Result<M, String> {
        let descriptor = self.of(kind).ok_or("is not known here")?;
        let mut json = serde_json::Deserializer::from_str(text);
        let options = DeserializeOptions::new();
        let message = DynamicMessage::deserialize_with_options(descriptor, &mut json, &options);
        let message = message.map_err(|error| error.to_string())?;
        json.end().map_err(|error| error.to_string())?;
        M::decode(message.encode_to_vec().as_slice()).map_err(|error| error.to_string())
    }

    /// Spells a message, on one line.
    pub(super) fn write<M: Message>(&self, kind: Kind, message: &M) -> String {
        let write = || {
            let dynamic = DynamicMessage::decode(self.of(kind)?, message.encode_to_vec().as_slice()).ok()?;
            let mut written = Vec::new();
            let mut json = serde_json::Serializer::new(&mut written);
            dynamic.serialize_with_options(&mut json, &SerializeOptions::new()).ok()?;
            String::from_utf8(written).ok()
        };
        // The contract knows its own messages.
        write().unwrap_or_default()
    }
}
