//! The `authorization` metadata: none, one, several, of every form.

use tonic::Code;

use super::forge::Forge;
use super::served::{Served, run};
use super::{Accepted, Invalid, Missing, PROBE, assert_headers, guarded, verdict};

/// Metadata that holds these parts one after the other.
fn one(parts: &[&[u8]]) -> Vec<Vec<u8>> {
    vec![parts.concat()]
}

#[test]
fn only_one_well_formed_bearer_header_lets_in() {
    run(async {
        let served = Served::start().await;
        let forge = Forge::at(&served).await;
        let token = forge.good(1);
        let token = token.as_bytes();
        let basic: &[u8] = b"Basic YWRhOnNlY3JldA==";
        let bearer = [b"Bearer ", token].concat();
        let cases = [
            ("none", Vec::new(), Missing),
            ("empty", one(&[b""]), Invalid),
            ("a space", one(&[b" "]), Invalid),
            ("basic", one(&[basic]), Invalid),
            ("basic with a token", one(&[b"Basic ", token]), Invalid),
            ("scheme alone", one(&[b"Bearer"]), Invalid),
            ("scheme and space", one(&[b"Bearer "]), Invalid),
            ("scheme and spaces", one(&[b"Bearer    "]), Invalid),
            ("token alone", one(&[token]), Invalid),
            ("no space", one(&[b"Bearer", token]), Invalid),
            ("two spaces", one(&[b"Bearer  ", token]), Invalid),
            ("tab", one(&[b"Bearer\t", token]), Invalid),
            ("space and tab", one(&[b"Bearer \t", token]), Invalid),
            ("space before", one(&[b" Bearer ", token]), Invalid),
            ("space behind", one(&[b"Bearer ", token, b" "]), Invalid),
            ("spaces behind", one(&[b"Bearer ", token, b"      "]), Invalid),
            ("quoted", one(&[b"Bearer \"", token, b"\""]), Invalid),
            ("equals sign", one(&[b"Bearer=", token]), Invalid),
            ("colon", one(&[b"Bearer: ", token]), Invalid),
            ("prefix", one(&[b"XBearer ", token]), Invalid),
            ("other scheme", one(&[b"DPoP ", token]), Invalid),
            ("list", one(&[&bearer, b", ", &bearer]), Invalid),
            ("two tokens", one(&[&bearer, b" ", token]), Invalid),
            ("non-ASCII", one(&[b"Bearer \xc3\xa4", token]), Invalid),
            ("non-UTF-8", one(&[b"Bearer \xff\xfe"]), Invalid),
            ("non-ASCII scheme", one(&[b"Be\xc3\xa4rer ", token]), Invalid),
            ("long", one(&[b"Bearer ", &[b'a'; 9 * 1024]]), Invalid),
            ("long with dots", one(&[b"Bearer ", &[b'.'; 9 * 1024]]), Invalid),
            ("the same twice", vec![bearer.clone(), bearer.clone()], Invalid),
            ("basic, then bearer", vec![basic.to_vec(), bearer.clone()], Invalid),
            ("bearer, then basic", vec![bearer.clone(), basic.to_vec()], Invalid),
            ("bearer, then empty", vec![bearer.clone(), Vec::new()], Invalid),
            ("right", one(&[b"Bearer ", token]), Accepted),
            ("lower case", one(&[b"bearer ", token]), Accepted),
            ("upper case", one(&[b"BEARER ", token]), Accepted),
            ("mixed case", one(&[b"bEaReR ", token]), Accepted),
        ];
        assert_headers(&served, &cases).await;
    });
}

#[test]
fn a_token_of_64_kb_is_refused_and_others_are_served() {
    run(async {
        let served = Served::start().await;
        let forge = Forge::at(&served).await;
        let huge = [b"Bearer ".as_slice(), &[b'a'; 64 * 1024]].concat();
        for path in guarded() {
            let served = served.again().await;
            let status = served.call(path, [("authorization", huge.as_slice())]).await.unwrap_err();
            // The transport refuses such headers before anybody looks at them: with HTTP 431, or by ending the
            // connection when they are far too large.
            let refused = match status.code() {
                Code::Unauthenticated => true,
                Code::Unknown => status.message().contains("431"),
                Code::ResourceExhausted => status.message().contains("h2"),
                _ => false,
            };
            assert!(refused, "{path}: {status:?}");
        }
        let good = format!("Bearer {}", forge.good(1));
        let answer = served.call(PROBE, [("authorization", good.as_bytes())]).await;
        assert_eq!(verdict("afterwards", &answer), Accepted);
    });
}

#[test]
fn a_token_elsewhere_is_no_token() {
    run(async {
        let served = Served::start().await;
        let forge = Forge::at(&served).await;
        let bearer = format!("Bearer {}", forge.good(1));
        for name in [
            "proxy-authorization",
            "x-authorization",
            "x-forwarded-authorization",
            "authentication",
            "cookie",
            "x-access-token",
            "grpc-authorization",
        ] {
            for path in guarded() {
                let answer = served.call(path, [(name, bearer.as_bytes())]).await;
                assert_eq!(verdict(name, &answer), Missing, "{name} at {path}");
            }
        }
        let query = format!("{PROBE}?access_token={}", forge.good(2));
        assert_eq!(verdict("in the query", &served.call(&query, []).await), Missing);
    });
}

#[test]
fn logging_out_needs_a_token_as_well() {
    run(async {
        let served = Served::start().await;
        let forge = Forge::at(&served).await;
        let path = "/taskwire.v1.UserService/Logout";
        let logout = async |header: Option<String>| {
            let header = header.iter().map(|value| ("authorization", value.as_bytes()));
            verdict("Logout", &served.call(path, header).await)
        };
        assert_eq!(logout(None).await, Missing);
        let foreign = forge.foreign(true).good(1);
        assert_eq!(logout(Some(format!("Bearer {foreign}"))).await, Invalid);
        assert_eq!(logout(Some(format!("Bearer {}", forge.good(1)))).await, Accepted);
    });
}

#[test]
fn a_bad_token_keeps_nobody_from_logging_in() {
    run(async {
        let served = Served::start().await;
        let forge = Forge::at(&served).await;
        let tokens = [
            "nonsense".to_owned(),
            forge.foreign(true).good(1),
            forge.claiming(serde_json::json!({"exp": 0})),
        ];
        for token in tokens {
            for method in ["CreateUser", "Login", "RefreshSession"] {
                let path = format!("/taskwire.v1.UserService/{method}");
                let header = format!("Bearer {token}");
                let status = served.call(&path, [("authorization", header.as_bytes())]).await.unwrap_err();
                assert!(!status.message().contains("bearer"), "{path}: {status:?}");
            }
            let health = "/grpc.health.v1.Health/Check";
            let header = format!("Bearer {token}");
            served.call(health, [("authorization", header.as_bytes())]).await.unwrap();
        }
    });
}
