//! Connections that do not behave, and connections that grow old.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::raw::{PREFACE, Raw};
use super::{PATIENCE, assert_refused, check, process_in, processor_time, short_or_soak};
use crate::support::process::{Sandbox, Service};

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_are_closed_and_polite_ones_served() {
    let (count, timeout_ms) = short_or_soak((200, 1000), (1000, 10_000));
    let sandbox = Sandbox::new();
    let service = sandbox.serve(&["--first-bytes-timeout-ms", &timeout_ms.to_string()]);
    // Short runs share the machine with other tests.
    let limit =
        Duration::from_millis(timeout_ms) + short_or_soak(Duration::from_secs(10), Duration::from_secs(1));

    let mut calm = Vec::new();
    for _ in 0..500 {
        calm.push(polite(&service).await);
    }
    let silent = join_all((0..count).map(|number| async move {
        let mut raw = Raw::connect(service.address).await;
        // Every other one begins, and never ends, what it should say first.
        if number % 2 == 0 {
            raw.stream.write_all(&PREFACE[..number % PREFACE.len()]).await.unwrap();
        }
        // The limit counts from the connection; waiting for a turn on a busy machine does not.
        raw.until_closed(PATIENCE).await
    }));
    let silent = tokio::spawn(silent);
    let mut among = Vec::new();
    while !silent.is_finished() {
        among.push(polite(&service).await);
    }
    let (calm, among) = (p99(calm), p99(among));
    let closed: Vec<_> = silent
        .await
        .unwrap()
        .into_iter()
        .enumerate()
        .map(|(number, took)| took.unwrap_or_else(|| panic!("{number} is still open")))
        .collect();
    let longest = closed.iter().max().unwrap();
    println!(
        "{count} silent connections: closed within {longest:?}; p99 of polite calls {among:?}, before {calm:?}"
    );
    assert!(*longest < limit, "{longest:?}");
    // Short runs share the machine with other tests.
    let factor = short_or_soak(100, 2);
    assert!(among <= factor * calm.max(Duration::from_millis(1)), "{among:?}, before {calm:?}");
    service.stop();
}

/// How long a new connection and a call on it take.
async fn polite(service: &Service) -> Duration {
    let begin = Instant::now();
    check(service.connect().await).await.unwrap();
    begin.elapsed()
}

fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() * 99 / 100]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_calls_is_closed() {
    let sandbox = Sandbox::new();
    let service = sandbox.serve(&["--connection-idle-seconds", "1"]);
    let mut raw = Raw::greeted(service.address).await;
    let took = raw.until_closed(PATIENCE).await.expect("still open");
    assert!(took > Duration::from_millis(900), "{took:?}");
    service.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_old_ends_its_streams_and_loses_no_call() {
    let sandbox = Sandbox::new();
    let service = sandbox.serve(&["--connection-age-seconds", "1", "--connection-grace-seconds", "5"]);
    let channel = service.connect().await;
    let request = HealthCheckRequest { service: String::new() };
    let mut watch = HealthClient::new(channel.clone()).watch(request).await.unwrap().into_inner();
    let ended = loop {
        match watch.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("ended without a reason"),
            Err(status) => break status,
        }
    };
    assert_refused(&ended, Code::Unavailable, "DRAINING");
    // The same channel goes on over another connection. A call that it took up just as the old one closed was not sent;
    // that is the client's to say, and such a call may be made again.
    let mut unsent = 0;
    while let Err(status) = check(channel.clone()).await {
        assert_eq!(status.code(), Code::Cancelled, "{status:?}");
        unsent += 1;
        assert!(unsent < 3, "{status:?}");
    }
    service.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn with_few_files_it_refuses_without_spinning_and_recovers() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.shell("ulimit -n 256; exec \"$0\" \"$@\"");
    // Nobody is closed for being silent.
    command.args(["serve", "--listen", "127.0.0.1:0", "--first-bytes-timeout-ms", "600000"]);
    let service = Service::start(command);
    let process = process_in(&sandbox.path("."));
    let polite = service.connect().await;
    check(polite.clone()).await.unwrap();

    let crowd: Vec<_> = join_all((0..512).map(|_| Raw::connect(service.address))).await;
    // Those that there is no room for are closed at once, and so are known.
    let mut crowd = crowd;
    let mut closing: FuturesUnordered<_> = crowd.iter_mut().map(|raw| raw.until_closed(PATIENCE)).collect();
    let mut refused = 0;
    while refused < 384 {
        assert!(closing.next().await.unwrap().is_some(), "{refused} refused");
        refused += 1;
    }
    drop(closing);

    let (begin, before) = (Instant::now(), processor_time(process));
    while begin.elapsed() < Duration::from_secs(1) {
        check(polite.clone()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let used = processor_time(process) - before;
    println!("{refused} of 512 refused; {used:?} of processor time in {:?}", begin.elapsed());
    assert!(used < Duration::from_millis(300), "{used:?}");

    drop(crowd);
    let recovered = async { while check(service.connect().await).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(5), recovered).await.unwrap();
    service.stop();
}
