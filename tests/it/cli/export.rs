//! `taskwire user export`: everything of one's own account, in a file that is whole or not there.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use super::World;
use crate::support::database::TestDatabase;
use crate::support::{both_engines, one_engine};

both_engines!(everything_is_in_a_file);
one_engine!(Sqlite: what_cannot_be_exported_is_said);

async fn everything_is_in_a_file(database: TestDatabase) {
    let world = World::start(database).await;
    world.add("Buy milk");
    let file = world.sandbox.path("mine.jsonl");
    let ended = world.run(["user", "export", file.to_str().unwrap()]);
    assert_eq!((ended.status, ended.stdout.as_str()), (Some(0), ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("mine.jsonl"), "{}", ended.stderr);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines[0]["export"]["user"].is_string() && lines.last().unwrap()["end"]["tasks"] == "1");
    assert!(lines.iter().any(|line| line["task"]["title"] == "Buy milk"));
    // The same on standard output, but for this export itself.
    let printed = world.answers(&["user", "export", "-"]);
    let tasks =
        |lines: &[Value]| lines.iter().filter(|line| !line["task"].is_null()).cloned().collect::<Vec<_>>();
    assert_eq!(tasks(&printed), tasks(&lines));
    // What is there stays, unless it may go.
    let again = world.run(["user", "export", file.to_str().unwrap()]);
    assert_eq!(again.status, Some(1), "{}", again.stderr);
    assert!(again.stderr.contains("--force"), "{}", again.stderr);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    let again = world.run(["user", "export", "--force", file.to_str().unwrap()]);
    assert_eq!(again.status, Some(0), "{}", again.stderr);
    assert_ne!(std::fs::read_to_string(&file).unwrap(), text);
    assert!(!world.sandbox.path("mine.jsonl.partial").exists());
}

async fn what_cannot_be_exported_is_said(database: TestDatabase) {
    let world = World::new(database, &[]).await;
    let file = world.sandbox.path("mine.jsonl");
    let ended = world.run(["user", "export", file.to_str().unwrap()]);
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("nobody is logged in"), "{}", ended.stderr);
    let ended =
        world.run_with(&["user", "export", file.to_str().unwrap()], &[("TASKWIRE_API_KEY", "twk_no")]);
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("TASKWIRE_API_KEY"), "{}", ended.stderr);
    assert!(!file.exists() && !world.sandbox.path("mine.jsonl.partial").exists());
}
