//! `taskwire serve`: the life of the server, from its parts to its end.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::database::prepare_schema;
use super::keys;
use super::outcome::{Failure, Outcome};
use crate::accounts::{Accounts, Passwords};
use crate::auth::{Authenticator, Sealer, Tokens};
use crate::cli::{Cli, Command, Misunderstood};
use crate::config::{Config, ConfigError};
use crate::domain::EmailVerification;
use crate::outbound::{Mailer, Outbound};
use crate::server::key_watch::{self, Keys};
use crate::server::{Listener, LogLevel, Operator, Services, Tls, notify, serve_with};
use crate::storage::Storage;
use crate::telemetry::Telemetry;

pub(super) async fn run(config: Config, stopped: CancellationToken) -> Outcome {
    let telemetry = Telemetry::start(config.settings.telemetry()).map_err(Failure::new)?;
    let outcome = Box::pin(serve_watched(config, &telemetry, stopped)).await;
    telemetry.end().await;
    outcome
}

async fn serve_watched(config: Config, telemetry: &Telemetry, stopped: CancellationToken) -> Outcome {
    let storage = config.storage.clone();
    prepare_schema(&storage, config.settings.migrate).await?;
    let clock = storage.clock().clone();
    // So that nothing goes by this machine's clock where the database has one. One that is away is asked again later.
    if storage.probe().await.is_ok() {
        check_connections(&storage).await;
    }

    let tls = load_tls(&config)?;
    let tokens = Tokens::with_ring(keys::load(&config)?, config.settings.tokens(), clock.clone());
    let key_file = config.signing_key_file.clone();
    tokio::spawn(key_watch::watch(key_file, Keys::Signing(Arc::clone(&tokens)), stopped.clone()));
    let sealer = Sealer::new(keys::load_secrets(&config)?);
    if let Some(file) = config.secrets_key_file.clone() {
        tokio::spawn(key_watch::watch(file, Keys::Secrets(Arc::clone(&sealer)), stopped.clone()));
    }
    let issuers = config.settings.issuers(&storage, &clock).map_err(Failure::new)?;
    let authenticator = Arc::new(Authenticator::new(storage.clone(), clock.clone(), tokens.clone(), issuers));
    // One core stays for everybody else: a flood of logins must not hold up the calls of those who are logged in.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let hashes_parallel_max = cores.saturating_sub(1).max(1);
    let accounts = Accounts::new(
        storage.clone(),
        tokens.clone(),
        Arc::clone(authenticator.revocations()),
        Passwords::new(hashes_parallel_max),
        Arc::clone(&sealer),
        clock.clone(),
        config.settings.accounts(),
    );
    let accounts = accounts.with_mail(mailer(&config, &sealer)?);
    let addresses = config.settings.outbound.addresses();
    let outbound = Outbound::new(storage.clone(), clock.clone(), Arc::clone(&sealer), addresses);
    let services = Services {
        outbound,
        storage: storage.clone(),
        clock,
        tokens,
        authenticator,
        accounts,
        sealer,
        passwords: config.settings.passwords(),
        tasks: config.settings.tasks(),
        trusted_proxies: config.settings.proxies().unwrap_or_default().into(),
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

/// What sends mail, if any is to be sent.
fn mailer(config: &Config, sealer: &Arc<Sealer>) -> Result<Mailer, Failure> {
    let mail = config.settings.outbound.mail();
    let mail = mail.map_err(|error| Failure::usage(vec![error.to_string()]))?;
    if mail.is_some() && sealer.check().is_err() {
        if config.settings.outbound.email_verification == EmailVerification::Required {
            let text = "can be required only with TASKWIRE_SECRETS_KEY_FILE, which mail needs".to_owned();
            let problem = ConfigError { key: "TASKWIRE_EMAIL_VERIFICATION", text };
            return Err(Failure::usage(vec![problem.to_string()]));
        }
        tracing::warn!("mail is configured and TASKWIRE_SECRETS_KEY_FILE is not: no mail is queued");
    }
    let storage = config.storage.clone();
    let clock = storage.clock().clone();
    Ok(Mailer::new(storage, clock, Arc::clone(sealer), mail))
}

/// Says so where all replicas together may take more connections than the database server lets them have.
async fn check_connections(storage: &Storage) {
    if let Ok(Some(budget)) = storage.connection_budget().await
        && budget.is_exceeded()
    {
        tracing::warn!(
            replicas = budget.replicas,
            connections_of_each = budget.of_each,
            connections_allowed = budget.allowed,
            "the replicas may need more connections than the database server has: lower \
             TASKWIRE_POSTGRES_CONNECTIONS_MAX, or raise max_connections there"
        );
    }
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
