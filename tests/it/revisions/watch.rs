//! Watching: where a stream starts, what it tells, and what it never tells.

use std::time::{Duration, Instant};

use taskwire::api::{TaskRules, WatchLimits};
use taskwire::pb;

use super::harness::replica::{World, rules};
use super::*;
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::settings;

both_engines!(
    a_stream_without_a_start_begins_now,
    a_stream_from_a_revision_tells_what_came_since,
    a_stream_from_the_initial_state_has_no_gap,
    every_kind_of_change_is_told_as_it_is_listed,
    a_stream_never_tells_of_another_user,
    what_is_rolled_back_is_not_told,
    changes_are_told_at_once,
    a_quiet_stream_sends_bookmarks,
    a_start_that_is_impossible_is_refused,
);

async fn a_stream_without_a_start_begins_now(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    create(&mut tasks, "before").await;
    let mut stream = tasks.watch_tasks(watching(None)).await.unwrap().into_inner();
    let task = create(&mut tasks, "after").await;
    let change = next_change(&mut stream).await;
    assert_eq!((change.revision, change.prev_revision, change.task), (2, 1, Some(task)));
}

async fn a_stream_from_a_revision_tells_what_came_since(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    // More than the server reads at once, and more than waits for a reader.
    for _ in 0..3 {
        let items = (0..150).map(|number| creation(titled(&number.to_string()))).collect();
        tasks.batch_create_tasks(batch_creation(items)).await.unwrap();
    }
    for start in [0, 1, 449, 450] {
        let mut stream = tasks.watch_tasks(watching(Some(start))).await.unwrap().into_inner();
        let end = revision(&mut tasks).await;
        let listed = changes(&mut tasks, start).await;
        for expected in listed {
            assert_eq!(next_change(&mut stream).await, expected);
        }
        create(&mut tasks, "one more").await;
        let change = next_change(&mut stream).await;
        assert_eq!((change.prev_revision, change.revision), (end, end + 1));
    }
}

async fn a_stream_from_the_initial_state_has_no_gap(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    let mut tasks = replica.tasks(&user);
    let items = (0..200).map(|number| creation(titled(&number.to_string()))).collect::<Vec<_>>();
    let mut made = tasks.batch_create_tasks(batch_creation(items.clone())).await.unwrap().into_inner().tasks;
    made.extend(tasks.batch_create_tasks(batch_creation(items)).await.unwrap().into_inner().tasks);
    for task in &made[..10] {
        tasks.delete_task(deletion(&task.name)).await.unwrap();
    }

    // Others write while the state is sent.
    let mut writer = replica.tasks(&user);
    let writing = tokio::spawn(async move {
        for task in made[10..40].iter().rev() {
            writer.update_task(retitling(&task.name, "changed")).await.unwrap();
            writer.delete_task(deletion(&task.name)).await.unwrap();
            create(&mut writer, "new").await;
        }
    });
    let request = pb::WatchTasksRequest { initial_state: true, ..watching(None) };
    let mut stream = tasks.watch_tasks(request).await.unwrap().into_inner();
    let mut copy = Copy::default();
    copy.read_initial_state(&mut stream).await;
    writing.await.unwrap();
    let end = revision(&mut tasks).await;
    while copy.revision < end {
        copy.take(next_change(&mut stream).await);
    }
    let live: Vec<_> = all(&mut tasks).await.into_iter().filter(|task| task.delete_time.is_none()).collect();
    assert_eq!(copy.tasks.into_values().collect::<Vec<_>>(), live);
}

/// A client's copy of the live tasks, kept as the contract says.
#[derive(Debug, Default)]
struct Copy {
    tasks: std::collections::BTreeMap<String, pb::Task>,
    revision: i64,
}

impl Copy {
    async fn read_initial_state(&mut self, stream: &mut Streaming<pb::WatchTasksResponse>) {
        loop {
            match next(stream).await {
                Event::Task(task) => {
                    assert!(task.delete_time.is_none(), "{task:?}");
                    let twice = self.tasks.insert(task.name.clone(), task);
                    assert_eq!(twice, None);
                }
                Event::InitialStateEnd(end) => {
                    self.revision = end.revision;
                    return;
                }
                other => panic!("not in an initial state: {other:?}"),
            }
        }
    }

    fn take(&mut self, change: pb::TaskChange) {
        assert_eq!((change.prev_revision, change.revision), (self.revision, self.revision + 1));
        self.revision = change.revision;
        let task = change.task.unwrap();
        // The initial state may already show it.
        if self.tasks.get(&task.name).is_none_or(|held| held.revision < change.revision) {
            match task.delete_time {
                Some(_) => drop(self.tasks.remove(&task.name)),
                None => drop(self.tasks.insert(task.name.clone(), task)),
            }
        }
    }
}

async fn every_kind_of_change_is_told_as_it_is_listed(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let mut stream = tasks.watch_tasks(watching(Some(0))).await.unwrap().into_inner();
    let made = create(&mut tasks, "one").await;
    let done = pb::Task { name: made.name.clone(), completed: true, ..titled("two") };
    let updated = tasks.update_task(change(done, &["title", "completed"])).await.unwrap().into_inner();
    let deleted = tasks.delete_task(deletion(&made.name)).await.unwrap().into_inner();
    let restored = tasks.undelete_task(undeletion(&made.name)).await.unwrap().into_inner();
    let undone = tasks.undo_changes(undoing(1, 2)).await.unwrap().into_inner();
    assert_eq!(undone.tasks, []);
    let forced = pb::UndoChangesRequest { force: true, ..undoing(1, 4) };
    let undone = tasks.undo_changes(forced).await.unwrap().into_inner().tasks;

    let listed = changes(&mut tasks, 0).await;
    use pb::task_change::Type;
    let told = [Type::Created, Type::Updated, Type::Deleted, Type::Undeleted, Type::Updated];
    let states = [made, updated, deleted, restored, undone[0].clone()];
    let fields: [&[&str]; 5] = [&[], &["title", "completed"], &[], &[], &["title", "completed"]];
    for (at, expected) in listed.iter().enumerate() {
        assert_eq!((expected.r#type(), expected.task.as_ref()), (told[at], Some(&states[at])));
        assert_eq!(expected.changed_fields, fields[at]);
        assert_eq!(expected.create_time, states[at].update_time);
        assert_eq!(&next_change(&mut stream).await, expected);
    }
    assert_eq!(listed.len(), 5);
}

async fn a_stream_never_tells_of_another_user(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let (one, two) = two(&replica).await;
    let mut watches = Vec::new();
    for user in [&one, &two] {
        let mut tasks = replica.tasks(user);
        let mut stream = tasks.watch_tasks(watching(None)).await.unwrap().into_inner();
        let name = user.name.clone();
        watches.push(tokio::spawn(async move {
            for number in 1..=60 {
                let change = next_change(&mut stream).await;
                assert_eq!(change.revision, number);
                assert!(change.task.unwrap().name.starts_with(&format!("{name}/tasks/")));
            }
        }));
    }
    let mut writers = Vec::new();
    for user in [&one, &two] {
        let mut tasks = replica.tasks(user);
        writers.push(tokio::spawn(async move {
            for number in 0..30 {
                let task = create(&mut tasks, &number.to_string()).await;
                tasks.update_task(retitling(&task.name, "changed")).await.unwrap();
            }
        }));
    }
    for work in writers.into_iter().chain(watches) {
        work.await.unwrap();
    }
}

async fn what_is_rolled_back_is_not_told(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let task = create(&mut tasks, "one").await;
    let mut stream = tasks.watch_tasks(watching(None)).await.unwrap().into_inner();
    let missing = format!("users/me/tasks/{}", uuid::Uuid::now_v7());
    let items = vec![retitling(&task.name, "x"), retitling(&missing, "x")];
    refused_for(tasks.batch_update_tasks(batch_change(items)).await, "TASK_NOT_FOUND");
    let rehearsed = pb::UndoChangesRequest { validate_only: true, ..undoing(0, 1) };
    assert_eq!(tasks.undo_changes(rehearsed).await.unwrap().into_inner().tasks.len(), 1);
    tasks.update_task(retitling(&task.name, "one")).await.unwrap();

    let last = create(&mut tasks, "two").await;
    let change = next_change(&mut stream).await;
    assert_eq!((change.revision, change.prev_revision, change.task), (2, 1, Some(last)));
    assert_eq!(revision(&mut tasks).await, 2);
}

async fn changes_are_told_at_once(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let mut stream = tasks.watch_tasks(watching(None)).await.unwrap().into_inner();
    let begin = Instant::now();
    for number in 0..20 {
        create(&mut tasks, &number.to_string()).await;
        next_change(&mut stream).await;
    }
    // Each after the other; were they found by the poll of twice a second, it took 10 seconds.
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

async fn a_quiet_stream_sends_bookmarks(database: TestDatabase) {
    let world = World::on(&database.url);
    let bookmark_interval = Duration::from_millis(50);
    let watch = WatchLimits { bookmark_interval, ..settings().tasks().watch };
    let replica = world.serve(TaskRules { watch, ..rules() }).await;
    let (one, two) = two(&replica).await;
    let (mut tasks, mut others) = (replica.tasks(&one), replica.tasks(&two));
    create(&mut others, "somebody else's").await;
    let mut stream = tasks.watch_tasks(watching(None)).await.unwrap().into_inner();
    for _ in 0..3 {
        let Event::Bookmark(bookmark) = next(&mut stream).await else { panic!("no bookmark") };
        assert_eq!(bookmark.revision, 0);
    }
    create(&mut tasks, "one").await;
    assert_eq!(next_change(&mut stream).await.revision, 1);
    let Event::Bookmark(bookmark) = next(&mut stream).await else { panic!("no bookmark") };
    assert_eq!(bookmark.revision, 1);

    // A stream resumed from a bookmark misses nothing and repeats nothing.
    drop(stream);
    create(&mut tasks, "two").await;
    let mut stream = tasks.watch_tasks(watching(Some(bookmark.revision))).await.unwrap().into_inner();
    assert_eq!(next_change(&mut stream).await.revision, 2);
}

async fn a_start_that_is_impossible_is_refused(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    create(&mut tasks, "one").await;
    let both = pb::WatchTasksRequest { initial_state: true, ..watching(Some(1)) };
    let zero = pb::WatchTasksRequest { initial_state: true, ..watching(Some(0)) };
    for request in [watching(Some(-1)), watching(Some(i64::MIN)), both, zero] {
        let status = refused_for(tasks.watch_tasks(request).await, "FIELD_INVALID");
        assert_eq!(
            (status.code(), fields(&status)),
            (Code::InvalidArgument, vec!["start_revision".to_owned()])
        );
    }
    for start in [2, i64::MAX] {
        let status = refused_for(tasks.watch_tasks(watching(Some(start))).await, "REVISION_IN_FUTURE");
        assert_eq!((status.code(), info(&status, "current_revision").as_str()), (Code::OutOfRange, "1"));
        let status = refused_for(tasks.list_task_changes(listing(start, 0)).await, "REVISION_IN_FUTURE");
        assert_eq!(info(&status, "current_revision"), "1");
    }
    let status = refused_for(tasks.list_task_changes(listing(-1, -1)).await, "FIELD_INVALID");
    assert_eq!(fields(&status), ["start_revision", "page_size"]);
}
