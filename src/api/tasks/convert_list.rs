//! Lists of tasks: from messages to domain values and back.

use super::convert::{list, parent};
use super::convert_value::{required, time_to_pb};
use crate::api::field_mask::{Mask, Writable};
use crate::api::fields::Fields;
use crate::api::page_token::List;
use crate::api::{idempotency, names};
use crate::auth::Principal;
use crate::domain::{
    Etag, ListWrite, NewTaskList, Owner, PageSize, Place, Position, Result, Rule, TaskList, TaskListId,
    TaskMove, TasksOfDeleted, Title, Write,
};
use crate::pb;
use pb::delete_task_list_request::Tasks;

const WRITABLE: Writable = Writable {
    fields: &["title"],
    ignored: &[
        "name",
        "position",
        "create_time",
        "update_time",
        "delete_time",
        "purge_time",
        "revision",
        "etag",
    ],
};

/// A list to be made, and below whom.
pub(in crate::api) fn new_list(
    caller: &Principal,
    request: pb::CreateTaskListRequest,
) -> Result<(Owner, Write)> {
    let mut fields = Fields::new(caller);
    let owner = fields.owner("parent", names::parse_user(&request.parent))?;
    fields.check("request_id", idempotency::parse(&request.request_id));
    let id = match request.task_list_id.as_str() {
        "" => Some(TaskListId::generate()),
        given => fields.check("task_list_id", TaskListId::parse(given)),
    };
    let list = fields.check("task_list", required(request.task_list));
    let title = list.and_then(|list| fields.check("task_list.title", Title::parse(list.title)));
    let write = id.zip(title).map(|(id, title)| Write::List(ListWrite::Create(NewTaskList { id, title })));
    fields.finish(owner.zip(write))
}

/// A list by its name.
pub(in crate::api) fn list_name(caller: &Principal, name: &str) -> Result<(Owner, TaskListId)> {
    let mut fields = Fields::new(caller);
    let target = fields.owned("name", names::parse_task_list(name))?;
    fields.finish(target)
}

/// A change of a list.
pub(in crate::api) fn list_update(
    caller: &Principal,
    request: pb::UpdateTaskListRequest,
) -> Result<(Owner, Write)> {
    let mut fields = Fields::new(caller);
    let Some(list) = fields.check("task_list", required(request.task_list)) else {
        return fields.finish(None);
    };
    let target = fields.owned("task_list.name", names::parse_task_list(&list.name))?;
    fields.check("request_id", idempotency::parse(&request.request_id));
    let mask = fields.check("update_mask", Mask::parse(request.update_mask, &WRITABLE));
    let is_written = mask.is_some_and(|mask| mask.covers("title", !list.title.is_empty()));
    let title = match is_written {
        true => fields.check("task_list.title", Title::parse(list.title)),
        false => None,
    };
    let etag = Etag::given(list.etag);
    fields.finish(target.map(|(owner, id)| (owner, Write::List(ListWrite::Update { id, title, etag }))))
}

/// A list to be put away.
pub(in crate::api) fn list_deletion(
    caller: &Principal,
    request: pb::DeleteTaskListRequest,
) -> Result<(Owner, Write)> {
    let mut fields = Fields::new(caller);
    let target = fields.owned("name", names::parse_task_list(&request.name))?;
    fields.check("request_id", idempotency::parse(&request.request_id));
    let tasks = fields.check(
        "tasks",
        match Tasks::try_from(request.tasks) {
            Ok(Tasks::Unspecified | Tasks::Delete) => Ok(TasksOfDeleted::Delete),
            Ok(Tasks::Keep) => Ok(TasksOfDeleted::Keep),
            Err(_) => Err(Rule::field("must be TASKS_DELETE, TASKS_KEEP or unspecified")),
        },
    );
    let (etag, allow_missing) = (Etag::given(request.etag), request.allow_missing);
    let write = target.zip(tasks).map(|((owner, id), tasks)| {
        (owner, Write::List(ListWrite::Delete { id, etag, allow_missing, tasks }))
    });
    fields.finish(write)
}

/// A list to be taken back.
pub(in crate::api) fn list_undeletion(
    caller: &Principal,
    request: &pb::UndeleteTaskListRequest,
) -> Result<(Owner, Write)> {
    let mut fields = Fields::new(caller);
    let target = fields.owned("name", names::parse_task_list(&request.name))?;
    fields.check("request_id", idempotency::parse(&request.request_id));
    fields.finish(target.map(|(owner, id)| (owner, Write::List(ListWrite::Undelete { id }))))
}

/// A list to be put elsewhere.
pub(in crate::api) fn list_move(
    caller: &Principal,
    request: &pb::MoveTaskListRequest,
) -> Result<(Owner, Write)> {
    let mut fields = Fields::new(caller);
    let target = fields.owned("name", names::parse_task_list(&request.name))?;
    fields.check("request_id", idempotency::parse(&request.request_id));
    let owner = target.map(|(owner, _)| owner);
    let to = place(&mut fields, owner, (&request.before, &request.after), names::parse_task_list);
    let write = target.zip(to).map(|((owner, id), to)| (owner, Write::List(ListWrite::Move { id, to })));
    fields.finish(write)
}

/// A task to be put elsewhere.
pub(in crate::api) fn task_move(caller: &Principal, request: &pb::MoveTaskRequest) -> Result<(Owner, Write)> {
    let mut fields = Fields::new(caller);
    let target = fields.owned("name", names::parse_task(&request.name))?;
    fields.check("request_id", idempotency::parse(&request.request_id));
    let owner = target.map(|(owner, _)| owner);
    let task_list = match &request.task_list {
        None => Some(None),
        Some(name) => list(&mut fields, "task_list", owner, name).map(Some),
    };
    let parent_task = match &request.parent_task {
        None => Some(None),
        Some(name) => parent(&mut fields, "parent_task", owner, name).map(Some),
    };
    let to = place(&mut fields, owner, (&request.before, &request.after), names::parse_task);
    let write = target.zip(task_list.zip(parent_task)).zip(to);
    let write = write.map(|(((owner, id), (task_list, parent_task)), to)| {
        (owner, Write::Move(TaskMove { id, task_list, parent_task, to }))
    });
    fields.finish(write)
}

/// A place by whom it is before or after.
fn place<Id>(
    fields: &mut Fields<'_>,
    owner: Option<Owner>,
    (before, after): (&str, &str),
    parse: impl Fn(&str) -> Result<(names::UserRef, Id), Rule>,
) -> Option<Place<Id>> {
    match (before, after) {
        ("", "") => Some(Place::End),
        (before, "") => fields.beside("before", owner, parse(before)).map(Place::Before),
        ("", after) => fields.beside("after", owner, parse(after)).map(Place::After),
        _ => {
            let text = "must not be given together with before";
            fields.check::<Place<Id>>("after", Err(Rule::field(text)))
        }
    }
}

/// Lists to be read, but for the page.
pub(in crate::api) fn lists(
    caller: &Principal,
    request: &pb::ListTaskListsRequest,
) -> Result<(Owner, PageSize)> {
    let mut fields = Fields::new(caller);
    let owner = fields.owner("parent", names::parse_user(&request.parent))?;
    let page_size = fields.check("page_size", PageSize::parse(request.page_size));
    fields.finish(owner.zip(page_size))
}

/// What a page token of such a list is bound to.
pub(in crate::api) fn listing(caller: &Principal, owner: Owner, request: &pb::ListTaskListsRequest) -> List {
    let rule = "must come from a list of lists with the same caller, parent and show_deleted";
    List::of(caller, rule)
        .with_bytes(owner.user().as_bytes())
        .with_bytes(&[u8::from(request.show_deleted)])
        .with_text("taskLists")
}

/// The place after a list, as its page token carries it: the id (16 bytes), then the position.
pub(in crate::api) fn encode_place(last: &TaskList) -> Vec<u8> {
    [last.id.as_bytes().as_slice(), last.position.as_str().as_bytes()].concat()
}

/// Reads such a place.
pub(in crate::api) fn decode_place(bytes: &[u8]) -> Option<(Position, TaskListId)> {
    let (id, position) = bytes.split_first_chunk::<16>()?;
    let position = std::str::from_utf8(position).ok()?.to_owned();
    Some((Position::stored(position), TaskListId::from_bytes(*id)))
}

/// A list as it is answered.
pub(in crate::api) fn list_to_pb(list: TaskList) -> pb::TaskList {
    pb::TaskList {
        name: names::task_list(list.owner, list.id),
        etag: list.etag().into_string(),
        title: list.title.into_string(),
        position: list.position.into_string(),
        create_time: Some(time_to_pb(list.create_time)),
        update_time: Some(time_to_pb(list.update_time)),
        delete_time: list.delete_time.map(time_to_pb),
        purge_time: list.purge_time.map(time_to_pb),
        revision: list.revision,
    }
}
