//! Accounts and the table that keeps their emails unique.

use diesel::{
    ExpressionMethods as _, OptionalExtension as _, QueryDsl as _, Queryable, Selectable,
    SelectableHelper as _,
};
use diesel_async::RunQueryDsl as _;

use super::audit::record;
use super::mails::{keep_token, queue_mail};
use crate::domain::{
    AccountKind, DisplayName, Draft, Email, Error, NewMail, NewMailToken, Resource, Result, Role, Timestamp,
    User, UserId, UserPatch,
};
use crate::storage::engine::error::corrupt;
use crate::storage::engine::history;
use crate::storage::engine::pool::{Pool, with_conn, with_write};
use crate::storage::engine::types::{Id, Moment};
use crate::storage::found;
use crate::storage::schema::{emails, users};

/// Takes an email for an account, or fails with `UserAlreadyExists` where another one has it: `claim_email!(conn, email,
/// user)` inside `with_write!`.
macro_rules! claim_email {
    ($conn:ident, $email:expr, $user:expr) => {{
        use $crate::storage::schema::emails;
        let user = $crate::storage::engine::types::Id::from($user);
        let claimed = diesel::insert_into(emails::table)
            .values((emails::email_key.eq($email.key()), emails::user_id.eq(user)))
            .on_conflict_do_nothing()
            .execute($conn)
            .await?;
        if claimed == 0 {
            return Err($crate::domain::Error::UserAlreadyExists);
        }
    }};
}
pub(in crate::storage) use claim_email;

/// The accounts.
#[derive(Debug)]
pub struct Users<'a> {
    pub(in crate::storage) pool: &'a Pool,
    /// For what reaches rows by their key alone.
    pub(in crate::storage) by_key: &'a Pool,
    pub(in crate::storage) draft: Option<Draft>,
    pub(in crate::storage) mail: Option<NewMail>,
    /// Boxed, as few calls have one and all carry the room for it.
    pub(in crate::storage) token: Option<Box<(NewMailToken, NewMail)>>,
    pub(in crate::storage) as_if: bool,
}

/// An account together with the hash of its password.
#[derive(Clone)]
pub struct Account {
    /// The account.
    pub user: User,
    /// The hash in PHC form; absent when the account has no password.
    pub password_hash: Option<String>,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("user", &self.user).finish_non_exhaustive()
    }
}

impl<'a> Users<'a> {
    pub(in crate::storage) const fn new(pool: &'a Pool, by_key: &'a Pool) -> Self {
        Self { pool, by_key, draft: None, mail: None, token: None, as_if: false }
    }

    /// Records this event in the transaction of the change that is called next.
    #[must_use]
    pub fn recording(self, draft: Draft) -> Self {
        Self { draft: Some(draft), ..self }
    }

    /// Queues this mail in the transaction of what is called next: of a registration, or of another password or email.
    #[must_use]
    pub fn mailing(self, mail: Option<NewMail>) -> Self {
        Self { mail, ..self }
    }

    /// Keeps this token in the transaction of a registration or of another email that is called next, and queues the mail that
    /// brings it.
    #[must_use]
    pub fn with_token(self, token: Option<(NewMailToken, NewMail)>) -> Self {
        Self { token: token.map(Box::new), ..self }
    }

    /// Answers a registration that is called next as if it had been made, and makes no account.
    #[must_use]
    pub fn as_if(self) -> Self {
        Self { as_if: true, ..self }
    }

    /// The account.
    ///
    /// # Errors
    /// `NotFound`, or those of the storage.
    pub async fn find(&self, id: UserId) -> Result<User> {
        let row: Option<UserRow> = with_conn!(self.pool, |conn| {
            users::table.find(Id::from(id)).select(UserRow::as_select()).first(conn).await.optional()
        })?;
        found(row, Error::NotFound(Resource::User))?.try_into()
    }

    /// The account with this email, however it is capitalised, and its password's hash; `None` when there is none.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn find_by_email(&self, email: &Email) -> Result<Option<Account>> {
        let row: Option<(UserRow, Option<String>)> = with_conn!(self.pool, |conn| {
            let id: Option<Id> =
                emails::table.find(email.key()).select(emails::user_id).first(conn).await.optional()?;
            match id {
                None => Ok(None),
                Some(id) => users::table
                    .find(id)
                    .select((UserRow::as_select(), users::password_hash))
                    .first(conn)
                    .await
                    .optional(),
            }
        })?;
        row.map(|(row, password_hash)| Ok(Account { user: row.try_into()?, password_hash })).transpose()
    }

    /// Changes an account; answers it as it stands afterwards. A patch that changes nothing stores nothing.
    ///
    /// # Errors
    /// `NotFound`, `EtagMismatch`, `UserAlreadyExists` when the new email is taken, `Conflict` when another
    /// change came in between, or those of the storage.
    pub async fn update(&self, id: UserId, patch: UserPatch, now: Timestamp) -> Result<User> {
        let (draft, mail) = (self.draft.clone(), self.mail.clone());
        let brought = self.token.clone();
        with_write!(self.pool, async move |conn| {
            let row: Option<UserRow> =
                users::table.find(Id::from(id)).select(UserRow::as_select()).first(conn).await.optional()?;
            let current: User = found(row, Error::NotFound(Resource::User))?.try_into()?;
            let Some(next) = patch.apply(&current, now)? else {
                return Ok(current);
            };

            if next.email.key() != current.email.key() {
                claim_email!(conn, next.email, id);
                diesel::delete(emails::table.find(current.email.key())).execute(conn).await?;
            }
            // The version guards against a change that came in since it was read.
            let changed =
                diesel::update(users::table.find(Id::from(id)).filter(users::version.eq(current.version)))
                    .set((
                        users::email.eq(next.email.as_str()),
                        users::email_verified.eq(next.email_verified),
                        users::display_name.eq(next.display_name.as_str()),
                        users::update_time.eq(Moment::from(next.update_time)),
                        users::version.eq(next.version),
                    ))
                    .execute(conn)
                    .await?;
            if changed == 0 {
                return Err(Error::Conflict);
            }
            record!(conn, draft, id, None, now);
            if next.email.key() != current.email.key() {
                keep_token!(conn, brought.as_ref().map(|brought| &brought.0));
                queue_mail!(conn, brought.as_ref().map(|brought| &brought.1));
                queue_mail!(conn, mail);
            }
            Ok(next)
        })
    }
}

/// An account as it is read; never with its password.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = users)]
#[diesel(check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
pub(in crate::storage) struct UserRow {
    id: Id,
    email: String,
    display_name: String,
    role: i16,
    create_time: Moment,
    update_time: Moment,
    disable_time: Option<Moment>,
    kind: i16,
    totp_enabled: bool,
    email_verified: bool,
    version: i64,
    revision: i64,
    #[diesel(select_expression = history::present(), select_expression_type = history::Present)]
    history: Option<Id>,
}

impl TryFrom<UserRow> for User {
    type Error = Error;

    fn try_from(row: UserRow) -> Result<Self> {
        Ok(Self {
            id: row.id.into(),
            email: Email::parse(&row.email).map_err(corrupt("email"))?,
            display_name: DisplayName::parse(&row.display_name).map_err(corrupt("display name"))?,
            role: Role::from_code(row.role)
                .ok_or_else(|| Error::Internal("a stored role is unknown".into()))?,
            create_time: row.create_time.try_into()?,
            update_time: row.update_time.try_into()?,
            disable_time: row.disable_time.map(TryInto::try_into).transpose()?,
            kind: AccountKind::from_code(row.kind)
                .ok_or_else(|| Error::Internal("a stored kind of account is unknown".into()))?,
            totp_enabled: row.totp_enabled,
            email_verified: row.email_verified,
            version: row.version,
            revision: row.revision,
            history: history::read(row.history)?,
        })
    }
}
