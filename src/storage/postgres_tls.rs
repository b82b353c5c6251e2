//! TLS to PostgreSQL: whether, and whom to trust. The modes are libpq's and mean what they mean there.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_postgres::config::SslMode;
use x509_cert::der::{Decode as _, Encode as _};

/// `sslmode`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TlsMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl TlsMode {
    /// Reads the parameter.
    ///
    /// # Errors
    /// The end of a sentence about the URL.
    pub(super) fn parse(value: &str) -> Result<Self, String> {
        Ok(match value {
            "disable" => Self::Disable,
            "allow" => Self::Allow,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => {
                return Err(
                    "has an sslmode other than disable, allow, prefer, require, verify-ca or verify-full"
                        .into(),
                );
            }
        })
    }

    /// With and without TLS, in the order in which they are tried.
    pub(super) const fn ways(self) -> &'static [SslMode] {
        match self {
            Self::Disable => &[SslMode::Disable],
            Self::Allow => &[SslMode::Disable, SslMode::Require],
            Self::Prefer => &[SslMode::Prefer, SslMode::Disable],
            Self::Require | Self::VerifyCa | Self::VerifyFull => &[SslMode::Require],
        }
    }
}

/// What the URL says of TLS.
#[derive(Debug)]
pub(super) struct TlsSettings {
    pub(super) mode: TlsMode,
    root_certificate: Option<String>,
}

impl TlsSettings {
    pub(super) fn new(mode: Option<TlsMode>, root_certificate: Option<String>) -> Self {
        let mode = match mode.unwrap_or(TlsMode::Prefer) {
            // As in libpq: whoever names a certificate wants it looked at.
            TlsMode::Require if root_certificate.is_some() => TlsMode::VerifyCa,
            mode => mode,
        };
        Self { mode, root_certificate }
    }

    /// How the handshake is made.
    ///
    /// # Errors
    /// The end of a sentence about the URL.
    pub(super) fn client_config(&self) -> Result<rustls::ClientConfig, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("cannot set up TLS: {error}"))?;
        if !matches!(self.mode, TlsMode::VerifyCa | TlsMode::VerifyFull) {
            // `prefer` and `require` protect against listening, not against a false server.
            let verifier = Arc::new(AnyCertificate(provider));
            return Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth());
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(self.roots()?), provider)
            .build()
            .map_err(|error| format!("cannot set up TLS: {error}"))?;
        if self.mode == TlsMode::VerifyCa {
            let verifier = Arc::new(AnyName(verifier));
            return Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth());
        }
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
            return Err("asks for a sslmode that verifies the server, but no root certificate was found; name one with \
                        sslrootcert"
                .into());
        }
        Ok(roots)
    }
}

/// Accepts any certificate, of any version of X.509, but still checks that the server holds its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

/// The public key in a certificate, of which nothing else is looked at.
fn key_of(certificate: &CertificateDer<'_>) -> Result<x509_cert::spki::SubjectPublicKeyInfoOwned, Error> {
    let bad = |_| Error::InvalidCertificate(CertificateError::BadEncoding);
    let certificate = x509_cert::Certificate::from_der(certificate).map_err(bad)?;
    Ok(certificate.tbs_certificate.subject_public_key_info)
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = key_of(certificate)?;
        let bad = |_| Error::InvalidCertificate(CertificateError::BadEncoding);
        let algorithm = key.algorithm.to_der().map_err(bad)?;
        // The outer header is no part of what algorithms are compared by.
        let algorithm = x509_cert::der::asn1::AnyRef::from_der(&algorithm).map_err(bad)?.value().to_vec();
        let bits = key.subject_public_key.raw_bytes();
        let schemes = self.0.signature_verification_algorithms.mapping.iter();
        let candidates = schemes.filter(|(scheme, _)| *scheme == signature.scheme).flat_map(|(_, all)| *all);
        for candidate in candidates {
            if candidate.public_key_alg_id().as_ref() == algorithm
                && candidate.verify_signature(bits, message, signature.signature()).is_ok()
            {
                return Ok(HandshakeSignatureValid::assertion());
            }
        }
        Err(Error::InvalidCertificate(CertificateError::BadSignature))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let bad = |_| Error::InvalidCertificate(CertificateError::BadEncoding);
        let key = SubjectPublicKeyInfoDer::from(key_of(certificate)?.to_der().map_err(bad)?);
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature_with_raw_key(message, &key, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Checks who issued the certificate, and not for which name.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.0.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            // Looked at last, once everything else is in order.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
