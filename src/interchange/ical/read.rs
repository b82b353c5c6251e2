//! Reading iCalendar: which lines belong to which task, and what is broken.

use std::collections::{HashSet, VecDeque};
use std::io::BufRead;

use uuid::Uuid;

use super::PRODUCT;
use super::lines::{Content, Contents, property};
use super::todo::{self, Lines, Source};
use crate::interchange::ids::{self, Kind};
use crate::interchange::{Entry, Item, Options, Read, Record, Refused, fit};
use crate::pb::TaskList;

/// Most lines of one task, more than any program writes.
const LINES_MAX: usize = 10_000;
/// Most bytes of one task.
const BYTES_MAX: usize = 1 << 20;

/// Reads a stream of iCalendar.
pub(in crate::interchange) fn read<'a>(
    input: impl BufRead + Send + 'a,
    options: &'a Options,
) -> impl Iterator<Item = Read> + Send + 'a {
    let mut reader = Reader {
        options,
        open: Vec::new(),
        lines: Lines::default(),
        broken: None,
        bytes: 0,
        is_own: false,
        list: None,
        told: HashSet::new(),
        ready: VecDeque::new(),
        last: 0,
    };
    let mut contents = Contents::new(input);
    let mut is_over = false;
    std::iter::from_fn(move || {
        loop {
            if let Some(entry) = reader.ready.pop_front() {
                return Some(Ok(entry));
            }
            if is_over {
                return None;
            }
            match contents.next() {
                Some(Ok(content)) => reader.content(content),
                Some(Err(error)) => {
                    is_over = true;
                    return Some(Err(error));
                }
                None => {
                    is_over = true;
                    reader.finish();
                }
            }
        }
    })
}

struct Reader<'a> {
    options: &'a Options,
    /// The components that are open, from the outermost, with the lines at which they begin.
    open: Vec<(String, u64)>,
    /// The lines of the task that is open.
    lines: Lines,
    broken: Option<Refused>,
    bytes: usize,
    /// Whether this program wrote the calendar: then its name is that of no list.
    is_own: bool,
    /// The list that the calendar is, and what it is called.
    list: Option<(Uuid, String)>,
    /// Lists that were told already.
    told: HashSet<Uuid>,
    ready: VecDeque<Entry>,
    last: u64,
}

impl Reader<'_> {
    fn content(&mut self, content: Content) {
        let Content { number, text } = content;
        self.last = number;
        let text = match text {
            Ok(text) if text.trim().is_empty() => return,
            Ok(text) => text,
            Err(rule) => return self.refuse(number, "", rule),
        };
        let (name, value) = text.split_once(':').unwrap_or((text.as_str(), ""));
        match name.trim().to_ascii_uppercase().as_str() {
            "BEGIN" => self.begin(value.trim().to_ascii_uppercase(), number),
            "END" => self.end(&value.trim().to_ascii_uppercase(), number),
            _ => self.line(number, text),
        }
    }

    /// What is wrong with a line is wrong with the task in which it stands.
    fn refuse(&mut self, line: u64, field: &str, rule: &str) {
        let refused = Refused { line, field: field.to_owned(), rule: rule.to_owned() };
        if self.in_task() {
            self.broken.get_or_insert(refused);
        } else {
            self.ready.push_back(Entry::Refused(refused));
        }
    }

    fn in_task(&self) -> bool {
        self.open.iter().any(|(name, _)| name == "VTODO")
    }

    fn begin(&mut self, name: String, number: u64) {
        /// Deeper ones are none of a calendar.
        const DEEP: usize = 16;
        match name.as_str() {
            "VTODO" if self.in_task() => {
                // The one before was never ended.
                self.refuse(number, "END", "must end a VTODO before another one begins");
                self.close();
            }
            "VALARM" if self.in_task() => self.lines.alarms.push(Vec::new()),
            "VCALENDAR" => (self.is_own, self.list) = (false, None),
            "VTODO" | "VTIMEZONE" | "STANDARD" | "DAYLIGHT" => {}
            other if !self.in_task() => {
                self.ready.push_back(Entry::LeftOut { line: number, what: fit::shown(other) });
            }
            _ => {}
        }
        if self.open.len() < DEEP {
            self.open.push((name, number));
        } else {
            self.refuse(number, "BEGIN", "must not be that deep");
        }
    }

    fn end(&mut self, name: &str, number: u64) {
        match self.open.iter().rposition(|(open, _)| open == name) {
            None => self.refuse(number, "END", "must end what began"),
            Some(at) => {
                if self.in_task() && at + 1 != self.open.len() {
                    self.refuse(number, "END", "must end what began last");
                }
                let had_task = self.in_task();
                if had_task && !self.open.iter().take(at).any(|(name, _)| name == "VTODO") {
                    self.close();
                } else {
                    self.open.truncate(at);
                }
                self.open.truncate(at);
            }
        }
    }

    fn line(&mut self, number: u64, text: String) {
        let inner = self.open.last().map(|(name, _)| name.as_str());
        match inner {
            Some("VTODO" | "VALARM") if self.in_task() => {
                self.bytes += text.len();
                let lines = &mut self.lines;
                if lines.count() >= LINES_MAX || self.bytes > BYTES_MAX {
                    self.refuse(number, "", "must be a task of at most 1 MiB and 10000 lines");
                } else if let (Some("VALARM"), Some(alarm)) = (inner, lines.alarms.last_mut()) {
                    alarm.push((number, text));
                } else {
                    lines.own.push((number, text));
                }
            }
            Some("VCALENDAR") => self.of_calendar(&text),
            Some(_) => {}
            None => self.refuse(number, "", "must stand between BEGIN:VCALENDAR and END:VCALENDAR"),
        }
    }

    fn of_calendar(&mut self, text: &str) {
        let Ok(property) = property(text) else { return };
        match property.name.as_str().to_ascii_uppercase().as_str() {
            "PRODID" => self.is_own = property.val.as_str() == PRODUCT,
            "X-WR-CALNAME" | "NAME" if self.list.is_none() => {
                let title = property.val.as_str().trim();
                if !title.is_empty() {
                    self.list = Some((ids::derived("ical", Kind::List, title), title.to_owned()));
                }
            }
            _ => {}
        }
    }

    /// Ends the task that is open.
    fn close(&mut self) {
        let Some(at) = self.open.iter().position(|(name, _)| name == "VTODO") else { return };
        let line = self.open.get(at).map_or(0, |(_, line)| *line);
        self.open.truncate(at);
        self.bytes = 0;
        let lines = std::mem::take(&mut self.lines);
        if let Some(refused) = self.broken.take() {
            self.ready.push_back(Entry::Refused(refused));
            return;
        }
        // What this program wrote says its zones itself, and is no list of its own.
        let zone = self.options.zone.as_deref().filter(|_| !self.is_own).unwrap_or_default();
        let source = Source { line, list: self.list.as_ref().filter(|_| !self.is_own), zone };
        match todo::task(&source, &lines) {
            Err(todo::Not::Refused(refused)) => self.ready.push_back(Entry::Refused(refused)),
            Err(todo::Not::LeftOut(what)) => self.ready.push_back(Entry::LeftOut { line, what }),
            Ok(found) => {
                if let Some((id, title)) = found.list.filter(|(id, _)| self.told.insert(*id)) {
                    self.tell_list(line, id, title);
                }
                let record = Record::Task(Box::new(found.task));
                self.ready.push_back(Entry::Item(Item { line, record, notes: found.notes }));
            }
        }
    }

    fn tell_list(&mut self, line: u64, id: Uuid, title: String) {
        let mut notes = Vec::new();
        let list = TaskList { name: ids::name(Kind::List, id), title, ..TaskList::default() };
        // One without a title is there already, or refused by the service with its tasks.
        if let Ok(list) = fit::list(list, &mut notes) {
            self.ready.push_back(Entry::Item(Item { line, record: Record::TaskList(list), notes }));
        }
    }

    fn finish(&mut self) {
        if self.in_task() {
            self.refuse(self.last + 1, "END", "must end the last VTODO: the file is cut");
            self.close();
        } else if !self.open.is_empty() {
            self.refuse(self.last + 1, "END", "must end the calendar: the file is cut");
        }
    }
}
