//! TLS to PostgreSQL, with real servers: with and without it, with certificates of all kinds, and in the modes of libpq.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use taskwire::storage::Storage;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::eventually;
use crate::revisions::harness::cluster::Cluster;
use crate::support::database::{TestDatabase, limits};
use crate::support::one_engine;

one_engine!(Postgres: modes_mean_what_they_mean_to_libpq, a_handshake_that_fails_is_no_end_of_prefer);

const MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// What becomes of a connection in each mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    Tls,
    Refused,
}
use Way::{Plain, Refused, Tls};

/// Connects, and asks the server in which way.
async fn way(cluster: &Cluster, port: u16, parameters: &str) -> Way {
    let name = format!("tls-{}", uuid::Uuid::now_v7());
    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres?application_name={name}&{parameters}");
    let storage = match Storage::open(&url, limits()) {
        Ok(storage) => storage,
        Err(_) => return Refused,
    };
    // Asked first, as it is told at once when a server refuses.
    if storage.schema_state().await.is_err() {
        return Refused;
    }
    storage.probe().await.unwrap();
    let asked = format!(
        "select ssl from pg_stat_ssl join pg_stat_activity using (pid) where application_name = '{name}' limit 1"
    );
    match cluster.raw().await.query_texts(&asked).await.first().map(String::as_str) {
        Some("t") => Tls,
        Some("f") => Plain,
        other => panic!("{other:?}"),
    }
}

async fn ways(cluster: &Cluster, more: &str, expected: [Way; 6]) {
    for (mode, expected) in MODES.into_iter().zip(expected) {
        let parameters = format!("sslmode={mode}{more}");
        assert_eq!(way(cluster, cluster.port(), &parameters).await, expected, "{parameters}");
    }
}

/// Takes over what was written, once the server says so.
async fn reload(cluster: &Cluster, settings: &[&str]) {
    let mut raw = cluster.raw().await;
    for setting in settings {
        raw.execute(&format!("alter system set {setting}")).await;
    }
    let loaded = "select pg_conf_load_time()::text";
    let before = raw.query_texts(loaded).await;
    raw.execute("select pg_reload_conf()").await;
    eventually("it is read again", async || cluster.raw().await.query_texts(loaded).await != before).await;
}

/// Writes a certificate of this issuer for this name, and makes the server show it.
async fn show(cluster: &Cluster, issuer: &CertifiedIssuer<'_, KeyPair>, name: &str) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, issuer).unwrap();
    cluster.write("server.crt", &certificate.pem());
    cluster.write("server.key", &key.serialize_pem());
    reload(cluster, &["ssl = on"]).await;
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

async fn modes_mean_what_they_mean_to_libpq(_: TestDatabase) {
    let Some(cluster) = Cluster::start("").await else { return };
    Storage::open(&cluster.url(), limits()).unwrap().migrate().await.unwrap();
    let directory = TempDir::new().unwrap();
    let root = |issuer: &CertifiedIssuer<'_, KeyPair>, name: &str| {
        let file = directory.path().join(name);
        std::fs::write(&file, issuer.pem()).unwrap();
        format!("&sslrootcert={}", file.display())
    };
    // Without TLS.
    ways(&cluster, "", [Plain, Plain, Plain, Refused, Refused, Refused]).await;

    // With the certificate that many servers make for themselves, over both versions of TLS.
    cluster.write("server.crt", include_str!("fixtures/version-1.crt"));
    cluster.write("server.key", include_str!("fixtures/version-1.key"));
    for version in ["TLSv1.2", "TLSv1.3"] {
        let limits = [&format!("ssl_max_protocol_version = '{version}'")[..], "ssl = on"];
        reload(&cluster, &limits).await;
        ways(&cluster, "", [Plain, Plain, Tls, Tls, Refused, Refused]).await;
    }

    let (issuer, another) = (authority(), authority());
    let (ours, theirs) = (root(&issuer, "ours.crt"), root(&another, "theirs.crt"));
    show(&cluster, &issuer, "127.0.0.1").await;
    ways(&cluster, &ours, [Plain, Plain, Tls, Tls, Tls, Tls]).await;
    ways(&cluster, &theirs, [Plain, Plain, Tls, Refused, Refused, Refused]).await;
    show(&cluster, &issuer, "db.example.com").await;
    ways(&cluster, &ours, [Plain, Plain, Tls, Tls, Tls, Refused]).await;

    // A server that takes one kind of connection alone.
    for (kind, expected) in [
        ("hostssl", [Refused, Tls, Tls, Tls, Tls, Refused]),
        ("hostnossl", [Plain, Plain, Plain, Refused, Refused, Refused]),
    ] {
        // The tests' own way in is another.
        let lines = format!("local all all trust\n{kind} all all 127.0.0.1/32 trust\n");
        cluster.write("pg_hba.conf", &lines);
        let count = format!("select count(*) from pg_hba_file_rules where type = '{kind}'");
        reload(&cluster, &[]).await;
        eventually("the lines are read", async || cluster.raw().await.query_texts(&count).await == ["1"])
            .await;
        ways(&cluster, &ours, expected).await;
    }
}

/// A way to a server that agrees to TLS and then hangs up.
async fn agreeing_and_hanging_up(target: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut begin = [0; 8];
                client.read_exact(&mut begin).await.unwrap();
                // SSLRequest, as the protocol has it.
                if begin[4..] == 80_877_103_u32.to_be_bytes() {
                    client.write_all(b"S").await.unwrap();
                    return;
                }
                let mut server = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
                server.write_all(&begin).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    port
}

async fn a_handshake_that_fails_is_no_end_of_prefer(_: TestDatabase) {
    let Some(cluster) = Cluster::start("").await else { return };
    Storage::open(&cluster.url(), limits()).unwrap().migrate().await.unwrap();
    let port = agreeing_and_hanging_up(cluster.port()).await;
    for (mode, expected) in MODES.into_iter().zip([Plain, Plain, Plain, Refused, Refused, Refused]) {
        assert_eq!(way(&cluster, port, &format!("sslmode={mode}")).await, expected, "{mode}");
    }
}
