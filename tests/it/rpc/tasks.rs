//! Creating and reading tasks, whose they are, and how many there may be.

use taskwire::pb::{self, Priority};
use uuid::Uuid;

use super::{DAY, NO_TASK, NOBODY, Session, alone, at, listing, seconds, texts, titled};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::Refused as _;
use crate::support::server::{Setup, TestServer, answer};

both_engines!(
    a_new_task_has_its_defaults,
    a_new_task_keeps_every_field,
    output_only_fields_are_ignored_at_creation,
    a_task_id_is_the_callers_to_choose,
    a_task_id_has_one_spelling,
    a_taken_task_id_is_refused_and_changes_nothing,
    what_does_not_exist_is_not_found,
    names_may_say_me_and_answers_are_canonical,
    other_peoples_tasks_are_denied_whatever_is_there,
    administrators_read_no_tasks,
    everybody_has_their_own_ids_and_revisions,
    every_change_takes_the_next_revision_and_a_new_etag,
    the_quota_counts_tasks_that_are_not_deleted,
    the_quota_holds_under_concurrency,
    the_purge_time_follows_the_configuration,
);

fn id_of(task: &pb::Task) -> Uuid {
    task.name.rsplit('/').next().unwrap().parse().unwrap()
}

async fn a_new_task_has_its_defaults(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let task = ada.create(titled("Buy milk")).await.unwrap();
    assert_eq!(id_of(&task).get_version_num(), 7);
    assert!(!task.etag.is_empty());
    let expected = pb::Task {
        name: format!("{}/tasks/{}", ada.user, id_of(&task)),
        title: "Buy milk".to_owned(),
        priority: Priority::Medium.into(),
        create_time: Some(at(0)),
        update_time: Some(at(0)),
        revision: 1,
        etag: task.etag.clone(),
        position: task.position.clone(),
        ..pb::Task::default()
    };
    assert!(!task.position.is_empty());
    assert_eq!(task, expected);
    assert_eq!(ada.get(&task.name).await.unwrap(), task);
    assert_eq!(ada.all(listing()).await, [task]);
}

async fn a_new_task_keeps_every_field(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    server.clock.advance(seconds(5));
    let given = pb::Task {
        title: "Buy milk".to_owned(),
        description: Some("two\n\tlitres".to_owned()),
        completed: true,
        priority: Priority::High.into(),
        due_time: Some(at(-100)),
        labels: texts(&["home", "Home", "shop"]),
        ..pb::Task::default()
    };
    let task = ada.create(given.clone()).await.unwrap();
    let expected = pb::Task {
        name: task.name.clone(),
        create_time: Some(at(5)),
        update_time: Some(at(5)),
        complete_time: Some(at(5)),
        revision: 1,
        etag: task.etag.clone(),
        position: task.position.clone(),
        ..given
    };
    assert_eq!(task, expected);
    assert_eq!(ada.get(&task.name).await.unwrap(), task);

    for priority in [Priority::Low, Priority::Medium, Priority::High] {
        let task = pb::Task { priority: priority.into(), ..titled("prioritised") };
        assert_eq!(ada.create(task).await.unwrap().priority(), priority);
    }
}

async fn output_only_fields_are_ignored_at_creation(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let nonsense = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: -1 });
    let task = pb::Task {
        name: format!("{NOBODY}/tasks/nonsense\0"),
        create_time: nonsense,
        update_time: nonsense,
        complete_time: nonsense,
        delete_time: nonsense,
        purge_time: nonsense,
        revision: 99,
        etag: "99".to_owned(),
        ..titled("mine")
    };
    let task = ada.create(task).await.unwrap();
    assert!(task.name.starts_with(&ada.user), "{task:?}");
    assert_eq!(task.create_time, Some(at(0)));
    assert_eq!(task.update_time, Some(at(0)));
    assert_eq!((task.complete_time, task.delete_time, task.purge_time), (None, None, None));
    assert_eq!(task.revision, 1);
    assert_ne!(task.etag, "99");
}

async fn a_task_id_is_the_callers_to_choose(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    for id in [
        "0198C0DE-0000-7000-8000-0000000000AA",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "AbCdEf00-1234-5678-9abc-DEF012345678",
    ] {
        let task = ada.create_as(titled(id), id).await.unwrap();
        assert_eq!(task.name, format!("{}/tasks/{}", ada.user, id.to_lowercase()));
        for spelling in [id.to_uppercase(), id.to_lowercase()] {
            let name = format!("users/me/tasks/{spelling}");
            assert_eq!(ada.get(&name).await.unwrap(), task);
        }
    }
}

async fn a_task_id_has_one_spelling(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    for id in [
        " ",
        "x",
        "0198c0de0000700080000000000000aa",
        "{0198c0de-0000-7000-8000-0000000000aa}",
        "urn:uuid:0198c0de-0000-7000-8000-0000000000aa",
        "0198c0de-0000-7000-8000-0000000000a",
        "0198c0de-0000-7000-8000-0000000000aaa",
        "0198c0de-0000-7000-8000-0000000000ag",
        "0198c0de-00007000--8000-0000000000aa",
        "0198c0de_0000_7000_8000_0000000000aa",
        " 198c0de-0000-7000-8000-0000000000aa",
        "0198c0de-0000-7000-8000-0000000000a\n",
        "٠198c0de-0000-7000-8000-0000000000a",
    ] {
        ada.create_as(titled("x"), id).await.refused_at("FIELD_INVALID", &["task_id"]);
    }
    assert_eq!(ada.all(listing()).await, []);
}

async fn a_taken_task_id_is_refused_and_changes_nothing(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let id = "0198c0de-0000-7000-8000-0000000000aa";
    let task = ada.create_as(titled("first"), id).await.unwrap();
    for spelling in [id.to_owned(), id.to_uppercase()] {
        let refusal = ada.create_as(titled("second"), &spelling).await.refused("TASK_ALREADY_EXISTS");
        assert!(refusal.details.contains(&"ResourceInfo".to_owned()), "{refusal:?}");
    }
    assert_eq!(ada.get(&task.name).await.unwrap(), task);
    let deleted = ada.delete(&task.name).await.unwrap();
    ada.create_as(titled("third"), id).await.refused("TASK_ALREADY_EXISTS");
    assert_eq!(ada.get(&task.name).await.unwrap(), deleted);
    assert_eq!(ada.me().await.revision, 2);
}

async fn what_does_not_exist_is_not_found(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    ada.create(titled("another")).await.unwrap();
    let refusal = ada.get(NO_TASK).await.refused("TASK_NOT_FOUND");
    assert!(refusal.details.contains(&"ResourceInfo".to_owned()), "{refusal:?}");
    ada.delete(NO_TASK).await.refused("TASK_NOT_FOUND");
    ada.undelete(NO_TASK).await.refused("TASK_NOT_FOUND");
    let update = pb::Task { name: NO_TASK.to_owned(), ..titled("new") };
    ada.update(update, &["title"]).await.refused("TASK_NOT_FOUND");
    let nothing = answer(ada.tasks().create_task(pb::CreateTaskRequest::default()).await);
    nothing.refused_at("FIELD_INVALID", &["parent", "task"]);
    let nothing = answer(ada.tasks().update_task(pb::UpdateTaskRequest::default()).await);
    nothing.refused_at("FIELD_INVALID", &["task"]);
}

async fn names_may_say_me_and_answers_are_canonical(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let upper = ada.user.replace("users/", "").to_uppercase();
    for parent in ["users/me".to_owned(), ada.user.clone(), format!("users/{upper}")] {
        let task = ada.create_below(&parent, titled("x")).await.unwrap();
        let id = id_of(&task);
        let canonical = format!("{}/tasks/{id}", ada.user);
        let name = format!("{parent}/tasks/{}", id.to_string().to_uppercase());
        let update = pb::Task { name: name.clone(), ..titled("y") };
        for answered in [
            ada.get(&name).await.unwrap(),
            ada.update(update, &[]).await.unwrap(),
            ada.delete(&name).await.unwrap(),
            ada.delete_with(&name, "", true).await.unwrap(),
            ada.undelete(&name).await.unwrap(),
        ] {
            assert_eq!(answered.name, canonical);
        }
        let request = pb::ListTasksRequest { parent: parent.clone(), ..listing() };
        let listed = ada.all(request).await;
        assert!(listed.iter().any(|task| task.name == canonical), "{listed:?}");
    }
}

/// Every call about tasks, below this user: of a task that is there or is not, and wrong in every other field.
async fn all_denied(session: &Session, user: &str, task: &str) {
    let reason = "PARENT_ACCESS_DENIED";
    session.create_below(user, titled("x")).await.refused(reason);
    let request = pb::CreateTaskRequest {
        parent: user.to_owned(),
        task: None,
        task_id: "nonsense\0".to_owned(),
        ..pb::CreateTaskRequest::default()
    };
    answer(session.tasks().create_task(request).await).refused(reason);
    let request = pb::ListTasksRequest {
        parent: user.to_owned(),
        page_size: -1,
        page_token: "nonsense".to_owned(),
        filter: "((((".to_owned(),
        order_by: "nonsense".to_owned(),
        ..listing()
    };
    session.list(request).await.refused(reason);
    session.get(task).await.refused(reason);
    for title in ["", "new"] {
        let update = pb::Task { name: task.to_owned(), etag: "stale".to_owned(), ..titled(title) };
        session.update(update.clone(), &["title"]).await.refused(reason);
        session.update(update, &["nonsense"]).await.refused(reason);
    }
    for allow_missing in [false, true] {
        session.delete_with(task, "stale", allow_missing).await.refused(reason);
    }
    session.undelete(task).await.refused(reason);
}

async fn other_peoples_tasks_are_denied_whatever_is_there(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let bob = server.register("bob@example.com").await;
    let task = ada.create(titled("private")).await.unwrap();
    let deleted = ada.create(titled("deleted")).await.unwrap();
    ada.delete(&deleted.name).await.unwrap();
    let absent = NO_TASK.replace("users/me", &ada.user);
    for name in [&task.name, &deleted.name, &absent] {
        all_denied(&bob, &ada.user, name).await;
    }
    all_denied(&bob, NOBODY, &NO_TASK.replace("users/me", NOBODY)).await;
    assert_eq!(ada.get(&task.name).await.unwrap(), task);
    assert_eq!(ada.me().await.revision, 3);
    assert_eq!(bob.me().await.revision, 0);
}

async fn administrators_read_no_tasks(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let root = server.register_admin("root@example.com").await;
    let task = ada.create(titled("private")).await.unwrap();
    all_denied(&root, &ada.user, &task.name).await;
    assert_eq!(ada.get(&task.name).await.unwrap(), task);
    // Their own they have like everybody.
    root.create(titled("my own")).await.unwrap();
}

async fn everybody_has_their_own_ids_and_revisions(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let bob = server.register("bob@example.com").await;
    let id = "0198c0de-0000-7000-8000-0000000000aa";
    let first = ada.create_as(titled("ada's"), id).await.unwrap();
    let second = bob.create_as(titled("bob's"), id).await.unwrap();
    assert_eq!((first.revision, second.revision), (1, 1));
    ada.delete(&first.name).await.unwrap();
    assert_eq!(bob.get(&second.name).await.unwrap(), second);
    assert_eq!(bob.all(listing()).await, [second]);
    assert_eq!(ada.all(listing()).await, []);
}

async fn every_change_takes_the_next_revision_and_a_new_etag(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let created = ada.create(titled("one")).await.unwrap();
    let other = ada.create(titled("other")).await.unwrap();
    let update = pb::Task { title: "two".to_owned(), ..created.clone() };
    let updated = ada.update(update, &["title"]).await.unwrap();
    let deleted = ada.delete(&created.name).await.unwrap();
    let undeleted = ada.undelete(&created.name).await.unwrap();
    let states = [&created, &updated, &deleted, &undeleted];
    assert_eq!(states.map(|task| task.revision), [1, 3, 4, 5]);
    for (at, task) in states.iter().enumerate() {
        assert!(states[..at].iter().all(|before| before.etag != task.etag));
    }
    assert_eq!(ada.get(&other.name).await.unwrap(), other);
    assert_eq!(ada.me().await.revision, 5);
}

async fn the_quota_counts_tasks_that_are_not_deleted(database: TestDatabase) {
    let mut setup = Setup::default();
    setup.tasks.live_tasks_max = 2;
    let server = TestServer::with(database, setup).await;
    let ada = server.register("ada@example.com").await;
    let bob = server.register("bob@example.com").await;
    let first = ada.create(titled("1")).await.unwrap();
    let done = pb::Task { completed: true, ..titled("2") };
    ada.create(done).await.unwrap();
    let refusal = ada.create(titled("3")).await.refused("QUOTA_EXCEEDED");
    assert!(refusal.details.contains(&"QuotaFailure".to_owned()), "{refusal:?}");
    bob.create(titled("bob's own")).await.unwrap();

    ada.delete(&first.name).await.unwrap();
    let third = ada.create(titled("3")).await.unwrap();
    ada.undelete(&first.name).await.refused("QUOTA_EXCEEDED");
    ada.delete(&third.name).await.unwrap();
    ada.undelete(&first.name).await.unwrap();
    let update = pb::Task { name: first.name, ..titled("still writable") };
    ada.update(update, &["title"]).await.unwrap();
    assert_eq!(ada.me().await.revision, 7);
}

async fn the_quota_holds_under_concurrency(database: TestDatabase) {
    let mut setup = Setup::default();
    setup.tasks.live_tasks_max = 3;
    let server = TestServer::with(database, setup).await;
    let ada = server.register("ada@example.com").await;
    let calls = (0..8).map(|number| {
        let ada = ada.clone();
        tokio::spawn(async move { ada.create(titled(&number.to_string())).await })
    });
    let mut created = 0;
    for call in calls.collect::<Vec<_>>() {
        match call.await.unwrap() {
            Ok(_) => created += 1,
            Err(refusal) => assert_eq!(refusal.reason, "QUOTA_EXCEEDED"),
        }
    }
    assert_eq!(created, 3);
    assert_eq!(ada.all(listing()).await.len(), 3);
    assert_eq!(ada.me().await.revision, 3);
}

async fn the_purge_time_follows_the_configuration(database: TestDatabase) {
    let mut setup = Setup::default();
    setup.tasks.purge_after = seconds(7 * DAY);
    let server = TestServer::with(database, setup).await;
    let ada = server.register("ada@example.com").await;
    let task = ada.create(titled("x")).await.unwrap();
    server.clock.advance(seconds(60));
    let deleted = ada.delete(&task.name).await.unwrap();
    assert_eq!(deleted.delete_time, Some(at(60)));
    assert_eq!(deleted.purge_time, Some(at(60 + 7 * 24 * 60 * 60)));
}
