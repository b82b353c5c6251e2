//! `taskwire health`: asks a running service, as a container's or systemd's probe does.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::{Failure, Outcome, say};
use crate::server::Address;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks; the answer is the exit status.
pub(super) async fn ask(address: Address, service: String, cert: Option<PathBuf>) -> Outcome {
    let tls = cert.map(|file| pinned(&file)).transpose()?;
    let asked = async {
        let channel = connect(address.clone(), tls).await?;
        let answer = HealthClient::new(channel).check(HealthCheckRequest { service }).await?;
        Ok::<_, BoxError>(answer.into_inner().status())
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(ServingStatus::Serving)) => say("serving"),
        Ok(Err(error)) if is_unknown_service(&*error) => {
            Err(Failure::new(format!("{address} answers, but has no service of that name")))
        }
        Ok(Ok(_)) => Err(Failure::new(format!("{address} answers, but is not serving"))),
        Ok(Err(error)) => Err(Failure::new(format!("{address} does not answer: {}", innermost(&*error)))),
        Err(_) => Err(Failure::new(format!("{address} does not answer within {} s", PATIENCE.as_secs()))),
    }
}

/// Anything that bytes come from and go to.
trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

async fn connect(address: Address, tls: Option<TlsConnector>) -> Result<Channel, BoxError> {
    let connect = tower::service_fn(move |_| {
        let (address, tls) = (address.clone(), tls.clone());
        async move {
            let stream: Box<dyn Io> = match &address {
                Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
                address => Box::new(address.connect().await?),
            };
            let stream: Box<dyn Io> = match tls {
                None => stream,
                // The name is not looked at: the certificate itself is known.
                Some(tls) => Box::new(tls.connect(ServerName::try_from("localhost")?, stream).await?),
            };
            Ok::<_, BoxError>(TokioIo::new(stream))
        }
    });
    // The host means nothing here, but there must be one.
    Ok(Endpoint::from_static("http://localhost").connect_with_connector(connect).await?)
}

/// TLS with whoever has the key to the certificate in this file, and nobody else.
fn pinned(file: &Path) -> Result<TlsConnector, Failure> {
    let failed = |text: &dyn std::fmt::Display| {
        let key = "TASKWIRE_TLS_CERT_FILE (--tls-cert-file)";
        Failure::usage(vec![format!("{key}: {}: {text}", file.display())])
    };
    let cert = CertificateDer::from_pem_file(file).map_err(|error| failed(&error))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned { cert, provider }))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Accepts one certificate: the one that the service was given. No authority and no name could say more.
#[derive(Debug)]
struct Pinned {
    cert: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *shown == self.cert {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::Error::General("it shows another certificate than the one in the file".to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn is_unknown_service(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<tonic::Status>().is_some_and(|status| status.code() == tonic::Code::NotFound)
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    match error.source() {
        Some(source) => innermost(source),
        None => error.to_string(),
    }
}
