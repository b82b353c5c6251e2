//! The client module against a real server, also over a network that loses answers and connections.

mod calls;
mod errors;
mod events;
mod example;
mod link;
mod lists;
mod moving;
mod refreshing;
mod retries;
mod settings;
mod watches;
mod watches_resumed;
mod webhooks;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use taskwire::client::{Builder, Client, Error, Event, ListOptions, NewAccount, Session};
use taskwire::pb;
use tokio::net::TcpSocket;

use crate::revisions::harness::replica::{Replica, World, rules};
use crate::support::database::TestDatabase;

const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "correct horse battery staple";

/// Longer than anything takes on a busy machine, so that what hangs fails instead.
const PATIENCE: Duration = Duration::from_secs(60);

fn account(email: &str) -> NewAccount {
    NewAccount { email: email.to_owned(), password: PASSWORD.to_owned(), display_name: "Ada".to_owned() }
}

/// The changes after this revision, none of which is gone.
async fn changes(client: &Client, revision: i64) -> Vec<pb::TaskChange> {
    let events: Vec<Event> = client.tasks().changes(revision.into()).try_collect().await.unwrap();
    let change = |event| match event {
        Event::Change(change, place) => {
            assert_eq!(place.revision, change.revision);
            assert!(!place.history.is_empty());
            change
        }
        event => panic!("no change: {event:?}"),
    };
    events.into_iter().map(change).collect()
}

/// The revision at which a state ends.
#[track_caller]
fn end_of_state(event: Event) -> i64 {
    let Event::StateEnd(place) = event else { panic!("no end: {event:?}") };
    assert!(!place.history.is_empty());
    place.revision
}

fn titled(title: &str) -> pb::Task {
    pb::Task { title: title.to_owned(), ..pb::Task::default() }
}

/// An address that refuses every connection, and that nobody else gets as long as the socket lives.
fn nobody() -> (TcpSocket, SocketAddr) {
    let taken = TcpSocket::new_v4().unwrap();
    taken.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = taken.local_addr().unwrap();
    (taken, address)
}

fn builder(address: SocketAddr) -> Builder {
    // Patient, as two cores serve many tests.
    Client::builder(format!("http://{address}")).timeout(PATIENCE)
}

/// A server, and Ada logged in there on a connection of her own.
async fn ada(database: &TestDatabase) -> (World, Replica, Client) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let client = builder(replica.address).connect().await.unwrap();
    client.register(account(EMAIL)).await.unwrap();
    client.login(EMAIL, PASSWORD, "a test").await.unwrap();
    (world, replica, client)
}

/// Every session that a client told of, and how often it told of none.
#[derive(Debug, Clone, Default)]
struct Told {
    sessions: Arc<Mutex<Vec<Session>>>,
    none: Arc<AtomicUsize>,
}

impl Told {
    fn by(&self, builder: Builder) -> Builder {
        let told = self.clone();
        builder.on_session(move |session| match session {
            Some(session) => told.sessions.lock().unwrap().push(session.clone()),
            None => drop(told.none.fetch_add(1, Ordering::SeqCst)),
        })
    }

    fn sessions(&self) -> Vec<Session> {
        self.sessions.lock().unwrap().clone()
    }

    fn none(&self) -> usize {
        self.none.load(Ordering::SeqCst)
    }
}

/// The same session, with an access token that ended long ago by this machine's clock.
fn at_its_end(session: &Session) -> Session {
    Session { access_expires_at: UNIX_EPOCH, ..session.clone() }
}

/// What a stream gives next, and soon.
async fn next<S: Stream<Item = Result<T, Error>> + Unpin + ?Sized, T>(stream: &mut S) -> T {
    soon(stream.next()).await.expect("the stream ended").unwrap()
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it hangs")
}

/// The titles of all tasks that are not deleted, by title.
async fn titles(client: &Client) -> Vec<String> {
    let by_title = ListOptions { order_by: "title".to_owned(), ..ListOptions::default() };
    client.tasks().list(by_title).map_ok(|task| task.title).try_collect().await.unwrap()
}
