//! Databases on a cluster of Citus, for tests that are run against one: `TASKWIRE_TEST_CITUS_URL` names its coordinator.

use tokio_postgres::Client;
use url::Url;

use super::database::{at, connect, limits};
use taskwire::storage::Storage;

/// Shards of a test's database: enough that its users are on several.
const SHARDS: u16 = 4;

/// The coordinator's URL; `None` where there is no cluster.
pub(crate) fn coordinator() -> Option<String> {
    std::env::var("TASKWIRE_TEST_CITUS_URL").ok().filter(|url| !url.is_empty())
}

/// The workers of the cluster, with a connection to each.
pub(super) struct Workers(Vec<(Url, Client)>);

impl Workers {
    /// Those that the database behind the coordinator's URL knows. They take the same user and password.
    pub(super) async fn of(url: &Url, admin: &Client) -> Self {
        let known = "select nodename, nodeport from pg_dist_node where groupid > 0 and noderole = 'primary'";
        let rows =
            admin.query(known, &[]).await.expect("the database of TASKWIRE_TEST_CITUS_URL has no Citus");
        let mut workers = Vec::new();
        for row in rows {
            let mut worker = url.clone();
            worker.set_host(Some(row.get(0))).unwrap();
            worker.set_port(Some(u16::try_from(row.get::<_, i32>(1)).unwrap())).unwrap();
            let client = connect(worker.as_str()).await;
            workers.push((worker, client));
        }
        assert!(workers.len() >= 2, "a cluster has two workers at least");
        Self(workers)
    }

    /// Makes a database of this name on all of them, and the one on the coordinator theirs.
    pub(super) async fn join(&self, coordinator: &Url, name: &str) {
        let database = connect(at(coordinator, name).as_str()).await;
        database.batch_execute("create extension citus").await.unwrap();
        let host = coordinator.host_str().unwrap();
        let port = coordinator.port().unwrap();
        let mut join = format!("select citus_set_coordinator_host('{host}', {port});");
        for (worker, client) in &self.0 {
            client.batch_execute(&format!("create database {name}")).await.unwrap();
            let there = connect(at(worker, name).as_str()).await;
            there.batch_execute("create extension citus").await.unwrap();
            let (host, port) = (worker.host_str().unwrap(), worker.port().unwrap());
            join.push_str(&format!("select citus_add_node('{host}', {port});"));
        }
        database.batch_execute(&join).await.unwrap();
    }

    /// Makes the tables there, spread.
    pub(super) async fn migrate(&self, coordinator: &Url, name: &str) {
        let storage = Storage::open(at(coordinator, name).as_str(), limits()).unwrap();
        storage.migrate().await.unwrap();
        storage.distribute(Some(SHARDS)).await.unwrap();
    }

    pub(super) async fn leave(&self, name: &str) {
        for (_, client) in &self.0 {
            let _ = client.batch_execute(&format!("drop database if exists {name} with (force)")).await;
        }
    }
}
