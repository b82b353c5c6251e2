//! The lists of one user's tasks, and the order of tasks and lists.

use super::call::Kind;
use super::error::Result;
use super::retry::idempotency_key;
use super::tasks::{Tasks, service};
use prost_types::FieldMask;
use taskwire_proto as pb;
use taskwire_proto::delete_task_list_request::Tasks as OfDeleted;

/// The largest page that there is.
const PAGE_SIZE: i32 = 500;

/// A place among others, each named as tasks and lists are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Place {
    /// Behind all others.
    #[default]
    End,
    /// Right before this one.
    Before(String),
    /// Right after this one.
    After(String),
}

/// Where a task goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MoveTarget {
    /// Into this list, or with an empty one out of any; where it is when absent.
    pub list: Option<String>,
    /// Below this task, or with an empty one below none; where it is when absent.
    pub parent: Option<String>,
    /// Among those that are there.
    pub place: Place,
}

impl Place {
    /// `before` and `after` as they are sent.
    fn sent(&self, name: impl Fn(&str) -> String) -> (String, String) {
        match self {
            Self::End => (String::new(), String::new()),
            Self::Before(one) => (name(one), String::new()),
            Self::After(one) => (String::new(), name(one)),
        }
    }
}

impl Tasks {
    /// Every list that is not deleted, in the user's order; with `show_deleted` those too that are.
    pub async fn lists(&self, show_deleted: bool) -> Result<Vec<pb::TaskList>> {
        let (mut lists, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = pb::ListTaskListsRequest {
                parent: self.parent().to_owned(),
                page_size: PAGE_SIZE,
                page_token,
                show_deleted,
            };
            let list = |channel, request| async move { service(channel).list_task_lists(request).await };
            let page: pb::ListTaskListsResponse = self.core().authorized(Kind::Read, request, list).await?;
            lists.extend(page.task_lists);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(lists);
            }
        }
    }

    /// A list, also a deleted one.
    pub async fn get_list(&self, list: &str) -> Result<pb::TaskList> {
        let request = pb::GetTaskListRequest { name: self.list_name(list) };
        let get = |channel, request| async move { service(channel).get_task_list(request).await };
        self.core().authorized(Kind::Read, request, get).await
    }

    /// Makes a list behind the others.
    pub async fn create_list(&self, title: &str) -> Result<pb::TaskList> {
        let request = pb::CreateTaskListRequest {
            parent: self.parent().to_owned(),
            task_list: Some(pb::TaskList { title: title.to_owned(), ..pb::TaskList::default() }),
            request_id: idempotency_key(),
            ..pb::CreateTaskListRequest::default()
        };
        let create = |channel, request| async move { service(channel).create_task_list(request).await };
        self.list_seen(self.core().authorized(Kind::Idempotent, request, create).await?)
    }

    /// Calls a list otherwise.
    pub async fn rename_list(&self, list: &str, title: &str) -> Result<pb::TaskList> {
        let named =
            pb::TaskList { name: self.list_name(list), title: title.to_owned(), ..pb::TaskList::default() };
        let request = pb::UpdateTaskListRequest {
            task_list: Some(named),
            update_mask: Some(FieldMask { paths: vec!["title".to_owned()] }),
            request_id: idempotency_key(),
        };
        let update = |channel, request| async move { service(channel).update_task_list(request).await };
        self.list_seen(self.core().authorized(Kind::Idempotent, request, update).await?)
    }

    /// Deletes a list, and its tasks unless they are kept; it can be had back for a while.
    pub async fn delete_list(&self, list: &str, keep_tasks: bool) -> Result<pb::TaskList> {
        let tasks = if keep_tasks { OfDeleted::Keep } else { OfDeleted::Delete };
        let request = pb::DeleteTaskListRequest {
            name: self.list_name(list),
            tasks: tasks.into(),
            request_id: idempotency_key(),
            ..pb::DeleteTaskListRequest::default()
        };
        let delete = |channel, request| async move { service(channel).delete_task_list(request).await };
        self.list_seen(self.core().authorized(Kind::Idempotent, request, delete).await?)
    }

    /// Has a deleted list back, and the tasks that were deleted with it.
    pub async fn undelete_list(&self, list: &str) -> Result<pb::TaskList> {
        let request =
            pb::UndeleteTaskListRequest { name: self.list_name(list), request_id: idempotency_key() };
        let undelete = |channel, request| async move { service(channel).undelete_task_list(request).await };
        self.list_seen(self.core().authorized(Kind::Idempotent, request, undelete).await?)
    }

    /// Puts a list to another place among the lists.
    pub async fn move_list(&self, list: &str, to: &Place) -> Result<pb::TaskList> {
        let (before, after) = to.sent(|one| self.list_name(one));
        let request = pb::MoveTaskListRequest {
            name: self.list_name(list),
            before,
            after,
            request_id: idempotency_key(),
        };
        let shift = |channel, request| async move { service(channel).move_task_list(request).await };
        self.list_seen(self.core().authorized(Kind::Idempotent, request, shift).await?)
    }

    /// Puts a task to another place.
    pub async fn move_task(&self, task: &str, target: &MoveTarget) -> Result<pb::Task> {
        let (before, after) = target.place.sent(|one| self.name(one));
        let unless_empty = |one: &String, name: &dyn Fn(&str) -> String| match one.as_str() {
            "" => String::new(),
            one => name(one),
        };
        let request = pb::MoveTaskRequest {
            name: self.name(task),
            task_list: target.list.as_ref().map(|list| unless_empty(list, &|list| self.list_name(list))),
            parent_task: target.parent.as_ref().map(|parent| unless_empty(parent, &|one| self.name(one))),
            before,
            after,
            request_id: idempotency_key(),
        };
        let shift = |channel, request| async move { service(channel).move_task(request).await };
        self.seen(self.core().authorized(Kind::Idempotent, request, shift).await?)
    }

    /// Notes how far a list shows the changes.
    fn list_seen(&self, list: pb::TaskList) -> Result<pb::TaskList> {
        self.note([list.revision]);
        Ok(list)
    }

    fn list_name(&self, list: &str) -> String {
        if list.contains('/') { list.to_owned() } else { format!("{}/taskLists/{list}", self.parent()) }
    }
}
