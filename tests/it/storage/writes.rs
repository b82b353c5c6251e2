//! Writes: what each does to a task, when it is refused, and that a refusal or a no-op stores nothing.

use taskwire::domain::{
    Error, Etag, NewTask, Owner, Priority, Resource, State, Task, TaskId, TaskPatch, TaskWrite, UserId,
};

use super::{Person, at, description, labels, owner_of, task, title};
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(
    create_refuses_an_id_that_exists,
    update_changes_what_it_names_and_nothing_else,
    update_clears_optional_fields,
    update_of_a_missing_task_is_not_found,
    update_of_a_deleted_task_is_refused,
    update_that_changes_nothing_makes_no_revision,
    update_checks_the_etag,
    etag_changes_with_every_change,
    complete_time_follows_completed,
    update_time_never_runs_backwards,
    refused_writes_store_nothing,
    write_for_an_account_that_is_gone_is_refused,
    owners_never_see_each_other,
);

/// What a write with another etag than this task's is answered: the task as it stands.
pub(super) fn mismatch(current: &Task) -> Error {
    Error::EtagMismatch { current: current.etag(), state: Some(State::Task(Box::new(current.clone()))) }
}

pub(super) fn renamed(text: &str) -> TaskPatch {
    TaskPatch { title: Some(title(text)), ..TaskPatch::default() }
}

pub(super) fn update(id: TaskId, patch: TaskPatch, etag: Option<Etag>) -> TaskWrite {
    TaskWrite::Update { id, patch: Box::new(patch), etag }
}

pub(super) fn delete(id: TaskId, etag: Option<Etag>, allow_missing: bool) -> TaskWrite {
    TaskWrite::Delete { id, etag, allow_missing }
}

async fn create_refuses_an_id_that_exists(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let first = ada.create(task("first"), at(1)).await;
    let again = || TaskWrite::Create(Box::new(NewTask { id: first.id, ..task("second") }));
    assert_eq!(ada.write(again(), at(2)).await, Err(Error::TaskAlreadyExists));
    assert_eq!(ada.find(first.id).await, Ok(first.clone()));

    let deleted = ada.delete(first.id, at(3)).await.unwrap();
    assert_eq!(ada.write(again(), at(4)).await, Err(Error::TaskAlreadyExists), "deleted, but still there");
    assert_eq!(ada.find(first.id).await, Ok(deleted));
    ada.check_books(&database).await;
}

async fn update_changes_what_it_names_and_nothing_else(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let other = ada.create(task("bystander"), at(1)).await;
    let mut expected = ada.create(task("before"), at(1)).await;
    type Change = fn(&mut Task);
    let patches: [(TaskPatch, Change); 5] = [
        (renamed("after"), |task| task.title = title("after")),
        (TaskPatch { description: Some(Some(description("more"))), ..TaskPatch::default() }, |task| {
            task.description = Some(description("more"));
        }),
        (TaskPatch { priority: Some(Priority::Low), ..TaskPatch::default() }, |task| {
            task.priority = Priority::Low;
        }),
        (TaskPatch { due_time: Some(Some(at(99))), ..TaskPatch::default() }, |task| {
            task.due_time = Some(at(99));
        }),
        (TaskPatch { labels: Some(labels(&["a"])), ..TaskPatch::default() }, |task| {
            task.labels = labels(&["a"]);
        }),
    ];
    for (number, (patch, change)) in (3..).zip(patches) {
        change(&mut expected);
        expected.revision = number;
        expected.update_time = at(number);
        assert_eq!(ada.update(expected.id, patch, at(number)).await.as_ref(), Ok(&expected));
        assert_eq!(ada.find(expected.id).await.as_ref(), Ok(&expected));
    }
    assert_eq!(ada.find(other.id).await, Ok(other));
}

async fn update_clears_optional_fields(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let full = NewTask {
        description: Some(description("text")),
        due_time: Some(at(5)),
        labels: labels(&["a", "b"]),
        ..task("full")
    };
    let created = ada.create(full, at(1)).await;
    let clear = TaskPatch {
        description: Some(None),
        due_time: Some(None),
        labels: Some(labels(&[])),
        ..TaskPatch::default()
    };
    let cleared = ada.update(created.id, clear, at(2)).await.unwrap();
    assert_eq!((&cleared.description, cleared.due_time), (&None, None));
    assert!(cleared.labels.as_slice().is_empty());
    assert_eq!(ada.find(created.id).await, Ok(cleared));
}

async fn update_of_a_missing_task_is_not_found(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let refused = ada.update(TaskId::generate(), renamed("x"), at(1)).await;
    assert_eq!(refused, Err(Error::NotFound(Resource::Task)));
    let undelete = ada.undelete(TaskId::generate(), at(1)).await;
    assert_eq!(undelete, Err(Error::NotFound(Resource::Task)));
}

async fn update_of_a_deleted_task_is_refused(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let created = ada.create(task("gone"), at(1)).await;
    let deleted = ada.delete(created.id, at(2)).await.unwrap();
    assert_eq!(ada.update(created.id, renamed("x"), at(3)).await, Err(Error::TaskDeleted));
    assert_eq!(ada.find(created.id).await, Ok(deleted));
}

async fn update_that_changes_nothing_makes_no_revision(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let created = ada.create(NewTask { labels: labels(&["a", "b"]), ..task("same") }, at(1)).await;
    let same = TaskPatch {
        title: Some(created.title.clone()),
        description: Some(None),
        completed: Some(false),
        priority: Some(created.priority),
        due_time: Some(None),
        labels: Some(created.labels.clone()),
        due_date: Some(None),
        start_time: Some(None),
        time_zone: Some(None),
        annotations: Some(created.annotations.clone()),
        task_list: Some(None),
        parent_task: Some(None),
        complete_subtasks: false,
        recurrence: Some(None),
        reminders: Some(created.reminders.clone()),
        next_id: None,
    };
    for patch in [TaskPatch::default(), same] {
        assert_eq!(ada.update(created.id, patch, at(2)).await.as_ref(), Ok(&created));
    }
    assert_eq!(ada.find(created.id).await, Ok(created));
    assert_eq!(ada.revision().await, 1);
    ada.check_books(&database).await;
}

async fn update_checks_the_etag(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let created = ada.create(task("one"), at(1)).await;
    let matching = update(created.id, renamed("two"), Some(created.etag()));
    let updated = ada.write(matching, at(2)).await.unwrap().unwrap();

    let stale = ada.write(update(created.id, renamed("three"), Some(created.etag())), at(3)).await;
    assert_eq!(stale, Err(mismatch(&updated)));
    let foreign = Etag::given("no etag of ours".into());
    let refused = ada.write(update(created.id, renamed("three"), foreign), at(3)).await;
    assert_eq!(refused, Err(mismatch(&updated)));
    assert_eq!(ada.find(created.id).await, Ok(updated));
    assert_eq!(ada.revision().await, 2);
}

async fn etag_changes_with_every_change(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let created = ada.create(task("one"), at(1)).await;
    let mut etags = vec![created.etag()];
    for name in ["two", "one", "two"] {
        etags.push(ada.update(created.id, renamed(name), at(2)).await.unwrap().etag());
    }
    etags.push(ada.delete(created.id, at(3)).await.unwrap().etag());
    etags.push(ada.undelete(created.id, at(4)).await.unwrap().etag());
    for (at, etag) in etags.iter().enumerate() {
        assert!(!etags[..at].contains(etag), "{etags:?}");
    }
    let other = ada.create(task("other"), at(5)).await;
    assert_eq!(ada.find(created.id).await.unwrap().etag(), *etags.last().unwrap(), "another task's change");
    assert_eq!(ada.find(other.id).await.unwrap().etag(), other.etag());
}

async fn complete_time_follows_completed(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let created = ada.create(task("to do"), at(1)).await;
    assert_eq!(created.complete_time, None);
    let done = |completed| TaskPatch { completed: Some(completed), ..TaskPatch::default() };

    let completed = ada.update(created.id, done(true), at(2)).await.unwrap();
    assert_eq!((completed.completed, completed.complete_time), (true, Some(at(2))));
    let again = TaskPatch { completed: Some(true), ..renamed("done") };
    let renamed = ada.update(created.id, again, at(3)).await.unwrap();
    assert_eq!(renamed.complete_time, Some(at(2)), "it was completed then, not now");
    assert_eq!(ada.find(created.id).await.unwrap().complete_time, Some(at(2)));
    let reopened = ada.update(created.id, done(false), at(4)).await.unwrap();
    assert_eq!((reopened.completed, reopened.complete_time), (false, None));
    assert_eq!(ada.find(created.id).await.unwrap().complete_time, None);
    let completed = ada.update(created.id, done(true), at(5)).await.unwrap();
    assert_eq!(completed.complete_time, Some(at(5)));
}

async fn update_time_never_runs_backwards(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let created = ada.create(task("one"), at(100)).await;
    let updated = ada.update(created.id, renamed("two"), at(50)).await.unwrap();
    assert_eq!(updated.update_time, at(100));
    assert_eq!(ada.delete(created.id, at(60)).await.unwrap().update_time, at(100));
    assert_eq!(ada.undelete(created.id, at(70)).await.unwrap().update_time, at(100));
    assert_eq!(ada.find(created.id).await.unwrap().update_time, at(100));
}

async fn refused_writes_store_nothing(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let live = ada.create(task("live"), at(1)).await;
    let gone = ada.create(task("gone"), at(1)).await;
    ada.delete(gone.id, at(2)).await.unwrap();
    let before = ada.storage.users().find(ada.user()).await.unwrap();
    let refused = [
        TaskWrite::Create(Box::new(NewTask { id: live.id, ..task("again") })),
        TaskWrite::Create(Box::new(NewTask { id: gone.id, ..task("again") })),
        update(TaskId::generate(), renamed("x"), None),
        update(gone.id, renamed("x"), None),
        update(live.id, renamed("x"), Etag::given("stale".into())),
        delete(gone.id, None, false),
        delete(TaskId::generate(), None, false),
        delete(live.id, Etag::given("stale".into()), true),
        TaskWrite::Undelete { id: live.id },
        TaskWrite::Undelete { id: TaskId::generate() },
    ];
    for write in refused {
        assert!(ada.write(write.clone(), at(9)).await.is_err(), "{write:?}");
    }
    let over = ada.write_within(1, TaskWrite::Create(Box::new(task("too many"))), at(9)).await;
    assert_eq!(over, Err(Error::QuotaExceeded { limit: 1 }));

    assert_eq!(ada.storage.users().find(ada.user()).await.unwrap(), before);
    assert_eq!(database.query_i64("select count(*) from task_changes").await, 3);
    assert_eq!(database.query_i64("select count(*) from tasks").await, 2);
    ada.check_books(&database).await;
}

async fn write_for_an_account_that_is_gone_is_refused(database: TestDatabase) {
    let nobody: Owner = owner_of(UserId::generate());
    let write = TaskWrite::Create(Box::new(task("for nobody")));
    let nobody = Person { storage: database.storage.clone(), owner: nobody };
    let refused = nobody.write(write, at(1)).await;
    assert_eq!(refused, Err(Error::SessionRevoked));
    assert_eq!(database.query_i64("select count(*) from tasks").await, 0);
    assert!(nobody.list(&super::query()).await.tasks.is_empty());
}

async fn owners_never_see_each_other(database: TestDatabase) {
    let (ada, bob) = (Person::new(&database, "ada").await, Person::new(&database, "bob").await);
    let secret = ada.create(task("Ada's"), at(1)).await;
    assert_eq!(bob.find(secret.id).await, Err(Error::NotFound(Resource::Task)));
    for refused in [
        bob.update(secret.id, renamed("x"), at(2)).await,
        bob.delete(secret.id, at(2)).await,
        bob.undelete(secret.id, at(2)).await,
    ] {
        assert_eq!(refused, Err(Error::NotFound(Resource::Task)));
    }
    assert_eq!(bob.write(delete(secret.id, None, true), at(2)).await, Ok(None));

    // The same id below another owner is another task.
    let namesake = bob.create(NewTask { id: secret.id, ..task("Bob's") }, at(3)).await;
    bob.update(secret.id, renamed("Bob's own"), at(4)).await.unwrap();
    assert_eq!(namesake.revision, 1, "each owner counts from 1");
    bob.delete(secret.id, at(5)).await.unwrap();
    assert_eq!(ada.find(secret.id).await, Ok(secret.clone()));
    assert_eq!(ada.list(&super::query()).await.tasks, [secret]);
    assert!(bob.list(&super::query()).await.tasks.is_empty());
    assert_eq!((ada.revision().await, bob.revision().await), (1, 3));
    ada.check_books(&database).await;
    bob.check_books(&database).await;
}
