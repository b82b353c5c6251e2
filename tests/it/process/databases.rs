//! Databases as they are found: empty, migrated, too new, or not there at all.

use tonic_health::pb::health_check_response::ServingStatus;

use super::log_in;
use crate::storage::eventually;
use crate::support::database::{Engine, Schema, TestDatabase};
use crate::support::process::{Ended, Running, Sandbox, Service};
use crate::support::{both_engines, one_engine};

both_engines!(empty: migrations_are_listed_and_applied, replicas_migrate_at_once, an_empty_database_needs_a_word);
both_engines!(a_newer_schema_is_refused, a_newer_schema_that_fits_is_served, a_migrated_database_is_served);
one_engine!(Postgres: too_few_connections_for_all_replicas_are_told_of);

/// Settings for a database, with the key that PostgreSQL asks for.
pub(super) fn settings(sandbox: &Sandbox, database: &TestDatabase) -> [String; 4] {
    if !sandbox.path("key.pem").exists() {
        assert_eq!(sandbox.run(["keys", "generate", "--out", "key.pem"]).status, Some(0));
    }
    ["--database-url".into(), database.url.clone(), "--signing-key-file".into(), "key.pem".into()]
}

fn run(sandbox: &Sandbox, command: &[&str], settings: &[String]) -> Ended {
    sandbox.run(command.iter().copied().chain(settings.iter().map(String::as_str)))
}

pub(super) fn as_refs(settings: &[String]) -> Vec<&str> {
    settings.iter().map(String::as_str).collect()
}

async fn migrations_are_listed_and_applied(database: TestDatabase) {
    let sandbox = Sandbox::new();
    // A key is none of its business.
    let settings = &settings(&sandbox, &database)[..2];
    let before = run(&sandbox, &["migrate", "status"], settings);
    assert_eq!(before.status, Some(1), "{}", before.stderr);
    let count = before.stdout.lines().count();
    assert!(
        count > 0 && before.stdout.lines().all(|line| line.starts_with("missing  ")),
        "{}",
        before.stdout
    );
    assert_eq!(before.complaints().len(), 1, "{}", before.stderr);
    assert!(before.complaints()[0].contains("taskwire migrate up"), "{}", before.stderr);

    let up = run(&sandbox, &["migrate", "up"], settings);
    assert_eq!(up.status, Some(0), "{}", up.stderr);
    assert_eq!(up.stdout.lines().count(), count, "{}", up.stdout);
    assert!(up.stdout.lines().all(|line| line.starts_with("applied ")), "{}", up.stdout);

    let after = run(&sandbox, &["migrate", "status"], settings);
    assert_eq!(after.status, Some(0), "{}", after.stderr);
    assert_eq!(after.stdout, before.stdout.replace("missing", "applied"));
    let again = run(&sandbox, &["migrate", "up"], settings);
    assert_eq!((again.status, again.stdout.lines().count()), (Some(0), 1), "{again:?}");
    assert!(again.stdout.contains("up to date"), "{}", again.stdout);
}

async fn an_empty_database_needs_a_word(database: TestDatabase) {
    let sandbox = Sandbox::new();
    let settings = settings(&sandbox, &database);
    if database.engine == Engine::Postgres {
        let ended = run(&sandbox, &["serve", "--listen", "127.0.0.1:0"], &settings);
        assert_eq!(ended.status, Some(1), "{}", ended.stderr);
        assert_eq!(ended.complaints().len(), 1, "{}", ended.stderr);
        for word in ["taskwire migrate up", "--migrate"] {
            assert!(ended.complaints()[0].contains(word), "{}", ended.stderr);
        }
    }
    // SQLite migrates itself, so there it can be done.
    let wanted = if database.engine == Engine::Postgres { Some(1) } else { Some(0) };
    let create = [["user", "create", "--email", "bob@example.com"].as_slice(), &as_refs(&settings)].concat();
    let ended = sandbox.run_with_input(&create, "a long enough password\n");
    assert_eq!(ended.status, wanted, "{}", ended.stderr);
    assert_eq!(wanted == Some(1), ended.stderr.contains("taskwire migrate up"), "{}", ended.stderr);

    let service = sandbox.serve(&[as_refs(&settings), vec!["--migrate"]].concat());
    service.wait_until(ServingStatus::Serving).await;
    log_in(&service).await;
    assert_eq!(service.stop().status, Some(0));
}

async fn a_migrated_database_is_served(database: TestDatabase) {
    let sandbox = Sandbox::new();
    let service = sandbox.serve(&as_refs(&settings(&sandbox, &database)));
    service.wait_until(ServingStatus::Serving).await;
    log_in(&service).await;
    let ended = service.stop();
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains("applied migrations"), "{}", ended.stderr);
}

async fn replicas_migrate_at_once(database: TestDatabase) {
    let sandbox = Sandbox::new();
    let settings = settings(&sandbox, &database);
    let services: Vec<_> = std::thread::scope(|scope| {
        let start = || sandbox.serve(&[as_refs(&settings), vec!["--migrate"]].concat());
        let starting: Vec<_> = (0..3).map(|_| scope.spawn(start)).collect();
        starting.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for service in &services {
        service.wait_until(ServingStatus::Serving).await;
    }
    log_in(&services[0]).await;
    super::log_in_again(&services[1]).await;
    let logs: Vec<String> = services.into_iter().map(|service| service.stop().stderr).collect();
    let migrated = logs.iter().filter(|log| log.contains("applied migrations")).count();
    assert_eq!(migrated, 1, "{logs:#?}");
}

#[test]
fn a_replica_waits_while_another_one_migrates() {
    crate::auth::served::run(async {
        let Some(database) = TestDatabase::create(Engine::Postgres, Schema::Empty).await else {
            println!("skipped: TASKWIRE_TEST_POSTGRES_URL names no server");
            return;
        };
        let sandbox = Sandbox::new();
        let settings = settings(&sandbox, &database);
        // The part of the one that migrates is played here.
        let mut other = database.raw().await;
        let key = i64::from_be_bytes(*b"taskwire");
        other.execute(&format!("select pg_advisory_lock({key})")).await;
        let replicas = [0, 1].map(|_| {
            let mut command = sandbox.command();
            command.args(["serve", "--listen", "127.0.0.1:0", "--migrate"]).args(&settings);
            Running::spawn(command)
        });
        let waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted \
            and database = (select oid from pg_database where datname = current_database())";
        while other.query_texts(waiting).await != ["2"] {}
        let none = "select count(*) from pg_tables where tablename = 'tasks'";
        assert_eq!(other.query_texts(none).await, ["0"]);
        other.execute(&format!("select pg_advisory_unlock({key})")).await;
        for running in replicas {
            Service::listening(running).wait_until(ServingStatus::Serving).await;
        }
    });
}

async fn a_newer_schema_that_fits_is_served(database: TestDatabase) {
    let sandbox = Sandbox::new();
    let settings = settings(&sandbox, &database);
    database.execute(NEWER).await;
    let status = run(&sandbox, &["migrate", "status"], &settings);
    assert_eq!(status.status, Some(0), "{}", status.stderr);
    assert!(status.stdout.lines().any(|line| line == "unknown  99991231235959"), "{}", status.stdout);
    let up = run(&sandbox, &["migrate", "up"], &settings);
    assert_eq!((up.status, up.stdout.contains("nothing to apply")), (Some(0), true), "{up:?}");

    let service = sandbox.serve(&as_refs(&settings));
    service.wait_until(ServingStatus::Serving).await;
    log_in(&service).await;
    let ended = service.stop();
    let told = ended.stderr.lines().filter(|line| line.contains("newer than this program")).count();
    assert_eq!((ended.status, told), (Some(0), 1), "{}", ended.stderr);
}

/// As a newer program would have left it.
const NEWER: &str = "insert into __diesel_schema_migrations (version) values ('99991231235959')";

async fn a_newer_schema_is_refused(database: TestDatabase) {
    let sandbox = Sandbox::new();
    let settings = settings(&sandbox, &database);
    database.execute(NEWER).await;
    database.execute("update database_state set compatible_from = '99991231235959'").await;
    for command in [
        vec!["serve", "--listen", "127.0.0.1:0"],
        vec!["serve", "--listen", "127.0.0.1:0", "--migrate"],
        vec!["migrate", "up"],
        vec!["migrate", "status"],
    ] {
        let ended = run(&sandbox, &command, &settings);
        assert_eq!(ended.status, Some(1), "{command:?}: {}", ended.stderr);
        assert_eq!(ended.complaints().len(), 1, "{command:?}: {}", ended.stderr);
        for word in ["newer", "99991231235959"] {
            assert!(ended.complaints()[0].contains(word), "{command:?}: {}", ended.stderr);
        }
    }
}

#[test]
fn an_unknown_database_is_one_line() {
    crate::auth::served::run(async {
        let Some(database) = TestDatabase::create(Engine::Postgres, Schema::Empty).await else {
            println!("skipped: TASKWIRE_TEST_POSTGRES_URL names no server");
            return;
        };
        let sandbox = Sandbox::new();
        let mut settings = settings(&sandbox, &database);
        let mut url = url::Url::parse(&database.url).unwrap();
        url.set_password(Some("canary-4b1f")).unwrap();
        url.set_path("taskwire_no_such_database");
        settings[1] = url.into();
        for command in
            [vec!["serve", "--listen", "127.0.0.1:0"], vec!["migrate", "up"], vec!["migrate", "status"]]
        {
            let ended = run(&sandbox, &command, &settings);
            assert_eq!(ended.status, Some(1), "{command:?}: {}", ended.stderr);
            assert_eq!(ended.complaints().len(), 1, "{command:?}: {}", ended.stderr);
            assert!(ended.complaints()[0].contains("taskwire_no_such_database"), "{}", ended.stderr);
            assert!(!ended.stderr.contains("canary"), "{}", ended.stderr);
        }
    });
}

async fn too_few_connections_for_all_replicas_are_told_of(database: TestDatabase) {
    let allowed = "select current_setting('max_connections')::bigint - \
                   current_setting('superuser_reserved_connections')::bigint";
    let allowed = database.query_i64(allowed).await;
    let sandbox = Sandbox::new();
    let settings = settings(&sandbox, &database);
    // Enough for one, with the connection that listens, and not for two.
    let most = (allowed - 1).to_string();
    let serve = || sandbox.serve(&[as_refs(&settings), vec!["--postgres-connections-max", &most]].concat());
    let one = serve();
    one.wait_until(ServingStatus::Serving).await;
    let listens =
        "select count(*) from pg_stat_activity where datname = current_database() and query like 'listen %'";
    eventually("it listens", async || database.query_i64(listens).await == 1).await;
    let other = serve();
    other.wait_until(ServingStatus::Serving).await;
    let (one, other) = (one.stop().stderr, other.stop().stderr);
    assert!(!one.contains("may need more connections"), "{one}");
    let line = other.lines().find(|line| line.contains("may need more connections")).expect(&other);
    let told = ["replicas".to_owned(), allowed.to_string(), "TASKWIRE_POSTGRES_CONNECTIONS_MAX".to_owned()];
    assert!(line.contains("WARN") && told.iter().all(|part| line.contains(part)), "{line}");
}
