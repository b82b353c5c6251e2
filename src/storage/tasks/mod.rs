//! The tasks of one owner. Every method takes an `Owner`, and every statement names the owner's id.

pub(super) mod batch;
pub(super) mod changes;
pub(super) mod filter;
pub(super) mod lane;
pub(super) mod lanes;
pub(super) mod ledger;
pub(super) mod notifier;
pub(super) mod ranges;
pub(super) mod set_statements;
pub(super) mod task_row;
pub(super) mod write_conn;
pub(super) mod write_postgres;
pub(super) mod write_sqlite;

use std::collections::HashMap;

use diesel::sql_types::BigInt;
use diesel::{
    ExpressionMethods as _, OptionalExtension as _, QueryDsl as _, QueryableByName, SelectableHelper as _,
};
use diesel_async::RunQueryDsl as _;

use self::lanes::Lanes;
use self::ranges::Ranges;
use self::set_statements::find_tasks;
use self::task_row::{COLUMNS, TaskRow, TaskRowTypes};
use crate::domain::{
    Error, Owner, Resource, Result, Task, TaskCounts, TaskId, TaskPage, TaskQuery, Timestamp,
};
use crate::storage::engine::pool::{Pool, load, to_its_end, with_conn};
use crate::storage::engine::sql::{Explain, Fragment, Value, Whole};
use crate::storage::engine::types::Id;
use crate::storage::schema::tasks;
use crate::storage::{Notifier, Operation, Outcome, WriteError, found};

/// The tasks.
#[derive(Debug)]
pub struct Tasks<'a> {
    pool: &'a Pool,
    /// For what reaches rows by their key alone.
    by_key: &'a Pool,
    notifier: &'a Notifier,
    lanes: Option<&'a Lanes>,
}

impl<'a> Tasks<'a> {
    pub(in crate::storage) const fn new(
        pool: &'a Pool,
        by_key: &'a Pool,
        notifier: &'a Notifier,
        lanes: Option<&'a Lanes>,
    ) -> Self {
        Self { pool, by_key, notifier, lanes }
    }

    /// The task, deleted or not.
    ///
    /// # Errors
    /// `NotFound`, or those of the storage.
    pub async fn find(&self, owner: Owner, id: TaskId) -> Result<Task> {
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
        let ranges = Ranges::of(owner, query);
        let tasks = match (self.lanes, ranges) {
            (Some(lanes), Some(ranges)) => lanes.list(ranges).await?,
            (None, Some(ranges)) => {
                let rows = load!(self.pool, TaskRow, ranges.statement(), as_tasks);
                rows??
            }
            (_, None) => Box::pin(self.list_any(owner, query)).await?,
        };
        Ok(as_page(tasks, query))
    }

    /// A list of whatever shape.
    async fn list_any(&self, owner: Owner, query: &TaskQuery) -> Result<Vec<Task>> {
        load!(self.pool, TaskRow, any_list(owner, query), as_tasks)?
    }

    /// How the engine would read such a page, a line per step.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn explain_list(&self, owner: Owner, query: &TaskQuery) -> Result<String> {
        use crate::storage::engine::pool::Engine;
        use diesel::sql_types::{Integer, Text};
        let ranges = Ranges::of(owner, query);
        let statement = || ranges.map_or_else(|| any_list(owner, query), |ranges| ranges.statement());
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
            Some(lanes) if operation.writes.len() == 1 => lanes.write(operation).await,
            // A large batch would hold up everybody else's small ones.
            _ => {
                let (pool, notifier) = (self.by_key.clone(), self.notifier.clone());
                Box::pin(to_its_end(async move { batch::commit_one(&pool, &notifier, operation).await }))
                    .await
            }
        }
    }

    /// Carries out operations in one transaction, each all or nothing by itself: reads the tasks as they stand under
    /// their owners' locks, decides, raises the owners' revisions, stores the tasks and notes the changes. What
    /// changes nothing makes no revision.
    ///
    /// # Errors
    /// Inner errors concern one operation, as those of `write` do. Outer ones are the storage's.
    pub async fn write_together(
        &self,
        operations: Vec<Operation>,
    ) -> Result<Vec<Result<Outcome, WriteError>>> {
        let (pool, notifier) = (self.by_key.clone(), self.notifier.clone());
        to_its_end(async move { batch::commit(&pool, &notifier, operations).await }).await
    }

    /// The tasks with these ids, in order; `None` where there is none.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn find_many(&self, owner: Owner, ids: &[TaskId]) -> Result<Vec<Option<Task>>> {
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
    pub async fn count(&self, owner: Owner, query: &TaskQuery, now: Timestamp) -> Result<TaskCounts> {
        let statement = || {
            let mut sql = Fragment::new();
            sql.sql(
                "select count(*), count(*) filter (where completed), count(*) filter (where priority = 1), \
                 count(*) filter (where priority = 2), count(*) filter (where priority = 3), count(*) filter \
                 (where not completed and delete_time is null and due_time is not null and due_time < ",
            );
            sql.bind(Value::Time(now.into())).sql(") from tasks where user_id = ");
            sql.bind(Value::Id(owner.user().into())).sql(" and ");
            sql.append(filter::condition(query));
            Whole::<(BigInt, BigInt, BigInt, BigInt, BigInt, BigInt)>::new(sql)
        };
        let (total, completed, low, medium, high, overdue) = with_conn!(self.pool, |conn| {
            statement().get_result::<(i64, i64, i64, i64, i64, i64)>(conn).await
        })?;
        Ok(TaskCounts { total, completed, low, medium, high, overdue })
    }

    /// A page of all live tasks in the order of their ids, for whoever wants them all.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn walk(&self, owner: Owner, after: Option<TaskId>, limit: i64) -> Result<Vec<Task>> {
        let rows: Vec<TaskRow> = with_conn!(self.pool, |conn| {
            tasks::table
                .filter(tasks::user_id.eq(Id::from(owner.user())))
                .filter(tasks::task_id.gt(Id(after.map_or(uuid::Uuid::nil(), TaskId::uuid))))
                .filter(tasks::delete_time.is_null())
                .order(tasks::task_id.asc())
                .limit(limit)
                .select(TaskRow::as_select())
                .load(conn)
                .await
        })?;
        rows.into_iter().map(Task::try_from).collect()
    }
}

/// The statement of a list of whatever shape, with one row more than the page has, to know whether there is another.
fn any_list(owner: Owner, query: &TaskQuery) -> Whole<TaskRowTypes> {
    let mut sql = Fragment::new();
    sql.sql("select ").sql(COLUMNS).sql(" from tasks where user_id = ");
    sql.bind(Value::Id(owner.user().into())).sql(" and ");
    sql.append(filter::condition(query));
    sql.sql(" order by ");
    sql.append(filter::order(query));
    let limit = i64::try_from(query.page_size.get() + 1).unwrap_or(i64::MAX);
    sql.sql(" limit ").bind(Value::Big(limit));
    Whole::new(sql)
}

/// All or nothing: a list that left out what cannot be read would lie.
pub(in crate::storage) fn as_tasks(rows: Vec<TaskRow>) -> Result<Vec<Task>> {
    rows.into_iter().map(Task::try_from).collect()
}

fn as_page(mut tasks: Vec<Task>, query: &TaskQuery) -> TaskPage {
    let page_size = query.page_size.get();
    let more = tasks.len() > page_size;
    tasks.truncate(page_size);
    let next = tasks.last().filter(|_| more).map(|last| query.order.cursor_at(last));
    TaskPage { tasks, next }
}
