//! Lists: which tasks, in which order, and how many.

use super::World;
use crate::support::database::TestDatabase;
use crate::support::{both_engines, one_engine};

both_engines!(conditions_are_combined);
one_engine!(Sqlite: a_long_list_says_that_there_is_more);

async fn conditions_are_combined(database: TestDatabase) {
    let world = World::start(database).await;
    for arguments in [
        &["Buy milk", "-p", "high", "-l", "home", "--due", "2026-12-03"][..],
        &["Water the plants", "-p", "low", "-l", "home", "-l", "green"],
        &["Call \"the\" \\ bank", "--due", "2026-12-01", "-d", "about the milk money"],
        &["Read"],
    ] {
        world.answer(&[&["task", "add"], arguments].concat());
    }
    let read = world.answer(&["task", "list", "Read"]);
    world.answer(&["task", "done", &super::short(&read)]);
    let cases: [(&[&str], &[&str]); 13] = [
        (&[], &["Read", "Call \"the\" \\ bank", "Water the plants", "Buy milk"]),
        (&["--open", "-l", "home"], &["Water the plants", "Buy milk"]),
        (&["-l", "home", "-l", "green"], &["Water the plants"]),
        (&["--completed"], &["Read"]),
        (&["-p", "medium"], &["Read", "Call \"the\" \\ bank"]),
        (&["milk"], &["Call \"the\" \\ bank", "Buy milk"]),
        (&["MILK", "bank"], &["Call \"the\" \\ bank"]),
        (&["\"the\" \\"], &["Call \"the\" \\ bank"]),
        (&["--order-by", "due_time", "-n", "2"], &["Call \"the\" \\ bank", "Buy milk"]),
        // An OR of one's own stays what it is beside the other conditions.
        (&["--filter", "priority = LOW OR completed = true", "--open"], &["Water the plants"]),
        (&["--filter", "-labels:home", "--open"], &["Call \"the\" \\ bank"]),
        (&["--filter", " "], &["Read", "Call \"the\" \\ bank", "Water the plants", "Buy milk"]),
        (&["--deleted"], &[]),
    ];
    for (arguments, titles) in cases {
        let found = match arguments {
            // Two of four: it says that there are more.
            [.., "2"] => {
                let ended = world.run([&["task", "list"], arguments].concat());
                assert_eq!((ended.status, ended.complaints().len()), (Some(0), 1), "{}", ended.stderr);
                assert_eq!(ended.stdout.lines().count(), 2);
                continue;
            }
            _ => world.titles(arguments),
        };
        assert_eq!(found, titles, "{arguments:?}");
    }
    let none = world.run(["task", "list", "--deleted", "--table"]);
    assert_eq!((none.status, none.stdout.as_str()), (Some(0), ""));
    assert_eq!(none.complaints(), ["no tasks"]);
}

async fn a_long_list_says_that_there_is_more(database: TestDatabase) {
    use taskwire::pb::{BatchCreateTasksRequest, CreateTaskRequest, Task};

    let world = World::start(database).await;
    let token = world.session()["access_token"].as_str().unwrap().to_owned();
    let mut tasks = world.service.tasks().await;
    for batch in 0..3 {
        let item = |number: usize| CreateTaskRequest {
            task: Some(Task { title: format!("{}", batch * 200 + number), ..Task::default() }),
            ..CreateTaskRequest::default()
        };
        let requests = (0..200).map(item).collect();
        let mut request = tonic::Request::new(BatchCreateTasksRequest {
            parent: "users/me".into(),
            requests,
            ..BatchCreateTasksRequest::default()
        });
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        tasks.batch_create_tasks(request).await.unwrap();
    }
    let first = world.run(["task", "list"]);
    assert_eq!((first.status, first.stdout.lines().count()), (Some(0), 50));
    assert!(first.complaints()[0].contains("--all"), "{}", first.stderr);
    for limit in ["599", "501"] {
        let some = world.run(["task", "list", "--limit", limit]);
        assert_eq!(some.stdout.lines().count().to_string(), limit);
        assert_eq!(some.complaints().len(), 1, "{}", some.stderr);
    }
    // Exactly as many as there are: nothing is left to tell of.
    assert_eq!(world.titles(&["--limit", "600"]).len(), 600);
    let mut all: Vec<u32> = world.titles(&["--all"]).iter().map(|title| title.parse().unwrap()).collect();
    all.sort_unstable();
    assert_eq!(all, (0..600).collect::<Vec<u32>>());

    // A reader who has seen enough is no failure.
    let mut command = super::at_home(
        world.sandbox.shell(r#"("$0" "$@" 2>errors; echo $? >status) | head -n 1"#),
        &world.sandbox,
        &world.address(),
    );
    let output = command.args(["task", "list", "--all"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1);
    let written = |name| std::fs::read_to_string(world.sandbox.path(name)).unwrap();
    assert_eq!((written("status").as_str(), written("errors").as_str()), ("0\n", ""));
}
