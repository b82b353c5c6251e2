//! Certificates and keys as servers have them, good and bad ones.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PublicKeyData as _,
    SigningKey as _,
};

/// A certificate and its key, as PEM.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// Somebody who signs.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(super) fn certificate(&self) -> String {
        self.0.pem()
    }

    /// A certificate for this host.
    pub(super) fn issue(&self, host: &str) -> Pair {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        Pair { certificate: params.signed_by(&key, &self.0).unwrap().pem(), key: key.serialize_pem() }
    }

    /// A certificate for whoever logs in by this name.
    pub(super) fn issue_to(&self, user: &str) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, user);
        Pair { certificate: params.signed_by(&key, &self.0).unwrap().pem(), key: key.serialize_pem() }
    }
}

/// What `openssl req -x509` makes: authority and server at once.
pub(super) fn self_made(host: &str, last_year: i32) -> Pair {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    params.not_after = rcgen::date_time_ymd(last_year, 1, 1);
    Pair { certificate: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

/// A certificate of version 1 that nobody but its own key has signed.
pub(super) fn of_version_1(key: KeyPair) -> Pair {
    let algorithm = if key.is_compatible(&rcgen::PKCS_RSA_SHA256) {
        element(0x30, &[element(0x06, b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"), element(0x05, b"")].concat())
    } else {
        element(0x30, &element(0x06, b"\x2a\x86\x48\xce\x3d\x04\x03\x02"))
    };
    let name = element(0x30, &[element(0x06, b"\x55\x04\x03"), element(0x0c, b"localhost")].concat());
    let name = element(0x30, &element(0x31, &name));
    let validity =
        element(0x30, &[element(0x17, b"200101000000Z"), element(0x18, b"20600101000000Z")].concat());
    let serial = element(0x02, b"\x01");
    let key_der = key.subject_public_key_info();
    let signed = element(0x30, &[serial, algorithm.clone(), name.clone(), validity, name, key_der].concat());
    let signature = element(0x03, &[&[0], key.sign(&signed).unwrap().as_slice()].concat());
    let whole = element(0x30, &[signed, algorithm, signature].concat());
    let certificate = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines(&STANDARD.encode(whole))
    );
    Pair { certificate, key: key.serialize_pem() }
}

fn lines(text: &str) -> String {
    text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect::<Vec<_>>().join("\n")
}

/// One element of DER.
fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len();
    let head = match length {
        0..=127 => vec![tag, u8::try_from(length).unwrap()],
        128..=255 => vec![tag, 0x81, u8::try_from(length).unwrap()],
        _ => [vec![tag, 0x82], u16::try_from(length).unwrap().to_be_bytes().to_vec()].concat(),
    };
    [head, contents.to_vec()].concat()
}
