//! Every text that a request can hold, and what the same bad input in each of them is answered.

use std::collections::BTreeSet;

use prost::Message as _;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FieldMask, FileDescriptorSet};
use taskwire::pb;

use super::{Session, alone, listing, titled};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::Answer;
use crate::support::server::{PASSWORD, TestServer, answer};

both_engines!(control_characters_are_refused_in_every_field, a_megabyte_is_refused_in_every_field,);

/// One text of one request.
pub(super) struct Field {
    /// The request's message and the path in it.
    pub(super) message: &'static str,
    pub(super) path: &'static str,
    /// What a wrong one is answered; with the path as the violated field where the reason has fields.
    pub(super) reason: &'static str,
    /// Whether the answer names the field.
    pub(super) named: bool,
    /// What it looks like when it is right, with `{}` where a character can be put in.
    pub(super) sample: &'static str,
}

const fn field(
    message: &'static str,
    path: &'static str,
    reason: &'static str,
    sample: &'static str,
) -> Field {
    Field { message, path, reason, named: true, sample }
}

/// A field about which the answer says no more than that it is not the right one.
const fn secret(
    message: &'static str,
    path: &'static str,
    reason: &'static str,
    sample: &'static str,
) -> Field {
    Field { named: false, ..field(message, path, reason, sample) }
}

const INVALID: &str = "FIELD_INVALID";
const RULE: &str = "RECURRENCE_INVALID";
const ZONE: &str = "TIME_ZONE_INVALID";
const MASK: &str = "FIELD_MASK_INVALID";
const ETAG: &str = "ETAG_MISMATCH";
const LIST: &str = "users/me/taskLists/0198c0de-0000-7000-8000-{}00000000000a";
const TASK: &str = "users/me/tasks/0198c0de-0000-7000-8000-{}00000000000a";

/// All of them. `every_text_field_is_in_the_table` holds this against the descriptors.
pub(super) const FIELDS: [Field; 87] = [
    field("CreateTaskRequest", "parent", INVALID, "users/{}me"),
    field("CreateTaskRequest", "task_id", INVALID, "0198c0de-0000-7000-8000-{}00000000000a"),
    field("CreateTaskRequest", "task.title", INVALID, "Buy {}milk"),
    field("CreateTaskRequest", "task.description", INVALID, "two {}litres"),
    field("CreateTaskRequest", "task.labels", INVALID, "ho{}me"),
    field("CreateTaskRequest", "task.time_zone", ZONE, "Europe/{}Berlin"),
    field("CreateTaskRequest", "task.task_list", INVALID, LIST),
    field("CreateTaskRequest", "task.parent_task", INVALID, TASK),
    field("CreateTaskRequest", "task.recurrence.rrule", RULE, "FREQ=DAILY{}"),
    field("GetTaskRequest", "name", INVALID, TASK),
    field("ListTasksRequest", "parent", INVALID, "users/{}me"),
    field("ListTasksRequest", "page_token", "PAGE_TOKEN_INVALID", "AQID{}BAUG"),
    field("ListTasksRequest", "filter", "FILTER_INVALID", "\"mi{}lk\""),
    field("ListTasksRequest", "order_by", "ORDER_BY_INVALID", "ti{}tle"),
    field("UpdateTaskRequest", "task.name", INVALID, TASK),
    field("UpdateTaskRequest", "task.title", INVALID, "Buy {}milk"),
    field("UpdateTaskRequest", "task.description", INVALID, "two {}litres"),
    field("UpdateTaskRequest", "task.labels", INVALID, "ho{}me"),
    field("UpdateTaskRequest", "task.time_zone", ZONE, "Europe/{}Berlin"),
    field("UpdateTaskRequest", "task.task_list", INVALID, LIST),
    field("UpdateTaskRequest", "task.parent_task", INVALID, TASK),
    field("UpdateTaskRequest", "task.recurrence.rrule", RULE, "FREQ=DAILY{}"),
    secret("UpdateTaskRequest", "task.etag", ETAG, "000{}1"),
    field("UpdateTaskRequest", "update_mask", MASK, "ti{}tle"),
    field("DeleteTaskRequest", "name", INVALID, TASK),
    secret("DeleteTaskRequest", "etag", ETAG, "000{}1"),
    field("UndeleteTaskRequest", "name", INVALID, TASK),
    field("ListTaskRevisionsRequest", "name", INVALID, TASK),
    field("ListTaskRevisionsRequest", "page_token", "PAGE_TOKEN_INVALID", "AQID{}BAUG"),
    field("RollbackTaskRequest", "name", INVALID, TASK),
    secret("RollbackTaskRequest", "etag", ETAG, "000{}1"),
    field("MoveTaskRequest", "name", INVALID, TASK),
    field("MoveTaskRequest", "task_list", INVALID, LIST),
    field("MoveTaskRequest", "parent_task", INVALID, TASK),
    field("MoveTaskRequest", "before", INVALID, TASK),
    field("MoveTaskRequest", "after", INVALID, TASK),
    field("SkipOccurrenceRequest", "name", INVALID, TASK),
    secret("SkipOccurrenceRequest", "etag", ETAG, "000{}1"),
    field("CreateTaskListRequest", "parent", INVALID, "users/{}me"),
    field("CreateTaskListRequest", "task_list_id", INVALID, "0198c0de-0000-7000-8000-{}00000000000a"),
    field("CreateTaskListRequest", "task_list.title", INVALID, "Gro{}ceries"),
    field("GetTaskListRequest", "name", INVALID, LIST),
    field("ListTaskListsRequest", "parent", INVALID, "users/{}me"),
    field("ListTaskListsRequest", "page_token", "PAGE_TOKEN_INVALID", "AQID{}BAUG"),
    field("UpdateTaskListRequest", "task_list.name", INVALID, LIST),
    field("UpdateTaskListRequest", "task_list.title", INVALID, "Gro{}ceries"),
    secret("UpdateTaskListRequest", "task_list.etag", ETAG, "000{}1"),
    field("UpdateTaskListRequest", "update_mask", MASK, "ti{}tle"),
    field("DeleteTaskListRequest", "name", INVALID, LIST),
    secret("DeleteTaskListRequest", "etag", ETAG, "000{}1"),
    field("UndeleteTaskListRequest", "name", INVALID, LIST),
    field("MoveTaskListRequest", "name", INVALID, LIST),
    field("MoveTaskListRequest", "before", INVALID, LIST),
    field("MoveTaskListRequest", "after", INVALID, LIST),
    field("CreateUserRequest", "user.email", INVALID, "bo{}b@example.com"),
    field("CreateUserRequest", "user.display_name", INVALID, "Bo{}b"),
    field("CreateUserRequest", "password", INVALID, "correct {}horse battery staple"),
    field("GetUserRequest", "name", INVALID, "users/{}me"),
    field("UpdateUserRequest", "user.name", INVALID, "users/{}me"),
    field("UpdateUserRequest", "user.email", INVALID, "bo{}b@example.com"),
    field("UpdateUserRequest", "user.display_name", INVALID, "Bo{}b"),
    secret("UpdateUserRequest", "user.etag", ETAG, "000{}1"),
    field("UpdateUserRequest", "update_mask", MASK, "em{}ail"),
    secret("LoginRequest", "email", "CREDENTIALS_INVALID", "ada{}@example.com"),
    secret("LoginRequest", "password", "CREDENTIALS_INVALID", "correct horse {}battery staple"),
    field("LoginRequest", "device", INVALID, "lap{}top"),
    secret("RefreshSessionRequest", "refresh_token", "REFRESH_TOKEN_INVALID", "twr_{}AQID"),
    // Without a challenge that is one, nothing is said of the rest.
    secret("CompleteLoginRequest", "challenge", "CHALLENGE_INVALID", "twc_{}AQID"),
    secret("CompleteLoginRequest", "code", "CHALLENGE_INVALID", "287{}082"),
    secret("CompleteLoginRequest", "recovery_code", "CHALLENGE_INVALID", "abcd-efgh-{}ijkl-mnop"),
    field("RequestPasswordResetRequest", "email", INVALID, "ad{}a@example.com"),
    secret("ResetPasswordRequest", "token", "MAIL_TOKEN_INVALID", "twm_{}AQID"),
    field("ResetPasswordRequest", "new_password", INVALID, "correct {}horse battery staple"),
    field("SendVerificationRequest", "email", INVALID, "ad{}a@example.com"),
    secret("VerifyEmailRequest", "token", "MAIL_TOKEN_INVALID", "twm_{}AQID"),
    field("RequestEmailChangeRequest", "name", INVALID, "users/{}me"),
    field("RequestEmailChangeRequest", "new_email", INVALID, "ad{}a@example.com"),
    secret("ConfirmEmailChangeRequest", "token", "MAIL_TOKEN_INVALID", "twm_{}AQID"),
    // Ignored where a task or a user is created; what they hold does not matter.
    field("CreateTaskRequest", "task.name", "", "x{}"),
    field("CreateUserRequest", "user.name", "", "x{}"),
    field("CreateTaskListRequest", "task_list.name", "", "x{}"),
    // Ignored wherever it is sent.
    field("CreateTaskRequest", "task.position", "", "x{}"),
    field("UpdateTaskRequest", "task.position", "", "x{}"),
    field("CreateTaskRequest", "task.next_task", "", "x{}"),
    field("UpdateTaskRequest", "task.next_task", "", "x{}"),
    field("CreateTaskListRequest", "task_list.position", "", "x{}"),
    field("UpdateTaskListRequest", "task_list.position", "", "x{}"),
];

impl Field {
    /// The sample with this put in.
    pub(super) fn with(&self, inserted: &str) -> String {
        self.sample.replace("{}", inserted)
    }

    /// Sends a request in which only this field is not as it should be.
    pub(super) async fn send(
        &self,
        server: &TestServer,
        session: &Session,
        task: &pb::Task,
        text: String,
    ) -> Answer<()> {
        match self.message {
            "CreateUserRequest" | "LoginRequest" | "RefreshSessionRequest" => {
                self.send_anonymously(server, text).await
            }
            "RequestPasswordResetRequest"
            | "SendVerificationRequest"
            | "VerifyEmailRequest"
            | "ConfirmEmailChangeRequest" => self.send_about_mail(server, text).await,
            "RequestEmailChangeRequest" => self.send_email_change(session, text).await,
            "ResetPasswordRequest" => self.send_reset(server, text).await,
            "CompleteLoginRequest" => self.send_completion(server, text).await,
            "GetUserRequest" => session.account(&text).await.map(drop),
            "UpdateUserRequest" => self.send_user_update(session, text).await,
            "MoveTaskRequest" => self.send_move(session, task, text).await,
            message if message.contains("TaskList") => self.send_about_lists(session, text).await,
            _ => self.send_about_tasks(session, task, text).await,
        }
    }

    async fn send_about_tasks(&self, session: &Session, task: &pb::Task, text: String) -> Answer<()> {
        let mut update = pb::Task { name: task.name.clone(), ..titled("new") };
        let mut creation = pb::CreateTaskRequest {
            parent: "users/me".to_owned(),
            task: Some(titled("new")),
            ..pb::CreateTaskRequest::default()
        };
        let mut list = listing();
        let mut given = titled("new");
        match (self.message, self.path) {
            ("GetTaskRequest", _) => return session.get(&text).await.map(drop),
            ("ListTaskRevisionsRequest", "name") => return session.past(&text, "").await.map(drop),
            ("ListTaskRevisionsRequest", _) => return session.past(&task.name, &text).await.map(drop),
            ("RollbackTaskRequest", "name") => return session.roll_back(&text, 1, "").await.map(drop),
            ("RollbackTaskRequest", _) => {
                return session.roll_back(&task.name, task.revision, &text).await.map(drop);
            }
            ("SkipOccurrenceRequest", "name") => return session.skip(&text, "").await.map(drop),
            ("SkipOccurrenceRequest", _) => return session.skip(&task.name, &text).await.map(drop),
            ("UndeleteTaskRequest", _) => return session.undelete(&text).await.map(drop),
            ("DeleteTaskRequest", "name") => return session.delete(&text).await.map(drop),
            ("DeleteTaskRequest", _) => return session.delete_with(&task.name, &text, false).await.map(drop),
            ("UpdateTaskRequest", "update_mask") => {
                let update_mask = Some(FieldMask { paths: vec![text] });
                return session.update_masked(update, update_mask).await.map(drop);
            }
            ("ListTasksRequest", "parent") => list.parent = text,
            ("ListTasksRequest", "page_token") => list.page_token = text,
            ("ListTasksRequest", "filter") => list.filter = text,
            ("ListTasksRequest", _) => list.order_by = text,
            ("CreateTaskRequest", "parent") => creation.parent = text,
            ("CreateTaskRequest", "task_id") => creation.task_id = text,
            ("UpdateTaskRequest", "task.name") => update.name = text,
            ("UpdateTaskRequest", "task.etag") => update.etag = text,
            (_, "task.name") => given.name = text,
            (_, "task.title") => given.title = text,
            (_, "task.description") => given.description = Some(text),
            (_, "task.labels") => given.labels = vec![text],
            (_, "task.time_zone") => given.time_zone = text,
            (_, "task.task_list") => given.task_list = text,
            (_, "task.parent_task") => given.parent_task = text,
            (_, "task.recurrence.rrule") => {
                given.recurrence = Some(pb::Recurrence { rrule: text, ..Default::default() });
            }
            other => panic!("unknown field {other:?}"),
        }
        match self.message {
            "ListTasksRequest" => session.list(list).await.map(drop),
            "CreateTaskRequest" => {
                if self.path.starts_with("task.") {
                    creation.task = Some(given);
                }
                answer(session.tasks().create_task(creation).await).map(drop)
            }
            _ => {
                update.title = given.title;
                update.description = given.description;
                update.labels = given.labels;
                update.time_zone = given.time_zone;
                update.task_list = given.task_list;
                update.parent_task = given.parent_task;
                update.recurrence = given.recurrence;
                session.update(update, &[]).await.map(drop)
            }
        }
    }

    async fn send_move(&self, session: &Session, task: &pb::Task, text: String) -> Answer<()> {
        let mut request = pb::MoveTaskRequest { name: task.name.clone(), ..Default::default() };
        match self.path {
            "name" => request.name = text,
            "task_list" => request.task_list = Some(text),
            "parent_task" => request.parent_task = Some(text),
            "before" => request.before = text,
            _ => request.after = text,
        }
        answer(session.tasks().move_task(request).await).map(drop)
    }

    async fn send_about_lists(&self, session: &Session, text: String) -> Answer<()> {
        let mut tasks = session.tasks();
        let (parent, name) = ("users/me".to_owned(), LIST.replace("{}", ""));
        let mut list = pb::TaskList { name: name.clone(), title: "new".to_owned(), ..Default::default() };
        if self.path.ends_with("etag") {
            // One that there is, whose etag it is not.
            list.name = session.create_list("list").await.unwrap().name;
        }
        match (self.message, self.path) {
            (_, "task_list.name") => list.name.clone_from(&text),
            (_, "task_list.title") => list.title.clone_from(&text),
            (_, "task_list.etag") => list.etag.clone_from(&text),
            _ => {}
        }
        let other = |path: &str, value: String| if self.path == path { text.clone() } else { value };
        match self.message {
            "CreateTaskListRequest" => {
                let request = pb::CreateTaskListRequest {
                    parent: other("parent", parent),
                    task_list: Some(list),
                    task_list_id: other("task_list_id", String::new()),
                    ..Default::default()
                };
                answer(tasks.create_task_list(request).await).map(drop)
            }
            "GetTaskListRequest" => session.get_list(&text).await.map(drop),
            "ListTaskListsRequest" => {
                let request = pb::ListTaskListsRequest {
                    parent: other("parent", parent),
                    page_token: other("page_token", String::new()),
                    ..Default::default()
                };
                answer(tasks.list_task_lists(request).await).map(drop)
            }
            "UpdateTaskListRequest" => {
                let paths = if self.path == "update_mask" { vec![text] } else { vec!["title".to_owned()] };
                let update_mask = Some(FieldMask { paths });
                let request =
                    pb::UpdateTaskListRequest { task_list: Some(list), update_mask, ..Default::default() };
                answer(tasks.update_task_list(request).await).map(drop)
            }
            "DeleteTaskListRequest" => {
                let request = pb::DeleteTaskListRequest {
                    name: other("name", list.name),
                    etag: other("etag", String::new()),
                    ..Default::default()
                };
                answer(tasks.delete_task_list(request).await).map(drop)
            }
            "UndeleteTaskListRequest" => {
                let request = pb::UndeleteTaskListRequest { name: text, ..Default::default() };
                answer(tasks.undelete_task_list(request).await).map(drop)
            }
            _ => {
                let request = pb::MoveTaskListRequest {
                    name: other("name", name),
                    before: other("before", String::new()),
                    after: other("after", String::new()),
                    ..Default::default()
                };
                answer(tasks.move_task_list(request).await).map(drop)
            }
        }
    }

    /// Checks that this was refused as the table says.
    fn check(&self, answered: Answer<()>, what: &str) {
        let (message, path) = (self.message, self.path);
        let refusal = answered.expect_err(&format!("{message}.{path} takes {what}"));
        assert_eq!(refusal.reason, self.reason, "{message}.{path} with {what}: {refusal:?}");
        let fields: &[&str] = if self.named { &[path] } else { &[] };
        assert_eq!(refusal.fields(), fields, "{message}.{path} with {what}: {refusal:?}");
    }
}

/// The Unicode category Cc: C0, delete, C1.
pub(super) fn controls() -> impl Iterator<Item = char> {
    ('\0'..='\u{1F}').chain('\u{7F}'..='\u{9F}')
}

async fn control_characters_are_refused_in_every_field(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let task = ada.create(titled("0")).await.unwrap();
    for field in FIELDS.iter().filter(|field| !field.reason.is_empty()) {
        for control in controls() {
            if field.path == "task.description" && ['\n', '\t'].contains(&control) {
                continue;
            }
            let text = field.with(&control.to_string());
            let answered = field.send(&server, &ada, &task, text).await;
            field.check(answered, &format!("{control:?}"));
        }
    }
    assert_eq!(ada.all(listing()).await, [task]);
    // Each list whose etag it was not is a change of its own.
    let lists =
        FIELDS.iter().filter(|field| field.message.contains("TaskList") && field.path.ends_with("etag"));
    let revision = 1 + i64::try_from(lists.count() * controls().count()).unwrap();
    let unchanged = pb::User { revision, ..ada.pair.user.clone().unwrap() };
    assert_eq!(ada.me().await, unchanged);
    server.sign_up("new@example.com", PASSWORD).await.expect("somebody was registered");
}

async fn a_megabyte_is_refused_in_every_field(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let task = ada.create(titled("0")).await.unwrap();
    // Below the limit of the message, so that it is the field that is judged.
    for field in FIELDS.iter().filter(|field| !field.reason.is_empty()) {
        let text = field.with(&"x".repeat(1_000_000));
        let answered = field.send(&server, &ada, &task, text).await;
        field.check(answered, "a million letters");
    }
    assert_eq!(ada.all(listing()).await, [task]);
}

/// The messages whose fields the table holds.
const MESSAGES: [&str; 30] = [
    "CreateTaskRequest",
    "GetTaskRequest",
    "ListTasksRequest",
    "UpdateTaskRequest",
    "DeleteTaskRequest",
    "UndeleteTaskRequest",
    "ListTaskRevisionsRequest",
    "RollbackTaskRequest",
    "MoveTaskRequest",
    "SkipOccurrenceRequest",
    "CreateTaskListRequest",
    "GetTaskListRequest",
    "ListTaskListsRequest",
    "UpdateTaskListRequest",
    "DeleteTaskListRequest",
    "UndeleteTaskListRequest",
    "MoveTaskListRequest",
    "CreateUserRequest",
    "GetUserRequest",
    "UpdateUserRequest",
    "LoginRequest",
    "RefreshSessionRequest",
    "CompleteLoginRequest",
    "RequestPasswordResetRequest",
    "ResetPasswordRequest",
    "SendVerificationRequest",
    "VerifyEmailRequest",
    "RequestEmailChangeRequest",
    "ConfirmEmailChangeRequest",
    "LogoutRequest",
];

fn text_fields(messages: &[DescriptorProto], message: &str, prefix: &str, found: &mut BTreeSet<String>) {
    let descriptor =
        messages.iter().find(|one| one.name() == message).unwrap_or_else(|| panic!("no message {message}"));
    for field in &descriptor.field {
        let path = format!("{prefix}{}", field.name());
        match (field.r#type(), field.type_name()) {
            (Type::String, _) => drop(found.insert(path)),
            (Type::Message, ".google.protobuf.FieldMask") => drop(found.insert(path)),
            // A map's entries, which have tests of their own.
            (Type::Message, name) if name.ends_with("Entry") => {}
            (Type::Message, name) if name.starts_with(".taskwire.v1.") => {
                let name = name.trim_start_matches(".taskwire.v1.");
                text_fields(messages, name, &format!("{path}."), found);
            }
            _ => {}
        }
    }
}

#[test]
fn every_text_field_is_in_the_table() {
    let files = FileDescriptorSet::decode(pb::DESCRIPTOR_SET).unwrap().file;
    let messages: Vec<DescriptorProto> = files
        .into_iter()
        .filter(|file| file.package() == "taskwire.v1")
        .flat_map(|file| file.message_type)
        .collect();
    for message in MESSAGES {
        let mut expected = BTreeSet::new();
        text_fields(&messages, message, "", &mut expected);
        // A request id has tests of its own; etags are ignored where something is created, a history is only answered.
        expected.retain(|path| {
            let is_new = message.starts_with("Create");
            path != "request_id" && !path.ends_with(".history") && !(is_new && path.ends_with(".etag"))
        });
        let listed = FIELDS.iter().filter(|field| field.message == message);
        let listed: BTreeSet<String> = listed.map(|field| field.path.to_owned()).collect();
        assert_eq!(listed, expected, "{message}");
    }
}

impl Session {
    async fn past(&self, name: &str, page_token: &str) -> Answer<pb::ListTaskRevisionsResponse> {
        let (name, page_token) = (name.to_owned(), page_token.to_owned());
        let request = pb::ListTaskRevisionsRequest { name, page_token, ..Default::default() };
        answer(self.tasks().list_task_revisions(request).await)
    }

    async fn roll_back(&self, name: &str, revision: i64, etag: &str) -> Answer<pb::Task> {
        let (name, etag) = (name.to_owned(), etag.to_owned());
        let request = pb::RollbackTaskRequest { name, revision, etag, ..Default::default() };
        answer(self.tasks().rollback_task(request).await)
    }
}
