//! Who the bearer of a credential is, whichever kind it has: a token of ours, an API key, another issuer's token.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::api_keys::{ApiKeys, PREFIX};
use super::token::LEEWAY;
use super::{Issuers, Principal, Revocations, Tokens};
use crate::domain::{Clock, Error, Result};
use crate::storage::Storage;

/// Longest credential that is looked at, in bytes. Ours have about 400.
const BYTES_MAX: usize = 8 * 1024;

/// Verifies credentials, and that they have not been taken back.
#[derive(Debug)]
pub struct Authenticator {
    tokens: Arc<Tokens>,
    api_keys: ApiKeys,
    issuers: Issuers,
    revocations: Arc<Revocations>,
    clock: Clock,
}

/// What is known of a credential.
pub enum Verdict {
    /// All there is to know.
    Now(Result<Principal>),
    /// It has to be looked up.
    Later(BoxFuture<'static, Result<Principal>>),
}

impl std::fmt::Debug for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Now(result) => f.debug_tuple("Now").field(result).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

impl Authenticator {
    /// Verifies our own tokens, the keys in this storage, and the tokens of other issuers.
    pub fn new(storage: Storage, clock: Clock, tokens: Arc<Tokens>, issuers: Issuers) -> Self {
        let revocations = Arc::new(Revocations::new(clock.clone(), tokens.access_ttl()));
        Self { tokens, api_keys: ApiKeys::new(storage, clock.clone()), issuers, revocations, clock }
    }

    /// The API keys.
    pub const fn api_keys(&self) -> &ApiKeys {
        &self.api_keys
    }

    /// What has been taken back lately, as this replica knows it.
    pub const fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// Who the bearer of this credential is. For a token of ours, and for anything seen lately, that is known at once.
    pub fn authenticate(self: &Arc<Self>, credential: &str) -> Verdict {
        if credential.len() > BYTES_MAX {
            return Verdict::Now(Err(Error::TokenInvalid));
        }
        let Ok(hash) = digest(&SHA256, credential.as_bytes()).as_ref().try_into() else {
            return Verdict::Now(Err(Error::TokenInvalid));
        };
        if credential.starts_with(PREFIX) {
            return match self.api_keys.recall(&hash) {
                Some(principal) => Verdict::Now(self.current(principal)),
                None => self.later(credential, move |this, text| {
                    async move { this.api_keys.verify(hash, &text).await }.boxed()
                }),
            };
        }
        match self.tokens.verify_hashed(&hash, credential) {
            Ok(principal) => Verdict::Now(self.current(principal)),
            Err(Error::TokenInvalid) if self.issuers.may_know(credential) => {
                match self.issuers.recall(&hash) {
                    Some(principal) => Verdict::Now(self.current(principal)),
                    None => self.later(credential, move |this, text| {
                        async move { this.issuers.verify(hash, &text).await }.boxed()
                    }),
                }
            }
            Err(error) => Verdict::Now(Err(error)),
        }
    }

    /// Who the bearer of a token of our own is. Looks nothing up.
    ///
    /// # Errors
    /// `TokenInvalid`, `TokenExpired`, or those of `Revocations::check`.
    pub fn authenticate_session(&self, token: &str) -> Result<Principal> {
        self.current(self.tokens.verify(token)?)
    }

    /// Whether a caller who was admitted may still be heard; streams ask this again and again. The stream of a session
    /// outlives its access token, as the session does; that of a service in a user's place ends with it.
    ///
    /// # Errors
    /// `TokenExpired`, or those of `Revocations::check`.
    pub fn check(&self, principal: &Principal) -> Result<()> {
        if principal.ends_with_its_token() && self.clock.now() >= principal.expire_time.after(LEEWAY) {
            return Err(Error::TokenExpired);
        }
        self.revocations.check(principal)
    }

    fn current(&self, principal: Principal) -> Result<Principal> {
        self.revocations.check(&principal).map(|()| principal)
    }

    fn later(
        self: &Arc<Self>,
        credential: &str,
        verify: impl FnOnce(Arc<Self>, String) -> BoxFuture<'static, Result<Principal>>,
    ) -> Verdict {
        let this = Arc::clone(self);
        let verifying = verify(Arc::clone(self), credential.to_owned());
        Verdict::Later(async move { this.current(verifying.await?) }.boxed())
    }
}
