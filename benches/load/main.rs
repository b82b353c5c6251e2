//! `make bench`: the project's own load generator, and the comparisons that its targets are made of.
//!
//! One run, one machine: the service on PostgreSQL and on SQLite with lanes and without, `pgbench` with the same
//! single-row statements, and a bare tonic server that answers the same message. Rounds are interleaved, so that
//! what disturbs the machine disturbs all of them.

mod blocks;
mod caller;
mod chart;
mod citus;
mod course;
mod cpu;
mod echo;
mod frames;
mod growth;
mod json;
mod load;
mod machine;
mod pgbench;
mod plan;
mod postgres;
mod process;
mod report;
mod run;
mod spread;
mod stand;
mod standbys;
mod watches;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use plan::Group;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measures the service and its peers.
#[derive(Debug, Clone, Parser)]
#[command(name = "make bench", max_term_width = 100)]
struct Options {
    /// How long one measurement lasts, after its warm-up
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// How many rounds; the table shows medians over them
    #[arg(long, value_name = "COUNT", default_value = "3", value_parser = clap::value_parser!(u32).range(1..=30))]
    repeat: u32,
    /// One short round: shows that everything runs, measures little
    #[arg(long)]
    quick: bool,
    /// Only these groups
    #[arg(long, value_name = "GROUPS", value_delimiter = ',', value_enum)]
    only: Vec<Group>,
    /// Only the service on PostgreSQL and pgbench
    #[arg(long)]
    peers: bool,
    /// Callers of the service; each has one call under way at a time
    #[arg(long, value_name = "COUNT", default_value = "256")]
    callers: usize,
    /// Connections that the callers share
    #[arg(long, value_name = "COUNT", default_value = "8", value_parser = clap::value_parser!(u16).range(1..=256))]
    channels: u16,
    /// Users that the load is spread over
    #[arg(long, value_name = "COUNT", default_value = "200", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    users: u32,
    /// Tasks of each user before the load begins
    #[arg(long, value_name = "COUNT", default_value = "250", value_parser = clap::value_parser!(u32).range(60..=9999))]
    tasks: u32,
    /// What the service logs, as its own option --log
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log: String,
    /// Lanes of the service [default: as it is delivered]
    #[arg(long, value_name = "COUNT")]
    lanes: Option<u32>,
    /// Directory for latest.json and latest.svg [default: docs/benchmarks after a full run, else none]
    #[arg(long, value_name = "DIRECTORY")]
    out: Option<PathBuf>,
    /// Measure instead how cost grows: with callers, with tasks (up to so many on PostgreSQL), with the depth of a page
    #[arg(long, value_name = "TASKS", value_parser = clap::value_parser!(u32).range(10_000..=100_000_000))]
    growth: Option<u32>,
    /// Measure instead what so many standbys take off the primary
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=2))]
    standbys: Option<u8>,
    /// Measure instead what a call costs on a cluster of Citus: the URL of an empty database whose servers know each other
    #[arg(long, value_name = "URL")]
    citus: Option<String>,
    /// What reads name as new enough; nothing unless standbys are measured
    #[arg(skip)]
    min_revision: Option<i64>,
    /// Be the bare server instead
    #[arg(long, hide = true)]
    echo: bool,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// Whether the figures may stand in the documentation.
    fn is_full(&self) -> bool {
        self.only.is_empty()
            && !self.peers
            && self.lanes.is_none()
            && !self.quick
            && self.repeat >= 3
            && self.seconds >= 3
    }

    fn settled(mut self) -> Self {
        if self.quick {
            (self.seconds, self.repeat) = (1, 1);
        }
        if self.out.is_none() && self.is_full() {
            self.out = Some(PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/benchmarks")));
        }
        self
    }

    fn window(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse().settled();
    if options.echo {
        return finish(echo::serve().await);
    }
    if !options.bench {
        // Also what `cargo test --all-targets` starts.
        eprintln!("bench: nothing to do; `make bench` measures");
        return ExitCode::SUCCESS;
    }
    let interrupted = async {
        let Ok(mut term) = signal(SignalKind::terminate()) else { return std::future::pending().await };
        tokio::select! {
            _ = term.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    // What was started is stopped by its drop, also after a signal.
    tokio::select! {
        outcome = measure(&options) => finish(outcome),
        () = interrupted => finish(Err("interrupted".into())),
    }
}

fn finish(outcome: Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(options: &Options) -> Result<()> {
    let begin = Instant::now();
    if let Some(tasks_max) = options.growth {
        return growth::measure(options, tasks_max).await;
    }
    if let Some(count) = options.standbys {
        return standbys::measure(options, count).await;
    }
    if let Some(url) = &options.citus {
        return citus::measure(options, url).await;
    }
    let outcome = run::run(options).await?;
    let report = report::Report::new(options, &outcome);
    print!("{report}{}", spread::table(&outcome.spread));
    if let Some(directory) = &options.out {
        std::fs::create_dir_all(directory)?;
        std::fs::write(directory.join("latest.json"), json::render(options, &outcome, &report)?)?;
        chart::draw(&report, &directory.join("latest.svg"))?;
    }
    eprintln!("bench: done in {:.0} s", begin.elapsed().as_secs_f64());
    Ok(())
}
