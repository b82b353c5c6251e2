//! TLS: who is let in, what keeps the service from starting, and certificates that change under load.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use super::{PATIENCE, check};
use crate::support::process::{Running, Sandbox, Service};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for `localhost` and its key, as PEM.
fn issue(authority: &Authority) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (params.signed_by(&key, authority).unwrap().pem(), key.serialize_pem())
}

/// A client that trusts one authority, shows a certificate or none, and speaks these versions.
fn client(
    authority: &Authority,
    shown: Option<&(String, String)>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match shown {
        Some((cert, key)) => {
            let cert = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![cert], key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

const VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

async fn shake(address: SocketAddr, config: Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(config).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

async fn connect(address: SocketAddr, config: Arc<ClientConfig>) -> Result<Channel, tonic::transport::Error> {
    let connector = tower::service_fn(move |_| {
        let config = Arc::clone(&config);
        async move { shake(address, config).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://localhost").connect_with_connector(connector).await
}

fn write(sandbox: &Sandbox, pair: &(String, String)) {
    // As a mounted secret changes: at once, by name.
    for (name, text) in [("cert.pem", &pair.0), ("key.pem", &pair.1)] {
        sandbox.write(&format!("{name}.new"), text);
        std::fs::rename(sandbox.path(&format!("{name}.new")), sandbox.path(name)).unwrap();
    }
}

const FILES: [&str; 4] = ["--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem"];

#[tokio::test(flavor = "multi_thread")]
async fn a_client_must_speak_tls_and_show_what_is_asked_for() {
    let (ours, clients, others) = (authority(), authority(), authority());
    let sandbox = Sandbox::new();
    write(&sandbox, &issue(&ours));
    sandbox.write("ca.pem", &(others.pem() + &clients.pem()));
    let service = sandbox.serve(&[&FILES[..], &["--tls-client-ca-file", "ca.pem"]].concat());
    let address = service.address;

    for of in [&clients, &others] {
        for version in VERSIONS {
            let channel = connect(address, client(&ours, Some(&issue(of)), &[version])).await.unwrap();
            check(channel).await.unwrap();
        }
    }
    let stranger = authority();
    for shown in [None, Some(issue(&stranger))] {
        let refused = async {
            let channel = connect(address, client(&ours, shown.as_ref(), VERSIONS)).await.map_err(drop)?;
            check(channel).await.map_err(drop)
        };
        assert!(tokio::time::timeout(PATIENCE, refused).await.unwrap().is_err());
    }
    // Without TLS the port says nothing.
    assert!(check(Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy()).await.is_err());
    service.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_does_not_end_is_cut() {
    let ours = authority();
    let sandbox = Sandbox::new();
    write(&sandbox, &issue(&ours));
    let service = sandbox.serve(&[&FILES[..], &["--tls-handshake-timeout-ms", "500"]].concat());
    let mut raw = super::raw::Raw::connect(service.address).await;
    // The beginning of a ClientHello.
    tokio::io::AsyncWriteExt::write_all(&mut raw.stream, &[22, 3, 1, 2, 0, 1]).await.unwrap();
    let took = raw.until_closed(PATIENCE).await.expect("still open");
    assert!(took < Duration::from_secs(5), "{took:?}");
    service.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_changes_under_load_without_a_failed_call() {
    let ours = authority();
    let sandbox = Sandbox::new();
    write(&sandbox, &issue(&ours));
    let mut service = sandbox.serve(&FILES);
    let address = service.address;
    let config = client(&ours, None, VERSIONS);
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load: Vec<_> = (0..4)
        .map(|number| {
            let (config, stop, calls) = (Arc::clone(&config), Arc::clone(&stop), Arc::clone(&calls));
            tokio::spawn(async move {
                let kept = connect(address, Arc::clone(&config)).await.unwrap();
                while !stop.load(Ordering::Relaxed) {
                    // Half of them come anew each time.
                    let channel = match number % 2 {
                        0 => kept.clone(),
                        _ => connect(address, Arc::clone(&config)).await.unwrap(),
                    };
                    check(channel).await.unwrap();
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();

    // What is of no use changes nothing, and is said once.
    let next = issue(&ours);
    sandbox.write("cert.pem", "broken");
    service.running.signal("HUP");
    service.running.wait_for("new TLS certificates cannot be used");
    assert_ne!(served(&service, &config).await, der(&next));
    write(&sandbox, &next);
    service.running.signal("HUP");
    service.running.wait_for("new TLS certificates are in use");
    assert_eq!(served(&service, &config).await, der(&next));
    // Without a signal it takes a moment longer.
    let next = issue(&ours);
    write(&sandbox, &next);
    service.running.wait_for("new TLS certificates are in use");
    assert_eq!(served(&service, &config).await, der(&next));

    stop.store(true, Ordering::Relaxed);
    for worker in load {
        worker.await.unwrap();
    }
    println!("{} calls", calls.load(Ordering::Relaxed));
    service.stop();
}

async fn served(service: &Service, config: &Arc<ClientConfig>) -> CertificateDer<'static> {
    let stream = shake(service.address, Arc::clone(config)).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}

fn der(pair: &(String, String)) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pair.0.as_bytes()).unwrap()
}

#[test]
fn what_is_wrong_keeps_it_from_starting_and_is_named() {
    let sandbox = Sandbox::new();
    let ours = authority();
    let (cert, key) = issue(&ours);
    sandbox.write("cert.pem", &cert);
    sandbox.write("key.pem", &key);
    sandbox.write("other.pem", &issue(&ours).1);
    sandbox.write("broken.pem", "broken");
    let cases: [(&[&str], &str); 7] = [
        (&["--tls-cert-file", "cert.pem"], "TASKWIRE_TLS_KEY_FILE (--tls-key-file)"),
        (&["--tls-key-file", "key.pem"], "TASKWIRE_TLS_CERT_FILE (--tls-cert-file)"),
        (&["--tls-client-ca-file", "cert.pem"], "TASKWIRE_TLS_CLIENT_CA_FILE (--tls-client-ca-file)"),
        (&["--tls-cert-file", "none.pem", "--tls-key-file", "key.pem"], "TASKWIRE_TLS_CERT_FILE"),
        (&["--tls-cert-file", "broken.pem", "--tls-key-file", "key.pem"], "TASKWIRE_TLS_CERT_FILE"),
        (&["--tls-cert-file", "cert.pem", "--tls-key-file", "broken.pem"], "TASKWIRE_TLS_KEY_FILE"),
        (&["--tls-cert-file", "cert.pem", "--tls-key-file", "other.pem"], "TASKWIRE_TLS_KEY_FILE"),
    ];
    for (arguments, named) in cases {
        let ended = sandbox.run(["serve", "--listen", "127.0.0.1:0"].iter().chain(arguments));
        assert_eq!(ended.status, Some(64), "{arguments:?}: {}", ended.stderr);
        let complaints = ended.complaints();
        assert!(complaints.len() == 1 && complaints[0].starts_with(named), "{arguments:?}: {complaints:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_health_command_speaks_tls_with_the_certificate_that_it_knows_and_no_other() {
    let ours = authority();
    let sandbox = Sandbox::new();
    write(&sandbox, &issue(&ours));
    // By the same authority and for the same name, and yet another one.
    sandbox.write("other.pem", &issue(&ours).0);
    let service = sandbox.serve(&FILES);
    service_is_ready(&service, &client(&ours, None, VERSIONS)).await;
    let address = service.address.to_string();
    let ask = |cert: &'static str| {
        let mut command = sandbox.command();
        command.args(["health", "--address", &address]).env("TASKWIRE_TLS_CERT_FILE", cert);
        Running::spawn(command).end()
    };
    let ended = ask("cert.pem");
    assert_eq!((ended.status, ended.stdout.as_str()), (Some(0), "serving\n"), "{}", ended.stderr);
    let ended = ask("other.pem");
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("another certificate"), "{}", ended.stderr);
    let ended = ask("missing.pem");
    assert_eq!(ended.status, Some(64), "{}", ended.stderr);
    assert!(ended.complaints()[0].starts_with("TASKWIRE_TLS_CERT_FILE"), "{}", ended.stderr);
    // Without the certificate it speaks in the clear, and is not heard.
    assert_eq!(sandbox.run(["health", "--address", &address]).status, Some(1));
    service.stop();
}

async fn service_is_ready(service: &Service, config: &Arc<ClientConfig>) {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::health_client::HealthClient;
    let channel = connect(service.address, Arc::clone(config)).await.unwrap();
    let request = HealthCheckRequest { service: String::new() };
    let mut watch = HealthClient::new(channel).watch(request).await.unwrap().into_inner();
    while watch.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
}
