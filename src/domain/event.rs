//! Events: what other services are told of, which kinds of it somebody asks for, and where a reader of all stands.

use super::{
    ChangeType, HistoryId, Rule, State, Subject, Task, TaskChange, TaskField, TaskId, Timestamp, User, UserId,
};

/// What an event tells, as it lies in the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A stretch of the user's change log.
    Changes,
    /// A reminder is due.
    Reminder,
    /// The account was made.
    UserCreated,
    /// The account was disabled.
    UserDisabled,
    /// The account was deleted.
    UserDeleted,
}

impl EventKind {
    /// The number under which it is stored.
    pub const fn code(self) -> i16 {
        match self {
            Self::Changes => 1,
            Self::Reminder => 2,
            Self::UserCreated => 3,
            Self::UserDisabled => 4,
            Self::UserDeleted => 5,
        }
    }

    /// The kind with this number.
    pub const fn from_code(code: i16) -> Option<Self> {
        Some(match code {
            1 => Self::Changes,
            2 => Self::Reminder,
            3 => Self::UserCreated,
            4 => Self::UserDisabled,
            5 => Self::UserDeleted,
            _ => return None,
        })
    }
}

/// An event, or a stretch of them, as it is kept for those who listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedEvent {
    /// Its place among those of all users.
    pub number: i64,
    /// About whom it is.
    pub user: UserId,
    /// The first revision of the stretch; of anything else, the one that the user had.
    pub revision: i64,
    /// The last revision of the stretch.
    pub last_revision: i64,
    /// What it tells.
    pub kind: EventKind,
    /// Names it among those of the user, where it is no change.
    pub id: uuid::Uuid,
    /// What it tells beyond that.
    pub payload: Option<String>,
    /// When it happened.
    pub create_time: Timestamp,
}

/// Something that happened, as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Names it among all events, the same each time that it is told.
    pub id: String,
    /// What happened.
    pub kind: EventType,
    /// About whom it is.
    pub user: UserId,
    /// When it happened.
    pub create_time: Timestamp,
    /// What it tells.
    pub data: EventData,
}

/// What an event tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventData {
    /// A change of a task or list.
    Change(Box<TaskChange>),
    /// The account as it is; `None` where it is gone.
    Account(Option<Box<User>>),
    /// A reminder of this task.
    Reminder(Box<Task>, DueReminder),
}

/// A reminder whose time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueReminder {
    /// Of which task.
    pub task: TaskId,
    /// When it was to be told.
    pub time: Timestamp,
    /// Whether that was too late.
    pub late: bool,
}

impl DueReminder {
    /// As it is kept with the event.
    pub fn to_text(self) -> String {
        format!("{} {} {}", self.task, self.time.as_micros(), u8::from(self.late))
    }

    /// Out of what is kept; `None` where it is none.
    pub fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let task = TaskId::parse(parts.next()?).ok()?;
        let time = Timestamp::from_micros(parts.next()?.parse().ok()?)?;
        Some(Self { task, time, late: parts.next()? == "1" })
    }
}

impl Event {
    /// A change as an event.
    pub fn of_change(user: UserId, change: TaskChange) -> Self {
        Self {
            id: format!("evt_{}_{}", user.uuid().as_simple(), change.revision),
            kind: EventType::of_change(&change),
            user,
            create_time: change.create_time,
            data: EventData::Change(Box::new(change)),
        }
    }

    /// Something else.
    pub fn of_queued(queued: &QueuedEvent, kind: EventType, data: EventData) -> Self {
        Self {
            id: format!("evt_{}", queued.id.as_simple()),
            kind,
            user: queued.user,
            create_time: queued.create_time,
            data,
        }
    }
}

/// The types by which listeners choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// `task.created`
    TaskCreated,
    /// `task.updated`
    TaskUpdated,
    /// `task.completed`
    TaskCompleted,
    /// `task.deleted`
    TaskDeleted,
    /// `task.undeleted`
    TaskUndeleted,
    /// `task.purged`
    TaskPurged,
    /// `task_list.created`
    TaskListCreated,
    /// `task_list.updated`
    TaskListUpdated,
    /// `task_list.deleted`
    TaskListDeleted,
    /// `task_list.undeleted`
    TaskListUndeleted,
    /// `task_list.purged`
    TaskListPurged,
    /// `reminder.due`
    ReminderDue,
    /// `user.created`
    UserCreated,
    /// `user.disabled`
    UserDisabled,
    /// `user.deleted`
    UserDeleted,
}

impl EventType {
    /// Every type.
    pub const ALL: [Self; 15] = [
        Self::TaskCreated,
        Self::TaskUpdated,
        Self::TaskCompleted,
        Self::TaskDeleted,
        Self::TaskUndeleted,
        Self::TaskPurged,
        Self::TaskListCreated,
        Self::TaskListUpdated,
        Self::TaskListDeleted,
        Self::TaskListUndeleted,
        Self::TaskListPurged,
        Self::ReminderDue,
        Self::UserCreated,
        Self::UserDisabled,
        Self::UserDeleted,
    ];

    /// The name that callers use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TaskCreated => "task.created",
            Self::TaskUpdated => "task.updated",
            Self::TaskCompleted => "task.completed",
            Self::TaskDeleted => "task.deleted",
            Self::TaskUndeleted => "task.undeleted",
            Self::TaskPurged => "task.purged",
            Self::TaskListCreated => "task_list.created",
            Self::TaskListUpdated => "task_list.updated",
            Self::TaskListDeleted => "task_list.deleted",
            Self::TaskListUndeleted => "task_list.undeleted",
            Self::TaskListPurged => "task_list.purged",
            Self::ReminderDue => "reminder.due",
            Self::UserCreated => "user.created",
            Self::UserDisabled => "user.disabled",
            Self::UserDeleted => "user.deleted",
        }
    }

    const fn bit(self) -> i32 {
        1 << self as i32
    }

    /// Whether it is about accounts, which concerns administrators alone.
    const fn is_of_accounts(self) -> bool {
        matches!(self, Self::UserCreated | Self::UserDisabled | Self::UserDeleted)
    }

    /// The type of a change. A change that completes a task is told as that and not as an update as well.
    pub fn of_change(change: &TaskChange) -> Self {
        let is_completion = change.fields.contains(TaskField::Completed)
            && matches!(&change.state, Some(State::Task(task)) if task.complete_time.is_some());
        match (change.subject, change.kind) {
            (Subject::Task(_), ChangeType::Created) => Self::TaskCreated,
            (Subject::Task(_), ChangeType::Updated) if is_completion => Self::TaskCompleted,
            (Subject::Task(_), ChangeType::Updated) => Self::TaskUpdated,
            (Subject::Task(_), ChangeType::Deleted) => Self::TaskDeleted,
            (Subject::Task(_), ChangeType::Undeleted) => Self::TaskUndeleted,
            (Subject::Task(_), ChangeType::Purged) => Self::TaskPurged,
            (Subject::List(_), ChangeType::Created) => Self::TaskListCreated,
            (Subject::List(_), ChangeType::Updated) => Self::TaskListUpdated,
            (Subject::List(_), ChangeType::Deleted) => Self::TaskListDeleted,
            (Subject::List(_), ChangeType::Undeleted) => Self::TaskListUndeleted,
            (Subject::List(_), ChangeType::Purged) => Self::TaskListPurged,
        }
    }

    /// The type of what is no change.
    pub const fn of_kind(kind: EventKind) -> Option<Self> {
        match kind {
            EventKind::Changes => None,
            EventKind::Reminder => Some(Self::ReminderDue),
            EventKind::UserCreated => Some(Self::UserCreated),
            EventKind::UserDisabled => Some(Self::UserDisabled),
            EventKind::UserDeleted => Some(Self::UserDeleted),
        }
    }
}

/// The types that a listener asks for; never none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTypes(i32);

impl EventTypes {
    /// All of them.
    pub const ALL: Self = Self((1 << EventType::ALL.len()) - 1);

    /// Reads names, among them `task.*`, `task_list.*` and, where they are open, `user.*`; a repeated one counts once.
    ///
    /// # Errors
    /// The rule, when there are none, or one is unknown or not open.
    pub fn parse(names: &[String], of_accounts: bool) -> Result<Self, Rule> {
        let unknown = || {
            Rule::field(if of_accounts {
                "must hold at least one type of event, such as `task.created`, `task_list.*`, `reminder.due` or `user.*`, and no other text"
            } else {
                "must hold at least one type of event, such as `task.created`, `task_list.*` or `reminder.due`, and no other text; those of accounts are for administrators"
            })
        };
        let mut bits = 0;
        for name in names {
            let is_meant = |one: &EventType| match name.strip_suffix('*') {
                Some(group) => group.ends_with('.') && one.name().starts_with(group),
                None => one.name() == name,
            };
            let meant: Vec<EventType> = EventType::ALL.into_iter().filter(is_meant).collect();
            if meant.is_empty() || meant.iter().any(|one| one.is_of_accounts() && !of_accounts) {
                return Err(unknown());
            }
            bits = meant.iter().fold(bits, |bits, one| bits | one.bit());
        }
        Self::from_code(bits).ok_or_else(unknown)
    }

    /// The number under which they are stored.
    pub const fn code(self) -> i32 {
        self.0
    }

    /// The types with this number.
    pub const fn from_code(code: i32) -> Option<Self> {
        if code > 0 && code <= Self::ALL.0 { Some(Self(code)) } else { None }
    }

    /// Those that were asked for, in a fixed order.
    pub fn iter(self) -> impl Iterator<Item = EventType> {
        EventType::ALL.into_iter().filter(move |one| self.contains(*one))
    }

    /// Whether this one was asked for.
    pub const fn contains(self, one: EventType) -> bool {
        self.0 & one.bit() != 0
    }
}

/// How far a reader of all events has come: everything up to this event, and of the next one up to this revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventCursor {
    /// The history that the numbers belong to.
    pub history: HistoryId,
    /// The last event that was told as a whole.
    pub number: i64,
    /// Of the event after it, the last revision that was told; 0 where none was.
    pub revision: i64,
}

impl EventCursor {
    const LENGTH: usize = 32;

    /// As bytes.
    pub fn to_bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..16].copy_from_slice(self.history.as_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_be_bytes());
        bytes[24..].copy_from_slice(&self.revision.to_be_bytes());
        bytes
    }

    /// Out of bytes; `None` where they are none of ours.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let history = bytes.get(..16)?.try_into().ok()?;
        let number = i64::from_be_bytes(bytes.get(16..24)?.try_into().ok()?);
        let revision = i64::from_be_bytes(bytes.get(24..)?.try_into().ok()?);
        let cursor = Self { history: HistoryId::from_bytes(history), number, revision };
        (number >= 0 && revision >= 0).then_some(cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::{EventCursor, EventType, EventTypes};
    use crate::domain::HistoryId;

    fn types(names: &[&str], of_accounts: bool) -> Option<Vec<&'static str>> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let types = EventTypes::parse(&names, of_accounts).ok()?;
        assert_eq!(EventTypes::from_code(types.code()), Some(types));
        Some(types.iter().map(EventType::name).collect())
    }

    #[test]
    fn types_are_asked_for_by_name_or_by_group() {
        assert_eq!(
            types(&["task.purged", "task.created", "task.created"], false).unwrap(),
            ["task.created", "task.purged"]
        );
        let lists = [
            "task_list.created",
            "task_list.updated",
            "task_list.deleted",
            "task_list.undeleted",
            "task_list.purged",
        ];
        assert_eq!(types(&["task_list.*"], false).unwrap(), lists);
        assert_eq!(types(&["user.*"], true).unwrap(), ["user.created", "user.disabled", "user.deleted"]);
        assert_eq!(types(&["task.*", "task_list.*", "reminder.due", "user.*"], true).unwrap().len(), 15);
        for wrong in [
            &[][..],
            &[""],
            &["*"],
            &[".*"],
            &["task"],
            &["task*"],
            &["task.crea*"],
            &["Task.created"],
            &["reminder.due "],
        ] {
            assert_eq!(types(wrong, true), None, "{wrong:?}");
        }
        for of_accounts in ["user.created", "user.*"] {
            assert_eq!(types(&["task.created", of_accounts], false), None, "{of_accounts}");
        }
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let cursor =
            EventCursor { history: HistoryId::from_bytes([7; 16]), number: 1 << 40, revision: 12_345 };
        assert_eq!(EventCursor::from_bytes(&cursor.to_bytes()), Some(cursor));
        for wrong in [&[][..], &[0; 31], &[0; 33], &[255; 32]] {
            assert_eq!(EventCursor::from_bytes(wrong), None, "{wrong:?}");
        }
    }
}
