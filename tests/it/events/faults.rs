//! What is told while the disk is full and while the clock steps: everything, in order, and nothing waits for ever.

use std::time::Duration;

use super::receiver::{Answer, Receiver};
use super::{ALL, add, failed, hook};
use crate::storage::eventually;
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::server::{PASSWORD, Session, TestServer};
use taskwire::pb;

both_engines!(a_full_disk_loses_no_event, a_clock_that_steps_loses_no_event);

const HOUR: Duration = Duration::from_secs(60 * 60);

/// How often the storage was full so far.
fn full(server: &TestServer) -> u64 {
    let counts = server.database.storage.errors().counts();
    counts.filter(|(kind, _)| *kind == "full").map(|(_, count)| count).sum()
}

/// Makes a task; answers whether there was room for it.
async fn try_to_add(session: &Session, title: &str) -> bool {
    let task = pb::Task { title: title.to_owned(), ..pb::Task::default() };
    let request = pb::CreateTaskRequest {
        parent: "users/me".to_owned(),
        task: Some(task),
        ..pb::CreateTaskRequest::default()
    };
    match crate::support::server::answer(session.tasks().create_task(request).await) {
        Ok(_) => true,
        Err(refusal) => {
            assert_eq!(refusal.reason, "STORAGE_FULL", "{refusal:?}");
            false
        }
    }
}

/// Reads until these titles were taken, each user's in order: of what comes again none comes before its time.
async fn take(receiver: &mut Receiver, expected: &[Vec<String>; 2]) {
    let mut taken = [0, 0];
    while expected.iter().zip(taken).any(|(titles, taken)| taken < titles.len()) {
        let message = receiver.next().await;
        let title = message.title();
        let of = usize::from(title.starts_with("bob"));
        let at = expected[of].iter().position(|one| *one == title).expect("nobody was told that it is there");
        assert!(at <= taken[of], "{title} comes after {} of {:?}", taken[of], expected[of]);
        if message.was_taken {
            taken[of] = taken[of].max(at + 1);
        }
    }
}

/// A write that finds no room anywhere on the way of an event: from the change to the word that it was taken.
async fn a_full_disk_loses_no_event(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let people = [server.register("ada@example.org").await, server.register("bob@example.org").await];
    let mut receiver = Receiver::start().await;
    for one in &people {
        hook(one, &receiver, &ALL).await;
    }
    let mut titles = [Vec::new(), Vec::new()];
    for (round, (table, write)) in [
        ("outbox", "insert"),
        ("event_head", "update"),
        ("events", "insert"),
        ("webhook_queues", "insert"),
        ("outbox", "delete"),
        ("webhooks", "update"),
        ("webhook_queues", "update"),
        ("webhook_queues", "delete"),
    ]
    .into_iter()
    .enumerate()
    {
        let before = full(&server);
        server.database.fill_up(table, write).await;
        // One that has to be noted as not taken.
        receiver.will([Answer::status(500)]);
        for (of, (session, name)) in people.iter().zip(["ada", "bob"]).enumerate() {
            for number in 0..3 {
                let title = format!("{name} {round} {number}");
                if try_to_add(session, &title).await {
                    titles[of].push(title);
                }
            }
        }
        eventually("there was no room", async || full(&server) > before).await;
        server.database.make_room(table).await;
        // Once somebody can write again, nothing waits for anything but the time after the failure.
        for (session, (of, name)) in people.iter().zip([(0, "ada"), (1, "bob")]) {
            let title = format!("{name} {round} at last");
            assert!(try_to_add(session, &title).await, "there is room");
            titles[of].push(title);
        }
        let counted = "select count(*) from webhook_queues where attempts > 0";
        let none_left = "select (select count(*) from outbox) + (select count(*) from webhook_queues)";
        let mut has_waited = false;
        eventually("all is told", async || {
            if !has_waited && server.database.query_i64(counted).await > 0 {
                server.clock.advance(Duration::from_secs(5));
                has_waited = true;
            }
            server.database.query_i64(none_left).await == 0
        })
        .await;
    }
    assert!(titles.iter().all(|titles| titles.len() == 3 * 7 + 8), "{titles:?}");
    take(&mut receiver, &titles).await;
    server.database.assert_sound().await;
}

async fn a_clock_that_steps_loses_no_event(database: TestDatabase) {
    const EMAIL: &str = "ada@example.org";
    let server = TestServer::start(database).await;
    let ada = server.register(EMAIL).await;
    let mut receiver = Receiver::start().await;
    let (webhook, _) = hook(&ada, &receiver, &ALL).await;
    // Tokens of another time are none: whoever is there after a step logs in again.
    let fresh = async || server.log_in(EMAIL, PASSWORD).await.unwrap();
    let not_taken = async |session: &Session, receiver: &mut Receiver, title: &str| {
        receiver.will([Answer::status(500)]);
        add(session, title).await;
        assert_eq!(receiver.next().await.title(), title);
        failed(session, &webhook.name, 1).await;
    };

    // Forward: what waits for its next attempt waits no longer.
    not_taken(&ada, &mut receiver, "one").await;
    server.clock.advance(HOUR);
    assert_eq!(receiver.next().await.title(), "one");
    let ada = fresh().await;
    add(&ada, "two").await;
    assert_eq!(receiver.next().await.title(), "two");

    // Back: what comes then is told at once.
    server.clock.set_back(HOUR);
    let ada = fresh().await;
    add(&ada, "three").await;
    assert_eq!(receiver.next().await.title(), "three");

    // What waits waits until its time has come again, and what comes after it does as well.
    not_taken(&ada, &mut receiver, "four").await;
    server.clock.set_back(HOUR);
    let ada = fresh().await;
    add(&ada, "five").await;
    server.clock.advance(HOUR + Duration::from_secs(5));
    assert_eq!(receiver.next().await.title(), "four");
    assert_eq!(receiver.next().await.title(), "five");

    // After a step that is longer than any wait it waits no longer.
    let ada = fresh().await;
    not_taken(&ada, &mut receiver, "six").await;
    server.clock.set_back(10 * HOUR);
    assert_eq!(receiver.next().await.title(), "six");
    let ada = fresh().await;
    add(&ada, "seven").await;
    assert_eq!(receiver.next().await.title(), "seven");
    let left = "select (select count(*) from outbox) + (select count(*) from webhook_queues)";
    eventually("all is told", async || server.database.query_i64(left).await == 0).await;
    assert!(receiver.is_silent());
    server.database.assert_sound().await;
}
