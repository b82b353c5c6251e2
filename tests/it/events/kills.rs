//! Webhooks told by services that are killed under load: every change at least once, in order, signed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

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

/// How much of it: `TASKWIRE_SOAK=1` for fifty kills under more than two hundred changes a second.
struct Load {
    kills: usize,
    users: usize,
    /// Changes that each user makes at least; they go on as long as there are kills.
    changes: i64,
    /// Of which so many go in one call.
    batch: i64,
    pause: Duration,
}

impl Load {
    fn asked() -> Self {
        match std::env::var_os("TASKWIRE_SOAK") {
            Some(_) => {
                Self { kills: 50, users: 16, changes: 500, batch: 5, pause: Duration::from_millis(15) }
            }
            None => Self { kills: 2, users: 4, changes: 60, batch: 1, pause: Duration::from_millis(25) },
        }
    }
}

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

/// Makes tasks one after the other, each until its answer comes, wherever the service is; answers how many.
async fn write(
    pair: pb::TokenPair,
    load: &Load,
    addresses: watch::Receiver<std::net::SocketAddr>,
    is_over: watch::Receiver<bool>,
) -> (String, i64) {
    let mut kept: Option<(std::net::SocketAddr, Channel)> = None;
    let mut number = 0;
    while number < load.changes || !*is_over.borrow() {
        let titles = number + 1..=number + load.batch;
        number += load.batch;
        let request = pb::BatchCreateTasksRequest {
            parent: "users/me".to_owned(),
            requests: titles
                .map(|title| pb::CreateTaskRequest {
                    task: Some(pb::Task { title: title.to_string(), ..pb::Task::default() }),
                    ..pb::CreateTaskRequest::default()
                })
                .collect(),
            request_id: uuid::Uuid::new_v4().to_string(),
        };
        loop {
            let address = *addresses.borrow();
            if kept.as_ref().is_none_or(|(to, _)| *to != address) {
                kept = channel(address).await.map(|channel| (address, channel));
            }
            if let Some((_, channel)) = &kept
                && TaskServiceClient::new(channel.clone())
                    .batch_create_tasks(authorised(request.clone(), &pair))
                    .await
                    .is_ok()
            {
                break;
            }
            kept = None;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(load.pause).await;
    }
    (pair.user.unwrap().name, number)
}

/// Checks each message as it comes, until all changes of all users were taken, once it is known how many those are.
async fn take(
    receiver: &mut Receiver,
    secrets: &HashMap<String, String>,
    mut written: watch::Receiver<Option<HashMap<String, i64>>>,
) {
    let mut taken: HashMap<String, i64> = HashMap::new();
    loop {
        let all = written.borrow_and_update().clone();
        if all.is_some_and(|all| all == taken) {
            return;
        }
        let message: Message = tokio::select! {
            message = receiver.next() => message,
            changed = written.changed() => {
                changed.unwrap();
                continue;
            }
        };
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

/// Kills one service after the other; answers for how long there was one to be written to.
async fn kill(
    load: &Load,
    services: &mut [Service],
    serve: impl AsyncFn() -> Service,
    moved: &watch::Sender<std::net::SocketAddr>,
) -> Duration {
    let mut alive = Duration::ZERO;
    for round in 0..load.kills {
        let begin = Instant::now();
        tokio::time::sleep(Duration::from_millis(700)).await;
        let at = round % services.len();
        services[at].running.signal("KILL");
        alive += begin.elapsed();
        // Whoever writes goes on with the other one, if there is one.
        if services.len() > 1 {
            let begin = Instant::now();
            moved.send_replace(services[(at + 1) % services.len()].address);
            services[at] = serve().await;
            alive += begin.elapsed();
        } else {
            services[at] = serve().await;
            moved.send_replace(services[at].address);
        }
    }
    alive
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
    for number in 0..load.users {
        let pair = log_in_as(&services[0], &format!("user{number}@example.org")).await;
        let mut events = EventServiceClient::new(services[0].connect().await);
        let request = wanted("users/me", &receiver.url(), &["task.*"]);
        let made = events.create_webhook(authorised(request, &pair)).await.unwrap().into_inner();
        secrets.insert(pair.user.clone().unwrap().name, made.secret);
        pairs.push(pair);
    }
    receiver.will([204, 204, 204, 500, 204, 503, 204, 204, 302].map(Answer::status));
    let (moved, addresses) = watch::channel(services[0].address);
    let (over, is_over) = watch::channel(false);
    let (all, written) = watch::channel(None);
    let writing = async {
        let begin = Instant::now();
        let writers = pairs.into_iter().map(|pair| write(pair, &load, addresses.clone(), is_over.clone()));
        let made: HashMap<String, i64> = join_all(writers).await.into_iter().collect();
        let changes: i64 = made.values().sum();
        all.send_replace(Some(made));
        (changes, begin.elapsed())
    };
    let killing = async {
        let begin = Instant::now();
        let alive = kill(&load, &mut services, async || serve(&sandbox, &settings).await, &moved).await;
        over.send_replace(true);
        (alive, begin.elapsed())
    };
    let taking = take(&mut receiver, &secrets, written);
    let ((changes, took), (alive, killed_for), ()) = tokio::join!(writing, killing, taking);
    let alive = alive + took.saturating_sub(killed_for);
    let rate = changes as f64 / alive.as_secs_f64();
    println!("{changes} changes in {took:?}, of which there was a service for {alive:?}: {rate:.0} a second");
    // Nothing is left behind.
    let left = "select (select count(*) from outbox) + (select count(*) from webhook_queues)";
    crate::storage::eventually("all is told", async || database.query_i64(left).await == 0).await;
    database.assert_sound().await;
}
