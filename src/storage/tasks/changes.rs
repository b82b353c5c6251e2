//! The change log: read in order, kept for a while, and what keeps house around it.

use std::collections::HashMap;

use diesel::{ExpressionMethods as _, OptionalExtension as _, QueryDsl as _, SelectableHelper as _};
use diesel_async::RunQueryDsl as _;

use super::change_row::{self, ChangeRow, ChangeRowTypes, Counters};
use super::read_statements;
use super::set_statements::{find_revisions, lock_users};
use super::standbys::Standbys;
use super::task_row::TaskRow;
use crate::domain::{
    ChangePage, Error, HistoryId, Owner, Resource, Result, State, Subject, Task, TaskChange, TaskId,
    Timestamp, UserId,
};
use crate::storage::engine::history;
use crate::storage::engine::pool::{Pool, with_conn, with_write};
use crate::storage::engine::sql::Whole;
use crate::storage::engine::types::{Id, Moment};
use crate::storage::found;
use crate::storage::schema::{requests, task_changes, tasks, users};

/// The change log.
#[derive(Debug)]
pub struct Changes<'a> {
    pool: &'a Pool,
    /// For what reaches rows by their key alone.
    by_key: &'a Pool,
    standbys: &'a Standbys,
}

impl<'a> Changes<'a> {
    pub(in crate::storage) const fn new(pool: &'a Pool, by_key: &'a Pool, standbys: &'a Standbys) -> Self {
        Self { pool, by_key, standbys }
    }

    /// At most `limit` changes after `start_revision`, in order and without a gap. With a `min_revision`, by whoever holds the
    /// user's changes up to it.
    ///
    /// # Errors
    /// `HistoryChanged` when the history is another one than `known`, `RevisionCompacted`, `RevisionInFuture`,
    /// `SessionRevoked` when the user is gone, or those of the storage.
    pub async fn list(
        &self,
        owner: Owner,
        known: Option<HistoryId>,
        start_revision: i64,
        limit: usize,
        min_revision: Option<i64>,
    ) -> Result<ChangePage> {
        if let Some(question) = self.standbys.ask(owner, min_revision) {
            let asked = question.standby.changes(owner, known, start_revision, limit, question.at_least);
            if let Some((page, _)) = Box::pin(question.answer(asked)).await {
                return page;
            }
        }
        let user = Id::from(owner.user());
        let (rows, counters) = with_conn!(self.by_key, |conn| {
            let rows: Vec<ChangeRow> = task_changes::table
                .filter(task_changes::user_id.eq(user))
                .filter(task_changes::revision.gt(start_revision))
                .order(task_changes::revision.asc())
                .limit(i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX))
                .select(change_row::columns())
                .load(conn)
                .await?;
            // Read after the rows: had they been compacted meanwhile, this number says so.
            let counters: Option<(i64, i64, Option<Id>)> = users::table
                .find(user)
                .select((users::revision, users::compacted_revision, history::present()))
                .first(conn)
                .await
                .optional()?;
            Ok((rows, counters))
        })?;
        let (current, earliest, present) = found(counters, Error::SessionRevoked)?;
        let counters = Counters { current, earliest, history: history::read(present)? };
        change_row::page(owner, known, start_revision, limit, rows, counters)
    }

    /// At most `limit` changes of this task, the newest first: from this revision on, which has to be one of the task's, or from
    /// the last one. As far as they are kept.
    ///
    /// # Errors
    /// `NotFound`, or those of the storage.
    pub async fn of_task(
        &self,
        owner: Owner,
        id: TaskId,
        from: Option<i64>,
        limit: usize,
    ) -> Result<Vec<TaskChange>> {
        let key = (Id::from(owner.user()), Id::from(id));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = with_conn!(self.by_key, |conn| {
            let last = tasks::table.find(key).select(tasks::revision).first(conn).await.optional()?;
            match last {
                Some(last) => {
                    let statement = read_statements::past(owner, id, from.unwrap_or(last), limit);
                    Ok(Some(Whole::<ChangeRowTypes>::new(statement).load::<ChangeRow>(conn).await?))
                }
                None => Ok(None),
            }
        })?;
        let rows = found(rows, Error::NotFound(Resource::Task))?;
        rows.into_iter().map(|row| change_row::change(owner, row)).collect()
    }

    /// The task as the change with this revision left it, and the history that the revision belongs to.
    ///
    /// # Errors
    /// `NotFound`, `RevisionNotFound`, `RevisionCompacted`, `SessionRevoked` when the user is gone, or those of the storage.
    pub async fn task_at(&self, owner: Owner, id: TaskId, revision: i64) -> Result<(Task, HistoryId)> {
        let key = (Id::from(owner.user()), Id::from(id));
        let (row, current, counters) = with_conn!(self.by_key, |conn| {
            let row: Option<ChangeRow> = task_changes::table
                .find((key.0, revision))
                .select(change_row::columns())
                .first(conn)
                .await
                .optional()?;
            // Read after the change: had that been compacted meanwhile, the counter says so.
            let current: Option<TaskRow> =
                tasks::table.find(key).select(TaskRow::as_select()).first(conn).await.optional()?;
            let counters: Option<(i64, Option<Id>)> = users::table
                .find(key.0)
                .select((users::compacted_revision, history::present()))
                .first(conn)
                .await
                .optional()?;
            Ok((row, current, counters))
        })?;
        let (earliest, present) = found(counters, Error::SessionRevoked)?;
        let current: Task = found(current, Error::NotFound(Resource::Task))?.try_into()?;
        let history = history::read(present)?;
        if current.revision == revision {
            return Ok((current, history));
        }
        let change = row.map(|row| change_row::change(owner, row)).transpose()?;
        let change = change.filter(|change| change.subject == Subject::Task(id));
        match change.and_then(|change| change.state).and_then(State::task) {
            Some(task) => Ok((task, history)),
            None if revision <= earliest => Err(Error::RevisionCompacted { earliest }),
            None => Err(Error::RevisionNotFound),
        }
    }

    /// The user's current revision, and the history that it belongs to.
    ///
    /// # Errors
    /// `SessionRevoked` when the user is gone, or those of the storage.
    pub async fn current_revision(&self, owner: Owner) -> Result<(i64, HistoryId)> {
        let row: Option<(i64, Option<Id>)> = with_conn!(self.by_key, |conn| {
            users::table
                .find(Id::from(owner.user()))
                .select((users::revision, history::present()))
                .first(conn)
                .await
                .optional()
        })?;
        let (revision, present) = found(row, Error::SessionRevoked)?;
        Ok((revision, history::read(present)?))
    }

    /// The current revisions of those of these users that exist.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn current_revisions(&self, of: &[UserId]) -> Result<HashMap<UserId, i64>> {
        let rows: Vec<(Id, i64)> = with_conn!(self.by_key, |conn| { find_revisions(of).load(conn).await })?;
        Ok(rows.into_iter().map(|(user, revision)| (user.into(), revision)).collect())
    }

    /// At most `limit` deleted tasks whose time has come.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn due_for_purge(&self, now: Timestamp, limit: i64) -> Result<Vec<(UserId, TaskId)>> {
        let rows: Vec<(Id, Id)> = with_conn!(self.pool, |conn| {
            tasks::table
                .filter(tasks::purge_time.is_not_null())
                .filter(tasks::purge_time.le(Moment::from(now)))
                .order(tasks::purge_time.asc())
                .limit(limit)
                .select((tasks::user_id, tasks::task_id))
                .load(conn)
                .await
        })?;
        Ok(rows.into_iter().map(|(user, task)| (user.into(), task.into())).collect())
    }

    /// Drops changes made before `cutoff`, the oldest `changes_max` of them; answers how many those were. Each user's
    /// earliest revision moves along in the same transaction.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn compact(&self, cutoff: Timestamp, changes_max: i64) -> Result<usize> {
        // By their time, and put together by user here: SQLite would walk through the whole log to group it.
        let old: Vec<(Id, i64)> = with_conn!(self.pool, |conn| {
            task_changes::table
                .filter(task_changes::create_time.lt(Moment::from(cutoff)))
                .order(task_changes::create_time.asc())
                .limit(changes_max)
                .select((task_changes::user_id, task_changes::revision))
                .load(conn)
                .await
        })?;
        let count = old.len();
        let mut latest: HashMap<Id, i64> = HashMap::new();
        for (user, revision) in old {
            let of_user = latest.entry(user).or_insert(revision);
            *of_user = revision.max(*of_user);
        }
        for (user, revision) in latest {
            with_write!(self.by_key, async move |conn| {
                // Holds the user's row, so that no reader sees the number without the deletion.
                lock_users(vec![user]).load::<(Id, i64, i64, bool)>(conn).await?;
                diesel::delete(
                    task_changes::table
                        .filter(task_changes::user_id.eq(user))
                        .filter(task_changes::revision.le(revision)),
                )
                .execute(conn)
                .await?;
                diesel::update(users::table.find(user).filter(users::compacted_revision.lt(revision)))
                    .set(users::compacted_revision.eq(revision))
                    .execute(conn)
                    .await?;
                Ok::<(), Error>(())
            })?;
        }
        Ok(count)
    }

    /// The answer to the call with this idempotency key, when it was carried out before.
    ///
    /// # Errors
    /// `RequestIdReused` when that was another call, or those of the storage.
    pub async fn answered(
        &self,
        owner: Owner,
        request: uuid::Uuid,
        fingerprint: &[u8],
    ) -> Result<Option<Vec<u8>>> {
        let row: Option<(Vec<u8>, Vec<u8>)> = with_conn!(self.by_key, |conn| {
            requests::table
                .find((Id::from(owner.user()), Id(request)))
                .select((requests::fingerprint, requests::answer))
                .first(conn)
                .await
                .optional()
        })?;
        match row {
            Some((known, _)) if known != fingerprint => Err(Error::RequestIdReused),
            row => Ok(row.map(|(_, answer)| answer)),
        }
    }

    /// Forgets the answers remembered before `cutoff`.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn forget_answers(&self, cutoff: Timestamp) -> Result<usize> {
        with_write!(self.pool, async move |conn| {
            let old = requests::table.filter(requests::create_time.lt(Moment::from(cutoff)));
            Ok::<usize, Error>(diesel::delete(old).execute(conn).await?)
        })
    }
}
