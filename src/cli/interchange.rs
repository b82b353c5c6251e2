//! The words for tasks as files.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::interchange::Format;

pub(super) const EXPORT_EXAMPLES: &str = "Examples:
  taskwire task export -o tasks.jsonl
  taskwire task export -o tasks.csv
  taskwire task export --format ical >tasks.ics

JSON Lines keep everything; CSV what a caller writes; iCalendar that to the second, without empty lists. Deleted tasks are left out. \
What changes meanwhile may be in it or not: `taskwire user export` writes all of an account as of one moment.";

pub(super) const IMPORT_EXAMPLES: &str = "Examples:
  taskwire task import tasks.jsonl --dry-run
  taskwire task import Takeout/Tasks/Tasks.json
  taskwire task import 'Home [2203306141].csv' --list Home
  unzip -p vikunja.zip data.json | taskwire task import - --from vikunja

Each task has the same id each time, so that a file can be imported again: what is there already stays as it is, or becomes what the file \
says with --overwrite.
Exit status: 0 all was taken, 1 something was refused or it failed, 64 wrong usage.";

/// `taskwire task export`
#[derive(Debug, Args)]
pub struct Export {
    /// The format; when absent, that of the file's ending: .jsonl, .csv or .ics. JSON Lines otherwise
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<Written>,
    /// Where to, or - for standard output
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    pub replace: bool,
}

/// `taskwire task import`
#[derive(Debug, Args)]
pub struct Import {
    /// The file, or - for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The format of the file; auto tells it by how the file begins
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "auto")]
    pub from: Source,
    /// Put all tasks into this list instead of those of the file: its title, beginning or end of its id, or its name. One that is not
    /// there is made
    #[arg(long, value_name = "LIST")]
    pub list: Option<String>,
    /// Tell what would be done, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Let what is there already become what the file says
    #[arg(long)]
    pub overwrite: bool,
}

/// A format that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Written {
    /// A message in JSON in each line
    Jsonl,
    /// A table
    Csv,
    /// iCalendar, with VTODOs
    Ical,
}

/// A format that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Source {
    /// By how the file begins
    Auto,
    /// A message in JSON in each line, as `task export` and `user export` write it
    Jsonl,
    /// A table with a column `title`
    Csv,
    /// iCalendar, with VTODOs
    Ical,
    /// Tasks.json of Google Takeout
    Google,
    /// A project of Todoist as CSV
    Todoist,
    /// Lists or tasks of Microsoft To Do, as Microsoft Graph answers them
    Microsoft,
    /// data.json of an export of Vikunja
    Vikunja,
}

impl Source {
    /// The format, where one is named.
    pub const fn format(self) -> Option<Format> {
        Some(match self {
            Self::Auto => return None,
            Self::Jsonl => Format::JsonLines,
            Self::Csv => Format::Csv,
            Self::Ical => Format::Ical,
            Self::Google => Format::Google,
            Self::Todoist => Format::Todoist,
            Self::Microsoft => Format::Microsoft,
            Self::Vikunja => Format::Vikunja,
        })
    }
}
