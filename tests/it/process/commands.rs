//! The commands beside `serve`: what they print, and with which status they end.

use std::process::Stdio;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use taskwire::pb::{LoginRequest, Role};

use super::PASSWORD;
use crate::auth::served::run;
use crate::support::process::{Running, Sandbox};

#[test]
fn help_and_version_are_answers() {
    let sandbox = Sandbox::new();
    let version = sandbox.run(["--version"]);
    assert_eq!(version.status, Some(0));
    assert_eq!(version.stdout, format!("taskwire {}\n", env!("CARGO_PKG_VERSION")));
    for arguments in [
        vec!["--help"],
        vec!["-h"],
        vec!["help"],
        vec!["serve", "--help"],
        vec!["migrate", "up", "--help"],
        vec!["keys", "generate", "--help"],
        vec!["user", "create", "--help"],
        vec!["config", "print", "--help"],
        vec!["health", "--help"],
    ] {
        let mut command = sandbox.command();
        command
            .args(&arguments)
            .env("TASKWIRE_DATABASE_URL", "postgres://taskwire:canary-4b1f@db.example/taskwire");
        let ended = Running::spawn(command).end();
        assert_eq!(ended.status, Some(0), "{arguments:?}");
        assert!(ended.stdout.contains("Usage: taskwire"), "{arguments:?}: {}", ended.stdout);
        assert!(!ended.stdout.contains("canary"), "{arguments:?}: {}", ended.stdout);
        assert_eq!(ended.stderr, "", "{arguments:?}");
    }
}

#[test]
fn an_administrator_is_made_and_logs_in() {
    run(async {
        let sandbox = Sandbox::new();
        let create = ["user", "create", "--admin", "--email", "admin@example.com", "--display-name", "Root"];
        let made = sandbox.run_with_input(&create, &format!("{PASSWORD}\nthe second line is not read\n"));
        assert_eq!(made.status, Some(0), "{}", made.stderr);
        let name = made.stdout.trim_end().to_owned();
        assert!(name.starts_with("users/"), "{name}");

        let service = sandbox.serve(&[]);
        let login = LoginRequest {
            email: "ADMIN@example.com".into(),
            password: PASSWORD.into(),
            device: String::new(),
        };
        let pair = service.users().await.login(login).await.unwrap().into_inner();
        let user = pair.user.unwrap();
        assert_eq!((user.name.as_str(), user.role()), (name.as_str(), Role::Admin));
        assert_eq!(user.display_name, "Root");

        // While the service runs.
        let again = sandbox.run_with_input(&create, &format!("{PASSWORD}\n"));
        assert_eq!(again.status, Some(1), "{}", again.stderr);
        assert!(again.complaints()[0].contains("already exists"), "{}", again.stderr);
        let bob = sandbox.run_with_input(&["user", "create", "--email", "bob@example.com"], PASSWORD);
        assert_eq!(bob.status, Some(0), "{}", bob.stderr);
        let login = LoginRequest {
            email: "bob@example.com".into(),
            password: PASSWORD.into(),
            device: String::new(),
        };
        let pair = service.users().await.login(login).await.unwrap().into_inner();
        assert_eq!(pair.user.unwrap().role(), Role::User);
    });
}

#[test]
fn a_user_that_breaks_a_rule_is_refused_without_the_password() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(["migrate", "up"]).status, Some(0));
    let long = format!("canary{}", "x".repeat(130));
    let cases = [
        ("ada@example.com", "", "password"),
        ("ada@example.com", "canary7", "password"),
        ("ada@example.com", "canary\tcanary", "password"),
        ("ada@example.com", &long, "password"),
        ("canary@example.com", "canary@example.com", "password"),
        ("no-address", PASSWORD, "--email"),
        ("", PASSWORD, "--email"),
    ];
    for (email, password, named) in cases {
        let ended = sandbox.run_with_input(&["user", "create", "--email", email], &format!("{password}\n"));
        assert_eq!(ended.status, Some(64), "{email} {password}: {}", ended.stderr);
        assert_eq!(ended.complaints().len(), 1, "{}", ended.stderr);
        assert!(ended.complaints()[0].contains(named), "{}", ended.stderr);
        assert!(!ended.stderr.contains("canary"), "{}", ended.stderr);
        assert_eq!(ended.stdout, "");
    }
    let unread = sandbox.run(["user", "create", "--email", "ada@example.com"]);
    assert_eq!(unread.status, Some(64), "{}", unread.stderr);
}

#[test]
fn a_closed_output_is_no_panic() {
    let sandbox = Sandbox::new();
    for arguments in [
        vec!["--help"],
        vec!["config", "print"],
        vec!["keys", "generate"],
        vec!["migrate", "up"],
        vec!["frobnicate"],
    ] {
        // A reader that has gone away, and an output that was never open.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = sandbox.command();
        let ended = command.args(&arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!stderr.contains("panicked"), "{arguments:?}: {stderr}");
        assert!(ended.status.code().is_some(), "{arguments:?}: {:?}", ended.status);
        let mut command = sandbox.shell(r#"exec "$0" "$@" >&-"#);
        let ended = Running::spawn({
            command.args(&arguments);
            command
        })
        .end();
        assert!(ended.status.is_some(), "{arguments:?}: {ended:?}");

        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = sandbox.command();
        let ended = command.args(&arguments).stderr(writer).stdout(Stdio::null()).status().unwrap();
        assert!(matches!(ended.code(), Some(0 | 64)), "{arguments:?}: {ended:?}");
    }
}

#[test]
fn a_result_that_cannot_be_written_is_a_failure() {
    let sandbox = Sandbox::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = sandbox.command();
    let ended = command.args(["keys", "generate"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(stderr.contains("cannot write the result"), "{stderr}");
}

#[test]
fn the_openapi_document_is_the_one_that_is_checked_in() {
    let printed = Sandbox::new().run(["openapi"]);
    assert_eq!((printed.status, printed.stderr.as_str()), (Some(0), ""));
    let kept = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json"));
    assert!(
        printed.stdout == kept,
        "docs/openapi.json is not what `taskwire openapi` prints; run `make contract`"
    );
}

#[test]
fn the_descriptor_set_is_printed_as_reflection_serves_it() {
    let ended = Sandbox::new().command().arg("descriptor").output().unwrap();
    assert!(ended.status.success());
    assert_eq!(ended.stdout, taskwire::pb::DESCRIPTOR_SET);
}

#[test]
fn a_history_is_shown_and_begun() {
    let sandbox = Sandbox::new();
    let ask = |command: &str| {
        let ended = sandbox.run(["history", command, "--database-url", "sqlite:tasks.db"]);
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
        ended.stdout.trim().to_owned()
    };
    let first = ask("show");
    assert!(uuid::Uuid::try_parse(&first).is_ok(), "{first}");
    assert_eq!(ask("show"), first);
    let second = ask("new");
    assert_ne!(second, first);
    assert_eq!(ask("show"), second);
    let nowhere = "postgres://taskwire@127.0.0.1:1/taskwire";
    let ended = sandbox.run(["history", "new", "--database-url", nowhere]);
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
}

#[test]
fn a_check_finds_rows_without_their_user() {
    let sandbox = Sandbox::new();
    let check = || sandbox.run(["check", "--database-url", "sqlite:tasks.db"]);
    let sound = check();
    assert_eq!((sound.status, sound.stderr.as_str()), (Some(0), ""));
    assert!(sound.stdout.contains("sound"), "{}", sound.stdout);
    let mut raw = SqliteConnection::establish(sandbox.path("tasks.db").to_str().unwrap()).unwrap();
    raw.batch_execute(
        "insert into task_changes (user_id, revision, type, task_id, fields, create_time) \
         values (x'0198c5a47d3e7c419b1f2f6d8a5e4c10', 1, 1, zeroblob(16), 0, 0)",
    )
    .unwrap();
    let found = check();
    assert_eq!((found.status, found.stdout.as_str()), (Some(1), ""));
    let line = "task_changes holds rows of 0198c5a4-7d3e-7c41-9b1f-2f6d8a5e4c10, who does not exist";
    assert!(found.stderr.contains(line), "{}", found.stderr);
}
