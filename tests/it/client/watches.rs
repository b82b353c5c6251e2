//! A watch on a good day: what it begins with, what it tells, how it ends.

use std::time::Duration;

use futures_util::StreamExt as _;
use taskwire::api::TaskRules;
use taskwire::client::{Checkpoint, Event, WatchFrom};
use taskwire::pb;
use taskwire::pb::task_change::Type;
use taskwire::server::jobs;
use tonic::Code;

use super::{EMAIL, PASSWORD, account, ada, builder, end_of_state, next, soon, titled};
use crate::revisions::harness::replica::{World, rules};
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(
    it_begins_with_now,
    it_begins_with_the_state,
    it_begins_after_a_revision,
    it_begins_with_the_state_when_the_revision_is_too_old,
    it_begins_again_when_the_history_is_another,
    a_revision_that_never_was_is_an_error,
    it_ends_with_the_session,
);

#[track_caller]
fn change(event: Event) -> pb::TaskChange {
    let Event::Change(change, _) = event else { panic!("no change: {event:?}") };
    change
}

async fn it_begins_with_now(database: TestDatabase) {
    let (_world, _replica, client) = ada(&database).await;
    let tasks = client.tasks();
    tasks.create(titled("before")).await.unwrap();
    let mut events = tasks.watch(WatchFrom::Now);
    let making = async {
        loop {
            tasks.create(titled("after 🧹")).await.unwrap();
        }
    };
    let first = change(tokio::select! {
        event = next(&mut events) => event,
        () = making => unreachable!(),
    });
    assert!(first.revision > 1, "{first:?}");
    assert_eq!((first.r#type(), first.task.unwrap().title.as_str()), (Type::Created, "after 🧹"));
    let last = tasks.create(titled("last")).await.unwrap();
    for revision in first.revision + 1..=last.revision {
        assert_eq!(change(next(&mut events).await).revision, revision);
    }
}

async fn it_begins_with_the_state(database: TestDatabase) {
    let (_world, _replica, client) = ada(&database).await;
    let tasks = client.tasks();
    let mut events = tasks.watch(WatchFrom::State);
    assert_eq!(next(&mut events).await, Event::StateBegin);
    assert_eq!(end_of_state(next(&mut events).await), 0);
    let mut made = Vec::new();
    for title in ["Straße fegen", "牛乳"] {
        let task = tasks.create(titled(title)).await.unwrap();
        assert_eq!(change(next(&mut events).await).task.as_ref(), Some(&task));
        made.push(task);
    }
    tasks.delete(&made.remove(0).name).await.unwrap();
    assert_eq!(change(next(&mut events).await).r#type(), Type::Deleted);

    let mut events = tasks.watch(WatchFrom::State);
    assert_eq!(next(&mut events).await, Event::StateBegin);
    assert_eq!(next(&mut events).await, Event::Task(made.remove(0)));
    assert_eq!(end_of_state(next(&mut events).await), 3);
}

async fn it_begins_after_a_revision(database: TestDatabase) {
    let (_world, _replica, client) = ada(&database).await;
    let tasks = client.tasks();
    for title in ["one", "two", "three"] {
        tasks.create(titled(title)).await.unwrap();
    }
    let mut events = tasks.watch(WatchFrom::After(Checkpoint::from(1)));
    for revision in [2, 3] {
        let change = change(next(&mut events).await);
        assert_eq!((change.prev_revision, change.revision), (revision - 1, revision));
    }
    // Two watches do not disturb each other.
    let mut others = tasks.watch(WatchFrom::After(Checkpoint::from(0)));
    tasks.create(titled("four")).await.unwrap();
    assert_eq!(change(next(&mut events).await).revision, 4);
    for revision in 1..=4 {
        assert_eq!(change(next(&mut others).await).revision, revision);
    }
}

async fn it_begins_with_the_state_when_the_revision_is_too_old(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(TaskRules { changes_kept: Duration::from_secs(24 * 60 * 60), ..rules() }).await;
    let client = builder(replica.address).connect().await.unwrap();
    client.register(account(EMAIL)).await.unwrap();
    client.login(EMAIL, PASSWORD, "a test").await.unwrap();
    let tasks = client.tasks();
    let old = tasks.create(titled("old")).await.unwrap();
    tasks.create(titled("old too")).await.unwrap();
    world.hand.advance(Duration::from_secs(2 * 24 * 60 * 60));
    let kept = tasks.create(titled("kept")).await.unwrap();
    jobs::compact(&replica.services).await.unwrap();

    // So does a list of changes.
    let mut listed = tasks.changes(old.revision.into());
    assert_eq!(next(&mut listed).await, Event::StateBegin);
    for _ in 0..3 {
        assert!(matches!(next(&mut listed).await, Event::Task(_)));
    }
    assert_eq!(end_of_state(next(&mut listed).await), 3);
    assert!(listed.next().await.is_none());
    assert_eq!(tasks.checkpoint().await.unwrap().revision, kept.revision);
    let mut events = tasks.watch(WatchFrom::After(Checkpoint::from(old.revision)));
    assert_eq!(next(&mut events).await, Event::StateBegin);
    let mut told = Vec::new();
    for _ in 0..3 {
        let Event::Task(task) = next(&mut events).await else { panic!("no task") };
        told.push(task.title);
    }
    told.sort();
    assert_eq!(told, ["kept", "old", "old too"]);
    assert_eq!(end_of_state(next(&mut events).await), 3);
    tasks.delete(&old.name).await.unwrap();
    assert_eq!(change(next(&mut events).await).revision, 4);
}

async fn it_begins_again_when_the_history_is_another(database: TestDatabase) {
    let (_world, _replica, client) = ada(&database).await;
    let tasks = client.tasks();
    for title in ["one", "two"] {
        tasks.create(titled(title)).await.unwrap();
    }
    let before = tasks.checkpoint().await.unwrap();
    let mut events = tasks.watch(WatchFrom::After(Checkpoint { revision: 1, ..before.clone() }));
    assert_eq!(change(next(&mut events).await).revision, 2);
    let history = database.storage.begin_history().await.unwrap().to_string();
    let place = Checkpoint { revision: 2, history };
    // Under way, and from a place of before, as a stream and as a list.
    let mut later = tasks.watch(WatchFrom::After(before.clone()));
    let mut listed = tasks.changes(before);
    for events in [&mut events as &mut (dyn futures_util::Stream<Item = _> + Unpin), &mut later, &mut listed]
    {
        assert_eq!(next(events).await, Event::StateBegin);
        for _ in 0..2 {
            assert!(matches!(next(events).await, Event::Task(_)));
        }
        assert_eq!(next(events).await, Event::StateEnd(place.clone()));
    }
    assert!(listed.next().await.is_none());
    tasks.create(titled("three")).await.unwrap();
    for events in [&mut events as &mut (dyn futures_util::Stream<Item = _> + Unpin), &mut later] {
        let Event::Change(change, place) = next(events).await else { panic!("no change") };
        assert_eq!((change.revision, place.revision), (3, 3));
    }
    assert!(tasks.changes(place).next().await.is_some());
}

async fn a_revision_that_never_was_is_an_error(database: TestDatabase) {
    let (_world, _replica, client) = ada(&database).await;
    let mut events = client.tasks().watch(WatchFrom::After(Checkpoint::from(7)));
    let error = soon(events.next()).await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::OutOfRange, "REVISION_IN_FUTURE"));
    assert!(events.next().await.is_none());
}

async fn it_ends_with_the_session(database: TestDatabase) {
    let (_world, replica, client) = ada(&database).await;
    let watching = builder(replica.address).session(client.session().unwrap()).connect().await.unwrap();
    let mut events = watching.tasks().watch(WatchFrom::State);
    assert_eq!(next(&mut events).await, Event::StateBegin);
    assert_eq!(end_of_state(next(&mut events).await), 0);
    client.logout().await.unwrap();
    let error = soon(events.next()).await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::Unauthenticated, "SESSION_REVOKED"));
    assert!(events.next().await.is_none());
}
