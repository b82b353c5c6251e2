//! Where a backup goes: it appears whole or not at all, whatever ends it.

use std::io::Write as _;
use std::path::Path;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};

use super::{done, fill_every_table, on, refused, sums};
use crate::support::database::{Engine, Schema, TestDatabase};
use crate::support::process::{Running, Sandbox};
use crate::support::{both_engines, one_engine};

both_engines!(a_file_that_exists_is_replaced_only_when_asked);

one_engine!(Postgres: a_backup_that_is_interrupted_leaves_nothing, a_backup_that_is_killed_leaves_nothing_whole);

/// Names in a directory that tell of a backup.
fn left(sandbox: &Sandbox) -> Vec<String> {
    let names = std::fs::read_dir(sandbox.path("")).unwrap();
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.starts_with("now"));
    names.sort();
    names
}

async fn a_file_that_exists_is_replaced_only_when_asked(database: TestDatabase) {
    let sandbox = Sandbox::new();
    done(&sandbox, &database.url, &["backup", "now"]);
    let empty = std::fs::read(sandbox.path("now")).unwrap();
    fill_every_table(&database).await;
    refused(&sandbox, &database.url, &["backup", "now"], "now exists already; --force replaces it");
    assert_eq!(std::fs::read(sandbox.path("now")).unwrap(), empty);
    done(&sandbox, &database.url, &["backup", "now", "--force"]);
    assert!(sums(&sandbox, "now").iter().any(|line| line.ends_with("  users  2")));
    // What is no file is left alone.
    std::fs::create_dir(sandbox.path("directory")).unwrap();
    refused(&sandbox, &database.url, &["backup", "directory", "--force"], "something else than a file");
    refused(
        &sandbox,
        &database.url,
        &["backup", "nowhere/now"],
        "nowhere/now cannot be written: No such file",
    );
    refused(&sandbox, &database.url, &["backup", "now/now"], "now/now cannot be written: Not a directory");
    assert_eq!(left(&sandbox), ["now"]);
}

/// Fills the database `tasks.db` with so many rows of one table; answers the connection, which keeps its log from being emptied again.
fn crowded(sandbox: &Sandbox, url: &str, rows: usize) -> SqliteConnection {
    done(sandbox, url, &["migrate", "up"]);
    let mut raw = SqliteConnection::establish(sandbox.path("tasks.db").to_str().unwrap()).unwrap();
    raw.batch_execute(&format!(
        "insert into emails (email_key, user_id) \
         with recursive n (n) as (select 1 union all select n + 1 from n where n < {rows}) \
         select hex(randomblob(32)), randomblob(16) from n; pragma wal_checkpoint(truncate)"
    ))
    .unwrap();
    raw
}

/// A disk that is full when 64 kB are written: a limit of the process, as the tests may not make file systems.
#[test]
fn a_full_disk_leaves_nothing() {
    let sandbox = Sandbox::new();
    let url = "sqlite:tasks.db";
    let _raw = crowded(&sandbox, url, 10_000);
    let line = format!("trap '' XFSZ; ulimit -f 64; \"$0\" backup now --database-url {url}");
    let ended = Running::spawn(sandbox.shell(&line)).end();
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    assert_eq!(ended.complaints(), ["now cannot be written: File too large (os error 27)"]);
    assert_eq!(left(&sandbox), [""; 0]);
    // A device that is full behind a stream.
    if Path::new("/dev/full").exists() {
        let ended =
            Running::spawn(sandbox.shell(&format!("\"$0\" backup - --database-url {url} >/dev/full"))).end();
        assert_eq!(ended.status, Some(1), "{}", ended.stderr);
        assert!(ended.complaints()[0].contains("No space left on device"), "{}", ended.stderr);
    }
    done(&sandbox, url, &["backup", "now"]);
    assert!(sums(&sandbox, "now").iter().any(|line| line.ends_with("  emails  10000")));
}

/// A disk that is full in the middle of a restore.
#[test]
fn a_restore_without_room_leaves_the_database_empty() {
    let sandbox = Sandbox::new();
    let url = "sqlite:tasks.db";
    let _raw = crowded(&sandbox, url, 100_000);
    done(&sandbox, url, &["backup", "now"]);
    done(&sandbox, "sqlite:other.db", &["migrate", "up"]);
    let line = "trap '' XFSZ; ulimit -f 2048; \"$0\" restore now --database-url sqlite:other.db";
    let ended = Running::spawn(sandbox.shell(line)).end();
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    assert!(ended.complaints()[0].contains("the database failed: "), "{}", ended.stderr);
    done(&sandbox, "sqlite:other.db", &["backup", "now", "--force"]);
    assert!(sums(&sandbox, "now").iter().all(|line| line.ends_with("  0") || line.contains("event_head")));
}

/// A backup that cannot go on, since somebody holds a table, once it has begun to write.
async fn held(sandbox: &Sandbox, database: &TestDatabase) -> (Running, crate::support::database::Raw) {
    fill_every_table(database).await;
    let mut raw = database.raw().await;
    raw.execute("begin; lock table events in access exclusive mode").await;
    let mut command = sandbox.command();
    command.args(["backup", "now", "--database-url", &database.url]);
    let running = Running::spawn(command);
    let waiting = "select count(*) from pg_locks where not granted \
        and database = (select oid from pg_database where datname = current_database())";
    while raw.query_texts(waiting).await != ["1"] {}
    assert_eq!(left(sandbox), ["now.partial"]);
    (running, raw)
}

async fn a_backup_that_is_interrupted_leaves_nothing(database: TestDatabase) {
    for signal in ["INT", "TERM"] {
        let database = TestDatabase::create(database.engine, Schema::Migrated).await.unwrap();
        let sandbox = Sandbox::new();
        let (mut running, _raw) = held(&sandbox, &database).await;
        // Two to one place do not mix.
        refused(&sandbox, &database.url, &["backup", "now"], "now is being written by another backup");
        running.signal(signal);
        let ended = running.end();
        assert_eq!(ended.status, Some(130), "{}", ended.stderr);
        assert_eq!(ended.complaints(), ["interrupted: there is no backup"]);
        assert_eq!(left(&sandbox), [""; 0]);
    }
}

async fn a_backup_that_is_killed_leaves_nothing_whole(database: TestDatabase) {
    let sandbox = Sandbox::new();
    let (mut running, raw) = held(&sandbox, &database).await;
    running.signal("KILL");
    assert_eq!(running.end().status, None);
    assert_eq!(left(&sandbox), ["now.partial"]);
    assert_eq!(on(&sandbox, &database.url, &["backup", "--verify", "now.partial"]).status, Some(1));
    drop(raw);
    // The next one takes its place.
    done(&sandbox, &database.url, &["backup", "now"]);
    assert_eq!(left(&sandbox), ["now"]);
}

/// A restore whose stream stops in the middle, and is interrupted there.
#[test]
fn a_restore_that_is_interrupted_leaves_the_database_empty() {
    crate::auth::served::run(async {
        for engine in [Engine::Sqlite, Engine::Postgres] {
            let Some(database) = TestDatabase::create(engine, Schema::Migrated).await else { continue };
            let target = TestDatabase::create(engine, Schema::Migrated).await.unwrap();
            let sandbox = Sandbox::new();
            fill_every_table(&database).await;
            done(&sandbox, &database.url, &["backup", "now"]);
            let whole = std::fs::read(sandbox.path("now")).unwrap();
            let (reader, mut writer) = std::io::pipe().unwrap();
            let mut command = sandbox.command();
            command.args(["restore", "-", "--database-url", &target.url]).stdin(reader);
            let mut running = Running::spawn(command);
            // More than its beginning, so that it waits for the rest.
            writer.write_all(&whole[..whole.len() - 1]).unwrap();
            // It listens for the signal once it says so by taking the lock, or at the latest when it ends.
            let mut raw = target.raw().await;
            match engine {
                Engine::Postgres => {
                    let locked = "select count(*) from pg_locks where locktype = 'advisory' and granted \
                        and database = (select oid from pg_database where datname = current_database())";
                    while raw.query_texts(locked).await != ["1"] {}
                }
                Engine::Sqlite => {
                    raw.execute("pragma busy_timeout = 0").await;
                    let locked = async || raw.try_execute("begin immediate; rollback").await.is_err();
                    crate::storage::eventually("the restore locks the database", locked).await;
                }
            }
            running.signal("INT");
            let ended = running.end();
            assert_eq!(ended.status, Some(130), "{}", ended.stderr);
            assert_eq!(ended.complaints(), ["interrupted: the database is as empty as before"]);
            assert_eq!(target.query_i64("select count(*) from users").await, 0);
            drop(writer);
            done(&sandbox, &target.url, &["restore", "now"]);
            assert_eq!(target.query_i64("select count(*) from users").await, 2);
        }
    });
}
