//! CSV (RFC 4180): a list or a task in each row, in columns that a spreadsheet shows as well.
//!
//! A cell that a spreadsheet would take for a formula begins with an apostrophe in the file, which makes it a text there. It is taken
//! off when the file is read, so that nothing is lost.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::io::BufRead;

use csv::WriterBuilder;
use uuid::Uuid;

use super::ids::{self, Kind, id_of};
use super::table::{Broken, Row, Rows};
use super::{Entry, Item, Options, Read, Record, Refused, Unreadable, Writer, fit, times};
use crate::pb::recurrence::Basis;
use crate::pb::{Priority, Recurrence, Reminder, Task, TaskList, reminder};

/// The columns, in the order in which they are written. Read in any order; only `title` must be there.
const COLUMNS: [&str; 20] = [
    "kind",
    "id",
    "title",
    "description",
    "completed",
    "complete_time",
    "priority",
    "due_date",
    "due_time",
    "start_time",
    "time_zone",
    "recurrence",
    "recurrence_basis",
    "reminders",
    "labels",
    "annotations",
    "list",
    "parent",
    "create_time",
    "update_time",
];

/// Writes CSV.
#[derive(Debug, Default)]
pub struct Csv {
    lists: HashMap<String, String>,
}

impl Csv {
    /// A file with nothing in it yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn row(&self, cells: &HashMap<&str, String>) -> Vec<u8> {
        let cells = COLUMNS.map(|column| guarded(cells.get(column).map(String::as_str).unwrap_or_default()));
        row(&cells)
    }
}

/// Cells as a row, quoted where they must be.
fn row<Cell: AsRef<[u8]>>(cells: &[Cell]) -> Vec<u8> {
    let mut writer = WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    // Writing to memory does not fail.
    let _ = writer.write_record(cells);
    writer.into_inner().unwrap_or_default()
}

impl Writer for Csv {
    fn begin(&mut self) -> Vec<u8> {
        row(&COLUMNS)
    }

    fn list(&mut self, list: &TaskList) -> Vec<u8> {
        let id = id_of(&list.name).to_owned();
        let mut cells =
            HashMap::from([("kind", "list".to_owned()), ("id", id.clone()), ("title", list.title.clone())]);
        times_of(&mut cells, &[("create_time", &list.create_time), ("update_time", &list.update_time)]);
        self.lists.insert(id, list.title.clone());
        self.row(&cells)
    }

    fn task(&mut self, task: &Task) -> Vec<u8> {
        let mut cells = HashMap::from([
            ("kind", "task".to_owned()),
            ("id", id_of(&task.name).to_owned()),
            ("title", task.title.clone()),
            ("description", described(task.description.as_deref())),
            ("completed", task.completed.to_string()),
            ("priority", priority(task.priority()).to_owned()),
            ("due_date", task.due_date.as_ref().map(times::to_iso).unwrap_or_default()),
            ("time_zone", task.time_zone.clone()),
            ("labels", joined(&task.labels)),
            ("list", id_of(&task.task_list).to_owned()),
            ("parent", id_of(&task.parent_task).to_owned()),
            ("reminders", task.reminders.iter().filter_map(remind).collect::<Vec<_>>().join(" ")),
        ]);
        if let Some(recurrence) = &task.recurrence {
            cells.insert("recurrence", recurrence.rrule.clone());
            let basis = if recurrence.basis() == Basis::Completion { "completion" } else { "due" };
            cells.insert("recurrence_basis", basis.to_owned());
        }
        if !task.annotations.is_empty() {
            cells.insert("annotations", serde_json::to_string(&task.annotations).unwrap_or_default());
        }
        let all = [
            ("complete_time", &task.complete_time),
            ("due_time", &task.due_time),
            ("start_time", &task.start_time),
            ("create_time", &task.create_time),
            ("update_time", &task.update_time),
        ];
        times_of(&mut cells, &all);
        self.row(&cells)
    }

    fn end(&mut self) -> Vec<u8> {
        Vec::new()
    }
}

fn times_of(cells: &mut HashMap<&str, String>, times: &[(&'static str, &Option<prost_types::Timestamp>)]) {
    for (column, time) in times {
        if let Some(time) = time {
            cells.insert(column, times::to_rfc3339(time));
        }
    }
}

const fn priority(priority: Priority) -> &'static str {
    match priority {
        Priority::Unspecified => "",
        Priority::Low => "low",
        Priority::Medium => "medium",
        Priority::High => "high",
    }
}

/// An empty description is another one than none: an apostrophe alone stands for it, as for an empty text.
fn described(description: Option<&str>) -> String {
    match description {
        Some("") => "'".to_owned(),
        Some(text) if text.bytes().all(|byte| byte == b'\'') => format!("'{text}"),
        Some(text) => text.to_owned(),
        None => String::new(),
    }
}

fn remind(reminder: &Reminder) -> Option<String> {
    Some(match reminder.when.as_ref()? {
        reminder::When::Offset(offset) => {
            let micros = offset.nanos / 1000;
            let fraction = if micros == 0 { String::new() } else { format!(".{micros:06}") };
            format!("{}{fraction}s", offset.seconds)
        }
        reminder::When::Time(time) => times::to_rfc3339(time),
    })
}

/// Texts with commas between them; a backslash stands before commas, backslashes and blanks at an end that are theirs.
fn joined(texts: &[String]) -> String {
    let escaped = texts.iter().map(|text| {
        let last = text.chars().count().saturating_sub(1);
        let mut escaped = String::new();
        for (at, char) in text.chars().enumerate() {
            if matches!(char, ',' | '\\') || (char == ' ' && (at == 0 || at == last)) {
                escaped.push('\\');
            }
            escaped.push(char);
        }
        escaped
    });
    escaped.collect::<Vec<_>>().join(", ")
}

fn split(text: &str) -> Vec<String> {
    let (mut texts, mut one, mut kept) = (Vec::new(), String::new(), 0);
    let mut push = |one: &mut String, kept: &mut usize| {
        // What was escaped is no blank at an end.
        let end = one.trim_end_matches(' ').len().max(*kept);
        one.truncate(end);
        texts.push(std::mem::take(one));
        *kept = 0;
    };
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            ',' => push(&mut one, &mut kept),
            '\\' => {
                one.push(chars.next().unwrap_or('\\'));
                kept = one.len();
            }
            ' ' if one.is_empty() => {}
            _ => one.push(char),
        }
    }
    push(&mut one, &mut kept);
    texts.retain(|text| !text.is_empty());
    texts
}

/// Whether a spreadsheet takes a cell for a formula, or what stands for one here.
fn is_formula(text: &str) -> bool {
    let behind = text.trim_start_matches('\'');
    behind.starts_with(['=', '+', '-', '@', '\t', '\r'])
}

fn guarded(text: &str) -> String {
    if is_formula(text) { format!("'{text}") } else { text.to_owned() }
}

fn unguarded(text: &str) -> &str {
    text.strip_prefix('\'').filter(|_| is_formula(text)).unwrap_or(text)
}

/// Reads CSV.
pub(super) fn read<'a>(
    input: impl BufRead + Send + 'a,
    options: &'a Options,
) -> impl Iterator<Item = Read> + Send + 'a {
    let mut rows = Rows::new(input);
    let mut is_over = false;
    let mut known = Known::default();
    let mut ready: VecDeque<Entry> = VecDeque::new();
    std::iter::from_fn(move || {
        loop {
            if let Some(entry) = ready.pop_front() {
                return Some(Ok(entry));
            }
            if is_over {
                return None;
            }
            match rows.next() {
                Ok(Some(_)) if !rows.has("title") => {
                    is_over = true;
                    let text = "must begin with a row of column names, with `title` among them: it is no CSV of tasks";
                    return Some(Err(Unreadable::format(text)));
                }
                Ok(Some(row)) => match entry(&row, &mut known, options) {
                    Ok(items) => ready.extend(items.into_iter().map(Entry::Item)),
                    Err(refused) => return Some(Ok(Entry::Refused(refused))),
                },
                Ok(None) => is_over = true,
                Err(Broken::Row(refused)) => return Some(Ok(Entry::Refused(refused))),
                Err(Broken::File(error)) => {
                    is_over = true;
                    return Some(Err(error));
                }
            }
        }
    })
}

/// A row as what it holds: a task, or a list; before a task the list that it names by a title alone.
fn entry(row: &Row, known: &mut Known, options: &Options) -> Result<Vec<Item>, Refused> {
    let cell = |column: &str| unguarded(row.cell(column)).to_owned();
    let mut notes = Vec::new();
    let mut items = Vec::new();
    let kind = cell("kind").trim().to_ascii_lowercase();
    let record = match kind.as_str() {
        "list" => {
            let id = known.id(row, Kind::List, &cell("title"));
            let list = TaskList {
                name: ids::name(Kind::List, id),
                title: cell("title"),
                create_time: time(row, "create_time")?,
                update_time: time(row, "update_time")?,
                ..TaskList::default()
            };
            Record::TaskList(fit::list(list, &mut notes).map_err(|(field, rule)| row.refused(field, &rule))?)
        }
        "task" | "" => {
            let mut task = task(row, known, options)?;
            let list = cell("list");
            if !list.trim().is_empty() {
                let by_id = ids::uuid(list.trim());
                let id = by_id.unwrap_or_else(|| ids::derived("csv", Kind::List, list.trim()));
                task.task_list = ids::name(Kind::List, id);
                if by_id.is_none() && known.lists.insert(id) {
                    let new = TaskList { name: task.task_list.clone(), title: list, ..TaskList::default() };
                    let new = fit::list(new, &mut notes).map_err(|(_, rule)| row.refused("list", &rule))?;
                    items.push(Item { line: row.line, record: Record::TaskList(new), notes: Vec::new() });
                }
            }
            let task = fit::task(task, &mut notes).map_err(|(field, rule)| row.refused(field, &rule))?;
            Record::Task(Box::new(task))
        }
        _ => return Err(row.refused("kind", "must be task or list")),
    };
    items.push(Item { line: row.line, record, notes });
    Ok(items)
}

/// What the rows before said.
#[derive(Default)]
struct Known {
    /// Lists that were named by their titles.
    lists: HashSet<Uuid>,
    counts: HashMap<String, u64>,
}

impl Known {
    /// The id of a row. Without one it is that of what the row is called and its number among those that are called the same, so that the
    /// same row is the same task each time.
    fn id(&mut self, row: &Row, kind: Kind, called: &str) -> Uuid {
        let given = row.cell("id").trim();
        if !given.is_empty() {
            return ids::taken_or_derived("csv", kind, given);
        }
        let count = self.counts.entry(format!("{kind:?}\0{called}")).or_default();
        let id = ids::derived("csv", kind, &format!("{called}\0{count}"));
        *count += 1;
        id
    }
}

fn task(row: &Row, known: &mut Known, options: &Options) -> Result<Task, Refused> {
    let cell = |column: &str| unguarded(row.cell(column)).to_owned();
    let content = format!("{}\0{}", cell("list"), cell("title"));
    let name = ids::name(Kind::Task, known.id(row, Kind::Task, &content));
    let parent = row.cell("parent").trim();
    let due_date = match row.cell("due_date").trim() {
        "" => None,
        text => Some(
            times::iso(text).ok_or_else(|| row.refused("due_date", "must be a day such as 2026-12-31"))?,
        ),
    };
    let zone = cell("time_zone").trim().to_owned();
    let rrule = cell("recurrence").trim().to_owned();
    let recurrence = (!rrule.is_empty()).then(|| {
        let is_after = row.cell("recurrence_basis").trim().eq_ignore_ascii_case("completion");
        let basis = if is_after { Basis::Completion } else { Basis::Due };
        Recurrence { rrule, basis: basis.into() }
    });
    let has_own_days =
        zone.is_empty() && row.cell("id").trim().is_empty() && (due_date.is_some() || recurrence.is_some());
    let description = match cell("description").as_str() {
        "" => None,
        text if text.bytes().all(|byte| byte == b'\'') => text.get(1..).map(str::to_owned),
        text => Some(text.to_owned()),
    };
    Ok(Task {
        name,
        title: cell("title"),
        description,
        completed: completed(row)?,
        complete_time: time(row, "complete_time")?,
        priority: of_priority(row)?.into(),
        due_date,
        due_time: time(row, "due_time")?,
        start_time: time(row, "start_time")?,
        // What a person typed is meant where that person is; what was exported says it.
        time_zone: if has_own_days { options.zone.clone().unwrap_or_default() } else { zone },
        recurrence,
        reminders: reminders(row)?,
        labels: split(&cell("labels")),
        annotations: annotations(row, &cell("annotations"))?,
        parent_task: if parent.is_empty() {
            String::new()
        } else {
            ids::name(Kind::Task, ids::taken_or_derived("csv", Kind::Task, parent))
        },
        create_time: time(row, "create_time")?,
        update_time: time(row, "update_time")?,
        ..Task::default()
    })
}

fn time(row: &Row, column: &str) -> Result<Option<prost_types::Timestamp>, Refused> {
    match row.cell(column).trim() {
        "" => Ok(None),
        text => match times::rfc3339(text) {
            Some(time) => Ok(Some(time)),
            None => Err(row.refused(column, "must be a time such as 2026-12-31T22:59:59Z")),
        },
    }
}

fn completed(row: &Row) -> Result<bool, Refused> {
    match row.cell("completed").trim().to_ascii_lowercase().as_str() {
        "" | "false" | "no" | "0" => Ok(false),
        "true" | "yes" | "1" => Ok(true),
        _ => Err(row.refused("completed", "must be true or false")),
    }
}

fn of_priority(row: &Row) -> Result<Priority, Refused> {
    match row.cell("priority").trim().to_ascii_lowercase().as_str() {
        "" => Ok(Priority::Unspecified),
        "low" => Ok(Priority::Low),
        "medium" => Ok(Priority::Medium),
        "high" => Ok(Priority::High),
        _ => Err(row.refused("priority", "must be low, medium or high")),
    }
}

fn reminders(row: &Row) -> Result<Vec<Reminder>, Refused> {
    let read = |text: &str| {
        let offset = text.strip_suffix('s').and_then(|seconds| {
            let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
            let digits = fraction.len() <= 9 && fraction.bytes().all(|byte| byte.is_ascii_digit());
            let nanos = digits.then(|| format!("{fraction:0<9}").parse().ok()).flatten()?;
            Some(prost_types::Duration { seconds: whole.parse().ok()?, nanos })
        });
        let when =
            offset.map(reminder::When::Offset).or_else(|| times::rfc3339(text).map(reminder::When::Time));
        when.map(|when| Reminder { when: Some(when) })
    };
    let all: Option<Vec<Reminder>> = row.cell("reminders").split_whitespace().map(read).collect();
    all.ok_or_else(|| row.refused("reminders", "must be times, or seconds before the due such as 3600s"))
}

fn annotations(row: &Row, text: &str) -> Result<BTreeMap<String, String>, Refused> {
    if text.trim().is_empty() {
        return Ok(BTreeMap::new());
    }
    serde_json::from_str(text).map_err(|_| row.refused("annotations", "must be a JSON object of texts"))
}
