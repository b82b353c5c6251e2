//! The statements of the service, each with what its plan must be.

/// What is asked of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Rows are reached one by one through this index, from the values that name them, always.
    Keyed(&'static str),
    /// Rows are added; no table is read.
    Adds,
    /// Rows come in order out of this index, which gives nothing that is thrown away, always.
    InOrder(&'static str),
    /// Free, but on a table of some size what it reads is bounded by an index.
    Bounded,
    /// A job's, which looks for what is old by its time.
    Job,
}

use Class::{Adds, Bounded, InOrder, Job, Keyed};

/// How a statement begins, what it holds, and what it is. The first that fits counts.
const STATEMENTS: [(&str, &str, Class); 25] = [
    // Writes.
    ("select users.id, users.revision, users.live_tasks from unnest", "for update", Keyed("users_pkey")),
    ("select requests.", "from unnest", Keyed("requests_pkey")),
    ("select tasks.", "from unnest", Keyed("tasks_pkey")),
    ("update users set revision = v.revision", "from unnest", Keyed("users_pkey")),
    ("update tasks set title = v.title", "from unnest", Keyed("tasks_pkey")),
    ("delete from tasks using unnest", "", Keyed("tasks_pkey")),
    ("insert into tasks ", "from unnest", Adds),
    ("insert into task_changes ", "from unnest", Adds),
    ("insert into requests ", "from unnest", Adds),
    // Reads.
    ("SELECT tasks.user_id, tasks.task_id, tasks.title", "(tasks.task_id = $2)", Keyed("tasks_pkey")),
    ("(select tasks.", "union all", InOrder("tasks_live_completed_priority_idx")),
    ("select tasks.", "completed = $2 and priority = $3", InOrder("tasks_live_completed_priority_idx")),
    ("select tasks.", "is null and (create_time, task_id) ", InOrder("tasks_live_idx")),
    ("select tasks.", "is null order by create_time ", InOrder("tasks_live_idx")),
    ("select tasks.", "strpos(title_key", Bounded),
    ("select count(*), count(*) filter", "from tasks", Bounded),
    // The log, and who watches it.
    ("SELECT task_changes.revision, task_changes.type", "ORDER BY", InOrder("task_changes_pkey")),
    ("SELECT users.revision, users.compacted_revision", "", Keyed("users_pkey")),
    ("SELECT users.revision, (SELECT database_state.history", "", Keyed("users_pkey")),
    ("select users.id, users.revision from unnest", "", Keyed("users_pkey")),
    // Jobs, and what they do to one user.
    ("SELECT tasks.user_id, tasks.task_id FROM tasks", "purge_time", Bounded),
    ("SELECT task_changes.user_id, task_changes.revision FROM", "create_time < $1", Job),
    ("DELETE FROM task_changes", "(task_changes.user_id = $1)", Bounded),
    ("UPDATE users SET compacted_revision", "(users.id = $2)", Bounded),
    ("DELETE FROM requests", "create_time < $1", Job),
];

/// Whether a statement belongs to the write and the read path: whether it touches their tables.
pub(super) fn is_on_the_path(statement: &str) -> bool {
    let tables = [" tasks", " task_changes", " requests"];
    let columns = ["users.revision", "users set revision", "users.compacted_revision"];
    tables.iter().chain(&columns).any(|part| statement.contains(part))
}

/// The class of a statement; `None` for one that nobody has thought about.
pub(super) fn class_of(statement: &str) -> Option<usize> {
    STATEMENTS.iter().position(|(start, part, _)| statement.starts_with(start) && statement.contains(part))
}

/// All classes.
pub(super) fn class(at: usize) -> Class {
    STATEMENTS[at].2
}

/// Those that were not among these.
pub(super) fn unseen(seen: &std::collections::BTreeSet<usize>) -> Vec<&'static str> {
    STATEMENTS.iter().enumerate().filter(|(at, _)| !seen.contains(at)).map(|(_, one)| one.0).collect()
}
