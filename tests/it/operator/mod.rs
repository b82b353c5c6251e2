//! What whoever runs the service gets to see and to say: the admin port, metrics, traces, logs, the configuration
//! file, and the dashboard and alerts that go with them.

mod admin;
mod check;
mod check_planted;
mod config_file;
mod dashboards;
mod documents;
mod log_output;
mod metrics;
mod traces;

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::process::{Sandbox, Service};

/// The flag that asks for a port of one's own.
pub(crate) const ADMIN: [&str; 2] = ["--admin-listen", "127.0.0.1:0"];

/// An answer of the admin port.
#[derive(Debug)]
pub(crate) struct Answer {
    status: u16,
    head: String,
    pub(crate) body: String,
}

/// Sends one request as it is and reads the answer to its end.
async fn exchange(address: SocketAddr, request: &str) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or(std::io::ErrorKind::InvalidData)?;
    Ok(Answer { status, head: head.to_lowercase(), body: body.to_owned() })
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await.unwrap()
}

async fn put(address: SocketAddr, path: &str, headers: &str, body: &str) -> Answer {
    let length = body.len();
    let request =
        format!("PUT {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
    exchange(address, &request).await.unwrap()
}

/// A service with an admin port, and where that is.
fn serve(sandbox: &Sandbox, arguments: &[&str]) -> (Service, SocketAddr) {
    let service = sandbox.serve(&[&ADMIN, arguments].concat());
    let admin = service.admin.unwrap();
    (service, admin)
}

/// The value of one series; 0 when it is not there yet.
pub(crate) fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}
