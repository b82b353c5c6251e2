//! The closed loop: callers that each have one call under way at a time, on random users and tasks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;
use taskwire::pb;
use taskwire::pb::task_service_client::TaskServiceClient;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tonic::Status;

use crate::connection::Connection;
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
    /// Of this process: it shares the machine.
    pub(crate) generator_cpu_us: Option<f64>,
    pub(crate) seconds: f64,
    /// Calls that failed; they count for nothing else.
    pub(crate) failed: f64,
}

/// Whose processor time is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meters {
    pub(crate) service: Option<Meter>,
    pub(crate) database: Option<Meter>,
}

impl Meters {
    fn read(self) -> [Option<Duration>; 3] {
        [self.service, self.database, Some(Meter::Process(std::process::id()))]
            .map(|meter| meter.and_then(Meter::read))
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

const WARMING_UP: u8 = 0;
const MEASURING: u8 = 1;
const OVER: u8 = 2;

/// What the callers share.
#[derive(Debug)]
struct Course {
    work: Work,
    world: Arc<World>,
    phase: AtomicU8,
    exhausted: AtomicBool,
    exhaustion: Notify,
}

#[derive(Debug, Default)]
struct Tally {
    nanos: Vec<u64>,
    failed: u32,
    failure: Option<Status>,
}

/// Measures one kind of work.
pub(crate) async fn measure(
    options: &Options,
    work: Work,
    world: &Arc<World>,
    callers: Callers,
    meters: Meters,
) -> Result<Sample> {
    let course = Arc::new(Course {
        work,
        world: Arc::clone(world),
        phase: AtomicU8::new(WARMING_UP),
        exhausted: AtomicBool::new(false),
        exhaustion: Notify::new(),
    });
    let mut threads = JoinSet::new();
    for share in callers.shares() {
        let course = Arc::clone(&course);
        threads.spawn_blocking(move || call_from_one_thread(&course, share));
    }
    tokio::time::sleep(options.window() / 4).await;
    let (begin, before) = (Instant::now(), meters.read());
    course.phase.store(MEASURING, Ordering::Relaxed);
    tokio::select! {
        () = tokio::time::sleep(options.window()) => {}
        () = course.exhaustion.notified() => {}
        // A thread that ends now has failed.
        Some(ended) = threads.join_next() => {
            ended??;
        }
    }
    course.phase.store(OVER, Ordering::Relaxed);
    let (seconds, after) = (begin.elapsed().as_secs_f64(), meters.read());
    let mut tallies = Vec::with_capacity(callers.count);
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
fn call_from_one_thread(course: &Arc<Course>, callers: Callers) -> Result<Vec<Tally>> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut connections = Vec::with_capacity(callers.connections);
        for _ in 0..callers.connections {
            connections.push(Connection::open(callers.server).await?);
        }
        let mut calling = JoinSet::new();
        for connection in connections.iter().cycle().take(callers.count) {
            let client = TaskServiceClient::with_origin(connection.clone(), connection.origin());
            calling.spawn(call_on(Arc::clone(course), client));
        }
        Ok(calling.join_all().await)
    })
}

fn sum_up(
    tallies: &[Tally],
    seconds: f64,
    before: [Option<Duration>; 3],
    after: [Option<Duration>; 3],
) -> Result<Sample> {
    let mut histogram = Histogram::<u64>::new(3)?;
    for nanos in tallies.iter().flat_map(|tally| &tally.nanos) {
        histogram.record(*nanos)?;
    }
    let failed: u32 = tallies.iter().map(|tally| tally.failed).sum();
    let calls = f64::from(u32::try_from(histogram.len())?);
    if let Some(status) = tallies.iter().find_map(|tally| tally.failure.as_ref()) {
        eprintln!("bench: {failed} calls failed, one of them with: {status}");
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
        generator_cpu_us: used.next().flatten(),
        seconds,
        failed: failed.into(),
    })
}

#[expect(clippy::cast_precision_loss, reason = "a latency, far below 2^53")]
pub(crate) fn millis(value: u64, per_milli: f64) -> f64 {
    value as f64 / per_milli
}

async fn call_on(course: Arc<Course>, mut client: TaskServiceClient<Connection>) -> Tally {
    let mut tally = Tally::default();
    let mut random = fastrand::Rng::new();
    while course.phase.load(Ordering::Relaxed) != OVER {
        let begin = Instant::now();
        let outcome = call(&course, &mut client, &mut random).await;
        if course.exhausted.load(Ordering::Relaxed) {
            break;
        }
        if course.phase.load(Ordering::Relaxed) != MEASURING {
            continue;
        }
        match outcome {
            Ok(()) => tally.nanos.push(u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX)),
            Err(status) => {
                tally.failed += 1;
                tally.failure = Some(status);
            }
        }
    }
    tally
}

async fn call(
    course: &Course,
    client: &mut TaskServiceClient<Connection>,
    random: &mut fastrand::Rng,
) -> std::result::Result<(), Status> {
    let place = random.usize(..course.world.accounts.len());
    let account = &course.world.accounts[place];
    match course.work {
        Work::Get => {
            client
                .get_task(account.call(pb::GetTaskRequest { name: course.world.any_task(place, random) }))
                .await?;
        }
        Work::Create => {
            let task = Some(crate::world::new_task());
            let request = pb::CreateTaskRequest { parent: account.name.clone(), task, ..Default::default() };
            let task = client.create_task(account.call(request)).await?.into_inner();
            course.world.put_fresh(place, task.name);
        }
        Work::Update => {
            let name = course.world.any_task(place, random);
            let title = format!("Task {}", random.u32(..1_000_000_000));
            let request = pb::UpdateTaskRequest {
                task: Some(pb::Task { name, title, ..Default::default() }),
                update_mask: Some(prost_types::FieldMask { paths: vec!["title".to_owned()] }),
                ..Default::default()
            };
            client.update_task(account.call(request)).await?;
        }
        Work::Delete => {
            let Some((place, name)) = course.world.take_fresh() else {
                course.exhausted.store(true, Ordering::Relaxed);
                course.exhaustion.notify_one();
                return Ok(());
            };
            let account = &course.world.accounts[place];
            let request = pb::DeleteTaskRequest { name, ..Default::default() };
            client.delete_task(account.call(request)).await?;
        }
        Work::List => {
            let parent = account.name.clone();
            let request = pb::ListTasksRequest { parent, page_size: 50, ..Default::default() };
            client.list_tasks(account.call(request)).await?;
        }
    }
    Ok(())
}
