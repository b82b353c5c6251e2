//! Tokens that mails bring: kept by hashes, shown once.

use diesel::{
    ExpressionMethods as _, JoinOnDsl as _, OptionalExtension as _, QueryDsl as _, SelectableHelper as _,
};
use diesel_async::RunQueryDsl as _;

use super::audit::record;
use super::mails::{keep_token, queue_mail};
use super::revocations::end_sessions;
use super::sweep::sweep;
use super::users::{UserRow, claim_email};
use crate::domain::{
    Draft, Email, Error, MailPurpose, MailToken, MailTokenId, NewMail, NewMailToken, Result, SessionId,
    Timestamp, UserId,
};
use crate::storage::engine::error::corrupt;
use crate::storage::engine::pool::{Pool, with_conn, with_write};
use crate::storage::engine::types::{Id, Moment};
use crate::storage::schema::{emails, mail_tokens, users};
use crate::storage::tasks::set_statements::lock_users;

/// Spends a token, and all others of its kind. The row of its user is locked first: whoever comes second waits there, and finds
/// no token any more.
macro_rules! spend_token {
    ($conn:ident, $token:expr, $purpose:expr) => {{
        let user = Id::from($token.user.id);
        let version: Option<i64> =
            diesel::update(users::table.find(user).filter(users::disable_time.is_null()))
                .set(users::version.eq(users::version))
                .returning(users::version)
                .get_result($conn)
                .await
                .optional()?;
        let own = mail_tokens::table.find((user, Id::from($token.id)));
        let spent = diesel::delete(own).execute($conn).await?;
        match version.filter(|_| spent == 1) {
            None => return Err(Error::MailTokenInvalid),
            // What it was held against has changed since: it is held against that once more.
            Some(version) if version != $token.user.version => return Err(Error::Conflict),
            Some(_) => {}
        }
        let others = mail_tokens::table
            .filter(mail_tokens::user_id.eq(user))
            .filter(mail_tokens::purpose.eq($purpose.code()));
        diesel::delete(others).execute($conn).await?;
    }};
}

/// The tokens.
#[derive(Debug)]
pub struct MailTokens<'a> {
    pool: &'a Pool,
}

impl<'a> MailTokens<'a> {
    pub(in crate::storage) const fn new(pool: &'a Pool) -> Self {
        Self { pool }
    }

    /// Keeps a token and queues the mail that brings it, unless as many live ones are on their way already; answers whether it
    /// did. It takes the same statements where there is no such user.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn create(
        &self,
        new: NewMailToken,
        mail: NewMail,
        live_max: i64,
        now: Timestamp,
    ) -> Result<bool> {
        with_write!(self.pool, async move |conn| {
            let user = Id::from(new.user);
            // One after the other, so that none goes past the limit.
            lock_users(vec![user]).load::<(Id, i64, i64, bool)>(conn).await?;
            let live: i64 = mail_tokens::table
                .filter(mail_tokens::user_id.eq(user))
                .filter(mail_tokens::purpose.eq(new.purpose.code()))
                .filter(mail_tokens::expire_time.gt(Moment::from(now)))
                .count()
                .get_result(conn)
                .await?;
            if live >= live_max {
                return Ok::<bool, Error>(false);
            }
            keep_token!(conn, Some(&new));
            queue_mail!(conn, Some(&mail));
            Ok(true)
        })
    }

    /// A token with its user; `None` when either is gone, or it is good for something else.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn find(
        &self,
        user: UserId,
        id: MailTokenId,
        purpose: MailPurpose,
    ) -> Result<Option<MailToken>> {
        type Row = (UserRow, Option<String>, (Vec<u8>, Vec<u8>, Moment, Option<String>));
        let row: Option<Row> = with_conn!(self.pool, |conn| {
            mail_tokens::table
                .inner_join(users::table.on(users::id.eq(mail_tokens::user_id)))
                .filter(mail_tokens::user_id.eq(Id::from(user)))
                .filter(mail_tokens::id.eq(Id::from(id)))
                .filter(mail_tokens::purpose.eq(purpose.code()))
                .select((
                    UserRow::as_select(),
                    users::password_hash,
                    (
                        mail_tokens::secret_hash,
                        mail_tokens::proved_hash,
                        mail_tokens::expire_time,
                        mail_tokens::new_email,
                    ),
                ))
                .first(conn)
                .await
                .optional()
        })?;
        row.map(|(user, password_hash, (secret_hash, proved_hash, expire_time, new_email))| {
            let new_email = new_email.as_deref().map(Email::parse).transpose();
            Ok(MailToken {
                id,
                user: user.try_into()?,
                password_hash,
                secret_hash,
                proved_hash,
                expire_time: expire_time.try_into()?,
                new_email: new_email.map_err(corrupt("email"))?,
            })
        })
        .transpose()
    }

    /// Spends a token for another password: ends all sessions and all other tokens of its kind, records the event and queues
    /// the mail that tells of it.
    ///
    /// # Errors
    /// `MailTokenInvalid` when the token was spent, the account disabled, or its password or address changed since it was
    /// read; or those of the storage.
    pub async fn reset_password(
        &self,
        token: MailToken,
        new_hash: String,
        draft: Draft,
        mail: Option<NewMail>,
        now: Timestamp,
    ) -> Result<()> {
        let id = token.user.id;
        with_write!(self.pool, async move |conn| {
            let update_time = now.max(token.user.update_time);
            // Whoever comes second waits here, and finds another password.
            let as_read = users::table
                .find(Id::from(id))
                .filter(users::password_hash.eq(&token.password_hash))
                .filter(users::email.eq(token.user.email.as_str()))
                .filter(users::disable_time.is_null());
            let changed = diesel::update(as_read)
                .set((
                    users::password_hash.eq(Some(&new_hash)),
                    // Whoever has the token reads the mail of the address.
                    users::email_verified.eq(true),
                    users::update_time.eq(Moment::from(update_time)),
                    users::version.eq(users::version + 1),
                ))
                .execute(conn)
                .await?;
            let own = mail_tokens::table.find((Id::from(id), Id::from(token.id)));
            let spent = diesel::delete(own).execute(conn).await?;
            if changed == 0 || spent == 0 {
                return Err(Error::MailTokenInvalid);
            }
            let others = mail_tokens::table
                .filter(mail_tokens::user_id.eq(Id::from(id)))
                .filter(mail_tokens::purpose.eq(MailPurpose::PasswordReset.code()));
            diesel::delete(others).execute(conn).await?;
            end_sessions!(conn, id, None::<SessionId>, now);
            record!(conn, Some(draft), id, None, now);
            queue_mail!(conn, mail);
            Ok(())
        })
    }

    /// Spends a token that proves the address of its account, and records the event.
    ///
    /// # Errors
    /// `MailTokenInvalid` when the token was spent or the account disabled, `Conflict` when the account changed since it was
    /// read; or those of the storage.
    pub async fn verify_email(&self, token: MailToken, draft: Draft, now: Timestamp) -> Result<()> {
        let id = token.user.id;
        with_write!(self.pool, async move |conn| {
            spend_token!(conn, token, MailPurpose::EmailVerification);
            diesel::update(users::table.find(Id::from(id)))
                .set((
                    users::email_verified.eq(true),
                    users::update_time.eq(Moment::from(now.max(token.user.update_time))),
                    users::version.eq(users::version + 1),
                ))
                .execute(conn)
                .await?;
            record!(conn, Some(draft), id, None, now);
            Ok(())
        })
    }

    /// Spends a token for the address that it proves, records the event and queues the mail that tells the old address.
    ///
    /// # Errors
    /// `UserAlreadyExists` when another account has the address by now, and the token is good as before; `MailTokenInvalid` when
    /// the token was spent or the account disabled, `Conflict` when the account changed since it was read; or those of the storage.
    pub async fn change_email(
        &self,
        token: MailToken,
        draft: Draft,
        mail: Option<NewMail>,
        now: Timestamp,
    ) -> Result<()> {
        let id = token.user.id;
        let Some(next) = token.new_email.clone() else {
            return Err(Error::Internal("a token for another email has none".into()));
        };
        with_write!(self.pool, async move |conn| {
            spend_token!(conn, token, MailPurpose::EmailChange);
            claim_email!(conn, next, id);
            diesel::delete(emails::table.find(token.user.email.key())).execute(conn).await?;
            diesel::update(users::table.find(Id::from(id)))
                .set((
                    users::email.eq(next.as_str()),
                    users::email_verified.eq(true),
                    users::update_time.eq(Moment::from(now.max(token.user.update_time))),
                    users::version.eq(users::version + 1),
                ))
                .execute(conn)
                .await?;
            record!(conn, Some(draft), id, None, now);
            queue_mail!(conn, mail);
            Ok(())
        })
    }

    /// Removes tokens that ended before `cutoff`, a bounded number at a time; answers how many. Several replicas may do this
    /// at once.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn sweep(&self, cutoff: Timestamp) -> Result<usize> {
        let key = (mail_tokens::user_id, mail_tokens::id);
        sweep!(self.pool, mail_tokens, expire_time < cutoff, key, (Id, Id))
    }
}
