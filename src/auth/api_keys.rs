//! API keys: what stands in them, and who presents one.
//!
//! A key names its user and itself, so it is found by key, and holds 256 random bits, of which a hash is stored. What
//! was looked up is remembered for half a minute, so that a busy script costs two reads a minute; a revocation counts
//! at once all the same, as it is looked at for every call.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use quick_cache::sync::Cache;

use super::secret::{random, same};
use super::{Credential, Principal};
use crate::domain::{
    ApiKey, ApiKeyId, Clock, DisplayName, Error, NewApiKey, Result, Role, Scopes, Timestamp, Trace, UserId,
};
use crate::domain::{AuditEventType, Rule};
use crate::storage::Storage;

/// What every key begins with, so that scanners recognise one that leaked.
pub(crate) const PREFIX: &str = "twk_";
const SECRET_BYTES: usize = 32;
const KEY_BYTES: usize = 16 + 16 + SECRET_BYTES;
/// How long what was looked up is believed.
const REMEMBERED_FOR: Duration = Duration::from_secs(30);
/// Keys remembered, about 200 bytes each.
const REMEMBERED_MAX: usize = 10_000;

/// An API key as it is asked for.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Whose it is to be.
    pub user: UserId,
    /// What it is for.
    pub display_name: DisplayName,
    /// What it may do.
    pub scopes: Scopes,
    /// From when on it is refused, if ever.
    pub expire_time: Option<Timestamp>,
}

/// Makes and verifies API keys.
#[derive(Clone)]
pub struct ApiKeys {
    storage: Storage,
    clock: Clock,
    /// By the SHA-256 of the key, so that no key that works lies in memory.
    remembered: Arc<Cache<[u8; 32], Principal>>,
}

impl std::fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKeys").finish_non_exhaustive()
    }
}

impl ApiKeys {
    /// The keys in this storage.
    pub fn new(storage: Storage, clock: Clock) -> Self {
        Self { storage, clock, remembered: Arc::new(Cache::new(REMEMBERED_MAX)) }
    }

    /// Makes a key; answers it with its secret, which cannot be had again.
    ///
    /// # Errors
    /// `Invalid` when it would have expired already, `ApiKeyQuotaExceeded`, or those of the storage.
    pub async fn create(&self, new: NewKey, trace: &Trace) -> Result<(ApiKey, String)> {
        let now = self.clock.now();
        if new.expire_time.is_some_and(|time| time <= now) {
            let rule = Rule::field("must lie in the future");
            return Err(Error::invalid(rule.at("api_key.expire_time")));
        }
        let id = ApiKeyId::generate_at(now);
        let secret: [u8; SECRET_BYTES] = random()?;
        let stored = NewApiKey {
            id,
            user: new.user,
            display_name: new.display_name,
            scopes: new.scopes,
            secret_hash: digest(&SHA256, &secret).as_ref().to_vec(),
            create_time: now,
            expire_time: new.expire_time,
        };
        let key = self
            .storage
            .api_keys()
            .recording(trace.did(AuditEventType::ApiKeyCreated))
            .create(stored)
            .await?;
        Ok((key, encode(new.user, id, &secret)))
    }

    /// Who presents this key, if that is remembered.
    pub(crate) fn recall(&self, hash: &[u8; 32]) -> Option<Principal> {
        let principal = self.remembered.get(hash)?;
        let now = self.clock.now();
        let fresh = now.since(principal.issue_time) < REMEMBERED_FOR && now < principal.expire_time;
        fresh.then_some(principal)
    }

    /// Who presents this key, by the storage.
    ///
    /// # Errors
    /// `ApiKeyInvalid`, or those of the storage.
    pub(crate) async fn verify(&self, hash: [u8; 32], text: &str) -> Result<Principal> {
        let (user, id, secret) = decode(text).ok_or(Error::ApiKeyInvalid)?;
        // Before the read: what is revoked while it is under way must not be believed to be newer.
        let now = self.clock.now();
        let holder = self.storage.api_keys().find(user, id).await?;
        let presented = digest(&SHA256, &secret);
        let key = holder
            .filter(|holder| same(&holder.secret_hash, presented.as_ref()))
            .map(|holder| holder.key)
            .ok_or(Error::ApiKeyInvalid)?;
        let expire_time = key.expire_time.unwrap_or(Timestamp::MAX);
        if expire_time <= now {
            return Err(Error::ApiKeyInvalid);
        }
        let principal = Principal {
            user,
            credential: Credential::ApiKey(id, key.scopes),
            // Whatever its user may do: a key manages nothing.
            role: Role::User,
            issue_time: now,
            expire_time,
            auth_time: None,
        };
        self.remembered.insert(hash, principal);
        Ok(principal)
    }
}

fn encode(user: UserId, id: ApiKeyId, secret: &[u8; SECRET_BYTES]) -> String {
    let mut bytes = Vec::with_capacity(KEY_BYTES);
    bytes.extend_from_slice(user.as_bytes());
    bytes.extend_from_slice(id.as_bytes());
    bytes.extend_from_slice(secret);
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
}

fn decode(text: &str) -> Option<(UserId, ApiKeyId, [u8; SECRET_BYTES])> {
    let text = text.strip_prefix(PREFIX)?;
    // 64 bytes are 86 characters; anything else is not worth decoding.
    if text.len() != (KEY_BYTES * 4).div_ceil(3) {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (user, rest) = bytes.split_first_chunk::<16>()?;
    let (id, rest) = rest.split_first_chunk::<16>()?;
    Some((UserId::from_bytes(*user), ApiKeyId::from_bytes(*id), rest.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_and_nothing_else_is() {
        let (user, id, secret) = (UserId::generate(), ApiKeyId::generate(), [7; SECRET_BYTES]);
        let text = encode(user, id, &secret);
        assert!(text.starts_with("twk_"));
        assert_eq!(decode(&text), Some((user, id, secret)));
        for wrong in [
            "",
            "twk_",
            &text[1..],
            &text[..text.len() - 1],
            &format!("{text}A"),
            &text.replace("twk_", "twr_"),
            &format!("{text}=="),
        ] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
