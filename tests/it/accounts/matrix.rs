//! Every RPC × every principal. The RPCs come from the descriptors: a new one without a row here fails.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _};
use prost::Message;
use prost_types::FileDescriptorSet;
use taskwire::auth::Tokens;
use taskwire::domain::{Clock, Role, SessionId, Timestamp, UserId};
use taskwire::methods::METHODS;
use taskwire::pb;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status};

use super::world::{PASSWORD, Replica, World, bearer, new_key, token_config};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::Refusal;

both_engines!(every_rpc_for_every_principal);

const PRINCIPALS: [&str; 11] = [
    "nobody",
    "owner",
    "other",
    "admin",
    "disabled",
    "deleted",
    "expired",
    "reading key",
    "writing key",
    "service in the owner's place",
    "calendar key",
];

/// The answers to calls that nothing came of.
const TURNED_AWAY: [&str; 4] =
    ["TOKEN_MISSING", "PARENT_ACCESS_DENIED", "ADMIN_REQUIRED", "SCOPE_INSUFFICIENT"];

/// What each principal is answered, in their order; `OK`, or a reason. The request concerns the owner's account, and a
/// task, a list, a session and a key in it that do not exist.
fn row(method: &str) -> Option<[&'static str; 11]> {
    const SHUT: [&str; 3] = ["SESSION_REVOKED", "SESSION_REVOKED", "TOKEN_EXPIRED"];
    let all = |nobody, owner, other, admin, shut: [&'static str; 3], reading, writing| {
        // A service in somebody's place reaches as far as a key that writes. A key for the calendar has that and nothing else.
        let calendar = match method {
            "GetCalendar" => owner,
            _ if nobody == "TOKEN_MISSING" => "SCOPE_INSUFFICIENT",
            _ => nobody,
        };
        Some([nobody, owner, other, admin, shut[0], shut[1], shut[2], reading, writing, writing, calendar])
    };
    let denied = "PARENT_ACCESS_DENIED";
    let missing = "TOKEN_MISSING";
    let scope = "SCOPE_INSUFFICIENT";
    let reads = |answer| all(missing, answer, denied, denied, SHUT, answer, answer);
    let writes = |answer| all(missing, answer, denied, denied, SHUT, scope, answer);
    let managed = |answer| all(missing, answer, denied, answer, SHUT, scope, scope);
    let own = |answer| all(missing, answer, denied, denied, SHUT, scope, scope);
    let admins = |answer| all(missing, "ADMIN_REQUIRED", "ADMIN_REQUIRED", answer, SHUT, scope, scope);
    let anyone = |answer| all(answer, answer, answer, answer, [answer; 3], answer, answer);
    match method {
        "CreateTask" | "BatchCreateTasks" | "ImportTasks" => writes("OK"),
        "GetTask" | "BatchGetTasks" => reads("TASK_NOT_FOUND"),
        "ListTasks" | "CountTasks" | "ListTaskChanges" | "WatchTasks" => reads("OK"),
        "UpdateTask" | "DeleteTask" | "UndeleteTask" => writes("TASK_NOT_FOUND"),
        "BatchUpdateTasks" | "BatchDeleteTasks" => writes("TASK_NOT_FOUND"),
        "UndoChanges" => writes("REVISION_IN_FUTURE"),
        "MoveTask" | "SkipOccurrence" | "RollbackTask" => writes("TASK_NOT_FOUND"),
        "ListTaskRevisions" => reads("TASK_NOT_FOUND"),
        "PreviewOccurrences" => reads("OK"),
        "CreateTaskList" => writes("OK"),
        "GetTaskList" => reads("TASK_LIST_NOT_FOUND"),
        "ListTaskLists" => reads("OK"),
        "UpdateTaskList" | "DeleteTaskList" | "UndeleteTaskList" | "MoveTaskList" => {
            writes("TASK_LIST_NOT_FOUND")
        }
        "CreateUser" => anyone("USER_ALREADY_EXISTS"),
        "Login" => anyone("CREDENTIALS_INVALID"),
        "RefreshSession" => anyone("REFRESH_TOKEN_INVALID"),
        "CompleteLogin" => anyone("CHALLENGE_INVALID"),
        "RequestPasswordReset" => anyone("MAIL_NOT_CONFIGURED"),
        "ResetPassword" | "VerifyEmail" | "ConfirmEmailChange" => anyone("MAIL_TOKEN_INVALID"),
        "SendVerification" => anyone("MAIL_NOT_CONFIGURED"),
        "RequestEmailChange" => own("MAIL_NOT_CONFIGURED"),
        "ExportUserData" | "GetCalendar" => own("OK"),
        "BeginTotpEnrolment" => own("OK"),
        "ConfirmTotpEnrolment" | "RegenerateRecoveryCodes" => own("TOTP_NOT_ENABLED"),
        "DisableTotp" => managed("TOTP_NOT_ENABLED"),
        "CreateServiceAccount" => admins("USER_ALREADY_EXISTS"),
        "ExchangeToken" => all(missing, scope, scope, scope, SHUT, scope, scope),
        "GetUser" | "UpdateUser" | "ListSessions" | "RevokeAllSessions" | "ListAuditEvents" => managed("OK"),
        "DeleteUser" => all(missing, "CREDENTIALS_INVALID", denied, "OK", SHUT, scope, scope),
        "ListUsers" | "DisableUser" | "EnableUser" => admins("OK"),
        // It concerns whoever calls.
        "Logout" => all(missing, "OK", "OK", "OK", SHUT, scope, scope),
        "ChangePassword" => own("CREDENTIALS_INVALID"),
        "RevokeSession" => managed("SESSION_NOT_FOUND"),
        "CreateApiKey" | "ListApiKeys" => own("OK"),
        "RevokeApiKey" => own("API_KEY_NOT_FOUND"),
        "WatchEvents" => all(missing, scope, scope, scope, SHUT, scope, scope),
        "CreateWebhook" | "ListWebhooks" => own("OK"),
        "GetWebhook"
        | "UpdateWebhook"
        | "DeleteWebhook"
        | "RotateWebhookSecret"
        | "TestWebhook"
        | "ReplayWebhook"
        | "ListWebhookQueues" => own("WEBHOOK_NOT_FOUND"),
        _ => None,
    }
}

/// A request about this user's account.
fn message(method: &str, user: &str, email: &str) -> Vec<u8> {
    let parent = user.to_owned();
    let name = user.to_owned();
    let missing = "0198c0de-0000-7000-8000-00000000000a";
    let task = format!("{user}/tasks/{missing}");
    let list = format!("{user}/taskLists/{missing}");
    let webhook = format!("{user}/webhooks/{missing}");
    let titled = || Some(pb::Task { title: "a task".into(), ..Default::default() });
    let changed = || Some(pb::Task { name: task.clone(), title: "a task".into(), ..Default::default() });
    match method {
        "CreateTask" => {
            pb::CreateTaskRequest { parent, task: titled(), ..Default::default() }.encode_to_vec()
        }
        "BatchCreateTasks" => {
            let item = pb::CreateTaskRequest { parent: parent.clone(), task: titled(), ..Default::default() };
            pb::BatchCreateTasksRequest { parent, requests: vec![item], ..Default::default() }.encode_to_vec()
        }
        "ImportTasks" => {
            let task = pb::Task { name: task, ..titled().unwrap() };
            let resource = Some(pb::import_tasks_request::item::Resource::Task(task));
            let items = vec![pb::import_tasks_request::Item { line: 1, resource }];
            pb::ImportTasksRequest { parent, items, ..Default::default() }.encode_to_vec()
        }
        "GetTask" => pb::GetTaskRequest { name: task, ..Default::default() }.encode_to_vec(),
        "BatchGetTasks" => {
            pb::BatchGetTasksRequest { parent, names: vec![task], ..Default::default() }.encode_to_vec()
        }
        "ListTasks" => pb::ListTasksRequest { parent, ..Default::default() }.encode_to_vec(),
        "GetCalendar" => pb::GetCalendarRequest { parent, ..Default::default() }.encode_to_vec(),
        "CountTasks" => pb::CountTasksRequest { parent, ..Default::default() }.encode_to_vec(),
        "ListTaskChanges" => pb::ListTaskChangesRequest { parent, ..Default::default() }.encode_to_vec(),
        "WatchTasks" => {
            pb::WatchTasksRequest { parent, initial_state: true, ..Default::default() }.encode_to_vec()
        }
        "UpdateTask" => pb::UpdateTaskRequest { task: changed(), ..Default::default() }.encode_to_vec(),
        "BatchUpdateTasks" => {
            let item = pb::UpdateTaskRequest { task: changed(), ..Default::default() };
            pb::BatchUpdateTasksRequest { parent, requests: vec![item], ..Default::default() }.encode_to_vec()
        }
        "DeleteTask" => pb::DeleteTaskRequest { name: task, ..Default::default() }.encode_to_vec(),
        "BatchDeleteTasks" => {
            let item = pb::DeleteTaskRequest { name: task, ..Default::default() };
            pb::BatchDeleteTasksRequest { parent, requests: vec![item], ..Default::default() }.encode_to_vec()
        }
        "UndeleteTask" | "MoveTask" | "SkipOccurrence" => {
            pb::UndeleteTaskRequest { name: task, ..Default::default() }.encode_to_vec()
        }
        "ListTaskRevisions" => {
            pb::ListTaskRevisionsRequest { name: task, ..Default::default() }.encode_to_vec()
        }
        "RollbackTask" => {
            pb::RollbackTaskRequest { name: task, revision: 1, ..Default::default() }.encode_to_vec()
        }
        "PreviewOccurrences" => {
            let recurrence = Some(pb::Recurrence { rrule: "FREQ=DAILY".into(), ..Default::default() });
            let due_time = Some(Default::default());
            let task = Some(pb::Task { due_time, recurrence, ..Default::default() });
            pb::PreviewOccurrencesRequest { parent, task, ..Default::default() }.encode_to_vec()
        }
        "CreateTaskList" => {
            let task_list = Some(pb::TaskList { title: "a list".into(), ..Default::default() });
            pb::CreateTaskListRequest { parent, task_list, ..Default::default() }.encode_to_vec()
        }
        "ListTaskLists" => pb::ListTaskListsRequest { parent, ..Default::default() }.encode_to_vec(),
        "UpdateTaskList" => {
            let task_list = Some(pb::TaskList { name: list, title: "a list".into(), ..Default::default() });
            pb::UpdateTaskListRequest { task_list, ..Default::default() }.encode_to_vec()
        }
        "GetTaskList" | "DeleteTaskList" | "UndeleteTaskList" | "MoveTaskList" => {
            pb::GetTaskListRequest { name: list }.encode_to_vec()
        }
        "UndoChanges" => {
            pb::UndoChangesRequest { parent, start_revision: 900, end_revision: 901, ..Default::default() }
                .encode_to_vec()
        }
        "CreateUser" => super::world::new_user(email, PASSWORD).encode_to_vec(),
        "Login" => super::world::credentials(email, "wrong password").encode_to_vec(),
        "RefreshSession" => {
            pb::RefreshSessionRequest { refresh_token: "twr_no".into(), ..Default::default() }.encode_to_vec()
        }
        "CompleteLogin" => {
            let proof = Some(pb::complete_login_request::Proof::Code("123456".into()));
            pb::CompleteLoginRequest { challenge: "twc_no".into(), proof }.encode_to_vec()
        }
        "RequestPasswordReset" | "SendVerification" => {
            pb::RequestPasswordResetRequest { email: email.to_owned() }.encode_to_vec()
        }
        "VerifyEmail" | "ConfirmEmailChange" => {
            pb::VerifyEmailRequest { token: "twm_no".into() }.encode_to_vec()
        }
        "RequestEmailChange" => {
            pb::RequestEmailChangeRequest { name, new_email: "new@example.org".into() }.encode_to_vec()
        }
        "ResetPassword" => {
            pb::ResetPasswordRequest { token: "twm_no".into(), new_password: PASSWORD.into() }.encode_to_vec()
        }
        "ConfirmTotpEnrolment" => {
            pb::ConfirmTotpEnrolmentRequest { name, code: "123456".into() }.encode_to_vec()
        }
        "BeginTotpEnrolment" | "DisableTotp" | "RegenerateRecoveryCodes" => {
            pb::DisableTotpRequest { name }.encode_to_vec()
        }
        "CreateServiceAccount" => {
            let user = pb::User { email: email.to_owned(), ..Default::default() };
            pb::CreateServiceAccountRequest { user: Some(user) }.encode_to_vec()
        }
        "ExchangeToken" => {
            pb::ExchangeTokenRequest { subject_user: name, scopes: Vec::new() }.encode_to_vec()
        }
        "GetUser" | "DisableUser" | "EnableUser" | "ExportUserData" => {
            pb::GetUserRequest { name }.encode_to_vec()
        }
        "UpdateUser" => {
            let user = pb::User { name, display_name: "new".into(), ..Default::default() };
            pb::UpdateUserRequest { user: Some(user), update_mask: None }.encode_to_vec()
        }
        "DeleteUser" => pb::DeleteUserRequest { name, password: "wrong password".into() }.encode_to_vec(),
        "ChangePassword" => pb::ChangePasswordRequest {
            name,
            current_password: "wrong password".into(),
            new_password: "another good one".into(),
        }
        .encode_to_vec(),
        "RevokeSession" => {
            pb::RevokeSessionRequest { name: format!("{user}/sessions/{missing}") }.encode_to_vec()
        }
        "ListSessions" | "RevokeAllSessions" | "ListApiKeys" | "ListAuditEvents" => {
            pb::ListSessionsRequest { parent }.encode_to_vec()
        }
        "CreateApiKey" => pb::CreateApiKeyRequest { parent, ..new_key(&["tasks.read"]) }.encode_to_vec(),
        "RevokeApiKey" => {
            pb::RevokeApiKeyRequest { name: format!("{user}/apiKeys/{missing}") }.encode_to_vec()
        }
        "CreateWebhook" => {
            let event_types = vec!["task.created".to_owned()];
            let url = "http://127.0.0.1:9/".to_owned();
            let webhook = Some(pb::Webhook { url, event_types, ..Default::default() });
            pb::CreateWebhookRequest { parent, webhook }.encode_to_vec()
        }
        "ListWebhooks" => pb::ListWebhooksRequest { parent }.encode_to_vec(),
        "UpdateWebhook" => {
            let webhook = Some(pb::Webhook { name: webhook, state: 2, ..Default::default() });
            pb::UpdateWebhookRequest { webhook, ..Default::default() }.encode_to_vec()
        }
        "GetWebhook"
        | "DeleteWebhook"
        | "RotateWebhookSecret"
        | "TestWebhook"
        | "ReplayWebhook"
        | "ListWebhookQueues" => pb::GetWebhookRequest { name: webhook }.encode_to_vec(),
        _ => Vec::new(),
    }
}

/// Every method of ours: its path and its name.
fn methods() -> Vec<(String, String)> {
    let set = FileDescriptorSet::decode(pb::DESCRIPTOR_SET).unwrap();
    let files = set.file.iter().filter(|file| file.package() == "taskwire.v1");
    files
        .flat_map(|file| &file.service)
        .flat_map(|service| {
            service.method.iter().map(move |method| {
                let path = format!("/taskwire.v1.{}/{}", service.name(), method.name());
                (path, method.name().to_owned())
            })
        })
        .collect()
}

#[test]
fn the_policy_names_every_method_and_no_other() {
    let described: Vec<String> = methods().into_iter().map(|(path, _)| path).collect();
    let policy = METHODS.iter().map(|method| method.path).filter(|path| path.starts_with("/taskwire."));
    let policy: BTreeMap<&str, ()> = policy.map(|path| (path, ())).collect();
    for path in &described {
        assert!(policy.contains_key(path.as_str()), "{path} is not in the policy table");
    }
    assert_eq!(policy.len(), described.len());
    for (path, name) in methods() {
        assert!(row(&name).is_some(), "{path} has no row in this test");
    }
}

async fn every_rpc_for_every_principal(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let other = replica.register("other@example.org").await;
    let root = replica.register_admin("root@example.org").await;
    let (_, impersonating) =
        replica.service(&root.access_token, "service@example.org", &["users.impersonate"]).await;
    let mut number = 0;
    let mut wrong = Vec::new();
    for (path, name) in methods() {
        let expected = row(&name).expect("a row");
        // The owner of a call that was turned away is as before, and good for the next one.
        let mut untouched = None;
        for (principal, expected) in PRINCIPALS.into_iter().zip(expected) {
            number += 1;
            let (email, owner) = match untouched.take() {
                Some(before) => before,
                None => {
                    let email = format!("owner{number}@example.org");
                    let owner = replica.register(&email).await;
                    (email, owner)
                }
            };
            let user = owner.user.clone().unwrap().name;
            let token = match principal {
                "nobody" => String::new(),
                "owner" => owner.access_token.clone(),
                "other" if name == "Logout" => {
                    replica.log_in("other@example.org", PASSWORD).await.unwrap().access_token
                }
                "other" => other.access_token.clone(),
                "admin" => replica.register_admin(&format!("admin{number}@example.org")).await.access_token,
                "reading key" => replica.api_key(&owner.access_token, &["tasks.read"]).await.secret,
                "writing key" => replica.api_key(&owner.access_token, &["tasks.write"]).await.secret,
                "calendar key" => replica.api_key(&owner.access_token, &["calendar.read"]).await.secret,
                "expired" => expired(&world, &user),
                "service in the owner's place" => {
                    replica.exchange(&impersonating, &user, &[]).await.unwrap().access_token
                }
                _ => shut_out(&replica, principal, &owner, number).await,
            };
            // The email of a deleted user is free, so there the account of somebody else is in the way.
            let taken = if principal == "deleted" { "other@example.org" } else { &email };
            let found = call(&replica, &path, &token, message(&name, &user, taken)).await;
            if TURNED_AWAY.contains(&found.as_str()) {
                untouched = Some((email, owner));
            }
            if found != expected {
                wrong.push(format!("{name} by {principal}: {found}, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A token of this user from long ago.
fn expired(world: &World, user: &str) -> String {
    let long_ago = Timestamp::from_micros(world.clock.now().as_micros() - 3_600_000_000).unwrap();
    let (clock, _) = Clock::manual(long_ago);
    let user = UserId::parse(user.strip_prefix("users/").unwrap()).unwrap();
    let tokens = Tokens::with_ring(world.ring(), token_config(), clock);
    tokens.issue(user, SessionId::generate(), Role::User, long_ago).unwrap()
}

async fn shut_out(replica: &Replica, how: &str, owner: &pb::TokenPair, number: usize) -> String {
    let root = replica.register_admin(&format!("roots{number}@example.org")).await;
    let name = owner.user.clone().unwrap().name;
    let mut admins = replica.users(&root.access_token);
    if how == "disabled" {
        admins.disable_user(pb::DisableUserRequest { name }).await.unwrap();
    } else {
        admins.delete_user(pb::DeleteUserRequest { name, ..Default::default() }).await.unwrap();
    }
    owner.access_token.clone()
}

/// Calls a method by its path; answers `OK` or the reason.
async fn call(replica: &Replica, path: &str, token: &str, message: Vec<u8>) -> String {
    let channel = tonic::service::interceptor::InterceptedService::new(
        replica.channel(),
        if token.is_empty() { Default::default() } else { bearer(token) },
    );
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let path = path.parse().unwrap();
    let answered = tokio::time::timeout(Duration::from_secs(30), async {
        let stream = grpc.server_streaming(Request::new(message), path, Raw).await?;
        stream.into_inner().message().await
    });
    match answered.await.expect("an answer") {
        Ok(_) => "OK".to_owned(),
        Err(status) => Refusal::from(status).reason,
    }
}

/// Messages as they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut item = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut item);
        Ok(Some(item))
    }
}
