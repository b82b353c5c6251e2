//! The words of a caller of the service: accounts and tasks.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::address::ServiceAddress;
use super::due::Due;
use super::interchange::{EXPORT_EXAMPLES, Export, IMPORT_EXAMPLES, Import};
use super::remind::Remind;
use super::task_lists::Move;
use crate::interchange::Every;

/// Variables that the commands of a caller read and that are no settings of the service.
pub const VARIABLES: [&str; 3] = ["TASKWIRE_ADDRESS", "TASKWIRE_API_KEY", "TASKWIRE_CA_FILE"];

/// Which service is called, and how answers are printed.
#[derive(Debug, Args)]
pub struct Remote {
    /// Address of the service: http://HOST:PORT, https://HOST:PORT or unix:PATH. When absent, the one logged in to last;
    /// at first http://127.0.0.1:50051
    #[arg(
        long,
        env = "TASKWIRE_ADDRESS",
        value_name = "ADDRESS",
        global = true,
        help_heading = "Service and output"
    )]
    pub address: Option<ServiceAddress>,
    /// Authorities that are trusted to vouch for the service (PEM), instead of the system's; a login remembers it
    #[arg(
        long,
        env = "TASKWIRE_CA_FILE",
        value_name = "FILE",
        global = true,
        help_heading = "Service and output"
    )]
    pub ca_file: Option<PathBuf>,
    /// Print JSON, one object a line; so also when the output is no terminal
    #[arg(long, global = true, conflicts_with = "table", help_heading = "Service and output")]
    pub json: bool,
    /// Print for people, also when the output is no terminal
    #[arg(long, global = true, help_heading = "Service and output")]
    pub table: bool,
}

pub(super) const LOGIN_EXAMPLES: &str = "Examples:
  taskwire login ada@example.com
  taskwire login ada@example.com --address https://tasks.example.com
  taskwire login ada@example.com --password-file password.txt

The session is kept in taskwire/credentials.json in the configuration directory ($XDG_CONFIG_HOME, or ~/.config), for \
its owner alone, until `taskwire logout`.";

pub(super) const REGISTER_EXAMPLES: &str = "Examples:
  taskwire register ada@example.com --display-name Ada
  taskwire register ada@example.com --address https://tasks.example.com

A service that is closed to registration answers so; its administrators then make the accounts.";

pub(super) const LOGOUT_EXAMPLES: &str = "Examples:
  taskwire logout
  taskwire logout --address https://tasks.example.com --forget";

pub(super) const WHOAMI_EXAMPLES: &str = "Examples:
  taskwire whoami
  taskwire whoami --json";

pub(super) const TASK_EXAMPLES: &str = "Examples:
  taskwire task add Buy milk --priority high --due tomorrow
  taskwire task list --open
  taskwire task done 5e4c10
  taskwire task undo

A task is named by the beginning or the end of its id, where only one task has it, or by its whole name. Programs set \
TASKWIRE_API_KEY to the secret of an API key instead of logging in.
Exit status: 0 done, 1 failed, 64 wrong usage.";

const ADD_EXAMPLES: &str = "Examples:
  taskwire task add Buy milk
  taskwire task add 'Call the bank' --due +3d --priority high --label phone --label money
  taskwire task add Oat milk --list Groceries
  taskwire task add Buy candles --parent 5e4c10
  taskwire task add Water the plants --every 'weekly on monday'
  taskwire task add Pay the rent --due 2026-12-31 --repeat 'FREQ=MONTHLY;BYMONTHDAY=-1'
  taskwire task add 'Catch the train' --due 2026-12-24T10:00 --remind 1d --remind 1h
  taskwire task add Standup --due 2026-12-01T09:30 --description 'Bring the figures'";

const LIST_EXAMPLES: &str = "Examples:
  taskwire task list --open --order-by due
  taskwire task list milk --label home
  taskwire task list --filter 'priority >= MEDIUM AND due_time < \"2026-12-01T00:00:00Z\"'
  taskwire task list --all --json | jq -r .title
  taskwire task list --deleted";

const SHOW_EXAMPLES: &str = "Examples:
  taskwire task show 5e4c10
  taskwire task show 5e4c10 --json | jq .labels";

const DONE_EXAMPLES: &str = "Examples:
  taskwire task done 5e4c10
  taskwire task done 5e4c10 6fd2a8
  taskwire task done 5e4c10 --with-subtasks";

const EDIT_EXAMPLES: &str = "Examples:
  taskwire task edit 5e4c10 --title 'Buy oat milk' --priority low
  taskwire task edit 5e4c10 --label home --label shop
  taskwire task edit 5e4c10 --remind 2026-12-24T09:00
  taskwire task edit 5e4c10 --no-due --remind none --no-labels --open";

const RM_EXAMPLES: &str = "Examples:
  taskwire task rm 5e4c10
  taskwire task rm 5e4c10 && taskwire task restore 5e4c10";

const RESTORE_EXAMPLES: &str = "Examples:
  taskwire task list --deleted
  taskwire task restore 5e4c10";

const WATCH_EXAMPLES: &str = "Examples:
  taskwire task watch
  taskwire task watch --state --json | jq -c .
  taskwire task watch --from 41

Goes on when the service restarts, without missing a change, until Ctrl-C.";

const LOG_EXAMPLES: &str = "Examples:
  taskwire task log 5e4c10
  taskwire task show 5e4c10 --revision 41
  taskwire task rollback 5e4c10 --to 41

As far back as the service keeps changes.";

const ROLLBACK_EXAMPLES: &str = "Examples:
  taskwire task log 5e4c10
  taskwire task rollback 5e4c10 --to 41

A rollback is a change too, which can be rolled back and undone. Other tasks stay as they are.";

const UNDO_EXAMPLES: &str = "Examples:
  taskwire task undo
  taskwire task undo --changes 5 --dry-run
  taskwire task undo --to 41

An undo is a change too: undoing again takes the undo back.";

/// `taskwire task`
#[derive(Debug, Subcommand)]
pub enum TaskCommand {
    /// Add a task
    #[command(after_help = ADD_EXAMPLES)]
    Add {
        /// What is to be done; several words are one title
        #[arg(required = true, value_name = "TITLE")]
        title: Vec<String>,
        /// A subtask of this task: beginning or end of its id, or its name
        #[arg(long, value_name = "TASK")]
        parent: Option<String>,
        /// The rest of it
        #[command(flatten)]
        fields: Fields,
    },
    /// List tasks, the newest first
    #[command(visible_alias = "ls", after_help = LIST_EXAMPLES)]
    List(Listing),
    /// Show one task with all that is known of it
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        /// Beginning or end of its id, or its name
        #[arg(value_name = "TASK")]
        task: String,
        /// As it was after the change with this revision, one of those that `task log` prints
        #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(1..))]
        revision: Option<i64>,
    },
    /// Print the changes of one task, the newest first
    #[command(after_help = LOG_EXAMPLES)]
    Log {
        /// Beginning or end of its id, or its name
        #[arg(value_name = "TASK")]
        task: String,
        /// Print at most so many
        #[arg(long, short = 'n', value_name = "COUNT")]
        limit: Option<NonZeroUsize>,
    },
    /// Bring a task back to what it was after an earlier change
    #[command(after_help = ROLLBACK_EXAMPLES)]
    Rollback {
        /// Beginning or end of its id, or its name
        #[arg(value_name = "TASK")]
        task: String,
        /// The revision of that change, one of those that `task log` prints
        #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(1..))]
        to: i64,
    },
    /// Complete tasks
    #[command(after_help = DONE_EXAMPLES)]
    Done {
        /// Beginning or end of each id, or its name
        #[arg(required = true, value_name = "TASK")]
        tasks: Vec<String>,
        /// And their subtasks
        #[arg(long)]
        with_subtasks: bool,
    },
    /// Change a task
    Edit(Box<Edit>),
    /// Move a task that comes again to its next time, without completing it
    Skip {
        /// Beginning or end of its id, or its name
        #[arg(value_name = "TASK")]
        task: String,
    },
    /// Put a task to another place, or into another list
    Move(Move),
    /// Delete tasks; they can be restored for some time
    #[command(after_help = RM_EXAMPLES)]
    Rm {
        /// Beginning or end of each id, or its name
        #[arg(required = true, value_name = "TASK")]
        tasks: Vec<String>,
    },
    /// Restore deleted tasks
    #[command(after_help = RESTORE_EXAMPLES)]
    Restore {
        /// Beginning or end of each id, or its name
        #[arg(required = true, value_name = "TASK")]
        tasks: Vec<String>,
    },
    /// Print changes as they happen
    #[command(after_help = WATCH_EXAMPLES)]
    Watch {
        /// Print every task as it is first
        #[arg(long, conflicts_with = "from")]
        state: bool,
        /// Begin after this revision, with what was missed
        #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(0..))]
        from: Option<i64>,
        /// The history that the revision belongs to, as whoami told it with the revision. In another one it means other
        /// changes, and every task is printed as it is instead
        #[arg(long, value_name = "HISTORY", requires = "from")]
        history: Option<String>,
    },
    /// Write tasks and lists to a file
    #[command(after_help = EXPORT_EXAMPLES)]
    Export(Export),
    /// Take tasks and lists out of a file: one that was exported, or of Google Tasks, Todoist, Microsoft To Do or Vikunja
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(Import),
    /// Undo the last change of one's tasks
    #[command(after_help = UNDO_EXAMPLES)]
    Undo(Undo),
}

/// What a task may have beside its title.
#[derive(Debug, Args)]
pub struct Fields {
    /// Details
    #[arg(long, short, value_name = "TEXT")]
    pub description: Option<String>,
    /// How urgent it is
    #[arg(long, short, value_enum, value_name = "PRIORITY")]
    pub priority: Option<Urgency>,
    /// When it is due: 2026-12-01, today, tomorrow, +3d, +4h, 2026-12-01T18:00, or RFC 3339
    #[arg(long, value_name = "WHEN")]
    pub due: Option<Due>,
    /// When work on it is to begin, in the same forms
    #[arg(long, value_name = "WHEN")]
    pub start: Option<Due>,
    /// When to be reminded: so long before it is due (30m, 1h, 2d), a time (2026-12-24T09:00), or none; can be given several times
    #[arg(long = "remind", value_name = "WHEN")]
    pub reminders: Vec<Remind>,
    /// How often it comes again: day, weekday, 3 days, weekly on monday, month on the last day, yearly on march 1
    #[arg(long, value_name = "HOW-OFTEN", conflicts_with = "repeat")]
    pub every: Option<Every>,
    /// The same as the value of an RRULE (RFC 5545)
    #[arg(long, value_name = "RRULE")]
    pub repeat: Option<String>,
    /// Count the next time from when it is done, not from when it was due
    #[arg(long)]
    pub after_done: bool,
    /// A label; can be given several times
    #[arg(long = "label", short, value_name = "LABEL")]
    pub labels: Vec<String>,
    /// Into this list: its title, beginning or end of its id, or its name
    #[arg(long, value_name = "LIST")]
    pub list: Option<String>,
}

/// `taskwire task list`
#[derive(Debug, Args)]
pub struct Listing {
    /// Only tasks whose title or description contains all these texts
    #[arg(value_name = "TEXT")]
    pub texts: Vec<String>,
    /// Only those that are done
    #[arg(long, conflicts_with = "open")]
    pub completed: bool,
    /// Only those that are not done
    #[arg(long)]
    pub open: bool,
    /// Only those of this priority
    #[arg(long, short, value_enum, value_name = "PRIORITY")]
    pub priority: Option<Urgency>,
    /// Only those with this label; can be given several times
    #[arg(long = "label", short, value_name = "LABEL")]
    pub labels: Vec<String>,
    /// Only those in this list, in their order there: its title, beginning or end of its id, or its name
    #[arg(long, value_name = "LIST", conflicts_with = "no_list")]
    pub list: Option<String>,
    /// Only those in no list, in their order
    #[arg(long)]
    pub no_list: bool,
    /// Only those that are neither done nor in time
    #[arg(long, conflicts_with = "completed")]
    pub overdue: bool,
    /// Only those that match; docs/API.md has the grammar
    #[arg(long, value_name = "FILTER", allow_hyphen_values = true)]
    pub filter: Option<String>,
    /// Order, such as `due` or `priority desc, title`
    #[arg(long, value_name = "FIELDS")]
    pub order_by: Option<String>,
    /// Only deleted ones, which can be restored
    #[arg(long)]
    pub deleted: bool,
    /// Print at most so many
    #[arg(long, short = 'n', value_name = "COUNT", default_value = "50", conflicts_with = "all")]
    pub limit: NonZeroUsize,
    /// Print all
    #[arg(long, short)]
    pub all: bool,
}

/// `taskwire task edit`
#[derive(Debug, Args)]
#[command(override_usage = "taskwire task edit [OPTIONS] <TASK>", after_help = EDIT_EXAMPLES)]
#[command(group = clap::ArgGroup::new("changes").multiple(true).required(true).args([
    "title", "description", "no_description", "priority", "due", "no_due", "start", "no_start", "reminders", "every",
    "repeat", "no_repeat", "labels", "no_labels", "list",
    "no_list", "completed", "open",
]))]
pub struct Edit {
    /// Beginning or end of its id, or its name
    #[arg(value_name = "TASK")]
    pub task: String,
    /// What is to be done
    #[arg(long, short, value_name = "TITLE")]
    pub title: Option<String>,
    /// The rest of it; labels and reminders replace all that were there
    #[command(flatten)]
    pub fields: Fields,
    /// Take the description away
    #[arg(long, conflicts_with = "description")]
    pub no_description: bool,
    /// Take the due time or day away
    #[arg(long, conflicts_with = "due")]
    pub no_due: bool,
    /// Take the start away
    #[arg(long, conflicts_with = "start")]
    pub no_start: bool,
    /// Let it not come again
    #[arg(long, conflicts_with_all = ["every", "repeat"])]
    pub no_repeat: bool,
    /// Take all labels away
    #[arg(long, conflicts_with = "labels")]
    pub no_labels: bool,
    /// Take it out of its list
    #[arg(long, conflicts_with = "list")]
    pub no_list: bool,
    /// Complete it
    #[arg(long, conflicts_with = "open")]
    pub completed: bool,
    /// Open it again
    #[arg(long)]
    pub open: bool,
}

/// `taskwire task undo`
#[derive(Debug, Args)]
pub struct Undo {
    /// Undo so many changes, the last ones, 1 to 1000
    #[arg(long, short = 'n', value_name = "COUNT", default_value = "1", conflicts_with = "to",
        value_parser = clap::value_parser!(i64).range(1..=1000))]
    pub changes: i64,
    /// Undo all changes after this revision
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(0..))]
    pub to: Option<i64>,
    /// Tell what would be undone, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// How urgent a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Urgency {
    /// Can wait
    Low,
    /// The default
    Medium,
    /// Comes first
    High,
}
