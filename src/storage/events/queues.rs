//! What each webhook has still to be told of each user. A queue is a row: from which event on, up to which, and when it is tried
//! next. The events themselves stand in the journal, so that a queue costs the same however long it is.

use std::time::Duration;

use diesel::{
    BoolExpressionMethods as _, ExpressionMethods as _, QueryDsl as _, Queryable, Selectable,
    SelectableHelper as _,
};
use diesel_async::RunQueryDsl as _;

use crate::domain::{
    Delivery, Error, Replay, Result, Timestamp, UserId, WebhookId, WebhookOwner, WebhookQueue,
};
use crate::storage::engine::pool::{Pool, with_conn, with_write};
use crate::storage::engine::types::{Id, Moment};
use crate::storage::schema::{event_head, users, webhook_queues};

#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = webhook_queues)]
#[diesel(check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
struct QueueRow {
    user_id: Id,
    webhook_id: Id,
    owner_id: Id,
    next_number: i64,
    last_number: i64,
    next_revision: i64,
    replay_revision: Option<i64>,
    replay_until: Option<i64>,
    attempts: i16,
    next_attempt_time: Option<Moment>,
}

impl TryFrom<QueueRow> for WebhookQueue {
    type Error = Error;

    fn try_from(row: QueueRow) -> Result<Self> {
        let replay = row.replay_revision.zip(row.replay_until);
        Ok(Self {
            user: row.user_id.into(),
            webhook: row.webhook_id.into(),
            owner: WebhookOwner::from_key(row.owner_id.into()),
            next_number: row.next_number,
            last_number: row.last_number,
            next_revision: row.next_revision,
            replay: replay.map(|(revision, until)| Replay { revision, until }),
            attempts: row.attempts.try_into().unwrap_or(0),
            next_attempt_time: row.next_attempt_time.map(TryInto::try_into).transpose()?,
        })
    }
}

/// How much webhooks have still to be told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// Queues that are tried.
    pub waiting: i64,
    /// Queues that failed at least once.
    pub failing: i64,
    /// Queues that were given up.
    pub dead: i64,
}

/// Writes down how far a replay has come that was under way, unless somebody asked for another one meanwhile.
macro_rules! note_replay {
    ($conn:ident, $key:expr, $began:expr, $reached:expr) => {
        if let Some(began) = $began {
            let reached: Option<Replay> = $reached;
            let same = webhook_queues::table
                .find($key)
                .filter(webhook_queues::replay_revision.eq(Some(began.revision)))
                .filter(webhook_queues::replay_until.eq(Some(began.until)));
            diesel::update(same)
                .set((
                    webhook_queues::replay_revision.eq(reached.map(|replay| replay.revision)),
                    webhook_queues::replay_until.eq(reached.map(|replay| replay.until)),
                ))
                .execute($conn)
                .await?;
        }
    };
}

/// The queues.
#[derive(Debug)]
pub struct WebhookQueues<'a> {
    pool: &'a Pool,
}

impl<'a> WebhookQueues<'a> {
    pub(in crate::storage) const fn new(pool: &'a Pool) -> Self {
        Self { pool }
    }

    /// At most `limit` queues whose time has come, those first that wait longest. A time beyond `longest` was set by a clock that
    /// was wrong, and counts for nothing.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn due(&self, now: Timestamp, longest: Duration, limit: i64) -> Result<Vec<WebhookQueue>> {
        let (now, beyond) = (Moment::from(now), Moment::from(now.after(longest)));
        let rows: Vec<QueueRow> = with_conn!(self.pool, |conn| {
            let is_due = webhook_queues::next_attempt_time.le(now);
            webhook_queues::table
                .filter(webhook_queues::next_attempt_time.is_not_null())
                .filter(is_due.or(webhook_queues::next_attempt_time.gt(beyond)))
                .order(webhook_queues::next_attempt_time.asc())
                .limit(limit)
                .select(QueueRow::as_select())
                .load(conn)
                .await
        })?;
        rows.into_iter().map(WebhookQueue::try_from).collect()
    }

    /// At most `limit` queues of one webhook that are not empty, of users after this one.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn of_webhook(
        &self,
        webhook: WebhookId,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<WebhookQueue>> {
        let after = after.map_or(Id(uuid::Uuid::nil()), Id::from);
        let rows: Vec<QueueRow> = with_conn!(self.pool, |conn| {
            webhook_queues::table
                .filter(webhook_queues::webhook_id.eq(Id::from(webhook)))
                .filter(webhook_queues::user_id.gt(after))
                .order(webhook_queues::user_id.asc())
                .limit(i64::try_from(limit).unwrap_or(i64::MAX))
                .select(QueueRow::as_select())
                .load(conn)
                .await
        })?;
        rows.into_iter().map(WebhookQueue::try_from).collect()
    }

    /// Removes a queue whose last event has been told, unless it got longer meanwhile; then it goes on from there at once.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn told(&self, queue: &WebhookQueue, now: Timestamp) -> Result<()> {
        let key = (Id::from(queue.user), Id::from(queue.webhook));
        let (told, replayed) = (queue.last_number, queue.replay);
        with_write!(self.pool, async move |conn| {
            note_replay!(conn, key, replayed, None);
            // Where somebody makes it longer at this moment, this waits, and sees it as it is then.
            let whole = webhook_queues::table
                .find(key)
                .filter(webhook_queues::last_number.le(told))
                .filter(webhook_queues::replay_revision.is_null());
            if diesel::delete(whole).execute(conn).await? == 0 {
                diesel::update(webhook_queues::table.find(key).filter(webhook_queues::next_number.le(told)))
                    .set((
                        webhook_queues::next_number.eq(told + 1),
                        webhook_queues::next_revision.eq(0),
                        webhook_queues::attempts.eq(0),
                        webhook_queues::next_attempt_time.eq(Some(Moment::from(now))),
                    ))
                    .execute(conn)
                    .await?;
            }
            Ok::<(), Error>(())
        })
    }

    /// Writes down how far a queue has come, and when it is tried again; never, where it is given up.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn postpone(
        &self,
        queue: &WebhookQueue,
        reached: Delivery,
        attempts: u16,
        next_attempt_time: Option<Timestamp>,
    ) -> Result<()> {
        let key = (Id::from(queue.user), Id::from(queue.webhook));
        let began = queue.replay;
        with_write!(self.pool, async move |conn| {
            diesel::update(webhook_queues::table.find(key))
                .set((
                    webhook_queues::next_number.eq(reached.next_number),
                    webhook_queues::next_revision.eq(reached.next_revision),
                    webhook_queues::attempts.eq(i16::try_from(attempts).unwrap_or(i16::MAX)),
                    webhook_queues::next_attempt_time.eq(next_attempt_time.map(Moment::from)),
                ))
                .execute(conn)
                .await?;
            note_replay!(conn, key, began, reached.replay);
            Ok::<(), Error>(())
        })
    }

    /// Removes all queues of a webhook.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn drop_all(&self, webhook: WebhookId) -> Result<()> {
        with_write!(self.pool, async move |conn| {
            diesel::delete(webhook_queues::table.filter(webhook_queues::webhook_id.eq(Id::from(webhook))))
                .execute(conn)
                .await?;
            Ok::<(), Error>(())
        })
    }

    /// Has a webhook told the changes of a user after `start_revision` once more, before whatever it has still to be told.
    ///
    /// # Errors
    /// `RevisionCompacted`, `RevisionInFuture`, `SessionRevoked` when the user is gone, or those of the storage.
    pub async fn replay(
        &self,
        (owner, webhook): (WebhookOwner, WebhookId),
        user: UserId,
        start_revision: i64,
        now: Timestamp,
    ) -> Result<i64> {
        let key = (Id::from(user), Id::from(webhook));
        with_write!(self.pool, async move |conn| {
            let held: Vec<(i64, i64)> = users::table
                .find(key.0)
                .select((users::revision, users::compacted_revision))
                .load(conn)
                .await?;
            let (current, earliest) = held.into_iter().next().ok_or(Error::SessionRevoked)?;
            if start_revision < earliest {
                return Err(Error::RevisionCompacted { earliest });
            }
            if start_revision > current {
                return Err(Error::RevisionInFuture { current });
            }
            let last: i64 = event_head::table.find(1).select(event_head::last_number).first(conn).await?;
            let at_once = webhook_queues::next_attempt_time.eq(Some(Moment::from(now)));
            let replay = (
                webhook_queues::replay_revision.eq(Some(start_revision)),
                webhook_queues::replay_until.eq(Some(current)),
            );
            let longer =
                diesel::update(webhook_queues::table.find(key)).set((replay, at_once)).execute(conn).await?;
            if longer == 0 {
                diesel::insert_into(webhook_queues::table)
                    .values((
                        webhook_queues::user_id.eq(key.0),
                        webhook_queues::webhook_id.eq(key.1),
                        webhook_queues::owner_id.eq(Id::from(owner.key())),
                        // Nothing but what is told once more.
                        webhook_queues::next_number.eq(last + 1),
                        webhook_queues::last_number.eq(last),
                        webhook_queues::next_revision.eq(0),
                        webhook_queues::attempts.eq(0),
                        replay,
                        at_once,
                    ))
                    .execute(conn)
                    .await?;
            }
            Ok(current - start_revision)
        })
    }

    /// How many there are.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn counts(&self) -> Result<QueueCounts> {
        with_conn!(self.pool, |conn| {
            let all = || webhook_queues::table;
            let waiting = all()
                .filter(webhook_queues::next_attempt_time.is_not_null())
                .count()
                .get_result(conn)
                .await?;
            let failing = all()
                .filter(webhook_queues::next_attempt_time.is_not_null())
                .filter(webhook_queues::attempts.gt(0))
                .count()
                .get_result(conn)
                .await?;
            let dead =
                all().filter(webhook_queues::next_attempt_time.is_null()).count().get_result(conn).await?;
            Ok(QueueCounts { waiting, failing, dead })
        })
    }
}
