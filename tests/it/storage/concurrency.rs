//! Many at once: races have one winner, the books stay right, and who goes away breaks nothing.

use std::time::Duration;

use taskwire::domain::{
    Device, Error, NewSession, NewTask, Result, SessionId, Task, TaskId, TaskPatch, TaskWrite, UserPatch,
};
use tokio::task::JoinSet;

use super::sessions::step;
use super::writes::mismatch;
use super::{Person, QUOTA, at, email, eventually, new_user, page_size, query, task, title};
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(
    fifty_writers_of_one_owner_leave_no_gap,
    writers_of_many_owners_do_not_disturb_each_other,
    replicas_share_one_count,
    one_of_many_updates_with_one_etag_wins,
    one_of_many_creates_of_one_id_wins,
    quota_holds_under_pressure,
    one_of_many_accounts_with_one_email_wins,
    racing_changes_of_an_account_lose_nothing,
    one_of_many_rotations_wins,
    one_of_many_rotations_and_a_revocation_agree,
    abandoned_writes_are_carried_out,
    abandoned_writes_in_a_lane_are_whole_or_absent,
    nobody_waits_in_a_lane_once_all_are_answered_or_gone,
    abandoned_reads_leave_the_connections_usable,
    readers_see_whole_transactions,
);

async fn fifty_writers_of_one_owner_leave_no_gap(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let shared = ada.create(task("shared"), at(0)).await;
    let mut writers = JoinSet::new();
    let everywhere = ada.everywhere(&database);
    for number in 0..50 {
        let ada = everywhere[number % 3].clone();
        writers.spawn(async move {
            match number % 5 {
                0 => {
                    let patch =
                        TaskPatch { title: Some(title(&format!("by {number}"))), ..TaskPatch::default() };
                    vec![ada.update(shared.id, patch, at(1)).await.unwrap().revision]
                }
                1 => {
                    let brief = ada.create(task("brief"), at(1)).await;
                    vec![brief.revision, ada.delete(brief.id, at(2)).await.unwrap().revision]
                }
                _ => vec![ada.create(task("one more"), at(1)).await.revision],
            }
        });
    }
    let mut revisions = writers.join_all().await.concat();
    revisions.sort_unstable();
    assert_eq!(
        revisions,
        (2..=61).collect::<Vec<i64>>(),
        "each number is given out once, and none is left out"
    );
    assert_eq!(ada.revision().await, 61);
    assert_eq!(ada.live_tasks(&database).await, 31);
    ada.check_books(&database).await;
}

async fn writers_of_many_owners_do_not_disturb_each_other(database: TestDatabase) {
    let mut people = Vec::new();
    for number in 0..5 {
        people.push(Person::new(&database, &format!("person{number}")).await);
    }
    let mut writers = JoinSet::new();
    // All use the same ids, so that a statement that forgets the owner would meet another's row.
    for number in 0..10 {
        for person in people.clone() {
            writers.spawn(async move {
                let id = TaskId::from_bytes([number; 16]);
                person.create(NewTask { id, ..task("mine") }, at(1)).await;
                person.delete(id, at(2)).await.unwrap();
                person.undelete(id, at(3)).await.unwrap();
            });
        }
    }
    writers.join_all().await;
    for person in people {
        assert_eq!(person.revision().await, 30);
        person.check_books(&database).await;
    }
}

async fn replicas_share_one_count(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let elsewhere = ada.through(&database, 0);
    let mut writers = JoinSet::new();
    for number in 0..30 {
        let person = if number % 2 == 0 { ada.clone() } else { elsewhere.clone() };
        writers.spawn(async move { person.create(task("from anywhere"), at(1)).await.revision });
    }
    let mut revisions = writers.join_all().await;
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=30).collect::<Vec<i64>>());
    ada.check_books(&database).await;
}

/// Runs these writes at once, at three replicas; answers the results.
async fn race(
    everywhere: &[Person; 3],
    quota: i64,
    writes: impl IntoIterator<Item = TaskWrite>,
) -> Vec<Result<Option<Task>>> {
    let mut racing = JoinSet::new();
    for (number, write) in writes.into_iter().enumerate() {
        let ada = everywhere[number % 3].clone();
        racing.spawn(async move { ada.write_within(quota, write, at(1)).await });
    }
    racing.join_all().await
}

async fn one_of_many_updates_with_one_etag_wins(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let created = ada.create(task("contended"), at(0)).await;
    let updates = (0..30).map(|number| TaskWrite::Update {
        id: created.id,
        patch: Box::new(TaskPatch { title: Some(title(&format!("by {number}"))), ..TaskPatch::default() }),
        etag: Some(created.etag()),
    });
    let results = race(&ada.everywhere(&database), QUOTA, updates).await;
    let winners: Vec<&Task> = results.iter().filter_map(|result| result.as_ref().ok()?.as_ref()).collect();
    assert_eq!(winners.len(), 1);
    let lost = Err(mismatch(winners[0]));
    assert_eq!(results.iter().filter(|result| **result == lost).count(), 29);
    assert_eq!(ada.find(created.id).await.as_ref(), Ok(winners[0]));
    ada.check_books(&database).await;
}

async fn one_of_many_creates_of_one_id_wins(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let id = TaskId::generate();
    let creates =
        (0..30).map(|number| TaskWrite::Create(Box::new(NewTask { id, ..task(&format!("by {number}")) })));
    let results = race(&ada.everywhere(&database), QUOTA, creates).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(results.iter().filter(|result| **result == Err(Error::TaskAlreadyExists)).count(), 29);
    assert_eq!(ada.revision().await, 1);
    ada.check_books(&database).await;
}

async fn quota_holds_under_pressure(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let results =
        race(&ada.everywhere(&database), 10, (0..30).map(|_| TaskWrite::Create(Box::new(task("one more")))))
            .await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 10);
    let refused = Err(Error::QuotaExceeded { limit: 10 });
    assert_eq!(results.iter().filter(|result| **result == refused).count(), 20);
    assert_eq!(ada.live_tasks(&database).await, 10);
    ada.check_books(&database).await;
}

async fn one_of_many_accounts_with_one_email_wins(database: TestDatabase) {
    let mut racing = JoinSet::new();
    for number in 0..20 {
        let storage = database.storage.clone();
        let address = if number % 2 == 0 { "stra\u{df}e@example.org" } else { "STRASSE@EXAMPLE.ORG" };
        racing.spawn(async move {
            storage.users().create(new_user(address), format!("hash {number}"), at(0)).await
        });
    }
    let results = racing.join_all().await;
    let winners: Vec<_> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(results.iter().filter(|result| **result == Err(Error::UserAlreadyExists)).count(), 19);
    let account =
        database.storage.users().find_by_email(&email("strasse@example.org")).await.unwrap().unwrap();
    assert_eq!(account.user, *winners[0]);
    assert_eq!(database.query_i64("select count(*) from users").await, 1);
}

async fn racing_changes_of_an_account_lose_nothing(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let mut racing = JoinSet::new();
    for number in 0..20 {
        let (storage, user) = (database.storage.clone(), ada.user());
        let patch =
            UserPatch { email: Some(email(&format!("ada{number}@example.org"))), ..UserPatch::default() };
        racing.spawn(async move { storage.users().update(user, patch, at(1)).await });
    }
    let mut stored = 0;
    for result in racing.join_all().await {
        match result {
            Ok(_) => stored += 1,
            Err(error) => assert_eq!(error, Error::Conflict),
        }
    }
    let user = database.storage.users().find(ada.user()).await.unwrap();
    assert!(stored >= 1);
    assert_eq!(user.version, 1 + stored, "each change that was reported counts");
    let keys = database.query_texts("select email_key from emails").await;
    assert_eq!(keys, [user.email.key()], "one address is held, and it is the account's");
}

async fn opened(database: &TestDatabase, ada: &Person) -> taskwire::domain::Session {
    let new = NewSession {
        id: SessionId::generate(),
        user: ada.user(),
        device: Device::default(),
        peer: String::new(),
        create_time: at(0),
        expire_time: at(1000),
        family_hash: b"family".to_vec(),
        refresh_hash: b"first".to_vec(),
    };
    database.storage.sessions().create(new).await.unwrap()
}

async fn one_of_many_rotations_wins(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let session = opened(&database, &ada).await;
    let mut racing = JoinSet::new();
    for number in 0..20 {
        let storage = database.storage.clone();
        let successor = format!("second {number}");
        let step = step(&session, "first", &successor, at(1));
        racing.spawn(async move { (storage.sessions().rotate(step).await.unwrap(), successor) });
    }
    let results = racing.join_all().await;
    let winners: Vec<&String> =
        results.iter().filter(|(won, _)| *won).map(|(_, successor)| successor).collect();
    assert_eq!(winners.len(), 1);
    let stored = database.storage.sessions().find(ada.user(), session.id).await.unwrap().unwrap();
    assert_eq!(stored.secrets.current, winners[0].as_bytes());
}

async fn one_of_many_rotations_and_a_revocation_agree(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let session = opened(&database, &ada).await;
    let mut racing = JoinSet::new();
    for number in 0..10 {
        let storage = database.storage.clone();
        let step = step(&session, "first", &format!("second {number}"), at(1));
        racing.spawn(async move { storage.sessions().rotate(step).await.unwrap() });
    }
    database.storage.sessions().revoke(ada.user(), session.id, at(2)).await.unwrap();
    let won = racing.join_all().await.into_iter().filter(|won| *won).count();
    let stored = database.storage.sessions().find(ada.user(), session.id).await.unwrap().unwrap();
    assert_eq!(stored.revoke_time, Some(at(2)), "a rotation at the same time does not revive it");
    assert_eq!(won, usize::from(stored.secrets.previous.is_some()));
}

/// Begins writes and drops each at a different place.
async fn abandon_writes(ada: &Person) {
    for round in 0..40_u32 {
        let write = ada.write(TaskWrite::Create(Box::new(task("abandoned"))), at(1));
        let _ = tokio::time::timeout(Duration::from_micros(u64::from(round) * 50), write).await;
    }
}

async fn abandoned_writes_are_carried_out(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await.through(&database, 0);
    abandon_writes(&ada).await;
    // Each was begun, so each goes on without its caller.
    eventually("all writes are through", async || ada.revision().await == 40).await;
    assert_eq!(ada.create(task("next"), at(2)).await.revision, 41);
    assert_eq!(ada.live_tasks(&database).await, 41);
    ada.check_books(&database).await;
}

async fn abandoned_writes_in_a_lane_are_whole_or_absent(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    abandon_writes(&ada).await;
    // A lane keeps a user's order, so what comes last finds the others done with, one way or the other.
    let last = ada.create(task("last"), at(2)).await;
    assert!((1..=41).contains(&last.revision), "{last:?}");
    assert_eq!(ada.list(&query()).await.tasks.len(), usize::try_from(last.revision).unwrap());
    ada.check_books(&database).await;
}

async fn nobody_waits_in_a_lane_once_all_are_answered_or_gone(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    abandon_writes(&ada).await;
    let last = ada.create(task("last"), at(2)).await;
    assert!(ada.find(last.id).await.is_ok());
    for (lane, metrics) in database.storage.lane_metrics() {
        assert_eq!(metrics.waiting.load(std::sync::atomic::Ordering::Relaxed), 0, "the {lane} lane");
    }
}

async fn abandoned_reads_leave_the_connections_usable(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let created = ada.create(task("wanted"), at(0)).await;
    for round in 0..60_u32 {
        let within = Duration::from_micros(u64::from(round) * 20);
        let _ = tokio::time::timeout(within, ada.find(created.id)).await;
        let _ = tokio::time::timeout(within, ada.list(&query())).await;
        let _ =
            tokio::time::timeout(within, database.storage.users().find_by_email(&email("ada@example.org")))
                .await;
    }
    // More at once than there are connections, so that each of those is asked.
    let mut readers = JoinSet::new();
    for _ in 0..20 {
        let ada = ada.clone();
        readers.spawn(async move { ada.find(created.id).await });
    }
    for found in readers.join_all().await {
        assert_eq!(found.as_ref(), Ok(&created));
    }
}

async fn readers_see_whole_transactions(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let created = ada.create(task("round 0"), at(0)).await;
    let writer = {
        let ada = ada.clone();
        tokio::spawn(async move {
            for round in 1..=60 {
                let patch =
                    TaskPatch { title: Some(title(&format!("round {round}"))), ..TaskPatch::default() };
                let write = TaskWrite::Update { id: created.id, patch: Box::new(patch), etag: None };
                ada.write(write, at(round)).await.unwrap();
            }
        })
    };
    let mut last = 0;
    while last < 61 {
        let page = ada.list(&taskwire::domain::TaskQuery { page_size: page_size(1), ..query() }).await;
        let seen = &page.tasks[0];
        assert_eq!(
            seen.title.as_str(),
            format!("round {}", seen.revision - 1),
            "title and number belong together"
        );
        assert!(seen.revision >= last, "what was read once is never unread");
        last = seen.revision;
        let counted = ada.revision().await;
        assert!(counted >= last, "the counter is never behind its tasks");
    }
    writer.await.unwrap();
    ada.check_books(&database).await;
}
