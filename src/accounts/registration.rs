//! Registering: who may, and how a registration that is sent again is told from another one.

use super::password::Place;
use super::{Accounts, Password};
use crate::auth::Principal;
use crate::domain::{AuditEventType, DisplayName, Email, Error, NewUser, Result, Role, Trace, User, UserId};
use crate::storage::{Registered, Registration, Remembered};

/// An account to be made.
#[derive(Debug)]
pub struct NewAccount {
    /// Its email.
    pub email: Email,
    /// Its name for people.
    pub display_name: DisplayName,
    /// Its password.
    pub password: Password,
}

/// What a registration answers: the account as it was made now, or the answer of the first time.
#[derive(Debug)]
pub enum Answer {
    /// The account was made.
    Made(User),
    /// It had been made by this very call before: the answer of that time.
    Replayed(Vec<u8>),
}

impl Accounts {
    /// Checks that this caller may make accounts.
    ///
    /// # Errors
    /// `RegistrationClosed`.
    pub fn may_register(&self, caller: Option<&Principal>) -> Result<()> {
        let is_admin = caller.is_some_and(|caller| caller.role == Role::Admin);
        if self.config.registration_open || is_admin { Ok(()) } else { Err(Error::RegistrationClosed) }
    }

    /// Makes an account.
    ///
    /// # Errors
    /// `UserAlreadyExists`, `Overloaded`, or those of the storage.
    pub async fn register(
        &self,
        email: Email,
        display_name: DisplayName,
        password: Password,
        role: Role,
        trace: &Trace,
    ) -> Result<User> {
        let hash = self.passwords.hash(password).await?;
        let now = self.clock.now();
        let new = NewUser { id: UserId::generate_at(now), email, display_name, role };
        let users = self.storage.users().recording(trace.did(AuditEventType::UserCreated));
        users.create(new, hash, now).await
    }

    /// Makes an account, once however often the call comes.
    ///
    /// Callers without an account share the keys, so a key alone proves nothing: the answer is for whoever
    /// knows the password that was sent, and guesses are counted as those of a login are.
    ///
    /// # Errors
    /// `RequestIdReused`, `RequestInProgress`, `LoginThrottled`, and those of `register`.
    pub async fn register_once(&self, new: NewAccount, once: Registration, trace: &Trace) -> Result<Answer> {
        let NewAccount { email, display_name, password } = new;
        let fingerprint = once.fingerprint.clone();
        let place = self.passwords.place()?;
        let before = match self.storage.users().remembered(once.caller, once.key).await? {
            Some(before) => {
                return self.answer_again(place, before, &fingerprint, &email, password, trace).await;
            }
            None => {
                let hash = self.passwords.hash_at(place, password.clone()).await?;
                let (now, email) = (self.clock.now(), email.clone());
                let new = NewUser { id: UserId::generate_at(now), email, display_name, role: Role::User };
                let users = self.storage.users().recording(trace.did(AuditEventType::UserCreated));
                match users.create_once(new, hash, Some(once), now).await? {
                    Registered::Now(user) => return Ok(Answer::Made(user)),
                    Registered::Before(before) => before,
                }
            }
        };
        let place = self.passwords.place()?;
        self.answer_again(place, before, &fingerprint, &email, password, trace).await
    }

    /// The answer of the first time, for the same call. Another one takes as long, whatever is different in it.
    async fn answer_again(
        &self,
        place: Place,
        before: Remembered,
        fingerprint: &[u8],
        email: &Email,
        password: Password,
        trace: &Trace,
    ) -> Result<Answer> {
        let user = self.storage.users().find_by_email(email).await?.map(|account| account.user.id);
        let attempt = self.throttle.admit(email.key(), user, &trace.peer).await?;
        let is_password = self.passwords.verify_at(place, Some(password), before.password_hash).await?;
        if is_password && before.fingerprint == fingerprint {
            return Ok(Answer::Replayed(before.answer));
        }
        self.throttle.fail(attempt, user, trace).await?;
        Err(Error::RequestIdReused)
    }
}
