//! The journal: what was in the outbox, in one order for all users. Numbers are given after the commit, by one at a time, so that a
//! reader who has come to a number has seen all below it; those of one user stand in the order of the user's revisions.

use std::collections::{BTreeMap, BTreeSet};

use diesel::{ExpressionMethods as _, QueryDsl as _};
use diesel_async::RunQueryDsl as _;

use super::EventRow;
use super::outbox::{Ears, OutboxRow, somebody_hears_all};
use crate::domain::{HistoryId, QueuedEvent, Result, Timestamp, UserId};
use crate::storage::engine::history;
use crate::storage::engine::pool::{Pool, with_conn, with_write};
use crate::storage::engine::set::Piece::{Insert, Sql};
use crate::storage::engine::set::{Column, Rows, SetStatement};
use crate::storage::engine::types::{Id, Moment};
use crate::storage::schema::{event_head, events, outbox, webhooks};

/// Rows of the outbox that are put in order at once.
const AT_ONCE: i64 = 1000;

/// The columns of an `EventRow`.
const COLUMNS: (
    events::number,
    events::user_id,
    events::revision,
    events::last_revision,
    events::kind,
    events::id,
    events::payload,
    events::create_time,
) = (
    events::number,
    events::user_id,
    events::revision,
    events::last_revision,
    events::kind,
    events::id,
    events::payload,
    events::create_time,
);

/// Where the journal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalHead {
    /// The last number that was given.
    pub last: i64,
    /// The last number whose event is no longer kept.
    pub swept: i64,
    /// The history that they belong to.
    pub history: HistoryId,
}

/// What was put in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequenced {
    /// How many rows of the outbox.
    pub count: usize,
    /// The last number that was given.
    pub last: i64,
    /// After whom to go on; the smallest id, to begin again.
    pub after: UserId,
}

/// The events of all users.
#[derive(Debug)]
pub struct Journal<'a> {
    pool: &'a Pool,
    ears: &'a Ears,
}

impl<'a> Journal<'a> {
    pub(in crate::storage) const fn new(pool: &'a Pool, ears: &'a Ears) -> Self {
        Self { pool, ears }
    }

    /// Waits for something in the outbox that was put there by this process.
    pub async fn filled(&self) {
        self.ears.filled().await;
    }

    /// Where it stands.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn head(&self) -> Result<JournalHead> {
        let (last, swept, present): (i64, i64, Option<Id>) = with_conn!(self.pool, |conn| {
            event_head::table
                .find(1)
                .select((event_head::last_number, event_head::swept_number, history::present()))
                .first(conn)
                .await
        })?;
        Ok(JournalHead { last, swept, history: history::read(present)? })
    }

    /// At most `limit` events after this number, in order.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn after(&self, number: i64, limit: i64) -> Result<Vec<QueuedEvent>> {
        let rows: Vec<EventRow> = with_conn!(self.pool, |conn| {
            events::table
                .filter(events::number.gt(number))
                .order(events::number.asc())
                .limit(limit)
                .select(COLUMNS)
                .load(conn)
                .await
        })?;
        rows.into_iter().map(QueuedEvent::try_from).collect()
    }

    /// At most `limit` events of one user from this number on and up to another, in order.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn of_user(&self, user: UserId, from: i64, until: i64, limit: i64) -> Result<Vec<QueuedEvent>> {
        let rows: Vec<EventRow> = with_conn!(self.pool, |conn| {
            events::table
                .filter(events::user_id.eq(Id::from(user)))
                .filter(events::number.ge(from))
                .filter(events::number.le(until))
                .order(events::number.asc())
                .limit(limit)
                .select(COLUMNS)
                .load(conn)
                .await
        })?;
        rows.into_iter().map(QueuedEvent::try_from).collect()
    }

    /// Puts all that is in the outbox in order.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn sequence_all(&self, now: Timestamp) -> Result<()> {
        let mut after = SMALLEST;
        loop {
            let sequenced = self.sequence(after, now).await?;
            after = sequenced.after;
            if after == SMALLEST {
                return Ok(());
            }
        }
    }

    /// Puts some of what is in the outbox in order, of the users after this one: gives it numbers, and each webhook that listens a
    /// note of it. What nobody listens to is dropped. Only one at a time gets to do this.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn sequence(&self, after: UserId, now: Timestamp) -> Result<Sequenced> {
        let place = self.pool.place();
        // A look without a lock: there is mostly nothing.
        let some: i64 = with_conn!(self.pool, |conn| {
            outbox::table
                .filter(outbox::user_id.gt(Id::from(after)))
                .select(outbox::revision)
                .limit(1)
                .load::<i64>(conn)
                .await
                .map(|rows| rows.len() as i64)
        })?;
        if some == 0 {
            return Ok(Sequenced { count: 0, last: 0, after: SMALLEST });
        }
        with_write!(self.pool, async move |conn| {
            // Whoever comes second waits here, and then finds what the first one left.
            let mut last: i64 = diesel::update(event_head::table.find(1))
                .set(event_head::last_number.eq(event_head::last_number + 0))
                .returning(event_head::last_number)
                .get_result(conn)
                .await?;
            let rows: Vec<OutboxRow> = outbox::table
                .filter(outbox::user_id.gt(Id::from(after)))
                // What is told of an account at a revision comes after that revision.
                .order((outbox::user_id, outbox::revision, outbox::kind, outbox::id))
                .limit(AT_ONCE)
                .load(conn)
                .await?;
            // The last user's rows may go on: they are taken up where this ends, and stand in order all the same.
            let next = match rows.last() {
                Some(row) if rows.len() as i64 == AT_ONCE => user_before(row.0),
                _ => SMALLEST,
            };
            let users: BTreeSet<Id> = rows.iter().map(|row| row.0).chain([Id::from(SMALLEST)]).collect();
            let hooks: Vec<(Id, Id)> = webhooks::table
                .filter(webhooks::user_id.eq_any(users))
                .filter(webhooks::disable_reason.is_null())
                .select((webhooks::user_id, webhooks::id))
                .load(conn)
                .await?;
            let told = Told::number(&rows, &hooks, somebody_hears_all!(conn), &mut last);
            if !told.events.is_empty() {
                insert_events(&told.events).at(place).execute(conn).await?;
                diesel::update(event_head::table.find(1))
                    .set(event_head::last_number.eq(last))
                    .execute(conn)
                    .await?;
            }
            if !told.queues.is_empty() {
                fill_queues(&told.queues, now).at(place).execute(conn).await?;
            }
            if !rows.is_empty() {
                let (users, ids): (Vec<Id>, Vec<Id>) = rows.iter().map(|row| (row.0, row.2)).unzip();
                let done = outbox::table.filter(outbox::user_id.eq_any(users)).filter(outbox::id.eq_any(ids));
                diesel::delete(done).execute(conn).await?;
            }
            Ok::<_, Error>(Sequenced { count: rows.len(), last, after: next })
        })
    }

    /// Drops events from before `cutoff`, the oldest `events_max` of them; answers how many.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn sweep(&self, cutoff: Timestamp, events_max: i64) -> Result<usize> {
        // In the order of the numbers, so that what is kept has no gap.
        let old: Vec<(i64, Moment)> = with_conn!(self.pool, |conn| {
            events::table
                .order(events::number.asc())
                .limit(events_max)
                .select((events::number, events::create_time))
                .load(conn)
                .await
        })?;
        let cutoff = Moment::from(cutoff);
        let Some((last, _)) = old.iter().take_while(|(_, time)| time.0 < cutoff.0).last().copied() else {
            return Ok(0);
        };
        with_write!(self.pool, async move |conn| {
            diesel::update(event_head::table.find(1).filter(event_head::swept_number.lt(last)))
                .set(event_head::swept_number.eq(last))
                .execute(conn)
                .await?;
            let old = events::table.filter(events::number.le(last));
            Ok::<usize, Error>(diesel::delete(old).execute(conn).await?)
        })
    }
}

/// Before every user.
const SMALLEST: UserId = UserId::from_bytes([0; 16]);

/// The greatest id before this one: who goes on after it comes to this user again.
fn user_before(user: Id) -> UserId {
    UserId::from(uuid::Uuid::from_u128(user.0.as_u128().saturating_sub(1)))
}

/// What becomes of some rows of the outbox.
struct Told {
    /// Number and row.
    events: Vec<(i64, OutboxRow)>,
    /// User, webhook, its owner, the first and the last number.
    queues: Vec<(Id, Id, Id, i64, i64)>,
}

impl Told {
    fn number(rows: &[OutboxRow], hooks: &[(Id, Id)], to_everyone: bool, last: &mut i64) -> Self {
        let nobody = Id::from(SMALLEST);
        let mut events = Vec::new();
        let mut queues: BTreeMap<(Id, Id, Id), (i64, i64)> = BTreeMap::new();
        for row in rows {
            let user = row.0;
            let listening: Vec<&(Id, Id)> =
                hooks.iter().filter(|(owner, _)| *owner == user || *owner == nobody).collect();
            if !to_everyone && listening.is_empty() {
                continue;
            }
            *last += 1;
            for (owner, hook) in listening {
                queues.entry((user, *hook, *owner)).or_insert((*last, *last)).1 = *last;
            }
            events.push((*last, row.clone()));
        }
        let queues =
            queues.into_iter().map(|((user, hook, owner), (first, last))| (user, hook, owner, first, last));
        Self { queues: queues.collect(), events }
    }
}

fn insert_events(told: &[(i64, OutboxRow)]) -> SetStatement<'static> {
    let texts = told.iter().map(|(_, row)| row.5.clone().map(Into::into)).collect();
    SetStatement::new(
        &[Insert("events")],
        Rows::new(vec![
            ("user_id", Column::Ids(told.iter().map(|(_, row)| row.0).collect())),
            ("number", Column::Bigs(told.iter().map(|(number, _)| *number).collect())),
            ("revision", Column::Bigs(told.iter().map(|(_, row)| row.1).collect())),
            ("id", Column::Ids(told.iter().map(|(_, row)| row.2).collect())),
            ("last_revision", Column::Bigs(told.iter().map(|(_, row)| row.3).collect())),
            ("kind", Column::Smalls(told.iter().map(|(_, row)| row.4).collect())),
            ("payload", Column::MaybeTexts(texts)),
            ("create_time", Column::Times(told.iter().map(|(_, row)| row.6).collect())),
        ]),
    )
}

/// Notes for webhooks what they have still to be told. A queue that is there gets longer; it waits as it did. Whoever empties it
/// at the same time waits for this, and sees then that it is not empty.
fn fill_queues(queues: &[(Id, Id, Id, i64, i64)], now: Timestamp) -> SetStatement<'static> {
    SetStatement::new(
        &[
            Insert("webhook_queues"),
            // Without a condition SQLite would take what follows for one of a join.
            Sql(
                " where true on conflict (user_id, webhook_id) do update set last_number = excluded.last_number",
            ),
        ],
        Rows::new(vec![
            ("user_id", Column::Ids(queues.iter().map(|queue| queue.0).collect())),
            ("webhook_id", Column::Ids(queues.iter().map(|queue| queue.1).collect())),
            ("owner_id", Column::Ids(queues.iter().map(|queue| queue.2).collect())),
            ("next_number", Column::Bigs(queues.iter().map(|queue| queue.3).collect())),
            ("last_number", Column::Bigs(queues.iter().map(|queue| queue.4).collect())),
            ("next_revision", Column::Bigs(vec![0; queues.len()])),
            ("attempts", Column::Smalls(vec![0; queues.len()])),
            ("next_attempt_time", Column::Times(vec![Moment::from(now); queues.len()])),
        ]),
    )
}
