//! What a change of a task means for those around it: for the task that it is below, and for those below it.

use super::deciding::Deciding;
use super::task_row;
use crate::domain::{
    ChangeType, DeletedWith, Effect, Error, Resource, Result, Rule, State, Subject, Subtasks, Task,
    TaskField, TaskFields, TaskId, Violations, WriteResult,
};

impl Deciding<'_> {
    /// A live task is below a live one of its list that is below none, or below none. Who asks for another one is told;
    /// what comes back comes back alone where that is not so.
    pub(super) fn below_its_parent(
        &self,
        mut task: Box<Task>,
        before: Option<&Task>,
        is_restore: bool,
        list_field: &'static str,
        fields: &mut TaskFields,
    ) -> Result<Box<Task>> {
        let Some(id) = task.parent_task.filter(|_| !task.is_deleted()) else { return Ok(task) };
        let comes_back = before.is_some_and(Task::is_deleted);
        match self.parent_for(&task, before, id) {
            Ok(parent) if task.task_list == parent.task_list => Ok(task),
            // Where it is below a task, it is in that one's list.
            Ok(parent) if task.task_list.is_none() || is_restore || comes_back => {
                let was = before.and_then(|before| before.task_list);
                if before.is_some() && !comes_back {
                    fields.forget(TaskField::TaskList);
                    fields.note(TaskField::TaskList, parent.task_list != was);
                }
                task.task_list = parent.task_list;
                Ok(task)
            }
            Ok(_) => {
                let mut violations = Violations::default();
                let text = "must be the list of the parent task, or empty";
                violations.add(Rule::field(text).at(list_field));
                violations.finish().map(|()| task)
            }
            Err(_) if is_restore || comes_back => {
                if !comes_back && before.is_some_and(|before| before.parent_task.is_none()) {
                    fields.forget(TaskField::ParentTask);
                }
                task.parent_task = None;
                Ok(task)
            }
            Err(error) => Err(error),
        }
    }

    fn parent_for(&self, task: &Task, before: Option<&Task>, id: TaskId) -> Result<Task> {
        let missing = Error::NotFound(Resource::ParentTask);
        let parent = self.task(id).filter(|parent| !parent.is_deleted()).ok_or(missing)?;
        let is_there = before.is_some_and(|before| !before.is_deleted() && before.parent_task == Some(id));
        if is_there {
            return Ok(parent);
        }
        if parent.id == task.id || parent.parent_task.is_some() || self.subtasks_of(task).count > 0 {
            return Err(Error::NestingTooDeep);
        }
        if self.subtasks_of(&parent).count >= Subtasks::MAX {
            return Err(Error::SubtaskQuotaExceeded { limit: Subtasks::MAX });
        }
        Ok(parent)
    }

    /// How many are below a task, with what this operation has done so far.
    fn subtasks_of(&self, task: &Task) -> Subtasks {
        let so_far = self.draft.balance.get(&task.id).copied().unwrap_or_default();
        task.subtasks.plus(so_far)
    }

    /// Notes what a change of a task adds to the numbers of the ones that it was and is below.
    pub(super) fn count_below(&mut self, before: Option<&Task>, after: Option<&Task>) {
        let mut add = |task: Option<&Task>, sign: fn(Subtasks, Subtasks) -> Subtasks| {
            if let Some((task, parent)) = task.and_then(|task| Some((task, task.parent_task?))) {
                let balance = self.draft.balance.entry(parent).or_default();
                *balance = sign(*balance, Subtasks::of(task));
            }
        };
        add(before, Subtasks::minus);
        add(after, Subtasks::plus);
    }

    /// The tasks below one, as they are now; deleted ones as far as they went with it.
    fn children(&self, parent: TaskId) -> Vec<Task> {
        let is_below = |task: &&Task| task.parent_task == Some(parent);
        let known = self.known.tasks_of(self.user).filter(|task| !self.draft.tasks.contains_key(&task.id));
        let drafted = self.draft.tasks.values().filter_map(Option::as_deref);
        let mut children: Vec<Task> = known.chain(drafted).filter(is_below).cloned().collect();
        children.sort_unstable_by(|one, other| one.position.cmp(&other.position));
        children
    }

    /// Does with the tasks below one what comes of its change; `completes` says that they are completed with it.
    pub(super) fn carry_along(&mut self, task: &Task, before: &Task, completes: bool) -> Result<()> {
        let has_some = before.subtasks.count > 0 || self.subtasks_of(task).count > 0 || before.took_subtasks;
        if !has_some {
            return Ok(());
        }
        let now = self.rules.now;
        let mut took_some = false;
        for child in self.children(task.id) {
            let mut fields = TaskFields::default();
            let update_time = now.max(child.update_time);
            let (change, live, next) = match (before.is_deleted(), task.is_deleted(), child.is_deleted()) {
                (false, true, false) => {
                    took_some = true;
                    let gone = child.clone().put_away(now, self.rules.purge_after);
                    (ChangeType::Deleted, -1, Task { deleted_with: Some(DeletedWith::Parent), ..gone })
                }
                (true, false, true) if child.deleted_with == Some(DeletedWith::Parent) => {
                    if self.draft.counters.live_tasks >= self.live_tasks_max {
                        return Err(Error::QuotaExceeded { limit: self.live_tasks_max });
                    }
                    let back = Task { task_list: task.task_list, ..child.clone().taken_back(now) };
                    (ChangeType::Undeleted, 1, back)
                }
                (false, false, false) => {
                    let is_done = completes && !child.completed;
                    fields.note(TaskField::Completed, is_done);
                    fields.note(TaskField::TaskList, child.task_list != task.task_list);
                    let completed = child.completed || is_done;
                    let complete_time = if is_done { Some(now) } else { child.complete_time };
                    // What is over with its parent does not come again.
                    let recurrence = child.recurrence.clone().filter(|_| !is_done);
                    fields.note(TaskField::Recurrence, is_done && child.recurrence.is_some());
                    let task_list = task.task_list;
                    let next = Task {
                        completed,
                        complete_time,
                        task_list,
                        update_time,
                        recurrence,
                        ..child.clone()
                    };
                    (ChangeType::Updated, 0, next)
                }
                _ => continue,
            };
            if change != ChangeType::Updated || !fields.is_empty() {
                self.store_task(Box::new(next), Some(&child), change, fields, live)?;
            }
        }
        if took_some {
            self.amend(task.id, TaskFields::default(), |task| task.took_subtasks = true)?;
        }
        Ok(())
    }

    /// Whether this operation has deleted a task along with its parent: who names both wants just that.
    pub(super) fn went_with_its_parent(&self, task: Option<&Task>) -> bool {
        let is_gone = |task: &&Task| task.deleted_with == Some(DeletedWith::Parent);
        let Some(task) = task.filter(is_gone) else { return false };
        self.known.task(self.user, task.id).is_some_and(|before| !before.is_deleted())
    }

    /// Live tasks whose parent an undo has put away lose it.
    pub(super) fn release_orphans(&mut self) -> Result<()> {
        let mut gone: Vec<TaskId> = self
            .draft
            .tasks
            .values()
            .flatten()
            .filter(|task| task.is_deleted() && task.subtasks.count > 0)
            .map(|task| task.id)
            .collect();
        gone.sort_unstable();
        for parent in gone {
            for child in self.children(parent).into_iter().filter(|child| !child.is_deleted()) {
                let mut fields = TaskFields::default();
                fields.note(TaskField::ParentTask, true);
                let update_time = self.rules.now.max(child.update_time);
                let alone = Box::new(Task { parent_task: None, update_time, ..child.clone() });
                self.store_task(alone, Some(&child), ChangeType::Updated, fields, 0)?;
            }
        }
        Ok(())
    }

    /// Brings the numbers of tasks below others up to date: with the change that such a task has in this operation, or by one of
    /// its own. A deleted one has none below it.
    pub(super) fn settle_balance(&mut self) -> Result<()> {
        let mut balance: Vec<(TaskId, Subtasks)> =
            std::mem::take(&mut self.draft.balance).into_iter().collect();
        balance.retain(|(_, change)| *change != Subtasks::default());
        balance.sort_unstable_by_key(|(parent, _)| *parent);
        for (parent, change) in balance {
            let Some(before) = self.task(parent) else { continue };
            let subtasks = before.subtasks.plus(change);
            let mut fields = TaskFields::default();
            fields.note(TaskField::SubtaskCount, true);
            if self.amend(parent, fields, |task| task.subtasks = subtasks)? || before.is_deleted() {
                continue;
            }
            let update_time = self.rules.now.max(before.update_time);
            let after = Box::new(Task { subtasks, update_time, ..before.clone() });
            let after = self.store_task(after, Some(&before), ChangeType::Updated, fields, 0)?;
            self.answer_anew(&after);
        }
        Ok(())
    }

    /// Makes part of a task's last change in this operation what else comes of it; answers whether it has one.
    fn amend(&mut self, id: TaskId, fields: TaskFields, change: impl FnOnce(&mut Task)) -> Result<bool> {
        let noted = self.draft.changes.iter_mut().rev().find(|noted| noted.subject == Subject::Task(id));
        let (Some(noted), Some(Some(task))) = (noted, self.draft.tasks.get_mut(&id)) else {
            return Ok(false);
        };
        change(task);
        noted.state = Some(task_row::encode(task)?);
        if noted.kind == ChangeType::Updated {
            fields.iter().for_each(|field| noted.fields.note(field, true));
        }
        let task = task.clone();
        self.answer_anew(&task);
        Ok(true)
    }

    /// What was last said of a task says all that this operation does to it.
    fn answer_anew(&mut self, task: &Task) {
        let of_task =
            |written: &&mut WriteResult| written.task().is_some_and(|answered| answered.id == task.id);
        if let Some(written) = self.draft.written.iter_mut().rev().find(of_task)
            && written.effect != Effect::Conflict
        {
            written.state = Some(State::Task(Box::new(task.clone())));
            if written.effect == Effect::Unchanged {
                written.effect = Effect::Changed;
            }
        }
    }
}
