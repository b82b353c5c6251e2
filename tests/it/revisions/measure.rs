//! Not a test, to be run by hand: what idle streams cost in memory, and how soon a change is told.
//!
//! `TASKWIRE_TEST_BINARY=target/release/taskwire scripts/with-postgres cargo test --test it revisions::measure --
//! --ignored --nocapture --test-threads 1`

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::harness::replica::{Tasks, User, connect};
use super::*;
use crate::support::database::{Engine, Schema, TestDatabase};

/// Streams of one user, who has a connection. A connection takes no more than 200.
const STREAMS_PER_USER: usize = 200;
const EVENTS: usize = 500;

#[test]
#[ignore = "measures, and takes long"]
fn idle_streams_and_delays() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            match TestDatabase::create(engine, Schema::Empty).await {
                Some(database) => measure(database).await,
                None => println!("skipped: TASKWIRE_TEST_POSTGRES_URL names no server"),
            }
        });
    }
}

/// The program, serving; killed when this is dropped.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Program {
    fn serve(database: &TestDatabase, directory: &std::path::Path, port: u16) -> Self {
        let program = crate::support::process::program();
        let key = directory.join("key.pem");
        let made = Command::new(&program).args(["keys", "generate", "--out"]).arg(&key).status().unwrap();
        assert!(made.success());
        let child = Command::new(&program)
            .args([
                "serve",
                "--migrate",
                "--streams-per-user-max",
                "200",
                "--admin-listen",
                "off",
                "--log",
                "error",
                "--database-url",
                &database.url,
                "--signing-key-file",
            ])
            .arg(&key)
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// Resident memory, in KiB.
    fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

async fn measure(database: TestDatabase) {
    let directory = tempfile::TempDir::new().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = ([127, 0, 0, 1], port).into();
    let program = Program::serve(&database, directory.path(), port);
    while tokio::net::TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let writer = User::register(connect(address).await, "writer@example.org").await;
    let mut tasks = writer.tasks(connect(address).await);
    create(&mut tasks, "warm").await;
    let mut streams = Vec::new();
    let mut users = 0;
    delays(database.engine, 0, &mut tasks).await;
    // Many connections and logins leave memory behind too: what counts is the step between the two.
    let mut before = (0, program.memory());
    println!("{:?}: {} KiB without streams", database.engine, before.1);
    for goal in [1_000, 5_000] {
        while streams.len() < goal {
            let channel = connect(address).await;
            users += 1;
            let user = User::register(channel.clone(), &format!("{users}@example.org")).await;
            for _ in 0..STREAMS_PER_USER.min(goal - streams.len()) {
                let answer = user.tasks(channel.clone()).watch_tasks(watching(None)).await.unwrap();
                streams.push(answer.into_inner());
            }
        }
        let memory = program.memory();
        let each = (memory - before.1) as f64 / (goal - before.0) as f64;
        println!("{:?}: {goal} streams of {users} users: {memory} KiB, {each:.1} KiB each", database.engine);
        before = (goal, memory);
        delays(database.engine, goal, &mut tasks).await;
    }
}

/// From the answer to the event, and from the call to the event.
async fn delays(engine: Engine, streams: usize, tasks: &mut Tasks) {
    let mut stream = tasks.watch_tasks(watching(None)).await.unwrap().into_inner();
    let (mut after_answer, mut after_call) = (Vec::new(), Vec::new());
    for _ in 0..EVENTS {
        let mut writer = tasks.clone();
        let call = Instant::now();
        let writing = tokio::spawn(async move {
            create(&mut writer, "told").await;
            Instant::now()
        });
        next_change(&mut stream).await;
        let told = Instant::now();
        after_call.push(told - call);
        after_answer.push(told.saturating_duration_since(writing.await.unwrap()));
    }
    let show = |what: &str, mut delays: Vec<Duration>| {
        delays.sort_unstable();
        let (median, late) = (delays[EVENTS / 2], delays[EVENTS * 99 / 100]);
        println!("{engine:?}: {streams} idle streams, {what}: p50 {median:?}, p99 {late:?}");
    };
    show("answer to event", after_answer);
    show("call to event", after_call);
}
