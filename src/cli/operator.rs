//! The words of whoever runs the service, about its keys and its accounts; and those of a user about their own.

use std::path::PathBuf;

use clap::Subcommand;

use super::address;
use super::client::Remote;
use crate::config::Settings;

const CALENDAR_EXAMPLES: &str = "Example:
  taskwire user calendar --gateway https://tasks.example.com --name Phone

Give the address to the calendar, and to nobody else. To end it, revoke the key.";

const EXPORT_EXAMPLES: &str = "Examples:
  taskwire user export taskwire.jsonl
  taskwire user export - | jq -c .task";

/// `taskwire keys`
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make an Ed25519 key that signs access tokens
    Generate {
        /// File to write, readable for its owner alone; it must not exist. Standard output when absent
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Make a key that seals secrets in the database: a line of the file that TASKWIRE_SECRETS_KEY_FILE names
    GenerateSecretsKey {
        /// File to write, readable for its owner alone; it must not exist. Standard output when absent
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Add a new key to the key file: it signs from a moment in the near future, the old one verifies until its tokens end
    Rotate {
        /// How far away that moment is: every replica must have read the file by then
        #[arg(long, value_name = "SECONDS", default_value = "60")]
        lead_seconds: u32,
        /// The settings
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// List the keys of the key file
    List {
        /// The settings
        #[command(flatten)]
        settings: Box<Settings>,
    },
}

/// `taskwire user`
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make an account. The password is read from the terminal, or from the first line of standard input
    Create {
        /// Email address
        #[arg(long, value_name = "EMAIL")]
        email: String,
        /// What the user is called
        #[arg(long, value_name = "NAME", default_value = "")]
        display_name: String,
        /// Make an administrator
        #[arg(long)]
        admin: bool,
        /// The settings
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// Erase an account and all that belongs to it, for good; may be run while the service serves. What stays is the audit
    /// trail, for as long as it is kept
    Erase {
        /// Email address of the account, or its name, users/ID
        #[arg(value_name = "EMAIL|users/ID")]
        user: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// The settings
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// Take everything out that a service keeps of one's own account, as JSON Lines: account, sessions, keys, webhooks, lists, tasks,
    /// changes, audit trail. Asks the service, as whoever is logged in there
    #[command(after_help = EXPORT_EXAMPLES)]
    Export {
        /// File to write, readable for its owner alone; it appears when it is whole. - for standard output
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Replace a file that is there
        #[arg(long)]
        force: bool,
        /// The service
        #[command(flatten)]
        remote: Box<Remote>,
    },
    /// Make the address of one's own tasks for calendars that subscribe to one (iCalendar). It holds an API key that is for the calendar
    /// alone, and is printed this once. Asks the service, as whoever is logged in there
    #[command(after_help = CALENDAR_EXAMPLES)]
    Calendar {
        /// Address of the REST gateway, as the calendar reaches it
        #[arg(long, value_name = "URL", value_parser = address::gateway)]
        gateway: url::Url,
        /// What the key is called
        #[arg(long, value_name = "NAME", default_value = "Calendar")]
        name: String,
        /// The service
        #[command(flatten)]
        remote: Box<Remote>,
    },
    /// Make the account of a service, which has API keys and no password; with --scope also its first key, whose secret is
    /// printed this once
    ServiceAccount {
        /// Email address of whoever keeps the service
        #[arg(long, value_name = "EMAIL")]
        email: String,
        /// What the service is called
        #[arg(long, value_name = "NAME", default_value = "")]
        display_name: String,
        /// What its first key may do, as users.impersonate; may be repeated
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// The settings
        #[command(flatten)]
        settings: Box<Settings>,
    },
}
