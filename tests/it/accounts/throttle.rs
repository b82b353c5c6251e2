//! Guessing: it gets slow, it ends, and it does not shut out who is known.

use std::time::Duration;

use taskwire::accounts::Passwords;
use taskwire::pb;
use tokio::task::JoinSet;

use super::world::{PASSWORD, Setup, World, answer, cheap, credentials, retry_after};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::Refused as _;

both_engines!(
    the_wait_grows_on_all_replicas_and_a_success_forgets_it,
    a_right_password_forgets_the_wrong_ones_before_it,
    a_refusal_is_remembered_for_a_moment,
    an_unknown_account_is_throttled_alike,
    a_known_address_is_not_shut_out_by_strangers,
    an_address_is_throttled_across_accounts,
    the_other_password_questions_count_as_well,
    a_forged_address_is_not_believed,
    concurrent_logins_are_bounded,
);

fn gateway() -> Setup {
    Setup { proxies: vec!["127.0.0.0/8".parse().unwrap()], ..Default::default() }
}

async fn the_wait_grows_on_all_replicas_and_a_success_forgets_it(database: TestDatabase) {
    let world = World::with(database, gateway());
    let (here, there) = (world.replica().await, world.replica().await);
    here.sign_up("ada@example.org", PASSWORD).await.unwrap();
    let wrong = credentials("Ada@Example.org", "wrong password");
    let mut users = here.at_address("192.0.2.1");
    for _ in 0..6 {
        answer(users.login(wrong.clone()).await).refused("CREDENTIALS_INVALID");
    }
    for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
        let wait = Duration::from_secs(wait);
        assert_eq!(retry_after(users.login(wrong.clone()).await), wait);
        // Even the right password is not looked at, on whichever replica.
        let right = credentials("ada@example.org", PASSWORD);
        assert_eq!(retry_after(there.at_address("192.0.2.2").login(right).await), wait);
        world.hand.advance(wait);
        answer(users.login(wrong.clone()).await).refused("CREDENTIALS_INVALID");
    }
    world.hand.advance(Duration::from_secs(900));
    answer(users.login(credentials("ada@example.org", PASSWORD)).await).unwrap();
    // As many are free again as at first.
    for _ in 0..6 {
        answer(users.login(wrong.clone()).await).refused("CREDENTIALS_INVALID");
    }
    assert_eq!(retry_after(users.login(wrong).await), Duration::from_secs(1));
}

async fn an_unknown_account_is_throttled_alike(database: TestDatabase) {
    let world = World::with(database, gateway());
    let replica = world.replica().await;
    let mut users = replica.at_address("192.0.2.1");
    let nobody = credentials("nobody@example.org", "wrong password");
    for _ in 0..6 {
        answer(users.login(nobody.clone()).await).refused("CREDENTIALS_INVALID");
    }
    assert_eq!(retry_after(users.login(nobody).await), Duration::from_secs(1));
    assert_eq!(world.database.query_i64("select count(*) from audit_events").await, 0);
}

async fn a_known_address_is_not_shut_out_by_strangers(database: TestDatabase) {
    let world = World::with(database, gateway());
    let replica = world.replica().await;
    replica.sign_up("ada@example.org", PASSWORD).await.unwrap();
    let right = credentials("ada@example.org", PASSWORD);
    let mut home = replica.at_address("198.51.100.7");
    answer(home.login(right.clone()).await).unwrap();
    for number in 0..6 {
        let mut stranger = replica.at_address(&format!("192.0.2.{number}"));
        let wrong = credentials("ada@example.org", "wrong password");
        answer(stranger.login(wrong).await).refused("CREDENTIALS_INVALID");
    }
    retry_after(replica.at_address("192.0.2.99").login(right.clone()).await);
    answer(home.login(right).await).unwrap();
}

async fn an_address_is_throttled_across_accounts(database: TestDatabase) {
    let world = World::with(database, gateway());
    let replica = world.replica().await;
    replica.sign_up("ada@example.org", PASSWORD).await.unwrap();
    for number in 0..51 {
        // One network of 64 bits is one address.
        let mut users = replica.at_address(&format!("2001:db8::{number:x}"));
        let wrong = credentials(&format!("user{number}@example.org"), "wrong password");
        answer(users.login(wrong).await).refused("CREDENTIALS_INVALID");
    }
    let right = credentials("ada@example.org", PASSWORD);
    retry_after(replica.at_address("2001:db8::ffff").login(right.clone()).await);
    answer(replica.at_address("2001:db8:0:1::1").login(right.clone()).await).unwrap();
    // A wait that is over is over, also where it was known of a moment ago.
    world.hand.advance(Duration::from_secs(2));
    answer(replica.at_address("2001:db8::ffff").login(right).await).unwrap();
}

async fn the_other_password_questions_count_as_well(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let ada = replica.register("ada@example.org").await;
    let mut users = replica.users(&ada.access_token);
    for number in 0..6 {
        if number % 2 == 0 {
            let request = pb::ChangePasswordRequest {
                name: "users/me".into(),
                current_password: "wrong password".into(),
                new_password: "another good one".into(),
            };
            answer(users.change_password(request).await).refused("CREDENTIALS_INVALID");
        } else {
            let request = pb::DeleteUserRequest { name: "users/me".into(), password: "wrong".into() };
            answer(users.delete_user(request).await).refused("CREDENTIALS_INVALID");
        }
    }
    let request = pb::DeleteUserRequest { name: "users/me".into(), password: PASSWORD.into() };
    retry_after(users.delete_user(request).await);
    replica.probe(&ada.access_token).await.unwrap();
}

async fn a_forged_address_is_not_believed(database: TestDatabase) {
    // No gateway is trusted.
    let world = World::new(database);
    let replica = world.replica().await;
    replica.sign_up("ada@example.org", PASSWORD).await.unwrap();
    let login = replica.at_address("203.0.113.9").login(credentials("ada@example.org", PASSWORD)).await;
    assert_eq!(answer(login).unwrap().session.unwrap().peer, "127.0.0.1");
}

async fn concurrent_logins_are_bounded(database: TestDatabase) {
    // One at a time and four that wait; with a cost that lets them meet.
    let params = argon2::Params::new(4 * 1024, 2, 1, None).unwrap();
    let passwords = Passwords::with_params(1, params);
    let world = World::with(database, Setup { passwords: Some(passwords), ..Default::default() });
    let replica = world.replica().await;
    let ada = replica.register("ada@example.org").await;
    let mut flood = JoinSet::new();
    for _ in 0..100 {
        let mut users = replica.anonymous();
        flood.spawn(async move {
            users.login(credentials("ada@example.org", PASSWORD)).await.map_err(|status| status.code())
        });
    }
    // Others are heard meanwhile.
    replica.probe(&ada.access_token).await.unwrap();
    let answers = flood.join_all().await;
    let refused = answers.iter().filter(|answer| answer.is_err()).count();
    assert!(answers.iter().any(Result::is_ok));
    assert!(
        answers.iter().flat_map(|answer| answer.as_ref().err()).all(|code| *code == tonic::Code::Unavailable)
    );
    assert!(refused < 100);
    let _ = cheap();
}

async fn a_right_password_forgets_the_wrong_ones_before_it(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let ada = replica.register("ada@example.org").await;
    let wrong = async || replica.log_in("ada@example.org", "wrong password").await.map(drop);
    let mut users = replica.users(&ada.access_token);
    let mut password = PASSWORD.to_owned();
    for turn in 0..4 {
        for _ in 0..6 {
            wrong().await.refused("CREDENTIALS_INVALID");
        }
        assert_eq!(wrong().await.unwrap_err().reason, "LOGIN_THROTTLED", "{turn}");
        world.hand.advance(Duration::from_secs(1));
        // Whether it comes with a login or with another question.
        if turn % 2 == 0 {
            replica.log_in("ada@example.org", &password).await.unwrap();
        } else {
            let (current_password, new_password) = (password.clone(), format!("{PASSWORD} {turn}"));
            password = new_password.clone();
            let request =
                pb::ChangePasswordRequest { name: "users/me".into(), current_password, new_password };
            answer(users.change_password(request).await).unwrap();
        }
    }
}

async fn a_refusal_is_remembered_for_a_moment(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    replica.sign_up("ada@example.org", PASSWORD).await.unwrap();
    let login = async |password: &str| replica.log_in("ada@example.org", password).await;
    for wait in [1, 2, 4, 8] {
        for _ in 0..6 {
            let _ = login("wrong password").await;
        }
        world.hand.advance(Duration::from_secs(wait));
        login("wrong password").await.refused("CREDENTIALS_INVALID");
    }
    // It has to wait for sixteen seconds.
    assert_eq!(login(PASSWORD).await.unwrap_err().reason, "LOGIN_THROTTLED");
    // The database need not be asked again, for five seconds: what happens there meanwhile is not seen.
    world.database.execute("delete from login_throttles").await;
    for _ in 0..2 {
        assert_eq!(login(PASSWORD).await.unwrap_err().reason, "LOGIN_THROTTLED");
        world.hand.advance(Duration::from_millis(2500));
    }
    login(PASSWORD).await.unwrap();
}
