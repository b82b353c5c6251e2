//! Nothing secret stands in what `Debug` writes, as that ends up in logs and reports.

use std::fmt::Debug;

use clap::Parser as _;
use taskwire::cli::{Cli, Command, ConfigCommand};
use taskwire::config::Settings;
use taskwire::pb::{CreateUserRequest, LoginRequest, RefreshSessionRequest, TokenPair};
use taskwire::storage::{Limits, Storage};

use crate::auth::served::run;

const CANARY: &str = "canary-4b1f";

fn assert_hidden(what: &str, value: &dyn Debug) {
    for written in [format!("{value:?}"), format!("{value:#?}")] {
        assert!(!written.contains(CANARY), "{what}: {written}");
        assert!(!written.is_empty());
    }
}

#[test]
fn messages_hide_passwords_and_tokens() {
    let canary = || CANARY.to_owned();
    let create = CreateUserRequest { password: canary(), ..CreateUserRequest::default() };
    let login = LoginRequest { email: "ada@example.com".into(), password: canary(), device: "phone".into() };
    let refresh = RefreshSessionRequest { refresh_token: canary(), ..RefreshSessionRequest::default() };
    let pair = TokenPair {
        access_token: canary(),
        refresh_token: canary(),
        token_type: "Bearer".into(),
        ..TokenPair::default()
    };
    assert_hidden("CreateUserRequest", &create);
    assert_hidden("LoginRequest", &login);
    assert_hidden("RefreshSessionRequest", &refresh);
    assert_hidden("TokenPair", &pair);
    assert_hidden("a request as a whole", &tonic::Request::new(login.clone()));
    // What is no secret is there, so that the rest is worth logging.
    assert!(format!("{login:?}").contains("phone"));
    assert!(format!("{pair:?}").contains("Bearer"));
}

fn settings(url: &str) -> Settings {
    let arguments = ["taskwire", "config", "print", "--signing-key-file", "key.pem"];
    let cli = Cli::try_parse_from(arguments.into_iter().chain(["--database-url", url])).unwrap();
    assert_hidden("Cli", &cli);
    match cli.command {
        Command::Config { command: ConfigCommand::Print { settings } } => *settings,
        other => panic!("{other:?}"),
    }
}

const URLS: [&str; 5] = [
    "postgres://taskwire:canary-4b1f@db.example/taskwire",
    "postgres://taskwire:canary%2D4b1f@db.example/taskwire",
    "postgres://taskwire@db.example/taskwire?password=canary-4b1f",
    "postgres://taskwire:canary-4b1f@db.example/taskwire?password=canary-4b1f&sslmode=require",
    "postgresql://taskwire:canary-4b1f@[::1]:6432/taskwire",
];

#[test]
fn settings_hide_the_database_password() {
    run(async {
        for url in URLS {
            let settings = settings(url);
            assert_hidden(url, &settings);
            let config = settings.validate().unwrap();
            assert_hidden(url, &config);
            let printed = config.print();
            assert!(!printed.contains("4b1f"), "{printed}");
            assert!(printed.contains("example/taskwire") || printed.contains("[::1]:6432/taskwire"));
            assert!(!config.storage.describe().contains("4b1f"));
        }
    });
}

#[test]
fn storage_hides_its_url() {
    run(async {
        for url in URLS {
            let storage = Storage::open(url, Limits::default()).unwrap();
            assert_hidden(url, &storage);
            assert_hidden(url, &storage.users());
            assert_hidden(url, &storage.sessions());
            assert_hidden(url, &storage.tasks());
        }
    });
}

#[test]
fn what_is_wrong_with_a_url_does_not_repeat_it() {
    for url in [
        "postgres://taskwire:canary-4b1f@db.example:99999/taskwire",
        "postgres://taskwire:canary-4b1f@db.example/taskwire?sslmode=canary-4b1f",
        "postgres://taskwire:canary-4b1f@/taskwire",
        // Signs that a password holds in percent-encoding only.
        "postgres://taskwire:12?canary-4b1f@db.example/taskwire",
        "postgres://taskwire:12/canary-4b1f@db.example/taskwire",
        "postgres://taskwire:12#canary-4b1f@db.example/taskwire",
        "postgres://taskwire:ab?canary-4b1f@db.example/taskwire",
        "postgres://taskwire:canary-4b1f@db.example/taskwire?connect_timeout=canary-4b1f",
        "mysql://taskwire:canary-4b1f@db.example/taskwire",
        "canary-4b1f",
    ] {
        // Pools want a runtime, should the URL be taken for a good one.
        run(async {
            let error = Storage::open(url, Limits::default()).map(|_| ()).expect_err(url);
            assert!(!error.to_string().contains(CANARY), "{error}");
            assert_hidden(url, &error);
            let problems = settings(url).validate().unwrap_err();
            assert_hidden(url, &problems);
            assert!(problems.iter().all(|problem| !problem.to_string().contains(CANARY)));
        });
    }
}
