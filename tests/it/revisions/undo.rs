//! Undoing: tasks go back to where they were, by new changes.

use std::time::Duration;

use taskwire::pb;
use taskwire::pb::task_change::Type;

use super::harness::replica::{Tasks, World, rules};
use super::*;
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(
    a_mixed_stretch_is_undone_and_redone,
    what_becomes_deleted_gets_new_times,
    what_is_deleted_before_and_after_stays_as_it_is,
    a_time_of_completion_is_restored,
    what_is_as_it_was_gets_no_change,
    a_rehearsal_changes_nothing,
    a_stretch_of_a_thousand_is_undone,
    two_undos_at_once_undo_once,
);

const HOUR: Duration = Duration::from_secs(60 * 60);

/// All of a task that an undo restores: not what tells of the change itself.
fn restorable(mut task: pb::Task) -> pb::Task {
    (task.revision, task.update_time, task.etag) = (0, None, String::new());
    task
}

/// Every field of a task is something.
fn full(title: &str) -> pb::Task {
    pb::Task {
        description: Some("about it".to_owned()),
        priority: pb::Priority::High.into(),
        due_time: Some(prost_types::Timestamp { seconds: 1_900_000_000, nanos: 0 }),
        labels: vec!["b".to_owned(), "a".to_owned()],
        ..titled(title)
    }
}

/// Five tasks: to be updated, completed, opened again, deleted and restored.
async fn five(tasks: &mut Tasks) -> Vec<pb::Task> {
    let mut items: Vec<_> =
        ["update", "complete", "open", "delete", "undelete"].map(full).map(creation).into();
    items[2].task.as_mut().unwrap().completed = true;
    let made = tasks.batch_create_tasks(batch_creation(items)).await.unwrap().into_inner().tasks;
    tasks.delete_task(deletion(&made[4].name)).await.unwrap();
    all(tasks).await
}

async fn a_mixed_stretch_is_undone_and_redone(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let before = five(&mut tasks).await;
    let named = |title: &str| before.iter().find(|task| task.title == title).unwrap().name.clone();
    let start = revision(&mut tasks).await;
    world.hand.advance(Duration::from_secs(60));

    let empty = pb::Task { name: named("update"), ..titled("other") };
    tasks.update_task(change(empty, &["*"])).await.unwrap();
    let done = |name: String, completed| pb::Task { name, completed, ..pb::Task::default() };
    tasks.update_task(change(done(named("complete"), true), &["completed"])).await.unwrap();
    tasks.update_task(change(done(named("open"), false), &["completed"])).await.unwrap();
    tasks.delete_task(deletion(&named("delete"))).await.unwrap();
    tasks.undelete_task(undeletion(&named("undelete"))).await.unwrap();
    let new = create(&mut tasks, "new").await;
    let (middle, end) = (all(&mut tasks).await, revision(&mut tasks).await);
    world.hand.advance(Duration::from_secs(60));

    let undone = tasks.undo_changes(undoing(start, end)).await.unwrap().into_inner();
    assert_eq!(undone.conflicts, []);
    assert!(undone.revisions.iter().copied().eq(end + 1..=end + 6));
    assert!(undone.tasks.iter().map(|task| task.revision).eq(end + 1..=end + 6));
    let after = all(&mut tasks).await;
    for task in &before {
        let now = after.iter().find(|now| now.name == task.name).unwrap();
        assert_ne!(
            (&now.etag, now.revision, &now.update_time),
            (&task.etag, task.revision, &task.update_time)
        );
        assert_eq!(timeless(now.clone()), timeless(task.clone()));
        if task.delete_time.is_none() {
            assert_eq!(restorable(now.clone()), restorable(task.clone()));
        }
    }
    assert!(get(&mut tasks, &new.name).await.delete_time.is_some());
    told(&mut tasks, end, &undone.tasks).await;

    // And back again: an undo is undone like any other change.
    let (from, to) = (undone.revisions[0] - 1, undone.revisions[5]);
    let redone = tasks.undo_changes(undoing(from, to)).await.unwrap().into_inner();
    assert_eq!((redone.tasks.len(), redone.conflicts.len()), (6, 0));
    let again = all(&mut tasks).await.into_iter().map(timeless);
    assert!(again.eq(middle.into_iter().map(timeless)));
}

/// As `restorable`, but of the deletion only whether there is one.
fn timeless(task: pb::Task) -> (pb::Task, bool) {
    let is_deleted = task.delete_time.is_some();
    assert_eq!(task.purge_time.is_some(), is_deleted);
    (restorable(pb::Task { delete_time: None, purge_time: None, ..task }), is_deleted)
}

/// The log tells of the undo what became of each task.
async fn told(tasks: &mut Tasks, after: i64, undone: &[pb::Task]) {
    let listed = changes(tasks, after).await;
    assert!(listed.iter().map(|change| change.task.clone().unwrap()).eq(undone.iter().cloned()));
    let everything: &[&str] = &["title", "description", "priority", "due_time", "labels"];
    for change in listed {
        let task = change.task.clone().unwrap();
        let expected: (Type, &[&str]) = match task.title.as_str() {
            "update" => (Type::Updated, everything),
            "complete" | "open" => (Type::Updated, &["completed"]),
            "delete" => (Type::Undeleted, &[]),
            _ => (Type::Deleted, &[]),
        };
        let fields: Vec<&str> = change.changed_fields.iter().map(String::as_str).collect();
        assert_eq!((change.r#type(), fields.as_slice()), expected, "{change:?}");
    }
}

async fn what_becomes_deleted_gets_new_times(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    let mut tasks = replica.tasks(&user);
    let task = create(&mut tasks, "one").await;
    tasks.delete_task(deletion(&task.name)).await.unwrap();
    world.hand.advance(29 * 24 * HOUR);
    let mut tasks = replica.tasks(&user.again(&replica).await);
    tasks.undelete_task(undeletion(&task.name)).await.unwrap();
    world.hand.advance(Duration::from_secs(60));
    let undone = tasks.undo_changes(undoing(2, 3)).await.unwrap().into_inner().tasks;
    let now = Some(time(world.now()));
    let purge = Some(time(world.now().after(rules().purge_after)));
    assert_eq!((&undone[0].delete_time, &undone[0].update_time, &undone[0].purge_time), (&now, &now, &purge));
}

fn time(time: taskwire::domain::Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = time.to_parts();
    prost_types::Timestamp { seconds, nanos }
}

async fn what_is_deleted_before_and_after_stays_as_it_is(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let task = create(&mut tasks, "one").await;
    tasks.delete_task(deletion(&task.name)).await.unwrap();
    world.hand.advance(Duration::from_secs(60));
    tasks.undelete_task(undeletion(&task.name)).await.unwrap();
    let deleted = tasks.delete_task(deletion(&task.name)).await.unwrap().into_inner();
    let undone = tasks.undo_changes(undoing(2, 4)).await.unwrap().into_inner();
    assert_eq!(undone, pb::UndoChangesResponse::default());
    assert_eq!(get(&mut tasks, &task.name).await, deleted);

    // Where its fields differ it changes, and stays deleted since then.
    tasks.undelete_task(undeletion(&task.name)).await.unwrap();
    tasks.update_task(retitling(&task.name, "two")).await.unwrap();
    let deleted = tasks.delete_task(deletion(&task.name)).await.unwrap().into_inner();
    let undone = tasks.undo_changes(undoing(4, 7)).await.unwrap().into_inner().tasks;
    assert_eq!((undone[0].title.as_str(), undone[0].revision), ("one", 8));
    assert_eq!((&undone[0].delete_time, &undone[0].purge_time), (&deleted.delete_time, &deleted.purge_time));
    let told = changes(&mut tasks, 7).await;
    assert_eq!(
        (told[0].r#type(), told[0].changed_fields.as_slice()),
        (Type::Updated, &["title".to_owned()][..])
    );
}

async fn a_time_of_completion_is_restored(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let made = creation(pb::Task { completed: true, ..titled("done") });
    let before = tasks.create_task(made).await.unwrap().into_inner();
    for completed in [false, true] {
        world.hand.advance(Duration::from_secs(60));
        let task = pb::Task { name: before.name.clone(), completed, ..pb::Task::default() };
        tasks.update_task(change(task, &["completed"])).await.unwrap();
    }
    let undone = tasks.undo_changes(undoing(1, 3)).await.unwrap().into_inner().tasks;
    assert_eq!(restorable(undone[0].clone()), restorable(before));
    let told = changes(&mut tasks, 3).await;
    let fields = ["completed".to_owned()];
    assert_eq!((told[0].r#type(), told[0].changed_fields.as_slice()), (Type::Updated, &fields[..]));
}

async fn what_is_as_it_was_gets_no_change(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let task = create(&mut tasks, "one").await;
    tasks.update_task(retitling(&task.name, "two")).await.unwrap();
    let back = tasks.update_task(retitling(&task.name, "one")).await.unwrap().into_inner();
    assert_eq!(
        tasks.undo_changes(undoing(1, 3)).await.unwrap().into_inner(),
        pb::UndoChangesResponse::default()
    );
    // Nor is it a conflict, though it was changed again after the stretch.
    assert_eq!(
        tasks.undo_changes(undoing(1, 2)).await.unwrap().into_inner(),
        pb::UndoChangesResponse::default()
    );
    assert_eq!((get(&mut tasks, &task.name).await, revision(&mut tasks).await), (back, 3));
}

async fn a_rehearsal_changes_nothing(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let one = create(&mut tasks, "one").await;
    let two = create(&mut tasks, "two").await;
    tasks.update_task(retitling(&one.name, "changed")).await.unwrap();
    tasks.update_task(retitling(&two.name, "changed")).await.unwrap();
    tasks.update_task(retitling(&two.name, "changed again")).await.unwrap();
    let before = (all(&mut tasks).await, revision(&mut tasks).await);

    let request = pb::UndoChangesRequest { validate_only: true, ..undoing(2, 4) };
    let rehearsed = tasks.undo_changes(request).await.unwrap().into_inner();
    assert_eq!((all(&mut tasks).await, revision(&mut tasks).await), before);
    assert_eq!(rehearsed.revisions, [0; 0]);
    let undone = tasks.undo_changes(undoing(2, 4)).await.unwrap().into_inner();
    assert_eq!(rehearsed.conflicts, undone.conflicts);
    assert_eq!(undone.revisions, [6]);
    // What it would be, but with the revision and etag that it had then.
    let had = before.0.iter().find(|task| task.name == one.name).unwrap();
    assert_eq!((rehearsed.tasks[0].revision, &rehearsed.tasks[0].etag), (had.revision, &had.etag));
    assert!(rehearsed.tasks.into_iter().map(restorable).eq(undone.tasks.into_iter().map(restorable)));
}

async fn a_stretch_of_a_thousand_is_undone(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    for _ in 0..5 {
        let items = (0..200).map(|number| creation(titled(&number.to_string()))).collect();
        tasks.batch_create_tasks(batch_creation(items)).await.unwrap();
    }
    let undone = tasks.undo_changes(undoing(0, 1000)).await.unwrap().into_inner();
    assert!(undone.revisions.into_iter().eq(1001..=2000));
    assert!(all(&mut tasks).await.iter().all(|task| task.delete_time.is_some()));
}

async fn two_undos_at_once_undo_once(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    let mut tasks = replica.tasks(&user);
    let before = five(&mut tasks).await;
    let start = revision(&mut tasks).await;
    for task in before.iter().filter(|task| task.delete_time.is_none()) {
        tasks.update_task(retitling(&task.name, "changed")).await.unwrap();
    }
    let (mut one, mut two) = (replica.tasks(&user), replica.tasks(&user));
    let request = undoing(start, start + 4);
    let (one, two) = tokio::join!(one.undo_changes(request.clone()), two.undo_changes(request));
    let (one, two) = (one.unwrap().into_inner(), two.unwrap().into_inner());
    // The later one finds the tasks as they were: no changes, no conflicts.
    assert_eq!((one.tasks.len() + two.tasks.len(), one.conflicts.len() + two.conflicts.len()), (4, 0));
    assert_eq!(revision(&mut tasks).await, start + 8);
}
