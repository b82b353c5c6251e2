//! The stream of all events by the client: over a bad network and from one server to the next nothing is missed or told twice.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use taskwire::client::{Client, Error, EventOptions};
use taskwire::pb;
use taskwire::pb::event::Data;
use taskwire::pb::user_service_client::UserServiceClient;
use tonic::Code;

use super::link::Link;
use super::webhooks::administrator;
use super::{ada, builder, next, soon, titled};
use crate::revisions::harness::replica::Replica;
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(
    it_tells_what_happens_and_how_far_it_is,
    it_goes_on_where_its_connection_was_cut,
    it_goes_on_at_another_server,
    what_cannot_be_had_ends_it,
);

/// The secret of a service's key to all events.
async fn key(replica: &Replica) -> String {
    let admin = administrator(replica).await;
    let bearer = format!("Bearer {}", admin.session().unwrap().access_token);
    let authorized = |mut request: tonic::Request<()>| {
        request.metadata_mut().insert("authorization", bearer.parse().unwrap());
        Ok(request)
    };
    let mut users = UserServiceClient::with_interceptor(replica.channel(), authorized);
    let user = Some(pb::User { email: "index@services.example.org".to_owned(), ..pb::User::default() });
    let service = users.create_service_account(pb::CreateServiceAccountRequest { user }).await.unwrap();
    let request = pb::CreateApiKeyRequest {
        parent: service.into_inner().name,
        api_key: Some(pb::ApiKey { scopes: vec!["events.read".to_owned()], ..pb::ApiKey::default() }),
    };
    users.create_api_key(request).await.unwrap().into_inner().secret
}

/// The next event, past what only tells the cursor.
async fn event<S>(messages: &mut S) -> (pb::Event, String)
where
    S: futures_util::Stream<Item = Result<pb::WatchEventsResponse, Error>> + Unpin,
{
    loop {
        let message = next(messages).await;
        assert!(!message.cursor.is_empty());
        if let Some(event) = message.event {
            return (event, message.cursor);
        }
    }
}

fn title(event: pb::Event) -> String {
    let Some(Data::Change(change)) = event.data else { panic!("{event:?}") };
    change.task.unwrap().title
}

/// The cursor after an event that was told: makes tasks until the stream is there and tells one of them, and reads to the last.
async fn begun<S>(client: &Client, messages: &mut S) -> String
where
    S: futures_util::Stream<Item = Result<pb::WatchEventsResponse, Error>> + Unpin,
{
    let making = async {
        loop {
            let task = client.tasks().create(titled("begin")).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            drop(task);
        }
    };
    tokio::select! {
        told = event(messages) => drop(told),
        () = making => {}
    }
    client.tasks().create(titled("begun")).await.unwrap();
    loop {
        let (event, cursor) = event(messages).await;
        if title(event) == "begun" {
            return cursor;
        }
    }
}

async fn it_tells_what_happens_and_how_far_it_is(database: TestDatabase) {
    let (_world, replica, client) = ada(&database).await;
    let service = builder(replica.address).api_key(key(&replica).await).connect().await.unwrap();
    let mut messages = service.watch_events(EventOptions::default());
    let cursor = begun(&client, &mut messages).await;
    let task = client.tasks().create(titled("one")).await.unwrap();
    client.tasks().complete(&task.name, false).await.unwrap();
    for kind in ["task.created", "task.completed"] {
        let (event, _) = event(&mut messages).await;
        assert_eq!((event.r#type.as_str(), event.user), (kind, client.session().unwrap().user));
    }
    // Another program goes on from a cursor, with what it asks for.
    let options = EventOptions { cursor, event_types: vec!["task.completed".to_owned()] };
    let mut messages = service.watch_events(options);
    assert_eq!(event(&mut messages).await.0.r#type, "task.completed");
}

async fn it_goes_on_where_its_connection_was_cut(database: TestDatabase) {
    const END: i64 = 60;
    let (_world, replica, client) = ada(&database).await;
    let link = Link::to(replica.address).await;
    let service = builder(link.address).api_key(key(&replica).await).connect().await.unwrap();
    let mut messages = service.watch_events(EventOptions::default());
    begun(&client, &mut messages).await;
    let before = client.tasks().checkpoint().await.unwrap().revision;
    let writer = client.clone();
    let writing = tokio::spawn(async move {
        for number in 0..END {
            writer.tasks().create(titled(&number.to_string())).await.unwrap();
        }
    });
    let mut seen: HashMap<String, i64> = HashMap::new();
    for number in 0..END {
        let (event, _) = event(&mut messages).await;
        assert_eq!(seen.insert(event.id.clone(), number), None, "{} was told twice", event.id);
        let Some(Data::Change(change)) = event.data else { panic!("{event:?}") };
        assert_eq!(change.revision, before + number + 1);
        match number % 10 {
            3 => link.cut(),
            // The answer to the next opening is lost too.
            6 => {
                link.lose_answers(1);
                link.cut();
            }
            _ => {}
        }
    }
    writing.await.unwrap();
    assert!(link.answers_lost() > 0);
}

async fn it_goes_on_at_another_server(database: TestDatabase) {
    let (world, first, client) = ada(&database).await;
    let second = world.serve(crate::revisions::harness::replica::rules()).await;
    let link = Link::to(first.address).await;
    let service = builder(link.address).api_key(key(&first).await).connect().await.unwrap();
    let direct = builder(second.address).session(client.session().unwrap()).connect().await.unwrap();
    let mut messages = service.watch_events(EventOptions::default());
    begun(&client, &mut messages).await;
    client.tasks().create(titled("at the first")).await.unwrap();
    assert_eq!(title(event(&mut messages).await.0), "at the first");
    link.lead_to(second.address);
    // It tells its readers that it drains.
    let stopped = first.begin_to_stop();
    direct.tasks().create(titled("at the second")).await.unwrap();
    stopped.await.unwrap();
    // Whoever put events in order before may still hold the lease.
    world.hand.advance(Duration::from_secs(10));
    assert_eq!(title(event(&mut messages).await.0), "at the second");
}

async fn what_cannot_be_had_ends_it(database: TestDatabase) {
    let (_world, replica, client) = ada(&database).await;
    let refusal = async |client: &Client, cursor: &str| {
        let options = EventOptions { cursor: cursor.to_owned(), event_types: Vec::new() };
        let mut messages = client.watch_events(options);
        let refused = soon(messages.next()).await.unwrap().unwrap_err();
        assert!(soon(messages.next()).await.is_none());
        refused
    };
    // Those who are logged in are not told of others.
    assert_eq!(refusal(&client, "").await.reason(), "SCOPE_INSUFFICIENT");
    let service = builder(replica.address).api_key(key(&replica).await).connect().await.unwrap();
    let refused = refusal(&service, "made up").await;
    assert_eq!((refused.code(), refused.field_violations()[0].0.as_str()), (Code::InvalidArgument, "cursor"));
    // What happened after the cursor is not kept any more.
    let mut messages = service.watch_events(EventOptions::default());
    let cursor = begun(&client, &mut messages).await;
    client.tasks().create(titled("missed")).await.unwrap();
    assert_eq!(title(event(&mut messages).await.0), "missed");
    drop(messages);
    let journal = replica.services.storage.journal();
    let later = replica.services.clock.now().after(Duration::from_secs(1));
    assert!(journal.sweep(later, 1000).await.unwrap() > 0);
    assert_eq!(refusal(&service, &cursor).await.reason(), "CURSOR_EXPIRED");
}
