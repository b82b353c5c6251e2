//! `taskwire check`: whether what has to hold in the database does.

use super::database::prepare_schema;
use super::outcome::{Failure, Outcome, say};
use crate::storage::{FINDINGS_MAX, Finding, Findings, Storage};

/// Looks, and says what is wrong.
pub(super) async fn run(storage: &Storage, json: bool) -> Outcome {
    prepare_schema(storage, false).await?;
    let findings = storage.check().await.map_err(Failure::new)?;
    if json {
        return say_json(&findings);
    }
    if findings.is_sound() {
        let users = counted(findings.users, "user");
        let rows = findings.rows;
        return say(&format!(
            "the database is sound: {users}, {rows} tasks and lists, their changes and events"
        ));
    }
    let mut lines = Vec::new();
    for (invariant, count) in &findings.counts {
        let of_kind = findings.found.iter().filter(|finding| finding.invariant == *invariant);
        lines.extend(of_kind.map(line));
        if *count > FINDINGS_MAX {
            lines.push(format!("and {} more of this kind", count - FINDINGS_MAX));
        }
        lines.push(format!("to mend ({}): {}", invariant.name(), invariant.mend()));
    }
    let all: u64 = findings.counts.values().sum();
    lines.push(format!("the database is not sound: {}", counted(all, "finding")));
    Err(Failure::lines(lines))
}

/// So many of a thing, in words.
fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

fn line(Finding { invariant, table, key, problem }: &Finding) -> String {
    format!("{}: {table} {key}: {problem}", invariant.name())
}

/// A line for each finding, and one for all of them.
fn say_json(findings: &Findings) -> Outcome {
    for finding in &findings.found {
        let Finding { invariant, table, key, problem } = finding;
        let line = serde_json::json!({
            "invariant": invariant.name(), "table": table, "key": key, "problem": problem, "mend": invariant.mend(),
        });
        say(&line.to_string())?;
    }
    let counts: serde_json::Map<String, serde_json::Value> = findings
        .counts
        .iter()
        .map(|(invariant, count)| (invariant.name().to_owned(), (*count).into()))
        .collect();
    let summary = serde_json::json!({
        "sound": findings.is_sound(), "users": findings.users, "rows": findings.rows, "findings": counts,
    });
    say(&summary.to_string())?;
    if findings.is_sound() { Ok(()) } else { Err(Failure::lines(["the database is not sound".to_owned()])) }
}
