//! Who a token speaks for and to whom: the claims that are no times.

use serde_json::json;

use super::{Accepted, Invalid, hold};

#[test]
fn issuer_and_audience() {
    hold(|forge| {
        let iss = |value: serde_json::Value| forge.claiming(json!({"iss": value}));
        let aud = |value: serde_json::Value| forge.claiming(json!({"aud": value}));
        vec![
            ("iss missing", iss(json!(null)), Invalid),
            ("iss null", iss(json!("#null")), Invalid),
            ("iss empty", iss(json!("")), Invalid),
            ("iss other", iss(json!("other")), Invalid),
            ("iss longer", iss(json!("taskwire.attacker.example")), Invalid),
            ("iss in capitals", iss(json!("TASKWIRE")), Invalid),
            ("iss with a space", iss(json!("taskwire ")), Invalid),
            ("iss a list", iss(json!(["taskwire"])), Invalid),
            ("iss a number", iss(json!(1)), Invalid),
            ("aud missing", aud(json!(null)), Invalid),
            ("aud null", aud(json!("#null")), Invalid),
            ("aud empty", aud(json!("")), Invalid),
            ("aud other", aud(json!("other")), Invalid),
            ("aud in capitals", aud(json!("Taskwire")), Invalid),
            ("aud an empty list", aud(json!([])), Invalid),
            ("aud a list without ours", aud(json!(["other", "another"])), Invalid),
            ("aud a list of lists", aud(json!([["taskwire"]])), Invalid),
            ("aud a mixed list", aud(json!(["taskwire", 1])), Invalid),
            ("aud an object", aud(json!({"taskwire": true})), Invalid),
            ("aud a list of one", aud(json!(["taskwire"])), Accepted),
            ("aud a list with ours", aud(json!(["other", "taskwire"])), Accepted),
        ]
    });
}

#[test]
fn subject_session_and_role() {
    hold(|forge| {
        let sub = |value: serde_json::Value| forge.claiming(json!({"sub": value}));
        let sid = |value: serde_json::Value| forge.claiming(json!({"sid": value}));
        let role = |value: serde_json::Value| forge.claiming(json!({"role": value}));
        let user = forge.claims["sub"].as_str().unwrap();
        let bare = user.replace('-', "");
        vec![
            ("sub missing", sub(json!(null)), Invalid),
            ("sub null", sub(json!("#null")), Invalid),
            ("sub empty", sub(json!("")), Invalid),
            ("sub no UUID", sub(json!("ada")), Invalid),
            ("sub a resource name", sub(json!(format!("users/{user}"))), Invalid),
            ("sub in braces", sub(json!(format!("{{{user}}}"))), Invalid),
            ("sub without hyphens", sub(json!(bare)), Invalid),
            ("sub with a space", sub(json!(format!("{user} "))), Invalid),
            ("sub a number", sub(json!(1)), Invalid),
            ("sub a list", sub(json!([user])), Invalid),
            ("sub SQL", sub(json!("' or 1=1 --")), Invalid),
            ("sid missing", sid(json!(null)), Invalid),
            ("sid null", sid(json!("#null")), Invalid),
            ("sid empty", sid(json!("")), Invalid),
            ("sid no UUID", sid(json!("phone")), Invalid),
            ("sid a number", sid(json!(1)), Invalid),
            ("role missing", role(json!(null)), Invalid),
            ("role null", role(json!("#null")), Invalid),
            ("role empty", role(json!("")), Invalid),
            ("role unknown", role(json!("root")), Invalid),
            ("role in capitals", role(json!("ADMIN")), Invalid),
            ("role a number", role(json!(2)), Invalid),
            ("role a list", role(json!(["admin"])), Invalid),
            ("sub in capitals", sub(json!(user.to_uppercase())), Accepted),
        ]
    });
}

#[test]
fn texts_that_are_no_claims() {
    hold(|forge| {
        let claims = forge.claims.to_string();
        let before = |text: &str| forge.raw_claims(&claims.replacen('{', &format!("{{{text},"), 1));
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        let header = forge.header().to_string();
        let latin = claims
            .replacen("taskwire", "taskwir\u{e9}", 1)
            .chars()
            .map(|char| u8::try_from(u32::from(char)).unwrap())
            .collect::<Vec<u8>>();
        vec![
            ("empty", forge.raw_claims(""), Invalid),
            ("null", forge.raw_claims("null"), Invalid),
            ("a list", forge.raw_claims("[]"), Invalid),
            ("an empty object", forge.raw_claims("{}"), Invalid),
            ("a text", forge.raw_claims("\"taskwire\""), Invalid),
            ("cut off", forge.raw_claims(&claims[..claims.len() - 1]), Invalid),
            ("text behind", forge.raw_claims(&format!("{claims}x")), Invalid),
            ("two objects", forge.raw_claims(&format!("{claims}{claims}")), Invalid),
            ("a comment", forge.raw_claims(&format!("/**/{claims}")), Invalid),
            ("a trailing comma", forge.raw_claims(&claims.replacen('}', ",}", 1)), Invalid),
            ("sub twice", before(r#""sub":"x""#), Invalid),
            ("the same sub twice", before(&format!("\"sub\":{}", forge.claims["sub"])), Invalid),
            ("role twice", before(r#""role":"admin""#), Invalid),
            ("iss twice", before(r#""iss":"other""#), Invalid),
            ("aud twice", before(r#""aud":"other""#), Invalid),
            ("sid twice", before(r#""sid":"x""#), Invalid),
            ("escaped sub twice", before(r#""\u0073ub":"x""#), Invalid),
            ("nested", forge.raw_claims(&deep), Invalid),
            ("nested audience", forge.raw_claims(&claims.replacen("\"taskwire\"", &deep, 1)), Invalid),
            ("not UTF-8", forge.sign_bytes(header.as_bytes(), &latin), Invalid),
            ("bytes", forge.sign_bytes(header.as_bytes(), &[0xff; 64]), Invalid),
            ("UTF-16", forge.sign_bytes(header.as_bytes(), &utf16(&claims)), Invalid),
            ("byte order mark", forge.raw_claims(&format!("\u{feff}{claims}")), Invalid),
            ("a lone surrogate", before(r#""x":"\ud800","sub":"\ud800""#), Invalid),
            // What is not known is not looked at.
            ("one claim more", forge.claiming(json!({"x": {"y": [1, null]}})), Accepted),
        ]
    });
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}
