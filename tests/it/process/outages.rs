//! A database that is away when the service starts, comes, goes, and comes again; and one that refuses.

use std::time::{Duration, Instant};

use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

use super::cluster::{Cluster, PASSWORD};
use super::{log_in, log_in_again};
use crate::auth::served::run;
use crate::support::process::{Sandbox, Service};

#[test]
fn a_database_that_is_away_is_waited_for() {
    run(async {
        let Some(cluster) = Cluster::create() else { return };
        let sandbox = Sandbox::new();
        assert_eq!(sandbox.run(["keys", "generate", "--out", "key.pem"]).status, Some(0));
        let url = cluster.url(PASSWORD);
        let settings = ["--database-url", &url, "--signing-key-file", "key.pem"];
        cluster.start();
        assert_eq!(sandbox.run(["migrate", "up"].into_iter().chain(settings)).status, Some(0));
        wrong_password_is_one_line(&sandbox, &cluster);
        cluster.stop();

        let service = sandbox.serve(&settings);
        assert_eq!(service.health().await, ServingStatus::NotServing);
        let address = service.address.to_string();
        assert_eq!(sandbox.run(["health", "--address", &address]).status, Some(1));
        let login = taskwire::pb::LoginRequest { email: "ada@example.com".into(), ..Default::default() };
        let status = service.users().await.login(login).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(!format!("{status:?}").contains("127.0.0.1"), "{status:?}");

        let first = until_serving(&service, &cluster).await;
        log_in(&service).await;

        cluster.stop();
        service.wait_until(ServingStatus::NotServing).await;
        let second = until_serving(&service, &cluster).await;
        log_in_again(&service).await;
        // The faster one counts, as the machine may be busy with other tests.
        assert!(first.min(second) < Duration::from_secs(2), "{first:?}, {second:?}");

        let ended = service.stop();
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
        assert!(!ended.stderr.contains("canary"), "{}", ended.stderr);
    });
}

/// Starts the database; answers how long the service takes to notice.
async fn until_serving(service: &Service, cluster: &Cluster) -> Duration {
    cluster.start();
    let begin = Instant::now();
    service.wait_until(ServingStatus::Serving).await;
    begin.elapsed()
}

fn wrong_password_is_one_line(sandbox: &Sandbox, cluster: &Cluster) {
    let right = cluster.url(PASSWORD).replace(PASSWORD, "canary-wrong-password");
    let none = cluster.url("").replace(":@", "@");
    for url in [right, none] {
        for command in
            [vec!["serve", "--listen", "127.0.0.1:0"], vec!["migrate", "up"], vec!["migrate", "status"]]
        {
            let settings = ["--database-url", url.as_str(), "--signing-key-file", "key.pem"];
            let ended = sandbox.run(command.iter().copied().chain(settings));
            assert_eq!(ended.status, Some(1), "{command:?}: {}", ended.stderr);
            assert_eq!(ended.complaints().len(), 1, "{command:?}: {}", ended.stderr);
            assert!(ended.complaints()[0].contains("password"), "{command:?}: {}", ended.stderr);
            assert!(!ended.stderr.contains("canary"), "{command:?}: {}", ended.stderr);
        }
    }
}

#[test]
fn a_port_where_nobody_listens_is_no_reason_not_to_start() {
    run(async {
        let sandbox = Sandbox::new();
        assert_eq!(sandbox.run(["keys", "generate", "--out", "key.pem"]).status, Some(0));
        // Port 1 is nobody's.
        let url = "postgres://taskwire:canary-4b1f@127.0.0.1:1/taskwire";
        let service = sandbox.serve(&["--database-url", url, "--signing-key-file", "key.pem"]);
        assert_eq!(service.health().await, ServingStatus::NotServing);
        let ended = service.stop();
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
        assert!(!ended.stderr.contains("canary"), "{}", ended.stderr);
        for command in [["migrate", "up"], ["migrate", "status"]] {
            let ended = sandbox.run(command.into_iter().chain(["--database-url", url]));
            assert_eq!(ended.status, Some(1), "{}", ended.stderr);
            assert_eq!(ended.complaints().len(), 1, "{}", ended.stderr);
            assert!(!ended.stderr.contains("canary"), "{}", ended.stderr);
        }
    });
}
