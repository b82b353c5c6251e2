//! Connections to PostgreSQL: what the URL says, TLS, and the limits every session starts with.

use std::sync::Arc;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::pooled_connection::{ManagerConfig, PoolableConnection as _, RecyclingMethod};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
use futures_util::FutureExt as _;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::Limits;
use super::server::Server;

/// Where the database is and how to talk to it.
#[derive(Clone)]
pub(super) struct Target {
    config: tokio_postgres::Config,
    tls: MakeRustlsConnect,
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
        let mut parsed = url::Url::parse(url).map_err(|error| format!("is not a URL: {error}"))?;
        // The driver looks for the end of the password beyond these signs; the URL standard, and with it whatever
        // masks the password, does not.
        let behind_host = [Some(parsed.path()), parsed.query(), parsed.fragment()];
        if behind_host.into_iter().flatten().any(|part| part.contains('@')) {
            return Err(
                "has an @ behind the host; in a user or a password, / ? # @ are %2F %3F %23 %40".into()
            );
        }
        let tls = TlsSettings::take_from(&mut parsed)?;
        let mut config: tokio_postgres::Config =
            parsed.as_str().parse().map_err(|error| format!("is not understood: {}", root_cause(&error)))?;
        if config.get_hosts().is_empty() {
            return Err("names no host".into());
        }
        config.ssl_mode(tls.mode);
        if config.get_application_name().is_none() {
            config.application_name("taskwire");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(limits.connect_timeout);
        }
        config.keepalives_idle(std::time::Duration::from_secs(30));
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(limits.operation_timeout());
        }
        config.options(session_options(config.get_options(), limits));
        let shown = format!(
            "{}{}/{}",
            parsed.host_str().unwrap_or("localhost"),
            parsed.port().map(|port| format!(":{port}")).unwrap_or_default(),
            config.get_dbname().unwrap_or_default(),
        );
        Ok(Self { config, tls: MakeRustlsConnect::new(tls.client_config()?), shown })
    }

    /// Host and database, for people; never the user or the password.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Makes one connection.
    pub(super) async fn connect(&self) -> Result<AsyncPgConnection, ConnectFailure> {
        let (client, connection) =
            self.config.connect(self.tls.clone()).await.map_err(|error| classify(&error))?;
        let mut connection = AsyncPgConnection::try_from_client_and_connection(client, connection)
            .await
            .map_err(|error| ConnectFailure::Away(error.to_string()))?;
        // Errors are told apart by their text. Only a superuser or a grantee may choose its language; for
        // others the server's own stands, which is English unless somebody changed it.
        let _ = connection.batch_execute("set lc_messages to 'C'").await;
        Ok(connection)
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
            ConnectFailure::Away(text) | ConnectFailure::Refused(text) => text,
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

/// The innermost text of an error: `db error` alone helps nobody.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// What the URL asks of TLS. `sslmode=verify-full` and `sslrootcert` are libpq's words, which the driver does not know.
struct TlsSettings {
    mode: SslMode,
    verify: bool,
    root_certificate: Option<String>,
}

impl TlsSettings {
    fn take_from(url: &mut url::Url) -> Result<Self, String> {
        let mut settings = Self { mode: SslMode::Prefer, verify: false, root_certificate: None };
        let mut rest = Vec::new();
        for (key, value) in url.query_pairs() {
            match &*key {
                "sslmode" => (settings.mode, settings.verify) = ssl_mode(&value)?,
                "sslrootcert" => settings.root_certificate = Some(value.into_owned()),
                _ => rest.push((key.into_owned(), value.into_owned())),
            }
        }
        url.set_query(None);
        if !rest.is_empty() {
            // `+` for a space is a rule of HTML forms that the driver does not follow.
            let query: Vec<String> =
                rest.iter().map(|(key, value)| format!("{key}={}", percent_encode(value))).collect();
            url.set_query(Some(&query.join("&")));
        }
        Ok(settings)
    }

    fn client_config(&self) -> Result<rustls::ClientConfig, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("cannot set up TLS: {error}"))?;
        if !self.verify {
            // As in libpq, `prefer` and `require` protect against listening, not against a false server.
            let verifier = Arc::new(AnyCertificate(provider));
            return Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth());
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(self.roots()?), provider)
            .build()
            .map_err(|error| format!("cannot set up TLS: {error}"))?;
        Ok(builder.with_webpki_verifier(verifier).with_no_client_auth())
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        match self.root_certificate.as_deref() {
            None | Some("system") => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
            Some(path) => {
                let certificates = CertificateDer::pem_file_iter(path)
                    .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                    .map_err(|error| format!("names an sslrootcert that cannot be read: {error}"))?;
                roots.add_parsable_certificates(certificates);
            }
        }
        if roots.is_empty() {
            return Err(
                "asks for sslmode=verify-full, but no root certificate was found; name one with sslrootcert"
                    .into(),
            );
        }
        Ok(roots)
    }
}

fn ssl_mode(value: &str) -> Result<(SslMode, bool), String> {
    match value {
        "disable" => Ok((SslMode::Disable, false)),
        "prefer" => Ok((SslMode::Prefer, false)),
        "require" => Ok((SslMode::Require, false)),
        "verify-full" => Ok((SslMode::Require, true)),
        _ => Err("has an sslmode other than disable, prefer, require or verify-full".into()),
    }
}

fn percent_encode(value: &str) -> String {
    value
        .bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

/// Accepts any certificate, but still checks that the server holds its key.
#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
