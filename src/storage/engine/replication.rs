//! How far a standby is behind its primary: by the positions of the primary's log, and by when they were seen there. No two
//! clocks are compared.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};

use super::types::{DbUuid, Id};

/// Positions that are remembered: with one a second, five minutes.
const POSITIONS_MAX: usize = 300;

/// Positions of a primary's log, and when they were seen. A position counts the bytes that were ever written.
#[derive(Debug, Clone, Default)]
pub(in crate::storage) struct Written(VecDeque<(Instant, i64)>);

impl Written {
    /// Notes where the log was. One that went back is another log: what was known of the former is forgotten.
    pub(in crate::storage) fn note(&mut self, seen: Instant, position: i64) {
        match self.0.back() {
            Some((_, last)) if *last > position => self.0.clear(),
            // What is not written to is not behind: the first sight of a position counts.
            Some((_, last)) if *last == position => return,
            _ => {}
        }
        self.0.push_back((seen, position));
        if self.0.len() > POSITIONS_MAX {
            self.0.pop_front();
        }
    }

    /// How far one that has replayed so much is behind: for how long there has been something more at least, and how
    /// many bytes.
    pub(in crate::storage) fn lag(&self, replayed: i64, now: Instant) -> Lag {
        let missing = self.0.iter().find(|(_, position)| *position > replayed);
        Lag {
            time: missing.map_or(Duration::ZERO, |(seen, _)| now.saturating_duration_since(*seen)),
            bytes: self.0.back().map_or(0, |(_, last)| last.saturating_sub(replayed).max(0)),
        }
    }
}

/// How far a standby is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::storage) struct Lag {
    pub(in crate::storage) time: Duration,
    pub(in crate::storage) bytes: i64,
}

/// One look at a standby.
#[derive(Debug, QueryableByName)]
pub(in crate::storage) struct Sight {
    /// Whether it is one: whether it still replays somebody's log.
    #[diesel(sql_type = Bool)]
    pub(in crate::storage) is_standby: bool,
    /// How far it has replayed.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(in crate::storage) replayed: Option<i64>,
    #[diesel(sql_type = DbUuid)]
    pub(in crate::storage) history: Id,
    /// The primary that it has the data of.
    #[diesel(sql_type = Nullable<Text>)]
    pub(in crate::storage) seen_on: Option<String>,
}

/// Looks at a standby.
pub(in crate::storage) async fn look_at(connection: &mut AsyncPgConnection) -> diesel::QueryResult<Sight> {
    sql_query(
        "select pg_is_in_recovery() as is_standby, (pg_last_wal_replay_lsn() - '0/0')::bigint as replayed, \
         history, seen_on from database_state",
    )
    .get_result(connection)
    .await
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Lag, POSITIONS_MAX, Written};

    fn lag(seconds: u64, bytes: i64) -> Lag {
        Lag { time: Duration::from_secs(seconds), bytes }
    }

    #[test]
    fn what_is_missing_counts_from_when_it_was_first_seen() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut written = Written::default();
        assert_eq!(written.lag(5, at(9)), lag(0, 0));
        for (second, position) in [(0, 100), (1, 100), (2, 150), (3, 150), (4, 170)] {
            written.note(at(second), position);
        }
        assert_eq!(written.lag(170, at(9)), lag(0, 0));
        assert_eq!(written.lag(180, at(9)), lag(0, 0));
        assert_eq!(written.lag(169, at(9)), lag(5, 1));
        assert_eq!(written.lag(149, at(9)), lag(7, 21));
        assert_eq!(written.lag(20, at(9)), lag(9, 150));
    }

    #[test]
    fn another_log_begins_anew_and_the_oldest_is_forgotten() {
        let begin = Instant::now();
        let mut written = Written::default();
        written.note(begin, 500);
        written.note(begin + Duration::from_secs(1), 100);
        assert_eq!(written.lag(99, begin + Duration::from_secs(3)), lag(2, 1));
        for position in 0..POSITIONS_MAX {
            written.note(begin + Duration::from_secs(1), 1000 + i64::try_from(position).unwrap());
        }
        assert_eq!(written.0.len(), POSITIONS_MAX);
    }
}
