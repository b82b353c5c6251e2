//! Webhooks: where events are sent, which ones, and what is to be told to each.

use std::time::Duration;

use super::{EventTypes, Rule, Timestamp, UserId, WebhookId};

/// After each attempt that failed, how long the next one waits. After the last of them there is none: the webhook is disabled.
pub const RETRY_DELAYS: [Duration; 23] = {
    let mut delays = [Duration::from_secs(4 * 60 * 60); 23];
    delays[0] = Duration::from_secs(5);
    delays[1] = Duration::from_secs(30);
    delays[2] = Duration::from_secs(2 * 60);
    delays[3] = Duration::from_secs(10 * 60);
    delays[4] = Duration::from_secs(60 * 60);
    delays
};

/// Whose webhook it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WebhookOwner {
    /// A user's, for what happens to that user's tasks.
    User(UserId),
    /// The administrators', for what happens to all users.
    Administrators,
}

impl WebhookOwner {
    const NOBODY: UserId = UserId::from_bytes([0; 16]);

    /// The id that it is stored under. No user has that of the administrators.
    pub const fn key(self) -> UserId {
        match self {
            Self::User(user) => user,
            Self::Administrators => Self::NOBODY,
        }
    }

    /// The owner with this id.
    pub fn from_key(key: UserId) -> Self {
        if key == Self::NOBODY { Self::Administrators } else { Self::User(key) }
    }
}

/// Where a webhook sends. Which addresses and schemes are allowed is the operator's to say, and checked where it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookUrl(String);

impl WebhookUrl {
    /// Longest URL, in bytes.
    pub const BYTES_MAX: usize = 2000;

    /// One that was found to be good.
    pub const fn accepted(url: String) -> Self {
        Self(url)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a webhook sends nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisableReason {
    /// Its owner said so.
    Asked,
    /// It failed for three days.
    Failing,
    /// The receiver answered that it is gone (410).
    Gone,
}

impl DisableReason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Asked, Self::Failing, Self::Gone];

    /// The number under which it is stored.
    pub const fn code(self) -> i16 {
        self as i16 + 1
    }

    /// The reason with this number.
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.code() == code)
    }
}

/// What went wrong with an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureReason {
    /// The answer was not a success.
    Refused,
    /// No connection came about.
    Unreachable,
    /// The name leads to nothing.
    NameUnknown,
    /// The name leads to an address that is not allowed.
    AddressForbidden,
    /// It took too long.
    TimedOut,
    /// The connection ended, or what came back is no HTTP.
    Broken,
    /// The other side's certificate is not trusted, or the handshake failed.
    TlsFailed,
    /// The secret cannot be opened with the keys that the service has.
    SecretLost,
}

impl FailureReason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Refused,
        Self::Unreachable,
        Self::NameUnknown,
        Self::AddressForbidden,
        Self::TimedOut,
        Self::Broken,
        Self::TlsFailed,
        Self::SecretLost,
    ];

    /// The number under which it is stored.
    pub const fn code(self) -> i16 {
        self as i16 + 1
    }

    /// The reason with this number.
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.code() == code)
    }

    /// For people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Refused => "the receiver did not answer with a success",
            Self::Unreachable => "no connection to the receiver came about",
            Self::NameUnknown => "the name of the receiver leads to no address",
            Self::AddressForbidden => "the receiver is at an address that is not allowed",
            Self::TimedOut => "the receiver took too long to answer",
            Self::Broken => "the connection to the receiver ended without an answer",
            Self::TlsFailed => "the receiver's certificate is not trusted, or the TLS handshake failed",
            Self::SecretLost => "the secret cannot be opened with the keys that the service has",
        }
    }
}

/// An attempt that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebhookFailure {
    /// When.
    pub time: Timestamp,
    /// What the receiver answered (HTTP); 0 where it did not.
    pub code: u16,
    /// What went wrong.
    pub reason: FailureReason,
}

/// A webhook to be stored.
#[derive(Debug, Clone)]
pub struct NewWebhook {
    /// Its id.
    pub id: WebhookId,
    /// Whose it is.
    pub owner: WebhookOwner,
    /// Where it sends.
    pub url: WebhookUrl,
    /// What it sends.
    pub event_types: EventTypes,
    /// Whether it sends at all.
    pub enabled: bool,
    /// Its secret, sealed.
    pub secret: Vec<u8>,
    /// When it was made.
    pub create_time: Timestamp,
}

/// A stored webhook, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// Whose it is.
    pub owner: WebhookOwner,
    /// Where it sends.
    pub url: WebhookUrl,
    /// What it sends.
    pub event_types: EventTypes,
    /// Why it sends nothing, if so.
    pub disable_reason: Option<DisableReason>,
    /// When it was made.
    pub create_time: Timestamp,
    /// When its owner, or a failure, last changed it.
    pub update_time: Timestamp,
    /// When the receiver last took something.
    pub last_success_time: Option<Timestamp>,
    /// The last attempt that failed.
    pub last_failure: Option<WebhookFailure>,
}

/// What of a webhook is to be changed.
#[derive(Debug, Clone, Default)]
pub struct WebhookPatch {
    /// Where it sends.
    pub url: Option<WebhookUrl>,
    /// What it sends.
    pub event_types: Option<EventTypes>,
    /// Whether it sends at all.
    pub enabled: Option<bool>,
}

/// Changes that are told once more, up to the revision that the user has when this is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replay {
    /// The last one that was told.
    pub revision: i64,
    /// The last one to be told.
    pub until: i64,
}

/// What a webhook has still to be told of one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebhookQueue {
    /// Of whom.
    pub user: UserId,
    /// To which webhook.
    pub webhook: WebhookId,
    /// Whose that is.
    pub owner: WebhookOwner,
    /// The first event that is not told as a whole.
    pub next_number: i64,
    /// The last one that is known.
    pub last_number: i64,
    /// The last revision of the first one that was told; 0 where none was.
    pub next_revision: i64,
    /// What comes before all that.
    pub replay: Option<Replay>,
    /// How often the next thing to be told was sent in vain.
    pub attempts: u16,
    /// When it is sent again; `None` where it is given up.
    pub next_attempt_time: Option<Timestamp>,
}

/// How far a queue has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// As in `WebhookQueue`.
    pub next_number: i64,
    /// As in `WebhookQueue`.
    pub next_revision: i64,
    /// As in `WebhookQueue`.
    pub replay: Option<Replay>,
}

impl WebhookUrl {
    /// The rule for how long it may be.
    ///
    /// # Errors
    /// The rule.
    pub fn check_length(text: &str) -> Result<(), Rule> {
        if text.len() > Self::BYTES_MAX {
            return Err(Rule::field("must have at most 2000 bytes"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{DisableReason, FailureReason, RETRY_DELAYS, WebhookOwner};
    use crate::domain::UserId;

    #[test]
    fn an_attempt_is_repeated_for_three_days_after_the_first_hours() {
        let hours = |range: std::ops::Range<usize>| {
            RETRY_DELAYS[range].iter().sum::<Duration>().as_secs() as f64 / 3600.0
        };
        assert!((hours(0..5) - 1.2).abs() < 0.1);
        assert!((hours(5..23) - 72.0).abs() < f64::EPSILON);
    }

    #[test]
    fn what_is_stored_is_read_as_it_was() {
        for one in DisableReason::ALL {
            assert_eq!(DisableReason::from_code(one.code()), Some(one));
        }
        for one in FailureReason::ALL {
            assert_eq!(FailureReason::from_code(one.code()), Some(one));
        }
        for owner in [WebhookOwner::Administrators, WebhookOwner::User(UserId::generate())] {
            assert_eq!(WebhookOwner::from_key(owner.key()), owner);
        }
    }
}
