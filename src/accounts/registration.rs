//! Registering: who may, and how a registration that is sent again is told from another one.

use super::mail_token::Wanted;
use super::password::Place;
use super::{Accounts, Password};
use crate::auth::Principal;
use crate::domain::{
    AuditEventType, DisplayName, Email, EmailVerification, Error, MailPurpose, NewUser, Result, Role, Trace,
    User, UserId,
};
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

/// What a registration does beside making an account.
#[derive(Clone, Copy)]
struct Manner {
    /// Mails a token that proves the address.
    greets: bool,
    /// Does not tell that an email is taken.
    hides: bool,
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

    /// Makes an account, by whoever runs the service; no mail is sent.
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

    /// Makes an account, and where there is a `once`, once however often the call comes.
    ///
    /// Callers without an account share the keys, so a key alone proves nothing: the answer is for whoever
    /// knows the password that was sent, and guesses are counted as those of a login are.
    ///
    /// Where addresses have to be proved, nobody but an admin learns that an email is taken: the answer is that of a success, and
    /// the mail goes to the owner.
    ///
    /// # Errors
    /// `UserAlreadyExists`, `RequestIdReused`, `RequestInProgress`, `LoginThrottled`, `Overloaded`, `MailThrottled`,
    /// `MailNotConfigured`, `SecretsKeyMissing`, or those of the storage.
    pub async fn sign_up(
        &self,
        new: NewAccount,
        once: Option<Registration>,
        by_admin: bool,
        trace: &Trace,
    ) -> Result<Answer> {
        let fingerprint = once.as_ref().map(|once| once.fingerprint.clone()).unwrap_or_default();
        let place = self.passwords.place()?;
        let before = match &once {
            Some(once) => self.storage.users().remembered(once.caller, once.key).await?,
            None => None,
        };
        let (place, before) = match before {
            Some(before) => (place, before),
            None => {
                let greets = self.greets(&new.email, by_admin, trace).await?;
                let hash = self.passwords.hash_at(place, new.password.clone()).await?;
                let hides = self.config.email_verification == EmailVerification::Required && !by_admin;
                match self.make(&new, hash, once, Manner { greets, hides }, trace).await? {
                    Registered::Now(user) => return Ok(Answer::Made(user)),
                    Registered::Before(before) => (self.passwords.place()?, before),
                }
            }
        };
        self.answer_again(place, before, &fingerprint, &new.email, new.password, trace).await
    }

    /// Whether a mail goes along with a registration, or with another address. Counted: anybody may have mail sent to anybody by it.
    pub(super) async fn greets(&self, email: &Email, by_admin: bool, trace: &Trace) -> Result<bool> {
        let mode = self.config.email_verification;
        let has_mail = match mode {
            EmailVerification::Off => false,
            EmailVerification::Optional => self.mailer.check().is_ok(),
            EmailVerification::Required => self.mailer.check().map(|()| true)?,
        };
        if !has_mail || by_admin {
            return Ok(has_mail);
        }
        match self.throttle.take_mail(email.key(), &trace.peer).await {
            Ok(()) => Ok(true),
            // Who needs no mail to come in can ask for one later.
            Err(Error::MailThrottled { .. }) if mode == EmailVerification::Optional => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn make(
        &self,
        new: &NewAccount,
        hash: String,
        once: Option<Registration>,
        manner: Manner,
        trace: &Trace,
    ) -> Result<Registered> {
        let now = self.clock.now();
        let (email, display_name) = (new.email.clone(), new.display_name.clone());
        let user = NewUser { id: UserId::generate_at(now), email, display_name, role: Role::User };
        let users = self.storage.users();
        if manner.hides
            && let Some(owner) = users.find_by_email(&new.email).await?
        {
            let mail = self.email_taken(user.id, &owner.user)?;
            return users.mailing(mail).as_if().create_once(user, hash, once, now).await;
        }
        let greeting = manner.greets.then(|| {
            self.new_token(Wanted {
                user: user.id,
                email: user.email.as_str(),
                password_hash: Some(&hash),
                purpose: MailPurpose::EmailVerification,
                new_email: None,
                to: user.email.as_str(),
            })
        });
        let users = users.recording(trace.did(AuditEventType::UserCreated)).with_token(greeting.transpose()?);
        match users.create_once(user, hash, once, now).await {
            // Somebody else came first: the next call finds them.
            Err(Error::UserAlreadyExists) if manner.hides => Err(Error::Conflict),
            made => made,
        }
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
