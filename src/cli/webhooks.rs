//! The words of a caller about webhooks, and about the stream of all events.

use clap::{Args, Subcommand};

pub(super) const WEBHOOK_EXAMPLES: &str = "Examples:
  taskwire webhook add https://receiver.example/taskwire --event task.created --event task.completed
  taskwire webhook test 5e4c10
  taskwire webhook list
  taskwire webhook queues 5e4c10
  taskwire webhook list --admin

A webhook is named by the beginning or the end of its id, where only one has it, or by its whole name. Programs set \
TASKWIRE_API_KEY to the secret of an API key with the scope webhooks.manage.";

pub(super) const EVENTS_EXAMPLES: &str = "Examples:
  TASKWIRE_API_KEY=… taskwire events watch
  TASKWIRE_API_KEY=… taskwire events watch --event 'task.*' --json | jq -c .event

The API key is one of a service account, with the scope events.read.";

const ADD_EXAMPLES: &str = "Examples:
  taskwire webhook add https://receiver.example/taskwire
  taskwire webhook add https://receiver.example/taskwire --event 'task.*' --event reminder.due
  taskwire webhook add https://receiver.example/taskwire --event 'user.*' --admin

The secret that deliveries are signed with is printed this once.";

const REPLAY_EXAMPLES: &str = "Examples:
  taskwire webhook replay 5e4c10 --from 41
  taskwire webhook replay 5e4c10 --from 0 --admin --user users/0198c5a1-02b7-7f0e-8a44-5d3c1e9b7a20";

const WATCH_EXAMPLES: &str = "Examples:
  TASKWIRE_API_KEY=… taskwire events watch --json
  TASKWIRE_API_KEY=… taskwire events watch --from \"$cursor\" --event 'task.*' --json

Goes on when the service restarts, without missing an event, until Ctrl-C. Keep the cursor of the last line that was dealt \
with; lines without an event only tell how far the stream has come.";

/// `taskwire webhook`
#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    /// Add a webhook, and print its secret
    #[command(after_help = ADD_EXAMPLES)]
    Add {
        /// Where events are sent
        #[arg(value_name = "URL")]
        url: String,
        /// Which events: a type such as task.created, or task.*, task_list.*, user.*; can be given several times. All that can be
        /// asked for when absent
        #[arg(long = "event", short, value_name = "TYPE")]
        events: Vec<String>,
        /// Send nothing yet
        #[arg(long)]
        disabled: bool,
    },
    /// List the webhooks, the oldest first
    #[command(visible_alias = "ls")]
    List,
    /// Show one webhook with all that is known of it
    Show(Named),
    /// Change where a webhook sends, and what
    Edit(Edit),
    /// Send the receiver an event to try it; exit status 1 when it does not take it
    Test(Named),
    /// Give a webhook another secret, and print it; the one before is valid for a day
    Rotate(Named),
    /// Tell a webhook once more what happened
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay {
        /// Beginning or end of its id, or its name
        #[arg(value_name = "WEBHOOK")]
        webhook: String,
        /// All changes after this revision; 0 for all that are kept
        #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(0..))]
        from: i64,
        /// Whose changes, for a webhook of the administrators: users/ID
        #[arg(long, value_name = "USER")]
        user: Option<String>,
    },
    /// Let a webhook send again
    Enable(Named),
    /// Let a webhook send nothing
    Disable(Named),
    /// Delete webhooks, with all that they were still to be told
    Rm {
        /// Beginning or end of each id, or its name
        #[arg(required = true, value_name = "WEBHOOK")]
        webhooks: Vec<String>,
    },
    /// List what a webhook has still to be told, user by user
    Queues(Named),
}

/// Whose webhooks are meant.
#[derive(Debug, Args)]
pub struct Whose {
    /// The administrators' webhooks, which are told of all users; one has to be logged in as an administrator
    #[arg(long, global = true)]
    pub admin: bool,
}

/// One webhook.
#[derive(Debug, Args)]
pub struct Named {
    /// Beginning or end of its id, or its name
    #[arg(value_name = "WEBHOOK")]
    pub webhook: String,
}

/// `taskwire webhook edit`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("changes").multiple(true).required(true).args(["url", "events"]))]
pub struct Edit {
    /// Beginning or end of its id, or its name
    #[arg(value_name = "WEBHOOK")]
    pub webhook: String,
    /// Where events are sent
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Which events, instead of those before; can be given several times
    #[arg(long = "event", short, value_name = "TYPE")]
    pub events: Vec<String>,
}

/// `taskwire events`
#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// Print what happens to all users, as it happens
    #[command(after_help = WATCH_EXAMPLES)]
    Watch {
        /// Begin after this cursor, with what was missed. From now on when absent
        #[arg(long, value_name = "CURSOR")]
        from: Option<String>,
        /// Which events: a type such as task.created, or task.*, task_list.*, user.*; can be given several times. All when absent
        #[arg(long = "event", short, value_name = "TYPE")]
        events: Vec<String>,
    },
}
