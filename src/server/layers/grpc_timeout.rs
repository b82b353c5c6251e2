//! Reads `grpc-timeout`: at most eight digits and a unit (gRPC over HTTP/2, "Requests").

use std::time::Duration;

use http::HeaderMap;

use crate::domain::{Error, Result, Rule};

/// The metadata key.
const HEADER: &str = "grpc-timeout";

/// How long the caller waits, when it says so.
///
/// # Errors
/// `Invalid`: a value that cannot be read would otherwise mean "for ever" to the caller and something else here.
pub(in crate::server) fn read(headers: &HeaderMap) -> Result<Option<Duration>> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(invalid("must be given once"));
    }
    parse(value.as_bytes())
        .map(Some)
        .ok_or_else(|| invalid("must be 1 to 8 digits and one of H, M, S, m, u, n"))
}

fn invalid(text: &'static str) -> Error {
    Error::invalid(Rule::field(text).at(HEADER))
}

fn parse(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count = digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Some(Duration::from_secs(count * 60 * 60)),
        b'M' => Some(Duration::from_secs(count * 60)),
        b'S' => Some(Duration::from_secs(count)),
        b'm' => Some(Duration::from_millis(count)),
        b'u' => Some(Duration::from_micros(count)),
        b'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, HeaderValue};

    use super::{parse, read};

    #[test]
    fn every_unit_is_read() {
        let cases = [
            ("1H", Duration::from_secs(3600)),
            ("2M", Duration::from_secs(120)),
            ("3S", Duration::from_secs(3)),
            ("4m", Duration::from_millis(4)),
            ("5u", Duration::from_micros(5)),
            ("6n", Duration::from_nanos(6)),
            ("0S", Duration::ZERO),
            ("00000001S", Duration::from_secs(1)),
            ("99999999H", Duration::from_secs(99_999_999 * 3600)),
        ];
        for (text, duration) in cases {
            assert_eq!(parse(text.as_bytes()), Some(duration), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let cases = [
            "",
            "S",
            "1",
            "1Z",
            "1s",
            "-1S",
            "+1S",
            " 1S",
            "1 S",
            "1.5S",
            "0x1S",
            "999999999S",
            "99999999999S",
            "1SS",
        ];
        for text in cases {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse("1\u{b5}".as_bytes()), None);
        assert_eq!(parse("\u{661}S".as_bytes()), None);
    }

    #[test]
    fn it_is_given_once_or_not_at_all() {
        let mut headers = HeaderMap::new();
        assert_eq!(read(&headers), Ok(None));
        headers.append("grpc-timeout", HeaderValue::from_static("1S"));
        assert_eq!(read(&headers), Ok(Some(Duration::from_secs(1))));
        headers.append("grpc-timeout", HeaderValue::from_static("1S"));
        assert!(read(&headers).is_err());
    }
}
