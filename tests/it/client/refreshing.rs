//! A session stays alive: tokens are exchanged in time, once, and a lost answer ends nothing.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use taskwire::client::{Client, Session};
use tokio::task::JoinSet;

use super::link::Link;
use super::{EMAIL, PASSWORD, Told, ada, at_its_end, builder, titled, titles};
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(
    a_token_at_its_end_is_exchanged_before_the_call,
    a_token_that_the_service_calls_expired_is_exchanged,
    many_callers_exchange_it_once,
    a_lost_answer_to_an_exchange_is_had_again,
    a_session_that_is_over_is_let_go,
    a_service_in_trouble_does_not_keep_a_good_token_from_use,
    processes_that_share_a_session_do_not_end_it,
);

/// Longer than an access token lives.
const LATER: Duration = Duration::from_secs(20 * 60);

async fn a_token_at_its_end_is_exchanged_before_the_call(database: TestDatabase) {
    let (_world, replica, client) = ada(&database).await;
    let session = client.session().unwrap();
    let told = Told::default();
    // As good as over is over: a call takes time, and so does the way to the service.
    for ends in [Duration::ZERO, Duration::from_secs(5)] {
        let ending = Session { access_expires_at: SystemTime::now() + ends, ..session.clone() };
        let late = told.by(builder(replica.address).session(
            told.sessions()
                .pop()
                .map_or(ending, |last| Session { access_expires_at: SystemTime::now() + ends, ..last }),
        ));
        let late = late.connect().await.unwrap();
        late.whoami().await.unwrap();
        let now = late.session().unwrap();
        assert_eq!(told.sessions().last(), Some(&now));
        assert_ne!((&now.access_token, &now.refresh_token), (&session.access_token, &session.refresh_token));
        assert!(now.access_expires_at > SystemTime::now() + Duration::from_secs(10 * 60));
        // With what it has now it goes on.
        late.whoami().await.unwrap();
    }
    assert_eq!((told.sessions().len(), told.none()), (2, 0));
}

async fn a_token_that_the_service_calls_expired_is_exchanged(database: TestDatabase) {
    let (world, replica, client) = ada(&database).await;
    let told = Told::default();
    let client =
        told.by(builder(replica.address).session(client.session().unwrap())).connect().await.unwrap();
    for round in 1..=3 {
        world.hand.advance(LATER);
        // A call that is never repeated otherwise is as well: it was refused before it was looked at.
        client.tasks().create(titled(&format!("round {round}"))).await.unwrap();
        assert_eq!(told.sessions().len(), round);
    }
    assert_eq!(titles(&client).await.len(), 3);
    world.hand.advance(LATER);
    client.logout().await.unwrap();
    assert_eq!((client.session(), told.none()), (None, 1));
}

async fn many_callers_exchange_it_once(database: TestDatabase) {
    let (world, replica, client) = ada(&database).await;
    let told = Told::default();
    let session = at_its_end(&client.session().unwrap());
    let client = told.by(builder(replica.address).session(session)).connect().await.unwrap();
    for round in 1..=2 {
        let mut calling = JoinSet::new();
        for _ in 0..50 {
            let client = client.clone();
            calling.spawn(async move { client.whoami().await.unwrap().email });
        }
        assert!(calling.join_all().await.iter().all(|email| email == EMAIL));
        assert_eq!(told.sessions().len(), round);
        world.hand.advance(LATER);
    }
}

async fn a_lost_answer_to_an_exchange_is_had_again(database: TestDatabase) {
    let (world, replica, client) = ada(&database).await;
    let link = Link::to(replica.address).await;
    let told = Told::default();
    // Within one call.
    let session = at_its_end(&client.session().unwrap());
    let far = told.by(builder(link.address).session(session)).connect().await.unwrap();
    link.lose_answers(2);
    far.whoami().await.unwrap();
    assert_eq!((link.answers_lost(), told.sessions().len()), (2, 1));

    // And when the call has given up: the exchange was carried out, the old token is retired, and long after the time
    // in which that would be forgiven the client has the answer by the id of its request.
    let session = at_its_end(&far.session().unwrap());
    let far = told.by(builder(link.address).attempts(1).session(session)).connect().await.unwrap();
    link.lose_answers(1);
    let error = far.whoami().await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (tonic::Code::Unavailable, ""));
    assert_eq!((link.answers_lost(), told.sessions().len()), (3, 1));
    world.hand.advance(Duration::from_secs(60 * 60));
    // That the connection is gone may be news to the next call as well.
    while let Err(error) = far.whoami().await {
        assert_eq!((error.code(), error.reason()), (tonic::Code::Unavailable, ""));
    }
    assert_eq!((told.sessions().len(), told.none()), (2, 0));
}

async fn a_session_that_is_over_is_let_go(database: TestDatabase) {
    let (_world, replica, client) = ada(&database).await;
    let told = Told::default();
    let session = at_its_end(&client.session().unwrap());
    let late = told.by(builder(replica.address).session(session)).connect().await.unwrap();
    client.logout().await.unwrap();
    let mut calling = JoinSet::new();
    for _ in 0..10 {
        let late = late.clone();
        calling.spawn(async move { late.whoami().await.unwrap_err().reason().to_owned() });
    }
    // Those who waited are told what it was; whoever comes later calls without a token.
    for reason in calling.join_all().await {
        assert!(["REFRESH_TOKEN_INVALID", "TOKEN_MISSING"].contains(&reason.as_str()), "{reason}");
    }
    assert_eq!((late.session(), told.sessions().len(), told.none()), (None, 0, 1));
    late.login(EMAIL, PASSWORD, "again").await.unwrap();
    late.whoami().await.unwrap();
}

async fn a_service_in_trouble_does_not_keep_a_good_token_from_use(database: TestDatabase) {
    let (_world, replica, client) = ada(&database).await;
    let link = Link::to(replica.address).await;
    let told = Told::default();
    let ending = Session {
        access_expires_at: SystemTime::now() + Duration::from_secs(25),
        ..client.session().unwrap()
    };
    let far = told.by(builder(link.address).session(ending)).connect().await.unwrap();
    link.lose_answers(1);
    far.whoami().await.unwrap();
    assert_eq!((link.answers_lost(), told.sessions().len()), (1, 0));
    far.whoami().await.unwrap();
    assert_eq!(told.sessions().len(), 1);
}

async fn processes_that_share_a_session_do_not_end_it(database: TestDatabase) {
    let (world, replica, client) = ada(&database).await;
    let file = Arc::new(Mutex::new(client.session().unwrap()));
    let process = || async {
        let (written, read) = (Arc::clone(&file), Arc::clone(&file));
        let session = file.lock().unwrap().clone();
        let builder = builder(replica.address).session(session);
        let builder = builder.on_session(move |session| *written.lock().unwrap() = session.unwrap().clone());
        builder.load_session(move || Some(read.lock().unwrap().clone())).connect().await.unwrap()
    };
    let processes: [Client; 3] = [process().await, process().await, process().await];
    for round in 0..3 {
        for process in &processes {
            // Long after the time in which a retired token is forgiven.
            world.hand.advance(LATER);
            process.whoami().await.unwrap_or_else(|error| panic!("round {round}: {error}"));
        }
    }
}
