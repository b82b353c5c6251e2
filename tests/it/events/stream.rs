//! `WatchEvents`: everything that happens, in order for each user, resumed without a gap.

use std::collections::HashMap;

use taskwire::domain::Timestamp;
use taskwire::pb;
use taskwire::pb::event::Data;

use super::{add, change, next, watch};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::server::{START, TestServer, answer};

both_engines!(
    everything_is_told_from_now_on,
    a_stream_goes_on_where_it_ended,
    a_stream_says_at_once_where_it_is,
    only_what_is_asked_for_is_streamed,
    cursors_that_no_answer_held_are_refused,
    events_are_kept_as_long_as_changes,
    of_many_writers_no_change_is_missed_or_out_of_order,
    nobody_listens_and_nothing_is_written,
);

async fn everything_is_told_from_now_on(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let admin = server.register_admin("root@example.org").await;
    let ada = server.register("ada@example.org").await;
    add(&ada, "before").await;
    let mut events = admin.events_of_all().await;
    let mut stream = watch(&mut events, "", &[]).await;
    let task = add(&ada, "one").await;
    let (event, _) = next(&mut stream).await;
    assert_eq!((event.r#type.as_str(), &event.user), ("task.created", &ada.user));
    let Some(Data::Change(told)) = event.data else { panic!("{event:?}") };
    assert_eq!((told.revision, told.task.as_ref()), (task.revision, Some(&task)));
    let bob = server.register("bob@example.org").await;
    let (event, _) = next(&mut stream).await;
    assert_eq!((event.r#type.as_str(), &event.user), ("user.created", &bob.user));
    let Some(Data::Account(account)) = event.data else { panic!("{event:?}") };
    assert_eq!(account.email, "bob@example.org");
    change(&ada, pb::Task { completed: true, ..task }, &["completed"]).await;
    let (event, _) = next(&mut stream).await;
    assert_eq!(event.r#type, "task.completed");
}

async fn a_stream_goes_on_where_it_ended(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let admin = server.register_admin("root@example.org").await;
    let ada = server.register("ada@example.org").await;
    let mut events = admin.events_of_all().await;
    let mut stream = watch(&mut events, "", &[]).await;
    let requests = (0..5).map(|number| pb::CreateTaskRequest {
        task: Some(pb::Task { title: format!("number {number}"), ..pb::Task::default() }),
        ..pb::CreateTaskRequest::default()
    });
    let batch = pb::BatchCreateTasksRequest {
        parent: "users/me".to_owned(),
        requests: requests.collect(),
        ..pb::BatchCreateTasksRequest::default()
    };
    answer(ada.tasks().batch_create_tasks(batch).await).unwrap();
    add(&ada, "after").await;
    let mut ids = Vec::new();
    let mut cursors = Vec::new();
    for _ in 0..6 {
        let (event, cursor) = next(&mut stream).await;
        ids.push(event.id);
        cursors.push(cursor);
    }
    drop(stream);
    // From anywhere, also from the middle of what was changed at once.
    for (at, cursor) in cursors.iter().enumerate().take(5) {
        let mut stream = watch(&mut events, cursor, &[]).await;
        for id in &ids[at + 1..] {
            assert_eq!(next(&mut stream).await.0.id, *id, "from {at}");
        }
    }
}

async fn a_stream_says_at_once_where_it_is(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let admin = server.register_admin("root@example.org").await;
    let ada = server.register("ada@example.org").await;
    let mut events = admin.events_of_all().await;
    let mut stream = watch(&mut events, "", &[]).await;
    let first = stream.message().await.unwrap().unwrap();
    assert_eq!(first.event, None);
    drop(stream);
    add(&ada, "while nobody reads").await;
    let mut stream = watch(&mut events, &first.cursor, &[]).await;
    let Some(Data::Change(told)) = next(&mut stream).await.0.data else { panic!() };
    assert_eq!(told.task.unwrap().title, "while nobody reads");
}

async fn only_what_is_asked_for_is_streamed(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let admin = server.register_admin("root@example.org").await;
    let ada = server.register("ada@example.org").await;
    let mut events = admin.events_of_all().await;
    let mut stream = watch(&mut events, "", &["task.completed"]).await;
    let task = add(&ada, "one").await;
    change(&ada, pb::Task { completed: true, ..task }, &["completed"]).await;
    let (event, cursor) = next(&mut stream).await;
    assert_eq!(event.r#type, "task.completed");
    let mut stream = watch(&mut events, &cursor, &["task_list.*", "user.created"]).await;
    server.register("bob@example.org").await;
    assert_eq!(next(&mut stream).await.0.r#type, "user.created");
}

async fn cursors_that_no_answer_held_are_refused(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let admin = server.register_admin("root@example.org").await;
    let mut events = admin.events_of_all().await;
    let refused = async |events: &mut _, cursor: &str| refusal(events, cursor).await;
    for cursor in ["x", "made up", "AAAA", &"A".repeat(1000), &"/".repeat(43)] {
        let refused = refused(&mut events, cursor).await;
        assert_eq!(refused.violations[0].0, "cursor", "{cursor}");
    }
    // Of no history that there ever was.
    assert_eq!(refused(&mut events, &"A".repeat(43)).await.reason, "HISTORY_CHANGED");
    let request = pb::WatchEventsRequest { event_types: vec!["task.made".to_owned()], ..Default::default() };
    let refused = events.watch_events(request).await.map(drop).unwrap_err();
    assert_eq!(crate::support::refusal::Refusal::from(refused).violations[0].0, "event_types");
}

async fn refusal<Inner>(
    events: &mut pb::event_service_client::EventServiceClient<Inner>,
    cursor: &str,
) -> crate::support::refusal::Refusal
where
    Inner: tonic::client::GrpcService<tonic::body::Body>,
    Inner::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    Inner::ResponseBody: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    <Inner::ResponseBody as http_body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    let request = pb::WatchEventsRequest { cursor: cursor.to_owned(), ..pb::WatchEventsRequest::default() };
    events.watch_events(request).await.map(drop).unwrap_err().into()
}

async fn events_are_kept_as_long_as_changes(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let admin = server.register_admin("root@example.org").await;
    let ada = server.register("ada@example.org").await;
    let mut events = admin.events_of_all().await;
    let mut stream = watch(&mut events, "", &[]).await;
    add(&ada, "one").await;
    let (_, first) = next(&mut stream).await;
    add(&ada, "two").await;
    add(&ada, "three").await;
    next(&mut stream).await;
    let (_, last) = next(&mut stream).await;
    drop(stream);
    let journal = server.database.storage.journal();
    let now = Timestamp::from_parts(START, 0).unwrap();
    // Nothing is so old yet.
    assert_eq!(journal.sweep(now, 100).await.unwrap(), 0);
    assert!(journal.sweep(now.after(std::time::Duration::from_secs(1)), 100).await.unwrap() > 0);
    let head = journal.head().await.unwrap();
    assert_eq!(head.swept, head.last);
    // Who read until before that has missed something, and is told so; who read to the end goes on.
    assert_eq!(refusal(&mut events, &first).await.reason, "CURSOR_EXPIRED");
    let mut stream = watch(&mut events, &last, &[]).await;
    add(&ada, "four").await;
    let Some(Data::Change(told)) = next(&mut stream).await.0.data else { panic!() };
    assert_eq!(told.task.unwrap().title, "four");
}

async fn of_many_writers_no_change_is_missed_or_out_of_order(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let admin = server.register_admin("root@example.org").await;
    let mut events = admin.events_of_all().await;
    let mut users = Vec::new();
    for number in 0..6 {
        users.push(server.register(&format!("user{number}@example.org")).await);
    }
    let mut stream = watch(&mut events, "", &["task.*"]).await;
    let writers = users.iter().flat_map(|user| (0..4).map(move |_| user)).map(|user| async move {
        for number in 0..10 {
            add(user, &format!("number {number}")).await;
        }
    });
    let reading = async {
        let mut reached: HashMap<String, i64> = HashMap::new();
        for _ in 0..240 {
            let (event, _) = next(&mut stream).await;
            let Some(Data::Change(told)) = event.data else { panic!("{event:?}") };
            let before = reached.insert(event.user, told.revision).unwrap_or(0);
            assert_eq!(before, told.prev_revision);
        }
        reached
    };
    let (_, reached) = tokio::join!(futures_util::future::join_all(writers), reading);
    assert!(reached.len() == 6 && reached.values().all(|revision| *revision == 40), "{reached:?}");
}

async fn nobody_listens_and_nothing_is_written(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    add(&ada, "one").await;
    for table in ["outbox", "events", "event_listeners"] {
        assert_eq!(server.database.query_i64(&format!("select count(*) from {table}")).await, 0, "{table}");
    }
}
