//! The change log: each write leaves one row, in its own transaction, that tells what the task became.

use serde_json::{Value, json};
use taskwire::domain::{
    Annotations, Basis, ChangeType, Day, NewTask, Priority, Recurrence, RecurrenceRule, Reminder, Reminders,
    TaskField, TaskFields, TaskId, TaskPatch, TimeZone,
};

use super::{PURGE_AFTER, Person, at, description, labels, task, title};
use crate::support::both_engines;
use crate::support::database::{Engine, TestDatabase};

both_engines!(
    create_is_noted_with_every_field,
    absent_fields_are_left_out,
    update_notes_which_fields_changed,
    each_kind_of_write_is_noted_as_such,
    change_keeps_the_task_as_it_was_before,
    change_is_noted_at_the_time_of_the_write,
    numbers_run_without_gap_and_per_owner,
);

/// A change row: number, kind, fields, state.
type Row = (i64, i64, i16, Value);

async fn rows(database: &TestDatabase, person: &Person) -> Vec<Row> {
    let user = database.id(person.user().uuid());
    let sql = format!(
        "select revision || '|' || type || '|' || fields || '|' || state from task_changes \
         where user_id = {user} order by revision"
    );
    let read = |row: &String| {
        let parts: Vec<&str> = row.splitn(4, '|').collect();
        let number = |at: usize| parts[at].parse::<i64>().unwrap();
        (number(0), number(1), parts[2].parse().unwrap(), serde_json::from_str(parts[3]).unwrap())
    };
    database.query_texts(&sql).await.iter().map(read).collect()
}

fn bits(fields: &[TaskField]) -> i16 {
    let mut set = TaskFields::default();
    for field in fields {
        set.note(*field, true);
    }
    set.bits()
}

fn kind(change: ChangeType) -> i64 {
    change.code().into()
}

async fn create_is_noted_with_every_field(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let new = NewTask {
        description: Some(description("a \"quoted\"\nline")),
        completed: true,
        priority: Priority::High,
        due_time: Some(at(77)),
        labels: labels(&["b", "a"]),
        ..task("É ß")
    };
    ada.create(new, at(1)).await;
    let state = json!({
        "title": "É ß",
        "description": "a \"quoted\"\nline",
        "completed": true,
        "priority": 3,
        "revision": 1,
        "due_time": at(77).as_micros(),
        "labels": ["b", "a"],
        "create_time": at(1).as_micros(),
        "update_time": at(1).as_micros(),
        "complete_time": at(1).as_micros(),
        "position": "a1",
    });
    assert_eq!(rows(&database, &ada).await, [(1, kind(ChangeType::Created), 0, state)]);
}

async fn absent_fields_are_left_out(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    ada.create(task("bare"), at(1)).await;
    ada.create(NewTask { description: Some(description("")), ..task("empty") }, at(2)).await;
    let bare = json!({
        "title": "bare",
        "completed": false,
        "priority": 2,
        "revision": 1,
        "create_time": at(1).as_micros(),
        "update_time": at(1).as_micros(),
        "position": "a1",
    });
    let rows = rows(&database, &ada).await;
    assert_eq!(rows[0].3, bare);
    assert_eq!(rows[1].3["description"], json!(""), "empty is not absent");
}

async fn update_notes_which_fields_changed(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let created = ada.create(task("one"), at(1)).await;
    let rule = RecurrenceRule::parse("FREQ=DAILY").unwrap();
    let patches = [
        TaskPatch { title: Some(title("two")), ..TaskPatch::default() },
        // Named, but as it was: not a change.
        TaskPatch { title: Some(title("two")), completed: Some(true), ..TaskPatch::default() },
        TaskPatch {
            title: Some(title("three")),
            description: Some(Some(description("d"))),
            completed: Some(false),
            priority: Some(Priority::Low),
            due_time: Some(Some(at(5))),
            labels: Some(labels(&["l"])),
            // Beside a due time there is no due day.
            due_date: None,
            start_time: Some(Some(at(4))),
            time_zone: Some(TimeZone::parse("Europe/Berlin").unwrap()),
            annotations: Some(Annotations::parse([("k".to_owned(), "v".to_owned())]).unwrap()),
            task_list: None,
            parent_task: None,
            complete_subtasks: false,
            recurrence: Some(Some(Box::new(Recurrence::new(&rule, Basis::Due)))),
            reminders: Some(Reminders::parse(vec![Reminder::At(at(9))]).unwrap()),
            next_id: None,
        },
        TaskPatch {
            description: Some(None),
            due_time: Some(None),
            due_date: Some(Day::from_number(30_000)),
            recurrence: Some(None),
            ..TaskPatch::default()
        },
    ];
    for patch in patches {
        ada.update(created.id, patch, at(2)).await.unwrap();
    }
    let elsewhere = [
        TaskField::DueDate,
        TaskField::TaskList,
        TaskField::ParentTask,
        TaskField::Position,
        TaskField::SubtaskCount,
    ];
    let but_due_date: Vec<TaskField> =
        TaskField::ALL.iter().copied().filter(|field| !elsewhere.contains(field)).collect();
    let fields = [
        bits(&[TaskField::Title]),
        bits(&[TaskField::Completed]),
        bits(&but_due_date),
        bits(&[TaskField::Description, TaskField::DueTime, TaskField::DueDate, TaskField::Recurrence]),
    ];
    let rows = rows(&database, &ada).await;
    for (row, fields) in rows[1..].iter().zip(fields) {
        assert_eq!((row.1, row.2), (kind(ChangeType::Updated), fields));
    }
    assert_eq!(rows[2].3["complete_time"], json!(at(2).as_micros()));
    assert_eq!(rows[4].3.get("description"), None);
    assert_eq!(rows[4].3["title"], json!("three"));
}

async fn each_kind_of_write_is_noted_as_such(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let created = ada.create(task("one"), at(1)).await;
    ada.delete(created.id, at(2)).await.unwrap();
    ada.undelete(created.id, at(3)).await.unwrap();
    let rows = rows(&database, &ada).await;
    let kinds: Vec<(i64, i16)> = rows.iter().map(|row| (row.1, row.2)).collect();
    let expected =
        [ChangeType::Created, ChangeType::Deleted, ChangeType::Undeleted].map(|change| (kind(change), 0));
    assert_eq!(kinds, expected);
    assert_eq!(rows[1].3["delete_time"], json!(at(2).as_micros()));
    assert_eq!(rows[1].3["purge_time"], json!(at(2).after(PURGE_AFTER).as_micros()));
    assert_eq!((rows[2].3.get("delete_time"), rows[2].3.get("purge_time")), (None, None));
    let same_task =
        format!("select count(*) from task_changes where task_id = {}", database.id(created.id.uuid()));
    assert_eq!(database.query_i64(&same_task).await, 3);
}

async fn change_keeps_the_task_as_it_was_before(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let created = ada.create(task("one"), at(1)).await;
    ada.create(task("bystander"), at(1)).await;
    let patch = TaskPatch { title: Some(title("two")), ..TaskPatch::default() };
    ada.update(created.id, patch, at(2)).await.unwrap();
    ada.delete(created.id, at(3)).await.unwrap();
    ada.undelete(created.id, at(4)).await.unwrap();
    let column = |name: &str| {
        let id = database.id(created.id.uuid());
        format!("select {name} from task_changes where task_id = {id} order by revision")
    };
    let states = database.query_texts(&column("state")).await;
    let before = database.query_texts(&column("before")).await;
    assert_eq!(before[0], "null", "a new task has no past");
    assert_eq!(before[1..], states[..3]);
}

async fn change_is_noted_at_the_time_of_the_write(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    ada.create(task("one"), at(1_234)).await;
    let micros = match database.engine {
        Engine::Sqlite => "create_time",
        Engine::Postgres => "(extract(epoch from create_time) * 1000000)::bigint",
    };
    let stored = database.query_i64(&format!("select {micros} from task_changes")).await;
    assert_eq!(stored, at(1_234).as_micros());
}

async fn numbers_run_without_gap_and_per_owner(database: TestDatabase) {
    let (ada, bob) = (Person::new(&database, "ada").await, Person::new(&database, "bob").await);
    for number in 1..=5 {
        assert_eq!(ada.create(task("Ada's"), at(1)).await.revision, number);
        // A refused write in between takes no number.
        assert!(ada.delete(TaskId::generate(), at(1)).await.is_err());
        assert_eq!(bob.create(task("Bob's"), at(1)).await.revision, number);
    }
    assert_eq!((ada.revision().await, bob.revision().await), (5, 5));
    ada.check_books(&database).await;
    bob.check_books(&database).await;
}
