//! Mail that is to be sent, and the tokens that it brings.

use super::{MailId, MailTokenId, Timestamp, User, UserId};

/// What a mail is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailKind {
    /// It brings a token for a new password.
    PasswordReset,
    /// It tells that the password was changed.
    PasswordChanged,
}

impl MailKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::PasswordReset, Self::PasswordChanged];

    /// The number under which it is stored.
    pub const fn code(self) -> i16 {
        match self {
            Self::PasswordReset => 1,
            Self::PasswordChanged => 2,
        }
    }

    /// The kind with this number.
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// What its templates are called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PasswordReset => "password_reset",
            Self::PasswordChanged => "password_changed",
        }
    }
}

/// A mail to be queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMail {
    /// About whose account.
    pub user: UserId,
    /// Its id.
    pub id: MailId,
    /// What it is about.
    pub kind: MailKind,
    /// To whom and with what in it, sealed.
    pub sealed: Vec<u8>,
    /// When it is sent at the earliest.
    pub next_attempt_time: Timestamp,
    /// From when on it is not sent any more.
    pub expire_time: Timestamp,
}

/// A mail that waits.
#[derive(Debug, Clone)]
pub struct Mail {
    /// About whose account.
    pub user: UserId,
    /// Its id.
    pub id: MailId,
    /// What it is about.
    pub kind: MailKind,
    /// To whom and with what in it, sealed.
    pub sealed: Vec<u8>,
    /// How often it was sent in vain.
    pub attempts: u16,
    /// From when on it is not sent any more.
    pub expire_time: Timestamp,
}

/// What a token of a mail is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailPurpose {
    /// Another password.
    PasswordReset,
}

impl MailPurpose {
    /// The number under which it is stored.
    pub const fn code(self) -> i16 {
        match self {
            Self::PasswordReset => 1,
        }
    }
}

/// A token to be stored.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "it holds hashes of secrets")]
pub struct NewMailToken {
    /// Whose account it reaches.
    pub user: UserId,
    /// Its id.
    pub id: MailTokenId,
    /// What it is good for.
    pub purpose: MailPurpose,
    /// Hash (SHA-256) of its secret.
    pub secret_hash: Vec<u8>,
    /// Hash (SHA-256) of the account as it is.
    pub proved_hash: Vec<u8>,
    /// From when on it is refused.
    pub expire_time: Timestamp,
}

/// A stored token, with what is needed to decide on it.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "it holds hashes of secrets")]
pub struct MailToken {
    /// Its id.
    pub id: MailTokenId,
    /// Whose account it reaches.
    pub user: User,
    /// The hash of the password as it is now.
    pub password_hash: Option<String>,
    /// Hash of its secret.
    pub secret_hash: Vec<u8>,
    /// Hash of the account as it was.
    pub proved_hash: Vec<u8>,
    /// From when on it is refused.
    pub expire_time: Timestamp,
}
