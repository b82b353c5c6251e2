//! Who listens: to all users, or to some. Where nobody does, nothing is written for them and nothing runs.

use diesel::{ExpressionMethods as _, QueryDsl as _};
use diesel_async::RunQueryDsl as _;

use super::journal::Journal;
use super::outbox::{Ears, somebody_hears_all};
use crate::domain::{Result, Timestamp};
use crate::storage::engine::pool::{Pool, with_conn, with_write};
use crate::storage::engine::types::{Id, Moment};
use crate::storage::schema::{event_head, event_listeners, webhooks};

/// Somebody who listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// Webhooks of users.
    Webhooks,
    /// Webhooks of administrators.
    AdministratorsWebhooks,
    /// Readers of the stream of all events. They come and go; what they are to be told is kept for a while after the last one.
    Streams,
}

impl Listener {
    const fn name(self) -> &'static str {
        match self {
            Self::Webhooks => "webhooks",
            Self::AdministratorsWebhooks => "webhooks of administrators",
            Self::Streams => "streams",
        }
    }

    const fn is_of_everyone(self) -> bool {
        !matches!(self, Self::Webhooks)
    }
}

/// Lets one at a time say who listens.
macro_rules! hold {
    ($conn:ident) => {
        diesel::update(event_head::table.find(1))
            .set(event_head::last_number.eq(event_head::last_number + 0))
            .execute($conn)
            .await?
    };
}

/// Those who listen.
#[derive(Debug)]
pub struct Listeners<'a> {
    pool: &'a Pool,
    ears: &'a Ears,
}

impl<'a> Listeners<'a> {
    pub(in crate::storage) const fn new(pool: &'a Pool, ears: &'a Ears) -> Self {
        Self { pool, ears }
    }

    /// Whether somebody listens, to all users or to some.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn anyone(&self) -> Result<bool> {
        let listeners: i64 =
            with_conn!(self.pool, |conn| { event_listeners::table.count().get_result(conn).await })?;
        Ok(listeners > 0)
    }

    /// Begins to listen, or goes on. Once this is answered, every change that is made is told; what was under way has been put
    /// in order before.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn add(&self, listener: Listener, now: Timestamp) -> Result<()> {
        let (name, everyone) = (listener.name(), listener.is_of_everyone());
        let began = with_write!(self.pool, async move |conn| {
            hold!(conn);
            let renew_time = event_listeners::renew_time.eq(Moment::from(now));
            let known =
                diesel::update(event_listeners::table.find(name)).set(renew_time).execute(conn).await?;
            if known == 1 {
                return Ok::<bool, Error>(false);
            }
            let is_heard_already = somebody_hears_all!(conn);
            diesel::insert_into(event_listeners::table)
                .values((event_listeners::name.eq(name), event_listeners::everyone.eq(everyone), renew_time))
                .on_conflict_do_nothing()
                .execute(conn)
                .await?;
            if everyone && !is_heard_already {
                // What happened since the last one went is not told, and whoever read until then has to learn it.
                diesel::update(event_head::table.find(1))
                    .set((
                        event_head::last_number.eq(event_head::last_number + 1),
                        event_head::swept_number.eq(event_head::last_number + 1),
                    ))
                    .execute(conn)
                    .await?;
            }
            Ok(true)
        })?;
        if began {
            // What lies in the outbox is from before: it is put in order now, before whoever begins here.
            Journal::new(self.pool, self.ears).sequence_all(now).await?;
        }
        Ok(())
    }

    /// Ends what nobody needs any more: webhooks where there are none that send, streams that nobody read since `cutoff`.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn retire(&self, cutoff: Timestamp) -> Result<()> {
        with_write!(self.pool, async move |conn| {
            hold!(conn);
            let nobody = Id(uuid::Uuid::nil());
            let sending = webhooks::table.filter(webhooks::disable_reason.is_null());
            let of_users: i64 = sending.filter(webhooks::user_id.ne(nobody)).count().get_result(conn).await?;
            let of_administrators: i64 =
                sending.filter(webhooks::user_id.eq(nobody)).count().get_result(conn).await?;
            for (listener, count) in
                [(Listener::Webhooks, of_users), (Listener::AdministratorsWebhooks, of_administrators)]
            {
                if count == 0 {
                    diesel::delete(event_listeners::table.find(listener.name())).execute(conn).await?;
                }
            }
            let idle = event_listeners::table
                .find(Listener::Streams.name())
                .filter(event_listeners::renew_time.lt(Moment::from(cutoff)));
            diesel::delete(idle).execute(conn).await?;
            Ok::<(), Error>(())
        })
    }
}
