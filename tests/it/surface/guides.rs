//! The documents for whoever changes the code, held against it.

use std::collections::BTreeSet;

use super::{files, root, shown};

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// What stands between backquotes and looks like a path of this project.
fn paths(text: &str) -> BTreeSet<String> {
    let tops = ["src/", "crates/", "proto/", "migrations/", "docs/", "deploy/", "examples/", "tests/"];
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|path| tops.iter().any(|top| path.starts_with(top))).map(str::to_owned).collect()
}

fn section<'a>(text: &'a str, title: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("\n## {title}\n")).unwrap();
    rest.split("\n## ").next().unwrap()
}

#[test]
fn what_the_lists_name_is_there() {
    let mut named = paths(&read("docs/CHANGING.md"));
    named.extend(paths(&read("docs/GLOSSARY.md")));
    assert!(named.len() > 20, "{named:?}");
    let missing: Vec<&String> = named.iter().filter(|path| !root().join(path).exists()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// `due_time` can be written, filtered and ordered by: wherever it stands, a new field of that kind has to.
#[test]
fn the_list_for_a_field_names_every_file_that_a_field_stands_in() {
    let stands_in = |text: &str| {
        // To tests within a file the compiler leads.
        let code = text.split("#[cfg(test)]").next().unwrap();
        let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        code.into_iter().any(|line| line.contains("due_time") || line.contains("DueTime"))
    };
    let found: BTreeSet<String> = [files("src", "rs"), files("crates", "rs"), files("proto", "proto")]
        .concat()
        .into_iter()
        .filter(|path| stands_in(&std::fs::read_to_string(path).unwrap()))
        .map(|path| shown(&path))
        .collect();
    let changing = read("docs/CHANGING.md");
    let listed = paths(section(&changing, "A field of a task"));
    let missing: Vec<&String> = found.difference(&listed).collect();
    assert!(missing.is_empty(), "{missing:?} are not in the list");
    let sources =
        listed.iter().filter(|path| path.starts_with("src/") && path.as_str() != "src/openapi/limits.rs");
    let surplus: Vec<&String> = sources.filter(|path| !found.contains(*path)).collect();
    assert!(surplus.is_empty(), "{surplus:?} know no field");
}

#[test]
fn every_decision_is_in_the_index() {
    let index = read("docs/decisions/README.md");
    let mut count = 0;
    for path in files("docs/decisions", "md") {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name == "README.md" {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let number = &name[..4];
        let title = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("# {number}. ")))
            .unwrap_or_else(|| panic!("{name} has no title that begins with its number"));
        assert!(index.contains(&format!("| [{number}]({name}) | {title} | ")), "{name} is not in the index");
        assert!(!text.contains("FIGURE"), "{name} waits for a figure");
        count += 1;
    }
    assert_eq!(index.lines().filter(|line| line.starts_with("| [")).count(), count);
}

#[test]
fn every_folder_of_tests_is_told() {
    let told = read("tests/README.md");
    for entry in std::fs::read_dir(root().join("tests/it")).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            let name = entry.file_name().into_string().unwrap();
            assert!(told.contains(&format!("`it/{name}`")), "tests/README.md says nothing of {name}");
        }
    }
}
