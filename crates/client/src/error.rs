//! What went wrong: what the service said, or what kept it from being asked.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tonic::{Code, ConnectError, Status, TimeoutExpired};
use tonic_types::StatusExt as _;

/// What the calls of this module answer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed. Programs decide by [`code`](Self::code) and [`reason`](Self::reason); the text is for people.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    code: Code,
    reason: String,
    message: String,
    field_violations: Vec<(String, String)>,
    metadata: HashMap<String, String>,
    retry_after: Option<Duration>,
    request_id: String,
    origin: Origin,
    source: Option<Status>,
}

/// How far a call came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The service, or a gateway before it, answered.
    Service,
    /// There was no connection: nothing was sent.
    Unsent,
    /// The connection broke: the call may have been carried out.
    Lost,
    /// This module refused, or did not want to wait any longer.
    Here,
}

impl Error {
    /// The gRPC status code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The stable reason, as in `TASK_NOT_FOUND`; empty when the service was not reached.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// The text for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The fields that break a rule, each with the rule.
    pub fn field_violations(&self) -> &[(String, String)] {
        &self.0.field_violations
    }

    /// What the service says besides the reason, as `current_etag` with `ETAG_MISMATCH`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.0.metadata.get(key).map(String::as_str)
    }

    /// How long the service asks to wait before the call is repeated.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Under which id the service's log speaks of the call; empty when it was not reached.
    pub fn request_id(&self) -> &str {
        &self.0.request_id
    }

    pub(super) fn origin(&self) -> Origin {
        self.0.origin
    }

    /// An error of the caller's settings.
    pub(super) fn setting(message: impl Into<String>) -> Self {
        Self::here(Code::InvalidArgument, "", message.into())
    }

    /// Time is up.
    pub(super) fn deadline() -> Self {
        let message = "the call was not answered in time".to_owned();
        Self::here(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", message)
    }

    /// This error; where time was up during another attempt, with what had gone wrong in the one before. The code stays,
    /// as nothing is known of the attempt that was given up.
    pub(super) fn after(self, earlier: Option<&Self>) -> Self {
        let Some(earlier) = earlier.filter(|_| self.is_deadline()) else {
            return self;
        };
        let message = format!("{}; the attempt before: {earlier}", self.message());
        Self::here(self.code(), self.reason(), message)
    }

    fn is_deadline(&self) -> bool {
        self.origin() == Origin::Here && self.code() == Code::DeadlineExceeded
    }

    /// There is no session any more.
    pub(super) fn logged_out() -> Self {
        Self::here(Code::Unauthenticated, "", "nobody is logged in".to_owned())
    }

    /// The service broke a promise.
    pub(super) fn broken_promise(message: impl Into<String>) -> Self {
        Self::here(Code::Internal, "", message.into())
    }

    /// There is no connection.
    pub(super) fn unreachable(cause: &(dyn StdError + 'static)) -> Self {
        let message = format!("the service cannot be reached: {}", innermost(cause));
        let mut inner = Inner::new(Code::Unavailable, message);
        inner.origin = Origin::Unsent;
        Self(Arc::new(inner))
    }

    fn here(code: Code, reason: &str, message: String) -> Self {
        let mut inner = Inner::new(code, message);
        inner.reason = reason.to_owned();
        Self(Arc::new(inner))
    }
}

impl Inner {
    fn new(code: Code, message: String) -> Self {
        Self {
            code,
            message,
            reason: String::new(),
            field_violations: Vec::new(),
            metadata: HashMap::new(),
            retry_after: None,
            request_id: String::new(),
            origin: Origin::Here,
            source: None,
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        // Only what was made on this side has a cause.
        let Some(cause) = status.source() else {
            return Self(Arc::new(answered(status)));
        };
        if chain(cause).any(|cause| cause.is::<TimeoutExpired>()) {
            return Self::deadline();
        }
        if chain(cause).any(|cause| cause.is::<ConnectError>()) {
            return Self::unreachable(cause);
        }
        let message = format!("the connection broke: {}", innermost(cause));
        let mut inner = Inner::new(Code::Unavailable, message);
        inner.origin = Origin::Lost;
        inner.source = Some(status);
        Self(Arc::new(inner))
    }
}

fn answered(status: Status) -> Inner {
    let details = status.get_error_details();
    let mut inner = Inner::new(status.code(), status.message().to_owned());
    inner.origin = Origin::Service;
    if let Some(info) = details.error_info() {
        inner.reason = info.reason.clone();
        inner.metadata = info.metadata.clone();
    }
    if let Some(request) = details.bad_request() {
        let violations = request.field_violations.iter();
        inner.field_violations = violations.map(|one| (one.field.clone(), one.description.clone())).collect();
    }
    inner.retry_after = details.retry_info().and_then(|info| info.retry_delay);
    if let Some(id) = status.metadata().get("x-request-id").and_then(|id| id.to_str().ok()) {
        inner.request_id = id.to_owned();
    }
    inner.source = Some(status);
    inner
}

fn chain<'a>(first: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(first), |error: &&'a (dyn StdError + 'static)| (*error).source())
}

/// The cause that says something; those around it only say that there is one.
fn innermost(error: &(dyn StdError + 'static)) -> String {
    chain(error).last().unwrap_or(error).to_string()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason() {
            "" => write!(f, "{}", self.message()),
            reason => write!(f, "{} ({reason})", self.message()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("code", &self.0.code)
            .field("reason", &self.0.reason)
            .field("message", &self.0.message)
            .field("field_violations", &self.0.field_violations)
            .field("retry_after", &self.0.retry_after)
            .field("request_id", &self.0.request_id)
            .field("origin", &self.0.origin)
            .finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|status| status as _)
    }
}
