//! Accounts of services: who makes them, what their keys reach, and how far one gets in a user's place.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use taskwire::pb;
use taskwire::pb::audit_event::Type;
use tonic_types::StatusExt as _;

use super::world::{PASSWORD, Replica, World, answer, new_key};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::Refused as _;

both_engines!(
    a_service_has_keys_and_no_login,
    only_an_admin_makes_keys_for_services,
    some_scopes_are_for_services_alone,
    a_service_acts_for_a_user_and_is_named,
    a_service_in_a_users_place_reaches_tasks_alone,
    an_exchanged_token_ends_with_whatever_it_rests_on,
    an_exchanged_token_lasts_five_minutes,
    a_stream_in_a_users_place_ends_with_its_token,
    nobody_in_particular_is_exchanged,
    tokens_that_say_more_than_one_thing_are_refused,
);

const IMPERSONATE: &[&str] = &["users.impersonate"];

fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

fn id(name: &str) -> &str {
    name.strip_prefix("users/").unwrap()
}

fn name(pair: &pb::TokenPair) -> String {
    pair.user.clone().unwrap().name
}

async fn a_service_has_keys_and_no_login(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let root = replica.register_admin("root@example.org").await;
    let ada = replica.register("ada@example.org").await;
    let user = |email: &str| {
        let user = pb::User { email: email.into(), display_name: "reports".into(), ..Default::default() };
        pb::CreateServiceAccountRequest { user: Some(user) }
    };
    let mut admins = replica.users(&root.access_token);
    answer(replica.users(&ada.access_token).create_service_account(user("x@example.org")).await)
        .refused("ADMIN_REQUIRED");
    answer(admins.create_service_account(user("ada@example.org")).await).refused("USER_ALREADY_EXISTS");
    answer(admins.create_service_account(user("no email")).await)
        .refused_at("FIELD_INVALID", &["user.email"]);
    let none = pb::CreateServiceAccountRequest { user: None };
    answer(admins.create_service_account(none).await).refused_at("FIELD_INVALID", &["user"]);
    let service = answer(admins.create_service_account(user("reports@example.org")).await).unwrap();
    assert_eq!((service.kind(), service.role()), (pb::user::Kind::Service, pb::Role::User));
    for password in ["", PASSWORD] {
        replica.log_in("reports@example.org", password).await.refused("CREDENTIALS_INVALID");
    }
    // It is listed, and its key reaches its own tasks as any other does.
    let listed = answer(admins.list_users(pb::ListUsersRequest::default()).await).unwrap().users;
    assert!(listed.contains(&service) && listed.len() == 3);
    let request = pb::CreateApiKeyRequest { parent: service.name.clone(), ..new_key(&["tasks.write"]) };
    let key = answer(admins.create_api_key(request).await).unwrap().secret;
    assert_eq!(replica.read_tasks(&key).await.unwrap().tasks.len(), 0);
    replica.probe(&key).await.refused("SCOPE_INSUFFICIENT");
    let events = pb::ListAuditEventsRequest { parent: service.name.clone(), ..Default::default() };
    let events = answer(admins.list_audit_events(events).await).unwrap().audit_events;
    let told: Vec<Type> = events.iter().rev().map(pb::AuditEvent::r#type).take(2).collect();
    assert_eq!(told[0], Type::ServiceAccountCreated);
    assert!(events.iter().any(|event| event.r#type() == Type::ApiKeyCreated && event.actor == name(&root)));
    // Disabled and deleted as others are.
    let request = pb::DisableUserRequest { name: service.name.clone() };
    answer(admins.disable_user(request).await).unwrap();
    replica.read_tasks(&key).await.refused("API_KEY_INVALID");
    let request = pb::DeleteUserRequest { name: service.name, ..Default::default() };
    answer(admins.delete_user(request).await).unwrap();
}

async fn only_an_admin_makes_keys_for_services(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let root = replica.register_admin("root@example.org").await;
    let ada = replica.register("ada@example.org").await;
    let (service, key) = replica.service(&root.access_token, "s@example.org", &["tasks.read"]).await;
    let create = |parent: &str| pb::CreateApiKeyRequest { parent: parent.into(), ..new_key(&["tasks.read"]) };
    let list = |parent: &str| pb::ListApiKeysRequest { parent: parent.into() };
    let (mut users, mut admins) = (replica.users(&ada.access_token), replica.users(&root.access_token));
    answer(users.create_api_key(create(&service)).await).refused("PARENT_ACCESS_DENIED");
    answer(users.list_api_keys(list(&service)).await).refused("PARENT_ACCESS_DENIED");
    answer(admins.create_api_key(create(&name(&ada))).await).refused("PARENT_ACCESS_DENIED");
    answer(admins.list_api_keys(list(&name(&ada))).await).refused("PARENT_ACCESS_DENIED");
    let nobody = "users/0198c0de-0000-7000-8000-00000000000a";
    answer(admins.create_api_key(create(nobody)).await).refused("USER_NOT_FOUND");
    // Not by a key of its own either.
    answer(replica.users(&key).create_api_key(create("users/me")).await).refused("SCOPE_INSUFFICIENT");
    let listed = answer(admins.list_api_keys(list(&service)).await).unwrap().api_keys;
    let request = || pb::RevokeApiKeyRequest { name: listed[0].name.clone() };
    answer(users.revoke_api_key(request()).await).refused("PARENT_ACCESS_DENIED");
    replica.read_tasks(&key).await.unwrap();
    answer(admins.revoke_api_key(request()).await).unwrap();
    replica.read_tasks(&key).await.refused("API_KEY_INVALID");
}

async fn some_scopes_are_for_services_alone(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let root = replica.register_admin("root@example.org").await;
    let ada = replica.register("ada@example.org").await;
    for token in [&ada.access_token, &root.access_token] {
        for reserved in ["events.read", "users.impersonate"] {
            let request = new_key(&["tasks.read", reserved]);
            answer(replica.users(token).create_api_key(request).await)
                .refused_at("FIELD_INVALID", &["api_key.scopes"]);
        }
    }
    let webhooks = replica.api_key(&ada.access_token, &["webhooks.manage"]).await.secret;
    replica.read_tasks(&webhooks).await.refused("SCOPE_INSUFFICIENT");
    let all = ["users.impersonate", "events.read", "tasks.write", "webhooks.manage", "tasks.read"];
    let (service, _) = replica.service(&root.access_token, "s@example.org", &all).await;
    let request = pb::ListApiKeysRequest { parent: service };
    let listed = answer(replica.users(&root.access_token).list_api_keys(request).await).unwrap().api_keys;
    let told = ["tasks.read", "tasks.write", "events.read", "webhooks.manage", "users.impersonate"];
    assert_eq!(listed[0].scopes, told);
}

async fn a_service_acts_for_a_user_and_is_named(database: TestDatabase) {
    let world = World::new(database);
    let (here, there) = (world.replica().await, world.replica().await);
    let root = here.register_admin("root@example.org").await;
    let ada = here.register("ada@example.org").await;
    let (service, key) = here.service(&root.access_token, "s@example.org", IMPERSONATE).await;
    let exchanged = here.exchange(&key, &name(&ada), &[]).await.unwrap();
    assert_eq!((exchanged.token_type.as_str(), exchanged.expires_in.unwrap().seconds), ("Bearer", 300));
    assert_eq!(exchanged.scopes, ["tasks.write"]);
    let claims = claims(&exchanged.access_token);
    assert_eq!((&claims["sub"], &claims["act"]["sub"]), (&json!(id(&name(&ada))), &json!(id(&service))));
    assert!(claims["sid"].is_null() && claims["role"] == "user" && claims["scope"] == "tasks.write");
    let task = pb::Task { title: "by a service".into(), ..Default::default() };
    let request = pb::CreateTaskRequest { parent: "users/me".into(), task: Some(task), ..Default::default() };
    let made = answer(there.tasks(&exchanged.access_token).create_task(request).await).unwrap();
    assert!(made.name.starts_with(&name(&ada)));
    assert_eq!(here.read_tasks(&ada.access_token).await.unwrap().tasks, [made]);
    // Whose account it is sees who it was.
    let request = pb::ListAuditEventsRequest { parent: "users/me".into(), ..Default::default() };
    let events = answer(here.users(&ada.access_token).list_audit_events(request).await).unwrap();
    let event = &events.audit_events[0];
    assert_eq!((event.r#type(), &event.actor), (Type::TokenExchanged, &service));
    assert!(!event.peer.is_empty() && !event.request_id.is_empty());
}

async fn a_service_in_a_users_place_reaches_tasks_alone(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let root = replica.register_admin("root@example.org").await;
    let ada = replica.register("ada@example.org").await;
    let (_, key) = replica.service(&root.access_token, "s@example.org", IMPERSONATE).await;
    let reading = replica.exchange(&key, &name(&ada), &["tasks.read"]).await.unwrap().access_token;
    replica.read_tasks(&reading).await.unwrap();
    let task = Some(pb::Task { title: "no".into(), ..Default::default() });
    let request = pb::CreateTaskRequest { parent: "users/me".into(), task, ..Default::default() };
    answer(replica.tasks(&reading).create_task(request).await).refused("SCOPE_INSUFFICIENT");
    // An admin's place gives none of an admin's power.
    let of_root = replica.exchange(&key, &name(&root), &[]).await.unwrap().access_token;
    let mut users = replica.users(&of_root);
    answer(users.list_users(pb::ListUsersRequest::default()).await).refused("SCOPE_INSUFFICIENT");
    answer(users.create_api_key(new_key(&["tasks.read"])).await).refused("SCOPE_INSUFFICIENT");
    answer(users.get_user(pb::GetUserRequest { name: name(&ada) }).await).refused("SCOPE_INSUFFICIENT");
    replica.exchange(&of_root, &name(&ada), &[]).await.refused("SCOPE_INSUFFICIENT");
    // Nor does it open a registration that is closed, or read anybody else's tasks.
    let request = pb::ListTasksRequest { parent: name(&ada), ..Default::default() };
    answer(replica.tasks(&of_root).list_tasks(request).await).refused("PARENT_ACCESS_DENIED");
    // Who may not.
    for token in [&ada.access_token, &root.access_token] {
        replica.exchange(token, &name(&ada), &[]).await.refused("SCOPE_INSUFFICIENT");
    }
    let (_, other) = replica.service(&root.access_token, "t@example.org", &["tasks.write"]).await;
    replica.exchange(&other, &name(&ada), &[]).await.refused("SCOPE_INSUFFICIENT");
}

/// Does something on one replica and waits until the other has learned of it.
async fn learned<T>(other: &Replica, doing: impl Future<Output = T>) -> T {
    let mut changes = other.authenticator.revocations().subscribe();
    let done = doing.await;
    tokio::time::timeout(Duration::from_secs(5), changes.changed()).await.expect("five seconds").unwrap();
    done
}

async fn an_exchanged_token_ends_with_whatever_it_rests_on(database: TestDatabase) {
    let world = World::new(database);
    let (here, there) = (world.replica().await, world.replica().await);
    let root = here.register_admin("root@example.org").await;
    for (number, what) in
        ["disable service", "delete service", "revoke key", "disable user"].iter().enumerate()
    {
        let ada = here.register(&format!("ada{number}@example.org")).await;
        let email = format!("s{number}@example.org");
        let (service, key) = here.service(&root.access_token, &email, IMPERSONATE).await;
        let token = there.exchange(&key, &name(&ada), &[]).await.unwrap().access_token;
        there.read_tasks(&token).await.unwrap();
        let mut admins = here.users(&root.access_token);
        learned(&there, async {
            match *what {
                "disable service" => {
                    let request = pb::DisableUserRequest { name: service };
                    answer(admins.disable_user(request).await).map(drop)
                }
                "delete service" => {
                    let request = pb::DeleteUserRequest { name: service, ..Default::default() };
                    answer(admins.delete_user(request).await).map(drop)
                }
                "revoke key" => {
                    let request = pb::ListApiKeysRequest { parent: service };
                    let listed = answer(admins.list_api_keys(request).await).unwrap().api_keys;
                    let request = pb::RevokeApiKeyRequest { name: listed[0].name.clone() };
                    answer(admins.revoke_api_key(request).await).map(drop)
                }
                _ => {
                    let request = pb::DisableUserRequest { name: name(&ada) };
                    answer(admins.disable_user(request).await).map(drop)
                }
            }
            .unwrap();
        })
        .await;
        for replica in [&here, &there] {
            replica.read_tasks(&token).await.refused("SESSION_REVOKED");
            let reason = if *what == "disable user" { "USER_DISABLED" } else { "API_KEY_INVALID" };
            replica.exchange(&key, &name(&ada), &[]).await.refused(reason);
        }
    }
}

async fn an_exchanged_token_lasts_five_minutes(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let root = replica.register_admin("root@example.org").await;
    let ada = replica.register("ada@example.org").await;
    let (_, key) = replica.service(&root.access_token, "s@example.org", IMPERSONATE).await;
    let token = replica.exchange(&key, &name(&ada), &[]).await.unwrap().access_token;
    world.hand.advance(Duration::from_secs(299));
    replica.read_tasks(&token).await.unwrap();
    world.hand.advance(Duration::from_secs(6));
    replica.read_tasks(&token).await.refused("TOKEN_EXPIRED");
    // It is no session that could be gone on with.
    replica.refresh(&token, "").await.refused("REFRESH_TOKEN_INVALID");
}

async fn a_stream_in_a_users_place_ends_with_its_token(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let root = replica.register_admin("root@example.org").await;
    let ada = replica.register("ada@example.org").await;
    let (_, key) = replica.service(&root.access_token, "s@example.org", IMPERSONATE).await;
    let token = replica.exchange(&key, &name(&ada), &["tasks.read"]).await.unwrap().access_token;
    let watch =
        || pb::WatchTasksRequest { parent: "users/me".into(), initial_state: true, ..Default::default() };
    let mut of_service = replica.tasks(&token).watch_tasks(watch()).await.unwrap().into_inner();
    of_service.message().await.unwrap().unwrap();
    world.hand.advance(Duration::from_secs(305));
    let ended = async {
        loop {
            match of_service.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ended without a word"),
                Err(status) => break status.get_error_details().error_info().unwrap().reason.clone(),
            }
        }
    };
    let reason = tokio::time::timeout(Duration::from_secs(30), ended).await.expect("an end");
    assert_eq!(reason, "TOKEN_EXPIRED");
}

async fn nobody_in_particular_is_exchanged(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let root = replica.register_admin("root@example.org").await;
    let ada = name(&replica.register("ada@example.org").await);
    let (_, key) = replica.service(&root.access_token, "s@example.org", IMPERSONATE).await;
    let nobody = "users/0198c0de-0000-7000-8000-00000000000a";
    replica.exchange(&key, nobody, &[]).await.refused("USER_NOT_FOUND");
    for wrong in ["", "users/", "ada@example.org", "users/-"] {
        replica.exchange(&key, wrong, &[]).await.refused_at("FIELD_INVALID", &["subject_user"]);
    }
    for wrong in ["", "tasks", "users.impersonate", "events.read", "webhooks.manage"] {
        replica.exchange(&key, &ada, &["tasks.read", wrong]).await.refused_at("FIELD_INVALID", &["scopes"]);
    }
    assert_eq!(world.database.query_i64("select count(*) from audit_events where type = 22").await, 0);
}

/// Signed with the service's own key, so that nothing but what they say is wrong with them.
async fn tokens_that_say_more_than_one_thing_are_refused(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let root = replica.register_admin("root@example.org").await;
    let ada = replica.register("ada@example.org").await;
    let (_, key) = replica.service(&root.access_token, "s@example.org", IMPERSONATE).await;
    let good = replica.exchange(&key, &name(&ada), &[]).await.unwrap().access_token;
    let forged = |changes: Value| {
        let mut all = claims(&good);
        for (claim, value) in changes.as_object().unwrap() {
            if value.is_null() {
                all.as_object_mut().unwrap().remove(claim);
            } else {
                all[claim] = value.clone();
            }
        }
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some("at+jwt".into());
        header.kid = jsonwebtoken::decode_header(&good).unwrap().kid;
        let key = EncodingKey::from_ed_pem(world.key_file.as_bytes()).unwrap();
        encode(&header, &all, &key).unwrap()
    };
    replica.read_tasks(&forged(json!({"jti": "another"}))).await.unwrap();
    let session = claims(&ada.access_token)["sid"].clone();
    let act = claims(&good)["act"].clone();
    for changes in [
        json!({"role": "admin"}),
        json!({"sid": session}),
        json!({"act": null}),
        json!({"scope": null}),
        json!({"scope": ""}),
        json!({"scope": "users.impersonate"}),
        json!({"scope": "tasks.read everything"}),
        json!({"act": {"sub": act["sub"]}}),
        json!({"act": {"sub": "x", "api_key": act["api_key"]}}),
        json!({"act": {"sub": act["sub"], "api_key": "x"}}),
        json!({"act": "service"}),
    ] {
        replica.read_tasks(&forged(changes.clone())).await.refused("TOKEN_INVALID");
    }
    // What is more than tasks is not given, even where it is signed.
    let more = forged(json!({"scope": "tasks.read users.impersonate"}));
    replica.read_tasks(&more).await.unwrap();
    replica.exchange(&more, &name(&ada), &[]).await.refused("SCOPE_INSUFFICIENT");
}
