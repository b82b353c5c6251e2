//! The tasks of one owner. Every method takes an `Owner`, and every statement names the owner's id.

use diesel::{
    AsChangeset, ExpressionMethods as _, Insertable, OptionalExtension as _, QueryDsl as _, Queryable,
    QueryableByName, Selectable, SelectableHelper as _,
};
use diesel_async::RunQueryDsl as _;
use serde::{Deserialize, Serialize};

use super::filter;
use super::pool::{Pool, with_conn, with_write};
use super::schema::{task_changes, tasks, users};
use super::sql::{Explain, LockCounters};
use super::types::{Id, Moment, TextList};
use super::{error::corrupt, found};
use crate::domain::{
    Decision, Description, Error, Labels, Owner, Priority, Resource, Result, Task, TaskId, TaskPage,
    TaskQuery, TaskWrite, Title, WriteRules, text,
};

/// The tasks.
#[derive(Debug)]
pub struct Tasks<'a> {
    pool: &'a Pool,
}

impl<'a> Tasks<'a> {
    pub(super) const fn new(pool: &'a Pool) -> Self {
        Self { pool }
    }

    /// The task, deleted or not.
    ///
    /// # Errors
    /// `NotFound`, or those of the storage.
    pub async fn find(&self, owner: Owner, id: TaskId) -> Result<Task> {
        let row = with_conn!(self.pool, |conn| {
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
        let page_size = query.page_size.get();
        let mut rows: Vec<TaskRow> = with_conn!(self.pool, |conn| {
            tasks::table
                .filter(tasks::user_id.eq(Id::from(owner.user())))
                .filter(filter::condition(query))
                .order(filter::order(query))
                // One more than the page, to know whether there is another.
                .limit(i64::try_from(page_size + 1).unwrap_or(i64::MAX))
                .select(TaskRow::as_select())
                .load(conn)
                .await
        })?;
        let more = rows.len() > page_size;
        rows.truncate(page_size);
        let tasks = rows.into_iter().map(Task::try_from).collect::<Result<Vec<_>>>()?;
        let next = tasks
            .last()
            .filter(|_| more)
            .map(|last| query.order.cursor_at(last));
        Ok(TaskPage { tasks, next })
    }

    /// How the engine would read such a page, a line per step.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn explain_list(&self, owner: Owner, query: &TaskQuery) -> Result<String> {
        use super::pool::Engine;
        use diesel::sql_types::{Integer, Text};
        macro_rules! statement {
            () => {
                Explain(
                    tasks::table
                        .filter(tasks::user_id.eq(Id::from(owner.user())))
                        .filter(filter::condition(query))
                        .order(filter::order(query))
                        .limit(51)
                        .select(TaskRow::as_select()),
                )
            };
        }
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
        let steps: Vec<String> = match &self.pool.engine {
            Engine::Postgres(connections) => {
                let mut conn = super::pool::checkout(connections).await?;
                let steps: Vec<PostgresStep> = statement!().load(&mut *conn).await?;
                steps.into_iter().map(|step| step.text).collect()
            }
            Engine::Sqlite { readers, .. } => {
                let mut conn = super::pool::checkout(readers).await?;
                let steps: Vec<SqliteStep> = statement!().load(&mut *conn).await?;
                steps
                    .into_iter()
                    .map(|step| format!("{}{}", if step.parent > 0 { "  " } else { "" }, step.detail))
                    .collect()
            }
        };
        Ok(steps.join("\n"))
    }

    /// Carries out a write: one transaction that decides on the task as it stands, raises the owner's revision,
    /// stores the task and notes the change. Answers the task as it stands afterwards, `None` when there is none
    /// and the write allows that. A write that changes nothing makes no revision.
    ///
    /// # Errors
    /// Those of `TaskWrite::decide`, `QuotaExceeded` above `quota` live tasks, `SessionRevoked` when the owner
    /// is gone, or those of the storage.
    pub async fn write(
        &self,
        owner: Owner,
        write: TaskWrite,
        rules: WriteRules,
        quota: i64,
    ) -> Result<Option<Task>> {
        let user = Id::from(owner.user());
        with_write!(self.pool, async move |conn| {
            let counters: Option<(i64, i64)> = LockCounters { user }.get_result(conn).await.optional()?;
            // The token outlived its account.
            let (revision, live_tasks) = found(counters, Error::SessionRevoked)?;

            let row: Option<TaskRow> = tasks::table
                .find((user, Id::from(write.id())))
                .select(TaskRow::as_select())
                .first(conn)
                .await
                .optional()?;
            let is_new = row.is_none();
            let current = row.map(Task::try_from).transpose()?;

            let (mut task, change, fields, live) = match write.decide(owner.user(), current, rules)? {
                Decision::Keep(task) => return Ok(task),
                Decision::Store {
                    task,
                    change,
                    fields,
                    live,
                } => (task, change, fields, live),
            };
            if live > 0 && live_tasks >= quota {
                return Err(Error::QuotaExceeded { limit: quota });
            }
            task.revision = revision + 1;

            diesel::update(users::table.find(user))
                .set((
                    users::revision.eq(task.revision),
                    users::live_tasks.eq(live_tasks + live),
                ))
                .execute(conn)
                .await?;
            let stored = StoredTask::from(&task);
            if is_new {
                diesel::insert_into(tasks::table)
                    .values(&stored)
                    .execute(conn)
                    .await?;
            } else {
                diesel::update(tasks::table.find((user, stored.task_id)))
                    .set(&stored)
                    .execute(conn)
                    .await?;
            }
            diesel::insert_into(task_changes::table)
                .values((
                    task_changes::user_id.eq(user),
                    task_changes::revision.eq(task.revision),
                    task_changes::kind.eq(change.code()),
                    task_changes::task_id.eq(stored.task_id),
                    task_changes::fields.eq(fields.bits()),
                    task_changes::state.eq(Some(TaskState::encode(&task)?)),
                    task_changes::create_time.eq(Moment::from(rules.now)),
                ))
                .execute(conn)
                .await?;
            Ok(Some(task))
        })
    }
}

/// A task as it is read.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = tasks)]
#[diesel(check_for_backend(diesel::pg::Pg, diesel::sqlite::Sqlite))]
struct TaskRow {
    user_id: Id,
    task_id: Id,
    title: String,
    description: Option<String>,
    completed: bool,
    priority: i16,
    due_time: Option<Moment>,
    labels: TextList,
    create_time: Moment,
    update_time: Moment,
    complete_time: Option<Moment>,
    delete_time: Option<Moment>,
    purge_time: Option<Moment>,
    revision: i64,
}

impl TryFrom<TaskRow> for Task {
    type Error = Error;

    fn try_from(row: TaskRow) -> Result<Self> {
        Ok(Self {
            owner: row.user_id.into(),
            id: row.task_id.into(),
            title: Title::parse(&row.title).map_err(corrupt("title"))?,
            description: row
                .description
                .map(|text| Description::parse(&text).map_err(corrupt("description")))
                .transpose()?,
            completed: row.completed,
            priority: Priority::from_code(row.priority)
                .ok_or_else(|| Error::Internal("a stored priority is unknown".into()))?,
            due_time: row.due_time.map(TryInto::try_into).transpose()?,
            labels: Labels::parse(row.labels.0).map_err(corrupt("set of labels"))?,
            create_time: row.create_time.try_into()?,
            update_time: row.update_time.try_into()?,
            complete_time: row.complete_time.map(TryInto::try_into).transpose()?,
            delete_time: row.delete_time.map(TryInto::try_into).transpose()?,
            purge_time: row.purge_time.map(TryInto::try_into).transpose()?,
            revision: row.revision,
        })
    }
}

/// A task as it is written: with the keys that it is searched and ordered by.
#[derive(Debug, Insertable, AsChangeset)]
#[diesel(table_name = tasks)]
#[diesel(treat_none_as_null = true, treat_none_as_default_value = false)]
#[diesel(primary_key(user_id, task_id))]
struct StoredTask<'a> {
    user_id: Id,
    task_id: Id,
    title: &'a str,
    title_key: String,
    description: Option<&'a str>,
    description_key: Option<String>,
    completed: bool,
    priority: i16,
    due_time: Option<Moment>,
    labels: TextList,
    create_time: Moment,
    update_time: Moment,
    complete_time: Option<Moment>,
    delete_time: Option<Moment>,
    purge_time: Option<Moment>,
    revision: i64,
}

impl<'a> From<&'a Task> for StoredTask<'a> {
    fn from(task: &'a Task) -> Self {
        let description = task.description.as_ref().map(Description::as_str);
        Self {
            user_id: task.owner.into(),
            task_id: task.id.into(),
            title: task.title.as_str(),
            title_key: text::fold(task.title.as_str()),
            description,
            description_key: description.map(text::fold),
            completed: task.completed,
            priority: task.priority.code(),
            due_time: task.due_time.map(Into::into),
            labels: TextList(task.labels.as_slice().to_vec()),
            create_time: task.create_time.into(),
            update_time: task.update_time.into(),
            complete_time: task.complete_time.map(Into::into),
            delete_time: task.delete_time.map(Into::into),
            purge_time: task.purge_time.map(Into::into),
            revision: task.revision,
        }
    }
}

/// A task as the change log keeps it. Owner, id and revision stand beside it in the row.
#[derive(Debug, Serialize, Deserialize)]
struct TaskState<'a> {
    title: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    completed: bool,
    priority: i16,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_time: Option<i64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    labels: std::borrow::Cow<'a, [String]>,
    create_time: i64,
    update_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    complete_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delete_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purge_time: Option<i64>,
}

impl TaskState<'_> {
    fn encode(task: &Task) -> Result<String> {
        let micros = crate::domain::Timestamp::as_micros;
        let state = TaskState {
            title: task.title.as_str(),
            description: task.description.as_ref().map(Description::as_str),
            completed: task.completed,
            priority: task.priority.code(),
            due_time: task.due_time.map(micros),
            labels: task.labels.as_slice().into(),
            create_time: micros(task.create_time),
            update_time: micros(task.update_time),
            complete_time: task.complete_time.map(micros),
            delete_time: task.delete_time.map(micros),
            purge_time: task.purge_time.map(micros),
        };
        serde_json::to_string(&state)
            .map_err(|error| Error::Internal(format!("a task cannot be noted: {error}")))
    }
}
