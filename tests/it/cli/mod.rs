//! `taskwire` as a client of the service: what a person types, and what a script reads, as processes of their own.

mod account;
mod by_mail;
mod completions;
mod credentials;
mod export;
mod interchange;
mod lists;
mod output;
mod sessions;
mod task_lists;
mod tasks;
mod terminal;
mod transport;
mod watch;
mod webhooks;

use std::ffi::OsStr;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::support::database::TestDatabase;
use crate::support::process::{Ended, Running, Sandbox, Service};

const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "canary-correct-horse";

/// A service, and somebody at home who calls it.
struct World {
    sandbox: Sandbox,
    service: Service,
    database: TestDatabase,
}

impl World {
    /// A service to which nobody is logged in.
    async fn new(database: TestDatabase, arguments: &[&str]) -> Self {
        let sandbox = Sandbox::new();
        let made = sandbox.run(["keys", "generate", "--out", "key.pem"]);
        assert_eq!(made.status, Some(0), "{}", made.stderr);
        let place = ["--database-url", &database.url, "--signing-key-file", "key.pem"];
        let service = sandbox.serve(&[&place, arguments].concat());
        service.wait_until(ServingStatus::Serving).await;
        Self { sandbox, service, database }
    }

    /// A service to which Ada is logged in.
    async fn start(database: TestDatabase) -> Self {
        let world = Self::new(database, &[]).await;
        world.register(EMAIL);
        world
    }

    /// The address of the service.
    fn address(&self) -> String {
        format!("http://{}", self.service.address)
    }

    /// The program as it is run at home.
    fn command(&self) -> Command {
        at_home(self.sandbox.command(), &self.sandbox, &self.address())
    }

    /// Runs the program to its end, with variables of the environment.
    fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
        let mut command = self.command();
        command.args(arguments).envs(variables.iter().copied());
        Running::spawn(command).end()
    }

    /// Runs the program to its end.
    fn run<Argument: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = Argument>) -> Ended {
        let mut command = self.command();
        command.args(arguments);
        Running::spawn(command).end()
    }

    /// Runs the program to its end with something to read.
    fn typed(&self, arguments: &[&str], input: &str) -> Ended {
        let mut command = self.command();
        command.args(arguments).stdin(Stdio::from(File::open(self.sandbox.write("input", input)).unwrap()));
        Running::spawn(command).end()
    }

    /// Registers an account and logs in to it.
    fn register(&self, email: &str) {
        let ended = self.typed(&["register", email], &format!("{PASSWORD}\n"));
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    }

    /// What the program prints for people, when all goes well.
    fn told(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments.iter().chain(&["--table"]));
        assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""), "{arguments:?}: {}", ended.stdout);
        ended.stdout
    }

    /// What the program prints for programs, when all goes well: an object a line.
    fn answers(&self, arguments: &[&str]) -> Vec<Value> {
        let ended = self.run(arguments);
        assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""), "{arguments:?}: {}", ended.stdout);
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The only answer.
    fn answer(&self, arguments: &[&str]) -> Value {
        let answers = self.answers(arguments);
        assert_eq!(answers.len(), 1, "{arguments:?}: {answers:?}");
        answers.into_iter().next().unwrap()
    }

    /// Adds a task and answers the end of its id, as the table shows it.
    fn add(&self, title: &str) -> String {
        short(&self.answer(&["task", "add", title]))
    }

    /// The titles that a list prints.
    fn titles(&self, arguments: &[&str]) -> Vec<String> {
        let answers = self.answers(&[&["task", "list"], arguments].concat());
        answers.iter().map(|task| task["title"].as_str().unwrap().to_owned()).collect()
    }

    /// Where the logins are kept.
    fn credentials(&self) -> PathBuf {
        self.sandbox.path("home/.config/taskwire/credentials.json")
    }

    /// The logins as they are kept.
    fn kept(&self) -> Value {
        serde_json::from_str(&std::fs::read_to_string(self.credentials()).unwrap()).unwrap()
    }

    /// The session that is kept for the service.
    fn session(&self) -> Value {
        self.kept()["services"][self.address()]["session"].clone()
    }
}

/// The program with a home of its own, in UTC.
fn at_home(mut command: Command, sandbox: &Sandbox, address: &str) -> Command {
    for name in ["XDG_CONFIG_HOME", "NO_COLOR", "COLUMNS"] {
        command.env_remove(name);
    }
    command
        .env("HOME", sandbox.path("home"))
        .env("TASKWIRE_ADDRESS", address)
        .env("TZ", "UTC")
        .env("TERM", "xterm");
    command
}

/// The end of a task's id.
fn short(task: &Value) -> String {
    let name = task["name"].as_str().unwrap();
    name[name.len() - 8..].to_owned()
}
