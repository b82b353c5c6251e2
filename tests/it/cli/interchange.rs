//! Tasks as files: out of one account and into another, and in from the files of other products.

use serde_json::{Value, json};

use super::{World, short};
use crate::interchange::{google, microsoft, todoist, vikunja};
use crate::support::database::TestDatabase;
use crate::support::process::Ended;
use crate::support::{both_engines, one_engine};

both_engines!(
    an_export_is_imported_into_another_account,
    a_dry_run_writes_nothing,
    files_of_four_products_are_imported,
    what_is_there_already_stays_or_is_overwritten,
);
one_engine!(Sqlite: what_is_no_file_of_tasks_is_said, a_file_that_is_there_is_not_replaced, all_goes_into_one_list);

/// Two lists, and tasks with all that they can have.
fn fill(world: &World) {
    world.answer(&["list", "add", "Groceries"]);
    world.answer(&["list", "add", "=Empty"]);
    let milk = world.answer(&[
        "task",
        "add",
        "Milk",
        "--list",
        "Groceries",
        "--label",
        "home, near",
        "--label",
        "shop",
    ]);
    world.answer(&["task", "add", "Oat milk", "--parent", &short(&milk)]);
    world.answer(&[
        "task",
        "add",
        "=1+1; \"quoted\", and\\more",
        "--priority",
        "high",
        "--due",
        "2027-03-01T09:30:00Z",
    ]);
    world.answer(&["task", "add", "Plants", "--every", "2 weeks on monday", "--due", "2027-03-01"]);
    let done = world.answer(&["task", "add", "Done", "--description", "One\nTwo", "--start", "2026-01-01"]);
    world.answers(&["task", "done", &short(&done)]);
    world.add("Last");
}

/// What of an account must be the same in another one.
fn content(world: &World) -> (Vec<Value>, Vec<Value>) {
    let ended = world.run(["task", "export"]);
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
    let (mut lists, mut tasks) = (Vec::new(), Vec::new());
    for line in ended.stdout.lines() {
        let mut line: Value = serde_json::from_str(line).unwrap();
        for (kind, into) in [("taskList", &mut lists), ("task", &mut tasks)] {
            if let Some(fields) = line.get_mut(kind).and_then(Value::as_object_mut) {
                for own in ["position", "revision", "etag", "createTime", "updateTime", "completeTime"] {
                    fields.remove(own);
                }
                for name in ["name", "taskList", "parentTask"] {
                    if let Some(value) = fields.get_mut(name) {
                        *value = json!(value.as_str().unwrap().rsplit('/').next().unwrap());
                    }
                }
                into.push(json!(fields));
            }
        }
    }
    (lists, tasks)
}

/// How many of each there were, as the report ends with.
fn summary(ended: &Ended) -> Value {
    let last = ended.stdout.lines().last().unwrap_or_else(|| panic!("{}", ended.stderr));
    serde_json::from_str::<Value>(last).unwrap()["summary"].clone()
}

/// The lines of the report.
fn report(ended: &Ended) -> Vec<Value> {
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn revision(world: &World) -> Value {
    world.answer(&["whoami"])["revision"].clone()
}

async fn an_export_is_imported_into_another_account(database: TestDatabase) {
    let world = World::start(database).await;
    fill(&world);
    let (lists, tasks) = content(&world);
    assert_eq!((lists.len(), tasks.len()), (2, 6));
    for file in ["tasks.jsonl", "tasks.csv", "tasks.ics"] {
        let ended = world.run(["task", "export", "-o", &world.sandbox.text(file)]);
        assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""), "{file}");
    }
    for (file, email) in
        [("tasks.jsonl", "a@example.com"), ("tasks.csv", "b@example.com"), ("tasks.ics", "c@example.com")]
    {
        world.register(email);
        let path = world.sandbox.text(file);
        let ended = world.run(["task", "import", &path]);
        assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""), "{file}: {}", ended.stdout);
        // An empty list is in no calendar.
        let list_count = if file == "tasks.ics" { 1 } else { 2 };
        assert_eq!(summary(&ended)["created"], json!(6 + list_count), "{file}: {}", ended.stdout);
        let (found_lists, found) = content(&world);
        assert_eq!(found_lists, lists[..list_count], "{file}");
        assert_eq!(found, tasks, "{file}");
        // The same again changes nothing.
        let before = revision(&world);
        let ended = world.run(["task", "import", &path, "--overwrite"]);
        assert_eq!(summary(&ended)["unchanged"], json!(6 + list_count), "{file}: {}", ended.stdout);
        assert_eq!(revision(&world), before, "{file}");
    }
}

async fn a_dry_run_writes_nothing(database: TestDatabase) {
    let world = World::start(database).await;
    fill(&world);
    let path = world.sandbox.text("tasks.csv");
    assert_eq!(world.run(["task", "export", "--format", "csv", "-o", &path]).status, Some(0));
    world.register("bob@example.com");
    let before = revision(&world);
    let ended = world.run(["task", "import", &path, "--dry-run"]);
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
    let told = summary(&ended);
    assert_eq!((&told["created"], &told["dry_run"]), (&json!(8), &json!(true)), "{}", ended.stdout);
    assert_eq!(revision(&world), before);
    assert_eq!(content(&world), (Vec::new(), Vec::new()));
    let told = world.told(&["task", "import", &path, "--dry-run"]);
    assert!(
        told.lines().last().unwrap().starts_with("Nothing was changed; it would be: 8 created, 0 unchanged"),
        "{told}"
    );
    assert!(told.starts_with("line 2: created users/"), "{told}");
}

async fn files_of_four_products_are_imported(database: TestDatabase) {
    let world = World::start(database).await;
    for (name, text, created, refused, said) in [
        (
            "Tasks.json",
            google::FILE,
            4,
            6,
            json!({"field": "items[0].items[5].due", "rule": "must be a time of RFC 3339"}),
        ),
        (
            "Home [22].csv",
            todoist::FILE,
            9,
            4,
            json!({"field": "PRIORITY", "rule": "must be a number from 1 to 4"}),
        ),
        (
            "todo.json",
            microsoft::FILE,
            5,
            3,
            json!({"field": "value[0].tasks[4].status",
            "rule": "must be notStarted, inProgress, completed, waitingOnOthers or deferred"}),
        ),
        (
            "data.json",
            vikunja::FILE,
            7,
            4,
            json!({"field": "[0].tasks[3].due_date", "rule": "must be a time of RFC 3339"}),
        ),
    ] {
        let path = world.sandbox.write(name, text);
        let ended = world.run(["task", "import", &path]);
        let told = summary(&ended);
        assert_eq!(
            (&told["created"], &told["refused"]),
            (&json!(created), &json!(refused)),
            "{name}: {}",
            ended.stdout
        );
        assert_eq!(ended.status, Some(1), "{name}");
        assert_eq!(ended.stderr, format!("taskwire: {refused} of the file were refused"));
        let lines = report(&ended);
        assert!(lines.iter().any(|line| line["violations"] == json!([said])), "{name}: {lines:#?}");
        assert!(
            lines.iter().any(|line| line["notes"].as_array().is_some_and(|notes| !notes.is_empty())),
            "{name}"
        );
        let before = revision(&world);
        let again = world.run(["task", "import", &path]);
        let told = summary(&again);
        assert_eq!(
            (&told["created"], &told["unchanged"]),
            (&json!(0), &json!(created)),
            "{name}: {}",
            again.stdout
        );
        assert_eq!(revision(&world), before, "{name}");
    }
    let lists: Vec<Value> = world.answers(&["list", "show"]);
    let titles: Vec<&str> = lists.iter().map(|list| list["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["My Tasks", "Shopping", "Home", "Tasks", "House", "Cellar"]);
    assert!(world.titles(&["--list", "House", "--all"]).contains(&"Water the plants".to_owned()));
}

async fn what_is_there_already_stays_or_is_overwritten(database: TestDatabase) {
    let world = World::start(database).await;
    let id = "0198c5a4-7d3e-7c41-9b1f-2f6d8a5e4c10";
    let line =
        |title: &str| format!("{{\"task\":{{\"name\":\"users/me/tasks/{id}\",\"title\":\"{title}\"}}}}\n");
    let first = world.sandbox.write("first.jsonl", &line("First"));
    let second = world.sandbox.write("second.jsonl", &line("Second"));
    assert_eq!(summary(&world.run(["task", "import", &first]))["created"], json!(1));
    let ended = world.run(["task", "import", &second]);
    assert_eq!((ended.status, &summary(&ended)["skipped"]), (Some(0), &json!(1)));
    assert_eq!(world.titles(&[]), ["First"]);
    let ended = world.run(["task", "import", &second, "--overwrite"]);
    assert_eq!(summary(&ended)["overwritten"], json!(1));
    assert_eq!(world.titles(&[]), ["Second"]);
    // What the service refuses is told by its line, and does not keep the rest from being taken.
    let other = "0198c5a4-7d3e-7c41-9b1f-2f6d8a5e4c11";
    let mixed = format!("{}{}", line(&"x".repeat(201)), line("Third").replace(id, other));
    let ended = world.run(["task", "import", &world.sandbox.write("mixed.jsonl", &mixed), "--table"]);
    assert_eq!(ended.status, Some(1));
    assert!(ended.stdout.starts_with("line 1: refused"), "{}", ended.stdout);
    assert!(ended.stdout.contains("title must have at most 200 characters"), "{}", ended.stdout);
    assert!(ended.stdout.contains("line 2: created users/"), "{}", ended.stdout);
}

async fn all_goes_into_one_list(database: TestDatabase) {
    let world = World::start(database).await;
    let path = world.sandbox.write("Tasks.json", google::FILE);
    world.run(["task", "import", &path, "--list", "Inbox"]);
    assert_eq!(world.answers(&["list", "show"]).len(), 1);
    assert_eq!(world.titles(&["--list", "Inbox", "--all"]).len(), 2);
    // A list that is there is taken.
    let csv = "title,parent\nWalk,\n";
    let ended = world.typed(&["task", "import", "-", "--list", "inbox"], csv);
    assert_eq!((ended.status, &summary(&ended)["created"]), (Some(0), &json!(1)), "{}", ended.stderr);
    assert_eq!(world.answers(&["list", "show"]).len(), 1);
}

async fn what_is_no_file_of_tasks_is_said(database: TestDatabase) {
    let world = World::start(database).await;
    for (text, why) in [
        ("", "is empty"),
        ("PK\u{3}\u{4}...", "is a zip archive: unzip it first"),
        ("Dear diary", "is of no format that is known by its beginning: name it with --from"),
    ] {
        let path = world.sandbox.write("file", text);
        let ended = world.run(["task", "import", &path]);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""));
        assert!(ended.stderr.contains(why), "{}", ended.stderr);
    }
    let path = world.sandbox.write("file", "{\"kind\":\"drive#file\"}");
    let ended = world.run(["task", "import", &path, "--from", "google"]);
    assert!(ended.stderr.contains("is no Tasks.json of Google Takeout"), "{}", ended.stderr);
    let ended = world.run(["task", "import", "missing.csv"]);
    assert!(ended.stderr.starts_with("taskwire: missing.csv: No such file"), "{}", ended.stderr);
    assert_eq!(world.run(["task", "import", "x", "--from", "wunderlist"]).status, Some(64));
    assert_eq!(content(&world), (Vec::new(), Vec::new()));
}

async fn a_file_that_is_there_is_not_replaced(database: TestDatabase) {
    let world = World::start(database).await;
    let path = world.sandbox.write("tasks.csv", "mine");
    let ended = world.run(["task", "export", "-o", &path]);
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("is there already; --replace replaces it"), "{}", ended.stderr);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    assert_eq!(world.run(["task", "export", "-o", &path, "--replace"]).status, Some(0));
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("kind,id,title"));
}
