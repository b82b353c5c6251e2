//! Databases on a cluster of Citus, for tests that are run against one: `TASKWIRE_TEST_CITUS_URL` names its coordinator, and
//! a database there that knows the workers.

use taskwire::storage::Storage;
use url::Url;

use super::database::{at, connect, limits};

/// Shards of a test's database: enough that its users are on several.
const SHARDS: u16 = 4;

/// The coordinator's URL; `None` where there is no cluster.
pub(crate) fn coordinator() -> Option<String> {
    std::env::var("TASKWIRE_TEST_CITUS_URL").ok().filter(|url| !url.is_empty())
}

/// Whether storages go straight to the workers there, as `TASKWIRE_TEST_CITUS_DIRECT` says.
pub(crate) fn is_direct() -> bool {
    coordinator().is_some()
        && std::env::var("TASKWIRE_TEST_CITUS_DIRECT").is_ok_and(|value| !value.is_empty())
}

/// A server of the cluster.
struct Node {
    url: Url,
}

/// A cluster: its coordinator, two workers that take part, and those that may join later.
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    spare: Vec<Url>,
}

impl Node {
    fn at(url: &Url, host: &str, port: u16) -> Self {
        let mut url = url.clone();
        url.set_host(Some(host)).unwrap();
        url.set_port(Some(port)).unwrap();
        Self { url }
    }

    /// On a connection of its own: the server may have been killed meanwhile.
    async fn execute(&self, sql: String) {
        let done = connect(self.url.as_str()).await.batch_execute(&sql).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
}

impl Cluster {
    /// The one whose coordinator this is. The workers take the same user and password.
    pub(crate) async fn of(coordinator: &Url) -> Self {
        let admin = connect(coordinator.as_str()).await;
        let known = "select nodename, nodeport from pg_dist_node where groupid > 0 and noderole = 'primary' \
                     order by nodeid";
        let rows =
            admin.query(known, &[]).await.expect("the database of TASKWIRE_TEST_CITUS_URL has no Citus");
        assert!(rows.len() >= 2, "a cluster has two workers at least");
        let mut nodes = vec![Node { url: coordinator.clone() }];
        for row in rows {
            let port = u16::try_from(row.get::<_, i32>(1)).unwrap();
            nodes.push(Node::at(coordinator, row.get(0), port));
        }
        let spare = nodes.split_off(3).into_iter().map(|node| node.url).collect();
        Self { nodes, spare }
    }

    /// The workers that take part, and those that may join.
    pub(crate) fn workers(&self) -> (Vec<&Url>, &[Url]) {
        (self.nodes[1..].iter().map(|node| &node.url).collect(), &self.spare)
    }

    /// Makes a database with all tables, spread, for `copy` to copy. Nobody can connect to it.
    pub(super) async fn make_template(&self, name: &str) {
        self.create(name).await;
        let coordinator = &self.nodes[0].url;
        let storage = Storage::open(at(coordinator, name).as_str(), limits()).unwrap();
        storage.migrate().await.unwrap();
        storage.distribute(Some(SHARDS)).await.unwrap();
        drop(storage);
        for node in &self.nodes {
            node.execute(format!("alter database {name} allow_connections false")).await;
            let others =
                format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'");
            node.execute(others).await;
        }
    }

    /// Copies a database, on every server: what the servers know of each other comes along.
    pub(super) async fn copy(&self, template: &str, name: &str) {
        for node in &self.nodes {
            node.execute(format!("create database {name} template {template}")).await;
        }
    }

    /// Makes an empty database whose servers know each other.
    pub(super) async fn create(&self, name: &str) {
        let coordinator = &self.nodes[0].url;
        let host_port = |url: &Url| format!("'{}', {}", url.host_str().unwrap(), url.port().unwrap());
        let mut join = format!("select citus_set_coordinator_host({});", host_port(coordinator));
        for (number, node) in self.nodes.iter().enumerate() {
            node.execute(format!("drop database if exists {name} with (force)")).await;
            node.execute(format!("create database {name} template template0")).await;
            connect(at(&node.url, name).as_str())
                .await
                .batch_execute("create extension citus")
                .await
                .unwrap();
            if number > 0 {
                join.push_str(&format!("select citus_add_node({});", host_port(&node.url)));
            }
        }
        let database = connect(at(coordinator, name).as_str()).await;
        // The servers may be busy with the databases of other tests.
        for attempt in 0.. {
            match database.batch_execute(&join).await {
                Ok(()) => return,
                Err(error) => assert!(attempt < 50, "{join}: {error:?}"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }

    /// Takes a database away.
    pub(super) async fn remove(&self, name: &str) {
        for node in &self.nodes {
            node.execute(format!("drop database if exists {name} with (force)")).await;
        }
    }
}
