//! Secrets that the service itself needs again, sealed at rest: AES-256-GCM with keys that do not lie in the database.
//!
//! What is sealed says which key it was sealed with, and is bound to a context, such as a table and the id of a row: moved
//! to another place it does not open. One file holds the keys, 32 bytes in base64 a line. The first one seals and all of
//! them open, so that a key is replaced in three steps: the new one below, the new one on top, the old one gone.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use data_encoding::HEXLOWER;

use super::KeyError;
use super::keys::{create_missing_file, create_private, read_private};
use super::secret::random;
use crate::domain::{Error, Result};

const KEY_BYTES: usize = 32;
/// The way of sealing, should there ever be another one.
const VERSION: u8 = 1;
const ID_BYTES: usize = 4;
/// More keys than this in one file are a mistake.
const KEYS_MAX: usize = 16;

struct SecretsKey {
    id: [u8; ID_BYTES],
    key: RandomizedNonceKey,
}

/// The keys of one file, the one that seals first; never empty.
pub struct SecretsKeys(Vec<SecretsKey>);

impl std::fmt::Debug for SecretsKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl SecretsKeys {
    /// A new key as the line of a file.
    ///
    /// # Errors
    /// `Random` when the system gives no random numbers.
    pub fn generate() -> Result<String, KeyError> {
        let key: [u8; KEY_BYTES] = random().map_err(|_| KeyError::Random)?;
        Ok(format!("{}\n", STANDARD.encode(key)))
    }

    /// Writes a new key to a file that must not exist yet, for its owner alone (0600).
    ///
    /// # Errors
    /// `File`, also when it exists, or `Random`.
    pub fn create(path: &Path) -> Result<(), KeyError> {
        create_private(path, &Self::generate()?)
    }

    /// Makes a key file, and the directory for it (0700), when there is none.
    ///
    /// # Errors
    /// As `create`.
    pub fn create_missing(path: &Path) -> Result<(), KeyError> {
        create_missing_file(path, Self::create)
    }

    /// Reads a key file, which other users must not be able to access.
    ///
    /// # Errors
    /// `File`, `TooOpen` or `SecretsMalformed`.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        Self::parse(&read_private(path)?, &path.display().to_string())
    }

    /// Reads the text of a key file; `path` is where it came from, for the error. Empty lines and those that begin with `#`
    /// say nothing.
    ///
    /// # Errors
    /// `SecretsMalformed` when there is no key, one is none, two are the same, or there are too many.
    pub fn parse(text: &str, path: &str) -> Result<Self, KeyError> {
        let malformed = || KeyError::SecretsMalformed { path: path.to_owned() };
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut keys: Vec<SecretsKey> = Vec::new();
        for line in lines {
            let key = SecretsKey::parse(line).ok_or_else(malformed)?;
            if keys.len() == KEYS_MAX || keys.iter().any(|other| other.id == key.id) {
                return Err(malformed());
            }
            keys.push(key);
        }
        if keys.is_empty() { Err(malformed()) } else { Ok(Self(keys)) }
    }

    /// By what the keys are known, the one that seals first. They tell nothing of the keys.
    pub fn ids(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|key| HEXLOWER.encode(&key.id))
    }
}

impl SecretsKey {
    fn parse(line: &str) -> Option<Self> {
        let bytes = STANDARD.decode(line).ok().filter(|bytes| bytes.len() == KEY_BYTES)?;
        let hash = digest(&SHA256, &bytes);
        let (id, _) = hash.as_ref().split_first_chunk()?;
        Some(Self { id: *id, key: RandomizedNonceKey::new(&AES_256_GCM, &bytes).ok()? })
    }
}

/// Seals and opens.
pub struct Sealer {
    keys: RwLock<Option<Arc<SecretsKeys>>>,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("keys", &self.keys()).finish()
    }
}

impl Sealer {
    /// Seals with these keys; without any, whatever needs a secret is refused.
    pub fn new(keys: Option<SecretsKeys>) -> Arc<Self> {
        Arc::new(Self { keys: RwLock::new(keys.map(Arc::new)) })
    }

    /// Puts other keys in the place of those there are.
    pub fn replace_keys(&self, keys: SecretsKeys) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keys));
    }

    /// Fails where nothing can be sealed, for who wants to know before anything else is done.
    ///
    /// # Errors
    /// `SecretsKeyMissing`.
    pub fn check(&self) -> Result<()> {
        self.keys().map(drop).ok_or(Error::SecretsKeyMissing)
    }

    /// Seals a secret for the place that `context` names.
    ///
    /// # Errors
    /// `SecretsKeyMissing` when no key is configured, or `Internal`.
    pub fn seal(&self, context: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        let keys = self.keys().ok_or(Error::SecretsKeyMissing)?;
        let key = keys.0.first().ok_or(Error::SecretsKeyMissing)?;
        let head = head(key.id);
        let mut body = plain.to_vec();
        let nonce = key
            .key
            .seal_in_place_append_tag(bound(head, context), &mut body)
            .map_err(|_| Error::Internal("a secret cannot be sealed".into()))?;
        Ok([&head[..], nonce.as_ref(), &body].concat())
    }

    /// Opens what was sealed for the same place.
    ///
    /// # Errors
    /// `SecretsKeyMissing` when the key that it was sealed with is not there, or `Internal` when it was altered or was
    /// sealed for another place.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
        let altered = || Error::Internal("a sealed secret cannot be opened".into());
        let (head, rest) = sealed.split_first_chunk::<{ 1 + ID_BYTES }>().ok_or_else(altered)?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(altered)?;
        if head[0] != VERSION {
            return Err(altered());
        }
        let keys = self.keys().ok_or(Error::SecretsKeyMissing)?;
        let Some(key) = keys.0.iter().find(|key| head[1..] == key.id) else {
            tracing::error!("a secret was sealed with a key that TASKWIRE_SECRETS_KEY_FILE no longer holds");
            return Err(Error::SecretsKeyMissing);
        };
        let mut body = body.to_vec();
        let plain = key
            .key
            .open_in_place(Nonce::from(nonce), bound(*head, context), &mut body)
            .map_err(|_| altered())?
            .len();
        body.truncate(plain);
        Ok(body)
    }

    fn keys(&self) -> Option<Arc<SecretsKeys>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn head(id: [u8; ID_BYTES]) -> [u8; 1 + ID_BYTES] {
    let [a, b, c, d] = id;
    [VERSION, a, b, c, d]
}

/// What is not sealed and must be the same when it is opened.
fn bound(head: [u8; 1 + ID_BYTES], context: &[u8]) -> Aad<Vec<u8>> {
    Aad::from([&head[..], context].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(text: &str) -> Arc<Sealer> {
        Sealer::new(Some(SecretsKeys::parse(text, "file").unwrap()))
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_and_nowhere_else() {
        let sealer = sealer(&SecretsKeys::generate().unwrap());
        let sealed = sealer.seal(b"totp:ada", b"a secret").unwrap();
        assert!(!sealed.windows(8).any(|bytes| bytes == b"a secret"));
        assert_eq!(sealer.open(b"totp:ada", &sealed), Ok(b"a secret".to_vec()));
        assert_ne!(sealer.seal(b"totp:ada", b"a secret").unwrap(), sealed, "the nonce is another one");
        assert!(matches!(sealer.open(b"totp:bob", &sealed), Err(Error::Internal(_))));
        let nothing = sealer.seal(b"", b"").unwrap();
        assert_eq!(sealer.open(b"", &nothing), Ok(Vec::new()));
        assert!(format!("{sealer:?}").len() < 60, "{sealer:?}");
    }

    #[test]
    fn what_was_altered_does_not_open() {
        let sealer = sealer(&SecretsKeys::generate().unwrap());
        let sealed = sealer.seal(b"here", b"a secret").unwrap();
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut altered = sealed.clone();
                altered[at] ^= 1 << bit;
                assert!(sealer.open(b"here", &altered).is_err(), "bit {bit} of byte {at}");
            }
            assert!(sealer.open(b"here", &sealed[..at]).is_err(), "the first {at} bytes");
        }
        let longer = [&sealed[..], &[0]].concat();
        assert!(sealer.open(b"here", &longer).is_err());
    }

    #[test]
    fn the_first_key_seals_and_all_of_them_open() {
        let (old, new) = (SecretsKeys::generate().unwrap(), SecretsKeys::generate().unwrap());
        let before = sealer(&old).seal(b"here", b"a secret").unwrap();
        let rotated = sealer(&format!("# since May\n{new}\n{old}"));
        let after = rotated.seal(b"here", b"a secret").unwrap();
        assert_eq!(rotated.open(b"here", &before), Ok(b"a secret".to_vec()));
        assert_eq!(rotated.open(b"here", &after), Ok(b"a secret".to_vec()));
        rotated.replace_keys(SecretsKeys::parse(&new, "file").unwrap());
        assert_eq!(rotated.open(b"here", &after), Ok(b"a secret".to_vec()));
        assert_eq!(rotated.open(b"here", &before), Err(Error::SecretsKeyMissing));
        assert!(sealer(&old).open(b"here", &after).is_err());
    }

    #[test]
    fn without_a_key_nothing_is_sealed() {
        let none = Sealer::new(None);
        assert_eq!(none.check(), Err(Error::SecretsKeyMissing));
        assert_eq!(none.seal(b"here", b"a secret"), Err(Error::SecretsKeyMissing));
        let key = SecretsKeys::generate().unwrap();
        let sealed = sealer(&key).seal(b"here", b"a secret").unwrap();
        assert_eq!(none.open(b"here", &sealed), Err(Error::SecretsKeyMissing));
        none.replace_keys(SecretsKeys::parse(&key, "file").unwrap());
        assert_eq!(none.open(b"here", &sealed), Ok(b"a secret".to_vec()));
        assert_eq!(none.check(), Ok(()));
    }

    #[test]
    fn what_is_no_file_of_keys_is_refused() {
        let key = SecretsKeys::generate().unwrap();
        let short = STANDARD.encode([7; KEY_BYTES - 1]);
        let many = |count: usize| (0..count).map(|_| SecretsKeys::generate().unwrap()).collect::<String>();
        for wrong in ["", "\n# none\n", "canary", &short, &format!("{key}{key}"), &many(KEYS_MAX + 1)] {
            let error = SecretsKeys::parse(wrong, "file").unwrap_err();
            assert!(matches!(error, KeyError::SecretsMalformed { .. }));
            assert!(!error.to_string().contains("canary"));
        }
        assert!(SecretsKeys::parse(&many(KEYS_MAX), "file").is_ok());
        assert_eq!(SecretsKeys::parse(&many(3), "file").unwrap().ids().count(), 3);
    }
}
