//! Registering, logging in, refreshing and logging out.

use std::sync::Arc;
use std::time::Duration;

use super::refresh::{RefreshToken, random, same};
use super::{Password, Passwords, Principal, Tokens};
use crate::domain::{
    Clock, Device, DisplayName, Email, Error, NewSession, NewUser, Result, Role, Session, SessionId, User,
    UserId,
};
use crate::storage::{Rotation, Storage};

/// How long sessions last, and who may register.
#[derive(Debug, Clone, Copy)]
pub struct AccountsConfig {
    /// How long a session lasts after its last refresh.
    pub refresh_ttl: Duration,
    /// How long a session lasts at most, however often it is refreshed.
    pub session_ttl_max: Duration,
    /// How long the token before the current one may be replayed.
    pub refresh_grace: Duration,
}

impl Default for AccountsConfig {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 60 * 60);
        Self { refresh_ttl: 30 * day, session_ttl_max: 90 * day, refresh_grace: Duration::from_secs(10) }
    }
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
}

impl Accounts {
    /// Everything that a login needs.
    pub const fn new(
        storage: Storage,
        tokens: Arc<Tokens>,
        passwords: Passwords,
        clock: Clock,
        config: AccountsConfig,
    ) -> Self {
        Self { storage, tokens, passwords, clock, config }
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
    ) -> Result<User> {
        let hash = self.passwords.hash(password).await?;
        let new = NewUser { id: UserId::generate(), email, display_name, role };
        self.storage.users().create(new, hash, self.clock.now()).await
    }

    /// Opens a session. An unknown email and a wrong password answer the same and take the same time; that an
    /// account is disabled is told only to who knows its password.
    ///
    /// # Errors
    /// `CredentialsInvalid`, `UserDisabled`, `Overloaded`, or those of the storage.
    pub async fn login(
        &self,
        email: Option<Email>,
        password: &str,
        device: Device,
        peer: String,
    ) -> Result<TokenPair> {
        let account = match &email {
            Some(email) => self.storage.users().find_by_email(email).await?,
            None => None,
        };
        let (user, hash) =
            account.map_or((None, None), |account| (Some(account.user), account.password_hash));
        let matches = self.passwords.verify(Password::to_compare(password), hash).await?;
        let user = user.filter(|_| matches).ok_or(Error::CredentialsInvalid)?;
        if user.disable_time.is_some() {
            return Err(Error::UserDisabled);
        }
        let now = self.clock.now();
        let id = SessionId::generate();
        let token = RefreshToken::first(user.id, id)?;
        let new = NewSession {
            id,
            user: user.id,
            device,
            peer,
            create_time: now,
            expire_time: now.after(self.config.refresh_ttl.min(self.config.session_ttl_max)),
            family_hash: token.family_hash(),
            refresh_hash: token.hash(),
        };
        let session = self.storage.sessions().create(new).await?;
        self.pair(user, session, &token)
    }

    /// Exchanges a refresh token for a new pair. The token shown is retired; shown again within the grace it gives
    /// the same successor, afterwards it ends the session.
    ///
    /// # Errors
    /// `RefreshTokenInvalid`, `RefreshTokenReused`, `UserDisabled`, or those of the storage.
    pub async fn refresh(&self, token: &str, peer: String) -> Result<TokenPair> {
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
            peer,
        };
        if self.storage.sessions().rotate(step).await? {
            let session = self.session(&successor).await?;
            return self.pair(user, session, &successor);
        }
        self.replay(user, &shown).await
    }

    /// A token that is not the current one: lost answer, theft, or nonsense.
    async fn replay(&self, user: User, shown: &RefreshToken) -> Result<TokenPair> {
        let session = self.session(shown).await?;
        let now = self.clock.now();
        if session.revoke_time.is_some() || session.expire_time <= now {
            return Err(Error::RefreshTokenInvalid);
        }
        let is_previous =
            session.secrets.previous.as_deref().is_some_and(|previous| same(previous, &shown.hash()));
        let in_grace = now.since(session.secrets.rotate_time) <= self.config.refresh_grace;
        match &session.secrets.salt {
            Some(salt) if is_previous && in_grace => {
                let successor = shown.successor(salt)?;
                self.pair(user, session, &successor)
            }
            _ => {
                self.storage.sessions().revoke(shown.user, shown.session, now).await?;
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

    /// Ends the caller's session. Doing so again is no error.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn logout(&self, principal: &Principal) -> Result<()> {
        self.storage.sessions().revoke(principal.user, principal.session, self.clock.now()).await
    }

    fn pair(&self, user: User, session: Session, token: &RefreshToken) -> Result<TokenPair> {
        Ok(TokenPair {
            access_token: self.tokens.issue(user.id, session.id, user.role)?,
            access_expires_in: self.tokens.access_ttl(),
            refresh_token: token.encode(),
            refresh_expires_in: session.expire_time.since(self.clock.now()),
            user,
            session,
        })
    }
}
