//! Identifiers: one type per kind, so that they cannot be mixed up.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use uuid::Uuid;

use super::{Rule, Timestamp};

/// Reads a UUID in its canonical form: 36 characters with hyphens, in upper or lower case.
fn parse_canonical(text: &str) -> Result<Uuid, Rule> {
    // `Uuid` reads braces, URNs and bare hex as well; a name has one spelling only.
    if text.len() != 36 {
        return Err(Rule::field("must be a UUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"));
    }
    Uuid::try_parse(text)
        .map_err(|_| Rule::field("must be a UUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"))
}

/// A UUIDv7 of this time: milliseconds in the first 48 bits, the rest of the microseconds in the 12 bits behind the
/// version, then a counter for those of one microsecond, and chance (RFC 9562, section 6.2, methods 3 and 1).
fn uuid_at(now: Timestamp) -> Uuid {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    // Before 1970 there are none.
    let micros = u64::try_from(now.as_micros()).unwrap_or(0);
    let fraction = u16::try_from((micros % 1000) * 4096 / 1000).unwrap_or(0);
    // Two bits of the version's sister stand before it.
    let count = COUNTER.fetch_add(1, Ordering::Relaxed) & 0x3fff_ffff;
    let mut rest = [0; 10];
    rest[..2].copy_from_slice(&fraction.to_be_bytes());
    rest[2..6].copy_from_slice(&count.to_be_bytes());
    rest[6..].copy_from_slice(&Uuid::new_v4().as_bytes()[12..]);
    uuid::Builder::from_unix_timestamp_millis(micros / 1000, &rest).into_uuid()
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A new identifier, ordered by the time of this machine (UUIDv7).
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }

            /// A new identifier, ordered by this time to the microsecond (UUIDv7).
            pub fn generate_at(now: Timestamp) -> Self {
                Self(uuid_at(now))
            }

            /// Reads the canonical form, in upper or lower case.
            ///
            /// # Errors
            /// The rule, for any other spelling.
            pub fn parse(text: &str) -> Result<Self, Rule> {
                parse_canonical(text).map(Self)
            }

            /// The identifier with these 16 bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The 16 bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The UUID itself.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }
    };
}

identifier! {
    /// An account.
    UserId
}
identifier! {
    /// A task, unique below its owner.
    TaskId
}
identifier! {
    /// A list of tasks, unique below its owner.
    TaskListId
}
identifier! {
    /// One login of one user.
    SessionId
}
identifier! {
    /// A key of one user for a service or a script.
    ApiKeyId
}
identifier! {
    /// A login of one user that waits for a second factor.
    ChallengeId
}
identifier! {
    /// A mail about one account.
    MailId
}
identifier! {
    /// A token that a mail brings.
    MailTokenId
}
identifier! {
    /// Something that happened to one account.
    AuditEventId
}
identifier! {
    /// A webhook of one user, or of the administrators.
    WebhookId
}
identifier! {
    /// One history of the data. Another begins when the database was put back to an earlier state, since revisions of
    /// before then mean other changes.
    HistoryId
}

impl HistoryId {
    /// What a caller says it knows; empty when it says nothing. What is no id at all is of no history that there ever
    /// was.
    pub fn given(raw: &str) -> Option<Self> {
        (!raw.is_empty()).then(|| Self::parse(raw).unwrap_or(Self(Uuid::nil())))
    }

    /// Passes when a caller knows this history, or names none.
    ///
    /// # Errors
    /// `HistoryChanged`, with this one.
    pub fn check(self, known: Option<Self>) -> super::Result<()> {
        match known {
            Some(known) if known != self => Err(super::Error::HistoryChanged { current: self }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_holds_its_time_to_the_microsecond_and_a_counter() {
        let now = Timestamp::from_micros(1_767_225_600_123_456).unwrap();
        let ids = [TaskId::generate_at(now), TaskId::generate_at(now)];
        for id in ids {
            let (seconds, nanos) = id.uuid().get_timestamp().unwrap().to_unix();
            assert_eq!((seconds, nanos / 1_000_000), (1_767_225_600, 123));
            let bytes = id.as_bytes();
            // 456 of 1000, in 4096ths.
            assert_eq!((u16::from(bytes[6] & 0x0f) << 8) | u16::from(bytes[7]), 1867);
        }
        assert!(ids[0] < ids[1], "{ids:?}");
        let later = Timestamp::from_micros(1_767_225_600_123_457).unwrap();
        assert!(TaskId::generate_at(later) > ids[1]);
    }
}
