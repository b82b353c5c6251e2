//! Databases as their URLs name them: several servers of which one is the primary, and TLS in each of its modes.

mod certificates;
mod several;
mod standby;
mod tls;
mod urls;

use std::future::Future;
use std::time::Duration;

use taskwire::storage::{Limits, OpenError, Storage};

use crate::revisions::harness::cluster::Cluster;
use crate::support::database::limits;

/// What a server writes down of each login: who, and whether over TLS.
const LOGGED: &str = "log_connections = on";

/// Runs a case on a runtime of its own. Each makes the servers that it needs.
fn run(case: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(120), case).await.expect("the case hangs");
    });
}

/// Makes one connection.
async fn connect(url: &str, limits: Limits) -> Result<(), OpenError> {
    Storage::open(url, limits)?.schema_state().await.map(|_| ())
}

/// Makes one connection, and answers which of these servers it was made to and whether over TLS.
async fn reach(url: &str, clusters: &[&Cluster]) -> Result<(usize, bool), OpenError> {
    let name = format!("reach-{}", uuid::Uuid::now_v7().simple());
    let separator = if url.contains('?') { '&' } else { '?' };
    connect(&format!("{url}{separator}application_name={name}"), limits()).await?;
    let logins = clusters.iter().enumerate().filter_map(|(number, cluster)| {
        let log = cluster.log();
        let login =
            log.lines().rfind(|line| line.contains("connection authorized") && line.contains(&name))?;
        Some((login.to_owned(), number, login.contains("SSL enabled")))
    });
    // A line begins with the time. Before the last one there may be those who could not be written to.
    let (_, number, is_encrypted) = logins.max().expect("nobody logged in");
    Ok((number, is_encrypted))
}
