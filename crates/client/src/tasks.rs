//! The tasks of one user.

use std::fmt;
use std::sync::Arc;

use prost_types::FieldMask;
use tonic::Request;
use tonic::transport::Channel;

use super::call::{Core, Kind};
use super::error::Result;
use super::retry::idempotency_key;
use taskwire_proto as pb;
use taskwire_proto::task_service_client::TaskServiceClient;

/// The tasks of one user. A task is named by its whole name, `users/{user}/tasks/{task}`, or by its id.
#[derive(Clone)]
pub struct Tasks {
    core: Arc<Core>,
    parent: String,
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").field("parent", &self.parent).finish_non_exhaustive()
    }
}

/// What is listed, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Which tasks, in the grammar of AIP-160, as in `completed = false AND priority = HIGH`.
    pub filter: String,
    /// In which order, as in `due_time, title desc`. Newest first when empty.
    pub order_by: String,
    /// Whether deleted ones too.
    pub show_deleted: bool,
    /// How many are read at once; the service's default when 0.
    pub page_size: i32,
}

/// A place in a user's changes. Whoever goes on from there later keeps both of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last change that is known.
    pub revision: i64,
    /// The history that the revision belongs to, as the service told it; empty where that is not known. Revisions of
    /// another history mean other changes, since the database was put back to an earlier state.
    pub history: String,
}

impl From<i64> for Checkpoint {
    /// A revision of a history that is not known.
    fn from(revision: i64) -> Self {
        Self { revision, history: String::new() }
    }
}

/// Which changes are undone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UndoOptions {
    /// Changes after this revision,
    pub start_revision: i64,
    /// up to this one.
    pub end_revision: i64,
    /// Also where a task was changed again since.
    pub force: bool,
    /// Only says what would be done.
    pub validate_only: bool,
    /// The history that the revisions belong to, as the service told it; empty where that is not known.
    pub history: String,
}

impl Tasks {
    pub(super) fn new(core: Arc<Core>, parent: String) -> Self {
        Self { core, parent }
    }

    /// Makes a task.
    pub async fn create(&self, task: pb::Task) -> Result<pb::Task> {
        let request = pb::CreateTaskRequest {
            parent: self.parent.clone(),
            task: Some(task),
            request_id: idempotency_key(),
            ..pb::CreateTaskRequest::default()
        };
        let create = |channel, request| async move { service(channel).create_task(request).await };
        self.seen(self.core.authorized(Kind::Idempotent, request, create).await?)
    }

    /// A task, also a deleted one.
    pub async fn get(&self, task: &str) -> Result<pb::Task> {
        let request =
            pb::GetTaskRequest { name: self.name(task), min_revision: self.min_revision(), revision: None };
        let get = |channel, request| async move { service(channel).get_task(request).await };
        self.seen(self.core.authorized(Kind::Read, request, get).await?)
    }

    /// A task as the change with this revision left it.
    pub async fn get_at(&self, task: &str, revision: i64) -> Result<pb::Task> {
        let request =
            pb::GetTaskRequest { name: self.name(task), min_revision: None, revision: Some(revision) };
        let get = |channel, request| async move { service(channel).get_task(request).await };
        self.seen(self.core.authorized(Kind::Read, request, get).await?)
    }

    /// Brings a task back to what it was after the change with this revision, by a new change.
    pub async fn rollback(&self, task: &str, revision: i64) -> Result<pb::Task> {
        let request = pb::RollbackTaskRequest {
            name: self.name(task),
            revision,
            request_id: idempotency_key(),
            ..pb::RollbackTaskRequest::default()
        };
        let rollback = |channel, request| async move { service(channel).rollback_task(request).await };
        self.seen(self.core.authorized(Kind::Idempotent, request, rollback).await?)
    }

    /// Changes these fields of the task to what it says of them; without paths, those that it says something of. With an
    /// etag in it, only if nothing else was changed since.
    pub async fn update(&self, task: pb::Task, paths: &[&str]) -> Result<pb::Task> {
        let name = self.name(&task.name);
        let mask = FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() };
        let request = pb::UpdateTaskRequest {
            task: Some(pb::Task { name, ..task }),
            update_mask: (!paths.is_empty()).then_some(mask),
            request_id: idempotency_key(),
            complete_subtasks: false,
        };
        let update = |channel, request| async move { service(channel).update_task(request).await };
        self.seen(self.core.authorized(Kind::Idempotent, request, update).await?)
    }

    /// Completes a task, with its subtasks or without.
    pub async fn complete(&self, task: &str, with_subtasks: bool) -> Result<pb::Task> {
        let task = pb::Task { name: self.name(task), completed: true, ..pb::Task::default() };
        let request = pb::UpdateTaskRequest {
            task: Some(task),
            update_mask: Some(FieldMask { paths: vec!["completed".to_owned()] }),
            request_id: idempotency_key(),
            complete_subtasks: with_subtasks,
        };
        let update = |channel, request| async move { service(channel).update_task(request).await };
        self.seen(self.core.authorized(Kind::Idempotent, request, update).await?)
    }

    /// Moves a task that recurs to its next occurrence.
    pub async fn skip(&self, task: &str) -> Result<pb::Task> {
        let request = pb::SkipOccurrenceRequest {
            name: self.name(task),
            request_id: idempotency_key(),
            ..pb::SkipOccurrenceRequest::default()
        };
        let skip = |channel, request| async move { service(channel).skip_occurrence(request).await };
        self.seen(self.core.authorized(Kind::Idempotent, request, skip).await?)
    }

    /// When a task like this would be due, at most so many times.
    pub async fn preview(&self, task: pb::Task, count: i32) -> Result<Vec<pb::Occurrence>> {
        let request = pb::PreviewOccurrencesRequest { parent: self.parent.clone(), task: Some(task), count };
        let preview = |channel, request| async move { service(channel).preview_occurrences(request).await };
        Ok(self.core.authorized(Kind::Read, request, preview).await?.occurrences)
    }

    /// Deletes a task, with its subtasks; it can be had back for a while.
    pub async fn delete(&self, task: &str) -> Result<pb::Task> {
        let request = pb::DeleteTaskRequest {
            name: self.name(task),
            request_id: idempotency_key(),
            ..pb::DeleteTaskRequest::default()
        };
        let delete = |channel, request| async move { service(channel).delete_task(request).await };
        self.seen(self.core.authorized(Kind::Idempotent, request, delete).await?)
    }

    /// Has a deleted task back.
    pub async fn undelete(&self, task: &str) -> Result<pb::Task> {
        let request = pb::UndeleteTaskRequest { name: self.name(task), request_id: idempotency_key() };
        let undelete = |channel, request| async move { service(channel).undelete_task(request).await };
        self.seen(self.core.authorized(Kind::Idempotent, request, undelete).await?)
    }

    /// Undoes changes, as new changes, all of them or none.
    pub async fn undo(&self, options: UndoOptions) -> Result<pb::UndoChangesResponse> {
        let request = pb::UndoChangesRequest {
            parent: self.parent.clone(),
            start_revision: options.start_revision,
            end_revision: options.end_revision,
            force: options.force,
            validate_only: options.validate_only,
            request_id: idempotency_key(),
            history: options.history,
        };
        let undo = |channel, request| async move { service(channel).undo_changes(request).await };
        let undone: pb::UndoChangesResponse = self.core.authorized(Kind::Idempotent, request, undo).await?;
        self.note(undone.revisions.iter().copied());
        Ok(undone)
    }

    /// The place of the last change.
    pub async fn checkpoint(&self) -> Result<Checkpoint> {
        let mut after = Checkpoint::default();
        loop {
            match self.change_page(after.clone(), 1).await {
                Ok(page) => {
                    return Ok(Checkpoint { revision: page.current_revision, history: page.history });
                }
                Err(error) => {
                    // What is too old to be asked for says what is not.
                    let earliest = error.metadata("earliest_revision").and_then(|text| text.parse().ok());
                    let Some(earliest) = earliest.filter(|earliest| *earliest > after.revision) else {
                        return Err(error);
                    };
                    after.revision = earliest;
                }
            }
        }
    }

    pub(super) async fn page(
        &self,
        options: &ListOptions,
        page_token: String,
    ) -> Result<pb::ListTasksResponse> {
        let request = pb::ListTasksRequest {
            parent: self.parent.clone(),
            page_size: options.page_size,
            page_token,
            filter: options.filter.clone(),
            order_by: options.order_by.clone(),
            show_deleted: options.show_deleted,
            min_revision: self.min_revision(),
        };
        let list = |channel, request| async move { service(channel).list_tasks(request).await };
        let page: pb::ListTasksResponse = self.core.authorized(Kind::Read, request, list).await?;
        self.note(page.tasks.iter().map(|task| task.revision));
        Ok(page)
    }

    pub(super) async fn revision_page(
        &self,
        task: &str,
        page_token: String,
    ) -> Result<pb::ListTaskRevisionsResponse> {
        let request = pb::ListTaskRevisionsRequest { name: self.name(task), page_size: 0, page_token };
        let list = |channel, request| async move { service(channel).list_task_revisions(request).await };
        let page: pb::ListTaskRevisionsResponse = self.core.authorized(Kind::Read, request, list).await?;
        self.note(page.revisions.iter().map(|change| change.revision));
        Ok(page)
    }

    pub(super) async fn change_page(
        &self,
        after: Checkpoint,
        page_size: i32,
    ) -> Result<pb::ListTaskChangesResponse> {
        let request = pb::ListTaskChangesRequest {
            parent: self.parent.clone(),
            start_revision: after.revision,
            page_size,
            history: after.history,
            min_revision: self.min_revision(),
        };
        let list = |channel, request| async move { service(channel).list_task_changes(request).await };
        let page: pb::ListTaskChangesResponse = self.core.authorized(Kind::Read, request, list).await?;
        self.note([page.current_revision]);
        Ok(page)
    }

    pub(super) async fn open_watch(
        &self,
        after: Option<Checkpoint>,
    ) -> Result<tonic::Streaming<pb::WatchTasksResponse>> {
        let request = pb::WatchTasksRequest {
            parent: self.parent.clone(),
            start_revision: after.as_ref().map(|after| after.revision),
            initial_state: after.is_none(),
            history: after.unwrap_or_default().history,
        };
        let watch = |channel, request: Request<_>| async move { service(channel).watch_tasks(request).await };
        self.core.authorized(Kind::Stream, request, watch).await
    }

    pub(super) const fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub(super) fn parent(&self) -> &str {
        &self.parent
    }

    /// Notes how far a task shows the changes.
    pub(super) fn seen(&self, task: pb::Task) -> Result<pb::Task> {
        self.note([task.revision]);
        Ok(task)
    }

    /// Notes revisions that were answered.
    pub(super) fn note(&self, revisions: impl IntoIterator<Item = i64>) {
        revisions.into_iter().for_each(|revision| self.core.seen.note(revision));
    }

    fn min_revision(&self) -> Option<i64> {
        self.core.seen.min_revision()
    }

    /// The whole name of a task that is given by its id; an empty one stays empty.
    pub fn full_name(&self, task: &str) -> String {
        if task.is_empty() { String::new() } else { self.name(task) }
    }

    pub(super) fn name(&self, task: &str) -> String {
        if task.contains('/') { task.to_owned() } else { format!("{}/tasks/{task}", self.parent) }
    }
}

pub(super) fn service(channel: Channel) -> TaskServiceClient<Channel> {
    TaskServiceClient::new(channel)
}
