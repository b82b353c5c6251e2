//! The arrows of the architecture, and the few rules that every file keeps.

use std::collections::BTreeSet;

use super::source::{FLOORS, Source};
use super::{files, root, shown};

/// What each floor may name of this crate. `docs/ARCHITECTURE.md` says why.
const ARROWS: [(&str, &[&str]); 15] = [
    ("domain", &["domain"]),
    ("methods", &["domain", "methods"]),
    ("storage", &["domain", "storage"]),
    ("auth", &["auth", "domain", "methods", "storage"]),
    ("outbound", &["auth", "domain", "outbound", "storage"]),
    ("accounts", &["accounts", "auth", "domain", "outbound", "storage"]),
    ("api", &["accounts", "api", "auth", "domain", "interchange", "outbound", "pb", "storage"]),
    ("server", &["accounts", "api", "auth", "domain", "methods", "outbound", "pb", "server", "storage"]),
    ("openapi", &["domain", "methods", "openapi", "pb"]),
    (
        "config",
        &["accounts", "api", "auth", "config", "domain", "outbound", "server", "storage", "telemetry"],
    ),
    ("telemetry", &["server", "telemetry"]),
    ("transfer", &["transfer"]),
    ("interchange", &["domain", "interchange", "pb"]),
    ("cli", &["cli", "config", "interchange", "server"]),
    (
        "commands",
        &[
            "accounts",
            "auth",
            "cli",
            "client",
            "commands",
            "config",
            "domain",
            "interchange",
            "openapi",
            "outbound",
            "pb",
            "server",
            "storage",
            "telemetry",
            "transfer",
        ],
    ),
];

/// Crates that a floor does not name, by the first letters of their names.
const FOREIGN: [(&str, &[&str]); 8] = [
    ("domain", &["tonic", "prost", "diesel", "http", "tokio"]),
    ("storage", &["tonic", "prost"]),
    ("auth", &["tonic", "prost", "diesel"]),
    ("outbound", &["tonic", "prost", "diesel"]),
    ("accounts", &["tonic", "prost", "diesel"]),
    ("api", &["diesel", "tokio_postgres"]),
    ("transfer", &["tonic", "prost", "diesel", "tokio_postgres"]),
    ("interchange", &["tonic", "diesel", "tokio", "clap"]),
];

#[test]
fn floors_name_only_what_lies_further_in() {
    let mut wrong = Vec::new();
    for source in Source::all() {
        if ["lib", "main"].contains(&source.floor()) {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(floor, _)| *floor == source.floor()) else {
            wrong.push(format!("{} has no arrows", source.path));
            continue;
        };
        for named in source.floors_named() {
            if !allowed.contains(&named.as_str()) {
                wrong.push(format!("{} names crate::{named}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn floors_do_not_name_the_crates_of_other_floors() {
    let mut wrong = Vec::new();
    for source in Source::all() {
        for (floor, crates) in FOREIGN {
            for name in source.names() {
                if source.floor() == floor && crates.iter().any(|begin| name.starts_with(begin)) {
                    wrong.push(format!("{} names {name}", source.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_storage_names_diesel() {
    let named: Vec<String> = Source::all()
        .into_iter()
        .filter(|source| source.floor() != "storage")
        .filter(|source| source.names().iter().any(|name| name.starts_with("diesel")))
        .map(|source| source.path)
        .collect();
    assert!(named.is_empty(), "{named:?} name diesel");
}

#[test]
fn the_domain_does_no_input_or_output() {
    const WAYS: [&str; 7] =
        ["std::fs", "std::net", "std::io", "std::env", "std::process", "std::thread", "tracing::"];
    for source in Source::all() {
        for way in WAYS {
            let found = source.floor() == "domain" && source.code.contains(way);
            assert!(!found, "{} names {way}", source.path);
        }
    }
}

#[test]
fn only_auth_makes_an_owner() {
    let makers: Vec<String> = Source::all()
        .into_iter()
        // What a unit test makes reaches nobody's data.
        .filter(|source| source.code.split("#[cfg(test)]").next().unwrap().contains("vouched_for"))
        .map(|source| source.path)
        .filter(|path| !path.starts_with("src/auth/") && path != "src/domain/owner.rs")
        .collect();
    assert!(makers.is_empty(), "{makers:?} name Owner::vouched_for");
    let constructor = Source::all().into_iter().find(|source| source.path == "src/domain/owner.rs").unwrap();
    // The tuple's field is private, and there is one way to fill it.
    assert!(constructor.code.contains("pub struct Owner(UserId)"));
    assert_eq!(constructor.code.matches("->Self").count(), 1);
}

#[test]
fn the_scan_knows_every_floor() {
    let found: BTreeSet<String> = Source::all()
        .iter()
        .map(|source| source.floor().to_owned())
        .filter(|floor| !["lib", "main"].contains(&floor.as_str()))
        .collect();
    assert_eq!(found, FLOORS.map(String::from).into_iter().collect());
}

#[test]
fn every_file_opens_with_its_header_and_is_short() {
    let mut wrong = Vec::new();
    for path in [files("src", "rs"), files("crates", "rs"), files("tests", "rs")].concat() {
        let text = std::fs::read_to_string(&path).unwrap();
        if !text.starts_with("//! ") {
            wrong.push(format!("{} has no header", shown(&path)));
        }
        let lines = text.lines().count();
        if lines >= 500 {
            wrong.push(format!("{} has {lines} lines", shown(&path)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn both_engines_have_the_same_migrations() {
    let names = |engine: &str| -> Vec<String> {
        let directory = root().join("migrations").join(engine);
        let mut names: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("postgres"), names("sqlite"));
    assert!(!names("sqlite").is_empty());
    for engine in ["postgres", "sqlite"] {
        for name in names(engine) {
            for file in ["up.sql", "down.sql"] {
                let path = root().join("migrations").join(engine).join(&name).join(file);
                assert!(path.is_file(), "{} is missing", shown(&path));
            }
        }
    }
}
