//! The lists of one owner as they are read, and what keeps house around them. They are written as tasks are.

use diesel::{ExpressionMethods as _, OptionalExtension as _, QueryDsl as _, SelectableHelper as _};
use diesel_async::RunQueryDsl as _;

use super::list_row::{ListRow, ListRowTypes, as_lists};
use super::read_statements;
use crate::domain::{
    Error, Owner, PageSize, Position, Resource, Result, TaskList, TaskListId, Timestamp, UserId,
};
use crate::storage::engine::pool::{Pool, load, with_conn};
use crate::storage::engine::sql::Whole;
use crate::storage::engine::types::{Id, Moment};
use crate::storage::found;
use crate::storage::schema::task_lists;

/// The lists of tasks.
#[derive(Debug)]
pub struct TaskLists<'a> {
    pool: &'a Pool,
    /// For what reaches rows by their key alone.
    by_key: &'a Pool,
}

/// One page of lists.
#[derive(Debug, Clone)]
pub struct TaskListPage {
    /// The lists, in order.
    pub lists: Vec<TaskList>,
    /// Whether there are more.
    pub has_more: bool,
}

impl<'a> TaskLists<'a> {
    pub(in crate::storage) const fn new(pool: &'a Pool, by_key: &'a Pool) -> Self {
        Self { pool, by_key }
    }

    /// The list, deleted or not.
    ///
    /// # Errors
    /// `NotFound`, or those of the storage.
    pub async fn find(&self, owner: Owner, id: TaskListId) -> Result<TaskList> {
        let row = with_conn!(self.by_key, |conn| {
            task_lists::table
                .find((Id::from(owner.user()), Id::from(id)))
                .select(ListRow::as_select())
                .first(conn)
                .await
                .optional()
        })?;
        found(row, Error::NotFound(Resource::TaskList))?.try_into()
    }

    /// A page of the lists in the order that their owner gave them, after a place.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn list(
        &self,
        owner: Owner,
        show_deleted: bool,
        after: Option<&(Position, TaskListId)>,
        page_size: PageSize,
    ) -> Result<TaskListPage> {
        let statement = || {
            let sql = read_statements::lists(owner, show_deleted, after, page_size.get() + 1);
            Whole::<ListRowTypes>::new(sql)
        };
        let mut lists: Vec<TaskList> = load!(self.by_key, ListRow, statement(), as_lists)??;
        let has_more = lists.len() > page_size.get();
        lists.truncate(page_size.get());
        Ok(TaskListPage { lists, has_more })
    }

    /// At most `limit` lists with whose tasks something is still to be done, of all users.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn unfinished(&self, limit: i64) -> Result<Vec<(UserId, TaskListId)>> {
        let rows: Vec<(Id, Id)> = with_conn!(self.pool, |conn| {
            task_lists::table
                .filter(task_lists::unfinished.is_not_null())
                .limit(limit)
                .select((task_lists::user_id, task_lists::list_id))
                .load(conn)
                .await
        })?;
        Ok(rows.into_iter().map(|(user, list)| (user.into(), list.into())).collect())
    }

    /// At most `limit` deleted lists whose time has come, of all users.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn due_for_purge(&self, now: Timestamp, limit: i64) -> Result<Vec<(UserId, TaskListId)>> {
        let rows: Vec<(Id, Id)> = with_conn!(self.pool, |conn| {
            task_lists::table
                .filter(task_lists::purge_time.is_not_null())
                .filter(task_lists::purge_time.le(Moment::from(now)))
                .filter(task_lists::unfinished.is_null())
                .order(task_lists::purge_time.asc())
                .limit(limit)
                .select((task_lists::user_id, task_lists::list_id))
                .load(conn)
                .await
        })?;
        Ok(rows.into_iter().map(|(user, list)| (user.into(), list.into())).collect())
    }
}
