//! Whether what has to hold in the database does, where the schema does not see to it.

use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl as _;

use super::Storage;
use super::engine::pool::with_conn;
use super::engine::sql::{Fragment, Value, Whole};
use super::engine::types::{DbUuid, Id};
use crate::domain::{Result, UserId};

/// Tables whose rows belong to a user and that have no foreign key. Challenges last for minutes, and are left out.
const OF_USERS: [&str; 5] = ["tasks", "task_lists", "task_changes", "second_factors", "recovery_codes"];
/// Users that one statement looks at, so that it stays far below its time limit.
const USERS_AT_ONCE: i64 = 1000;

/// Rows whose user does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphans {
    /// Where they are.
    pub table: &'static str,
    /// Whose they were.
    pub user: UserId,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Rows without their user, by table and user.
    pub orphans: Vec<Orphans>,
    /// How many users have rows, counted once per table.
    pub owners: usize,
}

impl Storage {
    /// Looks for rows whose user does not exist. Reads only, and from user to user, so that it costs
    /// as much as there are users, however many rows.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn check(&self) -> Result<Findings> {
        let mut findings = Findings::default();
        for table in OF_USERS {
            let mut last = Id(uuid::Uuid::nil());
            loop {
                let owners: Vec<(Id, bool)> = with_conn!(&self.by_key, |conn| {
                    // Known from the connection.
                    let owners = if self.pool.server().is_distributed() { spread_owners } else { owners };
                    owners(table, last).load(conn).await
                })?;
                let count = owners.len();
                for (owner, exists) in owners {
                    last = owner;
                    findings.owners += 1;
                    if !exists {
                        findings.orphans.push(Orphans { table, user: owner.into() });
                    }
                }
                if i64::try_from(count).unwrap_or(i64::MAX) < USERS_AT_ONCE {
                    break;
                }
            }
        }
        Ok(findings)
    }
}

/// The next users that have rows, each found by skipping the rows of the one before.
fn owners(table: &'static str, after: Id) -> Whole<(DbUuid, Bool)> {
    let mut sql = Fragment::new();
    sql.sql("with recursive owners (id, place) as (select (select user_id from ").sql(table);
    sql.sql(" where user_id > ")
        .bind(Value::Id(after))
        .sql(" order by user_id limit 1), ")
        .each("1::bigint", "1");
    sql.sql(" union all select (select user_id from ").sql(table);
    sql.sql(
        " where user_id > owners.id order by user_id limit 1), place + 1 from owners where id is not null ",
    );
    sql.sql("and place < ").bind(Value::Big(USERS_AT_ONCE)).sql(") select id, exists (select 1 from users where users.id = owners.id) from owners where id is not null \
         order by place");
    Whole::new(sql)
}

/// The same where the rows are spread over several servers, each of which reads the rows of all users that it has.
fn spread_owners(table: &'static str, after: Id) -> Whole<(DbUuid, Bool)> {
    let mut sql = Fragment::new();
    sql.sql("select owners.user_id, users.id is not null from (select distinct user_id from ").sql(table);
    sql.sql(" where user_id > ")
        .bind(Value::Id(after))
        .sql(") owners left join users on users.id = owners.user_id order by owners.user_id limit ");
    sql.bind(Value::Big(USERS_AT_ONCE));
    Whole::new(sql)
}
