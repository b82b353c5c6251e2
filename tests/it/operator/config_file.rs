//! The configuration file: what it may say, what stands above it, and what is refused.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use crate::support::process::{Running, Sandbox};

/// What a file says, the line of the mistake, and the key that the complaint must name.
const WRONG: [(&str, usize, &str); 44] = [
    ("lisen = \"127.0.0.1:0\"", 1, "lisen"),
    ("LISTEN = \"127.0.0.1:0\"", 1, "LISTEN"),
    ("listen-address = \"127.0.0.1:0\"", 1, "listen-address"),
    ("config = \"other.toml\"", 1, "config"),
    ("\n\n# far down\nlisten = 50051", 4, "listen"),
    ("listen = true", 1, "listen"),
    ("listen = [\"127.0.0.1:0\"]", 1, "listen"),
    ("listen = \"localhost\"", 1, "listen"),
    ("[server]\nlisten = \"127.0.0.1:0\"", 1, "server"),
    ("server.listen = \"127.0.0.1:0\"", 1, "server"),
    ("listen = \"127.0.0.1:0\"\nlisten = \"127.0.0.1:1\"", 2, "listen"),
    ("migrate = \"maybe\"", 1, "migrate"),
    ("migrate = 1", 1, "migrate"),
    ("registration_open = \"sometimes\"", 1, "registration_open"),
    ("token_issuer = 5", 1, "token_issuer"),
    ("token_audience = 2026-11-23", 1, "token_audience"),
    ("access_token_seconds = 0", 1, "access_token_seconds"),
    ("access_token_seconds = -1", 1, "access_token_seconds"),
    ("access_token_seconds = 1.5", 1, "access_token_seconds"),
    ("access_token_seconds = true", 1, "access_token_seconds"),
    ("access_token_seconds = \"15m\"", 1, "access_token_seconds"),
    ("access_token_seconds = 4294967296", 1, "access_token_seconds"),
    ("password_length_min = 256", 1, "password_length_min"),
    ("lanes = \"on\"", 1, "lanes"),
    ("lanes = 17", 1, "lanes"),
    ("postgres_connections_max = 0", 1, "postgres_connections_max"),
    ("sqlite_readers_max = \"many\"", 1, "sqlite_readers_max"),
    ("connect_timeout_ms = 0", 1, "connect_timeout_ms"),
    ("checkout_timeout_ms = -5", 1, "checkout_timeout_ms"),
    ("message_bytes_max = \"1MB\"", 1, "message_bytes_max"),
    ("calls_max = 0", 1, "calls_max"),
    ("calls_waiting_max = -1", 1, "calls_waiting_max"),
    ("connections_max = -1", 1, "connections_max"),
    ("connection_age_seconds = 0", 1, "connection_age_seconds"),
    ("deadline_max_ms = 0", 1, "deadline_max_ms"),
    ("rate_per_second = -1", 1, "rate_per_second"),
    ("rate_burst = 0", 1, "rate_burst"),
    ("tls_cert_file = 1", 1, "tls_cert_file"),
    ("log_format = \"xml\"", 1, "log_format"),
    ("admin_listen = \"on\"", 1, "admin_listen"),
    ("admin_listen = 9464", 1, "admin_listen"),
    ("trace_ratio = \"often\"", 1, "trace_ratio"),
    ("trace_endpoint = false", 1, "trace_endpoint"),
    ("log = \"info\"\nlanes =", 2, "lanes"),
];

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let mut took: Vec<Duration> = Vec::new();
    for (text, line, key) in WRONG {
        let sandbox = Sandbox::new();
        let file = sandbox.write("taskwire.toml", text);
        let ended = sandbox.run(["serve", "--listen", "127.0.0.1:0", "--config", &file]);
        assert_eq!(ended.status, Some(64), "{text}: {}", ended.stderr);
        let place = format!("{file}:{line}: ");
        let complaints = ended.complaints();
        let named = complaints.iter().any(|line| line.starts_with(&place) && line.contains(key));
        assert!(named && complaints.len() == 1, "{text}: {complaints:?}");
        assert_eq!(std::fs::read_dir(sandbox.path("")).unwrap().count(), 1, "{text} left files behind");
        took.push(ended.took);
    }
    // Not each run is held to it, as the machine may be busy with other tests.
    took.sort();
    assert!(took[took.len() / 2] < Duration::from_secs(2), "{took:?}");
}

/// What one value alone does not show is found when everything is together.
#[test]
fn what_the_whole_shows_is_named_as_well() {
    for (text, key) in [
        ("trace_endpoint = \"https://collector.example\"", "TASKWIRE_TRACE_ENDPOINT"),
        ("trace_endpoint = \"collector:4317\"", "TASKWIRE_TRACE_ENDPOINT"),
        ("trace_ratio = 1.5", "TASKWIRE_TRACE_RATIO"),
        ("trace_ratio = -1", "TASKWIRE_TRACE_RATIO"),
        ("trace_ratio = nan", "TASKWIRE_TRACE_RATIO"),
        ("log = \"taskwire=loud\"", "TASKWIRE_LOG"),
        ("tls_cert_file = \"cert.pem\"", "TASKWIRE_TLS_KEY_FILE"),
        ("lock_timeout_ms = 9000", "TASKWIRE_LOCK_TIMEOUT_MS"),
    ] {
        let sandbox = Sandbox::new();
        let file = sandbox.write("taskwire.toml", text);
        let ended = sandbox.run(["config", "check", "--config", &file]);
        assert_eq!(ended.status, Some(64), "{text}: {}", ended.stderr);
        assert!(ended.complaints()[0].starts_with(key), "{text}: {}", ended.stderr);
    }
}

#[test]
fn everything_is_told_at_once() {
    let sandbox = Sandbox::new();
    let file = sandbox.write("taskwire.toml", "lisen = 1\nlanes = \"on\"\ncalls_max = 0\nlog = \"info\"\n");
    let mut command = sandbox.command();
    command.args(["config", "check"]).env("TASKWIRE_CONFIG", &file).env("TASKWIRE_LISTENN", "127.0.0.1:0");
    let ended = Running::spawn(command).end();
    assert_eq!(ended.status, Some(64));
    let complaints = ended.complaints();
    assert_eq!(complaints.len(), 4, "{complaints:?}");
    for named in ["TASKWIRE_LISTENN", ":1: lisen", ":2: lanes", ":3: calls_max"] {
        assert!(complaints.iter().any(|line| line.contains(named)), "{named}: {complaints:?}");
    }
    // And so are wrong variables.
    let mut command = sandbox.command();
    command.args(["config", "check", "--rate-burst", "0"]);
    command.env("TASKWIRE_LANES", "on").env("TASKWIRE_CALLS_MAX", "0").env("TASKWIRE_LISTEN", "nowhere");
    let ended = Running::spawn(command).end();
    assert_eq!(ended.status, Some(64));
    for flag in ["--rate-burst", "--lanes", "--calls-max", "--listen"] {
        assert!(ended.stderr.contains(flag), "{flag}: {}", ended.stderr);
    }
}

#[test]
fn flags_stand_above_variables_and_those_above_the_file() {
    let sandbox = Sandbox::new();
    let text = "token_issuer = \"by-file\"\ntoken_audience = \"by-file\"\nlog = \"warn\"\nlanes = 2\n\
                migrate = true\ntrace_ratio = 0.5\nconnections_max = 100\n";
    let file = sandbox.write("taskwire.toml", text);
    let mut command = sandbox.command();
    command
        .args(["config", "print", "--token-issuer", "by-flag"])
        .env("TASKWIRE_CONFIG", &file)
        .env("TASKWIRE_TOKEN_ISSUER", "by-variable")
        .env("TASKWIRE_TOKEN_AUDIENCE", "by-variable");
    let ended = Running::spawn(command).end();
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    for line in [
        "TASKWIRE_TOKEN_ISSUER=by-flag",
        "TASKWIRE_TOKEN_AUDIENCE=by-variable",
        "TASKWIRE_LOG=warn",
        "TASKWIRE_LANES=2",
        "TASKWIRE_MIGRATE=true",
        "TASKWIRE_TRACE_RATIO=0.5",
        "TASKWIRE_CONNECTIONS_MAX=100",
        "TASKWIRE_CALLS_MAX=512",
        &format!("TASKWIRE_CONFIG={file}"),
    ] {
        assert!(ended.stdout.lines().any(|printed| printed == line), "{line}: {}", ended.stdout);
    }
}

#[test]
fn a_file_with_a_secret_is_closed_and_its_secret_is_not_told() {
    let sandbox = Sandbox::new();
    let text = "database_url = \"postgres://taskwire:canary-4b1f@127.0.0.1/taskwire\"\nsigning_key_file = \"key.pem\"\n";
    let file = sandbox.write("taskwire.toml", text);
    let ended = sandbox.run(["config", "print", "--config", &file]);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("taskwire:***@127.0.0.1") && !ended.stdout.contains("canary"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ended = sandbox.run(["config", "print", "--config", &file]);
    assert_eq!(ended.status, Some(64));
    assert!(ended.complaints()[0].contains("taskwire.toml:1: database_url"), "{}", ended.stderr);
    sandbox.write("taskwire.toml", "read_urls = \"postgres://taskwire:canary-4b1f@127.0.0.1/taskwire\"\n");
    let ended = sandbox.run(["config", "print", "--config", &file]);
    assert!(ended.complaints()[0].contains("taskwire.toml:1: read_urls"), "{}", ended.stderr);
    assert!(ended.status == Some(64) && !ended.stderr.contains("canary"), "{}", ended.stderr);
    sandbox.write("taskwire.toml", "database_url = 4\n");
    let ended = sandbox.run(["config", "print", "--config", &file]);
    assert!(ended.status == Some(64) && !ended.stderr.contains("canary"), "{}", ended.stderr);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let sandbox = Sandbox::new();
    for file in ["missing.toml", "."] {
        let ended = sandbox.run(["config", "check", "--config", file]);
        assert_eq!(ended.status, Some(64), "{file}");
        assert!(ended.complaints()[0].starts_with("TASKWIRE_CONFIG (--config): "), "{}", ended.stderr);
    }
    let binary = sandbox.path("binary.toml");
    std::fs::write(&binary, [0xff, 0xfe, 0]).unwrap();
    let ended = sandbox.run(["config", "check", "--config", "binary.toml"]);
    assert_eq!(ended.status, Some(64), "{}", ended.stderr);
}

#[test]
fn a_variable_that_is_no_setting_is_refused() {
    let run = |name: &str| {
        let sandbox = Sandbox::new();
        let mut command = sandbox.command();
        command.args(["config", "check"]).env(name, "1");
        Running::spawn(command).end()
    };
    for name in ["TASKWIRE_TLS_CERTFILE", "TASKWIRE_", "TASKWIRE_log", "TASKWIRE_REGISTRATION"] {
        let ended = run(name);
        assert_eq!(ended.status, Some(64), "{name}");
        assert!(ended.complaints()[0].starts_with(name), "{name}: {}", ended.stderr);
    }
    // What a cluster sets for every service, and what the tests set.
    for name in [
        "TASKWIRE_SERVICE_HOST",
        "TASKWIRE_SERVICE_PORT_GRPC",
        "TASKWIRE_PORT_50051_TCP_ADDR",
        "TASKWIRE_DB_PORT",
        "TASKWIRE_TEST_BINARY",
        "TASKWIRE_SOAK",
    ] {
        assert_eq!(run(name).status, Some(0), "{name}");
    }
}
