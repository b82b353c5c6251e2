//! What has been taken back lately: one row for each session, key or user, written in the transaction that takes it
//! back, read by every replica each second.

use diesel::{ExpressionMethods as _, NullableExpressionMethods as _, QueryDsl as _};
use diesel_async::RunQueryDsl as _;
use uuid::Uuid;

use crate::domain::{HistoryId, Result, Timestamp};
use crate::storage::engine::pool::{Pool, with_conn, with_write};
use crate::storage::engine::set::{Column, Piece, Rows, SetStatement};
use crate::storage::engine::sql::NextNumber;
use crate::storage::engine::types::{Id, Moment};
use crate::storage::schema::{database_state, revocations};

/// Notes that a session, a key or a user is revoked, or no longer is: `revoke!(conn, user, subject, revoked, now)`
/// inside `with_write!`.
macro_rules! revoke {
    ($conn:ident, $user:expr, $subject:expr, $revoked:expr, $now:expr) => {{
        use $crate::storage::schema::revocations;
        diesel::insert_into(revocations::table)
            .values((
                revocations::user_id.eq($crate::storage::engine::types::Id::from($user)),
                revocations::subject_id.eq($subject),
                revocations::revoked.eq($revoked),
                revocations::time.eq($crate::storage::engine::types::Moment::from($now)),
                revocations::number.eq($crate::storage::engine::sql::ThisNumber),
            ))
            .on_conflict((revocations::user_id, revocations::subject_id))
            .do_update()
            .set((
                revocations::revoked.eq($revoked),
                revocations::time.eq($crate::storage::engine::types::Moment::from($now)),
                revocations::number.eq($crate::storage::engine::sql::ThisNumber),
            ))
            .execute($conn)
            .await?;
    }};
}
pub(in crate::storage) use revoke;

/// Ends the live sessions of a user, but for one: `end_sessions!(conn, user, except, now)` inside `with_write!`.
///
/// They are read first. On a cluster, what is inserted out of their table would get its number on their server, and only those of
/// the one that keeps revocations are in order.
macro_rules! end_sessions {
    ($conn:ident, $user:expr, $except:expr, $now:expr) => {{
        use $crate::storage::engine::sql::ThisNumber;
        use $crate::storage::engine::types::{Id, Moment};
        use $crate::storage::schema::{database_state, sessions};
        let now = Moment::from($now);
        // No session has the nil id.
        let except = $except.map_or(Id(uuid::Uuid::nil()), Id::from);
        let live = sessions::table
            .filter(sessions::user_id.eq(Id::from($user)))
            .filter(sessions::id.ne(except))
            .filter(sessions::revoke_time.is_null());
        let ended: Vec<Id> = live.select(sessions::id).load($conn).await?;
        if !ended.is_empty() {
            let number: i64 = database_state::table.select(ThisNumber).first($conn).await?;
            let rows = $crate::storage::accounts::revocations::rows(Id::from($user), ended, now, number);
            rows.execute($conn).await?;
        }
        diesel::update(live).set(sessions::revoke_time.eq(Some(now))).execute($conn).await?;
    }};
}
pub(in crate::storage) use end_sessions;

/// The insertion of revocations of a user's sessions.
pub(in crate::storage) fn rows(
    user: Id,
    sessions: Vec<Id>,
    now: Moment,
    number: i64,
) -> SetStatement<'static> {
    let count = sessions.len();
    let rows = Rows::new(vec![
        ("user_id", Column::Ids(vec![user; count])),
        ("subject_id", Column::Ids(sessions)),
        ("revoked", Column::Bools(vec![true; count])),
        ("time", Column::Times(vec![now; count])),
        ("number", Column::Bigs(vec![number; count])),
    ]);
    SetStatement::new(&[Piece::Insert("revocations")], rows)
}

/// One thing that was taken back, or given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// The session, the API key, or the user as a whole.
    pub subject: Uuid,
    /// False when it was given back.
    pub revoked: bool,
    /// When.
    pub time: Timestamp,
}

/// How far the revocations were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevocationMark {
    history: HistoryId,
    number: i64,
}

/// The revocations.
#[derive(Debug)]
pub struct Revocations<'a> {
    pool: &'a Pool,
}

impl<'a> Revocations<'a> {
    pub(in crate::storage) const fn new(pool: &'a Pool) -> Self {
        Self { pool }
    }

    /// Those that were committed since the look that answered `since`; all of them when there was none. Some may come
    /// again. Depends on nobody's clock.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn news(&self, since: Option<RevocationMark>) -> Result<(Vec<Revocation>, RevocationMark)> {
        let (rows, mark) = with_conn!(self.pool, |conn| {
            // Before the rows are read: what is committed in between comes again at the next look.
            let (history, number): (Id, i64) =
                database_state::table.select((database_state::history, NextNumber)).first(conn).await?;
            let mark = RevocationMark { history: history.into(), number };
            // Numbers of another history say nothing.
            let since =
                since.filter(|since| since.history == mark.history).map_or(i64::MIN, |since| since.number);
            let rows: Vec<(Id, bool, Moment)> = revocations::table
                .filter(revocations::number.ge(since))
                .order(revocations::number)
                .select((revocations::subject_id, revocations::revoked, revocations::time))
                .load(conn)
                .await?;
            Ok((rows, mark))
        })?;
        let news = rows.into_iter().map(|(subject, revoked, time)| {
            Ok(Revocation { subject: subject.0, revoked, time: time.try_into()? })
        });
        Ok((news.collect::<Result<_>>()?, mark))
    }

    /// Removes those from before `cutoff`; answers how many. Several replicas may do this at once.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn sweep(&self, cutoff: Timestamp) -> Result<usize> {
        with_write!(self.pool, async move |conn| {
            // The last number stays, so that SQLite does not give it out again.
            let last = diesel::alias!(revocations as others);
            let last = last.select(diesel::dsl::max(last.field(revocations::number))).single_value();
            let old = revocations::table
                .filter(revocations::time.lt(Moment::from(cutoff)))
                .filter(revocations::number.nullable().lt(last));
            Ok::<usize, Error>(diesel::delete(old).execute(conn).await?)
        })
    }
}
