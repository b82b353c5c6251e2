//! Many at once, with the same code: one of them is let in.

use futures_util::future::join_all;
use taskwire::pb::complete_login_request::Proof;

use super::second_factor::{Guarded, challenge, code, complete, guarded, patient, regenerate, with_recovery};
use super::world::{Replica, World};
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(
    a_recovery_code_is_spent_once_by_fifty,
    a_code_is_spent_once_by_fifty,
    fifty_tries_at_once_are_ten,
    a_code_that_is_replaced_is_used_before_or_never,
);

const CALLERS: usize = 50;

/// What so many were answered who show this at once, each on a challenge of their own.
async fn all_at_once(replicas: [&Replica; 2], ada: &Guarded, proof: Proof) -> Vec<String> {
    let mut challenges = Vec::new();
    for _ in 0..CALLERS {
        challenges.push(challenge(replicas[0], &ada.email).await);
    }
    let calls = challenges.iter().enumerate().map(|(number, challenge)| {
        let proof = proof.clone();
        async move {
            let answered = complete(replicas[number % 2], challenge, proof).await;
            answered.map_or_else(|refusal| refusal.reason, |_| "OK".to_owned())
        }
    });
    join_all(calls).await
}

fn count(answers: &[String], wanted: &str) -> usize {
    answers.iter().filter(|answer| *answer == wanted).count()
}

async fn a_recovery_code_is_spent_once_by_fifty(database: TestDatabase) {
    let world = World::with(database, patient());
    let (here, there) = (world.replica().await, world.replica().await);
    let ada = guarded(&world, &here, "ada@example.org").await;
    for code in &ada.recovery_codes[..3] {
        let answers = all_at_once([&here, &there], &ada, Proof::RecoveryCode(code.clone())).await;
        assert_eq!((count(&answers, "OK"), count(&answers, "CODE_INVALID")), (1, CALLERS - 1), "{answers:?}");
    }
    assert_eq!(world.database.query_i64("select count(*) from recovery_codes").await, 7);
    let logins = "select count(*) from audit_events where type = 19";
    assert_eq!(world.database.query_i64(logins).await, 3, "each is told of once");
}

async fn a_code_is_spent_once_by_fifty(database: TestDatabase) {
    let world = World::with(database, patient());
    let (here, there) = (world.replica().await, world.replica().await);
    let ada = guarded(&world, &here, "ada@example.org").await;
    world.hand.advance(std::time::Duration::from_secs(60));
    let present = code(&world, &ada.secret, 0);
    let answers = all_at_once([&here, &there], &ada, Proof::Code(present)).await;
    assert_eq!((count(&answers, "OK"), count(&answers, "CODE_INVALID")), (1, CALLERS - 1), "{answers:?}");
}

async fn fifty_tries_at_once_are_ten(database: TestDatabase) {
    let world = World::with(database, patient());
    let (here, there) = (world.replica().await, world.replica().await);
    let ada = guarded(&world, &here, "ada@example.org").await;
    let waiting = challenge(&here, &ada.email).await;
    let tries = (0..CALLERS).map(|number| {
        let replica = if number % 2 == 0 { &here } else { &there };
        let (waiting, code) = (&waiting, format!("{number:06}"));
        async move { complete(replica, waiting, Proof::Code(code)).await.unwrap_err().reason }
    });
    let answers = join_all(tries).await;
    let expected = (10, CALLERS - 10);
    assert_eq!((count(&answers, "CODE_INVALID"), count(&answers, "CHALLENGE_INVALID")), expected);
    // The same challenge and the right code, at once: one login.
    let waiting = challenge(&here, &ada.email).await;
    let right = &ada.recovery_codes[0];
    let logins = (0..8).map(|_| with_recovery(&there, &waiting, right));
    assert_eq!(join_all(logins).await.iter().filter(|login| login.is_ok()).count(), 1);
}

async fn a_code_that_is_replaced_is_used_before_or_never(database: TestDatabase) {
    let world = World::with(database, patient());
    let replica = world.replica().await;
    for round in 0..5 {
        let ada = guarded(&world, &replica, &format!("ada{round}@example.org")).await;
        let waiting = challenge(&replica, &ada.email).await;
        let token = &ada.pair.access_token;
        let (_, login) = tokio::join!(
            regenerate(&replica, token),
            with_recovery(&replica, &waiting, &ada.recovery_codes[0])
        );
        // Whichever came first: the old codes are gone, all ten new ones are there.
        if let Err(refusal) = login {
            assert_eq!(refusal.reason, "CODE_INVALID");
        }
        let codes = world.database.query_i64("select count(*) from recovery_codes").await;
        assert_eq!(codes, 10 * (round + 1));
    }
}
