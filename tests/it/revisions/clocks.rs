//! Replicas on machines whose clocks differ: they go by the database's.

use std::time::{Duration, Instant};

use taskwire::domain::machine_time;
use taskwire::pb;
use tonic::transport::Channel;

use super::harness::replica::{Replica, Tasks, User, World};
use super::*;
use crate::support::database::TestDatabase;
use crate::support::one_engine;

one_engine!(Postgres: replicas_agree_on_sessions, replicas_agree_on_times, a_clock_set_right_refuses_tokens_of_before);

/// By how many seconds the other replica's machine is ahead.
const APART: [i64; 5] = [0, 90, -90, 240, -240];
/// Within which a session that ended is refused everywhere.
const EVERYWHERE: Duration = Duration::from_secs(5);

async fn refused_in_time(mut tasks: Tasks, what: &str) {
    let begin = Instant::now();
    loop {
        match tasks.list_task_changes(listing(0, 1)).await {
            Err(status) => return assert_eq!(reason(&status), "SESSION_REVOKED", "{what}"),
            Ok(_) => assert!(begin.elapsed() < EVERYWHERE, "{what}: the session lives on"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn works(replica: &Replica, user: &User, what: &str) {
    let listed = replica.tasks(user).list_task_changes(listing(0, 1)).await;
    assert!(listed.is_ok(), "{what}: {listed:?}");
}

async fn replicas_agree_on_sessions(database: TestDatabase) {
    let world = World::on(&database.url);
    let here = world.serve_ahead(0).await;
    for apart in APART {
        let there = world.serve_ahead(apart).await;
        let email = format!("{}@example.org", apart + 1000);
        let at = |replica: &Replica| -> Channel { replica.channel() };
        User::register(at(&here), &email).await;
        for (one, other, what) in [(&here, &there, "begun here"), (&there, &here, "begun there")] {
            let what = format!("{apart} s apart, {what}");
            // A fresh token of either works at the other.
            let user = User::log_in(at(one), &email).await;
            works(one, &user, &what).await;
            works(other, &user, &what).await;
            // A session that ends at either is refused by the other.
            user.log_out(at(one)).await;
            refused_in_time(other.tasks(&user), &what).await;
            let user = User::log_in(at(one), &email).await;
            works(other, &user, &what).await;
            user.log_out(at(other)).await;
            refused_in_time(one.tasks(&user), &what).await;
        }
        there.stop().await;
    }
}

async fn replicas_agree_on_times(database: TestDatabase) {
    let world = World::on(&database.url);
    let here = world.serve_ahead(0).await;
    let user = here.register("one@example.org").await;
    let micros = |time: Option<prost_types::Timestamp>| {
        let time = time.unwrap();
        time.seconds * 1_000_000 + i64::from(time.nanos / 1000)
    };
    for apart in APART {
        let there = world.serve_ahead(apart).await;
        for (one, other) in [(&here, &there), (&there, &here)] {
            let begin = machine_time().as_micros();
            let made = create(&mut one.tasks(&user), "one").await;
            let next = pb::Task { name: made.name, completed: true, ..titled("one") };
            let task = other.tasks(&user).update_task(change(next, &[])).await.unwrap().into_inner();
            let end = machine_time().as_micros();
            let times = [made.create_time, task.update_time, task.complete_time].map(micros);
            assert!(times.is_sorted(), "{apart} s apart: {times:?}");
            // The server is on this very machine, so its clock is known.
            let slack = 100_000;
            assert!(
                times.iter().all(|time| (begin - slack..end + slack).contains(time)),
                "{apart}: {times:?}"
            );
        }
        there.stop().await;
    }
}

/// What was verified while the clock was wrong is not believed once it is right.
async fn a_clock_set_right_refuses_tokens_of_before(database: TestDatabase) {
    let world = World::on(&database.url);
    let here = world.serve_ahead(0).await;
    let user = here.register("one@example.org").await;
    works(&here, &user, "a fresh token").await;
    // A test's hand on the reference: the database had been four minutes ahead.
    let clock = here.services.storage.clock();
    let now = clock.now().as_micros();
    let before = taskwire::domain::Timestamp::from_micros(now - 240_000_000).unwrap();
    clock.hold_to(before, Instant::now());
    let refused = here.services.tokens.verify(&user.access_token());
    assert_eq!(refused.unwrap_err(), taskwire::domain::Error::TokenInvalid);
}
