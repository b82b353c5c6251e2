//! Makes access tokens of every kind, right and wrong.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use taskwire::auth::SigningKey;
use taskwire::pb::TokenPair;

use super::served::{NOW, Served};

/// What a token is made with.
pub(super) struct Forge {
    key: Ed25519KeyPair,
    kid: String,
    /// The claims of a good token, as the service issues them.
    pub(super) claims: Value,
    /// The token that the service issued.
    pub(super) issued: TokenPair,
}

impl Forge {
    /// A forge that holds the service's own key, and a real session.
    pub(super) async fn at(served: &Served) -> Self {
        let issued = served.log_in("ada@example.com").await;
        Self { issued: issued.clone(), ..Self::issuing(&served.pem, &issued.access_token) }
    }

    /// A forge with this key that makes tokens like this one.
    pub(super) fn issuing(pem: &str, token: &str) -> Self {
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        Self { claims: serde_json::from_slice(&claims).unwrap(), ..Self::with(pem) }
    }

    fn with(pem: &str) -> Self {
        let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        Self {
            key: Ed25519KeyPair::from_pkcs8(&STANDARD.decode(der).unwrap()).unwrap(),
            kid: SigningKey::from_pem(pem.as_bytes(), "test").unwrap().id().to_owned(),
            claims: Value::Null,
            issued: TokenPair::default(),
        }
    }

    /// The same session, signed with somebody else's key; it names the service's key when `disguised`.
    pub(super) fn foreign(&self, disguised: bool) -> Self {
        let foreign = Self::with(&SigningKey::generate_pem().unwrap());
        Self {
            kid: if disguised { self.kid.clone() } else { foreign.kid },
            claims: self.claims.clone(),
            issued: self.issued.clone(),
            key: foreign.key,
        }
    }

    pub(super) fn public_key(&self) -> &[u8] {
        self.key.public_key().as_ref()
    }

    /// The public key as a JWK.
    pub(super) fn jwk(&self) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(self.public_key())})
    }

    /// The header of a good token.
    pub(super) fn header(&self) -> Value {
        json!({"typ": "at+jwt", "alg": "EdDSA", "kid": self.kid})
    }

    /// Signs whatever it is given.
    pub(super) fn sign_bytes(&self, header: &[u8], claims: &[u8]) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.key.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A good token but for what the changes say: a value replaces, `null` takes away. `#null` puts a `null`.
    pub(super) fn token(&self, header: Value, claims: Value) -> String {
        let header = changed(self.header(), header);
        let claims = changed(self.claims.clone(), claims);
        self.sign_bytes(header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    /// A token with other claims.
    pub(super) fn claiming(&self, claims: Value) -> String {
        self.token(json!({}), claims)
    }

    /// A token with another header.
    pub(super) fn headed(&self, header: Value) -> String {
        self.token(header, json!({}))
    }

    /// A good token that nobody has seen before.
    pub(super) fn good(&self, number: u32) -> String {
        self.claiming(json!({"jti": format!("good-{number}")}))
    }

    /// A token whose claims are this text.
    pub(super) fn raw_claims(&self, claims: &str) -> String {
        self.sign_bytes(self.header().to_string().as_bytes(), claims.as_bytes())
    }

    /// A token whose header is this text.
    pub(super) fn raw_header(&self, header: &str) -> String {
        self.sign_bytes(header.as_bytes(), self.claims.to_string().as_bytes())
    }

    /// A token signed with HMAC, by whoever takes a public key for a secret.
    pub(super) fn hmac(&self, algorithm: hmac::Algorithm, name: &str, secret: &[u8]) -> String {
        let header = changed(self.header(), json!({"alg": name})).to_string();
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(self.claims.to_string()));
        let tag = hmac::sign(&hmac::Key::new(algorithm, secret), signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
    }
}

fn changed(mut whole: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => whole.as_object_mut().unwrap().remove(name),
            Value::String(text) if text == "#null" => {
                whole.as_object_mut().unwrap().insert(name.clone(), Value::Null)
            }
            value => whole.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    whole
}

/// The signature of a token, changed.
pub(super) fn resigned(token: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    change(&mut signature);
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A time so many seconds from now, as a claim.
pub(super) fn from_now(seconds: f64) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "a time of this century is exact")]
    let now = NOW as f64;
    json!(now + seconds)
}

/// As `from_now`, as a whole number.
pub(super) fn whole_from_now(seconds: i64) -> Value {
    json!(NOW + seconds)
}
