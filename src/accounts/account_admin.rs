//! What is done to accounts and sessions that are there: ended, disabled, deleted, given another password.
//!
//! Everything that takes access away records it for the other replicas in its own transaction, and has this replica
//! read it right after.

use super::{Accounts, Password};
use crate::auth::Principal;
use crate::domain::{
    ApiKeyId, AuditEventType, Error, MailKind, Resource, Result, Role, SessionId, Trace, User, UserId,
    UserPatch,
};

impl Accounts {
    /// Checks that the caller has logged in lately, for what could lock its user out or somebody else in.
    ///
    /// # Errors
    /// `StepUpRequired`.
    pub fn step_up(&self, caller: &Principal) -> Result<()> {
        caller.stepped_up(self.clock.now())
    }

    /// Changes an account.
    ///
    /// # Errors
    /// `StepUpRequired` for another email, `EmailUnverified` where it has to be proved first, or those of `Users::update`.
    pub async fn update(
        &self,
        caller: &Principal,
        user: UserId,
        patch: UserPatch,
        trace: &Trace,
    ) -> Result<User> {
        let (told, token) = self.before_update(caller, user, &patch, trace).await?;
        let users = self.storage.users().recording(trace.did(AuditEventType::UserUpdated));
        users.mailing(told).with_token(token).update(user, patch, self.clock.now()).await
    }

    /// Ends the caller's session. A token of another issuer has none here: then nothing is done.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn logout(&self, principal: &Principal, trace: &Trace) -> Result<()> {
        if let Some(session) = principal.session() {
            self.end_session(principal.user, session, AuditEventType::SessionLoggedOut, trace).await?;
        }
        Ok(())
    }

    /// Ends one session of a user.
    ///
    /// # Errors
    /// `NotFound` when there is none or it has ended, or those of the storage.
    pub async fn revoke_session(&self, user: UserId, session: SessionId, trace: &Trace) -> Result<()> {
        if self.end_session(user, session, AuditEventType::SessionRevoked, trace).await? {
            Ok(())
        } else {
            Err(Error::NotFound(Resource::Session))
        }
    }

    async fn end_session(
        &self,
        user: UserId,
        session: SessionId,
        kind: AuditEventType,
        trace: &Trace,
    ) -> Result<bool> {
        let sessions = self.storage.sessions().recording(trace.did(kind));
        let ended = sessions.revoke(user, session, self.clock.now()).await?;
        self.learn_revocations().await;
        Ok(ended)
    }

    /// Ends all sessions of a user.
    ///
    /// # Errors
    /// `NotFound` when there is no such user, or those of the storage.
    pub async fn revoke_all_sessions(&self, user: UserId, trace: &Trace) -> Result<()> {
        self.storage.users().find(user).await?;
        let sessions = self.storage.sessions().recording(trace.did(AuditEventType::AllSessionsRevoked));
        sessions.revoke_all(user, self.clock.now()).await?;
        self.learn_revocations().await;
        Ok(())
    }

    /// Revokes an API key.
    ///
    /// # Errors
    /// `NotFound`, or those of the storage.
    pub async fn revoke_api_key(&self, user: UserId, key: ApiKeyId, trace: &Trace) -> Result<()> {
        let keys = self.storage.api_keys().recording(trace.did(AuditEventType::ApiKeyRevoked));
        keys.revoke(user, key, self.clock.now()).await?;
        self.learn_revocations().await;
        Ok(())
    }

    /// Replaces the caller's password, and ends all their other sessions.
    ///
    /// # Errors
    /// `CredentialsInvalid`, `LoginThrottled`, `Overloaded`, `Conflict`, or those of the storage.
    pub async fn change_password(
        &self,
        caller: &Principal,
        current: &str,
        new: Password,
        trace: &Trace,
    ) -> Result<()> {
        let (user, old_hash) = self.prove(caller.user, current, trace).await?;
        let new_hash = self.passwords.hash(new).await?;
        let users = self.storage.users().recording(trace.did(AuditEventType::PasswordChanged));
        let users = users.mailing(self.warning(&user, MailKind::PasswordChanged)?);
        let now = self.clock.now();
        users.change_password(caller.user, old_hash, new_hash, caller.session(), now).await?;
        self.learn_revocations().await;
        Ok(())
    }

    /// Disables an account.
    ///
    /// # Errors
    /// Those of `Users::disable`.
    pub async fn disable(&self, user: UserId, trace: &Trace) -> Result<User> {
        let users = self.storage.users().recording(trace.did(AuditEventType::UserDisabled));
        let user = users.disable(user, self.clock.now()).await?;
        self.learn_revocations().await;
        Ok(user)
    }

    /// Enables an account.
    ///
    /// # Errors
    /// Those of `Users::enable`.
    pub async fn enable(&self, user: UserId, trace: &Trace) -> Result<User> {
        let users = self.storage.users().recording(trace.did(AuditEventType::UserEnabled));
        let user = users.enable(user, self.clock.now()).await?;
        self.learn_revocations().await;
        Ok(user)
    }

    /// Deletes an account for good. Whoever deletes their own proves their password once more, if they have one;
    /// an administrator who deletes someone else's does not.
    ///
    /// # Errors
    /// `CredentialsInvalid`, `LoginThrottled`, `Overloaded`, or those of `Users::delete`.
    pub async fn delete(
        &self,
        caller: &Principal,
        user: UserId,
        password: &str,
        trace: &Trace,
    ) -> Result<()> {
        let is_own = caller.user == user;
        let has_password = self.storage.users().find_account(user).await?.password_hash.is_some();
        if is_own && has_password {
            self.prove(user, password, trace).await?;
        } else if !is_own && caller.role != Role::Admin {
            return Err(Error::ParentAccessDenied);
        }
        let users = self.storage.users().recording(trace.did(AuditEventType::UserDeleted));
        users.delete(user, self.clock.now()).await?;
        self.learn_revocations().await;
        Ok(())
    }

    /// Checks the password of a user who is logged in; answers them and its hash. Counts as a login does, or a stolen access
    /// token could be used to guess.
    async fn prove(&self, user: UserId, password: &str, trace: &Trace) -> Result<(User, String)> {
        let account = self.storage.users().find_account(user).await?;
        let attempt = self.throttle.admit(account.user.email.key(), Some(user), &trace.peer).await?;
        let hash = account.password_hash;
        let matches = self.passwords.verify(Password::to_compare(password), hash.clone()).await?;
        match hash.filter(|_| matches) {
            Some(hash) => {
                self.throttle.forgive(&attempt).await?;
                Ok((account.user, hash))
            }
            None => {
                self.throttle.fail(attempt, Some(user), trace).await?;
                Err(Error::CredentialsInvalid)
            }
        }
    }

    /// Has this replica know at once what it has just taken back. If that fails, the next look brings it.
    pub(super) async fn learn_revocations(&self) {
        if let Err(cause) = self.revocations.refresh(&self.storage).await {
            tracing::warn!(%cause, "the revocations cannot be read");
        }
    }

    /// Forgets what has been kept for long enough: audit events, counters of wrong passwords, revocations, sessions that
    /// ended long ago. Several replicas may do this at once.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn sweep(&self) -> Result<()> {
        let now = self.clock.now();
        while self.storage.audit_events().sweep(now.before(self.config.audit_kept)).await? > 0 {}
        self.throttle.sweep().await?;
        // A day is the longest that an access token may be configured to live.
        let day = std::time::Duration::from_secs(24 * 60 * 60);
        self.storage.revocations().sweep(now.before(2 * day)).await?;
        while self.storage.sessions().sweep(now.before(7 * day)).await? > 0 {}
        while self.storage.login_challenges().sweep(now).await? > 0 {}
        while self.storage.mail_tokens().sweep(now).await? > 0 {}
        while self.storage.mails().sweep(now.before(2 * day)).await? > 0 {}
        Ok(())
    }
}
