//! Request ids in a bad network: every call is sent until an answer comes, often more than once, and is carried out
//! exactly once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prost::Message as _;
use taskwire::pb;
use tonic::transport::{Channel, Endpoint};

use super::harness::proxy::Proxy;
use super::harness::random::Random;
use super::harness::replica::{User, World, rules};
use super::*;
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(five_hundred_creations_through_a_broken_network_are_made_once);

const CREATIONS: usize = 500;
/// How many of them are under way at once, each up to five times.
const AT_ONCE: usize = 10;

async fn five_hundred_creations_through_a_broken_network_are_made_once(database: TestDatabase) {
    let mut random = Random::seeded();
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    let proxy = Arc::new(Proxy::to(replica.address, 20_000, random.fork()).await);
    let endpoint = Endpoint::from_shared(format!("http://{}", proxy.address)).unwrap();
    // They connect again by themselves.
    let channels: Vec<Channel> = (0..8).map(|_| endpoint.connect_lazy()).collect();
    let number = Arc::new(AtomicUsize::new(0));
    let retries = Arc::new(AtomicUsize::new(0));
    let mut workers = Vec::new();
    for _ in 0..AT_ONCE {
        let (channels, number, retries) = (channels.clone(), Arc::clone(&number), Arc::clone(&retries));
        let (mut random, user) = (random.fork(), user.clone());
        workers.push(tokio::spawn(async move {
            let mut answers = BTreeMap::new();
            while let at @ 0..CREATIONS = number.fetch_add(1, Ordering::SeqCst) {
                let request_id = random.uuid().to_string();
                let request = pb::CreateTaskRequest { request_id, ..creation(titled(&at.to_string())) };
                let mut copies = Vec::new();
                for _ in 0..=random.below(5) {
                    let channel = random.pick(&channels).unwrap().clone();
                    copies.push(tokio::spawn(insist(
                        user.clone(),
                        channel,
                        request.clone(),
                        Arc::clone(&retries),
                    )));
                }
                for copy in copies {
                    let answer = copy.await.unwrap();
                    let encoded = answer.encode_to_vec();
                    let first = answers.entry(at).or_insert((answer, encoded.clone()));
                    assert_eq!(first.1, encoded);
                }
            }
            answers
        }));
    }
    let mut answers = BTreeMap::new();
    for worker in workers {
        answers.extend(worker.await.unwrap());
    }
    let (resets, retries) = (proxy.resets(), retries.load(Ordering::SeqCst));
    assert!(resets > 5 && retries > 5, "{resets} resets, {retries} retries");

    let mut tasks = replica.tasks(&user);
    let mut answered: Vec<pb::Task> = answers.into_values().map(|(task, _)| task).collect();
    answered.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(answered.len(), CREATIONS);
    assert_eq!(all(&mut tasks).await, answered);
    assert_eq!(revision(&mut tasks).await, 500);
    assert_eq!(changes(&mut tasks, 0).await.len(), CREATIONS);
}

/// Sends a call until an answer comes.
async fn insist(
    user: User,
    channel: Channel,
    request: pb::CreateTaskRequest,
    retries: Arc<AtomicUsize>,
) -> pb::Task {
    loop {
        match user.tasks(channel.clone()).create_task(request.clone()).await {
            Ok(answer) => return answer.into_inner(),
            Err(status) => {
                // A connection that breaks has many names; what must not come is a refusal.
                let refused =
                    [Code::InvalidArgument, Code::AlreadyExists, Code::PermissionDenied, Code::NotFound];
                assert!(!refused.contains(&status.code()), "{status:?}");
                retries.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
        }
    }
}
