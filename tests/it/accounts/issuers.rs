//! Other issuers: whose tokens are taken, with which keys, and whose are not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use taskwire::auth::{IssuerConfig, Issuers, KeyRing, SigningKey};
use taskwire::domain::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::world::{PASSWORD, Replica, Setup, World, answer, token_config};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::Refused as _;

both_engines!(
    a_subject_gets_one_account_on_first_use,
    forged_tokens_are_refused,
    a_shared_secret_works_and_nothing_else_signs_with_it,
    keys_are_fetched_on_an_unknown_kid_once_a_minute,
    who_is_unknown_stays_out_where_no_accounts_are_made,
    who_has_no_password_leaves_without_one,
    a_token_is_remembered_for_half_a_minute_and_never_past_its_end,
    the_key_is_the_one_that_the_header_means,
    every_algorithm_that_may_be_configured_works,
);

const ISSUER: &str = "https://idp.example";

/// An issuer with an Ed25519 key.
struct Idp {
    pem: String,
}

impl Idp {
    fn new() -> Self {
        Self { pem: SigningKey::generate_pem().unwrap() }
    }

    fn jwks(&self) -> String {
        let ring = KeyRing::parse(&self.pem, "idp").unwrap();
        ring.jwks(Timestamp::from_micros(0).unwrap(), Duration::ZERO)
    }

    fn kid(&self) -> String {
        SigningKey::from_pem(self.pem.as_bytes(), "idp").unwrap().id().to_owned()
    }

    fn token(&self, world: &World, change: impl FnOnce(&mut Header, &mut Value)) -> String {
        let (now, _) = world.clock.now().to_parts();
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.kid());
        let mut claims = json!({
            "iss": ISSUER, "aud": "taskwire", "sub": "subject-1", "exp": now + 300, "iat": now,
            "email": "ada@example.org", "email_verified": true, "name": "Ada",
        });
        change(&mut header, &mut claims);
        encode(&header, &claims, &EncodingKey::from_ed_pem(self.pem.as_bytes()).unwrap()).unwrap()
    }
}

fn config(jwks: &str, create_users: bool) -> IssuerConfig {
    IssuerConfig {
        issuer: ISSUER.into(),
        audience: "taskwire".into(),
        jwks: Some(jwks.into()),
        hs256_secret_file: None,
        algorithms: vec!["EdDSA".into()],
        create_users,
    }
}

fn trusting(configs: Vec<IssuerConfig>) -> Setup {
    let issuers: Box<dyn Fn(_, _) -> _ + Send + Sync> =
        Box::new(move |storage, clock| Issuers::new(configs.clone(), "taskwire", storage, clock).unwrap());
    Setup { issuers: Some(issuers), ..Default::default() }
}

/// A directory with the issuer's JWK set in a file.
fn jwks_file(idp: &Idp) -> (tempfile::TempDir, String) {
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("jwks.json");
    std::fs::write(&file, idp.jwks()).unwrap();
    let path = file.to_str().unwrap().to_owned();
    (directory, path)
}

/// An issuer whose subjects get accounts, its key set in a file, and a replica that trusts it.
async fn trusted(database: TestDatabase) -> (Idp, tempfile::TempDir, World, Replica) {
    let idp = Idp::new();
    let (directory, file) = jwks_file(&idp);
    let world = World::with(database, trusting(vec![config(&file, true)]));
    let replica = world.replica().await;
    (idp, directory, world, replica)
}

async fn a_subject_gets_one_account_on_first_use(database: TestDatabase) {
    let idp = Idp::new();
    let (_directory, file) = jwks_file(&idp);
    let world = World::with(database, trusting(vec![config(&file, true)]));
    let (here, there) = (world.replica().await, world.replica().await);
    let token = idp.token(&world, |_, _| {});
    let (one, other) = tokio::join!(here.probe(&token), there.probe(&token));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one, other);
    assert_eq!((one.email.as_str(), one.display_name.as_str()), ("ada@example.org", "Ada"));
    here.read_tasks(&token).await.unwrap();
    // It has no password, so nobody logs in with one.
    here.log_in("ada@example.org", "").await.refused("CREDENTIALS_INVALID");

    // Somebody else's address is not taken over, and an unverified one is not believed.
    here.sign_up("bob@example.org", PASSWORD).await.unwrap();
    let bob = idp.token(&world, |_, claims| {
        claims["sub"] = "subject-2".into();
        claims["email"] = "bob@example.org".into();
    });
    assert!(here.probe(&bob).await.unwrap().email.ends_with("@identity.invalid"));
    let eve = idp.token(&world, |_, claims| {
        claims["sub"] = "subject-3".into();
        claims["email"] = "eve@example.org".into();
        claims["email_verified"] = false.into();
    });
    assert!(here.probe(&eve).await.unwrap().email.ends_with("@identity.invalid"));

    // Disabled here means out, whatever the issuer says.
    let root = here.register_admin("root@example.org").await;
    let request = taskwire::pb::DisableUserRequest { name: one.name };
    here.users(&root.access_token).disable_user(request).await.unwrap();
    here.probe(&token).await.refused("SESSION_REVOKED");
    world.hand.advance(Duration::from_secs(31));
    here.probe(&token).await.refused("SESSION_REVOKED");
}

async fn forged_tokens_are_refused(database: TestDatabase) {
    let (idp, _directory, world, replica) = trusted(database).await;
    let (now, _) = world.clock.now().to_parts();
    type Change = Box<dyn FnOnce(&mut Header, &mut Value)>;
    let forged: Vec<(&str, Change)> = vec![
        ("another issuer", Box::new(|_, claims| claims["iss"] = "https://evil.example".into())),
        ("our own issuer", Box::new(|_, claims| claims["iss"] = "taskwire".into())),
        ("another audience", Box::new(|_, claims| claims["aud"] = "other".into())),
        ("no audience", Box::new(|_, claims| drop(claims.as_object_mut().unwrap().remove("aud")))),
        ("no subject", Box::new(|_, claims| drop(claims.as_object_mut().unwrap().remove("sub")))),
        ("an empty subject", Box::new(|_, claims| claims["sub"] = "".into())),
        ("a subject that is too long", Box::new(|_, claims| claims["sub"] = "s".repeat(256).into())),
        ("a subject with controls", Box::new(|_, claims| claims["sub"] = "a\u{0}b".into())),
        ("no end", Box::new(|_, claims| drop(claims.as_object_mut().unwrap().remove("exp")))),
        ("an end that is text", Box::new(move |_, claims| claims["exp"] = (now + 300).to_string().into())),
        ("not yet", Box::new(move |_, claims| claims["nbf"] = (now + 6).into())),
        ("an unknown key", Box::new(|header, _| header.kid = Some("other".into()))),
        ("a path for a key", Box::new(|header, _| header.kid = Some("../../dev/null".into()))),
        ("a key of its own", Box::new(|header, _| header.jku = Some("https://evil.example/jwks".into()))),
        ("an id token", Box::new(|header, _| header.typ = Some("id_token+jwt".into()))),
        ("a refresh token", Box::new(|header, _| header.typ = Some("rt+jwt".into()))),
    ];
    for (what, change) in forged {
        let token = idp.token(&world, change);
        assert_eq!(replica.probe(&token).await.unwrap_err().reason, "TOKEN_INVALID", "{what}");
    }
    // Clocks may differ by five seconds.
    replica.probe(&idp.token(&world, move |_, claims| claims["nbf"] = (now + 5).into())).await.unwrap();
    // Signed with the public key as if it were a secret; signed by nobody; signed by another key with our kid.
    let public = SigningKey::from_pem(idp.pem.as_bytes(), "idp").unwrap().public().to_owned();
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some(idp.kid());
    let claims = json!({"iss": ISSUER, "aud": "taskwire", "sub": "subject-1", "exp": now + 300});
    let confused = encode(&header, &claims, &EncodingKey::from_secret(public.as_bytes())).unwrap();
    replica.probe(&confused).await.refused("TOKEN_INVALID");
    let good = idp.token(&world, |_, _| {});
    let (unsigned, _) = good.rsplit_once('.').unwrap();
    replica.probe(&format!("{unsigned}.")).await.refused("TOKEN_INVALID");
    let mut other = Idp::new();
    let kid = idp.kid();
    let forged = other.token(&world, |header, _| header.kid = Some(kid));
    replica.probe(&forged).await.refused("TOKEN_INVALID");
    other.pem.clear();
    let late = idp.token(&world, |_, claims| claims["exp"] = (now - 6).into());
    replica.probe(&late).await.refused("TOKEN_EXPIRED");
    replica.probe(&good).await.unwrap();
    assert_eq!(world.database.query_i64("select count(*) from users").await, 1);
    replica.probe(&idp.token(&world, |_, claims| claims["sub"] = "s".repeat(255).into())).await.unwrap();
}

async fn a_shared_secret_works_and_nothing_else_signs_with_it(database: TestDatabase) {
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("secret");
    let secret = [b"0123456789abcdefghijklmnopqrstuv".as_slice(), b"\n"].concat();
    std::fs::write(&file, &secret).unwrap();
    let gateway = IssuerConfig {
        issuer: "gateway".into(),
        audience: "taskwire".into(),
        jwks: None,
        hs256_secret_file: Some(file.to_str().unwrap().into()),
        algorithms: Vec::new(),
        create_users: true,
    };
    for (text, weak) in [(&secret[..31], true), (&[b'a'; 64], true), (b"".as_slice(), true)] {
        let short = directory.path().join("short");
        std::fs::write(&short, text).unwrap();
        let config =
            IssuerConfig { hs256_secret_file: Some(short.to_str().unwrap().into()), ..gateway.clone() };
        let clock = taskwire::domain::Clock::system();
        let made = Issuers::new(vec![config], "taskwire", database.storage.clone(), clock);
        assert_eq!(made.is_err(), weak);
        assert!(made.unwrap_err().contains("hs256_secret_file"));
    }
    let world = World::with(database, trusting(vec![gateway]));
    let replica = world.replica().await;
    let (now, _) = world.clock.now().to_parts();
    let claims = json!({"iss": "gateway", "aud": ["other", "taskwire"], "sub": "s", "exp": now + 60});
    let key = EncodingKey::from_secret(&secret[..32]);
    let signed = |algorithm| encode(&Header::new(algorithm), &claims, &key).unwrap();
    replica.probe(&signed(Algorithm::HS256)).await.unwrap();
    replica.probe(&signed(Algorithm::HS512)).await.refused("TOKEN_INVALID");
    let wrong = encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(&[7; 32])).unwrap();
    replica.probe(&wrong).await.refused("TOKEN_INVALID");
}

async fn keys_are_fetched_on_an_unknown_kid_once_a_minute(database: TestDatabase) {
    let (first, second) = (Idp::new(), Idp::new());
    let set = Arc::new(std::sync::Mutex::new(first.jwks()));
    let fetches = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    let (served, counted) = (Arc::clone(&set), Arc::clone(&fetches));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 2048];
            let _ = stream.read(&mut head).await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            let body = served.lock().unwrap().clone();
            let status = if body.is_empty() { "500 no" } else { "200 OK" };
            let text = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    });
    let world = World::with(database, trusting(vec![config(&url, true)]));
    let replica = world.replica().await;
    let retired = first.token(&world, |_, _| {});
    replica.probe(&retired).await.unwrap();
    assert_eq!(fetches.load(Ordering::SeqCst), 1);
    // A flood of unknown keys is not a flood of fetches.
    for number in 0..20 {
        let token = first.token(&world, |header, _| header.kid = Some(format!("made up {number}")));
        replica.probe(&token).await.refused("TOKEN_INVALID");
    }
    assert_eq!(fetches.load(Ordering::SeqCst), 1);
    // The issuer rotates: its new key works once a minute has passed.
    *set.lock().unwrap() = second.jwks();
    replica.probe(&second.token(&world, |_, _| {})).await.refused("TOKEN_INVALID");
    world.hand.advance(Duration::from_secs(60));
    replica.probe(&second.token(&world, |_, _| {})).await.unwrap();
    assert_eq!(fetches.load(Ordering::SeqCst), 2);
    replica.probe(&retired).await.refused("TOKEN_INVALID");
    // The issuer is away: the last good copy goes on.
    *set.lock().unwrap() = String::new();
    world.hand.advance(Duration::from_secs(3600));
    replica.probe(&second.token(&world, |_, _| {})).await.unwrap();
    assert_eq!(fetches.load(Ordering::SeqCst), 3);
}

async fn who_is_unknown_stays_out_where_no_accounts_are_made(database: TestDatabase) {
    let idp = Idp::new();
    let (_directory, file) = jwks_file(&idp);
    let world = World::with(database, trusting(vec![config(&file, false)]));
    let replica = world.replica().await;
    replica.probe(&idp.token(&world, |_, _| {})).await.refused("TOKEN_INVALID");
    assert_eq!(world.database.query_i64("select count(*) from users").await, 0);
    let own = token_config().issuer;
    let clock = world.clock.clone();
    let wrong = IssuerConfig { issuer: own.clone(), ..config(&file, false) };
    assert!(Issuers::new(vec![wrong], &own, world.database.storage.clone(), clock).is_err());
}

async fn who_has_no_password_leaves_without_one(database: TestDatabase) {
    let (idp, _directory, world, replica) = trusted(database).await;
    let token = idp.token(&world, |_, _| {});
    replica.probe(&token).await.unwrap();
    let delete = taskwire::pb::DeleteUserRequest { name: "users/me".into(), ..Default::default() };
    answer(replica.users(&token).delete_user(delete).await).unwrap();
    assert_eq!(world.database.query_i64("select count(*) from users").await, 0);
}

async fn a_token_is_remembered_for_half_a_minute_and_never_past_its_end(database: TestDatabase) {
    let (idp, _directory, world, replica) = trusted(database).await;
    let (now, _) = world.clock.now().to_parts();
    let token = idp.token(&world, |_, _| {});
    let known = replica.probe(&token).await.unwrap().name;
    // Past the storage, so that nothing tells of it but the row.
    world.database.execute("delete from identities").await;
    assert_eq!(replica.probe(&token).await.unwrap().name, known);
    world.hand.advance(Duration::from_secs(30));
    assert_ne!(replica.probe(&token).await.unwrap().name, known);

    let short = idp.token(&world, |_, claims| claims["exp"] = (now + 40).into());
    replica.probe(&short).await.unwrap();
    world.hand.advance(Duration::from_secs(16));
    replica.probe(&short).await.refused("TOKEN_EXPIRED");
}

async fn the_key_is_the_one_that_the_header_means(database: TestDatabase) {
    let idp = Idp::new();
    let only: Value = serde_json::from_str(&idp.jwks()).unwrap();
    let key = &only["keys"][0];
    let variant = |change: Value| {
        let mut key = key.clone();
        key.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        key
    };
    let several = json!({"keys": [
        variant(json!({"kid": "signs", "use": "sig", "alg": "EdDSA"})),
        variant(json!({"kid": "encrypts", "use": "enc"})),
        variant(json!({"kid": "another algorithm", "use": "sig", "alg": "ES256"})),
    ]});
    let directory = tempfile::TempDir::new().unwrap();
    let file = |name: &str, set: &Value| {
        let path = directory.path().join(name);
        std::fs::write(&path, set.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let one = config(&file("one.json", &only), true);
    let many =
        IssuerConfig { issuer: "https://many.example".into(), ..config(&file("many.json", &several), true) };
    let world = World::with(database, trusting(vec![one, many]));
    let replica = world.replica().await;
    let token = |issuer: &str, kid: Option<&str>| {
        idp.token(&world, |header, claims| {
            header.kid = kid.map(str::to_owned);
            claims["iss"] = issuer.into();
        })
    };
    replica.probe(&token(ISSUER, None)).await.unwrap();
    replica.probe(&token("https://many.example", Some("signs"))).await.unwrap();
    for kid in [None, Some("encrypts"), Some("another algorithm"), Some("unknown")] {
        let refusal = replica.probe(&token("https://many.example", kid)).await.unwrap_err();
        assert_eq!(refusal.reason, "TOKEN_INVALID", "{kid:?}");
    }
}

async fn every_algorithm_that_may_be_configured_works(database: TestDatabase) {
    const NAMES: [&str; 8] = ["ES256", "ES384", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"];
    let rsa = keys::rsa();
    let (p256, p384) = (keys::elliptic("P-256"), keys::elliptic("P-384"));
    let directory = tempfile::TempDir::new().unwrap();
    let key = |name: &str| match name {
        "ES256" => &p256,
        "ES384" => &p384,
        _ => &rsa,
    };
    let configs = NAMES.map(|name| {
        let path = directory.path().join(name);
        std::fs::write(&path, json!({"keys": [key(name).jwk]}).to_string()).unwrap();
        IssuerConfig {
            issuer: format!("https://{name}.example"),
            algorithms: vec![name.into()],
            ..config(path.to_str().unwrap(), true)
        }
    });
    let world = World::with(database, trusting(configs.to_vec()));
    let replica = world.replica().await;
    let (now, _) = world.clock.now().to_parts();
    let signed = |issuer: &str, name: &str| {
        let claims = json!({
            "iss": format!("https://{issuer}.example"), "aud": "taskwire", "sub": "s", "exp": now + 60,
        });
        encode(&Header::new(name.parse().unwrap()), &claims, &key(name).private).unwrap()
    };
    for issuer in NAMES {
        for name in NAMES {
            let answer = replica.probe(&signed(issuer, name)).await;
            let reason = answer.err().map(|refusal| refusal.reason);
            let expected = (issuer != name).then(|| "TOKEN_INVALID".to_owned());
            assert_eq!(reason, expected, "{name} to an issuer of {issuer}");
        }
    }
}

/// Pairs of keys of the kinds that an issuer may have.
mod keys {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    };
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use jsonwebtoken::EncodingKey;
    use serde_json::{Value, json};

    pub(super) struct Pair {
        pub(super) private: EncodingKey,
        pub(super) jwk: Value,
    }

    fn pem(der: &[u8]) -> String {
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der))
    }

    pub(super) fn rsa() -> Pair {
        let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = AsDer::<Pkcs8V1Der>::as_der(&pair).unwrap();
        let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let public = pair.public_key();
        let jwk = json!({
            "kty": "RSA",
            "n": number(public.modulus().big_endian_without_leading_zero()),
            "e": number(public.exponent().big_endian_without_leading_zero()),
        });
        Pair { private: EncodingKey::from_rsa_pem(pem(der.as_ref()).as_bytes()).unwrap(), jwk }
    }

    pub(super) fn elliptic(curve: &str) -> Pair {
        let algorithm = match curve {
            "P-256" => &ECDSA_P256_SHA256_FIXED_SIGNING,
            _ => &ECDSA_P384_SHA384_FIXED_SIGNING,
        };
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        let der = pair.to_pkcs8v1().unwrap();
        // An uncompressed point: a four, x, y.
        let point = &pair.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        let jwk = json!({
            "kty": "EC", "crv": curve, "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        });
        Pair { private: EncodingKey::from_ec_pem(pem(der.as_ref()).as_bytes()).unwrap(), jwk }
    }
}
