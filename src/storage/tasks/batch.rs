//! One batch of operations in one transaction, on either engine.

use futures_util::FutureExt as _;

use super::ledger::{self, Purpose, Report};
use super::write_postgres::{PostgresBatch, Reach};
use crate::domain::{Error, Result};
use crate::storage::engine::connections::checkout;
use crate::storage::engine::pool::{Engine, Pool};
use crate::storage::engine::postgres::transaction::Transaction;
use crate::storage::engine::set::Place;
use crate::storage::{Notifier, Operation, Outcome, WriteError};

/// Carries out a batch in a transaction of its own, commits it, and tells whoever waits for news. Outer errors concern the whole of it.
/// Where tables are spread, all its users are on one shard.
///
/// Whoever drops this in the middle does not learn what became of it: PostgreSQL rolls back what it notices, SQLite brings
/// it to its end first.
pub(in crate::storage) async fn commit(
    pool: &Pool,
    notifier: &Notifier,
    operations: Vec<Operation>,
    reach: Reach,
) -> Result<Vec<Result<Outcome, WriteError>>> {
    let work = run(pool, notifier, operations, (Purpose::Write, reach));
    let Report { results, raised, is_told } = pool.bounded_write(work).await?;
    pool.note_committed(&raised);
    if !pool.server().is_primary() {
        notifier.tell_others(raised.iter().map(|(user, _)| *user));
    }
    if is_told {
        notifier.ears().fill();
    }
    // Only now, after the commit, is there news.
    notifier.announce(raised);
    Ok(results)
}

/// What would become of a batch. Nothing is written, and the users' rows are held only while it is decided.
pub(in crate::storage) async fn rehearse(
    pool: &Pool,
    notifier: &Notifier,
    operations: Vec<Operation>,
) -> Result<Vec<Result<Outcome, WriteError>>> {
    let work = run(pool, notifier, operations, (Purpose::Rehearse, Reach::ByKey));
    Ok(pool.bounded_write(work).await?.results)
}

/// A batch of one.
pub(in crate::storage) async fn commit_one(
    pool: &Pool,
    notifier: &Notifier,
    operation: Operation,
) -> Result<Outcome, WriteError> {
    let mut results = commit(pool, notifier, vec![operation], Reach::ByKey).await?;
    results.pop().unwrap_or_else(|| Err(Error::Internal("an operation was not answered".into()).into()))
}

async fn run(
    pool: &Pool,
    notifier: &Notifier,
    operations: Vec<Operation>,
    (purpose, reach): (Purpose, Reach),
) -> Result<Report> {
    let origin = notifier.origin();
    match &pool.engine {
        Engine::Postgres(connections) => {
            let mut guard = checkout(connections).await?;
            let (place, limits) = (pool.place(), pool.limits);
            // Nobody listens at a worker.
            let is_heard = pool.server().is_primary();
            // Where tables are spread, nobody knows the places of rows.
            let reach = if place == Place::Here { reach } else { Reach::ByKey };
            let mut batch = PostgresBatch::new(Transaction::on(&mut guard), (place, reach), limits, is_heard);
            let result = ledger::run(&mut batch, operations, purpose, origin).await;
            batch.end(result).await
        }
        // On the other thread as a whole: from statement to statement it would be handed over each time.
        Engine::Sqlite { writer, .. } => {
            let mut guard = checkout(writer).await?;
            let on_thread = guard.spawn_blocking(move |conn| {
                Ok(conn.immediate_transaction(|conn| {
                    let waits = || Err(Error::Internal("a write batch waits on SQLite".into()));
                    ledger::run(conn, operations, purpose, origin).now_or_never().unwrap_or_else(waits)
                }))
            });
            on_thread.await?
        }
    }
}
