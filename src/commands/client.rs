//! The commands of a caller: which service, whose session, and what became of the call.

mod account;
mod by_mail;
mod credentials;
mod events;
mod export;
mod export_tasks;
mod import_tasks;
mod listing;
mod output;
mod past;
mod schedule;
mod session;
mod table;
mod task_lists;
mod tasks;
mod text;
mod totp;
mod watch;
mod webhooks;
mod which_list;

use std::path::{Path, PathBuf};

use tonic::Code;

use self::credentials::{Credentials, CredentialsFile};
use self::output::Output;
use self::session::shared;
use super::{Failure, Outcome, USAGE};
use crate::cli::address::ServiceAddress;
use crate::cli::client::{Remote, TaskCommand};
use crate::cli::task_lists::ListCommand;
use crate::cli::totp::TotpCommand;
use crate::cli::webhooks::{EventsCommand, WebhookCommand};
use crate::client::{Builder, Checkpoint, Client, Error};

pub(super) use self::account::{LoggingIn, log_in, log_out, register, who_am_i};
pub(super) use self::by_mail::{change_email, reset_password, verify};
pub(super) use self::export::export;

/// A connection with which calls are made.
struct Context {
    client: Client,
    service: Service,
    output: Output,
}

/// The service that is called, as far as it matters for what is said about it.
#[derive(Debug, Clone)]
struct Service {
    address: ServiceAddress,
    has_key: bool,
}

/// Does what was asked for with tasks.
pub(super) async fn run(remote: &Remote, command: TaskCommand) -> Outcome {
    let context = call(remote)?;
    match command {
        TaskCommand::Add { title, parent, fields } => {
            tasks::add(&context, &title.join(" "), parent, fields).await
        }
        TaskCommand::List(listing) => listing::list(&context, listing).await,
        TaskCommand::Show { task, revision } => past::show(&context, &task, revision).await,
        TaskCommand::Log { task, limit } => past::log(&context, &task, limit).await,
        TaskCommand::Rollback { task, to } => past::roll_back(&context, &task, to).await,
        TaskCommand::Done { tasks, with_subtasks } => tasks::complete(&context, &tasks, with_subtasks).await,
        TaskCommand::Edit(edit) => tasks::edit(&context, *edit).await,
        TaskCommand::Skip { task } => tasks::skip(&context, &task).await,
        TaskCommand::Move(given) => task_lists::move_task(&context, given).await,
        TaskCommand::Rm { tasks } => tasks::delete(&context, &tasks).await,
        TaskCommand::Restore { tasks } => tasks::restore(&context, &tasks).await,
        TaskCommand::Watch { state, from, history } => {
            let from = from.map(|revision| Checkpoint { revision, history: history.unwrap_or_default() });
            watch::watch(&context, state, from).await
        }
        TaskCommand::Export(given) => export_tasks::export(&context, given).await,
        TaskCommand::Import(given) => import_tasks::import(&context, given).await,
        TaskCommand::Undo(undo) => tasks::undo(&context, undo).await,
    }
}

/// Does what was asked for with lists.
pub(super) async fn run_list(remote: &Remote, command: ListCommand) -> Outcome {
    task_lists::run(&call(remote)?, command).await
}

/// Does what was asked for with a second factor.
pub(super) async fn run_totp(remote: &Remote, command: TotpCommand) -> Outcome {
    totp::run(&call(remote)?, command).await
}

/// Does what was asked for with webhooks, one's own or those of the administrators.
pub(super) async fn run_webhook(remote: &Remote, admin: bool, command: WebhookCommand) -> Outcome {
    webhooks::run(&call(remote)?, admin, command).await
}

/// Does what was asked for with events.
pub(super) async fn run_events(remote: &Remote, command: EventsCommand) -> Outcome {
    events::run(&call(remote)?, command).await
}

/// The address that is meant when none is named: that of the last login.
fn address(remote: &Remote, kept: &CredentialsFile) -> ServiceAddress {
    let current = || kept.current.as_ref().and_then(|address| address.parse().ok());
    remote.address.clone().or_else(current).unwrap_or_default()
}

/// The secret of an API key, where a program calls. Not an option: others can read those.
fn api_key() -> Option<String> {
    std::env::var("TASKWIRE_API_KEY").ok().filter(|secret| !secret.is_empty())
}

/// Begins to make a client.
fn builder(address: &ServiceAddress, ca_file: Option<&Path>) -> Result<Builder, Failure> {
    let builder = Client::builder(address.as_str());
    let Some(file) = ca_file else { return Ok(builder) };
    let pem = std::fs::read(file).map_err(|error| {
        Failure::usage(vec![format!("TASKWIRE_CA_FILE (--ca-file): {}: {error}", file.display())])
    })?;
    Ok(builder.ca_certificate(pem))
}

/// A client with the session that is kept, or with the API key that is in the environment.
fn call(remote: &Remote) -> Result<Context, Failure> {
    let output = Output::new(remote)?;
    if let Some(secret) = api_key() {
        // Programs have a key and no home: what is kept is for those who log in, apart from where.
        let kept = Credentials::find().and_then(|credentials| credentials.read()).unwrap_or_default();
        let service = Service { address: address(remote, &kept), has_key: true };
        let builder = builder(&service.address, ca_file(remote, &kept, &service.address).as_deref())?;
        let client = builder.api_key(secret).connect_lazy().map_err(|error| service.refused(&error))?;
        return Ok(Context { client, service, output });
    }
    let credentials = Credentials::find()?;
    let kept = credentials.read()?;
    let service = Service { address: address(remote, &kept), has_key: false };
    let Some(login) = kept.services.get(service.address.as_str()) else {
        return Err(service.without_login());
    };
    let builder = builder(&service.address, ca_file(remote, &kept, &service.address).as_deref())?;
    let client = shared(builder, credentials, service.address.clone(), login.session.clone()).connect_lazy();
    let client = client.map_err(|error| service.refused(&error))?;
    Ok(Context { client, service, output })
}

fn ca_file(remote: &Remote, kept: &CredentialsFile, address: &ServiceAddress) -> Option<PathBuf> {
    let remembered = || kept.services.get(address.as_str())?.ca_file.clone();
    remote.ca_file.clone().or_else(remembered)
}

impl Service {
    /// What is said to those who are not logged in.
    fn without_login(&self) -> Failure {
        let next = format!("{} does, {} makes an account", self.command("login"), self.command("register"));
        Failure::lines([format!("nobody is logged in to {}; {next}", self.address)])
    }

    /// A command for this service, as it is typed.
    fn command(&self, command: &str) -> String {
        if self.address == ServiceAddress::default() {
            return format!("`taskwire {command}`");
        }
        format!("`taskwire {command} --address {}`", self.address)
    }

    /// What is said of a call that failed: the rule, and what to do next.
    fn refused(&self, error: &Error) -> Failure {
        let mut lines = vec![self.told(error)];
        let violations = error.field_violations().iter().map(|(field, rule)| format!("{field}: {rule}"));
        // One alone is what the text says.
        lines.extend(violations.filter(|one| one != error.message()).map(|one| text::visible(&one)));
        if error.code() == Code::Internal && !error.request_id().is_empty() {
            let id = text::visible(error.request_id());
            lines.push(format!("the service's log speaks of it as {id}"));
        }
        let status = if error.code() == Code::InvalidArgument { USAGE } else { 1 };
        Failure { lines, status }
    }

    fn told(&self, error: &Error) -> String {
        let address = &self.address;
        let said = text::visible(&error.to_string());
        let wait = error.retry_after().map(|wait| format!("; try again in {} s", wait.as_secs().max(1)));
        let next = match (error.code(), error.reason()) {
            (_, "CREDENTIALS_INVALID") => format!("; without an account: {}", self.command("register")),
            (_, "USER_ALREADY_EXISTS") => format!("; {} goes on with that account", self.command("login")),
            (_, "REGISTRATION_CLOSED") => "; an administrator makes accounts there".to_owned(),
            (_, "LOGIN_THROTTLED") => wait.unwrap_or_else(|| "; try again later".to_owned()),
            (_, "CODE_INVALID") => "; the app shows another one every 30 seconds".to_owned(),
            (_, "EMAIL_UNVERIFIED") => format!(
                "; {} takes a token out of a mail, {} sends one",
                self.command("verify --token TOKEN"),
                self.command("verify EMAIL")
            ),
            (_, "MAIL_TOKEN_INVALID") => String::new(),
            (_, "MFA_REQUIRED") => format!("; {}", self.command("login EMAIL --code CODE")),
            (_, "TASK_DELETED") => "; `taskwire task restore` takes it back".to_owned(),
            (_, "TASK_LIST_DELETED") => "; `taskwire list restore` takes it back".to_owned(),
            (_, "ADMIN_REQUIRED") => "; it takes a login as an administrator".to_owned(),
            (_, "CURSOR_EXPIRED") => "; without --from it begins now".to_owned(),
            (Code::Unavailable, "") => {
                return format!(
                    "{address}: {said}; is it running (`taskwire serve`), or elsewhere (--address)?"
                );
            }
            (Code::Unavailable | Code::ResourceExhausted, _) => wait.unwrap_or_default(),
            (Code::Unauthenticated | Code::PermissionDenied, _) if self.has_key => {
                "; it is the API key in TASKWIRE_API_KEY that calls".to_owned()
            }
            (Code::Unauthenticated, _) | (_, "STEP_UP_REQUIRED") => {
                format!("; log in again: {}", self.command("login"))
            }
            _ => String::new(),
        };
        format!("{said}{next}")
    }
}
