//! What a move does to a task and to those that it comes to stand between: a pure function, like every write.

use super::change::{TaskField, TaskFields};
use super::position::{Placement, place};
use super::task::changed_fields;
use super::task_write::existing;
use super::{Error, InvalidReason, Place, Position, Result, Rule, Task, TaskId, TaskListId, WriteRules};

/// A move that a caller asks for.
#[derive(Debug, Clone)]
pub struct TaskMove {
    /// Which task.
    pub id: TaskId,
    /// Into which list, or out of any; where it is when absent.
    pub task_list: Option<Option<TaskListId>>,
    /// Below which task, or below none; below the same one when absent, unless it goes into another list.
    pub parent_task: Option<Option<TaskId>>,
    /// Where in that list.
    pub to: Place<TaskId>,
}

/// The live tasks of a list, below the same task, around a place among them, without the one that moves.
#[derive(Debug, Clone, Default)]
pub struct Neighbours {
    /// Those below, nearest first.
    pub below: Vec<Task>,
    /// Those above, nearest first.
    pub above: Vec<Task>,
    /// How many of each were asked for.
    pub known: usize,
}

/// What a move comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MoveDecision {
    /// Nothing: the task stands there already.
    Keep,
    /// These tasks change, in this order, each under a revision of its own.
    Store(Vec<(Task, TaskFields)>),
    /// More neighbours have to be known.
    Further,
}

impl TaskMove {
    /// The list that the task moves into, or stays in.
    pub fn list_of(&self, current: &Task) -> Option<TaskListId> {
        self.task_list.unwrap_or(current.task_list)
    }

    /// The task that it moves below, or stays below.
    pub fn parent_of(&self, current: &Task) -> Option<TaskId> {
        let stays = self.list_of(current) == current.task_list;
        self.parent_task.unwrap_or(current.parent_task.filter(|_| stays))
    }

    /// The task that the place is given by.
    pub const fn anchor(&self) -> Option<TaskId> {
        match self.to {
            Place::End => None,
            Place::Before(id) | Place::After(id) => Some(id),
        }
    }

    /// The task that the move is about, once it may move.
    ///
    /// # Errors
    /// `NotFound`, `TaskDeleted`, or `Invalid` for an anchor that is not in the list that the task moves to.
    pub fn check(&self, current: Option<Task>, anchor: Option<&Task>) -> Result<Task> {
        let current = existing(current)?;
        if current.is_deleted() {
            return Err(Error::TaskDeleted);
        }
        let field = match self.to {
            Place::End => return Ok(current),
            Place::Before(_) => "before",
            Place::After(_) => "after",
        };
        let place = (self.list_of(&current), self.parent_of(&current));
        match anchor {
            Some(anchor)
                if anchor.id != current.id
                    && !anchor.is_deleted()
                    && (anchor.task_list, anchor.parent_task) == place =>
            {
                Ok(current)
            }
            _ => Err(Error::position_invalid(field)),
        }
    }

    /// What this move does, given the task as it stands and its neighbours to be.
    pub fn decide(
        &self,
        current: &Task,
        neighbours: &Neighbours,
        rules: WriteRules,
        revision: i64,
    ) -> MoveDecision {
        fn keys(tasks: &[Task]) -> Vec<(TaskId, &Position)> {
            tasks.iter().map(|task| (task.id, &task.position)).collect()
        }
        let (task_list, parent_task) = (self.list_of(current), self.parent_of(current));
        let stays = (task_list, parent_task) == (current.task_list, current.parent_task);
        let own = stays.then_some(&current.position);
        let (below, above) = (keys(&neighbours.below), keys(&neighbours.above));
        let moved = |task: &Task, position: Position| {
            let update_time = rules.now.max(task.update_time);
            Task { position, update_time, ..task.clone() }
        };
        let stored = |task: Task, before: &Task| {
            let fields = changed_fields(before, &task);
            (task, fields)
        };
        match place((current.id, own), &below, &above, neighbours.known, revision) {
            Placement::Stays => MoveDecision::Keep,
            Placement::Further => MoveDecision::Further,
            Placement::There(position) => {
                let task = Task { task_list, parent_task, ..moved(current, position) };
                MoveDecision::Store(vec![stored(task, current)])
            }
            Placement::Spread(keys) => {
                let others = || neighbours.below.iter().chain(&neighbours.above);
                let tasks = keys.into_iter().filter_map(|(id, position)| {
                    if id == current.id {
                        let task = Task { task_list, parent_task, ..moved(current, position) };
                        return Some(stored(task, current));
                    }
                    let other = others().find(|task| task.id == id)?;
                    let mut fields = TaskFields::default();
                    fields.note(TaskField::Position, true);
                    Some((moved(other, position), fields))
                });
                MoveDecision::Store(tasks.collect())
            }
        }
    }
}

impl Error {
    /// A place that is given by what is not among those that it belongs to.
    pub fn position_invalid(field: &'static str) -> Self {
        let text = "must be a live one in the list that this one goes to, and another one";
        Self::Invalid(vec![Rule::of(InvalidReason::Position, text).at(field)])
    }
}
