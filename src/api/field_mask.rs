//! Update masks (AIP-134, AIP-161): which fields a request means to write.

use prost_types::FieldMask;

use crate::domain::{InvalidReason, Rule};

/// Which fields of a resource are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mask {
    /// No mask: those that are populated.
    Populated,
    /// `*`: all of them.
    Everything,
    /// Those that are named.
    Named(Vec<&'static str>),
}

/// The fields of a resource, as a mask may name them.
#[derive(Debug)]
pub(super) struct Writable {
    /// Those a caller can write.
    pub(super) fields: &'static [&'static str],
    /// Those that the service sets; a mask may name them and changes nothing by it.
    pub(super) ignored: &'static [&'static str],
}

impl Mask {
    /// Reads a mask for a resource.
    pub(super) fn parse(mask: Option<FieldMask>, writable: &Writable) -> Result<Self, Rule> {
        let paths = mask.map(|mask| mask.paths).unwrap_or_default();
        if paths.is_empty() {
            return Ok(Self::Populated);
        }
        if paths.iter().any(|path| path == "*") {
            let alone = paths.iter().all(|path| path == "*");
            return if alone {
                Ok(Self::Everything)
            } else {
                Err(refused("must hold `*` alone or not at all"))
            };
        }
        let mut named = Vec::new();
        for path in &paths {
            if let Some(field) = writable.fields.iter().find(|field| *field == path) {
                if !named.contains(field) {
                    named.push(*field);
                }
            } else if !writable.ignored.iter().any(|field| field == path) {
                let text = format!("must hold only `*` or any of {}", writable.fields.join(", "));
                return Err(refused(text));
            }
        }
        Ok(Self::Named(named))
    }

    /// Whether a field is written, given whether the request holds a value for it.
    pub(super) fn covers(&self, field: &str, populated: bool) -> bool {
        match self {
            Self::Populated => populated,
            Self::Everything => true,
            Self::Named(named) => named.contains(&field),
        }
    }
}

fn refused(text: impl Into<std::borrow::Cow<'static, str>>) -> Rule {
    Rule::of(InvalidReason::FieldMask, text)
}
