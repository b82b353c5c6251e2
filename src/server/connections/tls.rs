//! TLS: certificate, key and client authorities from files, read again when they change.
//!
//! Each connection takes the settings as they are when it comes; those that are open keep theirs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::io::Io;

/// How often the files are looked at. Their content is compared, as a mounted secret changes by a link alone.
const INTERVAL: Duration = Duration::from_secs(2);

/// The files, all PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, with whatever stands between it and its authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Authorities of clients, one of which must have signed each client's certificate; none is asked for when
    /// absent.
    pub client_ca: Option<PathBuf>,
}

/// Which file is of no use, and why.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{setting} {}: {text}", .file.display())]
pub struct TlsError {
    /// The setting that names the file.
    pub setting: &'static str,
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub text: String,
}

/// What the files hold.
#[derive(Clone, PartialEq, Eq)]
struct Content {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// TLS as it stands.
pub struct Tls {
    files: TlsFiles,
    config: RwLock<Arc<ServerConfig>>,
    /// What was looked at last, whether or not it was of use: what fails is said once.
    seen: Mutex<Result<Content, TlsError>>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// What keeps them from being used.
    pub fn load(files: TlsFiles) -> Result<Arc<Self>, TlsError> {
        let content = read(&files)?;
        let config = configure(&files, &content)?;
        Ok(Arc::new(Self { files, config: RwLock::new(config), seen: Mutex::new(Ok(content)) }))
    }

    /// Shakes hands on a new connection.
    pub(in crate::server) fn accept(
        &self,
        io: Box<dyn Io>,
    ) -> impl Future<Output = io::Result<TlsStream<Box<dyn Io>>>> {
        let config = Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner));
        TlsAcceptor::from(config).accept(io)
    }

    /// Takes SIGHUP over. Early, as it would end the process otherwise.
    pub(in crate::server) fn hang_ups() -> Option<Signal> {
        signal(SignalKind::hangup()).ok()
    }

    /// Reads the files again when they change or the process gets a SIGHUP, until `stopped`.
    pub(in crate::server) async fn watch(
        self: Arc<Self>,
        mut hang_ups: Option<Signal>,
        stopped: CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                Some(()) = async { hang_ups.as_mut()?.recv().await } => {}
                () = stopped.cancelled() => return,
            }
            let this = Arc::clone(&self);
            // Files may lie on a network, which may hang.
            let _ = tokio::task::spawn_blocking(move || this.reload()).await;
        }
    }

    /// Takes over what the files hold now, if it is of use.
    fn reload(&self) {
        let now = read(&self.files);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return;
        }
        match now.as_ref().map_err(Clone::clone).and_then(|content| configure(&self.files, content)) {
            Ok(config) => {
                *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
                tracing::info!("new TLS certificates are in use");
            }
            Err(error) => tracing::error!(%error, "new TLS certificates cannot be used; the old ones stay"),
        }
        *seen = now;
    }
}

fn read(files: &TlsFiles) -> Result<Content, TlsError> {
    let read = |setting, file: &Path| std::fs::read(file).map_err(|error| wrong(setting, file, error));
    Ok(Content {
        cert: read(CERT, &files.cert)?,
        key: read(KEY, &files.key)?,
        client_ca: files.client_ca.as_deref().map(|file| read(CLIENT_CA, file)).transpose()?,
    })
}

const CERT: &str = "TASKWIRE_TLS_CERT_FILE";
const KEY: &str = "TASKWIRE_TLS_KEY_FILE";
const CLIENT_CA: &str = "TASKWIRE_TLS_CLIENT_CA_FILE";

fn wrong(setting: &'static str, file: &Path, text: impl ToString) -> TlsError {
    TlsError { setting, file: file.to_owned(), text: text.to_string() }
}

fn certificates(
    setting: &'static str,
    file: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(wrong(setting, file, "holds no certificate")),
        Ok(found) => Ok(found),
        Err(error) => Err(wrong(setting, file, error)),
    }
}

fn configure(files: &TlsFiles, content: &Content) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = certificates(CERT, &files.cert, &content.cert)?;
    // The parser's own words could repeat what it read.
    let key = PrivateKeyDer::from_pem_slice(&content.key)
        .map_err(|_| wrong(KEY, &files.key, "holds no private key"))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| wrong(CERT, &files.cert, error))?;
    let builder = match (&files.client_ca, &content.client_ca) {
        (Some(file), Some(pem)) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(CLIENT_CA, file, pem)? {
                roots.add(certificate).map_err(|error| wrong(CLIENT_CA, file, error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| wrong(CLIENT_CA, file, error))?;
            builder.with_client_cert_verifier(verifier)
        }
        _ => builder.with_no_client_auth(),
    };
    // Checks that the two belong together.
    let mut config = builder.with_single_cert(chain, key).map_err(|error| wrong(KEY, &files.key, error))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, PoisonError};

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tempfile::TempDir;

    use super::{Tls, TlsFiles};

    fn write(files: &TlsFiles, cert: &str, key: &str) {
        std::fs::write(&files.cert, cert).unwrap();
        std::fs::write(&files.key, key).unwrap();
    }

    fn pair() -> (String, String) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    }

    fn in_use(tls: &Tls) -> Arc<rustls::ServerConfig> {
        Arc::clone(&tls.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    #[test]
    fn new_files_are_taken_over_when_they_are_of_use() {
        let directory = TempDir::new().unwrap();
        let file = |name: &str| directory.path().join(name);
        let files = TlsFiles { cert: file("cert"), key: file("key"), client_ca: None };
        let (cert, key) = pair();
        write(&files, &cert, &key);
        let tls = Tls::load(files.clone()).unwrap();
        let first = in_use(&tls);
        tls.reload();
        assert!(Arc::ptr_eq(&first, &in_use(&tls)), "nothing has changed");

        let (other, other_key) = pair();
        write(&files, &other, &key);
        tls.reload();
        assert!(Arc::ptr_eq(&first, &in_use(&tls)), "the key belongs to another certificate");
        std::fs::remove_file(&files.key).unwrap();
        tls.reload();
        assert!(Arc::ptr_eq(&first, &in_use(&tls)), "there is no key");

        write(&files, &other, &other_key);
        tls.reload();
        assert!(!Arc::ptr_eq(&first, &in_use(&tls)));
    }

    #[test]
    fn what_is_wrong_names_its_setting() {
        let directory = TempDir::new().unwrap();
        let file = |name: &str| directory.path().join(name);
        let files = TlsFiles { cert: file("cert"), key: file("key"), client_ca: Some(file("ca")) };
        let setting = |files: &TlsFiles| Tls::load(files.clone()).unwrap_err().setting;
        assert_eq!(setting(&files), "TASKWIRE_TLS_CERT_FILE");
        let (cert, key) = pair();
        write(&files, &cert, "no key");
        std::fs::write(file("ca"), "no certificate").unwrap();
        assert_eq!(setting(&files), "TASKWIRE_TLS_KEY_FILE");
        write(&files, &cert, &key);
        assert_eq!(setting(&files), "TASKWIRE_TLS_CLIENT_CA_FILE");
        // Several in one file.
        std::fs::write(file("ca"), cert.clone() + &pair().0).unwrap();
        Tls::load(files).unwrap();
    }
}
