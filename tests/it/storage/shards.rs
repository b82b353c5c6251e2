//! Lanes on a cluster of Citus: a batch is of one shard, also when shards change under it, through the coordinator and straight
//! to the workers. Left out where `TASKWIRE_TEST_CITUS_URL` names no cluster.

use futures_util::future::join_all;
use taskwire::domain::{Result, Task, TaskWrite};
use taskwire::storage::Storage;
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{Person, at, eventually, task};
use crate::support::citus::{Cluster, coordinator, is_direct};
use crate::support::database::{Engine, Schema, TestDatabase, at as database_at, connect};

/// A database on a cluster, its storage, and people who are all in one shard, in the order of their ids.
struct Setup {
    database: TestDatabase,
    people: Vec<Person>,
    shard: String,
    /// A connection to the worker that has it.
    worker: Client,
}

#[derive(Clone, Copy)]
enum Way {
    ThroughTheCoordinator,
    Directly,
}

const BOTH: [Way; 2] = [Way::ThroughTheCoordinator, Way::Directly];

impl Way {
    async fn open(self, database: &TestDatabase) -> Storage {
        let storage = database.open(crate::support::database::limits());
        match self {
            Self::ThroughTheCoordinator => storage,
            Self::Directly => {
                let storage = storage.with_direct_workers().unwrap();
                storage.probe().await.unwrap();
                storage.probe_workers().await.unwrap();
                storage
            }
        }
    }
}

impl Setup {
    async fn with(count: usize, way: Way) -> Self {
        let database = TestDatabase::create(Engine::Postgres, Schema::Migrated).await.unwrap();
        let storage = way.open(&database).await;
        let mut of_shards = std::collections::BTreeMap::<String, Vec<Person>>::new();
        for number in 0.. {
            let person = Person::new(&database, &format!("person{number}")).await;
            let person = Person { storage: storage.clone(), ..person };
            let shard = format!(
                "select get_shard_id_for_distribution_column('users', '{}'::uuid)",
                person.user().uuid()
            );
            let shard = database.query_text(&shard).await;
            let people = of_shards.entry(shard.clone()).or_default();
            people.push(person);
            if people.len() == count {
                let mut people = people.clone();
                people.sort_by_key(|person| person.user().uuid());
                // So that it is known where they are.
                for person in &people {
                    person.create(task("before"), at(1)).await;
                }
                let worker = worker_with(&database, &shard).await;
                return Self { database, people, shard, worker };
            }
        }
        unreachable!()
    }

    fn write_lane(&self) -> (usize, u64, u64) {
        self.people[0].write_lane()
    }

    async fn waiting(&self, count: usize) {
        eventually("so many are in the lane", async || self.write_lane().0 == count).await;
    }
}

async fn worker_with(database: &TestDatabase, shard: &str) -> Client {
    let port = format!(
        "select nodeport from pg_dist_placement join pg_dist_node using (groupid) where shardid = {shard}"
    );
    let port = u16::try_from(database.query_i64(&port).await).unwrap();
    let url = Url::parse(&coordinator().unwrap()).unwrap();
    let cluster = Cluster::of(&url).await;
    let (workers, _) = cluster.workers();
    let worker = workers.into_iter().find(|worker| worker.port() == Some(port)).unwrap();
    let name = Url::parse(&database.url).unwrap().path().trim_start_matches('/').to_owned();
    connect(database_at(worker, &name).as_str()).await
}

fn creates(person: &Person, title: &str) -> JoinHandle<Result<Option<Task>>> {
    let (person, new) = (person.clone(), task(title));
    tokio::spawn(async move { person.write(TaskWrite::Create(Box::new(new)), at(5)).await })
}

fn run(ways: impl IntoIterator<Item = Way>, case: impl AsyncFn(Way)) {
    crate::auth::served::run(async {
        if coordinator().is_none() {
            println!("LEFT OUT: TASKWIRE_TEST_CITUS_URL names no cluster");
            return;
        }
        if is_direct() {
            println!("skipped: both ways are gone by itself");
            return;
        }
        for way in ways {
            case(way).await;
        }
    });
}

#[test]
fn a_batch_whose_shard_was_split_is_taken_apart() {
    run(BOTH, async |way| {
        let setup = Setup::with(2, way).await;
        let [one, other] = &setup.people[..] else { unreachable!() };
        let hash = |person: &Person| format!("worker_hash('{}'::uuid)", person.user().uuid());
        let (split, node) = (
            format!("least({}, {})", hash(one), hash(other)),
            format!(
                "(select nodeid from pg_dist_node join pg_dist_placement using (groupid) where shardid = {})",
                setup.shard
            ),
        );
        setup
            .database
            .execute(&format!(
                "select citus_split_shard_by_split_points({}, array[({split})::text], array[{node}, {node}], \
                 'block_writes')",
                setup.shard
            ))
            .await;

        let mut holder = one.hold(&setup.database).await;
        let (_, batches, operations) = setup.write_lane();
        let first = creates(one, "held up");
        setup.waiting(1).await;
        let together = [creates(one, "together"), creates(other, "together")];
        setup.waiting(3).await;
        holder.execute("rollback").await;
        for written in join_all([first].into_iter().chain(together)).await {
            written.unwrap().unwrap();
        }
        let (_, batches_now, operations_now) = setup.write_lane();
        assert_eq!((batches_now - batches, operations_now - operations), (2, 3), "two were sent together");
        for person in [one, other] {
            person.create(task("afterwards"), at(6)).await;
            person.check_books(&setup.database).await;
        }
    });
}

#[test]
fn a_deadlock_costs_nobody_in_a_lane_an_answer() {
    run(BOTH, async |way| {
        let setup = Setup::with(3, way).await;
        let [one, two, three] = &setup.people[..] else { unreachable!() };
        let lock = |person: &Person| {
            format!("select 1 from users_{} where id = '{}' for update", setup.shard, person.user().uuid())
        };
        // Somebody else takes the same rows the other way round, and looks for deadlocks much later.
        setup.worker.batch_execute("set deadlock_timeout = '60s'; begin").await.unwrap();
        setup.worker.batch_execute(&lock(two)).await.unwrap();

        let mut holder = three.hold(&setup.database).await;
        let (_, batches, _) = setup.write_lane();
        let first = creates(three, "held up");
        setup.waiting(1).await;
        let together = [creates(one, "one"), creates(two, "two")];
        setup.waiting(3).await;
        holder.execute("rollback").await;
        first.await.unwrap().unwrap();
        let held = format!(
            "do $$ begin perform 1 from users_{} where id = '{}' for update nowait; raise 'free'; \
             exception when lock_not_available then null; end $$",
            setup.shard,
            one.user().uuid()
        );
        let observer = worker_with(&setup.database, &setup.shard).await;
        eventually("the batch holds the first", async || observer.batch_execute(&held).await.is_ok()).await;
        // The batch is given up by then: it is who looks for deadlocks.
        setup.worker.batch_execute(&lock(one)).await.unwrap();
        assert_eq!(setup.write_lane().1 - batches, 2, "two were sent together");
        setup.worker.batch_execute("rollback").await.unwrap();
        for written in join_all(together).await {
            written.unwrap().unwrap();
        }
        for person in [one, two] {
            person.check_books(&setup.database).await;
        }
    });
}

#[test]
fn what_goes_straight_to_a_worker_is_told_to_others() {
    run([Way::Directly], async |way| {
        let setup = Setup::with(1, way).await;
        let ada = &setup.people[0];
        let ended = CancellationToken::new();
        let following = tokio::spawn({
            let (storage, ended) = (ada.storage.clone(), ended.clone());
            async move { storage.follow_changes(ended).await }
        });
        let mut heard = crate::support::database::listen(&setup.database.url, "taskwire_changes").await;
        let created = ada.create(task("straight"), at(1)).await;
        let user = ada.user().uuid().simple().to_string();
        while !heard.recv().await.unwrap().contains(&user) {}

        // Reads go there as well.
        assert_eq!(ada.find(created.id).await.unwrap(), created);
        assert_eq!(ada.list(&super::query()).await.tasks[0], created);
        let there = "select query from pg_stat_activity where datname = current_database() \
                     and application_name = 'taskwire'";
        let queries: Vec<String> =
            setup.worker.query(there, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
        assert_eq!(queries.len(), 4, "one for each kind of lane, and one to look at it: {queries:?}");
        let pools = ada.storage.pool_states();
        let of_workers = pools.iter().find(|pool| pool.name == "workers").unwrap();
        assert!(of_workers.connections >= 4, "{of_workers:?}");
        assert_eq!(pools.iter().find(|pool| pool.name == "lanes").unwrap().connections, 0);
        ended.cancel();
        following.await.unwrap();
        ada.check_books(&setup.database).await;
    });
}

#[test]
fn direct_connections_that_break_cost_readers_nothing() {
    run([Way::Directly], async |way| {
        let setup = Setup::with(1, way).await;
        let ada = &setup.people[0];
        let first = ada.create(task("straight"), at(1)).await;
        assert_eq!(ada.find(first.id).await.unwrap(), first);
        let quit = "select pg_terminate_backend(pid, 10000) from pg_stat_activity \
                    where datname = current_database() and application_name = 'taskwire'";
        assert_eq!(setup.worker.query(quit, &[]).await.unwrap().len(), 3);
        assert_eq!(ada.find(first.id).await.unwrap(), first);
        assert_eq!(ada.list(&super::query()).await.tasks[0], first);

        // One that does not know by itself where everything is, is asked through the coordinator.
        let forget = "update pg_dist_node set metadatasynced = false where groupid > 0";
        setup.database.execute(forget).await;
        ada.storage.probe_workers().await.unwrap();
        let second = ada.create(task("through the coordinator"), at(2)).await;
        assert_eq!(ada.find(second.id).await.unwrap(), second);
        assert!(ada.storage.pool_states().iter().all(|pool| pool.name != "workers"));
        ada.check_books(&setup.database).await;
    });
}
