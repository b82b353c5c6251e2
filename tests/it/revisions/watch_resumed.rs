//! Streams that break off and are taken up again: whatever happens in between, every change comes once, in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use taskwire::pb;
use taskwire::storage::Storage;
use tokio::sync::watch;

use super::harness::cluster::Cluster;
use super::harness::proxy::Proxy;
use super::harness::random::Random;
use super::harness::replica::{Tasks, User, World, connect, rules};
use super::*;
use crate::support::both_engines;
use crate::support::database::{TestDatabase, limits};

both_engines!(
    a_client_that_reconnects_misses_nothing,
    a_client_follows_through_a_broken_network,
    a_client_follows_through_a_restart_of_the_service,
);

async fn a_client_that_reconnects_misses_nothing(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let mut seen = 0;
    for round in 0..10 {
        create(&mut tasks, "while nobody watches").await;
        let mut stream = tasks.watch_tasks(watching(Some(seen))).await.unwrap().into_inner();
        let task = create(&mut tasks, "while somebody watches").await;
        tasks.delete_task(deletion(&task.name)).await.unwrap();
        // Some of what came is read, the rest is left to the next stream.
        for _ in 0..round % 4 {
            let change = next_change(&mut stream).await;
            assert_eq!((change.prev_revision, change.revision), (seen, seen + 1));
            seen = change.revision;
        }
    }
    let rest = changes(&mut tasks, seen).await;
    assert_eq!(rest.last().unwrap().revision, 30);
}

/// A client that follows a user's changes to `end`, from server to server as told.
struct Follower {
    user: User,
    seen: Arc<AtomicI64>,
    reconnects: usize,
}

impl Follower {
    fn new(user: &User) -> Self {
        Self { user: user.clone(), seen: Arc::default(), reconnects: 0 }
    }

    /// Follows to `end`; every change must be the one after the last.
    async fn follow(mut self, mut address: watch::Receiver<std::net::SocketAddr>, end: i64) -> usize {
        while self.seen.load(Ordering::SeqCst) < end {
            let at = *address.borrow_and_update();
            if self.read(at).await.is_err() {
                self.reconnects += 1;
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
        self.reconnects
    }

    async fn read(&self, address: std::net::SocketAddr) -> Result<(), Box<dyn std::error::Error>> {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"))?;
        let mut tasks = self.user.tasks(endpoint.connect().await?);
        let start = Some(self.seen.load(Ordering::SeqCst));
        let mut stream = tasks.watch_tasks(watching(start)).await?.into_inner();
        while let Some(message) = stream.message().await? {
            let Some(Event::Change(change)) = message.event else { continue };
            let before = self.seen.swap(change.revision, Ordering::SeqCst);
            assert_eq!((change.prev_revision, change.revision), (before, before + 1));
            if change.task.is_some_and(|task| task.title == "last") {
                return Ok(());
            }
        }
        Err("the stream ended without an error".into())
    }
}

async fn a_client_follows_through_a_broken_network(database: TestDatabase) {
    let mut random = Random::seeded();
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    // The client's library drops what came last before a connection breaks, so that each must last for some changes.
    let proxy = Proxy::to(replica.address, 20_000, random.fork()).await;
    let (_address, addresses) = watch::channel(proxy.address);
    let following = tokio::spawn(Follower::new(&user).follow(addresses, 301));
    let mut tasks = replica.tasks(&user);
    for _ in 0..15 {
        let items = (0..20).map(|number| creation(titled(&number.to_string()))).collect();
        tasks.batch_create_tasks(batch_creation(items)).await.unwrap();
    }
    create(&mut tasks, "last").await;
    let reconnects = tokio::time::timeout(PATIENCE, following).await.expect("the follower hangs").unwrap();
    println!("{} connections ended, {reconnects} reconnects", proxy.resets());
    assert!(proxy.resets() > 1 && reconnects > 1);
}

/// Makes tasks until one is made, as a client does that cannot reach its server.
async fn insist(tasks: &mut Tasks, title: &str) {
    let request_id = uuid::Uuid::now_v7().to_string();
    let request = pb::CreateTaskRequest { request_id, ..creation(titled(title)) };
    let begin = std::time::Instant::now();
    while let Err(status) = tasks.create_task(request.clone()).await {
        assert!(begin.elapsed() < PATIENCE, "{status:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn a_client_follows_through_a_restart_of_the_service(database: TestDatabase) {
    let world = World::on(&database.url);
    let mut replica = world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    let (address, addresses) = watch::channel(replica.address);
    let follower = Follower::new(&user);
    let seen = Arc::clone(&follower.seen);
    let following = tokio::spawn(follower.follow(addresses, 40));
    for round in 1..=4 {
        let mut tasks = user.tasks(connect(replica.address).await);
        for number in 1..=10 {
            create(&mut tasks, if round * number == 40 { "last" } else { "another" }).await;
        }
        if round < 4 {
            // Some restarts come before the follower has heard of everything.
            if round == 2 {
                until(|| seen.load(Ordering::SeqCst) == 20).await;
            }
            replica.stop().await;
            replica = world.serve(rules()).await;
            address.send(replica.address).unwrap();
        }
    }
    tokio::time::timeout(PATIENCE, following).await.expect("the follower hangs").unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 40);
}

async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it does not come to that");
}

/// On a cluster of its own, as nobody else can bear that its server stops.
#[test]
fn a_client_follows_through_a_restart_of_postgresql() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let Some(cluster) = Cluster::start("").await else { return };
        Storage::open(&cluster.url(), limits()).unwrap().migrate().await.unwrap();
        let world = World::on(&cluster.url());
        let replica = world.serve(rules()).await;
        let user = replica.register("one@example.org").await;
        let (_address, addresses) = watch::channel(replica.address);
        let follower = Follower::new(&user);
        let seen = Arc::clone(&follower.seen);
        let following = tokio::spawn(follower.follow(addresses, 30));
        let mut tasks = replica.tasks(&user);
        for round in 1..=3 {
            for number in 1..=10 {
                insist(&mut tasks, if round * number == 30 { "last" } else { "another" }).await;
            }
            if round == 1 {
                until(|| seen.load(Ordering::SeqCst) == 10).await;
            }
            if round < 3 {
                cluster.halt();
                cluster.resume();
            }
        }
        let reconnects =
            tokio::time::timeout(PATIENCE, following).await.expect("the follower hangs").unwrap();
        // A database that is away for a moment is not for the reader to notice.
        assert_eq!((seen.load(Ordering::SeqCst), reconnects), (30, 0));
        assert_eq!(changes(&mut tasks, 0).await.len(), 30);
    });
}
