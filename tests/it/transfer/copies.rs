//! From database to database while the first one serves: what arrives, what a kill leaves, and how it ends.

use taskwire::pb::task_service_client::TaskServiceClient;
use taskwire::pb::{CreateTaskRequest, Task, TokenPair};
use tonic::Code;
use tonic::transport::Channel;

use super::load::check;
use super::{done, dump, fill_every_table, refused, serve, somebody, sums, targets};
use crate::process::authorised;
use crate::storage::eventually;
use crate::support::database::{Engine, Schema, TestDatabase};
use crate::support::process::{Running, Sandbox};
use crate::support::{both_engines, one_engine};

both_engines!(
    a_copy_goes_there_and_back_with_the_same_sums,
    a_copy_under_load_that_is_killed_loses_nothing,
    a_source_that_was_left_takes_no_writes_until_it_is_opened_again,
    what_is_no_copy_of_the_same_is_refused,
);

one_engine!(Sqlite: a_verification_names_the_first_difference);

/// Kills before the copy is let to its end.
fn kills() -> usize {
    if std::env::var_os("TASKWIRE_SOAK").is_some() { 20 } else { 4 }
}

fn copy(sandbox: &Sandbox, from: &str, to: &str, more: &[&str]) -> crate::support::process::Ended {
    sandbox.run([&["copy", "--from", from, "--to", to][..], more].concat())
}

async fn a_copy_goes_there_and_back_with_the_same_sums(database: TestDatabase) {
    let sandbox = Sandbox::new();
    fill_every_table(&database).await;
    let keys =
        ["--include-keys", "--passphrase-file", "passphrase", "--signing-key-file", "none.pem", "--force"];
    sandbox.write("passphrase", "correct horse battery");
    let backup = |url: &str| {
        done(&sandbox, url, &[&["backup", "file"][..], &keys].concat());
        sums(&sandbox, "file")
    };
    let first = backup(&database.url);
    let before = dump(&database).await;
    for middle in targets().await {
        let there = copy(&sandbox, &database.url, &middle.url, &["--verify"]);
        assert_eq!(there.status, Some(0), "{}", there.stderr);
        assert!(there.stdout.contains("47 rows compared and the same"), "{}", there.stdout);
        // Rows of every kind, which no service would have written together: that a copy is sound is shown under load.
        assert_eq!(backup(&middle.url), first);
        let back = TestDatabase::create(database.engine, Schema::Empty).await.unwrap();
        let again = copy(&sandbox, &middle.url, &back.url, &["--verify"]);
        assert_eq!(again.status, Some(0), "{}", again.stderr);
        assert_eq!(backup(&back.url), first);
        // Throttles and all.
        assert_eq!(dump(&back).await.len(), before.len());
    }
    assert_eq!(dump(&database).await, before);
}

/// Writes until it may not any more; answers the names of what was acknowledged.
async fn write(mut client: TaskServiceClient<Channel>, pair: TokenPair) -> Vec<String> {
    let mut written = Vec::new();
    loop {
        let task = Task { title: format!("under load {}", written.len()), ..Task::default() };
        let create =
            CreateTaskRequest { parent: "users/me".into(), task: Some(task), ..CreateTaskRequest::default() };
        match client.create_task(authorised(create, &pair)).await {
            Ok(task) => written.push(task.into_inner().name),
            // One that waited for too long is not acknowledged, and the source is not closed by that.
            Err(status) if [Code::Aborted, Code::DeadlineExceeded].contains(&status.code()) => {}
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{status}");
                return written;
            }
        }
    }
}

async fn a_copy_under_load_that_is_killed_loses_nothing(database: TestDatabase) {
    for target in targets().await {
        let database = TestDatabase::create(database.engine, Schema::Migrated).await.unwrap();
        let sandbox = Sandbox::new();
        let service = serve(&sandbox, &database);
        let mut people = Vec::new();
        for name in ["ada", "bob", "eve"] {
            people.push(somebody(&service, &format!("{name}@example.com"), 40).await);
        }
        let history = done(&sandbox, &database.url, &["history", "show"]);
        let copying = async {
            for kill in 0..kills() {
                let mut command = sandbox.command();
                let arguments = ["copy", "--from", &database.url, "--to", &target.url, "--cutover"];
                command.args(arguments);
                let mut running = Running::spawn(command);
                // In the middle of the first tables, then further.
                let table = ["users", "tasks", "task_changes", "audit_events"][kill % 4];
                let begun = format!("select count(*) from {table}");
                eventually("rows have come", async || {
                    let mut raw = target.raw().await;
                    raw.try_execute(&format!("select 1 from {table}")).await.is_ok()
                        && raw.query_texts(&begun).await != ["0"]
                })
                .await;
                running.signal("KILL");
                let ended = running.end();
                if ended.status.is_some() {
                    // It was quicker.
                    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
                    return;
                }
            }
            let mut command = sandbox.command();
            command.args(["copy", "--from", &database.url, "--to", &target.url, "--cutover", "--verify"]);
            let ended = tokio::task::spawn_blocking(|| Running::spawn(command).end()).await.unwrap();
            assert_eq!(ended.status, Some(0), "{}", ended.stderr);
            assert!(ended.stdout.contains("rows compared and the same"), "{}", ended.stdout);
            assert!(
                ended.stdout.contains(&format!("the history {} goes on", history.trim())),
                "{}",
                ended.stdout
            );
        };
        let mut writers = Vec::new();
        for pair in people {
            writers.push(tokio::spawn(write(service.tasks().await, pair)));
        }
        copying.await;
        let written = futures_util::future::join_all(writers).await;
        let written: Vec<String> = written.into_iter().flat_map(|written| written.unwrap()).collect();
        service.stop();

        assert_eq!(done(&sandbox, &target.url, &["history", "show"]), history);
        assert_eq!(check(&target).await, check(&database).await);
        let id = match target.engine {
            Engine::Sqlite => "lower(hex(task_id))",
            Engine::Postgres => "replace(task_id::text, '-', '')",
        };
        let there: std::collections::BTreeSet<String> =
            target.query_texts(&format!("select {id} from tasks")).await.into_iter().collect();
        for name in &written {
            let id = name.rsplit('/').next().unwrap().replace('-', "");
            assert!(there.contains(&id), "{name} was acknowledged");
        }
        for (database, file) in [(&database, "from"), (&target, "to")] {
            done(&sandbox, &database.url, &["backup", file]);
        }
        assert_eq!(sums(&sandbox, "from"), sums(&sandbox, "to"));
    }
}

async fn a_source_that_was_left_takes_no_writes_until_it_is_opened_again(database: TestDatabase) {
    let sandbox = Sandbox::new();
    let service = serve(&sandbox, &database);
    let ada = somebody(&service, "ada@example.com", 2).await;
    let target = TestDatabase::create(Engine::Sqlite, Schema::Empty).await.unwrap();
    let ended = copy(&sandbox, &database.url, &target.url, &["--cutover"]);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let create = || {
        let task = Task { title: "late".into(), ..Task::default() };
        CreateTaskRequest { parent: "users/me".into(), task: Some(task), ..CreateTaskRequest::default() }
    };
    let late = service.tasks().await.create_task(authorised(create(), &ada)).await.unwrap_err();
    assert_eq!(late.code(), Code::Unavailable, "{late}");
    let ended = sandbox.run(["copy", "--from", &database.url, "--reopen"]);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    // Connections that were given up are made anew meanwhile.
    eventually("the source takes writes again", async || {
        service.tasks().await.create_task(authorised(create(), &ada)).await.is_ok()
    })
    .await;
    service.stop();
    let there = serve(&sandbox, &target);
    there.tasks().await.create_task(authorised(create(), &ada)).await.unwrap();
}

async fn what_is_no_copy_of_the_same_is_refused(database: TestDatabase) {
    let sandbox = Sandbox::new();
    fill_every_table(&database).await;
    let target = TestDatabase::create(database.engine, Schema::Migrated).await.unwrap();
    fill_every_table(&target).await;
    let before = dump(&target).await;
    let fails = |to: &str, words: &str| {
        let ended = copy(&sandbox, &database.url, to, &[]);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
        assert!(ended.complaints()[0].contains(words), "{}", ended.stderr);
    };
    fails(&target.url, "the database is not empty: users holds rows");
    target.execute("create table taskwire_copy (source text not null)").await;
    target.execute("insert into taskwire_copy values ('another')").await;
    fails(&target.url, "an unfinished copy of another one, of the history another");
    assert_eq!(dump(&target).await, before);
    // Nobody takes it for a database to serve.
    sandbox.run(["keys", "generate", "--out", "key.pem"]);
    let serve = ["serve", "--listen", "127.0.0.1:0", "--signing-key-file", "key.pem"];
    refused(&sandbox, &target.url, &serve, "the database is an unfinished copy of the history another");

    let usage = |arguments: &[&str], words: &str| {
        let ended = sandbox.run(arguments);
        assert_eq!(ended.status, Some(64), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{arguments:?}: {}", ended.stderr);
    };
    usage(&["copy", "--from", "sqlite:a.db"], "--to");
    usage(
        &["copy", "--from", "mysql://x", "--to", "sqlite:b.db"],
        "--from: the database URL must begin with",
    );
    usage(&["copy", "--from", "sqlite:a.db", "--reopen", "--cutover"], "--cutover");
    let nowhere = sandbox.run(["copy", "--from", "sqlite:a.db", "--to", "sqlite:b.db"]);
    assert_eq!(nowhere.complaints(), ["there is no database at a.db"]);
    assert!(!sandbox.path("a.db").exists() && !sandbox.path("b.db").exists());
}

async fn a_verification_names_the_first_difference(database: TestDatabase) {
    let sandbox = Sandbox::new();
    fill_every_table(&database).await;
    let target = TestDatabase::create(Engine::Sqlite, Schema::Migrated).await.unwrap();
    // A database that does not keep what it is given.
    target
        .execute(
            "create trigger spoils after insert on tasks when new.completed = 1 \
             begin update tasks set title = 'spoiled' where rowid = new.rowid; end",
        )
        .await;
    let ended = copy(&sandbox, &database.url, &target.url, &["--verify"]);
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    let id = "64".repeat(16);
    let words = format!(
        "the databases differ: tasks, the row with user_id {id}, task_id {id}: the column title is not the same"
    );
    assert_eq!(ended.complaints(), [words]);
    // It is still unfinished, and goes on once that is mended.
    target.execute("drop trigger spoils").await;
    let ended = copy(&sandbox, &database.url, &target.url, &["--verify"]);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert_eq!(dump(&target).await.len(), dump(&database).await.len());
}
