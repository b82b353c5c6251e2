//! API keys: made, listed, looked up by what they present, revoked. Only hashes of their secrets are here.

use diesel::{
    ExpressionMethods as _, JoinOnDsl as _, OptionalExtension as _, QueryDsl as _, Queryable, Selectable,
    SelectableHelper as _,
};
use diesel_async::RunQueryDsl as _;

use super::audit::record;
use super::revocations::revoke;
use crate::domain::{
    AccountKind, ApiKey, ApiKeyId, AuditTarget, DisplayName, Draft, Error, NewApiKey, Resource, Result,
    Scopes, Timestamp, UserId,
};
use crate::storage::engine::error::corrupt;
use crate::storage::engine::pool::{Pool, with_conn, with_write};
use crate::storage::engine::types::{Id, Moment};
use crate::storage::schema::{api_keys, users};

/// Keys that one user may have.
pub(in crate::storage) const KEYS_PER_USER_MAX: i64 = 100;

/// The API keys.
#[derive(Debug)]
pub struct ApiKeys<'a> {
    pool: &'a Pool,
    draft: Option<Draft>,
}

/// A key together with what is needed to check what was presented.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "it holds the hash of a secret")]
pub struct KeyHolder {
    /// The key.
    pub key: ApiKey,
    /// Hash of its secret.
    pub secret_hash: Vec<u8>,
}

impl<'a> ApiKeys<'a> {
    pub(in crate::storage) const fn new(pool: &'a Pool) -> Self {
        Self { pool, draft: None }
    }

    /// Records this event in the transaction of the change that is called next.
    #[must_use]
    pub fn recording(self, draft: Draft) -> Self {
        Self { draft: Some(draft), ..self }
    }

    /// Stores a key.
    ///
    /// # Errors
    /// `ApiKeyQuotaExceeded` when the user has as many as are allowed, `Invalid` for scopes that the account cannot have,
    /// `NotFound` when the user is gone, or those of the storage.
    pub async fn create(&self, new: NewApiKey) -> Result<ApiKey> {
        let draft = self.draft.clone();
        with_write!(self.pool, async move |conn| {
            // Writing the row, even unchanged, makes two keys of one user wait for each other: the count holds.
            let kind: Option<i16> = diesel::update(users::table.find(Id::from(new.user)))
                .set(users::version.eq(users::version))
                .returning(users::kind)
                .get_result(conn)
                .await
                .optional()?;
            let kind = kind.ok_or(Error::NotFound(Resource::User))?;
            let kind = AccountKind::from_code(kind).unwrap_or_default();
            new.scopes.check_for(kind).map_err(|rule| Error::invalid(rule.at("api_key.scopes")))?;
            let keys: i64 = api_keys::table
                .filter(api_keys::user_id.eq(Id::from(new.user)))
                .count()
                .get_result(conn)
                .await?;
            if keys >= KEYS_PER_USER_MAX {
                return Err(Error::ApiKeyQuotaExceeded { limit: KEYS_PER_USER_MAX });
            }
            diesel::insert_into(api_keys::table)
                .values((
                    api_keys::user_id.eq(Id::from(new.user)),
                    api_keys::id.eq(Id::from(new.id)),
                    api_keys::display_name.eq(new.display_name.as_str()),
                    api_keys::scopes.eq(new.scopes.code()),
                    api_keys::secret_hash.eq(&new.secret_hash),
                    api_keys::create_time.eq(Moment::from(new.create_time)),
                    api_keys::expire_time.eq(new.expire_time.map(Moment::from)),
                ))
                .execute(conn)
                .await?;
            let target = Some(AuditTarget::ApiKey(new.id));
            record!(conn, draft, new.user, target, new.create_time);
            Ok(ApiKey {
                id: new.id,
                user: new.user,
                display_name: new.display_name,
                scopes: new.scopes,
                create_time: new.create_time,
                expire_time: new.expire_time,
            })
        })
    }

    /// The keys of a user, newest first.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn list(&self, user: UserId) -> Result<Vec<ApiKey>> {
        let rows: Vec<KeyRow> = with_conn!(self.pool, |conn| {
            api_keys::table
                .filter(api_keys::user_id.eq(Id::from(user)))
                .order(api_keys::id.desc())
                .limit(KEYS_PER_USER_MAX)
                .select(KeyRow::as_select())
                .load(conn)
                .await
        })?;
        rows.into_iter().map(ApiKey::try_from).collect()
    }

    /// The key, if its user is not disabled; `None` when there is none.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn find(&self, user: UserId, id: ApiKeyId) -> Result<Option<KeyHolder>> {
        let row: Option<(KeyRow, Vec<u8>)> = with_conn!(self.pool, |conn| {
            api_keys::table
                .inner_join(users::table.on(users::id.eq(api_keys::user_id)))
                .filter(api_keys::user_id.eq(Id::from(user)))
                .filter(api_keys::id.eq(Id::from(id)))
                .filter(users::disable_time.is_null())
                .select((KeyRow::as_select(), api_keys::secret_hash))
                .first(conn)
                .await
                .optional()
        })?;
        row.map(|(row, secret_hash)| Ok(KeyHolder { key: row.try_into()?, secret_hash })).transpose()
    }

    /// Revokes and removes a key.
    ///
    /// # Errors
    /// `NotFound`, or those of the storage.
    pub async fn revoke(&self, user: UserId, id: ApiKeyId, now: Timestamp) -> Result<()> {
        let draft = self.draft.clone();
        with_write!(self.pool, async move |conn| {
            let removed =
                diesel::delete(api_keys::table.find((Id::from(user), Id::from(id)))).execute(conn).await?;
            if removed == 0 {
                return Err(Error::NotFound(Resource::ApiKey));
            }
            revoke!(conn, user, Id::from(id), true, now);
            record!(conn, draft, user, Some(AuditTarget::ApiKey(id)), now);
            Ok(())
        })
    }
}

/// A key as it is read; never with its secret.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = api_keys)]
#[diesel(check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
struct KeyRow {
    user_id: Id,
    id: Id,
    display_name: String,
    scopes: i16,
    create_time: Moment,
    expire_time: Option<Moment>,
}

impl TryFrom<KeyRow> for ApiKey {
    type Error = Error;

    fn try_from(row: KeyRow) -> Result<Self> {
        Ok(Self {
            id: row.id.into(),
            user: row.user_id.into(),
            display_name: DisplayName::parse(&row.display_name).map_err(corrupt("display name"))?,
            scopes: Scopes::from_code(row.scopes)
                .ok_or_else(|| Error::Internal("stored scopes are unknown".into()))?,
            create_time: row.create_time.try_into()?,
            expire_time: row.expire_time.map(TryInto::try_into).transpose()?,
        })
    }
}
