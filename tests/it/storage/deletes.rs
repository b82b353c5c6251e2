//! Putting tasks away and taking them back, and the quota of live ones.

use taskwire::domain::{Error, NewTask, Resource, Task, TaskId, TaskWrite};

use super::writes::{delete, mismatch, renamed, update};
use super::{PURGE_AFTER, Person, at, task};
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(
    delete_puts_a_task_away,
    delete_of_a_missing_or_deleted_task_is_not_found,
    delete_with_allow_missing_answers_what_is_there,
    delete_checks_the_etag,
    undelete_takes_a_task_back,
    undelete_of_a_live_or_missing_task_is_refused,
    quota_bounds_the_live_tasks,
    quota_counts_undeletes_and_not_updates,
);

async fn delete_puts_a_task_away(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let created = ada.create(task("gone"), at(1)).await;
    let deleted = ada.delete(created.id, at(2)).await.unwrap();
    let expected = Task {
        update_time: at(2),
        delete_time: Some(at(2)),
        purge_time: Some(at(2).after(PURGE_AFTER)),
        revision: 2,
        ..created
    };
    assert_eq!(deleted, expected);
    assert_eq!(ada.find(expected.id).await, Ok(expected), "a deleted task can still be read");
    assert!(ada.list(&super::query()).await.tasks.is_empty());
    assert_eq!(ada.live_tasks(&database).await, 0);
}

async fn delete_of_a_missing_or_deleted_task_is_not_found(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let missing = ada.delete(TaskId::generate(), at(1)).await;
    assert_eq!(missing, Err(Error::NotFound(Resource::Task)));
    let created = ada.create(task("once"), at(1)).await;
    let deleted = ada.delete(created.id, at(2)).await.unwrap();
    assert_eq!(ada.delete(created.id, at(3)).await, Err(Error::NotFound(Resource::Task)));
    assert_eq!(ada.find(created.id).await, Ok(deleted));
    assert_eq!(ada.live_tasks(&database).await, 0);
}

async fn delete_with_allow_missing_answers_what_is_there(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    assert_eq!(ada.write(delete(TaskId::generate(), None, true), at(1)).await, Ok(None));
    let created = ada.create(task("one"), at(1)).await;
    let deleted = ada.write(delete(created.id, None, true), at(2)).await.unwrap().unwrap();
    assert_eq!(deleted.delete_time, Some(at(2)));
    let again = ada.write(delete(created.id, None, true), at(3)).await;
    assert_eq!(again, Ok(Some(deleted)), "as it is, not deleted anew");
    assert_eq!(ada.revision().await, 2);
    ada.check_books(&database).await;
}

async fn delete_checks_the_etag(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let created = ada.create(task("one"), at(1)).await;
    let updated = ada.update(created.id, renamed("two"), at(2)).await.unwrap();
    for allow_missing in [false, true] {
        let stale = ada.write(delete(created.id, Some(created.etag()), allow_missing), at(3)).await;
        assert_eq!(stale, Err(mismatch(&updated)));
    }
    let matching = ada.write(delete(created.id, Some(updated.etag()), false), at(3)).await;
    assert!(matching.unwrap().unwrap().is_deleted());
}

async fn undelete_takes_a_task_back(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let created = ada.create(NewTask { completed: true, ..task("back") }, at(1)).await;
    ada.delete(created.id, at(2)).await.unwrap();
    let back = ada.undelete(created.id, at(3)).await.unwrap();
    let expected = Task { update_time: at(3), revision: 3, ..created };
    assert_eq!(back, expected);
    assert_eq!(ada.list(&super::query()).await.tasks, [expected]);
    assert_eq!(ada.live_tasks(&database).await, 1);
    ada.check_books(&database).await;
}

async fn undelete_of_a_live_or_missing_task_is_refused(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let created = ada.create(task("here"), at(1)).await;
    assert_eq!(ada.undelete(created.id, at(2)).await, Err(Error::TaskNotDeleted));
    assert_eq!(ada.undelete(TaskId::generate(), at(2)).await, Err(Error::NotFound(Resource::Task)));
    assert_eq!(ada.find(created.id).await, Ok(created));
}

async fn quota_bounds_the_live_tasks(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let create = || TaskWrite::Create(Box::new(task("one more")));
    for _ in 0..2 {
        assert!(ada.write_within(2, create(), at(1)).await.is_ok());
    }
    assert_eq!(ada.write_within(2, create(), at(2)).await, Err(Error::QuotaExceeded { limit: 2 }));
    assert_eq!(ada.live_tasks(&database).await, 2);
    assert_eq!(ada.revision().await, 2);

    // A deleted task does not count.
    let victim = ada.list(&super::query()).await.tasks[0].id;
    ada.delete(victim, at(3)).await.unwrap();
    assert!(ada.write_within(2, create(), at(4)).await.is_ok());
    // Nor do another user's tasks.
    let bob = Person::new(&database, "bob").await;
    assert!(bob.write_within(1, create(), at(5)).await.is_ok());
    assert_eq!(ada.live_tasks(&database).await, 2);
    ada.check_books(&database).await;
}

async fn quota_counts_undeletes_and_not_updates(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let gone = ada.create(task("gone"), at(1)).await;
    ada.delete(gone.id, at(2)).await.unwrap();
    let here = ada.create(task("here"), at(3)).await;
    let undelete = || TaskWrite::Undelete { id: gone.id };
    assert_eq!(ada.write_within(1, undelete(), at(4)).await, Err(Error::QuotaExceeded { limit: 1 }));
    assert!(ada.find(gone.id).await.unwrap().is_deleted());

    // A quota that was lowered since stops nobody from changing or deleting what is there.
    let rename = update(here.id, renamed("still here"), None);
    assert!(ada.write_within(0, rename, at(5)).await.is_ok());
    assert!(ada.write_within(0, delete(here.id, None, false), at(6)).await.is_ok());
    assert!(ada.write_within(1, undelete(), at(7)).await.is_ok());
    assert_eq!(ada.live_tasks(&database).await, 1);
    ada.check_books(&database).await;
}
