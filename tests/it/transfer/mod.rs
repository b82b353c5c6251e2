//! Data that moves: backups taken while the service serves, what comes back of them, and what is refused.

mod backups;
mod copies;
mod damage;
mod keys;
mod load;
mod outputs;
mod schemas;

use std::collections::BTreeMap;

use taskwire::pb::{CreateTaskRequest, Task, TokenPair};

use crate::process::{authorised, log_in_as, patiently};
use crate::storage::schema::declared;
use crate::support::database::{Engine, Schema, TestDatabase};
use crate::support::process::{Ended, Sandbox, Service};

/// Runs the program on a database.
fn on(sandbox: &Sandbox, url: &str, arguments: &[&str]) -> Ended {
    sandbox.run([arguments, &["--database-url", url]].concat())
}

/// As `on`, which succeeds; answers the output.
fn done(sandbox: &Sandbox, url: &str, arguments: &[&str]) -> String {
    let ended = on(sandbox, url, arguments);
    assert_eq!(ended.status, Some(0), "{arguments:?}: {}", ended.stderr);
    ended.stdout
}

/// As `on`, which fails with one line that says this.
fn refused(sandbox: &Sandbox, url: &str, arguments: &[&str], words: &str) {
    let ended = on(sandbox, url, arguments);
    assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""), "{arguments:?}: {}", ended.stderr);
    let complaints = ended.complaints();
    assert!(complaints.len() == 1 && complaints[0].contains(words), "{arguments:?}: {}", ended.stderr);
}

/// The tables of a backup with their sums and numbers of rows.
fn sums(sandbox: &Sandbox, file: &str) -> Vec<String> {
    let ended = sandbox.run(["backup", "--verify", file]);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let mut lines = ended.stdout.lines().map(str::to_owned);
    assert!(lines.next().is_some_and(|first| first.contains("is whole")), "{}", ended.stdout);
    lines.collect()
}

/// Databases of each engine that there is, without tables.
async fn targets() -> Vec<TestDatabase> {
    let mut targets = Vec::new();
    for engine in [Engine::Sqlite, Engine::Postgres] {
        targets.extend(TestDatabase::create(engine, Schema::Empty).await);
    }
    targets
}

/// Serves a database, with the key that PostgreSQL asks for.
fn serve(sandbox: &Sandbox, database: &TestDatabase) -> Service {
    if !sandbox.path("key.pem").exists() {
        assert_eq!(sandbox.run(["keys", "generate", "--out", "key.pem"]).status, Some(0));
    }
    sandbox.serve(&["--database-url", &database.url, "--signing-key-file", "key.pem"])
}

/// Runs to its end what answers something.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.unwrap().block_on(work)
}

/// Somebody with tasks of many kinds.
async fn somebody(service: &Service, email: &str, tasks: usize) -> TokenPair {
    let pair = log_in_as(service, email).await;
    let client = service.tasks().await;
    for number in 0..tasks {
        let task = Task {
            title: format!("Tàsk {number} of {email}"),
            description: Some("a\nb \"c\" \u{1F600} ".repeat(number % 7)),
            labels: (0..number % 4).map(|label| format!("lábel \"{label}\"")).collect(),
            annotations: (0..number % 3).map(|key| (format!("key{key}"), format!("välue {key}"))).collect(),
            ..Task::default()
        };
        let create =
            CreateTaskRequest { parent: "users/me".into(), task: Some(task), ..CreateTaskRequest::default() };
        patiently(async || client.clone().create_task(authorised(create.clone(), &pair)).await).await;
    }
    pair
}

/// Puts two rows into each table that is carried: one with a value in every column, one with none where there need be none.
async fn fill_every_table(database: &TestDatabase) {
    let mut raw = database.raw().await;
    let (carried, _) = taskwire::storage::carried_tables();
    let tables = declared();
    for name in carried {
        let table = &tables[name];
        if name == "event_head" {
            raw.execute("update event_head set last_number = 7, swept_number = 3").await;
            continue;
        }
        for row in 1..=2_u8 {
            let mut columns = BTreeMap::new();
            for (column, (kind, nullable)) in &table.columns {
                let value =
                    if *nullable && row == 2 { "null".to_owned() } else { value(database, kind, row) };
                columns.insert(format!("\"{column}\""), value);
            }
            let names: Vec<&str> = columns.keys().map(String::as_str).collect();
            let values: Vec<&str> = columns.values().map(String::as_str).collect();
            let insert = format!("insert into {name} ({}) values ({})", names.join(", "), values.join(", "));
            raw.execute(&insert).await;
        }
    }
}

/// A value of this type, another one for each row, in the engine's SQL.
fn value(database: &TestDatabase, kind: &str, row: u8) -> String {
    let is_sqlite = database.engine == Engine::Sqlite;
    match kind {
        "DbUuid" => database.id(uuid::Uuid::from_bytes([row * 100; 16])),
        "DbTimestamp" => {
            let time = taskwire::domain::Timestamp::from_micros(i64::from(row) * 1_767_225_600_123_456 - 1);
            database.time(time.unwrap())
        }
        "DbJson" => format!("'{{\"bb\": [{row}, \"ü\\n\"], \"a\": {{}}, \"c\": null}}'"),
        "Text" => format!("'Tëxt {row} \u{1F600} \"''\n'"),
        "Binary" if is_sqlite => format!("x'00ff{row:02x}'"),
        "Binary" => format!("'\\x00ff{row:02x}'::bytea"),
        "Bool" if is_sqlite => (row % 2).to_string(),
        "Bool" => (row % 2 == 1).to_string(),
        "SmallInt" => row.to_string(),
        "Integer" => i32::MAX.saturating_sub(row.into()).to_string(),
        "BigInt" => (i64::MAX - i64::from(row)).to_string(),
        other => panic!("{other} is no type of ours"),
    }
}

/// All rows of all carried tables as the engine itself writes them.
async fn dump(database: &TestDatabase) -> Vec<String> {
    let mut raw = database.raw().await;
    let (carried, _) = taskwire::storage::carried_tables();
    let tables = declared();
    let mut dump = Vec::new();
    for name in carried {
        let columns = tables[name]
            .columns
            .iter()
            .filter(|(column, _)| (name, column.as_str()) != ("revocations", "number"));
        let texts = columns.map(|(column, (kind, _))| match (database.engine, kind.as_str()) {
            // The spaces of a JSON document are nobody's.
            (Engine::Sqlite, "DbJson") => format!("quote(json(\"{column}\"))"),
            (Engine::Sqlite, _) => format!("quote(\"{column}\")"),
            (Engine::Postgres, _) => format!("coalesce(\"{column}\"::text, 'null')"),
        });
        let texts: Vec<String> = texts.collect();
        let sql = format!("select {} from {name} order by 1", texts.join(" || '|' || "));
        dump.extend(raw.query_texts(&sql).await.into_iter().map(|row| format!("{name}: {row}")));
    }
    dump
}
