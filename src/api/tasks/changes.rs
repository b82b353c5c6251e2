//! The change log: from messages to domain values and back, and how changes are undone.

use std::collections::HashMap;

use super::convert::{min_revision, revision, task_to_pb, time_to_pb};
use crate::api::fields::Fields;
use crate::api::{idempotency, names};
use crate::auth::Principal;
use crate::domain::{
    ChangeType, Effect, Owner, PageSize, Result, Rule, TaskChange, TaskField, TaskId, TaskWrite, WriteResult,
};
use crate::pb;
use pb::task_change::Type;
use pb::undo_conflict::Reason;

/// Most changes that one call undoes.
pub(in crate::api) const UNDONE_MAX: i64 = 1000;

/// A stretch of the log to be read.
#[derive(Debug, Clone, Copy)]
pub(in crate::api) struct Stretch {
    /// After this revision.
    pub(in crate::api) start: i64,
    pub(in crate::api) page_size: PageSize,
    /// What the answer has to hold, where the caller says so.
    pub(in crate::api) min_revision: Option<i64>,
}

/// Which stretch of the log is to be read.
pub(in crate::api) fn list(
    caller: &Principal,
    request: &pb::ListTaskChangesRequest,
) -> Result<(Owner, Stretch)> {
    let mut fields = Fields::new(caller);
    let owner = fields.owner("parent", names::parse_user(&request.parent))?;
    let start = fields.check("start_revision", revision(request.start_revision));
    let page_size = fields.check("page_size", PageSize::parse(request.page_size));
    let min_revision = min_revision(&mut fields, request.min_revision);
    let stretch = start.zip(page_size).zip(min_revision);
    let stretch =
        stretch.map(|((start, page_size), min_revision)| Stretch { start, page_size, min_revision });
    fields.finish(owner.zip(stretch))
}

/// A stretch of the log to be undone: after the first number, up to the second.
pub(in crate::api) fn undo(
    caller: &Principal,
    request: &pb::UndoChangesRequest,
) -> Result<(Owner, (i64, i64))> {
    let mut fields = Fields::new(caller);
    let owner = fields.owner("parent", names::parse_user(&request.parent))?;
    fields.check("request_id", idempotency::parse(&request.request_id));
    let start = fields.check("start_revision", revision(request.start_revision));
    let end = fields.check("end_revision", revision(request.end_revision));
    if let Some((start, end)) = start.zip(end) {
        let range = if start >= end {
            Err(Rule::field("must be greater than start_revision"))
        } else if end - start > UNDONE_MAX {
            Err(Rule::field(format!("must be at most {UNDONE_MAX} above start_revision")))
        } else {
            Ok(())
        };
        fields.check("end_revision", range);
    }
    fields.finish(owner.zip(start.zip(end)))
}

/// What takes each task back to where it was before the first of these changes, in the order of their first changes.
pub(in crate::api) fn restores(changes: Vec<TaskChange>, end_revision: i64, force: bool) -> Vec<TaskWrite> {
    let mut seen: HashMap<TaskId, ()> = HashMap::new();
    let mut writes = Vec::new();
    for change in changes {
        if seen.insert(change.task_id, ()).is_none() {
            let former = change.before.map(Box::new);
            writes.push(TaskWrite::Restore { id: change.task_id, former, end_revision, force });
        }
    }
    writes
}

/// What an undo answers. `ids` are those of the writes, in order.
pub(in crate::api) fn undone(
    owner: Owner,
    ids: &[TaskId],
    written: &[WriteResult],
    dry_run: bool,
) -> pb::UndoChangesResponse {
    let mut answer = pb::UndoChangesResponse::default();
    for (id, written) in ids.iter().zip(written) {
        match (&written.task, written.effect) {
            (task, Effect::Conflict) => answer.conflicts.push(pb::UndoConflict {
                task: names::task_of(owner.user(), *id),
                revision: task.as_ref().map_or(0, |task| task.revision),
                reason: if task.is_some() { Reason::ChangedSince } else { Reason::Purged }.into(),
            }),
            (Some(task), Effect::Changed) => {
                if !dry_run {
                    answer.revisions.push(task.revision);
                }
                let mut task = task_to_pb(task.clone());
                if let Some(etag) = &written.etag_now {
                    task.etag = etag.as_str().to_owned();
                }
                answer.tasks.push(task);
            }
            _ => {}
        }
    }
    answer
}

/// A change as it is answered.
pub(in crate::api) fn change_to_pb(owner: Owner, change: TaskChange) -> pb::TaskChange {
    let kind = match change.kind {
        ChangeType::Created => Type::Created,
        ChangeType::Updated => Type::Updated,
        ChangeType::Deleted => Type::Deleted,
        ChangeType::Undeleted => Type::Undeleted,
        ChangeType::Purged => Type::Purged,
    };
    let name = names::task_of(owner.user(), change.task_id);
    let task = change.task.map_or_else(|| pb::Task { name, ..pb::Task::default() }, task_to_pb);
    pb::TaskChange {
        revision: change.revision,
        prev_revision: change.revision - 1,
        r#type: kind.into(),
        task: Some(task),
        changed_fields: change.fields.iter().map(TaskField::name).map(str::to_owned).collect(),
        create_time: Some(time_to_pb(change.create_time)),
    }
}
