//! Programs that are started, watched and stopped: the service and the bare server.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::Result;
use crate::cpu::Meter;

const START_MAX: Duration = Duration::from_secs(20);
const STOP_MAX: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(1);

/// A program under way. Dropping it ends it.
#[derive(Debug)]
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    async fn ended(&mut self, within: Duration) -> Result<Option<ExitStatus>> {
        let begin = Instant::now();
        while begin.elapsed() < within {
            if let Some(status) = self.0.try_wait()? {
                return Ok(Some(status));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(None)
    }
}

/// A server that answers gRPC on an address of its own.
#[derive(Debug)]
pub(crate) struct Server {
    running: Running,
    log: PathBuf,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// From the start of the process until it said that it serves.
    pub(crate) started_in: Duration,
}

impl Server {
    /// Starts a program that says on standard error, in JSON, where it is listening, and waits until its health
    /// is SERVING.
    pub(crate) async fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let begin = Instant::now();
        // A file, as a service manager would have it: a pipe would cost this process the reading.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(log)?);
        let mut running = Running(command.spawn()?);
        let started = tokio::time::timeout(START_MAX, async {
            let address = loop {
                if let Some(address) = listening(log) {
                    break address;
                }
                if let Some(status) = running.0.try_wait()? {
                    let said = std::fs::read_to_string(log).unwrap_or_default();
                    return Result::Err(format!("a server ended at start ({status}): {said}").into());
                }
                tokio::time::sleep(POLL).await;
            };
            wait_until_serving(address).await?;
            Result::Ok(address)
        });
        let address = started.await.map_err(|_| "a server did not start in time")??;
        Ok(Self { running, log: log.to_owned(), address, started_in: begin.elapsed() })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.0.id()
    }

    pub(crate) fn meter(&self) -> Meter {
        Meter::Process(self.pid())
    }

    /// A connection to it, for what is not measured.
    pub(crate) async fn channel(&self) -> Result<Channel> {
        Ok(endpoint(self.address)?.connect().await?)
    }

    /// Asks it to stop, as a service manager would, and waits until it has.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.pid())?;
        let pid = rustix::process::Pid::from_raw(pid).ok_or("a process without an id")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status = self.running.ended(STOP_MAX).await?.ok_or("a server did not stop in time")?;
        // One line per call: it is long.
        let _ = std::fs::remove_file(&self.log);
        if status.success() { Ok(()) } else { Err(format!("a server stopped with {status}").into()) }
    }
}

/// Runs a program to its end, which must be a good one.
pub(crate) async fn run(command: &mut Command, within: Duration) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running(piped.spawn()?);
    let status = running.ended(within).await?.ok_or_else(|| format!("{program} took too long"))?;
    let mut output = Output { status, stdout: Vec::new(), stderr: Vec::new() };
    // What it writes fits into the pipes; it has ended.
    if let Some(mut stdout) = running.0.stdout.take() {
        std::io::Read::read_to_end(&mut stdout, &mut output.stdout)?;
    }
    if let Some(mut stderr) = running.0.stderr.take() {
        std::io::Read::read_to_end(&mut stderr, &mut output.stderr)?;
    }
    if !status.success() {
        return Err(format!("{program}: {status}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(output)
}

fn endpoint(address: SocketAddr) -> Result<Endpoint> {
    Ok(Endpoint::from_shared(format!("http://{address}"))?)
}

/// The address in the line `taskwire is listening`.
fn listening(log: &Path) -> Option<SocketAddr> {
    let text = std::fs::read_to_string(log).ok()?;
    text.lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find(|line| line["message"] == "taskwire is listening")?["address"]
        .as_str()?
        .parse()
        .ok()
}

async fn wait_until_serving(address: SocketAddr) -> Result<()> {
    let channel = endpoint(address)?.connect().await?;
    let mut health = HealthClient::new(channel);
    loop {
        let answer = health.check(HealthCheckRequest { service: String::new() }).await?;
        if answer.into_inner().status() == ServingStatus::Serving {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}
