//! A change as a row of the change log, and a stretch of the log as it is answered.

use diesel::sql_types::{BigInt, Nullable, SmallInt, Text};

use super::{list_row, task_row};
use crate::domain::{
    ChangePage, ChangeType, Error, HistoryId, Owner, Result, State, Subject, TaskChange, TaskFields,
};
use crate::storage::engine::types::{DbTimestamp, DbUuid, Id, Moment};
use crate::storage::schema::task_changes;

/// Revision, type, task or list, fields, it after the change and before it, time.
pub(in crate::storage) type ChangeRow = (i64, i16, Id, i16, Option<String>, Option<String>, Moment);

/// The SQL types of a `ChangeRow`.
pub(in crate::storage) type ChangeRowTypes =
    (BigInt, SmallInt, DbUuid, SmallInt, Nullable<Text>, Nullable<Text>, DbTimestamp);

/// The columns of a `ChangeRow`, for statements written by hand.
pub(in crate::storage) const COLUMNS: &str = "revision, type, task_id, fields, state, before, create_time";

/// The same for diesel's own language.
pub(in crate::storage) const fn columns() -> (
    task_changes::revision,
    task_changes::kind,
    task_changes::task_id,
    task_changes::fields,
    task_changes::state,
    task_changes::before,
    task_changes::create_time,
) {
    (
        task_changes::revision,
        task_changes::kind,
        task_changes::task_id,
        task_changes::fields,
        task_changes::state,
        task_changes::before,
        task_changes::create_time,
    )
}

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

/// What is added to the number of a change's kind when it is one of a list.
pub(in crate::storage) const OF_LISTS: i16 = 10;

/// The number under which the kind of a change is stored.
pub(in crate::storage) const fn code(kind: ChangeType, subject: Subject) -> i16 {
    match subject {
        Subject::Task(_) => kind.code(),
        Subject::List(_) => kind.code() + OF_LISTS,
    }
}

pub(in crate::storage) fn change(owner: Owner, row: ChangeRow) -> Result<TaskChange> {
    let (revision, code, id, fields, state, before, create_time) = row;
    let (subject, code) = match code {
        code if code > OF_LISTS => (Subject::List(id.into()), code - OF_LISTS),
        code => (Subject::Task(id.into()), code),
    };
    let read = |text: Option<String>| -> Result<Option<State>> {
        let Some(text) = text else { return Ok(None) };
        Ok(Some(match subject {
            Subject::Task(id) => State::Task(Box::new(task_row::decode(owner.user(), id, &text)?)),
            Subject::List(id) => State::List(Box::new(list_row::decode(owner.user(), id, &text)?)),
        }))
    };
    Ok(TaskChange {
        revision,
        kind: ChangeType::from_code(code)
            .ok_or_else(|| Error::Internal("a stored change type is unknown".into()))?,
        subject,
        fields: TaskFields::from_bits(fields),
        state: read(state)?,
        before: read(before)?,
        create_time: create_time.try_into()?,
    })
}
