//! Plans as PostgreSQL writes them to its log, and what they are made of.

use serde_json::Value;

/// One statement that was carried out, and how.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) statement: String,
    pub(super) root: Value,
}

/// What the log says when the service comes to a database that is ready for it.
pub(super) const READY: &str = "the tables are ready";

/// What `auto_explain` has written to the log of what the service did in this database since it was ready, as a primary's log
/// says; a standby has no such line, and nobody was there before. Each line of the log begins with
/// the application's name and the database; those that go on with an entry begin with a tab.
pub(super) fn planned(log: &str, database: &str) -> Vec<Planned> {
    let begins = format!("taskwire {database}|LOG:  duration:");
    let mut found = Vec::new();
    let ready = format!("{database}|LOG:  {READY}");
    let begin = log.find(&ready).unwrap_or_default();
    let mut lines = log[begin..].lines().peekable();
    while let Some(line) = lines.next() {
        if !line.starts_with(&begins) || !line.ends_with("plan:") {
            continue;
        }
        let mut text = String::new();
        while let Some(more) = lines.next_if(|line| line.starts_with('\t')) {
            text.push_str(more);
            text.push('\n');
        }
        let entry: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let statement = entry["Query Text"].as_str().unwrap();
        let statement = statement.split_whitespace().collect::<Vec<_>>().join(" ").replace('"', "");
        found.push(Planned { statement, root: entry["Plan"].clone() });
    }
    found
}

/// All nodes of a plan, each with the kind of the one above it.
pub(super) fn nodes(root: &Value) -> Vec<&Value> {
    let mut found = vec![root];
    for below in root["Plans"].as_array().into_iter().flatten() {
        found.extend(nodes(below));
    }
    found
}

/// What a node does.
pub(super) fn kind(node: &Value) -> &str {
    node["Node Type"].as_str().unwrap()
}

/// The nodes that read a table of many rows.
pub(super) fn scans(root: &Value) -> Vec<&Value> {
    nodes(root)
        .into_iter()
        .filter(|node| {
            node["Relation Name"].is_string()
                && node["Relation Name"] != "database_state"
                && kind(node) != "ModifyTable"
        })
        .collect()
}
