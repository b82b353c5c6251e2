//! A row as bytes, the same whichever database it lies in.
//!
//! A row is its length (four bytes, the highest first, without themselves) and its fields, those of the key first and the others
//! by name. A field is a byte for its kind, and then: nothing where it is absent (0), eight bytes of an integer, the highest
//! first (1), or a length of four bytes and a text in UTF-8 (2) or bytes (3). Times are integers, microseconds since 1970, and
//! truth values are 0 or 1. JSON is a text with the members of its objects in order and no spaces.

use std::borrow::Cow;

use data_encoding::HEXLOWER;

/// A value of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Null,
    Int(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

impl Field<'_> {
    /// Adds it to a row.
    pub(super) fn put(self, row: &mut Vec<u8>) {
        let mut put = |kind: u8, bytes: &[u8]| {
            row.push(kind);
            // No database of ours holds values of 4 GiB.
            row.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
            row.extend_from_slice(bytes);
        };
        match self {
            Self::Text(text) => put(2, text.as_bytes()),
            Self::Bytes(bytes) => put(3, bytes),
            Self::Null => row.push(0),
            Self::Int(value) => {
                row.push(1);
                row.extend(value.to_be_bytes());
            }
        }
    }
}

impl std::fmt::Display for Field<'_> {
    /// For people, and no secret in whole.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("nothing"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Bytes(bytes) => write!(f, "{}", HEXLOWER.encode_display(bytes)),
        }
    }
}

/// Begins a row; answers where, for `end`.
pub(super) fn begin(rows: &mut Vec<u8>) -> usize {
    let at = rows.len();
    rows.extend([0; 4]);
    at
}

/// Ends the row that was begun there.
pub(super) fn end(rows: &mut [u8], at: usize) {
    let length = u32::try_from(rows.len() - at - 4).unwrap_or(u32::MAX);
    rows[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

/// The first row without its length, and what follows; `None` where there is no whole one.
pub(super) fn split(rows: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = rows.split_first_chunk()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

/// The next field of a row; `None` where there is no whole one.
pub(super) fn next_field<'a>(row: &mut &'a [u8]) -> Option<Field<'a>> {
    let (kind, rest) = row.split_first()?;
    let field = match kind {
        0 => {
            *row = rest;
            return Some(Field::Null);
        }
        1 => {
            let (value, rest) = rest.split_first_chunk()?;
            *row = rest;
            return Some(Field::Int(i64::from_be_bytes(*value)));
        }
        2 | 3 => split(rest)?,
        _ => return None,
    };
    *row = field.1;
    if *kind == 2 { std::str::from_utf8(field.0).ok().map(Field::Text) } else { Some(Field::Bytes(field.0)) }
}

/// A JSON document in the one form that it has here; as it is where it is none.
pub(super) fn plain_json(text: &str) -> Cow<'_, str> {
    // What nearly every task has.
    if matches!(text, "[]" | "{}") {
        return Cow::Borrowed(text);
    }
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value) => {
            let mut plain = String::with_capacity(text.len());
            write_json(&value, &mut plain);
            Cow::Owned(plain)
        }
        Err(_) => Cow::Borrowed(text),
    }
}

fn write_json(value: &serde_json::Value, into: &mut String) {
    use serde_json::Value;
    match value {
        Value::Array(values) => {
            for (number, value) in values.iter().enumerate() {
                into.push(if number == 0 { '[' } else { ',' });
                write_json(value, into);
            }
            into.push_str(if values.is_empty() { "[]" } else { "]" });
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| name.as_str());
            for (number, (name, value)) in members.iter().enumerate() {
                into.push(if number == 0 { '{' } else { ',' });
                into.push_str(&Value::from(name.as_str()).to_string());
                into.push(':');
                write_json(value, into);
            }
            into.push_str(if members.is_empty() { "{}" } else { "}" });
        }
        plain => into.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_read_and_what_is_cut_is_not() {
        let fields =
            [Field::Null, Field::Int(i64::MIN), Field::Text("ü\0"), Field::Bytes(&[0, 255]), Field::Text("")];
        let mut rows = Vec::new();
        let at = begin(&mut rows);
        fields.iter().for_each(|field| field.put(&mut rows));
        end(&mut rows, at);
        let (mut row, rest) = split(&rows).unwrap();
        assert!(rest.is_empty());
        for field in fields {
            assert_eq!(next_field(&mut row), Some(field));
        }
        assert_eq!(next_field(&mut row), None);
        assert!((0..rows.len()).all(|length| split(&rows[..length]).is_none()));
        assert_eq!(next_field(&mut &[9_u8][..]), None);
        assert_eq!(next_field(&mut &[2, 0, 0, 0, 1, 255][..]), None, "no UTF-8");
    }

    #[test]
    fn json_has_one_form() {
        let sqlite = r#"{"b":[1,"ü\n",null],"a":{},"aa":[],"c":-5}"#;
        let postgres = r#"{"a": {}, "b": [1, "ü\n", null], "c": -5, "aa": []}"#;
        assert_eq!(plain_json(sqlite), r#"{"a":{},"aa":[],"b":[1,"ü\n",null],"c":-5}"#);
        assert_eq!(plain_json(postgres), plain_json(sqlite));
        assert_eq!(plain_json("not json"), "not json");
    }
}
