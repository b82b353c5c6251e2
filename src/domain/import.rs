//! Tasks and lists that are taken in under the ids that they bring: what of them is kept, and what becomes of those that are
//! there already.

use super::change::{ChangeType, TaskFields};
use super::list_write::{self, ListDecision};
use super::task::changed_fields;
use super::{
    Decision, Error, NewTask, NewTaskList, Position, Result, Task, TaskId, TaskList, TaskPatch, Timestamp,
    UserId, WriteRules,
};

/// A task that is taken in.
#[derive(Debug, Clone)]
pub struct ImportedTask {
    /// What a caller can write of it.
    pub new: NewTask,
    /// When it was made elsewhere; now where that is not said, or has not come yet.
    pub create_time: Option<Timestamp>,
    /// When it was completed, if it is; as for `create_time`.
    pub complete_time: Option<Timestamp>,
    /// The occurrence that followed it.
    pub next_task: Option<TaskId>,
    /// Whether it becomes what is there already with another content.
    pub overwrites: bool,
}

/// A list that is taken in.
#[derive(Debug, Clone)]
pub struct ImportedList {
    /// What a caller can write of it.
    pub new: NewTaskList,
    /// When it was made elsewhere; now where that is not said, or has not come yet.
    pub create_time: Option<Timestamp>,
    /// Whether it becomes what is there already with another content.
    pub overwrites: bool,
}

/// The time, unless it has not come yet.
fn past(time: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    time.filter(|time| *time <= now)
}

impl ImportedTask {
    /// What becomes of the task as it stands.
    ///
    /// # Errors
    /// `TaskDeleted`, `TaskAlreadyExists` where it is there with another content and stays so, or `Invalid`.
    pub(super) fn decide(
        self,
        owner: UserId,
        current: Option<Task>,
        rules: WriteRules,
        revision: i64,
    ) -> Result<Decision> {
        match current {
            None => self.create(owner, rules.now, revision),
            Some(current) if current.is_deleted() => Err(Error::TaskDeleted),
            Some(current) => self.meet(current, rules.now, revision),
        }
    }

    fn create(self, owner: UserId, now: Timestamp, revision: i64) -> Result<Decision> {
        let task = Task::create(self.new, owner, Position::at_end(revision), now);
        let complete_time = task.completed.then(|| past(self.complete_time, now).unwrap_or(now));
        let create_time = past(self.create_time, now).unwrap_or(now);
        let task = Box::new(Task { create_time, complete_time, next_task: self.next_task, ..task });
        task.check_days(None)?;
        let fields = TaskFields::default();
        Ok(Decision::Store { task, change: ChangeType::Created, fields, live: 1, next: None })
    }

    /// Compares it with what is there. What it does not say of times and of the next task stays.
    fn meet(self, current: Task, now: Timestamp, revision: i64) -> Result<Decision> {
        let Self { new, create_time: _, complete_time, next_task, overwrites } = self;
        let now = now.max(current.update_time);
        let (mut task, _) = patch(new, &current).apply(&current, Position::at_end(revision), now);
        if task.completed {
            let known = past(complete_time, now).or(current.complete_time);
            task.complete_time = Some(known.unwrap_or(now));
        }
        task.next_task = next_task.or(current.next_task);
        let fields = changed_fields(&current, &task);
        if fields.is_empty() {
            return Ok(Decision::Keep(Some(current)));
        }
        // What breaks a rule is told, also where it would not be written.
        task.check_days(Some(&current))?;
        if !overwrites {
            return Err(Error::TaskAlreadyExists);
        }
        task.update_time = now;
        Ok(Decision::Store { task: Box::new(task), change: ChangeType::Updated, fields, live: 0, next: None })
    }
}

/// Everything that a caller can write, as it is taken in.
fn patch(new: NewTask, current: &Task) -> TaskPatch {
    // Taken apart, so that a new field is not forgotten.
    let NewTask {
        id: _,
        id_is_new: _,
        title,
        description,
        completed,
        priority,
        due_time,
        labels,
        due_date,
        start_time,
        time_zone,
        annotations,
        task_list,
        parent_task,
        recurrence,
        reminders,
    } = new;
    // A subtask is in the list of its parent, whether or not that is said.
    let stays_below = parent_task.is_some() && parent_task == current.parent_task;
    let task_list = if stays_below && task_list.is_none() { current.task_list } else { task_list };
    TaskPatch {
        title: Some(title),
        description: Some(description),
        completed: Some(completed),
        priority: Some(priority),
        due_time: Some(due_time),
        labels: Some(labels),
        due_date: Some(due_date),
        start_time: Some(start_time),
        time_zone: Some(time_zone),
        annotations: Some(annotations),
        task_list: Some(task_list),
        parent_task: Some(parent_task),
        complete_subtasks: false,
        recurrence: Some(recurrence),
        reminders: Some(reminders),
        next_id: None,
    }
}

impl ImportedList {
    /// What becomes of the list as it stands.
    ///
    /// # Errors
    /// `TaskListDeleted`, or `TaskListAlreadyExists` where it is there with another title and keeps that.
    pub(super) fn decide(
        self,
        owner: UserId,
        current: Option<TaskList>,
        rules: WriteRules,
        revision: i64,
    ) -> Result<ListDecision> {
        let Some(current) = current else {
            let list = list_write::create(self.new, owner, rules, revision);
            let create_time = past(self.create_time, rules.now).unwrap_or(rules.now);
            return Ok(list_write::store(TaskList { create_time, ..list }, ChangeType::Created));
        };
        if current.is_deleted() {
            return Err(Error::TaskListDeleted);
        }
        if current.title != self.new.title && !self.overwrites {
            return Err(Error::TaskListAlreadyExists);
        }
        let list = TaskList { title: self.new.title, ..current.clone() };
        Ok(list_write::updated(list, current, rules))
    }
}
