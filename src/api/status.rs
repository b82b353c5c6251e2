//! The one table from errors to gRPC statuses (AIP-193): code, stable reason, public text, details.

use std::collections::HashMap;
use std::time::Duration;

use prost::Message as _;
use tonic::Status;
use tonic_types::{ErrorDetails, FieldViolation, QuotaViolation, StatusExt as _};

use super::reason::{Reason, reason};
use super::request_id;
use super::tasks::{convert, convert_list};
use crate::domain::{Error, Resource, State, Violation};

/// The `domain` of every `ErrorInfo`.
pub const DOMAIN: &str = "taskwire";

/// Most violations that one error names. Details travel in a trailer, and trailers are short.
pub(super) const VIOLATIONS_MAX: usize = 20;

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        log_cause(&error);
        let mut metadata = HashMap::new();
        let cause = add_metadata(&mut metadata, &error);
        let status =
            status(reason(&error), public_text(&error), metadata, |details| add_details(details, cause));
        match cause {
            Error::EtagMismatch { state: Some(state), .. } => with_state(status, state),
            _ => status,
        }
    }
}

/// Fills in what `ErrorInfo` says besides the reason; answers the error that it is about in the end.
fn add_metadata<'a>(metadata: &mut HashMap<String, String>, error: &'a Error) -> &'a Error {
    match error {
        Error::InItem { path, error } => {
            metadata.insert("path".to_owned(), path.clone());
            return add_metadata(metadata, error);
        }
        Error::EtagMismatch { current, .. } => {
            metadata.insert("current_etag".to_owned(), current.as_str().to_owned());
        }
        Error::RevisionCompacted { earliest } => {
            metadata.insert("earliest_revision".to_owned(), earliest.to_string());
        }
        Error::RevisionInFuture { current } => {
            metadata.insert("current_revision".to_owned(), current.to_string());
        }
        Error::HistoryChanged { current } => {
            metadata.insert("history".to_owned(), current.to_string());
        }
        Error::MfaRequired { challenge } => {
            metadata.insert("challenge".to_owned(), challenge.expose().to_owned());
        }
        _ => {}
    }
    error
}

/// Adds the task or list as it stands to the details, so that a conflict carries what is needed to mend it.
fn with_state(status: Status, state: &State) -> Status {
    let Ok(mut details) = tonic_types::pb::Status::decode(status.details()) else {
        return status;
    };
    let (name, value) = match state {
        State::Task(task) => ("Task", convert::task_to_pb(task.as_ref().clone()).encode_to_vec()),
        State::List(list) => ("TaskList", convert_list::list_to_pb(list.as_ref().clone()).encode_to_vec()),
    };
    details
        .details
        .push(prost_types::Any { type_url: format!("type.googleapis.com/taskwire.v1.{name}"), value });
    Status::with_details(status.code(), status.message(), details.encode_to_vec().into())
}

/// A status for what goes wrong outside of any handler.
pub fn refusal(reason: Reason, text: &str) -> Status {
    status(reason, text.to_owned(), HashMap::new(), |_| {})
}

/// An error as a whole HTTP response, for layers that answer instead of a handler.
pub fn response<Body: Default>(error: Error) -> http::Response<Body> {
    Status::from(error).into_http()
}

fn status(
    reason: Reason,
    text: String,
    mut metadata: HashMap<String, String>,
    add: impl FnOnce(&mut ErrorDetails),
) -> Status {
    if reason == Reason::Internal
        && let Some(id) = request_id::current()
    {
        metadata.insert("request_id".to_owned(), id.as_ref().to_owned());
    }
    let mut details = ErrorDetails::with_error_info(reason.name(), DOMAIN, metadata);
    if let Some(delay) = retry_delay(reason) {
        details.set_retry_info(Some(delay));
    }
    add(&mut details);
    Status::with_error_details(reason.code(), text, details)
}

/// How long a caller should wait before trying again, where trying again can help.
const fn retry_delay(reason: Reason) -> Option<Duration> {
    match reason {
        Reason::Overloaded | Reason::StorageUnavailable | Reason::Draining | Reason::RateLimited => {
            Some(Duration::from_secs(1))
        }
        Reason::Conflict | Reason::RequestInProgress => Some(Duration::from_millis(100)),
        _ => None,
    }
}

fn add_details(details: &mut ErrorDetails, error: &Error) {
    match error {
        Error::Invalid(violations) => {
            let shown: Vec<FieldViolation> =
                violations.iter().take(VIOLATIONS_MAX).map(field_violation).collect();
            details.set_bad_request(shown);
        }
        Error::QuotaExceeded { limit } => {
            let text = format!("a user has at most {limit} tasks that are not deleted");
            details.set_quota_failure(vec![QuotaViolation::new("tasks", text)]);
        }
        Error::TaskListQuotaExceeded { .. } => {
            details.set_quota_failure(vec![QuotaViolation::new("taskLists", error.to_string())]);
        }
        Error::NotFound(Resource::TaskList)
        | Error::TaskListAlreadyExists
        | Error::TaskListNotDeleted
        | Error::TaskListDeleted => {
            details.set_resource_info("taskwire/TaskList", "", "", error.to_string());
        }
        Error::ApiKeyQuotaExceeded { .. } => {
            details.set_quota_failure(vec![QuotaViolation::new("apiKeys", error.to_string())]);
        }
        Error::LoginThrottled { retry_after } | Error::MailThrottled { retry_after } => {
            details.set_retry_info(Some(*retry_after));
        }
        Error::NotFound(Resource::Session) => {
            details.set_resource_info("taskwire/Session", "", "", error.to_string());
        }
        Error::NotFound(Resource::ApiKey) => {
            details.set_resource_info("taskwire/ApiKey", "", "", error.to_string());
        }
        Error::NotFound(Resource::Webhook) => {
            details.set_resource_info("taskwire/Webhook", "", "", error.to_string());
        }
        Error::WebhookQuotaExceeded { .. } => {
            details.set_quota_failure(vec![QuotaViolation::new("webhooks", error.to_string())]);
        }
        // Whoever refuses with a time in mind knows better than the table.
        Error::Busy { retry_after } | Error::TooManyCalls { retry_after } => {
            details.set_retry_info(Some(*retry_after));
        }
        Error::SubtaskQuotaExceeded { .. } => {
            details.set_quota_failure(vec![QuotaViolation::new("subtasks", error.to_string())]);
        }
        Error::NotFound(Resource::Task | Resource::ParentTask)
        | Error::NestingTooDeep
        | Error::TaskNotRecurring
        | Error::RecurrenceEnded
        | Error::TaskAlreadyExists
        | Error::TaskNotDeleted
        | Error::TaskDeleted => {
            details.set_resource_info("taskwire/Task", "", "", error.to_string());
        }
        Error::NotFound(Resource::User) | Error::UserAlreadyExists => {
            details.set_resource_info("taskwire/User", "", "", error.to_string());
        }
        _ => {}
    }
}

fn field_violation(violation: &Violation) -> FieldViolation {
    let mut shown = FieldViolation::new(violation.field.as_ref(), violation.rule.text.as_ref());
    shown.reason = Reason::from(violation.rule.reason).name().to_owned();
    shown
}

/// What a caller may read. Texts of the storage and of bugs stay inside.
pub(super) fn public_text(error: &Error) -> String {
    match error {
        Error::Invalid(violations) => {
            let first = violations.first().map(|first| format!("{}: {}", first.field, first.rule.text));
            let more = match violations.len().saturating_sub(1) {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            first.unwrap_or_default() + &more
        }
        Error::InItem { path, error } => format!("{path}: {}", public_text(error)),
        Error::StorageUnavailable(_) => "the storage is unavailable; try again".to_owned(),
        Error::Internal(_) => "internal error".to_owned(),
        error => error.to_string(),
    }
}

/// Notes what the caller is not told.
fn log_cause(error: &Error) {
    match error {
        Error::InItem { error, .. } => log_cause(error),
        Error::Internal(cause) => tracing::error!(%cause, "a request failed by a fault of the service"),
        Error::StorageUnavailable(cause) => {
            tracing::warn!(%cause, "a request failed because the storage is away")
        }
        Error::StorageFull => tracing::error!("a request failed because the storage is full"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_refuses_with_a_time_in_mind_is_heard() {
        let retry_after = Duration::from_millis(250);
        let mine = [
            Error::Busy { retry_after },
            Error::TooManyCalls { retry_after },
            Error::LoginThrottled { retry_after },
            Error::MailThrottled { retry_after },
        ];
        for error in mine {
            let details = Status::from(error).get_error_details();
            assert_eq!(details.retry_info().unwrap().retry_delay, Some(retry_after));
        }
        let details = Status::from(Error::Overloaded).get_error_details();
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_secs(1)));
    }

    /// What is logged while an error becomes a status.
    fn logged(error: Error) -> String {
        use std::sync::{Arc, Mutex};
        #[derive(Clone, Default)]
        struct Lines(Arc<Mutex<Vec<u8>>>);
        impl std::io::Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        let status = tracing::subscriber::with_default(subscriber, || Status::from(error));
        assert!(!format!("{status:?}").contains("canary"));
        let lines = lines.0.lock().unwrap();
        String::from_utf8(lines.clone()).unwrap()
    }

    #[test]
    fn the_log_knows_what_the_caller_is_not_told() {
        let item = |error| Error::InItem { path: "requests[0]".into(), error: Box::new(error) };
        for error in [Error::Internal("a canary".into()), item(Error::Internal("a canary".into()))] {
            let line = logged(error);
            assert!(line.contains("ERROR") && line.contains("a canary"), "{line}");
        }
        let line = logged(Error::StorageUnavailable("a canary".into()));
        assert!(line.contains("WARN") && line.contains("a canary"), "{line}");
        assert!(logged(Error::StorageFull).contains("full"));
        assert_eq!(logged(Error::Overloaded), "");
    }
}
