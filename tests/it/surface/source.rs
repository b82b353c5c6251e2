//! Reading Rust source: its code without comments and texts, and the names that stand in it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::{files, shown};

/// One file of `src/`.
pub(super) struct Source {
    /// As in `src/auth/mod.rs`.
    pub(super) path: String,
    /// Without comments and the insides of texts, and without white space.
    pub(super) code: String,
}

impl Source {
    /// Every file of `src/`.
    pub(super) fn all() -> Vec<Self> {
        Self::below("src")
    }

    /// Every file below this directory.
    pub(super) fn below(directory: &str) -> Vec<Self> {
        files(directory, "rs").into_iter().map(Self::read).collect()
    }

    fn read(path: PathBuf) -> Self {
        let text = std::fs::read_to_string(&path).unwrap();
        Self { path: shown(&path), code: code(&text) }
    }

    /// The module that the file belongs to, as in `auth`.
    pub(super) fn floor(&self) -> &str {
        let path = self.path.strip_prefix("src/").unwrap();
        path.split(['/', '.']).next().unwrap()
    }

    /// Every identifier and keyword.
    pub(super) fn names(&self) -> BTreeSet<&str> {
        self.code
            .split(|char: char| !(char.is_alphanumeric() || char == '_'))
            .filter(|name| !name.is_empty())
            .collect()
    }

    /// The modules of this crate that the file names, by `crate::` or by climbing out with `super::`.
    pub(super) fn floors_named(&self) -> BTreeSet<String> {
        let mut named = BTreeSet::new();
        for (at, _) in self.code.match_indices("crate::") {
            heads(&self.code[at + "crate::".len()..], &mut named);
        }
        // From the `mod.rs` of a floor one step leads out of it, from its files two, from those of its rooms three.
        let steps = self.path.split('/').count() - 1 - usize::from(self.path.ends_with("/mod.rs"));
        let climb = "super::".repeat(steps);
        for (at, _) in self.code.match_indices(&climb) {
            let mut climbed = BTreeSet::new();
            heads(&self.code[at + climb.len()..], &mut climbed);
            named.extend(climbed.into_iter().filter(|name| is_known(name)));
        }
        named
    }
}

fn is_known(name: &str) -> bool {
    FLOORS.contains(&name) || CRATES.contains(&name)
}

/// The crates that the service stands on, by the names under which it has them.
pub(super) const CRATES: [&str; 2] = ["client", "pb"];

/// The modules of the crate.
pub(super) const FLOORS: [&str; 15] = [
    "accounts",
    "api",
    "auth",
    "cli",
    "commands",
    "config",
    "domain",
    "interchange",
    "methods",
    "openapi",
    "outbound",
    "server",
    "storage",
    "telemetry",
    "transfer",
];

/// The first name of a path, or of each path of a group.
fn heads(rest: &str, into: &mut BTreeSet<String>) {
    let name = |text: &str| -> String {
        text.chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect()
    };
    let Some(group) = rest.strip_prefix('{') else {
        into.insert(name(rest));
        return;
    };
    let mut depth = 0;
    let mut begins = true;
    for (at, char) in group.char_indices() {
        if depth == 0 && begins && char != '}' {
            into.insert(name(&group[at..]));
        }
        begins = false;
        match char {
            '{' => depth += 1,
            '}' if depth == 0 => return,
            '}' => depth -= 1,
            ',' => begins = true,
            _ => {}
        }
    }
}

/// Leaves out comments, what stands within texts, and white space other than between two names.
fn code(text: &str) -> String {
    let mut rest = text;
    let mut kept = String::new();
    while let Some(char) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("r\"") || rest.starts_with("r#") {
            raw_text(rest)
        } else if char == '"' {
            quoted(rest, '"')
        } else if char == '\'' {
            character(rest)
        } else {
            let joins = |char: char| char.is_alphanumeric() || char == '_';
            if !char.is_whitespace() {
                kept.push(char);
            } else if kept.ends_with(joins) {
                kept.push(' ');
            }
            char.len_utf8()
        };
        rest = &rest[length..];
    }
    kept.replace(" :", ":").replace(" {", "{").replace(" (", "(")
}

/// The length of a raw text; of the `r` alone when it is none.
fn raw_text(rest: &str) -> usize {
    let hashes = rest[1..].chars().take_while(|char| *char == '#').count();
    let end = format!("\"{}", "#".repeat(hashes));
    let begin = 1 + hashes;
    if !rest[begin..].starts_with('"') {
        return 1;
    }
    rest[begin + 1..].find(&end).map_or(rest.len(), |at| begin + 1 + at + end.len())
}

/// The length of a text in quotes.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, char) in rest.char_indices().skip(1) {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            char if char == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of a character in quotes; of the quote alone before a lifetime.
fn character(rest: &str) -> usize {
    let mut chars = rest.chars().skip(1);
    match (chars.next(), chars.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => quoted(rest, '\''),
        _ => 1,
    }
}

#[test]
fn code_is_told_from_comments_and_texts() {
    let text = r###"
        //! use crate::storage;
        use crate::{domain::{Error, Owner}, auth};
        /* crate::api */ fn f<'a>(x: &'a str) { g("crate::server", r#"crate::"pb"#, '"', '\'', b"x"); crate :: config }
    "###;
    let source = Source { path: "src/domain/x.rs".into(), code: code(text) };
    let named: Vec<String> = source.floors_named().into_iter().collect();
    assert_eq!(named, ["auth", "config", "domain"]);
    assert!(source.names().contains("Owner"));
    assert_eq!(source.floor(), "domain");
}

#[test]
fn climbing_out_of_a_floor_is_noticed() {
    let reached = |path: &str, text: &str| {
        let source = Source { path: path.into(), code: code(text) };
        source.floors_named().into_iter().collect::<Vec<_>>()
    };
    assert_eq!(reached("src/domain/mod.rs", "use super::storage::Storage;"), ["storage"]);
    assert_eq!(reached("src/domain/x.rs", "use super::super::{api, x};"), ["api"]);
    assert!(reached("src/storage/x.rs", "use super::pool;").is_empty());
}
