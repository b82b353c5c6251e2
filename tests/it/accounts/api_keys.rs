//! API keys: they reach as far as their scopes and no further, and only the hash of their secret is kept.

use std::time::Duration;

use taskwire::pb;

use super::world::{World, answer, new_key};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::Refused as _;

both_engines!(
    a_key_reads_or_writes_as_it_was_given,
    a_key_ends_at_its_time,
    what_is_no_key_is_refused,
    a_call_with_a_key_reads_nothing_of_it_for_half_a_minute,
    a_user_has_at_most_a_hundred,
);

fn task(title: &str) -> pb::CreateTaskRequest {
    let task = pb::Task { title: title.into(), ..Default::default() };
    pb::CreateTaskRequest { parent: "users/me".into(), task: Some(task), ..Default::default() }
}

async fn a_key_reads_or_writes_as_it_was_given(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let ada = replica.register("ada@example.org").await;
    let reads = replica.api_key(&ada.access_token, &["tasks.read"]).await;
    let writes = replica.api_key(&ada.access_token, &["tasks.write"]).await;
    assert!(reads.secret.starts_with("twk_"));
    answer(replica.tasks(&reads.secret).create_task(task("no")).await).refused("SCOPE_INSUFFICIENT");
    answer(replica.tasks(&writes.secret).create_task(task("yes")).await).unwrap();
    assert_eq!(replica.read_tasks(&reads.secret).await.unwrap().tasks.len(), 1);
    assert_eq!(replica.read_tasks(&writes.secret).await.unwrap().tasks.len(), 1);
    let bob = replica.register("bob@example.org").await.user.unwrap().name;
    let request = pb::ListTasksRequest { parent: bob, ..Default::default() };
    answer(replica.tasks(&writes.secret).list_tasks(request).await).refused("PARENT_ACCESS_DENIED");

    let request = pb::ListApiKeysRequest { parent: "users/me".into() };
    let listed = answer(replica.users(&ada.access_token).list_api_keys(request).await).unwrap().api_keys;
    assert_eq!(listed, [writes.api_key.unwrap(), reads.api_key.unwrap()]);
    // No column holds the secret, in whatever form.
    let stored = world.database.query_texts("select display_name from api_keys").await;
    assert!(stored.iter().all(|text| !text.contains("twk_")));
    for wrong in [&[][..], &["tasks"], &["tasks.read", "users.write"]] {
        answer(replica.users(&ada.access_token).create_api_key(new_key(wrong)).await)
            .refused_at("FIELD_INVALID", &["api_key.scopes"]);
    }
}

async fn a_key_ends_at_its_time(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let ada = replica.register("ada@example.org").await;
    let at = |seconds: u64| {
        let (seconds, nanos) = world.clock.now().after(Duration::from_secs(seconds)).to_parts();
        Some(prost_types::Timestamp { seconds, nanos })
    };
    let with = |expire_time| {
        let mut request = new_key(&["tasks.read"]);
        request.api_key.as_mut().unwrap().expire_time = expire_time;
        request
    };
    let mut users = replica.users(&ada.access_token);
    answer(users.create_api_key(with(at(0))).await).refused_at("FIELD_INVALID", &["api_key.expire_time"]);
    let key = answer(users.create_api_key(with(at(10))).await).unwrap().secret;
    replica.read_tasks(&key).await.unwrap();
    world.hand.advance(Duration::from_secs(10));
    replica.read_tasks(&key).await.refused("API_KEY_INVALID");
}

async fn what_is_no_key_is_refused(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let ada = replica.register("ada@example.org").await;
    let good = replica.api_key(&ada.access_token, &["tasks.read"]).await.secret;
    let mut flipped = good.clone().into_bytes();
    let last = flipped.len() - 4;
    flipped[last] = if flipped[last] == b'A' { b'B' } else { b'A' };
    let upper = good.replace("twk_", "TWK_");
    for (wrong, reason) in [
        ("twk_", "API_KEY_INVALID"),
        ("twk_AAAA", "API_KEY_INVALID"),
        (&good[..good.len() - 1], "API_KEY_INVALID"),
        (&format!("{good}="), "API_KEY_INVALID"),
        (std::str::from_utf8(&flipped).unwrap(), "API_KEY_INVALID"),
        (&format!("twk_{}", "A".repeat(8000)), "API_KEY_INVALID"),
        (&upper, "TOKEN_INVALID"),
        (&ada.refresh_token, "TOKEN_INVALID"),
    ] {
        replica.read_tasks(wrong).await.refused(reason);
    }
    replica.refresh(&good, "").await.refused("REFRESH_TOKEN_INVALID");
    replica.read_tasks(&good).await.unwrap();
}

async fn a_call_with_a_key_reads_nothing_of_it_for_half_a_minute(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let ada = replica.register("ada@example.org").await;
    let key = replica.api_key(&ada.access_token, &["tasks.read"]).await.secret;
    replica.read_tasks(&key).await.unwrap();
    // Past the storage, so that nothing tells of it but the row.
    world.database.execute("delete from api_keys").await;
    replica.read_tasks(&key).await.unwrap();
    world.hand.advance(Duration::from_secs(30));
    replica.read_tasks(&key).await.refused("API_KEY_INVALID");
}

async fn a_user_has_at_most_a_hundred(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let ada = replica.register("ada@example.org").await;
    let mut users = replica.users(&ada.access_token);
    for _ in 0..100 {
        users.create_api_key(new_key(&["tasks.read"])).await.unwrap();
    }
    answer(users.create_api_key(new_key(&["tasks.read"])).await).refused("QUOTA_EXCEEDED");
}
