//! A first start with nothing prepared, a second one on what the first left behind, and starts that cannot work.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use taskwire::pb::GetUserRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use super::{authorised, log_in, log_in_again};
use crate::auth::served::run;
use crate::support::process::{Sandbox, Service};

#[test]
fn a_fresh_start_prepares_everything_for_its_owner_alone() {
    run(async {
        let sandbox = Sandbox::new();
        // Whatever the mask of the process allows.
        let mut command = sandbox.shell(r#"umask 0; exec "$0" "$@""#);
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        let service = Service::start(command);
        service.wait_until(ServingStatus::Serving).await;
        log_in(&service).await;
        let mode = |name: &str| {
            let file = sandbox.path("taskwire-data").join(name);
            std::fs::metadata(&file).unwrap_or_else(|error| panic!("{name}: {error}")).permissions().mode()
                & 0o777
        };
        assert_eq!(mode(""), 0o700);
        for file in
            ["signing-key.pem", "taskwire.db", "taskwire.db-wal", "taskwire.db-shm", "taskwire.db-history"]
        {
            assert_eq!(mode(file), 0o600, "{file}");
        }
        let ended = service.stop();
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
        assert_eq!(ended.stdout, "");
    });
}

#[test]
fn a_database_elsewhere_needs_nothing_else_either() {
    run(async {
        let sandbox = Sandbox::new();
        for (file, data) in [("elsewhere.db", "one"), ("deep/below/elsewhere.db", "two/three")] {
            let url = format!("sqlite:{file}");
            let service = sandbox.serve(&["--database-url", &url, "--data-dir", data]);
            log_in(&service).await;
            assert_eq!(service.stop().status, Some(0));
            assert!(sandbox.path(file).exists(), "{file}");
            let key = sandbox.path(data).join("signing-key.pem");
            assert_eq!(std::fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
        }
    });
}

#[test]
fn a_second_start_finds_everything_again() {
    run(async {
        let sandbox = Sandbox::new();
        let service = sandbox.serve(&[]);
        let pair = log_in(&service).await;
        service.stop();
        let service = sandbox.serve(&[]);
        // The key is the same, so the token is as good as before.
        let me = authorised(GetUserRequest { name: "users/me".into() }, &pair);
        let found = service.users().await.get_user(me).await.unwrap().into_inner();
        assert_eq!(found.name, pair.user.unwrap().name);
        log_in_again(&service).await;
    });
}

#[test]
fn health_tells_a_running_service_from_none() {
    run(async {
        let sandbox = Sandbox::new();
        let service = sandbox.serve(&[]);
        service.wait_until(ServingStatus::Serving).await;
        let address = service.address.to_string();
        for name in ["", "taskwire.v1.TaskService", "taskwire.v1.UserService"] {
            let ended = sandbox.run(["health", "--address", &address, "--service", name]);
            assert_eq!((ended.status, ended.stdout.as_str()), (Some(0), "serving\n"), "{name}");
        }
        let unknown = sandbox.run(["health", "--address", &address, "--service", "other"]);
        assert_eq!(unknown.status, Some(1));
        assert_eq!(unknown.complaints().len(), 1, "{unknown:?}");
        service.stop();
        let gone = sandbox.run(["health", "--address", &address]);
        assert_eq!(gone.status, Some(1));
        assert_eq!(gone.complaints().len(), 1, "{gone:?}");
        assert!(gone.complaints()[0].contains(&address), "{gone:?}");
    });
}

#[test]
fn a_port_in_use_is_one_line() {
    let sandbox = Sandbox::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let ended = sandbox.run(["serve", "--listen", &address]);
    assert_eq!(ended.status, Some(1));
    assert_eq!(ended.complaints().len(), 1, "{}", ended.stderr);
    assert!(ended.complaints()[0].contains(&address), "{}", ended.stderr);
    assert!(ended.complaints()[0].contains("in use"), "{}", ended.stderr);
}

#[test]
fn a_file_that_is_no_database_is_named() {
    let sandbox = Sandbox::new();
    let file = sandbox.write("notes.txt", &"this is no database, but a text of some length\n".repeat(100));
    let url = format!("sqlite:{file}");
    for command in
        [vec!["serve", "--listen", "127.0.0.1:0"], vec!["migrate", "up"], vec!["migrate", "status"]]
    {
        let arguments = command.iter().copied().chain(["--database-url", url.as_str()]);
        let ended = sandbox.run(arguments);
        assert_eq!(ended.status, Some(1), "{command:?}: {}", ended.stderr);
        assert_eq!(ended.complaints().len(), 1, "{}", ended.stderr);
        assert!(ended.complaints()[0].contains("notes.txt"), "{}", ended.stderr);
    }
    let kept = std::fs::read_to_string(sandbox.path("notes.txt")).unwrap();
    assert!(kept.starts_with("this is no database"));
}

#[test]
fn a_place_where_no_database_can_be_is_named() {
    let sandbox = Sandbox::new();
    sandbox.write("file", "");
    std::fs::create_dir(sandbox.path("directory")).unwrap();
    for place in ["file/below.db", "directory", "/proc/nowhere/taskwire.db"] {
        let url = format!("sqlite:{place}");
        let ended = sandbox.run(["serve", "--listen", "127.0.0.1:0", "--database-url", &url]);
        assert_eq!(ended.status, Some(1), "{}", ended.stderr);
        assert_eq!(ended.complaints().len(), 1, "{}", ended.stderr);
        assert!(ended.complaints()[0].contains(place), "{}", ended.stderr);
    }
}

#[test]
fn it_listens_where_people_say() {
    run(async {
        let sandbox = Sandbox::new();
        for (given, hosts) in [
            ("localhost:0", &["127.0.0.1"][..]),
            (":0", &["127.0.0.1", "localhost"]),
            ("127.0.0.1:0", &["127.0.0.1"]),
        ] {
            let mut command = sandbox.command();
            command.args(["serve", "--listen", given, "--admin-listen", given]);
            let service = Service::start(command);
            service.wait_until(ServingStatus::Serving).await;
            for port in [service.address.port(), service.admin.unwrap().port()] {
                for host in hosts {
                    tokio::net::TcpStream::connect((*host, port)).await.unwrap();
                }
            }
            // And so does whoever asks after its health.
            let address = given.replace(":0", &format!(":{}", service.address.port()));
            let asked = sandbox.run(["health", "--address", &address]);
            assert_eq!(asked.status, Some(0), "{given}: {}", asked.stderr);
            assert_eq!(service.stop().status, Some(0));
        }
        for (given, status) in [("localhost", 64), ("50051", 64), ("127.0.0:1", 64), ("nowhere.invalid:0", 1)]
        {
            let ended = sandbox.run(["serve", "--listen", given]);
            assert_eq!(ended.status, Some(status), "{given}: {}", ended.stderr);
            let words = if status == 64 { "localhost:50051" } else { "cannot listen on nowhere.invalid:0" };
            assert!(ended.stderr.contains(words), "{given}: {}", ended.stderr);
        }
    });
}
