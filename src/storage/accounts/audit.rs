//! The audit trail: written in the transaction of what it tells of, read page by page, swept when it is old.

use diesel::{
    ExpressionMethods as _, Insertable, QueryDsl as _, Queryable, Selectable, SelectableHelper as _,
};
use diesel_async::RunQueryDsl as _;

use super::sweep::sweep;
use crate::domain::{
    AuditEvent, AuditEventId, AuditEventType, AuditTarget, Draft, Error, PageSize, Result, Timestamp, Trace,
    UserId,
};
use crate::storage::engine::pool::{Pool, with_conn, with_write};
use crate::storage::engine::types::{Id, Moment};
use crate::storage::schema::audit_events;

/// Records an event, if there is one to record: `record!(conn, draft, user, target, now)` inside `with_write!`.
macro_rules! record {
    ($conn:ident, $draft:expr, $user:expr, $target:expr, $now:expr) => {
        if let Some(draft) = &$draft {
            let row = $crate::storage::accounts::audit::row(draft, $user, $target, $now);
            diesel::insert_into($crate::storage::schema::audit_events::table)
                .values(row)
                .execute($conn)
                .await?;
        }
    };
}
pub(in crate::storage) use record;

/// An event as it is stored.
#[derive(Debug, Insertable, Queryable, Selectable)]
#[diesel(table_name = audit_events)]
#[diesel(check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
#[diesel(treat_none_as_default_value = false)]
pub(in crate::storage) struct EventRow {
    user_id: Id,
    id: Id,
    kind: i16,
    actor_id: Option<Id>,
    session_id: Option<Id>,
    api_key_id: Option<Id>,
    peer: String,
    request_id: String,
    create_time: Moment,
}

pub(in crate::storage) fn row(
    draft: &crate::domain::Draft,
    user: UserId,
    target: Option<AuditTarget>,
    now: Timestamp,
) -> EventRow {
    let (session_id, api_key_id) = match target {
        Some(AuditTarget::Session(id)) => (Some(id.into()), None),
        Some(AuditTarget::ApiKey(id)) => (None, Some(id.into())),
        None => (None, None),
    };
    EventRow {
        user_id: user.into(),
        id: AuditEventId::generate_at(now).into(),
        kind: draft.kind.code(),
        actor_id: draft.trace.actor.map(Id::from),
        session_id,
        api_key_id,
        peer: draft.trace.peer.clone(),
        request_id: draft.trace.request_id.clone(),
        create_time: now.into(),
    }
}

/// The recorded events.
#[derive(Debug)]
pub struct AuditEvents<'a> {
    pool: &'a Pool,
}

impl<'a> AuditEvents<'a> {
    pub(in crate::storage) const fn new(pool: &'a Pool) -> Self {
        Self { pool }
    }

    /// Records an event that stands for itself.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn record(&self, user: UserId, draft: Draft, now: Timestamp) -> Result<()> {
        with_write!(self.pool, async move |conn| {
            record!(conn, Some(draft), user, None, now);
            Ok::<(), Error>(())
        })
    }

    /// The events of one account, newest first, from after `after` on; and whether there are more.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn list(
        &self,
        user: UserId,
        after: Option<AuditEventId>,
        page_size: PageSize,
    ) -> Result<(Vec<AuditEvent>, bool)> {
        let wanted = page_size.get();
        let limit = i64::try_from(wanted + 1).unwrap_or(i64::MAX);
        // The largest id there can be stands for the beginning, so that there is one statement.
        let before = after.map_or(Id(uuid::Uuid::max()), Id::from);
        let rows: Vec<EventRow> = with_conn!(self.pool, |conn| {
            audit_events::table
                .filter(audit_events::user_id.eq(Id::from(user)))
                .filter(audit_events::id.lt(before))
                .order(audit_events::id.desc())
                .limit(limit)
                .select(EventRow::as_select())
                .load(conn)
                .await
        })?;
        let more = rows.len() > wanted;
        let events: Result<Vec<AuditEvent>> =
            rows.into_iter().take(wanted).map(AuditEvent::try_from).collect();
        Ok((events?, more))
    }

    /// Removes events from before `cutoff`, a bounded number at a time; answers how many. Several replicas may do
    /// this at once.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn sweep(&self, cutoff: Timestamp) -> Result<usize> {
        let key = (audit_events::user_id, audit_events::id);
        sweep!(self.pool, audit_events, create_time < cutoff, key, (Id, Id))
    }
}

impl TryFrom<EventRow> for AuditEvent {
    type Error = Error;

    fn try_from(row: EventRow) -> Result<Self> {
        let session = row.session_id.map(|id| AuditTarget::Session(id.into()));
        let api_key = row.api_key_id.map(|id| AuditTarget::ApiKey(id.into()));
        Ok(Self {
            id: row.id.into(),
            user: row.user_id.into(),
            kind: AuditEventType::from_code(row.kind)
                .ok_or_else(|| Error::Internal("a stored event has an unknown type".into()))?,
            target: session.or(api_key),
            trace: Trace {
                actor: row.actor_id.map(UserId::from),
                peer: row.peer,
                request_id: row.request_id,
            },
            create_time: row.create_time.try_into()?,
        })
    }
}
