//! The command line: what can be asked of the program, and in which words.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::config::Settings;

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

Every option is also an environment variable, named at the option. Exit status: 0 done, 1 failed, 64 wrong usage.";

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
    /// Make, rotate and list the keys that sign access tokens
    Keys {
        /// What to do
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Make accounts
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
    /// Ask a running service whether it serves; exit status 0 when it does
    Health {
        /// Address of the service
        #[arg(long, env = "TASKWIRE_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:50051")]
        address: SocketAddr,
        /// Name of the service to ask for; the whole process when empty
        #[arg(long, value_name = "NAME", default_value = "")]
        service: String,
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
    /// List the migrations; exit status 1 when one is missing
    Status {
        /// The settings
        #[command(flatten)]
        settings: Box<Settings>,
    },
}

/// `taskwire keys`
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make an Ed25519 key that signs access tokens
    Generate {
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
