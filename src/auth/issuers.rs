//! Tokens of other issuers: which are taken, with which keys they are verified, and whose accounts they lead to.
//!
//! An issuer is named with its audience, its keys and the algorithms it may use; nothing in a token can add to that. The
//! account is found by issuer and subject, never by email: an email is something that an issuer says, not what it proves.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use quick_cache::sync::Cache;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::jwks::{JwksClient, Place};
use super::token::{Audience, LEEWAY, TOKEN_TYPE, leads_elsewhere, timestamp};
use super::{Credential, Principal};
use crate::domain::{
    AuditEventType, Clock, DisplayName, Email, Error, NewUser, Result, Role, Timestamp, Trace, UserId,
};
use crate::storage::{Identity, Storage};

/// How often keys are fetched at most: an unknown `kid` is no reason to hammer an issuer.
const FETCH_INTERVAL: Duration = Duration::from_secs(60);
/// How long keys are used before they are fetched again.
const KEYS_FRESH_FOR: Duration = Duration::from_secs(600);
/// How long a verified token is believed without looking up its account again.
const REMEMBERED_FOR: Duration = Duration::from_secs(30);
/// Tokens remembered, about 200 bytes each.
const REMEMBERED_MAX: usize = 10_000;
/// Shortest secret for HS256 (RFC 7518, section 3.2).
const SECRET_BYTES_MIN: usize = 32;
/// Issuers there may be.
const ISSUERS_MAX: usize = 32;

/// An issuer as the configuration names it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// `iss` of its tokens.
    pub issuer: String,
    /// The `aud` by which it means this service.
    pub audience: String,
    /// Where its public keys are: a path, or an HTTPS URL.
    #[serde(default)]
    pub jwks: Option<String>,
    /// Instead of that: a file with the secret that it shares with this service, for HS256.
    #[serde(default)]
    pub hs256_secret_file: Option<String>,
    /// The algorithms it may sign with; must not be given with a secret.
    #[serde(default)]
    pub algorithms: Vec<String>,
    /// Whether a subject who is not known yet gets an account.
    #[serde(default)]
    pub create_users: bool,
}

/// The issuers whose tokens are taken.
pub struct Issuers {
    all: Vec<Issuer>,
    storage: Storage,
    clock: Clock,
    client: Option<JwksClient>,
    /// By the SHA-256 of the token.
    remembered: Cache<[u8; 32], Principal>,
}

struct Issuer {
    name: String,
    audience: String,
    algorithms: Vec<Algorithm>,
    keys: Keys,
    create_users: bool,
}

enum Keys {
    Secret(Box<DecodingKey>),
    Set { place: Place, known: RwLock<Arc<JwkSet>>, fetched: Mutex<Fetched> },
}

/// When keys were asked for, and when they came.
#[derive(Debug, Default)]
struct Fetched {
    tried: Option<Timestamp>,
    succeeded: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
struct IssuerClaim {
    iss: String,
}

#[derive(Debug, Deserialize)]
struct ForeignClaims {
    sub: String,
    #[expect(dead_code, reason = "compared by the library")]
    aud: Audience,
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    email_verified: Option<bool>,
    #[serde(default)]
    name: Option<String>,
}

impl std::fmt::Debug for Issuers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.all.iter().map(|issuer| &issuer.name)).finish()
    }
}

impl Issuers {
    /// No others.
    pub fn none(storage: Storage, clock: Clock) -> Self {
        Self { all: Vec::new(), storage, clock, client: None, remembered: Cache::new(1) }
    }

    /// Reads a file of issuers: a JSON list of objects.
    ///
    /// # Errors
    /// What is wrong with it, without repeating it.
    pub fn read_file(path: &Path) -> Result<Vec<IssuerConfig>, String> {
        let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_slice(&text)
            .map_err(|error| format!("{}: must hold a JSON list of issuers: {error}", path.display()))
    }

    /// Checks issuers and prepares to verify their tokens; no key is fetched yet. `own` is the issuer of our own tokens.
    ///
    /// # Errors
    /// What is wrong with which of them.
    pub fn new(
        configs: Vec<IssuerConfig>,
        own: &str,
        storage: Storage,
        clock: Clock,
    ) -> Result<Self, String> {
        if configs.len() > ISSUERS_MAX {
            return Err(format!("there may be at most {ISSUERS_MAX} issuers"));
        }
        let mut all: Vec<Issuer> = Vec::new();
        for (at, config) in configs.into_iter().enumerate() {
            if config.issuer == own || all.iter().any(|other| other.name == config.issuer) {
                return Err(format!(
                    "issuers[{at}].issuer: must not be named twice or be TASKWIRE_TOKEN_ISSUER"
                ));
            }
            all.push(Issuer::new(config).map_err(|text| format!("issuers[{at}].{text}"))?);
        }
        let fetches = all.iter().any(|issuer| matches!(issuer.keys, Keys::Set { .. }));
        Ok(Self {
            all,
            storage,
            clock,
            client: fetches.then(JwksClient::new),
            remembered: Cache::new(REMEMBERED_MAX),
        })
    }

    /// Whether this looks like a token of one of them. Nothing is verified yet.
    pub(crate) fn may_know(&self, token: &str) -> bool {
        self.issuer_of(token).is_some()
    }

    /// Who presents this token, if that is remembered.
    pub(crate) fn recall(&self, hash: &[u8; 32]) -> Option<Principal> {
        let principal = self.remembered.get(hash)?;
        let now = self.clock.now();
        let fresh = now.since(principal.issue_time) < REMEMBERED_FOR
            && now < principal.expire_time
            // After the clock was set back, what was believed then is looked at again.
            && principal.issue_time <= now.after(LEEWAY);
        fresh.then_some(principal)
    }

    /// Who presents this token. Makes their account, where that is configured.
    ///
    /// # Errors
    /// `TokenInvalid`, `TokenExpired`, `UserDisabled`, or those of the storage.
    pub(crate) async fn verify(&self, hash: [u8; 32], token: &str) -> Result<Principal> {
        let issuer = self.issuer_of(token).ok_or(Error::TokenInvalid)?;
        // Before anything is read: what is revoked meanwhile must not be believed to be older.
        let now = self.clock.now();
        let header = decode_header(token).map_err(|_| Error::TokenInvalid)?;
        issuer.check_header(&header)?;
        let key = self.key(issuer, &header, now).await?;
        let claims = issuer.claims(token, &header, &key)?;
        let expire_time = timestamp(claims.exp)?;
        if now >= expire_time.after(LEEWAY) {
            return Err(Error::TokenExpired);
        }
        let not_before = claims.nbf.map(timestamp).transpose()?;
        if not_before.is_some_and(|time| time > now.after(LEEWAY)) {
            return Err(Error::TokenInvalid);
        }
        let user = self.account(issuer, &claims, now).await?;
        let principal = Principal {
            user,
            credential: Credential::Issuer,
            // What an issuer says of roles is not taken: administrators log in here.
            role: Role::User,
            issue_time: now,
            expire_time,
            auth_time: None,
        };
        self.remembered.insert(hash, principal);
        Ok(principal)
    }

    fn issuer_of(&self, token: &str) -> Option<&Issuer> {
        if self.all.is_empty() {
            return None;
        }
        let payload = token.split('.').nth(1)?;
        let claims: IssuerClaim = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        self.all.iter().find(|issuer| issuer.name == claims.iss)
    }

    /// The key that a header names, fetched if need be.
    async fn key(&self, issuer: &Issuer, header: &Header, now: Timestamp) -> Result<DecodingKey> {
        let Keys::Set { place, known, fetched } = &issuer.keys else {
            let Keys::Secret(secret) = &issuer.keys else { return Err(Error::TokenInvalid) };
            return Ok((**secret).clone());
        };
        let current = || Arc::clone(&known.read().unwrap_or_else(PoisonError::into_inner));
        let found = pick(&current(), header);
        // Only one fetches; whoever waited finds what it brought.
        let mut fetched = fetched.lock().await;
        let is_stale = fetched.succeeded.is_none_or(|time| now.since(time) >= KEYS_FRESH_FOR);
        let may_fetch = fetched.tried.is_none_or(|time| now.since(time) >= FETCH_INTERVAL);
        if may_fetch
            && (found.is_none() || is_stale)
            && let Some(client) = &self.client
        {
            fetched.tried = Some(now);
            match place.fetch(client).await {
                Ok(set) => {
                    *known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
                    fetched.succeeded = Some(now);
                }
                // The last good copy stays.
                Err(cause) => tracing::warn!(issuer = issuer.name, %cause, "the keys of an issuer"),
            }
        }
        let jwk = pick(&current(), header).ok_or(Error::TokenInvalid)?;
        DecodingKey::from_jwk(&jwk).map_err(|_| Error::TokenInvalid)
    }

    /// The account of a subject.
    async fn account(&self, issuer: &Issuer, claims: &ForeignClaims, now: Timestamp) -> Result<UserId> {
        let key = identity_key(&issuer.name, &claims.sub);
        if let Some(user) = self.storage.identities().find(&key).await? {
            return if user.disable_time.is_some() { Err(Error::SessionRevoked) } else { Ok(user.id) };
        }
        if !issuer.create_users {
            return Err(Error::TokenInvalid);
        }
        let display_name = claims.name.as_deref().and_then(|name| DisplayName::parse(name).ok());
        let verified = claims.email.as_deref().filter(|_| claims.email_verified == Some(true));
        let placeholder = Email::parse(&format!("{}@identity.invalid", URL_SAFE_NO_PAD.encode(&key)))
            .map_err(|rule| Error::Internal(rule.text.into_owned()))?;
        let wanted = verified.and_then(|email| Email::parse(email).ok());
        let identity = Identity { key, issuer: issuer.name.clone(), subject: claims.sub.clone() };
        for email in wanted.into_iter().chain([placeholder]) {
            let new = NewUser {
                id: UserId::generate_at(now),
                email,
                display_name: display_name.clone().unwrap_or_default(),
                role: Role::User,
            };
            let draft = Trace { actor: Some(new.id), ..Trace::default() }.did(AuditEventType::UserCreated);
            match self.storage.identities().create(identity.clone(), new, draft, now).await {
                // Somebody else's account has the address; it is not given away for it.
                Err(Error::UserAlreadyExists) => {}
                created => return created,
            }
        }
        Err(Error::Conflict)
    }
}

impl Issuer {
    fn new(config: IssuerConfig) -> Result<Self, String> {
        for (field, text) in [("issuer", &config.issuer), ("audience", &config.audience)] {
            if text.trim().is_empty() {
                return Err(format!("{field}: must not be empty"));
            }
        }
        let (keys, algorithms) = match (&config.jwks, &config.hs256_secret_file) {
            (Some(jwks), None) => {
                let place = Place::parse(jwks).map_err(|text| format!("jwks: {text}"))?;
                let keys = Keys::Set {
                    place,
                    known: RwLock::new(Arc::new(JwkSet { keys: Vec::new() })),
                    fetched: Mutex::default(),
                };
                (keys, asymmetric(&config.algorithms)?)
            }
            (None, Some(file)) => {
                if !config.algorithms.is_empty() {
                    return Err(
                        "algorithms: must not be given with a secret, which is for HS256 alone".into()
                    );
                }
                (Keys::Secret(Box::new(secret(file)?)), vec![Algorithm::HS256])
            }
            _ => return Err("jwks: exactly one of `jwks` and `hs256_secret_file` must be given".into()),
        };
        Ok(Self {
            name: config.issuer,
            audience: config.audience,
            algorithms,
            keys,
            create_users: config.create_users,
        })
    }

    fn check_header(&self, header: &Header) -> Result<()> {
        let typ = header.typ.as_deref();
        let is_access_token = typ.is_none_or(|typ| {
            [TOKEN_TYPE, "application/at+jwt", "JWT"].iter().any(|known| typ.eq_ignore_ascii_case(known))
        });
        if is_access_token && self.algorithms.contains(&header.alg) && !leads_elsewhere(header) {
            Ok(())
        } else {
            Err(Error::TokenInvalid)
        }
    }

    fn claims(&self, token: &str, header: &Header, key: &DecodingKey) -> Result<ForeignClaims> {
        let mut validation = Validation::new(header.alg);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        validation.set_issuer(&[&self.name]);
        validation.set_audience(&[&self.audience]);
        // Times are compared with the service's own clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let claims =
            decode::<ForeignClaims>(token, key, &validation).map_err(|_| Error::TokenInvalid)?.claims;
        // OpenID Connect limits a subject to 255 characters; an empty one is nobody.
        if claims.sub.is_empty() || claims.sub.len() > 255 || claims.sub.chars().any(char::is_control) {
            return Err(Error::TokenInvalid);
        }
        Ok(claims)
    }
}

fn asymmetric(names: &[String]) -> Result<Vec<Algorithm>, String> {
    let wrong = || {
        "algorithms: must hold at least one of EdDSA, ES256, ES384, PS256, PS384, PS512, RS256, RS384, RS512"
            .to_owned()
    };
    if names.is_empty() {
        return Err(wrong());
    }
    names
        .iter()
        .map(|name| match name.as_str() {
            "EdDSA" => Ok(Algorithm::EdDSA),
            "ES256" => Ok(Algorithm::ES256),
            "ES384" => Ok(Algorithm::ES384),
            "PS256" => Ok(Algorithm::PS256),
            "PS384" => Ok(Algorithm::PS384),
            "PS512" => Ok(Algorithm::PS512),
            "RS256" => Ok(Algorithm::RS256),
            "RS384" => Ok(Algorithm::RS384),
            "RS512" => Ok(Algorithm::RS512),
            _ => Err(wrong()),
        })
        .collect()
}

/// Reads a shared secret. One line feed at the end is the editor's.
fn secret(file: &str) -> Result<DecodingKey, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("hs256_secret_file: {file}: {error}"))?;
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let same = bytes.first().is_some_and(|first| bytes.iter().all(|byte| byte == first));
    if bytes.len() < SECRET_BYTES_MIN || same {
        return Err(format!(
            "hs256_secret_file: must hold at least {SECRET_BYTES_MIN} random bytes; `openssl rand -base64 48` makes some"
        ));
    }
    Ok(DecodingKey::from_secret(bytes))
}

/// The key that a header means. Without a `kid` that is the only one there is.
fn pick(set: &JwkSet, header: &Header) -> Option<Jwk> {
    let jwk = match &header.kid {
        Some(kid) => set.find(kid)?,
        None => match set.keys.as_slice() {
            [only] => only,
            _ => return None,
        },
    };
    let signs = jwk.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    let named = jwk.common.key_algorithm.map(|algorithm| algorithm.to_string());
    let fits = named.is_none_or(|name| name == format!("{:?}", header.alg));
    // A published secret is no secret.
    let is_public = !matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_));
    (signs && fits && is_public).then(|| jwk.clone())
}

fn identity_key(issuer: &str, subject: &str) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    for text in [issuer, subject] {
        // The length keeps the end of one text from being the beginning of the next.
        context.update(&text.len().to_le_bytes());
        context.update(text.as_bytes());
    }
    context.finish().as_ref().to_vec()
}
