//! The contract as a client meets it: every case through a real connection to the real server, on both engines.

// Requests grow fields; a test says what it means and leaves the rest.
#![allow(clippy::needless_update)]

mod annotations;
mod calendar;
mod days;
mod every_field;
pub(crate) mod exports;
mod fields;
mod fields_of_accounts;
mod filters;
mod health;
mod imports;
mod imports_refused;
mod lengths;
mod min_revision;
mod moves;
mod names;
mod orders;
mod page_tokens;
mod pages;
mod passwords;
mod recurrence;
mod recurrence_rules;
mod sessions;
mod subtasks;
mod task_lists;
mod tasks;
mod tasks_deleted;
mod text;
mod updates;
mod users;
mod users_updated;
mod values;
mod wire;

use prost_types::{FieldMask, Timestamp};
use taskwire::pb;

use crate::support::refusal::Answer;
use crate::support::server::{START, Session, TestServer, answer};

/// A task with nothing but a title.
fn titled(title: &str) -> pb::Task {
    pb::Task { title: title.to_owned(), ..pb::Task::default() }
}

/// The time this many seconds after the clock's start.
fn at(seconds: i64) -> Timestamp {
    Timestamp { seconds: START + seconds, nanos: 0 }
}

fn seconds(count: u64) -> std::time::Duration {
    std::time::Duration::from_secs(count)
}

const DAY: u64 = 24 * 60 * 60;

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// A task with something in every field.
fn full() -> pb::Task {
    pb::Task {
        description: Some("two litres".to_owned()),
        completed: true,
        priority: pb::Priority::High.into(),
        due_time: Some(at(1000)),
        labels: texts(&["home", "shop"]),
        ..titled("Buy milk")
    }
}

/// A mask; none without paths.
fn mask(paths: &[&str]) -> Option<FieldMask> {
    (!paths.is_empty()).then(|| FieldMask { paths: texts(paths) })
}

fn titles(tasks: &[pb::Task]) -> Vec<&str> {
    tasks.iter().map(|task| task.title.as_str()).collect()
}

/// A list of one's own tasks.
fn listing() -> pb::ListTasksRequest {
    pb::ListTasksRequest { parent: "users/me".to_owned(), page_size: 500, ..pb::ListTasksRequest::default() }
}

fn filtered(filter: &str) -> pb::ListTasksRequest {
    pb::ListTasksRequest { filter: filter.to_owned(), ..listing() }
}

fn ordered(order_by: &str) -> pb::ListTasksRequest {
    pb::ListTasksRequest { order_by: order_by.to_owned(), ..listing() }
}

impl Session {
    /// Creates one's own task.
    async fn create(&self, task: pb::Task) -> Answer<pb::Task> {
        self.create_as(task, "").await
    }

    /// Creates one's own task with an id of one's own.
    async fn create_as(&self, task: pb::Task, task_id: &str) -> Answer<pb::Task> {
        let request = pb::CreateTaskRequest {
            parent: "users/me".to_owned(),
            task: Some(task),
            task_id: task_id.to_owned(),
            ..pb::CreateTaskRequest::default()
        };
        answer(self.tasks().create_task(request).await)
    }

    async fn create_below(&self, parent: &str, task: pb::Task) -> Answer<pb::Task> {
        let request = pb::CreateTaskRequest {
            parent: parent.to_owned(),
            task: Some(task),
            ..pb::CreateTaskRequest::default()
        };
        answer(self.tasks().create_task(request).await)
    }

    async fn get(&self, name: &str) -> Answer<pb::Task> {
        let request = pb::GetTaskRequest { name: name.to_owned(), ..pb::GetTaskRequest::default() };
        answer(self.tasks().get_task(request).await)
    }

    async fn list(&self, request: pb::ListTasksRequest) -> Answer<pb::ListTasksResponse> {
        answer(self.tasks().list_tasks(request).await)
    }

    /// Every task that the listing holds, on one page.
    async fn all(&self, request: pb::ListTasksRequest) -> Vec<pb::Task> {
        let page = self.list(request).await.unwrap();
        assert_eq!(page.next_page_token, "");
        page.tasks
    }

    /// Changes a task; without paths the request has no mask.
    async fn update(&self, task: pb::Task, paths: &[&str]) -> Answer<pb::Task> {
        self.update_masked(task, mask(paths)).await
    }

    async fn update_masked(&self, task: pb::Task, update_mask: Option<FieldMask>) -> Answer<pb::Task> {
        let request =
            pb::UpdateTaskRequest { task: Some(task), update_mask, ..pb::UpdateTaskRequest::default() };
        answer(self.tasks().update_task(request).await)
    }

    async fn delete(&self, name: &str) -> Answer<pb::Task> {
        self.delete_with(name, "", false).await
    }

    async fn delete_with(&self, name: &str, etag: &str, allow_missing: bool) -> Answer<pb::Task> {
        let request = pb::DeleteTaskRequest {
            name: name.to_owned(),
            etag: etag.to_owned(),
            allow_missing,
            ..pb::DeleteTaskRequest::default()
        };
        answer(self.tasks().delete_task(request).await)
    }

    async fn undelete(&self, name: &str) -> Answer<pb::Task> {
        let request = pb::UndeleteTaskRequest { name: name.to_owned(), ..pb::UndeleteTaskRequest::default() };
        answer(self.tasks().undelete_task(request).await)
    }

    async fn account(&self, name: &str) -> Answer<pb::User> {
        let request = pb::GetUserRequest { name: name.to_owned(), ..pb::GetUserRequest::default() };
        answer(self.users().get_user(request).await)
    }

    /// One's own account.
    async fn me(&self) -> pb::User {
        self.account("users/me").await.unwrap()
    }

    /// Changes an account; without paths the request has no mask.
    async fn update_account(&self, user: pb::User, paths: &[&str]) -> Answer<pb::User> {
        let request = pb::UpdateUserRequest {
            user: Some(user),
            update_mask: mask(paths),
            ..pb::UpdateUserRequest::default()
        };
        answer(self.users().update_user(request).await)
    }

    async fn log_out(&self) -> Answer<pb::LogoutResponse> {
        answer(self.users().logout(pb::LogoutRequest::default()).await)
    }
}

/// A name below which nothing is: the task does not exist.
const NO_TASK: &str = "users/me/tasks/0198c0de-0000-7000-8000-00000000000a";

/// Nobody's account.
const NOBODY: &str = "users/0198c0de-0000-7000-8000-00000000000b";

/// A server and somebody who is logged in.
async fn alone(database: crate::support::database::TestDatabase) -> (TestServer, Session) {
    let server = TestServer::start(database).await;
    let session = server.register("ada@example.com").await;
    (server, session)
}
