//! A change as a row of the change log, and a stretch of the log as it is answered.

use diesel::sql_types::{BigInt, Nullable, SmallInt, Text};

use super::task_row;
use crate::domain::{
    ChangePage, ChangeType, Error, HistoryId, Owner, Result, TaskChange, TaskFields, TaskId,
};
use crate::storage::engine::types::{DbTimestamp, DbUuid, Id, Moment};

/// Revision, type, task, fields, the task after the change and before it, time.
pub(in crate::storage) type ChangeRow = (i64, i16, Id, i16, Option<String>, Option<String>, Moment);

/// The SQL types of a `ChangeRow`.
pub(in crate::storage) type ChangeRowTypes =
    (BigInt, SmallInt, DbUuid, SmallInt, Nullable<Text>, Nullable<Text>, DbTimestamp);

/// The columns of a `ChangeRow`, for statements written by hand.
pub(in crate::storage) const COLUMNS: &str = "revision, type, task_id, fields, state, before, create_time";

/// Where a user's log stands.
#[derive(Debug, Clone, Copy)]
pub(in crate::storage) struct Counters {
    /// The user's last revision.
    pub(in crate::storage) current: i64,
    /// The smallest one after which changes can still be listed.
    pub(in crate::storage) earliest: i64,
    pub(in crate::storage) history: HistoryId,
}

/// At most `limit` of the changes in these rows, which begin after `start_revision`.
///
/// # Errors
/// `HistoryChanged`, `RevisionCompacted` or `RevisionInFuture`.
pub(in crate::storage) fn page(
    owner: Owner,
    known: Option<HistoryId>,
    start_revision: i64,
    limit: usize,
    rows: Vec<ChangeRow>,
    Counters { current, earliest, history }: Counters,
) -> Result<ChangePage> {
    history.check(known)?;
    if start_revision < earliest {
        return Err(Error::RevisionCompacted { earliest });
    }
    if start_revision > current {
        return Err(Error::RevisionInFuture { current });
    }
    let changes = rows.into_iter().take(limit).map(|row| change(owner, row)).collect::<Result<Vec<_>>>()?;
    // Not by the number of rows: there may be more by now than when they were read.
    let has_more = changes.last().map_or(start_revision, |last| last.revision) < current;
    Ok(ChangePage { changes, current_revision: current, history, earliest_revision: earliest, has_more })
}

fn change(owner: Owner, row: ChangeRow) -> Result<TaskChange> {
    let (revision, kind, task_id, fields, state, before, create_time) = row;
    let task_id = TaskId::from(task_id);
    let task =
        |text: Option<String>| text.map(|text| task_row::decode(owner.user(), task_id, &text)).transpose();
    Ok(TaskChange {
        revision,
        kind: ChangeType::from_code(kind)
            .ok_or_else(|| Error::Internal("a stored change type is unknown".into()))?,
        task_id,
        fields: TaskFields::from_bits(fields),
        task: task(state)?,
        before: task(before)?,
        create_time: create_time.try_into()?,
    })
}
