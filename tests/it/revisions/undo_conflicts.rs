//! Undoing what was changed again since: it is left alone and reported, or brought back by force.

use std::time::Duration;

use taskwire::pb;
use taskwire::pb::undo_conflict::Reason;
use taskwire::server::jobs;

use super::harness::replica::{World, rules};
use super::*;
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(
    what_was_changed_since_is_left_alone,
    force_brings_back_what_was_changed_since,
    what_was_purged_cannot_be_brought_back,
);

async fn what_was_changed_since_is_left_alone(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let one = create(&mut tasks, "one").await;
    let two = create(&mut tasks, "two").await;
    let three = create(&mut tasks, "three").await;
    // In the stretch each is changed, one of them twice; then two of them again.
    for (task, title) in [(&one, "x"), (&two, "x"), (&three, "x"), (&one, "y")] {
        tasks.update_task(retitling(&task.name, title)).await.unwrap();
    }
    tasks.update_task(retitling(&one.name, "since")).await.unwrap();
    tasks.delete_task(deletion(&three.name)).await.unwrap();
    let (kept_one, kept_three) = (get(&mut tasks, &one.name).await, get(&mut tasks, &three.name).await);

    let undone = tasks.undo_changes(undoing(3, 7)).await.unwrap().into_inner();
    assert_eq!((undone.tasks.len(), undone.revisions.as_slice()), (1, &[10][..]));
    assert_eq!((undone.tasks[0].name.as_str(), undone.tasks[0].title.as_str()), (two.name.as_str(), "two"));
    let conflict = |task: &pb::Task| pb::UndoConflict {
        task: task.name.clone(),
        revision: task.revision,
        reason: Reason::ChangedSince.into(),
        ..pb::UndoConflict::default()
    };
    assert_eq!(undone.conflicts, [conflict(&kept_one), conflict(&kept_three)]);
    assert_eq!(get(&mut tasks, &one.name).await, kept_one);
    assert_eq!(get(&mut tasks, &three.name).await, kept_three);
}

async fn force_brings_back_what_was_changed_since(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let one = create(&mut tasks, "one").await;
    let two = create(&mut tasks, "two").await;
    tasks.update_task(retitling(&one.name, "in the stretch")).await.unwrap();
    let later = pb::Task { name: one.name.clone(), priority: pb::Priority::High.into(), ..titled("later") };
    tasks.update_task(change(later, &["title", "priority"])).await.unwrap();
    tasks.delete_task(deletion(&one.name)).await.unwrap();
    tasks.update_task(retitling(&two.name, "not in the stretch")).await.unwrap();

    let request = pb::UndoChangesRequest { force: true, ..undoing(2, 3) };
    let undone = tasks.undo_changes(request.clone()).await.unwrap().into_inner();
    assert_eq!((undone.conflicts.len(), undone.revisions.as_slice()), (0, &[7][..]));
    let expected = pb::Task { revision: 7, etag: undone.tasks[0].etag.clone(), ..one };
    assert_eq!(undone.tasks, [expected]);
    let told = changes(&mut tasks, 6).await;
    assert_eq!(told[0].r#type(), pb::task_change::Type::Undeleted);
    assert_eq!(told[0].changed_fields, ["title", "priority"]);
    assert_eq!(get(&mut tasks, &two.name).await.title, "not in the stretch");
    // Once more there is nothing left to do.
    let again = tasks.undo_changes(request).await.unwrap().into_inner();
    assert_eq!(again, pb::UndoChangesResponse::default());
}

async fn what_was_purged_cannot_be_brought_back(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    let mut tasks = replica.tasks(&user);
    let gone = create(&mut tasks, "gone").await;
    tasks.delete_task(deletion(&gone.name)).await.unwrap();
    world.hand.advance(rules().purge_after - Duration::from_secs(60));
    let mut tasks = replica.tasks(&user.again(&replica).await);
    let kept = create(&mut tasks, "kept").await;
    world.hand.advance(Duration::from_secs(60));
    jobs::purge(&replica.services).await.unwrap();
    tasks.update_task(retitling(&kept.name, "changed")).await.unwrap();
    let conflict = pb::UndoConflict {
        task: gone.name,
        revision: 0,
        reason: Reason::Purged.into(),
        ..pb::UndoConflict::default()
    };
    // Whether its creation, its deletion or its purge is undone.
    for (start, end) in [(0, 2), (1, 2), (1, 4), (3, 4)] {
        for force in [false, true] {
            let request = pb::UndoChangesRequest { validate_only: true, force, ..undoing(start, end) };
            let undone = tasks.undo_changes(request).await.unwrap().into_inner();
            assert_eq!(undone.conflicts[0], conflict);
        }
    }
    let undone = tasks.undo_changes(pb::UndoChangesRequest { force: true, ..undoing(1, 5) }).await;
    let undone = undone.unwrap().into_inner();
    assert_eq!((undone.tasks.len(), undone.conflicts), (1, vec![conflict]));
    assert!(undone.tasks[0].delete_time.is_some());
}
