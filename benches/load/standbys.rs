//! What standbys take off the primary: the same reads with and without them, in turns.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::cpu::Meter;
use crate::load::{self, Callers, Meters, Sample};
use crate::plan::{Engine, Work};
use crate::postgres::Postgres;
use crate::stand::Stand;
use crate::{Options, Result, process};

const START_MAX: Duration = Duration::from_secs(60);
/// How long a service looks for its standbys before it is asked anything.
const LOOK: Duration = Duration::from_secs(2);

/// A standby of the server that the benchmark runs on. It is stopped and removed with this.
struct Standby {
    programs: PathBuf,
    directory: tempfile::TempDir,
    port: u16,
}

impl Standby {
    async fn start(programs: &Path, primary: &url::Url) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("taskwire-bench.").tempdir()?;
        if let Some((user, group)) = unprivileged() {
            std::os::unix::fs::chown(directory.path(), Some(user), Some(group))?;
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let standby = Self { programs: programs.to_owned(), directory, port };
        let host = primary.host_str().ok_or("the server has no host")?;
        let primary_port = primary.port().unwrap_or(5432).to_string();
        let user = if primary.username().is_empty() { "postgres" } else { primary.username() };
        let mut copy = standby.command("pg_basebackup");
        copy.args(["-h", host, "-p", &primary_port, "-U", user, "-R", "-c", "fast", "-D", "data"]);
        process::run(&mut copy, START_MAX).await?;
        let settings = standby.directory.path().join("data/postgresql.auto.conf");
        let text = std::fs::read_to_string(&settings)?;
        let ours = format!("port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n");
        std::fs::write(&settings, format!("{text}\n{ours}"))?;
        let mut start = standby.command("pg_ctl");
        // What it says goes to its log: whoever waited for the end of a pipe would wait for the server's.
        start.args(["start", "-s", "-w", "-D", "data", "-l", "server.log"]);
        let status = start.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        if status.success() { Ok(standby) } else { Err(format!("a standby does not start: {status}").into()) }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.directory.path()).stdin(Stdio::null());
        let libraries = self.programs.join("../lib");
        if libraries.join("libpq.so.5").exists() {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        if let Some((user, group)) = unprivileged() {
            command.uid(user).gid(group);
        }
        command
    }

    fn meter(&self) -> Option<Meter> {
        let pid = std::fs::read_to_string(self.directory.path().join("data/postmaster.pid")).ok()?;
        Some(Meter::Family(pid.lines().next()?.parse().ok()?))
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        let mut stop = self.command("pg_ctl");
        let _ = stop.args(["stop", "-s", "-m", "immediate", "-D", "data"]).stderr(Stdio::null()).status();
    }
}

/// Whom to become when we are root: PostgreSQL does not run as root. User and group.
fn unprivileged() -> Option<(u32, u32)> {
    if !rustix::process::getuid().is_root() {
        return None;
    }
    let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
    ["postgres", "nobody"].into_iter().find_map(|name| {
        let mut fields =
            accounts.lines().find(|line| line.split(':').next() == Some(name))?.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}

/// Prints a table: what each kind of read costs whom.
pub(crate) async fn measure(options: &Options, count: u8) -> Result<()> {
    let postgres = Postgres::create().await?;
    let measured = on_standbys(options, &postgres, count).await;
    let dropped = postgres.drop_database().await;
    measured?;
    dropped
}

async fn on_standbys(options: &Options, postgres: &Postgres, count: u8) -> Result<()> {
    let directory = tempfile::Builder::new().prefix("taskwire-bench.").tempdir()?;
    let stand = Stand::build(options, Engine::Postgres, directory.path(), Some(postgres)).await?;
    let primary = url::Url::parse(&postgres.url)?;
    let (mut standbys, mut urls) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let standby = Standby::start(&postgres.programs, &primary).await?;
        let mut url = primary.clone();
        url.set_port(Some(standby.port)).map_err(|()| "a URL without a port")?;
        urls.push(url.to_string());
        standbys.push(standby);
    }
    let urls = urls.join(",");
    let meters = [standbys.first().and_then(Standby::meter), standbys.get(1).and_then(Standby::meter)];
    load::head("primary", "standbys");
    for work in [Work::Get, Work::List] {
        for _ in 0..options.repeat {
            for (name, urls) in [("primary", ""), ("standbys", urls.as_str())] {
                one(options, &stand, postgres, work, urls, meters).await?.row(name, work);
            }
        }
    }
    Ok(())
}

async fn one(
    options: &Options,
    stand: &Stand,
    postgres: &Postgres,
    work: Work,
    urls: &str,
    standbys: [Option<Meter>; 2],
) -> Result<Sample> {
    let server = stand.serve_with(options, &["--read-urls", urls]).await?;
    if !urls.is_empty() {
        tokio::time::sleep(LOOK).await;
    }
    let connections = options.callers.min(options.channels.into());
    let callers = Callers { server: server.address, count: options.callers, connections };
    let meters = Meters { service: Some(server.meter()), database: postgres.meter, standbys };
    // Every user has more changes than that.
    let options = Options { min_revision: Some(1), ..options.clone() };
    let sample = load::measure(&options, work, &stand.world, callers, meters).await?;
    server.stop().await?;
    Ok(sample)
}
