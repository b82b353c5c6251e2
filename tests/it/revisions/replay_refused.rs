//! Request ids that are refused, and calls that are not remembered.

use std::time::Duration;

use taskwire::pb;
use taskwire::storage::Limits;
use tonic_types::StatusExt as _;

use super::harness::replica::{World, connect, rules};
use super::*;
use crate::support::both_engines;
use crate::support::database::{Engine, TestDatabase, limits};

both_engines!(
    a_request_id_stands_for_one_call_only,
    everybody_has_request_ids_of_their_own,
    a_failed_call_is_not_remembered,
    a_malformed_request_id_is_refused,
    a_duplicate_waits_for_the_first,
    a_duplicate_that_waits_too_long_is_told_so,
);

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
    let short = Duration::from_millis(200);
    let limits = Limits { lock_timeout: short, checkout_timeout: short, ..limits() };
    let replica = world.serve_within(rules(), limits).await;
    let user = replica.register("one@example.org").await;
    let mut holder = database.raw().await;
    holder.execute(&hold(&database, &user)).await;
    let request = pb::CreateTaskRequest { request_id: id(), ..creation(titled("once")) };
    let mut tasks = replica.tasks(&user);
    let status = tasks.create_task(request.clone()).await.unwrap_err();
    // SQLite has one lock for everybody, so that nothing says who holds it.
    let expected = match database.engine {
        Engine::Sqlite => (Code::Unavailable, "STORAGE_UNAVAILABLE"),
        Engine::Postgres => (Code::Aborted, "REQUEST_IN_PROGRESS"),
    };
    assert_eq!((status.code(), reason(&status).as_str()), expected);
    assert!(status.get_details_retry_info().and_then(|info| info.retry_delay).is_some());
    holder.execute("rollback").await;
    let made = tasks.create_task(request.clone()).await.unwrap().into_inner();
    assert_eq!(tasks.create_task(request).await.unwrap().into_inner(), made);
    assert_eq!(revision(&mut tasks).await, 1);
}
