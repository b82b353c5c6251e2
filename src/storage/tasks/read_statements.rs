//! The statements that read many tasks of one owner, but for those that are ranges of an index (`ranges.rs`).

use super::change_row;
use super::filter;
use super::list_row;
use super::task_row::COLUMNS;
use crate::domain::{Owner, Position, TaskId, TaskListId, TaskQuery};
use crate::storage::engine::sql::{Fragment, Value};
use crate::storage::engine::types::Id;

/// A list of whatever shape, with one row more than the page has, to know whether there is another.
pub(in crate::storage) fn list(owner: Owner, query: &TaskQuery) -> Fragment {
    let mut sql = Fragment::new();
    sql.sql("select ").sql(COLUMNS).sql(" from tasks where user_id = ");
    sql.bind(Value::Id(owner.user().into())).sql(" and ");
    sql.append(filter::condition(query));
    sql.sql(" order by ");
    sql.append(filter::order(query));
    let limit = i64::try_from(query.page_size.get() + 1).unwrap_or(i64::MAX);
    sql.sql(" limit ").bind(Value::Big(limit));
    sql
}

/// How many tasks pass a filter: all of them, the completed ones, those of each priority, and the overdue ones.
pub(in crate::storage) fn count(owner: Owner, query: &TaskQuery) -> Fragment {
    let mut sql = Fragment::new();
    sql.sql(
        "select count(*), count(*) filter (where completed), count(*) filter (where priority = 1), \
         count(*) filter (where priority = 2), count(*) filter (where priority = 3), count(*) filter \
         (where ",
    );
    filter::overdue(&mut sql, query.now).sql(") from tasks where user_id = ");
    sql.bind(Value::Id(owner.user().into())).sql(" and ");
    sql.append(filter::condition(query));
    sql
}

/// A page of all live tasks in the order of their ids.
pub(in crate::storage) fn walk(owner: Owner, after: Option<TaskId>, limit: i64) -> Fragment {
    walk_where(owner, after, " and delete_time is null", limit)
}

/// A page of all tasks in the order of their ids, deleted ones too.
pub(in crate::storage) fn walk_all(owner: Owner, after: Option<TaskId>, limit: i64) -> Fragment {
    walk_where(owner, after, "", limit)
}

fn walk_where(owner: Owner, after: Option<TaskId>, condition: &'static str, limit: i64) -> Fragment {
    let mut sql = Fragment::new();
    sql.sql("select ").sql(COLUMNS).sql(" from tasks where user_id = ");
    // A task may have the smallest id that there is.
    sql.bind(Value::Id(owner.user().into())).sql(if after.is_some() {
        " and task_id > "
    } else {
        " and task_id >= "
    });
    sql.bind(Value::Id(Id(after.map_or(uuid::Uuid::nil(), TaskId::uuid))));
    sql.sql(condition).sql(" order by task_id limit ").bind(Value::Big(limit));
    sql
}

/// The changes of a task from one of its revisions back, the newest first. Each knows the task as it was before, and so which change
/// was the one before: the log needs no index by task for that.
pub(in crate::storage) fn past(owner: Owner, id: TaskId, from: i64, limit: i64) -> Fragment {
    let user = || Value::Id(owner.user().into());
    let mut sql = Fragment::new();
    sql.sql("with recursive past as (select revision, type, task_id, fields, state, before, create_time, ");
    earlier(&mut sql, "before").sql(" as earlier, 1 as nth from task_changes where user_id = ").bind(user());
    sql.sql(" and revision = ").bind(Value::Big(from)).sql(" and task_id = ").bind(Value::Id(id.into()));
    sql.sql(" union all select c.revision, c.type, c.task_id, c.fields, c.state, c.before, c.create_time, ");
    earlier(&mut sql, "c.before").sql(", past.nth + 1 from past cross join ");
    // Past an offset PostgreSQL does not turn this around and reads the whole log for it, as it would while that is small.
    sql.each("lateral (select * from task_changes t where t.user_id = ", "task_changes c where c.user_id = ");
    sql.bind(user())
        .each(" and t.revision = past.earlier offset 0) c where", " and c.revision = past.earlier and");
    sql.sql(" past.nth < ").bind(Value::Big(limit));
    sql.sql(") select ").sql(change_row::COLUMNS).sql(" from past order by revision desc");
    sql
}

/// The revision of a task as it was before a change.
fn earlier<'a>(sql: &'a mut Fragment, before: &'static str) -> &'a mut Fragment {
    sql.sql("(").sql(before).each("::jsonb->>'revision')::bigint", "->>'revision')")
}

/// Lists in the order that their owner gave them.
pub(in crate::storage) fn lists(
    owner: Owner,
    show_deleted: bool,
    after: Option<&(Position, TaskListId)>,
    limit: usize,
) -> Fragment {
    let mut sql = Fragment::new();
    sql.sql("select ").sql(list_row::COLUMNS).sql(" from task_lists where user_id = ");
    sql.bind(Value::Id(owner.user().into()));
    sql.sql(if show_deleted { "" } else { " and delete_time is null" });
    if let Some((position, id)) = after {
        sql.sql(" and (position, list_id) > (").bind(Value::Text(position.as_str().to_owned()));
        sql.sql(", ").bind(Value::Id((*id).into())).sql(")");
    }
    sql.sql(" order by position, list_id limit ").bind(Value::Big(i64::try_from(limit).unwrap_or(i64::MAX)));
    sql
}
