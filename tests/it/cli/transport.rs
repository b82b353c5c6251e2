//! The way to the service: where it is, by whom it is vouched for, and when it is not there.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::{EMAIL, PASSWORD, World, at_home};
use crate::support::database::TestDatabase;
use crate::support::one_engine;
use crate::support::process::{Running, Sandbox};

one_engine!(Sqlite: a_service_that_is_away_is_told_of, over_tls_by_an_authority_that_is_remembered);

async fn a_service_that_is_away_is_told_of(database: TestDatabase) {
    let world = World::start(database).await;
    let address = world.address();
    let World { sandbox, service, database: _database } = world;
    service.stop();
    for arguments in
        [&["whoami"][..], &["task", "list"], &["task", "add", "Milk"], &["task", "watch"], &["logout"]]
    {
        let mut command = at_home(sandbox.command(), &sandbox, &address);
        command.args(arguments);
        let ended = Running::spawn(command).end();
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""), "{arguments:?}: {}", ended.stderr);
        for part in [address.as_str(), "taskwire serve", "--address"] {
            assert!(ended.complaints()[0].contains(part), "{arguments:?}: {}", ended.stderr);
        }
    }
    // The login is still there, until one says that it may go.
    let mut command = at_home(sandbox.command(), &sandbox, &address);
    command.args(["logout", "--forget", "--table"]);
    let forgotten = Running::spawn(command).end();
    assert_eq!((forgotten.status, forgotten.stderr.as_str()), (Some(0), ""));
}

async fn over_tls_by_an_authority_that_is_remembered(_: TestDatabase) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let sandbox = Sandbox::new();
    sandbox.write("cert.pem", &params.signed_by(&key, &authority).unwrap().pem());
    sandbox.write("key.pem", &key.serialize_pem());
    sandbox.write("ca.pem", &authority.pem());
    let service = sandbox.serve(&["--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem"]);
    let address = format!("https://localhost:{}", service.address.port());
    let password = sandbox.write("password", PASSWORD);
    let run = |arguments: &[&str]| {
        let mut command = at_home(sandbox.command(), &sandbox, &address);
        command.args(arguments);
        Running::spawn(command).end()
    };
    let register = ["register", EMAIL, "--password-file", &password];
    let stranger = run(&register);
    assert_eq!((stranger.status, stranger.stdout.as_str()), (Some(1), ""));
    assert!(stranger.stderr.contains(&address), "{}", stranger.stderr);
    let known = run(&[&register[..], &["--ca-file", "ca.pem"]].concat());
    assert_eq!(known.status, Some(0), "{}", known.stderr);
    // From now on without a word, and from any directory.
    let mut command = at_home(sandbox.command(), &sandbox, &address);
    command.args(["task", "add", "Milk"]).current_dir("/");
    let added = Running::spawn(command).end();
    assert_eq!(added.status, Some(0), "{}", added.stderr);
    let missing = run(&["whoami", "--ca-file", "none.pem"]);
    assert_eq!(missing.status, Some(64));
    assert!(missing.stderr.contains("TASKWIRE_CA_FILE (--ca-file): none.pem: "), "{}", missing.stderr);
    assert_eq!(service.stop().status, Some(0));
}

#[test]
fn an_address_is_checked_before_anything_is_sent() {
    let sandbox = Sandbox::new();
    for (address, part) in [
        ("", "http://HOST:PORT"),
        ("nonsense://x", "http://HOST:PORT"),
        ("http://", "http://HOST:PORT"),
        ("http://127.0.0.1:99999", "http://HOST:PORT"),
        ("http://127.0.0.1:1/path", "http://HOST:PORT"),
        ("http://ada:canary@127.0.0.1:1", "http://HOST:PORT"),
        ("unix:", "needs a path"),
        ("tasks.example.com:443", "https://"),
        ("192.0.2.1:50051", "https://"),
    ] {
        let ended = sandbox.run(["whoami", "--address", address]);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(64), ""), "{address}: {}", ended.stderr);
        assert!(ended.stderr.contains(part), "{address}: {}", ended.stderr);
        assert!(ended.complaints()[0].contains("TASKWIRE_ADDRESS"), "{address}: {}", ended.stderr);
    }
}

#[test]
fn only_variables_that_there_are_get_named() {
    let sandbox = Sandbox::new();
    let ended = sandbox.run(["health", "--address", "nowhere"]);
    assert!(ended.complaints()[0].ends_with(" TASKWIRE_LISTEN"), "{}", ended.stderr);
    let ended = sandbox.run(["task", "add", "Milk", "--due", "soon"]);
    assert_eq!((ended.status, ended.complaints().len()), (Some(64), 0), "{}", ended.stderr);
}

#[test]
fn over_a_unix_socket() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command();
    command.args(["serve", "--listen", "unix:socket"]);
    let mut service = Running::spawn(command);
    service.wait_for("taskwire is listening");
    let password = sandbox.write("password", PASSWORD);
    let mut command = at_home(sandbox.command(), &sandbox, "unix:socket");
    command.args(["register", EMAIL, "--password-file", &password]);
    let ended = Running::spawn(command).end();
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let mut command = at_home(sandbox.command(), &sandbox, &format!("unix:{}", sandbox.text("socket")));
    command.args(["task", "add", "Milk"]);
    assert_eq!(Running::spawn(command).end().status, Some(0));
    service.signal("TERM");
    assert_eq!(service.end().status, Some(0));
}

#[test]
fn the_variables_of_a_caller_do_not_keep_the_service_from_starting() {
    let sandbox = Sandbox::new();
    let mut command = at_home(sandbox.command(), &sandbox, "http://127.0.0.1:1");
    command.args(["config", "check"]).env("TASKWIRE_API_KEY", "twk_x").env("TASKWIRE_CA_FILE", "none.pem");
    assert_eq!(Running::spawn(command).end().status, Some(0));
    let mut command = at_home(sandbox.command(), &sandbox, "http://127.0.0.1:1");
    command.args(["config", "check"]).env("TASKWIRE_API_KEYS", "x");
    assert_eq!(Running::spawn(command).end().status, Some(64));
}
