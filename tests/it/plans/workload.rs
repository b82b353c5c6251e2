//! Everything that a caller can ask about tasks, alone and many at a time, so that each statement is sent in each form.

use std::time::Duration;

use futures_util::future::join_all;
use taskwire::domain::UserId;
use taskwire::pb;
use taskwire::server::jobs::{compact, finish_lists, forget, purge, remind};
use taskwire::storage::Listener;
use tonic_types::StatusExt as _;

use crate::revisions::harness::replica::{Replica, Tasks, User, World};

const PARENT: &str = "users/me";
/// Of lists that come out of an index.
const FILTERS: [&str; 4] =
    ["", "completed = true", "priority = HIGH", "completed = false AND priority = MEDIUM"];
/// Calls at a time: more than one batch takes while another is under way.
const AT_ONCE: usize = 6;

/// Goes through all of it with these users.
pub(super) async fn run(world: &World, replica: &Replica, users: &[User]) {
    let clients = || users.iter().map(|user| replica.tasks(user));
    join_all(clients().map(|mut tasks| async move {
        for _ in 0..2 {
            single(&mut tasks).await;
        }
        batches(&mut tasks).await;
        import(&mut tasks).await;
        lists(&mut tasks).await;
        places(&mut tasks).await;
        subtasks(&mut tasks).await;
        log(&mut tasks).await;
    }))
    .await;
    // One after another in lanes that have nothing else to do.
    single(&mut replica.tasks(&users[0])).await;
    for mut tasks in clients() {
        let calls =
            (0..AT_ONCE).map(|_| tasks.clone()).map(|mut tasks| async move { single(&mut tasks).await });
        join_all(calls).await;
        let name = create(&mut tasks, "to be purged").await;
        delete(&mut tasks, &name).await;
    }
    // What is asked twice a second for those who watch.
    let id = |user: &User| uuid::Uuid::try_parse(user.name.trim_start_matches("users/")).unwrap().into();
    let watched: Vec<UserId> = users.iter().map(id).collect();
    replica.services.storage.changes().current_revisions(&watched).await.unwrap();
    told(world, replica, &users[0]).await;
    world.hand.advance(Duration::from_secs(40 * 24 * 60 * 60));
    finish_lists(&replica.services).await.unwrap();
    purge(&replica.services).await.unwrap();
    compact(&replica.services).await.unwrap();
    forget(&replica.services).await.unwrap();
}

/// The same while somebody listens, and a reminder.
async fn told(world: &World, replica: &Replica, user: &User) {
    let storage = &replica.services.storage;
    storage.listeners().add(Listener::Streams, world.now()).await.unwrap();
    let mut tasks = replica.tasks(user);
    single(&mut tasks).await;
    let time = prost_types::Timestamp { seconds: world.now().as_micros() / 1_000_000 + 60, nanos: 0 };
    let reminder = pb::Reminder { when: Some(pb::reminder::When::Time(time)) };
    let task =
        pb::Task { title: "to be remembered".to_owned(), reminders: vec![reminder], ..pb::Task::default() };
    let request = pb::CreateTaskRequest { parent: PARENT.to_owned(), task: Some(task), ..Default::default() };
    tasks.create_task(request).await.unwrap();
    world.hand.advance(Duration::from_secs(61));
    remind(&replica.services).await.unwrap();
    storage.journal().sequence_all(world.now()).await.unwrap();
}

async fn create(tasks: &mut Tasks, title: &str) -> String {
    let task = Some(pb::Task { title: title.to_owned(), ..pb::Task::default() });
    let request = pb::CreateTaskRequest { parent: PARENT.to_owned(), task, ..Default::default() };
    tasks.create_task(request).await.unwrap().into_inner().name
}

async fn delete(tasks: &mut Tasks, name: &str) {
    let request = pb::DeleteTaskRequest { name: name.to_owned(), ..Default::default() };
    tasks.delete_task(request).await.unwrap();
}

/// One task from its making to its deletion and back, with ids of our own and of the service's.
async fn single(tasks: &mut Tasks) {
    let name = create(tasks, "a task").await;
    let id = uuid::Uuid::new_v4().to_string();
    let given = pb::CreateTaskRequest {
        parent: PARENT.to_owned(),
        task: Some(pb::Task { title: "with an id".to_owned(), ..pb::Task::default() }),
        task_id: id.clone(),
        request_id: id,
    };
    // The same call once more is answered from what is remembered.
    for _ in 0..2 {
        tasks.create_task(given.clone()).await.unwrap();
    }
    tasks.get_task(pb::GetTaskRequest { name: name.clone(), ..Default::default() }).await.unwrap();
    let changed = pb::Task { name: name.clone(), completed: true, ..pb::Task::default() };
    let request = pb::UpdateTaskRequest { task: Some(changed), ..Default::default() };
    tasks.update_task(request).await.unwrap();
    delete(tasks, &name).await;
    tasks.undelete_task(pb::UndeleteTaskRequest { name, ..Default::default() }).await.unwrap();
}

async fn batches(tasks: &mut Tasks) {
    let creation = |number: usize| pb::CreateTaskRequest {
        parent: PARENT.to_owned(),
        task: Some(pb::Task { title: format!("number {number}"), ..pb::Task::default() }),
        ..Default::default()
    };
    let request = pb::BatchCreateTasksRequest {
        parent: PARENT.to_owned(),
        requests: (0..5).map(creation).collect(),
        request_id: uuid::Uuid::new_v4().to_string(),
    };
    let made = tasks.batch_create_tasks(request).await.unwrap().into_inner().tasks;
    let names: Vec<String> = made.into_iter().map(|task| task.name).collect();
    let request =
        pb::BatchGetTasksRequest { parent: PARENT.to_owned(), names: names.clone(), ..Default::default() };
    assert_eq!(tasks.batch_get_tasks(request).await.unwrap().into_inner().tasks.len(), 5);
    let change = |name: &String| pb::UpdateTaskRequest {
        task: Some(pb::Task { name: name.clone(), title: "changed".to_owned(), ..pb::Task::default() }),
        ..Default::default()
    };
    let request = pb::BatchUpdateTasksRequest {
        parent: PARENT.to_owned(),
        requests: names.iter().map(change).collect(),
        ..Default::default()
    };
    tasks.batch_update_tasks(request).await.unwrap();
    let deletion = |name: &String| pb::DeleteTaskRequest { name: name.clone(), ..Default::default() };
    let request = pb::BatchDeleteTasksRequest {
        parent: PARENT.to_owned(),
        requests: names.iter().map(deletion).collect(),
        ..Default::default()
    };
    tasks.batch_delete_tasks(request).await.unwrap();
}

/// A list and tasks by ids of our own, taken in twice.
async fn import(tasks: &mut Tasks) {
    use pb::import_tasks_request::{Item, item::Resource};
    let id = uuid::Uuid::new_v4();
    let list = format!("{PARENT}/taskLists/{id}");
    let task = pb::Task {
        name: format!("{PARENT}/tasks/{id}"),
        title: "taken in".to_owned(),
        task_list: list.clone(),
        ..Default::default()
    };
    let list = pb::TaskList { name: list, title: "taken in".to_owned(), ..Default::default() };
    let items = [Resource::TaskList(list), Resource::Task(task)];
    let items = items.map(|resource| Item { line: 1, resource: Some(resource) }).to_vec();
    for validate_only in [true, false, false] {
        let items = items.clone();
        let request =
            pb::ImportTasksRequest { parent: PARENT.to_owned(), validate_only, items, ..Default::default() };
        tasks.import_tasks(tokio_stream::iter([request])).await.unwrap();
    }
}

/// The lists that come out of an index, from the start and from a later page, in both directions; and one that does not.
async fn lists(tasks: &mut Tasks) {
    for title in ["first", "second"] {
        let task =
            pb::Task { priority: pb::Priority::High.into(), title: title.to_owned(), ..Default::default() };
        let request =
            pb::CreateTaskRequest { parent: PARENT.to_owned(), task: Some(task), ..Default::default() };
        tasks.create_task(request).await.unwrap();
    }
    for filter in FILTERS {
        for order_by in ["create_time desc", "create_time"] {
            let mut request = pb::ListTasksRequest {
                parent: PARENT.to_owned(),
                page_size: 1,
                filter: filter.to_owned(),
                order_by: order_by.to_owned(),
                ..Default::default()
            };
            let page = tasks.list_tasks(request.clone()).await.unwrap().into_inner();
            assert!(!page.next_page_token.is_empty(), "{filter}: there is no second page");
            request.page_token = page.next_page_token;
            tasks.list_tasks(request).await.unwrap();
        }
    }
    let request = pb::ListTasksRequest {
        parent: PARENT.to_owned(),
        filter: "title:\"number\"".to_owned(),
        order_by: "title".to_owned(),
        ..Default::default()
    };
    tasks.list_tasks(request).await.unwrap();
    let request = pb::CountTasksRequest { parent: PARENT.to_owned(), ..Default::default() };
    tasks.count_tasks(request).await.unwrap();
}

/// Lists of tasks, and what stands where in them.
async fn places(tasks: &mut Tasks) {
    let mut lists = Vec::new();
    for title in ["first", "second"] {
        let task_list = Some(pb::TaskList { title: title.to_owned(), ..Default::default() });
        let request =
            pb::CreateTaskListRequest { parent: PARENT.to_owned(), task_list, ..Default::default() };
        lists.push(tasks.create_task_list(request).await.unwrap().into_inner());
    }
    let list = lists[0].name.clone();
    let mut names = Vec::new();
    for number in 0..3 {
        let task = pb::Task { title: format!("{number}"), task_list: list.clone(), ..pb::Task::default() };
        let request =
            pb::CreateTaskRequest { parent: PARENT.to_owned(), task: Some(task), ..Default::default() };
        names.push(tasks.create_task(request).await.unwrap().into_inner().name);
    }
    for task_list in [&list, ""] {
        for order_by in ["position", "position desc"] {
            let mut request = pb::ListTasksRequest {
                parent: PARENT.to_owned(),
                page_size: 1,
                filter: format!("task_list = \"{task_list}\""),
                order_by: order_by.to_owned(),
                ..Default::default()
            };
            let page = tasks.list_tasks(request.clone()).await.unwrap().into_inner();
            assert!(!page.next_page_token.is_empty(), "{task_list}: there is no second page");
            request.page_token = page.next_page_token;
            tasks.list_tasks(request).await.unwrap();
        }
    }
    let to = |task_list: Option<&str>, before: &str, after: &str| pb::MoveTaskRequest {
        name: names[1].clone(),
        task_list: task_list.map(str::to_owned),
        before: before.to_owned(),
        after: after.to_owned(),
        ..Default::default()
    };
    for request in
        [to(None, &names[0], ""), to(None, "", &names[2]), to(Some(""), "", ""), to(Some(&list), "", "")]
    {
        tasks.move_task(request).await.unwrap();
    }
    let request =
        pb::MoveTaskListRequest { name: lists[1].name.clone(), before: list.clone(), ..Default::default() };
    tasks.move_task_list(request).await.unwrap();
    let request = pb::ListTaskListsRequest { parent: PARENT.to_owned(), page_size: 1, ..Default::default() };
    let page_token = tasks.list_task_lists(request.clone()).await.unwrap().into_inner().next_page_token;
    tasks.list_task_lists(pb::ListTaskListsRequest { page_token, ..request }).await.unwrap();
    let deletion = |name: &str| pb::DeleteTaskListRequest { name: name.to_owned(), ..Default::default() };
    tasks.delete_task_list(deletion(&list)).await.unwrap();
    let request = pb::UndeleteTaskListRequest { name: list, ..Default::default() };
    tasks.undelete_task_list(request).await.unwrap();
    tasks.delete_task_list(deletion(&lists[1].name)).await.unwrap();
    // What is undone afterwards is this.
    create(tasks, "in no list").await;
}

/// Subtasks, and what is carried along with the task that they are below.
async fn subtasks(tasks: &mut Tasks) {
    let parent = create(tasks, "with subtasks").await;
    for title in ["one", "two"] {
        let task = pb::Task { title: title.to_owned(), parent_task: parent.clone(), ..pb::Task::default() };
        let request =
            pb::CreateTaskRequest { parent: PARENT.to_owned(), task: Some(task), ..Default::default() };
        let made = tasks.create_task(request).await.unwrap().into_inner();
        let done = pb::Task { name: made.name, completed: true, ..pb::Task::default() };
        let request = pb::UpdateTaskRequest { task: Some(done), ..Default::default() };
        tasks.update_task(request).await.unwrap();
    }
    delete(tasks, &parent).await;
    tasks.undelete_task(pb::UndeleteTaskRequest { name: parent, ..Default::default() }).await.unwrap();
}

/// Everything that a standby can be asked, by each of these users.
pub(super) async fn read(replica: &Replica, users: &[User]) {
    for user in users {
        // Time has gone by.
        let tasks = replica.tasks(&user.again(replica).await);
        let fallbacks = || replica.services.storage.read_counts().fallbacks;
        loop {
            let before = fallbacks();
            Box::pin(read_all(tasks.clone())).await;
            // Once more where the machine was too busy for the standby.
            if fallbacks() == before {
                break;
            }
        }
    }
}

async fn read_all(mut tasks: Tasks) {
    let min_revision = Some(0);
    let parent = PARENT.to_owned();
    let mut names = Vec::new();
    for (filter, order_by) in FILTERS.into_iter().zip(["create_time desc", "create_time"].repeat(2)) {
        for order_by in [order_by, "create_time desc", "title"] {
            let mut request = pb::ListTasksRequest {
                parent: parent.clone(),
                page_size: 1,
                filter: filter.to_owned(),
                order_by: order_by.to_owned(),
                min_revision,
                ..Default::default()
            };
            let page = tasks.list_tasks(request.clone()).await.unwrap().into_inner();
            names.extend(page.tasks.into_iter().map(|task| task.name));
            request.page_token = page.next_page_token;
            tasks.list_tasks(request).await.unwrap();
        }
    }
    tasks
        .get_task(pb::GetTaskRequest { name: names[0].clone(), min_revision, revision: None })
        .await
        .unwrap();
    let get = |name: &String| {
        let (mut tasks, name) = (tasks.clone(), name.clone());
        async move { tasks.get_task(pb::GetTaskRequest { name, min_revision, revision: None }).await.unwrap() }
    };
    join_all(names.iter().map(get)).await;
    let batch = pb::BatchGetTasksRequest { parent: parent.clone(), names, min_revision };
    tasks.batch_get_tasks(batch).await.unwrap();
    let count = pb::CountTasksRequest { parent: parent.clone(), min_revision, ..Default::default() };
    tasks.count_tasks(count).await.unwrap();
    // All changes that there are, but for those that are compacted.
    let first = pb::ListTaskChangesRequest { parent: parent.clone(), min_revision, ..Default::default() };
    let earliest = match tasks.list_task_changes(first).await {
        Ok(page) => page.into_inner().earliest_revision,
        Err(status) => earliest(&status),
    };
    let all = pb::ListTaskChangesRequest {
        parent: parent.clone(),
        start_revision: earliest,
        min_revision,
        ..Default::default()
    };
    tasks.list_task_changes(all).await.unwrap();
    let state = pb::WatchTasksRequest { parent: parent.clone(), initial_state: true, ..Default::default() };
    let mut stream = tasks.watch_tasks(state).await.unwrap().into_inner();
    // Lists come first, and there may be so many of them that nothing else is read while nobody reads on.
    while !matches!(
        stream.message().await.unwrap().unwrap().event,
        Some(pb::watch_tasks_response::Event::Task(_) | pb::watch_tasks_response::Event::InitialStateEnd(_))
    ) {}
}

/// The revision that a refusal names as the earliest.
fn earliest(status: &tonic::Status) -> i64 {
    let details = status.get_error_details();
    details.error_info().unwrap().metadata["earliest_revision"].parse().unwrap()
}

/// The log: read, watched, and undone.
async fn log(tasks: &mut Tasks) {
    let request =
        pb::ListTaskChangesRequest { parent: PARENT.to_owned(), page_size: 5, ..Default::default() };
    let current = tasks.list_task_changes(request).await.unwrap().into_inner().current_revision;
    let from = pb::WatchTasksRequest {
        parent: PARENT.to_owned(),
        start_revision: Some(current - 1),
        ..Default::default()
    };
    let from_now = pb::WatchTasksRequest { parent: PARENT.to_owned(), ..Default::default() };
    let mut stream = tasks.watch_tasks(from).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    let state = pb::WatchTasksRequest { initial_state: true, ..from_now.clone() };
    tasks.watch_tasks(state).await.unwrap().into_inner().message().await.unwrap().unwrap();
    // Nothing need come of this one.
    let _idle = tasks.watch_tasks(from_now).await.unwrap();
    // The past of whatever changed last, if that is a task.
    let last = pb::ListTaskChangesRequest {
        parent: PARENT.to_owned(),
        start_revision: current - 1,
        ..Default::default()
    };
    let last = tasks.list_task_changes(last).await.unwrap().into_inner().changes.remove(0);
    if let Some(task) = last.task.filter(|task| task.delete_time.is_none()) {
        let name = task.name;
        let all = pb::ListTaskRevisionsRequest { name: name.clone(), ..Default::default() };
        let past = tasks.list_task_revisions(all).await.unwrap().into_inner().revisions;
        let revision = past.last().unwrap().revision;
        let back = pb::RollbackTaskRequest { name, revision, ..Default::default() };
        tasks.rollback_task(back).await.unwrap();
    }
    let request = pb::UndoChangesRequest {
        parent: PARENT.to_owned(),
        start_revision: current - 1,
        end_revision: current,
        ..Default::default()
    };
    tasks.undo_changes(request).await.unwrap();
}
