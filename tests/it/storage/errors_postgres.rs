//! Errors of PostgreSQL, each provoked for real, and of servers that are not there.

use std::time::{Duration, Instant};

use taskwire::domain::{Error, Result, Task, TaskPatch, TaskWrite};
use taskwire::storage::{Limits, OpenError, Storage};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::{Person, at, eventually, task, title};
use crate::support::database::{TestDatabase, limits};
use crate::support::one_engine;

one_engine!(Postgres:
    statement_timeout_is_a_passed_deadline,
    lock_timeout_is_a_conflict,
    deadlock_is_a_conflict,
    hung_database_is_given_up_on_our_side,
    restart_costs_readers_nothing,
    read_under_way_survives_a_restart,
    lost_connection_within_a_write_is_unavailable,
    write_after_a_restart_works,
    read_only_database_refuses_writes_alone,
    closed_port_is_away,
    silent_server_is_away,
    answers_at_login_are_told_apart,
    missing_database_or_role_is_refused,
    sessions_are_set_up,
);

const PATIENT: Duration = Duration::from_secs(30);

fn rename(ada: &Person, task: &Task) -> JoinHandle<Result<Task>> {
    let (ada, id) = (ada.clone(), task.id);
    let patch = TaskPatch { title: Some(title("renamed")), ..TaskPatch::default() };
    tokio::spawn(async move { ada.update(id, patch, at(2)).await })
}

/// On a cluster that is asked directly, the sessions of the coordinator are not all.
fn has_other_ways() -> bool {
    let is_direct = crate::support::citus::is_direct();
    if is_direct {
        println!("skipped: this is about one server");
    }
    is_direct
}

/// Waits until this many of the storage's sessions wait for a lock.
async fn waiting(database: &TestDatabase, count: i64) {
    let sql = "select count(*) from pg_stat_activity where datname = current_database() \
               and application_name = 'taskwire' and wait_event_type = 'Lock'";
    eventually("a session waits for a lock", async || database.query_i64(sql).await == count).await;
}

/// Ends every session of the storage, as a restart of the server would.
async fn terminate_all(database: &TestDatabase) -> i64 {
    let sql = "select count(pg_terminate_backend(pid, 10000)) from pg_stat_activity \
               where datname = current_database() and application_name = 'taskwire'";
    database.query_i64(sql).await
}

async fn statement_timeout_is_a_passed_deadline(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let created = ada.create(task("locked"), at(1)).await;
    let hasty = Limits { statement_timeout: Duration::from_millis(200), lock_timeout: PATIENT, ..limits() };
    let hasty = Person { storage: database.open(hasty), ..ada.clone() };
    let mut blocker = database.raw().await;
    blocker.execute("begin; lock table tasks in access exclusive mode").await;
    assert_eq!(hasty.find(created.id).await, Err(Error::DeadlineExceeded));
    assert_eq!(
        hasty.write(TaskWrite::Create(Box::new(task("late"))), at(2)).await,
        Err(Error::DeadlineExceeded)
    );
    blocker.execute("rollback").await;
    assert_eq!(hasty.find(created.id).await, Ok(created));
    hasty.check_books(&database).await;
}

async fn lock_timeout_is_a_conflict(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let created = ada.create(task("locked"), at(1)).await;
    let hasty = Limits { lock_timeout: Duration::from_millis(200), ..limits() };
    let hasty = Person { storage: database.open(hasty), ..ada.clone() };
    let mut blocker = database.raw().await;
    blocker.execute("begin; update users set version = version").await;
    assert_eq!(rename(&hasty, &created).await.unwrap(), Err(Error::Conflict));
    assert_eq!(hasty.find(created.id).await, Ok(created.clone()), "reading waits for nobody");
    blocker.execute("rollback").await;
    assert!(rename(&hasty, &created).await.unwrap().is_ok());
    ada.check_books(&database).await;
}

/// On a cluster a session waits for a lock where the row is, which cannot be seen from the coordinator.
fn waits_elsewhere() -> bool {
    let is_cluster = crate::support::citus::coordinator().is_some();
    if is_cluster {
        println!("skipped: this is about one server");
    }
    is_cluster
}

async fn deadlock_is_a_conflict(database: TestDatabase) {
    if waits_elsewhere() {
        return;
    }
    let ada = Person::new(&database, "ada").await;
    let created = ada.create(task("contended"), at(1)).await;
    // The other side takes the same two rows the other way round, and looks for deadlocks much later.
    let mut other = database.raw().await;
    other.execute("set deadlock_timeout = '60s'; begin; update tasks set revision = revision").await;
    let update = rename(&ada, &created);
    waiting(&database, 1).await;
    other.execute("update users set version = version").await;
    assert_eq!(update.await.unwrap(), Err(Error::Conflict));
    other.execute("rollback").await;
    assert!(rename(&ada, &created).await.unwrap().is_ok());
    ada.check_books(&database).await;
}

/// The server's own limit is off, as it would be for a server that hangs.
async fn hung_database_is_given_up_on_our_side(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let created = ada.create(task("locked"), at(1)).await;
    let url = format!("{}?options=-c%20statement_timeout%3D0%20-c%20lock_timeout%3D0", database.url);
    let limits = Limits { statement_timeout: Duration::from_millis(10), ..limits() };
    let hasty = Person { storage: Storage::open(&url, limits).unwrap(), ..ada.clone() };
    let mut blocker = database.raw().await;
    blocker.execute("begin; lock table tasks in access exclusive mode").await;
    let started = Instant::now();
    assert_eq!(hasty.find(created.id).await, Err(Error::DeadlineExceeded));
    assert_eq!(rename(&hasty, &created).await.unwrap(), Err(Error::DeadlineExceeded));
    assert!(started.elapsed() < PATIENT);
    blocker.execute("rollback").await;
    eventually("it works again", async || hasty.find(created.id).await == Ok(created.clone())).await;
    ada.check_books(&database).await;
}

async fn restart_costs_readers_nothing(database: TestDatabase) {
    if has_other_ways() {
        return;
    }
    let ada = Person::new(&database, "ada").await;
    let created = ada.create(task("wanted"), at(1)).await;
    for _ in 0..10 {
        let mut readers = JoinSet::new();
        for _ in 0..16 {
            let ada = ada.clone();
            readers.spawn(async move { ada.find(created.id).await });
        }
        for found in readers.join_all().await {
            assert_eq!(found.as_ref(), Ok(&created));
        }
        assert!(terminate_all(&database).await >= 1);
    }
    assert_eq!(database.storage.probe().await, Ok(()));
}

async fn read_under_way_survives_a_restart(database: TestDatabase) {
    if has_other_ways() {
        return;
    }
    let ada = Person::new(&database, "ada").await;
    let created = ada.create(task("wanted"), at(1)).await;
    let mut blocker = database.raw().await;
    blocker.execute("begin; lock table tasks in access exclusive mode").await;
    let reading = {
        let ada = ada.clone();
        tokio::spawn(async move { ada.find(created.id).await })
    };
    waiting(&database, 1).await;
    terminate_all(&database).await;
    blocker.execute("rollback").await;
    assert_eq!(reading.await.unwrap(), Ok(created));
}

async fn lost_connection_within_a_write_is_unavailable(database: TestDatabase) {
    if waits_elsewhere() {
        return;
    }
    let ada = Person::new(&database, "ada").await;
    let created = ada.create(task("untouched"), at(1)).await;
    let mut blocker = database.raw().await;
    blocker.execute("begin; update users set version = version").await;
    let update = rename(&ada, &created);
    waiting(&database, 1).await;
    terminate_all(&database).await;
    let lost = update.await.unwrap();
    assert!(matches!(lost, Err(Error::StorageUnavailable(_))), "{lost:?}");
    blocker.execute("rollback").await;
    assert_eq!(ada.find(created.id).await.as_ref(), Ok(&created));
    assert!(rename(&ada, &created).await.unwrap().is_ok());
    ada.check_books(&database).await;
}

async fn write_after_a_restart_works(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    for number in 1..=5 {
        let mut writers = JoinSet::new();
        for _ in 0..8 {
            let ada = ada.clone();
            writers.spawn(async move {
                ada.write(TaskWrite::Create(Box::new(task("one more"))), at(number)).await
            });
        }
        for written in writers.join_all().await {
            assert!(written.is_ok(), "{written:?}");
        }
        terminate_all(&database).await;
    }
    ada.check_books(&database).await;
}

async fn read_only_database_refuses_writes_alone(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let created = ada.create(task("kept"), at(1)).await;
    let url = format!("{}?options=-c%20default_transaction_read_only%3Don", database.url);
    let standby = Person { storage: Storage::open(&url, limits()).unwrap(), ..ada.clone() };
    assert_eq!(standby.find(created.id).await.as_ref(), Ok(&created));
    let refused = rename(&standby, &created).await.unwrap();
    assert!(matches!(refused, Err(Error::StorageUnavailable(_))), "{refused:?}");
    assert_eq!(ada.find(created.id).await, Ok(created));
}

fn is_unavailable<T: std::fmt::Debug>(result: Result<T>) -> String {
    match result {
        Err(Error::StorageUnavailable(text)) => text,
        other => panic!("{other:?}"),
    }
}

async fn closed_port_is_away(_: TestDatabase) {
    // Bound, so that nobody else takes the port, and never listened on.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("postgres://ada:geheim@{}/tasks", socket.local_addr().unwrap());
    let hasty = Limits { checkout_timeout: Duration::from_millis(300), ..limits() };
    let storage = Storage::open(&url, hasty).unwrap();
    match storage.schema_state().await {
        Err(OpenError::Away(text)) => assert!(!text.contains("geheim"), "{text}"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(storage.migrate().await, Err(OpenError::Away(_))));
    let started = Instant::now();
    assert!(!is_unavailable(storage.probe().await).contains("geheim"));
    assert!(started.elapsed() < Duration::from_secs(10), "given up at the checkout timeout");
}

/// A server that takes connections and says nothing, as a machine that hangs does.
async fn silent_server_is_away(_: TestDatabase) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://ada:geheim@{}/tasks", listener.local_addr().unwrap());
    let hasty = Limits {
        checkout_timeout: Duration::from_millis(200),
        connect_timeout: Duration::from_millis(400),
        ..limits()
    };
    let storage = Storage::open(&url, hasty).unwrap();
    let started = Instant::now();
    is_unavailable(storage.probe().await);
    assert!(matches!(storage.schema_state().await, Err(OpenError::Away(_))));
    assert!(started.elapsed() < Duration::from_secs(10));
    drop(listener);
}

/// A server that answers every login with this SQLSTATE and text.
async fn server_that_says(code: &'static str, text: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let fields = format!("SFATAL\0VFATAL\0C{code}\0M{text}\0\0");
            let length = u32::try_from(fields.len() + 4).unwrap();
            // The start-up message, whatever it says; there is no TLS before it.
            let _ = socket.read(&mut [0; 4096]).await;
            let _ = socket.write_all(&[b"E", &length.to_be_bytes()[..], fields.as_bytes()].concat()).await;
        }
    });
    format!("postgres://ada:geheim@{address}/tasks?sslmode=disable")
}

async fn answers_at_login_are_told_apart(_: TestDatabase) {
    let hasty = Limits { checkout_timeout: Duration::from_millis(200), ..limits() };
    for (code, text, away) in [
        ("28P01", "password authentication failed for user \"ada\"", false),
        ("28000", "no pg_hba.conf entry for host \"127.0.0.1\"", false),
        ("3D000", "database \"tasks\" does not exist", false),
        ("57P03", "the database system is starting up", true),
        ("57P01", "terminating connection due to administrator command", true),
        ("53300", "sorry, too many clients already", true),
    ] {
        let storage = Storage::open(&server_that_says(code, text).await, hasty).unwrap();
        let answer = storage.schema_state().await.unwrap_err();
        let expected = if away { OpenError::Away(text.into()) } else { OpenError::Refused(text.into()) };
        // The driver may put words around the server's.
        assert_eq!(std::mem::discriminant(&answer), std::mem::discriminant(&expected), "{answer}");
        assert!(answer.to_string().contains(text), "{answer}");
        assert!(!answer.to_string().contains("geheim"));
        assert!(!is_unavailable(storage.probe().await).contains("geheim"));
    }
}

async fn missing_database_or_role_is_refused(database: TestDatabase) {
    let mut url = url::Url::parse(&database.url).unwrap();
    url.set_password(Some("geheim")).unwrap();
    let mut wrong = [url.clone(), url.clone()];
    wrong[0].set_path("taskwire_test_nowhere");
    wrong[1].set_username("taskwire_test_nobody").unwrap();
    for (url, expected) in wrong.iter().zip(["taskwire_test_nowhere", "taskwire_test_nobody"]) {
        let storage = Storage::open(url.as_str(), limits()).unwrap();
        for answer in [storage.schema_state().await.map(|_| ()), storage.migrate().await.map(|_| ())] {
            match answer {
                Err(OpenError::Refused(text)) => {
                    assert!(text.contains(expected) && !text.contains("geheim"), "{text}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

async fn sessions_are_set_up(database: TestDatabase) {
    let limits = Limits { postgres_connections_max: 1, ..limits() };
    let ada = Person { storage: database.open(limits), ..Person::new(&database, "ada").await };
    ada.create(task("one"), at(1)).await;
    // What a session was started with is seen from outside as long as it lasts.
    let sessions = "select application_name || ' ' || state from pg_stat_activity \
                    where datname = current_database() and pid <> pg_backend_pid() and application_name = 'taskwire'";
    let seen = database.query_texts(sessions).await;
    assert!(seen.iter().all(|state| state == "taskwire idle"), "nothing is left open: {seen:?}");
    assert!(!seen.is_empty());
}
