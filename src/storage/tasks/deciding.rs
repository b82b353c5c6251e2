//! One operation being decided: its writes in order, each seeing what those before it did, until it is known that all of them
//! can be done.

use std::collections::HashMap;

use super::known::{Counters, Known};
use super::write_conn::ChangeRow;
use super::{list_row, task_row};
use crate::domain::{
    ChangeType, Decision, DeletedWith, Effect, Error, ListDecision, ListWrite, MoveDecision, Resource,
    Result, State, Subject, Subtasks, Task, TaskField, TaskFields, TaskId, TaskList, TaskListId, TaskMove,
    TaskWrite, Unfinished, UserId, Write, WriteResult, WriteRules,
};

/// Live lists that one user may have.
const LISTS_MAX: usize = 1000;
/// Tasks of a list that one operation deletes, takes out or restores; what is left is done by operations after it.
pub(in crate::storage) const STEP: usize = 999;

/// What one operation does.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) counters: Counters,
    pub(super) tasks: HashMap<TaskId, Option<Box<Task>>>,
    pub(super) lists: HashMap<TaskListId, Option<TaskList>>,
    /// What tasks that others are below have gained and lost of those.
    pub(super) balance: HashMap<TaskId, Subtasks>,
    pub(super) changes: Vec<ChangeRow>,
    pub(super) written: Vec<WriteResult>,
}

impl Draft {
    pub(super) fn new(counters: Counters) -> Self {
        Self {
            counters,
            tasks: HashMap::new(),
            lists: HashMap::new(),
            balance: HashMap::new(),
            changes: Vec::new(),
            written: Vec::new(),
        }
    }
}

/// An operation in the middle of being decided.
#[derive(Debug)]
pub(super) struct Deciding<'a> {
    pub(super) known: &'a Known,
    pub(super) draft: &'a mut Draft,
    pub(super) user: UserId,
    pub(super) rules: WriteRules,
    pub(super) live_tasks_max: i64,
}

impl Deciding<'_> {
    pub(super) fn write(&mut self, write: Write) -> Result<()> {
        match write {
            Write::Task(write) => self.write_task(write),
            Write::Move(write) => self.move_task(&write),
            Write::List(write) => self.write_list(write),
        }
    }

    /// What is left to be done when all writes are decided.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.release_orphans()?;
        self.settle_balance()
    }

    pub(super) fn task(&self, id: TaskId) -> Option<Task> {
        match self.draft.tasks.get(&id) {
            Some(drafted) => drafted.as_deref().cloned(),
            None => self.known.task(self.user, id).cloned(),
        }
    }

    fn list(&self, id: TaskListId) -> Option<TaskList> {
        match self.draft.lists.get(&id) {
            Some(drafted) => drafted.clone(),
            None => self.known.list(self.user, id).cloned(),
        }
    }

    fn live_lists(&self) -> Vec<TaskList> {
        let known = self.known.lists_of(self.user).filter(|list| !self.draft.lists.contains_key(&list.id));
        let drafted = self.draft.lists.values().flatten();
        known.chain(drafted).filter(|list| !list.is_deleted()).cloned().collect()
    }

    const fn next_revision(&self) -> i64 {
        self.draft.counters.revision + 1
    }

    fn answer(&mut self, state: Option<State>, effect: Effect) {
        self.draft.written.push(WriteResult { state, effect, etag_now: None });
    }

    fn write_task(&mut self, write: TaskWrite) -> Result<()> {
        let id = write.id();
        let before = self.task(id);
        if matches!(write, TaskWrite::Delete { .. }) && self.went_with_its_parent(before.as_ref()) {
            self.answer(before.map(|task| State::Task(Box::new(task))), Effect::Unchanged);
            return Ok(());
        }
        // Of an undo what comes of it as a whole is counted, and what goes along with a task is written by itself.
        let is_undo = matches!(write, TaskWrite::Restore { .. });
        let is_restore = write.restores();
        let completes = matches!(&write, TaskWrite::Update { patch, .. } if patch.complete_subtasks);
        let state = |task: Option<Task>| task.map(|task| State::Task(Box::new(task)));
        match write.decide(self.user, before.clone(), self.rules, self.next_revision())? {
            Decision::Keep(task) => {
                self.answer(state(task.clone()), Effect::Unchanged);
                // It is completed already, and those below it may not be.
                if let Some(task) = task.filter(|task| completes && task.completed) {
                    self.carry_along(&task, &task, true)?;
                }
            }
            Decision::Conflict(task) => self.answer(state(task), Effect::Conflict),
            Decision::Remove(_) => {
                self.draft.tasks.insert(id, None);
                self.count_below(before.as_ref(), None);
                self.note(Subject::Task(id), ChangeType::Purged, TaskFields::default(), (None, None));
                self.answer(None, Effect::Changed);
            }
            Decision::Store { task, change, mut fields, live, next } => {
                if live > 0 && !is_undo && self.draft.counters.live_tasks >= self.live_tasks_max {
                    return Err(Error::QuotaExceeded { limit: self.live_tasks_max });
                }
                let task = self.in_its_list(task, before.as_ref(), is_restore, &mut fields)?;
                let task =
                    self.below_its_parent(task, before.as_ref(), is_restore, "task.task_list", &mut fields)?;
                let task = self.store_task(task, before.as_ref(), change, fields, live)?;
                if let Some(next) = next {
                    self.make_next(next)?;
                }
                match before.filter(|_| !is_undo) {
                    None => self.answer(Some(State::Task(task)), effect(change)),
                    Some(before) => {
                        self.answer(Some(State::Task(task.clone())), effect(change));
                        self.carry_along(&task, &before, completes && task.completed)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A live task is in a live list or in none. Who asks for another one is told; what comes back without its list comes
    /// back alone.
    fn in_its_list(
        &self,
        mut task: Box<Task>,
        before: Option<&Task>,
        is_restore: bool,
        fields: &mut TaskFields,
    ) -> Result<Box<Task>> {
        let Some(list) = task.task_list.filter(|_| !task.is_deleted()) else { return Ok(task) };
        let stays = before.is_some_and(|before| !before.is_deleted() && before.task_list == Some(list));
        if stays || self.list(list).is_some_and(|list| !list.is_deleted()) {
            return Ok(task);
        }
        let comes_back = before.is_some_and(Task::is_deleted);
        if !is_restore && !comes_back {
            return Err(self.missing(list));
        }
        if !comes_back && before.is_some_and(|before| before.task_list.is_none()) {
            fields.forget(TaskField::TaskList);
        }
        task.task_list = None;
        Ok(task)
    }

    /// Why a list cannot take a task.
    fn missing(&self, id: TaskListId) -> Error {
        match self.list(id) {
            Some(_) => Error::TaskListDeleted,
            None => Error::NotFound(Resource::TaskList),
        }
    }

    fn move_task(&mut self, write: &TaskMove) -> Result<()> {
        if let Some(list) = write.task_list.flatten()
            && self.list(list).is_none_or(|list| list.is_deleted())
        {
            return Err(self.missing(list));
        }
        let anchor = write.anchor().and_then(|id| self.task(id));
        let current = write.check(self.task(write.id), anchor.as_ref())?;
        let neighbours = &self.known.surroundings.neighbours;
        match write.decide(&current, neighbours, self.rules, self.next_revision()) {
            MoveDecision::Keep => {
                self.answer(Some(State::Task(Box::new(current))), Effect::Unchanged);
            }
            MoveDecision::Further => {
                return Err(Error::Internal("the neighbours of a move are not known".into()));
            }
            MoveDecision::Store(tasks) => {
                for (task, mut fields) in tasks {
                    let before = self.task(task.id);
                    let task = Box::new(task);
                    let task =
                        self.below_its_parent(task, before.as_ref(), false, "task_list", &mut fields)?;
                    self.store_task(task, before.as_ref(), ChangeType::Updated, fields, 0)?;
                }
                let moved = self.task(write.id);
                self.answer(moved.clone().map(|task| State::Task(Box::new(task))), Effect::Changed);
                if let Some(moved) = moved {
                    self.carry_along(&moved, &current, false)?;
                }
            }
        }
        Ok(())
    }

    /// Makes the task that follows a completed one.
    fn make_next(&mut self, next: Box<Task>) -> Result<()> {
        if self.draft.counters.live_tasks >= self.live_tasks_max {
            return Err(Error::QuotaExceeded { limit: self.live_tasks_max });
        }
        let mut fields = TaskFields::default();
        let next = self.below_its_parent(next, None, false, "task.task_list", &mut fields)?;
        self.store_task(next, None, ChangeType::Created, fields, 1)?;
        Ok(())
    }

    fn write_list(&mut self, write: ListWrite) -> Result<()> {
        let id = write.id();
        let before = self.list(id);
        let by_itself = !matches!(write, ListWrite::Restore { .. });
        let lists = if matches!(write, ListWrite::Move { .. }) { self.live_lists() } else { Vec::new() };
        let state = |list: Option<TaskList>| list.map(|list| State::List(Box::new(list)));
        match write.decide(self.user, before.clone(), &lists, self.rules, self.next_revision())? {
            ListDecision::Keep(list) => self.answer(state(list), Effect::Unchanged),
            ListDecision::Conflict(list) => self.answer(state(list), Effect::Conflict),
            ListDecision::Remove => {
                self.draft.lists.insert(id, None);
                self.note(Subject::List(id), ChangeType::Purged, TaskFields::default(), (None, None));
                self.answer(None, Effect::Changed);
            }
            ListDecision::Finish(list) => {
                self.settle(list)?;
                let list = self.list(id);
                self.answer(state(list), Effect::Unchanged);
            }
            ListDecision::Spread(lists) => {
                let mut fields = TaskFields::default();
                fields.note(TaskField::Position, true);
                for list in lists {
                    let before = self.list(list.id);
                    self.store_list(list, before.as_ref(), ChangeType::Updated, fields)?;
                }
                let list = self.list(id);
                self.answer(state(list), Effect::Changed);
            }
            ListDecision::Store { list, change, fields } => {
                let comes_to_life = matches!(change, ChangeType::Created | ChangeType::Undeleted);
                if comes_to_life && self.live_lists().len() >= LISTS_MAX {
                    return Err(Error::TaskListQuotaExceeded { limit: LISTS_MAX as i64 });
                }
                let list = self.store_list(list, before.as_ref(), change, fields)?;
                if by_itself {
                    self.settle(list)?;
                }
                let list = self.list(id);
                self.answer(state(list), effect(change));
            }
        }
        Ok(())
    }

    /// Does with the tasks of a list what is to be done, as far as one operation goes.
    fn settle(&mut self, list: TaskList) -> Result<()> {
        let Some(unfinished) = list.unfinished else { return Ok(()) };
        let surroundings = &self.known.surroundings;
        let members = &surroundings.members;
        let live_afterwards = self.draft.counters.live_tasks + surroundings.members_in_all;
        if unfinished == Unfinished::Restore && live_afterwards > self.live_tasks_max {
            return Err(Error::QuotaExceeded { limit: self.live_tasks_max });
        }
        for id in members.iter().take(STEP) {
            let Some(before) = self.task(*id) else { continue };
            let (task, change, mut fields, live) = settled(unfinished, before.clone(), self.rules);
            let task = Box::new(task);
            let task = match unfinished {
                Unfinished::Restore => self.below_its_parent(task, Some(&before), true, "", &mut fields)?,
                Unfinished::Delete | Unfinished::Keep => task,
            };
            self.store_task(task, Some(&before), change, fields, live)?;
        }
        let unfinished = Some(unfinished).filter(|_| members.len() > STEP);
        self.draft.lists.insert(list.id, Some(TaskList { unfinished, ..list }));
        Ok(())
    }

    /// Takes a task over under the next revision, and notes the change.
    pub(super) fn store_task(
        &mut self,
        mut task: Box<Task>,
        before: Option<&Task>,
        change: ChangeType,
        fields: TaskFields,
        live: i64,
    ) -> Result<Box<Task>> {
        task.revision = self.next_revision();
        task.remind(before, self.rules.now);
        self.count_below(before, Some(&task));
        let states = (Some(task_row::encode(&task)?), before.map(task_row::encode).transpose()?);
        self.note(Subject::Task(task.id), change, fields, states);
        self.draft.counters.live_tasks += live;
        self.draft.tasks.insert(task.id, Some(task.clone()));
        Ok(task)
    }

    /// Takes a list over under the next revision, and notes the change.
    fn store_list(
        &mut self,
        list: TaskList,
        before: Option<&TaskList>,
        change: ChangeType,
        fields: TaskFields,
    ) -> Result<TaskList> {
        let list = TaskList { revision: self.next_revision(), ..list };
        let states = (Some(list_row::encode(&list)?), before.map(list_row::encode).transpose()?);
        self.note(Subject::List(list.id), change, fields, states);
        self.draft.lists.insert(list.id, Some(list.clone()));
        Ok(list)
    }

    /// A change under the next revision. What is gone for good is gone from the log's last entry as well.
    fn note(
        &mut self,
        subject: Subject,
        kind: ChangeType,
        fields: TaskFields,
        (state, before): (Option<String>, Option<String>),
    ) {
        self.draft.counters.revision += 1;
        self.draft.changes.push(ChangeRow {
            owner: self.user,
            revision: self.draft.counters.revision,
            kind,
            subject,
            fields,
            state,
            before,
            time: self.rules.now,
        });
    }
}

/// What a write did that makes this change.
const fn effect(change: ChangeType) -> Effect {
    match change {
        ChangeType::Created => Effect::Created,
        _ => Effect::Changed,
    }
}

/// A task of a list after what is done with it.
fn settled(unfinished: Unfinished, task: Task, rules: WriteRules) -> (Task, ChangeType, TaskFields, i64) {
    let none = TaskFields::default();
    match unfinished {
        Unfinished::Delete => {
            let gone = task.put_away(rules.now, rules.purge_after);
            let task = Task { deleted_with: Some(DeletedWith::List), ..gone };
            (task, ChangeType::Deleted, none, -1)
        }
        Unfinished::Restore => (task.taken_back(rules.now), ChangeType::Undeleted, none, 1),
        Unfinished::Keep => {
            let mut fields = none;
            fields.note(TaskField::TaskList, true);
            let update_time = rules.now.max(task.update_time);
            (Task { task_list: None, update_time, ..task }, ChangeType::Updated, fields, 0)
        }
    }
}
