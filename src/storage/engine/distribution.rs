//! A PostgreSQL whose tables are spread over several servers by Citus: which table how, how far that is done, and doing it.

use std::collections::HashMap;

use diesel::sql_types::{Bool, Integer, Nullable, Text};
use diesel::{QueryResult, QueryableByName, sql_query};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _};

/// How the rows of a table are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spread {
    /// By this column, which holds the user: all rows of a user are on one server.
    ByUser(&'static str),
    /// By its key: what is unique among all users.
    ByKey(&'static str),
    /// Each server has them all: they are few, and read along with what is of users.
    Everywhere,
}

/// All tables that are spread, users first. The others stay where statements are sent to: they are small, and what is read of
/// them goes together with the numbers of that server's own transactions.
const TABLES: [(&str, Spread); 21] = [
    ("users", Spread::ByUser("id")),
    ("sessions", Spread::ByUser("user_id")),
    ("api_keys", Spread::ByUser("user_id")),
    ("second_factors", Spread::ByUser("user_id")),
    ("recovery_codes", Spread::ByUser("user_id")),
    ("login_challenges", Spread::ByUser("user_id")),
    ("mails", Spread::ByUser("user_id")),
    ("mail_tokens", Spread::ByUser("user_id")),
    ("tasks", Spread::ByUser("user_id")),
    ("task_lists", Spread::ByUser("user_id")),
    ("task_changes", Spread::ByUser("user_id")),
    ("requests", Spread::ByUser("user_id")),
    ("audit_events", Spread::ByUser("user_id")),
    ("outbox", Spread::ByUser("user_id")),
    ("events", Spread::ByUser("user_id")),
    ("webhooks", Spread::ByUser("user_id")),
    ("webhook_queues", Spread::ByUser("user_id")),
    ("event_listeners", Spread::Everywhere),
    ("emails", Spread::ByKey("email_key")),
    ("identities", Spread::ByKey("identity_key")),
    ("login_throttles", Spread::ByKey("throttle_key")),
];

/// How far the tables of a database are spread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage) enum Distribution {
    /// Not at all: an ordinary database.
    None,
    /// All that are to be.
    Whole,
    /// All but these, or these in another way.
    Half(Vec<&'static str>),
}

/// Whether there is a Citus in this database.
pub(in crate::storage) const HAS_CITUS: &str = "(to_regclass('pg_catalog.pg_dist_partition') is not null)";

#[derive(QueryableByName)]
struct HasCitus {
    #[diesel(sql_type = Bool)]
    has_citus: bool,
}

/// A table that is spread, as Citus has it.
#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Nullable<Text>)]
    spread_by: Option<String>,
    #[diesel(sql_type = Integer)]
    colocation: i32,
}

impl Distribution {
    /// Looks at a database that has Citus.
    pub(in crate::storage) async fn of(conn: &mut AsyncPgConnection) -> QueryResult<Self> {
        let rows: Vec<Row> = sql_query(
            "select c.relname::text as name, column_to_column_name(p.logicalrelid, p.partkey) as spread_by, \
             p.colocationid as colocation from pg_dist_partition p join pg_class c on c.oid = p.logicalrelid \
             where p.partmethod in ('h', 'n') \
             and c.relnamespace = (select relnamespace from pg_class where oid = to_regclass('users'))",
        )
        .load(conn)
        .await?;
        let spread: HashMap<&str, &Row> = rows.iter().map(|row| (row.name.as_str(), row)).collect();
        let users = spread.get("users").map(|row| row.colocation);
        let fits = |table: &str, how: Spread| {
            spread.get(table).is_some_and(|row| match how {
                Spread::ByUser(by) => row.spread_by.as_deref() == Some(by) && Some(row.colocation) == users,
                Spread::ByKey(by) => row.spread_by.as_deref() == Some(by),
                Spread::Everywhere => row.spread_by.is_none(),
            })
        };
        let missing: Vec<&str> =
            TABLES.iter().filter(|(table, how)| !fits(table, *how)).map(|(table, _)| *table).collect();
        Ok(match missing.len() {
            0 => Self::Whole,
            all if all == TABLES.len() => Self::None,
            _ => Self::Half(missing),
        })
    }

    /// Spreads what is not spread yet, all or nothing; answers what was done, a line for each table. What the tables hold
    /// moves along. Nobody can write meanwhile. With no number of shards, Citus says how many.
    pub(in crate::storage) async fn complete(
        conn: &mut AsyncPgConnection,
        shards: Option<u16>,
    ) -> QueryResult<Vec<String>> {
        let missing = match Self::of(conn).await? {
            Self::Whole => return Ok(Vec::new()),
            Self::None => TABLES.iter().map(|(table, _)| *table).collect(),
            Self::Half(missing) => missing,
        };
        let mut steps = Vec::new();
        for (table, how) in TABLES.into_iter().filter(|(table, _)| missing.contains(table)) {
            let parts = shards.map_or_else(String::new, |shards| format!(", shard_count => {shards}"));
            steps.push(match how {
                Spread::ByUser(by) if table == "users" => {
                    let statement = format!(
                        "select create_distributed_table('users', '{by}', colocate_with => 'none'{parts})"
                    );
                    (statement, format!("spread users by {by}"))
                }
                Spread::ByUser(by) => (
                    format!("select create_distributed_table('{table}', '{by}', colocate_with => 'users')"),
                    format!("spread {table} by {by}, beside users"),
                ),
                Spread::Everywhere => (
                    format!("select create_reference_table('{table}')"),
                    format!("put {table} on all servers"),
                ),
                Spread::ByKey(by) => (
                    format!(
                        "select create_distributed_table('{table}', '{by}', colocate_with => 'none'{parts})"
                    ),
                    format!("spread {table} by {by}"),
                ),
            });
        }
        conn.transaction::<_, diesel::result::Error, _>(async |conn| {
            // One after another: what refers to each other cannot be made at once.
            conn.batch_execute("set local citus.multi_shard_modify_mode = 'sequential'").await?;
            for (statement, _) in &steps {
                conn.batch_execute(statement).await?;
            }
            Ok(())
        })
        .await?;
        // What was moved still lies where it was, unseen.
        for table in missing {
            conn.batch_execute(&format!("select truncate_local_data_after_distributing_table('{table}')"))
                .await?;
        }
        Ok(steps.into_iter().map(|(_, done)| done).collect())
    }
}

/// A worker, as it sees itself.
#[derive(QueryableByName)]
struct Worker {
    #[diesel(sql_type = Integer)]
    group: i32,
    #[diesel(sql_type = Bool)]
    read_only: bool,
}

/// Asks a connection whether it leads to the worker with this number, and whether that can be written to.
///
/// # Errors
/// Why not.
pub(in crate::storage) async fn check_worker(conn: &mut AsyncPgConnection, group: i32) -> Result<(), String> {
    let look = "select groupid as \"group\", current_setting('transaction_read_only')::bool \
                or pg_is_in_recovery() as read_only from pg_dist_local_group";
    let seen: Worker = sql_query(look).get_result(conn).await.map_err(|error| error.to_string())?;
    if seen.group != group {
        return Err(format!("it is worker {} there, and not {group}", seen.group));
    }
    if seen.read_only {
        return Err("it is read-only".into());
    }
    Ok(())
}

/// Whether the server has Citus in this database.
pub(in crate::storage) async fn has_citus(conn: &mut AsyncPgConnection) -> QueryResult<bool> {
    let look = sql_query(format!("select {HAS_CITUS} as has_citus"));
    Ok(look.get_result::<HasCitus>(conn).await?.has_citus)
}
