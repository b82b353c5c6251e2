//! Refresh tokens: what stands in them, what is stored of them, and how one follows from another.
//!
//! A token names its user and session, so it is found by key, and holds two secrets. The *family* secret is the
//! same in all tokens of a session and tells an old token from a made-up one. The other changes with each refresh.
//! The next one is derived from it and a random number that is stored at that moment, so that whoever lost the
//! answer and asks again gets the same token again, though only hashes are stored.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::auth::secret::random;
use crate::domain::{Error, Result, SessionId, UserId};

const PREFIX: &str = "twr_";
const FAMILY_BYTES: usize = 16;
const SECRET_BYTES: usize = 32;
const TOKEN_BYTES: usize = 16 + 16 + FAMILY_BYTES + SECRET_BYTES;

/// A refresh token. Has no `Debug`: it is worth a login.
#[derive(Clone)]
pub(super) struct RefreshToken {
    pub(super) user: UserId,
    pub(super) session: SessionId,
    family: [u8; FAMILY_BYTES],
    secret: [u8; SECRET_BYTES],
}

impl RefreshToken {
    /// The first token of a session.
    pub(super) fn first(user: UserId, session: SessionId) -> Result<Self> {
        Ok(Self { user, session, family: random()?, secret: random()? })
    }

    /// Reads a token as sent.
    pub(super) fn parse(text: &str) -> Result<Self> {
        Self::decode(text).ok_or(Error::RefreshTokenInvalid)
    }

    fn decode(text: &str) -> Option<Self> {
        let text = text.strip_prefix(PREFIX)?;
        // 80 bytes are 107 characters; anything else is not worth decoding.
        if text.len() != TOKEN_BYTES.div_ceil(3) * 4 - 1 {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (user, rest) = bytes.split_first_chunk::<16>()?;
        let (session, rest) = rest.split_first_chunk::<16>()?;
        let (family, rest) = rest.split_first_chunk::<FAMILY_BYTES>()?;
        let secret: [u8; SECRET_BYTES] = rest.try_into().ok()?;
        Some(Self {
            user: UserId::from_bytes(*user),
            session: SessionId::from_bytes(*session),
            family: *family,
            secret,
        })
    }

    /// The token as it is sent.
    pub(super) fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(TOKEN_BYTES);
        bytes.extend_from_slice(self.user.as_bytes());
        bytes.extend_from_slice(self.session.as_bytes());
        bytes.extend_from_slice(&self.family);
        bytes.extend_from_slice(&self.secret);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// What is stored of the secret that changes.
    pub(super) fn hash(&self) -> Vec<u8> {
        digest(&SHA256, &self.secret).as_ref().to_vec()
    }

    /// What is stored of the secret that stays.
    pub(super) fn family_hash(&self) -> Vec<u8> {
        digest(&SHA256, &self.family).as_ref().to_vec()
    }

    /// The token that follows this one, given the random number of that step.
    pub(super) fn successor(&self, salt: &[u8]) -> Result<Self> {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, salt), &self.secret);
        let secret =
            tag.as_ref().try_into().map_err(|_| Error::Internal("an HMAC has the wrong length".into()))?;
        Ok(Self { secret, ..self.clone() })
    }
}
