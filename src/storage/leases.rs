//! Who does a job of which one run serves all replicas, and when it is due again.

use std::time::Duration;

use diesel::{BoolExpressionMethods as _, ExpressionMethods as _, QueryDsl as _};
use diesel_async::RunQueryDsl as _;
use uuid::Uuid;

use super::engine::pool::{Pool, with_conn, with_write};
use super::engine::types::{Id, Moment};
use super::schema::job_leases;
use crate::domain::{Result, Timestamp};

/// The leases.
#[derive(Debug)]
pub struct Leases<'a> {
    pool: &'a Pool,
    /// This process.
    holder: Uuid,
}

impl<'a> Leases<'a> {
    pub(super) const fn new(pool: &'a Pool, holder: Uuid) -> Self {
        Self { pool, holder }
    }

    /// Takes a job for so long, unless it is being done or not due yet; answers whether it was taken.
    ///
    /// Nobody takes a lease for longer than `longest`: one that would be over later was taken under a clock that was
    /// wrong, and counts for nothing.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn take(
        &self,
        job: &'static str,
        now: Timestamp,
        lasting: Duration,
        longest: Duration,
    ) -> Result<bool> {
        let free = move || {
            let is_over = job_leases::expire_time.le(Moment::from(now));
            is_over.or(job_leases::expire_time.gt(Moment::from(now.after(longest))))
        };
        // Nearly always it is not due, which a look tells without a write.
        let held: i64 = with_conn!(self.pool, |conn| {
            let held = job_leases::table.filter(job_leases::job.eq(job)).filter(diesel::dsl::not(free()));
            held.count().get_result(conn).await
        })?;
        if held > 0 {
            return Ok(false);
        }
        let holder = Id(self.holder);
        with_write!(self.pool, async move |conn| {
            let expire_time = Moment::from(now.after(lasting));
            let made = diesel::insert_into(job_leases::table)
                .values((
                    job_leases::job.eq(job),
                    job_leases::holder.eq(holder),
                    job_leases::expire_time.eq(expire_time),
                ))
                .on_conflict_do_nothing()
                .execute(conn)
                .await?;
            if made == 1 {
                return Ok::<bool, Error>(true);
            }
            // Of several, the row lets one at a time find it free.
            let taken = diesel::update(job_leases::table.find(job).filter(free()))
                .set((job_leases::holder.eq(holder), job_leases::expire_time.eq(expire_time)))
                .execute(conn)
                .await?;
            Ok(taken == 1)
        })
    }

    /// Says until when the lease lasts that was taken; answers whether it was still this process's.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn keep(&self, job: &'static str, until: Timestamp) -> Result<bool> {
        let holder = Id(self.holder);
        with_write!(self.pool, async move |conn| {
            let own = job_leases::table.find(job).filter(job_leases::holder.eq(holder));
            let until = job_leases::expire_time.eq(Moment::from(until));
            Ok::<bool, Error>(diesel::update(own).set(until).execute(conn).await? == 1)
        })
    }
}
