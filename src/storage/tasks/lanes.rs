//! The lanes of the service: reads of single tasks, lists that are ranges of an index, and writes of single tasks.
//!
//! A user's writes always take the same lane, so their order stays. Each lane has a connection of its own, so
//! that its statements are prepared once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use diesel::connection::DefaultLoadingMode;
use diesel::{QueryDsl as _, SelectableHelper as _};
use diesel_async::RunQueryDsl as _;
use futures_util::TryStreamExt as _;
use tracing::Instrument as _;

use super::batch;
use super::lane::{BATCH_MAX, LISTS_MAX, Lane, LaneMetrics};
use super::lane_pools::LanePools;
use super::ranges::Ranges;
use super::set_statements::find_tasks;
use super::shards::Shards;
use super::task_row::{TaskRow, TaskRowTypes};
use super::write_postgres::Reach;
use crate::domain::{Error, Owner, Resource, Result, Task, TaskId, UserId};
use crate::storage::engine::meters::PoolState;
use crate::storage::engine::pool::{Engine, Pool, load, on_postgres, on_sqlite};
use crate::storage::engine::postgres::Planner;
use crate::storage::engine::sql::Whole;
use crate::storage::engine::types::Id;
use crate::storage::schema::tasks;
use crate::storage::{Notifier, Operation, Outcome, SPANS, Storage, Target, WriteError};

type Key = (UserId, TaskId);

/// Kinds of lanes with connections of their own: reading tasks, reading lists, writing tasks.
pub(in crate::storage) const LANE_KINDS: u32 = 3;

/// All lanes.
#[derive(Debug)]
pub(in crate::storage) struct Lanes {
    reads: Vec<Lane<Key, Result<Task>>>,
    lists: Vec<Lane<Ranges, Result<Vec<Task>>>>,
    writes: Vec<Lane<Operation, Result<Outcome, WriteError>>>,
    /// The pools that are theirs alone.
    pools: Vec<Pool>,
    /// That of the first lane for lists.
    pub(in crate::storage) of_lists: Pool,
    shards: Arc<Shards>,
}

impl Lanes {
    pub(in crate::storage) fn open(storage: &Storage) -> Self {
        let count = storage.pool.limits.lanes;
        let mut pools: Vec<Pool> = Vec::new();
        let mut pool = |planner| match &storage.target {
            Target::Postgres(target) => {
                let pool = Pool::single(target, planner, pools.as_slice().first(), &storage.pool);
                pools.push(pool.clone());
                pool
            }
            // One connection writes anyway, and readers cost nothing to share.
            Target::Sqlite(_) => storage.pool.clone(),
        };
        let shards = Arc::clone(storage.shards());
        let of_lane = |pool, planner| Arc::new(LanePools::new(pool, planner, &shards));
        let read = |pool: Pool| {
            let pools = of_lane(pool, Planner::ByKey);
            Lane::open(BATCH_MAX, move |keys: Vec<Key>| {
                let pools = Arc::clone(&pools);
                async move {
                    let user = keys.as_slice().first().map(|(user, _)| *user);
                    pools.read(user, keys, find_all).await
                }
            })
        };
        let list = |pool: Pool| {
            let pools = of_lane(pool, Planner::InOrder);
            Lane::open(LISTS_MAX, move |lists: Vec<Ranges>| {
                let pools = Arc::clone(&pools);
                async move {
                    let user = lists.as_slice().first().map(|list| list.owner.user());
                    pools.read(user, lists, list_all).await
                }
            })
        };
        let write = |pool: Pool| {
            let pools = of_lane(pool, Planner::ByKey);
            let (notifier, shards) = (storage.notifier.clone(), Arc::clone(&shards));
            Lane::open(BATCH_MAX, move |operations: Vec<Operation>| {
                let (pools, notifier, shards) = (Arc::clone(&pools), notifier.clone(), Arc::clone(&shards));
                async move {
                    let user = operations.as_slice().first().map(|operation| operation.owner.user());
                    let way = pools.way_to(user).await;
                    write_all(&way.pool, &notifier, &shards, operations).await
                }
            })
        };
        let writes = if storage.is_embedded() { 1 } else { count };
        let reads = (0..count).map(|_| read(pool(Planner::ByKey))).collect();
        let of_lists = pool(Planner::InOrder);
        let other_lists = (1..count).map(|_| pool(Planner::InOrder));
        let lists = std::iter::once(of_lists.clone()).chain(other_lists).map(list).collect();
        let writes = (0..writes).map(|_| write(pool(Planner::ByKey))).collect();
        Self { reads, lists, writes, pools, of_lists, shards }
    }

    /// Reads one task, together with others.
    pub(in crate::storage) async fn find(&self, owner: Owner, id: TaskId) -> Result<Task> {
        let shard = self.shards.of(owner.user()).await?;
        let lane = lane_of_read(&self.reads, || shard.lane(owner, self.reads.len()));
        let sent = lane.send_or_carry(owner.user(), shard.number, (owner.user(), id));
        sent.instrument(span("read lane")).await?
    }

    /// Reads one page of a list and one task more, together with others.
    pub(in crate::storage) async fn list(&self, list: Ranges) -> Result<Vec<Task>> {
        let owner = list.owner;
        let shard = self.shards.of(owner.user()).await?;
        // Each is a statement of its own: only their way has to be the same.
        let class = if self.shards.is_direct() { shard.server } else { 0 };
        let lane = lane_of_read(&self.lists, || shard.lane(owner, self.lists.len()));
        let sent = lane.send_or_carry(owner.user(), i64::try_from(class).unwrap_or_default(), list);
        sent.instrument(span("list lane")).await?
    }

    /// Carries out one operation, together with others.
    pub(in crate::storage) async fn write(&self, operation: Operation) -> Result<Outcome, WriteError> {
        let owner = operation.owner;
        let shard = self.shards.of(owner.user()).await?;
        let lane = &self.writes[shard.lane(owner, self.writes.len())];
        let sent = lane.send(owner.user(), shard.number, operation);
        sent.instrument(span("write lane")).await?
    }

    /// How the pools that are theirs alone stand, all together.
    pub(in crate::storage) fn pool_state(&self) -> Option<PoolState> {
        PoolState::sum(self.pools.iter().flat_map(|pool| pool.state("lanes")))
    }

    pub(in crate::storage) fn metrics(&self) -> Vec<(&'static str, &LaneMetrics)> {
        let reads = self.reads.iter().map(|lane| ("read", lane.metrics()));
        let lists = self.lists.iter().map(|lane| ("list", lane.metrics()));
        let writes = self.writes.iter().map(|lane| ("write", lane.metrics()));
        reads.chain(lists).chain(writes).collect()
    }
}

/// Reads of a user may overtake each other. So the first lane takes all that come one by one: a single session of the database, whose
/// memory is at hand, answers them a twentieth faster than several in turn. Where more come at a time, each user has a lane.
fn lane_of_read<O: Send + 'static, A: Send + 'static>(
    lanes: &[Lane<O, A>],
    of_user: impl FnOnce() -> usize,
) -> &Lane<O, A> {
    let first = &lanes[0];
    if first.is_lonely() { first } else { &lanes[of_user()] }
}

/// The span of one operation in a lane, its wait included; none where nothing is traced.
fn span(name: &'static str) -> tracing::Span {
    tracing::trace_span!(target: SPANS, "lane", otel.name = name, otel.kind = "internal")
}

async fn find_all(pool: Pool, keys: Vec<Key>) -> Vec<Result<Task>> {
    // Alone, the plain statement costs the database less than half of what the one for a set does.
    let found = if let [(user, task)] = *keys.as_slice() {
        let key: (Id, Id) = (user.into(), task.into());
        load!(&pool, TaskRow, tasks::table.find(key).select(TaskRow::as_select()), by_key)
    } else {
        let keys: Vec<(Id, Id)> = keys.iter().map(|(user, task)| ((*user).into(), (*task).into())).collect();
        load!(&pool, TaskRow, find_tasks(&keys).at(pool.place()), by_key)
    };
    let found = match found {
        Ok(found) => found,
        Err(error) => return keys.iter().map(|_| Err(error.clone())).collect(),
    };
    keys.iter().map(|key| found.get(key).cloned().unwrap_or(Err(Error::NotFound(Resource::Task)))).collect()
}

/// The tasks by their keys. A row that cannot be read fails whoever asked for it, and nobody else.
fn by_key(rows: Vec<TaskRow>) -> HashMap<Key, Result<Task>> {
    rows.into_iter().map(|row| ((row.user_id.into(), row.task_id.into()), Task::try_from(row))).collect()
}

/// A page as it is read: all or nothing, as a list that left out what cannot be read would lie.
///
/// Row by row, with the room for all of it: a task is no small thing to be moved, and a page that grows moves them often.
struct Page {
    tasks: Result<Vec<Task>>,
}

impl Page {
    /// Tasks that room is made for at once; few lists are longer than that.
    const ROOM: usize = 101;

    fn of(list: &Ranges) -> Self {
        Self { tasks: Ok(Vec::with_capacity((list.page_size + 1).min(Self::ROOM))) }
    }

    fn add(&mut self, row: TaskRow) {
        if let Ok(tasks) = &mut self.tasks {
            match row.try_into() {
                Ok(task) => tasks.push(task),
                Err(error) => self.tasks = Err(error),
            }
        }
    }
}

/// Reads lists: on PostgreSQL all under way together, on SQLite one after another on one thread.
async fn list_all(pool: Pool, lists: Vec<Ranges>) -> Vec<Result<Vec<Task>>> {
    let count = lists.len();
    let read = pool.bounded(async {
        match &pool.engine {
            Engine::Postgres(connections) => on_postgres!(connections, |conn| {
                let conn = &*conn;
                let read = lists.iter().map(|list| async {
                    let statement = Whole::<TaskRowTypes>::new(list.statement());
                    let mut rows = statement.load_stream::<TaskRow>(&mut &*conn).await?;
                    let mut page = Page::of(list);
                    while let Some(row) = rows.try_next().await? {
                        page.add(row);
                    }
                    Ok(page.tasks)
                });
                futures_util::future::try_join_all(read).await
            }),
            Engine::Sqlite { readers, .. } => {
                let read = move |conn: &mut _| {
                    let read = |list: Ranges| {
                        let statement = Whole::<TaskRowTypes>::new(list.statement());
                        let mut page = Page::of(&list);
                        for row in
                            diesel::RunQueryDsl::load_iter::<TaskRow, DefaultLoadingMode>(statement, conn)?
                        {
                            page.add(row?);
                        }
                        Ok(page.tasks)
                    };
                    lists.into_iter().map(read).collect()
                };
                on_sqlite(readers, read).await
            }
        }
    });
    read.await.unwrap_or_else(|error| (0..count).map(|_| Err(error.clone())).collect())
}

async fn write_all(
    pool: &Pool,
    notifier: &Notifier,
    shards: &Shards,
    operations: Vec<Operation>,
) -> Vec<Result<Outcome, WriteError>> {
    let count = operations.len();
    // Kept in case the batch fails as a whole; what fails alone is not worth a copy, unless what moved a shard was at fault.
    let is_kept = count > 1 || pool.server().is_distributed();
    let again = if is_kept { operations.clone() } else { Vec::new() };
    // Alone there is little to be gained, and nobody else who would be held up by trying again.
    let reach = if count > 1 { Reach::InPlace } else { Reach::ByKey };
    match batch::commit(pool, notifier, operations, reach).await {
        Ok(results) => results,
        // Whether it was committed is not known, or trying again at once would help nobody.
        Err(
            error @ (Error::StorageUnavailable(_)
            | Error::DeadlineExceeded
            | Error::Overloaded
            | Error::StorageFull),
        ) => (0..count).map(|_| Err(error.clone().into())).collect(),
        Err(error) if again.is_empty() => vec![Err(error.into())],
        // Rolled back for certain, by the fault of one of them. By themselves the others succeed.
        Err(_) => {
            // Perhaps because they are not on one shard after all.
            shards.forget(again.iter().map(|operation| operation.owner.user()));
            let mut results = Vec::with_capacity(count);
            // Waiting for the same lock once more, for each operation of that user, would hold up everybody else.
            let mut held = HashSet::new();
            for operation in again {
                let user = operation.owner.user();
                if held.contains(&user) {
                    results.push(Err(Error::Conflict.into()));
                    continue;
                }
                let result = batch::commit_one(pool, notifier, operation).await;
                if matches!(result, Err(WriteError { error: Error::Conflict, .. })) {
                    held.insert(user);
                }
                results.push(result);
            }
            results
        }
    }
}
