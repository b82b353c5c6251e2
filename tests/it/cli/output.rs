//! What reaches the reader: columns that stand below each other, and nothing that steers a terminal.

use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::{World, short};
use crate::auth::served::run;
use crate::support::database::TestDatabase;
use crate::support::one_engine;
use crate::support::process::{Running, Sandbox};

one_engine!(Sqlite: columns_stand_below_each_other, what_turns_writing_round_is_spelt_out, an_output_that_is_full_is_a_failure);

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

/// What reaches a terminal and would steer it.
fn steering(shown: &str) -> String {
    let steers = |char: &char| {
        char.is_control() && *char != '\n' || ('\u{202a}'..='\u{202e}').contains(char) || *char == '\u{2028}'
    };
    shown.chars().filter(steers).collect()
}

async fn what_turns_writing_round_is_spelt_out(database: TestDatabase) {
    let world = World::start(database).await;
    // No control characters: the service takes these.
    let evil = "evil \u{202e}klim\u{2028}";
    let id =
        short(&world.answer(&["task", "add", evil, "x", "-l", evil, "-d", &format!("{evil}\n\n\tmore")]));
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
        assert_eq!(steering(&ended.stdout), "", "{arguments:?}: {:?}", ended.stdout);
        assert!(ended.stdout.contains("evil"), "{arguments:?}: {}", ended.stdout);
    }
    // For programs it is the same text all the same.
    assert_eq!(world.answer(&["task", "show", &id])["title"], format!("{evil} x"));
    let shown = world.told(&["task", "show", &id]);
    assert!(shown.contains("evil \\u{202e}klim\\u{2028} x\n"), "{shown}");
    assert!(shown.contains("\n\n                 more\n"), "{shown}");
}

/// A service that means harm: what it answers is made to steer a terminal.
async fn hostile() -> String {
    use prost::Message as _;
    use taskwire::pb::{ListTasksResponse, Task};

    let task = Task {
        name: format!("users/x/tasks/{EVIL}"),
        title: EVIL.into(),
        description: Some(EVIL.into()),
        labels: vec![EVIL.into()],
        ..Task::default()
    };
    let list = ListTasksResponse { tasks: vec![task.clone()], next_page_token: String::new() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = move |request: http::Request<hyper::body::Incoming>| {
        let message = match request.uri().path().rsplit('/').next().unwrap() {
            "ListTasks" => Some(list.encode_to_vec()),
            "GetTask" => Some(task.encode_to_vec()),
            _ => None,
        };
        async move {
            let Some(message) = message else {
                let refused = tonic::Status::failed_precondition(format!("no {EVIL}"));
                return Ok(refused.into_http::<tonic::body::Body>());
            };
            let length = u32::try_from(message.len()).unwrap().to_be_bytes();
            let data = [&[0][..], &length, &message].concat();
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
            let frames = [Frame::data(bytes::Bytes::from(data)), Frame::trailers(trailers)];
            let body = StreamBody::new(futures_util::stream::iter(frames.map(Ok::<_, tonic::Status>)));
            let response = http::Response::builder().header("content-type", "application/grpc");
            Ok::<_, std::convert::Infallible>(response.body(tonic::body::Body::new(body)).unwrap())
        }
    };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = hyper::service::service_fn(answer.clone());
            let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(serving);
        }
    });
    format!("http://{address}")
}

const EVIL: &str = "evil\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}klim\r\u{7f}\u{8}";

#[test]
fn a_hostile_service_does_not_reach_the_terminal() {
    run(async {
        let address = hostile().await;
        let sandbox = Sandbox::new();
        for (arguments, status) in [
            (&["task", "list", "--table"][..], 0),
            (&["task", "list", "--json"], 0),
            (&["task", "show", "users/x/tasks/y", "--table"], 0),
            (&["task", "show", "users/x/tasks/y", "--json"], 0),
            (&["task", "done", "users/x/tasks/y", "--table"], 1),
            (&["task", "done", EVIL, "--table"], 64),
        ] {
            let mut command = super::at_home(sandbox.command(), &sandbox, &address);
            command.args(arguments).env("TASKWIRE_API_KEY", "twk_x");
            let ended = tokio::task::spawn_blocking(|| Running::spawn(command).end()).await.unwrap();
            assert_eq!(ended.status, Some(status), "{arguments:?}: {}", ended.stderr);
            for shown in [&ended.stdout, &ended.stderr] {
                assert_eq!(steering(shown), "", "{arguments:?}: {shown:?}");
            }
            assert!((ended.stdout + &ended.stderr).contains("evil"), "{arguments:?}");
        }
    });
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
