//! `UpdateTask`: what the mask covers, what clears a field, and when the etag keeps a change from being lost.

use prost_types::FieldMask;
use taskwire::pb;

use super::{alone, at, full, mask, seconds, texts, titled};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::Refused as _;

both_engines!(
    without_a_mask_the_populated_fields_are_written,
    without_a_mask_nothing_is_cleared,
    a_star_replaces_everything,
    a_star_stands_alone,
    unknown_paths_are_refused,
    output_only_paths_are_ignored,
    fields_outside_of_the_mask_are_not_looked_at,
    a_path_without_a_value_clears_the_field,
    a_title_cannot_be_cleared,
    a_path_may_stand_twice_and_ten_thousand_times,
    completing_sets_the_time_and_reopening_clears_it,
    an_update_that_changes_nothing_leaves_no_trace,
    an_update_compares_the_etag,
    of_two_updates_with_one_etag_one_wins,
    concurrent_updates_of_different_fields_all_count,
);

/// What an update of this task holds: its name, and what is to be written.
fn of(task: &pb::Task, fields: pb::Task) -> pb::Task {
    pb::Task { name: task.name.clone(), ..fields }
}

/// What the service notes by itself at a change.
fn stamped(task: &pb::Task, expected: pb::Task) -> pb::Task {
    pb::Task { update_time: task.update_time, revision: task.revision, etag: task.etag.clone(), ..expected }
}

async fn without_a_mask_the_populated_fields_are_written(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    for update_mask in [None, Some(FieldMask::default())] {
        let task = ada.create(titled("Buy milk")).await.unwrap();
        server.clock.advance(seconds(60));
        for fields in [
            titled("Buy oat milk"),
            pb::Task { description: Some("two".to_owned()), ..pb::Task::default() },
            pb::Task { priority: pb::Priority::Low.into(), ..pb::Task::default() },
            pb::Task { due_time: Some(prost_types::Timestamp::default()), ..pb::Task::default() },
            pb::Task { labels: texts(&["a"]), ..pb::Task::default() },
            // An empty description is one.
            pb::Task { description: Some(String::new()), ..pb::Task::default() },
        ] {
            let before = ada.get(&task.name).await.unwrap();
            let after = ada.update_masked(of(&task, fields.clone()), update_mask.clone()).await.unwrap();
            let mut expected = stamped(&after, before);
            if !fields.title.is_empty() {
                expected.title = fields.title;
            }
            if fields.description.is_some() {
                expected.description = fields.description;
            }
            if fields.priority != 0 {
                expected.priority = fields.priority;
            }
            if fields.due_time.is_some() {
                expected.due_time = fields.due_time;
            }
            if !fields.labels.is_empty() {
                expected.labels = fields.labels;
            }
            assert_eq!(after, expected);
            assert_eq!(ada.get(&task.name).await.unwrap(), after);
        }
    }
}

async fn without_a_mask_nothing_is_cleared(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let task = ada.create(full()).await.unwrap();
    let same = ada.update(of(&task, pb::Task::default()), &[]).await.unwrap();
    assert_eq!(same, task);
    // What is populated is checked: this is a title, though an empty one.
    ada.update(of(&task, titled("  ")), &[]).await.refused_at("FIELD_INVALID", &["task.title"]);
}

async fn a_star_replaces_everything(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let task = ada.create(full()).await.unwrap();
    server.clock.advance(seconds(60));
    let bare = ada.update(of(&task, titled("Buy tea")), &["*"]).await.unwrap();
    let expected = pb::Task {
        title: "Buy tea".to_owned(),
        name: task.name.clone(),
        priority: pb::Priority::Medium.into(),
        create_time: task.create_time,
        position: task.position.clone(),
        ..pb::Task::default()
    };
    assert_eq!(bare, stamped(&bare, expected));
    assert_eq!(bare.update_time, Some(at(60)));
    let again = ada.update(of(&task, full()), &["*"]).await.unwrap();
    let expected = pb::Task { complete_time: Some(at(60)), ..task.clone() };
    assert_eq!(again, stamped(&again, expected));
    ada.update(of(&task, pb::Task::default()), &["*"]).await.refused_at("FIELD_INVALID", &["task.title"]);
    assert_eq!(ada.get(&task.name).await.unwrap(), again);
}

async fn a_star_stands_alone(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let task = ada.create(full()).await.unwrap();
    for paths in [&["*", "title"][..], &["title", "*"], &["*", "revision"], &["*", "nonsense"], &["*", ""]] {
        ada.update(of(&task, titled("new")), paths).await.refused_at("FIELD_MASK_INVALID", &["update_mask"]);
    }
    assert_eq!(ada.get(&task.name).await.unwrap(), task);
}

async fn unknown_paths_are_refused(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let task = ada.create(full()).await.unwrap();
    for path in [
        "",
        " ",
        "nonsense",
        "Title",
        "TITLE",
        "dueTime",
        "createTime",
        "title ",
        " title",
        "task.title",
        "title.length",
        "due_time.seconds",
        "due_time.",
        ".title",
        "labels.0",
        "labels[0]",
        "labels.*",
        "title,completed",
        "user_id",
        "owner",
        "role",
        "**",
        "title\0",
        "title; drop table tasks",
    ] {
        for paths in [&[path][..], &["title", path], &[path, "title"]] {
            ada.update(of(&task, titled("new")), paths)
                .await
                .refused_at("FIELD_MASK_INVALID", &["update_mask"]);
        }
    }
    assert_eq!(ada.get(&task.name).await.unwrap(), task);
}

async fn output_only_paths_are_ignored(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let task = ada.create(full()).await.unwrap();
    server.clock.advance(seconds(60));
    let paths = [
        "name",
        "create_time",
        "update_time",
        "complete_time",
        "delete_time",
        "purge_time",
        "revision",
        "etag",
    ];
    let nonsense = Some(prost_types::Timestamp { seconds: i64::MIN, nanos: i32::MIN });
    let given = pb::Task {
        name: task.name.clone(),
        create_time: nonsense,
        update_time: nonsense,
        complete_time: nonsense,
        delete_time: nonsense,
        purge_time: nonsense,
        revision: -7,
        ..titled("new")
    };
    for path in paths {
        assert_eq!(ada.update(given.clone(), &[path]).await.unwrap(), task);
    }
    assert_eq!(ada.update(given.clone(), &paths).await.unwrap(), task);
    assert_eq!(ada.me().await.revision, 1);
    let mut with_title = paths.to_vec();
    with_title.push("title");
    let updated = ada.update(given, &with_title).await.unwrap();
    let expected = pb::Task { title: "new".to_owned(), ..task.clone() };
    assert_eq!(updated, stamped(&updated, expected));
    assert_eq!((updated.revision, updated.update_time), (2, Some(at(60))));
}

async fn fields_outside_of_the_mask_are_not_looked_at(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let task = ada.create(full()).await.unwrap();
    let given = pb::Task {
        name: task.name.clone(),
        title: "\0".to_owned(),
        description: Some("\0".to_owned()),
        priority: 99,
        due_time: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: -1 }),
        labels: texts(&[""]),
        ..pb::Task::default()
    };
    let updated = ada.update(given, &["completed"]).await.unwrap();
    let expected = pb::Task { completed: false, complete_time: None, ..task.clone() };
    assert_eq!(updated, stamped(&updated, expected));
}

async fn a_path_without_a_value_clears_the_field(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    type Cleared = fn(&mut pb::Task);
    let clear: [(&str, Cleared); 5] = [
        ("description", |task| task.description = None),
        ("completed", |task| {
            task.completed = false;
            task.complete_time = None;
        }),
        ("priority", |task| task.set_priority(pb::Priority::Medium)),
        ("due_time", |task| task.due_time = None),
        ("labels", |task| task.labels.clear()),
    ];
    for (path, cleared) in clear {
        let task = ada.create(full()).await.unwrap();
        let updated = ada.update(of(&task, titled("not in the mask")), &[path]).await.unwrap();
        let mut expected = stamped(&updated, task.clone());
        cleared(&mut expected);
        assert_eq!(updated, expected, "{path}");
        assert_ne!(updated.etag, task.etag, "{path}");
        assert_eq!(ada.get(&task.name).await.unwrap(), updated, "{path}");
    }
}

async fn a_title_cannot_be_cleared(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let task = ada.create(full()).await.unwrap();
    for paths in [&["title"][..], &["*"], &["labels", "title"]] {
        for title in ["", " ", "\u{3000}\t\n"] {
            ada.update(of(&task, titled(title)), paths).await.refused_at("FIELD_INVALID", &["task.title"]);
        }
    }
    assert_eq!(ada.get(&task.name).await.unwrap(), task);
}

async fn a_path_may_stand_twice_and_ten_thousand_times(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let task = ada.create(titled("0")).await.unwrap();
    for (count, title) in [(2, "1"), (10_000, "2")] {
        let paths = vec!["title"; count];
        let updated = ada.update(of(&task, titled(title)), &paths).await.unwrap();
        assert_eq!(updated.title, title);
    }
    let mut paths = vec!["title"; 10_000];
    paths.push("nonsense");
    ada.update(of(&task, titled("3")), &paths).await.refused_at("FIELD_MASK_INVALID", &["update_mask"]);
    let different: Vec<String> = (0..10_000).map(|number| format!("path_{number}")).collect();
    let update_mask = Some(FieldMask { paths: different });
    ada.update_masked(of(&task, titled("3")), update_mask)
        .await
        .refused_at("FIELD_MASK_INVALID", &["update_mask"]);
    assert_eq!(ada.get(&task.name).await.unwrap().title, "2");
}

async fn completing_sets_the_time_and_reopening_clears_it(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let task = ada.create(titled("x")).await.unwrap();
    let done = pb::Task { completed: true, ..pb::Task::default() };
    server.clock.advance(seconds(10));
    let completed = ada.update(of(&task, done.clone()), &[]).await.unwrap();
    assert_eq!((completed.completed, completed.complete_time), (true, Some(at(10))));
    server.clock.advance(seconds(10));
    // Neither completing again nor another change moves it.
    let again = ada.update(of(&task, done.clone()), &["completed"]).await.unwrap();
    assert_eq!(again, completed);
    let renamed = ada.update(of(&task, titled("y")), &["title"]).await.unwrap();
    assert_eq!((renamed.complete_time, renamed.update_time), (Some(at(10)), Some(at(20))));
    let reopened = ada.update(of(&task, pb::Task::default()), &["completed"]).await.unwrap();
    assert_eq!((reopened.completed, reopened.complete_time), (false, None));
    server.clock.advance(seconds(10));
    let completed = ada.update(of(&task, done), &["completed"]).await.unwrap();
    assert_eq!(completed.complete_time, Some(at(30)));
}

async fn an_update_that_changes_nothing_leaves_no_trace(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let task = ada.create(full()).await.unwrap();
    server.clock.advance(seconds(60));
    let spaced =
        pb::Task { title: "  Buy milk ".to_owned(), labels: texts(&["home", "shop", "home"]), ..full() };
    for given in [full(), spaced, task.clone()] {
        for paths in [&[][..], &["*"], &["title", "labels", "due_time"]] {
            let same = ada.update(of(&task, given.clone()), paths).await.unwrap();
            assert_eq!(same, task);
        }
    }
    assert_eq!(ada.get(&task.name).await.unwrap(), task);
    assert_eq!(ada.me().await.revision, 1);
    // The order of labels is part of them.
    let turned = pb::Task { labels: texts(&["shop", "home"]), ..pb::Task::default() };
    let turned = ada.update(of(&task, turned), &[]).await.unwrap();
    assert_eq!((turned.revision, turned.labels), (2, texts(&["shop", "home"])));
}

async fn an_update_compares_the_etag(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let task = ada.create(titled("1")).await.unwrap();
    let with = |etag: &str, title: &str| pb::Task { etag: etag.to_owned(), ..of(&task, titled(title)) };
    let second = ada.update(with(&task.etag, "2"), &["title"]).await.unwrap();
    for etag in [task.etag.as_str(), "nonsense", "\0", " ", "*", "0"] {
        // Also where nothing would change.
        for title in ["2", "3"] {
            let refusal = ada.update(with(etag, title), &["title"]).await.refused("ETAG_MISMATCH");
            assert_eq!(refusal.code, tonic::Code::Aborted);
            assert_eq!(refusal.metadata["current_etag"], second.etag);
        }
    }
    assert_eq!(ada.get(&task.name).await.unwrap(), second);
    let same = ada.update(with(&second.etag, "2"), &["title"]).await.unwrap();
    assert_eq!(same, second);
    let third = ada.update(with("", "3"), &["title"]).await.unwrap();
    ada.update(with(&third.etag, "4"), &["*"]).await.unwrap();
}

async fn of_two_updates_with_one_etag_one_wins(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let task = ada.create(titled("0")).await.unwrap();
    let calls = (1..=6).map(|number| {
        let update = pb::Task { title: number.to_string(), ..task.clone() };
        let ada = ada.clone();
        tokio::spawn(async move { ada.update(update, &["title"]).await })
    });
    let mut won = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        match call.await.unwrap() {
            Ok(task) => won.push(task),
            Err(refusal) => assert_eq!(refusal.reason, "ETAG_MISMATCH"),
        }
    }
    assert_eq!(won, [ada.get(&task.name).await.unwrap()]);
    assert_eq!(ada.me().await.revision, 2);
}

async fn concurrent_updates_of_different_fields_all_count(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let task = ada.create(titled("x")).await.unwrap();
    let writes = ["title", "description", "completed", "priority", "due_time", "labels"];
    let calls = writes.map(|path| {
        let update = of(&task, full());
        let ada = ada.clone();
        tokio::spawn(async move { ada.update_masked(update, mask(&[path])).await })
    });
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let after = ada.get(&task.name).await.unwrap();
    let expected = pb::Task {
        name: task.name.clone(),
        create_time: task.create_time,
        complete_time: Some(at(0)),
        position: task.position,
        ..full()
    };
    assert_eq!(after, stamped(&after, expected));
    assert_eq!(after.revision, 7);
}
