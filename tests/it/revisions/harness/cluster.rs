//! A PostgreSQL cluster that one test has for itself, to be stopped, started and set up as it likes.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::database::Raw;

/// The cluster. It is stopped and removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Cluster {
    bin: PathBuf,
    directory: TempDir,
    port: u16,
}

impl Cluster {
    /// A new cluster, running, with these lines at the end of its configuration; `None` when there are no programs
    /// to make it with and none are required.
    pub(crate) async fn start(settings: &str) -> Option<Self> {
        let bin = std::env::var("TASKWIRE_TEST_POSTGRES_BIN").ok().filter(|bin| !bin.is_empty());
        let required = std::env::var("TASKWIRE_REQUIRE_POSTGRES").is_ok_and(|value| value == "1");
        assert!(bin.is_some() || !required, "TASKWIRE_TEST_POSTGRES_BIN names no programs");
        let Some(bin) = bin else {
            println!("skipped: TASKWIRE_TEST_POSTGRES_BIN names no programs");
            return None;
        };
        let directory = TempDir::new().unwrap();
        if let Some((user, group)) = unprivileged() {
            std::os::unix::fs::chown(directory.path(), Some(user), Some(group)).unwrap();
        }
        let cluster = Self { bin: bin.into(), directory, port: free_port() };
        let data = cluster.data();
        let locale = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"];
        cluster.run("initdb", |command| command.args(locale).arg(&data));
        let lines = format!(
            "{}\nlisten_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '..'\n\
             fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n{settings}\n",
            std::fs::read_to_string(data.join("postgresql.conf")).unwrap(),
            cluster.port,
        );
        std::fs::write(data.join("postgresql.conf"), lines).unwrap();
        cluster.resume();
        Some(cluster)
    }

    /// A standby that follows this one, asynchronously unless the settings of this one say otherwise.
    pub(crate) fn standby(&self) -> Self {
        let directory = TempDir::new().unwrap();
        if let Some((user, group)) = unprivileged() {
            std::os::unix::fs::chown(directory.path(), Some(user), Some(group)).unwrap();
        }
        let standby = Self { bin: self.bin.clone(), directory, port: free_port() };
        let (data, port) = (standby.data(), self.port.to_string());
        standby.run("pg_basebackup", |command| {
            command.args(["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-R", "-c", "fast", "-N", "-D"]);
            command.arg(&data)
        });
        let file = data.join("postgresql.conf");
        let lines = std::fs::read_to_string(&file).unwrap();
        std::fs::write(file, format!("{lines}\nport = {}\n", standby.port)).unwrap();
        standby.resume();
        standby
    }

    /// Makes a primary of a standby.
    pub(crate) fn promote(&self) {
        let data = self.data();
        self.run("pg_ctl", |command| command.args(["promote", "-s", "-w", "-D"]).arg(&data));
    }

    /// Stops it and starts it again as a server in recovery, which can only be read.
    pub(crate) fn demote(&self) {
        self.halt();
        std::fs::write(self.data().join("standby.signal"), "").unwrap();
        self.resume();
    }

    /// Ends it at once, as a crash does.
    pub(crate) fn crash(&self) {
        let data = self.data();
        self.run("pg_ctl", |command| command.args(["stop", "-s", "-w", "-m", "immediate", "-D"]).arg(&data));
    }

    /// Stops all its processes where they stand, or lets them go on: `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let file = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let Some(postmaster) = file.lines().next() else { return };
        let is_below = |process: &str| {
            let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1));
            process == postmaster || parent == Some(postmaster)
        };
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let all = all.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| is_below(name));
        let _ = Command::new("kill").arg(format!("-{name}")).args(all).status();
    }

    /// Writes a file beside its configuration, for its eyes alone.
    pub(crate) fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let file = self.data().join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        if let Some((user, group)) = unprivileged() {
            std::os::unix::fs::chown(&file, Some(user), Some(group)).unwrap();
        }
    }

    /// The port on which it listens.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Where the database is that every cluster has.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// A connection to it past the storage, and past what it asks of connections over the network.
    pub(crate) async fn raw(&self) -> Raw {
        let mut config = tokio_postgres::Config::new();
        config.host_path(self.directory.path()).port(self.port).user("postgres").dbname("postgres");
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        Raw::Postgres(client)
    }

    /// Stops it, with every connection.
    pub(crate) fn halt(&self) {
        let data = self.data();
        self.run("pg_ctl", |command| command.args(["stop", "-s", "-w", "-m", "fast", "-D"]).arg(&data));
    }

    /// Starts it again.
    pub(crate) fn resume(&self) {
        let (data, log) = (self.data(), self.directory.path().join("server.log"));
        self.run("pg_ctl", |command| {
            command.args(["start", "-s", "-w", "-D"]).arg(&data).arg("-l").arg(&log)
        });
    }

    /// Whether the server programs come with this library to be loaded.
    pub(crate) fn has_library(name: &str) -> bool {
        let Ok(bin) = std::env::var("TASKWIRE_TEST_POSTGRES_BIN") else { return false };
        let file = format!("{name}.so");
        let prefix = Path::new(&bin).parent().unwrap_or(Path::new("/")).to_owned();
        ["lib", "lib/postgresql", "lib64"].iter().any(|directory| prefix.join(directory).join(&file).exists())
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Runs one of the programs to its end, as a user that PostgreSQL accepts.
    fn run(&self, program: &str, arguments: impl FnOnce(&mut Command) -> &mut Command) {
        let status = self.command(program, arguments).status().unwrap();
        let log = std::fs::read_to_string(self.directory.path().join("server.log")).unwrap_or_default();
        assert!(status.success(), "{program}: {status}\n{log}");
    }

    fn command(&self, program: &str, arguments: impl FnOnce(&mut Command) -> &mut Command) -> Command {
        let mut command = Command::new(self.bin.join(program));
        arguments(&mut command);
        command.current_dir(self.directory.path()).env("LC_ALL", "C").env("TZ", "UTC");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        // Programs that bring their own library are not to find the system's, which may be of another version.
        let libraries = self.bin.join("../lib");
        if libraries.join("libpq.so.5").exists() {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        if let Some((user, group)) = unprivileged() {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.signal("CONT");
        let data = self.data();
        // It may be halted already, and a test that is over does not fail for its remains.
        let _ = self
            .command("pg_ctl", |command| {
                command.args(["stop", "-s", "-w", "-m", "immediate", "-D"]).arg(&data)
            })
            .stderr(Stdio::null())
            .status();
    }
}

/// A port that was free a moment ago. Below the range that the system gives out by itself, so that it stays so.
fn free_port() -> u16 {
    let mut random = super::random::Random::from_clock();
    loop {
        let port = 12_000 + u16::try_from(random.below(8_000)).unwrap();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Whom to become when we are root: PostgreSQL does not run as root. User and group.
fn unprivileged() -> Option<(u32, u32)> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let is_root = status.lines().any(|line| line.starts_with("Uid:\t0\t"));
    if !is_root {
        return None;
    }
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap();
    let account = |name: &str| {
        let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    account("postgres").or_else(|| account("nobody"))
}
