//! Second factors: set up, asked for, taken away; who knows one of the two is not let in.

use std::time::Duration;

use taskwire::auth::Sealer;
use taskwire::pb;
use taskwire::pb::audit_event::Type;

use super::world::{PASSWORD, Replica, Setup, World, answer};
use crate::support::database::{Engine, TestDatabase};
use crate::support::refusal::{Answer, Refused as _};
use crate::support::{both_engines, totp};

both_engines!(
    a_login_asks_for_a_code_once_one_was_shown,
    a_code_works_once_and_for_three_steps,
    a_challenge_ends,
    a_challenge_has_ten_tries,
    wrong_codes_make_the_next_attempt_wait,
    a_recovery_code_stands_in_once,
    new_recovery_codes_end_the_old_ones,
    a_factor_is_taken_away_by_its_user_or_an_admin,
    what_happens_to_a_factor_is_recorded,
    the_secret_lies_sealed_and_in_its_place,
    without_a_key_nothing_is_enrolled,
    a_deleted_user_leaves_no_factor,
);

/// The code of this secret, `steps` away from the present one.
pub(super) fn code(world: &World, secret: &str, steps: i64) -> String {
    totp(secret, world.clock.now().as_micros() / 30_000_000 + steps)
}

/// Somebody with a second factor: their session, its secret, their recovery codes. The code of the present step is spent.
pub(super) struct Guarded {
    pub(super) pair: pb::TokenPair,
    pub(super) email: String,
    pub(super) secret: String,
    pub(super) recovery_codes: Vec<String>,
}

pub(super) async fn begin(replica: &Replica, token: &str) -> Answer<pb::BeginTotpEnrolmentResponse> {
    let request = pb::BeginTotpEnrolmentRequest { name: "users/me".into() };
    answer(replica.users(token).begin_totp_enrolment(request).await)
}

async fn confirm(replica: &Replica, token: &str, code: &str) -> Answer<Vec<String>> {
    let request = pb::ConfirmTotpEnrolmentRequest { name: "users/me".into(), code: code.into() };
    let confirmed = answer(replica.users(token).confirm_totp_enrolment(request).await)?;
    Ok(confirmed.recovery_codes)
}

pub(super) async fn disable(replica: &Replica, token: &str, name: &str) -> Answer<()> {
    let request = pb::DisableTotpRequest { name: name.into() };
    answer(replica.users(token).disable_totp(request).await).map(drop)
}

pub(super) async fn regenerate(replica: &Replica, token: &str) -> Answer<Vec<String>> {
    let request = pb::RegenerateRecoveryCodesRequest { name: "users/me".into() };
    let regenerated = answer(replica.users(token).regenerate_recovery_codes(request).await)?;
    Ok(regenerated.recovery_codes)
}

pub(super) async fn guarded(world: &World, replica: &Replica, email: &str) -> Guarded {
    let pair = replica.register(email).await;
    let secret = begin(replica, &pair.access_token).await.unwrap().secret;
    let recovery_codes = confirm(replica, &pair.access_token, &code(world, &secret, 0)).await.unwrap();
    Guarded { pair, email: email.into(), secret, recovery_codes }
}

/// The challenge that a login with the right password is answered.
pub(super) async fn challenge(replica: &Replica, email: &str) -> String {
    let refusal = replica.log_in(email, PASSWORD).await.refused("MFA_REQUIRED");
    refusal.metadata["challenge"].clone()
}

pub(super) async fn complete(
    replica: &Replica,
    challenge: &str,
    proof: pb::complete_login_request::Proof,
) -> Answer<pb::TokenPair> {
    let request = pb::CompleteLoginRequest { challenge: challenge.into(), proof: Some(proof) };
    answer(replica.anonymous().complete_login(request).await)
}

pub(super) async fn with_code(replica: &Replica, challenge: &str, code: &str) -> Answer<pb::TokenPair> {
    complete(replica, challenge, pb::complete_login_request::Proof::Code(code.into())).await
}

pub(super) async fn with_recovery(replica: &Replica, challenge: &str, code: &str) -> Answer<pb::TokenPair> {
    complete(replica, challenge, pb::complete_login_request::Proof::RecoveryCode(code.into())).await
}

/// So many are free that nothing has to wait.
pub(super) fn patient() -> Setup {
    let mut setup = Setup::default();
    setup.accounts.throttle.account_free = 1000;
    setup.accounts.throttle.address_free = 1000;
    setup
}

async fn a_login_asks_for_a_code_once_one_was_shown(database: TestDatabase) {
    let world = World::new(database);
    let (here, there) = (world.replica().await, world.replica().await);
    let ada = here.register("ada@example.org").await;
    confirm(&here, &ada.access_token, "123456").await.refused("TOTP_NOT_ENABLED");
    let first = begin(&here, &ada.access_token).await.unwrap();
    let begun = begin(&there, &ada.access_token).await.unwrap();
    assert_ne!(first.secret, begun.secret);
    assert_eq!(begun.secret.len(), 32);
    let uri = format!("otpauth://totp/taskwire:ada%40example.org?secret={}&issuer=taskwire", begun.secret);
    assert!(begun.otpauth_uri.starts_with(&uri), "{}", begun.otpauth_uri);
    // The one that was replaced does not count, and nothing is asked for before one does.
    confirm(&here, &ada.access_token, &code(&world, &first.secret, 0)).await.refused("CODE_INVALID");
    assert!(!here.log_in("ada@example.org", PASSWORD).await.unwrap().user.unwrap().totp_enabled);
    let present = code(&world, &begun.secret, 0);
    let codes = confirm(&here, &ada.access_token, &present).await.unwrap();
    assert_eq!(codes.len(), 10);
    begin(&here, &ada.access_token).await.refused("TOTP_ALREADY_ENABLED");
    confirm(&here, &ada.access_token, &present).await.refused("TOTP_ALREADY_ENABLED");
    // The session goes on, and its user sees it, and so does an admin.
    assert!(here.probe(&ada.access_token).await.unwrap().totp_enabled);
    let root = here.register_admin("root@example.org").await;
    let request = pb::GetUserRequest { name: ada.user.unwrap().name };
    let seen = answer(there.users(&root.access_token).get_user(request).await).unwrap();
    assert!(seen.totp_enabled && seen.kind() == pb::user::Kind::Person);

    // Who does not know the password learns nothing of it.
    here.log_in("ada@example.org", "wrong password").await.refused("CREDENTIALS_INVALID");
    let challenge = challenge(&here, "ada@example.org").await;
    // What proved the enrolment is spent.
    with_code(&here, &challenge, &present).await.refused("CODE_INVALID");
    world.hand.advance(Duration::from_secs(30));
    let pair = with_code(&there, &challenge, &code(&world, &begun.secret, 0)).await.unwrap();
    assert_eq!(pair.session.unwrap().device, "test");
    there.probe(&pair.access_token).await.unwrap();
    here.refresh(&pair.refresh_token, "").await.unwrap();
}

async fn a_code_works_once_and_for_three_steps(database: TestDatabase) {
    let world = World::with(database, patient());
    let replica = world.replica().await;
    let ada = guarded(&world, &replica, "ada@example.org").await;
    world.hand.advance(Duration::from_secs(300));
    let fresh = async || challenge(&replica, &ada.email).await;
    let at = |steps| code(&world, &ada.secret, steps);
    for steps in [-2, 2] {
        with_code(&replica, &fresh().await, &at(steps)).await.refused("CODE_INVALID");
    }
    // In order: what came before the last one is spent with it.
    for steps in [-1, 0, 1] {
        let spaced = format!("{} {}", &at(steps)[..3], &at(steps)[3..]);
        with_code(&replica, &fresh().await, &spaced).await.unwrap();
        with_code(&replica, &fresh().await, &at(steps)).await.refused("CODE_INVALID");
    }
    with_code(&replica, &fresh().await, &at(-1)).await.refused("CODE_INVALID");
    world.hand.advance(Duration::from_secs(60));
    with_code(&replica, &fresh().await, &at(0)).await.unwrap();
    for wrong in ["", "12345", "1234567", "abcdef", "１２３４５６"] {
        with_code(&replica, &fresh().await, wrong).await.refused("CODE_INVALID");
    }
    let request = pb::CompleteLoginRequest { challenge: fresh().await, proof: None };
    answer(replica.anonymous().complete_login(request).await).refused_at("FIELD_INVALID", &["code"]);
}

async fn a_challenge_ends(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let ada = guarded(&world, &replica, "ada@example.org").await;
    let bob = guarded(&world, &replica, "bob@example.org").await;
    world.hand.advance(Duration::from_secs(60));
    let at = |secret: &str| code(&world, secret, 0);
    // With its login.
    let used = challenge(&replica, &ada.email).await;
    with_code(&replica, &used, &at(&ada.secret)).await.unwrap();
    world.hand.advance(Duration::from_secs(60));
    with_code(&replica, &used, &at(&ada.secret)).await.refused("CHALLENGE_INVALID");
    // It is of one user.
    let of_bob = challenge(&replica, &bob.email).await;
    with_code(&replica, &of_bob, &at(&ada.secret)).await.refused("CODE_INVALID");
    let altered = format!("{}A", &of_bob[..of_bob.len() - 1]);
    for wrong in ["", "twc_", &altered[..80], &of_bob.replace("twc_", "twr_"), &ada.pair.refresh_token] {
        with_code(&replica, wrong, &at(&bob.secret)).await.refused("CHALLENGE_INVALID");
    }
    // With its time.
    world.hand.advance(Duration::from_secs(299));
    with_code(&replica, &of_bob, &at(&bob.secret)).await.unwrap();
    let late = challenge(&replica, &bob.email).await;
    world.hand.advance(Duration::from_secs(300));
    with_code(&replica, &late, &at(&bob.secret)).await.refused("CHALLENGE_INVALID");
    // With the password that was proved for it.
    let old = challenge(&replica, &ada.email).await;
    let change = pb::ChangePasswordRequest {
        name: "users/me".into(),
        current_password: PASSWORD.into(),
        new_password: "another good one".into(),
    };
    answer(replica.users(&ada.pair.access_token).change_password(change).await).unwrap();
    with_code(&replica, &old, &at(&ada.secret)).await.refused("CHALLENGE_INVALID");
    // A disabled account is told of to who has shown both.
    let root = replica.register_admin("root@example.org").await;
    let waiting = challenge(&replica, &bob.email).await;
    let request = pb::DisableUserRequest { name: bob.pair.user.unwrap().name };
    answer(replica.users(&root.access_token).disable_user(request).await).unwrap();
    with_code(&replica, &waiting, "000000").await.refused("CODE_INVALID");
    with_code(&replica, &waiting, &at(&bob.secret)).await.refused("USER_DISABLED");
    // What has ended is swept away.
    world.hand.advance(Duration::from_secs(600));
    replica.accounts.sweep().await.unwrap();
    assert_eq!(world.database.query_i64("select count(*) from login_challenges").await, 0);
}

async fn a_challenge_has_ten_tries(database: TestDatabase) {
    let world = World::with(database, patient());
    let (here, there) = (world.replica().await, world.replica().await);
    let ada = guarded(&world, &here, "ada@example.org").await;
    world.hand.advance(Duration::from_secs(60));
    let tried = challenge(&here, &ada.email).await;
    for number in 0..10 {
        let replica = if number % 2 == 0 { &here } else { &there };
        with_code(replica, &tried, "000000").await.refused("CODE_INVALID");
    }
    with_code(&here, &tried, &code(&world, &ada.secret, 0)).await.refused("CHALLENGE_INVALID");
    let other = challenge(&here, &ada.email).await;
    with_code(&here, &other, &code(&world, &ada.secret, 0)).await.unwrap();
}

async fn wrong_codes_make_the_next_attempt_wait(database: TestDatabase) {
    let world = World::new(database);
    let (here, there) = (world.replica().await, world.replica().await);
    // Another way in, from where nobody has been: where a session is from is counted by itself.
    let ada = guarded(&world, &here, "ada@example.org").await;
    world.hand.advance(Duration::from_secs(60));
    let tried = challenge(&here, &ada.email).await;
    for _ in 0..6 {
        with_code(&here, &tried, "000000").await.refused("CODE_INVALID");
    }
    // Neither the right code nor the password is looked at, nor is a try spent.
    with_code(&there, &tried, &code(&world, &ada.secret, 0)).await.refused("LOGIN_THROTTLED");
    here.log_in(&ada.email, PASSWORD).await.refused("LOGIN_THROTTLED");
    world.hand.advance(Duration::from_secs(1));
    // The right password alone forgets nothing.
    let again = challenge(&here, &ada.email).await;
    with_code(&there, &again, "000000").await.refused("CODE_INVALID");
    with_code(&there, &again, "000000").await.refused("LOGIN_THROTTLED");
    world.hand.advance(Duration::from_secs(2));
    with_code(&there, &tried, &code(&world, &ada.secret, 0)).await.unwrap();
    // Both together do.
    for _ in 0..6 {
        here.log_in(&ada.email, "wrong password").await.refused("CREDENTIALS_INVALID");
    }
    here.log_in(&ada.email, PASSWORD).await.refused("LOGIN_THROTTLED");
    // An enrolment is guessed at no faster.
    let bob = here.register("bob@example.org").await;
    begin(&here, &bob.access_token).await.unwrap();
    for _ in 0..6 {
        confirm(&here, &bob.access_token, "000000").await.refused("CODE_INVALID");
    }
    confirm(&here, &bob.access_token, "000000").await.refused("LOGIN_THROTTLED");
}

async fn a_recovery_code_stands_in_once(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let ada = guarded(&world, &replica, "ada@example.org").await;
    let typed = ada.recovery_codes[0].to_uppercase().replace('-', " ");
    let first = challenge(&replica, &ada.email).await;
    with_recovery(&replica, &first, &typed).await.unwrap();
    let second = challenge(&replica, &ada.email).await;
    with_recovery(&replica, &second, &ada.recovery_codes[0]).await.refused("CODE_INVALID");
    with_recovery(&replica, &second, "").await.refused("CODE_INVALID");
    // One is no code of the app, and the other way round.
    with_code(&replica, &second, &ada.recovery_codes[1]).await.refused("CODE_INVALID");
    world.hand.advance(Duration::from_secs(60));
    with_recovery(&replica, &second, &code(&world, &ada.secret, 0)).await.refused("CODE_INVALID");
    with_recovery(&replica, &second, &ada.recovery_codes[1]).await.unwrap();
    assert_eq!(world.database.query_i64("select count(*) from recovery_codes").await, 8);
}

async fn new_recovery_codes_end_the_old_ones(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let bob = replica.register("bob@example.org").await;
    regenerate(&replica, &bob.access_token).await.refused("TOTP_NOT_ENABLED");
    let ada = guarded(&world, &replica, "ada@example.org").await;
    let new = regenerate(&replica, &ada.pair.access_token).await.unwrap();
    assert!(new.len() == 10 && new.iter().all(|code| !ada.recovery_codes.contains(code)));
    let waiting = challenge(&replica, &ada.email).await;
    with_recovery(&replica, &waiting, &ada.recovery_codes[0]).await.refused("CODE_INVALID");
    with_recovery(&replica, &waiting, &new[9]).await.unwrap();
}

async fn a_factor_is_taken_away_by_its_user_or_an_admin(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let ada = guarded(&world, &replica, "ada@example.org").await;
    let name = ada.pair.user.clone().unwrap().name;
    let bob = replica.register("bob@example.org").await;
    disable(&replica, &bob.access_token, &name).await.refused("PARENT_ACCESS_DENIED");
    let waiting = challenge(&replica, &ada.email).await;
    disable(&replica, &ada.pair.access_token, "users/me").await.unwrap();
    disable(&replica, &ada.pair.access_token, "users/me").await.refused("TOTP_NOT_ENABLED");
    with_recovery(&replica, &waiting, &ada.recovery_codes[0]).await.refused("CHALLENGE_INVALID");
    assert!(!replica.log_in(&ada.email, PASSWORD).await.unwrap().user.unwrap().totp_enabled);
    for table in ["second_factors", "recovery_codes", "login_challenges"] {
        assert_eq!(world.database.query_i64(&format!("select count(*) from {table}")).await, 0, "{table}");
    }
    // And set up again, and taken away by somebody who may.
    let secret = begin(&replica, &ada.pair.access_token).await.unwrap().secret;
    confirm(&replica, &ada.pair.access_token, &code(&world, &secret, 0)).await.unwrap();
    let root = replica.register_admin("root@example.org").await;
    disable(&replica, &root.access_token, &name).await.unwrap();
    replica.log_in(&ada.email, PASSWORD).await.unwrap();
    let nobody = "users/0198c0de-0000-7000-8000-00000000000a";
    disable(&replica, &root.access_token, nobody).await.refused("USER_NOT_FOUND");
}

async fn what_happens_to_a_factor_is_recorded(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let ada = guarded(&world, &replica, "ada@example.org").await;
    let codes = regenerate(&replica, &ada.pair.access_token).await.unwrap();
    let waiting = challenge(&replica, &ada.email).await;
    with_code(&replica, &waiting, "000000").await.refused("CODE_INVALID");
    with_recovery(&replica, &waiting, &codes[0]).await.unwrap();
    disable(&replica, &ada.pair.access_token, "users/me").await.unwrap();
    let request = pb::ListAuditEventsRequest { parent: "users/me".into(), ..Default::default() };
    let events = answer(replica.users(&ada.pair.access_token).list_audit_events(request).await).unwrap();
    let mut events = events.audit_events;
    events.reverse();
    let name = ada.pair.user.unwrap().name;
    let told: Vec<(Type, bool)> = events.iter().map(|event| (event.r#type(), event.actor == name)).collect();
    assert_eq!(
        told,
        [
            (Type::UserCreated, false),
            (Type::LoginSucceeded, true),
            (Type::TotpEnabled, true),
            (Type::RecoveryCodesRegenerated, true),
            (Type::SecondFactorFailed, false),
            (Type::RecoveryCodeUsed, true),
            (Type::LoginSucceeded, true),
            (Type::TotpDisabled, true),
        ]
    );
}

async fn the_secret_lies_sealed_and_in_its_place(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let ada = guarded(&world, &replica, "ada@example.org").await;
    let bob = guarded(&world, &replica, "bob@example.org").await;
    let hex = match world.database.engine {
        Engine::Sqlite => "hex(secret)",
        Engine::Postgres => "upper(encode(secret, 'hex'))",
    };
    let stored = world.database.query_texts(&format!("select {hex} from second_factors")).await;
    assert_eq!(stored.len(), 2);
    for secret in [&ada.secret, &bob.secret] {
        let plain: String = secret.bytes().map(|byte| format!("{byte:02X}")).collect();
        assert!(
            stored.iter().all(|sealed| sealed.len() == 2 * (5 + 12 + 20 + 16) && !sealed.contains(&plain))
        );
    }
    // Who could write to the database, and has a factor of their own, still cannot be somebody else.
    let id = |pair: &pb::TokenPair| {
        let name = pair.user.clone().unwrap().name;
        let id = taskwire::domain::UserId::parse(name.strip_prefix("users/").unwrap()).unwrap();
        world.database.id(id.uuid())
    };
    let (from, to) = (id(&bob.pair), id(&ada.pair));
    let of_bob = format!("select {hex} from second_factors where user_id = {from}");
    let of_bob = world.database.query_texts(&of_bob).await.remove(0);
    let secret = match world.database.engine {
        Engine::Sqlite => format!("x'{of_bob}'"),
        Engine::Postgres => format!("decode('{of_bob}', 'hex')"),
    };
    let swap = format!("update second_factors set secret = {secret} where user_id = {to}");
    world.database.execute(&swap).await;
    world.hand.advance(Duration::from_secs(60));
    let waiting = challenge(&replica, &ada.email).await;
    with_code(&replica, &waiting, &code(&world, &bob.secret, 0)).await.refused("INTERNAL");
}

async fn without_a_key_nothing_is_enrolled(database: TestDatabase) {
    let world = World::with(database, Setup { sealer: Some(Sealer::new(None)), ..Default::default() });
    let replica = world.replica().await;
    let ada = replica.register("ada@example.org").await;
    let refusal = begin(&replica, &ada.access_token).await.refused("SECRETS_KEY_MISSING");
    assert!(refusal.message.contains("TASKWIRE_SECRETS_KEY_FILE"), "{}", refusal.message);
    assert_eq!(world.database.query_i64("select count(*) from second_factors").await, 0);
    replica.log_in("ada@example.org", PASSWORD).await.unwrap();
}

async fn a_deleted_user_leaves_no_factor(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let ada = guarded(&world, &replica, "ada@example.org").await;
    challenge(&replica, &ada.email).await;
    let request = pb::DeleteUserRequest { name: "users/me".into(), password: PASSWORD.into() };
    answer(replica.users(&ada.pair.access_token).delete_user(request).await).unwrap();
    for table in ["second_factors", "recovery_codes", "login_challenges"] {
        assert_eq!(world.database.query_i64(&format!("select count(*) from {table}")).await, 0, "{table}");
    }
}
