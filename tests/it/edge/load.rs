//! Under load: the end, and ten times as many callers as there is room for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use taskwire::pb::task_service_client::TaskServiceClient;
use taskwire::pb::{CreateTaskRequest, Task, TokenPair, WatchTasksRequest};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_types::StatusExt as _;

use super::raw::Raw;
use super::{PATIENCE, assert_refused, register, short_or_soak};
use crate::process::{authorised, log_in};
use crate::support::process::Sandbox;

const DRAIN: Duration = Duration::from_secs(10);
/// Streams of one connection; the service allows 200 calls on each.
const STREAMS_EACH: usize = 150;

async fn create(channel: Channel, pair: &TokenPair) -> Result<(), Status> {
    let request = CreateTaskRequest {
        parent: "users/me".into(),
        task: Some(Task { title: "under load".into(), ..Task::default() }),
        ..CreateTaskRequest::default()
    };
    TaskServiceClient::new(channel).create_task(authorised(request, pair)).await.map(drop)
}

/// Opens a stream; answers once it is open, with what waits for its end.
async fn watch(channel: Channel, pair: &TokenPair) -> impl Future<Output = Option<Status>> + use<> {
    let request = WatchTasksRequest { parent: "users/me".into(), ..WatchTasksRequest::default() };
    let mut stream =
        TaskServiceClient::new(channel).watch_tasks(authorised(request, pair)).await.unwrap().into_inner();
    async move {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(status) => return Some(status),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_in_time_under_load_and_answers_what_is_under_way() {
    let (per_second, streams, silent) = short_or_soak((100, 100, 10), (500, 1000, 50));
    let sandbox = Sandbox::new();
    let drain = DRAIN.as_millis().to_string();
    let mut service = sandbox.serve(&["--drain-timeout-ms", &drain, "--streams-per-user-max", "2000"]);
    service.wait_until(ServingStatus::Serving).await;
    let pair = Arc::new(log_in(&service).await);
    let silent = join_all((0..silent).map(|_| Raw::connect(service.address))).await;
    let mut watches = Vec::new();
    while watches.len() < streams {
        let channel = service.connect().await;
        for _ in 0..STREAMS_EACH.min(streams - watches.len()) {
            watches.push(tokio::spawn(watch(channel.clone(), &pair).await));
        }
    }

    let signalled = Arc::new(AtomicBool::new(false));
    let channel = service.connect().await;
    let load = tokio::spawn({
        let signalled = Arc::clone(&signalled);
        let pair = Arc::clone(&pair);
        async move {
            let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
            let mut calls = Vec::new();
            // Calls that begin after the signal may find nobody; those before it must be answered.
            while !signalled.load(Ordering::Acquire) {
                ticks.tick().await;
                let (channel, pair) = (channel.clone(), Arc::clone(&pair));
                calls.push(tokio::spawn(async move { create(channel, &pair).await }));
            }
            calls
        }
    });
    tokio::time::sleep(short_or_soak(Duration::from_secs(1), Duration::from_secs(5))).await;
    signalled.store(true, Ordering::Release);
    let calls = load.await.unwrap();
    let begin = Instant::now();
    service.running.signal("TERM");

    let (count, mut busy, mut late) = (calls.len(), 0, 0);
    for call in join_all(calls).await {
        match call.unwrap() {
            Ok(()) => {}
            // An answer as well.
            Err(status) if status.get_error_details().error_info().is_some() => busy += 1,
            // On its way, or not even that, when the server had said which call was its last: not carried out.
            Err(status) if is_unsent(&status) => late += 1,
            Err(status) => panic!("not answered: {status:?}"),
        }
    }
    assert!(late < count / 10, "{late} of {count} came too late");
    for watch in watches {
        let ended = tokio::time::timeout(PATIENCE, watch).await.unwrap().unwrap();
        assert_refused(&ended.expect("a stream ended without a reason"), Code::Unavailable, "DRAINING");
    }
    let ended = service.running.end();
    let took = begin.elapsed();
    println!(
        "{count} calls, {busy} refused, {late} too late; {streams} streams; ended {took:?} after the signal"
    );
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(took < DRAIN + short_or_soak(Duration::from_secs(5), Duration::from_secs(1)), "{took:?}");
    drop(silent);
}

/// What the client says of a call that the server has not taken up, and that may be made again.
fn is_unsent(status: &Status) -> bool {
    let said = format!("{status:?}");
    said.contains("GoAway(b\"\", NO_ERROR, Remote)") || said.contains("hyper::Error(Canceled")
}

/// Callers who do as they are told: they call again at once when they are served, and after the delay when not.
async fn served_per_second(
    channel: &Channel,
    callers: usize,
    next: &Arc<AtomicUsize>,
    lasts: Duration,
) -> Load {
    let begin = Instant::now();
    let each = (0..callers).map(|_| {
        let (channel, next) = (channel.clone(), Arc::clone(next));
        tokio::spawn(async move {
            let mut load = Load::default();
            while begin.elapsed() < lasts {
                let call = Instant::now();
                match register(channel.clone(), next.fetch_add(1, Ordering::Relaxed)).await {
                    Ok(()) => load.served += 1,
                    Err(status) => {
                        assert_refused(&status, Code::Unavailable, "OVERLOADED");
                        load.refused += 1;
                        load.slowest_refusal = load.slowest_refusal.max(call.elapsed());
                        let delay = status.get_error_details().retry_info().unwrap().retry_delay.unwrap();
                        assert!(delay > Duration::ZERO && delay <= Duration::from_secs(10), "{delay:?}");
                        tokio::time::sleep(delay).await;
                    }
                }
            }
            load
        })
    });
    let mut all = Load::default();
    for load in join_all(each).await {
        let load = load.unwrap();
        all.served += load.served;
        all.refused += load.refused;
        all.slowest_refusal = all.slowest_refusal.max(load.slowest_refusal);
    }
    all.per_second = f64::from(all.served) / begin.elapsed().as_secs_f64();
    all
}

#[derive(Debug, Default)]
struct Load {
    served: u32,
    refused: u32,
    slowest_refusal: Duration,
    per_second: f64,
}

/// With calls that cost the service far more than their callers, as both share one machine here.
#[tokio::test(flavor = "multi_thread")]
async fn ten_times_the_load_is_served_at_nearly_the_same_rate() {
    const ROOM: usize = 4;
    let lasts = short_or_soak(Duration::from_secs(3), Duration::from_secs(20));
    let sandbox = Sandbox::new();
    let service = sandbox.serve(&["--calls-max", "4", "--calls-waiting-max", "4"]);
    service.wait_until(ServingStatus::Serving).await;
    let channel = service.connect().await;
    let next = Arc::new(AtomicUsize::new(0));
    let peak = served_per_second(&channel, ROOM, &next, lasts).await;
    let over = served_per_second(&channel, 10 * ROOM, &next, lasts).await;
    println!("peak {peak:?}\nover {over:?}");
    assert!(over.refused > 0, "{over:?}");
    assert!(over.slowest_refusal < short_or_soak(Duration::from_secs(5), Duration::from_secs(1)), "{over:?}");
    // Short runs share the machine with other tests.
    let share = short_or_soak(0.3, 0.9);
    assert!(over.per_second >= share * peak.per_second, "peak {peak:?}, over {over:?}");
    service.stop();
}
