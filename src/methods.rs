//! Every method of this process, once: who may call it, how it waits when there is more work than room, whether it
//! answers with a stream.
//!
//! What is not listed is refused; whatever has to be decided about it before that is decided as for the strictest.

use crate::domain::Scope;

/// Who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone; the token of a session is looked at when there is a valid one, but not asked for.
    Anyone,
    /// Whoever has a valid access token. No API key: a key can manage neither keys nor the account.
    User,
    /// Whoever has a valid access token, or an API key with this scope.
    UserOrKey(Scope),
    /// Whoever has an API key with this scope, and nobody else.
    Key(Scope),
    /// An administrator with a valid access token.
    Admin,
}

/// How a call stands to others when there is more work than room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Goes in at any time: an overloaded service must be seen to be alive, and these cost next to nothing.
    Always,
    /// Somebody waits for one thing.
    Interactive,
    /// Many things at once; goes in when nobody waits for one.
    Batch,
}

/// How a method answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// With one message.
    Single,
    /// With messages for as long as somebody listens.
    Stream,
}

/// What is known of a method.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// As in `/taskwire.v1.TaskService/GetTask`.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// How it waits.
    pub class: Class,
    /// How it answers.
    pub answer: Answer,
}

const fn entry(path: &'static str, access: Access, class: Class, answer: Answer) -> Entry {
    Entry { path, access, class, answer }
}

use Access::{Admin, Anyone, Key, User};
use Answer::{Single, Stream};
use Class::{Always, Batch, Interactive};

const READ: Access = Access::UserOrKey(Scope::TasksRead);
const WRITE: Access = Access::UserOrKey(Scope::TasksWrite);
const CALENDAR: Access = Access::UserOrKey(Scope::CalendarRead);
const HOOKS: Access = Access::UserOrKey(Scope::WebhooksManage);

/// The one method whose caller sends more than one message.
pub const IMPORT_TASKS: &str = "/taskwire.v1.TaskService/ImportTasks";

/// The list. Tests hold it against the descriptors: each method once, streams as the contract says.
pub const METHODS: &[Entry] = &[
    entry("/taskwire.v1.TaskService/CreateTask", WRITE, Interactive, Single),
    entry("/taskwire.v1.TaskService/GetTask", READ, Interactive, Single),
    entry("/taskwire.v1.TaskService/ListTasks", READ, Batch, Single),
    entry("/taskwire.v1.TaskService/UpdateTask", WRITE, Interactive, Single),
    entry("/taskwire.v1.TaskService/DeleteTask", WRITE, Interactive, Single),
    entry("/taskwire.v1.TaskService/UndeleteTask", WRITE, Interactive, Single),
    entry("/taskwire.v1.TaskService/BatchGetTasks", READ, Batch, Single),
    entry("/taskwire.v1.TaskService/BatchCreateTasks", WRITE, Batch, Single),
    entry("/taskwire.v1.TaskService/BatchUpdateTasks", WRITE, Batch, Single),
    entry("/taskwire.v1.TaskService/BatchDeleteTasks", WRITE, Batch, Single),
    entry(IMPORT_TASKS, WRITE, Batch, Single),
    entry("/taskwire.v1.TaskService/GetCalendar", CALENDAR, Batch, Stream),
    entry("/taskwire.v1.TaskService/CountTasks", READ, Batch, Single),
    entry("/taskwire.v1.TaskService/ListTaskChanges", READ, Batch, Single),
    entry("/taskwire.v1.TaskService/WatchTasks", READ, Interactive, Stream),
    entry("/taskwire.v1.TaskService/UndoChanges", WRITE, Batch, Single),
    entry("/taskwire.v1.TaskService/ListTaskRevisions", READ, Batch, Single),
    entry("/taskwire.v1.TaskService/RollbackTask", WRITE, Interactive, Single),
    entry("/taskwire.v1.TaskService/MoveTask", WRITE, Interactive, Single),
    entry("/taskwire.v1.TaskService/SkipOccurrence", WRITE, Interactive, Single),
    entry("/taskwire.v1.TaskService/PreviewOccurrences", READ, Interactive, Single),
    entry("/taskwire.v1.TaskService/CreateTaskList", WRITE, Interactive, Single),
    entry("/taskwire.v1.TaskService/GetTaskList", READ, Interactive, Single),
    entry("/taskwire.v1.TaskService/ListTaskLists", READ, Batch, Single),
    entry("/taskwire.v1.TaskService/UpdateTaskList", WRITE, Interactive, Single),
    entry("/taskwire.v1.TaskService/DeleteTaskList", WRITE, Batch, Single),
    entry("/taskwire.v1.TaskService/UndeleteTaskList", WRITE, Batch, Single),
    entry("/taskwire.v1.TaskService/MoveTaskList", WRITE, Interactive, Single),
    entry("/taskwire.v1.UserService/CreateUser", Anyone, Interactive, Single),
    entry("/taskwire.v1.UserService/GetUser", User, Interactive, Single),
    entry("/taskwire.v1.UserService/UpdateUser", User, Interactive, Single),
    entry("/taskwire.v1.UserService/DeleteUser", User, Interactive, Single),
    entry("/taskwire.v1.UserService/ListUsers", Admin, Interactive, Single),
    entry("/taskwire.v1.UserService/DisableUser", Admin, Interactive, Single),
    entry("/taskwire.v1.UserService/EnableUser", Admin, Interactive, Single),
    entry("/taskwire.v1.UserService/Login", Anyone, Interactive, Single),
    entry("/taskwire.v1.UserService/CompleteLogin", Anyone, Interactive, Single),
    entry("/taskwire.v1.UserService/RefreshSession", Anyone, Interactive, Single),
    entry("/taskwire.v1.UserService/Logout", User, Interactive, Single),
    entry("/taskwire.v1.UserService/ChangePassword", User, Interactive, Single),
    entry("/taskwire.v1.UserService/ListSessions", User, Interactive, Single),
    entry("/taskwire.v1.UserService/RevokeSession", User, Interactive, Single),
    entry("/taskwire.v1.UserService/RevokeAllSessions", User, Interactive, Single),
    entry("/taskwire.v1.UserService/CreateApiKey", User, Interactive, Single),
    entry("/taskwire.v1.UserService/ListApiKeys", User, Interactive, Single),
    entry("/taskwire.v1.UserService/RevokeApiKey", User, Interactive, Single),
    entry("/taskwire.v1.UserService/ListAuditEvents", User, Interactive, Single),
    entry("/taskwire.v1.UserService/ExportUserData", User, Batch, Stream),
    entry("/taskwire.v1.UserService/BeginTotpEnrolment", User, Interactive, Single),
    entry("/taskwire.v1.UserService/ConfirmTotpEnrolment", User, Interactive, Single),
    entry("/taskwire.v1.UserService/DisableTotp", User, Interactive, Single),
    entry("/taskwire.v1.UserService/RegenerateRecoveryCodes", User, Interactive, Single),
    entry("/taskwire.v1.UserService/RequestPasswordReset", Anyone, Interactive, Single),
    entry("/taskwire.v1.UserService/ResetPassword", Anyone, Interactive, Single),
    entry("/taskwire.v1.UserService/SendVerification", Anyone, Interactive, Single),
    entry("/taskwire.v1.UserService/VerifyEmail", Anyone, Interactive, Single),
    entry("/taskwire.v1.UserService/RequestEmailChange", User, Interactive, Single),
    entry("/taskwire.v1.UserService/ConfirmEmailChange", Anyone, Interactive, Single),
    entry("/taskwire.v1.UserService/CreateServiceAccount", Admin, Interactive, Single),
    entry("/taskwire.v1.UserService/ExchangeToken", Key(Scope::UsersImpersonate), Interactive, Single),
    entry("/taskwire.v1.EventService/WatchEvents", Access::Key(Scope::EventsRead), Interactive, Stream),
    entry("/taskwire.v1.EventService/CreateWebhook", HOOKS, Interactive, Single),
    entry("/taskwire.v1.EventService/GetWebhook", HOOKS, Interactive, Single),
    entry("/taskwire.v1.EventService/ListWebhooks", HOOKS, Interactive, Single),
    entry("/taskwire.v1.EventService/UpdateWebhook", HOOKS, Interactive, Single),
    entry("/taskwire.v1.EventService/DeleteWebhook", HOOKS, Interactive, Single),
    entry("/taskwire.v1.EventService/RotateWebhookSecret", HOOKS, Interactive, Single),
    entry("/taskwire.v1.EventService/TestWebhook", HOOKS, Interactive, Single),
    entry("/taskwire.v1.EventService/ReplayWebhook", HOOKS, Interactive, Single),
    entry("/taskwire.v1.EventService/ListWebhookQueues", HOOKS, Interactive, Single),
    entry("/grpc.health.v1.Health/Check", Anyone, Always, Single),
    entry("/grpc.health.v1.Health/Watch", Anyone, Always, Stream),
    entry("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Anyone, Always, Stream),
    entry("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Anyone, Always, Stream),
];

/// A method by its place in the list, or one that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method(usize);

impl Method {
    /// The method at this path. Only known ones have a name: a path is the caller's to choose.
    pub fn of(path: &str) -> Self {
        Self(METHODS.iter().position(|entry| entry.path == path).unwrap_or(METHODS.len()))
    }

    /// Every method; the last one stands for all that do not exist.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=METHODS.len()).map(Self)
    }

    /// Its place: below the number of `all`.
    pub const fn number(self) -> usize {
        self.0
    }

    fn entry(self) -> Option<&'static Entry> {
        METHODS.get(self.0)
    }

    /// Its path, if it exists.
    pub fn path(self) -> Option<&'static str> {
        self.entry().map(|entry| entry.path)
    }

    /// Its name in metrics and traces, as OpenTelemetry wants it.
    pub fn label(self) -> &'static str {
        self.entry().map_or("_OTHER", |entry| entry.path.trim_start_matches('/'))
    }

    /// Who may call it; nobody, if it does not exist.
    pub fn access(self) -> Option<Access> {
        self.entry().map(|entry| entry.access)
    }

    /// How it waits; behind all others, if it does not exist.
    pub fn class(self) -> Class {
        self.entry().map_or(Batch, |entry| entry.class)
    }

    /// Whether an answer may last as long as somebody listens: for the time that a call is given.
    pub fn may_last(self) -> bool {
        self.entry().is_some_and(|entry| entry.answer == Stream)
    }

    /// Whether an answer ends when its caller is shut out: all but single messages, which are over before that matters.
    pub fn ends_when_shut_out(self) -> bool {
        self.entry().is_none_or(|entry| entry.answer == Stream)
    }
}

#[cfg(test)]
mod tests {
    use super::{Batch, Method};

    #[test]
    fn what_is_not_listed_is_held_to_the_strictest() {
        for path in ["/taskwire.v1.TaskService/WatchEverything", "/grpc.health.v1.Health/Other", "/", ""] {
            let method = Method::of(path);
            assert_eq!(method.access(), None, "{path}");
            assert_eq!(method.class(), Batch, "{path}");
            assert!(!method.may_last(), "{path}");
            assert!(method.ends_when_shut_out(), "{path}");
            assert_eq!(method.label(), "_OTHER", "{path}");
        }
    }
}
