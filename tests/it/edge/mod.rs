//! Everything before a handler, against the program as a process of its own: connections, TLS, deadlines, overload,
//! abuse, and the end.
//!
//! Each case is short in `make test`; with `TASKWIRE_SOAK=1` it takes the numbers that the service is built for.

mod abuse;
mod connections;
mod deadlines;
mod lifecycle;
mod load;
mod overload;
mod raw;
mod sockets;
mod storage_away;
mod tls;

pub(crate) use raw::Raw;

use std::path::Path;
use std::time::Duration;

use taskwire::pb;
use taskwire::pb::user_service_client::UserServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The first number in `make test`, the second in a soak.
fn short_or_soak<T>(short: T, soak: T) -> T {
    if std::env::var_os("TASKWIRE_SOAK").is_some_and(|value| value == "1") { soak } else { short }
}

/// Registers somebody: a call that takes a while, as it hashes a password.
async fn register(channel: Channel, number: usize) -> Result<(), Status> {
    let request = pb::CreateUserRequest {
        user: Some(pb::User { email: format!("user{number}@example.com"), ..pb::User::default() }),
        password: "correct horse battery staple".to_owned(),
        ..pb::CreateUserRequest::default()
    };
    UserServiceClient::new(channel).create_user(request).await.map(drop)
}

/// A call that takes next to nothing.
pub(crate) async fn check(channel: Channel) -> Result<(), Status> {
    let request = HealthCheckRequest { service: String::new() };
    HealthClient::new(channel).check(request).await.map(drop)
}

#[track_caller]
fn assert_refused(status: &Status, code: Code, reason: &str) {
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no details: {status:?}"));
    assert_eq!((status.code(), info.reason.as_str(), info.domain.as_str()), (code, reason, "taskwire"));
}

/// The process that runs in this directory.
fn process_in(directory: &Path) -> u32 {
    let directory = directory.canonicalize().unwrap();
    let found = std::fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        (std::fs::read_link(entry.path().join("cwd")).ok()? == directory).then_some(id)
    });
    found.expect("no process there")
}

/// Memory that a process has, in bytes.
fn memory_bytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Processor time that a process has used.
fn processor_time(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    // In hundredths of a second on every Linux.
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}
