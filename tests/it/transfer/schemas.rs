//! Schemas that are not the same here and there.

use super::{done, dump, fill_every_table, refused, sums, targets};
use crate::support::both_engines;
use crate::support::database::{Engine, Schema, TestDatabase};
use crate::support::process::Sandbox;

both_engines!(empty: an_older_schema_is_restored_and_brought_up_to_date, what_is_no_database_of_ours_is_refused);
both_engines!(a_newer_schema_is_not_backed_up);

/// The schema before second factors.
const OLDER: &str = "20261129040000";

async fn an_older_schema_is_restored_and_brought_up_to_date(database: TestDatabase) {
    let sandbox = Sandbox::new();
    database.storage.migrate_to(OLDER).await.unwrap();
    let user = database.id(uuid::Uuid::from_bytes([7; 16]));
    let time = database.time(taskwire::domain::Timestamp::from_micros(1_767_225_600_123_456).unwrap());
    database
        .execute(&format!(
            "insert into users (id, email, display_name, role, create_time, update_time, version, revision, live_tasks, \
             compacted_revision) values ({user}, 'ada@example.com', 'Ada', 1, {time}, {time}, 1, 0, 0, 0)"
        ))
        .await;
    database
        .execute(&format!("insert into emails (email_key, user_id) values ('ada@example.com', {user})"))
        .await;
    done(&sandbox, &database.url, &["backup", "older"]);
    let lines = sums(&sandbox, "older");
    assert!(lines.iter().any(|line| line.ends_with("  users  1")), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("second_factors")), "{lines:#?}");
    for target in targets().await {
        let told = done(&sandbox, &target.url, &["restore", "older"]);
        assert!(told.contains(&format!("brought the schema from {OLDER} up to date")), "{told}");
        assert_eq!(target.query_texts("select email from users where kind = 1").await, ["ada@example.com"]);
        assert!(done(&sandbox, &target.url, &["check"]).contains("sound"));
    }
    // Tables that are newer than what they are to hold are not made older.
    let target = TestDatabase::create(database.engine, Schema::Migrated).await.unwrap();
    refused(&sandbox, &target.url, &["restore", "older"], "restore into a database without tables");
    // One that is in the middle already is brought to where the backup was, and on.
    let target = TestDatabase::create(database.engine, Schema::Empty).await.unwrap();
    target.storage.migrate_to("20261128000000").await.unwrap();
    done(&sandbox, &target.url, &["restore", "older"]);
    assert_eq!(target.query_i64("select count(*) from second_factors").await, 0);
}

async fn what_is_no_database_of_ours_is_refused(database: TestDatabase) {
    let sandbox = Sandbox::new();
    database.execute("create table somebody_elses (id integer)").await;
    refused(&sandbox, &database.url, &["backup", "now"], "the database holds no tables of taskwire");
    assert!(!sandbox.path("now").exists() && !sandbox.path("now.partial").exists());
    // Beside ours, it would be lost.
    database.storage.migrate().await.unwrap();
    let words = "the database holds the table somebody_elses, which this program does not know";
    refused(&sandbox, &database.url, &["backup", "now"], words);
}

async fn a_newer_schema_is_not_backed_up(database: TestDatabase) {
    let sandbox = Sandbox::new();
    fill_every_table(&database).await;
    let before = dump(&database).await;
    database
        .execute("insert into __diesel_schema_migrations (version, run_on) values ('20991231000000', current_timestamp)")
        .await;
    refused(&sandbox, &database.url, &["backup", "now"], "the database schema is newer than this program");
    assert_eq!(dump(&database).await, before);
    if database.engine == Engine::Postgres {
        let nowhere = "postgres://taskwire@127.0.0.1:1/taskwire";
        refused(&sandbox, nowhere, &["backup", "now"], "the database does not answer");
    }
}
