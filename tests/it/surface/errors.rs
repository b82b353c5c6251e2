//! The reasons of errors: in the code, in the catalogue, and in the comments of the contract.

use std::collections::BTreeSet;

use taskwire::api::reason::Reason;
use tonic::Code;

use super::{descriptors, files, root, shown};

/// As gRPC writes it: `INVALID_ARGUMENT`.
fn name(code: Code) -> String {
    let mut name = String::new();
    for char in format!("{code:?}").chars() {
        if char.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(char.to_uppercase());
    }
    name
}

fn known() -> BTreeSet<(String, String)> {
    Reason::ALL.iter().map(|reason| (name(reason.code()), reason.name().to_owned())).collect()
}

#[test]
fn reasons_are_distinct_and_well_formed() {
    let names: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    assert_eq!(names.len(), Reason::ALL.len());
    for name in names {
        // AIP-193: [A-Z][A-Z0-9_]+[A-Z0-9], at most 63 characters.
        assert!(name.len() <= 63);
        assert!(name.chars().all(|char| char.is_ascii_uppercase() || char == '_'), "{name}");
        assert!(!name.starts_with('_') && !name.ends_with('_'), "{name}");
    }
    assert!(Reason::ALL.iter().all(|reason| reason.code() != Code::Ok));
}

#[test]
fn the_catalogue_lists_exactly_the_reasons() {
    let path = root().join("docs/ERRORS.md");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", shown(&path)));
    let mut listed = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let reason = cells.get(1).and_then(|cell| cell.strip_prefix('`')?.strip_suffix('`'));
        let Some(reason) = reason else { continue };
        assert!(
            cells.len() >= 4 && cells.iter().all(|cell| !cell.is_empty()),
            "{line}: says less than code, reason, meaning and what to do"
        );
        let row = (cells[0].trim_matches('`').to_owned(), reason.to_owned());
        assert!(listed.insert(row), "{line}: is listed twice");
    }
    let known = known();
    let missing: Vec<_> = known.difference(&listed).collect();
    let surplus: Vec<_> = listed.difference(&known).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "docs/ERRORS.md lacks {missing:?} and has {surplus:?}, which the code does not"
    );
}

/// The comments of a `.proto` file as running text.
fn comments(text: &str) -> String {
    text.lines()
        .map(str::trim)
        .filter_map(|line| line.strip_prefix("//"))
        .map(str::trim)
        .collect::<Vec<_>>()
        .join(" ")
}

/// What stands between backticks, with what follows it.
fn quoted(text: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = text.split('`').collect();
    let odd = parts.chunks_exact(2).map(|pair| pair[1]);
    let after = parts.iter().skip(2).step_by(2).copied();
    odd.zip(after).collect()
}

fn is_constant(word: &str) -> bool {
    word.len() > 1 && word.chars().all(|char| char.is_ascii_uppercase() || char == '_')
}

#[test]
fn the_contract_names_only_reasons_that_exist_with_their_codes() {
    let known = known();
    let mut pairs = 0;
    for path in files("proto/taskwire", "proto") {
        let text = comments(&std::fs::read_to_string(&path).unwrap());
        let words = quoted(&text);
        for (at, (code, after)) in words.iter().enumerate() {
            // `CODE` / `REASON`, `REASON` or `REASON`
            if after.trim() != "/" || !is_constant(code) || *code == "CODE" {
                continue;
            }
            for (reason, after) in &words[at + 1..] {
                if after.trim() == "/" {
                    break;
                }
                let pair = ((*code).to_owned(), (*reason).to_owned());
                assert!(known.contains(&pair), "{}: {code} / {reason}", shown(&path));
                pairs += 1;
                if !matches!(after.trim(), "," | "or" | "and") {
                    break;
                }
            }
        }
    }
    assert!(pairs > 40, "only {pairs} were found");
}

#[test]
fn the_contract_uses_no_constant_that_is_not_defined() {
    let mut defined: BTreeSet<String> =
        known().into_iter().flat_map(|(code, reason)| [code, reason]).collect();
    for file in descriptors::ours() {
        let nested = file.message_type.iter().flat_map(|message| &message.enum_type);
        for value in file.enum_type.iter().chain(nested).flat_map(|item| &item.value) {
            defined.insert(value.name().to_owned());
        }
    }
    // Placeholders, the words of the filter language, and an example.
    defined
        .extend(["CODE", "REASON", "AND", "OR", "NOT", "LOW", "MEDIUM", "HIGH", "STRASSE"].map(String::from));
    // Of RFC 5545.
    let rules = "RRULE FREQ DAILY WEEKLY MONTHLY YEARLY INTERVAL COUNT UNTIL BYMONTH BYMONTHDAY BYYEARDAY BYDAY BYSETPOS WKST";
    defined.extend(rules.split(' ').map(String::from));
    for path in files("proto/taskwire", "proto") {
        let text = comments(&std::fs::read_to_string(&path).unwrap());
        for (word, _) in quoted(&text) {
            let fine = !is_constant(word) || defined.contains(word);
            assert!(fine, "{}: `{word}` is not defined", shown(&path));
        }
    }
}
