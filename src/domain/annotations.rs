//! What other services note at a task.

use std::collections::BTreeMap;

use super::{Rule, text};

/// Pairs of texts: at most 20, keys of 1 to 63 characters out of `a-z0-9._/-`, values of 1 to 256 code points.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Annotations(BTreeMap<String, String>);

impl Annotations {
    /// Most pairs of one task.
    pub const MAX: usize = 20;
    /// Most characters of a key.
    pub const KEY_MAX: usize = 63;
    /// Most code points of a value.
    pub const VALUE_MAX_CODE_POINTS: usize = 256;

    /// Reads pairs.
    ///
    /// # Errors
    /// The first rule broken, with the place of the pair that breaks it in the order of the keys.
    pub fn parse(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, Rule> {
        let pairs: BTreeMap<String, String> = pairs.into_iter().collect();
        if pairs.len() > Self::MAX {
            return Err(Rule::field(format!("must hold at most {} pairs", Self::MAX)));
        }
        for (at, (key, value)) in pairs.iter().enumerate() {
            Self::check_key(key).map_err(|rule| Rule::field(format!("key {at} {}", rule.text)))?;
            Self::check_value(value).map_err(|rule| Rule::field(format!("value {at} {}", rule.text)))?;
        }
        Ok(Self(pairs))
    }

    /// Checks a key.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn check_key(key: &str) -> Result<(), Rule> {
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._/-".contains(&byte);
        if (1..=Self::KEY_MAX).contains(&key.len()) && key.bytes().all(is_allowed) {
            return Ok(());
        }
        Err(Rule::field("must have 1 to 63 characters out of a-z, 0-9, `.`, `_`, `/` and `-`"))
    }

    fn check_value(value: &str) -> Result<(), Rule> {
        // Protobuf leaves an empty value of a map out, and the transcoder of Envoy falls over its absence.
        if value.is_empty() {
            return Err(Rule::field("must not be empty: leave the key out"));
        }
        text::no_controls(value, &['\n', '\t'])?;
        text::at_most(value, Self::VALUE_MAX_CODE_POINTS)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pairs, in the order of their keys.
    pub const fn as_map(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// The pairs, in the order of their keys.
    pub fn into_map(self) -> BTreeMap<String, String> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Annotations;

    fn refusal(pairs: &[(&str, &str)]) -> String {
        let owned = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Annotations::parse(owned).unwrap_err().text.into_owned()
    }

    #[test]
    fn keys_and_values_have_their_rules() {
        let longest = "a".repeat(63);
        let value = "é".repeat(256);
        assert!(
            Annotations::parse([(longest.clone(), value.clone()), ("crm.io/id_1-x".into(), "\t\n".into())])
                .is_ok()
        );
        let too_long = format!("{longest}a");
        for key in ["", "A", "ä", "a b", "a\"", "a:b", too_long.as_str()] {
            assert!(refusal(&[(key, "x")]).starts_with("key 0 must have 1 to 63"), "{key}");
        }
        assert!(
            refusal(&[("a", "x"), ("b", &format!("{value}x"))]).starts_with("value 1 must have at most 256")
        );
        assert!(refusal(&[("a", "")]).starts_with("value 0 must not be empty"));
        assert!(refusal(&[("a", "\0")]).starts_with("value 0 must not contain control"));
        let many: Vec<(String, String)> =
            (0..21).map(|number| (format!("k{number}"), "v".to_owned())).collect();
        assert!(Annotations::parse(many[..20].to_vec()).is_ok());
        assert_eq!(Annotations::parse(many).unwrap_err().text, "must hold at most 20 pairs");
    }
}
