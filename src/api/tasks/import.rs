//! Lists and tasks that are taken in: what the items of a call say, and the order in which they are written.

use std::collections::{HashMap, HashSet};

use prost::Message as _;

use super::convert::create;
use super::convert_value::time;
use crate::api::fields::Fields;
use crate::api::names;
use crate::auth::Principal;
use crate::domain::{
    Error, ImportedList, ImportedTask, InvalidReason, ListWrite, NewTask, NewTaskList, Owner, Result, Rule,
    Subject, TaskId, TaskWrite, Title, Violations, Write,
};
use crate::pb;
use pb::import_tasks_request::item::Resource;
use pb::import_tasks_request::{Conflict, Item as PbItem};

/// Imports of all users at once, on this replica: each holds its items in memory.
pub(super) const IMPORTS_MAX: usize = 8;
/// Most items of a call.
pub(super) const ITEMS_MAX: usize = 10_000;
/// Most bytes of its items.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// One item as it was read.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) line: i64,
    /// What it is about, where its name can be read.
    pub(super) subject: Option<Subject>,
    /// What is to be written, or why it is not.
    pub(super) write: Result<Write>,
    /// The place that it had.
    position: String,
    parent_task: Option<TaskId>,
}

/// A call as it comes in.
#[derive(Debug)]
pub(super) struct Import<'a> {
    caller: &'a Principal,
    pub(super) owner: Owner,
    pub(super) validate_only: bool,
    conflict: i32,
    overwrites: bool,
    bytes: usize,
    known: HashSet<Subject>,
    pub(super) items: Vec<Item>,
}

impl<'a> Import<'a> {
    /// What the first message says of all of them.
    pub(super) fn begin(caller: &'a Principal, first: &pb::ImportTasksRequest) -> Result<Self> {
        let mut fields = Fields::new(caller);
        let owner = fields.owner("parent", names::parse_user(&first.parent))?;
        let overwrites = match Conflict::try_from(first.conflict) {
            Ok(Conflict::Unspecified | Conflict::Keep) => Ok(false),
            Ok(Conflict::Overwrite) => Ok(true),
            Err(_) => Err(Rule::field("must be CONFLICT_KEEP, CONFLICT_OVERWRITE or unspecified")),
        };
        let overwrites = fields.check("conflict", overwrites);
        let (owner, overwrites) = fields.finish(owner.zip(overwrites))?;
        Ok(Self {
            caller,
            owner,
            validate_only: first.validate_only,
            conflict: first.conflict,
            overwrites,
            bytes: 0,
            known: HashSet::new(),
            items: Vec::new(),
        })
    }

    /// Takes the items of a message in.
    ///
    /// # Errors
    /// `Invalid` where the message does not belong to the first one, or the items are too many.
    pub(super) fn add(&mut self, message: pb::ImportTasksRequest) -> Result<()> {
        let mut fields = Fields::new(self.caller);
        if !message.parent.is_empty() {
            let parent = names::parse_user(&message.parent).and_then(|user| {
                let is_same = user.resolve(self.caller.user) == self.owner.user();
                if is_same { Ok(()) } else { Err(Rule::field("must be that of the first message, or empty")) }
            });
            fields.check("parent", parent);
        }
        let same = |is_same| match is_same {
            true => Ok(()),
            false => Err(Rule::field("must be as in the first message, or absent")),
        };
        fields.check("validate_only", same(!message.validate_only || self.validate_only));
        fields.check("conflict", same(message.conflict == 0 || message.conflict == self.conflict));
        self.bytes += message.encoded_len();
        let too_large = |text: String| Err(Rule::of(InvalidReason::BatchTooLarge, text));
        let size = if self.items.len() + message.items.len() > ITEMS_MAX {
            too_large(format!("must hold at most {ITEMS_MAX} items in all messages"))
        } else if self.bytes > BYTES_MAX {
            too_large(format!("must hold at most {} MiB in all messages", BYTES_MAX >> 20))
        } else {
            Ok(())
        };
        fields.check("items", size);
        fields.finish(Some(()))?;
        for item in message.items {
            let mut item = self.item(item);
            if let Some(subject) = item.subject
                && item.write.is_ok()
                && !self.known.insert(subject)
            {
                let field = if matches!(subject, Subject::Task(_)) { "task.name" } else { "task_list.name" };
                item.write = Err(broken(field, "must not stand in the import twice; the first one is taken"));
            }
            self.items.push(item);
        }
        Ok(())
    }

    fn item(&self, PbItem { line, resource }: PbItem) -> Item {
        match resource {
            Some(Resource::TaskList(list)) => self.list(line, list),
            Some(Resource::Task(task)) => self.task(line, task),
            None => {
                let write = Err(broken("resource", "must be a task_list or a task"));
                Item { line, subject: None, write, position: String::new(), parent_task: None }
            }
        }
    }

    fn list(&self, line: i64, list: pb::TaskList) -> Item {
        let mut fields = Fields::new(self.caller);
        let id = fields.check("task_list.name", names::parse_task_list(&list.name).map(|(_, id)| id));
        let title = fields.check("task_list.title", Title::parse(&list.title));
        let create_time = fields.check("task_list.create_time", time(list.create_time));
        let overwrites = self.overwrites;
        let write = id.zip(title).zip(create_time).map(|((id, title), create_time)| {
            let new = NewTaskList { id, title };
            Write::List(ListWrite::Import(ImportedList { new, create_time, overwrites }))
        });
        let write = match fields.finish(write) {
            Ok(_) if list.delete_time.is_some() => Err(Error::TaskListDeleted),
            write => write,
        };
        Item { line, subject: id.map(Subject::List), write, position: list.position, parent_task: None }
    }

    fn task(&self, line: i64, mut task: pb::Task) -> Item {
        let mut fields = Fields::new(self.caller);
        let id = fields.check("task.name", names::parse_task(&task.name).map(|(_, id)| id));
        // Whatever user stands in a name: it is taken in below this one.
        let user = self.owner.user();
        if let Ok((_, list)) = names::parse_task_list(&task.task_list) {
            task.task_list = names::task_list(user, list);
        }
        let parent_task = names::parse_task(&task.parent_task).ok().map(|(_, parent)| parent);
        if let Some(parent) = parent_task {
            task.parent_task = names::task_of(user, parent);
        }
        let next_task = match task.next_task.as_str() {
            "" => Some(None),
            next => fields.check("task.next_task", names::parse_task(next)).map(|(_, next)| Some(next)),
        };
        let create_time = fields.check("task.create_time", time(task.create_time));
        let complete_time = fields.check("task.complete_time", time(task.complete_time));
        let (position, is_deleted) = (std::mem::take(&mut task.position), task.delete_time.is_some());
        let text = id.map_or_else(String::new, |id: TaskId| id.to_string());
        let created = create(&mut fields, Some(self.owner), text, Some(task));
        let times = next_task.zip(create_time).zip(complete_time);
        let write = created.zip(times).and_then(|(created, ((next_task, create_time), complete_time))| {
            let TaskWrite::Create(new) = created else { return None };
            let new = NewTask { id_is_new: false, ..*new };
            let overwrites = self.overwrites;
            let imported = ImportedTask { new, create_time, complete_time, next_task, overwrites };
            Some(Write::Task(TaskWrite::Import(Box::new(imported))))
        });
        let write = match fields.finish(write) {
            Ok(_) if is_deleted => Err(Error::TaskDeleted),
            write => write,
        };
        Item { line, subject: id.map(Subject::Task), write, position, parent_task }
    }
}

/// One field that breaks a rule.
fn broken(field: &'static str, text: &'static str) -> Error {
    let mut violations = Violations::default();
    violations.add(Rule::field(text).at(field));
    match violations.finish() {
        Err(error) => error,
        Ok(()) => Error::Internal("a violation was lost".into()),
    }
}

/// Which items are written, in order: lists before tasks, each by its place, and a subtask behind its parent.
pub(super) fn order(items: &[Item]) -> Vec<usize> {
    let mut sorted: Vec<usize> = (0..items.len()).filter(|at| items[*at].write.is_ok()).collect();
    sorted.sort_by_key(|at| {
        let item = &items[*at];
        let is_task = !matches!(item.subject, Some(Subject::List(_)));
        (is_task, item.position.is_empty(), &item.position)
    });
    let id = |at: usize| match items[at].subject {
        Some(Subject::Task(id)) => Some(id),
        _ => None,
    };
    let in_call: HashSet<TaskId> = sorted.iter().filter_map(|at| id(*at)).collect();
    let mut waiting: HashMap<TaskId, Vec<usize>> = HashMap::new();
    let mut placed: HashSet<TaskId> = HashSet::new();
    let mut order = Vec::with_capacity(sorted.len());
    for at in sorted {
        let waits_for =
            items[at].parent_task.filter(|parent| in_call.contains(parent) && !placed.contains(parent));
        if let Some(parent) = waits_for {
            waiting.entry(parent).or_default().push(at);
            continue;
        }
        let mut next = vec![at];
        while let Some(at) = next.pop() {
            order.push(at);
            if let Some(id) = id(at) {
                placed.insert(id);
                // The last one is taken first.
                next.extend(waiting.remove(&id).into_iter().flatten().rev());
            }
        }
    }
    // Tasks below each other, which are refused.
    let mut left: Vec<usize> = waiting.into_values().flatten().collect();
    left.sort_unstable();
    order.extend(left);
    order
}

/// The name of what an item is about, below whoever takes it in.
pub(super) fn name(owner: Owner, subject: Option<Subject>) -> String {
    match subject {
        Some(Subject::Task(id)) => names::task_of(owner.user(), id),
        Some(Subject::List(id)) => names::task_list(owner.user(), id),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::TaskListId;

    fn item(subject: Subject, position: &str, parent_task: Option<TaskId>) -> Item {
        let write = Ok(Write::Task(TaskWrite::Purge { id: TaskId::generate() }));
        Item { line: 0, subject: Some(subject), write, position: position.to_owned(), parent_task }
    }

    #[test]
    fn lists_come_first_and_subtasks_behind_their_parents() {
        let [one, two, three, four] = [(); 4].map(|()| TaskId::generate());
        let elsewhere = TaskId::generate();
        let items = [
            item(Subject::Task(one), "b3", Some(two)),
            item(Subject::Task(two), "b5", None),
            item(Subject::Task(three), "", None),
            item(Subject::List(TaskListId::generate()), "b9", None),
            item(Subject::Task(four), "b4", Some(two)),
            item(Subject::List(TaskListId::generate()), "b8", None),
            item(Subject::Task(elsewhere), "b1", Some(TaskId::generate())),
        ];
        assert_eq!(order(&items), [5, 3, 6, 1, 0, 4, 2]);
    }

    #[test]
    fn tasks_below_each_other_come_last() {
        let [one, two, three] = [(); 3].map(|()| TaskId::generate());
        let items = [
            item(Subject::Task(one), "b1", Some(two)),
            item(Subject::Task(two), "b2", Some(one)),
            item(Subject::Task(three), "b3", None),
        ];
        assert_eq!(order(&items), [2, 0, 1]);
    }
}
