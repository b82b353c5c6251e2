//! What a write batch asks of a connection: to know what it is about, and to store what became of it.

use std::future::Future;

use super::task_row::TaskRow;
use super::types::Id;
use crate::domain::{ChangeType, HistoryId, Result, Task, TaskFields, TaskId, Timestamp, UserId};

/// What a batch needs to know before it decides.
#[derive(Debug)]
pub(super) struct Known {
    /// User, revision, live tasks; of users that exist. Their rows are held until the transaction ends.
    pub(super) counters: Vec<(Id, i64, i64)>,
    pub(super) tasks: Vec<TaskRow>,
    /// User, request id, fingerprint, answer.
    pub(super) requests: Vec<(Id, Id, Vec<u8>, Vec<u8>)>,
}

/// A change to be noted.
#[derive(Debug)]
pub(super) struct Noted {
    pub(super) owner: UserId,
    pub(super) revision: i64,
    pub(super) kind: ChangeType,
    pub(super) task: TaskId,
    pub(super) fields: TaskFields,
    pub(super) state: Option<String>,
    pub(super) before: Option<String>,
    pub(super) time: Timestamp,
}

/// An answer to be remembered.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) user: UserId,
    pub(super) request: Id,
    pub(super) fingerprint: Vec<u8>,
    pub(super) answer: Vec<u8>,
    pub(super) time: Timestamp,
}

/// Everything that a batch stores.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// User, new revision, new number of live tasks.
    pub(super) counters: Vec<(UserId, i64, i64)>,
    pub(super) created: Vec<Task>,
    pub(super) updated: Vec<Task>,
    pub(super) removed: Vec<(UserId, TaskId)>,
    pub(super) changes: Vec<Noted>,
    pub(super) answers: Vec<Answered>,
}

impl Outcome {
    pub(super) const fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.answers.is_empty()
    }
}

/// A connection inside a write transaction.
pub(super) trait WriteConn: Send {
    /// Locks the users' rows in the order of their ids and reads the rest as it stands under those locks.
    fn know(
        &mut self,
        users: Vec<Id>,
        tasks: Vec<(Id, Id)>,
        requests: Vec<(Id, Id)>,
    ) -> impl Future<Output = Result<Known>> + Send;

    /// The present history.
    fn history(&mut self) -> impl Future<Output = Result<HistoryId>> + Send;

    /// Stores a batch, and tells the other processes on this database whose tasks changed.
    fn store(&mut self, outcome: Outcome, origin: uuid::Uuid) -> impl Future<Output = Result<()>> + Send;
}
