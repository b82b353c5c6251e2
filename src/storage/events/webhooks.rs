//! Webhooks as they are stored. A user's row says whether one of the user's webhooks sends, so that writes need not look here.

use diesel::{
    ExpressionMethods as _, Insertable, OptionalExtension as _, QueryDsl as _, Queryable, Selectable,
    SelectableHelper as _,
};
use diesel_async::RunQueryDsl as _;

use crate::domain::{
    DisableReason, Draft, Error, EventTypes, FailureReason, NewWebhook, Resource, Result, Timestamp, Webhook,
    WebhookFailure, WebhookId, WebhookOwner, WebhookPatch, WebhookUrl,
};
use crate::storage::accounts::audit::record;
use crate::storage::engine::pool::{Pool, with_conn, with_write};
use crate::storage::engine::types::{Id, Moment};
use crate::storage::found;
use crate::storage::schema::{users, webhook_queues, webhooks};
use crate::storage::tasks::set_statements::lock_users;

/// Most webhooks of one user.
pub const WEBHOOKS_PER_USER_MAX: i64 = 10;
/// Most webhooks of the administrators.
const WEBHOOKS_OF_ADMINISTRATORS_MAX: i64 = 100;

/// The secrets of a webhook, sealed: the one it has, and the one before as long as that is valid.
pub type SealedSecrets = (Vec<u8>, Option<Vec<u8>>);
/// The same as they are stored, with the time until which the one before is valid.
type SecretsRow = (Vec<u8>, Option<Vec<u8>>, Option<Moment>);

#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = webhooks)]
#[diesel(check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
struct WebhookRow {
    user_id: Id,
    id: Id,
    url: String,
    event_types: i32,
    disable_reason: Option<i16>,
    create_time: Moment,
    update_time: Moment,
    last_success_time: Option<Moment>,
    last_failure_time: Option<Moment>,
    last_failure_code: Option<i32>,
    last_failure_reason: Option<i16>,
}

#[derive(Debug, Insertable)]
#[diesel(table_name = webhooks)]
struct NewRow {
    user_id: Id,
    id: Id,
    url: String,
    event_types: i32,
    disable_reason: Option<i16>,
    secret: Vec<u8>,
    create_time: Moment,
    update_time: Moment,
}

impl TryFrom<WebhookRow> for Webhook {
    type Error = Error;

    fn try_from(row: WebhookRow) -> Result<Self> {
        let unknown = |what: &str| Error::Internal(format!("a stored webhook has an unknown {what}"));
        let last_failure = match (row.last_failure_time, row.last_failure_reason) {
            (Some(time), Some(reason)) => Some(WebhookFailure {
                time: time.try_into()?,
                code: row.last_failure_code.and_then(|code| code.try_into().ok()).unwrap_or(0),
                reason: FailureReason::from_code(reason).ok_or_else(|| unknown("failure"))?,
            }),
            _ => None,
        };
        let disable_reason =
            row.disable_reason.map(|code| DisableReason::from_code(code).ok_or_else(|| unknown("state")));
        Ok(Self {
            id: row.id.into(),
            owner: WebhookOwner::from_key(row.user_id.into()),
            url: WebhookUrl::accepted(row.url),
            event_types: EventTypes::from_code(row.event_types).ok_or_else(|| unknown("type of event"))?,
            disable_reason: disable_reason.transpose()?,
            create_time: row.create_time.try_into()?,
            update_time: row.update_time.try_into()?,
            last_success_time: row.last_success_time.map(TryInto::try_into).transpose()?,
            last_failure,
        })
    }
}

/// Locks the row of the user whose webhook it is, if it is a user's.
macro_rules! hold_owner {
    ($conn:ident, $owner:expr) => {
        if let WebhookOwner::User(user) = $owner {
            let locked = lock_users(vec![user.into()]).load::<(Id, i64, i64, bool)>($conn).await?;
            if locked.is_empty() {
                return Err(Error::NotFound(Resource::User));
            }
        }
    };
}

/// Writes down at the user whether one of the webhooks sends.
macro_rules! note_listening {
    ($conn:ident, $owner:expr) => {
        if let WebhookOwner::User(user) = $owner {
            let sending: i64 = webhooks::table
                .filter(webhooks::user_id.eq(Id::from(user)))
                .filter(webhooks::disable_reason.is_null())
                .count()
                .get_result($conn)
                .await?;
            diesel::update(users::table.find(Id::from(user)))
                .set(users::listened.eq(sending > 0))
                .execute($conn)
                .await?;
        }
    };
}

fn row_key(owner: WebhookOwner, id: WebhookId) -> (Id, Id) {
    (owner.key().into(), id.into())
}

/// The webhooks.
#[derive(Debug)]
pub struct Webhooks<'a> {
    pool: &'a Pool,
    draft: Option<Draft>,
}

impl<'a> Webhooks<'a> {
    pub(in crate::storage) const fn new(pool: &'a Pool) -> Self {
        Self { pool, draft: None }
    }

    /// Has what is done recorded in the audit trail of the user whose webhook it is.
    pub fn recorded(self, draft: Draft) -> Self {
        Self { draft: Some(draft), ..self }
    }

    /// Stores a new webhook.
    ///
    /// # Errors
    /// `WebhookQuotaExceeded`, `NotFound` when the user is gone, or those of the storage.
    pub async fn create(&self, new: NewWebhook) -> Result<Webhook> {
        let draft = self.draft.clone();
        let (owner, limit) = match new.owner {
            WebhookOwner::User(_) => (new.owner, WEBHOOKS_PER_USER_MAX),
            WebhookOwner::Administrators => (new.owner, WEBHOOKS_OF_ADMINISTRATORS_MAX),
        };
        let now = new.create_time;
        let row = NewRow {
            user_id: owner.key().into(),
            id: new.id.into(),
            url: new.url.as_str().to_owned(),
            event_types: new.event_types.code(),
            disable_reason: (!new.enabled).then(|| DisableReason::Asked.code()),
            secret: new.secret,
            create_time: now.into(),
            update_time: now.into(),
        };
        with_write!(self.pool, async move |conn| {
            hold_owner!(conn, owner);
            let present: i64 = webhooks::table
                .filter(webhooks::user_id.eq(Id::from(owner.key())))
                .count()
                .get_result(conn)
                .await?;
            if present >= limit {
                return Err(Error::WebhookQuotaExceeded { limit });
            }
            diesel::insert_into(webhooks::table).values(row).execute(conn).await?;
            note_listening!(conn, owner);
            if let WebhookOwner::User(user) = owner {
                record!(conn, draft, user, None, now);
            }
            Ok(())
        })?;
        self.find(owner, new.id).await
    }

    /// One webhook.
    ///
    /// # Errors
    /// `NotFound`, or those of the storage.
    pub async fn find(&self, owner: WebhookOwner, id: WebhookId) -> Result<Webhook> {
        let row: Option<WebhookRow> = with_conn!(self.pool, |conn| {
            let one = webhooks::table.find(row_key(owner, id));
            one.select(WebhookRow::as_select()).first(conn).await.optional()
        })?;
        found(row, Error::NotFound(Resource::Webhook))?.try_into()
    }

    /// The webhooks of a user, or of the administrators, oldest first.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn list(&self, owner: WebhookOwner) -> Result<Vec<Webhook>> {
        let rows: Vec<WebhookRow> = with_conn!(self.pool, |conn| {
            webhooks::table
                .filter(webhooks::user_id.eq(Id::from(owner.key())))
                .order(webhooks::id.asc())
                .limit(WEBHOOKS_OF_ADMINISTRATORS_MAX)
                .select(WebhookRow::as_select())
                .load(conn)
                .await
        })?;
        rows.into_iter().map(Webhook::try_from).collect()
    }

    /// The secrets of a webhook that are valid now, sealed.
    ///
    /// # Errors
    /// `NotFound`, or those of the storage.
    pub async fn secrets(&self, owner: WebhookOwner, id: WebhookId, now: Timestamp) -> Result<SealedSecrets> {
        let row: Option<SecretsRow> = with_conn!(self.pool, |conn| {
            webhooks::table
                .find(row_key(owner, id))
                .select((webhooks::secret, webhooks::previous_secret, webhooks::previous_until))
                .first(conn)
                .await
                .optional()
        })?;
        let (secret, previous, until) = found(row, Error::NotFound(Resource::Webhook))?;
        let is_valid = until.is_some_and(|until| until.0 > Moment::from(now).0);
        Ok((secret, previous.filter(|_| is_valid)))
    }

    /// Changes a webhook. One that is enabled again begins with what happens from now on.
    ///
    /// # Errors
    /// `NotFound`, or those of the storage.
    pub async fn update(
        &self,
        owner: WebhookOwner,
        id: WebhookId,
        patch: WebhookPatch,
        now: Timestamp,
    ) -> Result<Webhook> {
        with_write!(self.pool, async move |conn| {
            hold_owner!(conn, owner);
            let one = webhooks::table.find(row_key(owner, id));
            let row: Option<WebhookRow> = one.select(WebhookRow::as_select()).first(conn).await.optional()?;
            let before: Webhook = found(row, Error::NotFound(Resource::Webhook))?.try_into()?;
            let url = patch.url.unwrap_or_else(|| before.url.clone());
            let event_types = patch.event_types.unwrap_or(before.event_types);
            let disable_reason = match patch.enabled {
                Some(true) => None,
                Some(false) => before.disable_reason.or(Some(DisableReason::Asked)),
                None => before.disable_reason,
            };
            diesel::update(one)
                .set((
                    webhooks::url.eq(url.as_str()),
                    webhooks::event_types.eq(event_types.code()),
                    webhooks::disable_reason.eq(disable_reason.map(DisableReason::code)),
                    webhooks::update_time.eq(Moment::from(now.max(before.update_time))),
                ))
                .execute(conn)
                .await?;
            if before.disable_reason.is_some() != disable_reason.is_some() {
                // What it has still to be told is kept while it is disabled, and tried at once when it no longer is.
                let next = disable_reason.is_none().then(|| Moment::from(now));
                diesel::update(webhook_queues::table.filter(webhook_queues::webhook_id.eq(Id::from(id))))
                    .set((webhook_queues::attempts.eq(0), webhook_queues::next_attempt_time.eq(next)))
                    .execute(conn)
                    .await?;
            }
            note_listening!(conn, owner);
            Ok::<(), Error>(())
        })?;
        self.find(owner, id).await
    }

    /// Gives a webhook another secret. The one that it had stays valid until then.
    ///
    /// # Errors
    /// `NotFound`, or those of the storage.
    pub async fn rotate(
        &self,
        owner: WebhookOwner,
        id: WebhookId,
        secret: Vec<u8>,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Webhook> {
        let draft = self.draft.clone();
        with_write!(self.pool, async move |conn| {
            hold_owner!(conn, owner);
            let one = webhooks::table.find(row_key(owner, id));
            let before: Option<Vec<u8>> = one.select(webhooks::secret).first(conn).await.optional()?;
            let before = found(before, Error::NotFound(Resource::Webhook))?;
            diesel::update(one)
                .set((
                    webhooks::secret.eq(secret),
                    webhooks::previous_secret.eq(Some(before)),
                    webhooks::previous_until.eq(Some(Moment::from(until))),
                    webhooks::update_time.eq(Moment::from(now)),
                ))
                .execute(conn)
                .await?;
            if let WebhookOwner::User(user) = owner {
                record!(conn, draft, user, None, now);
            }
            Ok::<(), Error>(())
        })?;
        self.find(owner, id).await
    }

    /// Removes a webhook, and what it was still to be told.
    ///
    /// # Errors
    /// `NotFound`, or those of the storage.
    pub async fn delete(&self, owner: WebhookOwner, id: WebhookId, now: Timestamp) -> Result<()> {
        let draft = self.draft.clone();
        with_write!(self.pool, async move |conn| {
            hold_owner!(conn, owner);
            let removed = diesel::delete(webhooks::table.find(row_key(owner, id))).execute(conn).await?;
            if removed == 0 {
                return Err(Error::NotFound(Resource::Webhook));
            }
            diesel::delete(webhook_queues::table.filter(webhook_queues::webhook_id.eq(Id::from(id))))
                .execute(conn)
                .await?;
            note_listening!(conn, owner);
            if let WebhookOwner::User(user) = owner {
                record!(conn, draft, user, None, now);
            }
            Ok(())
        })
    }

    /// Writes down when the receiver last took something.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn succeeded(&self, owner: WebhookOwner, id: WebhookId, now: Timestamp) -> Result<()> {
        with_write!(self.pool, async move |conn| {
            diesel::update(webhooks::table.find(row_key(owner, id)))
                .set(webhooks::last_success_time.eq(Some(Moment::from(now))))
                .execute(conn)
                .await?;
            Ok::<(), Error>(())
        })
    }

    /// Writes down that an attempt failed, and disables the webhook where there is a reason to. Answers whether it was disabled by
    /// this.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn failed(
        &self,
        owner: WebhookOwner,
        id: WebhookId,
        failure: WebhookFailure,
        disable: Option<DisableReason>,
    ) -> Result<bool> {
        let draft = self.draft.clone();
        let now = failure.time;
        with_write!(self.pool, async move |conn| {
            if disable.is_some() {
                // Its owner may have gone, with the webhook.
                if let WebhookOwner::User(user) = owner {
                    lock_users(vec![user.into()]).load::<(Id, i64, i64, bool)>(conn).await?;
                }
            }
            let one = webhooks::table.find(row_key(owner, id));
            diesel::update(one)
                .set((
                    webhooks::last_failure_time.eq(Some(Moment::from(now))),
                    webhooks::last_failure_code.eq(Some(i32::from(failure.code))),
                    webhooks::last_failure_reason.eq(Some(failure.reason.code())),
                ))
                .execute(conn)
                .await?;
            let Some(reason) = disable else { return Ok::<bool, Error>(false) };
            let disabled = diesel::update(
                webhooks::table.find(row_key(owner, id)).filter(webhooks::disable_reason.is_null()),
            )
            .set((
                webhooks::disable_reason.eq(Some(reason.code())),
                webhooks::update_time.eq(Moment::from(now)),
            ))
            .execute(conn)
            .await?;
            if disabled == 0 {
                return Ok(false);
            }
            // What it was still to be told stays where it is, and is not tried.
            diesel::update(webhook_queues::table.filter(webhook_queues::webhook_id.eq(Id::from(id))))
                .set(webhook_queues::next_attempt_time.eq(None::<Moment>))
                .execute(conn)
                .await?;
            note_listening!(conn, owner);
            if let WebhookOwner::User(user) = owner {
                record!(conn, draft, user, None, now);
            }
            Ok(true)
        })
    }
}
