//! The journal of all users as one, and what webhooks have still to be told out of it.

use std::collections::HashSet;

use diesel::{ExpressionMethods as _, QueryDsl as _};
use diesel_async::RunQueryDsl as _;

use super::{Findings, Invariant};
use crate::domain::Result;
use crate::storage::Storage;
use crate::storage::engine::pool::with_conn;
use crate::storage::engine::sql::{Fragment, Value, Whole};
use crate::storage::engine::types::{DbUuid, Id, Moment};
use crate::storage::schema::{event_head, events, webhooks};

/// Numbers that are read at once.
const NUMBERS_AT_ONCE: i64 = 20_000;
/// Queues that are read at once.
const QUEUES_AT_ONCE: i64 = 500;
/// So long after its time, in microseconds, nobody attends to a queue: where somebody does, one without a webhook goes by itself.
const LEFT_AFTER: i64 = 3_600_000_000;

pub(super) async fn check(storage: &Storage, findings: &mut Findings) -> Result<()> {
    check_numbers(storage, findings).await?;
    check_queues(storage, findings).await
}

/// The last number that was given, and the last that is no longer kept.
async fn head(storage: &Storage) -> Result<(i64, i64)> {
    with_conn!(&storage.pool, |conn| {
        event_head::table
            .find(1)
            .select((event_head::last_number, event_head::swept_number))
            .first(conn)
            .await
    })
}

/// Every number after the swept one and up to the last was given to one event. What was swept meanwhile is left out.
async fn check_numbers(storage: &Storage, findings: &mut Findings) -> Result<()> {
    let (last, swept) = head(storage).await?;
    let mut note = |problem: String| {
        findings.note(Invariant::Events, "event_head", "event_head/1".to_owned(), problem);
    };
    if swept > last {
        note(format!("the swept number {swept} is higher than the last number {last}"));
    }
    let mut expected = swept + 1;
    loop {
        let numbers: Vec<i64> = with_conn!(&storage.pool, |conn| {
            let next = events::table.filter(events::number.ge(expected)).filter(events::number.le(last));
            next.order(events::number.asc()).limit(NUMBERS_AT_ONCE).select(events::number).load(conn).await
        })?;
        let (_, swept) = head(storage).await?;
        let is_end = (numbers.len() as i64) < NUMBERS_AT_ONCE;
        expected = expected.max(swept + 1);
        for number in numbers.into_iter().filter(|number| *number > swept) {
            if number < expected {
                findings.note(
                    Invariant::Events,
                    "events",
                    format!("number {number}"),
                    format!("the number {number} was given twice"),
                );
                continue;
            }
            if number > expected {
                let problem = format!("the journal has nothing from number {expected} to {}", number - 1);
                findings.note(Invariant::Events, "events", format!("number {expected}"), problem);
            }
            expected = number + 1;
        }
        if is_end {
            break;
        }
    }
    if expected <= last {
        let problem = format!("the journal has nothing from number {expected} to the last one, {last}");
        findings.note(Invariant::Events, "events", format!("number {expected}"), problem);
    }
    let beyond: Vec<i64> = with_conn!(&storage.pool, |conn| {
        let highest = events::table.order(events::number.desc());
        highest.limit(1).select(events::number).load(conn).await
    })?;
    let (last, _) = head(storage).await?;
    if let Some(number) = beyond.into_iter().find(|number| *number > last) {
        let problem =
            format!("the journal goes up to number {number}, and the last that was given is {last}");
        findings.note(Invariant::Events, "events", format!("number {number}"), problem);
    }
    Ok(())
}

/// User, webhook, its owner, the next and the last number, and the time of the next attempt.
type Queue = (Id, Id, Id, i64, i64, Option<Moment>);

async fn check_queues(storage: &Storage, findings: &mut Findings) -> Result<()> {
    use diesel::sql_types::{BigInt, Nullable};

    use crate::storage::engine::types::DbTimestamp;
    let left = storage.clock().now().as_micros() - LEFT_AFTER;
    let mut after = (Id(uuid::Uuid::nil()), Id(uuid::Uuid::nil()));
    loop {
        let statement = || {
            let mut out = Fragment::new();
            out.sql(
                "select user_id, webhook_id, owner_id, next_number, last_number, next_attempt_time \
                     from webhook_queues where (user_id, webhook_id) > (",
            );
            out.bind(Value::Id(after.0)).sql(", ").bind(Value::Id(after.1));
            out.sql(") order by user_id, webhook_id limit ").bind(Value::Big(QUEUES_AT_ONCE));
            Whole::<(DbUuid, DbUuid, DbUuid, BigInt, BigInt, Nullable<DbTimestamp>)>::new(out)
        };
        let queues: Vec<Queue> = with_conn!(&storage.pool, |conn| { statement().load(conn).await })?;
        let Some((user, webhook, ..)) = queues.last() else { return Ok(()) };
        after = (*user, *webhook);
        // Read afterwards: no queue gets ahead of it.
        let (last, _) = head(storage).await?;
        let owners: HashSet<Id> = queues.iter().map(|queue| queue.2).collect();
        let there: Vec<(Id, Id)> = with_conn!(&storage.pool, |conn| {
            let of_these = webhooks::table.filter(webhooks::user_id.eq_any(owners.iter().copied()));
            of_these.select((webhooks::user_id, webhooks::id)).load(conn).await
        })?;
        let there: HashSet<(Id, Id)> = there.into_iter().collect();
        for (user, webhook, owner, next_number, last_number, next_attempt_time) in queues {
            let key = format!("users/{}, webhook {}", user.0, webhook.0);
            if last_number > last {
                let problem = format!("it is to be told up to number {last_number}, and the last is {last}");
                findings.note(Invariant::Queues, "webhook_queues", key.clone(), problem);
            }
            if next_number > last_number + 1 {
                let problem = format!("it goes on with number {next_number} and ends with {last_number}");
                findings.note(Invariant::Queues, "webhook_queues", key.clone(), problem);
            }
            let is_left = next_attempt_time.is_none_or(|time| time.0 < left);
            if is_left && !there.contains(&(owner, webhook)) {
                findings.note(
                    Invariant::Queues,
                    "webhook_queues",
                    key,
                    "the webhook does not exist".to_owned(),
                );
            }
        }
    }
}
