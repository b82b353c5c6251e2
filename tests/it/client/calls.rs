//! What every call of the client does.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use taskwire::client::{Client, ListOptions, UndoOptions};
use taskwire::pb;
use tonic::Code;

use super::{EMAIL, PASSWORD, Told, account, ada, builder, changes, titled, titles};
use crate::revisions::harness::replica::{World, rules};
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(
    tasks_are_made_changed_deleted_and_had_back,
    changes_are_read_and_undone,
    a_session_begins_and_ends,
    a_kept_session_goes_on,
    an_api_key_serves_while_nobody_is_logged_in,
);

async fn tasks_are_made_changed_deleted_and_had_back(database: TestDatabase) {
    let (_world, _replica, client) = ada(&database).await;
    let tasks = client.tasks();
    let made = tasks.create(titled("Straße fegen 🧹")).await.unwrap();
    assert_eq!(tasks.get(&made.name).await.unwrap(), made);
    let id = made.name.rsplit('/').next().unwrap();
    assert_eq!(tasks.get(id).await.unwrap(), made);

    let done = pb::Task { name: id.to_owned(), completed: true, ..titled("not in the mask") };
    let done = tasks.update(done, &["completed"]).await.unwrap();
    assert_eq!((done.completed, done.title.as_str()), (true, "Straße fegen 🧹"));
    // Without paths, what is populated.
    let named = pb::Task { name: made.name.clone(), ..titled("named anew") };
    let named = tasks.update(named, &[]).await.unwrap();
    assert_eq!((named.completed, named.title.as_str()), (true, "named anew"));

    assert!(tasks.delete(&made.name).await.unwrap().delete_time.is_some());
    assert!(titles(&client).await.is_empty());
    let deleted = ListOptions { show_deleted: true, ..ListOptions::default() };
    assert_eq!(tasks.list(deleted).try_collect::<Vec<_>>().await.unwrap().len(), 1);
    assert!(tasks.undelete(id).await.unwrap().delete_time.is_none());
    assert_eq!(titles(&client).await, ["named anew"]);
}

async fn changes_are_read_and_undone(database: TestDatabase) {
    let (_world, _replica, client) = ada(&database).await;
    let tasks = client.tasks();
    assert_eq!(tasks.checkpoint().await.unwrap().revision, 0);
    let one = tasks.create(titled("one")).await.unwrap();
    tasks.create(titled("two")).await.unwrap();
    tasks.delete(&one.name).await.unwrap();
    assert_eq!(tasks.checkpoint().await.unwrap().revision, 3);

    let options =
        UndoOptions { start_revision: 1, end_revision: 3, validate_only: true, ..Default::default() };
    assert_eq!(tasks.undo(options.clone()).await.unwrap().tasks.len(), 2);
    assert_eq!(titles(&client).await, ["two"]);
    tasks.undo(UndoOptions { validate_only: false, ..options }).await.unwrap();
    assert_eq!(titles(&client).await, ["one"]);
    let changes = changes(&client, 2).await;
    assert!(changes.iter().map(|change| change.revision).eq(3..=5), "{changes:?}");
}

async fn a_session_begins_and_ends(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let told = Told::default();
    let client = told.by(builder(replica.address)).connect_lazy().unwrap();
    assert_eq!(client.whoami().await.unwrap_err().reason(), "TOKEN_MISSING");
    client.logout().await.unwrap();
    let user = client.register(account(EMAIL)).await.unwrap();
    assert_eq!((user.email.as_str(), user.display_name.as_str()), (EMAIL, "Ada"));
    assert_eq!(client.session(), None);

    let session = client.login(EMAIL, PASSWORD, "a test").await.unwrap();
    assert_eq!(session.user, user.name);
    assert!(session.refresh_expires_at > session.access_expires_at + Duration::from_secs(24 * 60 * 60));
    assert_eq!(client.whoami().await.unwrap(), user);
    // Clones share it.
    assert_eq!(client.clone().session().as_ref(), Some(&session));
    client.logout().await.unwrap();
    assert_eq!((client.session(), told.sessions(), told.none()), (None, vec![session.clone()], 1));
    assert_eq!(client.whoami().await.unwrap_err().reason(), "TOKEN_MISSING");

    // Whoever finds out that the session has ended lets it go.
    let late = told.by(builder(replica.address).session(session)).connect_lazy().unwrap();
    assert_eq!(late.whoami().await.unwrap_err().reason(), "SESSION_REVOKED");
    assert_eq!((late.session(), told.none()), (None, 2));
    late.logout().await.unwrap();
}

async fn a_kept_session_goes_on(database: TestDatabase) {
    let (_world, replica, client) = ada(&database).await;
    let session = client.session().unwrap();
    let kept = serde_json::to_string(&session).unwrap();
    assert!(kept.contains(&session.refresh_token));
    let read = serde_json::from_str(&kept).unwrap();
    assert_eq!(session, read);
    let again = builder(replica.address).session(read).connect().await.unwrap();
    assert_eq!(again.whoami().await.unwrap().email, EMAIL);
    // It is worth a login, and no log shows it.
    for shown in [
        format!("{session:?}"),
        format!("{again:?}"),
        format!("{:?}", builder(replica.address).session(session.clone())),
    ] {
        assert!(shown.contains(&session.user), "{shown}");
        assert!(!shown.contains(&session.access_token) && !shown.contains(&session.refresh_token), "{shown}");
    }
    assert!(!format!("{:?}", account(EMAIL)).contains(PASSWORD));
}

async fn an_api_key_serves_while_nobody_is_logged_in(database: TestDatabase) {
    let (_world, replica, client) = ada(&database).await;
    client.tasks().create(titled("read by a program")).await.unwrap();
    let user = crate::revisions::harness::replica::connect(replica.address).await;
    let mut request = tonic::Request::new(pb::CreateApiKeyRequest {
        parent: "users/me".to_owned(),
        api_key: Some(pb::ApiKey { scopes: vec!["tasks.read".to_owned()], ..pb::ApiKey::default() }),
    });
    let bearer = format!("Bearer {}", client.session().unwrap().access_token).parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    let secret = pb::user_service_client::UserServiceClient::new(user)
        .create_api_key(request)
        .await
        .unwrap()
        .into_inner()
        .secret;

    let program: Client = builder(replica.address).api_key(secret).connect().await.unwrap();
    assert_eq!(titles(&program).await, ["read by a program"]);
    assert_eq!(program.tasks().checkpoint().await.unwrap().revision, 1);
    let error = program.tasks().create(titled("no")).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::PermissionDenied, "SCOPE_INSUFFICIENT"));
    program.login(EMAIL, PASSWORD, "a test").await.unwrap();
    program.tasks().create(titled("yes")).await.unwrap();
}
