//! The statements of the service, each with what its plan must be.

/// What is asked of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Rows are reached one by one through this index, from the values that name them, always.
    Keyed(&'static str),
    /// As `Keyed`, but for what is left out of those.
    Found(&'static str),
    /// Rows are reached where the values say that they are, always.
    InPlace,
    /// Rows are added; no table is read.
    Adds,
    /// As `Adds`, after looking who listens.
    AddsIfHeard,
    /// Rows come in order out of this index, which gives nothing that is thrown away, always.
    InOrder(&'static str),
    /// As `InOrder`, out of the index of places that fits, on a table of some size.
    InPlaces,
    /// As `InOrder`, or one by one, beside the row of a user.
    Beside(&'static str),
    /// Free, but on a table of some size what it reads is bounded by an index.
    Bounded,
    /// A job's, which looks for what is old by its time.
    Job,
}

use Class::{Adds, AddsIfHeard, Beside, Bounded, Found, InOrder, InPlace, InPlaces, Job, Keyed};

/// How a statement begins on either engine, what it holds, and what it is. The first that fits counts.
const STATEMENTS: [(&str, &str, Class); 50] = [
    // Writes.
    ("select users.id, users.revision, users.live_tasks, users.listened", "users", Keyed("users_pkey")),
    ("select requests.", "cross join requests", Keyed("requests_pkey")),
    ("select tasks.", "deleted_with_parent", Found("tasks_parent_idx")),
    ("select tasks.", "cross join tasks", Keyed("tasks_pkey")),
    ("update users set revision = v.revision", "", Keyed("users_pkey")),
    ("update tasks set title = v.title", "", Keyed("tasks_pkey")),
    ("delete from tasks ", "as v", Keyed("tasks_pkey")),
    ("insert into tasks ", "as v", Adds),
    ("insert into task_changes ", "as v", Adds),
    ("insert into requests ", "as v", Adds),
    ("insert into outbox ", "as v", AddsIfHeard),
    // Lists, and the order of tasks.
    ("select task_lists.", "cross join task_lists", Keyed("task_lists_pkey")),
    ("select task_lists.", "user_id = ", Bounded),
    ("SELECT task_lists.user_id, task_lists.list_id, task_lists.title", "", Keyed("task_lists_pkey")),
    ("insert into task_lists ", "as v", Adds),
    ("update task_lists set title = v.title", "", Keyed("task_lists_pkey")),
    ("delete from task_lists ", "as v", Keyed("task_lists_pkey")),
    ("SELECT task_lists.user_id, task_lists.list_id FROM", "unfinished IS NOT NULL", Job),
    ("SELECT task_lists.user_id, task_lists.list_id FROM", "purge_time", Job),
    ("select tasks.", " and task_id <> ", Bounded),
    ("select tasks.", "deleted_with_list", Bounded),
    ("select tasks.", "order by position asc", InPlaces),
    ("select tasks.", "order by position desc", InPlaces),
    ("select tasks.", "order by parent_id is ", Bounded),
    // Reads.
    ("select tasks.", " and task_id >", Bounded),
    ("SELECT tasks.user_id, tasks.task_id, tasks.title", "(tasks.task_id = ", Keyed("tasks_pkey")),
    ("select tasks.", " union all ", InOrder("tasks_live_completed_priority_idx")),
    ("select tasks.", " and completed = ", InOrder("tasks_live_completed_priority_idx")),
    ("select tasks.", "is null and (create_time, task_id) ", InOrder("tasks_live_idx")),
    ("select tasks.", "is null order by create_time ", InOrder("tasks_live_idx")),
    ("select tasks.", "(title_key, ", Bounded),
    ("select count(*), count(*) filter", "from tasks", Bounded),
    // The log, and who watches it.
    ("SELECT task_changes.revision, task_changes.type", "ORDER BY", InOrder("task_changes_pkey")),
    ("with recursive past as (select revision, type, task_id", "", Bounded),
    (
        "SELECT task_changes.revision, task_changes.type",
        "task_changes.revision = ",
        Keyed("task_changes_pkey"),
    ),
    ("SELECT tasks.revision FROM tasks", "", Keyed("tasks_pkey")),
    ("SELECT users.revision, users.compacted_revision", "", Keyed("users_pkey")),
    ("SELECT users.compacted_revision, (SELECT database_state.history", "", Keyed("users_pkey")),
    ("SELECT users.revision, (SELECT database_state.history", "", Keyed("users_pkey")),
    ("select users.id, users.revision from ", "cross join users", Keyed("users_pkey")),
    // Jobs look for what is old by its time, and change one user at a time.
    ("SELECT tasks.user_id, tasks.task_id FROM tasks", "purge_time", Bounded),
    ("SELECT task_changes.user_id, task_changes.revision FROM", "create_time < ", Job),
    ("DELETE FROM task_changes", "(task_changes.user_id = ", Bounded),
    ("UPDATE users SET compacted_revision", "(users.id = ", Bounded),
    ("DELETE FROM requests", "create_time < ", Job),
    // What is to be told, and of what is to be reminded.
    ("SELECT outbox.revision FROM outbox", "LIMIT", Job),
    ("SELECT outbox.user_id, outbox.revision", "ORDER BY", Job),
    ("DELETE FROM outbox", "user_id", Job),
    ("INSERT INTO outbox", "VALUES", Adds),
    ("select user_id, task_id, ", "remind_time", Job),
];

/// The same of what SQLite is never asked: changes in the places of rows; and what is asked of standbys, each of which says how much it
/// holds.
const OF_POSTGRES: [(&str, &str, Class); 11] = [
    ("update users set revision = v.revision", "users.ctid = v.place", InPlace),
    ("with changed as (update tasks set title = v.title", " returning 1)", InPlace),
    ("select v.user_id, v.other_id, users.revision", "left join tasks", Beside("tasks_pkey")),
    ("select users.revision, users.compacted_revision, (", "from task_changes", Beside("task_changes_pkey")),
    ("select users.revision, (", "title_key", Bounded),
    ("select users.revision, (", " union all ", Beside("tasks_live_completed_priority_idx")),
    ("select users.revision, (", " and completed = ", Beside("tasks_live_completed_priority_idx")),
    ("select users.revision, (", "is null and (create_time, task_id) ", Beside("tasks_live_idx")),
    ("select users.revision, (", "is null order by create_time ", Beside("tasks_live_idx")),
    ("select users.revision, (", "select count(*), count(*) filter", Bounded),
    ("select users.revision, (", " and task_id >", Bounded),
];

/// Whether a statement belongs to the write and the read path: whether it touches their tables.
pub(super) fn is_on_the_path(statement: &str) -> bool {
    let tables = ["tasks", "task_lists", "task_changes", "requests", "users", "outbox"];
    tables.iter().any(|table| {
        statement.contains(&format!(" {table} "))
            || statement.contains(&format!("{table}."))
            || statement.ends_with(&format!(" {table}"))
    })
}

/// Tables that are spread by user where there is a Citus, and those that are by a key of their own.
const SPREAD: [&str; 17] = [
    "users",
    "sessions",
    "api_keys",
    "tasks",
    "task_lists",
    "task_changes",
    "requests",
    "audit_events",
    "outbox",
    "events",
    "webhooks",
    "webhook_queues",
    "mails",
    "mail_tokens",
    "emails",
    "identities",
    "login_throttles",
];

/// Statements that ask all servers of a Citus, with the reason: how they begin, and what they hold.
const ASK_ALL: [(&str, &str); 24] = [
    // Of many users, which are on any server: who has news for those that watch.
    ("select users.id, users.revision from ", "cross join users"),
    // Sets of rows; where they are spread, each statement says once more of which users, who are on one shard.
    ("select requests.", "cross join requests"),
    ("select tasks.", "cross join tasks"),
    ("select task_lists.", "cross join task_lists"),
    // Jobs look for what is old or due, whose ever it is.
    ("SELECT mails.", "mails.next_attempt_time"),
    ("SELECT mail_tokens.", "mail_tokens.expire_time"),
    ("SELECT COUNT(*) FROM mails", ""),
    ("SELECT task_lists.user_id, task_lists.list_id FROM", "unfinished IS NOT NULL"),
    ("SELECT task_lists.user_id, task_lists.list_id FROM", "purge_time"),
    ("SELECT tasks.user_id, tasks.task_id FROM tasks", "purge_time"),
    ("SELECT task_changes.user_id, task_changes.revision FROM", "create_time < "),
    ("DELETE FROM requests", "create_time < "),
    ("SELECT outbox.revision FROM outbox", "LIMIT"),
    ("SELECT outbox.user_id, outbox.revision", "ORDER BY"),
    ("SELECT webhooks.user_id, webhooks.id FROM", ""),
    // The work that hands events on is for all users.
    ("DELETE FROM events", "number <= "),
    ("SELECT events.number, events.create_time FROM events", "ORDER BY"),
    ("SELECT COUNT(*) FROM webhook", ""),
    ("SELECT webhook_queues.user_id", "ORDER BY webhook_queues.next_attempt_time"),
    ("DELETE FROM webhook_queues", "webhook_id = "),
    ("select user_id, task_id, ", "remind_time"),
    ("SELECT audit_events.user_id, audit_events.id FROM", "create_time < "),
    ("SELECT login_throttles.throttle_key FROM", "update_time < "),
    ("SELECT sessions.user_id, sessions.id FROM", "expire_time < "),
];

/// Whether a statement finds the one server that has its rows, as far as it reads or changes a table that is spread.
pub(super) fn finds_its_server(statement: &str) -> bool {
    let text = statement.to_lowercase().replace(['(', ')'], " ");
    let is_spread = SPREAD.iter().any(|table| {
        ["from", "join", "update", "delete from"].iter().any(|word| {
            text.contains(&format!(" {word} {table} ")) || text.starts_with(&format!("{word} {table} "))
        })
    });
    let keys = ["user_id", "users.id", "emails.email_key", "identities.identity_key", "throttle_key"];
    let has_key = keys
        .iter()
        .any(|key| [" = $", " = any", " in  $"].iter().any(|is| text.contains(&format!("{key}{is}"))));
    let asks_all =
        ASK_ALL.iter().any(|(begin, part)| statement.starts_with(begin) && statement.contains(part));
    !is_spread || has_key || asks_all
}

/// Whether a statement locks rows that may be on several servers, which no Citus does: it locks those of users that it names.
pub(super) fn locks_at_large(statement: &str) -> bool {
    let text = statement.to_lowercase();
    text.contains("for update") && !text.contains("users where users.id = any (")
}

/// The class of a statement; `None` for one that nobody has thought about.
pub(super) fn class_of(statement: &str) -> Option<usize> {
    // PostgreSQL has parentheses around what is merged.
    let text = statement.trim_start_matches('(');
    all().position(|(start, part, _)| text.starts_with(start) && text.contains(part))
}

/// All classes.
pub(super) fn class(at: usize) -> Class {
    all().nth(at).unwrap().2
}

fn all() -> impl Iterator<Item = &'static (&'static str, &'static str, Class)> {
    OF_POSTGRES.iter().chain(&STATEMENTS)
}

/// Those that were not among these, on PostgreSQL or on SQLite.
pub(super) fn unseen(seen: &std::collections::BTreeSet<usize>, on_postgres: bool) -> Vec<&'static str> {
    let others = if on_postgres { 0 } else { OF_POSTGRES.len() };
    all().enumerate().skip(others).filter(|(at, _)| !seen.contains(at)).map(|(_, one)| one.0).collect()
}
