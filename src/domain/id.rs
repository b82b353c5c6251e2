//! Identifiers: one type per kind, so that they cannot be mixed up.

use std::fmt;

use uuid::Uuid;

use super::Rule;

/// Reads a UUID in its canonical form: 36 characters with hyphens, in upper or lower case.
fn parse_canonical(text: &str) -> Result<Uuid, Rule> {
    // `Uuid` reads braces, URNs and bare hex as well; a name has one spelling only.
    if text.len() != 36 {
        return Err(Rule::field("must be a UUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"));
    }
    Uuid::try_parse(text)
        .map_err(|_| Rule::field("must be a UUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"))
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A new identifier, ordered by time (UUIDv7).
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
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
    /// One login of one user.
    SessionId
}
identifier! {
    /// A key of one user for a service or a script.
    ApiKeyId
}
identifier! {
    /// Something that happened to one account.
    AuditEventId
}
