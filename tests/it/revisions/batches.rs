//! Batches that are carried out: all items, in order, each on what the ones before it left.

use taskwire::pb;

use super::harness::replica::{World, rules};
use super::*;
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(
    a_batch_keeps_the_order_and_takes_a_revision_for_each_item,
    the_largest_batches_are_carried_out,
    a_task_in_several_items_of_an_update,
    a_task_in_several_items_of_a_deletion,
    items_may_name_the_user_of_the_batch_in_any_way,
    what_does_not_change_in_a_batch_takes_no_revision,
    a_batch_reads_deleted_tasks_and_the_same_one_twice,
);

async fn a_batch_keeps_the_order_and_takes_a_revision_for_each_item(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let titles: Vec<String> = (0..20).map(|number| format!("{}", (number * 7) % 20)).collect();

    let items = titles.iter().map(|title| creation(titled(title))).collect();
    let made = tasks.batch_create_tasks(batch_creation(items)).await.unwrap().into_inner().tasks;
    assert_eq!(made.iter().map(|task| &task.title).collect::<Vec<_>>(), titles.iter().collect::<Vec<_>>());
    assert!(made.iter().map(|task| task.revision).eq(1..=20));

    let backwards: Vec<&pb::Task> = made.iter().rev().collect();
    let items = backwards.iter().map(|task| retitling(&task.name, "changed")).collect();
    let updated = tasks.batch_update_tasks(batch_change(items)).await.unwrap().into_inner().tasks;
    assert!(updated.iter().map(|task| &task.name).eq(backwards.iter().map(|task| &task.name)));
    assert!(updated.iter().map(|task| task.revision).eq(21..=40));

    let items = made.iter().map(|task| deletion(&task.name)).collect();
    let deleted = tasks.batch_delete_tasks(batch_deletion(items)).await.unwrap().into_inner().tasks;
    assert!(deleted.iter().map(|task| &task.name).eq(made.iter().map(|task| &task.name)));
    assert!(deleted.iter().map(|task| task.revision).eq(41..=60));
    assert!(deleted.iter().all(|task| task.delete_time.is_some() && task.title == "changed"));

    let noted = changes(&mut tasks, 0).await;
    let answered = made.iter().chain(&updated).chain(&deleted).cloned().map(Some);
    assert!(noted.into_iter().map(|change| change.task).eq(answered));
}

async fn the_largest_batches_are_carried_out(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let mut names = Vec::new();
    for _ in 0..3 {
        let items = (0..200).map(|number| creation(titled(&number.to_string()))).collect();
        let made = tasks.batch_create_tasks(batch_creation(items)).await.unwrap().into_inner().tasks;
        names.extend(made.into_iter().map(|task| task.name));
    }
    let asked: Vec<String> = names.iter().rev().take(500).cloned().collect();
    let request = pb::BatchGetTasksRequest {
        parent: "users/me".to_owned(),
        names: asked.clone(),
        ..Default::default()
    };
    let found = tasks.batch_get_tasks(request).await.unwrap().into_inner().tasks;
    assert!(found.iter().map(|task| &task.name).eq(&asked));

    let items = names.iter().take(200).map(|name| retitling(name, "changed")).collect();
    let updated = tasks.batch_update_tasks(batch_change(items)).await.unwrap().into_inner().tasks;
    assert_eq!(updated.len(), 200);
    let items = names.iter().take(200).map(|name| deletion(name)).collect();
    let deleted = tasks.batch_delete_tasks(batch_deletion(items)).await.unwrap().into_inner().tasks;
    assert_eq!((deleted.len(), revision(&mut tasks).await), (200, 1000));
}

async fn a_task_in_several_items_of_an_update(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let task = create(&mut tasks, "first").await;
    let done = pb::Task { name: task.name.clone(), completed: true, ..pb::Task::default() };
    let items =
        vec![retitling(&task.name, "second"), change(done, &["completed"]), retitling(&task.name, "third")];
    let updated = tasks.batch_update_tasks(batch_change(items)).await.unwrap().into_inner().tasks;
    let seen: Vec<_> =
        updated.iter().map(|task| (task.title.as_str(), task.completed, task.revision)).collect();
    assert_eq!(seen, [("second", false, 2), ("second", true, 3), ("third", true, 4)]);
    let etags: std::collections::HashSet<_> = updated.iter().map(|task| &task.etag).collect();
    assert_eq!(etags.len(), 3);
    assert_eq!(get(&mut tasks, &task.name).await, updated[2]);

    // The etag of an item is compared with what the item before it left.
    let stale = pb::Task { etag: updated[2].etag.clone(), name: task.name.clone(), ..titled("fifth") };
    let items = vec![retitling(&task.name, "fourth"), change(stale, &["title"])];
    let status = refused_for(tasks.batch_update_tasks(batch_change(items)).await, "ETAG_MISMATCH");
    assert_eq!(info(&status, "path"), "requests[1]");
    assert_eq!(get(&mut tasks, &task.name).await, updated[2]);
}

async fn a_task_in_several_items_of_a_deletion(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let task = create(&mut tasks, "twice").await;

    let twice = vec![deletion(&task.name), deletion(&task.name)];
    let status = refused_for(tasks.batch_delete_tasks(batch_deletion(twice)).await, "TASK_NOT_FOUND");
    assert_eq!(info(&status, "path"), "requests[1]");
    assert_eq!(get(&mut tasks, &task.name).await, task);

    let missing = format!("users/me/tasks/{}", uuid::Uuid::now_v7());
    let lenient = |name: &str| pb::DeleteTaskRequest { allow_missing: true, ..deletion(name) };
    let items = vec![lenient(&task.name), lenient(&missing), lenient(&task.name)];
    let deleted = tasks.batch_delete_tasks(batch_deletion(items)).await.unwrap().into_inner().tasks;
    assert_eq!(deleted[0].revision, 2);
    assert_eq!(deleted[1], pb::Task::default());
    assert_eq!(deleted[2], deleted[0]);
    assert_eq!(revision(&mut tasks).await, 2);
}

async fn items_may_name_the_user_of_the_batch_in_any_way(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    let mut tasks = replica.tasks(&user);
    let item = |parent: &str| pb::CreateTaskRequest { parent: parent.to_owned(), ..creation(titled("item")) };
    for parent in ["users/me", &user.name, &user.name.to_uppercase().replace("USERS", "users")] {
        let items = vec![item(""), item("users/me"), item(&user.name)];
        let request = pb::BatchCreateTasksRequest { parent: parent.to_owned(), ..batch_creation(items) };
        let made = tasks.batch_create_tasks(request).await.unwrap().into_inner().tasks;
        assert!(made.iter().all(|task| task.name.starts_with(&format!("{}/tasks/", user.name))));
    }
}

async fn what_does_not_change_in_a_batch_takes_no_revision(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let one = create(&mut tasks, "one").await;
    let two = create(&mut tasks, "two").await;
    let items = vec![retitling(&one.name, "one"), retitling(&two.name, "2"), retitling(&two.name, "2")];
    let updated = tasks.batch_update_tasks(batch_change(items)).await.unwrap().into_inner().tasks;
    assert_eq!(updated[0], one);
    assert_eq!(updated[2], updated[1]);
    assert_eq!((updated[1].revision, revision(&mut tasks).await), (3, 3));
}

async fn a_batch_reads_deleted_tasks_and_the_same_one_twice(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let live = create(&mut tasks, "live").await;
    let gone = create(&mut tasks, "gone").await;
    let gone = tasks.delete_task(deletion(&gone.name)).await.unwrap().into_inner();
    let names = [&gone, &live, &gone].map(|task| task.name.clone()).to_vec();
    let request = pb::BatchGetTasksRequest { parent: "users/me".to_owned(), names, ..Default::default() };
    let found = tasks.batch_get_tasks(request).await.unwrap().into_inner().tasks;
    assert_eq!(found, [gone.clone(), live, gone]);
}
