//! Sessions: a refresh token moves its session on once, and an ended session never moves again.

use taskwire::domain::{Device, NewSession, RefreshSecrets, Session, SessionId, Timestamp, UserId};
use taskwire::storage::Rotation;

use super::{Person, at};
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(
    missing_session_is_none,
    session_is_found_below_its_user_alone,
    rotation_moves_the_session_on,
    rotations_follow_each_other,
    retired_or_foreign_token_moves_nothing,
    expired_session_never_moves,
    revoked_session_never_moves,
    revoking_twice_keeps_the_first_time,
    revoking_ends_one_session_alone,
    session_needs_its_account,
);

async fn opened(database: &TestDatabase, user: UserId) -> Session {
    let new = NewSession {
        id: SessionId::generate(),
        user,
        device: Device::parse("phone").unwrap(),
        peer: "192.0.2.1:1".into(),
        create_time: at(0),
        expire_time: at(1000),
        family_hash: b"family".to_vec(),
        refresh_hash: b"first".to_vec(),
    };
    database.storage.sessions().create(new).await.unwrap()
}

const REQUEST: uuid::Uuid = uuid::Uuid::from_bytes([9; 16]);

/// A step from one token to the next.
pub(super) fn step(session: &Session, presented: &str, successor: &str, now: Timestamp) -> Rotation {
    Rotation {
        user: session.user,
        id: session.id,
        presented_hash: presented.into(),
        family_hash: session.secrets.family.clone(),
        successor_hash: successor.into(),
        salt: format!("salt of {successor}").into(),
        now,
        expire_time: now.after(std::time::Duration::from_secs(1000)),
        peer: "[2001:db8::1]:2".into(),
        idempotency_key: Some(REQUEST),
    }
}

async fn stored(database: &TestDatabase, session: &Session) -> Session {
    database.storage.sessions().find(session.user, session.id).await.unwrap().unwrap()
}

async fn missing_session_is_none(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let sessions = database.storage.sessions();
    assert_eq!(sessions.find(ada.user(), SessionId::generate()).await, Ok(None));
    assert_eq!(sessions.revoke(ada.user(), SessionId::generate(), at(1)).await, Ok(false));
}

async fn session_is_found_below_its_user_alone(database: TestDatabase) {
    let (ada, bob) = (Person::new(&database, "ada").await, Person::new(&database, "bob").await);
    let session = opened(&database, ada.user()).await;
    let sessions = database.storage.sessions();
    assert_eq!(sessions.find(bob.user(), session.id).await, Ok(None));
    sessions.revoke(bob.user(), session.id, at(1)).await.unwrap();
    let foreign = Rotation { user: bob.user(), ..step(&session, "first", "second", at(1)) };
    assert_eq!(sessions.rotate(foreign).await, Ok(false));
    assert_eq!(stored(&database, &session).await, session);
}

async fn rotation_moves_the_session_on(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let session = opened(&database, ada.user()).await;
    let bystander = opened(&database, ada.user()).await;
    assert_eq!(database.storage.sessions().rotate(step(&session, "first", "second", at(10))).await, Ok(true));
    let expected = Session {
        peer: "[2001:db8::1]:2".into(),
        last_use_time: at(10),
        expire_time: at(1010),
        secrets: RefreshSecrets {
            family: b"family".to_vec(),
            current: b"second".to_vec(),
            previous: Some(b"first".to_vec()),
            salt: Some(b"salt of second".to_vec()),
            rotate_time: at(10),
            rotate_idempotency_key: Some(REQUEST),
        },
        ..session.clone()
    };
    assert_eq!(stored(&database, &session).await, expected);
    assert_eq!(stored(&database, &bystander).await, bystander);
}

async fn rotations_follow_each_other(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let session = opened(&database, ada.user()).await;
    let sessions = database.storage.sessions();
    let tokens = ["first", "second", "third", "fourth"];
    for (seconds, pair) in (1..).zip(tokens.windows(2)) {
        assert_eq!(sessions.rotate(step(&session, pair[0], pair[1], at(seconds))).await, Ok(true));
        let secrets = stored(&database, &session).await.secrets;
        assert_eq!((secrets.current, secrets.previous), (pair[1].into(), Some(pair[0].into())));
        assert_eq!(secrets.family, session.secrets.family);
    }
}

async fn retired_or_foreign_token_moves_nothing(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let session = opened(&database, ada.user()).await;
    let sessions = database.storage.sessions();
    assert_eq!(sessions.rotate(step(&session, "first", "second", at(1))).await, Ok(true));
    let before = stored(&database, &session).await;
    let other_family =
        Rotation { family_hash: b"other".to_vec(), ..step(&session, "second", "third", at(2)) };
    for refused in [
        step(&session, "first", "third", at(2)),
        step(&session, "never seen", "third", at(2)),
        step(&session, "", "third", at(2)),
        other_family,
        Rotation { id: SessionId::generate(), ..step(&session, "second", "third", at(2)) },
    ] {
        assert_eq!(sessions.rotate(refused).await, Ok(false));
    }
    assert_eq!(stored(&database, &session).await, before);
}

async fn expired_session_never_moves(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let session = opened(&database, ada.user()).await;
    let sessions = database.storage.sessions();
    for now in [at(1000), at(1001), Timestamp::MAX] {
        assert_eq!(sessions.rotate(step(&session, "first", "second", now)).await, Ok(false), "{now:?}");
    }
    assert_eq!(stored(&database, &session).await, session);
    // The last microsecond still counts, and a rotation puts the end off.
    let last = Timestamp::from_micros(at(1000).as_micros() - 1).unwrap();
    assert_eq!(sessions.rotate(step(&session, "first", "second", last)).await, Ok(true));
    assert_eq!(sessions.rotate(step(&session, "second", "third", at(1500))).await, Ok(true));
}

async fn revoked_session_never_moves(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let session = opened(&database, ada.user()).await;
    let sessions = database.storage.sessions();
    sessions.revoke(ada.user(), session.id, at(5)).await.unwrap();
    let ended = Session { revoke_time: Some(at(5)), ..session.clone() };
    assert_eq!(stored(&database, &session).await, ended);
    assert_eq!(sessions.rotate(step(&session, "first", "second", at(1))).await, Ok(false));
    assert_eq!(sessions.rotate(step(&session, "first", "second", at(6))).await, Ok(false));
    assert_eq!(stored(&database, &session).await, ended);
}

async fn revoking_twice_keeps_the_first_time(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let session = opened(&database, ada.user()).await;
    for seconds in [5, 9, 1] {
        let ended = database.storage.sessions().revoke(ada.user(), session.id, at(seconds)).await;
        assert_eq!(ended, Ok(seconds == 5), "whether it was live");
        assert_eq!(stored(&database, &session).await.revoke_time, Some(at(5)));
    }
}

async fn revoking_ends_one_session_alone(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let (one, other) = (opened(&database, ada.user()).await, opened(&database, ada.user()).await);
    database.storage.sessions().revoke(ada.user(), one.id, at(5)).await.unwrap();
    assert_eq!(stored(&database, &other).await, other);
    assert_eq!(database.storage.sessions().rotate(step(&other, "first", "second", at(6))).await, Ok(true));
}

/// The foreign key holds on the connections of the pool; stock SQLite leaves it off on each.
async fn session_needs_its_account(database: TestDatabase) {
    let new = NewSession {
        id: SessionId::generate(),
        user: UserId::generate(),
        device: Device::default(),
        peer: String::new(),
        create_time: at(0),
        expire_time: at(1),
        family_hash: vec![],
        refresh_hash: vec![],
    };
    assert!(database.storage.sessions().create(new).await.is_err());
    assert_eq!(database.query_i64("select count(*) from sessions").await, 0);
}
