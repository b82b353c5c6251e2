//! Access tokens: JWTs signed with Ed25519, issued and verified here.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header, encode};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Actor, Credential, KeyRing, Principal, SigningKey};
use crate::domain::{ApiKeyId, Clock, Error, Result, Role, Scopes, SessionId, Timestamp, UserId};

/// Longest token that is looked at, in bytes. Ours have about 400.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// How far the clocks of issuer and verifier may differ.
pub(crate) const LEEWAY: Duration = Duration::from_secs(5);

/// How long the token of a service in a user's place lasts: it cannot be refreshed, only asked for again.
const EXCHANGED_TTL: Duration = Duration::from_secs(5 * 60);

/// The `typ` of an access token (RFC 9068), which tells it from every other JWT.
pub(crate) const TOKEN_TYPE: &str = "at+jwt";

/// Verified tokens remembered, so that a busy caller pays for the signature once. About 150 bytes each.
const REMEMBERED_MAX: usize = 10_000;

/// What tokens say of the service, and how long they last.
#[derive(Debug, Clone)]
pub struct TokenConfig {
    /// `iss`: who issues.
    pub issuer: String,
    /// `aud`: for whom.
    pub audience: String,
    /// How long an access token lasts.
    pub access_ttl: Duration,
}

impl TokenConfig {
    /// How long after its signature a token is accepted at most.
    pub fn token_life(&self) -> Duration {
        self.access_ttl + LEEWAY
    }
}

/// The claims of an access token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    /// Issuer.
    pub iss: String,
    /// Audience: one, or a list that contains ours.
    pub aud: Audience,
    /// The account.
    pub sub: String,
    /// The session; absent where a service acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// When the session began, in seconds since 1970. Tokens from before there was this claim have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<f64>,
    /// The service that has taken on the part of `sub` (RFC 8693).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<ActClaim>,
    /// What the service may do, names with spaces between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The role.
    pub role: String,
    /// Issued at, in seconds since 1970.
    pub iat: f64,
    /// Ends at, in seconds since 1970; a fraction is allowed.
    pub exp: f64,
    /// Not valid before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<f64>,
    /// The token's own id.
    pub jti: String,
}

/// Who acts in the name of somebody else.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ActClaim {
    /// The account of the service.
    pub sub: String,
    /// The API key that it showed.
    pub api_key: String,
}

/// One audience or several.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// Issues and verifies access tokens.
pub struct Tokens {
    ring: RwLock<Arc<KeyRing>>,
    config: TokenConfig,
    validation: Validation,
    clock: Clock,
    /// By the SHA-256 of the token, so that no token that works lies in memory.
    remembered: Cache<[u8; 32], Principal>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens")
            .field("ring", &self.ring())
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Tokens {
    /// Tokens signed with this one key.
    pub fn new(key: SigningKey, config: TokenConfig, clock: Clock) -> Arc<Self> {
        Self::with_ring(KeyRing::of(key), config, clock)
    }

    /// Tokens signed with the keys of this ring, each in its time.
    pub fn with_ring(ring: KeyRing, config: TokenConfig, clock: Clock) -> Arc<Self> {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        validation.set_issuer(&[&config.issuer]);
        validation.set_audience(&[&config.audience]);
        // Times are compared below with the service's own clock, which tests can move.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Arc::new(Self {
            ring: RwLock::new(Arc::new(ring)),
            config,
            validation,
            clock,
            remembered: Cache::new(REMEMBERED_MAX),
        })
    }

    /// How long an access token lasts.
    pub fn access_ttl(&self) -> Duration {
        self.config.access_ttl
    }

    /// Who issues.
    pub fn issuer(&self) -> &str {
        &self.config.issuer
    }

    /// How long the token lasts that a service is given to act for a user.
    pub fn exchanged_ttl(&self) -> Duration {
        EXCHANGED_TTL.min(self.config.access_ttl)
    }

    /// Signs a token for a session that began at this time.
    ///
    /// # Errors
    /// `Internal` when the key cannot sign.
    pub fn issue(
        &self,
        user: UserId,
        session: SessionId,
        role: Role,
        auth_time: Timestamp,
    ) -> Result<String> {
        let (auth_time, _) = auth_time.to_parts();
        let session = serde_json::json!({ "sid": session.to_string(), "auth_time": auth_time });
        self.sign(user, role, self.config.access_ttl, session)
    }

    /// Signs a token for a service that takes on a user's part. It has no session, and never an administrator's role.
    ///
    /// # Errors
    /// `Internal` when the key cannot sign.
    pub fn issue_exchanged(&self, user: UserId, actor: Actor, scopes: Scopes) -> Result<String> {
        let act = serde_json::json!({
            "act": { "sub": actor.service.to_string(), "api_key": actor.api_key.to_string() },
            "scope": scopes.claim(),
        });
        self.sign(user, Role::User, self.exchanged_ttl(), act)
    }

    fn sign(&self, user: UserId, role: Role, ttl: Duration, own: serde_json::Value) -> Result<String> {
        let now = self.clock.now();
        let (iat, _) = now.to_parts();
        let (exp, _) = now.after(ttl).to_parts();
        // Whole numbers, so that strict readers of NumericDate are content as well.
        let mut claims = serde_json::json!({
            "iss": self.config.issuer,
            "aud": self.config.audience,
            "sub": user.to_string(),
            "role": role.name(),
            "iat": iat,
            "exp": exp,
            "jti": Uuid::now_v7().to_string(),
        });
        if let (Some(claims), serde_json::Value::Object(own)) = (claims.as_object_mut(), own) {
            claims.extend(own);
        }
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TOKEN_TYPE.to_owned());
        let ring = self.ring();
        let key = ring.signing(now);
        header.kid = Some(key.id().to_owned());
        encode(&header, &claims, &key.encoding)
            .map_err(|error| Error::Internal(format!("a token cannot be signed: {error}")))
    }

    /// Who the bearer of this token is.
    ///
    /// # Errors
    /// `TokenInvalid`, or `TokenExpired` for a token that was good once.
    pub fn verify(&self, token: &str) -> Result<Principal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Error::TokenInvalid);
        }
        let hash = digest(&SHA256, token.as_bytes()).as_ref().try_into().map_err(|_| Error::TokenInvalid)?;
        self.verify_hashed(&hash, token)
    }

    /// As `verify`, for who has the SHA-256 of the token already.
    pub(crate) fn verify_hashed(&self, hash: &[u8; 32], token: &str) -> Result<Principal> {
        if let Some(principal) = self.remembered.get(hash) {
            return self.timely(principal);
        }
        let principal = self.timely(self.verify_signed(token)?)?;
        self.remembered.insert(*hash, principal);
        Ok(principal)
    }

    /// Puts other keys in the place of those there are. Tokens of a key that is gone are refused from now on.
    pub fn replace_ring(&self, ring: KeyRing) {
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
        self.remembered.clear();
    }

    /// The public keys as a JWK set, for whoever verifies our tokens elsewhere.
    pub fn jwks(&self) -> String {
        self.ring().jwks(self.clock.now(), self.config.token_life())
    }

    fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whoever was verified before is so at this time as well, when it is neither too late nor, after the clock was set
    /// back, too early.
    fn timely(&self, principal: Principal) -> Result<Principal> {
        let now = self.clock.now();
        if now >= principal.expire_time.after(LEEWAY) {
            return Err(Error::TokenExpired);
        }
        // Nobody issues tokens in the future: either a clock is wrong, or somebody plays with one.
        if principal.issue_time > now.after(LEEWAY) {
            return Err(Error::TokenInvalid);
        }
        Ok(principal)
    }

    fn verify_signed(&self, token: &str) -> Result<Principal> {
        let header = decode_header(token).map_err(|_| Error::TokenInvalid)?;
        check_header(&header)?;
        let ring = self.ring();
        let id = header.kid.as_deref().ok_or(Error::TokenInvalid)?;
        let key =
            ring.verifying(id, self.clock.now(), self.config.token_life()).ok_or(Error::TokenInvalid)?;
        let claims =
            decode::<Claims>(token, &key.decoding, &self.validation).map_err(|_| Error::TokenInvalid)?.claims;
        let not_before = claims.nbf.map_or(Ok(Timestamp::MIN), timestamp)?;
        if not_before > self.clock.now().after(LEEWAY) {
            return Err(Error::TokenInvalid);
        }
        let role = Role::from_name(&claims.role).ok_or(Error::TokenInvalid)?;
        Ok(Principal {
            user: UserId::parse(&claims.sub).map_err(|_| Error::TokenInvalid)?,
            credential: credential(&claims, role)?,
            role,
            issue_time: timestamp(claims.iat)?,
            expire_time: timestamp(claims.exp)?,
            auth_time: claims.auth_time.map(timestamp).transpose()?,
        })
    }
}

/// A session, or a service in the user's place: one of the two.
fn credential(claims: &Claims, role: Role) -> Result<Credential> {
    let invalid = || Error::TokenInvalid;
    match (&claims.sid, &claims.act) {
        (Some(session), None) => Ok(Credential::Session(SessionId::parse(session).map_err(|_| invalid())?)),
        (None, Some(act)) if role == Role::User => {
            let names: Vec<String> =
                claims.scope.as_deref().unwrap_or_default().split(' ').map(str::to_owned).collect();
            let scopes = Scopes::parse(&names).ok().and_then(Scopes::of_tasks).ok_or_else(invalid)?;
            let service = UserId::parse(&act.sub).map_err(|_| invalid())?;
            let api_key = ApiKeyId::parse(&act.api_key).map_err(|_| invalid())?;
            Ok(Credential::Exchanged(Actor { service, api_key }, scopes))
        }
        _ => Err(invalid()),
    }
}

/// One type, one algorithm, and nothing in the header that could lead elsewhere.
fn check_header(header: &Header) -> Result<()> {
    let ours = header.typ.as_deref() == Some(TOKEN_TYPE) && header.alg == Algorithm::EdDSA;
    if ours && !leads_elsewhere(header) { Ok(()) } else { Err(Error::TokenInvalid) }
}

/// Whether a header names a key by itself, or something that we do not do.
pub(crate) fn leads_elsewhere(header: &Header) -> bool {
    header.jku.is_some()
        || header.jwk.is_some()
        || header.x5u.is_some()
        || header.x5c.is_some()
        || header.crit.is_some()
        || header.enc.is_some()
        || header.zip.is_some()
        || !header.extras.inner().is_empty()
}

/// A NumericDate of RFC 7519, within the calendar of the service.
pub(crate) fn timestamp(seconds: f64) -> Result<Timestamp> {
    let micros = seconds * 1_000_000.0;
    // Beyond 2^53 µs a float is no longer exact to the microsecond, but the calendar ends long before i64 does.
    if !micros.is_finite() || micros.abs() > 9.0e17 {
        return Err(Error::TokenInvalid);
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded just above")]
    Timestamp::from_micros(micros as i64).ok_or(Error::TokenInvalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_790_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_parts(START + seconds, 0).unwrap()
    }

    fn tokens() -> Arc<Tokens> {
        let config = TokenConfig {
            issuer: "taskwire".into(),
            audience: "taskwire".into(),
            access_ttl: Duration::from_secs(900),
        };
        assert_eq!(config.token_life(), config.access_ttl + LEEWAY);
        let key = SigningKey::from_pem(SigningKey::generate_pem().unwrap().as_bytes(), "file").unwrap();
        let (clock, _) = Clock::manual(at(0));
        Tokens::new(key, config, clock)
    }

    /// Whether a token with this header and these times is believed.
    fn verify(tokens: &Tokens, typ: &str, issued: i64, not_before: Option<i64>) -> Result<Principal> {
        let ring = tokens.ring();
        let key = ring.signing(at(0));
        let mut header = Header::new(Algorithm::EdDSA);
        (header.typ, header.kid) = (Some(typ.to_owned()), Some(key.id().to_owned()));
        let claims = serde_json::json!({
            "iss": "taskwire", "aud": "taskwire", "role": "user",
            "sub": UserId::generate().to_string(), "sid": SessionId::generate().to_string(),
            "jti": "x", "iat": START + issued, "nbf": not_before.map(|time| START + time), "exp": START + 900,
        });
        tokens.verify(&encode(&header, &claims, &key.encoding).unwrap())
    }

    #[test]
    fn a_token_may_be_as_early_as_clocks_differ() {
        let tokens = tokens();
        let leeway = i64::try_from(LEEWAY.as_secs()).unwrap();
        assert!(verify(&tokens, TOKEN_TYPE, 0, None).is_ok());
        assert!(verify(&tokens, TOKEN_TYPE, leeway, Some(leeway)).is_ok());
        assert_eq!(verify(&tokens, TOKEN_TYPE, leeway + 1, None), Err(Error::TokenInvalid));
        assert_eq!(verify(&tokens, TOKEN_TYPE, 0, Some(leeway + 1)), Err(Error::TokenInvalid));
        // The same signature under another name is another kind of token.
        assert_eq!(verify(&tokens, "JWT", 0, None), Err(Error::TokenInvalid));
        assert!(format!("{tokens:?}").starts_with("Tokens"));
    }

    #[test]
    fn a_time_is_a_number_within_the_calendar() {
        assert_eq!(timestamp(1.5), Ok(Timestamp::from_micros(1_500_000).unwrap()));
        for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300] {
            assert_eq!(timestamp(wrong), Err(Error::TokenInvalid), "{wrong}");
        }
    }
}
