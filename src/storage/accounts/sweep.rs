//! Rows that nobody needs any more, removed in steps.

/// Rows that one step removes at most, so that no statement runs into its time limit.
pub(in crate::storage) const SWEEP_MAX: i64 = 1000;

/// Removes rows from before a time, the oldest first and a bounded number at a time; answers how many:
/// `sweep!(pool, table, time_column < cutoff, key_columns, Key)`.
///
/// By their keys and in one order: several replicas may do this at once.
macro_rules! sweep {
    ($pool:expr, $table:ident, $time:ident < $cutoff:expr, $key:expr, $Key:ty) => {
        $crate::storage::engine::pool::with_write!($pool, async move |conn| {
            let cutoff = $crate::storage::engine::types::Moment::from($cutoff);
            let old = $table::table
                .filter($table::$time.lt(cutoff))
                .order($table::$time)
                .select($key)
                .limit($crate::storage::accounts::sweep::SWEEP_MAX)
                .load::<$Key>(conn)
                .await?;
            for key in &old {
                diesel::delete($table::table.find(key.clone())).execute(conn).await?;
            }
            Ok::<usize, $crate::domain::Error>(old.len())
        })
    };
}
pub(in crate::storage) use sweep;
