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
        Etag(format!("{number:x}-{hash:016x}"))
    }
}
