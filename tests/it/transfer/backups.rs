//! What was in a database comes back, into either engine.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use super::{done, dump, fill_every_table, refused, serve, somebody, sums, targets};
use crate::storage::schema::declared;
use crate::support::both_engines;
use crate::support::database::{Engine, Schema, TestDatabase};
use crate::support::process::{Sandbox, program};
use taskwire::pb::ListTasksRequest;

both_engines!(
    every_value_comes_back_on_either_engine,
    a_restored_service_goes_on_with_a_new_history,
    what_is_not_empty_is_left_alone,
    a_backup_goes_through_a_pipe,
);

#[test]
fn every_table_is_carried_or_said_not_to_be() {
    let (carried, not_carried) = taskwire::storage::carried_tables();
    let named: Vec<&str> = carried.iter().copied().chain(not_carried.iter().map(|(name, _)| *name)).collect();
    let declared = declared();
    let declared: BTreeSet<&str> = declared.keys().map(String::as_str).collect();
    assert_eq!(named.len(), declared.len());
    assert_eq!(named.into_iter().collect::<BTreeSet<&str>>(), declared);
    assert!(not_carried.iter().all(|(_, reason)| !reason.is_empty()));
}

async fn every_value_comes_back_on_either_engine(database: TestDatabase) {
    let sandbox = Sandbox::new();
    fill_every_table(&database).await;
    sandbox.write("passphrase", "correct horse battery");
    // With keys, so that these rows are among them.
    let keys = ["--include-keys", "--passphrase-file", "passphrase", "--signing-key-file", "none.pem"];
    done(&sandbox, &database.url, &[&["backup", "first"][..], &keys].concat());
    let first = sums(&sandbox, "first");
    // Without keys, of which throttles are none but are counted by them.
    assert_eq!(first.len(), 22, "{first:#?}");
    let rows = |line: &String| line.ends_with(if line.contains("  event_head  ") { "  1" } else { "  2" });
    assert!(first.iter().all(rows), "{first:#?}");
    let before: Vec<String> =
        dump(&database).await.into_iter().filter(|row| !row.starts_with("login_throttles: ")).collect();
    for middle in targets().await {
        done(&sandbox, &middle.url, &[&["restore", "first"][..], &keys].concat());
        done(&sandbox, &middle.url, &[&["backup", "second", "--force"][..], &keys].concat());
        assert_eq!(sums(&sandbox, "second"), first);
        let back = TestDatabase::create(database.engine, Schema::Empty).await.unwrap();
        done(&sandbox, &back.url, &[&["restore", "second"][..], &keys].concat());
        let reordered = |rows: &[String]| rows.iter().map(|row| reordered(row)).collect::<Vec<_>>();
        assert_eq!(reordered(&dump(&back).await), reordered(&before));
    }
}

/// Members of JSON objects have no order.
fn reordered(row: &str) -> String {
    let one = |row: String, number: u8| {
        row.replace(
            &format!(r#"{{"bb":[{number},"ü\n"],"a":{{}},"c":null}}"#),
            &format!(r#"{{"a":{{}},"bb":[{number},"ü\n"],"c":null}}"#),
        )
    };
    one(one(row.to_owned(), 1), 2)
}

async fn a_restored_service_goes_on_with_a_new_history(database: TestDatabase) {
    let sandbox = Sandbox::new();
    let service = serve(&sandbox, &database);
    let ada = somebody(&service, "ada@example.com", 30).await;
    let before = service.tasks().await.list_tasks(crate::process::authorised(list(), &ada)).await.unwrap();
    let told = done(&sandbox, &database.url, &["backup", "now"]);
    assert!(told.contains("wrote now: ") && told.contains(" rows of 22 tables"), "{told}");
    assert_eq!(std::fs::metadata(sandbox.path("now")).unwrap().permissions().mode() & 0o777, 0o600);
    service.stop();
    let history = done(&sandbox, &database.url, &["history", "show"]);
    for target in targets().await {
        let told = done(&sandbox, &target.url, &["restore", "now"]);
        assert!(told.contains("a new history begins"), "{told}");
        let new = done(&sandbox, &target.url, &["history", "show"]);
        assert!(told.contains(new.trim()) && new != history, "{told} {new}");
        assert!(done(&sandbox, &target.url, &["check"]).contains("sound"));
        let restored = serve(&sandbox, &target);
        // The session is one that the backup holds.
        let after =
            restored.tasks().await.list_tasks(crate::process::authorised(list(), &ada)).await.unwrap();
        assert_eq!(after.into_inner().tasks, before.get_ref().tasks);
        somebody(&restored, "bob@example.com", 1).await;
        restored.stop();
        // It stays the one that began.
        assert_eq!(done(&sandbox, &target.url, &["history", "show"]), new);
    }
}

fn list() -> ListTasksRequest {
    ListTasksRequest { parent: "users/me".into(), page_size: 100, ..ListTasksRequest::default() }
}

async fn what_is_not_empty_is_left_alone(database: TestDatabase) {
    let sandbox = Sandbox::new();
    fill_every_table(&database).await;
    done(&sandbox, &database.url, &["backup", "now"]);
    let before = dump(&database).await;
    refused(&sandbox, &database.url, &["restore", "now"], "the database is not empty: users holds rows");
    assert_eq!(dump(&database).await, before);
    // The trail of those who are gone is somebody's data as well.
    let target = TestDatabase::create(database.engine, Schema::Migrated).await.unwrap();
    let nobody = target.id(uuid::Uuid::nil());
    target
        .execute(&format!(
            "insert into audit_events (user_id, id, type, peer, request_id, create_time) values \
             ({nobody}, {nobody}, 1, '', '', {})",
            target.time(taskwire::domain::Timestamp::from_micros(0).unwrap()),
        ))
        .await;
    refused(&sandbox, &target.url, &["restore", "now"], "the database is not empty: audit_events holds rows");
    assert_eq!(target.query_i64("select count(*) from users").await, 0);
}

async fn a_backup_goes_through_a_pipe(database: TestDatabase) {
    let sandbox = Sandbox::new();
    fill_every_table(&database).await;
    for target in targets().await {
        let mut backup = sandbox.command();
        backup.args(["backup", "-", "--database-url", &database.url]);
        let mut backup = backup.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut restore = sandbox.command();
        restore.args(["restore", "-", "--database-url", &target.url]).stdin(backup.stdout.take().unwrap());
        let restored = restore.output().unwrap();
        assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
        let ended = backup.wait_with_output().unwrap();
        assert!(ended.status.success());
        assert!(String::from_utf8_lossy(&ended.stderr).contains("taskwire: wrote the stream: "));
        for (database, file) in [(&database, "from"), (&target, "to")] {
            done(&sandbox, &database.url, &["backup", file, "--force"]);
        }
        assert_eq!(sums(&sandbox, "from"), sums(&sandbox, "to"));
    }
    // A reader who goes away is a failure, and no panic.
    let line = format!("{} backup - --database-url '{}' 2>complaints | true", program(), database.url);
    let piped = Command::new("sh").args(["-c", &line]).current_dir(sandbox.path("")).status().unwrap();
    assert!(piped.success());
    let complaints = std::fs::read_to_string(sandbox.path("complaints")).unwrap();
    assert!(!complaints.contains("panicked"), "{complaints}");
    if database.engine == Engine::Sqlite {
        refused(&sandbox, "sqlite:none.db", &["backup", "none"], "there is no database at none.db");
        assert!(!sandbox.path("none.db").exists());
    }
}
