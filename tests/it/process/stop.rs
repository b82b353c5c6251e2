//! Ends: asked for, insisted on, with calls under way.

use std::time::Duration;

use taskwire::pb::CreateTaskRequest;
use taskwire::pb::Task;
use taskwire::pb::task_service_client::TaskServiceClient;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::{authorised, log_in};
use crate::auth::served::run;
use crate::support::database::{Engine, Raw, Schema, TestDatabase};
use crate::support::process::{Sandbox, Service};

#[test]
fn either_signal_ends_it_promptly() {
    run(async {
        for signal in ["TERM", "INT"] {
            let sandbox = Sandbox::new();
            let mut service = sandbox.serve(&[]);
            service.wait_until(ServingStatus::Serving).await;
            // Connections that are open, a watch among them, hold nothing up.
            let idle = service.connect().await;
            let mut health = HealthClient::new(service.connect().await);
            let request = HealthCheckRequest { service: String::new() };
            let mut watch = health.watch(request).await.unwrap().into_inner();
            assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);

            let begin = std::time::Instant::now();
            service.running.signal(signal);
            service.running.wait_for("taskwire has stopped");
            let ended = service.running.end();
            assert_eq!(ended.status, Some(0), "{signal}: {}", ended.stderr);
            // The drain timeout is 10 s; nothing here needs it.
            assert!(begin.elapsed() < Duration::from_secs(5), "{signal}: {:?}", begin.elapsed());
            while let Ok(Some(answer)) = watch.message().await {
                assert_ne!(answer.status(), ServingStatus::Serving);
            }
            drop(idle);
        }
    });
}

#[test]
fn a_peer_that_never_speaks_holds_nothing_up() {
    run(async {
        let sandbox = Sandbox::new();
        let service = sandbox.serve(&["--drain-timeout-ms", "60000"]);
        let mute = std::net::TcpStream::connect(service.address).unwrap();
        // Connections are taken in order: once this one is answered, the mute one is open.
        service.health().await;
        let begin = std::time::Instant::now();
        let ended = service.stop();
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        drop(mute);
    });
}

/// A service on a database whose lock for writing is taken, so that a change waits.
struct Blocked {
    service: Service,
    lock: Raw,
    _database: TestDatabase,
}

impl Blocked {
    /// Starts it, and a call that waits; answers once the service has the call.
    async fn begin(
        sandbox: &Sandbox,
        arguments: &[&str],
    ) -> (Self, impl Future<Output = Result<tonic::Response<Task>, tonic::Status>>) {
        let database = TestDatabase::create(Engine::Sqlite, Schema::Migrated).await.unwrap();
        let waits = ["--lock-timeout-ms", "30000", "--statement-timeout-ms", "40000"];
        let service =
            sandbox.serve(&[&["--database-url", &database.url], waits.as_slice(), arguments].concat());
        let pair = log_in(&service).await;
        let mut lock = database.raw().await;
        lock.execute("begin immediate").await;
        let channel = service.connect().await;
        let create = CreateTaskRequest {
            parent: "users/me".into(),
            task: Some(Task { title: "under way".into(), ..Task::default() }),
            ..CreateTaskRequest::default()
        };
        let mut client = TaskServiceClient::new(channel.clone());
        let mut call = Box::pin(async move { client.create_task(authorised(create, &pair)).await });
        // One connection keeps the order: once this is answered, the call before it has arrived.
        tokio::select! {
            biased;
            answer = &mut call => panic!("{answer:?} came although the database is locked"),
            () = answered(channel) => {}
        }
        (Self { service, lock, _database: database }, call)
    }
}

async fn answered(channel: Channel) {
    let request = HealthCheckRequest { service: String::new() };
    HealthClient::new(channel).check(request).await.unwrap();
}

#[test]
fn a_call_under_way_is_answered() {
    run(async {
        let sandbox = Sandbox::new();
        let (mut blocked, call) = Blocked::begin(&sandbox, &[]).await;
        blocked.service.running.signal("TERM");
        blocked.service.running.wait_for("calls under way may finish");
        // Nobody new gets in.
        assert!(refuses(blocked.service.address).await);
        blocked.lock.execute("rollback").await;
        let task = call.await.unwrap().into_inner();
        assert_eq!(task.title, "under way");
        let ended = blocked.service.running.end();
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
        assert!(!ended.stderr.contains("cut off"), "{}", ended.stderr);
    });
}

/// Whether nobody accepts connections any more, as soon as that is so.
async fn refuses(address: std::net::SocketAddr) -> bool {
    let trying = async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), trying).await.is_ok()
}

#[test]
fn a_call_that_takes_too_long_is_cut_off() {
    run(async {
        let sandbox = Sandbox::new();
        let (mut blocked, call) = Blocked::begin(&sandbox, &["--drain-timeout-ms", "200"]).await;
        blocked.service.running.signal("TERM");
        let begin = std::time::Instant::now();
        blocked.service.running.wait_for("cut off");
        assert!(call.await.is_err());
        let ended = blocked.service.running.end();
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    });
}

#[test]
fn the_second_signal_ends_it_at_once() {
    run(async {
        let sandbox = Sandbox::new();
        let (mut blocked, call) = Blocked::begin(&sandbox, &["--drain-timeout-ms", "3600000"]).await;
        blocked.service.running.signal("TERM");
        blocked.service.running.wait_for("calls under way may finish");
        let begin = std::time::Instant::now();
        blocked.service.running.signal("INT");
        let ended = blocked.service.running.end();
        assert_eq!(ended.status, Some(130), "{}", ended.stderr);
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        assert!(call.await.is_err());
    });
}
