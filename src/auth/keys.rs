//! Signing keys: Ed25519, kept as PKCS#8 in PEM files that only the owner may read.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, EncodingKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;

/// Why a key cannot be used. Never holds key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// Everybody on the machine can read the file.
    #[error("{path}: other users of this machine can access it; run `chmod 600 {path}`")]
    TooOpen {
        /// The file.
        path: String,
    },
    /// The text is no Ed25519 key in PKCS#8 PEM form.
    #[error("{path}: is not an Ed25519 private key in PKCS#8 PEM form; `taskwire keys generate` makes one")]
    Malformed {
        /// The file.
        path: String,
    },
    /// The text holds no keys that seal secrets.
    #[error("{path}: must hold 32 bytes in base64 a line; `taskwire keys generate-secrets-key` makes one")]
    SecretsMalformed {
        /// The file.
        path: String,
    },
    /// The system gave no random numbers.
    #[error("no random numbers could be had")]
    Random,
}

/// A key pair that signs access tokens.
pub struct SigningKey {
    pub(crate) encoding: EncodingKey,
    pub(crate) decoding: DecodingKey,
    id: String,
    public: String,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// The `kid`: the key's JWK thumbprint (RFC 7638).
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The public key as in a JWK (RFC 8037).
    pub fn public(&self) -> &str {
        &self.public
    }

    /// A new private key as PKCS#8 PEM text.
    ///
    /// # Errors
    /// `Random` when the system gives no random numbers.
    pub fn generate_pem() -> Result<String, KeyError> {
        let document =
            Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).map_err(|_| KeyError::Random)?;
        let body = STANDARD.encode(document.as_ref());
        Ok(format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"))
    }

    /// Reads a key from PEM text; `path` is where it came from, for the error.
    ///
    /// # Errors
    /// `Malformed` for anything but an Ed25519 private key.
    pub fn from_pem(pem: &[u8], path: &str) -> Result<Self, KeyError> {
        let malformed = || KeyError::Malformed { path: path.to_owned() };
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| malformed())?;
        let pair = Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| malformed())?;
        let bytes = pair.public_key().as_ref();
        let public = URL_SAFE_NO_PAD.encode(bytes);
        let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{public}"}}"#);
        Ok(Self {
            encoding: EncodingKey::from_ed_der(der.secret_pkcs8_der()),
            decoding: DecodingKey::from_ed_der(bytes),
            id: URL_SAFE_NO_PAD.encode(digest(&SHA256, jwk.as_bytes())),
            public,
        })
    }

    /// Writes a new key to a file that must not exist yet, for its owner alone (0600).
    ///
    /// # Errors
    /// `File`, also when it exists, or `Random`.
    pub fn create(path: &Path) -> Result<(), KeyError> {
        create_private(path, &Self::generate_pem()?)
    }

    /// Makes a key file, and the directory for it (0700), when there is none.
    ///
    /// # Errors
    /// As `create`.
    pub fn create_missing(path: &Path) -> Result<(), KeyError> {
        create_missing_file(path, Self::create)
    }
}

/// Writes a file that must not exist yet, for its owner alone (0600). Where links can be made, nobody ever sees it half written: two
/// processes may start at once, and the one that comes second reads what the first one writes.
pub(super) fn create_private(path: &Path, text: &str) -> Result<(), KeyError> {
    let failed = |source| KeyError::File { path: path.display().to_string(), source };
    let draft = path.with_file_name(format!(".{}.tmp", uuid::Uuid::new_v4().as_simple()));
    write_new(&draft, text).map_err(failed)?;
    let linked = fs::hard_link(&draft, path);
    // It has served; what is left of it would do no harm.
    let _ = fs::remove_file(&draft);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => write_new(path, text).map_err(failed),
        linked => linked.map_err(failed),
    }
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all())
}

/// The text of a key file, which other users must not be able to access.
///
/// # Errors
/// `File` or `TooOpen`.
pub fn read_key_file(path: &Path) -> Result<String, KeyError> {
    read_private(path)
}

/// Writes the text of a key file that must not exist yet, for its owner alone (0600), and the directory for it (0700).
///
/// # Errors
/// `File`.
pub fn write_key_file(path: &Path, text: &str) -> Result<(), KeyError> {
    if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        let failed = |source| KeyError::File { path: path.display().to_string(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    }
    create_private(path, text)
}

/// Has a file made, and the directory for it (0700), when there is none.
pub(super) fn create_missing_file(
    path: &Path,
    create: fn(&Path) -> Result<(), KeyError>,
) -> Result<(), KeyError> {
    if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        let failed = |source| KeyError::File { path: path.display().to_string(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    }
    match create(path) {
        Err(KeyError::File { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        created => created,
    }
}

/// Reads a file that other users must not be able to access.
pub(super) fn read_private(path: &Path) -> Result<String, KeyError> {
    let shown = path.display().to_string();
    let failed = |source| KeyError::File { path: shown.clone(), source };
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(KeyError::TooOpen { path: shown });
    }
    fs::read_to_string(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_where_there_is_none_and_what_fails_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("below").join("key.pem");
        SigningKey::create_missing(&path).unwrap();
        let made = std::fs::read_to_string(&path).unwrap();
        SigningKey::create_missing(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), made);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        // No file can have such a name.
        let failed = SigningKey::create_missing(&directory.path().join("x".repeat(300)));
        assert!(matches!(failed, Err(KeyError::File { .. })));
    }
}
