//! Etags: marks of a state, made from all of its content.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The state of a resource, for the check that it has not changed since it was read. Opaque to callers.
///
/// It is made of the state's number and of its content. The number alone would come again when the database is put
/// back and other changes are made; with the content, equal etags mean equal states.
#[derive(Clone, PartialEq, Eq)]
pub struct Etag(String);

impl Etag {
    /// An etag as sent; the empty one stands for none.
    pub fn given(raw: String) -> Option<Self> {
        (!raw.is_empty()).then_some(Self(raw))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Debug for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Takes in the content of a state, value after value; each kind of resource always in the same order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Content(u64);

impl Content {
    pub(super) const fn new() -> Self {
        Self(0)
    }

    /// A text. Each is hashed by itself, so that what moves from one to the next is seen.
    pub(super) fn text(self, text: &str) -> Self {
        Self(xxh3_64_with_seed(text.as_bytes(), self.0))
    }

    /// Numbers, as many for every state of the kind; `None` is told from every number.
    pub(super) fn numbers<const COUNT: usize>(self, numbers: [Option<i64>; COUNT]) -> Self {
        numbers.into_iter().fold(self, |content, number| {
            // One byte more than a number has, so that no number looks like its absence.
            let mut bytes = [0; 9];
            if let Some(number) = number {
                bytes[..8].copy_from_slice(&number.to_le_bytes());
                bytes[8] = 1;
            }
            Self(xxh3_64_with_seed(&bytes, content.0))
        })
    }

    /// The etag of the state with this number.
    pub(super) fn etag(self, number: i64) -> Etag {
        let Self(hash) = self;
        // By hand: a page of tasks makes many, and formatting took more than the hashing.
        let number = hex(number.cast_unsigned());
        let zeros = number.iter().take(15).take_while(|digit| **digit == b'0').count();
        let mut text = Vec::with_capacity(33);
        text.extend_from_slice(&number[zeros..]);
        text.push(b'-');
        text.extend_from_slice(&hex(hash));
        // They are digits.
        Etag(String::from_utf8(text).unwrap_or_default())
    }
}

/// The sixteen digits of a number.
fn hex(number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(number.to_be_bytes()) {
        pair.copy_from_slice(&PAIRS[usize::from(byte)]);
    }
    digits
}

/// The two digits of every byte.
const PAIRS: [[u8; 2]; 256] = {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < pairs.len() {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_both_numbers_in_hexadecimal() {
        for number in [0, 1, 9, 15, 16, 255, 256, 0xabc, i64::MAX, -1, i64::MIN] {
            for hash in [0, 1, 0xff, 0x0123_4567_89ab_cdef, u64::MAX] {
                assert_eq!(Content(hash).etag(number).as_str(), format!("{number:x}-{hash:016x}"));
            }
        }
    }
}
