//! The ring of signing keys: one signs, the next may already be known, retired ones verify until their tokens have
//! ended.
//!
//! One file holds them all, as PEM blocks. A line `# active-from: <seconds since 1970>` before a block says from when
//! on its key signs; without one it has always done so. Everything else follows: the newest key whose time has come
//! signs, and an older one verifies for as long as a token lives after its successor took over. So rotating is adding
//! a key with a time in the near future: every replica knows it before the first token is signed with it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use super::keys::read_private;
use super::{KeyError, SigningKey};
use crate::domain::Timestamp;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";
const ACTIVE_FROM: &str = "# active-from:";
/// More keys than this in one file are a mistake.
const KEYS_MAX: usize = 16;

/// What a key is there for at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// It will sign later; whoever verifies can know it already.
    Next,
    /// It signs.
    Active,
    /// It only verifies.
    Retired,
    /// Its last token has ended.
    Expired,
}

impl KeyState {
    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Expired => "expired",
        }
    }
}

#[derive(Debug)]
struct Entry {
    key: SigningKey,
    pem: String,
    active_from: Timestamp,
}

/// The keys, oldest first; never empty.
pub struct KeyRing {
    entries: Vec<Entry>,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|entry| entry.key.id())).finish()
    }
}

impl KeyRing {
    /// A ring of one key, which has always signed.
    pub fn of(key: SigningKey) -> Self {
        Self { entries: vec![Entry { key, pem: String::new(), active_from: Timestamp::MIN }] }
    }

    /// Reads the text of a key file; `path` is where it came from, for the error.
    ///
    /// # Errors
    /// `Malformed` when there is no key, one is no Ed25519 private key, two are the same, or there are too many.
    pub fn parse(text: &str, path: &str) -> Result<Self, KeyError> {
        let malformed = || KeyError::Malformed { path: path.to_owned() };
        let mut entries: Vec<Entry> = Vec::new();
        let mut rest = text;
        while let Some((before, block)) = rest.split_once(BEGIN) {
            let (body, after) = block.split_once(END).ok_or_else(malformed)?;
            rest = after;
            let pem = format!("{BEGIN}{body}{END}\n");
            let key = SigningKey::from_pem(pem.as_bytes(), path)?;
            let active_from = active_from(before).ok_or_else(malformed)?;
            entries.push(Entry { key, pem, active_from });
        }
        entries.sort_by_key(|entry| entry.active_from);
        let doubled = entries
            .iter()
            .enumerate()
            .any(|(at, one)| entries[..at].iter().any(|other| other.key.id() == one.key.id()));
        if entries.is_empty() || entries.len() > KEYS_MAX || doubled {
            return Err(malformed());
        }
        Ok(Self { entries })
    }

    /// Reads a key file, which other users must not be able to access.
    ///
    /// # Errors
    /// `File`, `TooOpen` or `Malformed`.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        Self::parse(&read_private(path)?, &path.display().to_string())
    }

    /// The key that signs now.
    pub fn signing(&self, now: Timestamp) -> &SigningKey {
        // A file whose only key lies in the future is of use all the same.
        &self.entries[self.active_at(now)].key
    }

    /// The key with this id, if tokens of it can still be valid. `token_life` is how long a token lives.
    pub fn verifying(&self, id: &str, now: Timestamp, token_life: Duration) -> Option<&SigningKey> {
        let at = self.entries.iter().position(|entry| entry.key.id() == id)?;
        (self.state(at, now, token_life) != KeyState::Expired).then_some(&self.entries[at].key)
    }

    /// Id, state and beginning of every key, oldest first.
    pub fn list(&self, now: Timestamp, token_life: Duration) -> Vec<(&str, KeyState, Timestamp)> {
        let entries = self.entries.iter().enumerate();
        entries
            .map(|(at, entry)| (entry.key.id(), self.state(at, now, token_life), entry.active_from))
            .collect()
    }

    /// The public keys of all tokens that are or will be valid, as a JWK set (RFC 7517).
    pub fn jwks(&self, now: Timestamp, token_life: Duration) -> String {
        let entries = self.entries.iter().enumerate();
        let keys: Vec<serde_json::Value> = entries
            .filter(|(at, _)| self.state(*at, now, token_life) != KeyState::Expired)
            .map(|(_, entry)| {
                serde_json::json!({
                    "kty": "OKP",
                    "crv": "Ed25519",
                    "use": "sig",
                    "alg": "EdDSA",
                    "kid": entry.key.id(),
                    "x": entry.key.public(),
                })
            })
            .collect();
        serde_json::json!({ "keys": keys }).to_string()
    }

    /// Adds a new key that signs from `active_from` on, and drops those that have expired; answers the text of the file.
    ///
    /// # Errors
    /// `Random` when the system gives no random numbers.
    pub fn rotated(
        &self,
        active_from: Timestamp,
        now: Timestamp,
        token_life: Duration,
    ) -> Result<String, KeyError> {
        let mut text = String::new();
        for (at, entry) in self.entries.iter().enumerate() {
            if self.state(at, now, token_life) != KeyState::Expired {
                text.push_str(&block(&entry.pem, entry.active_from));
            }
        }
        text.push_str(&block(&SigningKey::generate_pem()?, active_from));
        Ok(text)
    }

    /// As `rotated`, in the place of the file that this ring came from.
    ///
    /// # Errors
    /// Those of `load` and `rotated`, and `File` when it cannot be written.
    pub fn rotate_file(
        path: &Path,
        active_from: Timestamp,
        now: Timestamp,
        token_life: Duration,
    ) -> Result<(), KeyError> {
        let text = Self::load(path)?.rotated(active_from, now, token_life)?;
        replace_file(path, &text)
    }

    /// Where the key that signs at `now` stands.
    fn active_at(&self, now: Timestamp) -> usize {
        self.entries.iter().rposition(|entry| entry.active_from <= now).unwrap_or(0)
    }

    fn state(&self, at: usize, now: Timestamp, token_life: Duration) -> KeyState {
        let active = self.active_at(now);
        match at.cmp(&active) {
            std::cmp::Ordering::Greater => KeyState::Next,
            std::cmp::Ordering::Equal => KeyState::Active,
            std::cmp::Ordering::Less => {
                let retired = self.entries.get(at + 1).map_or(now, |next| next.active_from);
                if now > retired.after(token_life) { KeyState::Expired } else { KeyState::Retired }
            }
        }
    }
}

/// Puts a new text in the place of a key file, at once and for its owner alone (0600).
fn replace_file(path: &Path, text: &str) -> Result<(), KeyError> {
    let failed = |source| KeyError::File { path: path.display().to_string(), source };
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let written = || -> io::Result<()> {
        let _ = fs::remove_file(&beside);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    written().map_err(failed)
}

fn block(pem: &str, active_from: Timestamp) -> String {
    if active_from == Timestamp::MIN {
        return pem.to_owned();
    }
    let (seconds, _) = active_from.to_parts();
    format!("{ACTIVE_FROM} {seconds}\n{pem}")
}

/// From when on the key signs that follows this text; `None` when that cannot be read.
fn active_from(before: &str) -> Option<Timestamp> {
    let mut lines = before.lines().filter_map(|line| line.trim().strip_prefix(ACTIVE_FROM));
    match lines.next_back() {
        None => Some(Timestamp::MIN),
        Some(seconds) => Timestamp::from_parts(seconds.trim().parse().ok()?, 0).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(905);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_parts(1_790_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn a_rotation_is_known_before_it_counts_and_the_old_key_ends_with_its_tokens() {
        let first = KeyRing::parse(&SigningKey::generate_pem().unwrap(), "file").unwrap();
        let old = first.signing(at(0)).id().to_owned();
        let ring = KeyRing::parse(&first.rotated(at(60), at(0), LIFE).unwrap(), "file").unwrap();
        let new = ring.entries[1].key.id().to_owned();

        assert_eq!(ring.signing(at(59)).id(), old);
        assert!(ring.verifying(&new, at(0), LIFE).is_some());
        assert_eq!(ring.signing(at(60)).id(), new);
        assert!(ring.verifying(&old, at(60 + 905), LIFE).is_some());
        assert!(ring.verifying(&old, at(60 + 906), LIFE).is_none());
        assert!(ring.verifying("other", at(0), LIFE).is_none());

        let later = KeyRing::parse(&ring.rotated(at(2000), at(1990), LIFE).unwrap(), "file").unwrap();
        assert_eq!(later.entries.len(), 2, "the expired key is gone");
        assert!(ring.jwks(at(0), LIFE).contains(&old) && ring.jwks(at(0), LIFE).contains(&new));
        assert!(!ring.jwks(at(2000), LIFE).contains(&old));
        assert!(!ring.jwks(at(0), LIFE).contains("\"d\""));
    }

    #[test]
    fn what_is_no_ring_is_refused() {
        let pem = SigningKey::generate_pem().unwrap();
        for wrong in [
            String::new(),
            "nothing".into(),
            format!("{pem}{pem}"),
            format!("# active-from: soon\n{pem}"),
            pem.replace("-----END", "-----FIN"),
            format!("{pem}{}", pem.replace('M', "N")),
        ] {
            assert!(KeyRing::parse(&wrong, "file").is_err(), "{wrong}");
        }
    }
    #[test]
    fn a_ring_has_so_many_keys_at_most() {
        let pem = |count: usize| (0..count).map(|_| SigningKey::generate_pem().unwrap()).collect::<String>();
        let parse = |count| KeyRing::parse(&pem(count), "file");
        assert!(parse(KEYS_MAX).is_ok());
        assert!(parse(KEYS_MAX + 1).is_err());
        assert!(parse(0).is_err());
    }
}
