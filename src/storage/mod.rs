//! Storage: diesel-async repositories over two engines, SQLite and PostgreSQL, behind one set of methods.
//!
//! The URL's scheme chooses the engine. Nothing here names tonic or the generated code, and no text of a
//! database leaves here but inside an `Error` meant for the log.

mod accounts;
mod budget;
mod check;
mod engine;
mod events;
mod leases;
pub(crate) mod schema;
mod secrets;
mod tasks;
mod transfer;

use std::path::Path;
use std::sync::{Arc, OnceLock};

pub use accounts::api_keys::{ApiKeys, KeyHolder};
pub use accounts::audit::AuditEvents;
pub use accounts::identities::{Identities, Identity};
pub use accounts::login_challenges::{Completion, LoginChallenges, ShownFactor};
pub use accounts::mail_tokens::MailTokens;
pub use accounts::mails::Mails;
pub use accounts::registrations::{Registered, Registration, Remembered};
pub use accounts::revocations::{Revocation, RevocationMark, Revocations};
pub use accounts::second_factors::SecondFactors;
pub use accounts::sessions::{Rotation, Sessions, Verified};
pub use accounts::throttles::{Counter, Throttles};
pub use accounts::users::{Account, Users};
pub use budget::ConnectionBudget;
pub use check::{FINDINGS_MAX, Finding, Findings, Invariant};
pub use engine::deadline::Deadline;
pub use engine::limits::Limits;
pub use engine::meters::{PoolState, StorageErrors};
pub use engine::migrations::{AppliedMigration, SchemaState};
pub use events::journal::{Journal, JournalHead, Sequenced};
pub use events::listeners::{Listener, Listeners};
pub use events::queues::{QueueCounts, WebhookQueues};
pub use events::reminders::TaskReminders;
pub use events::webhooks::{SealedSecrets, WEBHOOKS_PER_USER_MAX, Webhooks};
pub use leases::Leases;
pub use secrets::Secrets;
pub use tasks::Tasks;
pub use tasks::changes::Changes;
pub use tasks::lane::LaneMetrics;
pub use tasks::lists::{TaskListPage, TaskLists};
pub use tasks::notifier::{Notifier, Subscription};
pub use tasks::operation::{Idempotency, Operation, Outcome, Review, WriteError};
pub use tasks::standbys::{ReadCounts, StandbyState};
pub use transfer::{Class, Column, Copied, CopyEnd, Piece, Source, Told, TransferError, carried_tables};

use crate::domain::{Clock, Error, Result, Timestamp, machine_time};
use engine::pool::{Engine, Pool};
use engine::postgres::Planner;
use engine::server::Server;
use tasks::lanes::{LANE_KINDS, Lanes};
use tasks::shards::Shards;
use tasks::standbys::{self, Standbys};

/// The target of the spans that become traces. Logs leave it out.
pub const SPANS: &str = "taskwire::spans";

/// Why the storage cannot be used.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum OpenError {
    /// The URL is wrong; the text completes "the URL …".
    #[error("the database URL {0}")]
    Url(String),
    /// The database does not answer now, and may later.
    #[error("the database does not answer: {0}")]
    Away(String),
    /// The database answers and refuses; only a person can mend it.
    #[error("the database refuses: {0}")]
    Refused(String),
    /// The schema is older than the program.
    #[error(
        "the database schema is older than this program ({pending} migration(s) to apply): run `taskwire migrate up`, or start with --migrate"
    )]
    SchemaBehind {
        /// How many migrations are missing.
        pending: usize,
    },
    /// The schema is newer than the program.
    #[error(
        "the database schema is newer than this program (it holds {version}, which this program does not know): run a newer taskwire"
    )]
    SchemaAhead {
        /// The newest version that is not known.
        version: String,
    },
    /// Some tables are spread over several servers, and others that should be are not.
    #[error(
        "the database is distributed in part (not as it has to be: {missing}): run `taskwire migrate distribute`"
    )]
    HalfDistributed {
        /// The tables.
        missing: String,
    },
    /// A migration failed.
    #[error("a migration failed: {0}")]
    Migration(String),
}

#[derive(Debug, Clone)]
enum Target {
    Postgres(Box<engine::postgres::Target>),
    Sqlite(engine::sqlite::Target),
}

impl std::fmt::Debug for engine::postgres::Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Target").field(&self.shown()).finish()
    }
}

/// The database of the service. Cheap to clone; clones share the connections.
#[derive(Debug, Clone)]
pub struct Storage {
    target: Target,
    pool: Pool,
    /// For what reaches rows by their key alone, outside the lanes.
    by_key: Pool,
    /// For looks at the database: nothing else is ever under way on it, and so nothing but silence.
    probe: Pool,
    notifier: Notifier,
    /// Opened with the first call, since they need a runtime.
    lanes: Arc<OnceLock<Lanes>>,
    shards: Arc<OnceLock<Arc<Shards>>>,
    standbys: Arc<Standbys>,
    /// Whether what can goes straight to the workers of a cluster.
    to_workers: bool,
}

impl Storage {
    /// Reads the URL and prepares the connections; none is made yet.
    ///
    /// `sqlite:path` names a file, `postgres://user:password@host:port/database` a server, or several with commas
    /// between them.
    ///
    /// # Errors
    /// `OpenError::Url` with what is wrong; the URL is not repeated, as it may hold a password.
    pub fn open(url: &str, limits: Limits) -> Result<Self, OpenError> {
        Self::open_at(url, limits, machine_time())
    }

    /// As `open`, on a machine that believes that it is `now`.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_at(url: &str, limits: Limits, now: Timestamp) -> Result<Self, OpenError> {
        if url.starts_with("sqlite:") {
            let target = engine::sqlite::Target::parse(url).map_err(OpenError::Url)?;
            // Nobody else tells the time.
            let server = Arc::new(Server::new(Clock::following(now, false)));
            let pool = Pool::sqlite(&target, limits, &server);
            Ok(Self::of(Target::Sqlite(target), pool.clone(), pool.clone(), pool))
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let target = engine::postgres::Target::parse(url, limits).map_err(OpenError::Url)?;
            let server = Arc::new(Server::new(Clock::following(now, true)));
            let others = limits.lanes_of(LANE_KINDS) + 1;
            let (pool, by_key) = Pool::postgres(&target, limits, &server, others);
            let probe = Pool::single(&target, Planner::Free, None, &pool);
            Ok(Self::of(Target::Postgres(Box::new(target)), pool, by_key, probe))
        } else {
            Err(OpenError::Url("must begin with sqlite: or postgres://".into()))
        }
    }

    fn of(target: Target, pool: Pool, by_key: Pool, probe: Pool) -> Self {
        let notifier = Notifier::new(pool.server().histories());
        let standbys = Arc::new(Standbys::none(pool.server()));
        let (lanes, shards) = (Arc::default(), Arc::default());
        Self { target, pool, by_key, probe, notifier, lanes, shards, standbys, to_workers: false }
    }

    /// With standbys that answer reads: their `postgres://` URLs, with commas or spaces between. None is connected to yet,
    /// and none is asked before `probe_standbys` has seen it.
    ///
    /// # Errors
    /// `OpenError::Url` with what is wrong; no URL is repeated, as it may hold a password.
    pub fn with_standbys(self, urls: &str) -> Result<Self, OpenError> {
        let urls = standbys::urls(urls);
        if !urls.is_empty() && self.is_embedded() {
            let text = "are of standbys of PostgreSQL, and TASKWIRE_DATABASE_URL is another database";
            return Err(OpenError::Url(text.into()));
        }
        let standbys = Standbys::at(&urls, self.pool.limits, self.pool.server());
        let standbys =
            standbys.map_err(|(number, text)| OpenError::Url(format!("number {} {text}", number + 1)))?;
        Ok(Self { standbys: Arc::new(standbys), ..self })
    }

    /// With connections straight to the workers of a cluster of Citus, for what concerns single tasks and lists. They are at
    /// the addresses that the coordinator knows, and take the same user and password. None is connected to yet, and none
    /// is asked before `probe_workers` has seen it.
    ///
    /// # Errors
    /// `OpenError::Url` where the database is not PostgreSQL.
    pub fn with_direct_workers(self) -> Result<Self, OpenError> {
        if self.is_embedded() {
            let text = "is for a PostgreSQL with Citus, and TASKWIRE_DATABASE_URL is another database";
            return Err(OpenError::Url(text.into()));
        }
        Ok(Self { to_workers: true, ..self })
    }

    /// Looks at where the shards of a cluster are, and at its workers. To be asked every second.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn probe_workers(&self) -> Result<()> {
        self.shards().probe().await
    }

    /// Looks at the standbys, whether and how far behind they follow the primary. To be asked every second.
    pub async fn probe_standbys(&self) {
        self.standbys.probe().await;
    }

    /// How the standbys stand.
    pub fn standby_states(&self) -> Vec<StandbyState> {
        self.standbys.states()
    }

    /// Who answered reads of tasks and changes.
    pub fn read_counts(&self) -> ReadCounts {
        self.standbys.counts()
    }

    /// The clock by which everything in this database goes: on PostgreSQL the server's, so that all replicas have one;
    /// on SQLite this machine's.
    pub fn clock(&self) -> &Clock {
        self.pool.server().clock()
    }

    /// A URL without the password that it may hold.
    pub fn mask(url: &str) -> String {
        if url.starts_with("sqlite:") { url.to_owned() } else { engine::postgres::mask(url) }
    }

    /// The URLs of standbys without the passwords that they may hold.
    pub fn mask_all(urls: &str) -> String {
        standbys::urls(urls).into_iter().map(Self::mask).collect::<Vec<_>>().join(",")
    }

    /// Whether this is the embedded engine, which migrates itself at start.
    pub const fn is_embedded(&self) -> bool {
        matches!(self.target, Target::Sqlite(_))
    }

    /// The database file of the embedded engine.
    pub fn file(&self) -> Option<&Path> {
        match &self.target {
            Target::Sqlite(target) => Some(target.path()),
            Target::Postgres(_) => None,
        }
    }

    /// Engine and place, for people; never a user or a password.
    pub fn describe(&self) -> String {
        match &self.target {
            Target::Postgres(target) => format!("PostgreSQL at {}", target.shown()),
            Target::Sqlite(target) => format!("SQLite in {}", target.path().display()),
        }
    }

    /// Asks the database, in one round trip, whether it can be worked with: whether it answers, can be written to, and
    /// is the one that it was. Holds the clock to the database's. To be asked every second.
    ///
    /// # Errors
    /// `StorageUnavailable`, `Overloaded` or `DeadlineExceeded`.
    pub async fn probe(&self) -> Result<()> {
        if let Engine::Postgres(connections) = &self.probe.engine {
            let server = self.pool.server();
            return Box::pin(self.probe.bounded(engine::connections::probe(connections, server))).await;
        }
        self.clock().hold_to_machine();
        let history = self.history().await?;
        self.pool.saw_history(history);
        Ok(())
    }

    /// Whether the database that answered last can only be read.
    pub fn is_read_only(&self) -> bool {
        self.pool.server().is_read_only()
    }

    /// The tasks.
    pub fn tasks(&self) -> Tasks<'_> {
        Tasks::new(&self.pool, &self.by_key, &self.notifier, self.lanes(), self.shards(), &self.standbys)
    }

    /// Where the users' rows are, if they are spread.
    fn shards(&self) -> &Arc<Shards> {
        let coordinator = match &self.target {
            Target::Postgres(target) if self.to_workers => Some(target.as_ref()),
            Target::Postgres(_) | Target::Sqlite(_) => None,
        };
        self.shards.get_or_init(|| Arc::new(Shards::open(&self.pool, coordinator)))
    }

    /// `None` when every call goes to the pool by itself.
    fn lanes(&self) -> Option<&Lanes> {
        (self.pool.limits.lanes > 0).then(|| self.lanes.get_or_init(|| Lanes::open(self)))
    }

    /// How the lanes are doing, reading ones first; empty when there are none.
    pub fn lane_metrics(&self) -> Vec<(&'static str, &LaneMetrics)> {
        self.lanes.get().map(Lanes::metrics).unwrap_or_default()
    }

    /// How the pools of connections stand.
    pub fn pool_states(&self) -> Vec<PoolState> {
        let mut states = self.pool.state("shared");
        if !self.is_embedded() {
            states.extend(self.by_key.state("by_key"));
        }
        states.extend(self.lanes.get().and_then(Lanes::pool_state));
        states.extend(self.standbys.pool_state());
        states.extend(self.shards.get().and_then(|shards| shards.pool_state()));
        states
    }

    /// Operations that failed, by kind.
    pub fn errors(&self) -> &StorageErrors {
        self.pool.errors()
    }

    /// The change log.
    pub fn changes(&self) -> Changes<'_> {
        Changes::new(&self.pool, &self.by_key, &self.standbys)
    }

    /// The lists of tasks.
    pub fn task_lists(&self) -> TaskLists<'_> {
        TaskLists::new(&self.pool, &self.by_key)
    }

    /// News of changes, for whoever waits for them.
    pub fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    /// The accounts.
    pub fn users(&self) -> Users<'_> {
        Users::new(&self.pool, &self.by_key)
    }

    /// The sessions.
    pub fn sessions(&self) -> Sessions<'_> {
        Sessions::new(&self.pool)
    }

    /// The API keys.
    pub fn api_keys(&self) -> ApiKeys<'_> {
        ApiKeys::new(&self.pool)
    }

    /// Who is who at other issuers.
    pub fn identities(&self) -> Identities<'_> {
        Identities::new(&self.pool)
    }

    /// The second factors.
    pub fn second_factors(&self) -> SecondFactors<'_> {
        SecondFactors::new(&self.pool)
    }

    /// Logins that wait for a second factor.
    pub fn login_challenges(&self) -> LoginChallenges<'_> {
        LoginChallenges::new(&self.pool)
    }

    /// Mail that waits to be sent.
    pub fn mails(&self) -> Mails<'_> {
        Mails::new(&self.pool)
    }

    /// Tokens that mails bring.
    pub fn mail_tokens(&self) -> MailTokens<'_> {
        MailTokens::new(&self.pool)
    }

    /// What has been taken back lately.
    pub fn revocations(&self) -> Revocations<'_> {
        Revocations::new(&self.pool)
    }

    /// Wrong passwords lately.
    pub fn throttles(&self) -> Throttles<'_> {
        Throttles::new(&self.pool)
    }

    /// What happened to the accounts.
    pub fn audit_events(&self) -> AuditEvents<'_> {
        AuditEvents::new(&self.pool)
    }

    /// Who listens to what happens.
    pub fn listeners(&self) -> Listeners<'_> {
        Listeners::new(&self.pool, self.notifier.ears())
    }

    /// What happened, in one order for all users.
    pub fn journal(&self) -> Journal<'_> {
        Journal::new(&self.pool, self.notifier.ears())
    }

    /// The reminders of tasks.
    pub fn reminders(&self) -> TaskReminders<'_> {
        TaskReminders::new(&self.pool, &self.by_key, self.notifier.ears())
    }

    /// The webhooks.
    pub fn webhooks(&self) -> Webhooks<'_> {
        Webhooks::new(&self.pool)
    }

    /// What webhooks have still to be told.
    pub fn webhook_queues(&self) -> WebhookQueues<'_> {
        WebhookQueues::new(&self.pool)
    }

    /// Who does a job of which one run serves all replicas.
    pub fn leases(&self) -> Leases<'_> {
        Leases::new(&self.pool, self.notifier.origin())
    }

    /// The keys that all replicas share.
    pub fn secrets(&self) -> Secrets<'_> {
        Secrets::new(&self.pool)
    }
}

/// Turns "no such row" into the error that the call site means by it.
fn found<T>(row: Option<T>, missing: Error) -> Result<T> {
    row.ok_or(missing)
}
