//! One-time codes that follow from a shared secret and the time (RFC 6238, over RFC 4226), as authenticator apps make them:
//! HMAC-SHA-1, six digits, a new one every 30 seconds. Base32 (RFC 4648) is how people type secrets.

use aws_lc_rs::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};

use crate::auth::secret::same;
use crate::domain::Timestamp;

const STEP_SECONDS: i64 = 30;
const DIGITS: usize = 6;
/// How far a clock may be off, in steps.
const DRIFT: i64 = 1;
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The step of a code that is right at this time, if `typed` is one. The newest counts, should two be the same.
pub(super) fn step_of(secret: &[u8], typed: &str, now: Timestamp) -> Option<i64> {
    let typed: String = typed.chars().filter(|character| !character.is_whitespace()).collect();
    if typed.len() != DIGITS {
        return None;
    }
    let (seconds, _) = now.to_parts();
    let present = seconds.div_euclid(STEP_SECONDS);
    // All are compared, whichever it is.
    let mut found = None;
    for step in present - DRIFT..=present + DRIFT {
        if same(code(secret, step, DIGITS).as_bytes(), typed.as_bytes()) {
            found = Some(step);
        }
    }
    found
}

/// The code of a step (RFC 4226, section 5.3).
fn code(secret: &[u8], step: i64, digits: usize) -> String {
    let tag = sign(&Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret), &step.to_be_bytes());
    let tag = tag.as_ref();
    let offset = tag.last().map_or(0, |last| usize::from(last & 0x0f));
    let number = tag.iter().skip(offset).take(4).fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    let number = (number & 0x7fff_ffff) % 10_u32.pow(u32::try_from(digits).unwrap_or(0));
    format!("{number:0digits$}")
}

/// The link that an app reads as a QR code.
pub(super) fn uri(issuer: &str, account: &str, secret: &str) -> String {
    let (issuer, account) = (escaped(issuer), escaped(account));
    format!(
        "otpauth://totp/{issuer}:{account}?secret={secret}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={STEP_SECONDS}"
    )
}

/// Whatever is not unreserved in a URI (RFC 3986) as its bytes.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(byte.into()),
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

/// Bytes as people type them, without padding.
pub(super) fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity((bytes.len() * 8).div_ceil(5));
    let (mut buffer, mut bits) = (0_u32, 0);
    for byte in bytes {
        buffer = (buffer << 8 | u32::from(*byte)) & 0xffff;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(ALPHABET[(buffer >> bits & 31) as usize].into());
        }
    }
    if bits > 0 {
        text.push(ALPHABET[(buffer << (5 - bits) & 31) as usize].into());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"12345678901234567890";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_parts(seconds, 0).unwrap()
    }

    /// Appendix B of RFC 6238, SHA-1.
    #[test]
    fn codes_are_those_of_the_standard() {
        for (seconds, expected) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            assert_eq!(code(SECRET, seconds / STEP_SECONDS, 8), expected);
            if seconds < 10_000_000_000 {
                assert_eq!(step_of(SECRET, &expected[2..], at(seconds)), Some(seconds / 30), "{seconds}");
            }
        }
        // Appendix D of RFC 4226.
        assert_eq!(code(SECRET, 0, 6), "755224");
        assert_eq!(code(SECRET, 9, 6), "520489");
    }

    #[test]
    fn a_clock_may_be_off_by_one_step() {
        let code = code(SECRET, 100, DIGITS);
        for (seconds, step) in
            [(2969, None), (2970, Some(100)), (3000, Some(100)), (3059, Some(100)), (3060, None)]
        {
            assert_eq!(step_of(SECRET, &code, at(seconds)), step, "{seconds}");
        }
        let spaced = format!(" {} {}", &code[..3], &code[3..]);
        assert_eq!(step_of(SECRET, &spaced, at(3000)), Some(100));
        for wrong in ["", "000000000", &code[1..], "12345a", "١٢٣٤٥٦"] {
            assert_eq!(step_of(SECRET, wrong, at(3000)), None, "{wrong}");
        }
    }

    /// Section 10 of RFC 4648, without its padding.
    #[test]
    fn base32_is_that_of_the_standard() {
        for (bytes, text) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
        assert_eq!(base32(&[0xff; 5]), "77777777");
    }

    #[test]
    fn a_link_has_nothing_in_it_that_is_not_said() {
        assert_eq!(
            uri("Task wire", "a&b=c@ö.example", "MZXW6"),
            "otpauth://totp/Task%20wire:a%26b%3Dc%40%C3%B6.example?secret=MZXW6&issuer=Task%20wire\
             &algorithm=SHA1&digits=6&period=30"
        );
    }
}
