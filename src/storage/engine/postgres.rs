//! Connections to PostgreSQL: to which server, and the limits every session starts with.

mod certificate;
mod hosts;
mod tls;
pub(in crate::storage) mod transaction;
mod url;

use std::sync::Arc;
use std::time::Duration;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::pooled_connection::{ManagerConfig, PoolableConnection as _, RecyclingMethod};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
use futures_util::FutureExt as _;
use hosts::Hosts;
use tokio_postgres::error::SqlState;
use url::DatabaseUrl;
pub(in crate::storage) use url::mask;

use super::server::Server;
use crate::storage::Limits;

/// Where the database is and how to talk to it.
#[derive(Clone)]
pub(in crate::storage) struct Target {
    hosts: Hosts,
    shown: String,
}

/// What the server's planner may choose from on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) enum Planner {
    /// Everything.
    Free,
    /// Reaching rows by their key. A plan is made when a statement is first prepared, perhaps while a table is empty,
    /// and kept: what is right then is wrong soon after.
    ByKey,
    /// As `ByKey`, and rows only in the order in which an index has them.
    InOrder,
}

impl Planner {
    /// What makes it so, for a connection that is new.
    const fn settings(self) -> &'static str {
        match self {
            Self::Free => "",
            Self::ByKey => BY_KEY,
            Self::InOrder => IN_ORDER,
        }
    }
}

/// Also no compiling and no helpers: what is planned costs microseconds, whatever the planner believes.
macro_rules! by_key {
    () => {
        "set enable_seqscan = off; set enable_bitmapscan = off; set enable_hashjoin = off; \
         set enable_mergejoin = off; set enable_memoize = off; set jit = off; \
         set max_parallel_workers_per_gather = 0"
    };
}
const BY_KEY: &str = by_key!();
const IN_ORDER: &str = concat!(by_key!(), "; set enable_sort = off");

/// Why a connection could not be made.
#[derive(Debug)]
pub(in crate::storage) enum ConnectFailure {
    /// The database may come back: refused, timed out, starting up.
    Away(String),
    /// Only a person can mend it: wrong password, no such database, no TLS.
    Refused(String),
}

impl ConnectFailure {
    pub(in crate::storage) fn text(&self) -> &str {
        match self {
            Self::Away(text) | Self::Refused(text) => text,
        }
    }
}

impl Target {
    /// Reads a `postgres://` URL.
    ///
    /// # Errors
    /// What is wrong with it, without repeating it: it may hold a password.
    pub(in crate::storage) fn parse(url: &str, limits: Limits) -> Result<Self, String> {
        Self::of(DatabaseUrl::parse(url)?, limits)
    }

    /// As `parse`, for a server that need not be one that can be written to.
    ///
    /// # Errors
    /// As `parse`.
    pub(in crate::storage) fn parse_standby(url: &str, limits: Limits) -> Result<Self, String> {
        let mut url = DatabaseUrl::parse(url)?;
        url.writable = false;
        Self::of(url, limits)
    }

    fn of(mut url: DatabaseUrl, limits: Limits) -> Result<Self, String> {
        let config = &mut url.config;
        if config.get_application_name().is_none() {
            config.application_name("taskwire");
        }
        if !url.keeps_alive {
            config.keepalives_idle(Duration::from_secs(30));
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(limits.operation_timeout());
        }
        config.options(session_options(config.get_options(), limits));
        let database = config.get_dbname().unwrap_or_default().to_owned();
        let hosts = Hosts::of(url, limits.connect_timeout)?;
        let shown = format!("{}/{database}", hosts.shown());
        Ok(Self { hosts, shown })
    }

    /// The same database on another server, which takes the same user and password.
    pub(in crate::storage) fn at(&self, host: &str, port: u16) -> Self {
        let hosts = self.hosts.at(host, port);
        let database = self.shown.rsplit_once('/').map_or("", |(_, database)| database);
        Self { shown: format!("{}/{database}", hosts.shown()), hosts }
    }

    /// Hosts and database, for people; never the user or the password.
    pub(in crate::storage) fn shown(&self) -> &str {
        &self.shown
    }

    /// Time in which a connection is made, or cannot be made.
    pub(in crate::storage) const fn patience(&self) -> Duration {
        self.hosts.patience()
    }

    /// Makes one connection.
    pub(in crate::storage) async fn connect(
        &self,
        planner: Planner,
    ) -> Result<AsyncPgConnection, ConnectFailure> {
        let (client, connection) = self.hosts.connect().await?;
        let mut connection = AsyncPgConnection::try_from_client_and_connection(client, connection)
            .await
            .map_err(|error| ConnectFailure::Away(error.to_string()))?;
        // Errors are told apart by their text. Only a superuser or a grantee may choose its language; for
        // others the server's own stands, which is English unless somebody changed it.
        let _ = connection.batch_execute("set lc_messages to 'C'").await;
        if planner != Planner::Free {
            let set = connection.batch_execute(planner.settings()).await;
            set.map_err(|error| ConnectFailure::Away(error.to_string()))?;
        }
        Ok(connection)
    }
}

impl Target {
    /// Makes a connection of the driver's own, for rows that go in bulk: nothing on it is limited in time but the wait for locks.
    pub(in crate::storage) async fn bulk(&self) -> Result<tokio_postgres::Client, ConnectFailure> {
        let (client, connection) = self.hosts.connect().await?;
        tokio::spawn(connection);
        let settings = "set statement_timeout = 0; set idle_in_transaction_session_timeout = 0; \
                        set client_min_messages = warning";
        client.batch_execute(settings).await.map_err(|error| classify(&error))?;
        // As in `connect`.
        let _ = client.batch_execute("set lc_messages to 'C'").await;
        Ok(client)
    }
}

/// For a server with Citus; others take such settings as well and heed them not. A statement for many shards goes to one
/// after another, where it would else make a connection for each and drop it again; and a list of users may join them to
/// their emails, which are spread in another way.
const DISTRIBUTED: &str = "-c citus.multi_shard_modify_mode=sequential -c citus.enable_repartition_joins=on";

/// The limits of a session, as the start-up packet carries them: no round trip of their own.
fn session_options(given: Option<&str>, limits: Limits) -> String {
    let ours = format!(
        "-c statement_timeout={} -c lock_timeout={} -c idle_in_transaction_session_timeout={} \
         -c client_connection_check_interval=1000 -c timezone=UTC {DISTRIBUTED}",
        limits.statement_timeout.as_millis(),
        limits.lock_timeout.as_millis(),
        // What a replica holds that was cut off in the middle is let go before anybody who waits for it gives up.
        limits.lock_timeout.as_millis() * 3 / 4,
    );
    match given {
        // What the URL says comes last and wins.
        Some(given) => format!("{ours} {given}"),
        None => ours,
    }
}

/// How the pool makes connections and when it trusts one again.
pub(in crate::storage) fn manager_config(
    target: &Target,
    limits: Limits,
    planner: Planner,
    server: &Arc<Server>,
) -> ManagerConfig<AsyncPgConnection> {
    let (target, server) = (target.clone(), Arc::clone(server));
    let mut config = ManagerConfig::default();
    config.custom_setup = Box::new(move |_| {
        let (target, server) = (target.clone(), Arc::clone(&server));
        async move { establish(&target, limits, planner, &server).await }.boxed()
    });
    // As `Fast`, no query at checkout; but a connection whose socket is known to be closed is not handed out,
    // so that a restart of the database costs nobody an error.
    config.recycling_method =
        RecyclingMethod::CustomFunction(Box::new(|connection: &mut AsyncPgConnection| {
            let alive = if connection.is_broken() {
                Err(diesel::result::Error::BrokenTransactionManager)
            } else {
                Ok(())
            };
            std::future::ready(alive).boxed()
        }));
    config
}

/// Makes one connection to a server that the service can work with.
pub(in crate::storage) async fn establish(
    target: &Target,
    limits: Limits,
    planner: Planner,
    server: &Server,
) -> ConnectionResult<AsyncPgConnection> {
    let admitted = async {
        let mut connection = target.connect(planner).await.map_err(|failure| match failure {
            ConnectFailure::Away(text) | ConnectFailure::Refused(text) => {
                // With several hosts, the driver looks for one that can be written to.
                server.note_read_only(text.contains("does not allow writes"));
                text
            }
        })?;
        server.admit(&mut connection).await?;
        Ok(connection)
    };
    tokio::time::timeout(target.patience().max(limits.connect_timeout), admitted)
        .await
        .unwrap_or_else(|_| Err("connecting took too long".into()))
        .map_err(ConnectionError::BadConnection)
}

fn classify(error: &tokio_postgres::Error) -> ConnectFailure {
    let text = root_cause(error);
    let passing = [
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::TOO_MANY_CONNECTIONS,
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
    ];
    match error.code() {
        Some(code) if !passing.contains(code) => ConnectFailure::Refused(text),
        Some(_) => ConnectFailure::Away(text),
        // Without a code it is the network, unless TLS or the configuration failed.
        None if text.contains("server does not support TLS") || text.contains("certificate") => {
            ConnectFailure::Refused(text)
        }
        None if text.contains("password missing") => ConnectFailure::Refused(text),
        None => ConnectFailure::Away(text),
    }
}

/// The innermost text of an error: `db error` alone helps nobody.
pub(in crate::storage) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
