//! Planted secrets: in every field of every RPC, in metadata, files, settings and commands; none may come out again in a
//! log line, an error or what a command says.

use std::collections::BTreeSet;
use std::fmt::Debug;

use jsonwebtoken::{EncodingKey, Header, encode};
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_types::DescriptorProto;
use prost_types::field_descriptor_proto::Type;
use taskwire::pb;
use tonic::metadata::{BinaryMetadataValue, MetadataMap};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_types::StatusExt as _;

use crate::accounts::matrix::Raw;
use crate::support::database::{Engine, TestDatabase};
use crate::support::process::{Ended, Sandbox, Service};
use crate::support::spool::{SETTINGS, Spool};
use crate::support::{both_engines, totp_now};
use crate::surface::descriptors;

both_engines!(no_planted_secret_comes_out_anywhere);

/// What was planted, and what was heard of it.
#[derive(Default)]
struct Planted {
    /// Each holds the word `canary`, or is one that the service made itself.
    secrets: BTreeSet<String>,
    heard: Vec<(String, String)>,
    kinds: BTreeSet<String>,
}

impl Planted {
    /// A new secret of this kind.
    fn plant(&mut self, kind: &str) -> String {
        self.kinds.insert(kind.to_owned());
        let secret = format!("canary-{:04}-{}", self.secrets.len(), kind.replace([' ', '.', '_'], "-"));
        assert!(self.secrets.insert(secret.clone()));
        secret
    }

    /// A secret that somebody else made.
    fn note(&mut self, kind: &str, secret: &str) {
        assert!(secret.len() > 15, "{kind}: {secret}");
        self.kinds.insert(kind.to_owned());
        self.secrets.insert(secret.to_owned());
    }

    fn pair(&mut self, pair: &pb::TokenPair) {
        self.note("access token", &pair.access_token);
        self.note("signature of an access token", pair.access_token.rsplit('.').next().unwrap());
        self.note("refresh token", &pair.refresh_token);
    }

    /// What a call answered; an error is kept as its reader would log it.
    fn answered<T: Debug>(&mut self, what: &str, answer: Result<Response<T>, Status>) -> Option<T> {
        match answer {
            Ok(response) => Some(response.into_inner()),
            Err(status) => {
                self.heard.push((format!("the error of {what}"), format!("{status:?} {status}")));
                None
            }
        }
    }

    fn command(&mut self, what: &str, ended: Ended, status: i32) {
        assert_eq!(ended.status, Some(status), "{what}: {}", ended.stderr);
        self.heard.push((format!("the output of {what}"), ended.stdout + &ended.stderr));
    }

    fn assert_kept(&self) {
        for (place, text) in &self.heard {
            assert!(!text.contains("canary"), "{place}: {text}");
            for secret in &self.secrets {
                assert!(!text.contains(secret.as_str()), "{place} holds {secret}: {text}");
            }
        }
    }
}

/// A message of this type with a secret of its own in every text.
fn filled(planted: &mut Planted, message: &DescriptorProto, path: &str, depth: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in &message.field {
        let tag = u32::try_from(field.number()).unwrap();
        let path = format!("{path}.{}", field.name());
        match field.r#type() {
            Type::String => prost::encoding::string::encode(tag, &planted.plant(&path), &mut bytes),
            Type::Message if depth < 3 => {
                let Some(inner) = described(field.type_name()) else { continue };
                let inner = filled(planted, &inner, &path, depth + 1);
                encode_key(tag, WireType::LengthDelimited, &mut bytes);
                encode_varint(inner.len() as u64, &mut bytes);
                bytes.extend(inner);
            }
            _ => {}
        }
    }
    bytes
}

/// The message with this full name, as in `.taskwire.v1.Task`.
fn described(name: &str) -> Option<DescriptorProto> {
    descriptors::all().into_iter().find_map(|file| {
        let name = name.strip_prefix(&format!(".{}.", file.package()))?;
        file.message_type.into_iter().find(|message| message.name() == name)
    })
}

/// A request with this token, and secrets in metadata that means nothing here.
fn bearing<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let metadata: &mut MetadataMap = request.metadata_mut();
    if !token.is_empty() {
        metadata.insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    metadata.insert("cookie", "session=canary-cookie".parse().unwrap());
    metadata.insert("x-api-key", "canary-x-api-key".parse().unwrap());
    metadata.insert("x-forwarded-for", "canary-address".parse().unwrap());
    metadata.insert("x-request-id", "canary id \" %s".parse().unwrap());
    metadata.insert_bin("x-secret-bin", BinaryMetadataValue::from_bytes(b"canary-binary"));
    request
}

/// Every method, with every text of its request a secret, under each of these tokens.
async fn fill_every_method(planted: &mut Planted, channel: &Channel, tokens: &[&str]) -> usize {
    let mut methods = 0;
    for file in descriptors::ours() {
        for (service, method) in file.service.iter().flat_map(|one| one.method.iter().map(move |m| (one, m)))
        {
            let path = format!("/taskwire.v1.{}/{}", service.name(), method.name());
            for token in tokens {
                // It would end the session that the others need.
                if method.name() == "Logout" && !token.is_empty() {
                    continue;
                }
                let message = filled(planted, &described(method.input_type()).unwrap(), method.name(), 0);
                let mut grpc = tonic::client::Grpc::new(channel.clone());
                grpc.ready().await.unwrap();
                let stream = grpc.server_streaming(bearing(message, token), path.parse().unwrap(), Raw).await;
                let answer = match stream {
                    Ok(stream) => stream.into_inner().message().await.map(Response::new),
                    Err(status) => Err(status),
                };
                planted.answered(&path, answer);
            }
            methods += 1;
        }
    }
    methods
}

/// An account with everything that is secret about it; answers a session and a key that are still good.
async fn live(planted: &mut Planted, service: &Service, gateway: &str) -> (String, String) {
    let mut users = service.users().await;
    let email = format!("{}@example.com", planted.plant("email"));
    let password = planted.plant("password");
    let user =
        pb::User { email: email.clone(), display_name: planted.plant("display name"), ..Default::default() };
    let create = pb::CreateUserRequest {
        user: Some(user),
        password: password.clone(),
        request_id: uuid::Uuid::now_v7().to_string(),
    };
    planted.answered("CreateUser", users.create_user(create.clone()).await).unwrap();
    planted.answered("CreateUser again", users.create_user(create.clone()).await).unwrap();
    for (what, wrong) in
        [("password of a replay", 0), ("password of a taken email", 1), ("long password", 200)]
    {
        let request_id = if wrong == 0 { create.request_id.clone() } else { String::new() };
        let password = planted.plant(what) + &"x".repeat(wrong);
        let again = pb::CreateUserRequest { password, request_id, ..create.clone() };
        assert!(planted.answered(what, users.create_user(again).await).is_none());
    }
    let login =
        |password: String, device: String| pb::LoginRequest { email: email.clone(), password, device };
    let wrong = login(planted.plant("wrong password"), planted.plant("device"));
    assert!(planted.answered("Login", users.login(wrong).await).is_none());
    let nobody = pb::LoginRequest {
        email: format!("{}@example.com", planted.plant("unknown email")),
        password: planted.plant("password of nobody"),
        device: String::new(),
    };
    assert!(planted.answered("Login", users.login(nobody).await).is_none());
    let pair = planted.answered("Login", users.login(login(password.clone(), String::new())).await).unwrap();
    planted.pair(&pair);
    let refresh =
        pb::RefreshSessionRequest { refresh_token: pair.refresh_token.clone(), ..Default::default() };
    for _ in 0..2 {
        let next = planted.answered("RefreshSession", users.refresh_session(refresh.clone()).await).unwrap();
        planted.pair(&next);
    }
    let forged = pb::RefreshSessionRequest {
        refresh_token: format!("twr_{}", planted.plant("forged refresh token")),
        ..Default::default()
    };
    assert!(planted.answered("RefreshSession", users.refresh_session(forged).await).is_none());

    let new_password = planted.plant("new password");
    for current in [planted.plant("wrong current password"), password] {
        let change = pb::ChangePasswordRequest {
            name: "users/me".into(),
            current_password: current,
            new_password: new_password.clone(),
        };
        planted.answered("ChangePassword", users.change_password(bearing(change, &pair.access_token)).await);
    }
    let delete =
        pb::DeleteUserRequest { name: "users/me".into(), password: planted.plant("password to delete") };
    let refused = users.delete_user(bearing(delete, &pair.access_token)).await;
    assert!(planted.answered("DeleteUser", refused).is_none());
    let key = keys(planted, service, &pair.access_token).await;
    second_factor(planted, service, &pair.access_token, (&email, &new_password)).await;
    tokens_of_others(planted, service, &pair.access_token, gateway).await;
    (pair.access_token, key)
}

/// Sets up a second factor, and logs in with it and without.
async fn second_factor(planted: &mut Planted, service: &Service, token: &str, login: (&str, &str)) {
    let mut users = service.users().await;
    let name = || "users/me".to_owned();
    let begin = pb::BeginTotpEnrolmentRequest { name: name() };
    let begun = planted.answered("Begin", users.begin_totp_enrolment(bearing(begin, token)).await).unwrap();
    planted.note("secret of a second factor", &begun.secret);
    let code = totp_now(&begun.secret, 0);
    let confirm = pb::ConfirmTotpEnrolmentRequest { name: name(), code };
    let answer = users.confirm_totp_enrolment(bearing(confirm, token)).await;
    let codes = planted.answered("Confirm", answer).unwrap().recovery_codes;
    for code in &codes {
        planted.note("recovery code", code);
    }
    for code in [planted.plant("wrong recovery code"), codes[0].clone(), codes[0].clone()] {
        let (email, password) = (login.0.to_owned(), login.1.to_owned());
        let login = pb::LoginRequest { email, password, device: String::new() };
        // The error is how a caller gets it, and nobody else may.
        let refused = users.login(login).await.unwrap_err();
        let challenge = refused.get_error_details().error_info().unwrap().metadata["challenge"].clone();
        planted.note("challenge", &challenge);
        let proof = Some(pb::complete_login_request::Proof::RecoveryCode(code));
        let complete = pb::CompleteLoginRequest { challenge, proof };
        if let Some(pair) = planted.answered("CompleteLogin", users.complete_login(complete).await) {
            planted.pair(&pair);
        }
    }
}

/// Somebody else, who has tokens mailed and shows them, right and wrong.
async fn mails(planted: &mut Planted, service: &Service, spool: &Spool) {
    let mut users = service.users().await;
    // Addresses of their own, which the mails are found by.
    let (email, next) = ("mailed-canary@example.com".to_owned(), "next-canary@example.com".to_owned());
    let password = planted.plant("password of somebody mailed");
    let user = pb::User { email: email.clone(), ..Default::default() };
    let create = pb::CreateUserRequest { user: Some(user), password: password.clone(), ..Default::default() };
    planted.answered("CreateUser", users.create_user(create).await).unwrap();
    let first = spool.token(&email, "email_verification").await;
    let ask = pb::SendVerificationRequest { email: email.clone() };
    planted.answered("SendVerification", users.send_verification(ask).await).unwrap();
    let second = spool.token(&email, "email_verification").await;
    for token in [planted.plant("token out of no mail"), first, second] {
        planted.note("token that verifies", &token);
        planted.answered("VerifyEmail", users.verify_email(pb::VerifyEmailRequest { token }).await);
    }
    let login = pb::LoginRequest { email: email.clone(), password, device: String::new() };
    let pair = planted.answered("Login", users.login(login).await).unwrap();
    planted.pair(&pair);
    let change = pb::RequestEmailChangeRequest { name: "users/me".into(), new_email: next.clone() };
    let asked = users.request_email_change(bearing(change, &pair.access_token)).await;
    planted.answered("RequestEmailChange", asked).unwrap();
    let token = spool.token(&next, "email_change").await;
    planted.note("token for another address", &token);
    let confirm = pb::ConfirmEmailChangeRequest { token };
    planted.answered("ConfirmEmailChange", users.confirm_email_change(confirm).await).unwrap();
    let ask = pb::RequestPasswordResetRequest { email: next.clone() };
    planted.answered("RequestPasswordReset", users.request_password_reset(ask).await).unwrap();
    let token = spool.token(&next, "password_reset").await;
    planted.note("token for a password", &token);
    let new_password = planted.plant("password by mail");
    for new_password in [planted.plant("long password by mail") + &"x".repeat(200), new_password] {
        let reset = pb::ResetPasswordRequest { token: token.clone(), new_password };
        planted.answered("ResetPassword", users.reset_password(reset).await);
    }
    spool.next(&next, "Your password was changed").await;
}

/// Makes two API keys and revokes one; answers the other.
async fn keys(planted: &mut Planted, service: &Service, token: &str) -> String {
    let mut users = service.users().await;
    let mut tasks = service.tasks().await;
    let mut made = Vec::new();
    for scope in ["tasks.read", "tasks.write"] {
        let display_name = planted.plant("name of an API key");
        let api_key = pb::ApiKey { display_name, scopes: vec![scope.into()], ..Default::default() };
        let create = pb::CreateApiKeyRequest { parent: "users/me".into(), api_key: Some(api_key) };
        let answer = users.create_api_key(bearing(create, token)).await;
        let key = planted.answered("CreateApiKey", answer).unwrap();
        planted.note("API key", &key.secret);
        made.push((key.secret, key.api_key.unwrap().name));
    }
    let (revoked, name) = made.remove(0);
    let answer = users.revoke_api_key(bearing(pb::RevokeApiKeyRequest { name }, token)).await;
    planted.answered("RevokeApiKey", answer).unwrap();
    let forged = format!("twk_{}", planted.plant("forged API key"));
    for key in [&revoked, &forged] {
        let list = pb::ListTasksRequest { parent: "users/me".into(), ..Default::default() };
        assert!(planted.answered("ListTasks", tasks.list_tasks(bearing(list, key)).await).is_none());
    }
    made.remove(0).0
}

/// Tokens of another issuer, and tokens of nobody.
async fn tokens_of_others(planted: &mut Planted, service: &Service, own: &str, gateway: &str) {
    let mut tasks = service.tasks().await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    for (secret, lasts, good) in
        [(gateway, 300, true), (gateway, -300, false), ("another secret of nobody", 300, false)]
    {
        let claims = serde_json::json!({
            "iss": "gateway", "aud": "taskwire", "sub": planted.plant("subject"), "name": planted.plant("name claim"),
            "exp": now.saturating_add_signed(lasts), "iat": now, "email": "someone@example.com", "email_verified": false,
        });
        let token =
            encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap();
        planted.note("token of an issuer", &token);
        let list = pb::ListTasksRequest { parent: "users/me".into(), ..Default::default() };
        let answer = planted.answered("ListTasks", tasks.list_tasks(bearing(list, &token)).await);
        assert_eq!(answer.is_some(), good, "{lasts}");
    }
    let word = planted.plant("no token at all");
    for forged in [format!("{own}x"), format!("{word}.{word}.{word}"), word] {
        planted.note("forged token", &forged);
        let get = pb::GetTaskRequest { name: "users/me/tasks/x".into(), ..Default::default() };
        let status = tasks.get_task(bearing(get, &forged)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        planted.answered::<()>("GetTask", Err(status));
    }
}

/// Tasks, whose content is nobody's business, and the tokens of pages.
async fn work(planted: &mut Planted, service: &Service, token: &str) {
    let mut tasks = service.tasks().await;
    for _ in 0..3 {
        let task = pb::Task {
            title: planted.plant("title"),
            description: Some(planted.plant("description")),
            labels: vec![planted.plant("label")],
            ..Default::default()
        };
        let create =
            pb::CreateTaskRequest { parent: "users/me".into(), task: Some(task), ..Default::default() };
        planted.answered("CreateTask", tasks.create_task(bearing(create, token)).await).unwrap();
    }
    let mut list = pb::ListTasksRequest {
        parent: "users/me".into(),
        page_size: 1,
        filter: "title:\"canary\"".into(),
        ..Default::default()
    };
    let page = planted.answered("ListTasks", tasks.list_tasks(bearing(list.clone(), token)).await).unwrap();
    planted.note("page token", &page.next_page_token);
    list.page_token = page.next_page_token.clone();
    planted.answered("ListTasks", tasks.list_tasks(bearing(list.clone(), token)).await).unwrap();
    list.page_token.push('x');
    assert!(planted.answered("ListTasks", tasks.list_tasks(bearing(list, token)).await).is_none());
    let mut users = service.users().await;
    let events = pb::ListAuditEventsRequest { parent: "users/me".into(), page_size: 1, ..Default::default() };
    let page = planted.answered("ListAuditEvents", users.list_audit_events(bearing(events, token)).await);
    planted.note("page token", &page.unwrap().next_page_token);
}

/// The URL of the database with a password, where the engine knows one.
fn with_password(planted: &mut Planted, database: &TestDatabase) -> String {
    if database.engine == Engine::Sqlite {
        return database.url.clone();
    }
    let mut url = url::Url::parse(&database.url).unwrap();
    // The server of the tests asks for none, so any will do.
    url.set_password(Some(&planted.plant("database password"))).unwrap();
    url.into()
}

/// What the commands say, of right settings and of wrong ones.
fn commands(planted: &mut Planted, sandbox: &Sandbox, settings: &[&str]) {
    for command in [&["config", "check"][..], &["config", "print"], &["migrate", "status"], &["keys", "list"]]
    {
        let settings = if command[0] == "migrate" { &settings[..2] } else { settings };
        planted.command(&command.join(" "), sandbox.run(command.iter().chain(settings)), 0);
    }
    for (email, status) in [("root@example.com", 0), ("root@example.com", 1), ("no email", 64)] {
        let password = planted.plant("password on standard input");
        let create = [&["user", "create", "--admin", "--email", email], settings].concat();
        planted.command("user create", sandbox.run_with_input(&create, &format!("{password}\n")), status);
    }
    let wrong = format!(
        "postgres://taskwire:{}@127.0.0.1:1/x?sslmode=canary",
        planted.plant("password in a wrong URL")
    );
    planted.command("config check", sandbox.run(["config", "check", "--database-url", &wrong]), 64);
    let away = format!("postgres://taskwire:{}@127.0.0.1:1/x", planted.plant("password for nobody"));
    planted.command("migrate status", sandbox.run(["migrate", "status", "--database-url", &away]), 1);
    let file = sandbox.write("wrong.pem", &planted.plant("text that is no key"));
    planted.command("keys rotate", sandbox.run(["keys", "rotate", "--signing-key-file", &file]), 64);
}

async fn no_planted_secret_comes_out_anywhere(database: TestDatabase) {
    let sandbox = Sandbox::new();
    let mut planted = Planted::default();
    assert_eq!(sandbox.run(["keys", "generate", "--out", "key.pem"]).status, Some(0));
    let key = std::fs::read_to_string(sandbox.path("key.pem")).unwrap();
    planted.note("signing key", key.lines().find(|line| !line.starts_with(['#', '-'])).unwrap());
    let gateway = planted.plant("secret shared with a gateway");
    let issuers = serde_json::json!([{
        "issuer": "gateway", "audience": "taskwire", "create_users": true,
        "hs256_secret_file": sandbox.write("gateway", &gateway),
    }]);
    sandbox.write("issuers.json", &issuers.to_string());
    let url = with_password(&mut planted, &database);
    assert_eq!(sandbox.run(["keys", "generate-secrets-key", "--out", "secrets.key"]).status, Some(0));
    let seals = std::fs::read_to_string(sandbox.path("secrets.key")).unwrap();
    planted.note("key that seals secrets", seals.trim_end());
    let settings = [
        ["--database-url", &url],
        ["--signing-key-file", "key.pem"],
        ["--secrets-key-file", "secrets.key"],
        ["--trusted-issuers-file", "issuers.json"],
        ["--email-verification", "optional"],
    ]
    .concat();
    let settings = [&settings[..], &SETTINGS].concat();
    commands(&mut planted, &sandbox, &settings);

    let service = sandbox.serve(&[&settings[..], &["--log", "trace"]].concat());
    service.wait_until(ServingStatus::Serving).await;
    let (token, api_key) = live(&mut planted, &service, &gateway).await;
    work(&mut planted, &service, &token).await;
    mails(&mut planted, &service, &Spool::of(&sandbox)).await;
    let channel = service.connect().await;
    let methods = fill_every_method(&mut planted, &channel, &["", &token, &api_key]).await;
    let ended = service.stop();
    assert_eq!(ended.status, Some(0));
    assert!(ended.stderr.contains(r#""level":"TRACE""#) || ended.stderr.contains(r#""level":"DEBUG""#));
    let logged = |path: &str| ended.stderr.lines().any(|line| line.contains(&format!("{path:?}")));
    for path in descriptors::methods().keys().filter(|path| path.starts_with("/taskwire.")) {
        assert!(logged(path), "{path} was not called");
    }
    planted.heard.extend(ended.stderr.lines().map(|line| ("the log".to_owned(), line.to_owned())));
    // What a password hash and our own tokens begin with.
    for beginning in ["$argon2", "twr_", "twk_", "twc_", "twm_", "eyJ"] {
        planted.secrets.insert(beginning.to_owned());
    }
    println!("{} secrets of {} kinds, {methods} methods", planted.secrets.len(), planted.kinds.len());
    assert!(planted.secrets.len() >= 50 && planted.kinds.len() >= 50);
    planted.assert_kept();
}
