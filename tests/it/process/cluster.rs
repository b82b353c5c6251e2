//! A PostgreSQL server that a test may stop and start, unlike the one that all tests share. It asks for a password.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// The password of the superuser.
pub(super) const PASSWORD: &str = "canary-database-password";

/// The server. It goes with this.
pub(super) struct Cluster {
    programs: PathBuf,
    directory: TempDir,
    /// Whom the server runs as: PostgreSQL refuses to be root.
    user: Option<(u32, u32)>,
    pub(super) port: u16,
}

impl Cluster {
    /// Makes a server that does not run yet; `None` when its programs are not known.
    pub(super) fn create() -> Option<Self> {
        let Some(programs) = std::env::var_os("TASKWIRE_TEST_POSTGRES_BIN").filter(|path| !path.is_empty())
        else {
            let required = std::env::var("TASKWIRE_REQUIRE_POSTGRES").is_ok_and(|value| value == "1");
            assert!(!required, "TASKWIRE_TEST_POSTGRES_BIN names no programs, but a server is required");
            println!("skipped: TASKWIRE_TEST_POSTGRES_BIN names no programs");
            return None;
        };
        // Not below the temporary directory of the tests, which the server's user may not be able to enter.
        let directory = TempDir::with_prefix_in("taskwire-cluster.", "/tmp").unwrap();
        let is_root = std::fs::metadata(directory.path()).unwrap().uid() == 0;
        let user = is_root.then(|| ["postgres", "nobody"].into_iter().find_map(ids)).flatten();
        if let Some((user, group)) = user {
            chown(directory.path(), Some(user), Some(group)).unwrap();
        }
        // Free now, and so low that the system does not give it to somebody else by itself.
        let port = (0..100)
            .map(|offset| 32_000 + u16::try_from(std::process::id() % 500).unwrap() + offset)
            .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
            .unwrap();
        let cluster = Self { programs: programs.into(), directory, user, port };
        std::fs::write(cluster.directory.path().join("password"), PASSWORD).unwrap();
        cluster
            .program("initdb", &["-U", "postgres", "-A", "scram-sha-256", "--pwfile=password", "--no-sync"]);
        Some(cluster)
    }

    pub(super) fn url(&self, password: &str) -> String {
        format!("postgres://postgres:{password}@127.0.0.1:{}/postgres", self.port)
    }

    pub(super) fn start(&self) {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off",
            self.port
        );
        self.program("pg_ctl", &["start", "-s", "-w", "-l", "server.log", "-o", &options]);
    }

    /// Stops it and throws everybody out.
    pub(super) fn stop(&self) {
        self.program("pg_ctl", &["stop", "-s", "-w", "-m", "fast"]);
    }

    fn program(&self, name: &str, arguments: &[&str]) {
        let status = self.command(name, arguments).status().unwrap();
        let log = std::fs::read_to_string(self.directory.path().join("server.log")).unwrap_or_default();
        assert!(status.success(), "{name}: {status}\n{log}");
    }

    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.args(["-D", "data"]).args(arguments).current_dir(self.directory.path());
        command.env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.command("pg_ctl", &["stop", "-s", "-w", "-m", "immediate"]).status();
    }
}

/// User and group of an account on this machine.
fn ids(name: &str) -> Option<(u32, u32)> {
    let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
    let account = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = account.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}
