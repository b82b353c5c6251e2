//! What each command does, and with which exit status it ends.

mod check;
mod client;
mod health;
mod history;

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::CommandFactory as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::client::LoggingIn;
use crate::accounts::{Accounts, Passwords};
use crate::auth::{KeyError, KeyRing, SigningKey, Tokens};
use crate::cli::{
    Cli, Command, ConfigCommand, HistoryCommand, KeysCommand, MigrateCommand, Misunderstood, UserCommand,
};
use crate::config::{Config, ConfigError, Settings};
use crate::domain::{AuditEventType, DisplayName, Email, Role, Rule, Timestamp, Trace};
use crate::server::{Listener, LogLevel, Operator, Services, Tls, key_watch, notify, serve_with};
use crate::storage::{OpenError, Storage};
use crate::telemetry::Telemetry;
use crate::{openapi, pb};

/// Wrong usage or configuration (EX_USAGE of sysexits.h).
pub const USAGE: u8 = 64;

/// Why a command ends without success: the lines to print, and the status.
#[derive(Debug)]
pub struct Failure {
    lines: Vec<String>,
    status: u8,
}

impl Failure {
    fn new(line: impl std::fmt::Display) -> Self {
        Self { lines: vec![line.to_string()], status: 1 }
    }

    fn lines(lines: impl Into<Vec<String>>) -> Self {
        Self { lines: lines.into(), status: 1 }
    }

    /// Whoever reads the answer has seen enough of it.
    fn silent() -> Self {
        Self { lines: Vec::new(), status: 0 }
    }

    /// Tells of something that does not keep the command from being done.
    fn warn(&self) {
        self.lines.iter().for_each(|line| say_error(line));
    }

    fn usage(lines: Vec<String>) -> Self {
        Self { lines, status: USAGE }
    }

    /// Prints the lines; answers the status.
    pub fn report(&self) -> ExitCode {
        for line in &self.lines {
            say_error(line);
        }
        ExitCode::from(self.status)
    }
}

type Outcome = Result<(), Failure>;

/// Does what was asked for. `stopped` ends once the process has been told to stop.
///
/// # Errors
/// Whatever keeps the command from being done.
pub async fn run(cli: Cli, stopped: CancellationToken) -> Outcome {
    match cli.command {
        Command::Serve { settings } => Box::pin(run_serve(checked(*settings)?, stopped)).await,
        Command::Migrate { command: MigrateCommand::Up { settings } } => {
            migrate_up(&checked_storage(*settings)?).await
        }
        Command::Migrate { command: MigrateCommand::Status { settings } } => {
            migrate_status(&checked_storage(*settings)?).await
        }
        Command::History { command: HistoryCommand::Show { settings } } => {
            history::show(&checked_storage(*settings)?).await
        }
        Command::History { command: HistoryCommand::New { settings } } => {
            history::begin(&checked_storage(*settings)?).await
        }
        Command::Check { settings } => check::run(&checked_storage(*settings)?).await,
        Command::Keys { command: KeysCommand::Generate { out } } => generate_key(out.as_deref()),
        Command::Keys { command: KeysCommand::Rotate { lead_seconds, settings } } => {
            rotate_keys(&checked(*settings)?, lead_seconds).await
        }
        Command::Keys { command: KeysCommand::List { settings } } => list_keys(&checked(*settings)?).await,
        Command::User { command: UserCommand::Create { email, display_name, admin, settings } } => {
            create_user(*settings, &email, &display_name, admin).await
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
            client::register(&remote, LoggingIn { email, password_file }, display_name).await
        }
        Command::Login { email, password_file, remote } => {
            client::log_in(&remote, LoggingIn { email, password_file }).await
        }
        Command::Logout { forget, remote } => client::log_out(&remote, forget).await,
        Command::Whoami { remote } => client::who_am_i(&remote).await,
        Command::Task { remote, command } => client::run(&remote, command).await,
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

fn print_bytes(bytes: &[u8]) -> Outcome {
    let mut output = std::io::stdout().lock();
    output
        .write_all(bytes)
        .and_then(|()| output.flush())
        .map_err(|error| Failure::new(format!("cannot write to standard output: {error}")))
}

/// The settings, checked; all problems at once when there are any.
fn checked(settings: Settings) -> Result<Config, Failure> {
    settings.validate().map_err(|problems| Failure::usage(problems.iter().map(ToString::to_string).collect()))
}

/// For commands that need the database alone: a signing key is not asked for.
fn checked_storage(mut settings: Settings) -> Result<Storage, Failure> {
    let placeholder = settings.data_dir.join("signing-key.pem");
    settings.signing_key_file.get_or_insert(placeholder);
    Ok(checked(settings)?.storage)
}

async fn run_serve(config: Config, stopped: CancellationToken) -> Outcome {
    let telemetry = Telemetry::start(&config.settings).map_err(Failure::new)?;
    let outcome = Box::pin(serve_watched(config, &telemetry, stopped)).await;
    telemetry.end().await;
    outcome
}

async fn serve_watched(config: Config, telemetry: &Telemetry, stopped: CancellationToken) -> Outcome {
    let storage = config.storage.clone();
    prepare_schema(&storage, config.settings.migrate).await?;
    let clock = storage.clock().clone();
    // So that nothing goes by this machine's clock where the database has one. One that is away is asked again later.
    let _ = storage.probe().await;

    let tls = load_tls(&config)?;
    let tokens = Tokens::with_ring(load_keys(&config)?, config.settings.tokens(), clock.clone());
    let key_file = config.signing_key_file.clone();
    tokio::spawn(key_watch::watch(key_file, Arc::clone(&tokens), stopped.clone()));
    let issuers = config.settings.issuers(&storage, &clock).map_err(Failure::new)?;
    // One core stays for everybody else: a flood of logins must not hold up the calls of those who are logged in.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let hashes_parallel_max = cores.saturating_sub(1).max(1);
    let accounts = Accounts::new(
        storage.clone(),
        tokens.clone(),
        Passwords::new(hashes_parallel_max),
        clock.clone(),
        config.settings.accounts(),
    )
    .trusting(issuers)
    .behind(config.settings.proxies().unwrap_or_default());
    let services = Services {
        storage: storage.clone(),
        clock,
        tokens,
        accounts,
        passwords: config.settings.passwords(),
        tasks: config.settings.tasks(),
    };

    let listener = listen(&config, tls).await?;
    let address = listener.address().unwrap_or_else(|_| config.settings.listen.clone());
    let admin = listen_for_admin(&config).await?;
    let admin_address = admin.as_ref().and_then(|admin| admin.local_addr().ok());
    // Here rather than in the task: until somebody listens for it, the signal ends the process.
    if let Ok(hang_ups) = signal(SignalKind::hangup()) {
        tokio::spawn(reread_log_level(hang_ups, telemetry.level(), stopped.clone()));
    }
    let operator = Operator {
        admin,
        log_level: Some(telemetry.level()),
        log_lines_dropped: Some(telemetry.lines_dropped()),
        traces: telemetry.traces(),
    };
    tracing::info!(
        address = %address,
        admin = admin_address.map(tracing::field::display),
        storage = storage.describe(),
        version = env!("CARGO_PKG_VERSION"),
        "taskwire is listening"
    );
    // Listening, not ready: a database that is away is no reason for systemd to give up.
    notify::notify(notify::READY);
    let told = stopped.clone();
    tokio::spawn(async move {
        told.cancelled().await;
        notify::notify(notify::STOPPING);
    });
    serve_with(listener, services, config.settings.transport_limits(), operator, stopped)
        .await
        .map_err(|error| Failure::new(format!("serving failed: {error}")))?;
    tracing::info!("taskwire has stopped");
    Ok(())
}

/// Brings the schema up to date where that is wanted, and refuses one that does not fit. A database that is away
/// is no reason not to start: the service is then not ready until it comes.
async fn prepare_schema(storage: &Storage, migrate: bool) -> Outcome {
    if storage.is_embedded() || migrate {
        match storage.migrate().await {
            Ok(applied) if applied.is_empty() => {}
            Ok(applied) => tracing::info!(versions = applied.join(", "), "applied migrations"),
            Err(error) => return Err(Failure::new(error)),
        }
    }
    match storage.schema_state().await.and_then(|state| state.check()) {
        Ok(()) => Ok(()),
        Err(OpenError::Away(cause)) => {
            tracing::warn!(%cause, "the database does not answer yet; not ready until it does");
            Ok(())
        }
        Err(error) => Err(Failure::new(error)),
    }
}

fn load_keys(config: &Config) -> Result<KeyRing, Failure> {
    let file = &config.signing_key_file;
    let made = if config.make_signing_key { SigningKey::create_missing(file) } else { Ok(()) };
    made.and_then(|()| KeyRing::load(file)).map_err(key_failure)
}

fn key_failure(error: KeyError) -> Failure {
    match error {
        KeyError::Random => Failure::new(error),
        error => Failure::usage(vec![format!("TASKWIRE_SIGNING_KEY_FILE (--signing-key-file): {error}")]),
    }
}

/// The time that the services on this database go by; this machine's where the database cannot be asked.
async fn time_of(storage: &Storage) -> Timestamp {
    if !storage.is_embedded() && storage.probe().await.is_err() {
        say_error("the database does not answer; the time is this machine's");
    }
    storage.clock().now()
}

async fn rotate_keys(config: &Config, lead_seconds: u32) -> Outcome {
    let now = time_of(&config.storage).await;
    let active_from = now.after(Duration::from_secs(lead_seconds.into()));
    let token_life = config.settings.tokens().token_life();
    KeyRing::rotate_file(&config.signing_key_file, active_from, now, token_life).map_err(key_failure)?;
    list_keys(config).await
}

async fn list_keys(config: &Config) -> Outcome {
    let ring = KeyRing::load(&config.signing_key_file).map_err(key_failure)?;
    let now = time_of(&config.storage).await;
    for (id, state, active_from) in ring.list(now, config.settings.tokens().token_life()) {
        let (seconds, _) = active_from.to_parts();
        let since = prost_types::Timestamp { seconds, nanos: 0 };
        let since = if active_from == Timestamp::MIN { "always".to_owned() } else { since.to_string() };
        say(&format!("{id}  {:<7}  {since}", state.name()))?;
    }
    Ok(())
}

fn load_tls(config: &Config) -> Result<Option<Arc<Tls>>, Failure> {
    let loaded = config.settings.edge.tls().map(Tls::load).transpose();
    loaded.map_err(|error| {
        let text = format!("{}: {}", error.file.display(), error.text);
        Failure::usage(vec![ConfigError { key: error.setting, text }.to_string()])
    })
}

async fn listen(config: &Config, tls: Option<Arc<Tls>>) -> Result<Listener, Failure> {
    let wanted = &config.settings.listen;
    let listener = Listener::open(wanted)
        .await
        .map_err(|error| Failure::new(format!("cannot listen on {wanted}: {error}")))?;
    Ok(match tls {
        Some(tls) => listener.with_tls(tls),
        None => listener,
    })
}

async fn listen_for_admin(config: &Config) -> Result<Option<TcpListener>, Failure> {
    let Some(address) = &config.settings.operator.admin_listen.0 else { return Ok(None) };
    let listener = address.bind().await;
    listener.map(Some).map_err(|error| {
        let text = "TASKWIRE_ADMIN_LISTEN (--admin-listen) takes another address, or off";
        Failure::new(format!("cannot listen on {address} for the admin port: {error}; {text}"))
    })
}

/// On SIGHUP, what is logged becomes again what flags, environment and file say.
async fn reread_log_level(mut hang_ups: Signal, level: Arc<dyn LogLevel>, stopped: CancellationToken) {
    loop {
        tokio::select! {
            () = stopped.cancelled() => return,
            told = hang_ups.recv() => if told.is_none() { return },
        }
        let again = tokio::task::spawn_blocking(|| match Cli::understand(std::env::args_os()) {
            Ok(Cli { command: Command::Serve { settings } }) => Ok(settings.log),
            Ok(_) => Err("it no longer says `serve`".to_owned()),
            Err(Misunderstood::Settings(problems)) => Err(problems.join("; ")),
            Err(Misunderstood::Usage(error, _)) => Err(error.kind().to_string()),
        });
        let again = again.await.unwrap_or_else(|stopped| Err(stopped.to_string()));
        let set = again.and_then(|log| if log == level.get() { Ok(()) } else { level.set(&log) });
        if let Err(cause) = set {
            tracing::error!(cause, "the configuration cannot be read again; the log level stays");
        }
    }
}

async fn migrate_up(storage: &Storage) -> Outcome {
    let applied = storage.migrate().await.map_err(Failure::new)?;
    if applied.is_empty() {
        return say("nothing to apply: the schema is up to date");
    }
    applied.iter().try_for_each(|version| say(&format!("applied {version}")))
}

async fn migrate_status(storage: &Storage) -> Outcome {
    let state = storage.schema_state().await.map_err(Failure::new)?;
    for migration in &state.migrations {
        say(&format!("{}  {}", if migration.applied { "applied" } else { "missing" }, migration.name))?;
    }
    for version in &state.unknown {
        say(&format!("unknown  {version}"))?;
    }
    state.check().map_err(Failure::new)
}

fn generate_key(out: Option<&Path>) -> Outcome {
    match out {
        Some(file) => SigningKey::create(file).map_err(Failure::new),
        None => say(SigningKey::generate_pem().map_err(Failure::new)?.trim_end()),
    }
}

async fn create_user(settings: Settings, email: &str, display_name: &str, admin: bool) -> Outcome {
    let policy = settings.passwords();
    let storage = checked_storage(settings)?;
    let wrong = |flag: &str, rule: Rule| Failure::usage(vec![format!("{flag}: {}", rule.text)]);
    let email = Email::parse(email).map_err(|rule| wrong("--email", rule))?;
    let display_name = DisplayName::parse(display_name).map_err(|rule| wrong("--display-name", rule))?;
    let typed =
        read_password().map_err(|error| Failure::new(format!("the password cannot be read: {error}")))?;
    let password = policy.parse(&typed, Some(&email)).map_err(|rule| wrong("password", rule))?;

    prepare_schema(&storage, false).await?;
    let hash = Passwords::new(1).hash(password).await.map_err(Failure::new)?;
    let now = time_of(&storage).await;
    let new = crate::domain::NewUser {
        id: crate::domain::UserId::generate_at(now),
        email,
        display_name,
        role: if admin { Role::Admin } else { Role::User },
    };
    let users = storage.users().recording(Trace::default().did(AuditEventType::UserCreated));
    let user = users.create(new, hash, now).await.map_err(Failure::new)?;
    say(&format!("users/{}", user.id))
}

/// Asks on a terminal without showing what is typed; takes the first line elsewhere.
fn read_password() -> std::io::Result<String> {
    let input = std::io::stdin();
    if input.is_terminal() {
        return rpassword::prompt_password("Password: ");
    }
    let mut line = String::new();
    input.lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// Prints a line of the result. A reader who has gone away is a failure, not a panic.
fn say(line: &str) -> Outcome {
    writeln!(std::io::stdout(), "{line}")
        .map_err(|error| Failure::new(format!("cannot write the result: {error}")))
}

/// Prints a line about what went wrong.
pub fn say_error(line: &str) {
    // Where even this cannot be written, the exit status alone has to say it.
    let _ = writeln!(std::io::stderr(), "taskwire: {line}");
}
