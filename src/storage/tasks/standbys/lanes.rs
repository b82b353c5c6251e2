//! The lanes to one standby: reads of single tasks and of lists that are ranges of an index, each caller with what has to be
//! held for it.

use super::reads::{Asked, AtLeast, Held, each, held_tasks, tasks_of};
use crate::domain::{Owner, Result, Task};
use crate::storage::engine::pool::{Engine, Pool, on_postgres};
use crate::storage::engine::postgres::{Planner, Target};
use crate::storage::tasks::lane::{BATCH_MAX, LISTS_MAX, Lane, place};
use crate::storage::tasks::ranges::Ranges;
use crate::storage::tasks::task_row::TaskRow;
use diesel_async::RunQueryDsl as _;

/// Kinds of lanes to a standby: reading tasks, reading lists.
pub(super) const LANE_KINDS: u32 = 2;

type FoundTask = Result<Held<Option<Task>>>;
type FoundList = Result<Held<Vec<Task>>>;

/// All lanes to one standby.
#[derive(Debug)]
pub(super) struct StandbyLanes {
    reads: Vec<Lane<Asked, FoundTask>>,
    lists: Vec<Lane<(Ranges, AtLeast), FoundList>>,
}

impl StandbyLanes {
    /// So many of each kind, each on a connection of its own.
    pub(super) fn open(target: &Target, shared: &Pool, count: usize) -> Self {
        let read = |_| {
            let pool = Pool::single(target, Planner::ByKey, None, shared);
            Lane::open(BATCH_MAX, move |asked: Vec<Asked>| {
                let pool = pool.clone();
                async move {
                    let found = each(&pool, &asked).await;
                    found.unwrap_or_else(|error| asked.iter().map(|_| Err(error.clone())).collect())
                }
            })
        };
        let list = |_| {
            let pool = Pool::single(target, Planner::InOrder, None, shared);
            Lane::open(LISTS_MAX, move |asked: Vec<(Ranges, AtLeast)>| {
                let pool = pool.clone();
                async move {
                    let found = list_all(&pool, &asked).await;
                    found.unwrap_or_else(|error| asked.iter().map(|_| Err(error.clone())).collect())
                }
            })
        };
        Self { reads: (0..count).map(read).collect(), lists: (0..count).map(list).collect() }
    }

    pub(super) async fn find(&self, owner: Owner, asked: Asked) -> FoundTask {
        self.reads[place(owner, self.reads.len())].send(owner.user(), 0, asked).await?
    }

    pub(super) async fn list(&self, list: Ranges, at_least: AtLeast) -> FoundList {
        let owner = list.owner;
        self.lists[place(owner, self.lists.len())].send(owner.user(), 0, (list, at_least)).await?
    }
}

/// Reads lists, all under way together.
async fn list_all(pool: &Pool, asked: &[(Ranges, AtLeast)]) -> Result<Vec<FoundList>> {
    let read = async {
        // A standby is never anything else.
        let Engine::Postgres(connections) = &pool.engine else { return Ok(Vec::new()) };
        on_postgres!(connections, |conn| {
            let conn = &*conn;
            let read = asked.iter().map(|(list, at_least)| async {
                let rows: Vec<(i64, _, Option<TaskRow>)> =
                    tasks_of(list.owner, list.statement()).load(&mut &*conn).await?;
                Ok(held_tasks(rows, *at_least))
            });
            futures_util::future::try_join_all(read).await
        })
    };
    pool.bounded(read).await
}
