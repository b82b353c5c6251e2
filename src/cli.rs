//! The command line: what can be asked of the program, and in which words.

pub mod address;
pub mod by_mail;
pub mod client;
pub mod due;
pub mod interchange;
pub mod operator;
pub mod remind;
pub mod task_lists;
pub mod totp;
pub mod transfer;
pub mod webhooks;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config::{Settings, file};
use crate::server::Address;
use by_mail::{ByMail, Reset};
use client::{Remote, TaskCommand};
use operator::{KeysCommand, UserCommand};
use task_lists::ListCommand;
use totp::TotpCommand;
use transfer::{BackupArgs, CopyArgs, RestoreArgs};
use webhooks::{EventsCommand, WebhookCommand, Whose};

/// Tasks and accounts over gRPC, on an embedded SQLite file or on PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "taskwire", version, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "Examples:
  taskwire serve
  taskwire serve --database-url postgres://taskwire@db.example/taskwire --signing-key-file signing-key.pem --migrate
  taskwire keys generate --out signing-key.pem
  taskwire user create --admin --email admin@example.com
  taskwire health
  taskwire register ada@example.com
  taskwire task add Buy milk --due tomorrow

Every option of the service is also an environment variable, named at the option, and a key of the file that --config names.
Exit status: 0 done, 1 failed, 64 wrong usage.";

const HISTORY_HELP: &str =
    "Revisions of another history mean other changes. The service notices by itself where a SQLite file was put back
beside which it ran before, and where a PostgreSQL server was promoted or restored. It cannot notice where the whole
directory of a SQLite file was put back, or rows were put back into the tables of a running server: say so with `new`.";

const COMPLETIONS_EXAMPLES: &str = "Examples:
  bash:  source <(taskwire completions bash)        in ~/.bashrc
  zsh:   source <(taskwire completions zsh)         in ~/.zshrc, after compinit
  fish:  taskwire completions fish >~/.config/fish/completions/taskwire.fish";

/// Why nothing was understood.
#[derive(Debug)]
pub enum Misunderstood {
    /// An answer such as help, or wrong usage; and what else is wrong.
    Usage(Box<clap::Error>, Vec<String>),
    /// Settings that do not exist, or a file that cannot be used.
    Settings(Vec<String>),
}

impl From<clap::Error> for Misunderstood {
    fn from(error: clap::Error) -> Self {
        let others = match error.kind() {
            ErrorKind::ValueValidation | ErrorKind::InvalidValue => wrong_variables(&error),
            _ => Vec::new(),
        };
        Self::Usage(Box::new(error), others)
    }
}

impl Cli {
    /// Understands what the process was asked: flags, then the environment, then the file that they name.
    ///
    /// # Errors
    /// An answer such as help, or everything that is wrong with the settings.
    pub fn understand(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Misunderstood> {
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        let matches = Self::command().try_get_matches_from(&arguments)?;
        let Some(settings) = innermost(&matches) else {
            return Ok(Self::from_arg_matches(&matches)?);
        };
        let mut problems = file::unknown_variables(&[&client::VARIABLES[..], &transfer::VARIABLES].concat());
        let matches = match settings.get_one::<String>("config").filter(|path| !path.is_empty()) {
            None => matches,
            Some(path) => match file::read(path) {
                Ok(entries) => {
                    file::with_defaults(Self::command(), &entries).try_get_matches_from(&arguments)?
                }
                Err(wrong) => {
                    problems.extend(wrong);
                    matches
                }
            },
        };
        if problems.is_empty() {
            Ok(Self::from_arg_matches(&matches)?)
        } else {
            Err(Misunderstood::Settings(problems))
        }
    }
}

/// The environment variable from which an option can come as well, in the command that these arguments name.
pub fn variable_of(flag: &str, arguments: impl IntoIterator<Item = OsString>) -> Option<String> {
    let mut command = &Cli::command();
    for argument in arguments.into_iter().skip(1) {
        command = command.find_subcommand(&argument).unwrap_or(command);
    }
    let argument = command.get_arguments().find(|argument| argument.get_long() == Some(flag))?;
    argument.get_env()?.to_str().map(str::to_owned)
}

/// The command that takes settings, if it is one of those.
fn innermost(matches: &ArgMatches) -> Option<&ArgMatches> {
    match matches.subcommand() {
        Some((_, inner)) => innermost(inner),
        None => matches.try_contains_id("config").is_ok_and(|given| given).then_some(matches),
    }
}

/// The parser stops at the first wrong value; these are the others that stand in the environment.
fn wrong_variables(error: &clap::Error) -> Vec<String> {
    let said = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => {
            argument.split_whitespace().next().unwrap_or_default().to_owned()
        }
        _ => String::new(),
    };
    let known = file::known();
    let wrong = known.get_arguments().filter_map(|argument| {
        let flag = argument.get_long()?;
        let name = format!("TASKWIRE_{}", flag.to_uppercase().replace('-', "_"));
        let value = std::env::var(&name).ok()?;
        let problem = file::problem(&known, argument, &value)?;
        (said != format!("--{flag}")).then(|| format!("{name} (--{flag}): {problem}"))
    });
    wrong.collect()
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve until SIGTERM or Ctrl-C
    Serve {
        /// The settings
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// Bring the database schema up to date, or look at it
    Migrate {
        /// What to do
        #[command(subcommand)]
        command: MigrateCommand,
    },
    /// Look at the history of the data, or begin a new one after the database was put back to an earlier state
    #[command(after_help = HISTORY_HELP)]
    History {
        /// What to do
        #[command(subcommand)]
        command: HistoryCommand,
    },
    /// Write everything to a file while the service serves, or prove such a file whole
    #[command(after_help = transfer::BACKUP_EXAMPLES)]
    Backup(BackupArgs),
    /// Put a backup into an empty database
    #[command(after_help = transfer::RESTORE_EXAMPLES)]
    Restore(RestoreArgs),
    /// Copy a database to another one, of either engine, while the service serves
    #[command(after_help = transfer::COPY_EXAMPLES)]
    Copy(CopyArgs),
    /// Check that what has to hold in the database does; changes nothing, and may be run while the service serves
    Check {
        /// Print a line of JSON for each finding, and one for all of them
        #[arg(long)]
        json: bool,
        /// The settings
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// Make, rotate and list the keys that sign access tokens, and make those that seal secrets
    Keys {
        /// What to do
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Make accounts, or erase one
    User {
        /// What to do
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Look at the settings
    Config {
        /// What to do
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print the OpenAPI document of the REST gateway
    Openapi,
    /// Print the descriptor set of the contract, which a gateway or a generic client reads
    Descriptor,
    /// Print a script with which a shell completes the words of this program
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell
        #[arg(value_enum, value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
    /// Make an account of one's own on a service, and log in
    #[command(after_help = client::REGISTER_EXAMPLES)]
    Register {
        /// Email address; asked for on a terminal when absent
        #[arg(value_name = "EMAIL")]
        email: Option<String>,
        /// What the user is called
        #[arg(long, value_name = "NAME", default_value = "")]
        display_name: String,
        /// File whose first line is the password, or - for standard input. When absent it is asked for on a terminal, and
        /// read from standard input elsewhere
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        /// The service
        #[command(flatten)]
        remote: Remote,
    },
    /// Log in to a service and remember it
    #[command(after_help = client::LOGIN_EXAMPLES)]
    Login {
        /// Email address; asked for on a terminal when absent
        #[arg(value_name = "EMAIL")]
        email: Option<String>,
        /// File whose first line is the password, or - for standard input. When absent it is asked for on a terminal, and
        /// read from standard input elsewhere
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        /// The code of the second factor, or a recovery code. When absent it is asked for on a terminal, where one is needed
        #[arg(long, value_name = "CODE")]
        code: Option<String>,
        /// The service
        #[command(flatten)]
        remote: Remote,
    },
    /// Set up a second factor of one's own, or take it away
    #[command(after_help = totp::TOTP_EXAMPLES)]
    Totp {
        /// The service
        #[command(flatten)]
        remote: Remote,
        /// What to do
        #[command(subcommand)]
        command: TotpCommand,
    },
    /// Verify an email address: have a token mailed to it, or show that token
    #[command(after_help = by_mail::VERIFY_EXAMPLES)]
    Verify {
        /// The address, or the token
        #[command(flatten)]
        by_mail: ByMail,
        /// The service
        #[command(flatten)]
        remote: Remote,
    },
    /// Replace a lost password: have a token mailed, or show that token
    #[command(after_help = by_mail::RESET_EXAMPLES)]
    ResetPassword {
        /// The address, or the token and the password
        #[command(flatten)]
        reset: Reset,
        /// The service
        #[command(flatten)]
        remote: Remote,
    },
    /// Change one's email address: have a token mailed to the new one, or show that token
    #[command(after_help = by_mail::CHANGE_EXAMPLES)]
    ChangeEmail {
        /// The address, or the token
        #[command(flatten)]
        by_mail: ByMail,
        /// The service
        #[command(flatten)]
        remote: Remote,
    },
    /// Log out of a service and forget it
    #[command(after_help = client::LOGOUT_EXAMPLES)]
    Logout {
        /// Forget the session here without telling the service, where it does not answer
        #[arg(long)]
        forget: bool,
        /// The service
        #[command(flatten)]
        remote: Remote,
    },
    /// Tell who is logged in
    #[command(after_help = client::WHOAMI_EXAMPLES)]
    Whoami {
        /// The service
        #[command(flatten)]
        remote: Remote,
    },
    /// Add, list, change, watch and undo one's tasks
    #[command(after_help = client::TASK_EXAMPLES)]
    Task {
        /// The service
        #[command(flatten)]
        remote: Remote,
        /// What to do
        #[command(subcommand)]
        command: TaskCommand,
    },
    /// Make, show, rename, move, delete and restore lists of tasks
    #[command(after_help = task_lists::LIST_EXAMPLES)]
    List {
        /// The service
        #[command(flatten)]
        remote: Remote,
        /// What to do
        #[command(subcommand)]
        command: ListCommand,
    },
    /// Add, list, try, change and delete webhooks
    #[command(after_help = webhooks::WEBHOOK_EXAMPLES)]
    Webhook {
        /// The service
        #[command(flatten)]
        remote: Remote,
        /// Whose webhooks
        #[command(flatten)]
        whose: Whose,
        /// What to do
        #[command(subcommand)]
        command: WebhookCommand,
    },
    /// Watch what happens to all users
    #[command(after_help = webhooks::EVENTS_EXAMPLES)]
    Events {
        /// The service
        #[command(flatten)]
        remote: Remote,
        /// What to do
        #[command(subcommand)]
        command: EventsCommand,
    },
    /// Ask a running service whether it serves; exit status 0 when it does
    Health {
        /// Address of the service, or unix:PATH
        #[arg(long, env = "TASKWIRE_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:50051")]
        address: Address,
        /// Name of the service to ask for; the whole process when empty
        #[arg(long, value_name = "NAME", default_value = "")]
        service: String,
        /// Speak TLS, and only with whoever shows this certificate (PEM)
        #[arg(long, env = "TASKWIRE_TLS_CERT_FILE", value_name = "FILE")]
        tls_cert_file: Option<PathBuf>,
    },
}

/// `taskwire migrate`
#[derive(Debug, Subcommand)]
pub enum MigrateCommand {
    /// Apply what is missing
    Up {
        /// The settings
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// Spread the tables over the servers of a Citus, by user; may be run again
    Distribute {
        /// How many shards the users are spread over; two to four times the workers that there will ever be serve well. Else
        /// as many as Citus makes
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
        shards: Option<u16>,
        /// The settings
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// List the migrations; exit status 1 when one is missing
    Status {
        /// The settings
        #[command(flatten)]
        settings: Box<Settings>,
    },
}

/// `taskwire history`
#[derive(Debug, Subcommand)]
pub enum HistoryCommand {
    /// Print the present history
    Show {
        /// The settings
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// Begin a new history: whoever syncs or watches begins again from a list
    New {
        /// The settings
        #[command(flatten)]
        settings: Box<Settings>,
    },
}

/// `taskwire config`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the settings; exit status 64 when something is wrong
    Check {
        /// The settings
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// Print the settings as they take effect; secrets are masked
    Print {
        /// The settings
        #[command(flatten)]
        settings: Box<Settings>,
    },
}
