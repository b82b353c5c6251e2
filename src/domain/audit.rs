//! The audit trail: what happened to an account, who did it, from where.

use super::{ApiKeyId, AuditEventId, SessionId, Timestamp, UserId};

macro_rules! event_types {
    ($($(#[$doc:meta])* $variant:ident = $code:literal;)*) => {
        /// What happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum AuditEventType {
            $($(#[$doc])* $variant,)*
        }

        impl AuditEventType {
            /// Every type.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The number under which it is stored.
            pub const fn code(self) -> i16 {
                match self { $(Self::$variant => $code,)* }
            }
        }
    };
}

event_types! {
    /// The account was made.
    UserCreated = 1;
    /// The email or the display name was changed.
    UserUpdated = 2;
    /// The account was disabled.
    UserDisabled = 3;
    /// The account was enabled.
    UserEnabled = 4;
    /// The account was deleted.
    UserDeleted = 5;
    /// A login succeeded.
    LoginSucceeded = 6;
    /// A password was wrong.
    LoginFailed = 7;
    /// There were so many wrong passwords that the next attempt has to wait.
    LoginThrottled = 8;
    /// A refresh token was used after it had been retired.
    RefreshTokenReused = 9;
    /// The user logged out.
    SessionLoggedOut = 10;
    /// A session was revoked.
    SessionRevoked = 11;
    /// All sessions were revoked.
    AllSessionsRevoked = 12;
    /// The password was changed.
    PasswordChanged = 13;
    /// An API key was made.
    ApiKeyCreated = 14;
    /// An API key was revoked.
    ApiKeyRevoked = 15;
    /// A second factor was set up.
    TotpEnabled = 16;
    /// The second factor was taken away.
    TotpDisabled = 17;
    /// New recovery codes took the place of the old ones.
    RecoveryCodesRegenerated = 18;
    /// A login was completed with a recovery code.
    RecoveryCodeUsed = 19;
    /// A code of a second factor was wrong.
    SecondFactorFailed = 20;
    /// An account of a service was made.
    ServiceAccountCreated = 21;
    /// A service took on the part of the user.
    TokenExchanged = 22;
    /// The password was replaced by whoever reads the account's mail.
    PasswordReset = 23;
    /// The address was proved with a token out of a mail.
    EmailVerified = 24;
    /// The address was replaced with one that was proved by mail.
    EmailChanged = 25;
    /// The user took all data of the account away.
    DataExported = 26;
    /// A webhook was made.
    WebhookCreated = 40;
    /// A webhook was deleted.
    WebhookDeleted = 41;
    /// A webhook got another secret.
    WebhookSecretRotated = 42;
    /// A webhook was disabled, since its receiver did not take what it was sent.
    WebhookDisabled = 43;
}

impl AuditEventType {
    /// The type with this number.
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.code() == code)
    }
}

/// What something was done to, below the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditTarget {
    /// A session.
    Session(SessionId),
    /// An API key.
    ApiKey(ApiKeyId),
}

/// Who is doing something, from where, and in which call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// The user, once they have proved who they are.
    pub actor: Option<UserId>,
    /// The address; empty when there is none.
    pub peer: String,
    /// The id of the call; empty outside of one.
    pub request_id: String,
}

impl Trace {
    /// What is to be recorded when that is done.
    pub fn did(&self, kind: AuditEventType) -> Draft {
        Draft { kind, trace: self.clone() }
    }
}

/// An event in the making: a repository records it in the transaction of what it tells of, and adds the account, the
/// target and the time, which it knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What happened.
    pub kind: AuditEventType,
    /// Who did it.
    pub trace: Trace,
}

/// A recorded event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// Its id; later events have larger ones.
    pub id: AuditEventId,
    /// To whose account it happened.
    pub user: UserId,
    /// What happened.
    pub kind: AuditEventType,
    /// What it was done to, when not to the account as a whole.
    pub target: Option<AuditTarget>,
    /// Who did it.
    pub trace: Trace,
    /// When.
    pub create_time: Timestamp,
}
