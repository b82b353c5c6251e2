//! Rows whose user does not exist, in tables without a foreign key.

use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl as _;

use super::{Findings, Invariant};
use crate::domain::Result;
use crate::storage::Storage;
use crate::storage::engine::pool::with_conn;
use crate::storage::engine::sql::{Fragment, Value, Whole};
use crate::storage::engine::types::{DbUuid, Id};

/// Tables whose rows belong to a user. Challenges last for minutes, and are left out; audit events, revocations, outbox and
/// journal tell of users who are gone. What belongs to nobody stands under the nil id, which no user has.
const OF_USERS: [&str; 9] = [
    "tasks",
    "task_lists",
    "task_changes",
    "second_factors",
    "recovery_codes",
    "requests",
    "webhooks",
    "sessions",
    "api_keys",
];
/// Users that one statement looks at, so that it stays far below its time limit.
const USERS_AT_ONCE: i64 = 1000;

/// Goes from user to user, so that it costs as much as there are users, however many rows.
pub(super) async fn check(storage: &Storage, findings: &mut Findings) -> Result<()> {
    for table in OF_USERS {
        let mut last = Id(uuid::Uuid::nil());
        loop {
            let owners: Vec<(Id, bool)> = with_conn!(&storage.by_key, |conn| {
                // Known from the connection.
                let owners = if storage.pool.server().is_distributed() { spread_owners } else { owners };
                owners(table, last).load(conn).await
            })?;
            let count = owners.len();
            for (owner, exists) in owners {
                last = owner;
                findings.owners += 1;
                if !exists {
                    let problem =
                        format!("{table} holds rows of {}, who does not exist", owner.0.as_hyphenated());
                    findings.note(Invariant::Owners, table, format!("users/{}", owner.0), problem);
                }
            }
            if i64::try_from(count).unwrap_or(i64::MAX) < USERS_AT_ONCE {
                break;
            }
        }
    }
    Ok(())
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
