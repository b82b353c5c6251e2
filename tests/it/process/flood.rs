//! A flood of logins: memory stays within what is documented, and everybody else is served meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use taskwire::pb::user_service_client::UserServiceClient;
use taskwire::pb::{CreateTaskRequest, GetTaskRequest, LoginRequest, Task};
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::health_check_response::ServingStatus;

use super::{EMAIL, PASSWORD, authorised, log_in};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::process::{Sandbox, Service};

both_engines!(a_flood_of_logins_is_held_to_its_memory_and_holds_nobody_up);

const AT_ONCE: usize = 200;
/// What one hash takes (docs/OPERATIONS.md).
const HASH_KIB: usize = 19 * 1024;
/// For 200 connections' buffers and the allocator; hashing without a bound would take forty times as much.
const REST_KIB: usize = 96 * 1024;
/// How long the flood lasts: long enough for many calls beside it.
const FLOOD: Duration = Duration::from_secs(8);

/// The most memory that a process has had resident, in KiB.
fn peak(service: &Service) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.running.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Logs in again and again, with the right password and with a wrong one for nobody in particular.
async fn guess(
    mut users: UserServiceClient<Channel>,
    number: usize,
    over: Arc<AtomicBool>,
    heard: Arc<AtomicUsize>,
) {
    let right = LoginRequest { email: EMAIL.into(), password: PASSWORD.into(), device: String::new() };
    let wrong = LoginRequest { email: format!("nobody{number}@example.com"), ..right.clone() };
    while !over.load(Ordering::SeqCst) {
        let request = if number.is_multiple_of(2) { right.clone() } else { wrong.clone() };
        match users.login(request).await.map_err(|status| status.code()) {
            Ok(_) | Err(Code::Unauthenticated) => drop(heard.fetch_add(1, Ordering::SeqCst)),
            // Refused at once, or held up: that is what keeps the flood off.
            Err(Code::Unavailable | Code::ResourceExhausted) => {}
            Err(code) => panic!("{code:?}"),
        }
        // A fifth of what `RetryInfo` asks for: eight hundred attempts in a second.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn a_flood_of_logins_is_held_to_its_memory_and_holds_nobody_up(database: TestDatabase) {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(["keys", "generate", "--out", "key.pem"]).status, Some(0));
    let service = sandbox.serve(&["--database-url", &database.url, "--signing-key-file", "key.pem"]);
    service.wait_until(ServingStatus::Serving).await;
    let ada = log_in(&service).await;
    let mut tasks = service.tasks().await;
    let task = Task { title: "a task".into(), ..Task::default() };
    let create = CreateTaskRequest { parent: "users/me".into(), task: Some(task), ..Default::default() };
    let name = tasks.create_task(authorised(create, &ada)).await.unwrap().into_inner().name;
    tasks
        .get_task(authorised(GetTaskRequest { name: name.clone(), ..Default::default() }, &ada))
        .await
        .unwrap();
    let before = peak(&service);

    let over = Arc::new(AtomicBool::new(false));
    let heard = Arc::new(AtomicUsize::new(0));
    let mut flood = JoinSet::new();
    for number in 0..AT_ONCE {
        flood.spawn(guess(service.users().await, number, Arc::clone(&over), Arc::clone(&heard)));
    }
    let begin = Instant::now();
    let (mut calls, mut slowest) = (0, Duration::ZERO);
    while begin.elapsed() < FLOOD {
        let called = Instant::now();
        assert_eq!(service.health().await, ServingStatus::Serving);
        tasks
            .get_task(authorised(GetTaskRequest { name: name.clone(), ..Default::default() }, &ada))
            .await
            .unwrap();
        slowest = slowest.max(called.elapsed());
        calls += 1;
    }
    over.store(true, Ordering::SeqCst);
    while let Some(ended) = flood.join_next().await {
        ended.unwrap();
    }
    let heard = heard.load(Ordering::SeqCst);
    println!("{heard} logins were heard, {calls} calls beside them, the slowest took {slowest:?}");
    assert!(heard > 5 && calls > 10, "{heard} logins, {calls} calls");
    // Both on one machine with whatever else runs there: nobody is held up for as long as a login waits.
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");

    let cores = std::thread::available_parallelism().unwrap().get();
    let grown = peak(&service) - before;
    println!("{before} KiB before, {grown} KiB more at the peak");
    assert!(grown < cores * HASH_KIB + REST_KIB, "grown by {grown} KiB");
    assert_eq!(service.stop().status, Some(0));
}
