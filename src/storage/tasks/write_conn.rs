//! What a write batch asks of a connection: to read what it is about, and to write what became of it.

use std::collections::{BTreeMap, HashSet};
use std::future::Future;

use uuid::Uuid;

use super::task_row::TaskRow;
use crate::domain::{
    ChangeType, HistoryId, Result, Subject, Task, TaskFields, TaskId, TaskList, TaskListId, Timestamp, UserId,
};
use crate::storage::engine::sql::Fragment;
use crate::storage::engine::types::Id;
use crate::storage::events::outbox::Stretch;

/// What a batch is about. Pairs begin with the user.
#[derive(Debug, Default)]
pub(in crate::storage) struct Keys {
    pub(in crate::storage) users: Vec<Id>,
    pub(in crate::storage) tasks: Vec<(Id, Id)>,
    pub(in crate::storage) lists: Vec<(Id, Id)>,
    pub(in crate::storage) requests: Vec<(Id, Id)>,
}

/// What a batch needs to know before it decides.
#[derive(Debug)]
pub(in crate::storage) struct Snapshot {
    /// User, revision, live tasks, whether one of the user's webhooks listens; of users that exist. Their rows are held until the
    /// transaction ends.
    pub(in crate::storage) counters: Vec<(Id, i64, i64, bool)>,
    pub(in crate::storage) tasks: Vec<TaskRow>,
    pub(in crate::storage) lists: Vec<TaskList>,
    /// User, idempotency key, fingerprint, answer.
    pub(in crate::storage) requests: Vec<(Id, Id, Vec<u8>, Vec<u8>)>,
}

/// A change to be noted.
#[derive(Debug)]
pub(in crate::storage) struct ChangeRow {
    pub(in crate::storage) owner: UserId,
    pub(in crate::storage) revision: i64,
    pub(in crate::storage) kind: ChangeType,
    pub(in crate::storage) subject: Subject,
    pub(in crate::storage) fields: TaskFields,
    pub(in crate::storage) state: Option<String>,
    pub(in crate::storage) before: Option<String>,
    pub(in crate::storage) time: Timestamp,
}

/// An answer to be remembered.
#[derive(Debug)]
pub(in crate::storage) struct AnswerRow {
    pub(in crate::storage) user: UserId,
    pub(in crate::storage) key: Id,
    pub(in crate::storage) fingerprint: Vec<u8>,
    pub(in crate::storage) answer: Vec<u8>,
    pub(in crate::storage) time: Timestamp,
}

/// What becomes of the rows of a table.
#[derive(Debug)]
pub(in crate::storage) struct RowWrites<Key, T> {
    pub(in crate::storage) created: Vec<T>,
    pub(in crate::storage) updated: Vec<T>,
    pub(in crate::storage) removed: Vec<Key>,
}

impl<Key, T> Default for RowWrites<Key, T> {
    fn default() -> Self {
        Self { created: Vec::new(), updated: Vec::new(), removed: Vec::new() }
    }
}

/// Everything that a batch stores.
#[derive(Debug, Default)]
pub(in crate::storage) struct Writes {
    /// User, new revision, new number of live tasks.
    pub(in crate::storage) counters: Vec<(UserId, i64, i64)>,
    pub(in crate::storage) tasks: RowWrites<(UserId, TaskId), Box<Task>>,
    pub(in crate::storage) lists: RowWrites<(UserId, TaskListId), TaskList>,
    pub(in crate::storage) changes: Vec<ChangeRow>,
    pub(in crate::storage) answers: Vec<AnswerRow>,
    /// Of these users' changes their own webhooks are told.
    pub(in crate::storage) listened: HashSet<UserId>,
}

impl Writes {
    pub(in crate::storage) const fn is_empty(&self) -> bool {
        // A list can be finished without a change.
        self.changes.is_empty() && self.answers.is_empty() && self.lists.updated.is_empty()
    }

    /// What of it is to be told: everything, or what the users' own webhooks listen to.
    pub(in crate::storage) fn told(&self, everything: bool) -> Vec<Stretch> {
        if !everything && self.listened.is_empty() {
            return Vec::new();
        }
        stretches(&self.changes, |user| everything || self.listened.contains(&user))
    }
}

/// A connection inside a write transaction.
pub(in crate::storage) trait WriteConn: Send {
    /// Locks the users' rows in the order of their ids and reads the rest as it stands under those locks.
    fn read(&mut self, keys: Keys) -> impl Future<Output = Result<Snapshot>> + Send;

    /// The tasks with these keys.
    fn tasks_by_key(&mut self, keys: Vec<(Id, Id)>) -> impl Future<Output = Result<Vec<Task>>> + Send;

    /// The tasks below those with these keys, as far as they are live or went with those.
    fn children(&mut self, parents: Vec<(Id, Id)>) -> impl Future<Output = Result<Vec<Task>>> + Send;

    /// The lists with these keys.
    fn lists_by_key(&mut self, keys: Vec<(Id, Id)>) -> impl Future<Output = Result<Vec<TaskList>>> + Send;

    /// The lists that a statement answers.
    fn lists(&mut self, statement: Fragment) -> impl Future<Output = Result<Vec<TaskList>>> + Send;

    /// The tasks that a statement answers, in its order.
    fn tasks(&mut self, statement: Fragment) -> impl Future<Output = Result<Vec<Task>>> + Send;

    /// The number that a statement answers.
    fn count(&mut self, statement: Fragment) -> impl Future<Output = Result<i64>> + Send;

    /// The present history.
    fn history(&mut self) -> impl Future<Output = Result<HistoryId>> + Send;

    /// Stores a batch, puts it into the outbox where somebody listens, and tells the other processes on this database whose tasks
    /// changed; `origin` names this one to them. Answers whether there is something in the outbox. Nothing can be asked after it: it
    /// may commit.
    fn write(&mut self, writes: Writes, origin: Uuid) -> impl Future<Output = Result<bool>> + Send;
}

/// The stretches that these changes are; each user's stand in their order.
fn stretches(changes: &[ChangeRow], is_told: impl Fn(UserId) -> bool) -> Vec<Stretch> {
    let mut stretches: BTreeMap<UserId, Stretch> = BTreeMap::new();
    for change in changes.iter().filter(|change| is_told(change.owner)) {
        let (user, revision, time) = (change.owner, change.revision, change.time);
        let stretch =
            stretches.entry(user).or_insert(Stretch { user, first: revision, last: revision, time });
        stretch.last = revision.max(stretch.last);
    }
    stretches.into_values().collect()
}
