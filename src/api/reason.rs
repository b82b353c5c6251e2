//! The table of reasons: each with its name, its code, and the errors that are answered under it.

use tonic::Code;

use crate::domain::{Error, InvalidReason, Resource, Violation};

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $code:ident;)*) => {
        /// The stable reasons, each with its code. `docs/ERRORS.md` documents them; a test holds the two together.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in `ErrorInfo.reason`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The code that it comes with.
            pub const fn code(self) -> Code {
                match self { $(Self::$variant => Code::$code,)* }
            }
        }
    };
}

reasons! {
    /// A field breaks its rule.
    FieldInvalid = "FIELD_INVALID", InvalidArgument;
    /// An update mask names something that is no field.
    FieldMaskInvalid = "FIELD_MASK_INVALID", InvalidArgument;
    /// A filter cannot be read.
    FilterInvalid = "FILTER_INVALID", InvalidArgument;
    /// An order cannot be read.
    OrderByInvalid = "ORDER_BY_INVALID", InvalidArgument;
    /// A page token was not made here, or was altered.
    PageTokenInvalid = "PAGE_TOKEN_INVALID", InvalidArgument;
    /// A page token belongs to another caller or list.
    PageTokenMismatch = "PAGE_TOKEN_MISMATCH", InvalidArgument;
    /// A password is too short.
    PasswordTooShort = "PASSWORD_TOO_SHORT", InvalidArgument;
    /// A password is one that everybody tries first.
    PasswordCommon = "PASSWORD_COMMON", InvalidArgument;
    /// A request id came again with another message.
    RequestIdReused = "REQUEST_ID_REUSED", InvalidArgument;
    /// A batch has too many items.
    BatchTooLarge = "BATCH_TOO_LARGE", InvalidArgument;
    /// A time zone is not known.
    TimeZoneInvalid = "TIME_ZONE_INVALID", InvalidArgument;
    /// A rule of recurrence cannot be read, or cannot be of this task.
    RecurrenceInvalid = "RECURRENCE_INVALID", InvalidArgument;
    /// A place is given by what is not among those that it belongs to.
    PositionInvalid = "POSITION_INVALID", InvalidArgument;
    /// The message is no protobuf of the expected type.
    MessageMalformed = "MESSAGE_MALFORMED", InvalidArgument;
    /// There is no such task.
    TaskNotFound = "TASK_NOT_FOUND", NotFound;
    /// No change of the task has that revision.
    RevisionNotFound = "REVISION_NOT_FOUND", NotFound;
    /// There is no such list.
    TaskListNotFound = "TASK_LIST_NOT_FOUND", NotFound;
    /// There is no such parent task.
    ParentTaskNotFound = "PARENT_TASK_NOT_FOUND", NotFound;
    /// There is no such user.
    UserNotFound = "USER_NOT_FOUND", NotFound;
    /// There is no such session.
    SessionNotFound = "SESSION_NOT_FOUND", NotFound;
    /// There is no such API key.
    ApiKeyNotFound = "API_KEY_NOT_FOUND", NotFound;
    /// There is no such webhook.
    WebhookNotFound = "WEBHOOK_NOT_FOUND", NotFound;
    /// The task exists already.
    TaskAlreadyExists = "TASK_ALREADY_EXISTS", AlreadyExists;
    /// The list exists already.
    TaskListAlreadyExists = "TASK_LIST_ALREADY_EXISTS", AlreadyExists;
    /// The email is taken.
    UserAlreadyExists = "USER_ALREADY_EXISTS", AlreadyExists;
    /// The task is not deleted.
    TaskNotDeleted = "TASK_NOT_DELETED", AlreadyExists;
    /// The list is not deleted.
    TaskListNotDeleted = "TASK_LIST_NOT_DELETED", AlreadyExists;
    /// The parent is somebody else's.
    ParentAccessDenied = "PARENT_ACCESS_DENIED", PermissionDenied;
    /// Administrators only.
    AdminRequired = "ADMIN_REQUIRED", PermissionDenied;
    /// Registration is closed.
    RegistrationClosed = "REGISTRATION_CLOSED", PermissionDenied;
    /// The API key does not have the scope that the method needs.
    ScopeInsufficient = "SCOPE_INSUFFICIENT", PermissionDenied;
    /// The account is disabled.
    UserDisabled = "USER_DISABLED", PermissionDenied;
    /// No bearer token.
    TokenMissing = "TOKEN_MISSING", Unauthenticated;
    /// Not a token of ours.
    TokenInvalid = "TOKEN_INVALID", Unauthenticated;
    /// The token has expired.
    TokenExpired = "TOKEN_EXPIRED", Unauthenticated;
    /// The session has ended.
    SessionRevoked = "SESSION_REVOKED", Unauthenticated;
    /// Email or password is wrong.
    CredentialsInvalid = "CREDENTIALS_INVALID", Unauthenticated;
    /// No login waits for this challenge.
    ChallengeInvalid = "CHALLENGE_INVALID", Unauthenticated;
    /// A token of a mail is none, or not any more.
    MailTokenInvalid = "MAIL_TOKEN_INVALID", Unauthenticated;
    /// A code of a second factor is wrong.
    CodeInvalid = "CODE_INVALID", Unauthenticated;
    /// Not a refresh token of ours, or expired.
    RefreshTokenInvalid = "REFRESH_TOKEN_INVALID", Unauthenticated;
    /// A refresh token was used twice.
    RefreshTokenReused = "REFRESH_TOKEN_REUSED", Unauthenticated;
    /// Not an API key of ours, or expired, or revoked.
    ApiKeyInvalid = "API_KEY_INVALID", Unauthenticated;
    /// The etag is not the current one.
    EtagMismatch = "ETAG_MISMATCH", Aborted;
    /// The same call is under way.
    RequestInProgress = "REQUEST_IN_PROGRESS", Aborted;
    /// A concurrent change got in the way.
    Conflict = "CONFLICT", Aborted;
    /// The task is deleted.
    TaskDeleted = "TASK_DELETED", FailedPrecondition;
    /// The list is deleted.
    TaskListDeleted = "TASK_LIST_DELETED", FailedPrecondition;
    /// Subtasks would have subtasks.
    NestingTooDeep = "NESTING_TOO_DEEP", FailedPrecondition;
    /// The task does not recur.
    TaskNotRecurring = "TASK_NOT_RECURRING", FailedPrecondition;
    /// The rule of a task has no further occurrence.
    RecurrenceEnded = "RECURRENCE_ENDED", FailedPrecondition;
    /// Without this account nobody could manage accounts.
    LastAdmin = "LAST_ADMIN", FailedPrecondition;
    /// A code is asked for as well.
    MfaRequired = "MFA_REQUIRED", FailedPrecondition;
    /// The login is too old for what is asked.
    StepUpRequired = "STEP_UP_REQUIRED", FailedPrecondition;
    /// There is a second factor already.
    TotpAlreadyEnabled = "TOTP_ALREADY_ENABLED", FailedPrecondition;
    /// There is no second factor.
    TotpNotEnabled = "TOTP_NOT_ENABLED", FailedPrecondition;
    /// No key is configured that seals secrets.
    SecretsKeyMissing = "SECRETS_KEY_MISSING", FailedPrecondition;
    /// The account has not proved its address.
    EmailUnverified = "EMAIL_UNVERIFIED", FailedPrecondition;
    /// The service sends no mail.
    MailNotConfigured = "MAIL_NOT_CONFIGURED", FailedPrecondition;
    /// The changes after a revision are no longer kept.
    RevisionCompacted = "REVISION_COMPACTED", OutOfRange;
    /// A revision has not come yet.
    RevisionInFuture = "REVISION_IN_FUTURE", OutOfRange;
    /// The database was put back since.
    HistoryChanged = "HISTORY_CHANGED", OutOfRange;
    /// A cursor leads to events that are no longer kept.
    CursorExpired = "CURSOR_EXPIRED", OutOfRange;
    /// Too much at once.
    RateLimited = "RATE_LIMITED", ResourceExhausted;
    /// The user has as many tasks as are allowed.
    QuotaExceeded = "QUOTA_EXCEEDED", ResourceExhausted;
    /// The reader of a stream cannot keep up.
    StreamTooSlow = "STREAM_TOO_SLOW", ResourceExhausted;
    /// Too many wrong passwords.
    LoginThrottled = "LOGIN_THROTTLED", ResourceExhausted;
    /// Too much mail was asked for.
    MailThrottled = "MAIL_THROTTLED", ResourceExhausted;
    /// The message is too large.
    MessageTooLarge = "MESSAGE_TOO_LARGE", ResourceExhausted;
    /// The disk is full.
    StorageFull = "STORAGE_FULL", ResourceExhausted;
    /// The service is busy.
    Overloaded = "OVERLOADED", Unavailable;
    /// The database does not answer.
    StorageUnavailable = "STORAGE_UNAVAILABLE", Unavailable;
    /// The service is shutting down.
    Draining = "DRAINING", Unavailable;
    /// It took too long.
    DeadlineExceeded = "DEADLINE_EXCEEDED", DeadlineExceeded;
    /// There is no such method.
    MethodUnknown = "METHOD_UNKNOWN", Unimplemented;
    /// A bug.
    Internal = "INTERNAL", Internal;
}

impl From<InvalidReason> for Reason {
    fn from(reason: InvalidReason) -> Self {
        match reason {
            InvalidReason::Field => Self::FieldInvalid,
            InvalidReason::FieldMask => Self::FieldMaskInvalid,
            InvalidReason::Filter => Self::FilterInvalid,
            InvalidReason::OrderBy => Self::OrderByInvalid,
            InvalidReason::PageToken => Self::PageTokenInvalid,
            InvalidReason::PageTokenMismatch => Self::PageTokenMismatch,
            InvalidReason::PasswordTooShort => Self::PasswordTooShort,
            InvalidReason::PasswordCommon => Self::PasswordCommon,
            InvalidReason::BatchTooLarge => Self::BatchTooLarge,
            InvalidReason::TimeZone => Self::TimeZoneInvalid,
            InvalidReason::Recurrence => Self::RecurrenceInvalid,
            InvalidReason::Position => Self::PositionInvalid,
            InvalidReason::Malformed => Self::MessageMalformed,
        }
    }
}

/// The reason under which an error is answered.
pub fn reason(error: &Error) -> Reason {
    match error {
        Error::Invalid(violations) => common_reason(violations),
        Error::NotFound(Resource::Task) => Reason::TaskNotFound,
        Error::NotFound(Resource::User) => Reason::UserNotFound,
        Error::NotFound(Resource::Session) => Reason::SessionNotFound,
        Error::NotFound(Resource::ApiKey) => Reason::ApiKeyNotFound,
        Error::NotFound(Resource::Webhook) => Reason::WebhookNotFound,
        Error::WebhookQuotaExceeded { .. } => Reason::QuotaExceeded,
        Error::CursorExpired => Reason::CursorExpired,
        Error::TaskAlreadyExists => Reason::TaskAlreadyExists,
        Error::UserAlreadyExists => Reason::UserAlreadyExists,
        Error::TaskNotDeleted => Reason::TaskNotDeleted,
        Error::TaskDeleted => Reason::TaskDeleted,
        Error::NotFound(Resource::TaskList) => Reason::TaskListNotFound,
        Error::TaskListAlreadyExists => Reason::TaskListAlreadyExists,
        Error::TaskListNotDeleted => Reason::TaskListNotDeleted,
        Error::TaskListDeleted => Reason::TaskListDeleted,
        Error::TaskListQuotaExceeded { .. } | Error::SubtaskQuotaExceeded { .. } => Reason::QuotaExceeded,
        Error::NotFound(Resource::ParentTask) => Reason::ParentTaskNotFound,
        Error::NestingTooDeep => Reason::NestingTooDeep,
        Error::TaskNotRecurring => Reason::TaskNotRecurring,
        Error::RecurrenceEnded => Reason::RecurrenceEnded,
        Error::EtagMismatch { .. } => Reason::EtagMismatch,
        Error::Conflict => Reason::Conflict,
        Error::RequestIdReused => Reason::RequestIdReused,
        Error::RequestInProgress => Reason::RequestInProgress,
        Error::InItem { error, .. } => reason(error),
        Error::RevisionCompacted { .. } => Reason::RevisionCompacted,
        Error::RevisionInFuture { .. } => Reason::RevisionInFuture,
        Error::RevisionNotFound => Reason::RevisionNotFound,
        Error::HistoryChanged { .. } => Reason::HistoryChanged,
        Error::AnswerTooLarge { .. } => Reason::MessageTooLarge,
        Error::RateLimited { .. } => Reason::RateLimited,
        Error::StreamTooSlow => Reason::StreamTooSlow,
        Error::Draining => Reason::Draining,
        Error::QuotaExceeded { .. } => Reason::QuotaExceeded,
        Error::ApiKeyQuotaExceeded { .. } => Reason::QuotaExceeded,
        Error::LastAdmin => Reason::LastAdmin,
        Error::SecretsKeyMissing => Reason::SecretsKeyMissing,
        Error::MfaRequired { .. } => Reason::MfaRequired,
        Error::ChallengeInvalid => Reason::ChallengeInvalid,
        Error::CodeInvalid => Reason::CodeInvalid,
        Error::TotpAlreadyEnabled => Reason::TotpAlreadyEnabled,
        Error::TotpNotEnabled => Reason::TotpNotEnabled,
        Error::MailNotConfigured => Reason::MailNotConfigured,
        Error::EmailUnverified => Reason::EmailUnverified,
        Error::MailTokenInvalid => Reason::MailTokenInvalid,
        Error::MailThrottled { .. } => Reason::MailThrottled,
        Error::StepUpRequired => Reason::StepUpRequired,
        Error::LoginThrottled { .. } => Reason::LoginThrottled,
        Error::ApiKeyInvalid => Reason::ApiKeyInvalid,
        Error::ScopeInsufficient => Reason::ScopeInsufficient,
        Error::ParentAccessDenied => Reason::ParentAccessDenied,
        Error::AdminRequired => Reason::AdminRequired,
        Error::RegistrationClosed => Reason::RegistrationClosed,
        Error::UserDisabled => Reason::UserDisabled,
        Error::TokenMissing => Reason::TokenMissing,
        Error::TokenInvalid => Reason::TokenInvalid,
        Error::TokenExpired => Reason::TokenExpired,
        Error::SessionRevoked => Reason::SessionRevoked,
        Error::CredentialsInvalid => Reason::CredentialsInvalid,
        Error::RefreshTokenInvalid => Reason::RefreshTokenInvalid,
        Error::RefreshTokenReused => Reason::RefreshTokenReused,
        Error::MethodUnknown => Reason::MethodUnknown,
        Error::Overloaded | Error::Busy { .. } => Reason::Overloaded,
        Error::TooManyCalls { .. } => Reason::RateLimited,
        Error::StorageUnavailable(_) => Reason::StorageUnavailable,
        Error::StorageFull => Reason::StorageFull,
        Error::DeadlineExceeded => Reason::DeadlineExceeded,
        Error::Internal(_) => Reason::Internal,
    }
}

/// The reason that all violations share; the general one when they differ.
fn common_reason(violations: &[Violation]) -> Reason {
    let mut reasons = violations.iter().map(|violation| Reason::from(violation.rule.reason));
    let first = reasons.next().unwrap_or(Reason::FieldInvalid);
    if reasons.all(|reason| reason == first) { first } else { Reason::FieldInvalid }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Rule;

    #[test]
    fn violations_have_their_reason_when_it_is_one_and_the_same() {
        let reason_of = |reasons: &[InvalidReason]| {
            let at = |reason: &InvalidReason| Rule::of(*reason, "must be otherwise").at("field");
            common_reason(&reasons.iter().map(at).collect::<Vec<_>>())
        };
        let (mask, token) = (InvalidReason::FieldMask, InvalidReason::PageToken);
        assert_eq!(reason_of(&[mask, mask]), Reason::from(mask));
        assert_eq!(reason_of(&[mask, token]), Reason::FieldInvalid);
        assert_eq!(reason_of(&[mask]), Reason::from(mask));
    }
}
