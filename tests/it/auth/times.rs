//! The times in a token: when it ends, when it begins, when it was issued.

use serde_json::json;

use super::forge::{from_now, whole_from_now};
use super::{Accepted, Expired, Invalid, hold};

#[test]
fn expiry() {
    hold(|forge| {
        let exp = |value: serde_json::Value| forge.claiming(json!({"exp": value}));
        let raw = |text: &str| {
            let claims = forge.claims.to_string();
            let (begin, end) = claims.split_once("\"exp\":").unwrap();
            let rest = end.trim_start_matches(|char: char| char.is_ascii_digit());
            forge.raw_claims(&format!("{begin}\"exp\":{text}{rest}"))
        };
        let foreign = forge.foreign(true);
        vec![
            ("past", exp(whole_from_now(-3600)), Expired),
            ("at the end of the leeway", exp(whole_from_now(-5)), Expired),
            ("past the leeway by a fraction", exp(from_now(-5.001)), Expired),
            ("within the leeway", exp(whole_from_now(-4)), Accepted),
            ("within the leeway by a fraction", exp(from_now(-4.999)), Accepted),
            ("now", exp(whole_from_now(0)), Accepted),
            ("a fraction", exp(from_now(60.5)), Accepted),
            ("an exponent", raw("1.7724e9"), Accepted),
            ("the far future", exp(json!(253_402_300_799_i64)), Accepted),
            ("zero", exp(json!(0)), Expired),
            ("negative", exp(json!(-1)), Invalid),
            ("negative fraction", exp(json!(-0.5)), Invalid),
            ("beyond the calendar", exp(json!(253_402_300_800_i64)), Invalid),
            ("1e300", exp(json!(1e300)), Invalid),
            ("-1e300", exp(json!(-1e300)), Invalid),
            ("1e999", raw("1e999"), Invalid),
            ("u64::MAX", exp(json!(u64::MAX)), Invalid),
            ("i64::MIN", exp(json!(i64::MIN)), Invalid),
            ("NaN", raw("NaN"), Invalid),
            ("Infinity", raw("Infinity"), Invalid),
            ("missing", exp(json!(null)), Invalid),
            ("null", exp(json!("#null")), Invalid),
            ("string", exp(json!("1900000000")), Invalid),
            ("empty string", exp(json!("")), Invalid),
            ("date", exp(json!("2030-01-01T00:00:00Z")), Invalid),
            ("list", exp(json!([1_900_000_000])), Invalid),
            ("object", exp(json!({"$gt": 0})), Invalid),
            ("true", exp(json!(true)), Invalid),
            ("twice", raw("1,\"exp\":1900000000"), Invalid),
            ("leading zero", raw("01900000000"), Invalid),
            // That a token has expired is told only to who once had it.
            ("past, somebody else's", foreign.claiming(json!({"exp": whole_from_now(-3600)})), Invalid),
            (
                "past, another audience",
                forge.claiming(json!({"exp": whole_from_now(-3600), "aud": "other"})),
                Invalid,
            ),
        ]
    });
}

#[test]
fn beginning() {
    hold(|forge| {
        let nbf = |value: serde_json::Value| forge.claiming(json!({"nbf": value}));
        vec![
            ("past", nbf(whole_from_now(-3600)), Accepted),
            ("now", nbf(whole_from_now(0)), Accepted),
            ("within the leeway", nbf(whole_from_now(4)), Accepted),
            ("at the end of the leeway", nbf(whole_from_now(5)), Accepted),
            ("past the leeway", nbf(from_now(5.001)), Invalid),
            ("future", nbf(whole_from_now(3600)), Invalid),
            ("a fraction", nbf(from_now(-0.5)), Accepted),
            ("zero", nbf(json!(0)), Accepted),
            ("negative", nbf(json!(-1)), Accepted),
            ("1e300", nbf(json!(1e300)), Invalid),
            ("string", nbf(json!("0")), Invalid),
            ("list", nbf(json!([0])), Invalid),
            ("object", nbf(json!({})), Invalid),
            ("false", nbf(json!(false)), Invalid),
        ]
    });
}

#[test]
fn issue() {
    hold(|forge| {
        let iat = |value: serde_json::Value| forge.claiming(json!({"iat": value}));
        vec![
            ("past", iat(whole_from_now(-60)), Accepted),
            ("a fraction", iat(from_now(-0.25)), Accepted),
            ("within the leeway", iat(whole_from_now(5)), Accepted),
            ("past the leeway", iat(from_now(5.001)), Invalid),
            ("future", iat(whole_from_now(600)), Invalid),
            ("missing", iat(json!(null)), Invalid),
            ("null", iat(json!("#null")), Invalid),
            ("string", iat(json!("0")), Invalid),
            ("list", iat(json!([])), Invalid),
            ("1e300", iat(json!(1e300)), Invalid),
            ("-1e300", iat(json!(-1e300)), Invalid),
            ("true", iat(json!(true)), Invalid),
        ]
    });
}
