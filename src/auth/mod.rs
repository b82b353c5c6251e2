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
pub use keys::{KeyError, SigningKey};
pub use revocations::Revocations;
pub use seal::{Sealer, SecretsKeys};
pub use token::{Claims, TokenConfig, Tokens};

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
}

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
}

impl Principal {
    /// The session that the token belongs to; `None` for an API key or a token of another issuer.
    pub const fn session(&self) -> Option<SessionId> {
        match self.credential {
            Credential::Session(id) => Some(id),
            Credential::ApiKey(..) | Credential::Issuer => None,
        }
    }

    /// Checks that the credential reaches as far as a method needs: `None` is out of reach for every API key.
    ///
    /// # Errors
    /// `ScopeInsufficient`.
    pub const fn reaches(&self, needed: Option<Scope>) -> Result<()> {
        match (self.credential, needed) {
            (Credential::ApiKey(_, scopes), Some(needed)) if scopes.allow(needed) => Ok(()),
            (Credential::ApiKey(..), _) => Err(Error::ScopeInsufficient),
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
