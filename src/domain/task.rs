//! Tasks: what they hold, and what a change makes of them.

use std::time::Duration;

use super::etag::{Content, Etag};
use super::{
    Annotations, Basis, Day, DeletedWith, Description, InvalidReason, Labels, Position, Priority, Recurrence,
    Reminder, Reminders, Rule, Schedule, Subtasks, TaskField, TaskFields, TaskId, TaskListId, TimeZone,
    Timestamp, Title, UserId, Violations,
};

/// A task to be made.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// Its id, the client's or a new one.
    pub id: TaskId,
    /// Whether the id was made just now, so that no task can have it yet.
    pub id_is_new: bool,
    /// What it is called.
    pub title: Title,
    /// More about it.
    pub description: Option<Description>,
    /// Whether it is done already.
    pub completed: bool,
    /// How much it matters.
    pub priority: Priority,
    /// When it is due.
    pub due_time: Option<Timestamp>,
    /// Its labels.
    pub labels: Labels,
    /// On which day it is due.
    pub due_date: Option<Day>,
    /// When work on it is to begin.
    pub start_time: Option<Timestamp>,
    /// Where its days are meant; in UTC when absent.
    pub time_zone: Option<TimeZone>,
    /// What other services note.
    pub annotations: Annotations,
    /// In which list it is; in none when absent.
    pub task_list: Option<TaskListId>,
    /// Below which task it is; below none when absent.
    pub parent_task: Option<TaskId>,
    /// How it comes again.
    pub recurrence: Option<Box<Recurrence>>,
    /// When it is to be remembered.
    pub reminders: Reminders,
}

/// A day on which a task is due, and when that is over where the task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueDay {
    /// The day.
    pub day: Day,
    /// Its last point in time, by the rules of its zone when it was stored.
    pub end: Timestamp,
}

/// A task as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Whose it is.
    pub owner: UserId,
    /// Its id, unique below its owner.
    pub id: TaskId,
    /// What it is called.
    pub title: Title,
    /// More about it.
    pub description: Option<Description>,
    /// Whether it is done.
    pub completed: bool,
    /// How much it matters.
    pub priority: Priority,
    /// When it is due.
    pub due_time: Option<Timestamp>,
    /// Its labels.
    pub labels: Labels,
    /// On which day it is due.
    pub due_day: Option<DueDay>,
    /// When work on it is to begin.
    pub start_time: Option<Timestamp>,
    /// Where its days are meant; in UTC when absent.
    pub time_zone: Option<TimeZone>,
    /// What other services note.
    pub annotations: Annotations,
    /// In which list it is; in none when absent. One that is deleted may name a list that is gone.
    pub task_list: Option<TaskListId>,
    /// Its place among the tasks of its list.
    pub position: Position,
    /// Below which task it is; below none when absent.
    pub parent_task: Option<TaskId>,
    /// The live tasks below it, as they are counted by whoever changes one of them.
    pub subtasks: Subtasks,
    /// As part of what it was deleted, while it is.
    pub deleted_with: Option<DeletedWith>,
    /// Whether it was deleted with tasks below it, which come back with it.
    pub took_subtasks: bool,
    /// How it comes again; of an open task.
    pub recurrence: Option<Box<Recurrence>>,
    /// The occurrence that followed it when it was completed.
    pub next_task: Option<TaskId>,
    /// When it is to be remembered.
    pub reminders: Reminders,
    /// When it is to be remembered next, while it is open.
    pub remind_time: Option<Timestamp>,
    /// When it was made.
    pub create_time: Timestamp,
    /// When it last changed in any way. Never runs backwards, even when the clock does.
    pub update_time: Timestamp,
    /// When it was completed, while it is.
    pub complete_time: Option<Timestamp>,
    /// When it was deleted, while it is.
    pub delete_time: Option<Timestamp>,
    /// When it will be gone for good, while it is deleted.
    pub purge_time: Option<Timestamp>,
    /// The owner's revision at its last change.
    pub revision: i64,
}

impl Task {
    /// Changes with every change of the task.
    pub fn etag(&self) -> Etag {
        // Taken apart, so that a new field is not forgotten. Whose it is and which one, the name says.
        let Self {
            owner: _,
            id: _,
            title,
            description,
            completed,
            priority,
            due_time,
            labels,
            due_day,
            start_time,
            time_zone,
            annotations,
            task_list,
            position,
            parent_task,
            subtasks,
            deleted_with: _,
            took_subtasks: _,
            recurrence,
            next_task,
            reminders,
            remind_time: _,
            create_time,
            update_time,
            complete_time,
            delete_time,
            purge_time,
            revision,
        } = self;
        let time = |time: &Option<Timestamp>| time.map(Timestamp::as_micros);
        let content = Content::new().text(title.as_str()).numbers([
            description.as_ref().map(|_| 0),
            Some((*completed).into()),
            Some(priority.code().into()),
            time(due_time),
            Some(create_time.as_micros()),
            Some(update_time.as_micros()),
            time(complete_time),
            time(delete_time),
            time(purge_time),
        ]);
        let content = content.text(description.as_ref().map_or("", Description::as_str));
        let mut content = labels.as_slice().iter().fold(content, |content, label| content.text(label));
        // Taken in where they are, so that tasks without them keep the etags that they had before there were any.
        if due_day.is_some() || start_time.is_some() || time_zone.is_some() || !annotations.is_empty() {
            let day = due_day.map(|due| due.day.number().into());
            content = content.numbers([day, time(start_time)]);
            content = content.text(time_zone.as_ref().map_or("", TimeZone::as_str));
            for (key, value) in annotations.as_map() {
                content = content.text(key).text(value);
            }
        }
        if let Some(list) = task_list {
            content = content.text(&list.to_string());
        }
        if task_list.is_some() || position.was_given() {
            content = content.text(position.as_str());
        }
        if let Some(parent) = parent_task {
            content = content.text(&parent.to_string());
        }
        if *subtasks != Subtasks::default() {
            content = content.numbers([Some(subtasks.count.into()), Some(subtasks.completed.into())]);
        }
        if let Some(recurrence) = recurrence {
            let is_due = recurrence.basis == Basis::Due;
            content = content.text(&recurrence.rrule).numbers([Some(is_due.into())]);
        }
        if let Some(next) = next_task {
            content = content.text(&next.to_string());
        }
        for reminder in reminders.as_slice() {
            content = content.numbers(match reminder {
                Reminder::Before(micros) => [Some(*micros), None],
                Reminder::At(time) => [None, Some(time.as_micros())],
            });
        }
        content.etag(*revision)
    }

    /// What it says of when it is to be done.
    pub fn schedule(&self) -> Schedule {
        Schedule {
            due_time: self.due_time,
            due_day: self.due_day,
            start_time: self.start_time,
            time_zone: self.time_zone.clone(),
        }
    }

    /// When it is due: the due time, or the end of the due day.
    pub fn due(&self) -> Option<Timestamp> {
        self.due_time.or(self.due_day.map(|due| due.end))
    }

    /// Checks what its days and times say together, after it was like `before`.
    ///
    /// # Errors
    /// `Invalid` with all rules that they break.
    pub(super) fn check_days(&self, before: Option<&Self>) -> super::Result<()> {
        let mut violations = Violations::default();
        let had = before.and_then(|before| before.recurrence.as_deref());
        let recurrence = self.recurrence.as_deref();
        let is_new = recurrence.is_some_and(|recurrence| had.is_none_or(|had| !had.is_alike(recurrence)));
        self.schedule().check(recurrence, is_new, &mut violations);
        if self.completed && recurrence.is_some() {
            let rule = Rule::of(InvalidReason::Recurrence, "must not stand on a completed task");
            violations.add(rule.at("task.recurrence"));
        }
        self.reminders.check(self.due(), &mut violations);
        violations.finish()
    }

    /// Whether it is deleted.
    pub const fn is_deleted(&self) -> bool {
        self.delete_time.is_some()
    }

    /// It after it was deleted, to be purged after a while.
    pub fn put_away(self, now: Timestamp, purge_after: Duration) -> Self {
        let now = now.max(self.update_time);
        let purge_time = Some(now.after(purge_after));
        Self { update_time: now, delete_time: Some(now), purge_time, ..self }
    }

    /// It after it was taken back.
    pub fn taken_back(self, now: Timestamp) -> Self {
        let update_time = now.max(self.update_time);
        Self {
            update_time,
            delete_time: None,
            purge_time: None,
            deleted_with: None,
            took_subtasks: false,
            ..self
        }
    }

    /// The task that `new` becomes, before it has a revision.
    pub(super) fn create(new: NewTask, owner: UserId, position: Position, now: Timestamp) -> Self {
        let mut task = Self {
            owner,
            id: new.id,
            title: new.title,
            description: new.description,
            completed: new.completed,
            priority: new.priority,
            due_time: new.due_time,
            labels: new.labels,
            due_day: new.due_date.map(|day| DueDay { day, end: day.end(new.time_zone.as_ref()) }),
            start_time: new.start_time,
            time_zone: new.time_zone,
            annotations: new.annotations,
            task_list: new.task_list,
            position,
            parent_task: new.parent_task,
            subtasks: Subtasks::default(),
            deleted_with: None,
            took_subtasks: false,
            recurrence: None,
            next_task: None,
            reminders: new.reminders,
            remind_time: None,
            create_time: now,
            update_time: now,
            complete_time: new.completed.then_some(now),
            delete_time: None,
            purge_time: None,
            revision: 0,
        };
        task.recurrence = new.recurrence.map(|recurrence| Box::new(recurrence.begin(&task.schedule(), None)));
        task
    }

    /// It completed, and the one that follows if it comes again and its rule has not ended. That is the same but for what it
    /// went through: tasks below this one stay there.
    pub(super) fn completed_by_rule(
        self,
        next_id: TaskId,
        position: Position,
        now: Timestamp,
    ) -> super::Result<(Self, Option<Box<Self>>)> {
        let Some(recurrence) = &self.recurrence else { return Ok((self, None)) };
        let Some(next) = recurrence.following(&self.schedule(), now, 1)?.pop() else {
            return Ok((Self { recurrence: None, ..self }, None));
        };
        let next = next.on(Self {
            id: next_id,
            completed: false,
            complete_time: None,
            position,
            subtasks: Subtasks::default(),
            create_time: now,
            update_time: now,
            next_task: None,
            reminders: self.reminders.of_next(),
            revision: 0,
            ..self.clone()
        });
        Ok((Self { recurrence: None, next_task: Some(next_id), ..self }, Some(Box::new(next))))
    }
}

/// What to change of a task. The outer `None` leaves a field as it is, the inner one clears it.
#[derive(Debug, Clone, Default)]
pub struct TaskPatch {
    /// A new title; it cannot be cleared.
    pub title: Option<Title>,
    /// A new description.
    pub description: Option<Option<Description>>,
    /// Done, or not.
    pub completed: Option<bool>,
    /// A new priority.
    pub priority: Option<Priority>,
    /// A new due time.
    pub due_time: Option<Option<Timestamp>>,
    /// New labels, in place of the old ones.
    pub labels: Option<Labels>,
    /// A new due day.
    pub due_date: Option<Option<Day>>,
    /// A new start.
    pub start_time: Option<Option<Timestamp>>,
    /// A new time zone.
    pub time_zone: Option<Option<TimeZone>>,
    /// New annotations, in place of the old ones.
    pub annotations: Option<Annotations>,
    /// Another list, or none.
    pub task_list: Option<Option<TaskListId>>,
    /// Below another task, or below none.
    pub parent_task: Option<Option<TaskId>>,
    /// Whether the tasks below it are completed as well, if it is.
    pub complete_subtasks: bool,
    /// How it comes again, or that it no longer does.
    pub recurrence: Option<Option<Box<Recurrence>>>,
    /// When it is to be remembered, in place of what was said before.
    pub reminders: Option<Reminders>,
    /// The id of the one that follows it, if it is completed and comes again.
    pub next_id: Option<TaskId>,
}

impl Task {
    /// How it comes again after a change: a rule begins where the caller last said when the task is due.
    fn recurring_as(
        &self,
        written: Option<Option<Box<Recurrence>>>,
        before: &Self,
    ) -> Option<Box<Recurrence>> {
        let had = before.recurrence.as_ref();
        let recurrence = written.unwrap_or_else(|| had.cloned())?;
        let goes_on = had.filter(|had| had.is_alike(&recurrence));
        let (now, then) = (self.schedule(), before.schedule());
        Some(match goes_on {
            Some(had) if now == then => had.clone(),
            Some(had) => Box::new(had.as_ref().clone().begin(&now, Some(&then))),
            None => Box::new(recurrence.begin(&now, None)),
        })
    }
}

impl TaskPatch {
    /// The task after this change and the fields that changed; no fields when nothing did. In another list it stands `at_end`.
    pub(super) fn apply(self, current: &Task, at_end: Position, now: Timestamp) -> (Task, TaskFields) {
        // Taken apart, so that a new field is not forgotten.
        let Self {
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
            complete_subtasks: _,
            recurrence,
            reminders,
            next_id: _,
        } = self;
        let mut next = current.clone();
        next.title = title.unwrap_or(next.title);
        next.description = description.unwrap_or(next.description);
        next.completed = completed.unwrap_or(next.completed);
        next.priority = priority.unwrap_or(next.priority);
        next.due_time = due_time.unwrap_or(next.due_time);
        next.labels = labels.unwrap_or(next.labels);
        next.start_time = start_time.unwrap_or(next.start_time);
        next.annotations = annotations.unwrap_or(next.annotations);
        next.task_list = task_list.unwrap_or(next.task_list);
        next.parent_task = parent_task.unwrap_or(next.parent_task);
        next.reminders = reminders.unwrap_or(next.reminders);
        if (next.task_list, next.parent_task) != (current.task_list, current.parent_task) {
            next.position = at_end;
        }
        if due_date.is_some() || time_zone.is_some() {
            let day = due_date.unwrap_or(next.due_day.map(|due| due.day));
            next.time_zone = time_zone.unwrap_or(next.time_zone);
            next.due_day = day.map(|day| DueDay { day, end: day.end(next.time_zone.as_ref()) });
        }
        if recurrence.is_some() || next.recurrence.is_some() {
            next.recurrence = next.recurring_as(recurrence, current);
        }

        let changed = changed_fields(current, &next);
        if next.completed != current.completed {
            next.complete_time = next.completed.then_some(now);
        }
        (next, changed)
    }
}

/// The fields in which two states of a task differ.
pub(super) fn changed_fields(before: &Task, after: &Task) -> TaskFields {
    // Taken apart, so that a new field is not forgotten. What a change always moves is none that it is asked for.
    let Task {
        owner: _,
        id: _,
        title,
        description,
        completed,
        priority,
        due_time,
        labels,
        due_day,
        start_time,
        time_zone,
        annotations,
        task_list,
        position,
        parent_task,
        subtasks,
        deleted_with: _,
        took_subtasks: _,
        recurrence,
        next_task,
        reminders,
        remind_time: _,
        create_time: _,
        update_time: _,
        complete_time,
        delete_time: _,
        purge_time: _,
        revision: _,
    } = before;
    let mut changed = TaskFields::default();
    changed.note(TaskField::Title, after.title != *title);
    changed.note(TaskField::Description, after.description != *description);
    changed
        .note(TaskField::Completed, (after.completed, after.complete_time) != (*completed, *complete_time));
    changed.note(TaskField::Priority, after.priority != *priority);
    changed.note(TaskField::DueTime, after.due_time != *due_time);
    changed.note(TaskField::Labels, after.labels != *labels);
    let day = |due: &Option<DueDay>| due.map(|due| due.day);
    changed.note(TaskField::DueDate, day(&after.due_day) != day(due_day));
    changed.note(TaskField::StartTime, after.start_time != *start_time);
    changed.note(TaskField::TimeZone, after.time_zone != *time_zone);
    changed.note(TaskField::Annotations, after.annotations != *annotations);
    changed.note(TaskField::TaskList, after.task_list != *task_list);
    changed.note(TaskField::ParentTask, after.parent_task != *parent_task);
    changed.note(TaskField::Position, after.position != *position);
    changed.note(TaskField::SubtaskCount, after.subtasks != *subtasks);
    let is_alike = match (recurrence, &after.recurrence) {
        (Some(before), Some(after)) => before.is_alike(after),
        (before, after) => before.is_none() && after.is_none(),
    };
    changed.note(TaskField::Reminders, after.reminders != *reminders);
    changed.note(TaskField::Recurrence, !is_alike || after.next_task != *next_task);
    changed
}
