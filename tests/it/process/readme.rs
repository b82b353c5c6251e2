//! The README's sessions, copied as they stand, on both engines.

use std::process::Command;

use tonic_health::pb::health_check_response::ServingStatus;

use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::process::Sandbox;

both_engines!(the_session_works_when_copied, a_second_session_goes_on_with_the_login);
both_engines!(the_command_line_works_when_copied);

const README: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));

/// The block of the README that is fenced with this word.
fn block(fence: &str) -> &'static str {
    let (_, rest) = README.split_once(&format!("```sh {fence}\n")).expect("the README has no such block");
    rest.split_once("```").expect("the block has no end").0
}

/// The client, where there is one; `make test` and CI see to it.
fn client() -> Option<String> {
    let client = std::env::var("TASKWIRE_TEST_BUF").ok();
    if client.is_none() {
        assert!(!std::env::var("TASKWIRE_REQUIRE_BUF").is_ok_and(|value| value == "1"), "buf is required");
        println!("skipped: there is no buf (TASKWIRE_TEST_BUF)");
    }
    client
}

/// Runs the README's session against a service on this database, so many times; answers what was printed.
async fn sessions(database: &TestDatabase, times: usize) -> Vec<String> {
    let Some(client) = client() else { return Vec::new() };
    let sandbox = Sandbox::new();
    let made = sandbox.run(["keys", "generate", "--out", "key.pem"]);
    assert_eq!(made.status, Some(0), "{}", made.stderr);
    let service = sandbox.serve(&["--database-url", &database.url, "--signing-key-file", "key.pem"]);
    service.wait_until(ServingStatus::Serving).await;
    let directory = std::path::Path::new(&client).parent().unwrap().display().to_string();
    let path = format!("{directory}:{}", std::env::var("PATH").unwrap_or_default());
    let run = || {
        let ran = Command::new("sh")
            .args(["-eu", "-c", block("session-buf")])
            .env("TASKWIRE", service.address.to_string())
            .env("PATH", &path)
            .env("HOME", sandbox.path("").as_os_str())
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&ran.stdout).into_owned();
        (ran.status.success(), printed, String::from_utf8_lossy(&ran.stderr).into_owned())
    };
    let mut printed = Vec::new();
    for number in 0..times {
        let (success, stdout, stderr) = run();
        // The second registration is refused; without `-e`, as a person has it, the session goes on.
        assert!(success || number > 0, "{stdout}\n{stderr}");
        printed.push(stdout + &stderr);
    }
    assert_eq!(service.stop().status, Some(0));
    printed
}

async fn the_session_works_when_copied(database: TestDatabase) {
    for printed in sessions(&database, 1).await {
        for expected in
            ["\"title\": \"Buy milk\"", "\"completed\": true", "\"deleteTime\"", "\"purgeTime\"", "ROLE_USER"]
        {
            assert!(printed.contains(expected), "{expected}: {printed}");
        }
        assert!(!printed.contains("\"code\""), "{printed}");
        assert_eq!(database.query_i64("select count(*) from tasks where delete_time is null").await, 1);
        assert_eq!(database.query_i64("select max(revision) from task_changes").await, 4);
    }
}

async fn the_command_line_works_when_copied(database: TestDatabase) {
    let sandbox = Sandbox::new();
    let made = sandbox.run(["keys", "generate", "--out", "key.pem"]);
    assert_eq!(made.status, Some(0), "{}", made.stderr);
    let service = sandbox.serve(&["--database-url", &database.url, "--signing-key-file", "key.pem"]);
    service.wait_until(ServingStatus::Serving).await;
    let program = crate::support::process::program();
    let directory = std::path::Path::new(&program).parent().unwrap().display().to_string();
    // What a person types when asked.
    let password = std::fs::File::open(sandbox.write("typed", "correct horse battery staple\n")).unwrap();
    let ran = Command::new("sh")
        .args(["-eu", "-c", block("session-cli")])
        .current_dir(sandbox.path(""))
        .env("TASKWIRE_ADDRESS", format!("http://{}", service.address))
        .env("PATH", format!("{directory}:{}", std::env::var("PATH").unwrap_or_default()))
        .env("HOME", sandbox.path("").as_os_str())
        .env_remove("XDG_CONFIG_HOME")
        .stdin(password)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&ran.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success() && complaints.is_empty(), "{printed}\n{complaints}");
    let lines: Vec<serde_json::Value> =
        printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["displayName"], "Grace");
    let mut titles: Vec<&str> = lines.iter().filter_map(|line| line["title"].as_str()).collect();
    let (milk, plants) = ("Buy milk", "Water the plants");
    let (garden, roses) = ("Garden", "Prune the roses");
    // Added, listed by when they are due, and one of them left after the undo; then a list and what is in it. On a Monday the plants
    // are due before tomorrow.
    titles[2..4].sort_unstable();
    assert_eq!(titles, [milk, plants, milk, plants, milk, garden, roses, roses]);
    assert_eq!(lines[5]["tasks"][0]["title"], plants);
    assert_eq!(service.stop().status, Some(0));
}

async fn a_second_session_goes_on_with_the_login(database: TestDatabase) {
    if let [_, second] = &sessions(&database, 2).await[..] {
        assert!(second.contains("already_exists"), "{second}");
    }
}
