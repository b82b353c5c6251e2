//! Batches of tasks: many items, one owner, all or nothing (AIP-231, 233, 234, 235).

use super::convert::{create, min_revision, update};
use super::convert_value::required;
use crate::api::fields::Fields;
use crate::api::{idempotency, names};
use crate::auth::Principal;
use crate::domain::{Etag, InvalidReason, Owner, Result, Rule, TaskId, TaskWrite};
use crate::pb;

/// Most items of a batch that writes.
pub(in crate::api) const WRITES_MAX: usize = 200;
/// Most names of a batch that reads.
const NAMES_MAX: usize = 500;

fn size(count: usize, max: usize) -> Result<(), Rule> {
    match count {
        0 => Err(Rule::field("must hold at least one item")),
        count if count > max => {
            Err(Rule::of(InvalidReason::BatchTooLarge, format!("must hold at most {max} items")))
        }
        _ => Ok(()),
    }
}

/// The tasks that are asked for, in order, and what the answer has to hold.
pub(in crate::api) fn get(
    caller: &Principal,
    request: pb::BatchGetTasksRequest,
) -> Result<(Owner, Vec<TaskId>, Option<i64>)> {
    let mut fields = Fields::new(caller);
    let owner = fields.owner("parent", names::parse_user(&request.parent))?;
    if fields.check("names", size(request.names.len(), NAMES_MAX)).is_none() {
        return fields.finish(None);
    }
    let mut ids = Vec::with_capacity(request.names.len());
    for (at, name) in request.names.iter().enumerate() {
        match below(&fields, owner, names::parse_task(name)) {
            Ok(id) => ids.push(id),
            Err(rule) => fields.refuse(format!("names[{at}]"), rule),
        }
    }
    let min_revision = min_revision(&mut fields, request.min_revision);
    fields.finish(owner.zip(min_revision).map(|(owner, min_revision)| (owner, ids, min_revision)))
}

/// The task that a name leads to, which must lie below the batch's parent.
fn below(
    fields: &Fields<'_>,
    owner: Option<Owner>,
    name: Result<(names::UserRef, TaskId), Rule>,
) -> Result<TaskId, Rule> {
    fields.id_below(owner, name, "must lie below the parent of the batch")
}

/// The items of a batch that writes, each read by `item`.
fn writes<T>(
    caller: &Principal,
    parent: &str,
    request_id: &str,
    items: Vec<T>,
    item: impl Fn(&mut Fields<'_>, Option<Owner>, T) -> Option<TaskWrite>,
) -> Result<(Owner, Vec<TaskWrite>)> {
    let mut fields = Fields::new(caller);
    let owner = fields.owner("parent", names::parse_user(parent))?;
    fields.check("request_id", idempotency::parse(request_id));
    if fields.check("requests", size(items.len(), WRITES_MAX)).is_none() {
        return fields.finish(None);
    }
    let mut writes = Vec::with_capacity(items.len());
    for (at, one) in items.into_iter().enumerate() {
        fields.enter_item(at);
        writes.extend(item(&mut fields, owner, one));
    }
    fields.finish(owner.map(|owner| (owner, writes)))
}

/// An item carries no idempotency key of its own: the batch is one call.
fn no_request_id(fields: &mut Fields<'_>, request_id: &str) {
    let empty =
        if request_id.is_empty() { Ok(()) } else { Err(Rule::field("must be empty: the batch has one")) };
    fields.check("request_id", empty);
}

/// Tasks to be made.
pub(in crate::api) fn creates(
    caller: &Principal,
    request: pb::BatchCreateTasksRequest,
) -> Result<(Owner, Vec<TaskWrite>)> {
    writes(caller, &request.parent, &request.request_id, request.requests, |fields, owner, item| {
        if !item.parent.is_empty() {
            let user = names::parse_user(&item.parent).and_then(|user| match owner {
                Some(owner) if user.resolve(fields.caller()) != owner.user() => {
                    Err(Rule::field("must be empty or the parent of the batch"))
                }
                _ => Ok(()),
            });
            fields.check("parent", user);
        }
        no_request_id(fields, &item.request_id);
        create(fields, owner, item.task_id, item.task)
    })
}

/// Changes of tasks.
pub(in crate::api) fn updates(
    caller: &Principal,
    request: pb::BatchUpdateTasksRequest,
) -> Result<(Owner, Vec<TaskWrite>)> {
    writes(caller, &request.parent, &request.request_id, request.requests, |fields, owner, item| {
        no_request_id(fields, &item.request_id);
        let task = fields.check("task", required(item.task))?;
        let name = below(fields, owner, names::parse_task(&task.name));
        let id = fields.check("task.name", name);
        update(fields, owner, id, (task, item.update_mask, item.complete_subtasks))
    })
}

/// Tasks to be put away.
pub(in crate::api) fn deletes(
    caller: &Principal,
    request: pb::BatchDeleteTasksRequest,
) -> Result<(Owner, Vec<TaskWrite>)> {
    writes(caller, &request.parent, &request.request_id, request.requests, |fields, owner, item| {
        no_request_id(fields, &item.request_id);
        let name = below(fields, owner, names::parse_task(&item.name));
        let id = fields.check("name", name)?;
        Some(TaskWrite::Delete { id, etag: Etag::given(item.etag), allow_missing: item.allow_missing })
    })
}
