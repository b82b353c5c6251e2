//! The statements over sets of rows: what a write batch reads first, what it stores at the end, and their relations.

use std::borrow::Borrow;

use diesel::sql_types::{BigInt, Binary, Bool, Nullable};

use super::change_row;
use super::list_row::{self, ListRowTypes};
use super::task_row::{self, TaskRowTypes};
use super::write_conn::{AnswerRow, ChangeRow};
use crate::domain::{Subject, Task, TaskId, TaskList, TaskListId, UserId};
use crate::storage::engine::set::Piece::{
    All, Assignments, First, Insert, Key, KeyInPlace, OnPostgres, OnSqlite, Rows, Sql,
};
use crate::storage::engine::set::{self, Column, Piece, SetStatement};
use crate::storage::engine::types::{DbTid, DbUuid, Id, Moment};

fn ids<T>(pairs: &[(T, T)]) -> set::Rows<'static>
where
    T: Copy + Into<Id>,
{
    set::Rows::new(vec![
        ("user_id", Column::Ids(pairs.iter().map(|pair| pair.0.into()).collect())),
        ("other_id", Column::Ids(pairs.iter().map(|pair| pair.1.into()).collect())),
    ])
}

const TASK_KEY: Piece = Key(&["tasks.user_id", "tasks.task_id"], &["v.user_id", "v.other_id"]);
const USER_KEY: Piece = Key(&["users.id"], &["v.user_id"]);

pub(in crate::storage) fn lock_users(
    users: Vec<Id>,
) -> SetStatement<'static, (DbUuid, BigInt, BigInt, Bool)> {
    SetStatement::new(
        &[
            Sql("select users.id, users.revision, users.live_tasks, users.listened from "),
            OnPostgres(&[
                Sql("users where users.id = any ("),
                First,
                // One order for all, so that two batches cannot hold each other up. On SQLite the transaction has the file.
                Sql(") order by users.id for update"),
            ]),
            OnSqlite(&[Rows, Sql(" cross join users where "), USER_KEY]),
        ],
        set::Rows::new(vec![("user_id", Column::Ids(users))]),
    )
}

/// The same on PostgreSQL, with the place of each row.
pub(in crate::storage) fn lock_users_in_place(
    users: Vec<Id>,
) -> SetStatement<'static, (DbUuid, BigInt, BigInt, Bool, DbTid)> {
    SetStatement::new(
        &[
            Sql("select users.id, users.revision, users.live_tasks, users.listened, users.ctid \
                 from users where users.id = any ("),
            First,
            Sql(") order by users.id for update"),
        ],
        set::Rows::new(vec![("user_id", Column::Ids(users))]),
    )
}

pub(in crate::storage) fn find_tasks(keys: &[(Id, Id)]) -> SetStatement<'static, TaskRowTypes> {
    SetStatement::new(
        &[
            Sql("select "),
            Sql(task_row::COLUMNS),
            Sql(" from "),
            Rows,
            Sql(" cross join tasks where "),
            TASK_KEY,
        ],
        ids(keys),
    )
}

/// The same on PostgreSQL, with the place of each row.
pub(in crate::storage) fn find_tasks_in_place(
    keys: &[(Id, Id)],
) -> SetStatement<'static, (TaskRowTypes, DbTid)> {
    SetStatement::new(
        &[
            Sql("select "),
            Sql(task_row::COLUMNS),
            Sql(", tasks.ctid from "),
            Rows,
            Sql(" cross join tasks where "),
            TASK_KEY,
        ],
        ids(keys),
    )
}

/// The tasks below these, as far as they are live or went with those.
pub(in crate::storage) fn find_children(parents: &[(Id, Id)]) -> SetStatement<'static, TaskRowTypes> {
    SetStatement::new(
        &[
            Sql("select "),
            Sql(task_row::COLUMNS),
            Sql(" from "),
            Rows,
            // Few tasks have a parent, so that PostgreSQL would rather read all of this index, and still would when it has grown.
            // Past an offset it does not turn this around.
            OnPostgres(&[Sql(" cross join lateral (select * from tasks where ")]),
            OnSqlite(&[Sql(" cross join tasks where ")]),
            Key(&["tasks.user_id", "tasks.parent_id"], &["v.user_id", "v.other_id"]),
            Sql(" and (tasks.delete_time is null or (tasks.details->>'deleted_with_parent') is not null)"),
            OnPostgres(&[Sql(" offset 0) as tasks")]),
        ],
        ids(parents),
    )
}

/// The key, the user's revision, the history, and the task.
type HeldTypes = (DbUuid, DbUuid, BigInt, Nullable<DbUuid>, Nullable<TaskRowTypes>);

/// The tasks with these keys, whoever has them, or nothing in their place; and how much is held of their users' changes.
pub(in crate::storage) fn find_held(keys: &[(Id, Id)]) -> SetStatement<'static, HeldTypes> {
    SetStatement::new(
        &[
            Sql("select v.user_id, v.other_id, users.revision, (select history from database_state), "),
            Sql(task_row::COLUMNS),
            Sql(" from "),
            Rows,
            Sql(" cross join users left join tasks on "),
            TASK_KEY,
            Sql(" where "),
            USER_KEY,
        ],
        ids(keys),
    )
}

pub(in crate::storage) fn find_requests(
    keys: &[(Id, Id)],
) -> SetStatement<'static, (DbUuid, DbUuid, Binary, Binary)> {
    SetStatement::new(
        &[
            Sql("select requests.user_id, requests.request_id, requests.fingerprint, requests.answer from "),
            Rows,
            Sql(" cross join requests where "),
            Key(&["requests.user_id", "requests.request_id"], &["v.user_id", "v.other_id"]),
        ],
        ids(keys),
    )
}

/// The revisions of those of these users that exist.
pub(in crate::storage) fn find_revisions(users: &[UserId]) -> SetStatement<'static, (DbUuid, BigInt)> {
    SetStatement::new(
        &[Sql("select users.id, users.revision from "), Rows, Sql(" cross join users where "), USER_KEY],
        set::Rows::new(vec![("user_id", Column::Ids(users.iter().map(|user| (*user).into()).collect()))]),
    )
}

pub(in crate::storage) fn raise_counters(counters: &[(UserId, i64, i64)]) -> SetStatement<'_> {
    let rows = set::Rows::new(vec![
        ("user_id", Column::Ids(counters.iter().map(|(user, _, _)| (*user).into()).collect())),
        ("revision", Column::Bigs(counters.iter().map(|(_, revision, _)| *revision).collect())),
        ("live_tasks", Column::Bigs(counters.iter().map(|(_, _, live)| *live).collect())),
    ]);
    SetStatement::new(
        // Each is locked, and stays where it is.
        &[
            Sql("update users set "),
            Assignments { but: &["user_id"] },
            Sql(" from "),
            Rows,
            Sql(" where "),
            KeyInPlace("users", &["users.id"], &["v.user_id"]),
        ],
        rows,
    )
}

pub(in crate::storage) fn insert_tasks<T: Borrow<Task>>(tasks: &[T]) -> SetStatement<'_> {
    SetStatement::new(&[Insert("tasks")], task_row::rows(tasks).unless_absent(&task_row::RARE))
}

pub(in crate::storage) fn update_tasks<T: Borrow<Task>>(tasks: &[T]) -> SetStatement<'_> {
    SetStatement::new(
        // Nobody changes them without the lock of their user, but nothing prevents it.
        &[All(&[
            Sql("update tasks set "),
            Assignments { but: &["user_id", "task_id", "create_time"] },
            Sql(" from "),
            Rows,
            Sql(" where "),
            KeyInPlace("tasks", &["tasks.user_id", "tasks.task_id"], &["v.user_id", "v.task_id"]),
        ])],
        task_row::rows(tasks),
    )
}

const LIST_KEY: Piece = Key(&["task_lists.user_id", "task_lists.list_id"], &["v.user_id", "v.other_id"]);

pub(in crate::storage) fn find_lists(keys: &[(Id, Id)]) -> SetStatement<'static, ListRowTypes> {
    SetStatement::new(
        &[
            Sql("select "),
            Sql(list_row::COLUMNS),
            Sql(" from "),
            Rows,
            Sql(" cross join task_lists where "),
            LIST_KEY,
        ],
        ids(keys),
    )
}

pub(in crate::storage) fn insert_lists(lists: &[TaskList]) -> SetStatement<'_> {
    SetStatement::new(&[Insert("task_lists")], list_row::rows(lists))
}

pub(in crate::storage) fn update_lists(lists: &[TaskList]) -> SetStatement<'_> {
    SetStatement::new(
        &[
            Sql("update task_lists set "),
            Assignments { but: &["user_id", "list_id", "create_time"] },
            Sql(" from "),
            Rows,
            Sql(" where "),
            Key(&["task_lists.user_id", "task_lists.list_id"], &["v.user_id", "v.list_id"]),
        ],
        list_row::rows(lists),
    )
}

pub(in crate::storage) fn remove_lists(keys: &[(UserId, TaskListId)]) -> SetStatement<'_> {
    let keys: Vec<(Id, Id)> = keys.iter().map(|(user, list)| ((*user).into(), (*list).into())).collect();
    SetStatement::new(
        &[
            Sql("delete from task_lists "),
            OnPostgres(&[Sql("using "), Rows, Sql(" where "), LIST_KEY]),
            OnSqlite(&[
                Sql("where (user_id, list_id) in (select v.user_id, v.other_id from "),
                Rows,
                Sql(")"),
            ]),
        ],
        ids(&keys),
    )
}

pub(in crate::storage) fn remove_tasks(keys: &[(UserId, TaskId)]) -> SetStatement<'_> {
    let keys: Vec<(Id, Id)> = keys.iter().map(|(user, task)| ((*user).into(), (*task).into())).collect();
    SetStatement::new(
        &[
            Sql("delete from tasks "),
            OnPostgres(&[Sql("using "), Rows, Sql(" where "), TASK_KEY]),
            OnSqlite(&[
                Sql("where (user_id, task_id) in (select v.user_id, v.other_id from "),
                Rows,
                Sql(")"),
            ]),
        ],
        ids(&keys),
    )
}

const fn subject_id(subject: Subject) -> Id {
    match subject {
        Subject::Task(id) => Id(id.uuid()),
        Subject::List(id) => Id(id.uuid()),
    }
}

pub(in crate::storage) fn insert_changes(changes: &[ChangeRow]) -> SetStatement<'_> {
    fn column<'a, T>(changes: &'a [ChangeRow], value: impl Fn(&'a ChangeRow) -> T) -> Vec<T> {
        changes.iter().map(value).collect()
    }
    let rows = set::Rows::new(vec![
        ("user_id", Column::Ids(column(changes, |change| change.owner.into()))),
        ("revision", Column::Bigs(column(changes, |change| change.revision))),
        ("type", Column::Smalls(column(changes, |change| change_row::code(change.kind, change.subject)))),
        ("task_id", Column::Ids(column(changes, |change| subject_id(change.subject)))),
        ("fields", Column::Smalls(column(changes, |change| change.fields.bits()))),
        ("state", Column::MaybeTexts(column(changes, |change| change.state.as_deref().map(Into::into)))),
        ("before", Column::MaybeTexts(column(changes, |change| change.before.as_deref().map(Into::into)))),
        ("create_time", Column::Times(column(changes, |change| change.time.into()))),
    ]);
    // A creation has none before it.
    SetStatement::new(&[Insert("task_changes")], rows.unless_absent(&["before"]))
}

pub(in crate::storage) fn insert_answers(answers: &[AnswerRow]) -> SetStatement<'_> {
    let rows = set::Rows::new(vec![
        ("user_id", Column::Ids(answers.iter().map(|answer| answer.user.into()).collect())),
        ("request_id", Column::Ids(answers.iter().map(|answer| answer.key).collect())),
        ("fingerprint", Column::Bytes(answers.iter().map(|answer| answer.fingerprint.as_slice()).collect())),
        ("answer", Column::Bytes(answers.iter().map(|answer| answer.answer.as_slice()).collect())),
        ("create_time", Column::Times(answers.iter().map(|answer| Moment::from(answer.time)).collect())),
    ]);
    SetStatement::new(&[Insert("requests")], rows)
}
