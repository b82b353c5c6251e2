//! API keys: what a service or a script may do for its user.

use super::{ApiKeyId, DisplayName, Rule, Timestamp, UserId};

/// One thing that an API key can be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Read tasks.
    TasksRead,
    /// Read and change tasks.
    TasksWrite,
    /// Manage the user's webhooks.
    WebhooksManage,
    /// Be told of what happens to all users.
    EventsRead,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::TasksRead, Self::TasksWrite, Self::WebhooksManage, Self::EventsRead];

    /// The name that callers use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TasksRead => "tasks.read",
            Self::TasksWrite => "tasks.write",
            Self::WebhooksManage => "webhooks.manage",
            Self::EventsRead => "events.read",
        }
    }

    const fn bit(self) -> i16 {
        match self {
            Self::TasksRead => 1,
            Self::TasksWrite => 2,
            Self::WebhooksManage => 4,
            Self::EventsRead => 8,
        }
    }
}

/// What one API key may do; never nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scopes(i16);

impl Scopes {
    /// Reads scopes by name; a repeated one counts once.
    ///
    /// # Errors
    /// The rule, when there are none or a name is unknown.
    pub fn parse(names: &[String]) -> Result<Self, Rule> {
        let unknown = || {
            Rule::field(
                "must hold at least one of `tasks.read`, `tasks.write`, `webhooks.manage` and `events.read`, and no other text",
            )
        };
        let mut bits = 0;
        for name in names {
            let scope = Scope::ALL.into_iter().find(|scope| scope.name() == name);
            bits |= scope.ok_or_else(unknown)?.bit();
        }
        Self::from_code(bits).ok_or_else(unknown)
    }

    /// The number under which they are stored.
    pub const fn code(self) -> i16 {
        self.0
    }

    /// The scopes with this number.
    pub const fn from_code(code: i16) -> Option<Self> {
        match code {
            1..=15 => Some(Self(code)),
            _ => None,
        }
    }

    /// Those that were given, in a fixed order.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.0 & scope.bit() != 0)
    }

    /// Whether one of them reaches beyond the user whose key it is.
    pub const fn reaches_beyond_its_user(self) -> bool {
        self.0 & Scope::EventsRead.bit() != 0
    }

    /// Whether they reach as far as `needed`. Writing includes reading.
    pub const fn allow(self, needed: Scope) -> bool {
        let enough = match needed {
            Scope::TasksRead => Scope::TasksRead.bit() | Scope::TasksWrite.bit(),
            _ => needed.bit(),
        };
        self.0 & enough != 0
    }
}

/// An API key to be stored.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Whose it is.
    pub user: UserId,
    /// What it is for.
    pub display_name: DisplayName,
    /// What it may do.
    pub scopes: Scopes,
    /// Hash (SHA-256) of its secret.
    pub secret_hash: Vec<u8>,
    /// When it was made.
    pub create_time: Timestamp,
    /// From when on it is refused, if ever.
    pub expire_time: Option<Timestamp>,
}

/// A stored API key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Whose it is.
    pub user: UserId,
    /// What it is for.
    pub display_name: DisplayName,
    /// What it may do.
    pub scopes: Scopes,
    /// When it was made.
    pub create_time: Timestamp,
    /// From when on it is refused, if ever.
    pub expire_time: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::{Scope, Scopes};

    #[test]
    fn writing_includes_reading_and_not_the_other_way_round() {
        let scopes =
            |names: &[&str]| Scopes::parse(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
        let read = scopes(&["tasks.read"]).unwrap();
        let write = scopes(&["tasks.write", "tasks.write"]).unwrap();
        assert!(read.allow(Scope::TasksRead) && !read.allow(Scope::TasksWrite));
        assert!(write.allow(Scope::TasksRead) && write.allow(Scope::TasksWrite));
        assert_eq!(write.iter().collect::<Vec<_>>(), [Scope::TasksWrite]);
        for wrong in [&[][..], &[""], &["tasks"], &["tasks.read", "*"], &["TASKS.READ"]] {
            assert!(scopes(wrong).is_err(), "{wrong:?}");
        }
    }
}
