//! How large an answer can get: computed for every RPC from the limits of its fields. A field that is added has no limit
//! here yet, and fails the test until it has one.

use std::collections::BTreeMap;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto};
use taskwire::api::answer::{ALWAYS_FIT, BYTES_MAX};
use taskwire::domain::{
    Annotations, Description, EventType, Labels, PageSize, Position, RecurrenceRule, Reminders, TimeZone,
    Title, WebhookUrl,
};

use super::descriptors::ours;

/// Bytes of a code point at most.
const CODE_POINT: usize = 4;
const UUID: usize = 36;
/// `users/{user}/auditEvents/{audit_event}` is the longest name.
const NAME: usize = "users/".len() + UUID + "/auditEvents/".len() + UUID;
const PAGE: usize = PageSize::MAX as usize;
/// Most writes of a batch.
const BATCH: usize = 200;

/// Texts: message, field, bytes at most.
const TEXTS: [(&str, &str, usize); 77] = [
    ("Task", "name", NAME),
    ("Task", "title", Title::MAX_CODE_POINTS * CODE_POINT),
    ("Task", "description", Description::MAX_CODE_POINTS * CODE_POINT),
    ("Task", "labels", Labels::MAX_CODE_POINTS * CODE_POINT),
    ("Task", "etag", 40),
    ("Task", "time_zone", TimeZone::MAX_BYTES),
    ("Task", "task_list", NAME),
    ("Task", "position", Position::MAX_BYTES),
    ("Task", "parent_task", NAME),
    ("Task", "next_task", NAME),
    ("Recurrence", "rrule", RecurrenceRule::MAX_BYTES),
    ("TaskList", "name", NAME),
    ("TaskList", "title", Title::MAX_CODE_POINTS * CODE_POINT),
    ("TaskList", "position", Position::MAX_BYTES),
    ("TaskList", "etag", 40),
    ("ListTaskListsResponse", "next_page_token", 8192),
    ("Task.AnnotationsEntry", "key", Annotations::KEY_MAX),
    ("Task.AnnotationsEntry", "value", Annotations::VALUE_MAX_CODE_POINTS * CODE_POINT),
    ("TaskChange", "changed_fields", 20),
    ("ListTasksResponse", "next_page_token", 8192),
    ("ListTaskChangesResponse", "history", UUID),
    ("ListTaskRevisionsResponse", "next_page_token", 8192),
    ("WatchTasksResponse", "history", UUID),
    ("ImportTasksResponse.ItemResult", "name", NAME),
    ("ImportTasksResponse.ItemResult", "reason", 64),
    ("ImportTasksResponse.ItemResult", "text", 400),
    ("ImportTasksResponse.Violation", "field", 100),
    ("ImportTasksResponse.Violation", "description", 300),
    ("UndoConflict", "task", NAME),
    ("UndoConflict", "task_list", NAME),
    ("User", "name", NAME),
    ("User", "email", 254 * CODE_POINT),
    ("User", "display_name", 100 * CODE_POINT),
    ("User", "etag", 40),
    ("User", "history", UUID),
    ("Session", "name", NAME),
    ("Session", "device", 100 * CODE_POINT),
    // The longest form of an IPv6 address.
    ("Session", "peer", 45),
    ("TokenPair", "access_token", 8192),
    ("TokenPair", "refresh_token", 256),
    ("TokenPair", "token_type", 6),
    ("ApiKey", "name", NAME),
    ("ApiKey", "display_name", 100 * CODE_POINT),
    ("ApiKey", "scopes", 20),
    ("CreateApiKeyResponse", "secret", 128),
    ("AuditEvent", "name", NAME),
    ("AuditEvent", "actor", NAME),
    ("AuditEvent", "target", NAME),
    ("AuditEvent", "session", NAME),
    ("AuditEvent", "api_key", NAME),
    ("AuditEvent", "peer", 45),
    ("AuditEvent", "request_id", 128),
    ("BeginTotpEnrolmentResponse", "secret", 32),
    // Name and address, each character escaped.
    ("BeginTotpEnrolmentResponse", "otpauth_uri", 8192),
    ("ConfirmTotpEnrolmentResponse", "recovery_codes", 19),
    ("RegenerateRecoveryCodesResponse", "recovery_codes", 19),
    ("ExchangeTokenResponse", "access_token", 8192),
    ("ExchangeTokenResponse", "token_type", 6),
    ("ExchangeTokenResponse", "scopes", 20),
    ("ListUsersResponse", "next_page_token", 8192),
    ("ListAuditEventsResponse", "next_page_token", 8192),
    ("ListSessionsResponse", "next_page_token", 8192),
    ("ListApiKeysResponse", "next_page_token", 8192),
    ("UndoChangesResponse", "history", UUID),
    ("CountTasksResponse", "history", UUID),
    ("Event", "id", 64),
    ("Event", "type", 24),
    ("Event", "user", NAME),
    ("WatchEventsResponse", "cursor", 64),
    ("Webhook", "name", NAME),
    ("Webhook", "url", WebhookUrl::BYTES_MAX),
    ("Webhook", "event_types", 24),
    ("Webhook.Failure", "text", 100),
    ("CreateWebhookResponse", "secret", 64),
    ("RotateWebhookSecretResponse", "secret", 64),
    ("WebhookQueue", "user", NAME),
    ("ListWebhookQueuesResponse", "next_page_token", 8192),
];

/// What is repeated: message, field, how often at most.
const COUNTS: [(&str, &str, usize); 29] = [
    ("Task", "labels", Labels::MAX),
    ("Task", "annotations", Annotations::MAX),
    ("Task", "reminders", Reminders::MAX),
    ("Webhook", "event_types", EventType::ALL.len()),
    ("ListWebhooksResponse", "webhooks", 100),
    ("ListWebhookQueuesResponse", "queues", PAGE),
    ("TaskChange", "changed_fields", 20),
    ("PreviewOccurrencesResponse", "occurrences", 100),
    ("ApiKey", "scopes", 10),
    ("ConfirmTotpEnrolmentResponse", "recovery_codes", 10),
    ("RegenerateRecoveryCodesResponse", "recovery_codes", 10),
    ("ExchangeTokenResponse", "scopes", 2),
    ("ListUsersResponse", "users", PAGE),
    ("ListTaskListsResponse", "task_lists", PAGE),
    ("ListSessionsResponse", "sessions", 1000),
    ("ListApiKeysResponse", "api_keys", 100),
    ("ListAuditEventsResponse", "audit_events", PAGE),
    ("BatchCreateTasksResponse", "tasks", BATCH),
    ("BatchUpdateTasksResponse", "tasks", BATCH),
    ("BatchDeleteTasksResponse", "tasks", BATCH),
    // The unit tests of `api/tasks/import_calls.rs` show that texts are left out before there are too many.
    ("ImportTasksResponse", "results", 10_000),
    ("ImportTasksResponse.ItemResult", "violations", 20),
    // These are cut, or refused before anything is done, where they would be too large: `rpc::answers` and
    // `revisions::answers` show it.
    ("ListTasksResponse", "tasks", PAGE),
    ("ListTaskChangesResponse", "changes", PAGE),
    ("ListTaskRevisionsResponse", "revisions", PAGE),
    ("BatchGetTasksResponse", "tasks", PAGE),
    ("UndoChangesResponse", "tasks", 1000),
    ("UndoChangesResponse", "task_lists", 1000),
    ("UndoChangesResponse", "conflicts", 1000),
];

/// Answers that would not fit by their limits alone.
const LOOKED_AT: [&str; 9] = [
    "BatchCreateTasksResponse",
    "BatchDeleteTasksResponse",
    "BatchGetTasksResponse",
    "BatchUpdateTasksResponse",
    "ImportTasksResponse",
    "ListTaskChangesResponse",
    "ListTaskRevisionsResponse",
    "ListTasksResponse",
    "UndoChangesResponse",
];

struct Sizes {
    messages: BTreeMap<String, DescriptorProto>,
}

impl Sizes {
    fn of_message(&self, name: &str) -> usize {
        match name {
            ".google.protobuf.Timestamp" | ".google.protobuf.Duration" => return 22,
            ".google.type.Date" => return 33,
            // Of a type and a chunk.
            ".google.api.HttpBody" => return 64 * 1024 + 64,
            _ => {}
        }
        let short = name.trim_start_matches(".taskwire.v1.");
        let message = self.messages.get(short).unwrap_or_else(|| panic!("{name} has no limit here"));
        message.field.iter().map(|field| self.of_field(short, field)).sum()
    }

    fn of_field(&self, message: &str, field: &FieldDescriptorProto) -> usize {
        let find = |table: &[(&str, &str, usize)]| {
            table.iter().find(|(of, name, _)| (*of, *name) == (message, field.name())).map(|(_, _, max)| *max)
        };
        let one = match field.r#type() {
            Type::String | Type::Bytes => find(&TEXTS).unwrap_or_else(|| {
                panic!("{message}.{} has no limit here: how long can it be?", field.name())
            }),
            Type::Message => self.of_message(field.type_name()),
            _ => 10,
        };
        let count = match field.label() {
            // The revisions of an undo stand beside its tasks.
            Label::Repeated if field.name() == "revisions" => 1000,
            Label::Repeated => find(&COUNTS).unwrap_or_else(|| {
                panic!("{message}.{} has no limit here: how many can there be?", field.name())
            }),
            _ => 1,
        };
        // A tag of up to two bytes, a length of up to four.
        count * (one + 6)
    }
}

#[test]
fn no_answer_can_be_larger_than_clients_take() {
    let files = ours();
    let mut messages = BTreeMap::new();
    for message in files.iter().flat_map(|file| &file.message_type) {
        for nested in &message.nested_type {
            messages.insert(format!("{}.{}", message.name(), nested.name()), nested.clone());
        }
        messages.insert(message.name().to_owned(), message.clone());
    }
    let sizes = Sizes { messages };
    let methods = files.iter().flat_map(|file| &file.service).flat_map(|service| &service.method);
    let mut too_large = std::collections::BTreeSet::new();
    let mut count = 0;
    for method in methods {
        count += 1;
        if sizes.of_message(method.output_type()) > BYTES_MAX {
            too_large.insert(method.output_type().trim_start_matches(".taskwire.v1.").to_owned());
        }
    }
    assert!(count >= 30);
    assert_eq!(too_large.into_iter().collect::<Vec<_>>(), LOOKED_AT);
    // What `api/answer.rs` takes to fit always does.
    let task = sizes.of_message(".taskwire.v1.TaskChange") + 6;
    assert!(ALWAYS_FIT * task <= BYTES_MAX, "{task}");
}
