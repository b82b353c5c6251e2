//! The closed loop: callers that each have one call under way at a time, on random users and tasks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::blocks::Blocks;
use crate::caller;
use crate::course::{Course, Tally};
use crate::cpu::Meter;
use crate::plan::Work;
use crate::world::World;
use crate::{Options, Result};

/// What one measurement found.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Sample {
    pub(crate) calls_per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Per call, as the following.
    pub(crate) service_cpu_us: Option<f64>,
    pub(crate) database_cpu_us: Option<f64>,
    /// Of all standbys, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) standby_cpu_us: Option<f64>,
    /// Of this process: it shares the machine.
    pub(crate) generator_cpu_us: Option<f64>,
    pub(crate) seconds: f64,
    /// Calls that failed; they count for nothing else.
    pub(crate) failed: f64,
}

/// Prints the head of a table of calls whose cost is shared by servers of two kinds.
pub(crate) fn head(first: &str, others: &str) {
    let [first, others] = [first, others].map(|name| format!("{name} µs"));
    println!(
        "{:<14}{:<14}{:>10} {:>9} {:>12} {first:>16} {others:>12}",
        "", "", "calls/s", "p50 ms", "service µs"
    );
}

impl Sample {
    /// Prints a line of it.
    pub(crate) fn row(&self, name: &str, work: Work) {
        let shown = |micros: Option<f64>| micros.map_or_else(String::new, |micros| format!("{micros:.1}"));
        println!(
            "{:<14}{name:<14}{:>10.0} {:>9.2} {:>12} {:>16} {:>12}",
            work.method(),
            self.calls_per_second,
            self.p50_ms,
            shown(self.service_cpu_us),
            shown(self.database_cpu_us),
            shown(self.standby_cpu_us),
        );
    }
}

/// Whose processor time is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meters {
    pub(crate) service: Option<Meter>,
    pub(crate) database: Option<Meter>,
    pub(crate) standbys: [Option<Meter>; 2],
}

impl Meters {
    fn read(self) -> [Option<Duration>; 4] {
        let read = |meter: Option<Meter>| meter.and_then(Meter::read);
        let standbys = self.standbys.into_iter().filter_map(read).reduce(|one, other| one + other);
        [read(self.service), read(self.database), standbys, read(Some(Meter::Process(std::process::id())))]
    }
}

/// Who calls, and whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Callers {
    pub(crate) server: SocketAddr,
    pub(crate) count: usize,
    /// Connections that they share.
    pub(crate) connections: usize,
}

/// Threads of the generator, as many as pgbench has; each has its own connections and callers.
pub(crate) const THREADS: usize = 2;

/// Measures one kind of work.
pub(crate) async fn measure(
    options: &Options,
    work: Work,
    world: &Arc<World>,
    callers: Callers,
    meters: Meters,
) -> Result<Sample> {
    let course = Arc::new(Course::new(work, Arc::clone(world), options.min_revision));
    let method = work.method().trim_end_matches("(50)");
    let blocks = Blocks::make(method, &callers.server.to_string(), &world.accounts).await?;
    let blocks = Arc::new(blocks);
    let mut threads = JoinSet::new();
    for share in callers.shares() {
        let (course, blocks) = (Arc::clone(&course), Arc::clone(&blocks));
        threads.spawn_blocking(move || call_from_one_thread(&course, &blocks, share));
    }
    let mut tallies = Vec::with_capacity(callers.connections);
    tokio::time::sleep(options.window() / 4).await;
    let (begin, before) = (Instant::now(), meters.read());
    course.begin_measuring();
    tokio::select! {
        () = tokio::time::sleep(options.window()) => {}
        () = course.exhausted() => {}
        // A thread that ends now has failed, or has nothing left to do.
        Some(ended) = threads.join_next() => tallies.extend(ended??),
    }
    course.end();
    let (seconds, after) = (begin.elapsed().as_secs_f64(), meters.read());
    while let Some(ended) = threads.join_next().await {
        tallies.extend(ended??);
    }
    sum_up(&tallies, seconds, before, after)
}

impl Callers {
    /// An even part for each thread, and no thread without a connection.
    fn shares(self) -> impl Iterator<Item = Self> {
        let threads = THREADS.min(self.connections).min(self.count);
        let part = move |all: usize, place: usize| all / threads + usize::from(place < all % threads);
        (0..threads).map(move |place| Self {
            server: self.server,
            count: part(self.count, place),
            connections: part(self.connections, place),
        })
    }
}

/// A thread and its runtime: nothing is handed from one thread to another, which would cost more than the call.
fn call_from_one_thread(course: &Course, blocks: &Blocks, callers: Callers) -> Result<Vec<Tally>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let part = |place: usize| {
        callers.count / callers.connections + usize::from(place < callers.count % callers.connections)
    };
    let calling =
        (0..callers.connections).map(|place| caller::call(course, blocks, callers.server, part(place)));
    runtime.block_on(futures_util::future::try_join_all(calling))
}

fn sum_up(
    tallies: &[Tally],
    seconds: f64,
    before: [Option<Duration>; 4],
    after: [Option<Duration>; 4],
) -> Result<Sample> {
    let mut histogram = Histogram::<u64>::new(3)?;
    for nanos in tallies.iter().flat_map(|tally| &tally.nanos) {
        histogram.record(*nanos)?;
    }
    let failed: u32 = tallies.iter().map(|tally| tally.failed).sum();
    let calls = f64::from(u32::try_from(histogram.len())?);
    if failed > 0 {
        eprintln!("bench: {failed} calls failed; the service's log says with what");
        if f64::from(failed) > calls / 100.0 {
            return Err("too many calls failed".into());
        }
    }
    if calls < 1.0 {
        return Err("no call was answered".into());
    }
    let mut used = before
        .into_iter()
        .zip(after)
        .map(|(before, after)| Some(after?.saturating_sub(before?).as_secs_f64() * 1e6 / calls));
    Ok(Sample {
        calls_per_second: calls / seconds,
        p50_ms: millis(histogram.value_at_quantile(0.5), 1e6),
        p99_ms: millis(histogram.value_at_quantile(0.99), 1e6),
        service_cpu_us: used.next().flatten(),
        database_cpu_us: used.next().flatten(),
        standby_cpu_us: used.next().flatten(),
        generator_cpu_us: used.next().flatten(),
        seconds,
        failed: failed.into(),
    })
}

#[expect(clippy::cast_precision_loss, reason = "a latency, far below 2^53")]
pub(crate) fn millis(value: u64, per_milli: f64) -> f64 {
    value as f64 / per_milli
}
