//! A place in a list of tasks, as its page token carries it: the id (16 bytes), one value per key of the order, and where the
//! first page was answered with one, the user's revision (8 bytes).

use crate::api::page_token::List;
use crate::auth::Principal;
use crate::domain::{Cursor, Owner, Priority, SortValue, TaskId, TaskOrder, Timestamp};
use crate::pb::ListTasksRequest;

/// The list that a request asks for.
pub(super) fn list_of(caller: &Principal, owner: Owner, request: &ListTasksRequest) -> List {
    let rule = "must come from a list with the same caller, parent, filter, order_by and show_deleted";
    List::of(caller, rule)
        .with_bytes(owner.user().as_bytes())
        .with_bytes(&[u8::from(request.show_deleted)])
        .with_text(&request.filter)
        .with_text(&request.order_by)
}

/// Where a list goes on.
#[derive(Debug)]
pub(super) struct Place {
    /// After this task.
    pub(super) cursor: Cursor,
    /// The revision of the user of which the page has to be at least; without one, the primary has to answer.
    pub(super) revision: Option<i64>,
}

/// The bytes of a place.
pub(super) fn encode(cursor: &Cursor, revision: Option<i64>) -> Vec<u8> {
    let mut bytes = cursor.id.as_bytes().to_vec();
    for value in &cursor.values {
        encode_value(&mut bytes, value);
    }
    if let Some(revision) = revision {
        bytes.extend_from_slice(&revision.to_be_bytes());
    }
    bytes
}

fn encode_value(bytes: &mut Vec<u8>, value: &SortValue) {
    match value {
        SortValue::Time(None) => bytes.push(0),
        SortValue::Time(Some(time)) => {
            bytes.push(1);
            bytes.extend_from_slice(&time.as_micros().to_be_bytes());
        }
        SortValue::Priority(priority) => {
            bytes.push(2);
            bytes.extend_from_slice(&priority.code().to_be_bytes());
        }
        SortValue::Text(text) => {
            bytes.push(3);
            bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
    }
}

/// Reads such a place; `None` when it is none of this order.
pub(super) fn decode(bytes: &[u8], order: &TaskOrder) -> Option<Place> {
    let (id, mut rest) = bytes.split_first_chunk::<16>()?;
    let mut values = Vec::with_capacity(order.keys().len());
    for _ in order.keys() {
        let (value, after) = decode_value(rest)?;
        values.push(value);
        rest = after;
    }
    let revision = match rest {
        [] => None,
        rest => Some(i64::from_be_bytes(rest.try_into().ok()?)),
    };
    Some(Place { cursor: Cursor { values, id: TaskId::from_bytes(*id) }, revision })
}

fn decode_value(bytes: &[u8]) -> Option<(SortValue, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    match kind {
        0 => Some((SortValue::Time(None), rest)),
        1 => {
            let (micros, rest) = rest.split_first_chunk::<8>()?;
            Some((SortValue::Time(Some(Timestamp::from_micros(i64::from_be_bytes(*micros))?)), rest))
        }
        2 => {
            let (code, rest) = rest.split_first_chunk::<2>()?;
            Some((SortValue::Priority(Priority::from_code(i16::from_be_bytes(*code))?), rest))
        }
        3 => {
            let (length, rest) = rest.split_first_chunk::<8>()?;
            let (text, rest) = rest.split_at_checked(usize::try_from(u64::from_be_bytes(*length)).ok()?)?;
            Some((SortValue::Text(std::str::from_utf8(text).ok()?.to_owned()), rest))
        }
        _ => None,
    }
}
