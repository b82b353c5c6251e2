//! SQLite: its file, its locks, and the pragmas that make it safe.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use taskwire::domain::{Error, Resource, TaskId, TaskWrite};
use taskwire::storage::{Limits, OpenError, Storage};

use super::{Person, at, task};
use crate::support::database::{TestDatabase, limits};
use crate::support::one_engine;

one_engine!(Sqlite:
    locked_database_refuses_writes_after_the_busy_timeout,
    writer_waits_for_a_short_lock,
    files_are_for_their_owner_alone,
    missing_directories_are_made_private,
    file_that_is_no_database_is_refused,
    directory_is_refused,
    missing_directory_is_unavailable,
    new_file_locked_by_another_is_away,
    journal_is_a_write_ahead_log,
    urls_name_the_same_file,
    reopened_file_holds_what_was_committed,
);

fn hasty(database: &TestDatabase) -> Storage {
    database.open(Limits { lock_timeout: Duration::from_millis(200), ..limits() })
}

async fn locked_database_refuses_writes_after_the_busy_timeout(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let created = ada.create(task("readable"), at(1)).await;
    let hasty = Person { storage: hasty(&database), ..ada.clone() };
    hasty.storage.probe().await.unwrap();
    let mut blocker = database.raw().await;
    blocker.execute("begin exclusive").await;
    let started = Instant::now();
    let refused = hasty.write(TaskWrite::Create(Box::new(task("late"))), at(2)).await;
    assert!(matches!(refused, Err(Error::StorageUnavailable(_))), "{refused:?}");
    assert!(started.elapsed() >= Duration::from_millis(200), "it waited its time");
    assert!(started.elapsed() < Duration::from_secs(10), "and no longer");
    assert_eq!(hasty.find(created.id).await, Ok(created), "readers do not wait for the writer");
    blocker.execute("rollback").await;
    assert!(hasty.write(TaskWrite::Create(Box::new(task("in time"))), at(3)).await.is_ok());
    ada.check_books(&database).await;
}

async fn writer_waits_for_a_short_lock(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let mut blocker = database.raw().await;
    blocker.execute("begin immediate").await;
    let write = {
        let ada = ada.clone();
        tokio::spawn(async move { ada.write(TaskWrite::Create(Box::new(task("patient"))), at(1)).await })
    };
    tokio::task::yield_now().await;
    blocker.execute("rollback").await;
    assert!(write.await.unwrap().is_ok());
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// The files of a database: its own, the log, and the log's index.
fn files(path: &Path) -> [std::path::PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| format!("{}{suffix}", path.display()).into())
}

async fn files_are_for_their_owner_alone(_: TestDatabase) {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("tasks.db");
    let storage = Storage::open(&format!("sqlite:{}", path.display()), limits()).unwrap();
    storage.migrate().await.unwrap();
    storage.users().create(super::new_user("ada@example.org"), "hash".into(), at(0)).await.unwrap();
    for file in files(&path) {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

async fn missing_directories_are_made_private(_: TestDatabase) {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("var/lib/tasks.db");
    let storage = Storage::open(&format!("sqlite:{}", path.display()), limits()).unwrap();
    assert!(!path.exists(), "opening makes nothing yet");
    storage.migrate().await.unwrap();
    assert_eq!(mode(&path), 0o600);
    for made in ["var", "var/lib"] {
        assert_eq!(mode(&directory.path().join(made)), 0o700);
    }
}

fn refusal(answer: Result<impl std::fmt::Debug, OpenError>) -> String {
    match answer {
        Err(OpenError::Refused(text)) => text,
        other => panic!("{other:?}"),
    }
}

async fn file_that_is_no_database_is_refused(_: TestDatabase) {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("notes.txt");
    let content = "These are notes and no database. ".repeat(100);
    std::fs::write(&path, &content).unwrap();
    let storage = Storage::open(&format!("sqlite:{}", path.display()), limits()).unwrap();
    for text in [refusal(storage.schema_state().await), refusal(storage.migrate().await)] {
        assert!(text.contains(&path.display().to_string()), "{text}");
        assert!(text.contains("not a database"), "{text}");
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), content, "it is left as it was");
}

async fn directory_is_refused(_: TestDatabase) {
    let directory = tempfile::TempDir::new().unwrap();
    let storage = Storage::open(&format!("sqlite:{}", directory.path().display()), limits()).unwrap();
    let text = refusal(storage.schema_state().await);
    assert!(text.contains(&directory.path().display().to_string()), "{text}");
}

async fn missing_directory_is_unavailable(_: TestDatabase) {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("nowhere/tasks.db");
    let hasty = Limits { checkout_timeout: Duration::from_millis(200), ..limits() };
    let storage = Storage::open(&format!("sqlite:{}", path.display()), hasty).unwrap();
    assert!(matches!(storage.probe().await, Err(Error::StorageUnavailable(_))));
}

async fn new_file_locked_by_another_is_away(database: TestDatabase) {
    let mut other = database.raw().await;
    other.execute("pragma journal_mode = delete; begin exclusive").await;
    let storage = hasty(&database);
    for answer in [storage.schema_state().await.map(|_| ()), storage.migrate().await.map(|_| ())] {
        assert!(matches!(answer, Err(OpenError::Away(_))), "{answer:?}");
    }
    other.execute("rollback").await;
    assert_eq!(storage.migrate().await, Ok(vec![]));
}

async fn journal_is_a_write_ahead_log(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    assert_eq!(database.query_text("pragma journal_mode").await, "wal");
    assert!(files(&database.file()).iter().all(|file| file.exists()));
    // The log goes when the last connection does, and nothing with it.
    let user = ada.user();
    let url = database.url.clone();
    drop(ada);
    let again = Storage::open(&url, limits()).unwrap();
    assert!(again.users().find(user).await.is_ok());
}

async fn urls_name_the_same_file(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let path = database.file();
    for url in [format!("sqlite:{}", path.display()), format!("sqlite://{}", path.display())] {
        let storage = Storage::open(&url, limits()).unwrap();
        assert_eq!(storage.file(), Some(&*path));
        assert!(storage.users().find(ada.user()).await.is_ok());
    }
}

async fn reopened_file_holds_what_was_committed(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let created = ada.create(task("kept"), at(1)).await;
    // A copy of the files as they lie there, as after a crash.
    let directory = tempfile::TempDir::new().unwrap();
    let copy = directory.path().join("copy.db");
    for (from, to) in files(&database.file()).iter().zip(files(&copy)).take(2) {
        std::fs::copy(from, to).unwrap();
    }
    let storage = Storage::open(&format!("sqlite:{}", copy.display()), limits()).unwrap();
    let recovered = Person { storage, ..ada };
    assert_eq!(recovered.find(created.id).await, Ok(created));
    assert_eq!(recovered.find(TaskId::generate()).await, Err(Error::NotFound(Resource::Task)));
}
