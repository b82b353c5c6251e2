//! The limits of single fields, which the comments of the contract say in words.

use serde_json::{Value, json};

use crate::domain::text::SHORT_MAX_CODE_POINTS;
use crate::domain::{
    Annotations, Description, Email, Labels, PageSize, RecurrenceRule, Scope, TimeZone, Title, WebhookUrl,
};

/// A UUID in the hyphenated form.
pub(super) const UUID: &str = "[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}";

/// What a schema says beside the type of the field; `None` when there is no limit.
pub(super) fn of(field: &str) -> Option<Value> {
    let own = field.strip_prefix("taskwire.v1.")?;
    Some(match own {
        "Task.title" | "TaskList.title" => json!({ "minLength": 1, "maxLength": Title::MAX_CODE_POINTS }),
        "Task.description" => json!({ "maxLength": Description::MAX_CODE_POINTS }),
        "Task.labels" => json!({
            "maxItems": Labels::MAX,
            "items": { "type": "string", "minLength": 1, "maxLength": Labels::MAX_CODE_POINTS },
        }),
        "Recurrence.rrule" => json!({ "minLength": 1, "maxLength": RecurrenceRule::MAX_BYTES }),
        "PreviewOccurrencesRequest.count" => json!({ "minimum": 0, "maximum": 100 }),
        "Task.time_zone" => json!({ "maxLength": TimeZone::MAX_BYTES }),
        "Task.annotations" => json!({
            "maxProperties": Annotations::MAX,
            "propertyNames": { "pattern": format!("^[a-z0-9._/-]{{1,{}}}$", Annotations::KEY_MAX) },
            "additionalProperties": { "type": "string", "minLength": 1, "maxLength": Annotations::VALUE_MAX_CODE_POINTS },
        }),
        "User.email" | "RequestEmailChangeRequest.new_email" => {
            json!({ "minLength": 3, "maxLength": Email::MAX_CODE_POINTS })
        }
        "User.display_name" | "ApiKey.display_name" | "LoginRequest.device" => {
            json!({ "maxLength": SHORT_MAX_CODE_POINTS })
        }
        "CreateUserRequest.password" | "ChangePasswordRequest.new_password" => {
            json!({ "minLength": 8, "maxLength": 128 })
        }
        "ApiKey.scopes" => json!({
            "minItems": 1,
            "items": { "type": "string", "enum": Scope::ALL.map(Scope::name) },
        }),
        "ExchangeTokenRequest.scopes" => json!({
            "items": { "type": "string", "enum": [Scope::TasksRead.name(), Scope::TasksWrite.name()] },
        }),
        "Webhook.url" => json!({ "minLength": 1, "maxLength": WebhookUrl::BYTES_MAX }),
        "Webhook.event_types" => json!({ "minItems": 1 }),
        "ListTasksRequest.filter"
        | "CountTasksRequest.filter"
        | "ListTasksRequest.order_by"
        | "ListUsersRequest.filter" => json!({ "maxLength": 1000 }),
        "BatchGetTasksRequest.names" => json!({ "minItems": 1, "maxItems": 500 }),
        "BatchCreateTasksRequest.requests"
        | "BatchUpdateTasksRequest.requests"
        | "BatchDeleteTasksRequest.requests" => json!({ "minItems": 1, "maxItems": 200 }),
        "CreateTaskRequest.task_id" | "CreateTaskListRequest.task_list_id" => {
            json!({ "format": "uuid", "pattern": format!("^({UUID})?$") })
        }
        _ if own.ends_with(".page_size") => json!({
            "minimum": 0,
            "description": format!("0 stands for the default; above {0} means {0}.", PageSize::MAX),
        }),
        _ if own.ends_with("Request.request_id") => json!({ "pattern": format!("^({UUID})?$") }),
        _ if own.ends_with("Request.start_revision") => json!({ "pattern": "^[0-9]{1,18}$" }),
        _ if own.ends_with("Request.end_revision") => json!({ "pattern": "^[0-9]{1,18}$" }),
        _ => return None,
    })
}
