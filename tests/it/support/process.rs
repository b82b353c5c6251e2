//! The program as a process of its own: in a directory of its own, without the settings of whoever runs the tests.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use taskwire::pb::task_service_client::TaskServiceClient;
use taskwire::pb::user_service_client::UserServiceClient;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Longer than anything takes, even while the machine is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test: the one that is named, as `make soak` names a release build, else the one built with the tests.
pub(crate) fn program() -> String {
    std::env::var("TASKWIRE_TEST_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_taskwire").to_owned())
}

/// A directory in which the program runs.
#[derive(Debug)]
pub(crate) struct Sandbox {
    directory: TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit status; absent when a signal ended the process.
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Ended {
    /// What the program says about a failure, without its log.
    pub(crate) fn complaints(&self) -> Vec<&str> {
        self.stderr.lines().filter_map(|line| line.strip_prefix("taskwire: ")).collect()
    }
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self { directory: TempDir::new().unwrap() }
    }

    /// Where a file of this name lies.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// As `path`, as text.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Writes a file that only its owner may read.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut options = std::fs::OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        self.text(name)
    }

    /// The program, in this directory.
    pub(crate) fn command(&self) -> Command {
        self.prepared(Command::new(program()))
    }

    /// The program run by a line of `sh`, in which it is called `"$0" "$@"`.
    pub(crate) fn shell(&self, line: &str) -> Command {
        let mut command = self.prepared(Command::new("sh"));
        command.args(["-c", line, &program()]);
        command
    }

    fn prepared(&self, mut command: Command) -> Command {
        command.current_dir(self.directory.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TASKWIRE_") {
                command.env_remove(name);
            }
        }
        // The port is one for the whole machine, and tests run side by side.
        command.env("TASKWIRE_ADMIN_LISTEN", "off");
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run<Argument: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = Argument>) -> Ended {
        let mut command = self.command();
        command.args(arguments);
        Running::spawn(command).end()
    }

    /// Runs the program to its end with something to read.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Ended {
        let mut command = self.command();
        command.args(arguments).stdin(Stdio::piped());
        let mut running = Running::spawn(command);
        // A program that refuses its arguments ends without reading: that is no failure of the test.
        match running.child.stdin.take().unwrap().write_all(input.as_bytes()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => panic!("{error}"),
            _ => {}
        }
        running.end()
    }

    /// Starts the service on a free port and waits until it listens.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Service {
        let mut command = self.command();
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(arguments);
        Service::start(command)
    }
}

/// A process under way. It goes with this.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    begin: Instant,
    lines: Receiver<String>,
    seen: Vec<String>,
    stdout: Option<JoinHandle<String>>,
}

impl Running {
    pub(crate) fn spawn(mut command: Command) -> Self {
        let begin = Instant::now();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
            }
        });
        let mut stdout = child.stdout.take().unwrap();
        let stdout = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stdout.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Self { child, begin, lines, seen: Vec::new(), stdout: Some(stdout) }
    }

    /// Waits for a line on standard error that contains this text.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        loop {
            match self.next_line() {
                Some(line) if line.contains(text) => return line,
                Some(_) => {}
                None => panic!("the process ended before it said {text:?}:\n{}", self.seen.join("\n")),
            }
        }
    }

    /// The next line on standard error; `None` once there is no more.
    fn next_line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                self.seen.push(line.clone());
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("the process neither speaks nor ends:\n{}", self.seen.join("\n"))
            }
        }
    }

    /// What it says until it ends.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        while self.next_line().is_some() {}
        std::mem::take(&mut self.seen)
    }

    /// Whether it has ended: nobody writes to its standard output any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.stdout.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Ended {
        while self.next_line().is_some() {}
        let status = self.child.wait().unwrap().code();
        let took = self.begin.elapsed();
        let stdout = self.stdout.take().unwrap().join().unwrap();
        let stderr = self.seen.join("\n");
        assert!(!stderr.contains("panicked"), "{stderr}");
        Ended { status, stdout, stderr, took }
    }

    /// The id of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, as in `TERM`.
    pub(crate) fn signal(&mut self, name: &str) {
        // As long as the child was not waited for, its id is nobody else's.
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A service that listens.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) running: Running,
    pub(crate) address: SocketAddr,
    /// Where the admin port is, for those who ask for one with `--admin-listen`.
    pub(crate) admin: Option<SocketAddr>,
}

impl Service {
    /// Starts a command that serves, and waits until it listens.
    pub(crate) fn start(command: Command) -> Self {
        Self::listening(Running::spawn(command))
    }

    /// Waits until a process that serves listens.
    pub(crate) fn listening(mut running: Running) -> Self {
        let line = running.wait_for("taskwire is listening");
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = line["address"].as_str().unwrap().parse().unwrap();
        let admin = line["admin"].as_str().map(|admin| admin.parse().unwrap());
        Self { running, address, admin }
    }

    pub(crate) async fn connect(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint.connect().await.unwrap()
    }

    pub(crate) async fn users(&self) -> UserServiceClient<Channel> {
        UserServiceClient::new(self.connect().await)
    }

    pub(crate) async fn tasks(&self) -> TaskServiceClient<Channel> {
        TaskServiceClient::new(self.connect().await)
    }

    /// What the service says of its health now.
    pub(crate) async fn health(&self) -> ServingStatus {
        let mut client = HealthClient::new(self.connect().await);
        let request = HealthCheckRequest { service: String::new() };
        client.check(request).await.unwrap().into_inner().status()
    }

    /// Waits until the service says this of its health, which it tells by itself.
    pub(crate) async fn wait_until(&self, wanted: ServingStatus) {
        let mut client = HealthClient::new(self.connect().await);
        let request = HealthCheckRequest { service: String::new() };
        let mut told = client.watch(request).await.unwrap().into_inner();
        let waiting = async {
            while let Some(answer) = told.message().await.unwrap() {
                if answer.status() == wanted {
                    return;
                }
            }
            panic!("the watch ended before {wanted:?}");
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    }

    /// Asks the service to stop and waits for its end.
    pub(crate) fn stop(mut self) -> Ended {
        self.running.signal("TERM");
        self.running.end()
    }
}
