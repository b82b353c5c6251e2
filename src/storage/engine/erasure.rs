//! The end of an erasure: SQLite's file and its log, in which something of what was deleted would go on lying.

use std::time::Duration;

use diesel::{QueryableByName, sql_query};
use diesel_async::{RunQueryDsl as _, SimpleAsyncConnection as _};
use tokio::time::sleep;

use super::connections::checkout;
use super::pool::{Engine, Pool};

/// How long the log's emptying waits for readers while no write can begin, in milliseconds.
const PATIENCE_OF_EMPTYING: u64 = 200;
/// How often it is tried.
const TRIES_OF_EMPTYING: usize = 5;

/// The largest file that is written anew, in octets. That takes well below a second, in which nothing else can be written.
const ANEW_MAX: i64 = 64 * 1024 * 1024;

/// Writes the file anew without what was deleted. SQLite overwrites what it deletes where it lies then; where it lay before a page
/// was split, it stays until the page is written full. A larger file is left at that.
pub(in crate::storage) async fn write_anew(pool: &Pool) {
    let Engine::Sqlite { writer, .. } = &pool.engine else { return };
    let written = async {
        let mut conn = checkout(writer).await?;
        let size: Size =
            sql_query("select page_count * page_size as octets from pragma_page_count(), pragma_page_size()")
                .get_result(&mut *conn)
                .await?;
        if size.octets <= ANEW_MAX {
            conn.batch_execute("vacuum").await?;
        } else {
            tracing::info!(
                octets = size.octets,
                "the database is too large to be written anew; copies of what was deleted may stay in gaps of its pages"
            );
        }
        Ok(())
    };
    if let Err(error) = pool.bounded_write(written).await {
        tracing::warn!(%error, "the database was not written anew; copies of what was deleted may stay in gaps of its pages");
    }
}

/// How large the file is.
#[derive(QueryableByName)]
struct Size {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    octets: i64,
}

/// Brings the file up to date and empties the log beside it, so that what was deleted is in neither. Where that cannot be done,
/// as readers are in the way all the while, the log keeps it until it is written over; the log of the service says so.
pub(in crate::storage) async fn empty_log(pool: &Pool) {
    let Engine::Sqlite { writer, .. } = &pool.engine else { return };
    let patience = pool.limits.lock_timeout.as_millis();
    let mut cause = "readers are in the way".to_owned();
    for _ in 0..TRIES_OF_EMPTYING {
        let emptied = async {
            let mut conn = checkout(writer).await?;
            conn.batch_execute(&format!("pragma busy_timeout = {PATIENCE_OF_EMPTYING}")).await?;
            let emptied: diesel::QueryResult<Emptied> =
                sql_query("pragma wal_checkpoint(truncate)").get_result(&mut *conn).await;
            conn.batch_execute(&format!("pragma busy_timeout = {patience}")).await?;
            Ok(emptied?.busy == 0)
        };
        match pool.bounded_write(emptied).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => cause = error.to_string(),
        }
        sleep(Duration::from_millis(PATIENCE_OF_EMPTYING)).await;
    }
    tracing::warn!(cause, "the database's log cannot be emptied; what was deleted stays in it for a while");
}

/// What a checkpoint answers first.
#[derive(QueryableByName)]
struct Emptied {
    #[diesel(sql_type = diesel::sql_types::Integer)]
    busy: i32,
}
