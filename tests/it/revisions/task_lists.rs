//! Lists in the change log: their changes have revisions of the same counter, are told, watched, answered again and undone;
//! large ones are deleted and restored in steps that somebody else finishes.

use taskwire::pb;
use taskwire::pb::delete_task_list_request::Tasks as OfDeleted;
use taskwire::pb::task_change::Type;
use taskwire::server::jobs;

use super::harness::replica::{Tasks, World, rules};
use super::*;
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(
    changes_of_lists_are_told_among_those_of_tasks,
    a_watcher_gets_the_lists_before_the_tasks,
    a_repeated_call_is_answered_as_before,
    a_deleted_list_is_undone_and_redone,
    an_undo_finds_the_lists_of_its_tasks,
    a_list_that_is_undone_leaves_the_tasks_that_came_since,
    moves_are_undone,
    a_large_list_goes_and_comes_back_in_steps,
    what_was_left_in_the_middle_is_finished,
    a_list_is_purged_when_its_time_has_come,
    a_quota_keeps_a_list_from_coming_back,
);

fn new_list(title: &str) -> pb::CreateTaskListRequest {
    pb::CreateTaskListRequest {
        parent: "users/me".to_owned(),
        task_list: Some(pb::TaskList { title: title.to_owned(), ..Default::default() }),
        ..Default::default()
    }
}

async fn create_list(tasks: &mut Tasks, title: &str) -> pb::TaskList {
    tasks.create_task_list(new_list(title)).await.unwrap().into_inner()
}

async fn get_list(tasks: &mut Tasks, name: &str) -> pb::TaskList {
    tasks.get_task_list(pb::GetTaskListRequest { name: name.to_owned() }).await.unwrap().into_inner()
}

fn list_deletion(name: &str, tasks: OfDeleted) -> pb::DeleteTaskListRequest {
    pb::DeleteTaskListRequest { name: name.to_owned(), tasks: tasks.into(), ..Default::default() }
}

fn list_undeletion(name: &str) -> pb::UndeleteTaskListRequest {
    pb::UndeleteTaskListRequest { name: name.to_owned(), ..Default::default() }
}

fn in_list(title: &str, list: &pb::TaskList) -> pb::CreateTaskRequest {
    creation(pb::Task { task_list: list.name.clone(), ..titled(title) })
}

async fn create_in(tasks: &mut Tasks, title: &str, list: &pb::TaskList) -> pb::Task {
    tasks.create_task(in_list(title, list)).await.unwrap().into_inner()
}

fn moving(name: &str, list: Option<&str>, before: &str) -> pb::MoveTaskRequest {
    pb::MoveTaskRequest {
        name: name.to_owned(),
        task_list: list.map(str::to_owned),
        before: before.to_owned(),
        ..Default::default()
    }
}

/// What an undo restores of a task.
fn restorable(mut task: pb::Task) -> pb::Task {
    (task.revision, task.update_time, task.etag) = (0, None, String::new());
    task
}

/// All tasks as an undo restores them, in the order of their names.
async fn restorables(tasks: &mut Tasks) -> Vec<pb::Task> {
    all(tasks).await.into_iter().map(restorable).collect()
}

async fn changes_of_lists_are_told_among_those_of_tasks(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let made = create_list(&mut tasks, "list").await;
    let task = create_in(&mut tasks, "a", &made).await;
    let other = create_list(&mut tasks, "other").await;
    let renamed = pb::UpdateTaskListRequest {
        task_list: Some(pb::TaskList { title: "renamed".into(), ..made.clone() }),
        ..Default::default()
    };
    let renamed = tasks.update_task_list(renamed).await.unwrap().into_inner();
    let moved =
        pb::MoveTaskListRequest { name: other.name.clone(), before: made.name.clone(), ..Default::default() };
    let moved = tasks.move_task_list(moved).await.unwrap().into_inner();
    let deleted = tasks.delete_task_list(list_deletion(&made.name, OfDeleted::Delete)).await.unwrap();
    let deleted = deleted.into_inner();
    let restored = tasks.undelete_task_list(list_undeletion(&made.name)).await.unwrap().into_inner();
    let kept = tasks.delete_task_list(list_deletion(&made.name, OfDeleted::Keep)).await.unwrap().into_inner();

    let log = changes(&mut tasks, 0).await;
    assert!(log.iter().map(|change| change.revision).eq(1..=11));
    let lists = [(1, made), (3, other), (4, renamed), (5, moved), (6, deleted), (8, restored), (10, kept)];
    for (revision, list) in lists {
        let change = &log[revision as usize - 1];
        assert_eq!((change.task_list.as_ref(), &change.task), (Some(&list), &None), "{revision}");
        assert_eq!(list.revision, revision);
    }
    let kinds: Vec<_> = log.iter().map(|change| (change.r#type(), change.task.is_some())).collect();
    let (list, task_of) = (false, true);
    assert_eq!(
        kinds,
        [
            (Type::Created, list),
            (Type::Created, task_of),
            (Type::Created, list),
            (Type::Updated, list),
            (Type::Updated, list),
            (Type::Deleted, list),
            (Type::Deleted, task_of),
            (Type::Undeleted, list),
            (Type::Undeleted, task_of),
            (Type::Deleted, list),
            (Type::Updated, task_of),
        ]
    );
    let fields: Vec<_> = log.iter().map(|change| change.changed_fields.join(" ")).collect();
    assert_eq!(fields, ["", "", "", "title", "position", "", "", "", "", "", "task_list"]);
    assert_eq!(get(&mut tasks, &task.name).await.task_list, "");
}

async fn a_watcher_gets_the_lists_before_the_tasks(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let (one, gone) = (create_list(&mut tasks, "one").await, create_list(&mut tasks, "gone").await);
    let task = create_in(&mut tasks, "a", &one).await;
    tasks.delete_task_list(list_deletion(&gone.name, OfDeleted::Delete)).await.unwrap();
    let request = pb::WatchTasksRequest { initial_state: true, ..watching(None) };
    let mut stream = tasks.watch_tasks(request).await.unwrap().into_inner();
    let mut next = async || stream.message().await.unwrap().unwrap().event.unwrap();
    assert_eq!(next().await, Event::TaskList(one.clone()));
    assert_eq!(next().await, Event::Task(task));
    assert!(matches!(next().await, Event::InitialStateEnd(_)));
    let two = create_list(&mut tasks, "two").await;
    let Event::Change(change) = next().await else { panic!("no change") };
    assert_eq!((change.task_list, change.task), (Some(two), None));
}

async fn a_repeated_call_is_answered_as_before(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let id = || uuid::Uuid::now_v7().to_string();
    let make = pb::CreateTaskListRequest { request_id: id(), ..new_list("list") };
    let list = tasks.create_task_list(make.clone()).await.unwrap().into_inner();
    assert_eq!(tasks.create_task_list(make.clone()).await.unwrap().into_inner(), list);
    let (one, two) = (create_in(&mut tasks, "a", &list).await, create_in(&mut tasks, "b", &list).await);
    let shift = pb::MoveTaskRequest { request_id: id(), ..moving(&two.name, None, &one.name) };
    let moved = tasks.move_task(shift.clone()).await.unwrap().into_inner();
    tasks.move_task(moving(&one.name, None, &two.name)).await.unwrap();
    assert_eq!(tasks.move_task(shift).await.unwrap().into_inner(), moved);
    let delete =
        pb::DeleteTaskListRequest { request_id: id(), ..list_deletion(&list.name, OfDeleted::Delete) };
    let deleted = tasks.delete_task_list(delete.clone()).await.unwrap().into_inner();
    let restore = pb::UndeleteTaskListRequest { request_id: id(), ..list_undeletion(&list.name) };
    let restored = tasks.undelete_task_list(restore.clone()).await.unwrap().into_inner();
    let revision = self::revision(&mut tasks).await;
    assert_eq!(tasks.delete_task_list(delete.clone()).await.unwrap().into_inner(), deleted);
    assert_eq!(tasks.undelete_task_list(restore).await.unwrap().into_inner(), restored);
    let other = pb::DeleteTaskListRequest { tasks: OfDeleted::Keep.into(), ..delete };
    refused_for(tasks.delete_task_list(other).await, "REQUEST_ID_REUSED");
    assert_eq!(self::revision(&mut tasks).await, revision);
    assert_eq!(all(&mut tasks).await.iter().filter(|task| task.delete_time.is_none()).count(), 2);
}

async fn a_deleted_list_is_undone_and_redone(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let list = create_list(&mut tasks, "list").await;
    for title in ["a", "b", "c"] {
        create_in(&mut tasks, title, &list).await;
    }
    let before = restorables(&mut tasks).await;
    let start = revision(&mut tasks).await;
    for keep in [OfDeleted::Delete, OfDeleted::Keep] {
        let start = revision(&mut tasks).await;
        tasks.delete_task_list(list_deletion(&list.name, keep)).await.unwrap();
        let end = revision(&mut tasks).await;
        assert_eq!(end - start, 4);
        let rehearsal = pb::UndoChangesRequest { validate_only: true, ..undoing(start, end) };
        let rehearsed = tasks.undo_changes(rehearsal).await.unwrap().into_inner();
        assert_eq!((rehearsed.task_lists.len(), rehearsed.tasks.len(), rehearsed.revisions.len()), (1, 3, 0));
        let undone = tasks.undo_changes(undoing(start, end)).await.unwrap().into_inner();
        assert_eq!((undone.task_lists.len(), undone.tasks.len()), (1, 3));
        assert!(undone.revisions.iter().copied().eq(end + 1..=end + 4));
        assert!(undone.conflicts.is_empty());
        assert_eq!(restorables(&mut tasks).await, before, "{keep:?}");
        let back = get_list(&mut tasks, &list.name).await;
        assert_eq!((back.delete_time, &back.title, &back.position), (None, &list.title, &list.position));
        assert_eq!(undone.task_lists, [back]);
    }
    // From the very beginning: all of it goes.
    let end = revision(&mut tasks).await;
    let undone = tasks.undo_changes(undoing(0, end)).await.unwrap().into_inner();
    assert_eq!((undone.task_lists.len(), undone.tasks.len()), (1, 3));
    assert!(get_list(&mut tasks, &list.name).await.delete_time.is_some());
    let redo = undoing(end, revision(&mut tasks).await);
    tasks.undo_changes(redo).await.unwrap();
    assert_eq!(restorables(&mut tasks).await, before);
    assert!(start < end);
}

async fn an_undo_finds_the_lists_of_its_tasks(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let list = create_list(&mut tasks, "list").await;
    let task = create_in(&mut tasks, "a", &list).await;
    let start = revision(&mut tasks).await;
    // The task's change comes first, though it needs the list.
    tasks.move_task(moving(&task.name, Some(""), "")).await.unwrap();
    tasks.delete_task_list(list_deletion(&list.name, OfDeleted::Delete)).await.unwrap();
    let (middle, end) = (start + 1, revision(&mut tasks).await);
    // Alone, the task's change leads back into a list that is gone: it stays outside.
    let alone = tasks.undo_changes(undoing(start, middle)).await.unwrap().into_inner();
    assert!(alone.conflicts.is_empty());
    assert_eq!(get(&mut tasks, &task.name).await.task_list, "");
    let both = pb::UndoChangesRequest { force: true, ..undoing(start, end) };
    tasks.undo_changes(both).await.unwrap();
    assert_eq!(restorable(get(&mut tasks, &task.name).await), restorable(task));
    assert_eq!(get_list(&mut tasks, &list.name).await.delete_time, None);
}

async fn a_list_that_is_undone_leaves_the_tasks_that_came_since(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let list = create_list(&mut tasks, "list").await;
    let later = create_in(&mut tasks, "later", &list).await;
    let undone = tasks.undo_changes(undoing(0, 1)).await.unwrap().into_inner();
    assert_eq!((undone.task_lists.len(), undone.tasks.len()), (1, 0));
    let later = get(&mut tasks, &later.name).await;
    assert_eq!((later.task_list.as_str(), later.delete_time), ("", None));
    // A list that was changed since is a conflict, named as what it is.
    let other = create_list(&mut tasks, "other").await;
    let renamed = pb::UpdateTaskListRequest {
        task_list: Some(pb::TaskList { title: "renamed".into(), ..other.clone() }),
        ..Default::default()
    };
    let renamed = tasks.update_task_list(renamed).await.unwrap().into_inner();
    let undone = tasks.undo_changes(undoing(other.revision - 1, other.revision)).await.unwrap().into_inner();
    let reason = pb::undo_conflict::Reason::ChangedSince.into();
    let conflict =
        pb::UndoConflict { task_list: other.name, revision: renamed.revision, reason, ..Default::default() };
    assert_eq!(undone.conflicts, [conflict]);
}

async fn moves_are_undone(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let list = create_list(&mut tasks, "list").await;
    let (one, two) = (create(&mut tasks, "a").await, create(&mut tasks, "b").await);
    let before = restorables(&mut tasks).await;
    let start = revision(&mut tasks).await;
    tasks.move_task(moving(&two.name, None, &one.name)).await.unwrap();
    tasks.move_task(moving(&one.name, Some(&list.name), "")).await.unwrap();
    let log = changes(&mut tasks, start).await;
    let fields: Vec<_> = log.iter().map(|change| change.changed_fields.join(" ")).collect();
    assert_eq!(fields, ["position", "task_list position"]);
    let after = restorables(&mut tasks).await;
    let end = revision(&mut tasks).await;
    tasks.undo_changes(undoing(start, end)).await.unwrap();
    assert_eq!(restorables(&mut tasks).await, before);
    let redo = undoing(end, revision(&mut tasks).await);
    tasks.undo_changes(redo).await.unwrap();
    assert_eq!(restorables(&mut tasks).await, after);
}

/// A list with so many tasks.
async fn large(tasks: &mut Tasks, count: usize) -> pb::TaskList {
    let list = create_list(tasks, "large").await;
    for from in (0..count).step_by(200) {
        let items = (from..count.min(from + 200)).map(|at| in_list(&at.to_string(), &list)).collect();
        tasks.batch_create_tasks(batch_creation(items)).await.unwrap();
    }
    list
}

/// How many tasks there are, deleted or not.
async fn live(tasks: &mut Tasks) -> i64 {
    let request = pb::CountTasksRequest { parent: "users/me".to_owned(), ..Default::default() };
    tasks.count_tasks(request).await.unwrap().into_inner().total
}

async fn a_large_list_goes_and_comes_back_in_steps(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let list = large(&mut tasks, 2100).await;
    let start = revision(&mut tasks).await;
    tasks.delete_task_list(list_deletion(&list.name, OfDeleted::Delete)).await.unwrap();
    assert_eq!((live(&mut tasks).await, revision(&mut tasks).await), (0, start + 2101));
    tasks.undelete_task_list(list_undeletion(&list.name)).await.unwrap();
    assert_eq!((live(&mut tasks).await, revision(&mut tasks).await), (2100, start + 4202));
    tasks.delete_task_list(list_deletion(&list.name, OfDeleted::Keep)).await.unwrap();
    assert_eq!((live(&mut tasks).await, revision(&mut tasks).await), (2100, start + 6303));
    let request = pb::CountTasksRequest {
        parent: "users/me".to_owned(),
        filter: "task_list:*".to_owned(),
        ..Default::default()
    };
    assert_eq!(tasks.count_tasks(request).await.unwrap().into_inner().total, 0);
}

async fn what_was_left_in_the_middle_is_finished(database: TestDatabase) {
    use taskwire::domain::{ListWrite, TaskListId, TasksOfDeleted, Write, WriteRules};
    use taskwire::storage::Operation;
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    let mut tasks = replica.tasks(&user);
    let list = large(&mut tasks, 1500).await;
    // The first step alone, as when the service dies after it.
    let id = TaskListId::parse(list.name.rsplit('/').next().unwrap()).unwrap();
    let tasks_of = TasksOfDeleted::Delete;
    let write = ListWrite::Delete { id, etag: None, allow_missing: false, tasks: tasks_of };
    let rules = WriteRules { now: world.now(), purge_after: 30 * Duration::from_secs(24 * 60 * 60) };
    let owner = crate::storage::owner_of(user.id().into());
    let operation = Operation::new(owner, vec![Write::List(write)], rules, i64::MAX);
    replica.services.storage.tasks().write(operation).await.unwrap();
    assert_eq!(live(&mut tasks).await, 501);
    jobs::finish_lists(&replica.services).await.unwrap();
    assert_eq!(live(&mut tasks).await, 0);
    let end = revision(&mut tasks).await;
    jobs::finish_lists(&replica.services).await.unwrap();
    assert_eq!(revision(&mut tasks).await, end);
}

async fn a_list_is_purged_when_its_time_has_come(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    let mut tasks = replica.tasks(&user);
    let list = create_list(&mut tasks, "list").await;
    create_in(&mut tasks, "a", &list).await;
    tasks.delete_task_list(list_deletion(&list.name, OfDeleted::Delete)).await.unwrap();
    let day = Duration::from_secs(24 * 60 * 60);
    world.hand.advance(30 * day - Duration::from_micros(1));
    jobs::purge(&replica.services).await.unwrap();
    let mut tasks = replica.tasks(&user.again(&replica).await);
    assert_eq!(revision(&mut tasks).await, 4);
    world.hand.advance(Duration::from_micros(1));
    jobs::purge(&replica.services).await.unwrap();
    let purged = changes(&mut tasks, 4).await;
    assert_eq!(purged.iter().map(pb::TaskChange::r#type).collect::<Vec<_>>(), [Type::Purged; 2]);
    let only_name = pb::TaskList { name: list.name.clone(), ..Default::default() };
    assert_eq!((purged[1].task_list.as_ref(), &purged[1].task), (Some(&only_name), &None));
    let request = pb::GetTaskListRequest { name: list.name.clone() };
    refused_for(tasks.get_task_list(request).await, "TASK_LIST_NOT_FOUND");
    refused_for(tasks.undelete_task_list(list_undeletion(&list.name)).await, "TASK_LIST_NOT_FOUND");
}

async fn a_quota_keeps_a_list_from_coming_back(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(taskwire::api::TaskRules { live_tasks_max: 3, ..rules() }).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let list = create_list(&mut tasks, "list").await;
    for title in ["a", "b"] {
        create_in(&mut tasks, title, &list).await;
    }
    tasks.delete_task_list(list_deletion(&list.name, OfDeleted::Delete)).await.unwrap();
    let (one, _) = (create(&mut tasks, "c").await, create(&mut tasks, "d").await);
    let before = revision(&mut tasks).await;
    refused_for(tasks.undelete_task_list(list_undeletion(&list.name)).await, "QUOTA_EXCEEDED");
    assert_eq!(revision(&mut tasks).await, before);
    tasks.delete_task(deletion(&one.name)).await.unwrap();
    tasks.undelete_task_list(list_undeletion(&list.name)).await.unwrap();
    assert_eq!(live(&mut tasks).await, 3);
}
