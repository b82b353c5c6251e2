//! Changes as they happen: printed at once, without a gap over a restart, until somebody has seen enough.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;
use tonic_health::pb::health_check_response::ServingStatus;

use super::World;
use crate::support::database::TestDatabase;
use crate::support::process::Service;
use crate::support::{both_engines, one_engine};

both_engines!(a_restart_is_survived_without_a_gap);
one_engine!(Sqlite: changes_are_told_in_words, it_begins_where_it_is_told, it_ends_quietly);

const PATIENCE: Duration = Duration::from_secs(60);

/// A program that goes on printing. It goes with this.
pub(super) struct Printing {
    child: Child,
    lines: Receiver<String>,
}

impl Printing {
    pub(super) fn start(world: &World, arguments: &[&str]) -> Self {
        Self::with(world, arguments, &[])
    }

    /// As `start`, with variables of the environment.
    pub(super) fn with(world: &World, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = world.command();
        command.args(arguments).envs(variables.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    pub(super) fn line(&mut self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("nothing is printed")
    }

    pub(super) fn next(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    /// Sends a signal and waits for the end.
    fn signalled(mut self, name: &str) -> std::process::ExitStatus {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
        self.child.wait().unwrap()
    }
}

impl Drop for Printing {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn a_restart_is_survived_without_a_gap(database: TestDatabase) {
    let mut world = World::start(database).await;
    world.add("Before");
    let mut watch = Printing::start(&world, &["task", "watch", "--from", "0"]);
    assert_eq!(watch.next()["task"]["title"], "Before");
    world.add("First");
    let first = watch.next();
    assert_eq!((&first["type"], &first["task"]["title"]), (&"TYPE_CREATED".into(), &"First".into()));

    let mut revision = 2;
    for signal in ["KILL", "TERM"] {
        world = restarted(world, signal).await;
        for number in 0..3 {
            let title = format!("After {signal} {number}");
            world.add(&title);
            revision += 1;
            let change = watch.next();
            assert_eq!(change["task"]["title"], title);
            assert_eq!(change["revision"], revision.to_string());
        }
    }
}

/// The same service, on the same port.
async fn restarted(world: World, signal: &str) -> World {
    let World { sandbox, service, database } = world;
    let Service { mut running, address, .. } = service;
    running.signal(signal);
    running.end();
    let mut command = sandbox.command();
    command.args(["serve", "--listen", &address.to_string(), "--database-url", &database.url]);
    let service = Service::start({
        command.args(["--signing-key-file", "key.pem"]);
        command
    });
    service.wait_until(ServingStatus::Serving).await;
    World { sandbox, service, database }
}

async fn changes_are_told_in_words(database: TestDatabase) {
    let world = World::start(database).await;
    let mut watch = Printing::start(&world, &["task", "watch", "--from", "0", "--table"]);
    let id = world.add("Buy milk");
    for arguments in [
        &["task", "edit", &id, "--title", "Buy oat milk", "--priority", "high"][..],
        &["task", "done", &id],
        &["task", "edit", &id, "--open"],
        &["task", "rm", &id],
        &["task", "restore", &id],
    ] {
        world.answer(arguments);
    }
    for (what, rest) in [
        ("added", "Buy milk"),
        ("changed", "Buy oat milk  (title, priority)"),
        ("done", "Buy oat milk"),
        ("reopened", "Buy oat milk"),
        ("deleted", "Buy oat milk"),
        ("restored", "Buy oat milk"),
    ] {
        let line = watch.line();
        let (time, told) = line.split_at(8);
        assert_eq!(time.matches(':').count(), 2, "{line}");
        assert_eq!(told, format!("  {what:>8}  {id}  {rest}"));
    }
}

async fn it_begins_where_it_is_told(database: TestDatabase) {
    let world = World::start(database).await;
    for title in ["One", "Two", "Three"] {
        world.add(title);
    }
    let mut watch = Printing::start(&world, &["task", "watch", "--from", "1"]);
    assert_eq!(watch.next()["task"]["title"], "Two");
    assert_eq!(watch.next()["task"]["title"], "Three");
    let future = world.run(["task", "watch", "--from", "99"]);
    assert_eq!(future.status, Some(1));
    assert!(future.stderr.contains("REVISION_IN_FUTURE"), "{}", future.stderr);
    assert_eq!(world.run(["task", "watch", "--from", "-1"]).status, Some(64));
    assert_eq!(world.run(["task", "watch", "--from", "1", "--state"]).status, Some(64));
}

async fn it_ends_quietly(database: TestDatabase) {
    let world = World::start(database).await;
    world.add("Buy milk");
    let mut watch = Printing::start(&world, &["task", "watch", "--state"]);
    assert_eq!(watch.next()["title"], "Buy milk");
    assert_eq!(watch.signalled("INT").code(), Some(130));

    // `head` has seen enough after one line: the second one has nowhere to go.
    let mut command = super::at_home(
        world.sandbox.shell(r#"("$0" "$@" 2>errors; echo $? >status) | head -n 1"#),
        &world.sandbox,
        &world.address(),
    );
    command.args(["task", "watch", "--from", "0"]).stdout(Stdio::piped());
    let child = command.spawn().unwrap();
    // Changes come until the pipe is noticed to be closed.
    let child = std::thread::spawn(move || child.wait_with_output().unwrap());
    let begin = std::time::Instant::now();
    while !child.is_finished() && begin.elapsed() < PATIENCE {
        world.add("More");
    }
    let output = child.join().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1);
    let written = |name| std::fs::read_to_string(world.sandbox.path(name)).unwrap();
    assert_eq!((written("status").as_str(), written("errors").as_str()), ("0\n", ""));
}
