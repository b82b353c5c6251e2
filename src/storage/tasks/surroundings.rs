//! What an operation has to know besides the rows that it names: the neighbours of a place, the tasks of a list, the lists of a
//! user. Read under the user's lock, when the rows named are known. Nothing is read for operations that need none of it.

use std::collections::BTreeSet;

use super::deciding::STEP;
use super::known::Known;
use super::operation::Operation;
use super::write_conn::WriteConn;
use super::{list_row, task_row};
use crate::domain::{
    ListWrite, MoveDecision, Neighbours, Place, Position, Result, Task, TaskId, TaskListId, TaskMove,
    TaskWrite, Unfinished, UserId, Write,
};
use crate::storage::engine::sql::{Fragment, Value};
use crate::storage::engine::types::Id;

/// How many neighbours are read at first, and then as often more.
const NEIGHBOURS: [usize; 4] = [1, 300, 5000, 1_000_000];

/// Reads what is missing.
pub(super) async fn read<C: WriteConn>(
    conn: &mut C,
    known: &mut Known,
    operations: &[Operation],
) -> Result<()> {
    let (children, parents) = relatives(known, operations);
    if !children.is_empty() {
        let children = conn.children(children).await?;
        known.learn_tasks(children.into_iter());
    }
    if !parents.is_empty() {
        let parents = conn.tasks_by_key(parents).await?;
        known.learn_tasks(parents.into_iter());
    }
    let lists = lists_of_tasks(known, operations);
    if !lists.is_empty() {
        let lists = conn.lists_by_key(lists).await?;
        known.learn_lists(lists);
    }
    let of_lists = operations
        .iter()
        .filter(|operation| operation.writes.iter().any(|write| matches!(write, Write::List(_))));
    let users: BTreeSet<UserId> = of_lists.map(|operation| operation.owner.user()).collect();
    for user in users {
        let lists = conn.lists(live_lists(user)).await?;
        known.learn_lists(lists);
    }
    // Whatever needs more than that comes alone.
    let [operation] = operations else { return Ok(()) };
    let user = operation.owner.user();
    match operation.writes.as_slice() {
        [Write::Move(write)] => read_neighbours(conn, known, operation, write).await,
        [Write::List(write)] => read_members(conn, known, user, write).await,
        _ => Ok(()),
    }
}

/// Whether a write of a task can concern those below it.
fn may_carry(write: &Write) -> bool {
    match write {
        Write::Task(TaskWrite::Update { patch, .. }) => {
            patch.complete_subtasks || patch.task_list.is_some() || patch.parent_task.is_some()
        }
        Write::Task(TaskWrite::Skip { .. }) => false,
        Write::Task(_) | Write::Move(_) => true,
        Write::List(_) => false,
    }
}

/// Of users, and their tasks.
type TaskKeys = Vec<(Id, Id)>;

/// Of the tasks that are named, those that may carry others along, and the ones that they are below and nobody has named.
fn relatives(known: &Known, operations: &[Operation]) -> (TaskKeys, TaskKeys) {
    let (mut children, mut parents) = (Vec::new(), Vec::new());
    for operation in operations {
        let user = operation.owner.user();
        for write in &operation.writes {
            let id = match write {
                Write::Task(write) => write.id(),
                Write::Move(write) => write.id,
                Write::List(_) => continue,
            };
            let Some(task) = known.task(user, id) else { continue };
            if may_carry(write) && (task.subtasks.count > 0 || task.took_subtasks) {
                children.push((user.into(), id.into()));
            }
            parents.extend(
                task.parent_task
                    .filter(|parent| known.task(user, *parent).is_none())
                    .map(|parent| (user.into(), parent.into())),
            );
        }
    }
    for keys in [&mut children, &mut parents] {
        keys.sort_unstable();
        keys.dedup();
    }
    (children, parents)
}

/// The lists of tasks that come back, which nobody named.
fn lists_of_tasks(known: &Known, operations: &[Operation]) -> Vec<(Id, Id)> {
    let of_write = |operation: &Operation, write: &Write| {
        let Write::Task(write) = write else { return None };
        if !write.restores() && !matches!(write, TaskWrite::Undelete { .. }) {
            return None;
        }
        let id = &write.id();
        let user = operation.owner.user();
        let list = known.task(user, *id)?.task_list?;
        known.list(user, list).is_none().then(|| (user.into(), list.into()))
    };
    let mut lists: Vec<(Id, Id)> = operations
        .iter()
        .flat_map(|operation| operation.writes.iter().filter_map(move |write| of_write(operation, write)))
        .collect();
    lists.sort_unstable();
    lists.dedup();
    lists
}

fn live_lists(user: UserId) -> Fragment {
    let mut sql = Fragment::new();
    sql.sql("select ").sql(list_row::COLUMNS).sql(" from task_lists where user_id = ");
    sql.bind(Value::Id(user.into())).sql(" and delete_time is null");
    sql
}

async fn read_neighbours<C: WriteConn>(
    conn: &mut C,
    known: &mut Known,
    operation: &Operation,
    write: &TaskMove,
) -> Result<()> {
    let user = operation.owner.user();
    let anchor = write.anchor().and_then(|id| known.task(user, id)).cloned();
    // What is refused needs none; why, is said where it is decided.
    let Ok(current) = write.check(known.task(user, write.id).cloned(), anchor.as_ref()) else {
        return Ok(());
    };
    let revision = known.revision(user) + 1;
    for count in NEIGHBOURS {
        let (list, parent) = (write.list_of(&current), write.parent_of(&current));
        let around = Around { user, list, parent, but: write.id, count };
        let at = anchor.as_ref().map(|anchor| &anchor.position);
        let (below, above) = match write.to {
            Place::End => (conn.tasks(around.below(None)).await?, Vec::new()),
            Place::Before(_) => {
                (conn.tasks(around.below(at)).await?, conn.tasks(around.above(at, " >= ")).await?)
            }
            Place::After(_) => {
                let above = conn.tasks(around.above(at, " > ")).await?;
                let mut below = conn.tasks(around.below(at)).await?;
                // The one that the place is given by stands nearest.
                below.splice(0..0, anchor.clone());
                below.truncate(count);
                (below, above)
            }
        };
        let neighbours = Neighbours { below, above, known: count };
        let is_enough =
            write.decide(&current, &neighbours, operation.rules, revision) != MoveDecision::Further;
        known.learn_tasks(neighbours.below.iter().chain(&neighbours.above).cloned());
        known.surroundings.neighbours = neighbours;
        if is_enough {
            break;
        }
    }
    Ok(())
}

/// The live tasks of a list in their order, below the same task, but one.
struct Around {
    user: UserId,
    list: Option<TaskListId>,
    parent: Option<TaskId>,
    but: TaskId,
    count: usize,
}

impl Around {
    /// Those below a place, or all, the last one first.
    fn below(&self, at: Option<&Position>) -> Fragment {
        self.beside(at, " < ", " order by position desc limit ")
    }

    /// Those above a place, the first one first.
    fn above(&self, at: Option<&Position>, operator: &'static str) -> Fragment {
        self.beside(at, operator, " order by position limit ")
    }

    fn beside(&self, at: Option<&Position>, operator: &'static str, order: &'static str) -> Fragment {
        let mut sql = Fragment::new();
        sql.sql("select ").sql(task_row::COLUMNS).sql(" from tasks where user_id = ");
        sql.bind(Value::Id(self.user.into())).sql(" and delete_time is null and ");
        in_list(&mut sql, self.list);
        match self.parent {
            Some(parent) => sql.sql(" and parent_id = ").bind(Value::Id(parent.into())),
            None => sql.sql(" and parent_id is null"),
        };
        sql.sql(" and task_id <> ").bind(Value::Id(self.but.into()));
        if let Some(at) = at {
            sql.sql(" and position").sql(operator).bind(Value::Text(at.as_str().to_owned()));
        }
        sql.sql(order).bind(Value::Big(i64::try_from(self.count).unwrap_or(i64::MAX)));
        sql
    }
}

fn in_list(sql: &mut Fragment, list: Option<TaskListId>) {
    match list {
        Some(list) => sql.sql("list_id = ").bind(Value::Id(list.into())),
        None => sql.sql("list_id is null"),
    };
}

async fn read_members<C: WriteConn>(
    conn: &mut C,
    known: &mut Known,
    user: UserId,
    write: &ListWrite,
) -> Result<()> {
    let id = write.id();
    let unfinished = match write {
        ListWrite::Delete { .. } => Unfinished::Delete,
        ListWrite::Undelete { .. } => Unfinished::Restore,
        ListWrite::Finish { .. } => match known.list(user, id).and_then(|list| list.unfinished) {
            Some(unfinished) => unfinished,
            None => return Ok(()),
        },
        _ => return Ok(()),
    };
    let is_live = unfinished != Unfinished::Restore;
    let mut sql = Fragment::new();
    sql.sql("select ").sql(task_row::COLUMNS).sql(" from tasks where ");
    members(&mut sql, user, id, is_live);
    // At no step is a live task below a deleted one.
    sql.sql(match unfinished {
        Unfinished::Delete => " order by parent_id is null, position limit ",
        Unfinished::Keep | Unfinished::Restore => " order by parent_id is not null, position limit ",
    });
    sql.bind(Value::Big(STEP as i64 + 1));
    let tasks: Vec<Task> = conn.tasks(sql).await?;
    known.surroundings.members = tasks.iter().map(|task| task.id).collect();
    known.surroundings.members_in_all = tasks.len().try_into().unwrap_or(i64::MAX);
    if tasks.len() > STEP && matches!(write, ListWrite::Undelete { .. }) {
        let mut sql = Fragment::new();
        sql.sql("select count(*) from tasks where ");
        members(&mut sql, user, id, is_live);
        known.surroundings.members_in_all = conn.count(sql).await?;
    }
    let mut parents: Vec<TaskId> = tasks.iter().filter_map(|task| task.parent_task).collect();
    known.learn_tasks(tasks.into_iter());
    parents.sort_unstable();
    parents.dedup();
    parents.retain(|parent| known.task(user, *parent).is_none());
    if !parents.is_empty() {
        let keys = parents.into_iter().map(|parent| (user.into(), parent.into())).collect();
        known.learn_tasks(conn.tasks_by_key(keys).await?.into_iter());
    }
    Ok(())
}

/// The live tasks of a list, or those that were deleted with it.
fn members(sql: &mut Fragment, user: UserId, list: TaskListId, is_live: bool) {
    sql.sql("user_id = ").bind(Value::Id(user.into())).sql(" and list_id = ").bind(Value::Id(list.into()));
    sql.sql(match is_live {
        true => " and delete_time is null",
        false => " and delete_time is not null and (details->>'deleted_with_list') is not null",
    });
}
