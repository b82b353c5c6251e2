//! The proof that whoever asks may touch this user's data.

use super::UserId;

/// A user whose tasks the caller may read and write.
///
/// Repositories take an `Owner`, never a bare user id. Only `auth` makes one, after it has compared the
/// caller with the parent that was asked for, so a handler cannot forget the check. A test holds this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner(UserId);

impl Owner {
    /// To be called by `auth` alone, once the caller is known to be this user.
    pub(crate) const fn vouched_for(user: UserId) -> Self {
        Self(user)
    }

    /// The user.
    pub const fn user(self) -> UserId {
        self.0
    }
}
