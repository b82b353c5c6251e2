//! Everything that can go wrong, in the words of the domain.
//!
//! `api/status.rs` turns each variant into a gRPC status; nothing else does.

use std::borrow::Cow;
use std::time::Duration;

use super::{ChallengeText, Etag, HistoryId, State, Timestamp};

/// The result of everything that can fail by a rule.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a value is refused. Becomes the `reason` of an `INVALID_ARGUMENT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidReason {
    /// A field breaks its rule.
    Field,
    /// An update mask names something that is no field.
    FieldMask,
    /// A filter cannot be read.
    Filter,
    /// An order cannot be read.
    OrderBy,
    /// A page token was not made by this service, or was altered.
    PageToken,
    /// A page token belongs to another caller or another list.
    PageTokenMismatch,
    /// A password is shorter than the minimum.
    PasswordTooShort,
    /// A password is one that everybody tries first.
    PasswordCommon,
    /// A batch has too many items.
    BatchTooLarge,
    /// A time zone is not known.
    TimeZone,
    /// A rule of recurrence is none, or none for this task.
    Recurrence,
    /// A place is given by what is not among those that it belongs to.
    Position,
    /// The message is no protobuf of the expected type.
    Malformed,
}

/// The rule that a value breaks, without the place where it stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The kind of refusal.
    pub reason: InvalidReason,
    /// The rule in words a caller can act on. Never repeats the value.
    pub text: Cow<'static, str>,
}

impl Rule {
    /// A broken rule of an ordinary field.
    pub fn field(text: impl Into<Cow<'static, str>>) -> Self {
        Self::of(InvalidReason::Field, text)
    }

    /// A broken rule of the given kind.
    pub fn of(reason: InvalidReason, text: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, text: text.into() }
    }

    /// The rule together with the path of the field that breaks it.
    pub fn at(self, field: impl Into<Cow<'static, str>>) -> Violation {
        Violation { field: field.into(), rule: self }
    }
}

/// One violated field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field in the request, as in `task.title`.
    pub field: Cow<'static, str>,
    /// What it violates.
    pub rule: Rule,
}

/// Collects every violated field of a request, so that a caller learns of all of them at once.
#[derive(Debug, Default)]
pub struct Violations {
    found: Vec<Violation>,
}

impl Violations {
    /// Takes the value out of a parsed field, or notes the violation and answers `None`.
    pub fn check<T>(&mut self, field: &'static str, parsed: Result<T, Rule>) -> Option<T> {
        parsed.map_err(|rule| self.found.push(rule.at(field))).ok()
    }

    /// Notes a violation.
    pub fn add(&mut self, violation: Violation) {
        self.found.push(violation);
    }

    /// Fails with everything noted so far; `Ok` when nothing was.
    pub fn finish(self) -> Result<()> {
        if self.found.is_empty() { Ok(()) } else { Err(Error::Invalid(self.found)) }
    }

    /// The value, when it was parsed and nothing else was violated either.
    pub fn finish_with<T>(self, value: Option<T>) -> Result<T> {
        self.finish()?;
        value.ok_or_else(|| Error::Internal("a field was dropped without a violation".into()))
    }
}

/// What a name can lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// `users/{user}/tasks/{task}`
    Task,
    /// The task that another one is below.
    ParentTask,
    /// `users/{user}/taskLists/{task_list}`
    TaskList,
    /// `users/{user}`
    User,
    /// `users/{user}/sessions/{session}`
    Session,
    /// `users/{user}/apiKeys/{api_key}`
    ApiKey,
    /// `users/{user}/webhooks/{webhook}` or `webhooks/{webhook}`
    Webhook,
}

/// Everything that an operation can answer instead of a result.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Fields that break their rules, all of them; never empty.
    #[error("the request breaks {} rule(s)", .0.len())]
    Invalid(Vec<Violation>),
    /// Below one's own account, what does not exist.
    #[error("{0:?} not found")]
    NotFound(Resource),
    /// A task with this id exists already, deleted or not.
    #[error("a task with this id already exists")]
    TaskAlreadyExists,
    /// A task below one that is below another, or a task with others below it below one.
    #[error("subtasks have one level: neither has the parent a parent, nor the task subtasks of its own")]
    NestingTooDeep,
    /// Only a task that comes again has a next occurrence.
    #[error("the task does not recur")]
    TaskNotRecurring,
    /// There is no next occurrence.
    #[error("the task's rule has no further occurrence")]
    RecurrenceEnded,
    /// The task has as many live subtasks as are allowed.
    #[error("a task has at most {limit} subtasks that are not deleted")]
    SubtaskQuotaExceeded {
        /// Live subtasks that one task may have.
        limit: i32,
    },
    /// A list with this id exists already, deleted or not.
    #[error("a list with this id already exists")]
    TaskListAlreadyExists,
    /// Undelete of a list that is not deleted.
    #[error("the list is not deleted")]
    TaskListNotDeleted,
    /// The list is deleted; only undelete may change it.
    #[error("the list is deleted")]
    TaskListDeleted,
    /// An account with this email exists already.
    #[error("an account with this email already exists")]
    UserAlreadyExists,
    /// Undelete of a task that is not deleted.
    #[error("the task is not deleted")]
    TaskNotDeleted,
    /// The task is deleted; only undelete may change it.
    #[error("the task is deleted")]
    TaskDeleted,
    /// The etag given is not the current one.
    #[error("the etag is not the current one")]
    EtagMismatch {
        /// The current etag.
        current: Etag,
        /// The task or list as it stands, when it is one.
        state: Option<State>,
    },
    /// Two writers met; trying again may work.
    #[error("a concurrent change got in the way")]
    Conflict,
    /// The same request id came with another message.
    #[error("the request id was used before, with another message")]
    RequestIdReused,
    /// The same call is under way; it will be answered to whoever asks again.
    #[error("the same call is under way")]
    RequestInProgress,
    /// One item of a batch failed, and with it the batch.
    #[error("{path}: {error}")]
    InItem {
        /// The item, as in `requests[17]`.
        path: String,
        /// What is wrong with it.
        error: Box<Error>,
    },
    /// The changes after that revision are no longer kept.
    #[error("the changes after this revision are no longer kept; the earliest is {earliest}")]
    RevisionCompacted {
        /// The smallest revision after which changes can be listed.
        earliest: i64,
    },
    /// That revision has not come yet.
    #[error("the revision lies in the future; the current one is {current}")]
    RevisionInFuture {
        /// The number of the last change.
        current: i64,
    },
    /// No change of the task has that revision.
    #[error("no change of this task has this revision")]
    RevisionNotFound,
    /// The database was put back since: revisions of before mean other changes.
    #[error("the data has another history now, {current}; begin again from a list")]
    HistoryChanged {
        /// The present one.
        current: HistoryId,
    },
    /// The answer would be larger than clients take; nothing was done.
    #[error("the answer would be larger than clients take: {advice}")]
    AnswerTooLarge {
        /// What to ask for instead.
        advice: &'static str,
    },
    /// Too many streams, or too many calls.
    #[error("too many {what} at once")]
    RateLimited {
        /// Of what.
        what: &'static str,
    },
    /// The reader of a stream cannot keep up.
    #[error("the reader cannot keep up; go on from the last revision seen")]
    StreamTooSlow,
    /// The service is shutting down.
    #[error("the service is shutting down; try another replica")]
    Draining,
    /// The user has as many live tasks as are allowed.
    #[error("the quota of {limit} tasks is used up")]
    QuotaExceeded {
        /// Live tasks that one user may have.
        limit: i64,
    },
    /// The user has as many live lists as are allowed.
    #[error("a user has at most {limit} lists that are not deleted")]
    TaskListQuotaExceeded {
        /// Live lists that one user may have.
        limit: i64,
    },
    /// The user has as many API keys as are allowed.
    #[error("a user has at most {limit} API keys")]
    ApiKeyQuotaExceeded {
        /// Keys that one user may have.
        limit: i64,
    },
    /// There are as many webhooks as are allowed.
    #[error("there are at most {limit} webhooks")]
    WebhookQuotaExceeded {
        /// Webhooks that one user, or the administrators, may have.
        limit: i64,
    },
    /// A cursor of events leads to what is no longer kept.
    #[error("the events after this cursor are no longer kept")]
    CursorExpired,
    /// Without this account nobody could manage accounts any more.
    #[error("the last administrator can be neither disabled nor deleted")]
    LastAdmin,
    /// Somebody else's account.
    #[error("access to this parent is denied")]
    ParentAccessDenied,
    /// Only administrators may do this.
    #[error("only an administrator may do this")]
    AdminRequired,
    /// Registration is closed.
    #[error("registration is closed")]
    RegistrationClosed,
    /// The account is disabled.
    #[error("the account is disabled")]
    UserDisabled,
    /// No bearer token was sent.
    #[error("a bearer token is required")]
    TokenMissing,
    /// The bearer token is not one of ours, or was altered.
    #[error("the bearer token is not valid")]
    TokenInvalid,
    /// The bearer token was ours, until it expired.
    #[error("the bearer token has expired")]
    TokenExpired,
    /// The session has ended.
    #[error("the session has ended")]
    SessionRevoked,
    /// Email and password do not belong together.
    #[error("email or password is wrong")]
    CredentialsInvalid,
    /// A secret would have to be sealed or opened, and the key for it is not configured.
    #[error("the service has no key that seals secrets: its operator sets TASKWIRE_SECRETS_KEY_FILE")]
    SecretsKeyMissing,
    /// The password is right, and a code is asked for as well.
    #[error("the account has a second factor: complete the login with a code")]
    MfaRequired {
        /// What the code is to be sent with.
        challenge: ChallengeText,
    },
    /// No login waits under this challenge, or not any more.
    #[error("the challenge is not valid, or no longer; log in again")]
    ChallengeInvalid,
    /// A code of a second factor is wrong, or was used before.
    #[error("the code is wrong or was used before")]
    CodeInvalid,
    /// A second factor would be set up where there is one.
    #[error("the account has a second factor already")]
    TotpAlreadyEnabled,
    /// There is no second factor, or none that waits to be confirmed.
    #[error("the account has no such second factor")]
    TotpNotEnabled,
    /// The login is too old for what is asked.
    #[error("this needs a login that is younger than ten minutes: log in again")]
    StepUpRequired,
    /// Mail would have to be sent, and none can be.
    #[error("the service sends no mail: its operator sets TASKWIRE_MAIL_URL")]
    MailNotConfigured,
    /// The account has not proved its address, and has to.
    #[error(
        "the address is not verified: SendVerification mails what proves it, RequestEmailChange what proves another"
    )]
    EmailUnverified,
    /// A token of a mail is none, or not any more.
    #[error("the token is not valid, or no longer; ask for another one")]
    MailTokenInvalid,
    /// Mail to this address, or from this place, was asked for too often.
    #[error("too much mail was asked for; try again later")]
    MailThrottled {
        /// How long.
        retry_after: Duration,
    },
    /// Too many wrong passwords: the next attempt has to wait.
    #[error("too many wrong passwords; try again later")]
    LoginThrottled {
        /// How long.
        retry_after: Duration,
    },
    /// The API key is not one of ours, has expired, or was revoked.
    #[error("the API key is not valid")]
    ApiKeyInvalid,
    /// The key or token does not reach as far as this method.
    #[error("the token does not have the scope that this method needs; an API key with it does")]
    ScopeInsufficient,
    /// The refresh token is not one of ours, or has expired.
    #[error("the refresh token is not valid")]
    RefreshTokenInvalid,
    /// A refresh token was used again after its successor; its session is ended.
    #[error("the refresh token was used before; the session has been ended")]
    RefreshTokenReused,
    /// The service does not have this method.
    #[error("the method does not exist")]
    MethodUnknown,
    /// More work is waiting than can be done in time.
    #[error("the service is busy")]
    Overloaded,
    /// As many calls wait as may, or this one would wait past its deadline.
    #[error("the service is busy")]
    Busy {
        /// When there should be room again.
        retry_after: Duration,
    },
    /// The caller calls more often than is allowed.
    #[error("too many calls")]
    TooManyCalls {
        /// When the next one is allowed.
        retry_after: Duration,
    },
    /// The database does not answer.
    #[error("the storage is unavailable: {0}")]
    StorageUnavailable(String),
    /// The disk is full; reading goes on.
    #[error("the storage is full")]
    StorageFull,
    /// It took too long.
    #[error("the deadline has passed")]
    DeadlineExceeded,
    /// A bug, or a row that breaks an invariant. The text is for the log alone.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Error {
    /// A single violated field.
    pub fn invalid(violation: Violation) -> Self {
        Self::Invalid(vec![violation])
    }

    /// A stored value that the domain would never have written.
    pub fn corrupt(what: &str, rule: &Rule) -> Self {
        Self::Internal(format!("a stored {what} breaks its rule: {}", rule.text))
    }

    /// A time that does not fit the calendar of the service.
    pub fn corrupt_time(at: i64) -> Self {
        Self::Internal(format!(
            "a stored time is out of range: {at} µs; from {} to {} is allowed",
            Timestamp::MIN.as_micros(),
            Timestamp::MAX.as_micros()
        ))
    }
}
