//! Connections to PostgreSQL: how one is made, and the limits every session starts with.

use std::sync::Arc;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::pooled_connection::{ManagerConfig, PoolableConnection as _, RecyclingMethod};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
use futures_util::FutureExt as _;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::Limits;
use super::postgres_url::{DatabaseUrl, root_cause};
use super::server::Server;

/// Where the database is and how to talk to it.
#[derive(Clone)]
pub(super) struct Target {
    /// One for each host, in the order in which they are tried.
    configs: Vec<tokio_postgres::Config>,
    tls: MakeRustlsConnect,
    /// With and without TLS, in the order in which they are tried.
    ways: &'static [SslMode],
    shown: String,
}

/// Why a connection could not be made.
#[derive(Debug)]
pub(super) enum ConnectFailure {
    /// The database may come back: refused, timed out, starting up.
    Away(String),
    /// Only a person can mend it: wrong password, no such database, no TLS.
    Refused(String),
}

impl Target {
    /// Reads a `postgres://` URL.
    ///
    /// # Errors
    /// What is wrong with it, without repeating it: it may hold a password.
    pub(super) fn parse(url: &str, limits: Limits) -> Result<Self, String> {
        let DatabaseUrl { tls, hosts } = DatabaseUrl::parse(url)?;
        let first = hosts.first().ok_or("names no host")?;
        let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
        let shown = format!("{}/{}", names.join(","), first.config.get_dbname().unwrap_or_default());
        // Time for all of them, should the first ones swallow what they are sent.
        let each = limits.connect_timeout / u32::try_from(hosts.len()).unwrap_or(u32::MAX);
        let prepare = |mut config: tokio_postgres::Config| {
            if config.get_application_name().is_none() {
                config.application_name("taskwire");
            }
            if config.get_connect_timeout().is_none() {
                config.connect_timeout(each);
            }
            config.keepalives_idle(std::time::Duration::from_secs(30));
            if config.get_tcp_user_timeout().is_none() {
                config.tcp_user_timeout(limits.operation_timeout());
            }
            config.options(session_options(config.get_options(), limits));
            config
        };
        let connect = MakeRustlsConnect::new(tls.client_config()?);
        let configs = hosts.into_iter().map(|host| prepare(host.config)).collect();
        Ok(Self { configs, tls: connect, ways: tls.mode.ways(), shown })
    }

    /// Host and database, for people; never the user or the password.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Makes one connection: to the first host that lets us in, in the first way that it takes.
    pub(super) async fn connect(&self) -> Result<AsyncPgConnection, ConnectFailure> {
        let mut failure = ConnectFailure::Away("there is no host".into());
        for config in &self.configs {
            for way in self.ways {
                let mut config = config.clone();
                config.ssl_mode(*way);
                match config.connect(self.tls.clone()).await {
                    Ok((client, connection)) => return opened(client, connection).await,
                    Err(error) => {
                        let is_last = way == self.ways.last().unwrap_or(way);
                        let is_about_tls = concerns_tls(&error);
                        failure = classify(&error);
                        if !is_last && is_about_tls {
                            continue;
                        }
                        // Whoever is known and refuses is right, whichever host comes next.
                        if matches!(failure, ConnectFailure::Refused(_)) {
                            return Err(failure);
                        }
                        break;
                    }
                }
            }
        }
        Err(failure)
    }
}

async fn opened<Stream>(
    client: tokio_postgres::Client,
    connection: tokio_postgres::Connection<tokio_postgres::Socket, Stream>,
) -> Result<AsyncPgConnection, ConnectFailure>
where
    Stream: tokio_postgres::tls::TlsStream + Unpin + Send + 'static,
{
    let mut connection = AsyncPgConnection::try_from_client_and_connection(client, connection)
        .await
        .map_err(|error| ConnectFailure::Away(error.to_string()))?;
    // Errors are told apart by their text. Only a superuser or a grantee may choose its language; for
    // others the server's own stands, which is English unless somebody changed it.
    let _ = connection.batch_execute("set lc_messages to 'C'").await;
    Ok(connection)
}

/// Whether a connection could not be made by reason of TLS: with or without it, it may be had.
fn concerns_tls(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        // `pg_hba.conf` has no line for such a connection.
        Some(code) => *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        None => error.to_string().contains("TLS"),
    }
}

/// The limits of a session, as the start-up packet carries them: no round trip of their own.
fn session_options(given: Option<&str>, limits: Limits) -> String {
    let ours = format!(
        "-c statement_timeout={} -c lock_timeout={} -c idle_in_transaction_session_timeout=10000 \
         -c client_connection_check_interval=1000 -c timezone=UTC",
        limits.statement_timeout.as_millis(),
        limits.lock_timeout.as_millis(),
    );
    match given {
        // What the URL says comes last and wins.
        Some(given) => format!("{ours} {given}"),
        None => ours,
    }
}

/// How the pool makes connections and when it trusts one again.
pub(super) fn manager_config(
    target: &Target,
    limits: Limits,
    server: &Arc<Server>,
) -> ManagerConfig<AsyncPgConnection> {
    let (target, server) = (target.clone(), Arc::clone(server));
    let mut config = ManagerConfig::default();
    config.custom_setup = Box::new(move |_| {
        let (target, server) = (target.clone(), Arc::clone(&server));
        async move { establish(&target, limits, &server).await }.boxed()
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
pub(super) async fn establish(
    target: &Target,
    limits: Limits,
    server: &Server,
) -> ConnectionResult<AsyncPgConnection> {
    let admitted = async {
        let mut connection = target.connect().await.map_err(|failure| match failure {
            ConnectFailure::Away(text) | ConnectFailure::Refused(text) => {
                // With several hosts, the driver looks for one that can be written to.
                server.note_read_only(text.contains("does not allow writes"));
                text
            }
        })?;
        server.admit(&mut connection).await?;
        Ok(connection)
    };
    tokio::time::timeout(limits.connect_timeout, admitted)
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
