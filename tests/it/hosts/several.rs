//! Several servers: which of them is taken, in which order, and how long one is waited for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use taskwire::storage::{Limits, OpenError, Storage};
use tokio::net::TcpListener;

use super::{LOGGED, connect, reach, run};
use crate::revisions::harness::cluster::Cluster;
use crate::storage::eventually;
use crate::support::database::limits;

/// An address at which nobody listens, as long as this is kept.
fn nobody() -> (tokio::net::TcpSocket, SocketAddr) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

async fn primary_and_standby() -> Option<(Cluster, Cluster)> {
    let primary = Cluster::start(LOGGED).await?;
    Storage::open(&primary.url(), limits()).unwrap().migrate().await.unwrap();
    let standby = primary.standby();
    primary.caught_up(&standby).await;
    Some((primary, standby))
}

#[test]
fn the_first_that_will_do_is_taken() {
    run(async {
        let Some((primary, standby)) = primary_and_standby().await else { return };
        let (_socket, nobody) = nobody();
        let both = [&primary, &standby];
        let all =
            format!("postgres://postgres@{nobody},{},{}/postgres", standby.address(), primary.address());
        let (primary_at, standby_at) = (primary.port(), standby.port());
        for (url, reached) in [
            (all.clone(), 0),
            (format!("{all}?target_session_attrs=primary"), 0),
            (format!("{all}?target_session_attrs=any"), 1),
            // Of one server nothing is asked but that it is there.
            (standby.url(), 1),
            (
                format!(
                    "postgres:///postgres?user=postgres&host=127.0.0.1,127.0.0.1&port={standby_at},{primary_at}"
                ),
                0,
            ),
            (format!("postgres://postgres@one,two:{primary_at}/postgres?hostaddr=127.0.0.1,127.0.0.1"), 0),
            (
                format!(
                    "postgres:///postgres?user=postgres&host={},localhost&port={standby_at},{primary_at}",
                    standby.socket_directory().display()
                ),
                0,
            ),
        ] {
            let (number, _) = reach(&url, &both).await.unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!(number, reached, "{url}");
        }
        primary.set_read_only(true).await;
        match reach(&all, &both).await {
            // It may be promoted, so this is no reason to give up for ever.
            Err(OpenError::Away(text)) => {
                for address in [nobody, standby.address(), primary.address()] {
                    assert!(text.contains(&address.to_string()), "{text}");
                }
                assert!(text.contains("does not allow writes"), "{text}");
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_socket_needs_no_tls() {
    run(async {
        let Some(cluster) = Cluster::start(LOGGED).await else { return };
        let directory = cluster.socket_directory().display().to_string().replace('/', "%2F");
        let port = cluster.port();
        for mode in ["disable", "prefer", "require", "verify-full"] {
            let url = format!("postgres://postgres@{directory}:{port}/postgres?sslmode={mode}");
            assert_eq!(reach(&url, &[&cluster]).await, Ok((0, false)), "{mode}");
        }
    });
}

#[test]
fn load_is_spread_when_that_is_asked() {
    run(async {
        let Some((primary, standby)) = primary_and_standby().await else { return };
        let url = format!(
            "postgres://postgres@{},{}/postgres?load_balance_hosts=random&target_session_attrs=any",
            standby.address(),
            primary.address()
        );
        let mut reached = [0, 0];
        while reached.contains(&0) && reached != [64, 0] && reached != [0, 64] {
            reached[reach(&url, &[&primary, &standby]).await.unwrap().0] += 1;
        }
        assert!(!reached.contains(&0), "{reached:?}");
    });
}

/// As a machine does whose network is gone: it takes connections, since its kernel does, and says nothing.
async fn silent() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            kept.push(socket);
        }
    });
    (address, taken)
}

#[test]
fn a_server_that_hangs_leaves_time_for_the_others() {
    run(async {
        let Some(cluster) = Cluster::start("").await else { return };
        let (silent, taken) = silent().await;
        let url = format!("postgres://postgres@{silent},{}/postgres", cluster.address());
        let hasty = Limits { connect_timeout: Duration::from_secs(3), ..limits() };
        let storage = Storage::open(&url, hasty).unwrap();
        let started = Instant::now();
        assert!(storage.schema_state().await.is_ok());
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
        // It is known now where to go.
        assert!(storage.schema_state().await.is_ok());
        assert_eq!(taken.load(Ordering::SeqCst), 1);
        // The URL says how long each is waited for, and the second one is tried all the same.
        let hasty = Limits { connect_timeout: Duration::from_millis(500), ..limits() };
        let started = Instant::now();
        assert_eq!(connect(&format!("{url}?connect_timeout=1"), hasty).await, Ok(()));
        assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
    });
}

#[test]
fn a_storage_goes_where_it_can_write() {
    run(async {
        let Some((primary, standby)) = primary_and_standby().await else { return };
        let url = format!("postgres://postgres@{},{}/postgres", primary.address(), standby.address());
        let hasty = Limits { checkout_timeout: Duration::from_secs(2), ..limits() };
        let storage = Storage::open(&url, hasty).unwrap();
        assert!(storage.begin_history().await.is_ok());
        primary.caught_up(&standby).await;
        primary.kill().await;
        assert!(storage.begin_history().await.is_err());
        standby.promote();
        eventually("it writes to the promoted one", async || storage.begin_history().await.is_ok()).await;
        let present = storage.history().await.unwrap();
        let stored = standby.raw().await.query_texts("select history from database_state").await;
        assert_eq!(stored, [present.to_string()]);
    });
}
