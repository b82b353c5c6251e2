//! Values: what is written comes back as it was, at the limits of every field.

use taskwire::domain::{
    Annotations, Device, DisplayName, Error, NewSession, NewTask, Priority, Resource, Role, SessionId,
    TaskId, TaskPatch, TimeZone, Timestamp,
};

use super::{Person, at, description, email, labels, new_user, task, title};
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(
    every_field_comes_back,
    bare_task_has_no_optional_field,
    times_reach_from_year_1_to_9999,
    longest_texts_of_four_byte_characters,
    empty_description_is_not_an_absent_one,
    labels_keep_their_order,
    awkward_text_comes_back_unchanged,
    ids_may_have_any_bits,
    every_priority_and_completion,
    missing_task_is_not_found,
    account_fields_come_back_at_their_limits,
    session_fields_come_back_at_their_limits,
);

async fn every_field_comes_back(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let new = NewTask {
        id_is_new: false,
        id: TaskId::generate(),
        title: title("Post the letter"),
        description: Some(description("To the\n\tmuseum")),
        completed: true,
        priority: Priority::High,
        due_time: Some(Timestamp::from_micros(1_800_000_000_123_456).unwrap()),
        labels: labels(&["home", "urgent"]),
        due_date: None,
        start_time: Some(Timestamp::from_micros(1_799_999_999_123_456).unwrap()),
        time_zone: TimeZone::parse("Europe/Berlin").unwrap(),
        annotations: Annotations::parse([("crm/id".to_owned(), "\"4\" \u{1f600}\n".to_owned())]).unwrap(),
        task_list: None,
        parent_task: None,
        recurrence: None,
        reminders: Default::default(),
    };
    let now = Timestamp::from_micros(1_767_225_600_654_321).unwrap();
    let written = ada.create(new.clone(), now).await;
    assert_eq!(written.owner, ada.user());
    assert_eq!(written.id, new.id);
    assert_eq!(written.title, new.title);
    assert_eq!(written.description, new.description);
    assert!(written.completed);
    assert_eq!(written.priority, new.priority);
    assert_eq!(written.due_time, new.due_time);
    assert_eq!(written.labels, new.labels);
    assert_eq!((written.start_time, &written.time_zone), (new.start_time, &new.time_zone));
    assert_eq!((written.due_day, &written.annotations), (None, &new.annotations));
    assert_eq!((written.create_time, written.update_time, written.complete_time), (now, now, Some(now)));
    assert_eq!((written.delete_time, written.purge_time), (None, None));
    assert_eq!(written.revision, 1);

    assert_eq!(ada.find(new.id).await, Ok(written.clone()));
    assert_eq!(ada.list(&super::query()).await.tasks, [written]);
}

async fn bare_task_has_no_optional_field(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let written = ada.create(task("Bare"), at(1)).await;
    let found = ada.find(written.id).await.unwrap();
    assert_eq!(found, written);
    assert_eq!((found.description, found.due_time, found.complete_time), (None, None, None));
    assert_eq!((found.delete_time, found.purge_time), (None, None));
    assert!(found.labels.as_slice().is_empty());
}

async fn times_reach_from_year_1_to_9999(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    for (name, time) in [("first", Timestamp::MIN), ("last", Timestamp::MAX)] {
        let new = NewTask { due_time: Some(time), completed: true, ..task(name) };
        let created = ada.create(new, time).await;
        assert_eq!(ada.find(created.id).await.unwrap(), created);
        assert_eq!(created.due_time, Some(time));
        assert_eq!((created.create_time, created.complete_time), (time, Some(time)));

        // A task deleted at the end of the calendar is purged there, not beyond it.
        let deleted = ada.delete(created.id, time).await.unwrap();
        assert_eq!(ada.find(created.id).await.unwrap(), deleted);
        assert_eq!(deleted.delete_time, Some(time));
        assert_eq!(deleted.purge_time, Some(time.after(super::PURGE_AFTER)));
    }
}

async fn longest_texts_of_four_byte_characters(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let label: String = "😀".repeat(50);
    let many: Vec<String> = (0..20).map(|number| format!("{}{number:02}", "🎈".repeat(48))).collect();
    for labels in [vec![label], many] {
        let new = NewTask {
            title: title(&"😀".repeat(200)),
            description: Some(description(&"🎉".repeat(1000))),
            labels: taskwire::domain::Labels::parse(labels).unwrap(),
            ..task("long")
        };
        let written = ada.create(new.clone(), at(1)).await;
        let found = ada.find(written.id).await.unwrap();
        assert_eq!(found, written);
        assert_eq!((found.title, found.description, found.labels), (new.title, new.description, new.labels));
    }
}

async fn empty_description_is_not_an_absent_one(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let empty = ada.create(NewTask { description: Some(description("")), ..task("empty") }, at(1)).await;
    let absent = ada.create(task("absent"), at(1)).await;
    assert_eq!(ada.find(empty.id).await.unwrap().description, Some(description("")));
    assert_eq!(ada.find(absent.id).await.unwrap().description, None);

    let clear = TaskPatch { description: Some(None), ..TaskPatch::default() };
    assert_eq!(ada.update(empty.id, clear, at(2)).await.unwrap().revision, 3);
    assert_eq!(ada.find(empty.id).await.unwrap().description, None);

    let blank = TaskPatch { description: Some(Some(description(""))), ..TaskPatch::default() };
    assert_eq!(ada.update(absent.id, blank, at(2)).await.unwrap().revision, 4);
    assert_eq!(ada.find(absent.id).await.unwrap().description, Some(description("")));
}

async fn labels_keep_their_order(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let new = NewTask { labels: labels(&["zebra", "apple", "Mango", "apple"]), ..task("labelled") };
    let created = ada.create(new, at(1)).await;
    let found = ada.find(created.id).await.unwrap();
    assert_eq!(found.labels.as_slice(), ["zebra", "apple", "Mango"]);

    let reordered = TaskPatch { labels: Some(labels(&["apple", "Mango", "zebra"])), ..TaskPatch::default() };
    let updated = ada.update(created.id, reordered, at(2)).await.unwrap();
    assert_eq!(updated.revision, 2, "another order is a change");
    assert_eq!(ada.find(created.id).await.unwrap().labels.as_slice(), ["apple", "Mango", "zebra"]);
}

/// Texts that an escape, a collation or a normalisation somewhere on the way would alter.
const AWKWARD: [&str; 14] = [
    "100 % of_it",
    "it's \"quoted\" `so`",
    r"back\slash \\ \n \u0041",
    "'; drop table tasks; --",
    "$1 ?1 :name {x}",
    "É ß İ K",
    "E\u{301}cole and \u{c9}cole",
    "\u{212A}elvin is no K",
    "ﬃ ŉ ǰ ΌΣΟΣ",
    "שלום مرحبا",
    "👩\u{200d}👩\u{200d}👧\u{fe0f}",
    "line\u{2028}separator",
    "\u{feff}mark and \u{fffd} and \u{ffff}",
    "null",
];

async fn awkward_text_comes_back_unchanged(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    for text in AWKWARD {
        let new = NewTask {
            description: Some(description(&format!("{text}\n\t{text}"))),
            labels: labels(&[text, "plain"]),
            ..task(text)
        };
        let written = ada.create(new, at(1)).await;
        let found = ada.find(written.id).await.unwrap();
        assert_eq!(found.title.as_str(), text);
        assert_eq!(found.description.unwrap().as_str(), format!("{text}\n\t{text}"));
        assert_eq!(found.labels.as_slice(), [text, "plain"]);
    }
}

async fn ids_may_have_any_bits(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let mut mixed = [0; 16];
    mixed[0] = 0x80;
    mixed[15] = 0x27;
    for bytes in [[0; 16], [0xff; 16], mixed] {
        let id = TaskId::from_bytes(bytes);
        let written = ada.create(NewTask { id, ..task("any") }, at(1)).await;
        assert_eq!(ada.find(id).await, Ok(written));
    }
    assert_eq!(ada.list(&super::query()).await.tasks.len(), 3);
}

async fn every_priority_and_completion(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    for priority in Priority::ALL {
        for completed in [false, true] {
            let written = ada.create(NewTask { priority, completed, ..task("one") }, at(1)).await;
            let found = ada.find(written.id).await.unwrap();
            assert_eq!((found.priority, found.completed), (priority, completed));
        }
    }
}

async fn missing_task_is_not_found(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    assert_eq!(ada.find(TaskId::generate()).await, Err(Error::NotFound(Resource::Task)));
}

async fn account_fields_come_back_at_their_limits(database: TestDatabase) {
    let users = database.storage.users();
    let longest = format!("{}@{}.example", "😀".repeat(120), "É".repeat(125));
    for (address, name, role, now) in [
        ("plain@example.org", "", Role::User, Timestamp::MIN),
        ("Mixed.Case+tag%_'\"\\@EXAMPLE.org", "Ada \\ 'L' %_ É ß İ K", Role::Admin, at(0)),
        (&longest, &"😀".repeat(100), Role::User, Timestamp::MAX),
    ] {
        let mut new = new_user(address);
        new.display_name = DisplayName::parse(name).unwrap();
        new.role = role;
        let created = users.create(new.clone(), "hash $argon2id$ é".into(), now).await.unwrap();
        assert_eq!(created.id, new.id);
        assert_eq!(created.email.as_str(), address);
        assert_eq!(created.display_name.as_str(), name);
        assert_eq!(created.role, role);
        assert_eq!((created.create_time, created.update_time, created.disable_time), (now, now, None));
        assert_eq!(created.revision, 0);
        assert_eq!(users.find(new.id).await.unwrap(), created);
        let account = users.find_by_email(&email(address)).await.unwrap().unwrap();
        assert_eq!(account.user, created);
        assert_eq!(account.password_hash.as_deref(), Some("hash $argon2id$ é"));
    }
}

async fn session_fields_come_back_at_their_limits(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let sessions = database.storage.sessions();
    for (device, peer, create_time, expire_time) in [
        ("", "", Timestamp::MIN, Timestamp::MAX),
        (&*"😀".repeat(100), "[2001:db8::1%eth0]:65535", at(1), at(2)),
    ] {
        let new = NewSession {
            id: SessionId::generate(),
            user: ada.user(),
            device: Device::parse(device).unwrap(),
            peer: peer.into(),
            create_time,
            expire_time,
            family_hash: vec![0; 32],
            refresh_hash: (0..=255).collect(),
        };
        let created = sessions.create(new.clone()).await.unwrap();
        assert_eq!((created.id, created.user, &created.device), (new.id, new.user, &new.device));
        assert_eq!(created.peer, peer);
        assert_eq!((created.create_time, created.last_use_time), (create_time, create_time));
        assert_eq!((created.expire_time, created.revoke_time), (expire_time, None));
        assert_eq!(created.secrets.family, new.family_hash);
        assert_eq!(created.secrets.current, new.refresh_hash);
        assert_eq!((&created.secrets.previous, &created.secrets.salt), (&None, &None));
        assert_eq!(created.secrets.rotate_time, create_time);
        assert_eq!(sessions.find(ada.user(), new.id).await, Ok(Some(created)));
    }
}
