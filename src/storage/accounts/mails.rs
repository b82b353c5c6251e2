//! Mail that waits to be sent, and how a token is kept that one brings.

use std::time::Duration;

use diesel::{BoolExpressionMethods as _, ExpressionMethods as _, QueryDsl as _};
use diesel_async::RunQueryDsl as _;

use super::sweep::sweep;
use crate::domain::{Error, Mail, MailCounts, MailId, MailKind, Result, Timestamp, UserId};
use crate::storage::engine::pool::{Pool, with_conn, with_write};
use crate::storage::engine::types::{Id, Moment};
use crate::storage::schema::mails;

/// Queues a mail, if there is one: `queue_mail!(conn, mail)` inside `with_write!`.
macro_rules! queue_mail {
    ($conn:ident, $mail:expr) => {
        if let Some(mail) = &$mail {
            use $crate::storage::schema::mails;
            diesel::insert_into(mails::table)
                .values((
                    mails::user_id.eq(Id::from(mail.user)),
                    mails::id.eq(Id::from(mail.id)),
                    mails::kind.eq(mail.kind.code()),
                    mails::payload.eq(&mail.sealed),
                    mails::attempts.eq(0_i16),
                    mails::next_attempt_time.eq(Moment::from(mail.next_attempt_time)),
                    mails::expire_time.eq(Moment::from(mail.expire_time)),
                ))
                .execute($conn)
                .await?;
        }
    };
}
pub(in crate::storage) use queue_mail;

/// Keeps a token, if there is one: `keep_token!(conn, token)` inside `with_write!`.
macro_rules! keep_token {
    ($conn:ident, $token:expr) => {
        if let Some(token) = &$token {
            use $crate::storage::schema::mail_tokens;
            diesel::insert_into(mail_tokens::table)
                .values((
                    mail_tokens::user_id.eq(Id::from(token.user)),
                    mail_tokens::id.eq(Id::from(token.id)),
                    mail_tokens::purpose.eq(token.purpose.code()),
                    mail_tokens::secret_hash.eq(&token.secret_hash),
                    mail_tokens::proved_hash.eq(&token.proved_hash),
                    mail_tokens::expire_time.eq(Moment::from(token.expire_time)),
                    mail_tokens::new_email.eq(token.new_email.as_ref().map($crate::domain::Email::as_str)),
                ))
                .execute($conn)
                .await?;
        }
    };
}
pub(in crate::storage) use keep_token;

/// The mails.
#[derive(Debug)]
pub struct Mails<'a> {
    pool: &'a Pool,
}

impl<'a> Mails<'a> {
    pub(in crate::storage) const fn new(pool: &'a Pool) -> Self {
        Self { pool }
    }

    /// At most `limit` mails whose time has come, those first that wait longest. A time beyond `longest` was set by a clock
    /// that was wrong, and counts for nothing.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn due(&self, now: Timestamp, longest: Duration, limit: i64) -> Result<Vec<Mail>> {
        type Row = (Id, Id, i16, Vec<u8>, i16, Moment);
        let (now, beyond) = (Moment::from(now), Moment::from(now.after(longest)));
        let rows: Vec<Row> = with_conn!(self.pool, |conn| {
            let is_due = mails::next_attempt_time.le(now);
            mails::table
                .filter(is_due.or(mails::next_attempt_time.gt(beyond)))
                .order(mails::next_attempt_time.asc())
                .limit(limit)
                .select((
                    mails::user_id,
                    mails::id,
                    mails::kind,
                    mails::payload,
                    mails::attempts,
                    mails::expire_time,
                ))
                .load(conn)
                .await
        })?;
        let read = |(user, id, kind, sealed, attempts, expire_time): Row| {
            Ok(Mail {
                user: user.into(),
                id: id.into(),
                kind: MailKind::from_code(kind)
                    .ok_or_else(|| Error::Internal("a stored mail is of an unknown kind".into()))?,
                sealed,
                attempts: attempts.try_into().unwrap_or(0),
                expire_time: expire_time.try_into()?,
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// How many mails wait, and how many of those were sent in vain before.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn counts(&self) -> Result<MailCounts> {
        let (waiting, failing): (i64, i64) = with_conn!(self.pool, |conn| {
            let waiting = mails::table.count().get_result(conn).await?;
            let failing = mails::table.filter(mails::attempts.gt(0_i16)).count().get_result(conn).await?;
            Ok((waiting, failing))
        })?;
        Ok(MailCounts { waiting, failing })
    }

    /// Removes a mail that was sent, or that is not to be sent any more.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn remove(&self, user: UserId, id: MailId) -> Result<()> {
        with_write!(self.pool, async move |conn| {
            diesel::delete(mails::table.find((Id::from(user), Id::from(id)))).execute(conn).await?;
            Ok::<(), Error>(())
        })
    }

    /// Has a mail sent again later.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn postpone(&self, mail: &Mail, next_attempt_time: Timestamp) -> Result<()> {
        let key = (Id::from(mail.user), Id::from(mail.id));
        let attempts = i16::try_from(mail.attempts.saturating_add(1)).unwrap_or(i16::MAX);
        with_write!(self.pool, async move |conn| {
            diesel::update(mails::table.find(key))
                .set((
                    mails::attempts.eq(attempts),
                    mails::next_attempt_time.eq(Moment::from(next_attempt_time)),
                ))
                .execute(conn)
                .await?;
            Ok::<(), Error>(())
        })
    }

    /// Removes mails whose attempt was due before `cutoff`, a bounded number at a time; answers how many. Where mail is sent,
    /// none waits that long.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn sweep(&self, cutoff: Timestamp) -> Result<usize> {
        let key = (mails::user_id, mails::id);
        sweep!(self.pool, mails, next_attempt_time < cutoff, key, (Id, Id))
    }
}
