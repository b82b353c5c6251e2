//! Tasks as files: the formats that are read and written, and what is said of each line. No file is opened here, and nothing is
//! asked of a service: what comes in is a reader, what goes out is bytes.

mod csv;
mod detect;
mod document;
mod every;
mod fit;
mod google;
mod html;
pub mod ical;
mod ids;
mod json;
mod jsonl;
mod lines;
mod microsoft;
mod order;
mod spoken_dates;
mod table;
mod times;
mod todoist;
mod vikunja;
mod windows_zones;

use std::io::{self, BufRead};

use jiff::civil::Date;

use crate::pb::{Task, TaskList};

pub use self::csv::Csv;
pub use self::detect::{HEAD_BYTES, detect};
pub use self::every::Every;
pub use self::ical::Calendar;
pub use self::jsonl::JsonLines;

/// How a file is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A message of the contract in each line, as the service exports them.
    JsonLines,
    /// A table with columns of this service.
    Csv,
    /// `VTODO`s of iCalendar (RFC 5545).
    Ical,
    /// `Tasks.json` out of Google Takeout.
    Google,
    /// A project of Todoist as CSV.
    Todoist,
    /// Lists or tasks of Microsoft To Do, as Microsoft Graph answers them.
    Microsoft,
    /// `data.json` out of an export of Vikunja.
    Vikunja,
}

/// What a reader has to know beside the file.
#[derive(Debug, Clone)]
pub struct Options {
    /// The day on which "tomorrow" is read.
    pub today: Date,
    /// Where times are meant that name no zone, by a name of the IANA database. UTC when absent.
    pub zone: Option<String>,
    /// What the file is of, for those that do not say it themselves: a file of Todoist is of one project. It is part of the ids of
    /// what has none.
    pub project: Option<String>,
}

/// What a line holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A list.
    TaskList(TaskList),
    /// A task.
    Task(Box<Task>),
}

/// What was read, ready to be sent to a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The line of the file at which it begins, from 1.
    pub line: u64,
    /// What it is. Its name is `users/me/…` with an id that is the same each time the file is read.
    pub record: Record,
    /// What was changed or left out so that it fits.
    pub notes: Vec<String>,
}

/// What could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The line of the file at which it begins, from 1.
    pub line: u64,
    /// The field, as the file calls it; empty where it is the whole.
    pub field: String,
    /// The rule that it breaks, as in "must be a number".
    pub rule: String,
}

/// What a reader has to say of a stretch of a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A task or a list.
    Item(Item),
    /// Something that is broken. The rest of the file is read all the same.
    Refused(Refused),
    /// Something that is neither a task nor a list, and what it is.
    LeftOut {
        /// The line of the file at which it begins, from 1.
        line: u64,
        /// What it is.
        what: String,
    },
}

/// Why nothing more can be read of a file.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It cannot be read at all.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is no file of this format, and why.
    #[error("{0}")]
    Format(String),
}

impl Unreadable {
    fn format(text: impl Into<String>) -> Self {
        Self::Format(text.into())
    }
}

/// A list that is called so, with an id that is the same each time.
pub fn list_called(title: &str) -> TaskList {
    let name = ids::name(ids::Kind::List, ids::derived("taskwire", ids::Kind::List, title));
    TaskList { name, title: title.to_owned(), ..TaskList::default() }
}

/// What a reader yields. After an error there is nothing more.
pub type Read = Result<Entry, Unreadable>;

type Entries<'a> = Box<dyn Iterator<Item = Read> + Send + 'a>;

/// Reads a file of this format. Tasks come before their subtasks, wherever they stand in the file, and subtasks of subtasks become
/// subtasks of the task at the top.
pub fn read<'a>(
    format: Format,
    input: impl BufRead + Send + 'a,
    options: &'a Options,
) -> impl Iterator<Item = Read> + Send + 'a {
    let entries: Entries<'a> = match format {
        Format::JsonLines => Box::new(jsonl::read(input)),
        Format::Csv => Box::new(csv::read(input, options)),
        Format::Ical => Box::new(ical::read(input, options)),
        Format::Google => document::read(input, options, google::entries),
        Format::Todoist => Box::new(todoist::read(input, options)),
        Format::Microsoft => document::read(input, options, microsoft::entries),
        Format::Vikunja => document::read(input, options, vikunja::entries),
    };
    order::in_order(not_empty(entries))
}

/// A file of which nothing can be said is a mistake.
fn not_empty<'a>(entries: Entries<'a>) -> impl Iterator<Item = Read> + Send + 'a {
    let mut entries = entries.peekable();
    let empty = entries.peek().is_none().then(|| {
        Err(Unreadable::format("holds neither tasks nor lists: the file is empty, or of another format"))
    });
    empty.into_iter().chain(entries)
}

/// Tasks and lists in the order in which they are given, as bytes of a file.
pub trait Writer: Send {
    /// What the file begins with.
    fn begin(&mut self) -> Vec<u8>;
    /// A list. All come before the tasks.
    fn list(&mut self, list: &TaskList) -> Vec<u8>;
    /// A task. Those that are above others come first.
    fn task(&mut self, task: &Task) -> Vec<u8>;
    /// What the file ends with.
    fn end(&mut self) -> Vec<u8>;
}
