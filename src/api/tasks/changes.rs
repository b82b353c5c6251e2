//! The change log: from messages to domain values and back, and how changes are undone.

use std::collections::{HashMap, HashSet};

use super::convert::{min_revision, revision, task_to_pb};
use super::convert_list::list_to_pb;
use super::convert_value::time_to_pb;
use crate::api::fields::Fields;
use crate::api::page_token::List;
use crate::api::{idempotency, names};
use crate::auth::Principal;
use crate::domain::{
    ChangeType, Effect, ListWrite, Owner, PageSize, Result, Rule, State, Subject, TaskChange, TaskField,
    TaskId, TaskWrite, Write, WriteResult,
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

/// Which task's changes are to be read, and how many at once.
pub(in crate::api) fn revisions(
    caller: &Principal,
    request: &pb::ListTaskRevisionsRequest,
) -> Result<(Owner, TaskId, PageSize)> {
    let mut fields = Fields::new(caller);
    let target = fields.owned("name", names::parse_task(&request.name))?;
    let page_size = fields.check("page_size", PageSize::parse(request.page_size));
    fields.finish(target.zip(page_size).map(|((owner, id), page_size)| (owner, id, page_size)))
}

/// The list that a page token of a task's changes belongs to.
pub(in crate::api) fn listing_of_revisions(caller: &Principal, owner: Owner, id: TaskId) -> List {
    List::of(caller, "belongs to the changes of another task; begin with an empty one")
        .with_text("revisions")
        .with_text(&names::task_of(owner.user(), id))
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

/// What takes each task and list back to where it was before the first of these changes, in the order of their first changes:
/// lists first, so that the tasks find theirs.
pub(in crate::api) fn restores(changes: Vec<TaskChange>, end_revision: i64, force: bool) -> Vec<Write> {
    // Which tasks are below others after these changes.
    let mut is_below: HashMap<Subject, bool> = HashMap::new();
    for change in &changes {
        let has_parent = |state: &State| matches!(state, State::Task(task) if task.parent_task.is_some());
        is_below.insert(change.subject, change.state.as_ref().is_some_and(has_parent));
    }
    let mut seen: HashSet<Subject> = HashSet::new();
    let (mut lists, mut tasks) = (Vec::new(), Vec::new());
    for change in changes {
        if !seen.insert(change.subject) {
            continue;
        }
        match change.subject {
            Subject::Task(id) => {
                let former = change.before.and_then(State::task).map(Box::new);
                tasks.push(Write::Task(TaskWrite::Restore { id, former, end_revision, force }));
            }
            Subject::List(id) => {
                let former = change.before.and_then(State::list).map(Box::new);
                lists.push(Write::List(ListWrite::Restore { id, former, end_revision, force }));
            }
        }
    }
    // Who comes below another one finds that without a parent, and has nobody below itself any more: first those that were below none,
    // and last those that are.
    tasks.sort_by_key(|write: &Write| match write.parent_task() {
        None => 0,
        Some(_) if is_below.get(&write.subject()).is_some_and(|is_below| *is_below) => 1,
        Some(_) => 2,
    });
    lists.append(&mut tasks);
    lists
}

/// What an undo answers. `subjects` are those of the writes, in order.
pub(in crate::api) fn undone(
    owner: Owner,
    subjects: &[Subject],
    written: &[WriteResult],
    dry_run: bool,
) -> pb::UndoChangesResponse {
    let mut answer = pb::UndoChangesResponse::default();
    for (subject, written) in subjects.iter().zip(written) {
        let etag = |made: String| written.etag_now.as_ref().map_or(made, |now| now.as_str().to_owned());
        match (&written.state, written.effect) {
            (state, Effect::Conflict) => answer.conflicts.push(conflict(owner, *subject, state.as_ref())),
            (Some(State::Task(task)), Effect::Changed) => {
                answer.revisions.extend((!dry_run).then_some(task.revision));
                let task = task_to_pb(task.as_ref().clone());
                answer.tasks.push(pb::Task { etag: etag(task.etag), ..task });
            }
            (Some(State::List(list)), Effect::Changed) => {
                answer.revisions.extend((!dry_run).then_some(list.revision));
                let list = list_to_pb(list.as_ref().clone());
                answer.task_lists.push(pb::TaskList { etag: etag(list.etag), ..list });
            }
            _ => {}
        }
    }
    answer
}

fn conflict(owner: Owner, subject: Subject, state: Option<&State>) -> pb::UndoConflict {
    let mut conflict = pb::UndoConflict {
        revision: state.map_or(0, State::revision),
        reason: if state.is_some() { Reason::ChangedSince } else { Reason::Purged }.into(),
        ..pb::UndoConflict::default()
    };
    match subject {
        Subject::Task(id) => conflict.task = names::task_of(owner.user(), id),
        Subject::List(id) => conflict.task_list = names::task_list(owner.user(), id),
    }
    conflict
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
    let (mut task, mut task_list) = (None, None);
    match (change.subject, change.state) {
        (_, Some(State::Task(state))) => task = Some(task_to_pb(*state)),
        (_, Some(State::List(state))) => task_list = Some(list_to_pb(*state)),
        (Subject::Task(id), None) => {
            let name = names::task_of(owner.user(), id);
            task = Some(pb::Task { name, ..pb::Task::default() });
        }
        (Subject::List(id), None) => {
            let name = names::task_list(owner.user(), id);
            task_list = Some(pb::TaskList { name, ..pb::TaskList::default() });
        }
    }
    pb::TaskChange {
        revision: change.revision,
        prev_revision: change.revision - 1,
        r#type: kind.into(),
        task,
        task_list,
        changed_fields: change.fields.iter().map(TaskField::name).map(str::to_owned).collect(),
        create_time: Some(time_to_pb(change.create_time)),
    }
}
