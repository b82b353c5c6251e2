//! Second factors and the recovery codes that stand in for them. Secrets are here sealed, codes as hashes.

use diesel::{ExpressionMethods as _, OptionalExtension as _, QueryDsl as _};
use diesel_async::RunQueryDsl as _;

use super::audit::record;
use super::mails::queue_mail;
use crate::domain::{Draft, NewMail, Resource, Result, SecondFactor, Timestamp, UserId};
use crate::storage::engine::pool::{Pool, with_conn, with_write};
use crate::storage::engine::types::{Id, Moment};
use crate::storage::schema::{recovery_codes, second_factors, users};

/// The second factors.
#[derive(Debug)]
pub struct SecondFactors<'a> {
    pool: &'a Pool,
    draft: Option<Draft>,
    mail: Option<NewMail>,
}

/// Notes at the account whether it has a second factor; everybody else who would change it waits. Answers how many
/// accounts there were that had it otherwise.
macro_rules! note_factor {
    ($conn:ident, $user:expr, $enabled:expr, $now:expr) => {{
        let before: Option<Moment> =
            users::table.find(Id::from($user)).select(users::update_time).first($conn).await.optional()?;
        let before = before.ok_or(Error::NotFound(Resource::User))?;
        let update_time = $now.max(Timestamp::try_from(before)?);
        diesel::update(users::table.find(Id::from($user)).filter(users::totp_enabled.eq(!$enabled)))
            .set((
                users::totp_enabled.eq($enabled),
                users::version.eq(users::version + 1),
                users::update_time.eq(Moment::from(update_time)),
            ))
            .execute($conn)
            .await?
    }};
}

/// Puts these recovery codes in the place of those there are.
macro_rules! replace_codes {
    ($conn:ident, $user:expr, $hashes:expr) => {{
        let of_user = recovery_codes::table.filter(recovery_codes::user_id.eq(Id::from($user)));
        diesel::delete(of_user).execute($conn).await?;
        for hash in &$hashes {
            diesel::insert_into(recovery_codes::table)
                .values((recovery_codes::user_id.eq(Id::from($user)), recovery_codes::code_hash.eq(hash)))
                .execute($conn)
                .await?;
        }
    }};
}

/// Removes all that a second factor left: `remove_factor!(conn, user)` inside `with_write!`.
macro_rules! remove_factor {
    ($conn:ident, $user:expr) => {{
        use $crate::storage::engine::types::Id;
        use $crate::storage::schema::{login_challenges, recovery_codes, second_factors};
        diesel::delete(second_factors::table.find(Id::from($user))).execute($conn).await?;
        let codes = recovery_codes::table.filter(recovery_codes::user_id.eq(Id::from($user)));
        diesel::delete(codes).execute($conn).await?;
        let challenges = login_challenges::table.filter(login_challenges::user_id.eq(Id::from($user)));
        diesel::delete(challenges).execute($conn).await?;
    }};
}
pub(in crate::storage) use remove_factor;

impl<'a> SecondFactors<'a> {
    pub(in crate::storage) const fn new(pool: &'a Pool) -> Self {
        Self { pool, draft: None, mail: None }
    }

    /// Records this event in the transaction of the change that is called next.
    #[must_use]
    pub fn recording(self, draft: Draft) -> Self {
        Self { draft: Some(draft), ..self }
    }

    /// Queues this mail in the transaction of the change that is called next.
    #[must_use]
    pub fn mailing(self, mail: Option<NewMail>) -> Self {
        Self { mail, ..self }
    }

    /// The second factor of a user, confirmed or not.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn find(&self, user: UserId) -> Result<Option<SecondFactor>> {
        let row: Option<(Vec<u8>, Option<Moment>, i64)> = with_conn!(self.pool, |conn| {
            second_factors::table
                .find(Id::from(user))
                .select((second_factors::secret, second_factors::confirm_time, second_factors::last_step))
                .first(conn)
                .await
                .optional()
        })?;
        Ok(row.map(|(sealed, confirm_time, last_step)| SecondFactor {
            sealed,
            confirmed: confirm_time.is_some(),
            last_step,
        }))
    }

    /// Keeps a new secret until it is confirmed, in the place of one that never was.
    ///
    /// # Errors
    /// `TotpAlreadyEnabled`, `NotFound` when the user is gone, or those of the storage.
    pub async fn begin(&self, user: UserId, sealed: Vec<u8>, now: Timestamp) -> Result<()> {
        with_write!(self.pool, async move |conn| {
            let there = diesel::update(users::table.find(Id::from(user)))
                .set(users::version.eq(users::version))
                .returning(users::totp_enabled)
                .get_result(conn)
                .await
                .optional()?;
            match there {
                None => return Err(Error::NotFound(Resource::User)),
                Some(true) => return Err(Error::TotpAlreadyEnabled),
                Some(false) => {}
            }
            diesel::delete(second_factors::table.find(Id::from(user))).execute(conn).await?;
            diesel::insert_into(second_factors::table)
                .values((
                    second_factors::user_id.eq(Id::from(user)),
                    second_factors::secret.eq(&sealed),
                    second_factors::create_time.eq(Moment::from(now)),
                    second_factors::last_step.eq(0_i64),
                ))
                .execute(conn)
                .await?;
            Ok(())
        })
    }

    /// Makes the secret count, with the step of the code that was shown for it.
    ///
    /// # Errors
    /// `TotpAlreadyEnabled`, `Conflict` when another secret has taken its place, or those of the storage.
    pub async fn confirm(
        &self,
        user: UserId,
        sealed: Vec<u8>,
        step: i64,
        recovery_hashes: Vec<Vec<u8>>,
        now: Timestamp,
    ) -> Result<()> {
        let (draft, mail) = (self.draft.clone(), self.mail.clone());
        with_write!(self.pool, async move |conn| {
            if note_factor!(conn, user, true, now) == 0 {
                return Err(Error::TotpAlreadyEnabled);
            }
            let pending = second_factors::table
                .find(Id::from(user))
                .filter(second_factors::secret.eq(&sealed))
                .filter(second_factors::confirm_time.is_null());
            let confirmed = diesel::update(pending)
                .set((
                    second_factors::confirm_time.eq(Some(Moment::from(now))),
                    second_factors::last_step.eq(step),
                ))
                .execute(conn)
                .await?;
            if confirmed == 0 {
                return Err(Error::Conflict);
            }
            replace_codes!(conn, user, recovery_hashes);
            record!(conn, draft, user, None, now);
            queue_mail!(conn, mail);
            Ok(())
        })
    }

    /// Takes the second factor away, with its recovery codes and the logins that wait for it.
    ///
    /// # Errors
    /// `TotpNotEnabled`, `NotFound` when there is no such user, or those of the storage.
    pub async fn disable(&self, user: UserId, now: Timestamp) -> Result<()> {
        let (draft, mail) = (self.draft.clone(), self.mail.clone());
        with_write!(self.pool, async move |conn| {
            if note_factor!(conn, user, false, now) == 0 {
                return Err(Error::TotpNotEnabled);
            }
            remove_factor!(conn, user);
            record!(conn, draft, user, None, now);
            queue_mail!(conn, mail);
            Ok(())
        })
    }

    /// Puts new recovery codes in the place of those there are.
    ///
    /// # Errors
    /// `TotpNotEnabled`, or those of the storage.
    pub async fn replace_recovery_codes(
        &self,
        user: UserId,
        hashes: Vec<Vec<u8>>,
        now: Timestamp,
    ) -> Result<()> {
        let (draft, mail) = (self.draft.clone(), self.mail.clone());
        with_write!(self.pool, async move |conn| {
            // Writing the row, even unchanged, keeps the factor from being taken away meanwhile.
            let enabled = diesel::update(users::table.find(Id::from(user)).filter(users::totp_enabled))
                .set(users::version.eq(users::version))
                .execute(conn)
                .await?;
            if enabled == 0 {
                return Err(Error::TotpNotEnabled);
            }
            replace_codes!(conn, user, hashes);
            record!(conn, draft, user, None, now);
            queue_mail!(conn, mail);
            Ok(())
        })
    }
}
