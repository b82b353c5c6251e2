//! Idempotency keys, which callers give as `request_id` (AIP-155): how a call is recognised when it comes again.

use aws_lc_rs::digest::{Context, SHA256};
use prost::Message;
use uuid::Uuid;

use crate::domain::{Error, Result, Rule, TaskId};
use crate::pb;

/// Reads a `request_id`; empty stands for none.
pub(super) fn parse(text: &str) -> Result<Option<Uuid>, Rule> {
    // The spelling is that of any id.
    if text.is_empty() { Ok(None) } else { TaskId::parse(text).map(|id| Some(id.uuid())) }
}

/// A remembered answer.
pub(super) fn decode_answer<M: Message + Default>(bytes: &[u8]) -> Result<M> {
    M::decode(bytes).map_err(|error| Error::Internal(format!("a remembered answer cannot be read: {error}")))
}

/// What a call is recognised by.
#[derive(Debug, Clone)]
pub(super) struct IdempotencyKey {
    pub(super) id: Uuid,
    /// SHA-256 of method and message, without the id.
    pub(super) fingerprint: Vec<u8>,
}

impl IdempotencyKey {
    /// The key of a registration. Its password does not go into the fingerprint, which is not slow enough to keep one.
    pub(super) fn of_registration(request: &pb::CreateUserRequest) -> Option<Self> {
        let mut open = pb::CreateUserRequest { password: String::new(), ..request.clone() };
        Self::of("CreateUser", &mut open, |request| &mut request.request_id)
    }

    /// The key of a call; `None` when it has no `request_id`. One that is malformed is refused elsewhere. The id is no part
    /// of what is compared: it may be spelled in another way.
    pub(super) fn of<M: Message>(
        method: &'static str,
        message: &mut M,
        request_id: impl Fn(&mut M) -> &mut String,
    ) -> Option<Self> {
        let given = std::mem::take(request_id(message));
        let id = parse(&given).ok().flatten();
        let fingerprint = id.map(|_| {
            let mut context = Context::new(&SHA256);
            context.update(method.as_bytes());
            context.update(&[0]);
            context.update(&message.encode_to_vec());
            context.finish().as_ref().to_vec()
        });
        *request_id(message) = given;
        Some(Self { id: id?, fingerprint: fingerprint? })
    }
}
