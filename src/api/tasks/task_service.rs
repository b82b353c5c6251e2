//! `TaskService`: each handler parses, authorises, does one thing, and answers.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::import::IMPORTS_MAX;
use super::watch::{WatchLimits, WatchStream, Watches};
use super::{batch, changes, convert, convert_list, convert_recurrence, cursor};
use crate::api::idempotency::IdempotencyKey;
use crate::api::page_token::PageTokens;
use crate::api::places::Places;
use crate::api::{Files, answer, caller, idempotency};
use crate::domain::{
    Clock, Error, Etag, HistoryId, Owner, Resource, Result, TaskWrite, Violation, Write, WriteResult,
    WriteRules,
};
use crate::pb;
use crate::pb::task_service_server::TaskService;
use crate::storage::{Idempotency, Operation, Outcome, Review, Storage, WriteError};

/// What is configured about tasks.
#[derive(Debug, Clone, Copy)]
pub struct TaskRules {
    /// How long a deleted task can be taken back.
    pub purge_after: Duration,
    /// How many tasks that are not deleted one user may have.
    pub live_tasks_max: i64,
    /// How long changes are kept in the log.
    pub changes_kept: Duration,
    /// Limits of streams.
    pub watch: WatchLimits,
}

/// The implementation of `TaskService`.
#[derive(Debug)]
pub struct TaskApi {
    pub(super) storage: Storage,
    pub(super) page_tokens: PageTokens,
    watches: Watches,
    pub(super) imports: Places,
    pub(super) calendars: Places,
    pub(super) files: Files,
    pub(super) clock: Clock,
    rules: TaskRules,
}

/// Calendars that are written at once, on this replica.
const CALENDARS_MAX: usize = 16;
/// Those of one user: one for each of the devices that ask on the hour.
const CALENDARS_OF_USER_MAX: usize = 4;

/// What to do where what comes of a call is too much for one answer.
const FEWER_CHANGES: &str = "change fewer tasks at once; of an undo, the last changes first";

/// An answer with one task.
pub(super) fn one(written: &[WriteResult]) -> pb::Task {
    // A task that never existed is answered as an empty one; only `allow_missing` leads there.
    let task = written.first().and_then(WriteResult::task).cloned();
    task.map(convert::task_to_pb).unwrap_or_default()
}

/// The tasks of an answer with many.
fn many(written: &[WriteResult]) -> Vec<pb::Task> {
    let task = |written: &WriteResult| written.task().cloned().map(convert::task_to_pb).unwrap_or_default();
    written.iter().map(task).collect()
}

impl TaskApi {
    /// Serves the tasks in this storage; streams end with `shutdown`.
    pub fn new(storage: Storage, clock: Clock, rules: TaskRules, shutdown: CancellationToken) -> Self {
        let page_tokens = PageTokens::new(storage.clone(), clock.clone(), "page_token");
        let files = Files { stall_timeout: rules.watch.stall_timeout, shutdown: shutdown.clone() };
        let watches = Watches::new(storage.clone(), clock.clone(), rules.watch, shutdown);
        let calendars = ("calendars of this user", "calendars of all users");
        let calendars = Places::new(CALENDARS_MAX, CALENDARS_OF_USER_MAX, calendars);
        let imports = Places::new(IMPORTS_MAX, 1, ("imports of this user", "imports of all users"));
        Self { storage, page_tokens, watches, imports, calendars, files, clock, rules }
    }

    /// Writes of a user by the rules of now.
    pub(super) fn operation(&self, owner: Owner, writes: Vec<Write>) -> Operation {
        let rules = WriteRules { now: self.clock.now(), purge_after: self.rules.purge_after };
        Operation::new(owner, writes, rules, self.rules.live_tasks_max)
    }

    /// Carries out one call's writes, or answers as before when the call was carried out before.
    pub(super) async fn perform<M: Message + Default>(
        &self,
        owner: Owner,
        (writes, history): (Vec<Write>, Option<HistoryId>),
        key: Option<IdempotencyKey>,
        dry_run: bool,
        answer: impl Fn(&[WriteResult]) -> M + Clone + Send + Sync + 'static,
    ) -> Result<M, WriteError> {
        let in_progress = key.is_some();
        let remember = answer.clone();
        let idempotency = key.map(|key| Idempotency {
            key: key.id,
            fingerprint: key.fingerprint,
            answer: Arc::new(move |written| remember(written).encode_to_vec()),
        });
        let answer_of = answer.clone();
        let review = (writes.len() > answer::ALWAYS_FIT)
            .then(|| Review(Arc::new(move |written| answer::check(&answer_of(written), FEWER_CHANGES))));
        let operation = Operation { review, history, idempotency, dry_run, ..self.operation(owner, writes) };
        match self.storage.tasks().write(operation).await {
            Ok(Outcome::Applied(written)) => Ok(answer(&written)),
            Ok(Outcome::Replayed(bytes)) => Ok(idempotency::decode_answer(&bytes)?),
            // The lock that did not come is held by another of this user's calls; this very one, as far as we know.
            Err(WriteError { error: Error::Conflict, .. }) if in_progress => {
                Err(Error::RequestInProgress.into())
            }
            Err(failed) => Err(failed),
        }
    }

    /// A call with a single write.
    async fn write(
        &self,
        owner: Owner,
        write: TaskWrite,
        key: Option<IdempotencyKey>,
    ) -> Result<Response<pb::Task>, Status> {
        let task = self.perform(owner, (vec![write.into()], None), key, false, one).await;
        Ok(Response::new(task.map_err(|failed| failed.error)?))
    }

    /// A call with many writes; a failure names its item.
    async fn write_all<M: Message + Default + 'static>(
        &self,
        owner: Owner,
        writes: Vec<TaskWrite>,
        key: Option<IdempotencyKey>,
        answer: fn(Vec<pb::Task>) -> M,
    ) -> Result<Response<M>, Status> {
        let writes = writes.into_iter().map(Write::Task).collect();
        let answered =
            self.perform(owner, (writes, None), key, false, move |written| answer(many(written))).await;
        Ok(Response::new(answered.map_err(|failed| in_item("requests", failed))?))
    }
}

/// The error together with the item that it concerns.
fn in_item(field: &str, failed: WriteError) -> Error {
    let Some(at) = failed.at else { return failed.error };
    let path = format!("{field}[{at}]");
    match failed.error {
        // Fields have the item in their paths, whoever found what is wrong with them.
        Error::Invalid(violations) => {
            let below = |violation: Violation| violation.rule.at(format!("{path}.{}", violation.field));
            Error::Invalid(violations.into_iter().map(below).collect())
        }
        error => Error::InItem { path, error: Box::new(error) },
    }
}

#[tonic::async_trait]
impl TaskService for TaskApi {
    type WatchTasksStream = WatchStream<pb::WatchTasksResponse>;
    type GetCalendarStream = WatchStream<pb::HttpBody>;

    async fn create_task(
        &self,
        request: Request<pb::CreateTaskRequest>,
    ) -> Result<Response<pb::Task>, Status> {
        let (caller, mut request) = caller(request)?;
        let key = IdempotencyKey::of("CreateTask", &mut request, |request| &mut request.request_id);
        let (owner, write) = convert::new_task(&caller, request)?;
        self.write(owner, write, key).await
    }

    async fn get_task(&self, request: Request<pb::GetTaskRequest>) -> Result<Response<pb::Task>, Status> {
        let (caller, request) = caller(request)?;
        let (owner, id, min_revision) = convert::task_to_get(&caller, &request)?;
        let task = match request.revision {
            None => self.storage.tasks().find(owner, id, min_revision).await?,
            Some(revision) => self.storage.changes().task_at(owner, id, revision).await?.0,
        };
        Ok(Response::new(convert::task_to_pb(task)))
    }

    async fn list_tasks(
        &self,
        request: Request<pb::ListTasksRequest>,
    ) -> Result<Response<pb::ListTasksResponse>, Status> {
        let (caller, request) = caller(request)?;
        let (owner, mut query) = convert::task_query(&caller, &request, self.clock.now())?;
        let list = cursor::list_of(&caller, owner, &request);
        let place = |bytes: &[u8]| cursor::decode(bytes, &query.order);
        if let Some(place) = self.page_tokens.open(&list, &request.page_token, place).await? {
            query.after = Some(place.cursor);
            // Where the first page was the primary's, the others are as well: nothing else is certainly as new.
            query.min_revision = place.revision.map(|first| query.min_revision.unwrap_or(first).max(first));
        }
        let page = self.storage.tasks().list(owner, &query).await?;
        let mut next = page.next;
        let may_be_cut = page.tasks.len() > answer::ALWAYS_FIT;
        let mut cursors = if may_be_cut {
            page.tasks.iter().map(|task| query.order.cursor_at(task)).collect()
        } else {
            Vec::new()
        };
        let mut tasks: Vec<pb::Task> = page.tasks.into_iter().map(convert::task_to_pb).collect();
        let fitting = answer::fitting(&tasks);
        if fitting < tasks.len() {
            tasks.truncate(fitting);
            next = Some(cursors.swap_remove(fitting - 1));
        }
        let next_page_token = match &next {
            Some(next) => self.page_tokens.seal(&list, &cursor::encode(next, page.revision)).await?,
            None => String::new(),
        };
        Ok(Response::new(pb::ListTasksResponse { tasks, next_page_token }))
    }

    async fn update_task(
        &self,
        request: Request<pb::UpdateTaskRequest>,
    ) -> Result<Response<pb::Task>, Status> {
        let (caller, mut request) = caller(request)?;
        let key = IdempotencyKey::of("UpdateTask", &mut request, |request| &mut request.request_id);
        let (owner, write) = convert::task_update(&caller, request)?;
        self.write(owner, write, key).await
    }

    async fn delete_task(
        &self,
        request: Request<pb::DeleteTaskRequest>,
    ) -> Result<Response<pb::Task>, Status> {
        let (caller, mut request) = caller(request)?;
        let key = IdempotencyKey::of("DeleteTask", &mut request, |request| &mut request.request_id);
        let (owner, id) = convert::task_name(&caller, &request.name, &request.request_id)?;
        let etag = Etag::given(request.etag);
        self.write(owner, TaskWrite::Delete { id, etag, allow_missing: request.allow_missing }, key).await
    }

    async fn undelete_task(
        &self,
        request: Request<pb::UndeleteTaskRequest>,
    ) -> Result<Response<pb::Task>, Status> {
        let (caller, mut request) = caller(request)?;
        let key = IdempotencyKey::of("UndeleteTask", &mut request, |request| &mut request.request_id);
        let (owner, id) = convert::task_name(&caller, &request.name, &request.request_id)?;
        self.write(owner, TaskWrite::Undelete { id }, key).await
    }

    async fn skip_occurrence(
        &self,
        request: Request<pb::SkipOccurrenceRequest>,
    ) -> Result<Response<pb::Task>, Status> {
        let (caller, mut request) = caller(request)?;
        let key = IdempotencyKey::of("SkipOccurrence", &mut request, |request| &mut request.request_id);
        let (owner, write) = convert_recurrence::skip(&caller, &request)?;
        self.write(owner, write, key).await
    }

    async fn preview_occurrences(
        &self,
        request: Request<pb::PreviewOccurrencesRequest>,
    ) -> Result<Response<pb::PreviewOccurrencesResponse>, Status> {
        let (caller, request) = caller(request)?;
        let (schedule, recurrence, count) = convert_recurrence::preview(&caller, request)?;
        let occurrences = schedule.occurrences(recurrence, count)?;
        let occurrences = occurrences.iter().map(convert_recurrence::occurrence_to_pb).collect();
        Ok(Response::new(pb::PreviewOccurrencesResponse { occurrences }))
    }

    async fn batch_get_tasks(
        &self,
        request: Request<pb::BatchGetTasksRequest>,
    ) -> Result<Response<pb::BatchGetTasksResponse>, Status> {
        let (caller, request) = caller(request)?;
        let (owner, ids, min_revision) = batch::get(&caller, request)?;
        let found = self.storage.tasks().find_many(owner, &ids, min_revision).await?;
        let mut tasks = Vec::with_capacity(found.len());
        for (at, task) in found.into_iter().enumerate() {
            let missing = || WriteError { at: Some(at), error: Error::NotFound(Resource::Task) };
            tasks.push(convert::task_to_pb(task.ok_or_else(|| in_item("names", missing()))?));
        }
        let answer = pb::BatchGetTasksResponse { tasks };
        answer::check(&answer, "ask for fewer names at once")?;
        Ok(Response::new(answer))
    }

    async fn batch_create_tasks(
        &self,
        request: Request<pb::BatchCreateTasksRequest>,
    ) -> Result<Response<pb::BatchCreateTasksResponse>, Status> {
        let (caller, mut request) = caller(request)?;
        let key = IdempotencyKey::of("BatchCreateTasks", &mut request, |request| &mut request.request_id);
        let (owner, writes) = batch::creates(&caller, request)?;
        self.write_all(owner, writes, key, |tasks| pb::BatchCreateTasksResponse { tasks }).await
    }

    async fn batch_update_tasks(
        &self,
        request: Request<pb::BatchUpdateTasksRequest>,
    ) -> Result<Response<pb::BatchUpdateTasksResponse>, Status> {
        let (caller, mut request) = caller(request)?;
        let key = IdempotencyKey::of("BatchUpdateTasks", &mut request, |request| &mut request.request_id);
        let (owner, writes) = batch::updates(&caller, request)?;
        self.write_all(owner, writes, key, |tasks| pb::BatchUpdateTasksResponse { tasks }).await
    }

    async fn batch_delete_tasks(
        &self,
        request: Request<pb::BatchDeleteTasksRequest>,
    ) -> Result<Response<pb::BatchDeleteTasksResponse>, Status> {
        let (caller, mut request) = caller(request)?;
        let key = IdempotencyKey::of("BatchDeleteTasks", &mut request, |request| &mut request.request_id);
        let (owner, writes) = batch::deletes(&caller, request)?;
        self.write_all(owner, writes, key, |tasks| pb::BatchDeleteTasksResponse { tasks }).await
    }

    async fn import_tasks(
        &self,
        request: Request<Streaming<pb::ImportTasksRequest>>,
    ) -> Result<Response<pb::ImportTasksResponse>, Status> {
        self.import(request).await
    }

    async fn get_calendar(
        &self,
        request: Request<pb::GetCalendarRequest>,
    ) -> Result<Response<Self::GetCalendarStream>, Status> {
        self.calendar(request).await
    }

    async fn count_tasks(
        &self,
        request: Request<pb::CountTasksRequest>,
    ) -> Result<Response<pb::CountTasksResponse>, Status> {
        let (caller, request) = caller(request)?;
        let (owner, query) = convert::task_count(&caller, &request, self.clock.now())?;
        let counts = self.storage.tasks().count(owner, &query).await?;
        Ok(Response::new(pb::CountTasksResponse {
            total: counts.total,
            completed: counts.completed,
            open: counts.total - counts.completed,
            low_priority: counts.low,
            medium_priority: counts.medium,
            high_priority: counts.high,
            overdue: counts.overdue,
        }))
    }

    async fn list_task_changes(
        &self,
        request: Request<pb::ListTaskChangesRequest>,
    ) -> Result<Response<pb::ListTaskChangesResponse>, Status> {
        let (caller, request) = caller(request)?;
        let (owner, stretch) = changes::list(&caller, &request)?;
        let known = HistoryId::given(&request.history);
        let (start, limit) = (stretch.start, stretch.page_size.get());
        let page = self.storage.changes().list(owner, known, start, limit, stretch.min_revision).await?;
        let mut changes: Vec<pb::TaskChange> =
            page.changes.into_iter().map(|change| changes::change_to_pb(owner, change)).collect();
        let fitting = answer::fitting(&changes);
        let is_cut = fitting < changes.len();
        changes.truncate(fitting);
        Ok(Response::new(pb::ListTaskChangesResponse {
            changes,
            current_revision: page.current_revision,
            earliest_revision: page.earliest_revision,
            has_more: page.has_more || is_cut,
            history: page.history.to_string(),
        }))
    }

    async fn watch_tasks(
        &self,
        request: Request<pb::WatchTasksRequest>,
    ) -> Result<Response<WatchStream<pb::WatchTasksResponse>>, Status> {
        let (caller, request) = caller(request)?;
        let stream = self.watches.open(&caller, &request).await?;
        Ok(Response::new(stream))
    }

    async fn undo_changes(
        &self,
        request: Request<pb::UndoChangesRequest>,
    ) -> Result<Response<pb::UndoChangesResponse>, Status> {
        self.undo(request).await
    }

    async fn list_task_revisions(
        &self,
        request: Request<pb::ListTaskRevisionsRequest>,
    ) -> Result<Response<pb::ListTaskRevisionsResponse>, Status> {
        self.revisions(request).await
    }

    async fn rollback_task(
        &self,
        request: Request<pb::RollbackTaskRequest>,
    ) -> Result<Response<pb::Task>, Status> {
        self.roll_back(request).await
    }

    async fn move_task(&self, request: Request<pb::MoveTaskRequest>) -> Result<Response<pb::Task>, Status> {
        self.move_task_to(request).await
    }

    async fn create_task_list(
        &self,
        request: Request<pb::CreateTaskListRequest>,
    ) -> Result<Response<pb::TaskList>, Status> {
        let (caller, mut request) = caller(request)?;
        let key = IdempotencyKey::of("CreateTaskList", &mut request, |request| &mut request.request_id);
        self.write_list(convert_list::new_list(&caller, request)?, key).await
    }

    async fn get_task_list(
        &self,
        request: Request<pb::GetTaskListRequest>,
    ) -> Result<Response<pb::TaskList>, Status> {
        let (caller, request) = caller(request)?;
        let (owner, id) = convert_list::list_name(&caller, &request.name)?;
        let list = self.storage.task_lists().find(owner, id).await?;
        Ok(Response::new(convert_list::list_to_pb(list)))
    }

    async fn list_task_lists(
        &self,
        request: Request<pb::ListTaskListsRequest>,
    ) -> Result<Response<pb::ListTaskListsResponse>, Status> {
        self.lists(request).await
    }

    async fn update_task_list(
        &self,
        request: Request<pb::UpdateTaskListRequest>,
    ) -> Result<Response<pb::TaskList>, Status> {
        let (caller, mut request) = caller(request)?;
        let key = IdempotencyKey::of("UpdateTaskList", &mut request, |request| &mut request.request_id);
        self.write_list(convert_list::list_update(&caller, request)?, key).await
    }

    async fn delete_task_list(
        &self,
        request: Request<pb::DeleteTaskListRequest>,
    ) -> Result<Response<pb::TaskList>, Status> {
        let (caller, mut request) = caller(request)?;
        let key = IdempotencyKey::of("DeleteTaskList", &mut request, |request| &mut request.request_id);
        self.write_list(convert_list::list_deletion(&caller, request)?, key).await
    }

    async fn undelete_task_list(
        &self,
        request: Request<pb::UndeleteTaskListRequest>,
    ) -> Result<Response<pb::TaskList>, Status> {
        let (caller, mut request) = caller(request)?;
        let key = IdempotencyKey::of("UndeleteTaskList", &mut request, |request| &mut request.request_id);
        self.write_list(convert_list::list_undeletion(&caller, &request)?, key).await
    }

    async fn move_task_list(
        &self,
        request: Request<pb::MoveTaskListRequest>,
    ) -> Result<Response<pb::TaskList>, Status> {
        let (caller, mut request) = caller(request)?;
        let key = IdempotencyKey::of("MoveTaskList", &mut request, |request| &mut request.request_id);
        self.write_list(convert_list::list_move(&caller, &request)?, key).await
    }
}
