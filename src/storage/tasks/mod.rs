//! The tasks of one owner. Every method takes an `Owner`, and every statement names the owner's id.

pub(super) mod batch;
pub(super) mod change_row;
pub(super) mod changes;
pub(super) mod deciding;
pub(super) mod filter;
pub(super) mod known;
pub(super) mod lane;
pub(super) mod lane_pools;
pub(super) mod lanes;
pub(super) mod ledger;
pub(super) mod list_row;
pub(super) mod lists;
pub(super) mod notifier;
pub(super) mod operation;
pub(super) mod ranges;
pub(super) mod read_statements;
pub(super) mod set_statements;
pub(super) mod shards;
pub(super) mod standbys;
pub(super) mod subtasks;
pub(super) mod surroundings;
pub(super) mod task_row;
pub(super) mod write_conn;
pub(super) mod write_postgres;
pub(super) mod write_sqlite;

use std::collections::{BTreeMap, HashMap};

use diesel::sql_types::BigInt;
use diesel::{OptionalExtension as _, QueryDsl as _, QueryableByName, SelectableHelper as _};
use diesel_async::RunQueryDsl as _;

use self::lanes::Lanes;
use self::ranges::Ranges;
use self::set_statements::find_tasks;
use self::shards::Shards;
use self::standbys::Standbys;
use self::task_row::{TaskRow, TaskRowTypes, as_tasks};
use self::write_postgres::Reach;
use crate::domain::{Error, Owner, Resource, Result, Task, TaskCounts, TaskId, TaskPage, TaskQuery, Write};
use crate::storage::engine::pool::{Pool, load, to_its_end, with_conn};
use crate::storage::engine::sql::{Explain, Whole};
use crate::storage::engine::types::Id;
use crate::storage::schema::{tasks, users};
use crate::storage::{Notifier, Operation, Outcome, WriteError, found};

/// The tasks.
#[derive(Debug)]
pub struct Tasks<'a> {
    pool: &'a Pool,
    /// For what reaches rows by their key alone.
    by_key: &'a Pool,
    notifier: &'a Notifier,
    lanes: Option<&'a Lanes>,
    shards: &'a Shards,
    standbys: &'a Standbys,
}

impl<'a> Tasks<'a> {
    pub(in crate::storage) const fn new(
        pool: &'a Pool,
        by_key: &'a Pool,
        notifier: &'a Notifier,
        lanes: Option<&'a Lanes>,
        shards: &'a Shards,
        standbys: &'a Standbys,
    ) -> Self {
        Self { pool, by_key, notifier, lanes, shards, standbys }
    }

    /// The task, deleted or not. With a `min_revision`, by whoever holds the user's changes up to it; the same goes for every
    /// read below.
    ///
    /// # Errors
    /// `NotFound`, or those of the storage.
    pub async fn find(&self, owner: Owner, id: TaskId, min_revision: Option<i64>) -> Result<Task> {
        if let Some(question) = self.standbys.ask(owner, min_revision) {
            let asked = question.standby.find(owner, id, question.at_least);
            // Boxed, as what follows.
            if let Some((task, _)) = Box::pin(question.answer(asked)).await {
                return found(task, Error::NotFound(Resource::Task));
            }
        }
        if let Some(lanes) = self.lanes {
            return lanes.find(owner, id).await;
        }
        // Boxed, so that a call through the lane does not carry the room for it.
        Box::pin(self.find_alone(owner, id)).await
    }

    async fn find_alone(&self, owner: Owner, id: TaskId) -> Result<Task> {
        let row = with_conn!(self.by_key, |conn| {
            tasks::table
                .find((Id::from(owner.user()), Id::from(id)))
                .select(TaskRow::as_select())
                .first(conn)
                .await
                .optional()
        })?;
        found(row, Error::NotFound(Resource::Task))?.try_into()
    }

    /// One page of a list. A page costs the same at any depth in the orders that have an index: by creation time,
    /// alone or with `completed`, with `priority`, or with both.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn list(&self, owner: Owner, query: &TaskQuery) -> Result<TaskPage> {
        if let Some(question) = self.standbys.ask(owner, query.min_revision) {
            let asked = question.standby.list(owner, query, question.at_least);
            if let Some((tasks, revision)) = Box::pin(question.answer(asked)).await {
                return Ok(as_page(tasks, query, Some(revision)));
            }
        }
        let page = self.list_on_primary(owner, query).await?;
        // The next page may come from a standby, and must not be older than this one.
        let is_carried_on = query.min_revision.is_some() && page.next.is_some() && !self.standbys.is_empty();
        let revision = match is_carried_on {
            true => Some(self.revision(owner).await?),
            false => None,
        };
        Ok(TaskPage { revision, ..page })
    }

    /// The user's revision, on the primary.
    async fn revision(&self, owner: Owner) -> Result<i64> {
        let user = Id::from(owner.user());
        let revision = with_conn!(self.by_key, |conn| {
            users::table.find(user).select(users::revision).first(conn).await.optional()
        })?;
        found(revision, Error::SessionRevoked)
    }

    async fn list_on_primary(&self, owner: Owner, query: &TaskQuery) -> Result<TaskPage> {
        let ranges = Ranges::of(owner, query);
        let tasks = match (self.lanes, ranges) {
            (Some(lanes), Some(ranges)) => lanes.list(ranges).await?,
            (None, Some(ranges)) => {
                let statement = || Whole::<TaskRowTypes>::new(ranges.statement());
                load!(self.pool, TaskRow, statement(), as_tasks)??
            }
            (_, None) => Box::pin(self.list_any(owner, query)).await?,
        };
        Ok(as_page(tasks, query, None))
    }

    /// A list of whatever shape.
    async fn list_any(&self, owner: Owner, query: &TaskQuery) -> Result<Vec<Task>> {
        let statement = || Whole::<TaskRowTypes>::new(read_statements::list(owner, query));
        load!(self.pool, TaskRow, statement(), as_tasks)?
    }

    /// How the engine would read such a page, a line per step.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn explain_list(&self, owner: Owner, query: &TaskQuery) -> Result<String> {
        use crate::storage::engine::pool::Engine;
        use diesel::sql_types::{Integer, Text};
        let ranges = Ranges::of(owner, query);
        let fragment =
            || ranges.map_or_else(|| read_statements::list(owner, query), |ranges| ranges.statement());
        let statement = || Whole::<TaskRowTypes>::new(fragment());
        let pool = self.lanes.filter(|_| ranges.is_some()).map_or(self.pool, |lanes| &lanes.of_lists);
        #[derive(QueryableByName)]
        struct PostgresStep {
            #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
            text: String,
        }
        #[derive(QueryableByName)]
        struct SqliteStep {
            #[diesel(sql_type = Integer)]
            parent: i32,
            #[diesel(sql_type = Text)]
            detail: String,
        }
        // The engines answer in different columns.
        let steps: Vec<String> = match &pool.engine {
            Engine::Postgres(connections) => {
                let mut conn = crate::storage::engine::connections::checkout(connections).await?;
                let steps: Vec<PostgresStep> = Explain(statement()).load(&mut *conn).await?;
                steps.into_iter().map(|step| step.text).collect()
            }
            Engine::Sqlite { readers, .. } => {
                let mut conn = crate::storage::engine::connections::checkout(readers).await?;
                let steps: Vec<SqliteStep> = Explain(statement()).load(&mut *conn).await?;
                steps
                    .into_iter()
                    .map(|step| format!("{}{}", if step.parent > 0 { "  " } else { "" }, step.detail))
                    .collect()
            }
        };
        Ok(steps.join("\n"))
    }

    /// Carries out one operation, all or nothing: a single write together with those of other callers where lanes are
    /// on, else in a transaction of its own.
    ///
    /// # Errors
    /// Those of `TaskWrite::decide`, `QuotaExceeded`, `RequestIdReused`, `SessionRevoked` when the owner is gone, or
    /// the storage's.
    pub async fn write(&self, operation: Operation) -> Result<Outcome, WriteError> {
        match self.lanes {
            // The history is on the coordinator alone, where a lane may not lead.
            Some(lanes)
                if matches!(operation.writes.as_slice(), [Write::Task(_)])
                    && (operation.history.is_none() || !self.shards.is_direct()) =>
            {
                lanes.write(operation).await
            }
            // A large batch would hold up everybody else's small ones, and so would one that reads what is around it.
            _ => {
                let (pool, notifier) = (self.by_key.clone(), self.notifier.clone());
                Box::pin(to_its_end(async move { batch::commit_one(&pool, &notifier, operation).await }))
                    .await
            }
        }
    }

    /// Carries out operations in one transaction, each all or nothing by itself: reads the tasks as they stand under
    /// their owners' locks, decides, raises the owners' revisions, stores the tasks and notes the changes. What
    /// changes nothing makes no revision. Where users are spread over shards, in one transaction for each of those.
    ///
    /// # Errors
    /// Inner errors concern one operation, as those of `write` do. Outer ones are the storage's.
    pub async fn write_together(
        &self,
        operations: Vec<Operation>,
    ) -> Result<Vec<Result<Outcome, WriteError>>> {
        // By shard, and where in the order they came.
        let mut parts: BTreeMap<i64, (Vec<usize>, Vec<Operation>)> = BTreeMap::new();
        for (at, operation) in operations.into_iter().enumerate() {
            let shard = self.shards.of(operation.owner.user()).await?;
            let part = parts.entry(shard.number).or_default();
            part.0.push(at);
            part.1.push(operation);
        }
        let mut results = Vec::new();
        for (places, part) in parts.into_values() {
            let (pool, notifier) = (self.by_key.clone(), self.notifier.clone());
            let done =
                to_its_end(async move { batch::commit(&pool, &notifier, part, Reach::ByKey).await }).await?;
            results.extend(places.into_iter().zip(done));
        }
        results.sort_by_key(|(at, _)| *at);
        Ok(results.into_iter().map(|(_, result)| result).collect())
    }

    /// What would become of operations of one owner, as if they were carried out one after the other by `write_together`. Nothing
    /// is written.
    ///
    /// # Errors
    /// As `write_together`.
    pub async fn rehearse(&self, operations: Vec<Operation>) -> Result<Vec<Result<Outcome, WriteError>>> {
        batch::rehearse(self.by_key, self.notifier, operations).await
    }

    /// The tasks with these ids, in order; `None` where there is none.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn find_many(
        &self,
        owner: Owner,
        ids: &[TaskId],
        min_revision: Option<i64>,
    ) -> Result<Vec<Option<Task>>> {
        if let Some(question) = self.standbys.ask(owner, min_revision) {
            let asked = question.standby.find_many(owner, ids, question.at_least);
            if let Some((tasks, _)) = Box::pin(question.answer(asked)).await {
                return Ok(tasks);
            }
        }
        let user = Id::from(owner.user());
        let keys: Vec<(Id, Id)> = ids.iter().map(|id| (user, Id::from(*id))).collect();
        let tasks = load!(self.by_key, TaskRow, find_tasks(&keys), as_tasks)??;
        let found: HashMap<TaskId, Task> = tasks.into_iter().map(|task| (task.id, task)).collect();
        Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
    }

    /// How many tasks pass a filter, in one statement.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn count(&self, owner: Owner, query: &TaskQuery) -> Result<TaskCounts> {
        if let Some(question) = self.standbys.ask(owner, query.min_revision) {
            let asked = question.standby.count(owner, query, question.at_least);
            if let Some((counts, _)) = Box::pin(question.answer(asked)).await {
                return Ok(counts);
            }
        }
        type Counts = (BigInt, BigInt, BigInt, BigInt, BigInt, BigInt);
        let statement = || Whole::<Counts>::new(read_statements::count(owner, query));
        let (total, completed, low, medium, high, overdue) = with_conn!(self.pool, |conn| {
            statement().get_result::<(i64, i64, i64, i64, i64, i64)>(conn).await
        })?;
        Ok(TaskCounts { total, completed, low, medium, high, overdue })
    }

    /// A page of all tasks in the order of their ids, deleted ones too.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn walk_all(&self, owner: Owner, after: Option<TaskId>, limit: i64) -> Result<Vec<Task>> {
        let statement = || Whole::<TaskRowTypes>::new(read_statements::walk_all(owner, after, limit));
        load!(self.by_key, TaskRow, statement(), as_tasks)?
    }

    /// A page of all live tasks in the order of their ids, for whoever wants them all.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn walk(
        &self,
        owner: Owner,
        after: Option<TaskId>,
        limit: i64,
        min_revision: Option<i64>,
    ) -> Result<Vec<Task>> {
        if let Some(question) = self.standbys.ask(owner, min_revision) {
            let asked = question.standby.walk(owner, after, limit, question.at_least);
            if let Some((tasks, _)) = Box::pin(question.answer(asked)).await {
                return Ok(tasks);
            }
        }
        let statement = || Whole::<TaskRowTypes>::new(read_statements::walk(owner, after, limit));
        load!(self.pool, TaskRow, statement(), as_tasks)?
    }
}

fn as_page(mut tasks: Vec<Task>, query: &TaskQuery, revision: Option<i64>) -> TaskPage {
    let page_size = query.page_size.get();
    let more = tasks.len() > page_size;
    tasks.truncate(page_size);
    let next = tasks.last().filter(|_| more).map(|last| query.order.cursor_at(last));
    TaskPage { tasks, next, revision }
}
