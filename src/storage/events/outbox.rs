//! The outbox: what is to be told, written in the transaction of what it tells, where somebody listens.
//!
//! A write says nothing of what changed, only of whose changes: one row for each user of a batch, with the stretch of the
//! change log. Whether a user's own webhooks listen stands in the row that the write locks anyway; whether somebody listens to all
//! is read after the lock was taken, so that of one user's changes none can be missed between two that are told.

use tokio::sync::Notify;

use crate::domain::{EventKind, Timestamp, UserId};
use crate::storage::engine::set::Piece::Insert;
use crate::storage::engine::set::{Column, Rows, SetStatement};
use crate::storage::engine::types::{Id, Moment};

/// How whoever empties the outbox is woken.
#[derive(Debug, Default)]
pub(in crate::storage) struct Ears {
    /// There is something in the outbox.
    filled: Notify,
}

impl Ears {
    /// Wakes whoever empties the outbox, if that is here.
    pub(in crate::storage) fn fill(&self) {
        self.filled.notify_one();
    }

    /// Waits for something in the outbox that was put there by this process.
    pub(in crate::storage) async fn filled(&self) {
        self.filled.notified().await;
    }
}

/// A stretch of one user's changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) struct Stretch {
    pub(in crate::storage) user: UserId,
    pub(in crate::storage) first: i64,
    pub(in crate::storage) last: i64,
    pub(in crate::storage) time: Timestamp,
}

/// Puts stretches of changes into the outbox.
pub(in crate::storage) fn insert_stretches(stretches: &[Stretch]) -> SetStatement<'static> {
    let of = |value: fn(&Stretch) -> i64| Column::Bigs(stretches.iter().map(value).collect());
    SetStatement::new(
        &[Insert("outbox")],
        Rows::new(vec![
            ("user_id", Column::Ids(stretches.iter().map(|stretch| stretch.user.into()).collect())),
            ("revision", of(|stretch| stretch.first)),
            ("id", Column::Ids(stretches.iter().map(|_| Id(uuid::Uuid::now_v7())).collect())),
            ("last_revision", of(|stretch| stretch.last)),
            ("kind", Column::Smalls(vec![EventKind::Changes.code(); stretches.len()])),
            ("create_time", Column::Times(stretches.iter().map(|one| Moment::from(one.time)).collect())),
        ]),
    )
}

/// A row of the outbox: user, revision, id, last revision, kind, payload, time.
pub(in crate::storage) type OutboxRow = (Id, i64, Id, i64, i16, Option<String>, Moment);

/// Whether somebody listens to all users: `somebody_hears_all!(conn)` where errors are those of diesel or of the storage.
macro_rules! somebody_hears_all {
    ($conn:ident) => {{
        use $crate::storage::schema::event_listeners;
        let listeners: i64 = event_listeners::table
            .filter(event_listeners::everyone.eq(true))
            .count()
            .get_result($conn)
            .await?;
        listeners > 0
    }};
}
pub(in crate::storage) use somebody_hears_all;

/// Puts something about an account into the outbox, where somebody listens to all: `tell!(conn, user, kind, now)` inside
/// `with_write!`, while the account's row is there.
macro_rules! tell {
    ($conn:ident, $user:expr, $kind:expr, $now:expr) => {{
        use $crate::storage::schema::{outbox, users};
        if $crate::storage::events::outbox::somebody_hears_all!($conn) {
            let user = $crate::storage::engine::types::Id::from($user);
            let revision: i64 = users::table.find(user).select(users::revision).first($conn).await?;
            diesel::insert_into(outbox::table)
                .values((
                    outbox::user_id.eq(user),
                    outbox::revision.eq(revision),
                    outbox::id.eq($crate::storage::engine::types::Id(uuid::Uuid::now_v7())),
                    outbox::last_revision.eq(revision),
                    outbox::kind.eq($kind.code()),
                    outbox::create_time.eq($crate::storage::engine::types::Moment::from($now)),
                ))
                .execute($conn)
                .await?;
        }
    }};
}
pub(in crate::storage) use tell;
