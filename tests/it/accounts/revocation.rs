//! Who has been shut out stays out: at once here, within five seconds on every other replica.

use std::time::Duration;

use taskwire::pb;

use super::world::{PASSWORD, Replica, World, answer};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::Refused as _;

both_engines!(
    a_logout_counts_on_every_replica,
    a_revoked_session_is_out_and_the_others_are_in,
    revoking_all_ends_the_calling_one_as_well,
    a_new_password_ends_the_other_sessions,
    a_disabled_user_is_out_until_enabled,
    a_deleted_user_leaves_nothing,
    a_revoked_key_is_out_everywhere,
    an_open_stream_ends_with_its_session,
    a_replica_that_starts_later_knows_as_well,
);

/// Does something on one replica and waits until the other has learned of it.
async fn learned<T>(other: &Replica, doing: impl Future<Output = T>) -> T {
    let mut changes = other.authenticator.revocations().subscribe();
    let done = doing.await;
    tokio::time::timeout(Duration::from_secs(5), changes.changed()).await.expect("five seconds").unwrap();
    done
}

async fn two(database: TestDatabase) -> (World, Replica, Replica) {
    let world = World::new(database);
    let (here, there) = (world.replica().await, world.replica().await);
    (world, here, there)
}

async fn a_logout_counts_on_every_replica(database: TestDatabase) {
    let (_world, here, there) = two(database).await;
    let ada = here.register("ada@example.org").await;
    let token = &ada.access_token;
    there.probe(token).await.unwrap();
    learned(&there, async { answer(here.users(token).logout(pb::LogoutRequest {}).await).unwrap() }).await;
    here.probe(token).await.refused("SESSION_REVOKED");
    there.probe(token).await.refused("SESSION_REVOKED");
    there.refresh(&ada.refresh_token, "").await.refused("REFRESH_TOKEN_INVALID");
    answer(here.users(token).logout(pb::LogoutRequest {}).await).refused("SESSION_REVOKED");
}

async fn a_revoked_session_is_out_and_the_others_are_in(database: TestDatabase) {
    let (_world, here, there) = two(database).await;
    let first = here.register("ada@example.org").await;
    let second = here.log_in("ada@example.org", PASSWORD).await.unwrap();
    let listed = |token: String| {
        let mut users = here.users(&token);
        async move {
            let request = pb::ListSessionsRequest { parent: "users/me".into() };
            answer(users.list_sessions(request).await).unwrap().sessions
        }
    };
    let sessions = listed(second.access_token.clone()).await;
    assert_eq!(sessions.len(), 2);
    assert_eq!(sessions.iter().filter(|session| session.current).count(), 1);
    let name = first.session.unwrap().name;
    let request = pb::RevokeSessionRequest { name: name.clone() };
    learned(&there, async {
        answer(here.users(&second.access_token).revoke_session(request.clone()).await).unwrap()
    })
    .await;
    there.probe(&first.access_token).await.refused("SESSION_REVOKED");
    there.probe(&second.access_token).await.unwrap();
    answer(here.users(&second.access_token).revoke_session(request).await).refused("SESSION_NOT_FOUND");
    let left = listed(second.access_token.clone()).await;
    assert!(left.len() == 1 && left[0].current && left[0].name != name);
}

async fn revoking_all_ends_the_calling_one_as_well(database: TestDatabase) {
    let (_world, here, there) = two(database).await;
    let first = here.register("ada@example.org").await;
    let second = here.log_in("ada@example.org", PASSWORD).await.unwrap();
    let bob = here.register("bob@example.org").await;
    let request = pb::RevokeAllSessionsRequest { parent: "users/me".into() };
    learned(&there, async {
        answer(here.users(&first.access_token).revoke_all_sessions(request).await).unwrap()
    })
    .await;
    for token in [&first.access_token, &second.access_token] {
        there.probe(token).await.refused("SESSION_REVOKED");
    }
    there.probe(&bob.access_token).await.unwrap();
}

async fn a_new_password_ends_the_other_sessions(database: TestDatabase) {
    let (_world, here, there) = two(database).await;
    let kept = here.register("ada@example.org").await;
    let other = here.log_in("ada@example.org", PASSWORD).await.unwrap();
    let change = |current: &str, new: &str| pb::ChangePasswordRequest {
        name: "users/me".into(),
        current_password: current.into(),
        new_password: new.into(),
    };
    let mut users = here.users(&kept.access_token);
    answer(users.change_password(change("wrong password", "another good one")).await)
        .refused("CREDENTIALS_INVALID");
    answer(users.change_password(change(PASSWORD, "short")).await)
        .refused_at("PASSWORD_TOO_SHORT", &["new_password"]);
    answer(users.change_password(change(PASSWORD, "password1")).await)
        .refused_at("PASSWORD_COMMON", &["new_password"]);
    learned(&there, async {
        answer(users.change_password(change(PASSWORD, "another good one")).await).unwrap()
    })
    .await;
    there.probe(&kept.access_token).await.unwrap();
    there.probe(&other.access_token).await.refused("SESSION_REVOKED");
    there.refresh(&other.refresh_token, "").await.refused("REFRESH_TOKEN_INVALID");
    there.log_in("ada@example.org", PASSWORD).await.refused("CREDENTIALS_INVALID");
    there.log_in("ada@example.org", "another good one").await.unwrap();
}

async fn a_disabled_user_is_out_until_enabled(database: TestDatabase) {
    let (_world, here, there) = two(database).await;
    let admin = here.register_admin("root@example.org").await;
    let ada = here.register("ada@example.org").await;
    let key = here.api_key(&ada.access_token, &["tasks.read"]).await.secret;
    there.read_tasks(&key).await.unwrap();
    let name = ada.user.clone().unwrap().name;
    let mut admins = here.users(&admin.access_token);
    let disabled = learned(&there, async {
        answer(admins.disable_user(pb::DisableUserRequest { name: name.clone() }).await).unwrap()
    })
    .await;
    assert!(disabled.disabled);
    there.probe(&ada.access_token).await.refused("SESSION_REVOKED");
    there.read_tasks(&key).await.refused("API_KEY_INVALID");
    there.refresh(&ada.refresh_token, "").await.refused("USER_DISABLED");
    there.log_in("ada@example.org", PASSWORD).await.refused("USER_DISABLED");
    there.log_in("ada@example.org", "wrong password").await.refused("CREDENTIALS_INVALID");
    let again = answer(admins.disable_user(pb::DisableUserRequest { name: name.clone() }).await).unwrap();
    assert_eq!(again, disabled);

    let enabled = learned(&there, async {
        answer(admins.enable_user(pb::EnableUserRequest { name: name.clone() }).await).unwrap()
    })
    .await;
    assert!(!enabled.disabled && enabled.etag != disabled.etag);
    there.probe(&ada.access_token).await.refused("SESSION_REVOKED");
    there.read_tasks(&key).await.unwrap();
    let anew = there.log_in("ada@example.org", PASSWORD).await.unwrap();
    there.probe(&anew.access_token).await.unwrap();
}

async fn a_deleted_user_leaves_nothing(database: TestDatabase) {
    let (world, here, there) = two(database).await;
    let ada = here.register("ada@example.org").await;
    let key = here.api_key(&ada.access_token, &["tasks.write"]).await.secret;
    let task = pb::Task { title: "mine".into(), ..Default::default() };
    let request = pb::CreateTaskRequest { parent: "users/me".into(), task: Some(task), ..Default::default() };
    answer(there.tasks(&key).create_task(request).await).unwrap();
    let delete =
        |password: &str| pb::DeleteUserRequest { name: "users/me".into(), password: password.into() };
    let mut users = here.users(&ada.access_token);
    answer(users.delete_user(delete("")).await).refused("CREDENTIALS_INVALID");
    learned(&there, async { answer(users.delete_user(delete(PASSWORD)).await).unwrap() }).await;
    there.probe(&ada.access_token).await.refused("SESSION_REVOKED");
    there.read_tasks(&key).await.refused("API_KEY_INVALID");
    there.refresh(&ada.refresh_token, "").await.refused("REFRESH_TOKEN_INVALID");
    there.log_in("ada@example.org", PASSWORD).await.refused("CREDENTIALS_INVALID");
    for table in ["users", "emails", "sessions", "tasks", "task_changes", "api_keys"] {
        assert_eq!(world.database.query_i64(&format!("select count(*) from {table}")).await, 0, "{table}");
    }
    // The address is free again, and the new account is another one.
    let again = there.register("ada@example.org").await;
    assert_ne!(again.user.unwrap().name, ada.user.unwrap().name);
}

async fn a_revoked_key_is_out_everywhere(database: TestDatabase) {
    let (_world, here, there) = two(database).await;
    let ada = here.register("ada@example.org").await;
    let made = here.api_key(&ada.access_token, &["tasks.read"]).await;
    there.read_tasks(&made.secret).await.unwrap();
    let request = pb::RevokeApiKeyRequest { name: made.api_key.unwrap().name };
    learned(&there, async {
        answer(here.users(&ada.access_token).revoke_api_key(request.clone()).await).unwrap()
    })
    .await;
    here.read_tasks(&made.secret).await.refused("API_KEY_INVALID");
    there.read_tasks(&made.secret).await.refused("API_KEY_INVALID");
    answer(here.users(&ada.access_token).revoke_api_key(request).await).refused("API_KEY_NOT_FOUND");
}

async fn an_open_stream_ends_with_its_session(database: TestDatabase) {
    let (_world, here, there) = two(database).await;
    let ada = here.register("ada@example.org").await;
    let request =
        pb::WatchTasksRequest { parent: "users/me".into(), initial_state: true, ..Default::default() };
    let mut stream = answer(there.tasks(&ada.access_token).watch_tasks(request).await).unwrap();
    // The end of the initial state: from here on it waits.
    stream.message().await.unwrap().unwrap();
    answer(here.users(&ada.access_token).logout(pb::LogoutRequest {}).await).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(5), async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended without an error"),
                Err(status) => break status,
            }
        }
    });
    let status = ended.await.expect("five seconds");
    assert_eq!(status.code(), tonic::Code::Unauthenticated, "{status:?}");
    let info = tonic_types::StatusExt::get_details_error_info(&status).unwrap();
    assert_eq!(info.reason, "SESSION_REVOKED");
}

async fn a_replica_that_starts_later_knows_as_well(database: TestDatabase) {
    let world = World::new(database);
    let here = world.replica().await;
    let ada = here.register("ada@example.org").await;
    answer(here.users(&ada.access_token).logout(pb::LogoutRequest {}).await).unwrap();
    world.hand.advance(Duration::from_secs(10 * 60));
    let later = world.replica().await;
    later.probe(&ada.access_token).await.refused("SESSION_REVOKED");
}
