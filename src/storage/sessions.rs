//! Sessions: opened at login, moved on by each refresh, ended once.

use diesel::{
    ExpressionMethods as _, OptionalExtension as _, QueryDsl as _, Queryable, Selectable,
    SelectableHelper as _,
};
use diesel_async::RunQueryDsl as _;

use super::error::corrupt;
use super::pool::{Pool, with_conn, with_write};
use super::schema::sessions;
use super::types::{Id, Moment};
use crate::domain::{
    Device, Error, NewSession, RefreshSecrets, Result, Session, SessionId, Timestamp, UserId,
};

/// The sessions.
#[derive(Debug)]
pub struct Sessions<'a> {
    pool: &'a Pool,
}

/// The next step of a session's refresh tokens.
#[derive(Debug, Clone)]
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
}

impl<'a> Sessions<'a> {
    pub(super) const fn new(pool: &'a Pool) -> Self {
        Self { pool }
    }

    /// Opens a session.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn create(&self, new: NewSession) -> Result<Session> {
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
            },
        };
        with_write!(self.pool, async move |conn| {
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
                ))
                .execute(conn)
                .await?;
            Ok::<bool, Error>(moved == 1)
        })
    }

    /// Ends a session; one that has ended stays as it is.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn revoke(&self, user: UserId, id: SessionId, now: Timestamp) -> Result<()> {
        with_write!(self.pool, async move |conn| {
            let live =
                sessions::table.find((Id::from(user), Id::from(id))).filter(sessions::revoke_time.is_null());
            diesel::update(live).set(sessions::revoke_time.eq(Some(Moment::from(now)))).execute(conn).await?;
            Ok::<(), Error>(())
        })
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
            },
        })
    }
}
