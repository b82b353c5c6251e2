//! What is measured, what is compared with what, and what is aimed at.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

use crate::Options;

/// Clients of pgbench, as many as usual; more do not make it faster on few cores.
pub(crate) const PGBENCH_CLIENTS: u32 = 32;

/// Measurements that belong together: they are compared with each other and follow on each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Group {
    /// GetTask
    Get,
    /// CreateTask
    Create,
    /// UpdateTask
    Update,
    /// DeleteTask
    Delete,
    /// ListTasks, a page of 50
    List,
    /// One caller without company
    Alone,
    /// Start-up time, idle memory, and that of idle watch streams
    Start,
    /// GetTask and CreateTask by the number of users, before and after `vacuum analyze`
    Spread,
}

/// What a caller does, over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Work {
    Get,
    Create,
    Update,
    Delete,
    List,
}

/// Where the data lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Engine {
    Postgres,
    Sqlite,
}

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Side {
    /// The service as it is delivered.
    Service(Engine),
    /// The service with a connection from the pool for each call, as most services work.
    LanesOff(Engine),
    /// The database's own benchmark, with the same statement.
    Pgbench,
    /// A bare tonic server with the same message.
    Echo,
}

/// How many callers at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Crowd {
    Many,
    One,
}

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub(crate) struct Case {
    pub(crate) work: Work,
    pub(crate) side: Side,
    pub(crate) crowd: Crowd,
}

/// Which figures of two measurements are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Figure {
    CallsPerSecond,
    P50,
    ServiceCpu,
    DatabaseCpu,
}

/// What is aimed at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// One ratio with its target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) of: Case,
    pub(crate) to: Case,
    pub(crate) figure: Figure,
    pub(crate) bound: Bound,
}

/// One cost of a call, in microseconds of processor time, with the most that it may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) of: Case,
    pub(crate) figure: Figure,
    pub(crate) most: f64,
}

/// Longest time from the start of the process to SERVING, on a SQLite file that is there, in milliseconds.
pub(crate) const START_MS_MAX: f64 = 100.0;
/// Largest memory of a service that has nothing to do, in MiB.
pub(crate) const IDLE_MIB_MAX: f64 = 30.0;

/// Largest memory of a watch stream that has nothing to tell, in KiB.
pub(crate) const WATCH_KIB_MAX: f64 = 20.0;

const PG: Side = Side::Service(Engine::Postgres);
const PG_OFF: Side = Side::LanesOff(Engine::Postgres);
const SQLITE: Side = Side::Service(Engine::Sqlite);
const SQLITE_OFF: Side = Side::LanesOff(Engine::Sqlite);

const fn many(work: Work, side: Side) -> Case {
    Case { work, side, crowd: Crowd::Many }
}

const fn one(work: Work, side: Side) -> Case {
    Case { work, side, crowd: Crowd::One }
}

/// The measurements of a group, in turn.
pub(crate) fn cases(group: Group) -> Vec<Case> {
    let sides = |work, sides: &[Side]| sides.iter().map(|side| many(work, *side)).collect();
    match group {
        Group::Get => sides(Work::Get, &[PG, Side::Pgbench, PG_OFF, Side::Echo, SQLITE, SQLITE_OFF]),
        Group::Create => sides(Work::Create, &[PG, Side::Pgbench, PG_OFF, SQLITE, SQLITE_OFF]),
        Group::Update => sides(Work::Update, &[PG, Side::Pgbench, PG_OFF, SQLITE]),
        Group::Delete => sides(Work::Delete, &[PG, Side::Pgbench, PG_OFF, SQLITE]),
        Group::List => sides(Work::List, &[PG, Side::Pgbench, SQLITE]),
        Group::Alone => [Work::Get, Work::Create]
            .into_iter()
            .flat_map(|work| [PG, PG_OFF, SQLITE, SQLITE_OFF].map(|side| one(work, side)))
            .collect(),
        Group::Start | Group::Spread => Vec::new(),
    }
}

/// The ratios that have a target.
pub(crate) fn targets() -> Vec<Target> {
    let rate =
        |of, to, least| Target { of, to, figure: Figure::CallsPerSecond, bound: Bound::AtLeast(least) };
    let alone = |work, on, off| Target {
        of: one(work, on),
        to: one(work, off),
        figure: Figure::P50,
        bound: Bound::AtMost(1.05),
    };
    let peers = |work, of, to, least| rate(many(work, of), many(work, to), least);
    vec![
        peers(Work::Get, PG, Side::Pgbench, 1.0),
        peers(Work::Get, PG, PG_OFF, 3.0),
        Target {
            of: many(Work::Get, PG),
            to: many(Work::Get, Side::Echo),
            figure: Figure::ServiceCpu,
            bound: Bound::AtMost(1.8),
        },
        peers(Work::Get, SQLITE, PG, 0.8),
        peers(Work::Create, PG, Side::Pgbench, 2.2),
        peers(Work::Create, PG, PG_OFF, 5.0),
        peers(Work::Create, SQLITE, SQLITE_OFF, 20.0),
        peers(Work::Update, PG, Side::Pgbench, 1.7),
        peers(Work::Delete, PG, Side::Pgbench, 1.7),
        peers(Work::List, PG, Side::Pgbench, 0.7),
        alone(Work::Get, PG, PG_OFF),
        alone(Work::Get, SQLITE, SQLITE_OFF),
        alone(Work::Create, PG, PG_OFF),
        alone(Work::Create, SQLITE, SQLITE_OFF),
    ]
}

/// The costs that have a target.
pub(crate) fn costs() -> Vec<Cost> {
    let service = |work, side, most| Cost { of: many(work, side), figure: Figure::ServiceCpu, most };
    vec![
        service(Work::Get, PG, 20.0),
        service(Work::Create, PG, 28.0),
        service(Work::List, PG, 90.0),
        Cost { of: many(Work::Create, PG), figure: Figure::DatabaseCpu, most: 22.0 },
        service(Work::Get, SQLITE, 24.0),
        service(Work::Create, SQLITE, 60.0),
        service(Work::List, SQLITE, 150.0),
    ]
}

impl Bound {
    pub(crate) fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "≥ {least}"),
            Self::AtMost(most) => write!(f, "≤ {most}"),
        }
    }
}

impl Work {
    /// The method as the contract names it.
    pub(crate) const fn method(self) -> &'static str {
        match self {
            Self::Get => "GetTask",
            Self::Create => "CreateTask",
            Self::Update => "UpdateTask",
            Self::Delete => "DeleteTask",
            Self::List => "ListTasks(50)",
        }
    }

    const fn statement(self) -> &'static str {
        match self {
            Self::Get => "point select",
            Self::Create => "bare-row insert",
            Self::Update | Self::Delete => "single-row update",
            Self::List => "same select",
        }
    }
}

impl Side {
    /// A few words.
    pub(crate) fn name(self, work: Work) -> String {
        match self {
            Self::Service(Engine::Postgres) => "PostgreSQL".to_owned(),
            Self::Service(Engine::Sqlite) => "SQLite".to_owned(),
            Self::LanesOff(Engine::Postgres) => "PostgreSQL, lanes off".to_owned(),
            Self::LanesOff(Engine::Sqlite) => "SQLite, lanes off".to_owned(),
            Self::Pgbench => format!("pgbench {}", work.statement()),
            Self::Echo => "bare tonic echo".to_owned(),
        }
    }
}

impl Case {
    /// Who does what, and how many at a time.
    pub(crate) fn title(&self, options: &Options) -> String {
        let callers = self.callers(options);
        let many = if callers == 1 { "1 caller".to_owned() } else { format!("{callers} callers") };
        format!("{} {}, {many}", self.work.method(), self.side.name(self.work))
    }

    pub(crate) fn callers(&self, options: &Options) -> usize {
        match (self.crowd, self.side) {
            (Crowd::One, _) => 1,
            (Crowd::Many, Side::Pgbench) => PGBENCH_CLIENTS as usize,
            (Crowd::Many, _) => options.callers,
        }
    }
}
