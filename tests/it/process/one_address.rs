//! Three replicas behind one address: Envoy, as deployed. Replicas are killed, restarted one after another and cut off from
//! the database while callers work, who notice nothing that one repetition does not mend.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener as AsyncTcpListener, TcpStream};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::callers::{Callers, Repeats};
use crate::storage::eventually;
use crate::support::database::{Engine, Schema, TestDatabase};
use crate::support::process::{Running, Sandbox, Service, program};

/// How many faults come, and how long after one another at least. The larger numbers are the ones that count, run by hand
/// with `TASKWIRE_SOAK=1`.
fn faults() -> (usize, Duration) {
    let soak = std::env::var_os("TASKWIRE_SOAK").is_some_and(|value| value == "1");
    if soak { (60, Duration::from_secs(5)) } else { (4, Duration::ZERO) }
}

/// The program of the version before, which `make test-previous` makes.
fn previous() -> Option<String> {
    std::env::var("TASKWIRE_TEST_PREVIOUS_BINARY").ok().filter(|path| !path.is_empty())
}

/// What leads to a database, until it is cut: nothing goes through then, and nobody is told.
struct Line {
    address: SocketAddr,
    is_cut: Arc<AtomicBool>,
}

impl Line {
    async fn to(host: String, port: u16) -> Self {
        let listener = AsyncTcpListener::bind("127.0.0.1:0").await.unwrap();
        let line = Self { address: listener.local_addr().unwrap(), is_cut: Arc::default() };
        let is_cut = Arc::clone(&line.is_cut);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (is_cut, host) = (Arc::clone(&is_cut), host.clone());
                tokio::spawn(async move {
                    let until_cut = async {
                        while !is_cut.load(Ordering::SeqCst) {
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        }
                    };
                    let Ok(mut far) = TcpStream::connect((host.as_str(), port)).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => return,
                        () = until_cut => {}
                    }
                    // Held open, without a word, for as long as the cut lasts.
                    while is_cut.load(Ordering::SeqCst) {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                });
            }
        });
        line
    }

    fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::SeqCst);
    }
}

/// Three replicas and the proxy.
struct House {
    sandbox: Sandbox,
    ports: [u16; 3],
    line: Line,
    url: String,
    replicas: Vec<Option<Service>>,
    envoy: Child,
    address: String,
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = self.envoy.kill();
        let _ = self.envoy.wait();
    }
}

/// Ports that are free now. They stay so: they are far from those that the system gives out by itself, and no two cases
/// take the same.
fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    static HOUSES: AtomicU16 = AtomicU16::new(0);
    let house = HOUSES.fetch_add(1, Ordering::SeqCst);
    let start = 21_000 + u16::try_from(std::process::id() % 80).unwrap() * 100 + house * 20;
    let mut free = (start..).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    std::array::from_fn(|_| free.next().unwrap())
}

/// The proxy's program; `None` where it is not known, which is said.
fn envoy() -> Option<PathBuf> {
    let envoy = std::env::var_os("TASKWIRE_TEST_ENVOY").filter(|path| !path.is_empty());
    if envoy.is_none() {
        println!("skipped: TASKWIRE_TEST_ENVOY names no proxy");
    }
    envoy.map(Into::into)
}

/// The configuration as deployed, with these addresses and files in the places that are marked for it.
fn configuration(sandbox: &Sandbox, port: u16, admin: u16, replicas: [u16; 3]) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let deployed = std::fs::read_to_string(root.join("deploy/envoy/envoy.yaml")).unwrap();
    let descriptor = Command::new(program()).arg("descriptor").output().unwrap().stdout;
    std::fs::write(sandbox.path("taskwire.binpb"), descriptor).unwrap();
    let mut lines: Vec<String> = Vec::new();
    for line in deployed.lines() {
        let Some((text, mark)) = line.split_once("# set: ") else {
            lines.push(line.to_owned());
            continue;
        };
        let set = |key: &str, value: &str| {
            let at = text.find(key).unwrap() + key.len() + 1;
            let rest = text[at..].trim_start();
            let old = rest.split([' ', '}']).next().unwrap();
            text.replacen(old, value, 1)
        };
        match mark {
            "admin" => lines.push(set("port_value:", &admin.to_string())),
            "listen" => lines.push(set("port_value:", &port.to_string())),
            "descriptor" => lines.push(set("proto_descriptor:", &sandbox.text("taskwire.binpb"))),
            "script" => {
                let script = root.join("deploy/envoy/gateway.lua");
                lines.push(set("filename:", script.to_str().unwrap()));
            }
            // One endpoint becomes three, of three lines each.
            "service" => {
                let before = lines.split_off(lines.len() - 2);
                for replica in replicas {
                    lines.extend(before.iter().cloned());
                    lines.push(set("port_value:", &replica.to_string()));
                }
            }
            _ => lines.push(text.to_owned()),
        }
    }
    let path = sandbox.path("envoy.yaml");
    std::fs::write(&path, lines.join("\n")).unwrap();
    path
}

impl House {
    async fn open(database: &TestDatabase, envoy: PathBuf, first: &str) -> Self {
        let sandbox = Sandbox::new();
        assert_eq!(sandbox.run(["keys", "generate", "--out", "key.pem"]).status, Some(0));
        let [port, admin, replicas @ ..] = free_ports::<5>();
        let mut url = url::Url::parse(&database.url).unwrap();
        let line = Line::to(url.host_str().unwrap().to_owned(), url.port().unwrap_or(5432)).await;
        url.set_port(Some(line.address.port())).unwrap();
        let log = std::fs::File::create(sandbox.path("envoy.log")).unwrap();
        let envoy = Command::new(envoy)
            .arg("-c")
            .arg(configuration(&sandbox, port, admin, replicas))
            .args(["--log-level", "warning", "--concurrency", "1"])
            .args(["--base-id", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let address = format!("http://127.0.0.1:{port}");
        let replicas_started = (0..3).map(|_| None).collect();
        let url = url.to_string();
        let mut house =
            Self { sandbox, ports: replicas, line, url, replicas: replicas_started, envoy, address };
        for number in 0..3 {
            house.start(number, &database.url, first, &["--migrate"]);
        }
        house
    }

    /// Starts a replica. The first one reaches the database over the line.
    fn start(&mut self, number: usize, url: &str, program: &str, more: &[&str]) {
        let url = if number == 0 { &self.url } else { url };
        let mut command = Command::new(program);
        command.env_clear().current_dir(self.sandbox.path("."));
        command.args(["serve", "--listen", &format!("127.0.0.1:{}", self.ports[number])]);
        command.args(["--admin-listen", "off", "--log-format", "json", "--trusted-proxies", "127.0.0.1/32"]);
        command.args(["--database-url", url, "--signing-key-file", "key.pem"]).args(more);
        self.replicas[number] = Some(Service::listening(Running::spawn(command)));
    }

    /// Whether there is a service at the address.
    async fn is_serving(&self) -> bool {
        let endpoint = Endpoint::from_shared(self.address.clone()).unwrap();
        let Ok(channel) = endpoint.connect().await else { return false };
        HealthClient::new(channel).check(HealthCheckRequest::default()).await.is_ok()
    }

    fn replica(&self, number: usize) -> &Service {
        self.replicas[number].as_ref().unwrap()
    }
}

/// A house with callers in it, served by this program at first; `None` where there is no proxy or no server.
async fn with_callers(first: &str, repeats: Repeats) -> Option<(TestDatabase, House, Callers)> {
    let envoy = envoy()?;
    let Some(database) = TestDatabase::create(Engine::Postgres, Schema::Empty).await else {
        println!("skipped: TASKWIRE_TEST_POSTGRES_URL names no server");
        return None;
    };
    let house = House::open(&database, envoy, first).await;
    for number in 0..3 {
        house.replica(number).wait_until(ServingStatus::Serving).await;
    }
    eventually("the proxy has found them", async || house.is_serving().await).await;
    let callers = Callers::start(&house.address, repeats).await;
    Some((database, house, callers))
}

#[test]
fn replicas_are_killed_again_and_again() {
    run(async {
        let Some((database, mut house, callers)) = with_callers(&program(), Repeats::Once).await else {
            return;
        };
        let (count, apart) = faults();
        for turn in 0..count {
            let apart = tokio::time::sleep(apart);
            callers.answered(200).await;
            apart.await;
            let number = turn % 3;
            // It goes without a word, and comes back.
            house.replicas[number] = None;
            callers.answered(50).await;
            house.start(number, &database.url, &program(), &[]);
            house.replica(number).wait_until(ServingStatus::Serving).await;
        }
        callers.finish(house.replica(0)).await;
        database.assert_sound().await;
    });
}

#[test]
fn replicas_are_restarted_one_after_another() {
    run(async {
        // To a newer program with a newer schema, where there is an older one.
        let first = previous();
        println!(
            "from {}",
            first.as_deref().unwrap_or("this version, as TASKWIRE_TEST_PREVIOUS_BINARY names no other")
        );
        let first = first.unwrap_or_else(program);
        let Some((database, mut house, callers)) = with_callers(&first, Repeats::Once).await else { return };
        for number in 0..3 {
            callers.answered(200).await;
            let ended = house.replicas[number].take().unwrap().stop();
            assert_eq!(ended.status, Some(0), "{}", ended.stderr);
            house.start(number, &database.url, &program(), &["--migrate"]);
            house.replica(number).wait_until(ServingStatus::Serving).await;
        }
        callers.answered(200).await;
        // And back, where the older program can work on the newer schema, as those from this one on.
        let status = ["migrate", "status", "--database-url", &database.url];
        let fits = Command::new(&first).args(status).output().unwrap().status.success();
        assert!(fits || first != program());
        for number in if fits { 0..2 } else { 0..0 } {
            let ended = house.replicas[number].take().unwrap().stop();
            assert_eq!(ended.status, Some(0), "{}", ended.stderr);
            house.start(number, &database.url, &first, &[]);
            house.replica(number).wait_until(ServingStatus::Serving).await;
            callers.answered(200).await;
        }
        callers.finish(house.replica(2)).await;
        database.assert_sound().await;
    });
}

#[test]
fn a_replica_is_cut_off_from_the_database() {
    run(async {
        let Some((database, house, callers)) = with_callers(&program(), Repeats::Once).await else {
            return;
        };
        for _ in 0..faults().0.div_ceil(10) {
            callers.answered(200).await;
            house.line.cut(true);
            house.replica(0).wait_until(ServingStatus::NotServing).await;
            callers.answered(200).await;
            house.line.cut(false);
            house.replica(0).wait_until(ServingStatus::Serving).await;
        }
        callers.answered(200).await;
        callers.finish(house.replica(0)).await;
        database.assert_sound().await;
    });
}

/// Runs a case on a runtime of its own.
fn run(case: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(900), case).await.expect("the case hangs");
    });
}
