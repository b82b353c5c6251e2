//! How many tasks a user may have: exactly as many as configured, whatever happens at once.

use futures_util::future::join_all;
use taskwire::api::TaskRules;
use taskwire::pb;

use super::harness::replica::{Replica, World, connect, rules};
use super::*;
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(
    a_full_user_makes_no_more_tasks,
    twenty_at_once_make_exactly_as_many_as_allowed,
    a_batch_that_does_not_fit_is_refused_as_a_whole,
    taking_a_task_back_counts,
    an_undo_counts_what_comes_of_it,
    an_undo_may_swap_one_task_for_another,
);

async fn server(database: &TestDatabase, live_tasks_max: i64) -> (World, Replica) {
    let world = World::on(&database.url);
    let replica = world.serve(TaskRules { live_tasks_max, ..rules() }).await;
    (world, replica)
}

#[track_caller]
fn full(status: &Status) {
    assert_eq!((status.code(), reason(status).as_str()), (Code::ResourceExhausted, "QUOTA_EXCEEDED"));
    assert!(status.get_details_quota_failure().is_some(), "{status:?}");
}

async fn a_full_user_makes_no_more_tasks(database: TestDatabase) {
    let (_world, replica) = server(&database, 3).await;
    let (one, two) = two(&replica).await;
    let mut tasks = replica.tasks(&one);
    let mut names = Vec::new();
    for number in 0..3 {
        names.push(create(&mut tasks, &number.to_string()).await.name);
    }
    full(&tasks.create_task(creation(titled("one too many"))).await.unwrap_err());
    // One that exists is told so all the same, and what makes no task is not held up.
    let id = names[0].rsplit('/').next().unwrap().to_owned();
    let again = pb::CreateTaskRequest { task_id: id, ..creation(titled("again")) };
    refused_for(tasks.create_task(again).await, "TASK_ALREADY_EXISTS");
    tasks.update_task(retitling(&names[0], "changed")).await.unwrap();
    // Deleted ones do not count, and everybody counts for themselves.
    tasks.delete_task(deletion(&names[0])).await.unwrap();
    create(&mut tasks, "one again").await;
    full(&tasks.create_task(creation(titled("one too many"))).await.unwrap_err());
    create(&mut replica.tasks(&two), "somebody else's").await;
    assert_eq!(revision(&mut tasks).await, 6);
}

async fn twenty_at_once_make_exactly_as_many_as_allowed(database: TestDatabase) {
    let (_world, replica) = server(&database, 7).await;
    let user = replica.register("one@example.org").await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let tasks = user.tasks(connect(replica.address).await);
        clients.extend((0..5).map(|_| tasks.clone()));
    }
    let calls = clients.iter_mut().map(|tasks| tasks.create_task(creation(titled("at once"))));
    let (made, refused): (Vec<_>, Vec<_>) = join_all(calls).await.into_iter().partition(Result::is_ok);
    assert_eq!((made.len(), refused.len()), (7, 13));
    for answered in refused {
        full(&answered.unwrap_err());
    }
    let mut revisions: Vec<i64> = made.into_iter().map(|task| task.unwrap().into_inner().revision).collect();
    revisions.sort_unstable();
    assert!(revisions.into_iter().eq(1..=7));
    assert_eq!(all(&mut clients[0]).await.len(), 7);
}

async fn a_batch_that_does_not_fit_is_refused_as_a_whole(database: TestDatabase) {
    let (_world, replica) = server(&database, 10).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let items = |count| batch_creation(vec![creation(titled("x")); count]);
    tasks.batch_create_tasks(items(8)).await.unwrap();
    full(&tasks.batch_create_tasks(items(3)).await.unwrap_err());
    assert_eq!(revision(&mut tasks).await, 8);
    tasks.batch_create_tasks(items(2)).await.unwrap();
    full(&tasks.batch_create_tasks(items(1)).await.unwrap_err());
}

async fn taking_a_task_back_counts(database: TestDatabase) {
    let (_world, replica) = server(&database, 2).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let one = create(&mut tasks, "one").await;
    create(&mut tasks, "two").await;
    tasks.delete_task(deletion(&one.name)).await.unwrap();
    let three = create(&mut tasks, "three").await;
    full(&tasks.undelete_task(undeletion(&one.name)).await.unwrap_err());
    assert!(get(&mut tasks, &one.name).await.delete_time.is_some());
    tasks.delete_task(deletion(&three.name)).await.unwrap();
    tasks.undelete_task(undeletion(&one.name)).await.unwrap();
    full(&tasks.create_task(creation(titled("four"))).await.unwrap_err());
}

async fn an_undo_counts_what_comes_of_it(database: TestDatabase) {
    let (_world, replica) = server(&database, 2).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let one = create(&mut tasks, "one").await;
    let two = create(&mut tasks, "two").await;
    let items = vec![deletion(&one.name), deletion(&two.name)];
    tasks.batch_delete_tasks(batch_deletion(items)).await.unwrap();
    create(&mut tasks, "three").await;
    let before = (all(&mut tasks).await, revision(&mut tasks).await);
    full(&tasks.undo_changes(undoing(2, 4)).await.unwrap_err());
    assert_eq!((all(&mut tasks).await, revision(&mut tasks).await), before);
    tasks.undo_changes(undoing(3, 4)).await.unwrap();
    full(&tasks.create_task(creation(titled("four"))).await.unwrap_err());
}

async fn an_undo_may_swap_one_task_for_another(database: TestDatabase) {
    let (_world, replica) = server(&database, 2).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let one = create(&mut tasks, "one").await;
    create(&mut tasks, "two").await;
    tasks.delete_task(deletion(&one.name)).await.unwrap();
    create(&mut tasks, "three").await;
    // As many as allowed before and after, though one more for a moment.
    let undone = tasks.undo_changes(undoing(2, 4)).await.unwrap().into_inner();
    assert_eq!(undone.revisions, [5, 6]);
    let live: Vec<_> = all(&mut tasks).await.into_iter().filter(|task| task.delete_time.is_none()).collect();
    let mut titles: Vec<_> = live.iter().map(|task| task.title.as_str()).collect();
    titles.sort_unstable();
    assert_eq!(titles, ["one", "two"]);
    full(&tasks.create_task(creation(titled("four"))).await.unwrap_err());
}
