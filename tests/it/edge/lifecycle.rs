//! How the service ends.

use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use super::raw::Raw;
use super::{assert_refused, check, register};
use crate::support::process::Sandbox;

const DRAIN: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn calls_under_way_are_answered_streams_end_and_silent_peers_hold_up_nothing() {
    let sandbox = Sandbox::new();
    let mut service = sandbox.serve(&["--drain-timeout-ms", &DRAIN.as_millis().to_string()]);
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(Raw::connect(service.address).await);
        silent.push(Raw::greeted(service.address).await);
    }
    let channel = service.connect().await;
    let request = HealthCheckRequest { service: String::new() };
    let mut watch = HealthClient::new(channel.clone()).watch(request).await.unwrap().into_inner();
    while watch.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}

    let mut calls: FuturesUnordered<_> = (0..8).map(|number| register(channel.clone(), number)).collect();
    // Once one is done, others sent with it are under way; the machine has few cores for hashing, so some are refused.
    let (mut done, mut busy) = (0, 0);
    while done == 0 {
        match calls.next().await.unwrap() {
            Ok(()) => done += 1,
            Err(status) => {
                assert_refused(&status, Code::Unavailable, "OVERLOADED");
                busy += 1;
            }
        }
    }
    let begin = Instant::now();
    service.running.signal("TERM");
    while let Some(answer) = calls.next().await {
        match answer {
            Ok(()) => done += 1,
            // An answer as well: the machine has few cores for hashing.
            Err(status) if status.get_error_details().error_info().is_some() => busy += 1,
            Err(status) => panic!("not answered: {status:?}"),
        }
    }
    assert!(done > 1, "{done} done, {busy} refused");
    let mut last = ServingStatus::Serving;
    let ended = loop {
        match watch.message().await {
            Ok(Some(answer)) => last = answer.status(),
            Ok(None) => break Code::Ok,
            Err(status) => break status.code(),
        }
    };
    assert_eq!(last, ServingStatus::NotServing);
    assert!(matches!(ended, Code::Ok | Code::Unavailable), "{ended:?}");
    let ended = service.running.end();
    println!("{done} done, {busy} refused; ended {:?} after the signal", begin.elapsed());
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(begin.elapsed() < DRAIN + Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn before_it_goes_it_says_so_and_serves_on() {
    let sandbox = Sandbox::new();
    let mut service = sandbox.serve(&["--drain-lead-ms", "1500"]);
    let channel = service.connect().await;
    service.wait_until(ServingStatus::Serving).await;
    let begin = Instant::now();
    service.running.signal("TERM");
    service.wait_until(ServingStatus::NotServing).await;
    // New connections and calls are still welcome.
    check(service.connect().await).await.unwrap();
    register(channel, 1).await.unwrap();
    let ended = service.running.end();
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(begin.elapsed() >= Duration::from_millis(1500), "{:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let sandbox = Sandbox::new();
    let mut service = sandbox.serve(&["--drain-lead-ms", "60000"]);
    service.running.signal("TERM");
    service.running.wait_for("stopping");
    let begin = Instant::now();
    service.running.signal("INT");
    let ended = service.running.end();
    assert_eq!(ended.status, Some(130), "{}", ended.stderr);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}
