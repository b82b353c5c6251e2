//! Names that lead elsewhere each time they are looked up: what is allowed is said of the address that is connected to.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use taskwire::outbound::{AddressPolicy, Resolver};
use taskwire::pb;
use tokio::net::TcpListener;

use super::receiver::{Answer, Receiver};
use super::{ALL, add, failed, look, wanted};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::server::{Session, Setup, TestServer, answer};

both_engines!(
    a_name_that_alternates_is_followed_only_where_it_may,
    a_name_that_was_forbidden_first_is_taken_once_it_is_not,
    one_forbidden_address_among_several_spoils_them_all,
);

/// May be sent to, and may not: both are of this machine.
const ALLOWED: [u8; 4] = [127, 0, 0, 1];
const FORBIDDEN: [u8; 4] = [127, 0, 0, 2];
const FORBIDDEN_TEXT: &str = "the receiver is at an address that is not allowed";

/// Answers as it is told, one lookup after the other. A lookup that nobody told it of fails the test.
#[derive(Debug, Default)]
struct Told(Mutex<VecDeque<Vec<[u8; 4]>>>);

impl Told {
    fn will(&self, answers: &[&[[u8; 4]]]) {
        let mut all = self.0.lock().unwrap();
        assert!(all.is_empty(), "lookups that did not come: {all:?}");
        all.extend(answers.iter().map(|addresses| addresses.to_vec()));
    }

    fn all_were_asked_for(&self) {
        self.will(&[]);
    }
}

impl Resolver for Told {
    fn look_up(&self, name: &str, port: u16) -> BoxFuture<'static, std::io::Result<Vec<SocketAddr>>> {
        let next = self.0.lock().unwrap().pop_front();
        let name = name.to_owned();
        Box::pin(async move {
            assert_eq!(name, "receiver.example");
            let addresses = next.expect("a lookup that nobody needs");
            Ok(addresses.into_iter().map(|address| SocketAddr::from((address, port))).collect())
        })
    }
}

/// A server to which `receiver.example` leads where it is told, a receiver where it may send, and a trap where it may not.
struct World {
    server: TestServer,
    names: Arc<Told>,
    ada: Session,
    receiver: Receiver,
    trap: TcpListener,
    url: String,
}

impl World {
    async fn start(database: TestDatabase) -> Self {
        let receiver = Receiver::start().await;
        let port = receiver.port();
        let trap = TcpListener::bind(SocketAddr::from((FORBIDDEN, port))).await.unwrap();
        let names = Arc::new(Told::default());
        let addresses = AddressPolicy {
            plain_http: true,
            networks: Arc::new(["127.0.0.1/32".parse().unwrap()]),
            resolver: Arc::clone(&names) as Arc<dyn Resolver>,
        };
        let server = Box::pin(TestServer::with(database, Setup { addresses, ..Setup::default() })).await;
        let ada = server.register("ada@example.org").await;
        Self { server, names, ada, receiver, trap, url: format!("http://receiver.example:{port}/hook") }
    }

    async fn hook(&self) -> crate::support::refusal::Answer<pb::CreateWebhookResponse> {
        answer(self.ada.events().create_webhook(wanted("users/me", &self.url, &ALL)).await)
    }

    /// Nobody connected to where nothing may be sent.
    async fn nobody_is_trapped(&self) {
        let soon = tokio::time::timeout(Duration::from_millis(50), self.trap.accept());
        assert!(soon.await.is_err(), "it connected to where it must not");
        self.names.all_were_asked_for();
    }
}

async fn a_name_that_alternates_is_followed_only_where_it_may(database: TestDatabase) {
    let mut world = World::start(database).await;
    world.names.will(&[&[ALLOWED]]);
    let webhook = world.hook().await.unwrap().webhook.unwrap();
    // Each message on a connection of its own, and one lookup for each connection: what was held against the rules is what is connected to.
    let closing = || Answer::Status(204, Some(("connection", "close".to_owned())));
    world.receiver.will([closing(), closing(), closing()]);
    for round in 0..3 {
        world.names.will(&[&[FORBIDDEN]]);
        add(&world.ada, &format!("task {round}")).await;
        failed(&world.ada, &webhook.name, 1).await;
        let failure = look(&world.ada, &webhook.name).await.last_failure.unwrap();
        assert_eq!((failure.code, failure.text.as_str()), (0, FORBIDDEN_TEXT));
        assert!(world.receiver.is_silent());
        world.nobody_is_trapped().await;
        // The next lookup leads to where it may.
        world.names.will(&[&[ALLOWED]]);
        world.server.clock.advance(Duration::from_secs(5));
        assert_eq!(world.receiver.next().await.title(), format!("task {round}"));
        world.nobody_is_trapped().await;
    }
    // An attempt by hand goes by the same rules.
    world.names.will(&[&[FORBIDDEN]]);
    let test = pb::TestWebhookRequest { name: webhook.name };
    let tried = answer(world.ada.events().test_webhook(test).await).unwrap();
    assert_eq!(tried.failure.unwrap().text, FORBIDDEN_TEXT);
    world.nobody_is_trapped().await;
}

async fn a_name_that_was_forbidden_first_is_taken_once_it_is_not(database: TestDatabase) {
    let mut world = World::start(database).await;
    world.names.will(&[&[FORBIDDEN]]);
    assert_eq!(world.hook().await.unwrap_err().violations[0].0, "webhook.url");
    world.names.will(&[&[ALLOWED]]);
    world.hook().await.unwrap();
    world.names.will(&[&[ALLOWED]]);
    add(&world.ada, "one").await;
    assert_eq!(world.receiver.next().await.title(), "one");
    world.nobody_is_trapped().await;
}

async fn one_forbidden_address_among_several_spoils_them_all(database: TestDatabase) {
    let mut world = World::start(database).await;
    world.names.will(&[&[ALLOWED, FORBIDDEN]]);
    assert_eq!(world.hook().await.unwrap_err().violations[0].0, "webhook.url");
    world.names.will(&[&[ALLOWED]]);
    let webhook = world.hook().await.unwrap().webhook.unwrap();
    for (attempts, addresses) in (1..).zip([[ALLOWED, FORBIDDEN], [FORBIDDEN, ALLOWED]]) {
        world.names.will(&[&addresses]);
        if attempts == 1 {
            add(&world.ada, "one").await;
        } else {
            world.server.clock.advance(Duration::from_secs(5));
        }
        failed(&world.ada, &webhook.name, attempts).await;
        assert!(world.receiver.is_silent());
        world.nobody_is_trapped().await;
    }
    world.names.will(&[&[ALLOWED, ALLOWED]]);
    world.server.clock.advance(Duration::from_secs(30));
    assert_eq!(world.receiver.next().await.title(), "one");
    world.nobody_is_trapped().await;
}
