//! Medians, ratios and verdicts, and the table that shows them.

use std::fmt;

use serde::Serialize;

use crate::load::Sample;
use crate::plan::{self, Bound, Case, Figure};
use crate::run::Outcome;
use crate::{Options, machine};

/// One figure of each kind.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Figures {
    pub(crate) calls_per_second: Option<f64>,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    service_cpu_us: Option<f64>,
    database_cpu_us: Option<f64>,
}

/// A measurement: medians over the rounds.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) title: String,
    pub(crate) case: Case,
    pub(crate) figures: Figures,
    pub(crate) rounds: Vec<Sample>,
    pub(crate) ratios: Vec<Ratio>,
}

/// A measurement as a multiple of its peer: medians of the ratios of each round.
#[derive(Debug, Serialize)]
pub(crate) struct Ratio {
    to: String,
    figures: Figures,
    target: Verdict,
}

/// A target, and whether it is met.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    figure: Option<Figure>,
    bound: Bound,
    value: f64,
    met: bool,
}

/// A single number with a target.
#[derive(Debug, Serialize)]
pub(crate) struct Fact {
    title: String,
    unit: &'static str,
    value: f64,
    verdict: Verdict,
}

/// Everything that is shown.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    #[serde(skip)]
    head: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) facts: Vec<Fact>,
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        return Some(values[middle]);
    }
    Some(f64::midpoint(*values.get(middle.checked_sub(1)?)?, *values.get(middle)?))
}

impl Figures {
    /// Each kind of figure, given how to come by it.
    fn each(figure: impl Fn(fn(&Sample) -> Option<f64>) -> Option<f64>) -> Self {
        Self {
            calls_per_second: figure(|sample| Some(sample.calls_per_second)),
            p50_ms: figure(|sample| Some(sample.p50_ms)),
            p99_ms: figure(|sample| Some(sample.p99_ms)),
            service_cpu_us: figure(|sample| sample.service_cpu_us),
            database_cpu_us: figure(|sample| sample.database_cpu_us),
        }
    }

    fn of(rounds: &[Sample]) -> Self {
        Self::each(|figure| median(rounds.iter().filter_map(figure).collect()))
    }

    fn ratios(rounds: &[Sample], peers: &[Sample]) -> Self {
        Self::each(|figure| {
            let ratio = |(sample, peer)| Some(figure(sample)? / figure(peer)?);
            median(rounds.iter().zip(peers).filter_map(ratio).collect())
        })
    }

    const fn get(&self, figure: Figure) -> Option<f64> {
        match figure {
            Figure::CallsPerSecond => self.calls_per_second,
            Figure::P50 => self.p50_ms,
            Figure::ServiceCpu => self.service_cpu_us,
            Figure::DatabaseCpu => self.database_cpu_us,
        }
    }
}

impl Report {
    pub(crate) fn new(options: &Options, outcome: &Outcome) -> Self {
        let samples =
            |wanted: Case| outcome.cases.iter().find(|(case, _)| *case == wanted).map(|(_, all)| all);
        let row = |(case, rounds): &(Case, Vec<Sample>)| {
            let mut ratios: Vec<Ratio> = Vec::new();
            for target in plan::targets().iter().filter(|target| target.of == *case) {
                let Some(peers) = samples(target.to) else { continue };
                let (to, figures) = (target.to.side.name(target.to.work), Figures::ratios(rounds, peers));
                let Some(value) = figures.get(target.figure) else { continue };
                let met = target.bound.holds(value);
                let target = Verdict { figure: Some(target.figure), bound: target.bound, value, met };
                ratios.push(Ratio { to, figures, target });
            }
            let (title, figures) = (case.title(options), Figures::of(rounds));
            Row { title, case: *case, figures, rounds: rounds.clone(), ratios }
        };
        let rows: Vec<Row> = outcome.cases.iter().map(row).collect();
        let facts = facts(outcome).into_iter().chain(costs(&rows)).collect();
        Self { head: head(options, outcome), rows, facts }
    }
}

fn head(options: &Options, outcome: &Outcome) -> String {
    format!(
        "{}{} rounds of {} s each; {} callers on {} connections; the load shares the cores\n",
        outcome.machine.summary(),
        options.repeat,
        options.seconds,
        options.callers,
        options.channels,
    )
}

/// What a call costs, where that has a target.
fn costs(rows: &[Row]) -> Vec<Fact> {
    let cost = |cost: &plan::Cost| {
        let row = rows.iter().find(|row| row.case == cost.of)?;
        let (value, bound) = (row.figures.get(cost.figure)?, Bound::AtMost(cost.most));
        let whose = if cost.figure == Figure::DatabaseCpu { "database" } else { "service" };
        let (work, side) = (cost.of.work.method(), cost.of.side.name(cost.of.work));
        let verdict = Verdict { figure: None, bound, value, met: bound.holds(value) };
        Some(Fact { title: format!("{work} {side}: {whose}"), unit: "µs", value, verdict })
    };
    plan::costs().iter().filter_map(cost).collect()
}

fn facts(outcome: &Outcome) -> Vec<Fact> {
    let fact = |title: &str, unit, value: Option<f64>, most| {
        let (value, bound) = (value?, Bound::AtMost(most));
        Some(Fact {
            title: title.to_owned(),
            unit,
            value,
            verdict: Verdict { figure: None, bound, value, met: bound.holds(value) },
        })
    };
    let start = median(outcome.start_ms.clone());
    [
        fact("Start to SERVING on an existing SQLite file", "ms", start, plan::START_MS_MAX),
        fact("Memory of a service with nothing to do", "MiB", outcome.idle_mib, plan::IDLE_MIB_MAX),
        fact("Memory of an idle watch stream", "KiB", outcome.watch_kib, plan::WATCH_KIB_MAX),
    ]
    .into_iter()
    .flatten()
    .collect()
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figure = match self.figure {
            Some(Figure::CallsPerSecond) => "calls/s ",
            Some(Figure::P50) => "p50 ",
            Some(Figure::ServiceCpu) => "service ",
            Some(Figure::DatabaseCpu) => "database ",
            None => "",
        };
        write!(f, "{figure}{}  {}", self.bound, if self.met { "pass" } else { "MISS" })
    }
}

/// Digits in groups of three.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn cell(value: Option<f64>, show: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), show)
}

fn line(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    figures: Figures,
    rate: impl Fn(f64) -> String,
    other: impl Fn(f64) -> String,
    target: &str,
) -> fmt::Result {
    let text = format!(
        "{title:<46} {:>9} {:>8} {:>8} {:>11} {:>12}  {target}",
        cell(figures.calls_per_second, rate),
        cell(figures.p50_ms, &other),
        cell(figures.p99_ms, &other),
        cell(figures.service_cpu_us, &other),
        cell(figures.database_cpu_us, &other),
    );
    writeln!(f, "{}", text.trim_end())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.head)?;
        writeln!(
            f,
            "{:<46} {:>9} {:>8} {:>8} {:>11} {:>12}  target",
            "", "calls/s", "p50 ms", "p99 ms", "service µs", "database µs"
        )?;
        let mut work = None;
        for row in &self.rows {
            if work.is_some_and(|work| work != (row.case.work, row.case.crowd)) {
                writeln!(f)?;
            }
            work = Some((row.case.work, row.case.crowd));
            line(f, &row.title, row.figures, grouped, |value| format!("{value:.2}"), "")?;
            for ratio in &row.ratios {
                let times = |value: f64| format!("{value:.2}×");
                line(
                    f,
                    &format!("  : {}", ratio.to),
                    ratio.figures,
                    times,
                    times,
                    &ratio.target.to_string(),
                )?;
            }
        }
        writeln!(f)?;
        for fact in &self.facts {
            let Fact { title, unit, value, verdict } = fact;
            writeln!(f, "{title:<46} {value:>9.1} {unit:<43}  {verdict}")?;
        }
        let verdicts = self.rows.iter().flat_map(|row| &row.ratios).map(|ratio| &ratio.target);
        let met: Vec<bool> =
            verdicts.chain(self.facts.iter().map(|fact| &fact.verdict)).map(|verdict| verdict.met).collect();
        let passed = met.iter().filter(|met| **met).count();
        let load = machine::load_average().unwrap_or_default();
        writeln!(f, "\n{passed} of {} targets met; load average at the end {load}", met.len())
    }
}
