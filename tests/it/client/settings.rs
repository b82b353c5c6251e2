//! Other ways to the service: TLS, Unix sockets; and a session that lives for many times as long as its tokens.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use taskwire::client::{Checkpoint, Client, Event, WatchFrom};
use tonic::Code;

use super::{EMAIL, PASSWORD, PATIENCE, Told, account, next, titled};
use crate::support::process::{Running, Sandbox};

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

async fn works(client: &Client) {
    client.register(account(EMAIL)).await.unwrap();
    client.login(EMAIL, PASSWORD, "a test").await.unwrap();
    let task = client.tasks().create(titled("Straße fegen")).await.unwrap();
    let mut events = client.tasks().watch(WatchFrom::After(Checkpoint::from(0)));
    assert!(
        matches!(next(&mut events).await, Event::Change(change, _) if change.task.as_ref() == Some(&task))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_with_those_whom_the_authority_vouches_for() {
    let (ours, others) = (authority(), authority());
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &ours).unwrap();
    let sandbox = Sandbox::new();
    sandbox.write("cert.pem", &cert.pem());
    sandbox.write("key.pem", &key.serialize_pem());
    let service = sandbox.serve(&["--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem"]);
    let port = service.address.port();
    let to = |host: &str| Client::builder(format!("https://{host}:{port}")).timeout(PATIENCE).attempts(2);

    works(&to("localhost").ca_certificate(ours.pem()).connect().await.unwrap()).await;
    // Another authority, those that the machine trusts, another name than the certificate's.
    let wrong = [to("localhost").ca_certificate(others.pem()), to("127.0.0.1").ca_certificate(ours.pem())];
    for builder in wrong.into_iter().chain(machine_trusts_somebody().then(|| to("localhost"))) {
        let error = builder.connect().await.unwrap_err();
        assert_eq!((error.code(), error.reason()), (Code::Unavailable, ""));
        assert!(error.message().contains("certificate"), "{error}");
    }
    service.stop();
}

/// Without authorities of the machine there is nobody to be trusted by default, which is refused earlier.
fn machine_trusts_somebody() -> bool {
    !rustls_native_certs::load_native_certs().certs.is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_is_called() {
    let sandbox = Sandbox::new();
    let socket = sandbox.text("socket");
    let mut command = sandbox.command();
    command.args(["serve", "--listen", &format!("unix:{socket}")]);
    let mut running = Running::spawn(command);
    running.wait_for("ready");
    let client = Client::builder(format!("unix://{socket}")).timeout(PATIENCE).connect().await.unwrap();
    works(&client).await;
    running.signal("TERM");
    running.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_while_token_after_token_ends() {
    let sandbox = Sandbox::new();
    let service = sandbox.serve(&["--access-token-seconds", "2"]);
    let told = Told::default();
    let client = told.by(Client::builder(format!("http://{}", service.address)).timeout(PATIENCE));
    let client = client.connect().await.unwrap();
    client.register(account(EMAIL)).await.unwrap();
    client.login(EMAIL, PASSWORD, "a test").await.unwrap();
    let mut events = client.tasks().watch(WatchFrom::After(Checkpoint::from(0)));
    let mut revision = 0;
    while told.sessions().len() < 4 {
        let task = client.tasks().create(titled("again")).await.unwrap();
        while revision < task.revision {
            let Event::Change(change, _) = next(&mut events).await else { panic!("no change") };
            revision += 1;
            assert_eq!(change.revision, revision);
        }
    }
    assert_eq!(told.none(), 0);
    service.stop();
}
