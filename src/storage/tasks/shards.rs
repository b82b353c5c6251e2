//! Which shard a user's rows are on, where tables are spread over several servers: what goes together goes to one of them.

use std::collections::HashMap;
use std::sync::Arc;

use diesel::sql_types::{Array, BigInt};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl as _;
use quick_cache::sync::Cache;

use super::lane::{BATCH_MAX, Lane, place};
use crate::domain::{Error, Owner, Result, UserId};
use crate::storage::engine::pool::{Engine, Pool, on_postgres};
use crate::storage::engine::types::{DbUuid, Id};

/// Users whose shard is remembered, about 100 bytes each.
const USERS_MAX: usize = 100_000;

/// A shard, and which of the servers has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) struct Shard {
    /// Those of the same number go together.
    pub(in crate::storage) number: i64,
    /// Which of how many servers.
    server: usize,
    servers: usize,
}

/// Where all users are.
#[derive(Debug)]
pub(in crate::storage) struct Shards {
    pool: Pool,
    known: Arc<Cache<UserId, Shard>>,
    /// Looks many users up at a time.
    lookups: Lane<UserId, Result<Shard>>,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = DbUuid)]
    user_id: Id,
    #[diesel(sql_type = BigInt)]
    shard: i64,
    #[diesel(sql_type = BigInt)]
    server: i64,
    #[diesel(sql_type = BigInt)]
    servers: i64,
}

impl Shard {
    /// Where nothing is spread.
    const ONLY: Self = Self { number: 0, server: 0, servers: 1 };

    /// The lane of a user. The lanes are divided among the servers, so that one that hangs holds up its own users alone.
    pub(in crate::storage) fn lane(self, owner: Owner, lanes: usize) -> usize {
        if self == Self::ONLY {
            return place(owner, lanes);
        }
        let of_each = (lanes / self.servers).max(1);
        let number = usize::try_from(self.number).unwrap_or(0);
        (self.server + self.servers * (number % of_each)) % lanes.max(1)
    }
}

impl Shards {
    pub(in crate::storage) fn open(pool: &Pool) -> Self {
        let known = Arc::new(Cache::new(USERS_MAX));
        let lookups = {
            let (pool, known) = (pool.clone(), Arc::clone(&known));
            Lane::open(BATCH_MAX, move |users| {
                let (pool, known) = (pool.clone(), Arc::clone(&known));
                async move { look_up(&pool, &known, users).await }
            })
        };
        Self { pool: pool.clone(), known, lookups }
    }

    /// The shard of a user.
    ///
    /// # Errors
    /// Those of the storage.
    pub(in crate::storage) async fn of(&self, user: UserId) -> Result<Shard> {
        if !self.pool.server().is_distributed() {
            return Ok(Shard::ONLY);
        }
        match self.known.get(&user) {
            Some(shard) => Ok(shard),
            None => self.lookups.send(user, 0, user).await?,
        }
    }

    /// Forgets where these users are: their batch may have turned out to be of several shards.
    pub(in crate::storage) fn forget(&self, users: impl Iterator<Item = UserId>) {
        for user in users {
            self.known.remove(&user);
        }
    }
}

async fn look_up(pool: &Pool, known: &Cache<UserId, Shard>, users: Vec<UserId>) -> Vec<Result<Shard>> {
    let ids: Vec<Id> = users.iter().map(|user| Id::from(*user)).collect();
    let found = pool.bounded(async {
        let Engine::Postgres(connections) = &pool.engine else { return Ok(Vec::new()) };
        on_postgres!(connections, |conn| {
            sql_query(
                "with servers as (select groupid, row_number() over (order by groupid) - 1 as number, \
                 count(*) over () as count from pg_dist_node where noderole = 'primary' and shouldhaveshards) \
                 select v.user_id, v.shard, coalesce(min(s.number), 0) as server, \
                 coalesce(min(s.count), 1) as servers from (select u.user_id, \
                 get_shard_id_for_distribution_column('users', u.user_id) as shard from unnest($1) as u(user_id)) v \
                 left join pg_dist_placement p on p.shardid = v.shard left join servers s on s.groupid = p.groupid \
                 group by v.user_id, v.shard",
            )
            .bind::<Array<DbUuid>, _>(&ids)
            .load::<Row>(conn)
            .await
        })
    });
    let rows = match found.await {
        Ok(rows) => rows,
        Err(error) => return users.iter().map(|_| Err(error.clone())).collect(),
    };
    let shards: HashMap<UserId, Shard> = rows
        .into_iter()
        .map(|row| {
            let (server, servers) = (usize::try_from(row.server), usize::try_from(row.servers));
            let shard = Shard {
                number: row.shard,
                server: server.unwrap_or(0),
                servers: servers.unwrap_or(1).max(1),
            };
            (row.user_id.into(), shard)
        })
        .collect();
    for (user, shard) in &shards {
        known.insert(*user, *shard);
    }
    let missing = || Error::Internal("a user's shard is not known".into());
    users.iter().map(|user| shards.get(user).copied().ok_or_else(missing)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Shard;
    use crate::domain::{Owner, UserId};

    fn lanes_of(server: usize, servers: usize, lanes: usize) -> BTreeSet<usize> {
        let owner = Owner::vouched_for(UserId::from_bytes([1; 16]));
        (102_008..102_040).map(|number| Shard { number, server, servers }.lane(owner, lanes)).collect()
    }

    #[test]
    fn a_server_that_hangs_holds_up_its_own_lanes_alone() {
        assert_eq!(lanes_of(0, 2, 4), BTreeSet::from([0, 2]));
        assert_eq!(lanes_of(1, 2, 4), BTreeSet::from([1, 3]));
        assert_eq!(lanes_of(1, 2, 2), BTreeSet::from([1]));
        // With more servers than lanes they share.
        assert_eq!(lanes_of(5, 6, 4), BTreeSet::from([1]));
        assert_eq!(lanes_of(0, 1, 1), BTreeSet::from([0]));
    }

    #[test]
    fn where_nothing_is_spread_users_have_lanes_by_their_ids() {
        let lane = |number: u128| {
            let user = UserId::from_bytes(number.to_be_bytes());
            Shard::ONLY.lane(Owner::vouched_for(user), 4)
        };
        let lanes: BTreeSet<usize> = (0..64).map(lane).collect();
        assert_eq!(lanes.len(), 4);
    }
}
