//! Faults of a cluster under load: nothing that was acknowledged is lost, no revision is missing, and who is on the servers that
//! are well notices nothing.

use std::time::{Duration, Instant};

use tonic_health::pb::health_check_response::ServingStatus;
use url::Url;
use uuid::Uuid;

use super::node::Node;
use crate::process::callers::{Callers, DEADLINE, Repeats};
use crate::storage::eventually;
use crate::support::citus::{Cluster, coordinator};
use crate::support::database::{Engine, Schema, TestDatabase, at, connect};
use crate::support::process::{Sandbox, Service};

/// In which all is as before, once a server is there again.
const RECOVERY: Duration = Duration::from_secs(5);

/// The service on a cluster, with callers at work.
struct Setup {
    database: TestDatabase,
    cluster: Cluster,
    service: Service,
    callers: Option<Callers>,
    _sandbox: Sandbox,
}

impl Setup {
    async fn start(way: Way) -> Option<Self> {
        let Some(url) = coordinator() else {
            println!("LEFT OUT: TASKWIRE_TEST_CITUS_URL names no cluster");
            return None;
        };
        let cluster = Cluster::of(&Url::parse(&url).unwrap()).await;
        let database = TestDatabase::create(Engine::Postgres, Schema::Migrated).await.unwrap();
        let sandbox = Sandbox::new();
        assert_eq!(sandbox.run(["keys", "generate", "--out", "key.pem"]).status, Some(0));
        let direct = if way == Way::Directly { "--citus-direct=true" } else { "--citus-direct=false" };
        let mut service =
            sandbox.serve(&["--database-url", &database.url, "--signing-key-file", "key.pem", direct]);
        service.wait_until(ServingStatus::Serving).await;
        if way == Way::Directly {
            for _ in cluster.workers().0 {
                service.running.wait_for("a worker is asked directly");
            }
        }
        let address = format!("http://{}", service.address);
        let callers = Callers::start(&address, Repeats::For(Duration::from_secs(60))).await;
        callers.answered(200).await;
        let callers = Some(callers);
        Some(Self { database, cluster, service, callers, _sandbox: sandbox })
    }

    /// The callers whose rows are on a server, and the others.
    async fn users_of(&self, worker: &Url) -> (Vec<Uuid>, Vec<Uuid>) {
        let sql = format!(
            "select u.id::text from users u join pg_dist_placement p \
             on p.shardid = get_shard_id_for_distribution_column('users', u.id) join pg_dist_node n \
             on n.groupid = p.groupid where n.nodeport = {}",
            worker.port().unwrap()
        );
        let mut raw = self.database.raw().await;
        let mut there = Vec::new();
        for (user, _) in &self.callers().users {
            let of_user = sql.replace("users u join", &format!("(select '{user}'::uuid as id) u join"));
            if !raw.query_texts(&of_user).await.is_empty() {
                there.push(*user);
            }
        }
        let ids = self.callers().users.iter().map(|(user, _)| *user);
        let elsewhere = ids.filter(|user| !there.contains(user)).collect();
        println!("{} of the callers are there", there.len());
        (there, elsewhere)
    }

    /// That these were answered all the time.
    fn noticed_nothing(&self, users: &[Uuid]) {
        for (_, fortune) in self.callers().users.iter().filter(|(id, _)| users.contains(id)) {
            assert_eq!(fortune.failed(), 0);
            assert!(fortune.slowest() < DEADLINE, "{:?}", fortune.slowest());
        }
    }

    async fn finish(mut self) {
        let callers = self.callers.take().unwrap();
        let slowest = callers.users.iter().map(|(_, fortune)| fortune.slowest()).max().unwrap();
        println!("the longest attempt took {slowest:?}");
        callers.finish(&self.service).await;
        self.database.assert_sound().await;
    }

    fn callers(&self) -> &Callers {
        self.callers.as_ref().unwrap()
    }
}

/// Of a case that failed, what the service said.
impl Drop for Setup {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.service.running.signal("TERM");
            println!("{}", self.service.running.rest().join("\n"));
        }
    }
}

/// How what concerns single tasks reaches the workers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    ThroughTheCoordinator,
    Directly,
}

fn run(case: impl AsyncFn(Way)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        for way in [Way::ThroughTheCoordinator, Way::Directly] {
            tokio::time::timeout(Duration::from_secs(300), case(way)).await.expect("the case hangs");
        }
    });
}

#[test]
fn a_worker_is_killed_and_comes_back() {
    run(async |way| {
        let Some(setup) = Setup::start(way).await else { return };
        let worker = setup.cluster.workers().0[1].clone();
        let (there, elsewhere) = setup.users_of(&worker).await;
        let mut node = Node::of(&worker).await;
        node.kill();
        setup.callers().each_answered(&elsewhere, 200).await;
        node.start();
        let began = Instant::now();
        setup.callers().each_answered(&there, 10).await;
        assert!(began.elapsed() < RECOVERY, "{:?}", began.elapsed());
        setup.noticed_nothing(&elsewhere);
        setup.callers().answered(200).await;
        setup.finish().await;
    });
}

#[test]
fn a_worker_that_hangs_holds_up_its_own_users_alone() {
    run(async |way| {
        let Some(setup) = Setup::start(way).await else { return };
        let worker = setup.cluster.workers().0[1].clone();
        let (there, elsewhere) = setup.users_of(&worker).await;
        let node = Node::of(&worker).await;
        node.freeze();
        let until = Instant::now() + Duration::from_secs(8);
        while Instant::now() < until {
            setup.callers().each_answered(&elsewhere, 20).await;
        }
        node.thaw();
        let began = Instant::now();
        setup.callers().each_answered(&there, 10).await;
        assert!(began.elapsed() < RECOVERY, "{:?}", began.elapsed());
        setup.noticed_nothing(&elsewhere);
        setup.finish().await;
    });
}

#[test]
fn the_coordinator_is_killed_and_comes_back() {
    run(async |way| {
        let Some(setup) = Setup::start(way).await else { return };
        let mut node = Node::of(&Url::parse(&coordinator().unwrap()).unwrap()).await;
        node.kill();
        setup.service.wait_until(ServingStatus::NotServing).await;
        node.start();
        let began = Instant::now();
        let all: Vec<Uuid> = setup.callers().users.iter().map(|(user, _)| *user).collect();
        setup.callers().each_answered(&all, 10).await;
        assert!(began.elapsed() < RECOVERY, "{:?}", began.elapsed());
        setup.finish().await;
    });
}

#[test]
fn a_worker_joins_and_takes_shards() {
    run(async |way| {
        let Some(setup) = Setup::start(way).await else { return };
        let Some(new) = setup.cluster.workers().1.first().cloned() else {
            println!("LEFT OUT: the cluster has no third worker");
            return;
        };
        let name = Url::parse(&setup.database.url).unwrap().path().trim_start_matches('/').to_owned();
        let admin = connect(new.as_str()).await;
        // Citus tells one that joins of the settings of all databases, which have to be there.
        let databases = setup
            .database
            .query_texts("select datname from pg_database where datname like 'taskwire%'")
            .await;
        for database in &databases {
            let _ = admin.batch_execute(&format!("create database {database}")).await;
        }
        let there = connect(at(&new, &name).as_str()).await;
        there.batch_execute("create extension citus").await.unwrap();
        let (host, port) = (new.host_str().unwrap(), new.port().unwrap());
        setup.database.execute(&format!("select citus_add_node('{host}', {port})")).await;
        // Moved while they are written to.
        let move_some = "select rebalance_table_shards(shard_transfer_mode => 'force_logical')";
        setup.database.execute(move_some).await;
        let moved =
            "select count(*) from pg_dist_placement join pg_dist_node using (groupid) where nodeport = ";
        eventually("some are there", async || setup.database.query_i64(&format!("{moved}{port}")).await > 0)
            .await;
        setup.callers().answered(200).await;
        let all: Vec<Uuid> = setup.callers().users.iter().map(|(user, _)| *user).collect();
        setup.noticed_nothing(&all);
        setup.finish().await;
        drop(there);
        for database in &databases {
            admin.batch_execute(&format!("drop database if exists {database} with (force)")).await.unwrap();
        }
    });
}
