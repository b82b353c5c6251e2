//! Errors on both engines: a broken row is an internal error, a wrong URL says so, nothing panics.

use std::time::Duration;

use taskwire::domain::{Error, NewTask, Result, TaskId, TaskWrite};
use taskwire::storage::{Limits, OpenError, Storage};
use tokio::task::JoinSet;

use super::{Person, at, description, labels, query, task};
use crate::support::both_engines;
use crate::support::database::{Engine, TestDatabase, limits};

both_engines!(
    broken_rows_are_internal_errors,
    broken_accounts_are_internal_errors,
    broken_row_does_not_spoil_its_neighbours,
    more_work_than_connections_is_overload,
    ping_answers,
    urls_are_checked_before_anything_is_done,
    descriptions_name_engine_and_place,
);

fn is_internal<T: std::fmt::Debug>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::Internal(_)))
}

/// Lets rows be planted that the schema forbids.
async fn lift_checks(database: &TestDatabase) -> crate::support::database::Raw {
    let mut raw = database.raw().await;
    raw.execute(match database.engine {
        Engine::Sqlite => "pragma ignore_check_constraints = on",
        Engine::Postgres => {
            "alter table tasks drop constraint tasks_priority_check; \
             alter table users drop constraint users_role_check"
        }
    })
    .await;
    raw
}

async fn broken_rows_are_internal_errors(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let mut raw = lift_checks(&database).await;
    let mut breaks = vec![
        "priority = 0".to_owned(),
        "priority = 9".to_owned(),
        "title = ''".to_owned(),
        "title = '  '".to_owned(),
        "title = 'bell \u{7}'".to_owned(),
        format!("title = '{}'", "x".repeat(201)),
        "description = 'bell \u{7}'".to_owned(),
        format!("description = '{}'", "x".repeat(1001)),
        "labels = '[\"\"]'".to_owned(),
        "labels = '[1]'".to_owned(),
        "labels = '{}'".to_owned(),
        "labels = 'null'".to_owned(),
    ];
    let times = ["create_time", "update_time", "due_time", "complete_time", "delete_time", "purge_time"];
    match database.engine {
        Engine::Sqlite => {
            breaks.push("labels = 'no json'".to_owned());
            breaks.extend(times.map(|time| format!("{time} = 253402300800000000")));
            breaks.extend(times.map(|time| format!("{time} = -9223372036854775808")));
        }
        Engine::Postgres => {
            for wrong in ["infinity", "-infinity", "10000-01-01T00:00:00Z", "0001-12-31T23:59:59Z BC"] {
                breaks.extend(times.map(|time| format!("{time} = '{wrong}'")));
            }
        }
    }
    for broken in breaks {
        let full = NewTask {
            description: Some(description("d")),
            due_time: Some(at(9)),
            completed: true,
            labels: labels(&["l"]),
            ..task("sound")
        };
        let victim = ada.create(full, at(1)).await.id;
        raw.execute(&format!("update tasks set {broken} where task_id = {}", database.id(victim.uuid())))
            .await;
        let found = ada.find(victim).await;
        assert!(is_internal(&found), "{broken}: {found:?}");
        let everything = taskwire::domain::TaskQuery { show_deleted: true, ..query() };
        let listed = ada.storage.tasks().list(ada.owner, &everything).await;
        assert!(is_internal(&listed), "{broken}: {listed:?}");
        let deleted = ada.delete(victim, at(2)).await;
        assert!(is_internal(&deleted), "{broken}: {deleted:?}");
        raw.execute(&format!("delete from tasks where task_id = {}", database.id(victim.uuid()))).await;
    }
}

async fn broken_accounts_are_internal_errors(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let users = database.storage.users();
    let sound = users.find(ada.user()).await.unwrap();
    let mut raw = lift_checks(&database).await;
    for (broken, mended) in [
        ("role = 7", "role = 1"),
        ("email = 'no address'", "email = 'ada@example.org'"),
        ("display_name = 'bell \u{7}'", "display_name = ''"),
    ] {
        raw.execute(&format!("update users set {broken}")).await;
        let found = users.find(ada.user()).await;
        assert!(is_internal(&found), "{broken}: {found:?}");
        let found = users.find_by_email(&sound.email).await;
        assert!(is_internal(&found), "{broken}: {found:?}");
        raw.execute(&format!("update users set {mended}")).await;
    }
    assert_eq!(users.find(ada.user()).await, Ok(sound));
}

async fn broken_row_does_not_spoil_its_neighbours(database: TestDatabase) {
    let (ada, bob) = (Person::new(&database, "ada").await, Person::new(&database, "bob").await);
    let broken = ada.create(task("broken"), at(1)).await.id;
    let sound = ada.create(task("sound"), at(2)).await;
    database
        .execute(&format!("update tasks set title = '' where task_id = {}", database.id(broken.uuid())))
        .await;
    assert!(is_internal(&ada.find(broken).await));
    assert_eq!(ada.find(sound.id).await, Ok(sound));
    assert!(ada.write(TaskWrite::Create(Box::new(task("another"))), at(3)).await.is_ok());
    assert!(bob.write(TaskWrite::Create(Box::new(task("another"))), at(3)).await.is_ok());
    assert!(bob.list(&query()).await.next.is_none());
}

/// With one connection and a lock that holds up whoever has it, the second writer waits for a connection in vain.
async fn more_work_than_connections_is_overload(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let narrow = database.open(Limits {
        postgres_connections_max: 1,
        checkout_timeout: Duration::from_millis(300),
        // A lane would carry both in one batch.
        lanes: 0,
        ..limits()
    });
    // The first checkout may have to make the connection, which may take longer than that on a busy machine.
    let reader = Person { storage: narrow.clone(), ..ada.clone() };
    let missing = async || matches!(reader.find(TaskId::generate()).await, Err(Error::NotFound(_)));
    super::eventually("there is a connection", missing).await;
    let mut blocker = database.raw().await;
    blocker
        .execute(match database.engine {
            Engine::Sqlite => "begin immediate",
            Engine::Postgres => "begin; update users set version = version",
        })
        .await;
    let mut writers = JoinSet::new();
    for _ in 0..2 {
        let ada = Person { storage: narrow.clone(), ..ada.clone() };
        writers.spawn(async move { ada.write(TaskWrite::Create(Box::new(task("queued"))), at(1)).await });
    }
    let first = writers.join_next().await.unwrap().unwrap();
    assert_eq!(first, Err(Error::Overloaded));
    blocker.execute("rollback").await;
    let second = writers.join_next().await.unwrap().unwrap();
    assert!(second.is_ok(), "{second:?}");
    assert_eq!(ada.revision().await, 1);
    assert!(narrow.users().find(ada.user()).await.is_ok());
}

async fn ping_answers(database: TestDatabase) {
    assert_eq!(database.storage.probe().await, Ok(()));
    assert_eq!(database.storage.is_embedded(), database.engine == Engine::Sqlite);
    assert_eq!(database.storage.file().is_some(), database.engine == Engine::Sqlite);
}

async fn urls_are_checked_before_anything_is_done(database: TestDatabase) {
    for wrong in [
        "",
        "taskwire.db",
        "mysql://root:geheim@localhost/x",
        "sqlite:",
        "sqlite://",
        "sqlite::memory:",
        "sqlite:taskwire.db?mode=ro",
        "postgres://",
        "postgres:///nowhere",
        "postgres://user:geheim@localhost:port/x",
        "postgres://user:geheim@localhost/x?sslmode=perhaps",
        "postgres://user:geheim@localhost/x?unknown=1",
        "postgres://user:geheim@localhost/x?sslmode=verify-full&sslrootcert=/nowhere/root.pem",
    ] {
        match Storage::open(wrong, limits()) {
            Err(OpenError::Url(text)) => assert!(!text.contains("geheim"), "{wrong}: {text}"),
            other => panic!("{wrong}: {other:?}"),
        }
    }
    assert!(Storage::open(&database.url, limits()).is_ok());
}

async fn descriptions_name_engine_and_place(database: TestDatabase) {
    let described = database.storage.describe();
    match database.engine {
        Engine::Sqlite => assert_eq!(described, format!("SQLite in {}", database.file().display())),
        Engine::Postgres => assert!(described.starts_with("PostgreSQL at 127.0.0.1:"), "{described}"),
    }
    let secret =
        Storage::open("postgres://ada:geheim@db.example:5433/tasks?sslmode=disable", limits()).unwrap();
    assert_eq!(secret.describe(), "PostgreSQL at db.example:5433/tasks");
    assert!(!format!("{secret:?}").contains("geheim"));
}
