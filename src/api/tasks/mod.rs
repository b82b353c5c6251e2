//! `TaskService`: its handlers, and messages about tasks to values and back.

pub(super) mod batch;
mod calendar_calls;
pub(super) mod changes;
pub(super) mod convert;
pub(super) mod convert_list;
mod convert_recurrence;
pub(super) mod convert_value;
mod cursor;
pub(super) mod filter;
mod filter_fields;
mod import;
mod import_calls;
mod list_calls;
pub(super) mod order_by;
mod past_calls;
pub(super) mod task_service;
pub(super) mod watch;
