//! Accounts.

use super::etag::Content;
use super::{Etag, HistoryId, Rule, Timestamp, UserId, text};

/// An email address as given, with the key under which it is unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    given: String,
    key: String,
}

impl Email {
    /// Longest address that mail can be sent to (RFC 5321), in code points.
    pub const MAX_CODE_POINTS: usize = 254;

    /// Reads an address: one `@` with something on both sides, no white space, no control characters.
    ///
    /// Whether mail arrives there is not known; anything stricter refuses real addresses.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(raw: &str) -> Result<Self, Rule> {
        text::no_controls(raw, &[])?;
        text::at_most(raw, Self::MAX_CODE_POINTS)?;
        let parts = raw
            .split_once('@')
            .filter(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'));
        if parts.is_none() || raw.chars().any(char::is_whitespace) {
            return Err(Rule::field("must be an email address of the form name@domain, without spaces"));
        }
        Ok(Self { given: raw.to_owned(), key: Self::key_of(raw) })
    }

    /// The key of an address, or of what may be one: folded, the domain as it is written in its own script. A domain that
    /// is spelled for the Domain Name System (`xn--…`) is the same one.
    pub fn key_of(raw: &str) -> String {
        let (local, domain) = raw.rsplit_once('@').unwrap_or(("", raw));
        if local.is_empty() || (domain.is_ascii() && !domain.to_ascii_lowercase().contains("xn--")) {
            return text::fold(raw);
        }
        match idna::domain_to_unicode(domain) {
            (domain, Ok(())) => text::fold(&format!("{local}@{domain}")),
            // No domain by the rules: what was written is all there is.
            (_, Err(_)) => text::fold(raw),
        }
    }

    /// The address as it was given.
    pub fn as_str(&self) -> &str {
        &self.given
    }

    /// The address folded: two addresses with the same key belong to the same account.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// What a user is called: a short text, which may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DisplayName(String);

impl DisplayName {
    /// Reads a display name.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(raw: &str) -> Result<Self, Rule> {
        text::short(raw).map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a user may do beyond their own data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Nothing.
    User,
    /// Manage accounts; not read tasks.
    Admin,
}

impl Role {
    /// The number under which it is stored.
    pub const fn code(self) -> i16 {
        match self {
            Self::User => 1,
            Self::Admin => 2,
        }
    }

    /// The role with this number.
    pub const fn from_code(code: i16) -> Option<Self> {
        match code {
            1 => Some(Self::User),
            2 => Some(Self::Admin),
            _ => None,
        }
    }

    /// The name in tokens and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
        }
    }

    /// The role with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::User, Self::Admin].into_iter().find(|role| role.name() == name)
    }
}

/// Who an account is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccountKind {
    /// A person, who logs in.
    #[default]
    Person,
    /// A service, which has API keys and no password.
    Service,
}

impl AccountKind {
    /// The number under which it is stored.
    pub const fn code(self) -> i16 {
        match self {
            Self::Person => 1,
            Self::Service => 2,
        }
    }

    /// The kind with this number.
    pub const fn from_code(code: i16) -> Option<Self> {
        match code {
            1 => Some(Self::Person),
            2 => Some(Self::Service),
            _ => None,
        }
    }
}

/// Which accounts a list shows, by their address; always compared folded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum EmailFilter {
    /// All of them.
    #[default]
    Any,
    /// The one with this folded address.
    Is(String),
    /// Those whose folded address contains this text.
    Contains(String),
}

/// An account to be stored.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Its id.
    pub id: UserId,
    /// Its address.
    pub email: Email,
    /// What it is called.
    pub display_name: DisplayName,
    /// What it may do.
    pub role: Role,
}

/// A stored account, without its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Its address.
    pub email: Email,
    /// What it is called.
    pub display_name: DisplayName,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub create_time: Timestamp,
    /// When it last changed.
    pub update_time: Timestamp,
    /// Since when it may not log in.
    pub disable_time: Option<Timestamp>,
    /// Who it is for.
    pub kind: AccountKind,
    /// Whether a login asks for a code as well.
    pub totp_enabled: bool,
    /// Whether somebody has shown that they read the mail of the address.
    pub email_verified: bool,
    /// The number of the last change to its tasks.
    pub revision: i64,
    /// The history that the number belongs to.
    pub history: HistoryId,
    /// Counts the changes of the account itself.
    pub version: i64,
}

impl User {
    /// Changes with every change of the account, not with its tasks.
    pub fn etag(&self) -> Etag {
        let time = |time: Option<Timestamp>| time.map(Timestamp::as_micros);
        Content::new()
            .text(self.email.as_str())
            .text(self.display_name.as_str())
            .numbers([
                Some(self.role.code().into()),
                time(Some(self.create_time)),
                time(Some(self.update_time)),
                time(self.disable_time),
            ])
            .etag(self.version)
    }
}

/// What to change of an account; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct UserPatch {
    /// A new address.
    pub email: Option<Email>,
    /// A new display name.
    pub display_name: Option<DisplayName>,
    /// The etag that the account must still have.
    pub etag: Option<Etag>,
}

impl UserPatch {
    /// The account after this change; `None` when it changes nothing.
    ///
    /// # Errors
    /// `EtagMismatch` when another etag was expected.
    pub fn apply(self, current: &User, now: Timestamp) -> super::Result<Option<User>> {
        if self.etag.is_some_and(|expected| expected != current.etag()) {
            return Err(super::Error::EtagMismatch { current: current.etag(), state: None });
        }
        let mut next = current.clone();
        next.email = self.email.unwrap_or(next.email);
        // What was proved of one address says nothing of another.
        next.email_verified &= next.email.key() == current.email.key();
        next.display_name = self.display_name.unwrap_or(next.display_name);
        if next == *current {
            return Ok(None);
        }
        next.update_time = now.max(current.update_time);
        next.version += 1;
        Ok(Some(next))
    }
}
