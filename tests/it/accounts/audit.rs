//! The audit trail: everything that should be in it is, with who, from where and in which call.

use std::time::Duration;

use taskwire::pb;
use taskwire::pb::audit_event::Type;

use super::world::{PASSWORD, Replica, Setup, World, answer, credentials};
use crate::support::both_engines;
use crate::support::database::{Engine, TestDatabase};
use crate::support::refusal::Refused as _;

both_engines!(
    every_action_is_recorded,
    the_trail_has_pages_and_an_end,
    what_has_ended_is_kept_for_its_time,
    thousands_that_have_ended_go_at_once,
);

async fn trail(replica: &Replica, token: &str, parent: &str) -> Vec<pb::AuditEvent> {
    let request = pb::ListAuditEventsRequest { parent: parent.into(), page_size: 500, ..Default::default() };
    answer(replica.users(token).list_audit_events(request).await).unwrap().audit_events
}

async fn every_action_is_recorded(database: TestDatabase) {
    let setup = Setup { proxies: vec!["127.0.0.0/8".parse().unwrap()], ..Default::default() };
    let world = World::with(database, setup);
    let replica = world.replica().await;
    let root = replica.register_admin("root@example.org").await;
    let ada = replica.register("ada@example.org").await;
    let name = ada.user.clone().unwrap().name;
    let mut users = replica.users(&ada.access_token);
    let change = pb::UpdateUserRequest {
        user: Some(pb::User { name: name.clone(), display_name: "Ada".into(), ..Default::default() }),
        update_mask: None,
    };
    users.update_user(change.clone()).await.unwrap();
    // An update that changes nothing is nothing.
    users.update_user(change).await.unwrap();
    let key = replica.api_key(&ada.access_token, &["tasks.read"]).await.api_key.unwrap().name;
    users.revoke_api_key(pb::RevokeApiKeyRequest { name: key.clone() }).await.unwrap();
    for _ in 0..6 {
        let wrong = credentials("ada@example.org", "wrong password");
        replica.at_address("192.0.2.1").login(wrong).await.unwrap_err();
    }
    let second = replica.log_in("ada@example.org", PASSWORD).await.unwrap();
    let session = second.session.clone().unwrap().name;
    users.revoke_session(pb::RevokeSessionRequest { name: session.clone() }).await.unwrap();
    let stolen = replica.log_in("ada@example.org", PASSWORD).await.unwrap();
    replica.refresh(&stolen.refresh_token, "").await.unwrap();
    world.hand.advance(Duration::from_secs(11));
    replica.refresh(&stolen.refresh_token, "").await.refused("REFRESH_TOKEN_REUSED");
    let password = pb::ChangePasswordRequest {
        name: name.clone(),
        current_password: PASSWORD.into(),
        new_password: "another good one".into(),
    };
    users.change_password(password).await.unwrap();
    users.logout(pb::LogoutRequest {}).await.unwrap();
    let mut admins = replica.users(&root.access_token);
    admins.revoke_all_sessions(pb::RevokeAllSessionsRequest { parent: name.clone() }).await.unwrap();
    admins.disable_user(pb::DisableUserRequest { name: name.clone() }).await.unwrap();
    admins.enable_user(pb::EnableUserRequest { name: name.clone() }).await.unwrap();
    admins.delete_user(pb::DeleteUserRequest { name: name.clone(), ..Default::default() }).await.unwrap();

    let mut events = trail(&replica, &root.access_token, &name).await;
    events.reverse();
    let kinds: Vec<Type> = events.iter().map(pb::AuditEvent::r#type).collect();
    let mut expected = vec![
        Type::UserCreated,
        Type::LoginSucceeded,
        Type::UserUpdated,
        Type::ApiKeyCreated,
        Type::ApiKeyRevoked,
    ];
    expected.extend([Type::LoginFailed; 6]);
    expected.extend([
        Type::LoginThrottled,
        Type::LoginSucceeded,
        Type::SessionRevoked,
        Type::LoginSucceeded,
        Type::RefreshTokenReused,
        Type::PasswordChanged,
        Type::SessionLoggedOut,
        Type::AllSessionsRevoked,
        Type::UserDisabled,
        Type::UserEnabled,
        Type::UserDeleted,
    ]);
    assert_eq!(kinds, expected);
    let root_name = root.user.unwrap().name;
    for event in &events {
        assert!(event.name.starts_with(&format!("{name}/auditEvents/")));
        assert!(!event.request_id.is_empty() && event.create_time.is_some(), "{event:?}");
        let actor = match event.r#type() {
            Type::UserCreated | Type::LoginFailed | Type::LoginThrottled | Type::RefreshTokenReused => "",
            Type::AllSessionsRevoked | Type::UserDisabled | Type::UserEnabled | Type::UserDeleted => {
                &root_name
            }
            _ => &name,
        };
        assert_eq!(event.actor, actor, "{event:?}");
        let from = match event.r#type() {
            Type::LoginFailed | Type::LoginThrottled => "192.0.2.1",
            _ => "127.0.0.1",
        };
        assert_eq!(event.peer, from, "{event:?}");
    }
    let target = |kind| &events.iter().find(|event| event.r#type() == kind).unwrap().target;
    assert_eq!(*target(Type::ApiKeyRevoked), key);
    assert_eq!(*target(Type::SessionRevoked), session);
    assert_eq!(*target(Type::RefreshTokenReused), stolen.session.unwrap().name);
}

async fn the_trail_has_pages_and_an_end(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let ada = replica.register("ada@example.org").await;
    for _ in 0..6 {
        replica.log_in("ada@example.org", PASSWORD).await.unwrap();
    }
    let mut users = replica.users(&ada.access_token);
    let mut request =
        pb::ListAuditEventsRequest { parent: "users/me".into(), page_size: 3, ..Default::default() };
    let mut seen = Vec::new();
    loop {
        let page = answer(users.list_audit_events(request.clone()).await).unwrap();
        seen.extend(page.audit_events.into_iter().map(|event| event.name));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen.len(), 8);
    assert!(seen.windows(2).all(|pair| pair[0] > pair[1]), "newest first, each once");

    // Ninety days later they go, however many replicas sweep.
    world.hand.advance(Duration::from_secs(91 * 24 * 3600));
    let other = world.replica().await;
    let (one, two) = tokio::join!(replica.accounts.sweep(), other.accounts.sweep());
    one.unwrap();
    two.unwrap();
    assert_eq!(world.database.query_i64("select count(*) from audit_events").await, 0);
    assert_eq!(world.database.query_i64("select count(*) from sessions").await, 0);
}

async fn what_has_ended_is_kept_for_its_time(database: TestDatabase) {
    const HOUR: Duration = Duration::from_secs(3600);
    let world = World::new(database);
    let replica = world.replica().await;
    replica.register("ada@example.org").await;
    for _ in 0..2 {
        let pair = replica.log_in("ada@example.org", PASSWORD).await.unwrap();
        answer(replica.users(&pair.access_token).logout(pb::LogoutRequest {}).await).unwrap();
    }
    let kept = async |table: &str| {
        replica.accounts.sweep().await.unwrap();
        world.database.query_i64(&format!("select count(*) from {table}")).await
    };
    // Wrong passwords: for a day.
    replica.log_in("ada@example.org", "wrong password").await.refused("CREDENTIALS_INVALID");
    world.hand.advance(23 * HOUR);
    assert_ne!(kept("login_throttles").await, 0);
    world.hand.advance(2 * HOUR);
    assert_eq!(kept("login_throttles").await, 0);
    // What was taken back: for longer than any access token lives. The last of them keeps the count.
    world.hand.advance(22 * HOUR);
    assert_eq!(kept("revocations").await, 2);
    world.hand.advance(2 * HOUR);
    assert_eq!(kept("revocations").await, 1);
    // Sessions: a week after their end, which is thirty days after the last refresh.
    world.hand.advance((36 * 24 - 49) * HOUR);
    assert_eq!(kept("sessions").await, 3);
    world.hand.advance(25 * HOUR);
    assert_eq!(kept("sessions").await, 0);
}

async fn thousands_that_have_ended_go_at_once(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    replica.register("ada@example.org").await;
    replica.log_in("ada@example.org", "wrong password").await.refused("CREDENTIALS_INVALID");
    let new = match world.database.engine {
        Engine::Sqlite => "randomblob(16)",
        Engine::Postgres => "gen_random_uuid()",
    };
    let new_key = match world.database.engine {
        Engine::Sqlite => "randomblob(16)",
        Engine::Postgres => "uuid_send(gen_random_uuid())",
    };
    // More than twice as many as one step removes, each like the one that is there.
    let copy = |table: &str, columns: &str, id: &str| {
        let copied = columns.replacen("new", id, 1);
        let named =
            columns.replacen("new", if table == "login_throttles" { "throttle_key" } else { "id" }, 1);
        format!(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 2500), \
             one as (select * from {table} limit 1) insert into {table} ({named}) select {copied} from one, n"
        )
    };
    let sessions = "user_id, new, device, peer, create_time, last_use_time, expire_time, family_hash, refresh_hash, rotate_time";
    for (table, columns, id) in [
        ("sessions", sessions, new),
        ("audit_events", "user_id, new, type, peer, request_id, create_time", new),
        ("login_throttles", "new, failures, update_time", new_key),
    ] {
        world.database.execute(&copy(table, columns, id)).await;
        assert!(world.database.query_i64(&format!("select count(*) from {table}")).await > 2500);
    }
    world.hand.advance(Duration::from_secs(100 * 24 * 3600));
    replica.accounts.sweep().await.unwrap();
    for table in ["sessions", "audit_events", "login_throttles"] {
        assert_eq!(world.database.query_i64(&format!("select count(*) from {table}")).await, 0, "{table}");
    }
}
