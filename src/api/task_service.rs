//! `TaskService`: each handler parses, authorises, does one thing, and answers.

use std::time::Duration;

use tonic::{Request, Response, Status};

use super::{PageTokens, caller, convert};
use crate::domain::{Clock, Etag, TaskWrite, WriteRules};
use crate::pb;
use crate::pb::task_service_server::TaskService;
use crate::storage::Storage;

/// What is configured about tasks.
#[derive(Debug, Clone, Copy)]
pub struct TaskRules {
    /// How long a deleted task can be taken back.
    pub purge_after: Duration,
    /// How many tasks that are not deleted one user may have.
    pub live_tasks_max: i64,
}

/// The implementation of `TaskService`.
#[derive(Debug)]
pub struct TaskApi {
    storage: Storage,
    page_tokens: PageTokens,
    clock: Clock,
    rules: TaskRules,
}

impl TaskApi {
    /// Serves the tasks in this storage.
    pub fn new(storage: Storage, clock: Clock, rules: TaskRules) -> Self {
        let page_tokens = PageTokens::new(storage.clone(), clock.clone());
        Self {
            storage,
            page_tokens,
            clock,
            rules,
        }
    }

    async fn write(
        &self,
        owner: crate::domain::Owner,
        write: TaskWrite,
    ) -> Result<Response<pb::Task>, Status> {
        let rules = WriteRules {
            now: self.clock.now(),
            purge_after: self.rules.purge_after,
        };
        let task = self
            .storage
            .tasks()
            .write(owner, write, rules, self.rules.live_tasks_max)
            .await?;
        // A task that never existed is answered as an empty one; only `allow_missing` leads there.
        Ok(Response::new(task.map(convert::task_to_pb).unwrap_or_default()))
    }
}

#[tonic::async_trait]
impl TaskService for TaskApi {
    async fn create_task(
        &self,
        request: Request<pb::CreateTaskRequest>,
    ) -> Result<Response<pb::Task>, Status> {
        let (caller, request) = caller(request)?;
        let (owner, new) = convert::new_task(&caller, request)?;
        self.write(owner, TaskWrite::Create(new)).await
    }

    async fn get_task(&self, request: Request<pb::GetTaskRequest>) -> Result<Response<pb::Task>, Status> {
        let (caller, request) = caller(request)?;
        let (owner, id) = convert::task_name(&caller, &request.name)?;
        let task = self.storage.tasks().find(owner, id).await?;
        Ok(Response::new(convert::task_to_pb(task)))
    }

    async fn list_tasks(
        &self,
        request: Request<pb::ListTasksRequest>,
    ) -> Result<Response<pb::ListTasksResponse>, Status> {
        let (caller, request) = caller(request)?;
        let (owner, mut query) = convert::task_query(&caller, &request)?;
        query.after = self
            .page_tokens
            .read(&caller, owner, &request, &query.order)
            .await?;
        let page = self.storage.tasks().list(owner, &query).await?;
        let next_page_token = match &page.next {
            Some(cursor) => self.page_tokens.make(&caller, owner, &request, cursor).await?,
            None => String::new(),
        };
        let tasks = page.tasks.into_iter().map(convert::task_to_pb).collect();
        Ok(Response::new(pb::ListTasksResponse {
            tasks,
            next_page_token,
        }))
    }

    async fn update_task(
        &self,
        request: Request<pb::UpdateTaskRequest>,
    ) -> Result<Response<pb::Task>, Status> {
        let (caller, request) = caller(request)?;
        let (owner, write) = convert::task_update(&caller, request)?;
        self.write(owner, write).await
    }

    async fn delete_task(
        &self,
        request: Request<pb::DeleteTaskRequest>,
    ) -> Result<Response<pb::Task>, Status> {
        let (caller, request) = caller(request)?;
        let (owner, id) = convert::task_name(&caller, &request.name)?;
        let etag = Etag::given(request.etag);
        self.write(
            owner,
            TaskWrite::Delete {
                id,
                etag,
                allow_missing: request.allow_missing,
            },
        )
        .await
    }

    async fn undelete_task(
        &self,
        request: Request<pb::UndeleteTaskRequest>,
    ) -> Result<Response<pb::Task>, Status> {
        let (caller, request) = caller(request)?;
        let (owner, id) = convert::task_name(&caller, &request.name)?;
        self.write(owner, TaskWrite::Undelete { id }).await
    }
}
