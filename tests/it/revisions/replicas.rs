//! Two servers on one database: what one of them changes, watchers of the other hear of.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::harness::replica::{Replica, Tasks, User, World, connect, rules};
use super::*;
use crate::support::database::TestDatabase;
use crate::support::{both_engines, one_engine};

both_engines!(
    a_watcher_hears_of_changes_made_through_another_server,
    changes_made_through_two_servers_form_one_log,
    a_process_of_its_own_takes_part,
);

one_engine!(Postgres: a_server_hears_of_another_at_once, a_server_hears_of_another_when_listening_broke_off);

/// The mean time from an answer of `writer` to the change at `stream`.
async fn mean_delay(
    writer: &mut Tasks,
    stream: &mut Streaming<pb::WatchTasksResponse>,
    count: u32,
) -> Duration {
    let mut total = Duration::ZERO;
    for _ in 0..count {
        let made = create(writer, "told").await;
        let begin = Instant::now();
        let change = next_change(stream).await;
        total += begin.elapsed();
        assert_eq!(change.task, Some(made));
    }
    total / count
}

async fn pair(database: &TestDatabase) -> (World, Replica, Replica, User) {
    let world = World::on(&database.url);
    let one = world.serve(rules()).await;
    let two = world.serve(rules()).await;
    let user = one.register("one@example.org").await;
    (world, one, two, user)
}

async fn a_watcher_hears_of_changes_made_through_another_server(database: TestDatabase) {
    let (_world, one, two, user) = pair(&database).await;
    let (mut here, mut there) = (one.tasks(&user), two.tasks(&user));
    let mut stream = here.watch_tasks(watching(None)).await.unwrap().into_inner();
    let delay = mean_delay(&mut there, &mut stream, 5).await;
    assert!(delay < Duration::from_secs(1), "{delay:?}");
}

async fn a_server_hears_of_another_at_once(database: TestDatabase) {
    let (_world, one, two, user) = pair(&database).await;
    let (mut here, mut there) = (one.tasks(&user), two.tasks(&user));
    // Both listen by now: a watcher of either would hear of the other's.
    listeners(&database, 2, &[]).await;
    let mut stream = here.watch_tasks(watching(None)).await.unwrap().into_inner();
    // The poll of twice a second would take about half a second each.
    let delay = mean_delay(&mut there, &mut stream, 20).await;
    assert!(delay < Duration::from_millis(200), "{delay:?}");
}

/// The processes of the database that listen for changes, once there are so many beside `but`.
async fn listeners(database: &TestDatabase, count: usize, but: &[String]) -> Vec<String> {
    let begin = Instant::now();
    loop {
        let asked = "select pid from pg_stat_activity where query = 'listen taskwire_changes' \
                     and datname = current_database()";
        let mut found = database.query_texts(asked).await;
        found.retain(|pid| !but.contains(pid));
        if found.len() == count {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "{found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn a_server_hears_of_another_when_listening_broke_off(database: TestDatabase) {
    let (_world, one, two, user) = pair(&database).await;
    let (mut here, mut there) = (one.tasks(&user), two.tasks(&user));
    let mut stream = here.watch_tasks(watching(None)).await.unwrap().into_inner();
    let before = listeners(&database, 2, &[]).await;
    for pid in &before {
        database.query_text(&format!("select pg_terminate_backend({pid})")).await;
    }
    // Nobody listens now, or somebody does again already.
    let delay = mean_delay(&mut there, &mut stream, 3).await;
    assert!(delay < Duration::from_secs(1), "{delay:?}");
    listeners(&database, 2, &before).await;
    let delay = mean_delay(&mut there, &mut stream, 20).await;
    assert!(delay < Duration::from_millis(200), "{delay:?}");
}

async fn changes_made_through_two_servers_form_one_log(database: TestDatabase) {
    let (_world, one, two, user) = pair(&database).await;
    let mut streams = Vec::new();
    for replica in [&one, &two] {
        streams.push(replica.tasks(&user).watch_tasks(watching(Some(0))).await.unwrap().into_inner());
    }
    let mut writers = Vec::new();
    for replica in [&one, &two, &one, &two] {
        let mut tasks = user.tasks(connect(replica.address).await);
        writers.push(tokio::spawn(async move {
            for number in 0..10 {
                let task = create(&mut tasks, &number.to_string()).await;
                tasks.delete_task(deletion(&task.name)).await.unwrap();
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let listed = changes(&mut one.tasks(&user), 0).await;
    assert_eq!(listed.len(), 80);
    for stream in &mut streams {
        for expected in &listed {
            assert_eq!(&next_change(stream).await, expected);
        }
    }
}

/// The program itself, serving; killed when this is dropped.
struct Program {
    child: Child,
    address: std::net::SocketAddr,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    /// Serves the database with a key of its own on a port that the system chooses.
    async fn serve(database: &TestDatabase, directory: &std::path::Path) -> Self {
        let program = env!("CARGO_BIN_EXE_taskwire");
        let key = directory.join("signing-key.pem");
        if !key.exists() {
            let made = Command::new(program).args(["keys", "generate", "--out"]).arg(&key).status().unwrap();
            assert!(made.success());
        }
        // The system's choice of a port is only in the log.
        let mut child = Command::new(program)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--admin-listen",
                "off",
                "--log-format",
                "json",
                "--database-url",
                &database.url,
            ])
            .arg("--signing-key-file")
            .arg(&key)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (said, saying) = tokio::sync::oneshot::channel();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let mut said = Some(said);
        std::thread::spawn(move || std::io::copy(&mut { out }, &mut std::io::sink()));
        std::thread::spawn(move || {
            for line in std::io::BufRead::lines(std::io::BufReader::new(err)).map_while(Result::ok) {
                let address = address_in(&line);
                if let (Some(address), Some(said)) = (address, said.take_if(|_| address.is_some())) {
                    let _ = said.send(address);
                }
            }
        });
        let address = tokio::time::timeout(PATIENCE, saying).await.expect("it does not listen").unwrap();
        Self { child, address }
    }
}

/// The address in a line of the log that tells of one.
fn address_in(line: &str) -> Option<std::net::SocketAddr> {
    let (_, rest) = line.split_once("\"address\":\"127.0.0.1:")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some(([127, 0, 0, 1], digits.parse().ok()?).into())
}

async fn a_process_of_its_own_takes_part(database: TestDatabase) {
    let directory = tempfile::TempDir::new().unwrap();
    let one = Program::serve(&database, directory.path()).await;
    let two = Program::serve(&database, directory.path()).await;
    let user = User::register(connect(one.address).await, "one@example.org").await;
    let mut here = user.tasks(connect(one.address).await);
    let mut there = user.tasks(connect(two.address).await);
    let mut stream = here.watch_tasks(watching(None)).await.unwrap().into_inner();
    let delay = mean_delay(&mut there, &mut stream, 5).await;
    assert!(delay < Duration::from_secs(1), "{delay:?}");

    // One that is killed loses nothing that it has answered, and the other goes on.
    drop(two);
    let made = create(&mut here, "after").await;
    assert_eq!(next_change(&mut stream).await.task, Some(made));
    assert_eq!(changes(&mut here, 0).await.len(), 6);
}
