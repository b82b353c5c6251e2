//! Batches that are refused: nothing is done, and the item that is to blame is named by its path.

use taskwire::pb;

use super::harness::replica::{Replica, Tasks, World, rules};
use super::*;
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(
    a_batch_has_from_one_to_so_many_items,
    a_failing_creation_undoes_the_batch,
    a_failing_update_undoes_the_batch,
    a_failing_deletion_undoes_the_batch,
    a_missing_name_fails_the_whole_read,
    broken_fields_are_named_by_their_paths,
    an_item_of_another_user_is_refused,
    the_parent_of_a_batch_is_looked_at_first,
);

async fn server(database: &TestDatabase) -> (World, Replica) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    (world, replica)
}

/// What a batch must leave as it is.
async fn state(tasks: &mut Tasks) -> (Vec<pb::Task>, i64) {
    (all(tasks).await, revision(tasks).await)
}

async fn a_batch_has_from_one_to_so_many_items(database: TestDatabase) {
    let (_world, replica) = server(&database).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let name = create(&mut tasks, "one").await.name;
    for (count, expected) in [(0, "FIELD_INVALID"), (201, "BATCH_TOO_LARGE"), (1000, "BATCH_TOO_LARGE")] {
        let made = tasks.batch_create_tasks(batch_creation(vec![creation(titled("x")); count])).await;
        let changed = tasks.batch_update_tasks(batch_change(vec![retitling(&name, "x"); count])).await;
        let deleted = tasks.batch_delete_tasks(batch_deletion(vec![deletion(&name); count])).await;
        for status in
            [refused_for(made, expected), refused_for(changed, expected), refused_for(deleted, expected)]
        {
            assert_eq!(
                (status.code(), fields(&status)),
                (Code::InvalidArgument, vec!["requests".to_owned()])
            );
        }
    }
    for (count, expected) in [(0, "FIELD_INVALID"), (501, "BATCH_TOO_LARGE")] {
        let request = pb::BatchGetTasksRequest {
            parent: "users/me".to_owned(),
            names: vec![name.clone(); count],
            ..Default::default()
        };
        let status = refused_for(tasks.batch_get_tasks(request).await, expected);
        assert_eq!((status.code(), fields(&status)), (Code::InvalidArgument, vec!["names".to_owned()]));
    }
    assert_eq!(revision(&mut tasks).await, 1);
}

async fn a_failing_creation_undoes_the_batch(database: TestDatabase) {
    let (_world, replica) = server(&database).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let id = uuid::Uuid::now_v7().to_string();
    let taken = pb::CreateTaskRequest { task_id: id.clone(), ..creation(titled("taken")) };
    tasks.create_task(taken.clone()).await.unwrap();
    let before = state(&mut tasks).await;

    let mut items = vec![creation(titled("fine")); 17];
    items.push(taken);
    let status = refused_for(tasks.batch_create_tasks(batch_creation(items)).await, "TASK_ALREADY_EXISTS");
    assert_eq!((status.code(), info(&status, "path")), (Code::AlreadyExists, "requests[17]".to_owned()));
    assert_eq!(state(&mut tasks).await, before);

    // An id that is new, but stands in two items.
    let new = pb::CreateTaskRequest { task_id: uuid::Uuid::now_v7().to_string(), ..creation(titled("new")) };
    let items = vec![creation(titled("fine")), new.clone(), new];
    let status = refused_for(tasks.batch_create_tasks(batch_creation(items)).await, "TASK_ALREADY_EXISTS");
    assert_eq!(info(&status, "path"), "requests[2]");
    assert_eq!(state(&mut tasks).await, before);
}

async fn a_failing_update_undoes_the_batch(database: TestDatabase) {
    let (_world, replica) = server(&database).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let live = create(&mut tasks, "live").await;
    let gone = create(&mut tasks, "gone").await;
    tasks.delete_task(deletion(&gone.name)).await.unwrap();
    let before = state(&mut tasks).await;
    let missing = format!("users/me/tasks/{}", uuid::Uuid::now_v7());
    let stale = pb::Task { name: live.name.clone(), etag: "stale".to_owned(), ..titled("x") };
    for (item, expected, code) in [
        (retitling(&missing, "x"), "TASK_NOT_FOUND", Code::NotFound),
        (retitling(&gone.name, "x"), "TASK_DELETED", Code::FailedPrecondition),
        (change(stale, &["title"]), "ETAG_MISMATCH", Code::Aborted),
    ] {
        let items = vec![retitling(&live.name, "changed"), item, retitling(&live.name, "changed again")];
        let status = refused_for(tasks.batch_update_tasks(batch_change(items)).await, expected);
        assert_eq!((status.code(), info(&status, "path")), (code, "requests[1]".to_owned()));
        assert_eq!(state(&mut tasks).await, before);
    }
}

async fn a_failing_deletion_undoes_the_batch(database: TestDatabase) {
    let (_world, replica) = server(&database).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let one = create(&mut tasks, "one").await;
    let two = create(&mut tasks, "two").await;
    let before = state(&mut tasks).await;
    let missing = deletion(&format!("users/me/tasks/{}", uuid::Uuid::now_v7()));
    let stale = pb::DeleteTaskRequest { etag: one.etag.clone(), ..deletion(&two.name) };
    for (item, expected) in [(missing, "TASK_NOT_FOUND"), (stale, "ETAG_MISMATCH")] {
        let items = vec![deletion(&one.name), item];
        let status = refused_for(tasks.batch_delete_tasks(batch_deletion(items)).await, expected);
        assert_eq!(info(&status, "path"), "requests[1]");
        assert_eq!(state(&mut tasks).await, before);
    }
}

async fn a_missing_name_fails_the_whole_read(database: TestDatabase) {
    let (_world, replica) = server(&database).await;
    let (one, two) = two(&replica).await;
    let (mut tasks, mut others) = (replica.tasks(&one), replica.tasks(&two));
    let mine = create(&mut tasks, "mine").await.name;
    let theirs = create(&mut others, "theirs").await.name;
    // The id of somebody else's task below one's own name is just missing.
    let (_, id) = theirs.rsplit_once('/').unwrap();
    let names =
        vec![mine.clone(), format!("users/me/tasks/{id}"), format!("users/me/tasks/{}", uuid::Uuid::nil())];
    let request = pb::BatchGetTasksRequest { parent: "users/me".to_owned(), names, ..Default::default() };
    let status = refused_for(tasks.batch_get_tasks(request).await, "TASK_NOT_FOUND");
    assert_eq!((status.code(), info(&status, "path")), (Code::NotFound, "names[1]".to_owned()));

    let request = pb::BatchGetTasksRequest {
        parent: "users/me".to_owned(),
        names: vec![mine, theirs],
        ..Default::default()
    };
    let status = refused_for(tasks.batch_get_tasks(request).await, "FIELD_INVALID");
    assert_eq!(fields(&status), ["names[1]"]);
}

async fn broken_fields_are_named_by_their_paths(database: TestDatabase) {
    let (_world, replica) = server(&database).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let name = create(&mut tasks, "one").await.name;

    let mut items = vec![creation(titled("fine")); 20];
    items[0].request_id = uuid::Uuid::now_v7().to_string();
    items[3].task_id = "no id".to_owned();
    items[17].task = Some(pb::Task { priority: 9, ..titled("") });
    items[18].task = None;
    let status = refused_for(tasks.batch_create_tasks(batch_creation(items)).await, "FIELD_INVALID");
    let expected = [
        "requests[0].request_id",
        "requests[3].task_id",
        "requests[17].task.title",
        "requests[17].task.priority",
        "requests[18].task",
    ];
    assert_eq!(fields(&status), expected);

    let mut items = vec![retitling(&name, "fine"); 3];
    items[0].request_id = uuid::Uuid::now_v7().to_string();
    items[1].task.as_mut().unwrap().name = "tasks/1".to_owned();
    items[2].task.as_mut().unwrap().title = String::new();
    let status = refused_for(tasks.batch_update_tasks(batch_change(items)).await, "FIELD_INVALID");
    assert_eq!(
        fields(&status),
        ["requests[0].request_id", "requests[1].task.name", "requests[2].task.title"]
    );

    let items =
        vec![retitling(&name, "fine"), change(pb::Task { name: name.clone(), ..titled("x") }, &["color"])];
    let status = refused_for(tasks.batch_update_tasks(batch_change(items)).await, "FIELD_MASK_INVALID");
    assert_eq!(fields(&status), ["requests[1].update_mask"]);

    let mut items = vec![deletion(&name); 2];
    items[0].name = "users/me".to_owned();
    items[1].request_id = uuid::Uuid::now_v7().to_string();
    let status = refused_for(tasks.batch_delete_tasks(batch_deletion(items)).await, "FIELD_INVALID");
    assert_eq!(fields(&status), ["requests[0].name", "requests[1].request_id"]);

    let items = vec![creation(titled("")); 200];
    let status = refused_for(tasks.batch_create_tasks(batch_creation(items)).await, "FIELD_INVALID");
    assert_eq!(fields(&status).len(), 20);
    assert_eq!(revision(&mut tasks).await, 1);
}

async fn an_item_of_another_user_is_refused(database: TestDatabase) {
    let (_world, replica) = server(&database).await;
    let (one, two) = two(&replica).await;
    let (mut tasks, mut others) = (replica.tasks(&one), replica.tasks(&two));
    let mine = create(&mut tasks, "mine").await.name;
    let theirs = create(&mut others, "theirs").await;

    let foreign = pb::CreateTaskRequest { parent: two.name.clone(), ..creation(titled("x")) };
    let items = vec![creation(titled("fine")), foreign];
    let status = refused_for(tasks.batch_create_tasks(batch_creation(items)).await, "FIELD_INVALID");
    assert_eq!(fields(&status), ["requests[1].parent"]);
    let items = vec![retitling(&mine, "x"), retitling(&theirs.name, "x")];
    let status = refused_for(tasks.batch_update_tasks(batch_change(items)).await, "FIELD_INVALID");
    assert_eq!(fields(&status), ["requests[1].task.name"]);
    let items = vec![deletion(&mine), deletion(&theirs.name)];
    let status = refused_for(tasks.batch_delete_tasks(batch_deletion(items)).await, "FIELD_INVALID");
    assert_eq!(fields(&status), ["requests[1].name"]);
    assert_eq!(get(&mut others, &theirs.name).await, theirs);
    assert_eq!((revision(&mut tasks).await, revision(&mut others).await), (1, 1));
}

async fn the_parent_of_a_batch_is_looked_at_first(database: TestDatabase) {
    let (_world, replica) = server(&database).await;
    let (one, two) = two(&replica).await;
    let mut tasks = replica.tasks(&one);
    let parent = two.name.clone();
    // Each of these is wrong in other ways too.
    let made = pb::BatchCreateTasksRequest { parent: parent.clone(), ..batch_creation(Vec::new()) };
    let changed = pb::BatchUpdateTasksRequest { parent: parent.clone(), ..batch_change(Vec::new()) };
    let deleted = pb::BatchDeleteTasksRequest { parent: parent.clone(), ..batch_deletion(Vec::new()) };
    let found = pb::BatchGetTasksRequest { parent: parent.clone(), names: Vec::new(), ..Default::default() };
    let listed = pb::ListTaskChangesRequest { parent: parent.clone(), ..listing(-1, 0) };
    let watched = pb::WatchTasksRequest { parent: parent.clone(), ..watching(Some(-1)) };
    let undone = pb::UndoChangesRequest { parent: parent.clone(), ..undoing(3, 1) };
    let counted =
        pb::CountTasksRequest { parent, filter: "(".to_owned(), show_deleted: false, ..Default::default() };
    let denied = "PARENT_ACCESS_DENIED";
    refused_for(tasks.batch_create_tasks(made).await, denied);
    refused_for(tasks.batch_update_tasks(changed).await, denied);
    refused_for(tasks.batch_delete_tasks(deleted).await, denied);
    refused_for(tasks.batch_get_tasks(found).await, denied);
    refused_for(tasks.list_task_changes(listed).await, denied);
    refused_for(tasks.watch_tasks(watched).await, denied);
    refused_for(tasks.undo_changes(undone).await, denied);
    refused_for(tasks.count_tasks(counted).await, denied);
}
