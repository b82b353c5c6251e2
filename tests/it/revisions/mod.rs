//! Revisions, the change log, watching, undoing, batches and request ids: what a client that keeps a copy, or that
//! repeats its calls, may rely on.

pub(crate) mod harness;

mod answers;
mod batches;
mod batches_refused;
mod clocks;
mod counts;
mod etags;
mod history;
mod housekeeping;
mod listed;
mod model;
mod model_check;
mod model_lists;
mod model_random;
mod model_recurrence;
mod past;
mod quota;
mod replay;
mod replay_refused;
mod replay_storm;
mod replicas;
mod statements;
mod subtasks;
mod switchover;
mod task_lists;
mod undo;
mod undo_conflicts;
mod undo_refused;
mod watch;
mod watch_ends;
mod watch_resumed;

use std::time::Duration;

use harness::replica::{Tasks, User};
use prost::Message as _;
use taskwire::pb;
use taskwire::pb::watch_tasks_response::Event;
use tonic::{Code, Response, Status, Streaming};
use tonic_types::StatusExt as _;

/// Longer than anything takes on a busy machine, so that what hangs fails instead.
const PATIENCE: Duration = Duration::from_secs(30);

/// A task with this title, to be made.
fn titled(title: &str) -> pb::Task {
    pb::Task { title: title.to_owned(), ..pb::Task::default() }
}

fn creation(task: pb::Task) -> pb::CreateTaskRequest {
    pb::CreateTaskRequest {
        parent: "users/me".to_owned(),
        task: Some(task),
        ..pb::CreateTaskRequest::default()
    }
}

/// A change of the fields that the mask names; of those that are populated when it names none.
fn change(task: pb::Task, mask: &[&str]) -> pb::UpdateTaskRequest {
    let paths = mask.iter().map(|&path| path.to_owned()).collect();
    let update_mask = (!mask.is_empty()).then_some(prost_types::FieldMask { paths });
    pb::UpdateTaskRequest { task: Some(task), update_mask, ..pb::UpdateTaskRequest::default() }
}

fn retitling(name: &str, title: &str) -> pb::UpdateTaskRequest {
    change(pb::Task { name: name.to_owned(), ..titled(title) }, &["title"])
}

fn deletion(name: &str) -> pb::DeleteTaskRequest {
    pb::DeleteTaskRequest { name: name.to_owned(), ..pb::DeleteTaskRequest::default() }
}

fn undeletion(name: &str) -> pb::UndeleteTaskRequest {
    pb::UndeleteTaskRequest { name: name.to_owned(), ..pb::UndeleteTaskRequest::default() }
}

fn batch_creation(items: Vec<pb::CreateTaskRequest>) -> pb::BatchCreateTasksRequest {
    pb::BatchCreateTasksRequest { parent: "users/me".to_owned(), requests: items, request_id: String::new() }
}

fn batch_change(items: Vec<pb::UpdateTaskRequest>) -> pb::BatchUpdateTasksRequest {
    pb::BatchUpdateTasksRequest { parent: "users/me".to_owned(), requests: items, request_id: String::new() }
}

fn batch_deletion(items: Vec<pb::DeleteTaskRequest>) -> pb::BatchDeleteTasksRequest {
    pb::BatchDeleteTasksRequest { parent: "users/me".to_owned(), requests: items, request_id: String::new() }
}

fn undoing(start_revision: i64, end_revision: i64) -> pb::UndoChangesRequest {
    let parent = "users/me".to_owned();
    pb::UndoChangesRequest { parent, start_revision, end_revision, ..pb::UndoChangesRequest::default() }
}

/// A new task with this title.
async fn create(tasks: &mut Tasks, title: &str) -> pb::Task {
    tasks.create_task(creation(titled(title))).await.unwrap().into_inner()
}

async fn get(tasks: &mut Tasks, name: &str) -> pb::Task {
    tasks
        .get_task(pb::GetTaskRequest { name: name.to_owned(), ..Default::default() })
        .await
        .unwrap()
        .into_inner()
}

/// All tasks, also the deleted ones, in the order of their names.
async fn all(tasks: &mut Tasks) -> Vec<pb::Task> {
    let mut request = pb::ListTasksRequest {
        parent: "users/me".to_owned(),
        page_size: 500,
        show_deleted: true,
        ..pb::ListTasksRequest::default()
    };
    let mut found = Vec::new();
    loop {
        let page = tasks.list_tasks(request.clone()).await.unwrap().into_inner();
        found.extend(page.tasks);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            found.sort_by(|one, other| one.name.cmp(&other.name));
            return found;
        }
    }
}

fn listing(start_revision: i64, page_size: i32) -> pb::ListTaskChangesRequest {
    pb::ListTaskChangesRequest {
        parent: "users/me".to_owned(),
        start_revision,
        page_size,
        ..pb::ListTaskChangesRequest::default()
    }
}

/// All changes after a revision. They come without a gap.
async fn changes(tasks: &mut Tasks, after: i64) -> Vec<pb::TaskChange> {
    let mut found: Vec<pb::TaskChange> = Vec::new();
    loop {
        let at = found.last().map_or(after, |last| last.revision);
        let page = tasks.list_task_changes(listing(at, 500)).await.unwrap().into_inner();
        for change in page.changes {
            let before = found.last().map_or(after, |last| last.revision);
            assert_eq!((change.prev_revision, change.revision), (before, before + 1));
            found.push(change);
        }
        if !page.has_more {
            assert_eq!(found.last().map_or(after, |last| last.revision), page.current_revision);
            return found;
        }
    }
}

/// The user's current revision.
async fn revision(tasks: &mut Tasks) -> i64 {
    // The last revision that is not in the future: asked for one that is.
    let refused = refused(tasks.list_task_changes(listing(i64::MAX, 1)).await, Code::OutOfRange);
    info(&refused, "current_revision").parse().unwrap()
}

fn watching(start_revision: Option<i64>) -> pb::WatchTasksRequest {
    pb::WatchTasksRequest {
        parent: "users/me".to_owned(),
        start_revision,
        ..pb::WatchTasksRequest::default()
    }
}

/// What a stream tells next.
async fn next(stream: &mut Streaming<pb::WatchTasksResponse>) -> Event {
    let message = tokio::time::timeout(PATIENCE, stream.message()).await.expect("nothing comes");
    message.unwrap().expect("the stream has ended").event.unwrap()
}

/// The change that a stream tells next; bookmarks are passed over.
async fn next_change(stream: &mut Streaming<pb::WatchTasksResponse>) -> pb::TaskChange {
    loop {
        match next(stream).await {
            Event::Change(change) => return change,
            Event::Bookmark(_) => {}
            other => panic!("no change: {other:?}"),
        }
    }
}

/// The error with which a stream ends, whatever comes before it.
async fn end(stream: &mut Streaming<pb::WatchTasksResponse>) -> Status {
    loop {
        match tokio::time::timeout(PATIENCE, stream.message()).await.expect("the stream does not end") {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended without an error"),
            Err(status) => return status,
        }
    }
}

/// The error that a call must answer, with this code.
#[track_caller]
fn refused<T: std::fmt::Debug>(answered: Result<Response<T>, Status>, code: Code) -> Status {
    match answered {
        Ok(answer) => panic!("expected {code:?}, was answered {:?}", answer.into_inner()),
        Err(status) => {
            assert_eq!(status.code(), code, "{status:?}");
            status
        }
    }
}

/// The stable reason of an error.
#[track_caller]
fn reason(status: &Status) -> String {
    status.get_details_error_info().unwrap_or_else(|| panic!("no reason: {status:?}")).reason
}

/// What the `ErrorInfo` of an error says under this key.
#[track_caller]
fn info(status: &Status, key: &str) -> String {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no reason: {status:?}"));
    info.metadata.get(key).unwrap_or_else(|| panic!("no {key}: {status:?}")).clone()
}

/// The paths of the fields that an error complains about.
#[track_caller]
fn fields(status: &Status) -> Vec<String> {
    let bad = status.get_details_bad_request().unwrap_or_else(|| panic!("no fields: {status:?}"));
    bad.field_violations.into_iter().map(|violation| violation.field).collect()
}

/// The error that a call must answer, with this reason.
#[track_caller]
fn refused_for<T: std::fmt::Debug>(answered: Result<Response<T>, Status>, expected: &str) -> Status {
    match answered {
        Ok(answer) => panic!("expected {expected}, was answered {:?}", answer.into_inner()),
        Err(status) => {
            assert_eq!(reason(&status), expected, "{status:?}");
            status
        }
    }
}

/// The current task that a conflict carries as a further detail.
fn current_task(status: &Status) -> Option<pb::Task> {
    let details = tonic_types::pb::Status::decode(status.details()).unwrap().details;
    let task = details.into_iter().find(|any| any.type_url == "type.googleapis.com/taskwire.v1.Task")?;
    Some(pb::Task::decode(task.value.as_slice()).unwrap())
}

/// Two people who know nothing of each other.
async fn two(replica: &harness::replica::Replica) -> (User, User) {
    (replica.register("one@example.org").await, replica.register("two@example.org").await)
}
