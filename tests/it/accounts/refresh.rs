//! Refresh tokens: a lost answer logs nobody out, a stolen token does not live on.

use std::time::Duration;

use taskwire::pb;
use tokio::task::JoinSet;

use super::world::{Replica, World};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::Refused as _;

both_engines!(
    a_lost_answer_can_be_asked_for_again,
    the_same_request_id_is_answered_after_the_grace_too,
    reuse_ends_the_family,
    a_made_up_token_of_a_session_ends_nothing,
    two_hundred_races_leave_one_live_family_each,
    a_crash_between_rotation_and_answer_leaves_a_way_on,
);

const ID: &str = "0b9e5d1c-6d0f-4c61-9a55-0c8d2b7e4f10";
const OTHER_ID: &str = "1b9e5d1c-6d0f-4c61-9a55-0c8d2b7e4f10";

async fn one(database: TestDatabase) -> (World, Replica, pb::TokenPair) {
    let world = World::new(database);
    let replica = world.replica().await;
    let ada = replica.register("ada@example.org").await;
    (world, replica, ada)
}

async fn a_lost_answer_can_be_asked_for_again(database: TestDatabase) {
    let (world, replica, ada) = one(database).await;
    let first = replica.refresh(&ada.refresh_token, "").await.unwrap();
    world.hand.advance(Duration::from_secs(10));
    let again = replica.refresh(&ada.refresh_token, "").await.unwrap();
    assert_eq!(first.refresh_token, again.refresh_token);
    replica.refresh(&again.refresh_token, "").await.unwrap();
}

async fn the_same_request_id_is_answered_after_the_grace_too(database: TestDatabase) {
    let (world, replica, ada) = one(database).await;
    let first = replica.refresh(&ada.refresh_token, ID).await.unwrap();
    world.hand.advance(Duration::from_secs(24 * 60 * 60));
    let again = replica.refresh(&ada.refresh_token, ID).await.unwrap();
    assert_eq!(first.refresh_token, again.refresh_token);
    replica.probe(&again.access_token).await.unwrap();
    let next = replica.refresh(&again.refresh_token, OTHER_ID).await.unwrap();
    // The successor has been used: now it is a reuse, whatever id comes with it.
    replica.refresh(&ada.refresh_token, ID).await.refused("REFRESH_TOKEN_REUSED");
    replica.refresh(&next.refresh_token, "").await.refused("REFRESH_TOKEN_INVALID");
    replica.refresh(&ada.refresh_token, "no uuid").await.refused_at("FIELD_INVALID", &["request_id"]);
}

async fn reuse_ends_the_family(database: TestDatabase) {
    let (world, replica, ada) = one(database).await;
    let other_session = replica.log_in("ada@example.org", super::world::PASSWORD).await.unwrap();
    let next = replica.refresh(&ada.refresh_token, ID).await.unwrap();
    world.hand.advance(Duration::from_secs(11));
    replica.refresh(&ada.refresh_token, OTHER_ID).await.refused("REFRESH_TOKEN_REUSED");
    for token in [&ada.refresh_token, &next.refresh_token] {
        replica.refresh(token, "").await.refused("REFRESH_TOKEN_INVALID");
    }
    replica.probe(&next.access_token).await.refused("SESSION_REVOKED");
    replica.probe(&other_session.access_token).await.unwrap();
}

async fn two_hundred_races_leave_one_live_family_each(database: TestDatabase) {
    let (world, here, mut pair) = one(database).await;
    let there = world.replica().await;
    for round in 0..200 {
        let mut racing = JoinSet::new();
        for replica in [&here, &there] {
            let mut users = replica.anonymous();
            let request =
                pb::RefreshSessionRequest { refresh_token: pair.refresh_token.clone(), ..Default::default() };
            racing.spawn(async move { users.refresh_session(request).await.unwrap().into_inner() });
        }
        let answers = racing.join_all().await;
        assert_eq!(answers[0].refresh_token, answers[1].refresh_token, "round {round}");
        pair = answers.into_iter().next().unwrap();
    }
    let live = "select count(*) from sessions where revoke_time is null";
    assert_eq!(world.database.query_i64(live).await, 1);
    here.probe(&pair.access_token).await.unwrap();
}

async fn a_crash_between_rotation_and_answer_leaves_a_way_on(database: TestDatabase) {
    let (world, replica, ada) = one(database).await;
    // All that is left of the first process is what it committed: its answer was lost with it.
    let lost = replica.refresh(&ada.refresh_token, ID).await.unwrap();
    drop(replica);
    let next = world.replica().await;
    let again = next.refresh(&ada.refresh_token, ID).await.unwrap();
    assert_eq!(lost.refresh_token, again.refresh_token);
    next.refresh(&again.refresh_token, "").await.unwrap();
}

async fn a_made_up_token_of_a_session_ends_nothing(database: TestDatabase) {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let (_world, replica, ada) = one(database).await;
    let next = replica.refresh(&ada.refresh_token, "").await.unwrap();
    // Users and sessions have names that others may see; what comes after them in a token does not.
    let bytes = URL_SAFE_NO_PAD.decode(ada.refresh_token.trim_start_matches("twr_")).unwrap();
    for place in [32, 47] {
        let mut made_up = bytes.clone();
        made_up[place] ^= 1;
        let token = format!("twr_{}", URL_SAFE_NO_PAD.encode(&made_up));
        replica.refresh(&token, "").await.refused("REFRESH_TOKEN_INVALID");
    }
    replica.probe(&next.access_token).await.unwrap();
    replica.refresh(&next.refresh_token, "").await.unwrap();
}
