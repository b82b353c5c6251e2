//! Accounts in the making; each at most once per idempotency key.

use diesel::{ExpressionMethods as _, OptionalExtension as _, QueryDsl as _, Queryable};
use diesel_async::RunQueryDsl as _;
use uuid::Uuid;

use super::audit::record;
use super::mails::{keep_token, queue_mail};
use super::users::{Users, claim_email};
use crate::domain::{AccountKind, Error, EventKind, HistoryId, NewUser, Result, Timestamp, User, UserId};
use crate::storage::engine::pool::{with_conn, with_write};
use crate::storage::engine::types::{Id, Moment};
use crate::storage::events::outbox::tell;
use crate::storage::schema::{database_state, requests, users};
use crate::storage::tasks::set_statements::lock_users;

/// How a registration is recognised when it comes again, and what it is then answered.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Who calls; most have no account yet, and share one space of keys.
    pub caller: Option<UserId>,
    /// What the caller gave it as `request_id`.
    pub key: Uuid,
    /// Hash of method and message. The password is not in it: a fast hash of a password is an open one.
    pub fingerprint: Vec<u8>,
    /// The answer to be remembered.
    pub answer: fn(&User) -> Vec<u8>,
}

impl Registration {
    fn row_key(&self) -> (Id, Id) {
        row_key(self.caller, self.key)
    }
}

fn row_key(caller: Option<UserId>, key: Uuid) -> (Id, Id) {
    (caller.map_or(Id(Uuid::nil()), Id::from), Id(key))
}

/// What is known of an earlier call with the same idempotency key.
#[derive(Clone, Queryable)]
pub struct Remembered {
    /// Hash of its method and message.
    pub fingerprint: Vec<u8>,
    /// Its answer.
    pub answer: Vec<u8>,
    /// The hash of its password, in PHC form; absent when it was no registration.
    pub password_hash: Option<String>,
}

impl std::fmt::Debug for Remembered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remembered").finish_non_exhaustive()
    }
}

/// What became of a registration.
#[derive(Debug, Clone)]
pub enum Registered {
    /// The account was made.
    Now(User),
    /// A call with this idempotency key was carried out before.
    Before(Remembered),
}

/// Stores an account that has nothing yet: `insert_user!(conn, user, password_hash, now)` inside `with_write!`.
macro_rules! insert_user {
    ($conn:ident, $user:expr, $password_hash:expr, $now:expr) => {
        diesel::insert_into(users::table)
            .values((
                users::id.eq(Id::from($user.id)),
                users::email.eq($user.email.as_str()),
                users::display_name.eq($user.display_name.as_str()),
                users::role.eq($user.role.code()),
                users::kind.eq($user.kind.code()),
                users::password_hash.eq($password_hash),
                users::create_time.eq(Moment::from($now)),
                users::update_time.eq(Moment::from($now)),
                users::version.eq($user.version),
                users::revision.eq($user.revision),
                users::live_tasks.eq(0_i64),
                users::compacted_revision.eq(0_i64),
            ))
            .execute($conn)
            .await?;
    };
}

impl Users<'_> {
    /// Makes the account of a service, which has no password.
    ///
    /// # Errors
    /// `UserAlreadyExists` when the email is taken, or those of the storage.
    pub async fn create_service(&self, new: NewUser, now: Timestamp) -> Result<User> {
        let draft = self.draft.clone();
        with_write!(self.by_key, async move |conn| {
            let present: Id = database_state::table.select(database_state::history).first(conn).await?;
            let user = as_new(new, AccountKind::Service, now, present.into());
            claim_email!(conn, user.email, user.id);
            insert_user!(conn, user, None::<&str>, now);
            record!(conn, draft, user.id, None, now);
            tell!(conn, user.id, EventKind::UserCreated, now);
            Ok(user)
        })
    }

    /// Makes an account.
    ///
    /// # Errors
    /// `UserAlreadyExists` when the email is taken, or those of the storage.
    pub async fn create(&self, new: NewUser, password_hash: String, now: Timestamp) -> Result<User> {
        match self.create_once(new, password_hash, None, now).await? {
            Registered::Now(user) => Ok(user),
            Registered::Before(_) => {
                Err(Error::Internal("an account without an idempotency key was replayed".into()))
            }
        }
    }

    /// Makes an account, unless a call with this idempotency key was carried out before. Waits for one that is under way. What is
    /// asked for by `as_if` is remembered and answered in the same way, and leaves a mail at most.
    ///
    /// # Errors
    /// `UserAlreadyExists` when the email is taken, `RequestInProgress` when the wait takes too long, or those of the
    /// storage.
    pub async fn create_once(
        &self,
        new: NewUser,
        password_hash: String,
        once: Option<Registration>,
        now: Timestamp,
    ) -> Result<Registered> {
        let (draft, mail) = (self.draft.clone(), self.mail.clone());
        let brought = self.token.clone();
        let as_if = self.as_if;
        with_write!(self.by_key, async move |conn| {
            let present: Id = database_state::table.select(database_state::history).first(conn).await?;
            let user = as_new(new, AccountKind::Person, now, present.into());
            if let Some(once) = once {
                let (caller, request_id) = once.row_key();
                // The order of the caller's own writes; one without an account has no row to wait for.
                let locked = lock_users(vec![caller]).load::<(Id, i64, i64, bool)>(conn).await;
                locked.map_err(|error| in_progress(error.into()))?;
                let remembered = diesel::insert_into(requests::table)
                    .values((
                        requests::user_id.eq(caller),
                        requests::request_id.eq(request_id),
                        requests::fingerprint.eq(&once.fingerprint),
                        requests::answer.eq((once.answer)(&user)),
                        requests::create_time.eq(Moment::from(now)),
                        requests::made_user_id.eq(Some(Id::from(user.id))),
                        requests::password_hash.eq(Some(&password_hash)),
                    ))
                    .on_conflict_do_nothing()
                    .execute(conn)
                    .await
                    .map_err(|error| in_progress(error.into()))?;
                if remembered == 0 {
                    let before = requests::table
                        .find((caller, request_id))
                        .select((requests::fingerprint, requests::answer, requests::password_hash))
                        .first(conn)
                        .await?;
                    return Ok(Registered::Before(before));
                }
            }
            if !as_if {
                claim_email!(conn, user.email, user.id);
                insert_user!(conn, user, Some(password_hash.as_str()), now);
                record!(conn, draft, user.id, None, now);
                tell!(conn, user.id, EventKind::UserCreated, now);
            }
            keep_token!(conn, brought.as_ref().map(|brought| &brought.0));
            queue_mail!(conn, brought.as_ref().map(|brought| &brought.1));
            queue_mail!(conn, mail);
            Ok(Registered::Now(user))
        })
    }

    /// What is known of an earlier call with this idempotency key.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn remembered(&self, caller: Option<UserId>, key: Uuid) -> Result<Option<Remembered>> {
        with_conn!(self.pool, |conn| {
            requests::table
                .find(row_key(caller, key))
                .select((requests::fingerprint, requests::answer, requests::password_hash))
                .first(conn)
                .await
                .optional()
        })
    }
}

fn as_new(new: NewUser, kind: AccountKind, now: Timestamp, history: HistoryId) -> User {
    User {
        id: new.id,
        email: new.email,
        display_name: new.display_name,
        role: new.role,
        create_time: now,
        update_time: now,
        disable_time: None,
        kind,
        totp_enabled: false,
        email_verified: false,
        revision: 0,
        history,
        version: 1,
    }
}

/// The lock that did not come in time is held by the first call, as far as is known. A server of a Citus heeds no limit but
/// that of the whole statement.
fn in_progress(error: Error) -> Error {
    match error {
        Error::Conflict | Error::DeadlineExceeded => Error::RequestInProgress,
        other => other,
    }
}
