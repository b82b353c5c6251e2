//! What the calls about the past of tasks do: undoing changes, listing those of one task, and bringing it back to one of them.

use prost::Message;
use tonic::{Request, Response, Status};

use super::task_service::{TaskApi, one};
use super::{changes, convert};
use crate::api::idempotency::IdempotencyKey;
use crate::api::{answer, caller, idempotency};
use crate::domain::{
    Error, Etag, HistoryId, Owner, Result, Subject, TaskListId, TaskWrite, Write, WriteResult,
};
use crate::pb;

/// The lists among what an undo is about.
fn lists_in(subjects: &[Subject]) -> Vec<TaskListId> {
    let list = |subject: &Subject| match subject {
        Subject::List(id) => Some(*id),
        Subject::Task(_) => None,
    };
    subjects.iter().filter_map(list).collect()
}

impl TaskApi {
    pub(super) async fn undo(
        &self,
        request: Request<pb::UndoChangesRequest>,
    ) -> Result<Response<pb::UndoChangesResponse>, Status> {
        let (caller, mut request) = caller(request)?;
        let key = IdempotencyKey::of("UndoChanges", &mut request, |request| &mut request.request_id);
        let (owner, (start, end)) = changes::undo(&caller, &request)?;
        let known = HistoryId::given(&request.history);
        let (writes, history) = match self.undo_writes(owner, known, (start, end), request.force).await {
            Ok(found) => found,
            // The changes may be gone while the answer is still remembered.
            Err(error) => return self.answered_before(owner, key).await?.ok_or_else(|| error.into()),
        };
        let subjects: Vec<_> = writes.iter().map(Write::subject).collect();
        let dry_run = request.validate_only;
        let lists: Vec<_> = if dry_run { Vec::new() } else { lists_in(&subjects) };
        let answer = move |written: &[WriteResult]| changes::undone(owner, &subjects, written, dry_run);
        let answered = self
            .perform(owner, (writes, Some(history)), key, dry_run, answer)
            .await
            .map_err(|failed| failed.error)?;
        for list in lists {
            // Tasks that came into it after these changes stay, without it.
            self.finish_list(owner, list).await;
        }
        Ok(Response::new(answered))
    }

    /// What takes the tasks of this stretch of the log back to where they were before it.
    /// Answers the history as well in which they are to be carried out.
    async fn undo_writes(
        &self,
        owner: Owner,
        known: Option<HistoryId>,
        (start, end): (i64, i64),
        force: bool,
    ) -> Result<(Vec<Write>, HistoryId)> {
        let count = usize::try_from(end - start).unwrap_or_default();
        loop {
            let page = self.storage.changes().list(owner, known, start, count, None).await?;
            if end > page.current_revision {
                return Err(Error::RevisionInFuture { current: page.current_revision });
            }
            // The last of them may have been made just after the rows were read; then they are there by now.
            if page.changes.last().is_some_and(|last| last.revision == end) {
                return Ok((changes::restores(page.changes, end, force), page.history));
            }
        }
    }

    /// What this very call was answered when it was carried out.
    async fn answered_before<M: Message + Default>(
        &self,
        owner: Owner,
        key: Option<IdempotencyKey>,
    ) -> Result<Option<Response<M>>> {
        let Some(key) = key else { return Ok(None) };
        let remembered = self.storage.changes().answered(owner, key.id, &key.fingerprint).await?;
        remembered.map(|bytes| idempotency::decode_answer(&bytes).map(Response::new)).transpose()
    }

    pub(super) async fn revisions(
        &self,
        request: Request<pb::ListTaskRevisionsRequest>,
    ) -> Result<Response<pb::ListTaskRevisionsResponse>, Status> {
        let (caller, request) = caller(request)?;
        let (owner, id, page_size) = changes::revisions(&caller, &request)?;
        let listing = changes::listing_of_revisions(&caller, owner, id);
        let place = |bytes: &[u8]| bytes.try_into().ok().map(i64::from_le_bytes);
        let from = self.page_tokens.open(&listing, &request.page_token, place).await?;
        let found = self.storage.changes().of_task(owner, id, from, page_size.get() + 1).await?;
        let mut revisions: Vec<pb::TaskChange> =
            found.into_iter().map(|change| changes::change_to_pb(owner, change)).collect();
        let fitting = answer::fitting(&revisions).min(page_size.get());
        let next_page_token = match revisions.get(fitting) {
            Some(next) => self.page_tokens.seal(&listing, &next.revision.to_le_bytes()).await?,
            None => String::new(),
        };
        revisions.truncate(fitting);
        Ok(Response::new(pb::ListTaskRevisionsResponse { revisions, next_page_token }))
    }

    pub(super) async fn roll_back(
        &self,
        request: Request<pb::RollbackTaskRequest>,
    ) -> Result<Response<pb::Task>, Status> {
        let (caller, mut request) = caller(request)?;
        let key = IdempotencyKey::of("RollbackTask", &mut request, |request| &mut request.request_id);
        let (owner, id) = convert::task_to_roll_back(&caller, &request)?;
        let (former, history) = match self.storage.changes().task_at(owner, id, request.revision).await {
            Ok(found) => found,
            // The change may be gone while the answer is still remembered.
            Err(error) => return self.answered_before(owner, key).await?.ok_or_else(|| error.into()),
        };
        let write = TaskWrite::Rollback { id, former: Box::new(former), etag: Etag::given(request.etag) };
        let task = self.perform(owner, (vec![write.into()], Some(history)), key, false, one).await;
        Ok(Response::new(task.map_err(|failed| failed.error)?))
    }
}
