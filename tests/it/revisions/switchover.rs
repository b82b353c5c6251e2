//! A primary that dies, or lives on as another one takes its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use taskwire::pb;
use taskwire::storage::{Limits, Storage};
use tokio::task::JoinHandle;

use super::harness::address::Address;
use super::harness::cluster::Cluster;
use super::harness::replica::{Replica, Tasks, User, World, rules};
use super::*;
use crate::support::database::{TestDatabase, assert_sound, limits};
use crate::support::one_engine;

one_engine!(Postgres:
    an_old_primary_that_lives_on_is_left,
    a_demoted_primary_serves_reads_until_another_comes,
    a_primary_that_hangs_is_left,
    what_a_synchronous_standby_lacks_is_not_answered,
    a_killed_primary_loses_nothing_that_was_answered,
    a_promotion_without_the_last_commits_begins_a_history,
    a_restart_and_a_crash_begin_none,
    of_several_hosts_the_one_that_can_be_written_to_is_taken,
);

/// Within which writes work again once a primary can be reached.
const AGAIN: Duration = Duration::from_secs(5);

/// A primary and a standby that has all of it, and the address that leads to the primary.
struct Pair {
    primary: Cluster,
    standby: Cluster,
    address: Address,
    world: World,
}

impl Pair {
    async fn start(settings: &str) -> Option<Self> {
        // What was answered has to be on the disk of a server that crashes.
        let primary = Cluster::start(&format!("synchronous_commit = on\n{settings}")).await?;
        Storage::open(&primary.url(), limits()).unwrap().migrate().await.unwrap();
        let standby = primary.standby();
        let address = Address::of(primary.port()).await;
        let world = World::on(&address.url());
        Some(Self { primary, standby, address, world })
    }

    /// Waits until the standby has what the primary has.
    async fn caught_up(&self) {
        let mut primary = self.primary.raw().await;
        let mut standby = self.standby.raw().await;
        let here = primary.query_texts("select pg_current_wal_lsn()").await.remove(0);
        let there = format!("select coalesce(pg_last_wal_replay_lsn() >= '{here}', false)");
        until("the standby has caught up", async || standby.query_texts(&there).await == ["t"]).await;
    }
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !is_so().await {
        assert!(begin.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Somebody who writes without pause, and remembers what was answered.
struct Writer {
    stop: Arc<AtomicBool>,
    writing: JoinHandle<Vec<pb::Task>>,
}

impl Writer {
    fn start(mut tasks: Tasks) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let writing = tokio::spawn(async move {
            let mut answered = Vec::new();
            while !told.load(Ordering::SeqCst) {
                match tasks.create_task(creation(titled("under load"))).await {
                    Ok(task) => answered.push(task.into_inner()),
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
            answered
        });
        Self { stop, writing }
    }

    async fn stop(self) -> Vec<pb::Task> {
        self.stop.store(true, Ordering::SeqCst);
        self.writing.await.unwrap()
    }
}

/// Waits for the first write that is answered.
async fn writes_again(tasks: &mut Tasks) -> pb::Task {
    let begin = Instant::now();
    loop {
        match tasks.create_task(creation(titled("again"))).await {
            Ok(task) => return task.into_inner(),
            Err(status) => assert!(begin.elapsed() < AGAIN, "no write succeeds: {status:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn all_are_there(replica: &Replica, user: &User, answered: &[pb::Task]) {
    let mut tasks = replica.tasks(user);
    for task in answered {
        let name = task.name.clone();
        let found = tasks.get_task(pb::GetTaskRequest { name, ..Default::default() }).await;
        assert_eq!(found.unwrap().into_inner().name, task.name);
    }
    assert_sound(&replica.services.storage).await;
}

async fn history(tasks: &mut Tasks) -> String {
    tasks.list_task_changes(listing(0, 1)).await.unwrap().into_inner().history
}

async fn an_old_primary_that_lives_on_is_left(_: TestDatabase) {
    let Some(pair) = Pair::start("").await else { return };
    let replica = pair.world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    let mut tasks = replica.tasks(&user);
    let marked = create(&mut tasks, "as it was").await;
    let before = history(&mut tasks).await;
    let mut stream = tasks.watch_tasks(watching(Some(1))).await.unwrap().into_inner();
    let writers: Vec<_> = (0..4).map(|_| Writer::start(replica.tasks(&user))).collect();
    until("something is written", async || revision(&mut tasks).await > 20).await;
    // Read-only, with its connections open.
    let mut old = pair.primary.raw().await;
    old.execute("alter system set default_transaction_read_only = on").await;
    old.execute("select pg_reload_conf()").await;
    until("it is read-only", async || {
        pair.primary.raw().await.query_texts("show transaction_read_only").await == ["on"]
    })
    .await;
    pair.caught_up().await;
    pair.standby.promote();
    pair.address.lead_to(pair.standby.port());
    writes_again(&mut tasks).await;
    // What the old one says from now on is nobody's business.
    let session = "set session characteristics as transaction read write";
    old.execute(session).await;
    old.execute("update tasks set title = 'stale'").await;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(2) {
        let name = marked.name.clone();
        let found = tasks
            .get_task(pb::GetTaskRequest { name: name.clone(), ..Default::default() })
            .await
            .unwrap()
            .into_inner();
        assert_eq!(found.title, "as it was");
        let request = pb::ListTasksRequest { parent: "users/me".into(), ..pb::ListTasksRequest::default() };
        let listed = tasks.list_tasks(request).await.unwrap().into_inner().tasks;
        assert!(listed.iter().all(|task| task.title != "stale"));
    }
    let mut answered = Vec::new();
    for writer in writers {
        answered.extend(writer.stop().await);
    }
    all_are_there(&replica, &user, &answered).await;
    // Whoever watched hears of it.
    let ended = loop {
        match stream.message().await {
            Ok(message) => assert_eq!(message.unwrap().history, before),
            Err(status) => break status,
        }
    };
    assert_eq!(reason(&ended), "HISTORY_CHANGED");
    assert_eq!(info(&ended, "history"), history(&mut tasks).await);
    // And news comes from the new one.
    let place = revision(&mut tasks).await;
    let mut stream = tasks.watch_tasks(watching(Some(place))).await.unwrap().into_inner();
    create(&mut tasks, "told").await;
    assert_eq!(next_change(&mut stream).await.revision, place + 1);
}

async fn a_demoted_primary_serves_reads_until_another_comes(_: TestDatabase) {
    let Some(pair) = Pair::start("").await else { return };
    let replica = pair.world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    let mut tasks = replica.tasks(&user);
    let made = create(&mut tasks, "kept").await;
    let before = history(&mut tasks).await;
    pair.caught_up().await;
    // In recovery, under the same address: nobody can write.
    pair.primary.demote();
    let name = made.name.clone();
    let get = pb::GetTaskRequest { name: name.clone(), ..Default::default() };
    until("it is read", async || tasks.get_task(get.clone()).await.is_ok()).await;
    let refused = tasks.create_task(creation(titled("in vain"))).await;
    assert_eq!(reason(&refused.unwrap_err()), "STORAGE_UNAVAILABLE");
    assert_eq!(history(&mut tasks).await, before);
    assert!(replica.services.storage.is_read_only());
    // The very server is promoted under the open connections: not one write goes by without its new history.
    let writer = Writer::start(replica.tasks(&user));
    pair.primary.promote();
    writes_again(&mut tasks).await;
    assert_ne!(history(&mut tasks).await, before);
    let answered = writer.stop().await;
    all_are_there(&replica, &user, &answered).await;
    assert!(!replica.services.storage.is_read_only());
}

/// Its machine stands still, as one does that is cut off: no connection ends by itself.
async fn a_primary_that_hangs_is_left(_: TestDatabase) {
    let Some(pair) = Pair::start("").await else { return };
    let replica = pair.world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    let mut tasks = replica.tasks(&user);
    let writers: Vec<_> = (0..4).map(|_| Writer::start(replica.tasks(&user))).collect();
    until("something is written", async || revision(&mut tasks).await > 20).await;
    // In the middle of calls, each of which would wait for as long as a statement may take: half a minute here.
    pair.primary.signal("STOP");
    pair.standby.promote();
    pair.address.lead_to(pair.standby.port());
    let begin = Instant::now();
    writes_again(&mut tasks).await;
    assert!(begin.elapsed() < AGAIN, "{:?}", begin.elapsed());
    for writer in writers {
        writer.stop().await;
    }
}

/// A commit that waits for its standby for longer than a statement may is told to be done by the server, and is not.
async fn what_a_synchronous_standby_lacks_is_not_answered(_: TestDatabase) {
    let Some(pair) = Pair::start("").await else { return };
    let statement_timeout = Duration::from_millis(500);
    let replica = pair.world.serve_within(rules(), Limits { statement_timeout, ..limits() }).await;
    let user = replica.register("one@example.org").await;
    let mut tasks = replica.tasks(&user);
    let made = create(&mut tasks, "one").await;
    pair.caught_up().await;
    let mut primary = pair.primary.raw().await;
    primary.execute("alter system set synchronous_standby_names = '*'").await;
    primary.execute("select pg_reload_conf()").await;
    until("it is asked for", async || {
        pair.primary.raw().await.query_texts("show synchronous_standby_names").await == ["*"]
    })
    .await;
    pair.standby.halt();
    let next = pb::Task { name: made.name, ..titled("two") };
    let batch = batch_creation(vec![creation(titled("three")), creation(titled("four"))]);
    let refused = [
        tasks.create_task(creation(titled("two"))).await.map(|_| ()),
        tasks.update_task(change(next, &["title"])).await.map(|_| ()),
        tasks.batch_create_tasks(batch).await.map(|_| ()),
        user.try_rename(replica.channel(), "Ada").await.map(|_| ()),
    ];
    for answer in refused {
        let status = answer.expect_err("it is answered");
        assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Unavailable), "{status:?}");
    }
}

async fn a_killed_primary_loses_nothing_that_was_answered(_: TestDatabase) {
    let Some(pair) = Pair::start("").await else { return };
    let mut primary = pair.primary.raw().await;
    primary.execute("alter system set synchronous_standby_names = '*'").await;
    primary.execute("select pg_reload_conf()").await;
    let asked = "select count(*) from pg_stat_replication where sync_state = 'sync'";
    until("the standby is synchronous", async || primary.query_texts(asked).await == ["1"]).await;
    let replica = pair.world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    let mut tasks = replica.tasks(&user);
    let writers: Vec<_> = (0..8).map(|_| Writer::start(replica.tasks(&user))).collect();
    until("something is written", async || revision(&mut tasks).await > 50).await;
    pair.primary.crash();
    pair.standby.promote();
    pair.address.lead_to(pair.standby.port());
    writes_again(&mut tasks).await;
    let mut answered = Vec::new();
    for writer in writers {
        answered.extend(writer.stop().await);
    }
    assert!(answered.len() > 50);
    all_are_there(&replica, &user, &answered).await;
}

async fn a_promotion_without_the_last_commits_begins_a_history(_: TestDatabase) {
    let Some(pair) = Pair::start("").await else { return };
    let replica = pair.world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    let mut tasks = replica.tasks(&user);
    let task = create(&mut tasks, "one").await;
    let before = history(&mut tasks).await;
    pair.caught_up().await;
    // What comes from here on is lost.
    pair.standby.halt();
    let next = pb::Task { name: task.name.clone(), ..titled("lost") };
    let lost = tasks.update_task(change(next, &["title"])).await.unwrap().into_inner();
    pair.primary.crash();
    pair.standby.resume();
    pair.standby.promote();
    pair.address.lead_to(pair.standby.port());
    let again = writes_again(&mut tasks).await;
    assert_eq!(again.revision, lost.revision);
    let request = pb::ListTaskChangesRequest { history: before, ..listing(lost.revision, 0) };
    refused_for(tasks.list_task_changes(request).await, "HISTORY_CHANGED");
    let next = pb::Task { name: task.name.clone(), ..titled("found") };
    let found = tasks.update_task(change(next, &["title"])).await.unwrap().into_inner();
    assert_ne!(found.etag, lost.etag);
}

async fn a_restart_and_a_crash_begin_none(_: TestDatabase) {
    let Some(pair) = Pair::start("").await else { return };
    let replica = pair.world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    let mut tasks = replica.tasks(&user);
    create(&mut tasks, "one").await;
    let before = history(&mut tasks).await;
    for stop in [Cluster::halt, Cluster::crash] {
        stop(&pair.primary);
        pair.primary.resume();
        writes_again(&mut tasks).await;
        assert_eq!(history(&mut tasks).await, before);
    }
}

async fn of_several_hosts_the_one_that_can_be_written_to_is_taken(_: TestDatabase) {
    let Some(pair) = Pair::start("").await else { return };
    let (primary, standby) = (pair.primary.port(), pair.standby.port());
    // Bound, so that nobody else takes the port, and never listened on.
    let nobody = tokio::net::TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = nobody.local_addr().unwrap().port();
    let url =
        format!("postgres://postgres@127.0.0.1:{nobody},127.0.0.1:{standby},127.0.0.1:{primary}/postgres");
    let world = World::on(&url);
    let replica = world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    let mut tasks = replica.tasks(&user);
    let task = create(&mut tasks, "one").await;
    assert!(replica.services.storage.describe().contains(&format!("127.0.0.1:{nobody},127.0.0.1:{standby}")));
    // It goes over to the other one.
    pair.caught_up().await;
    pair.primary.halt();
    pair.standby.promote();
    writes_again(&mut tasks).await;
    all_are_there(&replica, &user, &[task]).await;
}
