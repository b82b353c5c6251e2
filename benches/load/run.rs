//! The run: builds the stands, goes through the cases round by round, and tears down.

use std::time::Duration;

use tempfile::TempDir;

use crate::load::{self, Callers, Meters, Sample};
use crate::machine::Machine;
use crate::plan::{self, Case, Engine, Group, Side, Work};
use crate::postgres::Postgres;
use crate::spread::{self, Spread};
use crate::stand::Stand;
use crate::{Options, Result, cpu, echo, pgbench, watches};

/// How often the service is started to see how long that takes.
const STARTS: usize = 7;
/// How long a service has nothing to do before its memory is read.
const IDLE: Duration = Duration::from_secs(2);
/// Tasks that may be deleted in a second; where they give out, the measurement is shorter.
const DELETED_PER_SECOND: usize = 15_000;

/// Everything that was found.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) machine: Machine,
    /// In the order of the plan; one sample per round.
    pub(crate) cases: Vec<(Case, Vec<Sample>)>,
    /// From the start of the process to SERVING, in milliseconds.
    pub(crate) start_ms: Vec<f64>,
    /// In MiB.
    pub(crate) idle_mib: Option<f64>,
    /// Of each stream, in KiB.
    pub(crate) watch_kib: Option<f64>,
    /// By the number of users.
    pub(crate) spread: Vec<Spread>,
}

/// Carries out the plan.
pub(crate) async fn run(options: &Options) -> Result<Outcome> {
    let postgres = Postgres::create().await?;
    let outcome = with_postgres(options, &postgres).await;
    let dropped = postgres.drop_database().await;
    let mut outcome = outcome?;
    dropped?;
    if options.only.is_empty() || options.only.contains(&Group::Spread) {
        let directory = tempfile::Builder::new().prefix("taskwire-bench.").tempdir()?;
        outcome.spread = spread::measure(options, directory.path()).await?;
    }
    Ok(outcome)
}

struct Bench<'a> {
    options: &'a Options,
    directory: TempDir,
    postgres: &'a Postgres,
    on_postgres: Stand,
    on_sqlite: Stand,
    measured: u32,
}

async fn with_postgres(options: &Options, postgres: &Postgres) -> Result<Outcome> {
    let machine = Machine::look(Some(postgres.version().await?), postgres.settings().await?);
    let directory = tempfile::Builder::new().prefix("taskwire-bench.").tempdir()?;
    eprintln!("bench: {} users with {} tasks each, on both engines", options.users, options.tasks);
    if options.only == [Group::Spread] {
        return Ok(Outcome::of(machine));
    }
    let on_postgres = Stand::build(options, Engine::Postgres, directory.path(), Some(postgres)).await?;
    let on_sqlite = Stand::build(options, Engine::Sqlite, directory.path(), None).await?;
    let mut bench = Bench { options, directory, postgres, on_postgres, on_sqlite, measured: 0 };

    let wanted = |group: &Group| options.only.is_empty() || options.only.contains(group);
    // What writes comes last: the database tidies up behind it, which would count as the next one's work.
    let groups = [Group::Get, Group::List, Group::Alone, Group::Create, Group::Update, Group::Delete];
    let mut cases: Vec<(Case, Vec<Sample>)> =
        groups.into_iter().filter(wanted).flat_map(plan::cases).map(|case| (case, Vec::new())).collect();
    if options.peers {
        let is_peer = |side| matches!(side, Side::Service(Engine::Postgres) | Side::Pgbench);
        cases.retain(|(case, _)| is_peer(case.side));
    }
    let mut outcome = Outcome::of(machine);
    if wanted(&Group::Start) {
        bench.starts(&mut outcome).await?;
    }
    for round in 1..=options.repeat {
        postgres.settle().await?;
        postgres.checkpoint().await?;
        for (case, samples) in &mut cases {
            let title = case.title(options);
            let limit = options.window() * 4 + Duration::from_secs(60);
            let sample = tokio::time::timeout(limit, bench.measure(*case))
                .await
                .map_err(|_| format!("{title} took too long"))?
                .map_err(|error| format!("{title}: {error}"))?;
            let rate = sample.calls_per_second;
            eprintln!("bench: round {round} of {}: {title}: {rate:.0} calls/s", options.repeat);
            samples.push(sample);
        }
    }
    outcome.cases = cases;
    Ok(outcome)
}

impl Outcome {
    /// Nothing found yet.
    fn of(machine: Machine) -> Self {
        let (cases, start_ms, spread) = (Vec::new(), Vec::new(), Vec::new());
        Self { machine, cases, start_ms, idle_mib: None, watch_kib: None, spread }
    }
}

impl Bench<'_> {
    async fn measure(&mut self, case: Case) -> Result<Sample> {
        self.measured += 1;
        let (stand, lanes) = match case.side {
            Side::Pgbench => {
                let directory = self.directory.path();
                return pgbench::measure(self.options, self.postgres, directory, case.work, self.measured)
                    .await;
            }
            Side::Echo => (None, false),
            Side::Service(Engine::Postgres) => (Some(&self.on_postgres), true),
            Side::LanesOff(Engine::Postgres) => (Some(&self.on_postgres), false),
            Side::Service(Engine::Sqlite) => (Some(&self.on_sqlite), true),
            Side::LanesOff(Engine::Sqlite) => (Some(&self.on_sqlite), false),
        };
        let server = match stand {
            Some(stand) => stand.serve(self.options, lanes).await?,
            None => echo::start(&self.directory.path().join("echo.log")).await?,
        };
        let world = &stand.unwrap_or(&self.on_postgres).world;
        let callers = case.callers(self.options);
        if case.work == Work::Delete {
            let count = DELETED_PER_SECOND * self.options.seconds as usize;
            world.stock(&server.channel().await?, count).await?;
        }
        let connections = callers.min(self.options.channels.into());
        let callers = Callers { server: server.address, count: callers, connections };
        let on_postgres =
            matches!(case.side, Side::Service(Engine::Postgres) | Side::LanesOff(Engine::Postgres));
        let meters = Meters {
            service: Some(server.meter()),
            database: self.postgres.meter.filter(|_| on_postgres),
            standbys: [None; 2],
        };
        let sample = load::measure(self.options, case.work, world, callers, meters).await?;
        server.stop().await?;
        Ok(sample)
    }

    /// Start-up time, and memory with nothing to do, on the SQLite file that is there.
    async fn starts(&self, outcome: &mut Outcome) -> Result<()> {
        loop {
            let server = self.on_sqlite.serve(self.options, true).await?;
            outcome.start_ms.push(server.started_in.as_secs_f64() * 1e3);
            if outcome.start_ms.len() == STARTS {
                tokio::time::sleep(IDLE).await;
                outcome.idle_mib = cpu::resident_mib(server.pid());
                outcome.watch_kib = watches::memory(&server, &self.on_sqlite.world).await?;
                return server.stop().await;
            }
            server.stop().await?;
        }
    }
}
