//! Request ids that are refused, and calls that are not remembered.

use std::time::Duration;

use taskwire::pb;
use taskwire::storage::Limits;
use tonic_types::StatusExt as _;

use super::harness::replica::{World, connect, rules};
use super::*;
use crate::support::database::{Engine, TestDatabase, limits};
use crate::support::{both_engines, one_engine};

both_engines!(
    a_request_id_stands_for_one_call_only,
    everybody_has_request_ids_of_their_own,
    a_failed_call_is_not_remembered,
    a_malformed_request_id_is_refused,
    a_duplicate_waits_for_the_first,
    a_duplicate_that_waits_too_long_is_told_so,
    a_validation_is_not_remembered,
);
one_engine!(Postgres: many_duplicates_wait_no_longer_than_a_few);

fn id() -> String {
    uuid::Uuid::now_v7().to_string()
}

async fn a_request_id_stands_for_one_call_only(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let request_id = id();
    let first = pb::CreateTaskRequest { request_id: request_id.clone(), ..creation(titled("one")) };
    let made = tasks.create_task(first.clone()).await.unwrap().into_inner();
    let code = Code::InvalidArgument;
    let reused =
        |status: Status| assert_eq!((status.code(), reason(&status).as_str()), (code, "REQUEST_ID_REUSED"));

    let other = pb::CreateTaskRequest { request_id: request_id.clone(), ..creation(titled("two")) };
    reused(tasks.create_task(other).await.unwrap_err());
    let other = pb::UpdateTaskRequest { request_id: request_id.clone(), ..retitling(&made.name, "two") };
    reused(tasks.update_task(other).await.unwrap_err());
    let other = pb::DeleteTaskRequest { request_id: request_id.clone(), ..deletion(&made.name) };
    reused(tasks.delete_task(other).await.unwrap_err());
    let other = pb::UndeleteTaskRequest { request_id: request_id.clone(), ..undeletion(&made.name) };
    reused(tasks.undelete_task(other).await.unwrap_err());
    let items = vec![creation(titled("one"))];
    let other = pb::BatchCreateTasksRequest { request_id: request_id.clone(), ..batch_creation(items) };
    reused(tasks.batch_create_tasks(other).await.unwrap_err());
    let items = vec![retitling(&made.name, "two")];
    let other = pb::BatchUpdateTasksRequest { request_id: request_id.clone(), ..batch_change(items) };
    reused(tasks.batch_update_tasks(other).await.unwrap_err());
    let items = vec![deletion(&made.name)];
    let other = pb::BatchDeleteTasksRequest { request_id: request_id.clone(), ..batch_deletion(items) };
    reused(tasks.batch_delete_tasks(other).await.unwrap_err());
    let other = pb::UndoChangesRequest { request_id, ..undoing(0, 1) };
    reused(tasks.undo_changes(other).await.unwrap_err());

    assert_eq!(all(&mut tasks).await, std::slice::from_ref(&made));
    // The first call is still the first call.
    assert_eq!(tasks.create_task(first).await.unwrap().into_inner(), made);
}

async fn everybody_has_request_ids_of_their_own(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let (one, two) = two(&replica).await;
    let request = pb::CreateTaskRequest { request_id: id(), task_id: id(), ..creation(titled("the same")) };
    let mut names = Vec::new();
    for user in [&one, &two] {
        let made = replica.tasks(user).create_task(request.clone()).await.unwrap().into_inner();
        assert_eq!(made.revision, 1);
        assert!(made.name.starts_with(&user.name));
        names.push(made.name);
    }
    assert_ne!(names[0], names[1]);
    let other = pb::CreateTaskRequest { task: Some(titled("another")), ..request };
    for user in [&one, &two] {
        refused_for(replica.tasks(user).create_task(other.clone()).await, "REQUEST_ID_REUSED");
    }
}

async fn a_failed_call_is_not_remembered(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let task = create(&mut tasks, "one").await;
    let request_id = id();
    // Invalid, then impossible, then something else that can be done.
    let invalid = pb::CreateTaskRequest { request_id: request_id.clone(), ..creation(titled("")) };
    refused_for(tasks.create_task(invalid).await, "FIELD_INVALID");
    let undelete = pb::UndeleteTaskRequest { request_id: request_id.clone(), ..undeletion(&task.name) };
    refused_for(tasks.undelete_task(undelete.clone()).await, "TASK_NOT_DELETED");
    let items = vec![deletion(&task.name), deletion(&task.name)];
    let twice = pb::BatchDeleteTasksRequest { request_id: request_id.clone(), ..batch_deletion(items) };
    refused_for(tasks.batch_delete_tasks(twice).await, "TASK_NOT_FOUND");
    tasks.delete_task(deletion(&task.name)).await.unwrap();
    let restored = tasks.undelete_task(undelete.clone()).await.unwrap().into_inner();
    assert_eq!(tasks.undelete_task(undelete).await.unwrap().into_inner(), restored);
    assert_eq!(revision(&mut tasks).await, 3);
}

async fn a_malformed_request_id_is_refused(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let name = create(&mut tasks, "one").await.name;
    let hyphenless = id().replace('-', "");
    for wrong in ["x", " ", "0", &hyphenless, &format!("{{{}}}", id()), &format!("{} ", id())] {
        let request_id = wrong.to_owned();
        let created = pb::CreateTaskRequest { request_id: request_id.clone(), ..creation(titled("x")) };
        let updated = pb::UpdateTaskRequest { request_id: request_id.clone(), ..retitling(&name, "x") };
        let deleted = pb::DeleteTaskRequest { request_id: request_id.clone(), ..deletion(&name) };
        let undeleted = pb::UndeleteTaskRequest { request_id: request_id.clone(), ..undeletion(&name) };
        let items = vec![creation(titled("x"))];
        let created_all =
            pb::BatchCreateTasksRequest { request_id: request_id.clone(), ..batch_creation(items) };
        let items = vec![retitling(&name, "x")];
        let updated_all =
            pb::BatchUpdateTasksRequest { request_id: request_id.clone(), ..batch_change(items) };
        let items = vec![deletion(&name)];
        let deleted_all =
            pb::BatchDeleteTasksRequest { request_id: request_id.clone(), ..batch_deletion(items) };
        let undone = pb::UndoChangesRequest { request_id, ..undoing(0, 1) };
        for status in [
            refused_for(tasks.create_task(created).await, "FIELD_INVALID"),
            refused_for(tasks.update_task(updated).await, "FIELD_INVALID"),
            refused_for(tasks.delete_task(deleted).await, "FIELD_INVALID"),
            refused_for(tasks.undelete_task(undeleted).await, "FIELD_INVALID"),
            refused_for(tasks.batch_create_tasks(created_all).await, "FIELD_INVALID"),
            refused_for(tasks.batch_update_tasks(updated_all).await, "FIELD_INVALID"),
            refused_for(tasks.batch_delete_tasks(deleted_all).await, "FIELD_INVALID"),
            refused_for(tasks.undo_changes(undone).await, "FIELD_INVALID"),
        ] {
            assert_eq!(fields(&status), ["request_id"], "{wrong:?}");
        }
    }
    assert_eq!(revision(&mut tasks).await, 1);
}

/// Takes what every write of this user waits for. `rollback` gives it back.
fn hold(database: &TestDatabase, user: &User) -> String {
    match database.engine {
        Engine::Sqlite => "begin immediate".to_owned(),
        Engine::Postgres => {
            format!("begin; select id from users where id = {} for update", database.id(user.id()))
        }
    }
}

async fn a_duplicate_waits_for_the_first(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    let mut holder = database.raw().await;
    holder.execute(&hold(&database, &user)).await;
    let request = pb::CreateTaskRequest { request_id: id(), ..creation(titled("once")) };
    let mut calls = Vec::new();
    for _ in 0..4 {
        let mut tasks = user.tasks(connect(replica.address).await);
        let request = request.clone();
        calls.push(tokio::spawn(async move { tasks.create_task(request).await }));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(calls.iter().all(|call| !call.is_finished()));
    holder.execute("rollback").await;
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap().unwrap().into_inner());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(all(&mut replica.tasks(&user)).await, answers[..1]);
}

async fn a_duplicate_that_waits_too_long_is_told_so(database: TestDatabase) {
    let world = World::on(&database.url);
    // Only for the lock: a connection may take longer than that on a slow machine, which is told in another way.
    let limits = Limits { lock_timeout: Duration::from_millis(200), ..limits() };
    let hasty = world.serve_within(rules(), limits).await;
    // For what has to succeed, however slow the machine is.
    let replica = world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    let mut holder = database.raw().await;
    holder.execute(&hold(&database, &user)).await;
    let request = pb::CreateTaskRequest { request_id: id(), ..creation(titled("once")) };
    let mut tasks = hasty.tasks(&user);
    let status = tasks.create_task(request.clone()).await.unwrap_err();
    // SQLite has one lock for everybody, so that nothing says who holds it.
    let expected = match database.engine {
        Engine::Sqlite => (Code::Unavailable, "STORAGE_UNAVAILABLE"),
        Engine::Postgres => (Code::Aborted, "REQUEST_IN_PROGRESS"),
    };
    assert_eq!((status.code(), reason(&status).as_str()), expected);
    assert!(status.get_details_retry_info().and_then(|info| info.retry_delay).is_some());
    // Without an id it is a call like any other.
    let status = tasks.create_task(creation(titled("another"))).await.unwrap_err();
    let expected = match database.engine {
        Engine::Sqlite => (Code::Unavailable, "STORAGE_UNAVAILABLE"),
        Engine::Postgres => (Code::Aborted, "CONFLICT"),
    };
    assert_eq!((status.code(), reason(&status).as_str()), expected);
    holder.execute("rollback").await;
    let mut tasks = replica.tasks(&user);
    let made = tasks.create_task(request.clone()).await.unwrap().into_inner();
    assert_eq!(tasks.create_task(request).await.unwrap().into_inner(), made);
    assert_eq!(revision(&mut tasks).await, 1);
}

async fn many_duplicates_wait_no_longer_than_a_few(database: TestDatabase) {
    const COPIES: u32 = 12;
    let world = World::on(&database.url);
    let second = Duration::from_secs(1);
    let replica = world.serve_within(rules(), Limits { lock_timeout: second, lanes: 1, ..limits() }).await;
    let user = replica.register("one@example.org").await;
    let mut holder = database.raw().await;
    holder.execute(&hold(&database, &user)).await;
    let request = pb::CreateTaskRequest { request_id: id(), ..creation(titled("once")) };
    let begin = std::time::Instant::now();
    let mut calls = Vec::new();
    for _ in 0..COPIES {
        let mut tasks = user.tasks(connect(replica.address).await);
        let request = request.clone();
        calls.push(tokio::spawn(async move { tasks.create_task(request).await }));
    }
    for call in calls {
        refused_for(call.await.unwrap(), "REQUEST_IN_PROGRESS");
    }
    // One after the other they would take as many seconds as they are.
    let took = begin.elapsed();
    assert!(took < second * (COPIES - 3), "{took:?}");
    holder.execute("rollback").await;
    replica.tasks(&user).create_task(request).await.unwrap();
}

async fn a_validation_is_not_remembered(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let made = create(&mut tasks, "one").await;
    tasks.update_task(retitling(&made.name, "two")).await.unwrap();
    let request = pb::UndoChangesRequest { request_id: id(), ..undoing(1, 2) };
    let validation = pb::UndoChangesRequest { validate_only: true, ..request.clone() };
    let first = tasks.undo_changes(validation.clone()).await.unwrap().into_inner();
    assert_eq!((first.tasks.len(), first.conflicts.len()), (1, 0));
    // The same validation again answers how things stand by now.
    tasks.update_task(retitling(&made.name, "three")).await.unwrap();
    let second = tasks.undo_changes(validation.clone()).await.unwrap().into_inner();
    assert_eq!((second.tasks.len(), second.conflicts.len()), (0, 1));
    assert_eq!(revision(&mut tasks).await, 3);
    // The id is still free for the call that is meant; once that is made, it is not.
    let request = pb::UndoChangesRequest { force: true, ..request };
    let undone = tasks.undo_changes(request.clone()).await.unwrap().into_inner();
    assert_eq!(undone.revisions, [4]);
    assert_eq!(tasks.undo_changes(request).await.unwrap().into_inner(), undone);
    refused_for(tasks.undo_changes(validation).await, "REQUEST_ID_REUSED");
}
