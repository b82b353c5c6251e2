//! Sessions: one login of one user, kept alive by refresh tokens of which only hashes are stored.

use uuid::Uuid;

use super::{Rule, SessionId, Timestamp, UserId, text};

/// What the user calls the place they logged in from: a short text, which may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device(String);

impl Device {
    /// Reads a device name.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(raw: &str) -> Result<Self, Rule> {
        text::short(raw).map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The hashes (SHA-256) by which a session knows its refresh tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshSecrets {
    /// Of the part that stays the same through all rotations: tells an old token from a made-up one.
    pub family: Vec<u8>,
    /// Of the one token that may be used next.
    pub current: Vec<u8>,
    /// Of the token before it, which may be replayed for a few seconds.
    pub previous: Option<Vec<u8>>,
    /// The random number that, with the previous token, makes the current one again.
    pub salt: Option<Vec<u8>>,
    /// When `previous` was retired.
    pub rotate_time: Timestamp,
    /// The caller's id of the refresh that retired it.
    pub rotate_idempotency_key: Option<Uuid>,
}

impl std::fmt::Debug for RefreshSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RefreshSecrets").finish_non_exhaustive()
    }
}

/// A session to be stored.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// What the user calls the device.
    pub device: Device,
    /// The address it was opened from.
    pub peer: String,
    /// When it was opened.
    pub create_time: Timestamp,
    /// When it ends unless it is refreshed.
    pub expire_time: Timestamp,
    /// Hash of the part of the refresh token that stays.
    pub family_hash: Vec<u8>,
    /// Hash of the first refresh token.
    pub refresh_hash: Vec<u8>,
}

/// A stored session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// What the user calls the device.
    pub device: Device,
    /// The address it was last used from.
    pub peer: String,
    /// When it was opened.
    pub create_time: Timestamp,
    /// When it was last refreshed.
    pub last_use_time: Timestamp,
    /// When it ends unless it is refreshed.
    pub expire_time: Timestamp,
    /// When it was ended, if it was.
    pub revoke_time: Option<Timestamp>,
    /// How its refresh tokens are recognised.
    pub secrets: RefreshSecrets,
}
