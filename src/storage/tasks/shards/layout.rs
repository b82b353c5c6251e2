//! Which of the servers of a cluster has which shard.

use std::collections::{BTreeMap, HashMap};

use diesel::sql_types::{BigInt, Bool, Integer, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl as _;

use crate::domain::Result;
use crate::storage::engine::pool::{Engine, Pool, on_postgres};

/// A worker, as the coordinator knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// Its number in the cluster.
    pub(super) group: i32,
    pub(super) host: String,
    pub(super) port: u16,
    /// Whether it knows by itself where everything is, so that it can be asked.
    pub(super) is_informed: bool,
}

/// The servers that have shards of users, in the order of their numbers, and what each has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) nodes: Vec<Node>,
    of_shard: HashMap<i64, usize>,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    shard: i64,
    #[diesel(sql_type = Integer)]
    number: i32,
    #[diesel(sql_type = Text)]
    host: String,
    #[diesel(sql_type = Integer)]
    port: i32,
    #[diesel(sql_type = Bool)]
    is_informed: bool,
}

impl Layout {
    /// Which of the servers has a shard; `None` when it is not known.
    pub(super) fn server_of(&self, shard: i64) -> Option<usize> {
        self.of_shard.get(&shard).copied()
    }

    /// Asks the coordinator. All shards of users are few rows: one for each.
    ///
    /// # Errors
    /// Those of the storage.
    pub(super) async fn read(pool: &Pool) -> Result<Self> {
        let rows = pool.bounded(async {
            let Engine::Postgres(connections) = &pool.engine else { return Ok(Vec::new()) };
            on_postgres!(connections, |conn| {
                sql_query(
                    "select s.shardid as shard, n.groupid as number, n.nodename as host, n.nodeport as port, \
                     n.isactive and n.hasmetadata and n.metadatasynced as is_informed from pg_dist_shard s \
                     join pg_dist_placement p on p.shardid = s.shardid join pg_dist_node n \
                     on n.groupid = p.groupid and n.noderole = 'primary' \
                     where s.logicalrelid = 'users'::regclass",
                )
                .load::<Row>(conn)
                .await
            })
        });
        Ok(Self::of(rows.await?))
    }

    fn of(rows: Vec<Row>) -> Self {
        let by_group: BTreeMap<i32, Node> = rows
            .iter()
            .map(|row| {
                let port = u16::try_from(row.port).unwrap_or_default();
                let (group, host, is_informed) = (row.number, row.host.clone(), row.is_informed);
                (group, Node { group, host, port, is_informed })
            })
            .collect();
        let places: HashMap<i32, usize> =
            by_group.keys().enumerate().map(|(place, group)| (*group, place)).collect();
        let of_shard = rows.iter().filter_map(|row| Some((row.shard, *places.get(&row.number)?))).collect();
        Self { nodes: by_group.into_values().collect(), of_shard }
    }
}
