//! Logins whose password was right and whose second factor is still to be shown.

use super::{ChallengeId, Device, Timestamp, User, UserId};

/// How often a code can be tried on one challenge.
pub const CHALLENGE_TRIES: i16 = 10;

/// A challenge as it is sent: half of a login.
#[derive(Clone, PartialEq, Eq)]
pub struct ChallengeText(String);

impl ChallengeText {
    /// Keeps it from being shown by accident.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// For whoever is to have it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for ChallengeText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChallengeText")
    }
}

/// A challenge to be stored.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "it holds hashes of secrets")]
pub struct NewChallenge {
    /// Whose login it is.
    pub user: UserId,
    /// Its id.
    pub id: ChallengeId,
    /// Hash (SHA-256) of its secret.
    pub secret_hash: Vec<u8>,
    /// Hash (SHA-256) of the hash that the password was compared with.
    pub proved_hash: Vec<u8>,
    /// What the user calls the device.
    pub device: Device,
    /// From when on it is refused.
    pub expire_time: Timestamp,
}

/// A second factor as it is stored.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "it holds a sealed secret")]
pub struct SecondFactor {
    /// The secret that codes are made of, sealed.
    pub sealed: Vec<u8>,
    /// Whether a code of it has been shown.
    pub confirmed: bool,
    /// The step of the last code that was taken.
    pub last_step: i64,
}

/// A stored challenge, with what is needed to decide on it.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "it holds hashes of secrets")]
pub struct LoginChallenge {
    /// Whose login it is.
    pub user: User,
    /// The hash of the password as it is now.
    pub password_hash: Option<String>,
    /// Hash of its secret.
    pub secret_hash: Vec<u8>,
    /// Hash of the hash that the password was compared with.
    pub proved_hash: Vec<u8>,
    /// What the user calls the device.
    pub device: Device,
    /// From when on it is refused.
    pub expire_time: Timestamp,
    /// The second factor.
    pub factor: SecondFactor,
}
