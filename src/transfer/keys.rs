//! The keys of a service within a backup: sealed by a passphrase, with argon2id and AES-256-GCM.

use std::collections::BTreeMap;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::BackupError;

/// Characters that a passphrase must have.
pub const PASSPHRASE_CHARS_MIN: usize = 12;

/// What one try of a passphrase costs: 64 MiB, three passes, one lane.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
/// A file that asks for more is not one of ours.
const MEMORY_KIB_MAX: u32 = 256 * 1024;
const PASSES_MAX: u32 = 16;
const SALT_BYTES: usize = 16;
const KEY_BYTES: usize = 32;
/// What is sealed is nothing else than this.
const CONTEXT: &[u8] = b"taskwire backup keys 1";

/// The keys of a service. Never shown.
#[derive(Default, Serialize, Deserialize)]
pub struct Keys {
    /// The text of the file of keys that sign tokens.
    pub signing: Option<String>,
    /// The text of the file of keys that seal secrets.
    pub secrets: Option<String>,
    /// Keys that lie in the database: rows of tables, in base64, by the name of the table.
    pub rows: BTreeMap<String, String>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Keys {
    /// Adds rows of a table.
    pub fn put_rows(&mut self, table: &str, bytes: &[u8]) {
        self.rows.insert(table.to_owned(), STANDARD.encode(bytes));
    }

    /// The rows of each table.
    ///
    /// # Errors
    /// `Damaged`.
    pub fn tables(&self) -> Result<Vec<(String, Vec<u8>)>, BackupError> {
        let decode = |(table, text): (&String, &String)| {
            let bytes = STANDARD.decode(text);
            bytes.map(|bytes| (table.clone(), bytes)).map_err(|_| BackupError::Damaged("its keys".into()))
        };
        self.rows.iter().map(decode).collect()
    }

    /// Seals them.
    ///
    /// # Errors
    /// `Seal`.
    pub fn seal(&self, passphrase: &SecretString) -> Result<SealedKeys, BackupError> {
        let mut salt = [0; SALT_BYTES];
        aws_lc_rs::rand::fill(&mut salt).map_err(|_| BackupError::Seal("no random numbers could be had"))?;
        let mut sealed = SealedKeys {
            algorithm: ALGORITHM.to_owned(),
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            salt: STANDARD.encode(salt),
            nonce: String::new(),
            sealed: String::new(),
        };
        let key = sealed.key(passphrase).ok_or(BackupError::Seal("the passphrase cannot be used"))?;
        let mut body = serde_json::to_vec(self).map_err(|_| BackupError::Seal("they cannot be written"))?;
        let nonce = key.seal_in_place_append_tag(Aad::from(CONTEXT), &mut body);
        let nonce = nonce.map_err(|_| BackupError::Seal("they cannot be sealed"))?;
        sealed.nonce = STANDARD.encode(nonce.as_ref());
        sealed.sealed = STANDARD.encode(&body);
        Ok(sealed)
    }
}

const ALGORITHM: &str = "argon2id, AES-256-GCM";

/// Keys as they stand in the file, binary values in base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedKeys {
    algorithm: String,
    memory_kib: u32,
    passes: u32,
    salt: String,
    nonce: String,
    sealed: String,
}

impl SealedKeys {
    /// Opens them.
    ///
    /// # Errors
    /// `WrongPassphrase`, or `Damaged` where no passphrase could open them.
    pub fn open(&self, passphrase: &SecretString) -> Result<Keys, BackupError> {
        let damaged = || BackupError::Damaged("its keys are not sealed in a way that is known".into());
        let is_ours =
            self.algorithm == ALGORITHM && self.memory_kib <= MEMORY_KIB_MAX && self.passes <= PASSES_MAX;
        if !is_ours {
            return Err(damaged());
        }
        let key = self.key(passphrase).ok_or_else(damaged)?;
        let nonce: [u8; NONCE_LEN] =
            STANDARD.decode(&self.nonce).ok().and_then(|nonce| nonce.try_into().ok()).ok_or_else(damaged)?;
        let mut body = STANDARD.decode(&self.sealed).map_err(|_| damaged())?;
        let plain = key
            .open_in_place(Nonce::from(&nonce), Aad::from(CONTEXT), &mut body)
            .map_err(|_| BackupError::WrongPassphrase)?;
        serde_json::from_slice(plain).map_err(|_| damaged())
    }

    fn key(&self, passphrase: &SecretString) -> Option<RandomizedNonceKey> {
        let params = Params::new(self.memory_kib, self.passes, 1, Some(KEY_BYTES)).ok()?;
        let salt = STANDARD.decode(&self.salt).ok()?;
        let mut key = [0; KEY_BYTES];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password_into(passphrase.expose_secret().as_bytes(), &salt, &mut key).ok()?;
        RandomizedNonceKey::new(&AES_256_GCM, &key).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_open_with_their_passphrase_alone_and_unaltered_alone() {
        let mut keys = Keys { signing: Some("canary".into()), ..Keys::default() };
        keys.put_rows("service_secrets", &[1, 2, 3]);
        let passphrase = SecretString::from("correct horse battery");
        let sealed = keys.seal(&passphrase).unwrap();
        assert!(!serde_json::to_string(&sealed).unwrap().contains("canary"));
        let opened = sealed.open(&passphrase).unwrap();
        assert_eq!(opened.signing.as_deref(), Some("canary"));
        assert_eq!(opened.tables().unwrap(), [("service_secrets".to_owned(), vec![1, 2, 3])]);
        let wrong = sealed.open(&SecretString::from("correct horse batterx"));
        assert!(matches!(wrong, Err(BackupError::WrongPassphrase)));
        let altered = SealedKeys { passes: sealed.passes + 1, ..sealed.clone() };
        assert!(matches!(altered.open(&passphrase), Err(BackupError::WrongPassphrase)));
        for hostile in [
            SealedKeys { memory_kib: u32::MAX, ..sealed.clone() },
            SealedKeys { passes: u32::MAX, ..sealed.clone() },
            SealedKeys { algorithm: "none".into(), ..sealed.clone() },
            SealedKeys { salt: "?".into(), ..sealed.clone() },
            SealedKeys { nonce: "AA==".into(), ..sealed },
        ] {
            assert!(matches!(hostile.open(&passphrase), Err(BackupError::Damaged(_))));
        }
    }
}
