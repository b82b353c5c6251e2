//! What each command does, one file for each, and with which exit status it ends.

mod backup;
mod check;
mod client;
mod copy;
mod database;
mod health;
mod history;
mod keys;
mod migrate;
mod outcome;
mod passphrase;
mod progress;
mod restore;
mod serve;
mod user;

use clap::CommandFactory as _;
use tokio_util::sync::CancellationToken;

use self::client::LoggingIn;
use self::database::{checked, checked_storage};
use self::outcome::{Outcome, print_bytes, say};
use crate::cli::operator::{KeysCommand, UserCommand};
use crate::cli::{Cli, Command, ConfigCommand, HistoryCommand, MigrateCommand};
use crate::{openapi, pb};

pub use self::outcome::{Failure, USAGE, say_error};

/// Does what was asked for. `stopped` ends once the process has been told to stop.
///
/// # Errors
/// Whatever keeps the command from being done.
pub async fn run(cli: Cli, stopped: CancellationToken) -> Outcome {
    match cli.command {
        Command::Serve { settings } => Box::pin(serve::run(checked(*settings)?, stopped)).await,
        Command::Migrate { command: MigrateCommand::Up { settings } } => {
            migrate::up(&checked_storage(*settings)?).await
        }
        Command::Migrate { command: MigrateCommand::Distribute { shards, settings } } => {
            migrate::distribute(&checked_storage(*settings)?, shards).await
        }
        Command::Migrate { command: MigrateCommand::Status { settings } } => {
            migrate::status(&checked_storage(*settings)?).await
        }
        Command::History { command: HistoryCommand::Show { settings } } => {
            history::show(&checked_storage(*settings)?).await
        }
        Command::History { command: HistoryCommand::New { settings } } => {
            history::begin(&checked_storage(*settings)?).await
        }
        Command::Check { json, settings } => check::run(&checked_storage(*settings)?, json).await,
        Command::Backup(args) => Box::pin(backup::run(args)).await,
        Command::Restore(args) => Box::pin(restore::run(args)).await,
        Command::Copy(args) => Box::pin(copy::run(args)).await,
        Command::Keys { command: KeysCommand::Generate { out } } => keys::generate(out.as_deref()),
        Command::Keys { command: KeysCommand::GenerateSecretsKey { out } } => {
            keys::generate_secrets_key(out.as_deref())
        }
        Command::Keys { command: KeysCommand::Rotate { lead_seconds, settings } } => {
            keys::rotate(&checked(*settings)?, lead_seconds).await
        }
        Command::Keys { command: KeysCommand::List { settings } } => keys::list(&checked(*settings)?).await,
        Command::User { command: UserCommand::Create { email, display_name, admin, settings } } => {
            user::create(*settings, &email, &display_name, admin).await
        }
        Command::User { command: UserCommand::ServiceAccount { email, display_name, scopes, settings } } => {
            user::create_service(*settings, &email, &display_name, &scopes).await
        }
        Command::User { command: UserCommand::Erase { user, yes, settings } } => {
            user::erase(*settings, &user, yes).await
        }
        Command::User { command: UserCommand::Export { file, force, remote } } => {
            client::export(&remote, &file, force).await
        }
        Command::User { command: UserCommand::Calendar { gateway, name, remote } } => {
            client::calendar(&remote, &gateway, &name).await
        }
        Command::Config { command: ConfigCommand::Check { settings } } => {
            checked(*settings)?;
            say("the configuration is valid")
        }
        Command::Config { command: ConfigCommand::Print { settings } } => {
            say(checked(*settings)?.print().trim_end())
        }
        Command::Openapi => print_openapi(),
        Command::Descriptor => print_bytes(pb::DESCRIPTOR_SET),
        Command::Completions { shell } => print_completions(shell),
        Command::Register { email, display_name, password_file, remote } => {
            let who = LoggingIn { email, password_file, code: None };
            client::register(&remote, who, display_name).await
        }
        Command::Login { email, password_file, code, remote } => {
            client::log_in(&remote, LoggingIn { email, password_file, code }).await
        }
        Command::Totp { remote, command } => client::run_totp(&remote, command).await,
        Command::Verify { by_mail, remote } => client::verify(&remote, by_mail).await,
        Command::ResetPassword { reset, remote } => client::reset_password(&remote, reset).await,
        Command::ChangeEmail { by_mail, remote } => client::change_email(&remote, by_mail).await,
        Command::Logout { forget, remote } => client::log_out(&remote, forget).await,
        Command::Whoami { remote } => client::who_am_i(&remote).await,
        Command::Task { remote, command } => client::run(&remote, command).await,
        Command::List { remote, command } => client::run_list(&remote, command).await,
        Command::Webhook { remote, whose, command } => {
            client::run_webhook(&remote, whose.admin, command).await
        }
        Command::Events { remote, command } => client::run_events(&remote, command).await,
        Command::Health { address, service, tls_cert_file } => {
            health::ask(address, service, tls_cert_file).await
        }
    }
}

fn print_completions(shell: clap_complete::Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "taskwire", &mut script);
    print_bytes(&script)
}

fn print_openapi() -> Outcome {
    let document = openapi::document().map_err(Failure::new)?;
    print_bytes(format!("{document:#}\n").as_bytes())
}
