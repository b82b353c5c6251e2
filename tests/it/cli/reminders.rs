//! Reminders of a task, as people type them and read them.

use serde_json::{Value, json};

use super::{World, short};
use crate::support::database::TestDatabase;
use crate::support::{both_engines, one_engine};

both_engines!(reminders_are_kept_as_they_were_typed);
one_engine!(Sqlite: what_is_no_reminder_is_refused);

async fn reminders_are_kept_as_they_were_typed(database: TestDatabase) {
    let world = World::start(database).await;
    let due = ["--due", "2099-12-24T10:00"];
    let add = [&["task", "add", "Train"][..], &due, &["--remind", "1d", "--remind", "1h30m"]].concat();
    let added = world.answer(&add);
    assert_eq!(added["reminders"], json!([{ "offset": "86400s" }, { "offset": "5400s" }]));
    let id = short(&added);
    let shown = world.run(["task", "show", &id, "--table"]).stdout;
    assert!(shown.contains("Reminders:   1d before it is due, 1h30m before it is due\n"), "{shown}");
    let listed = world.run(["task", "list", "--table"]).stdout;
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines[0].contains("  REMIND ") && lines[1].contains("  1d +1 "), "{listed}");

    // Times by the clock of this machine; what is given replaces all that was there.
    let edited = world.answer(&["task", "edit", &id, "--remind", "2099-12-24T09:00"]);
    assert_eq!(edited["reminders"], json!([{ "time": "2099-12-24T09:00:00Z" }]));
    assert_eq!(edited["dueTime"], added["dueTime"]);
    let shown = world.run(["task", "show", &id, "--table"]).stdout;
    assert!(shown.contains("Reminders:   2099-12-24 09:00\n"), "{shown}");
    let kept = world.answer(&["task", "edit", &id, "--title", "Fast train"]);
    assert_eq!(kept["reminders"], edited["reminders"]);
    let at_due = world.answer(&["task", "edit", &id, "--remind", "0m"]);
    assert_eq!(at_due["reminders"], json!([{ "offset": "0s" }]));
    let shown = world.run(["task", "show", &id, "--table"]).stdout;
    assert!(shown.contains("Reminders:   when it is due\n"), "{shown}");
    let cleared = world.answer(&["task", "edit", &id, "--remind", "none"]);
    assert_eq!(cleared["reminders"], Value::Null);
    let listed = world.run(["task", "list", "--table"]).stdout;
    assert!(!listed.contains("REMIND"), "{listed}");
    assert!(!world.run(["task", "show", &id, "--table"]).stdout.contains("Reminders"));
}

async fn what_is_no_reminder_is_refused(database: TestDatabase) {
    let world = World::start(database).await;
    for (given, words) in [
        (&["--remind", "soon"][..], "so long before the task is due (30m, 1h, 2d, 1w, 1h30m, or 0m)"),
        (&["--remind", "2099-12-24"], "2026-12-24T09:00"),
        (&["--remind", "none", "--remind", "1h"], "--remind none: must stand alone"),
        // Rules of the service, which names the field.
        (&["--remind", "1h"], "task.reminders"),
        (&["--due", "2099-12-24", "--remind", "367d"], "task.reminders"),
    ] {
        let ended = world.run([&["task", "add", "Train"][..], given].concat());
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(64), ""), "{given:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{given:?}: {}", ended.stderr);
    }
}
