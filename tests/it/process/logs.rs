//! What the log says: one JSON object per line, and at no level anything that belongs to a user.

use taskwire::pb::{
    CreateTaskRequest, CreateUserRequest, GetTaskRequest, ListTasksRequest, LoginRequest, LogoutRequest,
    RefreshSessionRequest, Task, TokenPair,
};
use tonic::Code;

use super::{PASSWORD, authorised, log_in};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::process::{Sandbox, Service};

both_engines!(nothing_secret_is_logged_at_any_level);

async fn nothing_secret_is_logged_at_any_level(database: TestDatabase) {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(["keys", "generate", "--out", "key.pem"]).status, Some(0));
    let settings = ["--database-url", &database.url, "--signing-key-file", "key.pem", "--log", "trace"];
    let service = sandbox.serve(&settings);
    let mut secrets = vec![PASSWORD.to_owned(), "canary".to_owned(), "ada@example.com".to_owned()];
    secrets.extend(session(&service).await);
    let key = std::fs::read_to_string(sandbox.path("key.pem")).unwrap();
    secrets.push(key.lines().nth(1).unwrap().to_owned());
    // What a password hash begins with, and the tokens' own beginnings.
    secrets.extend(["$argon2".to_owned(), "twr_".to_owned(), "eyJ".to_owned()]);

    let ended = service.stop();
    assert_eq!(ended.status, Some(0));
    let mut calls = 0;
    for line in ended.stderr.lines() {
        let read: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        if read["message"] == "call" {
            assert_eq!(read["target"], "taskwire::server::access_log", "whoever filters by it relies on it");
        }
        calls += usize::from(read["message"] == "call" && read["method"] != "/grpc.health.v1.Health/Check");
        for secret in &secrets {
            assert!(!line.contains(secret.as_str()), "{secret} stands in {line}");
        }
    }
    assert!(calls >= 12, "{calls} calls were logged");
    assert!(ended.stderr.contains(r#""level":"TRACE""#) || ended.stderr.contains(r#""level":"DEBUG""#));
    assert!(ended.stderr.contains("sane-id-1"), "the id of a request is not logged");
}

/// A session with everything in it that is worth stealing; answers its tokens.
async fn session(service: &Service) -> Vec<String> {
    let first = log_in(service).await;
    let mut users = service.users().await;
    let mut tasks = service.tasks().await;
    let mut tokens = secrets_of(&first);

    let refresh = RefreshSessionRequest { refresh_token: first.refresh_token.clone(), ..Default::default() };
    let second = users.refresh_session(refresh.clone()).await.unwrap().into_inner();
    tokens.extend(secrets_of(&second));
    // Within the grace, so it works again.
    tokens.extend(secrets_of(&users.refresh_session(refresh).await.unwrap().into_inner()));

    let task = Task {
        title: "canary title".into(),
        description: Some("canary description".into()),
        labels: vec!["canary label".into()],
        ..Task::default()
    };
    let create =
        CreateTaskRequest { parent: "users/me".into(), task: Some(task), ..CreateTaskRequest::default() };
    let mut create = authorised(create, &second);
    create.metadata_mut().insert("x-request-id", "sane-id-1".parse().unwrap());
    let made = tasks.create_task(create).await.unwrap().into_inner();
    tasks
        .get_task(authorised(GetTaskRequest { name: made.name, ..Default::default() }, &second))
        .await
        .unwrap();
    let list = ListTasksRequest {
        parent: "users/me".into(),
        filter: "title:\"canary\"".into(),
        ..Default::default()
    };
    tasks.list_tasks(authorised(list, &second)).await.unwrap();
    mistakes(service, &second).await;

    users.logout(authorised(LogoutRequest::default(), &second)).await.unwrap();
    tokens
}

/// Calls that fail, as what goes wrong is what gets logged.
async fn mistakes(service: &Service, pair: &TokenPair) {
    let mut users = service.users().await;
    let mut tasks = service.tasks().await;
    let login = LoginRequest {
        email: "ada@example.com".into(),
        password: "canary-wrong".into(),
        device: "canary".into(),
    };
    assert_eq!(users.login(login).await.unwrap_err().code(), Code::Unauthenticated);
    let refresh = RefreshSessionRequest { refresh_token: "twr_canary".into(), ..Default::default() };
    assert_eq!(users.refresh_session(refresh).await.unwrap_err().code(), Code::Unauthenticated);
    let user = pair.user.clone();
    let again = CreateUserRequest { user, password: "canary-again".into(), ..CreateUserRequest::default() };
    assert_eq!(users.create_user(again).await.unwrap_err().code(), Code::AlreadyExists);
    let get = GetTaskRequest { name: "users/me/tasks/canary".into(), ..Default::default() };
    assert_eq!(tasks.get_task(authorised(get, pair)).await.unwrap_err().code(), Code::InvalidArgument);
    let mut forged = pair.clone();
    forged.access_token.push('x');
    let list = ListTasksRequest { parent: "users/me".into(), ..Default::default() };
    assert_eq!(tasks.list_tasks(authorised(list, &forged)).await.unwrap_err().code(), Code::Unauthenticated);
    // Not sane, and so not repeated anywhere.
    let list = ListTasksRequest { parent: "users/me".into(), ..Default::default() };
    let mut list = authorised(list, pair);
    list.metadata_mut().insert("x-request-id", "canary \" {} %s".parse().unwrap());
    tasks.list_tasks(list).await.unwrap();
}

/// Both tokens, and the part of the JWT that proves it.
fn secrets_of(pair: &TokenPair) -> Vec<String> {
    let signature = pair.access_token.rsplit('.').next().unwrap();
    vec![pair.access_token.clone(), signature.to_owned(), pair.refresh_token.clone()]
}
