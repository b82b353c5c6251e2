//! What one can do with an account: register, log in, refresh, change it, have it managed. Who is calling is `auth`'s.

mod account_admin;
mod challenge;
mod common_passwords;
mod email;
mod mail_token;
pub mod password;
mod password_reset;
mod refresh;
pub mod registration;
mod second_factor;
mod services;
mod throttle;
mod totp;
mod warnings;

pub use challenge::Shown;
pub use common_passwords::is_common;
pub use password::{HashingState, Password, PasswordPolicy, Passwords};
pub use second_factor::Enrolment;
pub use services::Exchanged;
pub use throttle::{Attempt, Throttle, ThrottleRules};

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::auth::secret::{random, same};
use crate::auth::{Revocations, Sealer, Tokens};
use crate::domain::{
    AuditEventType, Clock, Device, Email, EmailVerification, Error, NewSession, Result, Session, SessionId,
    Trace, User,
};
use crate::outbound::Mailer;
use crate::storage::{Rotation, Storage, Verified};
use refresh::RefreshToken;

/// How long the refresh token before the current one may be replayed.
const REFRESH_GRACE: Duration = Duration::from_secs(10);

/// How long sessions and the audit trail last, and who may register.
#[derive(Debug, Clone, Copy)]
pub struct AccountsConfig {
    /// How long a session lasts after its last refresh.
    pub refresh_ttl: Duration,
    /// How long a session lasts at most, however often it is refreshed.
    pub session_ttl_max: Duration,
    /// Whether anyone may register; administrators may always make accounts.
    pub registration_open: bool,
    /// How long audit events are kept.
    pub audit_kept: Duration,
    /// From when on wrong passwords make the next attempt wait.
    pub throttle: ThrottleRules,
    /// Whether accounts have to prove their addresses.
    pub email_verification: EmailVerification,
}

/// What a login or a refresh hands out. Has no `Debug`: it holds tokens.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "it holds tokens")]
pub struct TokenPair {
    /// The JWT.
    pub access_token: String,
    /// How long it lasts.
    pub access_expires_in: Duration,
    /// The opaque token for the next refresh.
    pub refresh_token: String,
    /// How long the session lasts unless it is refreshed.
    pub refresh_expires_in: Duration,
    /// Who logged in.
    pub user: User,
    /// The session.
    pub session: Session,
}

/// The accounts and their sessions.
#[derive(Debug, Clone)]
pub struct Accounts {
    storage: Storage,
    tokens: Arc<Tokens>,
    passwords: Passwords,
    clock: Clock,
    config: AccountsConfig,
    throttle: Throttle,
    revocations: Arc<Revocations>,
    sealer: Arc<Sealer>,
    mailer: Mailer,
}

impl Accounts {
    /// Everything that a login needs, and what has to know at once of a logout.
    pub fn new(
        storage: Storage,
        tokens: Arc<Tokens>,
        revocations: Arc<Revocations>,
        passwords: Passwords,
        sealer: Arc<Sealer>,
        clock: Clock,
        config: AccountsConfig,
    ) -> Self {
        let throttle = Throttle::new(storage.clone(), clock.clone(), config.throttle);
        let mailer = Mailer::new(storage.clone(), clock.clone(), Arc::clone(&sealer), None);
        Self { storage, tokens, passwords, clock, config, throttle, revocations, sealer, mailer }
    }

    /// Sends mail as well.
    #[must_use]
    pub fn with_mail(self, mailer: Mailer) -> Self {
        Self { mailer, ..self }
    }

    /// What sends mail.
    pub const fn mailer(&self) -> &Mailer {
        &self.mailer
    }

    /// How the hashing of passwords stands.
    pub fn hashing(&self) -> HashingState {
        self.passwords.state()
    }

    /// Opens a session. An unknown email and a wrong password answer the same and take the same time; that an
    /// account is disabled, has not proved its address, or has a second factor, is told only to who knows its password.
    ///
    /// # Errors
    /// `CredentialsInvalid`, `UserDisabled`, `EmailUnverified`, `MfaRequired`, `LoginThrottled`, `Overloaded`, or those of the storage.
    pub async fn login(
        &self,
        email: Option<Email>,
        password: &str,
        device: Device,
        trace: Trace,
    ) -> Result<TokenPair> {
        let place = self.passwords.place()?;
        let account = match &email {
            Some(email) => self.storage.users().find_by_email(email).await?,
            None => None,
        };
        let (user, hash) =
            account.map_or((None, None), |account| (Some(account.user), account.password_hash));
        let id = user.as_ref().map(|user| user.id);
        let key = email.as_ref().map_or("", Email::key);
        let attempt = self.throttle.admit(key, id, &trace.peer).await?;
        let typed = Password::to_compare(password);
        let matches = self.passwords.verify_at(place, typed.clone(), hash.clone()).await?;
        let Some(user) = user.filter(|_| matches) else {
            self.throttle.fail(attempt, id, &trace).await?;
            return Err(Error::CredentialsInvalid);
        };
        if user.disable_time.is_some() {
            return Err(Error::UserDisabled);
        }
        self.check_verified(&user)?;
        if user.totp_enabled {
            return Err(self.challenge(&user, hash, device).await?);
        }
        let verified = Verified {
            rehashed: self.rehashed(typed, hash.as_deref()).await,
            password_hash: hash,
            forgiven: attempt.forgiven(),
            completion: None,
        };
        self.begin_session(user, device, trace, verified).await
    }

    /// Opens a session for whoever has proved all that is asked for.
    async fn begin_session(
        &self,
        user: User,
        device: Device,
        trace: Trace,
        verified: Verified,
    ) -> Result<TokenPair> {
        let now = self.clock.now();
        let id = SessionId::generate_at(now);
        let token = RefreshToken::first(user.id, id)?;
        let new = NewSession {
            id,
            user: user.id,
            device,
            peer: trace.peer.clone(),
            create_time: now,
            expire_time: now.after(self.config.refresh_ttl.min(self.config.session_ttl_max)),
            family_hash: token.family_hash(),
            refresh_hash: token.hash(),
        };
        let mail = self.login_warning(&user, &trace.peer).await?;
        let actor = Trace { actor: Some(user.id), ..trace };
        let sessions = self.storage.sessions().recording(actor.did(AuditEventType::LoginSucceeded));
        let sessions = sessions.mailing(mail);
        let session = sessions.open(new, verified).await?;
        self.pair(user, session, &token)
    }

    /// The password hashed anew, when its hash has parameters that are no longer used. A login does not fail for it.
    async fn rehashed(&self, typed: Option<Password>, hash: Option<&str>) -> Option<String> {
        let (typed, hash) = typed.zip(hash)?;
        if !self.passwords.is_outdated(hash) {
            return None;
        }
        self.passwords.hash(typed).await.ok()
    }

    /// Exchanges a refresh token for a new pair. The token shown is retired; shown again within the grace it gives
    /// the same successor, and so it does later with the `idempotency_key` of that refresh; else it ends the session.
    ///
    /// # Errors
    /// `RefreshTokenInvalid`, `RefreshTokenReused`, `UserDisabled`, or those of the storage.
    pub async fn refresh(
        &self,
        token: &str,
        idempotency_key: Option<Uuid>,
        trace: &Trace,
    ) -> Result<TokenPair> {
        let shown = RefreshToken::parse(token)?;
        let now = self.clock.now();
        let before = self.session(&shown).await?;
        let user = self.storage.users().find(shown.user).await.map_err(|error| match error {
            Error::NotFound(_) => Error::RefreshTokenInvalid,
            other => other,
        })?;
        if user.disable_time.is_some() {
            return Err(Error::UserDisabled);
        }

        let salt: [u8; 32] = random()?;
        let successor = shown.successor(&salt)?;
        let step = Rotation {
            user: shown.user,
            id: shown.session,
            presented_hash: shown.hash(),
            family_hash: shown.family_hash(),
            successor_hash: successor.hash(),
            salt: salt.to_vec(),
            now,
            expire_time: now
                .after(self.config.refresh_ttl)
                .min(before.create_time.after(self.config.session_ttl_max)),
            peer: trace.peer.clone(),
            idempotency_key,
        };
        if self.storage.sessions().rotate(step).await? {
            let session = self.session(&successor).await?;
            return self.pair(user, session, &successor);
        }
        self.replay(user, &shown, idempotency_key, trace).await
    }

    /// A token that is not the current one: lost answer, theft, or nonsense.
    async fn replay(
        &self,
        user: User,
        shown: &RefreshToken,
        idempotency_key: Option<Uuid>,
        trace: &Trace,
    ) -> Result<TokenPair> {
        let session = self.session(shown).await?;
        let now = self.clock.now();
        if session.revoke_time.is_some() || session.expire_time <= now {
            return Err(Error::RefreshTokenInvalid);
        }
        let is_previous =
            session.secrets.previous.as_deref().is_some_and(|previous| same(previous, &shown.hash()));
        let in_grace = now.since(session.secrets.rotate_time) <= REFRESH_GRACE;
        // The same call again, however late: whoever made it has not had its answer.
        let is_repeated =
            idempotency_key.is_some() && idempotency_key == session.secrets.rotate_idempotency_key;
        match &session.secrets.salt {
            Some(salt) if is_previous && (in_grace || is_repeated) => {
                let successor = shown.successor(salt)?;
                self.pair(user, session, &successor)
            }
            _ => {
                let sessions =
                    self.storage.sessions().recording(trace.did(AuditEventType::RefreshTokenReused));
                sessions.revoke(shown.user, shown.session, now).await?;
                self.learn_revocations().await;
                tracing::warn!(user = %shown.user, session = %shown.session, "a refresh token was used twice; its session is ended");
                Err(Error::RefreshTokenReused)
            }
        }
    }

    /// The session that a token belongs to. A made-up token finds none, even with the id of a real session.
    async fn session(&self, token: &RefreshToken) -> Result<Session> {
        self.storage
            .sessions()
            .find(token.user, token.session)
            .await?
            .filter(|session| same(&session.secrets.family, &token.family_hash()))
            .ok_or(Error::RefreshTokenInvalid)
    }

    fn pair(&self, user: User, session: Session, token: &RefreshToken) -> Result<TokenPair> {
        Ok(TokenPair {
            access_token: self.tokens.issue(user.id, session.id, user.role, session.create_time)?,
            access_expires_in: self.tokens.access_ttl(),
            refresh_token: token.encode(),
            refresh_expires_in: session.expire_time.since(self.clock.now()),
            user,
            session,
        })
    }
}
