//! Rules of text: how long, which characters, and when two texts are the same but for case.

use caseless::Caseless as _;
use unicode_normalization::UnicodeNormalization as _;

use super::Rule;

/// The text in the form in which it is compared and searched without regard to case.
///
/// This is Unicode's canonical caseless matching (The Unicode Standard, D145) in composed form: full case
/// folding between two normalisations. So `É` equals `é` however either is composed, `ß` equals `ss`, the
/// Kelvin sign equals `k`, and `İ` equals `i` followed by a combining dot above. The rule knows no language:
/// `I` is never `ı`.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.nfd().default_case_fold().nfc().collect()
}

/// The text in Unicode's composed normal form (NFC).
pub fn nfc(text: &str) -> String {
    text.nfc().collect()
}

/// Checks that `text` has at most `max` code points.
pub(super) fn at_most(text: &str, max: usize) -> Result<(), Rule> {
    // A code point has at most four bytes, so most texts are settled without counting.
    if text.len() > max && text.chars().count() > max {
        return Err(Rule::field(format!("must have at most {max} characters")));
    }
    Ok(())
}

/// Checks that `text` holds no control characters but those in `allowed`.
pub(super) fn no_controls(text: &str, allowed: &[char]) -> Result<(), Rule> {
    // Controls are single bytes or begin with 0xC2; most texts have none of these and need no closer look. Without an early end, so
    // that many bytes are looked at together.
    let may_be = |byte: u8| (byte < 0x20) | (byte == 0x7f) | (byte == 0xc2);
    if text.bytes().fold(false, |any, byte| any | may_be(byte))
        && text.chars().any(|character| character.is_control() && !allowed.contains(&character))
    {
        return Err(Rule::field(if allowed.is_empty() {
            "must not contain control characters"
        } else {
            "must not contain control characters other than line feed and tab"
        }));
    }
    Ok(())
}

/// Longest short text, in code points: what something or somebody is called.
pub const SHORT_MAX_CODE_POINTS: usize = 100;

/// Reads a short text: no control characters, may be empty.
pub(super) fn short(raw: &str) -> Result<String, Rule> {
    no_controls(raw, &[])?;
    at_most(raw, SHORT_MAX_CODE_POINTS)?;
    Ok(raw.to_owned())
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn folding_follows_the_stated_rule() {
        assert_eq!(fold("ÉCOLE"), fold("e\u{301}cole"));
        assert_eq!(fold("Straße"), fold("STRASSE"));
        assert_eq!(fold("\u{212A}elvin"), "kelvin");
        assert_eq!(fold("\u{130}"), fold("i\u{307}"));
        assert_ne!(fold("I"), fold("\u{131}"));
        assert_eq!(fold("Plain ASCII"), "plain ascii");
    }

    #[test]
    fn folding_twice_changes_nothing() {
        for text in ["É ß İ K", "ΌΣΟΣ", "ǰ", "ŉ", "\u{1FC3}", "ﬃ"] {
            assert_eq!(fold(&fold(text)), fold(text), "{text}");
        }
    }
}
