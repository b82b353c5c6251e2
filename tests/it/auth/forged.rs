//! Forged tokens: algorithms, keys, headers that lead elsewhere, signatures and envelopes.

use std::collections::BTreeSet;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use data_encoding::HEXLOWER;
use serde_json::json;
use taskwire::auth::{SigningKey, TokenConfig, Tokens};
use taskwire::domain::{Clock, Error, Role, SessionId, UserId};
use taskwire::methods::METHODS;

use super::forge::{Forge, resigned};
use super::served::{Served, run};
use super::{Accepted, Invalid, InvalidKey, Verdict, assert_tokens, guarded};

type Cases = Vec<(&'static str, String, Verdict)>;

/// Makes a test of each list of cases, against every method, and one that counts them.
macro_rules! forged {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            #[test]
            fn at_every_method() {
                super::hold(super::$name);
            }
        })+

        #[test]
        fn there_are_sixty_kinds_at_least() {
            run(async {
                let served = Served::start().await;
                let forge = Forge::at(&served).await;
                let all: Cases = [$($name(&forge)),+].concat();
                let refused = all.into_iter().filter(|(_, _, verdict)| *verdict != Accepted);
                let distinct: BTreeSet<String> = refused.map(|(_, token, _)| token).collect();
                assert!(distinct.len() >= 60, "{} kinds", distinct.len());
                // Against each of these methods, which are all but those that need no token, and `Logout`.
                assert!(guarded().count() + 10 == METHODS.iter().filter(|method| method.path.starts_with("/taskwire.")).count());
            });
        }
    };
}

forged!(
    algorithms,
    the_public_key_is_no_secret,
    key_ids,
    headers_that_lead_elsewhere,
    signatures,
    envelopes,
    api_keys
);

/// Runs cases that are made by a forge at a service of their own.
fn hold(cases: impl FnOnce(&Forge) -> Cases) {
    run(async {
        let served = Served::start().await;
        let forge = Forge::at(&served).await;
        let mut cases = cases(&forge);
        cases.push(("as issued", forge.issued.access_token.clone(), Accepted));
        cases.push(("as made here", forge.good(0), Accepted));
        assert_tokens(&served, cases).await;
    });
}

fn algorithms(forge: &Forge) -> Cases {
    let stripped = |alg: &str| {
        let token = forge.headed(json!({"alg": alg}));
        format!("{}.", token.rsplit_once('.').unwrap().0)
    };
    let mut cases: Cases = vec![
        ("none, unsigned", stripped("none"), Invalid),
        ("None, unsigned", stripped("None"), Invalid),
        ("nOnE, unsigned", stripped("nOnE"), Invalid),
        ("NONE, unsigned", stripped("NONE"), Invalid),
        ("empty, unsigned", stripped(""), Invalid),
        ("EdDSA, unsigned", stripped("EdDSA"), Invalid),
        ("none, signed", forge.headed(json!({"alg": "none"})), Invalid),
        ("alg missing", forge.headed(json!({"alg": null})), Invalid),
        ("alg null", forge.headed(json!({"alg": "#null"})), Invalid),
        ("alg a number", forge.headed(json!({"alg": 1})), Invalid),
        ("alg a list", forge.headed(json!({"alg": ["EdDSA"]})), Invalid),
        ("eddsa", forge.headed(json!({"alg": "eddsa"})), Invalid),
        ("EdDSA and a space", forge.headed(json!({"alg": "EdDSA "})), Invalid),
        ("Ed448", forge.headed(json!({"alg": "Ed448"})), Invalid),
        ("unknown", forge.headed(json!({"alg": "XX999"})), Invalid),
    ];
    for name in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "ES256K"] {
        cases.push((name, forge.headed(json!({"alg": name})), Invalid));
    }
    cases
}

fn the_public_key_is_no_secret(forge: &Forge) -> Cases {
    // SubjectPublicKeyInfo of an Ed25519 key: a fixed beginning, then the 32 bytes.
    const BEGIN: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let der = [&BEGIN, forge.public_key()].concat();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&der));
    let hmac256 = |secret: &[u8]| forge.hmac(hmac::HMAC_SHA256, "HS256", secret);
    let jwk = forge.jwk();
    vec![
        ("raw", hmac256(forge.public_key()), Invalid),
        ("DER", hmac256(&der), Invalid),
        ("PEM", hmac256(pem.as_bytes()), Invalid),
        ("PEM, trimmed", hmac256(pem.trim().as_bytes()), Invalid),
        ("JWK", hmac256(jwk.to_string().as_bytes()), Invalid),
        ("x", hmac256(jwk["x"].as_str().unwrap().as_bytes()), Invalid),
        ("empty", hmac256(b""), Invalid),
        ("HS384", forge.hmac(hmac::HMAC_SHA384, "HS384", forge.public_key()), Invalid),
        ("HS512", forge.hmac(hmac::HMAC_SHA512, "HS512", forge.public_key()), Invalid),
        ("called EdDSA", forge.hmac(hmac::HMAC_SHA512, "EdDSA", forge.public_key()), Invalid),
    ]
}

fn key_ids(forge: &Forge) -> Cases {
    let kid = |kid: serde_json::Value| forge.headed(json!({"kid": kid}));
    vec![
        ("missing", kid(json!(null)), Invalid),
        ("null", kid(json!("#null")), Invalid),
        ("empty", kid(json!("")), Invalid),
        ("unknown", kid(json!("other")), Invalid),
        ("number", kid(json!(7)), Invalid),
        ("list", kid(json!([forge.header()["kid"]])), Invalid),
        ("path", kid(json!("../../../../dev/null")), Invalid),
        ("file URL", kid(json!("file:///etc/passwd")), Invalid),
        ("URL", kid(json!("https://attacker.example/key.json")), Invalid),
        ("SQL", kid(json!("x' union select 'secret' --")), Invalid),
        ("shell", kid(json!("key|id")), Invalid),
        ("zero byte", kid(json!("\0")), Invalid),
        ("5 KB", kid(json!("k".repeat(5 * 1024))), Invalid),
        ("10 KB", kid(json!("k".repeat(10 * 1024))), Invalid),
        ("somebody else's key", forge.foreign(false).good(1), Invalid),
        ("somebody else's key under our id", forge.foreign(true).good(1), Invalid),
    ]
}

fn headers_that_lead_elsewhere(forge: &Forge) -> Cases {
    // The attacker holds a key, signs with it, and asks the service to believe in it.
    let attacker = forge.foreign(true);
    let led = [
        ("jku", "jku, well signed", json!("http://127.0.0.1:9/jwks.json")),
        ("x5u", "x5u, well signed", json!("http://127.0.0.1:9/chain.pem")),
        ("jwk", "jwk, well signed", attacker.jwk()),
        ("x5c", "x5c, well signed", json!(["MIIB"])),
        ("crit", "crit, well signed", json!(["exp"])),
        ("b64", "b64, well signed", json!(false)),
        ("zip", "zip, well signed", json!("DEF")),
        ("enc", "enc, well signed", json!("A256GCM")),
        ("x-unknown", "x-unknown, well signed", json!(1)),
    ];
    let mut cases: Cases = Vec::new();
    for (name, well_signed, value) in led {
        cases.push((name, attacker.headed(json!({name: value})), Invalid));
        // Even under the right signature such a header is none of ours.
        cases.push((well_signed, forge.headed(json!({name: value})), Invalid));
    }
    let unencoded = json!({"b64": false, "crit": ["b64"]});
    cases.push(("unencoded payload", forge.headed(unencoded), Invalid));
    cases
}

fn signatures(forge: &Forge) -> Cases {
    let token = forge.good(1);
    let other = forge.claiming(json!({"jti": "other"}));
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let foreign_signature = other.rsplit_once('.').unwrap().1;
    let mut cases: Cases = vec![
        ("stripped", format!("{signed}."), Invalid),
        ("stripped with its dot", signed.to_owned(), Invalid),
        ("another token's", format!("{signed}.{foreign_signature}"), Invalid),
        ("all zero", resigned(&token, |bytes| bytes.fill(0)), Invalid),
        ("all ones", resigned(&token, |bytes| bytes.fill(0xff)), Invalid),
        ("one byte short", resigned(&token, |bytes| bytes.truncate(63)), Invalid),
        ("one byte long", resigned(&token, |bytes| bytes.push(0)), Invalid),
        ("half", resigned(&token, |bytes| bytes.truncate(32)), Invalid),
        ("twice", resigned(&token, |bytes| bytes.extend_from_within(..)), Invalid),
        ("halves swapped", resigned(&token, |bytes| bytes.rotate_left(32)), Invalid),
        ("malleable S", resigned(&token, |bytes| add_group_order(bytes)), Invalid),
        ("DER", resigned(&token, as_der), Invalid),
        ("padded", format!("{token}=="), Invalid),
        ("zero byte behind", format!("{token}%00"), Invalid),
        ("other spelling of the last digit", respelled(&token), Invalid),
        ("another's claims", swapped_claims(&token, json!({"sub": "users/1", "role": "admin"})), Invalid),
        ("in hex", format!("{signed}.{}", hex(signature)), Invalid),
    ];
    const BITS: [&str; 8] =
        ["bit 0", "bit 1", "bit 2", "bit 100", "bit 255", "bit 256", "bit 509", "bit 511"];
    for name in BITS {
        let bit: usize = name[4..].parse().unwrap();
        let flipped = resigned(&token, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        cases.push((name, flipped, Invalid));
    }
    cases
}

fn envelopes(forge: &Forge) -> Cases {
    let token = forge.good(1);
    let parts: Vec<&str> = token.split('.').collect();
    let (header, claims, signature) = (parts[0], parts[1], parts[2]);
    let padded = |part: &str| URL_SAFE.encode(URL_SAFE_NO_PAD.decode(part).unwrap());
    let deep = "[".repeat(2000) + &"]".repeat(2000);
    let head = forge.header().to_string();
    vec![
        ("a word", "nonsense".into(), Invalid),
        ("dots", "..".into(), Invalid),
        ("more dots", ".....".into(), Invalid),
        ("a dot before", format!(".{token}"), Invalid),
        ("a dot behind", format!("{token}."), Invalid),
        ("a part more", format!("{token}.{signature}"), Invalid),
        ("a part between", format!("{header}..{claims}.{signature}"), Invalid),
        ("five parts", format!("{token}.{claims}.{signature}"), Invalid),
        ("no header", format!(".{claims}.{signature}"), Invalid),
        ("no claims", format!("{header}..{signature}"), Invalid),
        ("turned round", format!("{signature}.{claims}.{header}"), Invalid),
        ("padded header", format!("{}=.{claims}.{signature}", padded(header)), Invalid),
        ("truncated", token[..token.len() - 1].to_owned(), Invalid),
        ("truncated by half", token[..token.len() / 2].to_owned(), Invalid),
        ("a space within", format!("{header}. {claims}.{signature}"), Invalid),
        ("upper case", token.to_uppercase(), Invalid),
        ("refresh token", forge.issued.refresh_token.clone(), Invalid),
        ("JSON serialisation", "{\"payload\":\"e30\"}".into(), Invalid),
        ("encrypted, five parts", "eyJhbGciOiJkaXIifQ..a.b.c".into(), Invalid),
        ("header no JSON", forge.raw_header("EdDSA"), Invalid),
        ("header a list", forge.raw_header("[]"), Invalid),
        ("header empty", forge.raw_header(""), Invalid),
        ("header nested", forge.raw_header(&deep), Invalid),
        (
            "header with a nested value",
            forge.raw_header(&head.replacen('{', &format!("{{\"x\":{deep},"), 1)),
            Invalid,
        ),
        ("alg twice, none first", forge.raw_header(&head.replacen('{', r#"{"alg":"none","#, 1)), Invalid),
        ("alg twice, none last", forge.raw_header(&head.replacen('}', r#","alg":"none"}"#, 1)), Invalid),
        ("kid twice", forge.raw_header(&head.replacen('{', r#"{"kid":"x","#, 1)), Invalid),
        ("typ JWT", forge.headed(json!({"typ": "JWT"})), Invalid),
        ("typ missing", forge.headed(json!({"typ": null})), Invalid),
        ("typ null", forge.headed(json!({"typ": "#null"})), Invalid),
        ("typ empty", forge.headed(json!({"typ": ""})), Invalid),
        ("typ refresh", forge.headed(json!({"typ": "rt+jwt"})), Invalid),
        ("typ of an ID token", forge.headed(json!({"typ": "id+jwt"})), Invalid),
        ("typ of a logout token", forge.headed(json!({"typ": "logout+jwt"})), Invalid),
    ]
}

fn api_keys(forge: &Forge) -> Cases {
    let token = &forge.issued.access_token;
    vec![
        ("prefix alone", "twk_".into(), InvalidKey),
        ("short", "twk_0123456789abcdef".into(), InvalidKey),
        ("made up", format!("twk_{}", URL_SAFE_NO_PAD.encode([7; 48])), InvalidKey),
        ("made up, longer", format!("twk_{}", URL_SAFE_NO_PAD.encode([7; 64])), InvalidKey),
        ("long", format!("twk_{}", "a".repeat(4096)), InvalidKey),
        ("other alphabet", "twk_++++////====".into(), InvalidKey),
        ("SQL", "twk_' or 1=1 --".into(), InvalidKey),
        ("a token behind it", format!("twk_{token}"), InvalidKey),
        ("in capitals", "TWK_0123456789abcdef".into(), Invalid),
        ("longer than anything", format!("twk_{}", "a".repeat(9 * 1024)), Invalid),
    ]
}

/// Adds the order of the group to S: another number, the same point. RFC 8032 has such signatures refused.
fn add_group_order(signature: &mut [u8]) {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0;
    for (byte, order) in signature[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
}

/// The two halves as an ASN.1 sequence of integers, as some libraries write ECDSA signatures.
fn as_der(signature: &mut Vec<u8>) {
    let mut der = vec![0x30, 68, 0x02, 32];
    der.extend_from_slice(&signature[..32]);
    der.extend([0x02, 32]);
    der.extend_from_slice(&signature[32..]);
    *signature = der;
}

/// The last digit of 86 carries four bits that mean nothing; another digit decodes to the same bytes.
fn respelled(token: &str) -> String {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = token.split_at(token.len() - 1);
    let value = DIGITS.find(last).unwrap();
    assert_eq!(value % 16, 0);
    format!("{rest}{}", &DIGITS[value + 1..value + 2])
}

fn swapped_claims(token: &str, claims: serde_json::Value) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims.to_string()), parts[2])
}

fn hex(signature: &str) -> String {
    HEXLOWER.encode(&URL_SAFE_NO_PAD.decode(signature).unwrap())
}

/// The transport refuses such headers, but whoever verifies a token must not rely on it.
#[test]
fn tokens_larger_than_the_transport_takes() {
    let pem = SigningKey::generate_pem().unwrap();
    let config = TokenConfig {
        issuer: "taskwire".into(),
        audience: "taskwire".into(),
        access_ttl: std::time::Duration::from_secs(60),
    };
    let key = SigningKey::from_pem(pem.as_bytes(), "test").unwrap();
    let tokens = Tokens::new(key, config, Clock::system());
    let good =
        tokens.issue(UserId::generate(), SessionId::generate(), Role::User, Clock::system().now()).unwrap();
    tokens.verify(&good).unwrap();

    let forge = Forge::issuing(&pem, &good);
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    let begun = forge.claims.to_string().replacen('{', &format!("{{\"x\":{deep},"), 1);
    for token in [
        "a".repeat(64 * 1024),
        ".".repeat(64 * 1024),
        format!("{good}{}", "A".repeat(64 * 1024)),
        forge.raw_header(&deep),
        forge.raw_claims(&deep),
        forge.raw_claims(&begun),
        forge.raw_claims(&"{\"a\":".repeat(100_000)),
        forge.headed(json!({"kid": "k".repeat(1024 * 1024)})),
    ] {
        assert_eq!(tokens.verify(&token), Err(Error::TokenInvalid));
    }
    tokens.verify(&good).unwrap();
}
