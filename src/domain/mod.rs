//! The rules: types that cannot hold a wrong value, what a change does, what can go wrong.
//!
//! Nothing here does I/O, and nothing here names tonic, prost or diesel. Every other floor may look
//! in here; this one looks at no other.

mod annotations;
mod api_key;
mod audit;
mod challenge;
mod change;
mod clock;
mod days;
mod error;
mod etag;
mod event;
mod filter;
mod id;
mod import;
mod list_write;
mod mail;
mod owner;
mod page;
mod position;
mod recurrence;
mod reminders;
mod schedule;
mod session;
mod subtasks;
mod task;
mod task_list;
mod task_move;
mod task_values;
mod task_write;
pub mod text;
mod time;
mod user;
mod webhook;
mod write;

pub use annotations::Annotations;
pub use api_key::{ApiKey, NewApiKey, Scope, Scopes};
pub use audit::{AuditEvent, AuditEventType, AuditTarget, Draft, Trace};
pub use challenge::{CHALLENGE_TRIES, ChallengeText, LoginChallenge, NewChallenge, SecondFactor};
pub use change::{ChangePage, ChangeType, State, Subject, TaskChange, TaskField, TaskFields};
pub use clock::{Clock, ManualClock, machine_time};
pub use days::{Day, TimeZone};
pub use error::{Error, InvalidReason, Resource, Result, Rule, Violation, Violations};
pub use etag::Etag;
pub use event::{DueReminder, Event, EventCursor, EventData, EventKind, EventType, EventTypes, QueuedEvent};
pub use filter::{Comparison, Condition, Filter, PresentField, TimeField};
pub use id::{
    ApiKeyId, AuditEventId, ChallengeId, HistoryId, MailId, MailTokenId, SessionId, TaskId, TaskListId,
    UserId, WebhookId,
};
pub use import::{ImportedList, ImportedTask};
pub use list_write::{ListDecision, ListWrite, Place};
pub use mail::{
    EmailVerification, Mail, MailCounts, MailKind, MailPurpose, MailToken, NewMail, NewMailToken,
};
pub use owner::Owner;
pub use page::{
    Cursor, OrderField, OrderKey, PageSize, SortValue, TaskCounts, TaskOrder, TaskPage, TaskQuery,
};
pub use position::Position;
pub use recurrence::{Anchor, Basis, Occurrence, Recurrence, RecurrenceRule};
pub use reminders::{Reminder, Reminders};
pub use schedule::Schedule;
pub use session::{Device, NewSession, RefreshSecrets, Session};
pub use subtasks::{DeletedWith, Subtasks};
pub use task::{DueDay, NewTask, Task, TaskPatch};
pub use task_list::{NewTaskList, TaskList, TasksOfDeleted, Unfinished};
pub use task_move::{MoveDecision, Neighbours, TaskMove};
pub use task_values::{Description, Labels, Priority, Title};
pub use task_write::{Decision, TaskWrite, WriteRules};
pub use time::Timestamp;
pub use user::{AccountKind, DisplayName, Email, EmailFilter, NewUser, Role, User, UserPatch};
pub use webhook::{
    Delivery, DisableReason, FailureReason, NewWebhook, RETRY_DELAYS, Replay, Webhook, WebhookFailure,
    WebhookOwner, WebhookPatch, WebhookQueue, WebhookUrl,
};
pub use write::{Effect, Write, WriteResult};
