//! Reminders: which tasks are to be remembered now, and telling that once.

use diesel::sql_types::BigInt;
use diesel::{ExpressionMethods as _, QueryDsl as _};
use diesel_async::RunQueryDsl as _;

use super::outbox::{Ears, somebody_hears_all};
use crate::domain::{DueReminder, EventKind, Result, TaskId, Timestamp, UserId};
use crate::storage::engine::pool::{Pool, with_conn, with_write};
use crate::storage::engine::sql::{Fragment, Value, Whole};
use crate::storage::engine::types::{DbUuid, Id, Moment};
use crate::storage::schema::outbox;
use crate::storage::tasks::set_statements::{find_tasks, lock_users, update_tasks};
use crate::storage::tasks::task_row::{TaskRow, as_tasks};

/// What lies longer back than this could not be told in time, in microseconds.
const LATE_AFTER: i64 = 5_000_000;

/// The reminders of tasks.
#[derive(Debug)]
pub struct TaskReminders<'a> {
    pool: &'a Pool,
    /// For what reaches rows by their key alone.
    by_key: &'a Pool,
    ears: &'a Ears,
}

/// When the next reminder of a task is told.
fn remind_time(out: &mut Fragment) {
    out.each("(details->>'remind_time')::bigint", "(details->>'remind_time')");
}

impl<'a> TaskReminders<'a> {
    pub(in crate::storage) const fn new(pool: &'a Pool, by_key: &'a Pool, ears: &'a Ears) -> Self {
        Self { pool, by_key, ears }
    }

    /// At most `limit` tasks with a reminder whose time has come, and that time, the earliest first.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn due(&self, now: Timestamp, limit: i64) -> Result<Vec<(UserId, TaskId, i64)>> {
        let statement = || {
            let mut out = Fragment::new();
            out.sql("select user_id, task_id, ");
            remind_time(&mut out);
            out.sql(" from tasks where (details->>'remind_time') is not null and ");
            remind_time(&mut out);
            out.sql(" <= ").bind(Value::Big(now.as_micros())).sql(" order by ");
            remind_time(&mut out);
            out.sql(" limit ").bind(Value::Big(limit));
            Whole::<(DbUuid, DbUuid, BigInt)>::new(out)
        };
        let rows: Vec<(Id, Id, i64)> = with_conn!(self.pool, |conn| { statement().load(conn).await })?;
        Ok(rows.into_iter().map(|(user, task, time)| (user.into(), task.into(), time)).collect())
    }

    /// Tells those who listen of the reminders of one user's tasks at these times, and sets the tasks to their next ones. What was
    /// told or changed meanwhile is left as it is.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn tell(&self, user: UserId, due: Vec<(TaskId, i64)>, now: Timestamp) -> Result<()> {
        let place = self.pool.place();
        with_write!(self.by_key, async move |conn| {
            let locked: Vec<(Id, i64, i64, bool)> = lock_users(vec![user.into()]).load(conn).await?;
            let Some((_, revision, _, listened)) = locked.into_iter().next() else { return Ok(()) };
            let to_everyone = somebody_hears_all!(conn);
            let keys: Vec<(Id, Id)> = due.iter().map(|(task, _)| (user.into(), (*task).into())).collect();
            let rows: Vec<TaskRow> = find_tasks(&keys).at(place).load(conn).await?;
            let mut tasks = as_tasks(rows)?;
            tasks.retain(|task| {
                task.remind_time.is_some_and(|time| due.contains(&(task.id, time.as_micros())))
            });
            for task in &mut tasks {
                let Some(time) = task.remind_time else { continue };
                let late = now.as_micros() - time.as_micros() > LATE_AFTER;
                let told = DueReminder { task: task.id, time, late };
                if listened || to_everyone {
                    diesel::insert_into(outbox::table)
                        .values((
                            outbox::user_id.eq(Id::from(user)),
                            outbox::revision.eq(revision),
                            outbox::id.eq(Id(uuid::Uuid::now_v7())),
                            outbox::last_revision.eq(revision),
                            outbox::kind.eq(EventKind::Reminder.code()),
                            outbox::payload.eq(Some(told.to_text())),
                            outbox::create_time.eq(Moment::from(now)),
                        ))
                        .execute(conn)
                        .await?;
                }
                task.remind_time = task.next_reminder(time);
            }
            if !tasks.is_empty() {
                update_tasks(&tasks).at(place).execute(conn).await?;
            }
            Ok::<(), Error>(())
        })?;
        self.ears.fill();
        Ok(())
    }
}
