//! Which server a connection is made to, and how: host by host, address by address, with TLS and without.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Connection, Socket};

use super::tls::{Connector, Mode, Stream};
use super::url::{DatabaseUrl, Host, Place};
use super::{ConnectFailure, classify};

const TOO_LONG: &str = "connecting took too long";

/// The servers, and how to log in to any of them.
#[derive(Clone)]
pub(super) struct Hosts {
    places: Vec<Place>,
    /// All but the server.
    config: tokio_postgres::Config,
    connector: Connector,
    mode: Mode,
    writable: bool,
    shuffled: bool,
    /// Time for one server.
    share: Duration,
    patience: Duration,
    /// Where the last connection was made to.
    last: Arc<AtomicUsize>,
}

type Connected = (Client, Connection<Socket, Stream>);

impl Hosts {
    /// Those of a URL, all of which are tried within this time unless the URL says how long each is waited for.
    ///
    /// # Errors
    /// What is wrong with what the URL says about TLS.
    pub(super) fn of(url: DatabaseUrl, connect_timeout: Duration) -> Result<Self, String> {
        let count = u32::try_from(url.places.len()).unwrap_or(u32::MAX);
        // With several, a server that hangs must leave time for the others, and one share for what is asked afterwards.
        let shares = if count == 1 { 1 } else { count.saturating_add(1) };
        let (share, patience) = match url.connect_timeout {
            Some(each) => (each, each.saturating_mul(shares).max(connect_timeout)),
            None => (connect_timeout / shares, connect_timeout),
        };
        let mut config = url.config;
        config.connect_timeout(share);
        if url.writable {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        if url.tls.is_direct() {
            config.ssl_negotiation(tokio_postgres::config::SslNegotiation::Direct);
        }
        Ok(Self {
            places: url.places,
            config,
            connector: url.tls.connector()?,
            mode: url.tls.mode(),
            writable: url.writable,
            shuffled: url.shuffled,
            share,
            patience,
            last: Arc::default(),
        })
    }

    /// Another server that takes the same user and password, and the same settings.
    pub(super) fn at(&self, name: &str, port: u16) -> Self {
        let places = vec![Place { host: Host::Tcp(name.to_owned(), None), port }];
        Self { places, last: Arc::default(), ..self.clone() }
    }

    /// Time in which a connection is made or cannot be made.
    pub(super) const fn patience(&self) -> Duration {
        self.patience
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        self.places.iter().map(Place::to_string).collect::<Vec<_>>().join(",")
    }

    /// Makes a connection to the first server that will do.
    pub(super) async fn connect(&self) -> Result<Connected, ConnectFailure> {
        let mut failures = Vec::new();
        for number in self.order() {
            let Some(place) = self.places.get(number) else { continue };
            match Box::pin(within(self.share, self.connect_to(place))).await {
                Ok(connected) => {
                    self.last.store(number, Ordering::Relaxed);
                    return Ok(connected);
                }
                Err(failure) => failures.push((place, failure)),
            }
        }
        Err(summary(failures))
    }

    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.places.len()).collect();
        if self.shuffled {
            fastrand::shuffle(&mut order);
        } else if self.writable {
            // Of several only one can be written to, and mostly it is the same as before: nobody waits again for a
            // server that hangs before it in the list.
            let last = self.last.load(Ordering::Relaxed);
            order.sort_by_key(|number| *number != last);
        }
        order
    }

    async fn connect_to(&self, place: &Place) -> Result<Connected, ConnectFailure> {
        let mut config = self.config.clone();
        config.port(place.port);
        let (name, addresses) = match &place.host {
            Host::Unix(directory) => {
                // Nobody listens there in between.
                config.host_path(directory);
                return self.log_in(&config, &[SslMode::Disable]).await;
            }
            Host::Tcp(name, Some(address)) => (name, vec![*address]),
            Host::Tcp(name, None) => (name, self.look_up(name, place.port).await?),
        };
        config.host(name);
        let share = self.share / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let mut last = ConnectFailure::Away("its name has no address".into());
        for address in addresses {
            let mut config = config.clone();
            config.hostaddr(address);
            match within(share, self.log_in(&config, self.mode.attempts())).await {
                Ok(connected) => return Ok(connected),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    async fn look_up(&self, name: &str, port: u16) -> Result<Vec<IpAddr>, ConnectFailure> {
        let found = tokio::net::lookup_host((name, port)).await;
        let found = found.map_err(|error| ConnectFailure::Away(error.to_string()))?;
        let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
        if self.shuffled {
            fastrand::shuffle(&mut addresses);
        }
        Ok(addresses)
    }

    /// Logs in, first in the one way and then, when the server will not have that, in the other.
    async fn log_in(
        &self,
        config: &tokio_postgres::Config,
        attempts: &[SslMode],
    ) -> Result<Connected, ConnectFailure> {
        let mut before: Option<ConnectFailure> = None;
        for mode in attempts {
            let mut config = config.clone();
            config.ssl_mode(*mode);
            let connector = self.connector.fresh();
            let error = match config.connect(connector.clone()).await {
                Ok(connected) => return Ok(connected),
                Err(error) => error,
            };
            let is_encrypted = connector.was_used();
            let failure = match before {
                Some(before) => both(before, classify(&error), is_encrypted || *mode == SslMode::Require),
                None => classify(&error),
            };
            let not_so = is_tls(&error) || (is_login(&error) && (*mode == SslMode::Disable || is_encrypted));
            if !not_so {
                return Err(failure);
            }
            before = Some(failure);
        }
        Err(before.unwrap_or_else(|| ConnectFailure::Away("no way to connect".into())))
    }
}

async fn within(
    time: Duration,
    connecting: impl Future<Output = Result<Connected, ConnectFailure>>,
) -> Result<Connected, ConnectFailure> {
    let connected = tokio::time::timeout(time, connecting).await;
    connected.unwrap_or_else(|_| Err(ConnectFailure::Away(TOO_LONG.into())))
}

/// The driver keeps the kinds of its errors to itself.
fn is_tls(error: &tokio_postgres::Error) -> bool {
    error.to_string().starts_with("error performing TLS handshake")
}

/// Whether the server refuses whoever asks, or the way in which they came.
fn is_login(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| code.code().starts_with("28"))
}

/// What came of trying it in both ways.
fn both(first: ConnectFailure, second: ConnectFailure, is_encrypted: bool) -> ConnectFailure {
    let (before, after) = (first.text(), second.text());
    let way = if is_encrypted { "with TLS" } else { "without TLS" };
    let text = if before == after { before.to_owned() } else { format!("{before}; {way}: {after}") };
    match second {
        ConnectFailure::Away(_) => ConnectFailure::Away(text),
        ConnectFailure::Refused(_) => ConnectFailure::Refused(text),
    }
}

/// What came of all servers. As long as one of them may come back there is hope.
fn summary(mut failures: Vec<(&Place, ConnectFailure)>) -> ConnectFailure {
    if failures.len() == 1
        && let Some((_, failure)) = failures.pop()
    {
        return failure;
    }
    let texts: Vec<String> =
        failures.iter().map(|(place, failure)| format!("{place}: {}", failure.text())).collect();
    if failures.iter().any(|(_, failure)| matches!(failure, ConnectFailure::Away(_))) {
        ConnectFailure::Away(texts.join("; "))
    } else {
        ConnectFailure::Refused(texts.join("; "))
    }
}
