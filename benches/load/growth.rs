//! How cost grows: with the number of callers, of tasks, and with the depth of a page.

use std::time::Instant;

use hdrhistogram::Histogram;
use taskwire::pb;
use taskwire::pb::task_service_client::TaskServiceClient;

use crate::load::{self, Callers, Meters, millis};
use crate::plan::{Engine, Work};
use crate::postgres::Postgres;
use crate::process::Server;
use crate::stand::Stand;
use crate::{Options, Result};

const CALLERS: [usize; 4] = [1, 8, 64, 512];
const SIZES: [u32; 4] = [10_000, 1_000_000, 10_000_000, 100_000_000];
/// Pages at each end of a long list that are timed.
const PAGES: usize = 200;
const PAGE_SIZE: i32 = 50;

/// Prints three tables.
pub(crate) async fn measure(options: &Options, tasks_max: u32) -> Result<()> {
    let postgres = Postgres::create().await?;
    let measured = on_both(options, &postgres, tasks_max).await;
    let dropped = postgres.drop_database().await;
    measured?;
    dropped
}

async fn on_both(options: &Options, postgres: &Postgres, tasks_max: u32) -> Result<()> {
    let directory = tempfile::Builder::new().prefix("taskwire-bench.").tempdir()?;
    let options = &Options { tasks: (10_000 / options.users).max(60), ..options.clone() };
    let on_postgres = Stand::build(options, Engine::Postgres, directory.path(), Some(postgres)).await?;
    let on_sqlite = Stand::build(options, Engine::Sqlite, directory.path(), None).await?;
    println!("{:<12}{:<12}{:>8} {:>10} {:>9} {:>9}", "", "", "callers", "calls/s", "p50 ms", "p99 ms");
    for (name, stand) in [("PostgreSQL", &on_postgres), ("SQLite", &on_sqlite)] {
        let server = stand.serve(options, true).await?;
        for work in [Work::Get, Work::Create] {
            for callers in CALLERS {
                row(options, name, stand, &server, work, callers, &callers.to_string()).await?;
            }
        }
        server.stop().await?;
    }
    println!("\n{:<12}{:<12}{:>8} {:>10} {:>9} {:>9}", "", "", "tasks", "calls/s", "p50 ms", "p99 ms");
    for size in SIZES.into_iter().filter(|size| *size <= tasks_max) {
        let (from, to) = (on_postgres.world.seeded(), size / options.users);
        if to > from {
            postgres.seed(from..to).await?;
            postgres.settle().await?;
            postgres.checkpoint().await?;
            on_postgres.world.set_seeded(to);
        }
        let server = on_postgres.serve(options, true).await?;
        for work in [Work::Get, Work::Create, Work::List] {
            let tasks = on_postgres.world.seeded() * options.users;
            row(options, "PostgreSQL", &on_postgres, &server, work, 64, &tasks.to_string()).await?;
        }
        if size == tasks_max {
            depth(&on_postgres, &server).await?;
        }
        server.stop().await?;
    }
    Ok(())
}

async fn row(
    options: &Options,
    name: &str,
    stand: &Stand,
    server: &Server,
    work: Work,
    callers: usize,
    label: &str,
) -> Result<()> {
    let connections = callers.min(options.channels.into());
    let callers = Callers { server: server.address, count: callers, connections };
    let meters = Meters { service: None, database: None, standbys: [None; 2] };
    let sample = load::measure(options, work, &stand.world, callers, meters).await?;
    println!(
        "{name:<12}{:<12}{label:>8} {:>10.0} {:>9.2} {:>9.2}",
        work.method(),
        sample.calls_per_second,
        sample.p50_ms,
        sample.p99_ms
    );
    Ok(())
}

/// Walks through all of one user's tasks; the first pages against the last ones.
async fn depth(stand: &Stand, server: &Server) -> Result<()> {
    let channel = server.channel().await?;
    let mut client = TaskServiceClient::new(channel);
    let account = &stand.world.accounts[0];
    let mut request =
        pb::ListTasksRequest { parent: account.name.clone(), page_size: PAGE_SIZE, ..Default::default() };
    let mut micros: Vec<u64> = Vec::new();
    loop {
        let begin = Instant::now();
        let answer = client.list_tasks(account.call(request.clone())).await?.into_inner();
        micros.push(u64::try_from(begin.elapsed().as_micros())?);
        if answer.next_page_token.is_empty() {
            break;
        }
        request.page_token = answer.next_page_token;
    }
    println!("\n{:<24}{:>8} {:>10} {:>9} {:>9}", "", "page", "", "p50 ms", "p99 ms");
    let last = micros.len();
    for (label, pages) in [(1, &micros[..PAGES.min(last)]), (last, &micros[last.saturating_sub(PAGES)..])] {
        let mut histogram = Histogram::<u64>::new(3)?;
        for value in pages {
            histogram.record(*value)?;
        }
        let at = |quantile| millis(histogram.value_at_quantile(quantile), 1e3);
        println!("PostgreSQL  ListTasks(50) {label:>6} {:>10} {:>9.2} {:>9.2}", "", at(0.5), at(0.99));
    }
    Ok(())
}
