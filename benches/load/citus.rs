//! What a call costs on a cluster of Citus beside one PostgreSQL, in turns. All servers share this machine: it says what a call
//! costs, not how far it goes.

use std::path::Path;
use std::time::Duration;

use crate::cpu::Meter;
use crate::load::{self, Callers, Meters, Sample};
use crate::plan::{Engine, Work};
use crate::postgres::{Postgres, connect};
use crate::stand::Stand;
use crate::{Options, Result};

/// The processor time of the coordinator and of two workers; what is somewhere else is not measured.
async fn meters(url: &str) -> Result<[Option<Meter>; 3]> {
    let client = connect(url).await?;
    const PID: &str = "pg_read_file(''postmaster.pid'')";
    let own: String = client.query_one("select pg_read_file('postmaster.pid')", &[]).await?.get(0);
    let workers = format!("select result from run_command_on_workers('select {PID}') order by nodeport");
    let workers = client.query(&workers, &[]).await?;
    let mut files = std::iter::once(own).chain(workers.iter().map(|row| row.get(0)));
    Ok(std::array::from_fn(|_| {
        let pid = files.next()?.lines().next()?.trim().parse().ok()?;
        Path::new(&format!("/proc/{pid}")).exists().then_some(Meter::Family(pid))
    }))
}

/// Prints a table: what each kind of call costs on which of the two.
pub(crate) async fn measure(options: &Options, url: &str) -> Result<()> {
    let postgres = Postgres::create().await?;
    let measured = both(options, &postgres, url).await;
    let dropped = postgres.drop_database().await;
    measured?;
    dropped
}

async fn both(options: &Options, postgres: &Postgres, url: &str) -> Result<()> {
    let directory = tempfile::Builder::new().prefix("taskwire-bench.").tempdir()?;
    let plain = Stand::build(options, Engine::Postgres, directory.path(), Some(postgres)).await?;
    let spread = Stand::build_spread(options, &directory.path().join("citus"), url).await?;
    let [coordinator, one, two] = meters(url).await?;
    load::head("coordinator", "workers");
    for work in [Work::Create, Work::Get, Work::List] {
        for _ in 0..options.repeat {
            let meters = Meters { service: None, database: postgres.meter, standbys: [None; 2] };
            sample(options, &plain, work, meters, &[]).await?.row("PostgreSQL", work);
            let meters = Meters { service: None, database: coordinator, standbys: [one, two] };
            sample(options, &spread, work, meters, &[]).await?.row("Citus", work);
            sample(options, &spread, work, meters, &["--citus-direct"]).await?.row("Citus direct", work);
        }
    }
    Ok(())
}

async fn sample(
    options: &Options,
    stand: &Stand,
    work: Work,
    meters: Meters,
    settings: &[&str],
) -> Result<Sample> {
    let server = stand.serve_with(options, settings).await?;
    // So that its connections are there, and workers were looked at.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let connections = options.callers.min(options.channels.into());
    let callers = Callers { server: server.address, count: options.callers, connections };
    let meters = Meters { service: Some(server.meter()), ..meters };
    let sample = load::measure(options, work, &stand.world, callers, meters).await?;
    server.stop().await?;
    Ok(sample)
}
