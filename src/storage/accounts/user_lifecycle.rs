//! What happens to accounts beyond their fields: listed, disabled, enabled, given another password, deleted.

use diesel::{
    EscapeExpressionMethods as _, ExpressionMethods as _, JoinOnDsl as _, OptionalExtension as _,
    QueryDsl as _, SelectableHelper as _, TextExpressionMethods as _,
};
use diesel_async::RunQueryDsl as _;

use super::audit::record;
use super::mails::queue_mail;
use super::revocations::{end_sessions, revoke};
use super::second_factors::remove_factor;
use super::users::{Account, UserRow, Users};
use crate::domain::{
    EmailFilter, Error, EventKind, PageSize, Resource, Result, Role, SessionId, Timestamp, User, UserId,
};
use crate::storage::engine::pool::{with_conn, with_write};
use crate::storage::engine::types::{Id, Moment, TextList};
use crate::storage::engine::{erasure, history};
use crate::storage::events::outbox::tell;
use crate::storage::found;
use crate::storage::schema::{
    emails, guards, identities, mail_tokens, mails, requests, task_changes, task_lists, tasks, users,
    webhook_queues, webhooks,
};
use crate::storage::tasks::set_statements::lock_users;

/// Rows that one step of a deletion removes, so that no statement runs into its time limit.
const DELETE_STEP: i64 = 5_000;

/// Fails for the last administrator who is not disabled. The row that is locked first makes everybody wait who would
/// take away another one, so that two cannot each rely on the other.
macro_rules! keep_an_admin {
    ($conn:ident, $user:expr) => {
        if $user.role == Role::Admin && $user.disable_time.is_none() {
            diesel::update(guards::table.find("admins"))
                .set(guards::version.eq(guards::version + 1))
                .execute($conn)
                .await?;
            let others: i64 = users::table
                .filter(users::role.eq(Role::Admin.code()))
                .filter(users::disable_time.is_null())
                .filter(users::id.ne(Id::from($user.id)))
                .count()
                .get_result($conn)
                .await?;
            if others == 0 {
                return Err(Error::LastAdmin);
            }
        }
    };
}

macro_rules! read {
    ($conn:ident, $id:expr) => {{
        let row: Option<UserRow> =
            users::table.find(Id::from($id)).select(UserRow::as_select()).first($conn).await.optional()?;
        let user: User = found(row, Error::NotFound(Resource::User))?.try_into()?;
        user
    }};
}

/// Removes those of a user's tasks for which this holds, and counts them off.
macro_rules! remove_some {
    ($conn:ident, $user:expr, $which:expr) => {
        let some = tasks::table.filter(tasks::user_id.eq($user)).filter($which);
        let live: i64 = some.filter(tasks::delete_time.is_null()).count().get_result($conn).await?;
        diesel::delete(some).execute($conn).await?;
        diesel::update(users::table.find($user))
            .set(users::live_tasks.eq(users::live_tasks - live))
            .execute($conn)
            .await?;
    };
}

impl Users<'_> {
    /// The accounts, oldest first, from after `after` on; and whether there are more.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn list(
        &self,
        filter: &EmailFilter,
        after: Option<UserId>,
        page_size: PageSize,
    ) -> Result<(Vec<User>, bool)> {
        let wanted = page_size.get();
        let limit = i64::try_from(wanted + 1).unwrap_or(i64::MAX);
        let after = after.map_or(Id(uuid::Uuid::nil()), Id::from);
        let pattern = match filter {
            EmailFilter::Any => "%".to_owned(),
            EmailFilter::Is(key) => like(key),
            EmailFilter::Contains(part) => format!("%{}%", like(part)),
        };
        // Which ones first: on a cluster emails are spread in another way than users, and such a join reads nothing else.
        let mut ids: Vec<Id> = with_conn!(self.pool, |conn| {
            users::table
                .inner_join(emails::table.on(emails::user_id.eq(users::id)))
                .filter(users::id.gt(after))
                .filter(emails::email_key.like(&pattern).escape('\\'))
                .order(users::id)
                .limit(limit)
                .select(users::id)
                .load(conn)
                .await
        })?;
        let more = ids.len() > wanted;
        ids.truncate(wanted);
        let rows: Vec<UserRow> = with_conn!(self.pool, |conn| {
            users::table
                .filter(users::id.eq_any(&ids))
                .order(users::id)
                .select(UserRow::as_select())
                .load(conn)
                .await
        })?;
        let users: Result<Vec<User>> = rows.into_iter().map(User::try_from).collect();
        Ok((users?, more))
    }

    /// The account and the hash of its password.
    ///
    /// # Errors
    /// `NotFound`, or those of the storage.
    pub async fn find_account(&self, id: UserId) -> Result<Account> {
        let row: Option<(UserRow, Option<String>)> = with_conn!(self.pool, |conn| {
            users::table
                .find(Id::from(id))
                .select((UserRow::as_select(), users::password_hash))
                .first(conn)
                .await
                .optional()
        })?;
        let (row, password_hash) = found(row, Error::NotFound(Resource::User))?;
        Ok(Account { user: row.try_into()?, password_hash })
    }

    /// Disables an account and ends all its sessions. One that is disabled stays as it is.
    ///
    /// # Errors
    /// `NotFound`, `LastAdmin`, `Conflict` when another change came in between, or those of the storage.
    pub async fn disable(&self, id: UserId, now: Timestamp) -> Result<User> {
        self.set_disabled(id, true, now).await
    }

    /// Enables an account. Its sessions stay ended. One that is not disabled stays as it is.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when another change came in between, or those of the storage.
    pub async fn enable(&self, id: UserId, now: Timestamp) -> Result<User> {
        self.set_disabled(id, false, now).await
    }

    async fn set_disabled(&self, id: UserId, disabled: bool, now: Timestamp) -> Result<User> {
        let draft = self.draft.clone();
        with_write!(self.pool, async move |conn| {
            let mut user: User = read!(conn, id);
            if user.disable_time.is_some() == disabled {
                return Ok(user);
            }
            keep_an_admin!(conn, user);
            let current = users::table.find(Id::from(id)).filter(users::version.eq(user.version));
            user.disable_time = disabled.then_some(now);
            user.update_time = now.max(user.update_time);
            user.version += 1;
            let changed = diesel::update(current)
                .set((
                    users::disable_time.eq(user.disable_time.map(Moment::from)),
                    users::update_time.eq(Moment::from(user.update_time)),
                    users::version.eq(user.version),
                ))
                .execute(conn)
                .await?;
            if changed == 0 {
                return Err(Error::Conflict);
            }
            if disabled {
                end_sessions!(conn, id, None::<SessionId>, now);
                // Who deletes an account disables it first, and tells of that alone.
                if draft.is_some() {
                    tell!(conn, id, EventKind::UserDisabled, now);
                }
            }
            revoke!(conn, id, Id::from(id), disabled, now);
            record!(conn, draft, id, None, now);
            Ok(user)
        })
    }

    /// Replaces the password, if `old_hash` is still its hash, and ends all sessions but one.
    ///
    /// # Errors
    /// `Conflict` when the password was changed or the account disabled meanwhile, or those of the storage.
    pub async fn change_password(
        &self,
        id: UserId,
        old_hash: String,
        new_hash: String,
        keep: Option<SessionId>,
        now: Timestamp,
    ) -> Result<()> {
        let (draft, mail) = (self.draft.clone(), self.mail.clone());
        with_write!(self.pool, async move |conn| {
            let verified = users::table
                .find(Id::from(id))
                .filter(users::password_hash.eq(Some(&old_hash)))
                .filter(users::disable_time.is_null());
            let before: Option<Moment> =
                users::table.find(Id::from(id)).select(users::update_time).first(conn).await.optional()?;
            let update_time =
                before.map(Timestamp::try_from).transpose()?.map_or(now, |before| now.max(before));
            let changed = diesel::update(verified)
                .set((
                    users::password_hash.eq(Some(&new_hash)),
                    users::update_time.eq(Moment::from(update_time)),
                    users::version.eq(users::version + 1),
                ))
                .execute(conn)
                .await?;
            if changed == 0 {
                return Err(Error::Conflict);
            }
            end_sessions!(conn, id, keep, now);
            record!(conn, draft, id, None, now);
            queue_mail!(conn, mail);
            Ok(())
        })
    }

    /// Deletes an account for good, with all that belongs to it. What stays is the audit trail, the revocation, and in the journal
    /// that something happened: ids, numbers and times.
    ///
    /// The first step takes the account away from its user; the rows go in bounded steps after it, and the account
    /// last. A deletion that stops in the middle leaves a disabled account, and is taken up by the next call.
    ///
    /// # Errors
    /// `NotFound`, `LastAdmin`, `Conflict` when another change came in between, or those of the storage.
    pub async fn delete(&self, id: UserId, now: Timestamp) -> Result<()> {
        let silent = Users { draft: None, mail: None, token: None, ..*self };
        silent.disable(id, now).await?;
        while self.delete_step(id, DELETE_STEP).await? {}
        let mark = history::raise_mark(self.pool).await?;
        let draft = self.draft.clone();
        with_write!(self.pool, async move |conn| {
            diesel::delete(emails::table.filter(emails::user_id.eq(Id::from(id)))).execute(conn).await?;
            remove_factor!(conn, id);
            diesel::delete(mail_tokens::table.filter(mail_tokens::user_id.eq(Id::from(id))))
                .execute(conn)
                .await?;
            diesel::delete(mails::table.filter(mails::user_id.eq(Id::from(id)))).execute(conn).await?;
            diesel::delete(identities::table.filter(identities::user_id.eq(Id::from(id))))
                .execute(conn)
                .await?;
            diesel::delete(requests::table.filter(requests::user_id.eq(Id::from(id)))).execute(conn).await?;
            // The answer to the registration, which holds the email; whoever called had no account.
            diesel::delete(requests::table.filter(requests::made_user_id.eq(Some(Id::from(id)))))
                .execute(conn)
                .await?;
            tell!(conn, id, EventKind::UserDeleted, now);
            diesel::delete(webhooks::table.filter(webhooks::user_id.eq(Id::from(id)))).execute(conn).await?;
            diesel::delete(webhook_queues::table.filter(webhook_queues::owner_id.eq(Id::from(id))))
                .execute(conn)
                .await?;
            // Sessions and keys go with it. From here on no write finds the user any more.
            let removed = diesel::delete(users::table.find(Id::from(id))).execute(conn).await?;
            if removed == 0 {
                return Err(Error::NotFound(Resource::User));
            }
            // What was written since the last step.
            diesel::delete(tasks::table.filter(tasks::user_id.eq(Id::from(id)))).execute(conn).await?;
            diesel::delete(task_lists::table.filter(task_lists::user_id.eq(Id::from(id))))
                .execute(conn)
                .await?;
            let changes = task_changes::table.filter(task_changes::user_id.eq(Id::from(id)));
            diesel::delete(changes).execute(conn).await?;
            revoke!(conn, id, Id::from(id), true, now);
            record!(conn, draft, id, None, now);
            Ok::<(), Error>(())
        })?;
        self.pool.note_deletion(mark);
        erasure::write_anew(self.pool).await;
        erasure::empty_log(self.pool).await;
        Ok(())
    }

    /// Removes some of the changes and tasks, about so many; answers whether there are more. What is left agrees with itself after
    /// each step: the user's numbers move along, and subtasks go together with what is noted of them.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn delete_step(&self, id: UserId, rows_max: i64) -> Result<bool> {
        with_write!(self.pool, async move |conn| {
            let user = Id::from(id);
            // Holds the numbers against writes that are still under way.
            let locked = lock_users(vec![user]).load::<(Id, i64, i64, bool)>(conn).await?;
            let revision = locked.as_slice().first().map_or(0, |(_, revision, ..)| *revision);
            let first: Option<i64> = task_changes::table
                .filter(task_changes::user_id.eq(user))
                .order(task_changes::revision)
                .select(task_changes::revision)
                .first(conn)
                .await
                .optional()?;
            if let Some(first) = first {
                let last = first.saturating_add(rows_max - 1).min(revision);
                let some = task_changes::table
                    .filter(task_changes::user_id.eq(user))
                    .filter(task_changes::revision.le(last));
                diesel::delete(some).execute(conn).await?;
                diesel::update(users::table.find(user))
                    .set(users::compacted_revision.eq(last))
                    .execute(conn)
                    .await?;
                return Ok(true);
            }
            let below = tasks::table.filter(tasks::user_id.eq(user)).filter(tasks::parent_id.is_not_null());
            let parents: Vec<Option<Id>> =
                below.order(tasks::parent_id).limit(rows_max).select(tasks::parent_id).load(conn).await?;
            if let Some(last) = parents.last().copied() {
                let mut parents: Vec<Id> = parents.into_iter().flatten().collect();
                parents.dedup();
                let noted =
                    tasks::table.filter(tasks::user_id.eq(user)).filter(tasks::task_id.eq_any(parents));
                diesel::update(noted).set(tasks::details.eq(None::<TextList>)).execute(conn).await?;
                remove_some!(conn, user, tasks::parent_id.le(last));
                return Ok(true);
            }
            let last: Option<Id> = tasks::table
                .filter(tasks::user_id.eq(user))
                .order(tasks::task_id)
                .offset(rows_max - 1)
                .select(tasks::task_id)
                .first(conn)
                .await
                .optional()?;
            let Some(last) = last else {
                return Ok::<bool, Error>(false);
            };
            remove_some!(conn, user, tasks::task_id.le(last));
            Ok(true)
        })
    }
}

/// A text as it stands for itself in a pattern.
fn like(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}
