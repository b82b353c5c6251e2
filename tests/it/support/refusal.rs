//! An error as a client reads it. Making one checks what the contract says of every error.

use std::collections::BTreeMap;
use std::fmt::Debug;

use http::HeaderMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetail, StatusExt as _};

/// What a call answers: the message, or an error that has the form of the contract.
pub(crate) type Answer<T> = Result<T, Refusal>;

/// An error with exactly one `ErrorInfo` of ours.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) reason: String,
    pub(crate) message: Box<str>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) violations: Vec<(String, String)>,
    /// `ErrorInfo`, `BadRequest` and so on, in the order sent.
    pub(crate) details: Vec<String>,
}

/// The reasons of the contract, by code.
const REASONS: [(Code, &str); 14] = [
    (
        Code::InvalidArgument,
        "FIELD_INVALID FIELD_MASK_INVALID FILTER_INVALID ORDER_BY_INVALID PAGE_TOKEN_INVALID \
         PAGE_TOKEN_MISMATCH REQUEST_ID_REUSED BATCH_TOO_LARGE PASSWORD_TOO_SHORT PASSWORD_COMMON \
         MESSAGE_MALFORMED TIME_ZONE_INVALID POSITION_INVALID RECURRENCE_INVALID",
    ),
    (
        Code::NotFound,
        "TASK_NOT_FOUND PARENT_TASK_NOT_FOUND TASK_LIST_NOT_FOUND USER_NOT_FOUND SESSION_NOT_FOUND API_KEY_NOT_FOUND \
         WEBHOOK_NOT_FOUND REVISION_NOT_FOUND",
    ),
    (
        Code::AlreadyExists,
        "TASK_ALREADY_EXISTS TASK_LIST_ALREADY_EXISTS USER_ALREADY_EXISTS TASK_NOT_DELETED TASK_LIST_NOT_DELETED",
    ),
    (
        Code::PermissionDenied,
        "PARENT_ACCESS_DENIED ADMIN_REQUIRED REGISTRATION_CLOSED SCOPE_INSUFFICIENT USER_DISABLED",
    ),
    (
        Code::Unauthenticated,
        "TOKEN_MISSING TOKEN_INVALID TOKEN_EXPIRED SESSION_REVOKED CREDENTIALS_INVALID \
         REFRESH_TOKEN_INVALID REFRESH_TOKEN_REUSED API_KEY_INVALID CHALLENGE_INVALID CODE_INVALID \
         MAIL_TOKEN_INVALID",
    ),
    (Code::Aborted, "ETAG_MISMATCH REQUEST_IN_PROGRESS CONFLICT"),
    (
        Code::FailedPrecondition,
        "TASK_DELETED TASK_LIST_DELETED NESTING_TOO_DEEP TASK_NOT_RECURRING RECURRENCE_ENDED LAST_ADMIN \
         MFA_REQUIRED STEP_UP_REQUIRED TOTP_ALREADY_ENABLED TOTP_NOT_ENABLED SECRETS_KEY_MISSING \
         MAIL_NOT_CONFIGURED EMAIL_UNVERIFIED",
    ),
    (Code::OutOfRange, "REVISION_COMPACTED REVISION_IN_FUTURE HISTORY_CHANGED CURSOR_EXPIRED"),
    (
        Code::ResourceExhausted,
        "RATE_LIMITED QUOTA_EXCEEDED LOGIN_THROTTLED MAIL_THROTTLED STREAM_TOO_SLOW MESSAGE_TOO_LARGE STORAGE_FULL",
    ),
    (Code::Unavailable, "OVERLOADED STORAGE_UNAVAILABLE DRAINING"),
    (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
    (Code::Unimplemented, "METHOD_UNKNOWN"),
    (Code::Internal, "INTERNAL"),
    (Code::Cancelled, ""),
];

/// What an error with one of these reasons has to bring along.
const DETAILS: [(&str, &str); 3] = [
    (
        "TASK_NOT_FOUND USER_NOT_FOUND SESSION_NOT_FOUND API_KEY_NOT_FOUND TASK_ALREADY_EXISTS \
         USER_ALREADY_EXISTS TASK_NOT_DELETED TASK_DELETED TASK_LIST_NOT_FOUND TASK_LIST_ALREADY_EXISTS \
         TASK_LIST_NOT_DELETED TASK_LIST_DELETED PARENT_TASK_NOT_FOUND NESTING_TOO_DEEP TASK_NOT_RECURRING \
         RECURRENCE_ENDED",
        "ResourceInfo",
    ),
    ("QUOTA_EXCEEDED", "QuotaFailure"),
    (
        "RATE_LIMITED LOGIN_THROTTLED MAIL_THROTTLED OVERLOADED STORAGE_UNAVAILABLE DRAINING CONFLICT REQUEST_IN_PROGRESS",
        "RetryInfo",
    ),
];

/// Words of what lies below: none of them is for a client to read.
const INTERNALS: [&str; 22] = [
    "sql",
    "postgres",
    "diesel",
    "constraint",
    "relation",
    "column",
    "select ",
    "insert ",
    "violates",
    "prost",
    "decod",
    "wire",
    "varint",
    "buffer",
    "utf",
    "panick",
    ".rs",
    "tonic",
    "argon",
    "hash",
    "bb8",
    "errno",
];

/// Most violations in one error.
const VIOLATIONS_MAX: usize = 20;

impl Refusal {
    /// Reads the error out of the headers or trailers of an answer.
    #[track_caller]
    pub(crate) fn from_headers(headers: &HeaderMap) -> Self {
        Status::from_header_map(headers).expect("no status").into()
    }

    /// The violated fields.
    pub(crate) fn fields(&self) -> Vec<&str> {
        self.violations.iter().map(|(field, _)| field.as_str()).collect()
    }
}

impl From<Status> for Refusal {
    #[track_caller]
    fn from(status: Status) -> Self {
        let details = status.check_error_details_vec().expect("the details cannot be read");
        let mut infos = Vec::new();
        let mut violations = Vec::new();
        let mut kinds = Vec::new();
        for detail in details {
            let kind = format!("{detail:?}");
            kinds.push(kind.split('(').next().unwrap_or_default().to_owned());
            match detail {
                ErrorDetail::ErrorInfo(info) => infos.push(info),
                ErrorDetail::BadRequest(bad) => violations
                    .extend(bad.field_violations.into_iter().map(|one| (one.field, one.description))),
                _ => {}
            }
        }
        assert_eq!(infos.len(), 1, "not one ErrorInfo: {status:?}");
        let info = infos.remove(0);
        assert_eq!(info.domain, "taskwire", "{status:?}");
        assert!(!status.message().is_empty(), "{status:?}");
        assert!(
            REASONS.iter().any(|(code, reasons)| *code == status.code()
                && reasons.split(' ').any(|name| name == info.reason)),
            "{:?} / {} is not in the contract: {status:?}",
            status.code(),
            info.reason
        );
        for (reasons, kind) in DETAILS {
            if reasons.split(' ').any(|name| name == info.reason) {
                assert!(kinds.iter().any(|sent| sent == kind), "no {kind}: {status:?}");
            }
        }
        if kinds.iter().any(|kind| kind == "BadRequest") {
            assert!((1..=VIOLATIONS_MAX).contains(&violations.len()), "{status:?}");
        }
        assert!(status.metadata().contains_key("x-request-id"), "no x-request-id: {status:?}");
        let texts = violations.iter().flat_map(|(field, text)| [field, text]);
        for text in texts.map(String::as_str).chain([status.message()]) {
            // The name of a setting begins with our own.
            let lower = text.to_lowercase().replace("taskwire_", "");
            for internal in INTERNALS {
                assert!(!lower.contains(internal), "{internal:?} leaks: {text}");
            }
        }
        Self {
            code: status.code(),
            reason: info.reason,
            message: status.message().into(),
            metadata: info.metadata.into_iter().collect(),
            violations,
            details: kinds,
        }
    }
}

/// What a test expects to be refused.
pub(crate) trait Refused {
    /// The error, which must have this reason.
    fn refused(self, reason: &str) -> Refusal;

    /// The error, which must have this reason and concern exactly these fields.
    fn refused_at(self, reason: &str, fields: &[&str]) -> Refusal;
}

impl<T: Debug> Refused for Answer<T> {
    #[track_caller]
    fn refused(self, reason: &str) -> Refusal {
        match self {
            Ok(answer) => panic!("expected {reason}, was answered {answer:?}"),
            Err(refusal) => {
                assert_eq!(refusal.reason, reason, "{refusal:?}");
                refusal
            }
        }
    }

    #[track_caller]
    fn refused_at(self, reason: &str, fields: &[&str]) -> Refusal {
        let refusal = self.refused(reason);
        assert_eq!(refusal.fields(), fields, "{refusal:?}");
        refusal
    }
}
