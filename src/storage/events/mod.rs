//! What leaves the house. In the order that things go through it: who listens (`listeners`), what is written in the transaction of
//! what it tells (`outbox`), the same in one order for all (`journal`), and what each webhook has still to be told (`queues`).

pub(super) mod journal;
pub(super) mod listeners;
pub(in crate::storage) mod outbox;
pub(super) mod queues;
pub(super) mod reminders;
pub(super) mod webhooks;

use diesel::Queryable;

use super::engine::types::{Id, Moment};
use crate::domain::{Error, EventKind, QueuedEvent, Result};

/// An event as it is stored: number, user, first and last revision, kind, id, payload, time.
#[derive(Debug, Queryable)]
struct EventRow {
    number: i64,
    user_id: Id,
    revision: i64,
    last_revision: i64,
    kind: i16,
    id: Id,
    payload: Option<String>,
    create_time: Moment,
}

impl TryFrom<EventRow> for QueuedEvent {
    type Error = Error;

    fn try_from(row: EventRow) -> Result<Self> {
        Ok(Self {
            number: row.number,
            user: row.user_id.into(),
            revision: row.revision,
            last_revision: row.last_revision,
            kind: EventKind::from_code(row.kind)
                .ok_or_else(|| Error::Internal("a stored event has an unknown kind".into()))?,
            id: row.id.0,
            payload: row.payload,
            create_time: row.create_time.try_into()?,
        })
    }
}
