//! `.env.example` and docs/OPERATIONS.md say of every setting what the program does.

use std::collections::BTreeMap;

use crate::support::process::{Running, Sandbox};
use crate::surface::root;

/// The settings and what they are without any being set; those without a value are not printed.
fn defaults() -> BTreeMap<String, String> {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command();
    command.args(["config", "print"]).env_remove("TASKWIRE_ADMIN_LISTEN");
    let printed = Running::spawn(command).end().stdout;
    printed
        .lines()
        .map(|line| line.split_once('=').unwrap())
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}

/// Every variable that the help of `serve` names.
fn variables() -> Vec<String> {
    let help = Sandbox::new().run(["serve", "--help"]).stdout;
    let mut names: Vec<String> =
        help.split("[env: ").skip(1).map(|rest| rest.split(['=', ']']).next().unwrap().to_owned()).collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn the_example_names_every_variable_with_its_default() {
    let text = std::fs::read_to_string(root().join(".env.example")).unwrap();
    let mut lines: BTreeMap<String, String> = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("#TASKWIRE_")) {
        let (name, value) = line.split_once('=').unwrap();
        assert!(lines.insert(format!("TASKWIRE_{name}"), value.to_owned()).is_none(), "{name} stands twice");
    }
    let names: Vec<String> = lines.keys().cloned().collect();
    assert_eq!(names, variables());
    let defaults = defaults();
    for (name, value) in &lines {
        // Without a default the example shows what one might write.
        if let Some(default) = defaults.get(name).filter(|default| !default.is_empty()) {
            assert_eq!(value, default, "{name}");
        }
    }
}

#[test]
fn the_table_names_every_variable_with_its_default() {
    let text = std::fs::read_to_string(root().join("docs/OPERATIONS.md")).unwrap();
    let rows: BTreeMap<String, String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `TASKWIRE_"))
        .map(|line| {
            let mut cells = line.split(" | ");
            let name = cells.next().unwrap().trim_end_matches('`');
            (format!("TASKWIRE_{name}"), cells.next().unwrap().to_owned())
        })
        .collect();
    let names: Vec<String> = rows.keys().cloned().collect();
    assert_eq!(names, variables());
    let defaults = defaults();
    for (name, cell) in &rows {
        // What follows from another setting is told in words.
        if let (Some(default), Some(told)) = (defaults.get(name), cell.strip_prefix('`')) {
            let told = told.trim_end_matches('`').replace("DATA_DIR", "taskwire-data");
            assert_eq!(&told, default, "{name}");
        } else {
            assert!(["none", "by open files"].contains(&cell.as_str()), "{name}: {cell}");
        }
    }
}

#[test]
fn the_file_that_is_shown_is_a_good_one() {
    let text = std::fs::read_to_string(root().join("docs/OPERATIONS.md")).unwrap();
    let (_, rest) = text.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let sandbox = Sandbox::new();
    let file = sandbox.write("taskwire.toml", example);
    let ended = sandbox.run(["config", "check", "--config", &file]);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
}

#[test]
fn the_reasons_of_readiness_are_told() {
    let text = std::fs::read_to_string(root().join("docs/OPERATIONS.md")).unwrap();
    let source = std::fs::read_to_string(root().join("src/server/operator/readiness.rs")).unwrap();
    let reasons: Vec<&str> = source
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|text| text.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .collect();
    assert_eq!(reasons.len(), 5, "{reasons:?}");
    for reason in reasons {
        assert!(text.contains(&format!("`{reason}`")), "{reason}");
    }
}
