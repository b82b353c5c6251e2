//! What is asked of each stretch of users, each by one statement: rows of one user are compared in one snapshot, and lie on one
//! server wherever tables are spread.

use super::Invariant;
use Part::{Each, Range, Sql};

/// A part of a statement.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    Sql(&'static str),
    /// Where the engines spell a thing differently: PostgreSQL first.
    Each(&'static str, &'static str),
    /// ` between FIRST and LAST`, the users.
    Range,
}

/// What the second column of an answer names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    User,
    Task,
    List,
    Event,
}

/// A question. It answers what is wrong: the user, the row, and two numbers that the sentence needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    pub(super) invariant: Invariant,
    pub(super) table: &'static str,
    pub(super) about: About,
    pub(super) statement: &'static [Part],
    pub(super) problem: fn(i64, i64) -> String,
}

/// All live subtasks that are noted at a task, and the completed ones.
const NOTED: Part = Each(
    "coalesce((t.details->'subtasks'->>0)::bigint, 0)",
    "coalesce(json_extract(t.details, '$.subtasks[0]'), 0)",
);
const NOTED_COMPLETED: Part = Each(
    "coalesce((t.details->'subtasks'->>1)::bigint, 0)",
    "coalesce(json_extract(t.details, '$.subtasks[1]'), 0)",
);

/// A column of users that says whether they have rows of a table that are as this condition says.
macro_rules! flag {
    ($column:literal, $table:literal, $condition:literal, $problem:expr) => {
        Question {
            invariant: Invariant::Flags,
            table: "users",
            about: About::User,
            statement: &[
                Sql(concat!(
                    "select u.id, cast(null as uuid), coalesce(r.held, 0), cast(null as bigint) from users u \
                     left join (select user_id, count(*) as held from ",
                    $table,
                    " where user_id"
                )),
                Range,
                Sql(concat!(" and ", $condition, " group by user_id) r on r.user_id = u.id where u.id")),
                Range,
                Sql(concat!(" and u.", $column, " <> (coalesce(r.held, 0) > 0)")),
            ],
            problem: $problem,
        }
    };
}

pub(super) const QUESTIONS: [Question; 14] = [
    Question {
        invariant: Invariant::Revisions,
        table: "task_changes",
        about: About::User,
        statement: &[
            Sql(
                "select u.id, cast(null as uuid), coalesce(c.kept, 0), u.revision - u.compacted_revision from users u \
                 left join (select user_id, count(*) as kept, min(revision) as lowest, max(revision) as highest \
                 from task_changes where user_id",
            ),
            Range,
            Sql(" group by user_id) c on c.user_id = u.id where u.id"),
            Range,
            Sql(
                " and (coalesce(c.kept, 0) <> u.revision - u.compacted_revision or c.lowest <= u.compacted_revision \
                 or c.highest > u.revision)",
            ),
        ],
        problem: |kept, expected| {
            format!(
                "the log has a gap or goes beyond the user's revision: {kept} changes are kept, and should be {expected}"
            )
        },
    },
    Question {
        invariant: Invariant::Counters,
        table: "users",
        about: About::User,
        statement: &[
            Sql("select u.id, cast(null as uuid), coalesce(t.live, 0), u.live_tasks from users u \
                 left join (select user_id, count(*) as live from tasks where user_id"),
            Range,
            Sql(" and delete_time is null group by user_id) t on t.user_id = u.id where u.id"),
            Range,
            Sql(" and coalesce(t.live, 0) <> u.live_tasks"),
        ],
        problem: |rows, noted| format!("live_tasks says {noted}, and there are {rows} rows"),
    },
    flag!("listened", "webhooks", "disable_reason is null", |sending, _| format!(
        "listened is wrong: {sending} webhooks of the user send"
    )),
    flag!("totp_enabled", "second_factors", "confirm_time is not null", |confirmed, _| format!(
        "totp_enabled is wrong: the user has {confirmed} second factors"
    )),
    Question {
        invariant: Invariant::Log,
        table: "tasks",
        about: About::Task,
        statement: &[
            Sql("select c.user_id, c.task_id, t.revision, c.revision from (select user_id, task_id, \
                 max(revision) as revision from task_changes where user_id"),
            Range,
            Sql(" and type < 10 group by user_id, task_id) c \
                 left join tasks t on t.user_id = c.user_id and t.task_id = c.task_id \
                 left join task_changes l on l.user_id = c.user_id and l.revision = c.revision \
                 where (t.task_id is null and l.type <> 5) or t.revision <> c.revision"),
        ],
        problem: newest,
    },
    Question {
        invariant: Invariant::Log,
        table: "task_lists",
        about: About::List,
        statement: &[
            Sql("select c.user_id, c.task_id, t.revision, c.revision from (select user_id, task_id, \
                 max(revision) as revision from task_changes where user_id"),
            Range,
            Sql(" and type > 10 group by user_id, task_id) c \
                 left join task_lists t on t.user_id = c.user_id and t.list_id = c.task_id \
                 left join task_changes l on l.user_id = c.user_id and l.revision = c.revision \
                 where (t.list_id is null and l.type <> 15) or t.revision <> c.revision"),
        ],
        problem: newest,
    },
    Question {
        invariant: Invariant::Subtasks,
        table: "tasks",
        about: About::Task,
        statement: &[
            Sql("select t.user_id, t.task_id, coalesce(s.live, 0), coalesce(s.completed, 0) from tasks t \
                 left join (select user_id, parent_id, count(*) as live, \
                 sum(case when completed then 1 else 0 end) as completed from tasks where user_id"),
            Range,
            Sql(" and delete_time is null and parent_id is not null group by user_id, parent_id) s \
                 on s.user_id = t.user_id and s.parent_id = t.task_id where t.user_id"),
            Range,
            Sql(" and ("),
            NOTED,
            Sql(" <> coalesce(s.live, 0) or "),
            NOTED_COMPLETED,
            Sql(" <> coalesce(s.completed, 0))"),
        ],
        problem: |live, completed| {
            format!("the number of subtasks is wrong: there are {live}, {completed} of them completed")
        },
    },
    Question {
        invariant: Invariant::Parents,
        table: "tasks",
        about: About::Task,
        statement: &[
            Sql(
                "select t.user_id, t.task_id, cast(case when p.task_id is null then 1 when p.delete_time is not null then 2 \
                 when p.parent_id is not null then 3 else 4 end as bigint), cast(null as bigint) from tasks t \
                 left join tasks p on p.user_id = t.user_id and p.task_id = t.parent_id \
                 left join task_lists l on l.user_id = t.user_id and l.list_id = t.list_id where t.user_id",
            ),
            Range,
            // A list whose tasks are being taken out, the parents first.
            Sql(
                " and t.parent_id is not null and t.delete_time is null and (p.task_id is null or p.delete_time is not null \
                 or p.parent_id is not null or (p.list_id is distinct from t.list_id and l.unfinished is null))",
            ),
        ],
        problem: |code, _| {
            let wrong = ["does not exist", "is deleted", "is below another one", "is in another list"];
            let at = usize::try_from(code - 1).unwrap_or(3);
            format!("the task that it is below {}", wrong.get(at).unwrap_or(&wrong[3]))
        },
    },
    Question {
        invariant: Invariant::Lists,
        table: "tasks",
        about: About::Task,
        statement: &[
            Sql(
                "select t.user_id, t.task_id, cast(case when l.list_id is null then 1 else 2 end as bigint), \
                 cast(null as bigint) from tasks t \
                 left join task_lists l on l.user_id = t.user_id and l.list_id = t.list_id where t.user_id",
            ),
            Range,
            Sql(" and t.list_id is not null and t.delete_time is null \
                 and (l.list_id is null or (l.delete_time is not null and l.unfinished is null))"),
        ],
        problem: |code, _| {
            format!("the list that it is in {}", if code == 1 { "does not exist" } else { "is deleted" })
        },
    },
    Question {
        invariant: Invariant::Positions,
        table: "tasks",
        about: About::Task,
        statement: &[
            Sql(
                "select d.user_id, d.task_id, cast(null as bigint), cast(null as bigint) from (select user_id, task_id, \
                 row_number() over (partition by user_id, list_id, parent_id, position order by task_id) as place \
                 from tasks where user_id",
            ),
            Range,
            Sql(" and delete_time is null) d where d.place > 1"),
        ],
        problem: |_, _| "its place is that of another task too".to_owned(),
    },
    Question {
        invariant: Invariant::Positions,
        table: "task_lists",
        about: About::List,
        statement: &[
            Sql(
                "select d.user_id, d.list_id, cast(null as bigint), cast(null as bigint) from (select user_id, list_id, \
                 row_number() over (partition by user_id, position order by list_id) as place \
                 from task_lists where user_id",
            ),
            Range,
            Sql(" and delete_time is null) d where d.place > 1"),
        ],
        problem: |_, _| "its place is that of another list too".to_owned(),
    },
    Question {
        invariant: Invariant::Events,
        table: "outbox",
        about: About::Event,
        statement: &[
            Sql(
                "select o.user_id, o.id, o.last_revision, u.revision from outbox o join users u on u.id = o.user_id \
                 where o.user_id",
            ),
            Range,
            Sql(" and (o.last_revision > u.revision or o.last_revision < o.revision)"),
        ],
        problem: beyond,
    },
    Question {
        invariant: Invariant::Events,
        table: "events",
        about: About::Event,
        statement: &[
            Sql(
                "select e.user_id, e.id, e.last_revision, u.revision from events e join users u on u.id = e.user_id \
                 where e.user_id",
            ),
            Range,
            Sql(" and (e.last_revision > u.revision or e.last_revision < e.revision)"),
        ],
        problem: beyond,
    },
    Question {
        invariant: Invariant::Events,
        table: "events",
        about: About::Event,
        statement: &[
            Sql("select e.user_id, e.id, e.revision, e.before from (select user_id, id, revision, \
                 lag(last_revision) over (partition by user_id order by number) as before \
                 from events where user_id"),
            Range,
            Sql(" and kind = 1) e where e.revision <= e.before"),
        ],
        problem: |revision, before| {
            format!("it tells of changes from revision {revision} on after those up to {before} were told")
        },
    },
];

fn newest(row: i64, log: i64) -> String {
    match row {
        0 => format!("the log ends with revision {log}, and there is no row, though it was not purged"),
        row => format!("the row is of revision {row}, and the newest change of revision {log}"),
    }
}

fn beyond(last: i64, revision: i64) -> String {
    format!("it tells of changes up to revision {last}, and the user has {revision}")
}
