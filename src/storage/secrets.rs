//! Keys that all replicas share, kept in the database: made once, by whoever comes first.

use diesel::{ExpressionMethods as _, OptionalExtension as _, QueryDsl as _};
use diesel_async::RunQueryDsl as _;

use super::engine::pool::{Pool, with_conn, with_write};
use super::engine::types::Moment;
use super::schema::service_secrets;
use crate::domain::{Result, Timestamp};

/// The shared keys.
#[derive(Debug)]
pub struct Secrets<'a> {
    pool: &'a Pool,
}

impl<'a> Secrets<'a> {
    pub(super) const fn new(pool: &'a Pool) -> Self {
        Self { pool }
    }

    /// The key of this name; `candidate` becomes it when there is none yet.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn find_or_create(
        &self,
        name: &'static str,
        candidate: Vec<u8>,
        now: Timestamp,
    ) -> Result<Vec<u8>> {
        let existing = with_conn!(self.pool, |conn| {
            service_secrets::table
                .find(name)
                .select(service_secrets::value)
                .first::<Vec<u8>>(conn)
                .await
                .optional()
        })?;
        if let Some(existing) = existing {
            return Ok(existing);
        }
        with_write!(self.pool, async move |conn| {
            diesel::insert_into(service_secrets::table)
                .values((
                    service_secrets::name.eq(name),
                    service_secrets::value.eq(candidate),
                    service_secrets::create_time.eq(Moment::from(now)),
                ))
                .on_conflict_do_nothing()
                .execute(conn)
                .await?;
            Ok(service_secrets::table
                .find(name)
                .select(service_secrets::value)
                .first::<Vec<u8>>(conn)
                .await?)
        })
    }
}
