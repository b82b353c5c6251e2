//! A PostgreSQL cluster that one test has for itself, to be stopped, started and set up as it likes.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::storage::eventually;
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
        let cluster = Self::create(settings)?;
        cluster.resume();
        Some(cluster)
    }

    /// As `start`, but it does not run yet: a test may lay files beside its configuration before.
    pub(crate) fn create(settings: &str) -> Option<Self> {
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
        cluster.configure(&format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '..'\n\
             fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n\
             wal_keep_size = '64MB'\nwal_retrieve_retry_interval = '100ms'\n{settings}",
            cluster.port,
        ));
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
        standby.configure(&format!("port = {}", standby.port));
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

    /// Waits until a standby has replayed all that this one has written so far.
    pub(crate) async fn caught_up(&self, standby: &Self) {
        let written = self.raw().await.query_texts("select pg_current_wal_insert_lsn()").await.remove(0);
        let mut standby = standby.raw().await;
        let replayed = format!("select pg_last_wal_replay_lsn() >= '{written}'");
        eventually("the standby has caught up", async || standby.query_texts(&replayed).await == ["t"]).await;
    }

    /// Turns it into a standby of another one, as whoever runs a switchover does: all connections end. Between two that
    /// were never apart it goes so: `halt` this one, `promote` the other, and this.
    pub(crate) fn follow(&self, primary: &Self) {
        let signal = self.data().join("standby.signal");
        std::fs::write(&signal, "").unwrap();
        let primary = format!("host=127.0.0.1 port={} user=postgres", primary.port);
        self.configure(&format!("synchronous_standby_names = ''\nprimary_conninfo = '{primary}'"));
        self.resume();
    }

    /// Makes every transaction read-only from the next one on, or takes that back, while all connections stay.
    pub(crate) async fn set_read_only(&self, is_read_only: bool) {
        let value = if is_read_only { "on" } else { "off" };
        self.configure(&format!("default_transaction_read_only = {value}"));
        self.reload();
        let mut raw = self.raw().await;
        // Sessions read it each by itself; a new one is asked until it has come to the server.
        eventually("the setting has arrived", async || {
            raw.query_texts("show default_transaction_read_only").await == [value]
        })
        .await;
    }

    /// Adds lines to its configuration, which win over those before.
    pub(crate) fn configure(&self, settings: &str) {
        let path = self.data().join("postgresql.conf");
        let lines = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{lines}\n{settings}\n")).unwrap();
    }

    /// Has the server read its configuration again.
    pub(crate) fn reload(&self) {
        let data = self.data();
        self.run("pg_ctl", |command| command.args(["reload", "-s", "-D"]).arg(&data));
    }

    /// What it has written down so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("server.log")).unwrap_or_default()
    }

    /// The directory of its Unix socket.
    pub(crate) fn socket_directory(&self) -> &Path {
        self.directory.path()
    }

    /// Ends it as a loss of power would: every process at once, nothing said to anybody.
    pub(crate) async fn kill(&self) {
        // Stopped first, so that it starts no others meanwhile.
        self.signal("STOP");
        self.signal("KILL");
        eventually("the server is dead", async || !self.is_running()).await;
    }

    fn is_running(&self) -> bool {
        let file = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let stat = format!("/proc/{}/stat", file.lines().next().unwrap_or("none"));
        // One that is dead and not yet waited for is of no use any more.
        std::fs::read_to_string(stat).is_ok_and(|stat| !stat.contains(") Z "))
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

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Where the database is that every cluster has.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// A connection to it past the storage, and past what it asks of connections over the network.
    pub(crate) async fn raw(&self) -> Raw {
        self.raw_in("postgres").await
    }

    /// As `raw`, in another database.
    pub(crate) async fn raw_in(&self, database: &str) -> Raw {
        let mut config = tokio_postgres::Config::new();
        config.host_path(self.directory.path()).port(self.port).user("postgres").dbname(database);
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

    /// Whether the server can do TLS; says so when it cannot.
    pub(crate) fn has_tls() -> bool {
        let Ok(bin) = std::env::var("TASKWIRE_TEST_POSTGRES_BIN") else { return true };
        // Where the program is missing, the server's package is a distribution's, and those can.
        let Ok(output) = Command::new(Path::new(&bin).join("pg_config")).arg("--configure").output() else {
            return true;
        };
        let can = String::from_utf8_lossy(&output.stdout).contains("openssl");
        if !can {
            println!("skipped: the PostgreSQL server is made without TLS");
        }
        can
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
