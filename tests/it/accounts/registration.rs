//! Registrations that are sent again: the same call is answered as it was, and nobody else learns anything.

use std::time::Duration;

use prost::Message as _;
use taskwire::pb;
use taskwire::storage::Limits;
use tokio::task::JoinSet;

use super::world::{PASSWORD, Replica, Setup, World, answer, new_user};
use crate::support::both_engines;
use crate::support::database::{Engine, TestDatabase, limits};
use crate::support::refusal::{Answer, Refused as _};

both_engines!(
    a_registration_is_answered_again_byte_for_byte,
    a_registration_is_remembered_for_a_day,
    a_request_id_stands_for_one_registration_only,
    a_stranger_who_has_the_id_learns_nothing,
    a_failed_registration_is_not_remembered,
    a_registration_is_forgotten_with_its_account,
    copies_sent_at_once_make_one_account,
    a_duplicate_waits_for_the_first,
    a_duplicate_that_waits_too_long_is_told_so,
    a_flood_of_registrations_makes_each_account_once,
    no_column_holds_a_password_that_can_be_guessed_fast,
);

fn id() -> String {
    uuid::Uuid::now_v7().to_string()
}

fn once(email: &str, request_id: &str) -> pb::CreateUserRequest {
    pb::CreateUserRequest { request_id: request_id.to_owned(), ..new_user(email, PASSWORD) }
}

async fn send(replica: &Replica, request: &pb::CreateUserRequest) -> Answer<pb::User> {
    answer(replica.anonymous().create_user(request.clone()).await)
}

async fn count(world: &World, table: &str) -> i64 {
    world.database.query_i64(&format!("select count(*) from {table}")).await
}

async fn a_registration_is_answered_again_byte_for_byte(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let request = once("ada@example.org", &id());
    let first = send(&replica, &request).await.unwrap().encode_to_vec();
    assert_eq!(send(&replica, &request).await.unwrap().encode_to_vec(), first);

    // The account goes on; the answer stays, on another replica too.
    let ada = replica.log_in("ada@example.org", PASSWORD).await.unwrap();
    let mut users = replica.users(&ada.access_token);
    let user =
        pb::User { name: "users/me".into(), email: "lovelace@example.org".into(), ..Default::default() };
    answer(users.update_user(pb::UpdateUserRequest { user: Some(user), update_mask: None }).await).unwrap();
    let change = pb::ChangePasswordRequest {
        name: "users/me".into(),
        current_password: PASSWORD.into(),
        new_password: "incorrect zebra generator clip".into(),
    };
    answer(users.change_password(change).await).unwrap();
    world.hand.advance(Duration::from_secs(3600));
    drop(replica);
    let replica = world.replica().await;
    assert_eq!(send(&replica, &request).await.unwrap().encode_to_vec(), first);
    assert_eq!(count(&world, "users").await, 1);
    let made = "select count(*) from audit_events where type = 1";
    assert_eq!(world.database.query_i64(made).await, 1);
}

async fn a_registration_is_remembered_for_a_day(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let request = once("ada@example.org", &id());
    let first = send(&replica, &request).await.unwrap();
    let day = Duration::from_secs(24 * 60 * 60);
    let forget = || async {
        world.database.storage.changes().forget_answers(world.clock.now().before(day)).await.unwrap();
    };
    world.hand.advance(day);
    forget().await;
    assert_eq!(send(&replica, &request).await.unwrap(), first);
    world.hand.advance(Duration::from_micros(1));
    forget().await;
    send(&replica, &request).await.refused("USER_ALREADY_EXISTS");
}

async fn a_request_id_stands_for_one_registration_only(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let admin = replica.register_admin("root@example.org").await;
    let request = once("ada@example.org", &id());
    let first = send(&replica, &request).await.unwrap();
    let named = pb::User { display_name: "Ada".into(), ..request.user.clone().unwrap() };
    for other in [
        once("bob@example.org", &request.request_id),
        pb::CreateUserRequest { user: Some(named), ..request.clone() },
        pb::CreateUserRequest { password: "incorrect zebra generator clip".into(), ..request.clone() },
    ] {
        send(&replica, &other).await.refused("REQUEST_ID_REUSED");
    }
    for wrong in ["x", " ", &id().replace('-', ""), &format!("{{{}}}", id())] {
        send(&replica, &once("bob@example.org", wrong)).await.refused_at("FIELD_INVALID", &["request_id"]);
    }
    assert_eq!(send(&replica, &request).await.unwrap(), first);
    // Whoever has an account has ids of their own, and one space for everything they call.
    let mut users = replica.users(&admin.access_token);
    let theirs = once("bob@example.org", &request.request_id);
    let bob = answer(users.create_user(theirs.clone()).await).unwrap();
    assert_eq!(answer(users.create_user(theirs).await).unwrap(), bob);
    let task = pb::CreateTaskRequest {
        parent: "users/me".into(),
        task: Some(pb::Task { title: "x".into(), ..Default::default() }),
        request_id: request.request_id.clone(),
        ..Default::default()
    };
    let mut tasks = replica.tasks(&admin.access_token);
    answer(tasks.create_task(task.clone()).await).refused("REQUEST_ID_REUSED");
    let task = pb::CreateTaskRequest { request_id: id(), ..task };
    answer(tasks.create_task(task.clone()).await).unwrap();
    answer(users.create_user(once("eve@example.org", &task.request_id)).await).refused("REQUEST_ID_REUSED");
    assert_eq!(count(&world, "users").await, 3);
}

async fn a_stranger_who_has_the_id_learns_nothing(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let request = once("ada@example.org", &id());
    send(&replica, &request).await.unwrap();
    // The right email or a wrong one, the wrong password or the right one: the same refusal, and the same end.
    for email in ["ada@example.org", "eve@example.org"] {
        let mut texts = Vec::new();
        for guess in 0..8 {
            let password = format!("a guess of a password {guess}");
            let guess = pb::CreateUserRequest { password, ..once(email, &request.request_id) };
            let status = replica.anonymous().create_user(guess).await.unwrap_err();
            texts.push((status.code(), status.message().to_owned()));
        }
        let refusals = texts.iter().filter(|(_, text)| text.contains("request id")).count();
        assert_eq!(refusals, 6, "{texts:?}");
        assert!(texts[..6].iter().all(|text| *text == texts[0]), "{texts:?}");
        assert!(texts[6..].iter().all(|(code, _)| *code == tonic::Code::ResourceExhausted), "{texts:?}");
    }
    // Who guesses here is held up at the login as well, and the other way round.
    replica.log_in("ada@example.org", "yet another guess").await.refused("LOGIN_THROTTLED");
    let events = "select count(*) from audit_events where type = 7";
    assert_eq!(world.database.query_i64(events).await, 6);
}

async fn a_failed_registration_is_not_remembered(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    replica.register("ada@example.org").await;
    let request_id = id();
    send(&replica, &once("ada@example.org", &request_id)).await.refused("USER_ALREADY_EXISTS");
    let weak = pb::CreateUserRequest { password: "password1".into(), ..once("bob@example.org", &request_id) };
    send(&replica, &weak).await.refused("PASSWORD_COMMON");
    let bob = send(&replica, &once("bob@example.org", &request_id)).await.unwrap();
    for spelled in [request_id.clone(), request_id.to_uppercase()] {
        assert_eq!(send(&replica, &once("bob@example.org", &spelled)).await.unwrap(), bob);
    }
    assert_eq!(count(&world, "users").await, 2);
}

async fn a_registration_is_forgotten_with_its_account(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let request = once("ada@example.org", &id());
    let first = send(&replica, &request).await.unwrap();
    let ada = replica.log_in("ada@example.org", PASSWORD).await.unwrap();
    assert_eq!(count(&world, "requests").await, 1);
    let delete = pb::DeleteUserRequest { name: "users/me".into(), password: PASSWORD.into() };
    answer(replica.users(&ada.access_token).delete_user(delete).await).unwrap();
    assert_eq!(count(&world, "requests").await, 0);
    // The email is free again, for a new account.
    assert_ne!(send(&replica, &request).await.unwrap().name, first.name);
}

/// Sends a registration until it is answered. What must not come is a refusal.
async fn insist(
    replica_users: pb::user_service_client::UserServiceClient<tonic::transport::Channel>,
    request: pb::CreateUserRequest,
) -> pb::User {
    let mut users = replica_users;
    loop {
        match users.create_user(request.clone()).await {
            Ok(answered) => return answered.into_inner(),
            Err(status) => {
                let retried = [tonic::Code::Unavailable, tonic::Code::Aborted];
                assert!(retried.contains(&status.code()), "{status:?}");
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn copies_sent_at_once_make_one_account(database: TestDatabase) {
    let world = World::new(database);
    let (here, there) = (world.replica().await, world.replica().await);
    for round in 0..5 {
        let request = once(&format!("ada{round}@example.org"), &id());
        let mut copies = JoinSet::new();
        for replica in [&here, &there].repeat(8) {
            copies.spawn(insist(replica.anonymous(), request.clone()));
        }
        let answers = copies.join_all().await;
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        assert_eq!(count(&world, "users").await, round + 1);
    }
}

/// Takes what the registration with this id waits for. `rollback` gives it back.
fn hold(database: &TestDatabase, request_id: &str) -> String {
    match database.engine {
        Engine::Sqlite => "begin immediate".to_owned(),
        Engine::Postgres => format!(
            "begin; insert into requests (user_id, request_id, fingerprint, answer, create_time) \
             values ('00000000-0000-0000-0000-000000000000', '{request_id}', '', '', now())"
        ),
    }
}

async fn a_duplicate_waits_for_the_first(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let request = once("ada@example.org", &id());
    let mut holder = world.database.raw().await;
    holder.execute(&hold(&world.database, &request.request_id)).await;
    let mut copies = JoinSet::new();
    for _ in 0..3 {
        let (mut users, request) = (replica.anonymous(), request.clone());
        copies.spawn(async move { users.create_user(request).await.unwrap().into_inner() });
    }
    let waited = tokio::time::timeout(Duration::from_millis(200), copies.join_next()).await;
    assert!(waited.is_err(), "{waited:?}");
    // The first one fails: the next one takes its place.
    holder.execute("rollback").await;
    let answers = copies.join_all().await;
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(count(&world, "users").await, 1);
}

async fn a_duplicate_that_waits_too_long_is_told_so(database: TestDatabase) {
    let short = Duration::from_millis(200);
    let limits = Limits { lock_timeout: short, checkout_timeout: short, ..limits() };
    let world = World::with(database, Setup { limits: Some(limits), ..Setup::default() });
    let replica = world.replica().await;
    let request = once("ada@example.org", &id());
    let mut holder = world.database.raw().await;
    holder.execute(&hold(&world.database, &request.request_id)).await;
    let status = replica.anonymous().create_user(request.clone()).await.unwrap_err();
    let details = tonic_types::StatusExt::get_error_details(&status);
    // SQLite has one lock for everybody: nothing says who holds it, nor which call of this process waits for it first.
    let expected: &[&str] = match world.database.engine {
        Engine::Sqlite => &["STORAGE_UNAVAILABLE", "OVERLOADED"],
        Engine::Postgres => &["REQUEST_IN_PROGRESS"],
    };
    assert!(expected.contains(&details.error_info().unwrap().reason.as_str()), "{status:?}");
    assert!(details.retry_info().is_some(), "{status:?}");
    holder.execute("rollback").await;
    let made = send(&replica, &request).await.unwrap();
    assert_eq!(send(&replica, &request).await.unwrap(), made);
}

async fn a_flood_of_registrations_makes_each_account_once(database: TestDatabase) {
    const ACCOUNTS: usize = 60;
    let world = World::new(database);
    let (here, there) = (world.replica().await, world.replica().await);
    let mut flood = JoinSet::new();
    for number in 0..ACCOUNTS {
        let request = once(&format!("flood{number}@example.org"), &id());
        for replica in [&here, &there, &here] {
            let (users, request) = (replica.anonymous(), request.clone());
            flood.spawn(async move { (number, insist(users, request).await) });
        }
    }
    let mut answers = vec![Vec::new(); ACCOUNTS];
    for (number, user) in flood.join_all().await {
        answers[number].push(user);
    }
    for copies in &answers {
        assert!(copies.len() == 3 && copies.iter().all(|copy| *copy == copies[0]), "{copies:?}");
    }
    let accounts = i64::try_from(ACCOUNTS).unwrap();
    assert_eq!(count(&world, "users").await, accounts);
    assert_eq!(count(&world, "emails").await, accounts);
    let made = "select count(*) from audit_events where type = 1";
    assert_eq!(world.database.query_i64(made).await, accounts);
}

async fn no_column_holds_a_password_that_can_be_guessed_fast(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let request_id = id();
    let fingerprints = || async {
        let hex = match world.database.engine {
            Engine::Sqlite => "select hex(fingerprint) from requests",
            Engine::Postgres => "select encode(fingerprint, 'hex') from requests",
        };
        world.database.query_texts(hex).await
    };
    let mut seen = Vec::new();
    for password in [PASSWORD, "incorrect zebra generator clip"] {
        let request =
            pb::CreateUserRequest { password: password.into(), ..once("ada@example.org", &request_id) };
        send(&replica, &request).await.unwrap();
        seen.push(fingerprints().await);
        let hashes = world.database.query_texts("select password_hash from requests").await;
        assert!(hashes.len() == 1 && hashes[0].starts_with("$argon2id$"), "{hashes:?}");
        let ada = replica.log_in("ada@example.org", password).await.unwrap();
        let delete = pb::DeleteUserRequest { name: "users/me".into(), password: password.into() };
        answer(replica.users(&ada.access_token).delete_user(delete).await).unwrap();
    }
    // Two passwords, one fingerprint: it tells nothing of either.
    assert_eq!(seen[0], seen[1]);
}
