//! What the calls about lists of tasks do, and what deleting and restoring one leaves to be done.

use super::task_service::TaskApi;
use super::{convert_list, task_service};
use crate::api::caller;
use crate::api::idempotency::IdempotencyKey;
use crate::domain::{ListWrite, Owner, Result, TaskListId, Write, WriteResult};
use crate::pb;
use tonic::{Request, Response, Status};

/// An answer with one list.
fn one(written: &[WriteResult]) -> pb::TaskList {
    // One that never existed is answered as an empty one; only `allow_missing` leads there.
    let list = written.first().and_then(WriteResult::list).cloned();
    list.map(convert_list::list_to_pb).unwrap_or_default()
}

impl TaskApi {
    pub(super) async fn write_list(
        &self,
        (owner, write): (Owner, Write),
        key: Option<IdempotencyKey>,
    ) -> Result<Response<pb::TaskList>, Status> {
        let leaves_some = match &write {
            Write::List(ListWrite::Delete { id, .. } | ListWrite::Undelete { id }) => Some(*id),
            _ => None,
        };
        let answer = self.perform(owner, (vec![write], None), key, false, one).await;
        let answer = answer.map_err(|failed| failed.error)?;
        if let Some(id) = leaves_some {
            self.finish_list(owner, id).await;
        }
        Ok(Response::new(answer))
    }

    /// Does the rest with the tasks of a list. Whatever keeps it from that: it is noted that it is to be done, and the service
    /// comes back to it.
    pub(super) async fn finish_list(&self, owner: Owner, id: TaskListId) {
        while let Ok(list) = self.storage.task_lists().find(owner, id).await
            && list.unfinished.is_some()
        {
            let writes = vec![Write::List(ListWrite::Finish { id })];
            let operation = self.operation(owner, writes).beyond_quota();
            if let Err(failed) = self.storage.tasks().write(operation).await {
                tracing::warn!(cause = %failed.error, "the tasks of a list are left for later");
                return;
            }
        }
    }

    pub(super) async fn lists(
        &self,
        request: Request<pb::ListTaskListsRequest>,
    ) -> Result<Response<pb::ListTaskListsResponse>, Status> {
        let (caller, request) = caller(request)?;
        let (owner, page_size) = convert_list::lists(&caller, &request)?;
        let listing = convert_list::listing(&caller, owner, &request);
        let after = self.page_tokens.open(&listing, &request.page_token, convert_list::decode_place).await?;
        let lists = self.storage.task_lists();
        let page = lists.list(owner, request.show_deleted, after.as_ref(), page_size).await?;
        let next_page_token = match page.lists.last().filter(|_| page.has_more) {
            Some(last) => self.page_tokens.seal(&listing, &convert_list::encode_place(last)).await?,
            None => String::new(),
        };
        let task_lists = page.lists.into_iter().map(convert_list::list_to_pb).collect();
        Ok(Response::new(pb::ListTaskListsResponse { task_lists, next_page_token }))
    }

    pub(super) async fn move_task_to(
        &self,
        request: Request<pb::MoveTaskRequest>,
    ) -> Result<Response<pb::Task>, Status> {
        let (caller, mut request) = caller(request)?;
        let key = IdempotencyKey::of("MoveTask", &mut request, |request| &mut request.request_id);
        let (owner, write) = convert_list::task_move(&caller, &request)?;
        let task = self.perform(owner, (vec![write], None), key, false, task_service::one).await;
        Ok(Response::new(task.map_err(|failed| failed.error)?))
    }
}
