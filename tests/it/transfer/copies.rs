//! From database to database while the first one serves: what arrives, what a kill leaves, and how it ends.

use taskwire::pb::task_service_client::TaskServiceClient;
use taskwire::pb::{CreateTaskRequest, Task, TokenPair};
use tonic::Code;
use tonic::transport::Channel;

use super::load::check;
use super::{done, dump, fill_every_table, refused, serve, somebody, sums, targets};
use crate::process::{authorised, is_busy};
use crate::storage::eventually;
use crate::support::database::{Engine, Raw, Schema, TestDatabase};
use crate::support::process::{Running, Sandbox};
use crate::support::{both_engines, one_engine};

both_engines!(
    a_copy_goes_there_and_back_with_the_same_sums,
    a_copy_under_load_that_is_killed_loses_nothing_on_sqlite,
    a_copy_under_load_that_is_killed_loses_nothing_on_postgresql,
    a_source_that_was_left_takes_no_writes_until_it_is_opened_again,
    what_is_no_copy_of_the_same_is_refused,
);

one_engine!(Sqlite: a_verification_names_the_first_difference, of_two_copies_to_one_file_one_is_refused);

one_engine!(Postgres: a_copy_that_is_interrupted_goes_on, a_second_copy_waits_for_the_end_of_the_first);

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
            Err(status) if is_busy(&status) => {}
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{status}");
                return written;
            }
        }
    }
}

/// What changes at a target as rows come, in an order that leads ever further.
const SIGNS: [&str; 4] = [
    "select count(*) from users",
    "select count(*) from tasks",
    "select count(*) from audit_events",
    "select coalesce(sum(revision), 0) from users",
];

/// What this sign says now, of a target that has no tables at first.
async fn sign(target: &TestDatabase, raw: &mut Option<Raw>, sql: &str) -> String {
    let is_there = target.engine != Engine::Sqlite || target.file().exists();
    if raw.is_none() && is_there {
        *raw = Some(target.raw().await);
    }
    let Some(raw) = raw else { return "0".to_owned() };
    match raw.try_execute(sql).await {
        Ok(()) => raw.query_texts(sql).await.remove(0),
        Err(_) => "0".to_owned(),
    }
}

async fn a_copy_under_load_that_is_killed_loses_nothing_on_sqlite(database: TestDatabase) {
    killed_under_load(database, Engine::Sqlite).await;
}

async fn a_copy_under_load_that_is_killed_loses_nothing_on_postgresql(database: TestDatabase) {
    killed_under_load(database, Engine::Postgres).await;
}

/// Kills copies while rows come, until one of them has come to its end.
async fn kill_copies(sandbox: &Sandbox, database: &TestDatabase, target: &TestDatabase) {
    let mut raw = None;
    for kill in 0..kills() {
        let which = SIGNS[kill % SIGNS.len()];
        let before = sign(target, &mut raw, which).await;
        let mut command = sandbox.command();
        command.args(["copy", "--from", &database.url, "--to", &target.url, "--cutover"]);
        let mut running = Running::spawn(command);
        // Where the source is closed already, the copy may end without a change.
        eventually("rows have come", async || {
            running.has_ended() || sign(target, &mut raw, which).await != before
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
}

async fn killed_under_load(database: TestDatabase, engine: Engine) {
    let Some(target) = TestDatabase::create(engine, Schema::Empty).await else { return };
    let sandbox = Sandbox::new();
    let service = serve(&sandbox, &database);
    let mut people = Vec::new();
    for name in ["ada", "bob", "eve"] {
        people.push(somebody(&service, &format!("{name}@example.com"), 40).await);
    }
    let history = done(&sandbox, &database.url, &["history", "show"]);
    let mut writers = Vec::new();
    for pair in people {
        writers.push(tokio::spawn(write(service.tasks().await, pair)));
    }
    kill_copies(&sandbox, &database, &target).await;
    let mut command = sandbox.command();
    command.args(["copy", "--from", &database.url, "--to", &target.url, "--cutover", "--verify"]);
    let ended = tokio::task::spawn_blocking(|| Running::spawn(command).end()).await.unwrap();
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("rows compared and the same"), "{}", ended.stdout);
    let goes_on = format!("the history {} goes on", history.trim());
    assert!(ended.stdout.contains(&goes_on), "{}", ended.stdout);
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

/// Waits until somebody waits for a lock in this database.
async fn until_somebody_waits(raw: &mut Raw) {
    let waiting = "select count(*) from pg_locks where not granted \
        and database = (select oid from pg_database where datname = current_database())";
    eventually("somebody waits", async || raw.query_texts(waiting).await != ["0"]).await;
}

async fn a_copy_that_is_interrupted_goes_on(database: TestDatabase) {
    let sandbox = Sandbox::new();
    sandbox.run(["keys", "generate", "--out", "key.pem"]);
    fill_every_table(&database).await;
    done(&sandbox, &database.url, &["backup", "from"]);
    for signal in ["INT", "TERM"] {
        let target = TestDatabase::create(Engine::Postgres, Schema::Migrated).await.unwrap();
        // Rows of this table can be read and not be written, so that the copy stands still in the middle.
        let mut raw = target.raw().await;
        raw.execute("begin; lock table events in share mode").await;
        let mut command = sandbox.command();
        command.args(["copy", "--from", &database.url, "--to", &target.url, "--verify"]);
        let mut running = Running::spawn(command);
        until_somebody_waits(&mut raw).await;
        running.signal(signal);
        let ended = running.end();
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(130), ""), "{}", ended.stderr);
        let words = "interrupted: the copy is not finished; the same command goes on with it";
        assert_eq!(ended.complaints(), [words]);
        drop(raw);
        let counted = "select (select count(*) from users) * 10 + (select count(*) from events)";
        assert_eq!(target.query_i64(counted).await, 20);
        let serve = ["serve", "--listen", "127.0.0.1:0", "--signing-key-file", "key.pem"];
        refused(&sandbox, &target.url, &serve, "the database is an unfinished copy of the history");
        let ended = copy(&sandbox, &database.url, &target.url, &["--verify"]);
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
        done(&sandbox, &target.url, &["backup", "to", "--force"]);
        assert_eq!(sums(&sandbox, "from"), sums(&sandbox, "to"));
    }
}

/// A server may still be at work for a copy that was killed: what it commits must not come between what the next one reads and writes.
async fn a_second_copy_waits_for_the_end_of_the_first(database: TestDatabase) {
    let sandbox = Sandbox::new();
    fill_every_table(&database).await;
    let target = TestDatabase::create(Engine::Postgres, Schema::Migrated).await.unwrap();
    let mut raw = target.raw().await;
    raw.execute("begin; lock table events in share mode").await;
    let first = || {
        let mut command = sandbox.command();
        command.args(["copy", "--from", &database.url, "--to", &target.url]);
        Running::spawn(command)
    };
    let mut one = first();
    until_somebody_waits(&mut raw).await;
    let other = first();
    let both = "select count(*) from pg_locks where not granted \
        and database = (select oid from pg_database where datname = current_database())";
    eventually("both wait", async || raw.query_texts(both).await == ["2"]).await;
    one.signal("KILL");
    drop(raw);
    assert_eq!(one.end().status, None);
    let ended = other.end();
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert_eq!(dump(&target).await.len(), dump(&database).await.len());
}

async fn of_two_copies_to_one_file_one_is_refused(database: TestDatabase) {
    let sandbox = Sandbox::new();
    fill_every_table(&database).await;
    let target = TestDatabase::create(Engine::Sqlite, Schema::Migrated).await.unwrap();
    // Whoever of them has the target waits here.
    let mut raw = target.raw().await;
    raw.execute("begin immediate").await;
    let both = [(); 2].map(|()| {
        let mut command = sandbox.command();
        command.args(["copy", "--from", &database.url, "--to", &target.url, "--verify"]);
        Running::spawn(command)
    });
    eventually("one has ended", async || both.iter().any(Running::has_ended)).await;
    raw.execute("rollback").await;
    let mut ended = both.map(Running::end);
    ended.sort_by_key(|ended| ended.status);
    let [done, refused] = ended;
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    let words = "another copy writes to the database, or one that was killed has not ended there yet";
    assert_eq!(refused.complaints(), [words]);
    assert_eq!(dump(&target).await.len(), dump(&database).await.len());
    let beside =
        target.file().with_file_name(format!("{}-copying", target.file().file_name().unwrap().display()));
    assert!(!beside.exists());
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
    // Whose end nobody was told of, as a kill came between, is told of it by the same command.
    let again = copy(&sandbox, &database.url, &target.url, &["--cutover", "--verify"]);
    assert_eq!(again.status, Some(0), "{}", again.stderr);
    let told: Vec<&str> = again.stdout.lines().collect();
    assert!(told[0].contains(" before, ") && told[0].ends_with("rows compared and the same"), "{told:?}");
    assert_eq!(told[1], ended.stdout.lines().nth(1).unwrap());
    let plain = copy(&sandbox, &database.url, &target.url, &[]);
    assert_eq!(plain.complaints(), ["the database is not empty: users holds rows"]);
    let ended = sandbox.run(["copy", "--from", &database.url, "--reopen"]);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let left = copy(&sandbox, &database.url, &target.url, &["--cutover"]);
    assert_eq!(left.complaints(), ["the database is not empty: users holds rows"]);
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
