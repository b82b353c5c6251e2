//! Tasks: from messages to domain values and back. What a field may hold is the domain's to say.

use prost_types::FieldMask;

use super::convert_recurrence::{recurrence, recurrence_to_pb};
use super::convert_value::{day, day_to_pb, reminders, reminders_to_pb, required, time, time_to_pb};
use super::{filter, order_by};
use crate::api::field_mask::{Mask, Writable};
use crate::api::fields::Fields;
use crate::api::{idempotency, names};
use crate::auth::Principal;
use crate::domain::{
    Annotations, Description, Etag, Labels, NewTask, Owner, PageSize, Priority, Result, Rule, Task,
    TaskField, TaskId, TaskListId, TaskPatch, TaskQuery, TaskWrite, TimeZone, Timestamp, Title,
};
use crate::pb;

const WRITABLE: Writable = Writable {
    fields: TaskField::WRITTEN,
    ignored: &[
        "name",
        "create_time",
        "update_time",
        "complete_time",
        "delete_time",
        "purge_time",
        "revision",
        "etag",
        "position",
        "subtask_count",
        "completed_subtask_count",
        "next_task",
    ],
};

fn priority(number: i32) -> Result<Priority, Rule> {
    match pb::Priority::try_from(number) {
        Ok(pb::Priority::Unspecified) => Ok(Priority::default()),
        Ok(pb::Priority::Low) => Ok(Priority::Low),
        Ok(pb::Priority::Medium) => Ok(Priority::Medium),
        Ok(pb::Priority::High) => Ok(Priority::High),
        Err(_) => Err(Rule::field("must be PRIORITY_LOW, PRIORITY_MEDIUM, PRIORITY_HIGH or unspecified")),
    }
}

fn description(value: Option<String>) -> Result<Option<Description>, Rule> {
    value.map(Description::parse).transpose()
}

/// Reads a revision.
pub(in crate::api) fn revision(number: i64) -> Result<i64, Rule> {
    if number < 0 { Err(Rule::field("must not be negative")) } else { Ok(number) }
}

/// What an answer has to hold at least, where the caller says so.
pub(in crate::api) fn min_revision(fields: &mut Fields<'_>, number: Option<i64>) -> Option<Option<i64>> {
    fields.check("min_revision", number.map(revision).transpose())
}

/// A task to be made, and below whom.
pub(in crate::api) fn new_task(
    caller: &Principal,
    request: pb::CreateTaskRequest,
) -> Result<(Owner, TaskWrite)> {
    let mut fields = Fields::new(caller);
    let owner = fields.owner("parent", names::parse_user(&request.parent))?;
    fields.check("request_id", idempotency::parse(&request.request_id));
    let write = create(&mut fields, owner, request.task_id, request.task);
    fields.finish(owner.zip(write))
}

/// The creation itself, alone or as an item of a batch.
pub(in crate::api) fn create(
    fields: &mut Fields<'_>,
    owner: Option<Owner>,
    task_id: String,
    task: Option<pb::Task>,
) -> Option<TaskWrite> {
    let id_is_new = task_id.is_empty();
    let id = match task_id.as_str() {
        "" => Some(TaskId::generate()),
        given => fields.check("task_id", TaskId::parse(given)),
    };
    let task = fields.check("task", required(task))?;
    let title = fields.check("task.title", Title::parse(&task.title));
    let description = fields.check("task.description", description(task.description));
    let priority = fields.check("task.priority", priority(task.priority));
    let due_time = fields.check("task.due_time", time(task.due_time));
    let labels = fields.check("task.labels", Labels::parse(task.labels));
    let due_date = fields.check("task.due_date", day(task.due_date));
    let start_time = fields.check("task.start_time", time(task.start_time));
    let time_zone = fields.check("task.time_zone", TimeZone::parse(&task.time_zone));
    let annotations = fields.check("task.annotations", Annotations::parse(task.annotations));
    let task_list = list(fields, "task.task_list", owner, &task.task_list);
    let parent_task = parent(fields, "task.parent_task", owner, &task.parent_task);
    let recurrence = recurrence(fields, task.recurrence);
    let reminders = fields.check("task.reminders", reminders(task.reminders));
    Some(TaskWrite::Create(Box::new(NewTask {
        id: id?,
        id_is_new,
        title: title?,
        description: description?,
        completed: task.completed,
        priority: priority?,
        due_time: due_time?,
        labels: labels?,
        due_date: due_date?,
        start_time: start_time?,
        time_zone: time_zone?,
        annotations: annotations?,
        task_list: task_list?,
        parent_task: parent_task?,
        recurrence: recurrence?,
        reminders: reminders?,
    })))
}

/// A change of a task.
pub(in crate::api) fn task_update(
    caller: &Principal,
    request: pb::UpdateTaskRequest,
) -> Result<(Owner, TaskWrite)> {
    let mut fields = Fields::new(caller);
    let Some(task) = fields.check("task", required(request.task)) else {
        return fields.finish(None);
    };
    let target = fields.owned("task.name", names::parse_task(&task.name))?;
    fields.check("request_id", idempotency::parse(&request.request_id));
    let owner = target.map(|(owner, _)| owner);
    let completes = request.complete_subtasks;
    let write = update(&mut fields, owner, target.map(|(_, id)| id), (task, request.update_mask, completes));
    fields.finish(owner.zip(write))
}

/// The change itself, alone or as an item of a batch.
pub(in crate::api) fn update(
    fields: &mut Fields<'_>,
    owner: Option<Owner>,
    id: Option<TaskId>,
    (task, update_mask, complete_subtasks): (pb::Task, Option<FieldMask>, bool),
) -> Option<TaskWrite> {
    let mask = fields.check("update_mask", Mask::parse(update_mask, &WRITABLE));
    let etag = Etag::given(task.etag.clone());
    let patch = mask.map(|mask| patch(fields, owner, &mask, task));
    let patch = TaskPatch { complete_subtasks, ..patch? };
    // Made here, so that a write that is tried twice does the same.
    let next_id = (patch.completed == Some(true)).then(TaskId::generate);
    let patch = Box::new(TaskPatch { next_id, ..patch });
    Some(TaskWrite::Update { id: id?, patch, etag })
}

/// The fields that the mask covers; the others are not even looked at.
fn patch(fields: &mut Fields<'_>, owner: Option<Owner>, mask: &Mask, task: pb::Task) -> TaskPatch {
    let covers = |field, populated| mask.covers(field, populated).then_some(());
    TaskPatch {
        title: covers("title", !task.title.is_empty())
            .and_then(|()| fields.check("task.title", Title::parse(&task.title))),
        description: covers("description", task.description.is_some())
            .and_then(|()| fields.check("task.description", description(task.description))),
        completed: covers("completed", task.completed).map(|()| task.completed),
        priority: covers("priority", task.priority != 0)
            .and_then(|()| fields.check("task.priority", priority(task.priority))),
        due_time: covers("due_time", task.due_time.is_some())
            .and_then(|()| fields.check("task.due_time", time(task.due_time))),
        labels: covers("labels", !task.labels.is_empty())
            .and_then(|()| fields.check("task.labels", Labels::parse(task.labels))),
        due_date: covers("due_date", task.due_date.is_some())
            .and_then(|()| fields.check("task.due_date", day(task.due_date))),
        start_time: covers("start_time", task.start_time.is_some())
            .and_then(|()| fields.check("task.start_time", time(task.start_time))),
        time_zone: covers("time_zone", !task.time_zone.is_empty())
            .and_then(|()| fields.check("task.time_zone", TimeZone::parse(&task.time_zone))),
        annotations: covers("annotations", !task.annotations.is_empty())
            .and_then(|()| fields.check("task.annotations", Annotations::parse(task.annotations))),
        task_list: covers("task_list", !task.task_list.is_empty())
            .and_then(|()| list(fields, "task.task_list", owner, &task.task_list)),
        parent_task: covers("parent_task", !task.parent_task.is_empty())
            .and_then(|()| parent(fields, "task.parent_task", owner, &task.parent_task)),
        complete_subtasks: false,
        recurrence: covers("recurrence", task.recurrence.is_some())
            .and_then(|()| recurrence(fields, task.recurrence)),
        reminders: covers("reminders", !task.reminders.is_empty())
            .and_then(|()| fields.check("task.reminders", reminders(task.reminders))),
        next_id: None,
    }
}

/// A task of the same owner, or none.
pub(in crate::api) fn parent(
    fields: &mut Fields<'_>,
    field: &'static str,
    owner: Option<Owner>,
    name: &str,
) -> Option<Option<TaskId>> {
    if name.is_empty() {
        return Some(None);
    }
    fields.beside(field, owner, names::parse_task(name)).map(Some)
}

/// A list of the same owner, or none.
pub(in crate::api) fn list(
    fields: &mut Fields<'_>,
    field: &'static str,
    owner: Option<Owner>,
    name: &str,
) -> Option<Option<TaskListId>> {
    if name.is_empty() {
        return Some(None);
    }
    fields.beside(field, owner, names::parse_task_list(name)).map(Some)
}

/// A task by its name, and the idempotency key of what is done to it.
pub(in crate::api) fn task_name(caller: &Principal, name: &str, request_id: &str) -> Result<(Owner, TaskId)> {
    let mut fields = Fields::new(caller);
    let target = fields.owned("name", names::parse_task(name))?;
    fields.check("request_id", idempotency::parse(request_id));
    fields.finish(target)
}

/// A task to be read, and what the answer has to hold.
pub(in crate::api) fn task_to_get(
    caller: &Principal,
    request: &pb::GetTaskRequest,
) -> Result<(Owner, TaskId, Option<i64>)> {
    let mut fields = Fields::new(caller);
    let target = fields.owned("name", names::parse_task(&request.name))?;
    let min_revision = min_revision(&mut fields, request.min_revision);
    let at = fields.check("revision", request.revision.map(change_number).transpose());
    let target = target.zip(min_revision).zip(at);
    fields.finish(target.map(|(((owner, id), min_revision), _)| (owner, id, min_revision)))
}

/// Reads the revision of a change.
fn change_number(number: i64) -> Result<i64, Rule> {
    if number < 1 { Err(Rule::field("must be the revision of a change, 1 or higher")) } else { Ok(number) }
}

/// Which task is to be brought back.
pub(in crate::api) fn task_to_roll_back(
    caller: &Principal,
    request: &pb::RollbackTaskRequest,
) -> Result<(Owner, TaskId)> {
    let mut fields = Fields::new(caller);
    let target = fields.owned("name", names::parse_task(&request.name))?;
    fields.check("request_id", idempotency::parse(&request.request_id));
    let at = fields.check("revision", change_number(request.revision));
    fields.finish(target.zip(at).map(|(target, _)| target))
}

/// A list to be read; where it goes on from a page token is for the caller of this to fill in.
pub(in crate::api) fn task_query(
    caller: &Principal,
    request: &pb::ListTasksRequest,
    now: Timestamp,
) -> Result<(Owner, TaskQuery)> {
    let mut fields = Fields::new(caller);
    let owner = fields.owner("parent", names::parse_user(&request.parent))?;
    let page_size = fields.check("page_size", PageSize::parse(request.page_size));
    let filter = fields.check("filter", filter::parse(&request.filter));
    let order = fields.check("order_by", order_by::parse(&request.order_by));
    let min_revision = min_revision(&mut fields, request.min_revision);
    let of_page = page_size.zip(min_revision);
    let query = filter.zip(order).zip(of_page).map(|((filter, order), (page_size, min_revision))| {
        let show_deleted = request.show_deleted;
        TaskQuery { filter, order, show_deleted, now, after: None, page_size, min_revision }
    });
    fields.finish(owner.zip(query))
}

/// What is to be counted, as a list without order or pages.
pub(in crate::api) fn task_count(
    caller: &Principal,
    request: &pb::CountTasksRequest,
    now: Timestamp,
) -> Result<(Owner, TaskQuery)> {
    let list = pb::ListTasksRequest {
        parent: request.parent.clone(),
        filter: request.filter.clone(),
        show_deleted: request.show_deleted,
        min_revision: request.min_revision,
        ..pb::ListTasksRequest::default()
    };
    task_query(caller, &list, now)
}

/// A task as it is answered.
pub(in crate::api) fn task_to_pb(task: Task) -> pb::Task {
    let priority = match task.priority {
        Priority::Low => pb::Priority::Low,
        Priority::Medium => pb::Priority::Medium,
        Priority::High => pb::Priority::High,
    };
    pb::Task {
        name: names::task(&task),
        etag: task.etag().into_string(),
        title: task.title.into_string(),
        description: task.description.map(Description::into_string),
        completed: task.completed,
        priority: priority.into(),
        due_time: task.due_time.map(time_to_pb),
        labels: task.labels.into_vec(),
        due_date: task.due_day.map(|due| day_to_pb(due.day)),
        start_time: task.start_time.map(time_to_pb),
        time_zone: task.time_zone.map_or_else(String::new, |zone| zone.as_str().to_owned()),
        annotations: task.annotations.into_map(),
        task_list: task.task_list.map_or_else(String::new, |list| names::task_list(task.owner, list)),
        position: task.position.into_string(),
        parent_task: task.parent_task.map_or_else(String::new, |id| names::task_of(task.owner, id)),
        subtask_count: task.subtasks.count,
        completed_subtask_count: task.subtasks.completed,
        recurrence: task.recurrence.as_deref().map(recurrence_to_pb),
        reminders: reminders_to_pb(&task.reminders),
        next_task: task.next_task.map_or_else(String::new, |id| names::task_of(task.owner, id)),
        create_time: Some(time_to_pb(task.create_time)),
        update_time: Some(time_to_pb(task.update_time)),
        complete_time: task.complete_time.map(time_to_pb),
        delete_time: task.delete_time.map(time_to_pb),
        purge_time: task.purge_time.map(time_to_pb),
        revision: task.revision,
    }
}
