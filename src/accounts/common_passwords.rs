//! The passwords that everybody tries first: a sorted list inside the program, searched where it lies.
//!
//! 11 611 entries of zxcvbn's frequency list (MIT licence, `data/NOTICE.md`), those with at least 8 characters; in NFC
//! and case-folded, which is how a password is compared with them.

use crate::domain::text;

const FILE: &str = include_str!("data/common_passwords.txt");

/// Whether this password, in whatever case, is on the list.
pub fn is_common(password: &str) -> bool {
    contains(entries(), &text::fold(password))
}

/// What follows the head of the file.
fn entries() -> &'static str {
    FILE.split_once("\n\n").map_or("", |(_, entries)| entries)
}

/// Searches sorted lines by halves.
fn contains(sorted: &str, wanted: &str) -> bool {
    let mut rest = sorted;
    while !rest.is_empty() {
        let bytes = rest.as_bytes();
        let middle = bytes.len() / 2;
        let begin = bytes[..middle].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let end = bytes[begin..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| begin + at);
        // Line feeds are never part of a longer character, so these cuts fall between characters.
        match rest[begin..end].cmp(wanted) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => rest = rest.get(end + 1..).unwrap_or(""),
            std::cmp::Ordering::Greater => rest = &rest[..begin],
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_found_and_stands_in_its_place() {
        let all: Vec<&str> = entries().lines().collect();
        assert!(all.len() >= 10_000, "{}", all.len());
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "sorted, each once");
        for entry in &all {
            assert_eq!(text::fold(&text::nfc(entry)), **entry);
            assert!(entry.chars().count() >= 8);
            assert!(contains(entries(), entry), "{entry}");
            assert!(!contains(entries(), &format!("{entry}\u{1}")));
        }
    }

    #[test]
    fn case_does_not_hide_a_common_password() {
        assert!(is_common("password1"));
        assert!(is_common("PassWord1"));
        assert!(is_common("ＰＡＳＳＷＯＲＤ1") == is_common("ｐａｓｓｗｏｒｄ1"));
        assert!(!is_common("correct horse battery staple"));
        assert!(!is_common(""));
        assert!(!is_common("\n"));
    }
}
