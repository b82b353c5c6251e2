//! Sessions: opened at login, moved on by each refresh, ended once.

use diesel::{
    ExpressionMethods as _, OptionalExtension as _, QueryDsl as _, Queryable, Selectable,
    SelectableHelper as _,
};
use diesel_async::RunQueryDsl as _;
use uuid::Uuid;

use super::audit::record;
use super::login_challenges::{Completion, spend};
use super::mails::queue_mail;
use super::revocations::{end_sessions, revoke};
use super::sweep::sweep;
use crate::domain::{
    AuditTarget, Device, Draft, Error, NewMail, NewSession, RefreshSecrets, Result, Session, SessionId,
    Timestamp, UserId,
};
use crate::storage::engine::error::corrupt;
use crate::storage::engine::pool::{Pool, with_conn, with_write};
use crate::storage::engine::types::{Id, Moment};
use crate::storage::schema::{login_throttles, sessions, users};

/// Most sessions that a list shows.
const LIST_MAX: i64 = 1000;

/// The sessions.
#[derive(Debug)]
pub struct Sessions<'a> {
    pool: &'a Pool,
    draft: Option<Draft>,
    mail: Option<NewMail>,
}

/// What a login has proved, to be checked again in the transaction that opens the session: neither a password
/// change nor an admin may slip in between.
#[derive(Clone, Default)]
#[expect(missing_debug_implementations, reason = "it holds hashes of passwords")]
pub struct Verified {
    /// The hash that the password was compared with.
    pub password_hash: Option<String>,
    /// The hash to store instead, when the parameters have changed.
    pub rehashed: Option<String>,
    /// Counters of wrong passwords that are forgotten.
    pub forgiven: Vec<Vec<u8>>,
    /// What was shown for the second factor, where there is one.
    pub completion: Option<Completion>,
}

/// The next step of a session's refresh tokens.
#[derive(Clone)]
pub struct Rotation {
    /// Whose session.
    pub user: UserId,
    /// Which session.
    pub id: SessionId,
    /// Hash of the token that was shown; it must be the current one.
    pub presented_hash: Vec<u8>,
    /// Hash of the part of the token that stays.
    pub family_hash: Vec<u8>,
    /// Hash of the token that follows it.
    pub successor_hash: Vec<u8>,
    /// What makes the successor out of the token shown.
    pub salt: Vec<u8>,
    /// When.
    pub now: Timestamp,
    /// When the session ends unless it is refreshed again.
    pub expire_time: Timestamp,
    /// The address it is used from.
    pub peer: String,
    /// The caller's id of this refresh, under which it may be asked for again.
    pub idempotency_key: Option<Uuid>,
}

impl std::fmt::Debug for Rotation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rotation").field("user", &self.user).field("id", &self.id).finish_non_exhaustive()
    }
}

impl<'a> Sessions<'a> {
    pub(in crate::storage) const fn new(pool: &'a Pool) -> Self {
        Self { pool, draft: None, mail: None }
    }

    /// Records this event in the transaction of the change that is called next.
    #[must_use]
    pub fn recording(self, draft: Draft) -> Self {
        Self { draft: Some(draft), ..self }
    }

    /// Queues this mail in the transaction of a session that is opened next.
    #[must_use]
    pub fn mailing(self, mail: Option<NewMail>) -> Self {
        Self { mail, ..self }
    }

    /// Opens a session of a user who needs no password.
    ///
    /// # Errors
    /// `UserDisabled` when the account is disabled or gone, or those of the storage.
    pub async fn create(&self, new: NewSession) -> Result<Session> {
        self.open(new, Verified::default()).await
    }

    /// Opens a session, if what the login has proved still holds.
    ///
    /// # Errors
    /// `UserDisabled` when the account is disabled or gone, `CredentialsInvalid` when the password has changed
    /// meanwhile, `Conflict` when a second factor has come meanwhile, `ChallengeInvalid` or `CodeInvalid` when what was shown
    /// was spent before, or those of the storage.
    pub async fn open(&self, new: NewSession, verified: Verified) -> Result<Session> {
        let session = Session {
            id: new.id,
            user: new.user,
            device: new.device,
            peer: new.peer,
            create_time: new.create_time,
            last_use_time: new.create_time,
            expire_time: new.expire_time,
            revoke_time: None,
            secrets: RefreshSecrets {
                family: new.family_hash,
                current: new.refresh_hash,
                previous: None,
                salt: None,
                rotate_time: new.create_time,
                rotate_idempotency_key: None,
            },
        };
        let (draft, mail) = (self.draft.clone(), self.mail.clone());
        with_write!(self.pool, async move |conn| {
            // Writing the row, even unchanged, keeps everybody else from changing it until this is committed.
            let stored: Option<(Option<String>, bool)> = diesel::update(
                users::table.find(Id::from(session.user)).filter(users::disable_time.is_null()),
            )
            .set(users::version.eq(users::version))
            .returning((users::password_hash, users::totp_enabled))
            .get_result(conn)
            .await
            .optional()?;
            let (stored, totp_enabled) = stored.ok_or(Error::UserDisabled)?;
            if verified.password_hash.is_some() && verified.password_hash != stored {
                return Err(Error::CredentialsInvalid);
            }
            match &verified.completion {
                Some(completion) => spend!(conn, session.user, completion, session.create_time),
                None if totp_enabled && verified.password_hash.is_some() => return Err(Error::Conflict),
                None => {}
            }
            if let Some(rehashed) = &verified.rehashed {
                diesel::update(users::table.find(Id::from(session.user)))
                    .set(users::password_hash.eq(Some(rehashed)))
                    .execute(conn)
                    .await?;
            }
            if !verified.forgiven.is_empty() {
                let forgiven = login_throttles::throttle_key.eq_any(&verified.forgiven);
                diesel::delete(login_throttles::table.filter(forgiven)).execute(conn).await?;
            }
            diesel::insert_into(sessions::table)
                .values((
                    sessions::user_id.eq(Id::from(session.user)),
                    sessions::id.eq(Id::from(session.id)),
                    sessions::device.eq(session.device.as_str()),
                    sessions::peer.eq(session.peer.as_str()),
                    sessions::create_time.eq(Moment::from(session.create_time)),
                    sessions::last_use_time.eq(Moment::from(session.last_use_time)),
                    sessions::expire_time.eq(Moment::from(session.expire_time)),
                    sessions::family_hash.eq(&session.secrets.family),
                    sessions::refresh_hash.eq(&session.secrets.current),
                    sessions::rotate_time.eq(Moment::from(session.secrets.rotate_time)),
                ))
                .execute(conn)
                .await?;
            let target = Some(AuditTarget::Session(session.id));
            record!(conn, draft, session.user, target, session.create_time);
            queue_mail!(conn, mail);
            Ok(session)
        })
    }

    /// The session, ended or not; `None` when there is none.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn find(&self, user: UserId, id: SessionId) -> Result<Option<Session>> {
        let row: Option<SessionRow> = with_conn!(self.pool, |conn| {
            sessions::table
                .find((Id::from(user), Id::from(id)))
                .select(SessionRow::as_select())
                .first(conn)
                .await
                .optional()
        })?;
        row.map(Session::try_from).transpose()
    }

    /// Moves a live session on, if the token shown is its current one. Of two who show the same token at once
    /// exactly one is told `true`.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn rotate(&self, step: Rotation) -> Result<bool> {
        with_write!(self.pool, async move |conn| {
            let live = sessions::table
                .find((Id::from(step.user), Id::from(step.id)))
                .filter(sessions::family_hash.eq(&step.family_hash))
                .filter(sessions::refresh_hash.eq(&step.presented_hash))
                .filter(sessions::revoke_time.is_null())
                .filter(sessions::expire_time.gt(Moment::from(step.now)));
            let moved = diesel::update(live)
                .set((
                    sessions::refresh_hash.eq(&step.successor_hash),
                    sessions::previous_hash.eq(Some(&step.presented_hash)),
                    sessions::successor_salt.eq(Some(&step.salt)),
                    sessions::rotate_time.eq(Moment::from(step.now)),
                    sessions::last_use_time.eq(Moment::from(step.now)),
                    sessions::expire_time.eq(Moment::from(step.expire_time)),
                    sessions::peer.eq(&step.peer),
                    sessions::rotate_request_id.eq(step.idempotency_key.map(Id)),
                ))
                .execute(conn)
                .await?;
            Ok::<bool, Error>(moved == 1)
        })
    }

    /// Ends a session; one that has ended stays as it is. Answers whether it was live.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn revoke(&self, user: UserId, id: SessionId, now: Timestamp) -> Result<bool> {
        let draft = self.draft.clone();
        with_write!(self.pool, async move |conn| {
            let live = sessions::table
                .find((Id::from(user), Id::from(id)))
                .filter(sessions::revoke_time.is_null())
                .filter(sessions::expire_time.gt(Moment::from(now)));
            let ended = diesel::update(live)
                .set(sessions::revoke_time.eq(Some(Moment::from(now))))
                .execute(conn)
                .await?
                == 1;
            if ended {
                revoke!(conn, user, Id::from(id), true, now);
                record!(conn, draft, user, Some(AuditTarget::Session(id)), now);
            }
            Ok::<bool, Error>(ended)
        })
    }

    /// Ends all sessions of a user.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn revoke_all(&self, user: UserId, now: Timestamp) -> Result<()> {
        let draft = self.draft.clone();
        with_write!(self.pool, async move |conn| {
            end_sessions!(conn, user, None::<SessionId>, now);
            record!(conn, draft, user, None, now);
            Ok::<(), Error>(())
        })
    }

    /// The sessions of a user that are live, the one used last first; at most 1000.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn list(&self, user: UserId, now: Timestamp) -> Result<Vec<Session>> {
        let rows: Vec<SessionRow> = with_conn!(self.pool, |conn| {
            sessions::table
                .filter(sessions::user_id.eq(Id::from(user)))
                .filter(sessions::revoke_time.is_null())
                .filter(sessions::expire_time.gt(Moment::from(now)))
                .order((sessions::last_use_time.desc(), sessions::id.desc()))
                .limit(LIST_MAX)
                .select(SessionRow::as_select())
                .load(conn)
                .await
        })?;
        rows.into_iter().map(Session::try_from).collect()
    }

    /// Whether a live session of this user was last used from this address.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn is_used_from(&self, user: UserId, peer: &str, now: Timestamp) -> Result<bool> {
        let known: Option<Id> = with_conn!(self.pool, |conn| {
            sessions::table
                .filter(sessions::user_id.eq(Id::from(user)))
                .filter(sessions::peer.eq(peer))
                .filter(sessions::revoke_time.is_null())
                .filter(sessions::expire_time.gt(Moment::from(now)))
                .select(sessions::id)
                .first(conn)
                .await
                .optional()
        })?;
        Ok(known.is_some())
    }

    /// The addresses from which sessions of this user were last used, those that have ended and are still kept included; at most
    /// 1000.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn peers(&self, user: UserId) -> Result<Vec<String>> {
        with_conn!(self.pool, |conn| {
            sessions::table
                .filter(sessions::user_id.eq(Id::from(user)))
                .select(sessions::peer)
                .distinct()
                .limit(LIST_MAX)
                .load(conn)
                .await
        })
    }

    /// Removes sessions that ended before `cutoff`, a bounded number at a time; answers how many.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn sweep(&self, cutoff: Timestamp) -> Result<usize> {
        sweep!(self.pool, sessions, expire_time < cutoff, (sessions::user_id, sessions::id), (Id, Id))
    }
}

/// A session as it is read.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = sessions)]
#[diesel(check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
struct SessionRow {
    user_id: Id,
    id: Id,
    device: String,
    peer: String,
    create_time: Moment,
    last_use_time: Moment,
    expire_time: Moment,
    revoke_time: Option<Moment>,
    family_hash: Vec<u8>,
    refresh_hash: Vec<u8>,
    previous_hash: Option<Vec<u8>>,
    successor_salt: Option<Vec<u8>>,
    rotate_time: Moment,
    rotate_request_id: Option<Id>,
}

impl TryFrom<SessionRow> for Session {
    type Error = Error;

    fn try_from(row: SessionRow) -> Result<Self> {
        Ok(Self {
            id: row.id.into(),
            user: row.user_id.into(),
            device: Device::parse(&row.device).map_err(corrupt("device"))?,
            peer: row.peer,
            create_time: row.create_time.try_into()?,
            last_use_time: row.last_use_time.try_into()?,
            expire_time: row.expire_time.try_into()?,
            revoke_time: row.revoke_time.map(TryInto::try_into).transpose()?,
            secrets: RefreshSecrets {
                family: row.family_hash,
                current: row.refresh_hash,
                previous: row.previous_hash,
                salt: row.successor_salt,
                rotate_time: row.rotate_time.try_into()?,
                rotate_idempotency_key: row.rotate_request_id.map(|id| id.0),
            },
        })
    }
}
