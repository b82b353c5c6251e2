//! The admin port: what it answers, to whom, and that it does so until the end.

use std::time::Duration;

use futures_util::future::join_all;
use taskwire::pb::{CreateUserRequest, User};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic_health::pb::health_check_response::ServingStatus;

use super::{exchange, get, put, serve};
use crate::revisions::harness::cluster::Cluster;
use crate::support::process::Sandbox;

#[tokio::test(flavor = "multi_thread")]
async fn it_says_how_the_service_is() {
    let sandbox = Sandbox::new();
    let (service, admin) = serve(&sandbox, &[]);
    assert!(admin.ip().is_loopback());
    assert_eq!(get(admin, "/livez").await.status, 200);
    service.wait_until(ServingStatus::Serving).await;
    let ready = get(admin, "/readyz").await;
    assert_eq!((ready.status, ready.body.trim()), (200, r#"{"ready":true}"#));

    let version = get(admin, "/version").await;
    let version: serde_json::Value = serde_json::from_str(&version.body).unwrap();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));

    let keys = get(admin, "/.well-known/jwks.json").await;
    let keys: serde_json::Value = serde_json::from_str(&keys.body).unwrap();
    let key = &keys["keys"][0];
    assert_eq!((key["kty"].as_str(), key["crv"].as_str()), (Some("OKP"), Some("Ed25519")));
    assert!(key["kid"].is_string() && key["x"].is_string() && key["d"].is_null(), "{keys}");

    for (method, path, status) in [
        ("GET", "/", 404),
        ("GET", "/metrics/..", 404),
        ("POST", "/livez", 405),
        ("DELETE", "/log-level", 405),
        ("GET", "/debug/pprof", 404),
    ] {
        let answer = exchange(admin, &format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        assert_eq!(answer.unwrap().status, status, "{method} {path}");
    }
    service.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_why_the_service_is_not_ready() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(["keys", "generate", "--out", "key.pem"]).status, Some(0));
    // Nobody listens there.
    let url = "postgres://taskwire:canary-4b1f@127.0.0.1:1/taskwire";
    let (service, admin) = serve(&sandbox, &["--database-url", url, "--signing-key-file", "key.pem"]);
    // The database is asked at once, and away; until then the service is starting.
    let answer = loop {
        let answer = get(admin, "/readyz").await;
        assert_eq!(answer.status, 503, "{answer:?}");
        if !answer.body.contains("STARTING") {
            break answer;
        }
    };
    let why: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((why["ready"].as_bool(), why["reason"].as_str()), (Some(false), Some("STORAGE_UNAVAILABLE")));
    assert_eq!(get(admin, "/livez").await.status, 200);
    for path in ["/readyz", "/metrics", "/version", "/.well-known/jwks.json", "/log-level"] {
        let answer = get(admin, path).await;
        assert!(!answer.body.contains("canary"), "{path}: {}", answer.body);
    }
    service.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_while_the_service_drains_and_until_the_end() {
    let sandbox = Sandbox::new();
    let (mut service, admin) = serve(&sandbox, &["--drain-lead-ms", "3000"]);
    service.wait_until(ServingStatus::Serving).await;
    service.running.signal("TERM");
    service.wait_until(ServingStatus::NotServing).await;
    let answer = get(admin, "/readyz").await;
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains(r#""reason":"DRAINING""#), "{}", answer.body);
    assert_eq!(get(admin, "/livez").await.status, 200);
    assert_eq!(get(admin, "/metrics").await.status, 200);
    let ended = service.running.end();
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(TcpStream::connect(admin).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_under_overload_and_among_silent_peers() {
    let sandbox = Sandbox::new();
    let (service, admin) = serve(&sandbox, &["--calls-max", "1", "--calls-waiting-max", "4"]);
    // More than there is room for: the oldest give way.
    let silent = join_all((0..200).map(|_| TcpStream::connect(admin))).await;
    let channel = service.connect().await;
    let load = tokio::spawn(join_all((0..64).map(move |number| {
        let user = User { email: format!("user{number}@example.com"), ..User::default() };
        let request = CreateUserRequest {
            user: Some(user),
            password: "correct horse battery staple".to_owned(),
            ..Default::default()
        };
        let mut users = taskwire::pb::user_service_client::UserServiceClient::new(channel.clone());
        async move { users.create_user(request).await.map(drop) }
    })));
    let mut answers = 0;
    while !load.is_finished() {
        let answer = tokio::time::timeout(Duration::from_secs(5), get(admin, "/metrics")).await.unwrap();
        assert_eq!(answer.status, 200);
        answers += 1;
    }
    assert!(answers > 0);
    let refused = load.await.unwrap().iter().filter(|answer| answer.is_err()).count();
    let metrics = get(admin, "/metrics").await.body;
    println!("{answers} answers; {refused} calls refused");
    assert_eq!(super::value(&metrics, "taskwire_admission_refused_total"), refused as f64);
    drop(silent);
    service.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_ask_is_cut() {
    let sandbox = Sandbox::new();
    let (service, admin) = serve(&sandbox, &[]);
    let mut slow = TcpStream::connect(admin).await.unwrap();
    slow.write_all(b"GET /livez HTTP/1.1\r\nhost:").await.unwrap();
    let mut bytes = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(30), slow.read_to_end(&mut bytes)).await;
    assert!(closed.is_ok(), "still open");
    let long = format!("GET /livez HTTP/1.1\r\nx-long: {}\r\n\r\n", "a".repeat(64 * 1024));
    // Answered with an error, or cut while it still sends.
    if let Ok(answer) = exchange(admin, &long).await {
        assert_eq!(answer.status, 431, "{answer:?}");
    }
    let body = put(admin, "/log-level", "", &"a".repeat(4096)).await;
    assert_eq!(body.status, 413, "{body:?}");
    service.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_level_changes_without_a_restart() {
    let sandbox = Sandbox::new();
    let file = sandbox.write("taskwire.toml", "log = \"warn\"\n");
    let (mut service, admin) = {
        let mut command = sandbox.command();
        // Otherwise it would not say where it listens.
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        command.args(["--log", "info"]).env("TASKWIRE_CONFIG", &file);
        let service = crate::support::process::Service::start(command);
        let admin = service.admin.unwrap();
        (service, admin)
    };
    assert_eq!(get(admin, "/log-level").await.body, "info\n");
    let set = put(admin, "/log-level", "", "warn,taskwire=debug").await;
    assert_eq!((set.status, set.body.as_str()), (200, "warn,taskwire=debug\n"));
    service.running.wait_for("the log level has changed");
    // Health calls are logged at `debug`.
    service.health().await;
    let line = service.running.wait_for("/grpc.health.v1.Health/Check");
    assert!(line.contains("\"level\":\"DEBUG\""), "{line}");

    let wrong = put(admin, "/log-level", "", "taskwire=loud").await;
    assert_eq!(wrong.status, 400, "{wrong:?}");
    let page = put(admin, "/log-level", "origin: http://localhost\r\n", "error").await;
    assert_eq!(page.status, 403, "{page:?}");
    assert_eq!(get(admin, "/log-level").await.body, "warn,taskwire=debug\n");

    // The flag stands above the file.
    service.running.signal("HUP");
    service.running.wait_for("the log level has changed");
    assert_eq!(get(admin, "/log-level").await.body, "info\n");
    service.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sighup_the_level_of_the_file_counts() {
    let sandbox = Sandbox::new();
    let file = sandbox.write("taskwire.toml", "log = \"info\"\n");
    let (mut service, admin) = serve(&sandbox, &["--config", &file]);
    sandbox.write("taskwire.toml", "log = \"debug\"\n");
    service.running.signal("HUP");
    service.running.wait_for("the log level has changed");
    assert_eq!(get(admin, "/log-level").await.body, "debug\n");
    sandbox.write("taskwire.toml", "lag = \"info\"\n");
    service.running.signal("HUP");
    let line = service.running.wait_for("the log level stays");
    assert!(line.contains("taskwire.toml:1: lag"), "{line}");
    assert_eq!(get(admin, "/log-level").await.body, "debug\n");
    service.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_can_be_switched_off_and_its_place_may_be_taken() {
    let sandbox = Sandbox::new();
    let service = sandbox.serve(&[]);
    assert_eq!(service.admin, None);
    service.stop();
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = sandbox.run(["serve", "--listen", "127.0.0.1:0", "--admin-listen", &address]);
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    assert!(ended.complaints().iter().any(|line| line.contains("TASKWIRE_ADMIN_LISTEN")), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_can_only_be_read_is_told() {
    let Some(cluster) = Cluster::start("").await else { return };
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(["keys", "generate", "--out", "key.pem"]).status, Some(0));
    let url = cluster.url();
    let settings = ["--database-url", &url, "--signing-key-file", "key.pem", "--migrate"];
    let (service, admin) = serve(&sandbox, &settings);
    service.wait_until(ServingStatus::Serving).await;
    let mut database = cluster.raw().await;
    for (setting, status, ready) in [
        ("on", ServingStatus::NotServing, (503, "STORAGE_READ_ONLY")),
        ("off", ServingStatus::Serving, (200, "")),
    ] {
        database.execute(&format!("alter system set default_transaction_read_only = {setting}")).await;
        database.execute("select pg_reload_conf()").await;
        service.wait_until(status).await;
        let answer = get(admin, "/readyz").await;
        assert_eq!(answer.status, ready.0);
        assert!(answer.body.contains(ready.1), "{}", answer.body);
    }
    assert_eq!(service.stop().status, Some(0));
}
