//! Wrong passwords lately, counted for all replicas together.

use diesel::{ExpressionMethods as _, QueryDsl as _};
use diesel_async::RunQueryDsl as _;

use super::audit::record;
use super::sweep::sweep;
use crate::domain::{Draft, Result, Timestamp, UserId};
use crate::storage::engine::pool::{Pool, with_conn, with_write};
use crate::storage::engine::types::Moment;
use crate::storage::schema::login_throttles;

/// How often something failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// What it counts for.
    pub key: Vec<u8>,
    /// How many wrong passwords in a row.
    pub failures: u32,
    /// When the last one came.
    pub update_time: Timestamp,
}

/// The counters.
#[derive(Debug)]
pub struct Throttles<'a> {
    pool: &'a Pool,
}

impl<'a> Throttles<'a> {
    pub(in crate::storage) const fn new(pool: &'a Pool) -> Self {
        Self { pool }
    }

    /// The counters of these keys, as far as there are any.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn find(&self, keys: &[Vec<u8>]) -> Result<Vec<Counter>> {
        let rows: Vec<(Vec<u8>, i32, Moment)> = with_conn!(self.pool, |conn| {
            login_throttles::table
                .filter(login_throttles::throttle_key.eq_any(keys))
                .select((
                    login_throttles::throttle_key,
                    login_throttles::failures,
                    login_throttles::update_time,
                ))
                .load(conn)
                .await
        })?;
        rows.into_iter()
            .map(|(key, failures, time)| {
                Ok(Counter {
                    key,
                    failures: u32::try_from(failures).unwrap_or(0),
                    update_time: time.try_into()?,
                })
            })
            .collect()
    }

    /// Counts a failure for each key, and records the events. A counter that was last raised before `forgotten` begins
    /// anew.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn fail(
        &self,
        mut keys: Vec<Vec<u8>>,
        forgotten: Timestamp,
        now: Timestamp,
        events: Option<(UserId, Vec<Draft>)>,
    ) -> Result<()> {
        // In one order for everybody, so that two of these cannot wait for each other.
        keys.sort();
        with_write!(self.pool, async move |conn| {
            for key in &keys {
                let stale = login_throttles::table
                    .find(key)
                    .filter(login_throttles::update_time.lt(Moment::from(forgotten)));
                diesel::delete(stale).execute(conn).await?;
                diesel::insert_into(login_throttles::table)
                    .values((
                        login_throttles::throttle_key.eq(key),
                        login_throttles::failures.eq(1),
                        login_throttles::update_time.eq(Moment::from(now)),
                    ))
                    .on_conflict(login_throttles::throttle_key)
                    .do_update()
                    .set((
                        login_throttles::failures.eq(login_throttles::failures + 1),
                        login_throttles::update_time.eq(Moment::from(now)),
                    ))
                    .execute(conn)
                    .await?;
            }
            if let Some((user, drafts)) = events {
                for draft in drafts {
                    record!(conn, Some(draft), user, None, now);
                }
            }
            Ok::<(), Error>(())
        })
    }

    /// Forgets the counters of these keys.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn forgive(&self, keys: Vec<Vec<u8>>) -> Result<()> {
        with_write!(self.pool, async move |conn| {
            let forgiven = login_throttles::throttle_key.eq_any(&keys);
            diesel::delete(login_throttles::table.filter(forgiven)).execute(conn).await?;
            Ok::<(), Error>(())
        })
    }

    /// Removes counters that were last raised before `cutoff`, a bounded number at a time; answers how many. Several
    /// replicas may do this at once.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn sweep(&self, cutoff: Timestamp) -> Result<usize> {
        let key = login_throttles::throttle_key;
        sweep!(self.pool, login_throttles, update_time < cutoff, key, Vec<u8>)
    }
}
