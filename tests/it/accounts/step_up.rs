//! What could lock a user out, or somebody else in, needs a login of the last ten minutes.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use taskwire::pb;

use super::second_factor::{begin, code, disable, guarded, regenerate};
use super::world::{PASSWORD, Replica, World, answer, new_key};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::{Answer, Refused as _};

both_engines!(
    an_old_session_is_asked_to_log_in_again,
    the_session_counts_and_not_its_tokens,
    what_carries_its_own_proof_goes_on,
    an_admin_is_asked_as_well,
    the_factor_of_an_old_session_stays,
);

async fn new_email(replica: &Replica, token: &str, name: &str, email: &str) -> Answer<pb::User> {
    let user = Some(pb::User { name: name.into(), email: email.into(), ..Default::default() });
    answer(replica.users(token).update_user(pb::UpdateUserRequest { user, update_mask: None }).await)
}

async fn an_old_session_is_asked_to_log_in_again(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let ada = replica.register("ada@example.org").await;
    let token = &ada.access_token;
    world.hand.advance(Duration::from_secs(599));
    replica.api_key(token, &["tasks.read"]).await;
    new_email(&replica, token, "users/me", "ada2@example.org").await.unwrap();
    begin(&replica, token).await.unwrap();
    world.hand.advance(Duration::from_secs(1));
    let key = new_key(&["tasks.read"]);
    answer(replica.users(token).create_api_key(key).await).refused("STEP_UP_REQUIRED");
    new_email(&replica, token, "users/me", "ada@example.org").await.refused("STEP_UP_REQUIRED");
    // The one there is, is no other one.
    new_email(&replica, token, "users/me", "ada2@example.org").await.unwrap();
    begin(&replica, token).await.refused("STEP_UP_REQUIRED");
    regenerate(&replica, token).await.refused("STEP_UP_REQUIRED");
    disable(&replica, token, "users/me").await.refused("STEP_UP_REQUIRED");
    // Nothing of it was done, and a new login may.
    let again = replica.log_in("ada2@example.org", PASSWORD).await.unwrap().access_token;
    new_email(&replica, &again, "users/me", "ada@example.org").await.unwrap();
    replica.api_key(&again, &["tasks.read"]).await;
}

async fn the_session_counts_and_not_its_tokens(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let ada = replica.register("ada@example.org").await;
    let began = ada.session.clone().unwrap().create_time.unwrap().seconds;
    world.hand.advance(Duration::from_secs(600));
    let fresh = replica.refresh(&ada.refresh_token, "").await.unwrap().access_token;
    begin(&replica, &fresh).await.refused("STEP_UP_REQUIRED");
    let claims = URL_SAFE_NO_PAD.decode(fresh.split('.').nth(1).unwrap()).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["auth_time"], began);
    assert_eq!(claims["iat"], began + 600);
}

async fn what_carries_its_own_proof_goes_on(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let ada = replica.register("ada@example.org").await;
    let token = &ada.access_token;
    let key = replica.api_key(token, &["tasks.read"]).await.api_key.unwrap().name;
    let secret = begin(&replica, token).await.unwrap().secret;
    world.hand.advance(Duration::from_secs(800));
    // A code, a password; and taking access away never waits.
    let confirm = pb::ConfirmTotpEnrolmentRequest { name: "users/me".into(), code: code(&world, &secret, 0) };
    answer(replica.users(token).confirm_totp_enrolment(confirm).await).unwrap();
    answer(replica.users(token).revoke_api_key(pb::RevokeApiKeyRequest { name: key }).await).unwrap();
    let user = Some(pb::User { name: "users/me".into(), display_name: "Ada".into(), ..Default::default() });
    answer(replica.users(token).update_user(pb::UpdateUserRequest { user, update_mask: None }).await)
        .unwrap();
    let change = pb::ChangePasswordRequest {
        name: "users/me".into(),
        current_password: PASSWORD.into(),
        new_password: "another good one".into(),
    };
    answer(replica.users(token).change_password(change).await).unwrap();
    let delete = pb::DeleteUserRequest { name: "users/me".into(), password: "another good one".into() };
    answer(replica.users(token).delete_user(delete).await).unwrap();
}

async fn an_admin_is_asked_as_well(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let root = replica.register_admin("root@example.org").await;
    let ada = guarded(&world, &replica, "ada@example.org").await;
    let name = ada.pair.user.unwrap().name;
    world.hand.advance(Duration::from_secs(600));
    disable(&replica, &root.access_token, &name).await.refused("STEP_UP_REQUIRED");
    new_email(&replica, &root.access_token, &name, "x@example.org").await.refused("STEP_UP_REQUIRED");
    let again = replica.log_in("root@example.org", PASSWORD).await.unwrap().access_token;
    new_email(&replica, &again, &name, "x@example.org").await.unwrap();
    disable(&replica, &again, &name).await.unwrap();
}

async fn the_factor_of_an_old_session_stays(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let ada = guarded(&world, &replica, "ada@example.org").await;
    world.hand.advance(Duration::from_secs(700));
    disable(&replica, &ada.pair.access_token, "users/me").await.refused("STEP_UP_REQUIRED");
    replica.log_in("ada@example.org", PASSWORD).await.refused("MFA_REQUIRED");
}
