//! Reminders as the job that tells them sees them.

use taskwire::domain::{NewTask, Reminder, Reminders, TaskPatch};
use taskwire::storage::Listener;

use super::{Person, at, task, title};
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(
    a_change_at_the_last_moment_loses_no_reminder,
    of_two_that_tell_one_does,
    those_that_passed_are_none
);

fn remembered(seconds: &[i64]) -> NewTask {
    let reminders = seconds.iter().map(|seconds| Reminder::At(at(*seconds))).collect();
    NewTask { reminders: Reminders::parse(reminders).unwrap(), ..task("to be remembered") }
}

async fn a_change_at_the_last_moment_loses_no_reminder(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let id = ada.create(remembered(&[60]), at(0)).await.id;
    // Its time has come, and nobody has told it yet.
    ada.update(id, TaskPatch { title: Some(title("another")), ..TaskPatch::default() }, at(61))
        .await
        .unwrap();
    let due = ada.storage.reminders().due(at(61), 10).await.unwrap();
    assert_eq!(due, [(ada.user(), id, at(60).as_micros())]);
    assert_eq!(ada.storage.reminders().due(at(59), 10).await.unwrap(), []);
    ada.check_books(&database).await;
}

async fn of_two_that_tell_one_does(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    ada.storage.listeners().add(Listener::Streams, at(0)).await.unwrap();
    let id = ada.create(remembered(&[60, 90]), at(0)).await.id;
    let before = ada.find(id).await.unwrap();
    let other = ada.through(&database, 0);
    let tell = |person: &Person| {
        let storage = person.storage.clone();
        let user = person.user();
        async move { storage.reminders().tell(user, vec![(id, at(60).as_micros())], at(61)).await }
    };
    let (one, two) = tokio::join!(tell(&ada), tell(&other));
    one.and(two).unwrap();
    assert_eq!(database.query_i64("select count(*) from outbox where kind = 2").await, 1);
    let after = ada.find(id).await.unwrap();
    assert_eq!((after.etag(), after.remind_time), (before.etag(), Some(at(90))));
    ada.check_books(&database).await;
}

async fn those_that_passed_are_none(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let id = ada.create(remembered(&[60, 90]), at(90)).await.id;
    assert_eq!(ada.find(id).await.unwrap().remind_time, None);
    assert_eq!(ada.storage.reminders().due(at(1000), 10).await.unwrap(), []);
}
