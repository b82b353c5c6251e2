//! Settings that are wrong: each is refused before anything is opened, and named.

use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use crate::support::process::{Ended, Running, Sandbox};

const CANARY: &str = "canary-4b1f";

/// What is set, and the setting that the complaint must name.
const WRONG: [(&str, &str); 127] = [
    ("REGISTRATION_OPEN", "maybe"),
    ("AUDIT_KEPT_DAYS", "0"),
    ("AUDIT_KEPT_DAYS", "forever"),
    ("CHANGES_KEPT_DAYS", "0"),
    ("CHANGES_KEPT_DAYS", "36500"),
    ("STREAMS_PER_USER_MAX", "0"),
    ("LANES", "on"),
    ("LANES", "0"),
    ("LANES", "17"),
    ("TRUSTED_PROXIES", "everybody"),
    ("WEBHOOK_NETWORKS", "everybody"),
    ("WEBHOOK_HTTP", "perhaps"),
    ("MAIL_URL", "http://user:canary-4b1f@mail.example.org"),
    ("MAIL_URL", "smtp+plain://user:canary-4b1f@mail.example.org"),
    ("MAIL_URL", "file:"),
    ("MAIL_FROM", "nobody"),
    ("MAIL_LINK_URL", "app.example/mail"),
    ("MAIL_TEMPLATES_DIR", "missing-directory"),
    ("EMAIL_VERIFICATION", "always"),
    // Without anything that sends mail.
    ("EMAIL_VERIFICATION", "required"),
    ("LISTEN", "nonsense"),
    ("LISTEN", "127.0.0.1"),
    ("LISTEN", "127.0.0.1:65536"),
    ("DATABASE_URL", ""),
    ("DATABASE_URL", "taskwire.db"),
    ("DATABASE_URL", "mysql://taskwire:canary-4b1f@127.0.0.1/taskwire"),
    ("DATABASE_URL", "sqlite:"),
    ("DATABASE_URL", "sqlite::memory:"),
    ("DATABASE_URL", "sqlite:taskwire.db?mode=memory"),
    ("DATABASE_URL", "postgres://"),
    ("DATABASE_URL", "postgres://taskwire:canary-4b1f@127.0.0.1:99999/taskwire"),
    ("DATABASE_URL", "postgres://taskwire:canary-4b1f@127.0.0.1/taskwire?sslmode=maybe"),
    ("DATABASE_URL", "postgres://taskwire:canary-4b1f@127.0.0.1/taskwire?connect_timeout=soon"),
    ("DATABASE_URL", "postgres://taskwire:12?canary-4b1f@127.0.0.1/taskwire"),
    (
        "DATABASE_URL",
        "postgres://taskwire:canary-4b1f@127.0.0.1/taskwire?sslmode=verify-full&sslrootcert=missing.pem",
    ),
    ("READ_URLS", "postgres://taskwire:canary-4b1f@127.0.0.1:99999/taskwire"),
    ("READ_URLS", "sqlite:standby.db"),
    ("CITUS_DIRECT", "maybe"),
    ("MIGRATE", "maybe"),
    ("TOKEN_ISSUER", ""),
    ("TOKEN_ISSUER", "  "),
    ("TOKEN_AUDIENCE", ""),
    ("TOKEN_AUDIENCE", "\t"),
    ("ACCESS_TOKEN_SECONDS", "0"),
    ("ACCESS_TOKEN_SECONDS", "-1"),
    ("ACCESS_TOKEN_SECONDS", "1.5"),
    ("ACCESS_TOKEN_SECONDS", "15m"),
    ("ACCESS_TOKEN_SECONDS", "86401"),
    ("ACCESS_TOKEN_SECONDS", "4294967296"),
    ("REFRESH_TOKEN_DAYS", "0"),
    ("REFRESH_TOKEN_DAYS", "3651"),
    ("SESSION_DAYS_MAX", "0"),
    ("SESSION_DAYS_MAX", "3651"),
    ("PASSWORD_LENGTH_MIN", "0"),
    ("PASSWORD_LENGTH_MIN", "7"),
    ("PASSWORD_LENGTH_MIN", "65"),
    ("PASSWORD_LENGTH_MIN", "256"),
    ("PURGE_AFTER_DAYS", "0"),
    ("PURGE_AFTER_DAYS", "3651"),
    ("LANES", "-1"),
    ("LANES", "many"),
    ("LANES", "1000"),
    ("CHANGES_KEPT_DAYS", "3651"),
    ("TASKS_PER_USER_MAX", "0"),
    ("TASKS_PER_USER_MAX", "many"),
    ("POSTGRES_CONNECTIONS_MAX", "0"),
    ("POSTGRES_CONNECTIONS_MAX", "1001"),
    ("SQLITE_READERS_MAX", "0"),
    ("SQLITE_READERS_MAX", "65"),
    ("CONNECT_TIMEOUT_MS", "0"),
    ("CONNECT_TIMEOUT_MS", "60001"),
    ("CHECKOUT_TIMEOUT_MS", "0"),
    ("CHECKOUT_TIMEOUT_MS", "60001"),
    ("STATEMENT_TIMEOUT_MS", "0"),
    ("STATEMENT_TIMEOUT_MS", "600001"),
    ("LOCK_TIMEOUT_MS", "0"),
    ("LOCK_TIMEOUT_MS", "5001"),
    ("LOCK_TIMEOUT_MS", "600001"),
    ("MESSAGE_BYTES_MAX", "0"),
    ("MESSAGE_BYTES_MAX", "67108865"),
    ("MESSAGE_BYTES_MAX", "1MB"),
    ("DRAIN_TIMEOUT_MS", "-1"),
    ("DRAIN_TIMEOUT_MS", "3600001"),
    ("LOG", "taskwire=loud"),
    ("LOG", "info,=debug"),
    ("LOG_FORMAT", "xml"),
    ("LOG_FORMAT", ""),
    ("TRUSTED_ISSUERS_FILE", "missing.json"),
    ("TRUSTED_PROXIES", "10.0.0.0/33"),
    ("TRUSTED_PROXIES", "10.0.0.0/8,nonsense"),
    ("TLS_CERT_FILE", "missing.pem"),
    ("TLS_KEY_FILE", "missing.pem"),
    ("TLS_CLIENT_CA_FILE", "missing.pem"),
    ("CONNECTIONS_MAX", "-1"),
    ("CONNECTIONS_MAX", "1000001"),
    ("FIRST_BYTES_TIMEOUT_MS", "0"),
    ("FIRST_BYTES_TIMEOUT_MS", "600001"),
    ("TLS_HANDSHAKE_TIMEOUT_MS", "0"),
    ("TLS_HANDSHAKE_TIMEOUT_MS", "600001"),
    ("CONNECTION_AGE_SECONDS", "0"),
    ("CONNECTION_AGE_SECONDS", "2592001"),
    ("CONNECTION_GRACE_SECONDS", "0"),
    ("CONNECTION_GRACE_SECONDS", "86401"),
    ("CONNECTION_IDLE_SECONDS", "0"),
    ("CONNECTION_IDLE_SECONDS", "2592001"),
    ("DEADLINE_MAX_MS", "0"),
    ("DEADLINE_MAX_MS", "3600001"),
    ("STREAM_SECONDS_MAX", "0"),
    ("STREAM_SECONDS_MAX", "2592001"),
    ("CALLS_MAX", "0"),
    ("CALLS_MAX", "100001"),
    ("RATE_BURST", "0"),
    ("RATE_BURST", "1000001"),
    ("DEADLINE_DEFAULT_MS", "60001"),
    ("DEADLINE_DEFAULT_MS", "soon"),
    ("CALLS_WAITING_MAX", "1000001"),
    ("RATE_PER_SECOND", "1000001"),
    ("RATE_PER_SECOND", "1.5"),
    ("DRAIN_LEAD_MS", "600001"),
    ("CONFIG", "missing.toml"),
    ("ADMIN_LISTEN", "on"),
    ("ADMIN_LISTEN", "127.0.0.1"),
    ("TRACE_ENDPOINT", "collector:4317"),
    ("TRACE_ENDPOINT", "https://collector.example"),
    ("TRACE_RATIO", "often"),
    ("TRACE_RATIO", "-0.1"),
    ("TRACE_RATIO", "1.1"),
];

/// The flag of a setting.
fn flag(name: &str) -> String {
    format!("--{}", name.to_lowercase().replace('_', "-"))
}

fn assert_refused(name: &str, value: &str, ended: &Ended) {
    let what = format!("{name}={value:?}: {}", ended.stderr);
    assert_eq!(ended.status, Some(64), "{what}");
    assert!(ended.stderr.contains(&format!("TASKWIRE_{name}")), "{what}");
    assert!(ended.stderr.contains(&flag(name)), "{what}");
    assert!(!ended.stderr.contains(CANARY) && !ended.stdout.contains(CANARY), "{what}");
    assert_eq!(ended.stdout, "", "{what}");
}

/// Nothing was waited for. Not each single run is held to it, as the machine may be busy with other tests.
fn assert_prompt(mut took: Vec<Duration>) {
    took.sort();
    assert!(took[took.len() / 2] < Duration::from_secs(2), "{took:?}");
}

/// A URL with a password is there in every run, so that any complaint could give it away.
fn with_canary(sandbox: &Sandbox, name: &str) -> Vec<(String, String)> {
    let mut settings = vec![("TASKWIRE_SIGNING_KEY_FILE".to_owned(), sandbox.text("key.pem"))];
    if name != "DATABASE_URL" {
        let url = format!("postgres://taskwire:{CANARY}@127.0.0.1:1/taskwire");
        settings.push(("TASKWIRE_DATABASE_URL".to_owned(), url));
    }
    settings
}

#[test]
fn a_wrong_variable_is_named() {
    let took = WRONG.map(|(name, value)| {
        let sandbox = Sandbox::new();
        let mut command = sandbox.command();
        command.arg("serve").envs(with_canary(&sandbox, name)).env(format!("TASKWIRE_{name}"), value);
        let ended = Running::spawn(command).end();
        assert_refused(name, value, &ended);
        assert_eq!(
            std::fs::read_dir(sandbox.path("")).unwrap().count(),
            0,
            "{name}={value:?} left files behind"
        );
        ended.took
    });
    assert_prompt(took.to_vec());
}

#[test]
fn a_wrong_flag_is_named() {
    let took = WRONG.map(|(name, value)| {
        let sandbox = Sandbox::new();
        let mut command = sandbox.command();
        command.args(["config", "check"]).envs(with_canary(&sandbox, name));
        command.arg(format!("{}={value}", flag(name)));
        let ended = Running::spawn(command).end();
        assert_refused(name, value, &ended);
        ended.took
    });
    assert_prompt(took.to_vec());
}

#[test]
fn a_variable_that_is_no_text_is_named() {
    for name in ["LISTEN", "DATABASE_URL", "TOKEN_ISSUER", "ACCESS_TOKEN_SECONDS", "LOG_FORMAT"] {
        let sandbox = Sandbox::new();
        let mut command = sandbox.command();
        let value = std::ffi::OsStr::from_bytes(b"canary-4b1f\xff");
        command.args(["config", "check"]).envs(with_canary(&sandbox, name));
        command.env(format!("TASKWIRE_{name}"), value);
        let ended = Running::spawn(command).end();
        assert_eq!(ended.status, Some(64), "{name}: {}", ended.stderr);
        let secret = name == "DATABASE_URL" && ended.stderr.contains(CANARY);
        assert!(!secret, "{}", ended.stderr);
    }
}

#[test]
fn several_problems_are_told_at_once() {
    let sandbox = Sandbox::new();
    let wrong = [
        ("TOKEN_ISSUER", " "),
        ("TOKEN_AUDIENCE", " "),
        ("PASSWORD_LENGTH_MIN", "7"),
        ("ACCESS_TOKEN_SECONDS", "100000"),
        ("SQLITE_READERS_MAX", "100"),
        ("LOCK_TIMEOUT_MS", "9000"),
        ("LOG", "taskwire=loud"),
        ("DATABASE_URL", "mysql://canary-4b1f"),
    ];
    let mut command = sandbox.command();
    command.arg("serve").envs(wrong.map(|(name, value)| (format!("TASKWIRE_{name}"), value)));
    let ended = Running::spawn(command).end();
    for (name, value) in wrong {
        assert_refused(name, value, &ended);
    }
    assert_eq!(ended.complaints().len(), wrong.len(), "{}", ended.stderr);
}

#[test]
fn postgresql_needs_a_key_and_is_told_how_to_make_one() {
    let sandbox = Sandbox::new();
    let url = format!("postgres://taskwire:{CANARY}@127.0.0.1:1/taskwire");
    for command in [vec!["serve"], vec!["config", "check"], vec!["config", "print"]] {
        let ended = sandbox.run(command.iter().copied().chain(["--database-url", url.as_str()]));
        assert_refused("SIGNING_KEY_FILE", "", &ended);
        assert!(ended.stderr.contains("taskwire keys generate --out"), "{}", ended.stderr);
        assert_eq!(ended.complaints().len(), 1, "{}", ended.stderr);
    }
}

#[test]
fn unknown_words_are_wrong_usage() {
    let sandbox = Sandbox::new();
    for arguments in [
        vec![],
        vec!["--frobnicate"],
        vec!["frobnicate"],
        vec!["serve", "--frobnicate"],
        vec!["serve", "--listen"],
        vec!["serve", "--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"],
        vec!["serve", "now"],
        vec!["migrate"],
        vec!["migrate", "sideways"],
        vec!["keys", "generate", "--out"],
        vec!["user", "create"],
        vec!["user", "create", "--email", "ada"],
        vec!["health", "--address", "nowhere"],
    ] {
        let ended = sandbox.run(&arguments);
        assert_eq!(ended.status, Some(64), "{arguments:?}: {}", ended.stderr);
        assert!(!ended.stderr.is_empty() && ended.stdout.is_empty(), "{arguments:?}: {ended:?}");
    }
    assert_eq!(std::fs::read_dir(sandbox.path("")).unwrap().count(), 0);
}

#[test]
fn settings_print_as_they_take_effect_without_secrets() {
    let sandbox = Sandbox::new();
    let url =
        format!("postgres://taskwire:{CANARY}@db.example:6432/taskwire?password={CANARY}&sslmode=require");
    let mut command = sandbox.command();
    command
        .args(["config", "print", "--token-issuer", "by-flag", "--migrate"])
        .env("TASKWIRE_TOKEN_ISSUER", "by-variable")
        .env("TASKWIRE_TOKEN_AUDIENCE", "by-variable")
        .env("TASKWIRE_DATABASE_URL", url)
        .env("TASKWIRE_SIGNING_KEY_FILE", "key.pem")
        // What a cluster sets for every service of this name.
        .env("TASKWIRE_PORT", "tcp://10.0.0.1:50051")
        .env("TASKWIRE_SERVICE_HOST", "10.0.0.1");
    let ended = Running::spawn(command).end();
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(!ended.stdout.contains(CANARY), "{}", ended.stdout);
    for line in [
        "TASKWIRE_TOKEN_ISSUER=by-flag",
        "TASKWIRE_TOKEN_AUDIENCE=by-variable",
        "TASKWIRE_MIGRATE=true",
        "TASKWIRE_SIGNING_KEY_FILE=key.pem",
        "TASKWIRE_LISTEN=127.0.0.1:50051",
    ] {
        assert!(ended.stdout.lines().any(|printed| printed == line), "{line}: {}", ended.stdout);
    }
    let url = ended.stdout.lines().find(|line| line.starts_with("TASKWIRE_DATABASE_URL=")).unwrap();
    assert!(url.contains("taskwire:***@db.example:6432/taskwire") && url.contains("password=***"), "{url}");
    assert!(url.contains("sslmode=require"), "{url}");
}

#[test]
fn every_flag_is_printed_and_can_be_read_again() {
    let sandbox = Sandbox::new();
    let printed = sandbox.run(["config", "print"]).stdout;
    let help = sandbox.run(["serve", "--help"]).stdout;
    let flags = help.matches("[env: TASKWIRE_").count();
    assert_eq!(printed.lines().count(), flags, "{printed}");
    for line in printed.lines() {
        // A path can be anything.
        let name = line.split('=').next().unwrap().strip_prefix("TASKWIRE_").unwrap();
        let tried = WRONG.iter().any(|(wrong, _)| *wrong == name);
        assert!(
            tried || ["DATA_DIR", "SIGNING_KEY_FILE", "SECRETS_KEY_FILE"].contains(&name),
            "{name} is never set wrong above"
        );
    }
    let mut command = sandbox.command();
    command.args(["config", "print"]).envs(printed.lines().map(|line| line.split_once('=').unwrap()));
    let again = Running::spawn(command).end();
    assert_eq!(again.stdout, printed);
}

#[test]
fn the_embedded_database_has_no_workers() {
    let ended = Sandbox::new().run(["config", "check", "--citus-direct"]);
    assert_eq!((ended.status, ended.complaints().len()), (Some(64), 1), "{}", ended.stderr);
    assert!(ended.complaints()[0].contains("TASKWIRE_CITUS_DIRECT (--citus-direct)"), "{}", ended.stderr);
}

#[test]
fn good_settings_pass_the_check() {
    let sandbox = Sandbox::new();
    let ended = sandbox.run(["config", "check"]);
    assert_eq!((ended.status, ended.stdout.as_str()), (Some(0), "the configuration is valid\n"));
    assert_eq!(std::fs::read_dir(sandbox.path("")).unwrap().count(), 0, "the check made files");
}

#[test]
fn standbys_are_checked_one_by_one_and_shown_without_passwords() {
    let sandbox = Sandbox::new();
    let one = "postgres://taskwire:canary-4b1f@one.example,two.example/taskwire";
    let check = |command: &str, urls: &str| {
        let settings = ["--database-url", one, "--signing-key-file", "key.pem", "--read-urls", urls];
        sandbox.run(["config", command].into_iter().chain(settings))
    };
    for (urls, number) in [
        (format!("{one},mysql://two.example/taskwire"), 2),
        (format!("{one},postgres://two.example:99999/taskwire"), 2),
        (format!("{one} {one}, {one}?sslmode=maybe"), 3),
    ] {
        let ended = check("check", &urls);
        assert_eq!(ended.status, Some(64), "{}", ended.stderr);
        let complaints = ended.complaints();
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(complaints[0].contains("TASKWIRE_READ_URLS (--read-urls)"), "{complaints:?}");
        assert!(complaints[0].contains(&format!("number {number} ")), "{complaints:?}");
        assert!(!ended.stderr.contains(CANARY) && !ended.stdout.contains(CANARY), "{}", ended.stderr);
    }
    let ended = sandbox.run(["config", "check", "--read-urls", one]);
    assert_eq!(ended.status, Some(64));
    assert!(ended.complaints()[0].contains("standbys of PostgreSQL"), "{}", ended.stderr);
    let printed = check("print", &format!("{one}, {one}")).stdout;
    let shown = "TASKWIRE_READ_URLS=postgres://taskwire:***@one.example,two.example/taskwire";
    let line = printed.lines().find(|line| line.starts_with("TASKWIRE_READ_URLS")).unwrap();
    assert!(line.starts_with(shown), "{line}");
    assert!(!printed.contains(CANARY), "{printed}");
}
