//! `taskwire migrate distribute`: what it does to a database, and where it refuses.

use tonic_health::pb::health_check_response::ServingStatus;

use crate::process::log_in;
use crate::support::both_engines;
use crate::support::citus;
use crate::support::database::{Engine, Schema, TestDatabase};
use crate::support::process::{Ended, Sandbox};

both_engines!(without_citus_nothing_is_spread);

fn distribute(sandbox: &Sandbox, database: &TestDatabase) -> Ended {
    sandbox.run(["migrate", "distribute", "--shards", "4", "--database-url", &database.url])
}

async fn without_citus_nothing_is_spread(database: TestDatabase) {
    if database.engine == Engine::Postgres && citus::coordinator().is_some() {
        return;
    }
    let sandbox = Sandbox::new();
    let ended = distribute(&sandbox, &database);
    assert_eq!((ended.status, ended.complaints().len()), (Some(1), 1), "{ended:?}");
    let wanted =
        if database.engine == Engine::Sqlite { "SQLite is one file" } else { "create extension citus" };
    assert!(ended.complaints()[0].contains(wanted), "{}", ended.stderr);

    for shards in ["0", "70000", "many"] {
        let ended = sandbox.run(["migrate", "distribute", "--shards", shards]);
        assert_eq!(ended.status, Some(64), "{shards}: {}", ended.stderr);
        assert!(ended.stderr.contains("--shards"), "{shards}: {}", ended.stderr);
    }
}

fn run(schema: Schema, case: impl AsyncFnOnce(TestDatabase)) {
    crate::auth::served::run(async {
        if citus::coordinator().is_none() {
            println!("LEFT OUT: TASKWIRE_TEST_CITUS_URL names no cluster");
            return;
        }
        case(TestDatabase::create(Engine::Postgres, schema).await.unwrap()).await;
    });
}

#[test]
fn a_filled_database_is_spread_and_keeps_what_it_holds() {
    run(Schema::Empty, async |database| {
        let sandbox = Sandbox::new();
        let ended = distribute(&sandbox, &database);
        assert!(ended.complaints()[0].contains("taskwire migrate up"), "{}", ended.stderr);
        let settings = ["--database-url", &database.url];
        assert_eq!(sandbox.run(["migrate", "up"].into_iter().chain(settings)).status, Some(0));
        assert_eq!(sandbox.run(["keys", "generate", "--out", "key.pem"]).status, Some(0));
        let serve = ["--database-url", &database.url, "--signing-key-file", "key.pem"];
        let service = sandbox.serve(&serve);
        service.wait_until(ServingStatus::Serving).await;
        log_in(&service).await;

        let first = distribute(&sandbox, &database);
        assert_eq!(first.status, Some(0), "{}", first.stderr);
        let lines: Vec<&str> = first.stdout.lines().collect();
        assert_eq!((lines.len(), lines[0]), (21, "spread users by id"), "{}", first.stdout);
        assert!(lines.contains(&"spread tasks by user_id, beside users"), "{}", first.stdout);
        let again = distribute(&sandbox, &database);
        assert_eq!((again.status, again.stdout.lines().count()), (Some(0), 1), "{again:?}");
        assert!(again.stdout.contains("nothing to do"), "{}", again.stdout);
        // One that was there all the time goes on, and one that comes finds all of it.
        crate::process::log_in_again(&service).await;
        service.stop();
        let service = sandbox.serve(&serve);
        service.wait_until(ServingStatus::Serving).await;
        crate::process::log_in_again(&service).await;
        assert_eq!(database.query_i64("select count(*) from users").await, 1);
        let shards = "select count(*) from pg_dist_shard where logicalrelid = 'tasks'::regclass";
        assert_eq!(database.query_i64(shards).await, 4);
    });
}

#[test]
fn what_is_spread_in_part_is_refused_until_it_is_whole() {
    run(Schema::Migrated, async |database| {
        let sandbox = Sandbox::new();
        database.execute("select undistribute_table('emails')").await;
        assert_eq!(sandbox.run(["keys", "generate", "--out", "key.pem"]).status, Some(0));
        let settings = ["--database-url", &database.url, "--signing-key-file", "key.pem"];
        let ended = sandbox.run(["serve", "--listen", "127.0.0.1:0"].into_iter().chain(settings));
        assert_eq!((ended.status, ended.complaints().len()), (Some(1), 1), "{ended:?}");
        for word in ["emails", "taskwire migrate distribute"] {
            assert!(ended.complaints()[0].contains(word), "{}", ended.stderr);
        }
        let mended = distribute(&sandbox, &database);
        assert_eq!((mended.status, mended.stdout.trim_end()), (Some(0), "spread emails by email_key"));
        let service = sandbox.serve(&settings);
        service.wait_until(ServingStatus::Serving).await;
        log_in(&service).await;
    });
}

#[test]
fn migrations_keep_a_spread_database_whole() {
    run(Schema::Migrated, async |database| {
        let sandbox = Sandbox::new();
        // As one whose next migration brings a table: what is to be spread with the others, and is not yet.
        database.execute("select undistribute_table('login_throttles')").await;
        database.execute("select undistribute_table('audit_events')").await;
        let up = sandbox.run(["migrate", "up", "--database-url", &database.url]);
        assert_eq!(up.status, Some(0), "{}", up.stderr);
        let beside = "select count(distinct colocationid) from pg_dist_partition \
                      where logicalrelid in ('users'::regclass, 'audit_events'::regclass)";
        assert_eq!(database.query_i64(beside).await, 1);
        let spread = "select count(*) from pg_dist_partition where partmethod = 'h'";
        assert_eq!(database.query_i64(spread).await, 20);
    });
}
