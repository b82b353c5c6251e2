//! API keys: what a service or a script may do for its user.

use super::{AccountKind, ApiKeyId, DisplayName, Rule, Timestamp, UserId};

/// One thing that an API key can be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Read tasks.
    TasksRead,
    /// Read and change tasks.
    TasksWrite,
    /// Read the events of all users. For services.
    EventsRead,
    /// Manage webhooks.
    WebhooksManage,
    /// Take on the part of users. For services.
    UsersImpersonate,
    /// Read the calendar of tasks. Never beside another one: it is in the address that a calendar asks.
    CalendarRead,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 6] = [
        Self::TasksRead,
        Self::TasksWrite,
        Self::EventsRead,
        Self::WebhooksManage,
        Self::UsersImpersonate,
        Self::CalendarRead,
    ];
    /// Those that only keys of services can have: they reach beyond one user.
    pub const OF_SERVICES: [Self; 2] = [Self::EventsRead, Self::UsersImpersonate];

    /// The name that callers use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TasksRead => "tasks.read",
            Self::TasksWrite => "tasks.write",
            Self::EventsRead => "events.read",
            Self::WebhooksManage => "webhooks.manage",
            Self::UsersImpersonate => "users.impersonate",
            Self::CalendarRead => "calendar.read",
        }
    }

    const fn bit(self) -> i16 {
        match self {
            Self::TasksRead => 1,
            Self::TasksWrite => 2,
            Self::EventsRead => 4,
            Self::WebhooksManage => 8,
            Self::UsersImpersonate => 16,
            Self::CalendarRead => 32,
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
    /// The rule, when there are none, a name is unknown, or one that stands alone has company.
    pub fn parse(names: &[String]) -> Result<Self, Rule> {
        let unknown = || {
            let text = "must hold at least one of `tasks.read`, `tasks.write`, `events.read`, `webhooks.manage`, \
                        `users.impersonate`, `calendar.read`, and nothing else";
            Rule::field(text)
        };
        let mut bits = 0;
        for name in names {
            let scope = Scope::ALL.into_iter().find(|scope| scope.name() == name);
            bits |= scope.ok_or_else(unknown)?.bit();
        }
        let scopes = Self::from_code(bits).ok_or_else(unknown)?;
        let calendar = Scope::CalendarRead.bit();
        if bits & calendar != 0 && bits != calendar {
            return Err(Rule::field("may hold `calendar.read` only alone: such a key stands in an address"));
        }
        Ok(scopes)
    }

    /// The number under which they are stored.
    pub const fn code(self) -> i16 {
        self.0
    }

    /// The scopes with this number.
    pub const fn from_code(code: i16) -> Option<Self> {
        match code {
            1..=63 => Some(Self(code)),
            _ => None,
        }
    }

    /// Those that were given, in a fixed order.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.0 & scope.bit() != 0)
    }

    /// Whether they reach as far as `needed`. Writing includes reading.
    pub const fn allow(self, needed: Scope) -> bool {
        let enough = match needed {
            Scope::TasksRead => Scope::TasksRead.bit() | Scope::TasksWrite.bit(),
            other => other.bit(),
        };
        self.0 & enough != 0
    }

    /// Checks that an account of this kind can have a key with these scopes.
    ///
    /// # Errors
    /// The rule, when one of them is for services alone.
    pub fn check_for(self, kind: AccountKind) -> Result<(), Rule> {
        let reserved = Scope::OF_SERVICES.iter().any(|scope| self.0 & scope.bit() != 0);
        if reserved && kind != AccountKind::Service {
            let text = "may hold `events.read` and `users.impersonate` only for a service account";
            return Err(Rule::field(text));
        }
        Ok(())
    }

    /// Those of them that are about tasks, if there are any.
    pub const fn of_tasks(self) -> Option<Self> {
        Self::from_code(self.0 & (Scope::TasksRead.bit() | Scope::TasksWrite.bit()))
    }

    /// As they stand in a token: their names with spaces between them (RFC 8693).
    pub fn claim(self) -> String {
        self.iter().map(Scope::name).collect::<Vec<_>>().join(" ")
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
    use super::{AccountKind, Scope, Scopes};

    #[test]
    fn writing_includes_reading_and_not_the_other_way_round() {
        let scopes =
            |names: &[&str]| Scopes::parse(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
        let read = scopes(&["tasks.read"]).unwrap();
        let write = scopes(&["tasks.write", "tasks.write"]).unwrap();
        assert!(read.allow(Scope::TasksRead) && !read.allow(Scope::TasksWrite));
        assert!(write.allow(Scope::TasksRead) && write.allow(Scope::TasksWrite));
        assert_eq!(write.iter().collect::<Vec<_>>(), [Scope::TasksWrite]);
        let service = scopes(&["users.impersonate", "tasks.read"]).unwrap();
        assert!(service.allow(Scope::UsersImpersonate) && !service.allow(Scope::EventsRead));
        assert!(
            service.check_for(AccountKind::Person).is_err() && write.check_for(AccountKind::Person).is_ok()
        );
        assert_eq!((service.check_for(AccountKind::Service), service.of_tasks()), (Ok(()), Some(read)));
        assert_eq!(service.claim(), "tasks.read users.impersonate");
        assert_eq!(scopes(&["webhooks.manage"]).unwrap().of_tasks(), None);
        let calendar = scopes(&["calendar.read", "calendar.read"]).unwrap();
        assert!(calendar.allow(Scope::CalendarRead) && !calendar.allow(Scope::TasksRead));
        assert!(!write.allow(Scope::CalendarRead));
        for wrong in [
            &[][..],
            &[""],
            &["tasks"],
            &["tasks.read", "*"],
            &["TASKS.READ"],
            &["calendar.read", "tasks.read"],
        ] {
            assert!(scopes(wrong).is_err(), "{wrong:?}");
        }
    }
}
