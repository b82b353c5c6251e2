//! What reaches the reader: columns that stand below each other, and nothing that steers a terminal.

use serde_json::Value;

use super::World;
use crate::support::database::TestDatabase;
use crate::support::one_engine;
use crate::support::process::{Running, Sandbox};

one_engine!(Sqlite: columns_stand_below_each_other, nothing_steers_the_terminal, an_output_that_is_full_is_a_failure);

/// How many columns a terminal gives to a text, said for these texts alone.
fn columns(text: &str) -> usize {
    let of = |char: char| match char {
        '\u{301}' => 0,
        '日' | '本' | '語' | 'の' | '銀' | '行' | '🏦' => 2,
        _ => 1,
    };
    text.chars().map(of).sum()
}

async fn columns_stand_below_each_other(database: TestDatabase) {
    let world = World::start(database).await;
    let titles = ["Milk", "日本語の銀行 🏦", "cafe\u{301}", "Straße"];
    for title in titles {
        world.answer(&["task", "add", title, "-l", "here"]);
    }
    world.answer(&["task", "add", "Due", "--due", "2026-12-01T09:30:00Z"]);
    let table = world.told(&["task", "list"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 6, "{table}");
    assert_eq!(lines[0], "ID        DONE  PRIORITY  DUE               TITLE            LABELS");
    for line in &lines[2..] {
        let (before, _) = line.split_once("here").unwrap();
        assert_eq!(columns(before), lines[0].find("LABELS").unwrap(), "{table}");
    }
    assert!(lines[1].contains("  2026-12-01 09:30  Due"), "{table}");
    assert!(lines.iter().all(|line| line.trim_end() == *line), "{table:?}");
}

async fn nothing_steers_the_terminal(database: TestDatabase) {
    let world = World::start(database).await;
    let id = world.add("Milk");
    // The service takes no control characters; another program on the same database, or another service, may.
    let evil = "\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}klim\r\u{7f}";
    world
        .database
        .execute(&format!("update tasks set title = '{evil}', description = '{evil}\n{evil}'"))
        .await;
    let label = world.run(["task", "add", "Bread", "-l", "\u{202e}tfel"]);
    assert_eq!(label.status, Some(0), "{}", label.stderr);
    let steers = |char: &char| char.is_control() && *char != '\n' || ('\u{202a}'..='\u{202e}').contains(char);
    for arguments in [
        &["task", "list", "--table"][..],
        &["task", "list", "--json"],
        &["task", "show", &id, "--table"],
        &["task", "show", &id, "--json"],
        &["task", "done", &id, "--table"],
        &["task", "rm", &id, "--table"],
        &["task", "list", "--deleted", "--table"],
        &["task", "undo", "--table"],
    ] {
        let ended = world.run(arguments);
        assert_eq!(ended.status, Some(0), "{arguments:?}: {}", ended.stderr);
        let raw: Vec<char> = ended.stdout.chars().filter(steers).collect();
        assert!(raw.is_empty(), "{arguments:?}: {raw:?} in {:?}", ended.stdout);
        assert!(ended.stdout.contains("owned"), "{arguments:?}: {}", ended.stdout);
    }
    // For programs it is the same text all the same.
    let told = world.answer(&["task", "show", &id]);
    assert_eq!(told["title"], evil);
    assert!(world.told(&["task", "show", &id]).contains("\\u{1b}]0;owned\\u{7}\\u{9b}31m\\u{202e}klim"));
    // What was typed comes back in a complaint.
    let complaint = world.run(["task", "done", "\u{1b}[31m\u{9b}"]);
    assert!(complaint.complaints()[0].starts_with("\\u{1b}[31m\\u{9b}: "), "{:?}", complaint.stderr);
}

async fn an_output_that_is_full_is_a_failure(database: TestDatabase) {
    let world = World::start(database).await;
    world.add("Milk");
    let mut command =
        super::at_home(world.sandbox.shell(r#"exec "$0" "$@" >/dev/full"#), &world.sandbox, &world.address());
    command.args(["task", "list"]);
    let ended = Running::spawn(command).end();
    assert_eq!(ended.status, Some(1));
    assert!(ended.complaints()[0].starts_with("cannot write the result: "), "{}", ended.stderr);
}

#[test]
fn the_formats_are_named_in_the_help() {
    let help = Sandbox::new().run(["task", "list", "--help"]).stdout;
    for flag in ["--json", "--table", "--address", "--ca-file"] {
        assert!(help.contains(flag), "{flag}: {help}");
    }
    let none: Result<Value, _> = serde_json::from_str(&help);
    assert!(none.is_err());
}
