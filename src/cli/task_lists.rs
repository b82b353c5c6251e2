//! The words of a caller about lists of tasks, and about the order of tasks.

use clap::{Args, Subcommand};

pub(super) const LIST_EXAMPLES: &str = "Examples:
  taskwire list add Groceries
  taskwire task add Oat milk --list Groceries
  taskwire task list --list Groceries

A list is named by its title, where only one has it, by the beginning or the end of its id, or by its whole name.";

const MOVE_EXAMPLES: &str = "Examples:
  taskwire task move 5e4c10 --before 6fd2a8
  taskwire task move 5e4c10 --list Groceries
  taskwire task move 5e4c10 --no-list
  taskwire task move 5e4c10 --parent 6fd2a8

With neither --before nor --after it goes behind all others.";

/// `taskwire list`
#[derive(Debug, Subcommand)]
pub enum ListCommand {
    /// Make a list
    Add {
        /// What it is called; several words are one title
        #[arg(required = true, value_name = "TITLE")]
        title: Vec<String>,
    },
    /// Show the lists in their order
    #[command(visible_alias = "ls")]
    Show {
        /// Only deleted ones, which can be restored
        #[arg(long)]
        deleted: bool,
    },
    /// Call a list otherwise
    Rename {
        /// Its title, beginning or end of its id, or its name
        #[arg(value_name = "LIST")]
        list: String,
        /// What it is called from now on
        #[arg(required = true, value_name = "TITLE")]
        title: Vec<String>,
    },
    /// Put a list to another place among the lists
    Move {
        /// Its title, beginning or end of its id, or its name
        #[arg(value_name = "LIST")]
        list: String,
        /// Before this list
        #[arg(long, value_name = "LIST", conflicts_with = "after")]
        before: Option<String>,
        /// After this list
        #[arg(long, value_name = "LIST")]
        after: Option<String>,
    },
    /// Delete a list with its tasks; they can be restored for some time
    Rm {
        /// Its title, beginning or end of its id, or its name
        #[arg(value_name = "LIST")]
        list: String,
        /// Keep its tasks, without a list
        #[arg(long)]
        keep_tasks: bool,
    },
    /// Restore a deleted list, and the tasks that were deleted with it
    Restore {
        /// Its title, beginning or end of its id, or its name
        #[arg(value_name = "LIST")]
        list: String,
    },
}

/// `taskwire task move`
#[derive(Debug, Args)]
#[command(after_help = MOVE_EXAMPLES)]
pub struct Move {
    /// Beginning or end of its id, or its name
    #[arg(value_name = "TASK")]
    pub task: String,
    /// Into this list: its title, beginning or end of its id, or its name
    #[arg(long, value_name = "LIST", conflicts_with = "no_list")]
    pub list: Option<String>,
    /// Out of its list
    #[arg(long)]
    pub no_list: bool,
    /// Below this task: beginning or end of its id, or its name
    #[arg(long, value_name = "TASK", conflicts_with = "no_parent")]
    pub parent: Option<String>,
    /// Below no task
    #[arg(long)]
    pub no_parent: bool,
    /// Before this task
    #[arg(long, value_name = "TASK", conflicts_with = "after")]
    pub before: Option<String>,
    /// After this task
    #[arg(long, value_name = "TASK")]
    pub after: Option<String>,
}
