//! A PostgreSQL that hangs. The test starts one of its own, and stops its processes by signal.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio_postgres::NoTls;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_types::StatusExt as _;

use super::{register, short_or_soak};
use crate::support::process::Sandbox;

/// A server that goes with this.
struct Throwaway {
    script: Child,
    url: String,
}

impl Throwaway {
    /// `None` where the tests have no PostgreSQL.
    fn start() -> Option<Self> {
        std::env::var_os("TASKWIRE_TEST_POSTGRES_BIN")?;
        let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/with-postgres"))
            // Until its standard input ends.
            .args(["sh", "-c", "echo $TASKWIRE_TEST_POSTGRES_URL; cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(script.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Some(Self { script, url: url.trim().to_owned() })
    }

    /// The process that all others of the server come from.
    async fn process(&self) -> u32 {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let row = client.query_one("select pg_backend_pid()", &[]).await.unwrap();
        parent_of(u32::try_from(row.get::<_, i32>(0)).unwrap()).unwrap()
    }
}

impl Drop for Throwaway {
    fn drop(&mut self) {
        if let Some(mut input) = self.script.stdin.take() {
            let _ = input.flush();
        }
        let _ = self.script.wait();
    }
}

fn parent_of(process: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// Sends a signal to a server and all its processes.
fn signal(name: &str, server: u32) {
    let all = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let process = entry.file_name().to_str()?.parse().ok()?;
        (process == server || parent_of(process) == Some(server)).then(|| process.to_string())
    });
    let sent = Command::new("kill").arg(format!("-{name}")).args(all).status().unwrap();
    assert!(sent.success());
}

/// Lets the server go on, whatever becomes of the test.
struct Stopped(u32);

impl Drop for Stopped {
    fn drop(&mut self) {
        signal("CONT", self.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_to_a_database_that_hangs_end_by_their_deadline() {
    let Some(database) = Throwaway::start() else {
        println!("skipped: there is no PostgreSQL to start");
        return;
    };
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(["keys", "generate", "--out", "key.pem"]).status, Some(0));
    let service = sandbox.serve(&[
        "--database-url",
        &database.url,
        "--signing-key-file",
        "key.pem",
        "--migrate",
        "--deadline-default-ms",
        "2000",
    ]);
    service.wait_until(ServingStatus::Serving).await;
    let server = database.process().await;
    let channel = service.connect().await;
    register(channel.clone(), 0).await.unwrap();

    signal("STOP", server);
    let stopped = Stopped(server);
    let hung = Instant::now();
    let mut took = Vec::new();
    // Round after round, for as long as it hangs.
    while took.is_empty() || hung.elapsed() < short_or_soak(Duration::ZERO, Duration::from_secs(10)) {
        let first = took.len() + 1;
        let round = join_all((first..first + 8).map(|number| {
            let channel = channel.clone();
            async move {
                let begin = Instant::now();
                let status = register(channel, number).await.unwrap_err();
                assert!(status.get_error_details().error_info().is_some(), "{status:?}");
                begin.elapsed()
            }
        }));
        took.extend(round.await);
    }
    let longest = took.iter().max().unwrap();
    service.wait_until(ServingStatus::NotServing).await;
    drop(stopped);
    let begin = Instant::now();
    service.wait_until(ServingStatus::Serving).await;
    let ready = begin.elapsed();
    println!("hung: the longest call took {longest:?}; ready again after {ready:?}");
    // Short runs share the machine with other tests.
    let (late, soon) = short_or_soak((4000, 10_000), (100, 1000));
    assert!(*longest < Duration::from_millis(2000 + late), "{longest:?}");
    assert!(ready < Duration::from_millis(soon), "{ready:?}");
    register(channel, 10_000).await.unwrap();
    service.stop();
}
