//! Accounts of services: made by administrators, without a password, and how one takes on the part of a user.

use std::time::Duration;

use super::Accounts;
use crate::auth::{Actor, Principal};
use crate::domain::{
    AccountKind, AuditEventType, DisplayName, Email, Error, NewUser, Result, Role, Scope, Scopes, Trace,
    User, UserId,
};

/// A token of a user for a service. Has no `Debug`: it holds a token.
#[expect(missing_debug_implementations, reason = "it holds a token")]
pub struct Exchanged {
    /// The JWT.
    pub access_token: String,
    /// How long it lasts.
    pub expires_in: Duration,
    /// What it may do.
    pub scopes: Scopes,
}

impl Accounts {
    /// Makes the account of a service.
    ///
    /// # Errors
    /// `UserAlreadyExists`, or those of the storage.
    pub async fn create_service(
        &self,
        email: Email,
        display_name: DisplayName,
        trace: &Trace,
    ) -> Result<User> {
        let now = self.clock.now();
        let new = NewUser { id: UserId::generate_at(now), email, display_name, role: Role::User };
        let users = self.storage.users().recording(trace.did(AuditEventType::ServiceAccountCreated));
        users.create_service(new, now).await
    }

    /// Checks that the caller may make, see and revoke the keys of this account: those of their own, and an administrator
    /// those of services, which cannot do so themselves.
    ///
    /// # Errors
    /// `ParentAccessDenied`, `NotFound` when there is no such user, or those of the storage.
    pub async fn may_manage_keys(&self, caller: &Principal, user: UserId) -> Result<()> {
        if caller.user == user {
            return Ok(());
        }
        match self.storage.users().find(user).await?.kind {
            AccountKind::Service if caller.role == Role::Admin => Ok(()),
            _ => Err(Error::ParentAccessDenied),
        }
    }

    /// A short token of a user for the service that shows this key. It reaches tasks, and nothing of the account.
    ///
    /// # Errors
    /// `ScopeInsufficient`, `NotFound` when there is no such user, `UserDisabled`, or those of the storage.
    pub async fn exchange(
        &self,
        caller: &Principal,
        subject: UserId,
        scopes: Scopes,
        trace: &Trace,
    ) -> Result<Exchanged> {
        let api_key = caller.key_with(Scope::UsersImpersonate)?;
        let user = self.storage.users().find(subject).await?;
        if user.disable_time.is_some() {
            return Err(Error::UserDisabled);
        }
        let actor = Actor { service: caller.user, api_key };
        let access_token = self.tokens.issue_exchanged(subject, actor, scopes)?;
        // Nobody has the token who is not in the trail.
        let events = self.storage.audit_events();
        events.record(subject, trace.did(AuditEventType::TokenExchanged), self.clock.now()).await?;
        Ok(Exchanged { access_token, expires_in: self.tokens.exchanged_ttl(), scopes })
    }
}
