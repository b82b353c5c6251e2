//! Who is who at other issuers: the account that belongs to an issuer's subject.

use diesel::{ExpressionMethods as _, OptionalExtension as _, QueryDsl as _, SelectableHelper as _};
use diesel_async::RunQueryDsl as _;

use super::audit::record;
use super::users::UserRow;
use crate::domain::{Draft, EventKind, NewUser, Resource, Result, Timestamp, User, UserId};
use crate::storage::engine::pool::{Pool, with_conn, with_write};
use crate::storage::engine::types::{Id, Moment};
use crate::storage::events::outbox::tell;
use crate::storage::schema::{emails, identities, users};

/// A subject at an issuer.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Hash over both, under which it is unique.
    pub key: Vec<u8>,
    /// The issuer.
    pub issuer: String,
    /// The subject.
    pub subject: String,
}

/// The identities.
#[derive(Debug)]
pub struct Identities<'a> {
    pool: &'a Pool,
}

impl<'a> Identities<'a> {
    pub(in crate::storage) const fn new(pool: &'a Pool) -> Self {
        Self { pool }
    }

    /// The account of this identity; `None` when there is none.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn find(&self, key: &[u8]) -> Result<Option<User>> {
        let row: Option<UserRow> = with_conn!(self.pool, |conn| {
            let id: Option<Id> =
                identities::table.find(key).select(identities::user_id).first(conn).await.optional()?;
            match id {
                None => Ok(None),
                Some(id) => users::table.find(id).select(UserRow::as_select()).first(conn).await.optional(),
            }
        })?;
        row.map(User::try_from).transpose()
    }

    /// Makes an account without a password for this identity. Of two who do so at once both get the one that was made.
    ///
    /// # Errors
    /// `UserAlreadyExists` when the email is taken, or those of the storage.
    pub async fn create(
        &self,
        identity: Identity,
        new: NewUser,
        draft: Draft,
        now: Timestamp,
    ) -> Result<UserId> {
        with_write!(self.pool, async move |conn| {
            let first = diesel::insert_into(identities::table)
                .values((
                    identities::identity_key.eq(&identity.key),
                    identities::user_id.eq(Id::from(new.id)),
                    identities::issuer.eq(&identity.issuer),
                    identities::subject.eq(&identity.subject),
                    identities::create_time.eq(Moment::from(now)),
                ))
                .on_conflict_do_nothing()
                .execute(conn)
                .await?
                == 1;
            if !first {
                let existing: Option<Id> = identities::table
                    .find(&identity.key)
                    .select(identities::user_id)
                    .first(conn)
                    .await
                    .optional()?;
                return existing.map(UserId::from).ok_or(Error::NotFound(Resource::User));
            }
            let free = diesel::insert_into(emails::table)
                .values((emails::email_key.eq(new.email.key()), emails::user_id.eq(Id::from(new.id))))
                .on_conflict_do_nothing()
                .execute(conn)
                .await?
                == 1;
            if !free {
                return Err(Error::UserAlreadyExists);
            }
            diesel::insert_into(users::table)
                .values((
                    users::id.eq(Id::from(new.id)),
                    users::email.eq(new.email.as_str()),
                    users::display_name.eq(new.display_name.as_str()),
                    users::role.eq(new.role.code()),
                    users::create_time.eq(Moment::from(now)),
                    users::update_time.eq(Moment::from(now)),
                    users::version.eq(1_i64),
                    users::revision.eq(0_i64),
                    users::live_tasks.eq(0_i64),
                    users::compacted_revision.eq(0_i64),
                ))
                .execute(conn)
                .await?;
            record!(conn, Some(draft), new.id, None, now);
            tell!(conn, new.id, EventKind::UserCreated, now);
            Ok(new.id)
        })
    }
}
