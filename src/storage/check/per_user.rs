//! The questions, asked of one stretch of users after the other.

use diesel::sql_types::{BigInt, Nullable};
use diesel::{ExpressionMethods as _, QueryDsl as _};
use diesel_async::RunQueryDsl as _;

use super::Findings;
use super::questions::{About, Part, QUESTIONS, Question};
use crate::domain::Result;
use crate::storage::Storage;
use crate::storage::engine::pool::with_conn;
use crate::storage::engine::sql::{Fragment, Value, Whole};
use crate::storage::engine::types::{DbUuid, Id};
use crate::storage::schema::users;

/// Users that are looked at together.
const USERS_AT_ONCE: i64 = 500;
/// Live tasks and changes that they have together, unless one has more: what a statement goes through in well under a second.
const ROWS_AT_ONCE: i64 = 20_000;

/// User, row, and two numbers.
type Answer = (Id, Option<Id>, Option<i64>, Option<i64>);
type AnswerTypes = (DbUuid, Nullable<DbUuid>, Nullable<BigInt>, Nullable<BigInt>);

pub(super) async fn check(storage: &Storage, findings: &mut Findings) -> Result<()> {
    let mut after = Id(uuid::Uuid::nil());
    loop {
        let next: Vec<(Id, i64, i64, i64)> = with_conn!(&storage.pool, |conn| {
            users::table
                .filter(users::id.gt(after))
                .order(users::id.asc())
                .limit(USERS_AT_ONCE)
                .select((users::id, users::live_tasks, users::revision, users::compacted_revision))
                .load(conn)
                .await
        })?;
        let Some((last, _, _, _)) = next.last() else { return Ok(()) };
        after = *last;
        findings.users += next.len() as u64;
        for (first, last) in stretches(&next) {
            for question in &QUESTIONS {
                ask(storage, question, first, last, findings).await?;
            }
        }
    }
}

/// The users in stretches that have few rows together: the first and the last of each.
fn stretches(users: &[(Id, i64, i64, i64)]) -> Vec<(Id, Id)> {
    let mut stretches: Vec<(Id, Id)> = Vec::new();
    let mut rows = ROWS_AT_ONCE;
    for (user, live, revision, compacted) in users {
        let more = live.saturating_add(revision.saturating_sub(*compacted)).max(0);
        rows = rows.saturating_add(more);
        match stretches.last_mut() {
            Some((_, last)) if rows <= ROWS_AT_ONCE => *last = *user,
            _ => {
                stretches.push((*user, *user));
                rows = more;
            }
        }
    }
    stretches
}

async fn ask(
    storage: &Storage,
    question: &Question,
    first: Id,
    last: Id,
    findings: &mut Findings,
) -> Result<()> {
    let answers: Vec<Answer> =
        with_conn!(&storage.pool, |conn| { statement(question, first, last).load(conn).await })?;
    for (user, row, one, other) in answers {
        let user = user.0;
        let row = row.map(|row| row.0).unwrap_or_default();
        let key = match question.about {
            About::User => format!("users/{user}"),
            About::Task => format!("users/{user}/tasks/{row}"),
            About::List => format!("users/{user}/taskLists/{row}"),
            About::Event => format!("users/{user}, id {row}"),
        };
        let problem = (question.problem)(one.unwrap_or_default(), other.unwrap_or_default());
        findings.note(question.invariant, question.table, key, problem);
    }
    Ok(())
}

fn statement(question: &Question, first: Id, last: Id) -> Whole<AnswerTypes> {
    let mut out = Fragment::new();
    for part in question.statement {
        match part {
            Part::Sql(sql) => out.sql(sql),
            Part::Each(postgres, sqlite) => out.each(postgres, sqlite),
            Part::Range => out.sql(" between ").bind(Value::Id(first)).sql(" and ").bind(Value::Id(last)),
        };
    }
    Whole::new(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_cover_all_users_and_stay_small() {
        let id = |number: u128| Id(uuid::Uuid::from_u128(number));
        assert_eq!(stretches(&[]), []);
        let few = [(id(1), 10, 20, 0), (id(2), 0, 0, 0), (id(3), 5, 9, 9)];
        assert_eq!(stretches(&few), [(id(1), id(3))]);
        let many = [(id(1), 1, 1, 0), (id(2), 90_000, 9, 0), (id(3), 1, 1, 0), (id(4), 0, 19_998, 0)];
        assert_eq!(stretches(&many), [(id(1), id(1)), (id(2), id(2)), (id(3), id(4))]);
        // Whatever the counters say.
        let wrong = [(id(1), i64::MAX, i64::MAX, i64::MIN), (id(2), i64::MIN, 0, i64::MAX)];
        assert_eq!(stretches(&wrong).len(), 2);
    }
}
