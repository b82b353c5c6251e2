//! Who is calling, and what they may do: tokens, keys, issuers, revocations.
//!
//! What belongs here ends with a `Principal` (who) and an `Owner` (whose data). What a request says beyond
//! that is `api`'s, how things are stored is `storage`'s.

pub(crate) mod api_keys;
mod authenticator;
pub mod interceptor;
mod issuers;
mod jwks;
mod key_ring;
mod keys;
mod revocations;
mod seal;
pub(crate) mod secret;
mod token;

pub use api_keys::{ApiKeys, NewKey};
pub use authenticator::{Authenticator, Verdict};
pub use issuers::{IssuerConfig, Issuers};
pub use jwks::FetchError;
pub use key_ring::{KeyRing, KeyState};
pub use keys::{KeyError, SigningKey, read_key_file, write_key_file};
pub use revocations::Revocations;
pub use seal::{Sealer, SecretsKeys};
pub use token::{ActClaim, Claims, TokenConfig, Tokens};

use std::time::Duration;

use crate::domain::{ApiKeyId, Error, Owner, Result, Role, Scope, Scopes, SessionId, Timestamp, UserId};

/// With what a caller has proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// An access token of ours, which belongs to a session.
    Session(SessionId),
    /// An API key with its scopes.
    ApiKey(ApiKeyId, Scopes),
    /// A token of another issuer, which has no session here.
    Issuer,
    /// A token of ours for a service that has taken on the part of the user.
    Exchanged(Actor, Scopes),
}

/// Who has taken on a user's part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    /// The account of the service.
    pub service: UserId,
    /// The key that it showed.
    pub api_key: ApiKeyId,
}

/// How old a login may be for what could lock its user out, or somebody else in.
pub const STEP_UP_AGE: Duration = Duration::from_secs(10 * 60);

/// Who is calling: what a verified access token or API key says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Principal {
    /// The account.
    pub user: UserId,
    /// With what that was proved.
    pub credential: Credential,
    /// What the account may do beyond its own data.
    pub role: Role,
    /// As of when this is known: a session's token was issued then, anything else looked up.
    pub issue_time: Timestamp,
    /// When the token ends.
    pub expire_time: Timestamp,
    /// When the session began; nothing else has such a time.
    pub auth_time: Option<Timestamp>,
}

impl Principal {
    /// The session that the token belongs to; `None` for an API key or a token of another issuer.
    pub const fn session(&self) -> Option<SessionId> {
        match self.credential {
            Credential::Session(id) => Some(id),
            Credential::ApiKey(..) | Credential::Issuer | Credential::Exchanged(..) => None,
        }
    }

    /// Whether nothing lasts longer than the token that was shown: neither a session nor a key stands behind it.
    pub const fn ends_with_its_token(&self) -> bool {
        matches!(self.credential, Credential::Exchanged(..))
    }

    /// Who is really acting: the service, where one has taken on the user's part.
    pub const fn actor(&self) -> UserId {
        match self.credential {
            Credential::Exchanged(actor, _) => actor.service,
            Credential::Session(_) | Credential::ApiKey(..) | Credential::Issuer => self.user,
        }
    }

    /// Checks that the session is young enough for what could lock its user out. What has no session has rules of its own.
    ///
    /// # Errors
    /// `StepUpRequired`.
    pub fn stepped_up(&self, now: Timestamp) -> Result<()> {
        let young = self.auth_time.is_some_and(|began| now.since(began) < STEP_UP_AGE);
        match self.credential {
            Credential::Session(_) if !young => Err(Error::StepUpRequired),
            _ => Ok(()),
        }
    }

    /// The API key that was shown, if it has this scope.
    ///
    /// # Errors
    /// `ScopeInsufficient`, also for whatever is no API key.
    pub const fn key_with(&self, needed: Scope) -> Result<ApiKeyId> {
        match self.credential {
            Credential::ApiKey(id, scopes) if scopes.allow(needed) => Ok(id),
            _ => Err(Error::ScopeInsufficient),
        }
    }

    /// Checks that the credential reaches as far as a method needs: `None` is out of reach for every API key, and for
    /// whoever has taken on a user's part.
    ///
    /// # Errors
    /// `ScopeInsufficient`.
    pub const fn reaches(&self, needed: Option<Scope>) -> Result<()> {
        match (self.credential, needed) {
            (Credential::ApiKey(_, scopes) | Credential::Exchanged(_, scopes), Some(needed))
                if scopes.allow(needed) =>
            {
                Ok(())
            }
            (Credential::ApiKey(..) | Credential::Exchanged(..), _) => Err(Error::ScopeInsufficient),
            _ => Ok(()),
        }
    }

    /// Checks that it is the caller's own account.
    ///
    /// # Errors
    /// `ParentAccessDenied`, whether or not that account exists.
    pub fn is_self(&self, user: UserId) -> Result<()> {
        if self.user == user { Ok(()) } else { Err(Error::ParentAccessDenied) }
    }

    /// The right to `user`'s tasks: one's own, nobody else's. Administrators manage accounts; they do not read tasks.
    ///
    /// # Errors
    /// `ParentAccessDenied`, whether or not that account exists.
    pub fn owner_of(&self, user: UserId) -> Result<Owner> {
        if self.user == user { Ok(Owner::vouched_for(user)) } else { Err(Error::ParentAccessDenied) }
    }

    /// Checks that the caller may see and change `user`'s account: one's own, or any for an administrator.
    ///
    /// # Errors
    /// `ParentAccessDenied`, whether or not that account exists.
    pub fn may_manage(&self, user: UserId) -> Result<()> {
        if self.user == user || self.role == Role::Admin { Ok(()) } else { Err(Error::ParentAccessDenied) }
    }
}

/// The right to a user's tasks for the service itself, which removes what its owner deleted long ago.
pub(crate) const fn owner_for_service(user: UserId) -> Owner {
    Owner::vouched_for(user)
}
