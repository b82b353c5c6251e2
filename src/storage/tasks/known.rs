//! What a batch knows of rows, as they stand under the locks of their users and after what it has done so far.

use std::collections::HashMap;

use super::task_row::TaskRow;
use crate::domain::{Neighbours, Result, Task, TaskId, TaskList, TaskListId, UserId};
use crate::storage::engine::types::Id;

/// The numbers of a user.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counters {
    pub(super) revision: i64,
    pub(super) live_tasks: i64,
    /// Whether one of the user's webhooks listens.
    pub(super) listened: bool,
}

#[derive(Debug)]
pub(super) struct Entry<T> {
    pub(super) now: Option<T>,
    /// Whether the table has a row for it.
    pub(super) stored: bool,
    pub(super) changed: bool,
}

impl<T> Entry<T> {
    pub(super) const fn stored(row: T) -> Self {
        Self { now: Some(row), stored: true, changed: false }
    }

    pub(super) const fn absent() -> Self {
        Self { now: None, stored: false, changed: false }
    }

    pub(super) fn becomes(&mut self, now: Option<T>) {
        self.now = now;
        self.changed = true;
    }
}

/// What an operation has to know besides the rows that it names.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    pub(super) neighbours: Neighbours,
    /// The tasks of the list that the operation is about and that follow it, and one more than one operation takes.
    pub(super) members: Vec<TaskId>,
    /// How many there are in all, where that matters.
    pub(super) members_in_all: i64,
}

/// All that is known.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) counters: HashMap<UserId, Counters>,
    pub(super) tasks: HashMap<(UserId, TaskId), Entry<Box<Task>>>,
    pub(super) lists: HashMap<(UserId, TaskListId), Entry<TaskList>>,
    pub(super) surroundings: Surroundings,
}

impl Known {
    pub(super) fn open(
        counters: Vec<(Id, i64, i64, bool)>,
        tasks: Vec<TaskRow>,
        lists: Vec<TaskList>,
    ) -> Result<Self> {
        let counters = counters.into_iter().map(|(user, revision, live_tasks, listened)| {
            (user.into(), Counters { revision, live_tasks, listened })
        });
        let tasks = tasks.into_iter().map(|row| {
            let task = Task::try_from(row)?;
            Ok(((task.owner, task.id), Entry::stored(Box::new(task))))
        });
        let mut known = Self {
            counters: counters.collect(),
            tasks: tasks.collect::<Result<_>>()?,
            lists: HashMap::new(),
            surroundings: Surroundings::default(),
        };
        known.learn_lists(lists);
        Ok(known)
    }

    /// Takes in tasks that were read later on.
    pub(super) fn learn_tasks(&mut self, tasks: impl Iterator<Item = Task>) {
        for task in tasks {
            self.tasks.entry((task.owner, task.id)).or_insert_with(|| Entry::stored(Box::new(task)));
        }
    }

    /// Takes in lists.
    pub(super) fn learn_lists(&mut self, lists: Vec<TaskList>) {
        for list in lists {
            self.lists.entry((list.owner, list.id)).or_insert_with(|| Entry::stored(list));
        }
    }

    pub(super) fn task(&self, user: UserId, id: TaskId) -> Option<&Task> {
        self.tasks.get(&(user, id))?.now.as_deref()
    }

    pub(super) fn tasks_of(&self, user: UserId) -> impl Iterator<Item = &Task> {
        self.tasks.values().filter_map(|entry| entry.now.as_deref()).filter(move |task| task.owner == user)
    }

    pub(super) fn list(&self, user: UserId, id: TaskListId) -> Option<&TaskList> {
        self.lists.get(&(user, id))?.now.as_ref()
    }

    pub(super) fn lists_of(&self, user: UserId) -> impl Iterator<Item = &TaskList> {
        self.lists.values().filter_map(|entry| entry.now.as_ref()).filter(move |list| list.owner == user)
    }

    /// The user's last revision.
    pub(super) fn revision(&self, user: UserId) -> i64 {
        self.counters.get(&user).map_or(0, |counters| counters.revision)
    }
}
