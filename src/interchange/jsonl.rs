//! JSON Lines: a list or a task in each line, as messages of the contract. What the service exports of an account is read too, and
//! what `taskwire task list` prints.

use std::io::BufRead;

use serde_json::Value;
use serde_json::value::RawValue;

use super::ids::{self, Kind};
use super::json::{self, Contract};
use super::lines::{Line, Lines};
use super::{Entry, Item, Read, Record, Refused, Unreadable, Writer};
use crate::pb::{Task, TaskList};

/// What this program writes at the beginning of a file.
const FORMAT: &str = r#"{"export":{"format":"taskwire-tasks","version":1}}"#;

/// Writes JSON Lines.
#[derive(Debug)]
pub struct JsonLines {
    contract: Contract,
    lists: u64,
    tasks: u64,
}

impl JsonLines {
    /// A file with nothing in it yet.
    pub fn new() -> Self {
        Self { contract: Contract::new(), lists: 0, tasks: 0 }
    }
}

impl Default for JsonLines {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer for JsonLines {
    fn begin(&mut self) -> Vec<u8> {
        format!("{FORMAT}\n").into_bytes()
    }

    fn list(&mut self, list: &TaskList) -> Vec<u8> {
        self.lists += 1;
        format!("{{\"taskList\":{}}}\n", self.contract.write(json::Kind::List, list)).into_bytes()
    }

    fn task(&mut self, task: &Task) -> Vec<u8> {
        self.tasks += 1;
        format!("{{\"task\":{}}}\n", self.contract.write(json::Kind::Task, task)).into_bytes()
    }

    fn end(&mut self) -> Vec<u8> {
        let Self { lists, tasks, .. } = self;
        format!("{{\"end\":{{\"taskLists\":{lists},\"tasks\":{tasks}}}}}\n").into_bytes()
    }
}

/// Reads JSON Lines.
pub(super) fn read(input: impl BufRead + Send) -> impl Iterator<Item = Read> + Send {
    let mut reader = Reader { contract: Contract::new(), has_begun: false, has_ended: false, last: 0 };
    let mut lines = Lines::new(input);
    let mut is_over = false;
    std::iter::from_fn(move || {
        loop {
            if is_over {
                return None;
            }
            match lines.next() {
                Some(Ok(line)) => {
                    if let Some(entry) = reader.line(line) {
                        return Some(Ok(entry));
                    }
                }
                Some(Err(error)) => {
                    is_over = true;
                    return Some(Err(error));
                }
                None => {
                    is_over = true;
                    return reader.finish().map(Ok::<_, Unreadable>);
                }
            }
        }
    })
}

struct Reader {
    contract: Contract,
    has_begun: bool,
    has_ended: bool,
    last: u64,
}

impl Reader {
    fn line(&mut self, line: Line) -> Option<Entry> {
        let number = line.number;
        self.last = number;
        let refused = |field: &str, rule: String| {
            Some(Entry::Refused(Refused { line: number, field: field.to_owned(), rule }))
        };
        let text = match line.text {
            Ok(text) => text,
            Err(rule) => return refused("", rule.to_owned()),
        };
        if text.trim().is_empty() {
            return None;
        }
        let keys: std::collections::BTreeMap<String, &RawValue> = match serde_json::from_str(&text) {
            Ok(keys) => keys,
            Err(error) => return refused("", format!("must be a JSON object on one line: {error}")),
        };
        let only = (keys.len() == 1).then(|| keys.iter().next()).flatten();
        let read = match only.map(|(key, value)| (key.as_str(), value.get())) {
            Some(("task", value)) => self.task(value),
            Some(("taskList" | "task_list", value)) => self.list(value),
            Some(("export", _)) => {
                self.has_begun = true;
                return None;
            }
            Some(("end", _)) => {
                self.has_ended = true;
                return None;
            }
            Some((key, value))
                if serde_json::from_str::<Value>(value).is_ok_and(|value| value.is_object()) =>
            {
                return Some(Entry::LeftOut { line: number, what: key.to_owned() });
            }
            // What stands alone in a line is a task, or a list by its name.
            _ if keys.get("name").is_some_and(|name| name.get().contains("/taskLists/")) => self.list(&text),
            _ => self.task(&text),
        };
        match read {
            Ok(record) => Some(Entry::Item(Item { line: number, record, notes: Vec::new() })),
            Err((field, rule)) => refused(field, rule),
        }
    }

    fn task(&self, text: &str) -> Result<Record, (&'static str, String)> {
        let mut task: Task = self.contract.read(json::Kind::Task, text).map_err(|rule| ("task", rule))?;
        task.name = own("name", Kind::Task, &task.name)?;
        for (field, kind, name) in
            [("taskList", Kind::List, &mut task.task_list), ("parentTask", Kind::Task, &mut task.parent_task)]
        {
            if !name.is_empty() {
                *name = own(field, kind, name)?;
            }
        }
        Ok(Record::Task(Box::new(task)))
    }

    fn list(&self, text: &str) -> Result<Record, (&'static str, String)> {
        let mut list: TaskList =
            self.contract.read(json::Kind::List, text).map_err(|rule| ("taskList", rule))?;
        list.name = own("name", Kind::List, &list.name)?;
        Ok(Record::TaskList(list))
    }

    /// A file that says that it is whole has an end.
    fn finish(&self) -> Option<Entry> {
        let rule = "must stand at the end: the file is cut, and what is missing was not read".to_owned();
        let refused = Refused { line: self.last + 1, field: "end".to_owned(), rule };
        (self.has_begun && !self.has_ended).then_some(Entry::Refused(refused))
    }
}

/// The same thing of the caller.
fn own(field: &'static str, kind: Kind, name: &str) -> Result<String, (&'static str, String)> {
    let form = match kind {
        Kind::Task => "users/{user}/tasks/{task}",
        Kind::List => "users/{user}/taskLists/{task_list}",
    };
    let id = ids::uuid(ids::id_of(name)).map(|id| ids::name(kind, id));
    let is_of_form = |own: &String| {
        let parts: Vec<&str> = name.split('/').collect();
        parts.len() == 1 || (parts.len() == 4 && own.split('/').nth(2) == parts.get(2).copied())
    };
    id.filter(is_of_form).ok_or_else(|| (field, format!("must be a name of the form {form} with UUIDs")))
}
