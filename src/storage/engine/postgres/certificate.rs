//! What is asked of a server's certificate, and as much of its form as must be read for that. `rustls` by itself reads
//! X.509 version 3 alone, and takes no authority's certificate from a server; those that people make for a PostgreSQL
//! of their own are often of version 1, or authority and server at once.

use std::sync::Arc;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// Accepts any certificate, but still checks that the server holds its key.
#[derive(Debug)]
pub(super) struct AnyCertificate(WebPkiSupportedAlgorithms);

impl AnyCertificate {
    pub(super) fn new(provider: &Arc<CryptoProvider>) -> Self {
        Self(provider.signature_verification_algorithms)
    }
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
        let key = Outline::of(certificate)?.key;
        let (algorithm, key) = key_parts(key).ok_or(CertificateError::BadEncoding)?;
        let schemes = self.0.mapping.iter().filter(|(scheme, _)| *scheme == signature.scheme);
        let mut fitting = schemes
            .flat_map(|(_, algorithms)| algorithms.iter())
            .filter(|known| known.public_key_alg_id().as_ref() == algorithm);
        let verifies =
            fitting.any(|known| known.verify_signature(key, message, signature.signature()).is_ok());
        if verifies {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(Outline::of(certificate)?.key);
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// Accepts a certificate that one of the roots has signed, or that is among them itself.
#[derive(Debug)]
pub(super) struct TrustedCertificate {
    any: AnyCertificate,
    roots: RootCertStore,
    /// The roots as they were given.
    given: Vec<CertificateDer<'static>>,
    /// Whether it must be for the host as well.
    by_name: bool,
}

impl TrustedCertificate {
    pub(super) fn new(
        provider: &Arc<CryptoProvider>,
        roots: RootCertStore,
        given: Vec<CertificateDer<'static>>,
        by_name: bool,
    ) -> Self {
        Self { any: AnyCertificate::new(provider), roots, given, by_name }
    }
}

impl ServerCertVerifier for TrustedCertificate {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let itself = self.given.contains(certificate);
        if itself {
            Outline::of(certificate)?.check_time(now)?;
        }
        if itself && !self.by_name {
            return Ok(ServerCertVerified::assertion());
        }
        let parsed = ParsedCertificate::try_from(certificate).map_err(explained)?;
        if !itself {
            let algorithms = self.any.0.all;
            verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms)?;
        }
        if self.by_name {
            verify_server_name(&parsed, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.any.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.any.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.any.supported_verify_schemes()
    }
}

/// Says what is meant by the name of an error that only a reader of the library knows.
fn explained(error: Error) -> Error {
    if format!("{error:?}").contains("UnsupportedCertVersion") {
        return Error::General(
            "the server's certificate is not of X.509 version 3 and cannot be checked".into(),
        );
    }
    error
}

/// The parts of a certificate that are needed.
struct Outline<'a> {
    validity: &'a [u8],
    key: &'a [u8],
}

impl<'a> Outline<'a> {
    fn of(certificate: &'a CertificateDer<'_>) -> Result<Self, Error> {
        Self::read(certificate).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))
    }

    fn read(mut certificate: &'a [u8]) -> Option<Self> {
        let mut signed = Element::take(&mut certificate, SEQUENCE)?.contents;
        let mut fields = Element::take(&mut signed, SEQUENCE)?.contents;
        if fields.first() == Some(&VERSION) {
            Element::next(&mut fields)?;
        }
        // Serial number, algorithm of the signature, issuer.
        for _ in 0..3 {
            Element::next(&mut fields)?;
        }
        let validity = Element::take(&mut fields, SEQUENCE)?.contents;
        let _subject = Element::next(&mut fields)?;
        let key = Element::take(&mut fields, SEQUENCE)?.whole;
        Some(Self { validity, key })
    }

    fn check_time(&self, now: UnixTime) -> Result<(), Error> {
        let mut validity = self.validity;
        let mut time = || Element::next(&mut validity).and_then(|element| element.time());
        let (Some(begin), Some(end)) = (time(), time()) else {
            return Err(CertificateError::BadEncoding.into());
        };
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if now < begin {
            return Err(CertificateError::NotValidYet.into());
        }
        if now > end {
            return Err(CertificateError::Expired.into());
        }
        Ok(())
    }
}

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The version stands in brackets, and only when it is not 1.
const VERSION: u8 = 0xa0;

/// The algorithm of a public key, and the key itself.
fn key_parts(mut key: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = Element::take(&mut key, SEQUENCE)?.contents;
    let algorithm = Element::take(&mut parts, SEQUENCE)?.contents;
    // The first byte says how many bits of the last one do not count: none.
    let key = Element::take(&mut parts, BIT_STRING)?.contents.strip_prefix(&[0])?;
    Some((algorithm, key))
}

/// One element of DER.
struct Element<'a> {
    tag: u8,
    contents: &'a [u8],
    whole: &'a [u8],
}

impl<'a> Element<'a> {
    /// Takes the next element off the input.
    fn next(input: &mut &'a [u8]) -> Option<Self> {
        let all = *input;
        let (&[tag, first], mut rest) = all.split_first_chunk::<2>()?;
        let length = if first < 0x80 {
            usize::from(first)
        } else {
            let (length, behind) = rest.split_at_checked(usize::from(first & 0x7f))?;
            rest = behind;
            if length.is_empty() || length.len() > 4 {
                return None;
            }
            length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
        };
        let (contents, behind) = rest.split_at_checked(length)?;
        *input = behind;
        Some(Self { tag, contents, whole: all.get(..all.len() - behind.len())? })
    }

    /// As `next`, of this kind.
    fn take(input: &mut &'a [u8], tag: u8) -> Option<Self> {
        Self::next(input).filter(|element| element.tag == tag)
    }

    /// As a time, in seconds since 1970.
    fn time(&self) -> Option<i64> {
        let text = std::str::from_utf8(self.contents).ok()?.strip_suffix('Z')?;
        let century = match self.tag {
            // Two digits of a year: those from 50 on are of the century before.
            UTC_TIME if text.as_bytes().first()? >= &b'5' => "19",
            UTC_TIME => "20",
            GENERALIZED_TIME => "",
            _ => return None,
        };
        let time = DateTime::strptime("%Y%m%d%H%M%S", format!("{century}{text}")).ok()?;
        Some(TimeZone::UTC.to_timestamp(time).ok()?.as_second())
    }
}
