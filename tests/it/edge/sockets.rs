//! Other ways to listen, and what systemd is told.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use super::check;
use crate::support::process::{Running, Sandbox, Service};

#[test]
fn a_unix_socket_is_served_replaced_and_removed() {
    let sandbox = Sandbox::new();
    let address = format!("unix:{}", sandbox.text("socket"));
    let serve = || {
        let mut command = sandbox.command();
        command.args(["serve", "--listen", &address]);
        let mut running = Running::spawn(command);
        let line = running.wait_for("taskwire is listening");
        assert!(line.contains(&address), "{line}");
        running.wait_for("ready");
        running
    };
    let mut running = serve();
    let mode = std::fs::metadata(sandbox.path("socket")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let health = sandbox.run(["health", "--address", &address]);
    assert_eq!((health.status, health.stdout.trim()), (Some(0), "serving"), "{}", health.stderr);
    let second = sandbox.run(["serve", "--listen", &address]);
    assert_eq!(second.status, Some(1), "{}", second.stderr);

    running.signal("KILL");
    running.end();
    assert!(sandbox.path("socket").exists());
    let mut running = serve();
    running.signal("TERM");
    assert_eq!(running.end().status, Some(0));
    assert!(!sandbox.path("socket").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_is_handed_over_is_served() {
    let sandbox = Sandbox::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let line = "LISTEN_PID=$$ LISTEN_FDS=1; export LISTEN_PID LISTEN_FDS; exec \"$0\" \"$@\" 3<&0 </dev/null";
    let mut command = sandbox.shell(line);
    command.args(["serve", "--listen", "127.0.0.1:1"]).stdin(OwnedFd::from(listener));
    let service = Service::start(command);
    assert_eq!(service.address, address);
    check(service.connect().await).await.unwrap();
    assert_eq!(service.stop().status, Some(0));
}

#[test]
fn systemd_is_told_of_the_beginning_and_the_end() {
    let sandbox = Sandbox::new();
    let socket = UnixDatagram::bind(sandbox.path("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let told = || {
        let mut bytes = [0; 64];
        let count = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    };
    let mut command = sandbox.command();
    command.args(["serve", "--listen", "127.0.0.1:0"]).env("NOTIFY_SOCKET", sandbox.path("notify"));
    let service = Service::start(command);
    assert_eq!(told(), "READY=1");
    assert_eq!(service.stop().status, Some(0));
    assert_eq!(told(), "STOPPING=1");
}
