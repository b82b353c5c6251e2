//! A database that was put back to an earlier state has another history: nobody goes on from a revision of before.

use std::time::Duration;

use taskwire::pb;
use taskwire::pb::watch_tasks_response::Event;
use taskwire::storage::Storage;

use super::harness::replica::{Replica, Tasks, World, rules};
use super::*;
use crate::support::database::{Engine, TestDatabase, limits};
use crate::support::{both_engines, one_engine};

both_engines!(
    every_answer_with_a_revision_names_its_history,
    another_history_is_refused_with_the_present_one,
    a_new_history_ends_streams_and_leaves_pages_and_answers,
    an_undo_of_another_history_changes_nothing,
    equal_numbers_with_other_contents_have_other_etags,
);
one_engine!(Sqlite: a_file_put_back_begins_a_history, what_is_no_way_back_begins_none);

const UNKNOWN: &str = "01234567-89ab-7def-8123-456789abcdef";

fn in_history(start_revision: i64, history: &str) -> pb::ListTaskChangesRequest {
    pb::ListTaskChangesRequest { history: history.to_owned(), ..listing(start_revision, 0) }
}

fn watch_in(start_revision: i64, history: &str) -> pb::WatchTasksRequest {
    pb::WatchTasksRequest { history: history.to_owned(), ..watching(Some(start_revision)) }
}

async fn history(tasks: &mut Tasks) -> String {
    tasks.list_task_changes(listing(0, 1)).await.unwrap().into_inner().history
}

async fn every_answer_with_a_revision_names_its_history(database: TestDatabase) {
    let world = World::on(&database.url);
    let mut limits = rules();
    limits.watch.bookmark_interval = Duration::from_millis(20);
    let replica = world.serve(limits).await;
    let user = replica.register("one@example.org").await;
    let mut tasks = replica.tasks(&user);
    create(&mut tasks, "one").await;
    let present = history(&mut tasks).await;
    assert!(!present.is_empty());
    assert_eq!(user.account(replica.channel()).await.history, present);
    let request = pb::WatchTasksRequest { initial_state: true, ..watching(None) };
    let mut stream = tasks.watch_tasks(request).await.unwrap().into_inner();
    let mut kinds = Vec::new();
    let mut is_second_made = false;
    while kinds.len() < 4 {
        let message = stream.message().await.unwrap().unwrap();
        assert_eq!(message.history, present);
        let kind = match message.event.unwrap() {
            Event::Task(_) => "task",
            Event::TaskList(_) => "list",
            Event::InitialStateEnd(_) => "end",
            Event::Bookmark(_) => "bookmark",
            Event::Change(_) => "change",
        };
        if kind == "bookmark" && !is_second_made {
            is_second_made = true;
            create(&mut tasks, "two").await;
        }
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    // It is taken back as it was answered.
    let page = tasks.list_task_changes(in_history(1, &present)).await.unwrap().into_inner();
    assert_eq!((page.changes.len(), page.history), (1, present.clone()));
    let mut resumed = tasks.watch_tasks(watch_in(1, &present)).await.unwrap().into_inner();
    assert!(matches!(resumed.message().await.unwrap().unwrap().event, Some(Event::Change(_))));
}

async fn another_history_is_refused_with_the_present_one(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    create(&mut tasks, "one").await;
    let present = history(&mut tasks).await;
    for other in [UNKNOWN, "no id at all", &present.to_uppercase()[1..], " "] {
        // A revision that is too high, or too old, says nothing in another history.
        for start in [0, 1, 99] {
            let listed = tasks.list_task_changes(in_history(start, other)).await;
            let watched = tasks.watch_tasks(watch_in(start, other)).await;
            for status in [refused_for(listed, "HISTORY_CHANGED"), refused_for(watched, "HISTORY_CHANGED")] {
                assert_eq!((status.code(), info(&status, "history")), (Code::OutOfRange, present.clone()));
            }
        }
        let anew = pb::WatchTasksRequest { initial_state: true, history: other.into(), ..watching(None) };
        refused_for(tasks.watch_tasks(anew).await, "HISTORY_CHANGED");
        let undo = pb::UndoChangesRequest { history: other.into(), ..undoing(0, 1) };
        refused_for(tasks.undo_changes(undo).await, "HISTORY_CHANGED");
    }
    assert_eq!(revision(&mut tasks).await, 1);
    let undo = pb::UndoChangesRequest { history: present, ..undoing(0, 1) };
    assert_eq!(tasks.undo_changes(undo).await.unwrap().into_inner().revisions, [2]);
}

async fn a_new_history_ends_streams_and_leaves_pages_and_answers(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    for title in ["one", "two", "three"] {
        create(&mut tasks, title).await;
    }
    let before = history(&mut tasks).await;
    let once = pb::CreateTaskRequest { request_id: UNKNOWN.to_owned(), ..creation(titled("four")) };
    let answer = tasks.create_task(once.clone()).await.unwrap().into_inner();
    let parent = "users/me".to_owned();
    let list = pb::ListTasksRequest { parent, page_size: 2, ..pb::ListTasksRequest::default() };
    let page = tasks.list_tasks(list.clone()).await.unwrap().into_inner();
    let mut stream = tasks.watch_tasks(watch_in(4, &before)).await.unwrap().into_inner();
    // By another process, as a person does it.
    let began = database.open(limits()).begin_history().await.unwrap().to_string();
    let ended = stream.message().await.unwrap_err();
    assert_eq!((reason(&ended), info(&ended, "history")), ("HISTORY_CHANGED".to_owned(), began.clone()));
    refused_for(tasks.list_task_changes(in_history(4, &before)).await, "HISTORY_CHANGED");
    assert_eq!(history(&mut tasks).await, began);
    // What was read in pages goes on, and what was answered is answered again.
    let rest = pb::ListTasksRequest { page_token: page.next_page_token, ..list };
    assert_eq!(tasks.list_tasks(rest).await.unwrap().into_inner().tasks.len(), 2);
    assert_eq!(tasks.create_task(once).await.unwrap().into_inner(), answer);
    // A stream that begins now runs on.
    let mut stream = tasks.watch_tasks(watch_in(4, &began)).await.unwrap().into_inner();
    create(&mut tasks, "five").await;
    assert_eq!(stream.message().await.unwrap().unwrap().history, began);
}

async fn an_undo_of_another_history_changes_nothing(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    create(&mut tasks, "one").await;
    let undo = pb::UndoChangesRequest {
        history: history(&mut tasks).await,
        request_id: UNKNOWN.to_owned(),
        ..undoing(0, 1)
    };
    let answer = tasks.undo_changes(undo.clone()).await.unwrap().into_inner();
    database.storage.begin_history().await.unwrap();
    // The same call is answered as it was; the same one anew is refused.
    assert_eq!(tasks.undo_changes(undo.clone()).await.unwrap().into_inner(), answer);
    let anew = pb::UndoChangesRequest { request_id: String::new(), ..undo };
    refused_for(tasks.undo_changes(anew).await, "HISTORY_CHANGED");
    assert_eq!(revision(&mut tasks).await, 2);
}

/// Two databases that were one until now, each with changes of its own and the clock standing still.
async fn equal_numbers_with_other_contents_have_other_etags(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    let mut tasks = replica.tasks(&user);
    let task = create(&mut tasks, "one").await;
    let mut numbers = Vec::new();
    let mut etags = std::collections::HashSet::new();
    for title in ["two", "three"] {
        let next = pb::Task { name: task.name.clone(), ..titled(title) };
        let changed = tasks.update_task(change(next, &["title"])).await.unwrap().into_inner();
        numbers.push(changed.revision);
        etags.insert(changed.etag.clone());
        // Back to where it was: the row, the counters and the log.
        let (user, id) = (database.id(user.id()), database.id(id_of(&task)));
        let sql = format!(
            "update tasks set title = 'one', title_key = 'one', revision = 1 where task_id = {id}; \
             update users set revision = 1 where id = {user}; \
             delete from task_changes where user_id = {user} and revision > 1;"
        );
        database.execute(&sql).await;
    }
    assert_eq!(numbers, [2, 2]);
    assert_eq!(etags.len(), 2);
    // As for an account.
    let mut etags = std::collections::HashSet::new();
    for name in ["Ada", "Eva"] {
        etags.insert(user.rename(replica.channel(), name).await.etag);
        let user = database.id(user.id());
        database.execute(&format!("update users set display_name = '', version = 1 where id = {user}")).await;
    }
    assert_eq!(etags.len(), 2);
}

fn id_of(task: &pb::Task) -> uuid::Uuid {
    task.name.rsplit('/').next().unwrap().parse().unwrap()
}

/// Copies a database as `.backup` does, while it is served.
async fn back_up(database: &TestDatabase) -> std::path::PathBuf {
    let copy = database.file().with_file_name("copy.db");
    let _ = std::fs::remove_file(&copy);
    database.execute(&format!("vacuum into '{}'", copy.display())).await;
    copy
}

/// Puts a copy in the place of the database, once nobody has it open: the last connection takes its log along.
async fn put_back(database: &TestDatabase, copy: &std::path::Path) {
    let log = std::path::PathBuf::from(format!("{}-wal", database.file().display()));
    let closed = async {
        while log.exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), closed).await.expect("the database stays open");
    std::fs::copy(copy, database.file()).unwrap();
}

async fn write(replica: &Replica, user: &harness::replica::User, titles: &[&str]) -> pb::Task {
    let mut last = None;
    for title in titles {
        last = Some(create(&mut replica.tasks(user), title).await);
    }
    last.unwrap()
}

async fn a_file_put_back_begins_a_history(database: TestDatabase) {
    let world = World::on(&database.url);
    for case in ["stopped", "others wrote since", "the last user is gone", "elsewhere", "forth and back"] {
        let replica = world.serve(rules()).await;
        let email = format!("{}@example.org", case.replace(' ', "-"));
        let user = replica.register(&email).await;
        let task = write(&replica, &user, &["1", "2", "3", "4", "5"]).await;
        let copy = back_up(&database).await;
        let before = history(&mut replica.tasks(&user)).await;
        let next = pb::Task { name: task.name.clone(), ..titled("changed since") };
        let changed = replica.tasks(&user).update_task(change(next, &["title"])).await.unwrap();
        let old = changed.into_inner().etag;
        write(&replica, &user, &["7", "8", "9", "10"]).await;
        if case != "stopped" {
            let other = replica.register(&format!("other-{email}")).await;
            write(&replica, &other, &["1"]).await;
            if case == "the last user is gone" {
                other.delete(replica.channel()).await;
            }
        }
        replica.stop().await;
        put_back(&database, &copy).await;
        if case == "elsewhere" {
            std::fs::remove_file(format!("{}-history", database.file().display())).unwrap();
        }
        let replica = world.serve(rules()).await;
        let mut tasks = replica.tasks(&user);
        let after = history(&mut tasks).await;
        assert_ne!(after, before, "{case}");
        let status = refused_for(tasks.list_task_changes(in_history(10, &before)).await, "HISTORY_CHANGED");
        assert_eq!(info(&status, "history"), after, "{case}");
        // The same number again, and not the same etag.
        let next = pb::Task { name: task.name.clone(), ..titled("another change") };
        let again = tasks.update_task(change(next, &["title"])).await.unwrap().into_inner();
        assert_eq!(again.revision, 6, "{case}");
        assert_ne!(again.etag, old, "{case}");
        let stale = pb::Task { name: task.name, etag: old, ..pb::Task { title: "lost".into(), ..again } };
        refused_for(tasks.update_task(change(stale, &["title"])).await, "ETAG_MISMATCH");
        if case == "forth and back" {
            // What was put aside is put back in turn: its revision is the higher one, its history another.
            let aside = back_up(&database).await;
            write(&replica, &user, &["11"]).await;
            replica.stop().await;
            put_back(&database, &aside).await;
            let replica = world.serve(rules()).await;
            assert_ne!(history(&mut replica.tasks(&user)).await, after, "{case}");
            replica.stop().await;
        } else {
            replica.stop().await;
        }
    }
}

async fn what_is_no_way_back_begins_none(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    write(&replica, &user, &["1", "2"]).await;
    let before = history(&mut replica.tasks(&user)).await;
    let other = replica.register("other@example.org").await;
    write(&replica, &other, &["1"]).await;
    // The user of the last change goes.
    other.delete(replica.channel()).await;
    replica.stop().await;
    for turn in 0..3 {
        let replica = world.serve(rules()).await;
        assert_eq!(history(&mut replica.tasks(&user)).await, before, "{turn}");
        replica.stop().await;
    }
    // A second process beside the first, and a copy of the very state.
    let replica = world.serve(rules()).await;
    let beside = world.serve(rules()).await;
    write(&beside, &user, &["3"]).await;
    write(&replica, &user, &["4"]).await;
    let copy = back_up(&database).await;
    replica.stop().await;
    beside.stop().await;
    put_back(&database, &copy).await;
    let replica = world.serve(rules()).await;
    assert_eq!(history(&mut replica.tasks(&user)).await, before);
    replica.stop().await;
    // The directory moves as a whole.
    let moved = tempfile::TempDir::new().unwrap();
    for suffix in ["", "-wal", "-shm", "-history"] {
        let from = format!("{}{suffix}", database.file().display());
        if std::path::Path::new(&from).exists() {
            std::fs::copy(from, moved.path().join(format!("tasks.db{suffix}"))).unwrap();
        }
    }
    let url = format!("sqlite:{}", moved.path().join("tasks.db").display());
    let storage = Storage::open(&url, limits()).unwrap();
    assert_eq!(storage.history().await.unwrap().to_string(), before);
    assert_eq!(database.engine, Engine::Sqlite);
}
