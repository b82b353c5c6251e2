//! Settings: a file, the environment and flags → a validated `Config`. Every limit stands here with its reason.
//!
//! Parsed by clap, then checked as a whole, then used; nothing is opened before everything is right.

mod edge;
pub mod file;
mod lanes;
mod operator;
mod outbound;

use std::fmt;
use std::num::{NonZeroU16, NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::Resettable;
use clap::{Args, Command, FromArgMatches as _};
use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretString};

use crate::accounts::{AccountsConfig, PasswordPolicy, ThrottleRules};
use crate::api::{TaskRules, WatchLimits};
use crate::auth::{Issuers, TokenConfig};
use crate::domain::Clock;
use crate::server::{Address, TransportLimits};
use crate::storage::{Limits, OpenError, Storage};
use crate::telemetry::{self, LogFormat};

pub use edge::EdgeSettings;
pub use lanes::Lanes;
pub use operator::{AdminListen, OperatorSettings};
pub use outbound::OutboundSettings;
use outbound::networks;

/// The settings as given. Each flag has an environment variable and a key of the file; the flag wins over both.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Address to serve gRPC on, or unix:PATH
    #[arg(long, env = "TASKWIRE_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:50051")]
    pub listen: Address,

    /// Directory for the embedded database and the keys that go with it
    #[arg(long, env = "TASKWIRE_DATA_DIR", value_name = "DIRECTORY", default_value = "taskwire-data")]
    pub data_dir: PathBuf,

    /// Database: sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE [default: sqlite:DATA_DIR/taskwire.db]
    #[arg(long, env = "TASKWIRE_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<SecretString>,

    /// Standbys of PostgreSQL that answer reads whose callers say how new is new enough: their URLs, comma-separated
    #[arg(long, env = "TASKWIRE_READ_URLS", value_name = "URLS", default_value = "", hide_env_values = true)]
    pub read_urls: SecretString,

    /// Go straight to the workers of a Citus, at the addresses that its coordinator knows, for what concerns single tasks
    /// and lists
    #[arg(long, env = "TASKWIRE_CITUS_DIRECT", value_name = "BOOL", num_args = 0..=1, default_value = "false", default_missing_value = "true", action = clap::ArgAction::Set)]
    pub citus_direct: bool,

    /// Apply missing migrations at start (SQLite always does)
    #[arg(long, env = "TASKWIRE_MIGRATE", value_name = "BOOL", num_args = 0..=1, default_value = "false", default_missing_value = "true", action = clap::ArgAction::Set)]
    pub migrate: bool,

    /// Ed25519 private keys (PKCS#8 PEM) that sign access tokens; required with PostgreSQL, made at first start
    /// with SQLite. Read again when it changes, and on SIGHUP [default: DATA_DIR/signing-key.pem]
    #[arg(long, env = "TASKWIRE_SIGNING_KEY_FILE", value_name = "FILE")]
    pub signing_key_file: Option<PathBuf>,

    /// Keys that seal secrets in the database, such as those of second factors: 32 bytes in base64 a line; the first seals,
    /// all of them open. Made at first start with SQLite. Read again when it changes, and on SIGHUP [default: with SQLite
    /// DATA_DIR/secrets.key, else none]
    // A text rather than a path, because empty stands for none.
    #[arg(
        long,
        env = "TASKWIRE_SECRETS_KEY_FILE",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub secrets_key_file: String,

    /// Issuer (`iss`) of access tokens
    #[arg(long, env = "TASKWIRE_TOKEN_ISSUER", value_name = "TEXT", default_value = "taskwire")]
    pub token_issuer: String,

    /// Audience (`aud`) of access tokens
    #[arg(long, env = "TASKWIRE_TOKEN_AUDIENCE", value_name = "TEXT", default_value = "taskwire")]
    pub token_audience: String,

    /// How long an access token lasts
    // Short, because a token that leaks works until it ends.
    #[arg(long, env = "TASKWIRE_ACCESS_TOKEN_SECONDS", value_name = "SECONDS", default_value = "900")]
    pub access_token_seconds: NonZeroU32,

    /// How long a session lasts after its last refresh
    #[arg(long, env = "TASKWIRE_REFRESH_TOKEN_DAYS", value_name = "DAYS", default_value = "30")]
    pub refresh_token_days: NonZeroU32,

    /// How long a session lasts at most, however often it is refreshed
    #[arg(long, env = "TASKWIRE_SESSION_DAYS_MAX", value_name = "DAYS", default_value = "90")]
    pub session_days_max: NonZeroU32,

    /// Shortest password that is accepted, in characters; 15 is better where there is no second factor
    #[arg(long, env = "TASKWIRE_PASSWORD_LENGTH_MIN", value_name = "COUNT", default_value = "8")]
    pub password_length_min: u8,

    /// Who may register: anyone, or administrators alone
    #[arg(long, env = "TASKWIRE_REGISTRATION_OPEN", value_name = "BOOL", num_args = 0..=1, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    pub registration_open: bool,

    /// JSON file that names other issuers whose access tokens are taken
    // A text rather than a path, because empty stands for none.
    #[arg(long, env = "TASKWIRE_TRUSTED_ISSUERS_FILE", value_name = "FILE", default_value = "")]
    pub trusted_issuers_file: String,

    /// Gateways whose word on the caller's address is taken (x-forwarded-for): addresses or networks, comma-separated
    #[arg(long, env = "TASKWIRE_TRUSTED_PROXIES", value_name = "NETWORKS", default_value = "")]
    pub trusted_proxies: String,

    /// How long audit events are kept
    #[arg(long, env = "TASKWIRE_AUDIT_KEPT_DAYS", value_name = "DAYS", default_value = "90")]
    pub audit_kept_days: NonZeroU32,

    /// How long a deleted task can be taken back
    #[arg(long, env = "TASKWIRE_PURGE_AFTER_DAYS", value_name = "DAYS", default_value = "30")]
    pub purge_after_days: NonZeroU32,

    /// How many tasks that are not deleted one user may have
    #[arg(long, env = "TASKWIRE_TASKS_PER_USER_MAX", value_name = "COUNT", default_value = "100000")]
    pub tasks_per_user_max: NonZeroU32,

    /// How long the changes of tasks are kept for whoever follows them
    #[arg(long, env = "TASKWIRE_CHANGES_KEPT_DAYS", value_name = "DAYS", default_value = "30")]
    pub changes_kept_days: NonZeroU32,

    /// How many watch streams one user may have open
    #[arg(long, env = "TASKWIRE_STREAMS_PER_USER_MAX", value_name = "COUNT", default_value = "32")]
    pub streams_per_user_max: NonZeroU16,

    /// Connections to PostgreSQL
    #[arg(long, env = "TASKWIRE_POSTGRES_CONNECTIONS_MAX", value_name = "COUNT", default_value = "20")]
    pub postgres_connections_max: NonZeroU32,

    /// Reading connections to SQLite, beside the one that writes
    #[arg(long, env = "TASKWIRE_SQLITE_READERS_MAX", value_name = "COUNT", default_value = "4")]
    pub sqlite_readers_max: NonZeroU32,

    /// Lanes that carry many callers' reads, lists and writes, so many of each: a number, `auto` for one per core up to 4, or
    /// `off` for a pool call by call
    #[arg(long, env = "TASKWIRE_LANES", value_name = "COUNT", default_value = "auto", value_parser = lanes::parse)]
    pub lanes: Lanes,

    /// Longest wait for a new connection to the database
    #[arg(long, env = "TASKWIRE_CONNECT_TIMEOUT_MS", value_name = "MILLISECONDS", default_value = "5000")]
    pub connect_timeout_ms: NonZeroU64,

    /// Longest wait for a free connection; a call that waits longer is answered UNAVAILABLE
    // Well below the deadline of a call, so that the caller hears of it.
    #[arg(long, env = "TASKWIRE_CHECKOUT_TIMEOUT_MS", value_name = "MILLISECONDS", default_value = "500")]
    pub checkout_timeout_ms: NonZeroU64,

    /// Longest time one statement may take
    #[arg(long, env = "TASKWIRE_STATEMENT_TIMEOUT_MS", value_name = "MILLISECONDS", default_value = "5000")]
    pub statement_timeout_ms: NonZeroU64,

    /// Longest wait of a statement for a lock
    #[arg(long, env = "TASKWIRE_LOCK_TIMEOUT_MS", value_name = "MILLISECONDS", default_value = "2000")]
    pub lock_timeout_ms: NonZeroU64,

    /// Largest message taken in, in bytes
    #[arg(long, env = "TASKWIRE_MESSAGE_BYTES_MAX", value_name = "BYTES", default_value = "1048576")]
    pub message_bytes_max: NonZeroU32,

    /// How long calls under way may go on after a signal to stop
    #[arg(long, env = "TASKWIRE_DRAIN_TIMEOUT_MS", value_name = "MILLISECONDS", default_value = "10000")]
    pub drain_timeout_ms: u64,

    /// What is set about the edge
    #[command(flatten)]
    pub edge: EdgeSettings,

    /// What is set about what leaves the house
    #[command(flatten)]
    pub outbound: OutboundSettings,

    /// What is set for whoever runs the service
    #[command(flatten)]
    pub operator: OperatorSettings,

    /// What is logged: error, warn, info, debug, trace, or a filter such as info,taskwire=debug
    #[arg(long, env = "TASKWIRE_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,

    /// How log lines look
    #[arg(long, env = "TASKWIRE_LOG_FORMAT", value_name = "FORMAT", default_value = "auto")]
    pub log_format: LogFormat,
}

/// What is wrong with one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The environment variable; the flag is named after it.
    pub key: &'static str,
    /// What is wrong, without the value where that may be secret.
    pub text: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = self.key.trim_start_matches("TASKWIRE_").to_lowercase().replace('_', "-");
        write!(f, "{} (--{flag}): {}", self.key, self.text)
    }
}

/// The settings, checked as a whole.
#[derive(Debug, Clone)]
pub struct Config {
    /// As given, with defaults filled in.
    pub settings: Settings,
    /// Where everything is kept; nothing is connected yet.
    pub storage: Storage,
    /// The signing key's file.
    pub signing_key_file: PathBuf,
    /// Whether that file may be made when it is missing.
    pub make_signing_key: bool,
    /// The file of the keys that seal secrets, if there are to be any.
    pub secrets_key_file: Option<PathBuf>,
    /// Whether that file may be made when it is missing.
    pub make_secrets_key: bool,
}

impl Settings {
    /// The settings that hold where nothing is set; neither the environment nor a file is read. Every default that an
    /// operator can set otherwise stands in the attributes above, and nowhere else.
    ///
    /// # Errors
    /// None, as long as every default is one that the setting takes.
    pub fn defaults() -> Result<Self, clap::Error> {
        let command =
            Self::augment_args(Command::new("taskwire")).mut_args(|argument| argument.env(Resettable::Reset));
        Self::from_arg_matches(&command.try_get_matches_from(["taskwire"])?)
    }

    fn database_url(&self) -> SecretString {
        self.database_url
            .clone()
            .unwrap_or_else(|| format!("sqlite:{}", self.data_dir.join("taskwire.db").display()).into())
    }

    /// The limits of the storage.
    pub fn storage_limits(&self) -> Limits {
        let milliseconds = |value: NonZeroU64| Duration::from_millis(value.get());
        Limits {
            postgres_connections_max: self.postgres_connections_max.get(),
            sqlite_readers_max: self.sqlite_readers_max.get(),
            connect_timeout: milliseconds(self.connect_timeout_ms),
            checkout_timeout: milliseconds(self.checkout_timeout_ms),
            statement_timeout: milliseconds(self.statement_timeout_ms),
            lock_timeout: milliseconds(self.lock_timeout_ms),
            // Longer than what a busy server takes, and short enough that a caller hardly notices one that hangs.
            standby_timeout: Duration::from_millis(500),
            lanes: self.lanes.count(),
        }
    }

    /// What is logged and traced.
    pub fn telemetry(&self) -> telemetry::Wanted<'_> {
        telemetry::Wanted {
            log: &self.log,
            format: self.log_format,
            trace_endpoint: &self.operator.trace_endpoint,
            trace_ratio: self.operator.trace_ratio,
        }
    }

    /// The limits of the transport.
    pub fn transport_limits(&self) -> TransportLimits {
        let drain_timeout = Duration::from_millis(self.drain_timeout_ms);
        self.edge.limits(self.message_bytes_max.get() as usize, drain_timeout)
    }

    /// What tokens say and how long they last.
    pub fn tokens(&self) -> TokenConfig {
        TokenConfig {
            issuer: self.token_issuer.clone(),
            audience: self.token_audience.clone(),
            access_ttl: Duration::from_secs(self.access_token_seconds.get().into()),
        }
    }

    /// How long sessions last.
    pub fn accounts(&self) -> AccountsConfig {
        AccountsConfig {
            refresh_ttl: days(self.refresh_token_days),
            session_ttl_max: days(self.session_days_max),
            registration_open: self.registration_open,
            audit_kept: days(self.audit_kept_days),
            throttle: ThrottleRules::default(),
            email_verification: self.outbound.email_verification,
        }
    }

    /// The networks of the gateways.
    ///
    /// # Errors
    /// What they must be instead.
    pub fn proxies(&self) -> Result<Vec<IpNet>, &'static str> {
        networks(&self.trusted_proxies)
    }

    /// The other issuers, read from their file.
    ///
    /// # Errors
    /// What is wrong with the file or an issuer.
    pub fn issuers(&self, storage: &Storage, clock: &Clock) -> Result<Issuers, String> {
        match Some(Path::new(&self.trusted_issuers_file)).filter(|file| !file.as_os_str().is_empty()) {
            None => Ok(Issuers::none(storage.clone(), clock.clone())),
            Some(file) => {
                let configs = Issuers::read_file(file)?;
                Issuers::new(configs, &self.token_issuer, storage.clone(), clock.clone())
            }
        }
    }

    /// Which passwords are accepted.
    pub fn passwords(&self) -> PasswordPolicy {
        PasswordPolicy { code_points_min: self.password_length_min.into() }
    }

    /// What is configured about tasks.
    pub fn tasks(&self) -> TaskRules {
        TaskRules {
            purge_after: days(self.purge_after_days),
            live_tasks_max: self.tasks_per_user_max.get().into(),
            changes_kept: days(self.changes_kept_days),
            watch: WatchLimits::of_user(self.streams_per_user_max.get().into()),
        }
    }

    /// Checks everything that one setting alone does not show.
    ///
    /// # Errors
    /// All problems at once.
    pub fn validate(self) -> Result<Config, Vec<ConfigError>> {
        let mut problems = Vec::new();
        let mut problem = |key, text: &str| problems.push(ConfigError { key, text: text.to_owned() });

        let mut storage = Storage::open(self.database_url().expose_secret(), self.storage_limits());
        if let Err(OpenError::Url(text)) = &storage {
            problem("TASKWIRE_DATABASE_URL", text);
        } else {
            storage = storage.and_then(|storage| storage.with_standbys(self.read_urls.expose_secret()));
            if let Err(OpenError::Url(text)) = &storage {
                problem("TASKWIRE_READ_URLS", text);
            } else if self.citus_direct {
                storage = storage.and_then(Storage::with_direct_workers);
                if let Err(OpenError::Url(text)) = &storage {
                    problem("TASKWIRE_CITUS_DIRECT", text);
                }
            }
        }
        let embedded = storage.as_ref().is_ok_and(Storage::is_embedded);
        if !embedded && storage.is_ok() && self.signing_key_file.is_none() {
            let text = "is required with PostgreSQL, so that all replicas share one key; \
                        make one with `taskwire keys generate --out signing-key.pem`";
            problem("TASKWIRE_SIGNING_KEY_FILE", text);
        }
        for (key, text) in
            [("TASKWIRE_TOKEN_ISSUER", &self.token_issuer), ("TASKWIRE_TOKEN_AUDIENCE", &self.token_audience)]
        {
            if text.trim().is_empty() {
                problem(key, "must not be empty");
            }
        }
        if !(8..=64).contains(&self.password_length_min) {
            problem("TASKWIRE_PASSWORD_LENGTH_MIN", "must be between 8 and 64");
        }
        if let Err(text) = self.proxies() {
            problem("TASKWIRE_TRUSTED_PROXIES", text);
        }
        if let Ok(storage) = &storage
            && let Err(text) = self.issuers(storage, &Clock::system())
        {
            problem("TASKWIRE_TRUSTED_ISSUERS_FILE", &text);
        }
        for (key, value, max) in self.upper_bounds() {
            if value > max {
                problem(key, &format!("must be at most {max}"));
            }
        }
        if self.lock_timeout_ms > self.statement_timeout_ms {
            problem("TASKWIRE_LOCK_TIMEOUT_MS", "must not be longer than TASKWIRE_STATEMENT_TIMEOUT_MS");
        }
        if let Err(error) = telemetry::filter(&self.log) {
            problem("TASKWIRE_LOG", &format!("is not a log filter: {error}"));
        }

        problems.extend(self.edge.problems());
        problems.extend(self.operator.problems());
        problems.extend(self.outbound.problems());

        match storage {
            Ok(storage) if problems.is_empty() => Ok(Config {
                signing_key_file: self
                    .signing_key_file
                    .clone()
                    .unwrap_or_else(|| self.data_dir.join("signing-key.pem")),
                make_signing_key: self.signing_key_file.is_none(),
                secrets_key_file: match self.secrets_key_file.as_str() {
                    "" => embedded.then(|| self.data_dir.join("secrets.key")),
                    file => Some(file.into()),
                },
                make_secrets_key: self.secrets_key_file.is_empty(),
                storage,
                settings: self,
            }),
            _ => Err(problems),
        }
    }

    /// Largest values that make sense; beyond them lies a slip of the finger.
    fn upper_bounds(&self) -> [(&'static str, u64, u64); 14] {
        const DAY_SECONDS: u64 = 24 * 60 * 60;
        [
            ("TASKWIRE_ACCESS_TOKEN_SECONDS", self.access_token_seconds.get().into(), DAY_SECONDS),
            ("TASKWIRE_REFRESH_TOKEN_DAYS", self.refresh_token_days.get().into(), 3650),
            ("TASKWIRE_SESSION_DAYS_MAX", self.session_days_max.get().into(), 3650),
            ("TASKWIRE_AUDIT_KEPT_DAYS", self.audit_kept_days.get().into(), 3650),
            ("TASKWIRE_PURGE_AFTER_DAYS", self.purge_after_days.get().into(), 3650),
            ("TASKWIRE_CHANGES_KEPT_DAYS", self.changes_kept_days.get().into(), 3650),
            ("TASKWIRE_POSTGRES_CONNECTIONS_MAX", self.postgres_connections_max.get().into(), 1000),
            ("TASKWIRE_SQLITE_READERS_MAX", self.sqlite_readers_max.get().into(), 64),
            ("TASKWIRE_CONNECT_TIMEOUT_MS", self.connect_timeout_ms.get(), 60_000),
            ("TASKWIRE_CHECKOUT_TIMEOUT_MS", self.checkout_timeout_ms.get(), 60_000),
            ("TASKWIRE_STATEMENT_TIMEOUT_MS", self.statement_timeout_ms.get(), 600_000),
            ("TASKWIRE_LOCK_TIMEOUT_MS", self.lock_timeout_ms.get(), 600_000),
            ("TASKWIRE_MESSAGE_BYTES_MAX", self.message_bytes_max.get().into(), 64 * 1024 * 1024),
            ("TASKWIRE_DRAIN_TIMEOUT_MS", self.drain_timeout_ms, 3_600_000),
        ]
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn days(count: NonZeroU32) -> Duration {
    Duration::from_secs(u64::from(count.get()) * 24 * 60 * 60)
}

impl Config {
    /// Every setting with its value, as `KEY=value` lines; secrets are masked.
    pub fn print(&self) -> String {
        let settings = &self.settings;
        let lines = [
            ("TASKWIRE_LISTEN", settings.listen.to_string()),
            ("TASKWIRE_DATA_DIR", shown(&settings.data_dir)),
            ("TASKWIRE_DATABASE_URL", Storage::mask(settings.database_url().expose_secret())),
            ("TASKWIRE_READ_URLS", Storage::mask_all(settings.read_urls.expose_secret())),
            ("TASKWIRE_CITUS_DIRECT", settings.citus_direct.to_string()),
            ("TASKWIRE_MIGRATE", settings.migrate.to_string()),
            ("TASKWIRE_SIGNING_KEY_FILE", shown(&self.signing_key_file)),
            ("TASKWIRE_SECRETS_KEY_FILE", self.secrets_key_file.as_deref().map(shown).unwrap_or_default()),
            ("TASKWIRE_TOKEN_ISSUER", settings.token_issuer.clone()),
            ("TASKWIRE_TOKEN_AUDIENCE", settings.token_audience.clone()),
            ("TASKWIRE_ACCESS_TOKEN_SECONDS", settings.access_token_seconds.to_string()),
            ("TASKWIRE_REFRESH_TOKEN_DAYS", settings.refresh_token_days.to_string()),
            ("TASKWIRE_SESSION_DAYS_MAX", settings.session_days_max.to_string()),
            ("TASKWIRE_PASSWORD_LENGTH_MIN", settings.password_length_min.to_string()),
            ("TASKWIRE_REGISTRATION_OPEN", settings.registration_open.to_string()),
            ("TASKWIRE_TRUSTED_ISSUERS_FILE", settings.trusted_issuers_file.clone()),
            ("TASKWIRE_TRUSTED_PROXIES", settings.trusted_proxies.clone()),
            ("TASKWIRE_AUDIT_KEPT_DAYS", settings.audit_kept_days.to_string()),
            ("TASKWIRE_PURGE_AFTER_DAYS", settings.purge_after_days.to_string()),
            ("TASKWIRE_TASKS_PER_USER_MAX", settings.tasks_per_user_max.to_string()),
            ("TASKWIRE_CHANGES_KEPT_DAYS", settings.changes_kept_days.to_string()),
            ("TASKWIRE_STREAMS_PER_USER_MAX", settings.streams_per_user_max.to_string()),
            ("TASKWIRE_POSTGRES_CONNECTIONS_MAX", settings.postgres_connections_max.to_string()),
            ("TASKWIRE_SQLITE_READERS_MAX", settings.sqlite_readers_max.to_string()),
            ("TASKWIRE_LANES", settings.lanes.to_string()),
            ("TASKWIRE_CONNECT_TIMEOUT_MS", settings.connect_timeout_ms.to_string()),
            ("TASKWIRE_CHECKOUT_TIMEOUT_MS", settings.checkout_timeout_ms.to_string()),
            ("TASKWIRE_STATEMENT_TIMEOUT_MS", settings.statement_timeout_ms.to_string()),
            ("TASKWIRE_LOCK_TIMEOUT_MS", settings.lock_timeout_ms.to_string()),
            ("TASKWIRE_MESSAGE_BYTES_MAX", settings.message_bytes_max.to_string()),
            ("TASKWIRE_DRAIN_TIMEOUT_MS", settings.drain_timeout_ms.to_string()),
            ("TASKWIRE_LOG", settings.log.clone()),
            ("TASKWIRE_LOG_FORMAT", format!("{:?}", settings.log_format).to_lowercase()),
        ];
        let (edge, operator) = (settings.edge.lines(), settings.operator.lines());
        let outbound = settings.outbound.lines();
        lines
            .iter()
            .chain(&edge)
            .chain(&operator)
            .chain(&outbound)
            .map(|(key, value)| format!("{key}={value}\n"))
            .collect()
    }
}
