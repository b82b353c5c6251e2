//! Add, show, complete, edit, delete, restore and undo tasks.

use serde_json::{Value, json};

use super::{World, short};
use crate::support::database::TestDatabase;
use crate::support::{both_engines, one_engine};

both_engines!(
    a_task_is_kept_as_it_was_typed,
    a_task_goes_back_to_an_earlier_change,
    the_last_change_is_undone
);
one_engine!(Sqlite: several_at_once, a_piece_of_an_id_is_enough, due_dates_as_people_write_them);
one_engine!(Sqlite: what_breaks_a_rule_is_named, tasks_come_again);

async fn a_task_is_kept_as_it_was_typed(database: TestDatabase) {
    let world = World::start(database).await;
    let added = world.answer(&[
        "task",
        "add",
        "Straße",
        "日本語",
        "🏦",
        "-d",
        "one\n\ttwo",
        "-p",
        "high",
        "--due",
        "2026-12-01T09:30:00+01:00",
        "-l",
        "home",
        "--label",
        "phone",
    ]);
    let expected = json!({
        "title": "Straße 日本語 🏦", "description": "one\n\ttwo", "priority": "PRIORITY_HIGH",
        "dueTime": "2026-12-01T08:30:00Z", "labels": ["home", "phone"], "revision": "1",
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&added[name], value, "{name}");
    }
    let id = short(&added);
    assert_eq!(world.answer(&["task", "show", &id]), added);

    let edited = world.answer(&[
        "task",
        "edit",
        &id,
        "--title",
        "Bank",
        "--due",
        "2027-01-02",
        "-l",
        "money",
        "-p",
        "low",
    ]);
    assert_eq!(edited["title"], "Bank");
    assert_eq!(edited["dueDate"], json!({ "year": 2027, "month": 1, "day": 2 }));
    assert_eq!((&edited["dueTime"], &edited["labels"]), (&Value::Null, &json!(["money"])));
    assert_eq!(edited["description"], added["description"], "what was not named has changed");
    let started = world.answer(&["task", "edit", &id, "--start", "2026-12-24T08:00"]);
    assert_eq!(
        (&started["startTime"], &started["dueDate"]),
        (&json!("2026-12-24T08:00:00Z"), &edited["dueDate"])
    );
    assert_eq!(world.answer(&["task", "edit", &id, "--no-start"])["startTime"], Value::Null);
    let cleared =
        world.answer(&["task", "edit", &id, "--no-due", "--no-labels", "--no-description", "--completed"]);
    for absent in ["dueTime", "dueDate", "labels", "description"] {
        assert_eq!(cleared[absent], Value::Null, "{absent}");
    }
    assert_eq!(cleared["completed"], true);
    let opened = world.answer(&["task", "edit", &id, "--open"]);
    assert_eq!((&opened["completed"], &opened["priority"]), (&Value::Null, &json!("PRIORITY_LOW")));

    assert_eq!(world.told(&["task", "done", &id]), format!("Done {id}  Bank\n"));
    assert!(
        world.told(&["task", "rm", &id]).starts_with(&format!("Deleted {id}  Bank (can be restored until "))
    );
    assert_eq!(world.titles(&[]), [""; 0]);
    assert_eq!(world.titles(&["--deleted"]), ["Bank"]);
    assert!(world.told(&["task", "show", &id]).contains("Purged:"));
    assert_eq!(world.told(&["task", "restore", &id]), format!("Restored {id}  Bank\n"));
    assert_eq!(world.titles(&["--completed"]), ["Bank"]);
}

async fn a_task_goes_back_to_an_earlier_change(database: TestDatabase) {
    let world = World::start(database).await;
    let id = world.add("Buy milk");
    world.add("Something else");
    world.answer(&["task", "edit", &id, "--title", "Buy oat milk"]);
    world.answer(&["task", "rm", &id]);
    let log = world.told(&["task", "log", &id]);
    let lines: Vec<Vec<&str>> = log.lines().map(|line| line.split_whitespace().collect()).collect();
    // Revision, day, time, what, which, and the rest.
    let told: Vec<(&str, &str, String)> =
        lines.iter().map(|words| (words[0], words[3], words[5..].join(" "))).collect();
    assert_eq!(
        told,
        [
            ("4", "deleted", "Buy oat milk".to_owned()),
            ("3", "changed", "Buy oat milk (title)".to_owned()),
            ("1", "added", "Buy milk".to_owned()),
        ]
    );
    let last: Vec<i64> = world
        .answers(&["task", "log", &id, "-n", "2"])
        .iter()
        .map(|change| change["revision"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(last, [4, 3]);
    assert!(world.told(&["task", "show", &id, "--revision", "1"]).contains("Buy milk"));
    assert_eq!(world.told(&["task", "rollback", &id, "--to", "1"]), format!("Rolled back {id}  Buy milk\n"));
    assert_eq!(world.titles(&[]), ["Something else", "Buy milk"]);
    let other = world.run(["task", "rollback", &id, "--to", "2"]);
    assert_eq!(other.status, Some(1));
    assert!(other.stderr.contains("no change of this task has this revision"), "{}", other.stderr);
    assert_eq!(world.run(["task", "rollback", &id, "--to", "0"]).status, Some(64));
    assert_eq!(world.run(["task", "rollback", &id]).status, Some(64));
}

async fn the_last_change_is_undone(database: TestDatabase) {
    let world = World::start(database).await;
    let nothing = world.run(["task", "undo"]);
    assert_eq!(nothing.status, Some(1));
    assert!(nothing.stderr.contains("no change after revision 0"), "{}", nothing.stderr);

    let id = world.add("Buy milk");
    world.answer(&["task", "edit", &id, "--title", "Buy oat milk"]);
    let dry = world.told(&["task", "undo", "--dry-run"]);
    assert_eq!(dry, format!("Would change back {id}  Buy milk\n"));
    assert_eq!(world.titles(&[]), ["Buy oat milk"]);
    assert_eq!(world.told(&["task", "undo"]), format!("Changed back {id}  Buy milk\n"));
    assert_eq!(world.titles(&[]), ["Buy milk"]);
    // And the undo itself.
    assert_eq!(world.answer(&["task", "undo"])["tasks"][0]["title"], "Buy oat milk");
    world.answer(&["task", "rm", &id]);
    assert_eq!(world.told(&["task", "undo"]), format!("Changed back {id}  Buy oat milk\n"));
    assert_eq!(world.told(&["task", "undo", "--to", "0"]), format!("Deleted {id}  Buy oat milk\n"));
    assert_eq!(world.titles(&[]), [""; 0]);
    assert_eq!(world.run(["task", "undo", "--changes", "0"]).status, Some(64));
    assert_eq!(world.run(["task", "undo", "--changes", "1001"]).status, Some(64));
    assert_eq!(world.run(["task", "undo", "--changes", "2", "--to", "1"]).status, Some(64));
}

async fn several_at_once(database: TestDatabase) {
    let world = World::start(database).await;
    let ids: Vec<String> = ["One", "Two", "Three"].map(|title| world.add(title)).to_vec();
    let done = world.answers(&["task", "done", &ids[2], &ids[0]]);
    let titles: Vec<&str> = done.iter().map(|task| task["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["Three", "One"]);
    assert_eq!(world.titles(&["--open"]), ["Two"]);
    // A word that names nothing keeps all from being changed.
    let wrong = world.run(["task", "rm", &ids[1], "00000000"]);
    assert_eq!((wrong.status, wrong.stdout.as_str()), (Some(1), ""), "{}", wrong.stderr);
    assert_eq!(world.titles(&[]).len(), 3);
    // One that the service refuses does not.
    let unknown = "01900000-0000-7000-8000-000000000000";
    let some = world.run(["task", "rm", unknown, &ids[1], "--table"]);
    assert_eq!(some.status, Some(1));
    assert!(some.stdout.starts_with(&format!("Deleted {}", ids[1])), "{}", some.stdout);
    assert_eq!(some.complaints().len(), 1, "{}", some.stderr);
    assert!(
        some.complaints()[0].starts_with("00000000: ") && some.stderr.contains("TASK_NOT_FOUND"),
        "{}",
        some.stderr
    );
}

async fn a_piece_of_an_id_is_enough(database: TestDatabase) {
    let world = World::start(database).await;
    let user = world.answer(&["whoami"])["name"].as_str().unwrap().to_owned();
    // Ids of one's own making, so that they begin and end alike.
    for (id, title) in [
        ("aaaa0000-0000-4000-8000-00000000bbbb", "One"),
        ("aaaa1000-0000-4000-8000-00000001bbbb", "Two"),
        ("cccc1000-0000-4000-8000-00000001bbbb", "Three"),
    ] {
        let token = world.session()["access_token"].as_str().unwrap().to_owned();
        let task = taskwire::pb::Task { title: title.into(), ..Default::default() };
        let mut request = tonic::Request::new(taskwire::pb::CreateTaskRequest {
            parent: "users/me".into(),
            task: Some(task),
            task_id: id.into(),
            ..Default::default()
        });
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        world.service.tasks().await.create_task(request).await.unwrap();
    }
    for (given, title) in [
        ("aaaa0", "One"),
        ("AAAA0000-0000", "One"),
        ("0000bbbb", "One"),
        ("cccc", "Three"),
        ("aaaa1000-0000-4000-8000-00000001bbbb", "Two"),
        ("AAAA1000-0000-4000-8000-00000001BBBB", "Two"),
        (&format!("{user}/tasks/cccc1000-0000-4000-8000-00000001bbbb"), "Three"),
    ] {
        assert_eq!(world.answer(&["task", "show", given])["title"], title, "{given}");
    }
    let several = world.run(["task", "done", "aaaa"]);
    assert_eq!(several.status, Some(1));
    for part in ["2 tasks", "aaaa0000-0000-4000-8000-00000000bbbb  One", "give more"] {
        assert!(several.stderr.contains(part), "{}", several.stderr);
    }
    let none = world.run(["task", "done", "dddd"]);
    assert_eq!(none.status, Some(1));
    assert!(none.stderr.contains("taskwire task list"), "{}", none.stderr);
    for wrong in ["aaa", "milk", "users"] {
        let ended = world.run(["task", "done", wrong]);
        assert_eq!(ended.status, Some(64), "{wrong}: {}", ended.stderr);
    }
    assert_eq!(world.titles(&["--completed"]), [""; 0]);
}

/// On which day a task is due, and where.
fn day(task: &Value) -> String {
    let (day, zone) = (&task["dueDate"], task["timeZone"].as_str().unwrap());
    format!(
        "{}-{:02}-{:02} {zone}",
        day["year"],
        day["month"].as_i64().unwrap(),
        day["day"].as_i64().unwrap()
    )
}

async fn due_dates_as_people_write_them(database: TestDatabase) {
    let world = World::start(database).await;
    let due = |zone: &str, when: &str| {
        let mut command = world.command();
        command.args(["task", "add", "Milk", "--due", when]).env("TZ", zone);
        let ended = crate::support::process::Running::spawn(command).end();
        assert_eq!(ended.status, Some(0), "{when}: {}", ended.stderr);
        let task: Value = serde_json::from_str(&ended.stdout).unwrap();
        task["dueTime"].as_str().map_or_else(|| day(&task), str::to_owned)
    };
    // The form of POSIX, which has no name that others could know: two hours ahead of UTC.
    const EAST: &str = "EAST-2";
    for (zone, when, expected) in [
        ("UTC", "2026-12-01", "2026-12-01 UTC"),
        ("Europe/Berlin", "2026-12-01", "2026-12-01 Europe/Berlin"),
        (EAST, "2026-12-01", "2026-12-01T21:59:59Z"),
        (EAST, "2026-12-01T18:00", "2026-12-01T16:00:00Z"),
        (EAST, "2026-12-01 18:00:30", "2026-12-01T16:00:30Z"),
        (EAST, "2026-12-01T18:00:00Z", "2026-12-01T18:00:00Z"),
        (EAST, "2026-12-01T18:00:00-05:00", "2026-12-01T23:00:00Z"),
        ("UTC", "1969-12-31T23:59:58.5Z", "1969-12-31T23:59:58.500Z"),
    ] {
        assert_eq!(due(zone, when), expected, "{when} in {zone}");
    }
    let date = |shell: &str| {
        let mut command = world.sandbox.shell(&format!("date -u {shell} +%Y-%m-%d"));
        String::from_utf8(command.output().unwrap().stdout).unwrap().trim().to_owned()
    };
    for (when, shell) in
        [("today", "-d now"), ("tomorrow", "-d tomorrow"), ("+3d", "-d '3 days'"), ("+2w", "-d '14 days'")]
    {
        let before = date(shell);
        let told = due("UTC", when);
        // Midnight may have passed meanwhile.
        assert!([before, date(shell)].iter().any(|day| told == format!("{day} UTC")), "{when}: {told}");
    }
    assert!(due("UTC", "+90m") > due("UTC", "+1h"));
    for wrong in [
        "",
        "soon",
        "2026-13-01",
        "2026-02-30",
        "+d",
        "+3",
        "+3y",
        "12:00",
        "+99999999999999d",
        "2026-12-01T25:00",
    ] {
        let ended = world.run(["task", "add", "Milk", "--due", wrong]);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(64), ""), "{wrong}");
        assert!(
            ended.stderr.contains("--due") && ended.stderr.contains("tomorrow"),
            "{wrong}: {}",
            ended.stderr
        );
    }
}

async fn what_breaks_a_rule_is_named(database: TestDatabase) {
    let world = World::start(database).await;
    let long = "x".repeat(201);
    for (arguments, parts) in [
        (vec!["task", "add", " "], vec!["task.title", "FIELD_INVALID"]),
        (vec!["task", "add", &long], vec!["task.title", "200"]),
        (vec!["task", "add", "Milk", "-l", "a\u{7}b"], vec!["task.labels"]),
        (vec!["task", "list", "--filter", "colour = red"], vec!["FILTER_INVALID", "at character 1:"]),
        (vec!["task", "list", "--order-by", "colour"], vec!["ORDER_BY_INVALID"]),
        (vec!["task", "edit", "aaaa"], vec!["--title"]),
        (vec!["task", "edit", "aaaa", "--due", "today", "--no-due"], vec!["--no-due"]),
        (vec!["task", "list", "--open", "--completed"], vec!["--completed"]),
        (vec!["task", "list", "--limit", "0"], vec!["--limit"]),
        (vec!["task", "list", "--json", "--table"], vec!["--table"]),
        (vec!["task", "add", "Milk", "--priority", "urgent"], vec!["low", "medium", "high"]),
        (vec!["task", "add"], vec!["TITLE"]),
        (vec!["task"], vec!["add", "undo"]),
    ] {
        let ended = world.run(&arguments);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(64), ""), "{arguments:?}: {}", ended.stderr);
        assert!(parts.iter().all(|part| ended.stderr.contains(part)), "{arguments:?}: {}", ended.stderr);
    }
}

async fn tasks_come_again(database: TestDatabase) {
    let world = World::start(database).await;
    let add = |zone: &str, arguments: &[&str]| {
        let mut command = world.command();
        command.args([&["task", "add", "Water the plants"], arguments].concat()).env("TZ", zone);
        let ended = crate::support::process::Running::spawn(command).end();
        assert_eq!(ended.status, Some(0), "{arguments:?}: {}", ended.stderr);
        serde_json::from_str::<Value>(&ended.stdout).unwrap()
    };
    let plants = add("Europe/Berlin", &["--due", "2099-03-02", "--every", "weekly on monday and thursday"]);
    assert_eq!(plants["recurrence"]["rrule"], "FREQ=WEEKLY;BYDAY=MO,TH");
    assert_eq!(day(&plants), "2099-03-02 Europe/Berlin");
    let id = short(&plants);
    let shown = world.told(&["task", "show", &id]);
    assert!(shown.contains("Repeats:     FREQ=WEEKLY;BYDAY=MO,TH"), "{shown}");
    let skipped = world.told(&["task", "skip", &id]);
    assert!(skipped.starts_with(&format!("Skipped to 2099-03-05: {id}")), "{skipped}");
    let done = world.told(&["task", "done", &id]);
    let next = done.split("(next: ").nth(1).unwrap().trim_end().trim_end_matches(')');
    assert_eq!(day(&world.answer(&["task", "show", next])), "2099-03-09 Europe/Berlin");
    // Without a day it begins with the next that fits; one that names none, today.
    let sunday = add("Asia/Tokyo", &["--every", "2 weeks on sunday"]);
    let of = |task: &Value| day(task)[..10].parse::<jiff::civil::Date>().unwrap();
    assert_eq!(of(&sunday).weekday(), jiff::civil::Weekday::Sunday);
    let today = || jiff::Timestamp::now().in_tz("Asia/Tokyo").unwrap().date();
    assert!((of(&sunday) - today()).get_days() < 7, "{sunday}");
    let before = today();
    let daily = add("Asia/Tokyo", &["--repeat", "FREQ=DAILY;COUNT=3", "--after-done"]);
    assert!([before, today()].contains(&of(&daily)), "{daily}");
    assert_eq!(daily["recurrence"]["basis"], "BASIS_COMPLETION");
    let once = world.answer(&["task", "edit", &short(&daily), "--no-repeat"]);
    assert_eq!((&once["recurrence"], of(&once)), (&Value::Null, of(&daily)));
    let again = world.answer(&["task", "edit", &short(&daily), "--every", "month on the last day"]);
    assert_eq!(again["recurrence"]["rrule"], "FREQ=MONTHLY;BYMONTHDAY=-1");
    let plain = short(&world.answer(&["task", "add", "Once"]));
    for (arguments, parts) in [
        (vec!["task", "add", "Milk", "--every", "sometimes"], vec!["--every", "weekly on monday"]),
        (
            vec!["task", "add", "Milk", "--due", "today", "--repeat", "FREQ=HOURLY"],
            vec!["rrule", "RECURRENCE_INVALID"],
        ),
        (vec!["task", "add", "Milk", "--every", "day", "--repeat", "FREQ=DAILY"], vec!["--repeat"]),
        (vec!["task", "skip", &plain], vec!["TASK_NOT_RECURRING"]),
    ] {
        let ended = world.run(arguments.clone());
        assert_ne!(ended.status, Some(0), "{arguments:?}");
        assert!(parts.iter().all(|part| ended.stderr.contains(part)), "{arguments:?}: {}", ended.stderr);
    }
}
