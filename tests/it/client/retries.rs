//! What is repeated, what is not, and for how long.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use taskwire::client::{Error, UndoOptions};
use taskwire::pb;
use taskwire::pb::user_service_client::UserServiceClient;
use taskwire::server::{RateLimit, TransportLimits};
use tokio::net::TcpListener;
use tonic::Code;

use super::link::Link;
use super::{EMAIL, PASSWORD, PATIENCE, account, ada, builder, changes, nobody, titled, titles};
use crate::revisions::harness::replica::connect;
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::server::{Setup, TestServer};
use crate::support::settings;

both_engines!(
    a_change_whose_answer_is_lost_is_made_once,
    a_registration_whose_answer_is_lost_is_made_once,
    a_login_is_not_repeated,
    a_logout_whose_answer_is_lost_is_done,
    a_call_is_given_up_after_its_attempts,
    a_service_that_comes_back_in_time_is_waited_for,
    a_caller_who_is_too_fast_is_slowed_down,
);

async fn a_change_whose_answer_is_lost_is_made_once(database: TestDatabase) {
    let (_world, replica, client) = ada(&database).await;
    let link = Link::to(replica.address).await;
    let far = builder(link.address).session(client.session().unwrap()).connect().await.unwrap();
    let tasks = far.tasks();
    let mut lost = 0;
    let mut lose = |count| {
        assert_eq!(link.answers_lost(), lost);
        lost += count;
        link.lose_answers(count);
    };
    lose(3);
    let made = tasks.create(titled("once")).await.unwrap();
    lose(2);
    let renamed = pb::Task { name: made.name.clone(), ..titled("renamed") };
    // The etag of the first attempt no longer fits when the second one comes.
    let renamed = tasks.update(pb::Task { etag: made.etag.clone(), ..renamed }, &["title"]).await.unwrap();
    assert_eq!(renamed.title, "renamed");
    lose(1);
    assert!(tasks.delete(&made.name).await.unwrap().delete_time.is_some());
    lose(1);
    assert!(tasks.undelete(&made.name).await.unwrap().delete_time.is_none());
    lose(1);
    let undone =
        tasks.undo(UndoOptions { start_revision: 1, end_revision: 2, force: true, ..Default::default() });
    assert_eq!(undone.await.unwrap().tasks[0].title, "once");
    lose(1);
    assert_eq!(tasks.get(&made.name).await.unwrap().title, "once");
    lose(0);
    // Five calls, five changes.
    let changes = changes(&client, 0).await;
    assert!(changes.iter().map(|change| change.revision).eq(1..=5), "{changes:?}");
    assert_eq!(titles(&client).await, ["once"]);
}

async fn a_registration_whose_answer_is_lost_is_made_once(database: TestDatabase) {
    let (_world, replica, _client) = ada(&database).await;
    let link = Link::to(replica.address).await;
    let far = builder(link.address).connect().await.unwrap();
    link.lose_answers(2);
    let user = far.register(account("bob@example.org")).await.unwrap();
    assert_eq!((user.email.as_str(), link.answers_lost()), ("bob@example.org", 2));
    let error = far.register(account("bob@example.org")).await.unwrap_err();
    assert_eq!(error.reason(), "USER_ALREADY_EXISTS");
}

/// The devices of Ada's sessions.
async fn devices(client: &taskwire::client::Client, address: std::net::SocketAddr) -> Vec<String> {
    let mut request = tonic::Request::new(pb::ListSessionsRequest { parent: "users/me".to_owned() });
    let bearer = format!("Bearer {}", client.session().unwrap().access_token).parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    let listed = UserServiceClient::new(connect(address).await).list_sessions(request).await.unwrap();
    let mut devices: Vec<String> =
        listed.into_inner().sessions.into_iter().map(|session| session.device).collect();
    devices.sort();
    devices
}

async fn a_login_is_not_repeated(database: TestDatabase) {
    let (_world, replica, client) = ada(&database).await;
    let link = Link::to(replica.address).await;
    let far = builder(link.address).connect().await.unwrap();
    link.lose_answers(1);
    let error = far.login(EMAIL, PASSWORD, "far").await.unwrap_err();
    assert_eq!((error.code(), error.reason(), link.answers_lost()), (Code::Unavailable, "", 1));
    assert_eq!(far.session(), None);
    assert_eq!(devices(&client, replica.address).await, ["a test", "far"]);
    far.login(EMAIL, PASSWORD, "far, again").await.unwrap();
    assert_eq!(devices(&client, replica.address).await, ["a test", "far", "far, again"]);
}

async fn a_logout_whose_answer_is_lost_is_done(database: TestDatabase) {
    let (_world, replica, client) = ada(&database).await;
    let link = Link::to(replica.address).await;
    let far = builder(link.address).connect().await.unwrap();
    far.login(EMAIL, PASSWORD, "far").await.unwrap();
    link.lose_answers(1);
    far.logout().await.unwrap();
    assert_eq!((far.session(), link.answers_lost()), (None, 1));
    assert_eq!(devices(&client, replica.address).await, ["a test"]);
}

async fn a_call_is_given_up_after_its_attempts(database: TestDatabase) {
    let (_world, replica, client) = ada(&database).await;
    let link = Link::to(replica.address).await;
    let session = client.session().unwrap();
    let far = builder(link.address).attempts(3).session(session).connect().await.unwrap();
    link.lose_answers(100);
    let error = far.tasks().create(titled("once all the same")).await.unwrap_err();
    assert_eq!((error.code(), link.answers_lost()), (Code::Unavailable, 3));
    assert_eq!(titles(&client).await, ["once all the same"]);
}

async fn a_service_that_comes_back_in_time_is_waited_for(database: TestDatabase) {
    let (_world, replica, client) = ada(&database).await;
    let link = Link::to(replica.address).await;
    let session = client.session().unwrap();
    let far = builder(link.address).attempts(1000).session(session).connect().await.unwrap();
    link.close();
    let mut call = tokio::spawn(async move { far.tasks().create(titled("late")).await });
    tokio::select! {
        ended = &mut call => panic!("it ended before the service came back: {ended:?}"),
        () = link.until_refused(3) => {}
    }
    link.open();
    assert_eq!(call.await.unwrap().unwrap().title, "late");
    assert_eq!(titles(&client).await, ["late"]);
}

async fn a_caller_who_is_too_fast_is_slowed_down(database: TestDatabase) {
    let rate = RateLimit { per_second: NonZeroU32::MIN, burst: NonZeroU32::MIN };
    let limits = TransportLimits { rate: Some(rate), ..settings().transport_limits() };
    let server = TestServer::with(database, Setup { limits, ..Setup::default() }).await;
    let client = builder(server.address).connect().await.unwrap();
    client.register(account(EMAIL)).await.unwrap();
    client.login(EMAIL, PASSWORD, "a test").await.unwrap();
    let impatient =
        builder(server.address).attempts(1).session(client.session().unwrap()).connect().await.unwrap();
    let refused = async {
        loop {
            if let Err(error) = impatient.whoami().await {
                return error;
            }
        }
    };
    let error = super::soon(refused).await;
    assert_eq!((error.code(), error.reason()), (Code::ResourceExhausted, "RATE_LIMITED"));
    assert!(error.retry_after().is_some_and(|wait| wait > Duration::ZERO));
    // The pause that it would make by itself is shorter than the one it is asked for.
    let patient = builder(server.address).attempts(2).session(client.session().unwrap());
    let patient = patient.connect().await.unwrap();
    for _ in 0..3 {
        patient.whoami().await.unwrap();
    }
}

/// The deadline is one for all attempts, whatever goes wrong in them.
#[tokio::test]
async fn no_call_takes_longer_than_it_may() {
    // Never accepted: the greeting goes into the kernel's buffer and nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (error, took) = whoami(silent.local_addr().unwrap(), Duration::from_millis(300), 4).await;
    assert_eq!((error.code(), error.reason()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    assert!((Duration::from_millis(300)..PATIENCE / 2).contains(&took), "{took:?}");
}

/// Every attempt fails at once: that failure is told, even where time is up in the middle of another attempt.
#[tokio::test]
async fn what_went_wrong_is_told_when_time_is_up() {
    let (_taken, address) = nobody();
    let (error, took) = whoami(address, Duration::from_millis(700), u32::MAX).await;
    assert!(matches!(error.code(), Code::Unavailable | Code::DeadlineExceeded), "{error:?}");
    assert!(error.message().contains("cannot be reached"), "{error:?}");
    assert!(took < PATIENCE / 2, "{took:?}");
}

#[tokio::test]
async fn a_late_attempt_tells_of_the_one_before() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let call = tokio::spawn(whoami(address, Duration::from_secs(3), u32::MAX));
    // The first connection breaks. The others stay in the kernel's queue, where nobody answers.
    drop(super::soon(listener.accept()).await.unwrap());
    let (error, _) = call.await.unwrap();
    assert_eq!((error.code(), error.reason()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    assert!(error.message().contains("the attempt before: "), "{error:?}");
}

/// How a call there fails, and after how long.
async fn whoami(address: SocketAddr, timeout: Duration, attempts: u32) -> (Error, Duration) {
    let client = builder(address).timeout(timeout).attempts(attempts).connect_lazy().unwrap();
    let begin = Instant::now();
    (client.whoami().await.unwrap_err(), begin.elapsed())
}

/// Where nobody listens nothing was sent, so that even a login is tried again.
#[tokio::test]
async fn what_was_never_sent_is_repeated_whatever_it_does() {
    let (_taken, address) = nobody();
    let client = builder(address).attempts(3).connect_lazy().unwrap();
    let begin = Instant::now();
    let error = client.login(EMAIL, PASSWORD, "a test").await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::Unavailable, ""));
    assert!(error.message().contains("cannot be reached"), "{error}");
    // The least that the two pauses between three attempts take.
    assert!(begin.elapsed() >= Duration::from_millis(150));
}
