//! TLS to the database in the modes of libpq: when it is used, and what is asked of the server's certificate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_postgres::Socket;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::certificate::{AnyCertificate, TrustedCertificate};

/// A connection with or without TLS.
pub(super) type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// When TLS is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Disable,
    Allow,
    Prefer,
    Require,
}

impl Mode {
    /// How to connect, one after the other.
    pub(super) const fn attempts(self) -> &'static [SslMode] {
        match self {
            Self::Disable => &[SslMode::Disable],
            Self::Allow => &[SslMode::Disable, SslMode::Require],
            Self::Prefer => &[SslMode::Prefer, SslMode::Disable],
            Self::Require => &[SslMode::Require],
        }
    }
}

/// What is asked of the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    /// Nothing: it protects against listening, not against a false server.
    Nothing,
    /// That somebody who is trusted has signed it.
    Chain,
    /// And that it is for the host that was asked for.
    ChainAndName,
}

/// What a URL asks of TLS.
#[derive(Debug)]
pub(super) struct TlsSettings {
    mode: Mode,
    check: Check,
    root_certificates: Option<String>,
    /// The files of our own certificate and its key.
    own: Option<(String, String)>,
    is_direct: bool,
}

/// The word of `sslrootcert` for the certificates that the system trusts.
const SYSTEM: &str = "system";

impl TlsSettings {
    /// Takes the parameters about TLS out of a URL.
    ///
    /// # Errors
    /// Which one is wrong.
    pub(super) fn take_from(mut take: impl FnMut(&str) -> Option<String>) -> Result<Self, String> {
        let root_certificates = take("sslrootcert").filter(|path| !path.is_empty());
        let by_system = root_certificates.as_deref() == Some(SYSTEM);
        let default = if by_system { "verify-full" } else { "prefer" };
        let sslmode = take("sslmode").unwrap_or_else(|| default.into());
        let (mode, mut check) = match sslmode.as_str() {
            "disable" => (Mode::Disable, Check::Nothing),
            "allow" => (Mode::Allow, Check::Nothing),
            "prefer" => (Mode::Prefer, Check::Nothing),
            "require" => (Mode::Require, Check::Nothing),
            "verify-ca" => (Mode::Require, Check::Chain),
            "verify-full" => (Mode::Require, Check::ChainAndName),
            _ => {
                return Err("has an sslmode other than disable, allow, prefer, require, verify-ca or \
                            verify-full"
                    .into());
            }
        };
        if by_system && check != Check::ChainAndName && mode != Mode::Disable {
            // Anybody can have a certificate that the system trusts.
            return Err("has sslrootcert=system, which needs sslmode=verify-full".into());
        }
        if check == Check::Chain && root_certificates.is_none() {
            return Err("asks for sslmode=verify-ca, which needs an sslrootcert".into());
        }
        // Whoever names a root wants it to be looked at; where plain text will do as well, nothing is won by that.
        if mode == Mode::Require && check == Check::Nothing && root_certificates.is_some() {
            check = Check::Chain;
        }
        let own = match (take("sslcert"), take("sslkey")) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => return Err("has an sslcert without an sslkey".into()),
            (None, Some(_)) => return Err("has an sslkey without an sslcert".into()),
        };
        let is_direct = match take("sslnegotiation").as_deref() {
            None | Some("postgres") => false,
            Some("direct") if mode == Mode::Require => true,
            Some("direct") => {
                return Err(
                    "has sslnegotiation=direct, which needs sslmode require, verify-ca or verify-full".into(),
                );
            }
            Some(_) => return Err("has an sslnegotiation other than postgres or direct".into()),
        };
        Ok(Self { mode, check, root_certificates, own, is_direct })
    }

    pub(super) const fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether the server is to begin with TLS at once.
    pub(super) const fn is_direct(&self) -> bool {
        self.is_direct
    }

    /// What makes connections so.
    ///
    /// # Errors
    /// Which file cannot be used.
    pub(super) fn connector(&self) -> Result<Connector, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("cannot set up TLS: {error}"))?
            .dangerous();
        // The files of a mode without TLS are of no interest.
        let builder = if self.check == Check::Nothing || self.mode == Mode::Disable {
            builder.with_custom_certificate_verifier(Arc::new(AnyCertificate::new(&provider)))
        } else {
            builder.with_custom_certificate_verifier(Arc::new(self.trusted(&provider)?))
        };
        let mut config = match &self.own {
            Some((certificate, key)) if self.mode != Mode::Disable => {
                let certificates = certificates("sslcert", certificate)?;
                let key = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| format!("names an sslkey that cannot be read: {error}"))?;
                builder.with_client_auth_cert(certificates, key).map_err(|error| {
                    format!("has an sslcert and an sslkey that do not go together: {error}")
                })?
            }
            _ => builder.with_no_client_auth(),
        };
        if self.is_direct {
            config.alpn_protocols = vec![b"postgresql".to_vec()];
        }
        Ok(Connector { inner: MakeRustlsConnect::new(config), used: Arc::default() })
    }

    fn trusted(&self, provider: &Arc<CryptoProvider>) -> Result<TrustedCertificate, String> {
        let mut roots = RootCertStore::empty();
        let given = match self.root_certificates.as_deref() {
            None | Some(SYSTEM) => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                Vec::new()
            }
            Some(path) => {
                let given = certificates("sslrootcert", path)?;
                roots.add_parsable_certificates(given.iter().cloned());
                given
            }
        };
        if roots.is_empty() {
            return Err(
                "asks for the server's certificate to be checked, but no root certificate was found; \
                        name one with sslrootcert"
                    .into(),
            );
        }
        Ok(TrustedCertificate::new(provider, roots, given, self.check == Check::ChainAndName))
    }
}

fn certificates(key: &str, path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|error| format!("names an {key} that cannot be read: {error}"))?;
    if found.is_empty() { Err(format!("names an {key} that holds no certificate")) } else { Ok(found) }
}

/// Makes TLS of a connection, and notes that it came to that.
#[derive(Clone)]
pub(super) struct Connector {
    inner: MakeRustlsConnect,
    used: Arc<AtomicBool>,
}

impl Connector {
    /// One that has noted nothing.
    pub(super) fn fresh(&self) -> Self {
        Self { inner: self.inner.clone(), used: Arc::default() }
    }

    /// Whether the server agreed to TLS.
    pub(super) fn was_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }
}

impl MakeTlsConnect<Socket> for Connector {
    type Stream = Stream;
    type TlsConnect = NotedConnect;
    type Error = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Error;

    fn make_tls_connect(&mut self, domain: &str) -> Result<NotedConnect, Self::Error> {
        let inner = MakeTlsConnect::<Socket>::make_tls_connect(&mut self.inner, domain)?;
        Ok(NotedConnect { inner, used: Arc::clone(&self.used) })
    }
}

type RustlsConnect = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;

/// One handshake.
pub(super) struct NotedConnect {
    inner: RustlsConnect,
    used: Arc<AtomicBool>,
}

impl TlsConnect<Socket> for NotedConnect {
    type Stream = Stream;
    type Error = <RustlsConnect as TlsConnect<Socket>>::Error;
    type Future = <RustlsConnect as TlsConnect<Socket>>::Future;

    fn connect(self, socket: Socket) -> Self::Future {
        self.used.store(true, Ordering::Relaxed);
        self.inner.connect(socket)
    }
}
