//! The order in which items are imported: lists and tasks before what refers to them, and subtasks one level deep.

use std::collections::{HashMap, VecDeque};

use uuid::Uuid;

use super::ids::{self, Kind};
use super::{Entry, Item, Read, Record};

/// What stands above each task that was read.
type Above = HashMap<Uuid, Option<Uuid>>;

/// Passes on what can be imported at once, and keeps the rest until what it refers to was read, or until the end.
pub(super) struct InOrder<I> {
    entries: I,
    above: Above,
    held: Vec<Item>,
    ready: VecDeque<Item>,
    is_over: bool,
}

/// Puts what was read into order.
pub(super) fn in_order<I: Iterator<Item = Read>>(entries: I) -> InOrder<I> {
    InOrder { entries, above: Above::new(), held: Vec::new(), ready: VecDeque::new(), is_over: false }
}

impl<I: Iterator<Item = Read>> Iterator for InOrder<I> {
    type Item = Read;

    fn next(&mut self) -> Option<Read> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(Ok(Entry::Item(item)));
            }
            if self.is_over {
                return None;
            }
            match self.entries.next() {
                Some(Ok(Entry::Item(item))) => {
                    if let Some(item) = self.place(item) {
                        return Some(Ok(Entry::Item(item)));
                    }
                }
                Some(other) => {
                    self.is_over = other.is_err();
                    return Some(other);
                }
                None => {
                    self.is_over = true;
                    self.release();
                }
            }
        }
    }
}

impl<I> InOrder<I> {
    /// The item, unless it has to wait.
    fn place(&mut self, item: Item) -> Option<Item> {
        let Record::Task(task) = &item.record else { return Some(item) };
        let (id, parent) = (id_of(&task.name), id_of(&task.parent_task));
        if let Some(id) = id {
            self.above.insert(id, parent);
        }
        let Some(parent) = parent else { return Some(item) };
        // Only where the one above is known to stand at the top nothing can change any more.
        if self.above.get(&parent) == Some(&None) {
            return Some(item);
        }
        self.held.push(item);
        None
    }

    /// What had to wait, each below a task that has none above it.
    fn release(&mut self) {
        for mut item in std::mem::take(&mut self.held) {
            if let Record::Task(task) = &mut item.record {
                let parent = id_of(&task.parent_task);
                let top = top(&self.above, id_of(&task.name), parent);
                if top.is_none() {
                    item.notes.push("parent_task: left out, since the tasks stand in a ring".to_owned());
                    task.parent_task.clear();
                } else if top != parent {
                    item.notes.push(
                        "parent_task: subtasks are one level deep; it is below the task at the top"
                            .to_owned(),
                    );
                    task.parent_task = top.map(|top| ids::name(Kind::Task, top)).unwrap_or_default();
                }
            }
            self.ready.push_back(item);
        }
        // Those that were in a ring are above others now.
        self.ready.make_contiguous().sort_by_key(|item| match &item.record {
            Record::Task(task) => !task.parent_task.is_empty(),
            Record::TaskList(_) => false,
        });
    }
}

/// The task that stands above all others over this one; none where they stand in a ring.
fn top(above: &Above, id: Option<Uuid>, parent: Option<Uuid>) -> Option<Uuid> {
    let mut at = parent?;
    // No way up is longer than there are tasks.
    for _ in 0..=above.len() {
        if Some(at) == id {
            return None;
        }
        match above.get(&at) {
            Some(Some(next)) => at = *next,
            _ => return Some(at),
        }
    }
    None
}

fn id_of(name: &str) -> Option<Uuid> {
    ids::uuid(ids::id_of(name))
}
