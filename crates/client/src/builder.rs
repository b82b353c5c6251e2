//! How a client is made: where the service is, whom it is trusted by, how patient it is.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::sync::Mutex;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use super::Client;
use super::call::{Core, Seen};
use super::error::{Error, Result};
use super::retry::Budget;
use super::session::{CachedSession, Exchange, LoadSession, OnSession, Session, SessionStore, bearer};

const TIMEOUT: Duration = Duration::from_secs(30);
const ATTEMPTS: u32 = 4;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How soon a peer that is gone without a word is noticed: one after the other.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes a [`Client`].
#[must_use]
pub struct Builder {
    address: String,
    ca_certificate: Option<Vec<u8>>,
    api_key: Option<String>,
    session: Option<Session>,
    on_session: Option<OnSession>,
    load_session: Option<LoadSession>,
    linearizable_reads: bool,
    timeout: Duration,
    attempts: u32,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("address", &self.address)
            .field("session", &self.session)
            .field("timeout", &self.timeout)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

impl Builder {
    pub(super) fn new(address: String) -> Self {
        Self {
            address,
            ca_certificate: None,
            api_key: None,
            session: None,
            on_session: None,
            load_session: None,
            linearizable_reads: false,
            timeout: TIMEOUT,
            attempts: ATTEMPTS,
        }
    }

    /// Trusts services with certificates of this authority (PEM) instead of those that the machine trusts.
    pub fn ca_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_certificate = Some(pem.into());
        self
    }

    /// Calls with this API key while nobody is logged in.
    pub fn api_key(mut self, secret: impl Into<String>) -> Self {
        self.api_key = Some(secret.into());
        self
    }

    /// Goes on with a session that the program kept.
    pub fn session(mut self, session: Session) -> Self {
        self.session = Some(session);
        self
    }

    /// Is told of every change of the session, before anything is done with the new one: here the program keeps it, or
    /// throws it away. Must not wait long.
    pub fn on_session(mut self, told: impl Fn(Option<&Session>) + Send + Sync + 'static) -> Self {
        self.on_session = Some(Box::new(told));
        self
    }

    /// Is asked for the session before its tokens are exchanged. Needed where several processes share one that they
    /// keep: a refresh token works once, and one of the others may have used it.
    pub fn load_session(mut self, load: impl Fn() -> Option<Session> + Send + Sync + 'static) -> Self {
        self.load_session = Some(Box::new(load));
        self
    }

    /// How long a call may take with all its attempts; 30 s unless told. A watch has no end.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How often a call is tried, at most; 4 times unless told.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// Reads see everything that anybody committed before them. Unless this is asked for they see at least what this
    /// client was answered before, its own changes in particular; a service with standbys answers them from there, without
    /// what others changed in the last moments, perhaps. The first read of a client sees everything in any case.
    pub fn linearizable_reads(mut self) -> Self {
        self.linearizable_reads = true;
        self
    }

    /// Connects.
    pub async fn connect(self) -> Result<Client> {
        let endpoint = self.endpoint()?;
        let channel = endpoint.connect().await.map_err(|error| Error::unreachable(&error))?;
        self.client(channel)
    }

    /// Connects at the first call. To be called within a Tokio runtime.
    pub fn connect_lazy(self) -> Result<Client> {
        let channel = self.endpoint()?.connect_lazy();
        self.client(channel)
    }

    fn endpoint(&self) -> Result<Endpoint> {
        let address = &self.address;
        let wrong = || Error::setting(format!("{address:?} is no http://, https:// or unix:// address"));
        let is_tls = match address.split_once("://") {
            Some(("https", _)) => true,
            Some(("http", _)) => false,
            Some(("unix", path)) if path.starts_with('/') => false,
            _ => return Err(wrong()),
        };
        let endpoint = Endpoint::from_shared(address.clone())
            .map_err(|_| wrong())?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
        if !is_tls {
            return Ok(endpoint);
        }
        let tls = match &self.ca_certificate {
            Some(pem) => {
                check_certificates(pem)?;
                ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))
            }
            None => ClientTlsConfig::new().with_native_roots(),
        };
        endpoint.tls_config(tls).map_err(|error| Error::setting(format!("TLS: {}", error_text(&error))))
    }

    fn client(self, channel: Channel) -> Result<Client> {
        let held = self.session.map(CachedSession::kept).transpose()?;
        let core = Core {
            channel,
            session_store: SessionStore::new(held, self.on_session, self.load_session),
            api_key: self.api_key.as_deref().map(bearer).transpose()?,
            timeout: self.timeout,
            attempts: self.attempts,
            budget: Budget::full(),
            exchange: Mutex::new(Exchange::default()),
            seen: Seen::nothing(self.linearizable_reads),
        };
        Ok(Client { core: Arc::new(core) })
    }
}

/// tonic would take a file without certificates, and trust nobody.
fn check_certificates(pem: &[u8]) -> Result<()> {
    let mut found = 0;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        certificate.map_err(|error| Error::setting(format!("the authority's certificate: {error}")))?;
        found += 1;
    }
    if found == 0 {
        return Err(Error::setting("the authority's certificate: there is none in it"));
    }
    Ok(())
}

fn error_text(error: &(dyn std::error::Error + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), error_text)
}
