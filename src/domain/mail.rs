//! Mail that is to be sent, and the tokens that it brings.

use super::{Email, MailId, MailTokenId, Timestamp, User, UserId};

/// What a mail is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailKind {
    /// It brings a token for a new password.
    PasswordReset,
    /// It tells that the password was changed.
    PasswordChanged,
    /// It brings a token that proves the address.
    EmailVerification,
    /// It tells that somebody wanted an account with an address that has one.
    EmailTaken,
    /// It brings a token to the address that an account is to have.
    EmailChange,
    /// It tells the address that an account had that it has another one.
    EmailChanged,
    /// It tells of a login from an address that none came from before.
    LoginFromNewAddress,
    /// It tells that a second factor was set up.
    SecondFactorAdded,
    /// It tells that the second factor was taken away.
    SecondFactorRemoved,
    /// It tells that there are other recovery codes.
    RecoveryCodesRegenerated,
}

impl MailKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::PasswordReset,
        Self::PasswordChanged,
        Self::EmailVerification,
        Self::EmailTaken,
        Self::EmailChange,
        Self::EmailChanged,
        Self::LoginFromNewAddress,
        Self::SecondFactorAdded,
        Self::SecondFactorRemoved,
        Self::RecoveryCodesRegenerated,
    ];

    /// The number under which it is stored.
    pub const fn code(self) -> i16 {
        match self {
            Self::PasswordReset => 1,
            Self::PasswordChanged => 2,
            Self::EmailVerification => 3,
            Self::EmailTaken => 4,
            Self::EmailChange => 5,
            Self::EmailChanged => 6,
            Self::LoginFromNewAddress => 7,
            Self::SecondFactorAdded => 8,
            Self::SecondFactorRemoved => 9,
            Self::RecoveryCodesRegenerated => 10,
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
            Self::EmailVerification => "email_verification",
            Self::EmailTaken => "email_taken",
            Self::EmailChange => "email_change",
            Self::EmailChanged => "email_changed",
            Self::LoginFromNewAddress => "login_from_new_address",
            Self::SecondFactorAdded => "second_factor_added",
            Self::SecondFactorRemoved => "second_factor_removed",
            Self::RecoveryCodesRegenerated => "recovery_codes_regenerated",
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

/// How many mails wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MailCounts {
    /// All of them.
    pub waiting: i64,
    /// Those that were sent in vain before.
    pub failing: i64,
}

/// What a token of a mail is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailPurpose {
    /// Another password.
    PasswordReset,
    /// Proof of the address that the account has.
    EmailVerification,
    /// Another address, which it proves.
    EmailChange,
}

impl MailPurpose {
    /// The number under which it is stored.
    pub const fn code(self) -> i16 {
        match self {
            Self::PasswordReset => 1,
            Self::EmailVerification => 2,
            Self::EmailChange => 3,
        }
    }
}

/// Whether accounts have to prove their addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EmailVerification {
    /// They may, where mail is sent.
    #[default]
    Off,
    /// They are asked to, and are let in without.
    Optional,
    /// They are let in once they have.
    Required,
}

impl std::str::FromStr for EmailVerification {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Off, Self::Optional, Self::Required];
        all.into_iter().find(|one| one.name() == text).ok_or("must be off, optional or required")
    }
}

impl EmailVerification {
    /// As in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Optional => "optional",
            Self::Required => "required",
        }
    }
}

/// A token to be stored.
#[derive(Clone)]
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
    /// The address that it proves, where that is another one than the account has.
    pub new_email: Option<Email>,
    /// From when on it is refused.
    pub expire_time: Timestamp,
}

impl std::fmt::Debug for NewMailToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewMailToken").field("user", &self.user).field("id", &self.id).finish_non_exhaustive()
    }
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
    /// The address that it proves, where that is another one than the account has.
    pub new_email: Option<Email>,
    /// From when on it is refused.
    pub expire_time: Timestamp,
}
