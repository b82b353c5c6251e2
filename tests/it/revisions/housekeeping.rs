//! What the service does by itself: deleted tasks are purged, old changes dropped, old answers forgotten.

use std::time::Duration;

use taskwire::domain::{Error, Timestamp};
use taskwire::pb;
use taskwire::pb::task_change::Type;
use taskwire::server::jobs;

use super::harness::replica::{Replica, User, World, rules};
use super::*;
use crate::storage::eventually;
use crate::support::both_engines;
use crate::support::database::{TestDatabase, limits};

both_engines!(
    a_deleted_task_is_purged_when_its_time_has_come,
    two_servers_purge_a_task_once,
    many_tasks_of_many_users_are_purged,
    a_purge_is_told_to_watchers,
    old_changes_are_dropped_and_later_ones_stay,
    two_servers_drop_old_changes,
    a_job_goes_on_as_long_as_its_lease_is_held,
    a_job_that_failed_is_tried_by_another,
);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn server(database: &TestDatabase) -> (World, Replica, User) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    (world, replica, user)
}

async fn a_deleted_task_is_purged_when_its_time_has_come(database: TestDatabase) {
    let (world, replica, user) = server(&database).await;
    let mut tasks = replica.tasks(&user);
    let gone = create(&mut tasks, "gone").await;
    let back = create(&mut tasks, "taken back").await;
    let kept = create(&mut tasks, "kept").await;
    for task in [&gone, &back] {
        tasks.delete_task(deletion(&task.name)).await.unwrap();
    }
    tasks.undelete_task(undeletion(&back.name)).await.unwrap();

    world.hand.advance(30 * DAY - Duration::from_micros(1));
    jobs::purge(&replica.services).await.unwrap();
    let mut tasks = replica.tasks(&user.again(&replica).await);
    assert_eq!((revision(&mut tasks).await, all(&mut tasks).await.len()), (6, 3));

    world.hand.advance(Duration::from_micros(1));
    jobs::purge(&replica.services).await.unwrap();
    jobs::purge(&replica.services).await.unwrap();
    let mut left = [back, kept].map(|task| task.name);
    left.sort_unstable();
    assert!(all(&mut tasks).await.iter().map(|task| &task.name).eq(&left));
    let purged = changes(&mut tasks, 6).await;
    let only_name = pb::Task { name: gone.name.clone(), ..pb::Task::default() };
    assert_eq!(purged.len(), 1);
    assert_eq!((purged[0].r#type(), purged[0].task.as_ref()), (Type::Purged, Some(&only_name)));
    assert_eq!(purged[0].changed_fields, [""; 0]);

    refused_for(
        tasks.get_task(pb::GetTaskRequest { name: gone.name.clone(), ..Default::default() }).await,
        "TASK_NOT_FOUND",
    );
    refused_for(tasks.undelete_task(undeletion(&gone.name)).await, "TASK_NOT_FOUND");
    // Its id is free again.
    let id = gone.name.rsplit('/').next().unwrap().to_owned();
    let again = pb::CreateTaskRequest { task_id: id, ..creation(titled("again")) };
    assert_eq!(tasks.create_task(again).await.unwrap().into_inner().revision, 8);
}

async fn two_servers_purge_a_task_once(database: TestDatabase) {
    let (world, replica, user) = server(&database).await;
    let mut tasks = replica.tasks(&user);
    let items = (0..100).map(|number| creation(titled(&number.to_string()))).collect();
    let made = tasks.batch_create_tasks(batch_creation(items)).await.unwrap().into_inner().tasks;
    let items = made.iter().map(|task| deletion(&task.name)).collect();
    tasks.batch_delete_tasks(batch_deletion(items)).await.unwrap();
    world.hand.advance(30 * DAY);
    let other = world.services(rules(), limits());
    let third = world.services(rules(), limits());
    let (one, two, three) =
        tokio::join!(jobs::purge(&replica.services), jobs::purge(&other), jobs::purge(&third));
    one.and(two).and(three).unwrap();
    let mut tasks = replica.tasks(&user.again(&replica).await);
    let purged = changes(&mut tasks, 200).await;
    assert!(purged.iter().all(|change| change.r#type() == Type::Purged));
    let mut names: Vec<String> = purged.into_iter().map(|change| change.task.unwrap().name).collect();
    let mut expected: Vec<String> = made.into_iter().map(|task| task.name).collect();
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);
}

async fn many_tasks_of_many_users_are_purged(database: TestDatabase) {
    let (world, replica, user) = server(&database).await;
    let other = replica.register("two@example.org").await;
    for user in [&user, &other] {
        let mut tasks = replica.tasks(user);
        for _ in 0..3 {
            let items = (0..150).map(|number| creation(titled(&number.to_string()))).collect();
            let made = tasks.batch_create_tasks(batch_creation(items)).await.unwrap().into_inner().tasks;
            let items = made.iter().map(|task| deletion(&task.name)).collect();
            tasks.batch_delete_tasks(batch_deletion(items)).await.unwrap();
        }
        create(&mut tasks, "kept").await;
    }
    world.hand.advance(30 * DAY);
    // 900 tasks: more than one turn takes on.
    jobs::purge(&replica.services).await.unwrap();
    assert_eq!(database.query_i64("select count(*) from tasks").await, 2);
    for user in [&user, &other] {
        let mut tasks = replica.tasks(&user.again(&replica).await);
        assert_eq!(changes(&mut tasks, 901).await.len(), 450);
    }
    assert_eq!(database.query_texts("select live_tasks from users").await, ["1", "1"]);
}

async fn a_purge_is_told_to_watchers(database: TestDatabase) {
    let (world, replica, user) = server(&database).await;
    let mut tasks = replica.tasks(&user);
    let task = create(&mut tasks, "gone").await;
    tasks.delete_task(deletion(&task.name)).await.unwrap();
    world.hand.advance(30 * DAY);
    let mut tasks = replica.tasks(&user.again(&replica).await);
    let mut stream = tasks.watch_tasks(watching(None)).await.unwrap().into_inner();
    // By another server than the one that is watched.
    jobs::purge(&world.services(rules(), limits())).await.unwrap();
    let change = next_change(&mut stream).await;
    assert_eq!((change.r#type(), change.revision), (Type::Purged, 3));
    assert_eq!(change.task, Some(pb::Task { name: task.name, ..pb::Task::default() }));
}

async fn old_changes_are_dropped_and_later_ones_stay(database: TestDatabase) {
    let (world, replica, user) = server(&database).await;
    let other = replica.register("two@example.org").await;
    let mut tasks = replica.tasks(&user);
    let task = create(&mut tasks, "one").await;
    tasks.update_task(retitling(&task.name, "two")).await.unwrap();
    create(&mut replica.tasks(&other), "somebody else's").await;
    world.hand.advance(DAY);
    let user = user.again(&replica).await;
    let mut tasks = replica.tasks(&user);
    tasks.update_task(retitling(&task.name, "three")).await.unwrap();
    world.hand.advance(29 * DAY);
    jobs::compact(&replica.services).await.unwrap();
    let user = user.again(&replica).await;
    let mut tasks = replica.tasks(&user);
    assert_eq!(changes(&mut tasks, 0).await.len(), 3);

    world.hand.advance(Duration::from_micros(1));
    jobs::compact(&replica.services).await.unwrap();
    let page = tasks.list_task_changes(listing(2, 0)).await.unwrap().into_inner();
    assert_eq!((page.earliest_revision, page.current_revision, page.has_more), (2, 3, false));
    assert_eq!(page.changes.len(), 1);
    for start in [0, 1] {
        for status in [
            refused_for(tasks.list_task_changes(listing(start, 0)).await, "REVISION_COMPACTED"),
            refused_for(tasks.watch_tasks(watching(Some(start))).await, "REVISION_COMPACTED"),
            refused_for(tasks.undo_changes(undoing(start, 3)).await, "REVISION_COMPACTED"),
        ] {
            assert_eq!((status.code(), info(&status, "earliest_revision").as_str()), (Code::OutOfRange, "2"));
        }
    }
    let mut stream = tasks.watch_tasks(watching(Some(2))).await.unwrap().into_inner();
    assert_eq!(next_change(&mut stream).await, page.changes[0]);
    // Nothing is lost but history: the task stands, and the revisions go on.
    assert_eq!(get(&mut tasks, &task.name).await.title, "three");
    assert_eq!(create(&mut tasks, "four").await.revision, 4);
    assert_eq!(next_change(&mut stream).await.revision, 4);

    // Somebody all of whose changes are dropped goes on as well.
    let mut others = replica.tasks(&other.again(&replica).await);
    let page = others.list_task_changes(listing(1, 0)).await.unwrap().into_inner();
    assert_eq!((page.changes.len(), page.earliest_revision, page.current_revision), (0, 1, 1));
    assert_eq!(create(&mut others, "two").await.revision, 2);
}

async fn two_servers_drop_old_changes(database: TestDatabase) {
    let (world, replica, user) = server(&database).await;
    let mut users = vec![user];
    for number in 0..5 {
        users.push(replica.register(&format!("{number}@example.org")).await);
    }
    for user in &users {
        let items = vec![creation(titled("old")); 50];
        replica.tasks(user).batch_create_tasks(batch_creation(items)).await.unwrap();
    }
    world.hand.advance(31 * DAY);
    for user in &mut users {
        *user = user.again(&replica).await;
        create(&mut replica.tasks(user), "new").await;
    }
    let other = world.services(rules(), limits());
    let (one, two) = tokio::join!(jobs::compact(&replica.services), jobs::compact(&other));
    one.and(two).unwrap();
    for user in &users {
        let page = replica.tasks(user).list_task_changes(listing(50, 0)).await.unwrap().into_inner();
        assert_eq!((page.changes.len(), page.earliest_revision, page.current_revision), (1, 50, 51));
    }
    assert_eq!(database.query_i64("select count(*) from task_changes").await, 6);
}

async fn a_job_goes_on_as_long_as_its_lease_is_held(database: TestDatabase) {
    const LEASE: Duration = Duration::from_millis(60);
    let (world, replica, _) = server(&database).await;
    let lease_until = async |time: Timestamp| {
        let expired = format!("select count(*) from job_leases where expire_time = {}", database.time(time));
        eventually("the lease is renewed", async || database.query_i64(&expired).await == 1).await;
    };
    let work = std::future::pending();
    let job = jobs::under_lease("endless", LEASE, DAY, &replica.services, work);
    let others = async {
        lease_until(world.now().after(LEASE)).await;
        world.hand.advance(DAY);
        lease_until(world.now().after(LEASE)).await;
        let holder = database.id(uuid::Uuid::from_u128(1));
        database.execute(&format!("update job_leases set holder = {holder} where job = 'endless'")).await;
    };
    // It ends only because somebody else has it now, and is not counted as done here.
    assert_eq!(tokio::join!(job, others).0, Ok(false));
}

async fn a_job_that_failed_is_tried_by_another(database: TestDatabase) {
    let (world, replica, _) = server(&database).await;
    let other = world.services(rules(), limits());
    let run = async |services, outcome| {
        jobs::under_lease("job", DAY, DAY, services, std::future::ready(outcome)).await
    };
    assert_eq!(run(&replica.services, Err(Error::Conflict)).await, Err(Error::Conflict));
    assert_eq!(run(&other, Ok(())).await, Ok(true));
    // Done for today, whoever asks.
    for services in [&replica.services, &other] {
        assert_eq!(run(services, Ok(())).await, Ok(false));
    }
    world.hand.advance(DAY);
    assert_eq!(run(&replica.services, Ok(())).await, Ok(true));
}
