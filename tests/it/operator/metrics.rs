//! Metrics: that they count what happens, under the names that OpenTelemetry gives, in a bounded number.

use taskwire::pb::{CreateTaskRequest, GetTaskRequest, Task, WatchTasksRequest};
use tonic_health::pb::health_check_response::ServingStatus;

use super::{get, serve, value};
use crate::edge::{Raw, check};
use crate::process::{authorised, log_in};
use crate::storage::eventually;
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::process::{Sandbox, Service};

fn calls(method: &str, code: &str) -> String {
    format!(
        "rpc_server_call_duration_seconds_count{{rpc_system_name=\"grpc\",rpc_method=\"{method}\",\
         rpc_response_status_code=\"{code}\"}}"
    )
}

/// The sum of all series whose text begins so.
fn total(metrics: &str, prefix: &str) -> f64 {
    let series = metrics.lines().filter(|line| line.starts_with(prefix));
    series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

fn on(sandbox: &Sandbox, database: &TestDatabase) -> (Service, std::net::SocketAddr) {
    assert_eq!(sandbox.run(["keys", "generate", "--out", "key.pem"]).status, Some(0));
    serve(sandbox, &["--database-url", &database.url, "--signing-key-file", "key.pem"])
}

both_engines!(they_count_what_happens);

async fn they_count_what_happens(database: TestDatabase) {
    let sandbox = Sandbox::new();
    let (service, admin) = on(&sandbox, &database);
    service.wait_until(ServingStatus::Serving).await;
    let pair = log_in(&service).await;
    let mut tasks = service.tasks().await;
    let mut names = Vec::new();
    for number in 0..3 {
        let create = CreateTaskRequest {
            parent: "users/me".into(),
            task: Some(Task { title: format!("{number}"), ..Task::default() }),
            ..CreateTaskRequest::default()
        };
        names.push(tasks.create_task(authorised(create, &pair)).await.unwrap().into_inner().name);
    }
    for name in &names {
        tasks
            .get_task(authorised(GetTaskRequest { name: name.clone(), ..Default::default() }, &pair))
            .await
            .unwrap();
    }
    let missing = format!("{}-9", &names[0][..names[0].len() - 2]);
    tasks
        .get_task(authorised(GetTaskRequest { name: missing, ..Default::default() }, &pair))
        .await
        .unwrap_err();
    let watch = WatchTasksRequest { parent: "users/me".into(), ..WatchTasksRequest::default() };
    let stream = tasks.watch_tasks(authorised(watch, &pair)).await.unwrap().into_inner();

    let answer = get(admin, "/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: application/openmetrics-text"), "{}", answer.head);
    let metrics = answer.body;
    assert!(metrics.ends_with("# EOF\n"));
    for (series, expected) in [
        (calls("taskwire.v1.TaskService/CreateTask", "OK"), 3.0),
        (calls("taskwire.v1.TaskService/GetTask", "OK"), 3.0),
        (calls("taskwire.v1.TaskService/GetTask", "INVALID_ARGUMENT"), 1.0),
        (calls("taskwire.v1.UserService/Login", "OK"), 1.0),
        ("taskwire_calls_in_flight{rpc_method=\"taskwire.v1.TaskService/WatchTasks\"}".into(), 1.0),
        ("taskwire_watch_streams".into(), 1.0),
        ("taskwire_watched_users".into(), 1.0),
        ("taskwire_ready".into(), 1.0),
        ("taskwire_panics_total".into(), 0.0),
        ("taskwire_mail_attempts_total{outcome=\"failed\"}".into(), 0.0),
        ("taskwire_mails_dropped_total".into(), 0.0),
        ("taskwire_mails{state=\"waiting\"}".into(), 0.0),
        ("taskwire_admission_in_flight".into(), 0.0),
        (format!("taskwire_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1.0),
    ] {
        assert_eq!(value(&metrics, &series), expected, "{series}\n{metrics}");
    }
    // Which lane carries a user's operations depends on the user's id and on the machine's cores.
    for (series, expected) in [
        ("taskwire_lane_batch_size_sum{kind=\"write\",", 3.0),
        ("taskwire_lane_wait_seconds_count{kind=\"read\",", 3.0),
    ] {
        assert_eq!(total(&metrics, series), expected, "{series}\n{metrics}");
    }
    for series in [
        "taskwire_connections_open",
        "taskwire_connections_accepted_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
        "process_cpu_seconds_total",
        "tokio_tasks_alive",
        "taskwire_job_runs_total{job_name=\"revocations\",outcome=\"ok\"}",
    ] {
        assert!(value(&metrics, series) > 0.0, "{series}\n{metrics}");
    }
    assert!(value(&metrics, "taskwire_revocations_age_seconds") < 5.0);
    assert!(total(&metrics, "taskwire_pool_checkout_seconds_count") > 0.0);
    drop(stream);
    service.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_callers_send_makes_no_new_series() {
    let sandbox = Sandbox::new();
    let (service, admin) = serve(&sandbox, &[]);
    service.wait_until(ServingStatus::Serving).await;
    let channel = service.connect().await;
    let call = async |path: String| {
        let mut client = tonic::client::Grpc::new(channel.clone());
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let path = path.parse().unwrap();
        client.unary(tonic::Request::new(()), path, codec).await.unwrap_err();
    };
    call("/first.v1.First/Call".to_owned()).await;
    let series = async || {
        let metrics = get(admin, "/metrics").await.body;
        let mut names: Vec<String> = metrics
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.rsplit_once(' ').unwrap().0.to_owned())
            .collect();
        names.sort();
        (names, metrics)
    };
    // All jobs have had their first turn, which makes series of their own.
    eventually("the jobs have run", async || {
        let (_, metrics) = series().await;
        metrics.lines().filter(|line| line.starts_with("taskwire_job_runs_total{")).count() == 12
    })
    .await;
    let (before, _) = series().await;
    for number in 0..200 {
        call(format!("/canary{number}.v1.Canary/Call{number}")).await;
    }
    let (after, metrics) = series().await;
    // Streams that ended meanwhile, connections that closed and jobs that ran are few, and known beforehand.
    let known = |series: &String| series.contains("rpc_method=\"grpc.") || !series.contains("rpc_method=");
    assert!(after.len() < before.len() + 40, "{} series, {} before", after.len(), before.len());
    let new: Vec<&String> =
        after.iter().filter(|series| !before.contains(series) && !known(series)).collect();
    assert!(new.is_empty(), "{new:?}");
    assert!(!metrics.contains("canary"));
    assert_eq!(value(&metrics, &calls("_OTHER", "UNIMPLEMENTED")), 201.0, "{metrics}");
    assert!(after.len() < 1500, "{}", after.len());
    service.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_count_and_why_they_ended() {
    let sandbox = Sandbox::new();
    let arguments = ["--connections-max", "2", "--first-bytes-timeout-ms", "300"];
    let (service, admin) = serve(&sandbox, &arguments);
    let mut silent = Raw::connect(service.address).await;
    assert!(silent.until_closed(std::time::Duration::from_secs(30)).await.is_some());
    // Each has spoken before the next one comes: among silent ones the oldest gives way.
    let polite = service.connect().await;
    check(polite.clone()).await.unwrap();
    let second = service.connect().await;
    check(second.clone()).await.unwrap();
    let mut third = Raw::connect(service.address).await;
    assert!(third.until_closed(std::time::Duration::from_secs(30)).await.is_some());
    let metrics = get(admin, "/metrics").await.body;
    for (series, expected) in [
        ("taskwire_connections_cut_total{reason=\"silent\"}", 1.0),
        ("taskwire_connections_refused_total{reason=\"too_many\"}", 1.0),
        ("taskwire_connections_accepted_total", 3.0),
        ("taskwire_connections_open", 2.0),
        ("taskwire_connections_max", 2.0),
    ] {
        assert_eq!(value(&metrics, series), expected, "{series}\n{metrics}");
    }
    drop((polite, second));
    service.stop();
}
