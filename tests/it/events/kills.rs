//! Webhooks told by services that are killed under load: every change at least once, in order, signed.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use taskwire::pb;
use taskwire::pb::event_service_client::EventServiceClient;
use taskwire::pb::task_service_client::TaskServiceClient;
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::health_check_response::ServingStatus;

use super::receiver::{Answer, Message, Receiver};
use super::wanted;
use crate::process::{authorised, log_in_as};
use crate::support::both_engines;
use crate::support::database::{Engine, TestDatabase};
use crate::support::process::{Sandbox, Service};

both_engines!(no_change_is_lost_or_out_of_order_when_services_are_killed);

/// How much of it: `TASKWIRE_SOAK=1` for fifty kills.
struct Load {
    kills: usize,
    changes: i64,
    pause: Duration,
}

impl Load {
    fn asked() -> Self {
        match std::env::var_os("TASKWIRE_SOAK") {
            Some(_) => Self { kills: 50, changes: 2500, pause: Duration::from_millis(20) },
            None => Self { kills: 2, changes: 60, pause: Duration::from_millis(25) },
        }
    }
}

const USERS: usize = 4;

fn settings(sandbox: &Sandbox, database: &TestDatabase) -> Vec<String> {
    if !sandbox.path("key.pem").exists() {
        assert_eq!(sandbox.run(["keys", "generate", "--out", "key.pem"]).status, Some(0));
        assert_eq!(sandbox.run(["keys", "generate-secrets-key", "--out", "secrets.key"]).status, Some(0));
    }
    let flags = [
        ["--database-url", database.url.as_str()],
        ["--signing-key-file", "key.pem"],
        ["--secrets-key-file", "secrets.key"],
        ["--webhook-http", "true"],
        ["--webhook-networks", "127.0.0.0/8"],
    ];
    flags.as_flattened().iter().map(ToString::to_string).collect()
}

async fn serve(sandbox: &Sandbox, settings: &[String]) -> Service {
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let service = sandbox.serve(&settings);
    service.wait_until(ServingStatus::Serving).await;
    service
}

async fn channel(address: std::net::SocketAddr) -> Option<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect_timeout(Duration::from_secs(2)).timeout(Duration::from_secs(10)).connect().await.ok()
}

/// Makes so many tasks one after the other, each until its answer comes, wherever the service is.
async fn write(pair: pb::TokenPair, load: &Load, addresses: watch::Receiver<std::net::SocketAddr>) {
    for number in 1..=load.changes {
        let request = pb::CreateTaskRequest {
            parent: "users/me".to_owned(),
            task: Some(pb::Task { title: number.to_string(), ..pb::Task::default() }),
            request_id: uuid::Uuid::new_v4().to_string(),
            ..pb::CreateTaskRequest::default()
        };
        loop {
            let address = *addresses.borrow();
            if let Some(channel) = channel(address).await
                && TaskServiceClient::new(channel)
                    .create_task(authorised(request.clone(), &pair))
                    .await
                    .is_ok()
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(load.pause).await;
    }
}

/// Checks each message as it comes, until all changes of all users were taken.
async fn take(receiver: &mut Receiver, secrets: &HashMap<String, String>, changes: i64) {
    let mut taken: HashMap<String, i64> = HashMap::new();
    while taken.values().filter(|revision| **revision == changes).count() < USERS {
        let message: Message = receiver.next().await;
        let data = message.json()["data"].clone();
        let user = data["task"]["name"].as_str().unwrap().split("/tasks/").next().unwrap().to_owned();
        assert!(message.is_signed_with(&secrets[&user]), "{message:?}");
        let revision: i64 = data["revision"].as_str().unwrap().parse().unwrap();
        let reached = taken.entry(user.clone()).or_insert(0);
        // Some come again after a kill; none comes before its time.
        assert!(revision <= *reached + 1, "{user}: {revision} after {reached}");
        assert_eq!(data["task"]["title"], revision.to_string());
        if message.was_taken {
            *reached = revision.max(*reached);
        }
    }
}

async fn no_change_is_lost_or_out_of_order_when_services_are_killed(database: TestDatabase) {
    let load = Load::asked();
    let sandbox = Sandbox::new();
    let settings = settings(&sandbox, &database);
    let mut receiver = Receiver::start().await;
    let first = serve(&sandbox, &settings).await;
    // SQLite has one process; on PostgreSQL another one takes over what the killed one did.
    let mut services = vec![first];
    if database.engine == Engine::Postgres {
        services.push(serve(&sandbox, &settings).await);
    }
    let mut secrets = HashMap::new();
    let mut pairs = Vec::new();
    for number in 0..USERS {
        let pair = log_in_as(&services[0], &format!("user{number}@example.org")).await;
        let mut events = EventServiceClient::new(services[0].connect().await);
        let request = wanted("users/me", &receiver.url(), &["task.*"]);
        let made = events.create_webhook(authorised(request, &pair)).await.unwrap().into_inner();
        secrets.insert(pair.user.clone().unwrap().name, made.secret);
        pairs.push(pair);
    }
    receiver.will([204, 204, 204, 500, 204, 503, 204, 204, 302].map(Answer::status));
    let (moved, addresses) = watch::channel(services[0].address);
    let writing = join_all(pairs.into_iter().map(|pair| write(pair, &load, addresses.clone())));
    let killing = async {
        for round in 0..load.kills {
            tokio::time::sleep(Duration::from_millis(700)).await;
            let at = round % services.len();
            services[at].running.signal("KILL");
            services[at] = serve(&sandbox, &settings).await;
            moved.send_replace(services[at].address);
        }
    };
    let taking = take(&mut receiver, &secrets, load.changes);
    tokio::join!(writing, killing, taking);
    // Nothing is left behind.
    let left = "select (select count(*) from outbox) + (select count(*) from webhook_queues)";
    crate::storage::eventually("all is told", async || database.query_i64(left).await == 0).await;
    database.assert_sound().await;
}
