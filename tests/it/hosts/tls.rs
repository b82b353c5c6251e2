//! TLS to real servers: each mode against what servers are, have and allow.

use rcgen::KeyPair;
use taskwire::storage::OpenError;
use tempfile::TempDir;

use super::certificates::{Authority, Pair, of_version_1, self_made};
use super::{LOGGED, reach, run};
use crate::revisions::harness::cluster::Cluster;

const ANYBODY: &str = "host all all 127.0.0.1/32 trust";
const TLS_ALONE: &str = "hostssl all all 127.0.0.1/32 trust";
const PLAIN_ALONE: &str = "hostnossl all all 127.0.0.1/32 trust";

/// A server with TLS, and the files of its clients.
struct Secured {
    cluster: Cluster,
    files: TempDir,
}

impl Secured {
    /// `None` when there is none to be had.
    fn with(pair: &Pair) -> Option<Self> {
        if !Cluster::has_tls() {
            return None;
        }
        let cluster = Cluster::create(&format!("{LOGGED}\nssl = on"))?;
        let secured = Self { cluster, files: TempDir::new().unwrap() };
        secured.place(pair);
        secured.cluster.resume();
        Some(secured)
    }

    fn place(&self, pair: &Pair) {
        self.cluster.write("server.crt", &pair.certificate);
        self.cluster.write("server.key", &pair.key);
    }

    /// Has another certificate, and allows what these lines of `pg_hba.conf` say.
    fn turn_to(&self, pair: &Pair, allowed: &str) {
        self.place(pair);
        self.allow(allowed);
    }

    fn allow(&self, allowed: &str) {
        self.cluster.write("pg_hba.conf", &format!("{allowed}\n"));
        // A reload is over some time after the command; a start is not.
        self.cluster.halt();
        self.cluster.resume();
    }

    /// A file for a client, as a parameter names it.
    fn file(&self, name: &str, contents: &str) -> String {
        let path = self.files.path().join(name);
        std::fs::write(&path, contents).unwrap();
        path.display().to_string()
    }

    /// Whether it comes to TLS.
    async fn try_as(&self, host: &str, parameters: &str) -> Result<bool, OpenError> {
        let port = self.cluster.port();
        let url = format!("postgres://postgres:geheim@{host}:{port}/postgres?{parameters}");
        reach(&url, &[&self.cluster]).await.map(|(_, is_encrypted)| is_encrypted)
    }

    async fn expect(&self, parameters: &str, is_encrypted: bool) {
        assert_eq!(self.try_as("localhost", parameters).await, Ok(is_encrypted), "{parameters}");
    }

    /// Only a person can mend it, and is told what.
    async fn expect_refusal(&self, host: &str, parameters: &str, words: &str) {
        match self.try_as(host, parameters).await {
            Err(OpenError::Refused(text)) => assert!(text.contains(words), "{parameters}: {text}"),
            other => panic!("{host} {parameters}: {other:?}"),
        }
    }
}

#[test]
fn each_mode_asks_what_it_says() {
    run(async {
        let (ours, others) = (Authority::new("ours"), Authority::new("others"));
        let Some(server) = Secured::with(&ours.issue("localhost")) else { return };
        let root = server.file("root.crt", &ours.certificate());
        let wrong = server.file("wrong.crt", &others.certificate());
        server.expect("sslmode=disable", false).await;
        server.expect("sslmode=allow", false).await;
        server.expect("sslmode=prefer", true).await;
        server.expect("connect_timeout=20", true).await;
        server.expect("sslmode=require", true).await;
        server.expect(&format!("sslmode=require&sslrootcert={root}"), true).await;
        server.expect(&format!("sslmode=verify-ca&sslrootcert={root}"), true).await;
        server.expect(&format!("sslmode=verify-full&sslrootcert={root}"), true).await;
        // The name is for `verify-full` alone.
        let by_address = server.try_as("127.0.0.1", &format!("sslmode=verify-ca&sslrootcert={root}")).await;
        assert_eq!(by_address, Ok(true));
        let full = format!("sslmode=verify-full&sslrootcert={root}");
        server.expect_refusal("127.0.0.1", &full, "not valid for name").await;
        for mode in ["require", "verify-ca", "verify-full"] {
            let parameters = format!("sslmode={mode}&sslrootcert={wrong}");
            server.expect_refusal("localhost", &parameters, "certificate").await;
        }
        server.expect_refusal("localhost", "sslmode=verify-full", "certificate").await;
        // What takes plain text as well looks at no root.
        server.expect(&format!("sslmode=prefer&sslrootcert={wrong}"), true).await;
    });
}

#[test]
fn each_mode_goes_the_way_that_the_server_allows() {
    run(async {
        let pair = Authority::new("ours").issue("localhost");
        let Some(server) = Secured::with(&pair) else { return };
        server.allow(TLS_ALONE);
        server.expect_refusal("localhost", "sslmode=disable", "pg_hba.conf").await;
        for mode in ["allow", "prefer", "require"] {
            server.expect(&format!("sslmode={mode}"), true).await;
        }
        server.allow(PLAIN_ALONE);
        for mode in ["disable", "allow", "prefer"] {
            server.expect(&format!("sslmode={mode}"), false).await;
        }
        server.expect_refusal("localhost", "sslmode=require", "pg_hba.conf").await;
        server.allow("host all all 127.0.0.1/32 reject");
        for mode in ["disable", "allow", "prefer", "require"] {
            server.expect_refusal("localhost", &format!("sslmode={mode}"), "pg_hba.conf").await;
        }
    });
}

#[test]
fn servers_without_tls_or_with_none_that_works() {
    run(async {
        let pair = Authority::new("ours").issue("localhost");
        let Some(server) = Secured::with(&pair) else { return };
        // What no client of today speaks.
        server.cluster.configure("ssl_min_protocol_version = 'TLSv1'\nssl_max_protocol_version = 'TLSv1.1'");
        server.allow(ANYBODY);
        for mode in ["disable", "allow", "prefer"] {
            server.expect(&format!("sslmode={mode}"), false).await;
        }
        assert!(server.try_as("localhost", "sslmode=require").await.is_err());
        server.cluster.configure("ssl = off");
        server.allow(ANYBODY);
        for mode in ["disable", "allow", "prefer"] {
            server.expect(&format!("sslmode={mode}"), false).await;
        }
        server.expect_refusal("localhost", "sslmode=require", "does not support TLS").await;
        // The first answer is the one that helps.
        server.allow("host all all 127.0.0.1/32 reject");
        server.expect_refusal("localhost", "sslmode=allow", "pg_hba.conf").await;
    });
}

#[test]
fn certificates_of_version_1_are_good_enough_unless_they_are_to_be_checked() {
    run(async {
        let keys = [KeyPair::generate().unwrap(), KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap()];
        let pairs = keys.map(of_version_1);
        let Some(server) = Secured::with(&pairs[0]) else { return };
        let wrong = server.file("wrong.crt", &Authority::new("others").certificate());
        // So that it matters which certificate the server was seen to have.
        server.cluster.raw().await.execute("alter user postgres password 'geheim'").await;
        for newest in ["TLSv1.2", "TLSv1.3"] {
            server.cluster.configure(&format!("ssl_max_protocol_version = '{newest}'"));
            for pair in &pairs {
                server.turn_to(pair, "hostssl all all 127.0.0.1/32 scram-sha-256");
                let itself = server.file("itself.crt", &pair.certificate);
                server.expect("sslmode=prefer", true).await;
                server.expect("sslmode=require", true).await;
                server.expect("sslmode=require&channel_binding=require", true).await;
                server.expect(&format!("sslmode=verify-ca&sslrootcert={itself}"), true).await;
                let full = format!("sslmode=verify-full&sslrootcert={itself}");
                server.expect_refusal("localhost", &full, "version 3").await;
                let other = format!("sslmode=verify-ca&sslrootcert={wrong}");
                server.expect_refusal("localhost", &other, "certificate").await;
            }
        }
    });
}

#[test]
fn a_certificate_can_be_trusted_by_itself() {
    run(async {
        let pair = self_made("localhost", 2100);
        let Some(server) = Secured::with(&pair) else { return };
        let root = server.file("root.crt", &pair.certificate);
        server.expect(&format!("sslmode=verify-ca&sslrootcert={root}"), true).await;
        let full = format!("sslmode=verify-full&sslrootcert={root}");
        server.expect(&full, true).await;
        server.expect_refusal("127.0.0.1", &full, "not valid for name").await;
        let past = self_made("localhost", 2020);
        server.turn_to(&past, ANYBODY);
        let root = server.file("past.crt", &past.certificate);
        server.expect("sslmode=require", true).await;
        server.expect_refusal("localhost", &format!("sslmode=verify-ca&sslrootcert={root}"), "Expired").await;
    });
}

#[test]
fn a_client_shows_its_certificate() {
    run(async {
        let ours = Authority::new("ours");
        let Some(server) = Secured::with(&ours.issue("localhost")) else { return };
        server.cluster.write("clients.crt", &ours.certificate());
        server.cluster.configure("ssl_ca_file = 'clients.crt'");
        server.allow("hostssl all all 127.0.0.1/32 cert");
        let shown = |name: &str, pair: &Pair| {
            let certificate = server.file(&format!("{name}.crt"), &pair.certificate);
            let key = server.file(&format!("{name}.key"), &pair.key);
            format!("sslmode=require&sslcert={certificate}&sslkey={key}")
        };
        server.expect(&shown("postgres", &ours.issue_to("postgres")), true).await;
        server
            .expect_refusal("localhost", &shown("ada", &ours.issue_to("ada")), "authentication failed")
            .await;
        server.expect_refusal("localhost", "sslmode=require", "client certificate").await;
        // Those of two pairs.
        let mixed = Pair { key: ours.issue_to("postgres").key, ..ours.issue_to("postgres") };
        match server.try_as("localhost", &shown("mixed", &mixed)).await {
            Err(OpenError::Url(text)) => assert!(text.contains("sslkey"), "{text}"),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn tls_comes_first_when_that_is_asked() {
    run(async {
        let ours = Authority::new("ours");
        let Some(server) = Secured::with(&ours.issue("localhost")) else { return };
        let version = server.cluster.raw().await.query_texts("show server_version_num").await.remove(0);
        if version.parse::<u32>().unwrap() < 170_000 {
            println!("skipped: servers before PostgreSQL 17 wait to be asked for TLS");
            return;
        }
        let root = server.file("root.crt", &ours.certificate());
        let full = format!("sslmode=verify-full&sslrootcert={root}&sslnegotiation=direct");
        server.expect(&full, true).await;
    });
}
