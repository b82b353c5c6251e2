//! Which shard a user's rows are on, where tables are spread over several servers: what goes together goes to one of them.

mod layout;
mod workers;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use diesel::sql_types::{Array, BigInt};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl as _;
use quick_cache::sync::Cache;

use self::layout::Layout;
pub(in crate::storage) use self::workers::Worker;
use self::workers::Workers;
use super::lane::{BATCH_MAX, Lane, place};
use crate::domain::{Error, Owner, Result, UserId};
use crate::storage::engine::connections::checkout;
use crate::storage::engine::meters::PoolState;
use crate::storage::engine::pool::{Engine, Pool, on_postgres};
use crate::storage::engine::postgres::Target;
use crate::storage::engine::types::{DbUuid, Id};

/// Users whose shard is remembered, about 100 bytes each.
const USERS_MAX: usize = 100_000;

/// A shard, and which of the servers has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) struct Shard {
    /// Those of the same number go together.
    pub(in crate::storage) number: i64,
    /// Which of how many servers.
    pub(in crate::storage) server: usize,
    servers: usize,
}

/// Where all users are.
#[derive(Debug)]
pub(in crate::storage) struct Shards {
    pool: Pool,
    known: Arc<Known>,
    /// Looks many users up at a time.
    lookups: Lane<UserId, Result<i64>>,
    /// Where what can goes straight to the workers.
    workers: Option<Workers>,
}

/// What was found out.
#[derive(Debug)]
struct Known {
    /// Which shard a user is in. A server that takes a shard over takes its number along.
    shards: Cache<UserId, i64>,
    layout: RwLock<Arc<Layout>>,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = DbUuid)]
    user_id: Id,
    #[diesel(sql_type = BigInt)]
    shard: i64,
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

impl Known {
    fn layout(&self) -> Arc<Layout> {
        Arc::clone(&self.layout.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn refresh(&self, pool: &Pool) -> Result<()> {
        let layout = Layout::read(pool).await?;
        if *self.layout() != layout {
            *self.layout.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(layout);
        }
        Ok(())
    }
}

impl Shards {
    /// With the coordinator's address, what can goes straight to the workers.
    pub(in crate::storage) fn open(pool: &Pool, directly_beside: Option<&Target>) -> Self {
        let known = Arc::new(Known { shards: Cache::new(USERS_MAX), layout: RwLock::new(Arc::default()) });
        let lookups = {
            let (pool, known) = (pool.clone(), Arc::clone(&known));
            Lane::open(BATCH_MAX, move |users| {
                let (pool, known) = (pool.clone(), Arc::clone(&known));
                async move { look_up(&pool, &known, users).await }
            })
        };
        Self { pool: pool.clone(), known, lookups, workers: directly_beside.map(Workers::of) }
    }

    /// The shard of a user.
    ///
    /// # Errors
    /// Those of the storage.
    pub(in crate::storage) async fn of(&self, user: UserId) -> Result<Shard> {
        if !self.pool.server().has_told()
            && let Engine::Postgres(connections) = &self.pool.engine
        {
            // The first call of all: each connection tells before it is handed out.
            drop(Box::pin(checkout(connections)).await?);
        }
        if !self.pool.server().is_distributed() {
            return Ok(Shard::ONLY);
        }
        if let Some(number) = self.known.shards.get(&user)
            && let Some(shard) = self.placed(number)
        {
            return Ok(shard);
        }
        let number = self.lookups.send(user, 0, user).await??;
        self.placed(number).ok_or_else(|| Error::Internal("the server of a shard is not known".into()))
    }

    fn placed(&self, number: i64) -> Option<Shard> {
        let layout = self.known.layout();
        Some(Shard { number, server: layout.server_of(number)?, servers: layout.nodes.len() })
    }

    /// Forgets where these users are: their batch may have turned out to be of several shards.
    pub(in crate::storage) fn forget(&self, users: impl Iterator<Item = UserId>) {
        for user in users {
            self.known.shards.remove(&user);
        }
    }

    /// Whether what can goes straight to the workers.
    pub(in crate::storage) fn is_direct(&self) -> bool {
        self.workers.is_some() && self.pool.server().is_distributed()
    }

    /// The worker that has a user, if it is known and may be asked without the coordinator in between.
    pub(in crate::storage) fn worker_of(&self, user: UserId) -> Option<Arc<Worker>> {
        let workers = self.workers.as_ref()?;
        let layout = self.known.layout();
        let server = layout.server_of(self.known.shards.get(&user)?)?;
        workers.get(layout.nodes.get(server)?)
    }

    /// Looks at where the shards are, and at the workers. To be asked every second.
    ///
    /// # Errors
    /// Those of the storage.
    pub(in crate::storage) async fn probe(&self) -> Result<()> {
        if !self.pool.server().is_distributed() {
            return Ok(());
        }
        self.known.refresh(&self.pool).await?;
        if let Some(workers) = &self.workers {
            workers.take_in(&self.known.layout(), &self.pool);
            workers.probe().await;
        }
        Ok(())
    }

    /// How the connections to workers stand, all together.
    pub(in crate::storage) fn pool_state(&self) -> Option<PoolState> {
        self.workers.as_ref()?.pool_state()
    }
}

/// Looks up in which shards these users are, and where shards are that were not known.
async fn look_up(pool: &Pool, known: &Known, users: Vec<UserId>) -> Vec<Result<i64>> {
    let shards = async {
        let shards = shards_of(pool, &users).await?;
        let layout = known.layout();
        if shards.values().any(|shard| layout.server_of(*shard).is_none()) {
            known.refresh(pool).await?;
        }
        Ok(shards)
    };
    let shards = match shards.await {
        Ok(shards) => shards,
        Err(error) => return users.iter().map(|_| Err(Error::clone(&error))).collect(),
    };
    for (user, shard) in &shards {
        known.shards.insert(*user, *shard);
    }
    let missing = || Error::Internal("a user's shard is not known".into());
    users.iter().map(|user| shards.get(user).copied().ok_or_else(missing)).collect()
}

async fn shards_of(pool: &Pool, users: &[UserId]) -> Result<HashMap<UserId, i64>> {
    let ids: Vec<Id> = users.iter().map(|user| Id::from(*user)).collect();
    let rows = pool.bounded(async {
        let Engine::Postgres(connections) = &pool.engine else { return Ok(Vec::new()) };
        on_postgres!(connections, |conn| {
            sql_query(
                "select u.user_id, get_shard_id_for_distribution_column('users', u.user_id) as shard \
                 from unnest($1) as u(user_id)",
            )
            .bind::<Array<DbUuid>, _>(&ids)
            .load::<Row>(conn)
            .await
        })
    });
    Ok(rows.await?.into_iter().map(|row| (row.user_id.into(), row.shard)).collect())
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
