//! Who is calling, and what they may do: tokens, passwords, sessions, and the policy table.
//!
//! What belongs here ends with a `Principal` (who) and an `Owner` (whose data). What a request says beyond
//! that is `api`'s, how things are stored is `storage`'s.

pub mod interceptor;
mod keys;
pub mod password;
mod policy;
mod refresh;
pub mod sessions;
mod token;

pub use keys::{KeyError, SigningKey};
pub use password::{Password, PasswordPolicy, Passwords};
pub use policy::{Access, POLICY, access};
pub use sessions::{Accounts, AccountsConfig, TokenPair};
pub use token::{Claims, TokenConfig, Tokens};

use crate::domain::{Error, Owner, Result, Role, SessionId, Timestamp, UserId};

/// Who is calling: what a verified access token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Principal {
    /// The account.
    pub user: UserId,
    /// The session that the token belongs to.
    pub session: SessionId,
    /// What the account may do beyond its own data.
    pub role: Role,
    /// When the token ends.
    pub expire_time: Timestamp,
}

impl Principal {
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
pub(crate) const fn owner_for_purge(user: UserId) -> Owner {
    Owner::vouched_for(user)
}
