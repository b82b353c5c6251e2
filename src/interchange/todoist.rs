//! Todoist: a project as CSV. It has no ids: a task is known by its project, its section, the tasks above it and its words, and by its
//! number among those of which all this is the same.

use std::collections::{HashMap, VecDeque};
use std::io::BufRead;

use super::fit::shown;
use super::ids::{self, Kind};
use super::table::{Broken, Row, Rows};
use super::{Entry, Item, Options, Read, Record, Refused, Unreadable, fit, spoken_dates, times};
use crate::pb::recurrence::Basis;
use crate::pb::{Priority, Recurrence, Task, TaskList};

const PRODUCT: &str = "todoist";
/// Where a task keeps the section in which it was, and the day by which it must be done.
const SECTION: &str = "todoist/section";
const DEADLINE: &str = "todoist/deadline";

/// Reads a project.
pub(super) fn read<'a>(
    input: impl BufRead + Send + 'a,
    options: &'a Options,
) -> impl Iterator<Item = Read> + Send + 'a {
    let mut rows = Rows::new(input);
    let mut reader = Reader {
        options,
        list: String::new(),
        section: String::new(),
        above: Vec::new(),
        counts: HashMap::new(),
        last: None,
        ready: VecDeque::new(),
    };
    let (mut has_begun, mut is_over) = (false, false);
    std::iter::from_fn(move || {
        loop {
            if let Some(entry) = reader.ready.pop_front() {
                return Some(Ok(entry));
            }
            if is_over {
                return None;
            }
            match rows.next() {
                Ok(Some(_)) if !(rows.has("TYPE") && rows.has("CONTENT")) => {
                    is_over = true;
                    let text = "is no project of Todoist: it must begin with a row of column names, with TYPE and CONTENT among them";
                    return Some(Err(Unreadable::format(text)));
                }
                Ok(Some(row)) => {
                    if !std::mem::replace(&mut has_begun, true) {
                        reader.project(row.line);
                    }
                    reader.row(&row);
                }
                Ok(None) => {
                    is_over = true;
                    reader.release();
                }
                Err(Broken::Row(refused)) => return Some(Ok(Entry::Refused(refused))),
                Err(Broken::File(error)) => {
                    is_over = true;
                    return Some(Err(error));
                }
            }
        }
    })
}

struct Reader<'a> {
    options: &'a Options,
    /// The name of the list that the project is.
    list: String,
    section: String,
    /// The tasks above the next one, each with its path.
    above: Vec<(String, String)>,
    counts: HashMap<String, u64>,
    /// The last task, which notes may follow.
    last: Option<(u64, Task, Vec<String>)>,
    ready: VecDeque<Entry>,
}

impl Reader<'_> {
    /// The project is a list, if it is known what it is called.
    fn project(&mut self, line: u64) {
        let Some(title) = &self.options.project else { return };
        let name = ids::name(Kind::List, ids::derived(PRODUCT, Kind::List, title));
        let mut notes = Vec::new();
        let list = TaskList { name: name.clone(), title: title.clone(), ..TaskList::default() };
        if let Ok(list) = fit::list(list, &mut notes) {
            self.list = name;
            self.ready.push_back(Entry::Item(Item { line, record: Record::TaskList(list), notes }));
        }
    }

    fn row(&mut self, row: &Row) {
        match row.cell("TYPE").trim() {
            "task" => {
                self.release();
                match self.task(row) {
                    Ok(task) => self.last = Some(task),
                    Err(refused) => self.ready.push_back(Entry::Refused(refused)),
                }
            }
            "section" => {
                self.release();
                row.cell("CONTENT").trim().clone_into(&mut self.section);
                self.above.clear();
                let what = format!(
                    "the section {}: its tasks have it as the annotation {SECTION}",
                    shown(&self.section)
                );
                self.ready.push_back(Entry::LeftOut { line: row.line, what });
            }
            "note" => self.note(row),
            "meta" => {}
            _ => {
                self.release();
                self.ready.push_back(Entry::Refused(row.refused("TYPE", "must be task, section or note")));
            }
        }
    }

    /// A note is more of the task before it.
    fn note(&mut self, row: &Row) {
        let text = row.cell("CONTENT").trim();
        match &mut self.last {
            None => self
                .ready
                .push_back(Entry::LeftOut { line: row.line, what: "a note without a task".to_owned() }),
            Some((_, _, notes)) if text.starts_with("[[file") => {
                notes.push("note: a file was left out".to_owned())
            }
            Some((_, task, _)) => {
                let before =
                    task.description.take().map(|before| format!("{before}\n\n")).unwrap_or_default();
                task.description = Some(format!("{before}{text}"));
            }
        }
    }

    /// Passes the last task on: no more notes follow it.
    fn release(&mut self) {
        let Some((line, task, mut notes)) = self.last.take() else { return };
        self.ready.push_back(match fit::task(task, &mut notes) {
            Ok(task) => Entry::Item(Item { line, record: Record::Task(Box::new(task)), notes }),
            Err((field, rule)) => {
                let field = if field == "title" { "CONTENT" } else { field };
                Entry::Refused(Refused { line, field: field.to_owned(), rule })
            }
        });
    }

    fn task(&mut self, row: &Row) -> Result<(u64, Task, Vec<String>), Refused> {
        let mut notes = Vec::new();
        let content = row.cell("CONTENT").trim();
        let (title, labels) = labelled(content);
        let indent = match row.cell("INDENT").trim() {
            "" => 1,
            text => match text.parse::<usize>() {
                Ok(indent @ 1..=20) => indent,
                _ => return Err(row.refused("INDENT", "must be a number from 1")),
            },
        };
        let priority = priority(row, &mut notes)?;
        // One that is further in than the one before allows is below that.
        self.above.truncate(indent - 1);
        let parent = self.above.last().cloned();
        let project = self.options.project.as_deref().unwrap_or_default();
        let path = match &parent {
            Some((_, path)) => format!("{path}\0{content}"),
            None => format!("{project}\0{}\0{content}", self.section),
        };
        let count = self.counts.entry(path.clone()).or_default();
        let path = format!("{path}\0{count}");
        *count += 1;
        let name = ids::name(Kind::Task, ids::derived(PRODUCT, Kind::Task, &path));
        self.above.push((name.clone(), path));
        let description = row.cell("DESCRIPTION");
        let mut task = Task {
            name,
            title,
            description: (!description.trim().is_empty()).then(|| description.to_owned()),
            priority: priority.into(),
            labels,
            task_list: self.list.clone(),
            parent_task: parent.map(|(name, _)| name).unwrap_or_default(),
            ..Task::default()
        };
        if !self.section.is_empty() {
            task.annotations.insert(SECTION.to_owned(), self.section.clone());
        }
        self.when(row, &mut task, &mut notes);
        for field in ["RESPONSIBLE", "DURATION"] {
            let cell = row.cell(field).trim();
            if !cell.is_empty() && cell != "None" {
                notes.push(format!("{field}: left out"));
            }
        }
        Ok((row.line, task, notes))
    }

    fn when(&self, row: &Row, task: &mut Task, notes: &mut Vec<String>) {
        let said = |column: &str| Some(row.cell(column).trim()).filter(|text| !text.is_empty());
        let deadline = said("DEADLINE");
        let (column, text) = match (said("DATE"), deadline) {
            (Some(date), Some(deadline)) => {
                task.annotations.insert(DEADLINE.to_owned(), deadline.to_owned());
                notes.push(format!("DEADLINE: kept as the annotation {DEADLINE}"));
                ("DATE", date)
            }
            (Some(date), None) => ("DATE", date),
            (None, Some(deadline)) => ("DEADLINE", deadline),
            (None, None) => return,
        };
        let Some(spoken) = spoken_dates::parse(text, self.options.today) else {
            notes.push(format!("{column}: {} is not understood, and was left out", shown(text)));
            return;
        };
        let here = self.options.zone.clone().unwrap_or_default();
        let zone = match said("TIMEZONE") {
            None => here,
            Some(named) => times::zone_named(named).unwrap_or_else(|| {
                notes.push(format!("TIMEZONE: {} is not known, and was left out", shown(named)));
                here
            }),
        };
        match spoken.time {
            Some(time) => task.due_time = times::at(spoken.date.to_datetime(time), &zone),
            None => task.due_date = Some(times::day(spoken.date)),
        }
        task.time_zone = zone;
        task.recurrence = spoken.rule.map(|(rrule, is_after_done)| {
            let basis = if is_after_done { Basis::Completion } else { Basis::Due };
            Recurrence { rrule, basis: basis.into() }
        });
    }
}

/// From 1, the highest, to 4, which is none. The second of four is high here too, and the third medium as those without one.
fn priority(row: &Row, notes: &mut Vec<String>) -> Result<Priority, Refused> {
    match row.cell("PRIORITY").trim() {
        "1" => Ok(Priority::High),
        "2" => {
            notes.push("PRIORITY: 2 became high".to_owned());
            Ok(Priority::High)
        }
        "3" => {
            notes.push("PRIORITY: 3 became medium".to_owned());
            Ok(Priority::Medium)
        }
        "" | "4" => Ok(Priority::Unspecified),
        _ => Err(row.refused("PRIORITY", "must be a number from 1 to 4")),
    }
}

/// The words of a task without its labels, and those: words that begin with `@`.
fn labelled(content: &str) -> (String, Vec<String>) {
    let is_label = |word: &&str| word.len() > 1 && word.starts_with('@');
    let labels: Vec<String> =
        content.split_whitespace().filter(is_label).map(|word| word[1..].to_owned()).collect();
    if labels.is_empty() {
        return (content.to_owned(), labels);
    }
    let rest: Vec<&str> = content.split_whitespace().filter(|word| !is_label(word)).collect();
    // A task that is nothing but labels is called by them.
    if rest.is_empty() { (content.to_owned(), labels) } else { (rest.join(" "), labels) }
}
