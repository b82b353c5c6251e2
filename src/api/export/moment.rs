//! Lists and tasks as they were at one revision of their user, while they go on changing: whatever was changed since is in the log
//! together with what it was before.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::domain::{Error, HistoryId, Owner, Result, State, Subject, Task, TaskList};
use crate::storage::Storage;

/// Changes that are read at once.
const READ_MAX: usize = 200;

/// A moment, by the revision that it is after.
pub(super) struct Moment {
    storage: Storage,
    owner: Owner,
    pub(super) revision: i64,
    pub(super) history: HistoryId,
    /// How far the log has been read.
    read: i64,
    /// The first change since of everything that was changed since.
    firsts: HashMap<Subject, i64>,
}

impl Moment {
    pub(super) fn new(storage: Storage, owner: Owner, (revision, history): (i64, HistoryId)) -> Self {
        Self { storage, owner, revision, history, read: revision, firsts: HashMap::new() }
    }

    /// The task as it was; `None` when it was not there.
    pub(super) async fn task(&mut self, task: Task) -> Result<Option<Task>> {
        if task.revision <= self.revision {
            return Ok(Some(task));
        }
        self.read_to(task.revision).await?;
        Ok(self.before(Subject::Task(task.id)).await?.and_then(State::task))
    }

    /// The list as it was; `None` when it was not there.
    pub(super) async fn list(&mut self, list: TaskList) -> Result<Option<TaskList>> {
        if list.revision <= self.revision {
            return Ok(Some(list));
        }
        self.read_to(list.revision).await?;
        Ok(self.before(Subject::List(list.id)).await?.and_then(State::list))
    }

    /// The lists as they were that have been changed up to now.
    pub(super) async fn changed_lists(&mut self) -> Result<Vec<TaskList>> {
        self.read_to(i64::MAX).await?;
        let is_list = |subject: &Subject| matches!(subject, Subject::List(_));
        let subjects: Vec<Subject> = self.firsts.keys().copied().filter(is_list).collect();
        let mut lists = Vec::new();
        for subject in subjects {
            lists.extend(self.before(subject).await?.and_then(State::list));
        }
        lists.sort_unstable_by(|one, other| one.position.cmp(&other.position));
        Ok(lists)
    }

    /// Reads the log at least as far as this revision, or to its end.
    async fn read_to(&mut self, revision: i64) -> Result<()> {
        while self.read < revision {
            let changes = self.storage.changes();
            let page = changes.list(self.owner, Some(self.history), self.read, READ_MAX, None);
            let page = page.await.map_err(gone)?;
            for change in page.changes {
                self.read = change.revision;
                if let Entry::Vacant(first) = self.firsts.entry(change.subject) {
                    first.insert(change.revision);
                }
            }
            if !page.has_more {
                break;
            }
        }
        Ok(())
    }

    /// What something was before it was changed; `None` when it came into being since, or is gone for good.
    async fn before(&self, subject: Subject) -> Result<Option<State>> {
        let Some(first) = self.firsts.get(&subject) else {
            return Err(Error::Internal("a change is not in the log".into()));
        };
        let changes = self.storage.changes();
        let page = changes.list(self.owner, Some(self.history), first - 1, 1, None).await.map_err(gone)?;
        Ok(page.changes.into_iter().next().and_then(|change| change.before))
    }
}

/// The log is no longer kept as far back as the export began: it has taken longer than that.
fn gone(error: Error) -> Error {
    match error {
        Error::RevisionCompacted { .. } => Error::Conflict,
        error => error,
    }
}
