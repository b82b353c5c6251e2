//! Lists of tasks, and the order of tasks in them.

use serde_json::json;

use super::{World, short};
use crate::support::database::TestDatabase;
use crate::support::{both_engines, one_engine};

both_engines!(lists_hold_tasks_in_an_order, subtasks_stand_below_their_tasks);
one_engine!(Sqlite: a_list_is_found_by_what_it_is_called, what_is_no_list_is_said);

async fn lists_hold_tasks_in_an_order(database: TestDatabase) {
    let world = World::start(database).await;
    let list = world.answer(&["list", "add", "Weekly", "groceries"]);
    assert_eq!((&list["title"], &list["revision"]), (&json!("Weekly groceries"), &json!("1")));
    let milk = world.answer(&["task", "add", "Milk", "--list", "weekly groceries"]);
    assert_eq!(milk["taskList"], list["name"]);
    let bread = world.answer(&["task", "add", "Bread", "--list", &short(&list)]);
    let call = world.add("Call the bank");
    let there = ["--list", "Weekly groceries"];
    assert_eq!(world.titles(&there), ["Milk", "Bread"]);
    assert_eq!(world.titles(&["--no-list"]), ["Call the bank"]);

    world.answer(&["task", "move", &short(&bread), "--before", &short(&milk)]);
    assert_eq!(world.titles(&there), ["Bread", "Milk"]);
    world.answer(&["task", "move", &call, "--list", "Weekly groceries", "--after", &short(&bread)]);
    assert_eq!(world.titles(&there), ["Bread", "Call the bank", "Milk"]);
    assert_eq!(
        world.titles(&[&there[..], &["--order-by", "title desc"]].concat()),
        ["Milk", "Call the bank", "Bread"]
    );
    let out = world.answer(&["task", "move", &call, "--no-list"]);
    assert_eq!(out["taskList"], json!(null));
    let edited = world.answer(&["task", "edit", &call, "--list", "Weekly groceries"]);
    assert_eq!(edited["taskList"], list["name"]);
    world.answer(&["task", "edit", &call, "--no-list"]);

    let renamed = world.answer(&["list", "rename", "Weekly groceries", "Groceries"]);
    assert_eq!((&renamed["title"], &renamed["name"]), (&json!("Groceries"), &list["name"]));
    let shown = world.told(&["task", "show", &short(&milk)]);
    assert!(shown.lines().any(|line| line.split_whitespace().eq(["List:", "Groceries"])), "{shown}");
    let told = world.told(&["list", "rm", "Groceries"]);
    assert!(told.starts_with("Deleted ") && told.contains("can be restored until"), "{told}");
    assert_eq!(world.titles(&[]), ["Call the bank"]);
    assert!(world.told(&["list", "show", "--deleted"]).contains("Groceries"));
    world.answer(&["list", "restore", "groceries"]);
    assert_eq!(world.titles(&["--list", "Groceries"]), ["Bread", "Milk"]);
    world.answer(&["list", "rm", "Groceries", "--keep-tasks"]);
    assert_eq!(world.titles(&["--no-list"]), ["Bread", "Milk", "Call the bank"]);
    // The list is a change that can be undone like any other.
    let undone = world.told(&["task", "undo", "-n", "3"]);
    assert!(undone.contains("Changed back list ") && undone.contains("Milk"), "{undone}");
    assert_eq!(world.titles(&["--list", "Groceries"]), ["Bread", "Milk"]);
}

async fn a_list_is_found_by_what_it_is_called(database: TestDatabase) {
    let world = World::start(database).await;
    for title in ["Home", "home", "Work"] {
        world.answer(&["list", "add", title]);
    }
    let lists = world.answers(&["list", "show"]);
    let titles = |lists: &[serde_json::Value]| -> Vec<String> {
        lists.iter().map(|list| list["title"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(titles(&lists), ["Home", "home", "Work"]);
    // The exact title is meant before any other spelling.
    let moved = world.answer(&["list", "move", "home", "--before", "Home"]);
    assert_eq!(moved["name"], lists[1]["name"]);
    assert_eq!(titles(&world.answers(&["list", "ls"])), ["home", "Home", "Work"]);
    let several = world.run(["list", "rm", "HOME"]);
    assert_eq!((several.status, several.complaints().len()), (Some(1), 3), "{}", several.stderr);
    let table = world.told(&["list", "show"]);
    assert_eq!(
        table.lines().map(|line| line.split_whitespace().last().unwrap()).collect::<Vec<_>>(),
        ["TITLE", "home", "Home", "Work"]
    );
}

async fn what_is_no_list_is_said(database: TestDatabase) {
    let world = World::start(database).await;
    let none = world.run(["list", "show", "--table"]);
    assert_eq!((none.status, none.complaints()), (Some(0), vec!["no lists"]));
    for arguments in [
        &["task", "add", "x", "--list", "nowhere"][..],
        &["task", "list", "--list", "nowhere"],
        &["list", "rm", "nowhere"],
    ] {
        let ended = world.run(arguments);
        assert_eq!((ended.status, ended.complaints().len()), (Some(1), 1), "{}", ended.stderr);
        assert!(ended.complaints()[0].contains("`taskwire list show`"), "{}", ended.stderr);
    }
    let task = world.add("x");
    let both = world.run(["task", "move", &task, "--before", &task, "--after", &task]);
    assert_eq!(both.status, Some(64));
    let itself = world.run(["task", "move", &task, "--before", &task]);
    assert_eq!(itself.status, Some(64));
    assert!(itself.complaints()[0].contains("POSITION_INVALID"), "{}", itself.stderr);
}

async fn subtasks_stand_below_their_tasks(database: TestDatabase) {
    let world = World::start(database).await;
    let party = world.add("Party");
    world.add("Call the bank");
    let cake = world.answer(&["task", "add", "Cake", "--parent", &party]);
    world.answer(&["task", "add", "Candles", "--parent", &party]);
    let told = world.told(&["task", "list", "--no-list"]);
    let titles: Vec<&str> =
        told.lines().skip(1).map(|line| &line[line.find(['P', 'C']).unwrap() - 2..]).collect();
    assert_eq!(titles, ["  Party", "  Cake", "  Candles", "  Call the bank"], "{told}");
    assert!(told.lines().nth(2).unwrap().contains("    Cake"), "{told}");
    let shown = world.told(&["task", "show", &party]);
    assert!(shown.contains("0 of 2 done"), "{shown}");
    world.answer(&["task", "move", &short(&cake), "--no-parent"]);
    world.answer(&["task", "move", &short(&cake), "--parent", &party]);
    let done = world.answer(&["task", "done", &party, "--with-subtasks"]);
    assert_eq!((&done["subtaskCount"], &done["completedSubtaskCount"]), (&json!(2), &json!(2)));
    world.answer(&["task", "rm", &party]);
    assert_eq!(world.titles(&[]), ["Call the bank"]);
    world.answer(&["task", "restore", &party]);
    assert_eq!(world.titles(&[]).len(), 4);
}
