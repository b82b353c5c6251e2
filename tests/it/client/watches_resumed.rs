//! A watch over a bad network, past its token, and from one server to the next: every change is told, once, in order.

use std::collections::BTreeMap;
use std::time::Duration;

use taskwire::api::TaskRules;
use taskwire::client::{Checkpoint, Client, Event, WatchFrom};
use taskwire::pb;
use taskwire::server::jobs;

use super::link::Link;
use super::{EMAIL, PASSWORD, account, ada, builder, next, titled};
use crate::revisions::harness::proxy::Proxy;
use crate::revisions::harness::random::Random;
use crate::revisions::harness::replica::{Replica, World, rules};
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(
    it_resumes_where_its_connection_was_cut,
    it_follows_through_a_network_that_breaks_everywhere,
    it_goes_on_at_another_server,
    it_begins_anew_when_it_was_away_too_long,
    it_outlives_its_token,
);

/// As `ada`, and a client of hers over a link.
async fn ada_far(database: &TestDatabase) -> (World, Replica, Client, Link, Client) {
    let (world, replica, client) = ada(database).await;
    let link = Link::to(replica.address).await;
    let far = builder(link.address).session(client.session().unwrap()).connect().await.unwrap();
    (world, replica, client, link, far)
}

/// Makes so many changes, a few tasks turning up and down.
async fn write(client: Client, count: i64) {
    let task = client.tasks().create(titled("0")).await.unwrap();
    for number in 1..count {
        let renamed = pb::Task { name: task.name.clone(), ..titled(&number.to_string()) };
        client.tasks().update(renamed, &["title"]).await.unwrap();
    }
}

async fn it_resumes_where_its_connection_was_cut(database: TestDatabase) {
    const END: i64 = 120;
    let (_world, _replica, client, link, far) = ada_far(&database).await;
    let mut events = far.tasks().watch(WatchFrom::State);
    assert_eq!(next(&mut events).await, Event::StateBegin);
    assert_eq!(super::end_of_state(next(&mut events).await), 0);
    let writing = tokio::spawn(write(client, END));
    for revision in 1..=END {
        let Event::Change(change, _) = next(&mut events).await else { panic!("no change") };
        assert_eq!((change.prev_revision, change.revision), (revision - 1, revision));
        assert_eq!(change.task.unwrap().title, (revision - 1).to_string());
        match revision % 10 {
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

async fn it_follows_through_a_network_that_breaks_everywhere(database: TestDatabase) {
    const END: i64 = 60;
    // What waits is sent at once, and less than a whole frame of it cannot be read.
    const AHEAD_MAX: i64 = 4;
    let (_world, replica, client) = ada(&database).await;
    // Connections last for up to so many bytes: some do not get as far as their greeting, some end within a message.
    let proxy = Proxy::to(replica.address, 4000, Random::seeded()).await;
    let far =
        builder(proxy.address).attempts(1000).session(client.session().unwrap()).connect_lazy().unwrap();
    let (seen_up_to, mut seen_by_watch) = tokio::sync::watch::channel(0);
    let writing = tokio::spawn(async move {
        let task = client.tasks().create(titled("0")).await.unwrap();
        for number in 1..END {
            seen_by_watch.wait_for(|seen| number - seen <= AHEAD_MAX).await.unwrap();
            let renamed = pb::Task { name: task.name.clone(), ..titled(&number.to_string()) };
            client.tasks().update(renamed, &["title"]).await.unwrap();
        }
    });
    let mut events = far.tasks().watch(WatchFrom::State);
    let mut seen: BTreeMap<String, pb::Task> = BTreeMap::new();
    let mut revision = 0;
    let mut is_whole = false;
    while revision < END {
        match next(&mut events).await {
            Event::StateBegin => {
                assert!(!is_whole, "the state was told again though nothing was missed");
                seen.clear();
            }
            Event::TaskList(list) => panic!("no list was made: {list:?}"),
            Event::Task(task) => assert!(seen.insert(task.name.clone(), task).is_none()),
            Event::StateEnd(end) => (revision, is_whole) = (end.revision, true),
            Event::Change(change, _) => {
                assert_eq!((change.prev_revision, change.revision), (revision, revision + 1));
                revision = change.revision;
                let task = change.task.unwrap();
                seen.insert(task.name.clone(), task);
            }
        }
        seen_up_to.send_replace(revision);
    }
    writing.await.unwrap();
    let titles: Vec<&str> = seen.values().map(|task| task.title.as_str()).collect();
    assert_eq!(titles, [(END - 1).to_string()]);
    assert!(proxy.resets() > 0);
}

async fn it_goes_on_at_another_server(database: TestDatabase) {
    let (world, first, client, link, far) = ada_far(&database).await;
    let second = world.serve(rules()).await;
    let direct = builder(second.address).session(client.session().unwrap()).connect().await.unwrap();
    let mut events = far.tasks().watch(WatchFrom::After(Checkpoint::from(0)));
    client.tasks().create(titled("at the first")).await.unwrap();
    let Event::Change(change, _) = next(&mut events).await else { panic!("no change") };
    assert_eq!(change.revision, 1);
    link.lead_to(second.address);
    // It tells its watchers that it drains.
    let stopped = first.begin_to_stop();
    direct.tasks().create(titled("at the second")).await.unwrap();
    let Event::Change(change, _) = next(&mut events).await else { panic!("no change") };
    assert_eq!((change.revision, change.task.unwrap().title.as_str()), (2, "at the second"));
    stopped.await.unwrap();
}

async fn it_begins_anew_when_it_was_away_too_long(database: TestDatabase) {
    let world = World::on(&database.url);
    let kept = TaskRules { changes_kept: Duration::from_secs(24 * 60 * 60), ..rules() };
    let replica = world.serve(kept).await;
    let client = builder(replica.address).connect().await.unwrap();
    client.register(account(EMAIL)).await.unwrap();
    client.login(EMAIL, PASSWORD, "a test").await.unwrap();
    let link = Link::to(replica.address).await;
    let far = builder(link.address).connect().await.unwrap();
    far.login(EMAIL, PASSWORD, "far").await.unwrap();

    let gone = client.tasks().create(titled("gone")).await.unwrap();
    let mut events = far.tasks().watch(WatchFrom::After(Checkpoint::from(0)));
    assert!(matches!(next(&mut events).await, Event::Change(change, _) if change.revision == 1));
    link.close();
    client.tasks().delete(&gone.name).await.unwrap();
    client.tasks().create(titled("old")).await.unwrap();
    world.hand.advance(Duration::from_secs(2 * 24 * 60 * 60));
    client.tasks().create(titled("new")).await.unwrap();
    jobs::compact(&replica.services).await.unwrap();
    link.open();
    // What was known is void: nobody would have said that a task is gone.
    assert_eq!(next(&mut events).await, Event::StateBegin);
    let mut titles = Vec::new();
    let end = loop {
        match next(&mut events).await {
            Event::Task(task) => titles.push(task.title),
            Event::StateEnd(place) => break place.revision,
            event => panic!("{event:?}"),
        }
    };
    titles.sort();
    assert_eq!((titles, end), (vec!["new".to_owned(), "old".to_owned()], 4));
}

async fn it_outlives_its_token(database: TestDatabase) {
    let (world, _replica, client, link, far) = ada_far(&database).await;
    let before = far.session().unwrap();
    let mut events = far.tasks().watch(WatchFrom::After(Checkpoint::from(0)));
    client.tasks().create(titled("one")).await.unwrap();
    assert!(matches!(next(&mut events).await, Event::Change(change, _) if change.revision == 1));
    world.hand.advance(Duration::from_secs(60 * 60));
    link.cut();
    // Its own client, so that the two do not use up each other's tokens.
    let other = builder(link.address).connect().await.unwrap();
    other.login(EMAIL, PASSWORD, "another").await.unwrap();
    other.tasks().create(titled("two")).await.unwrap();
    assert!(matches!(next(&mut events).await, Event::Change(change, _) if change.revision == 2));
    assert_ne!(far.session().unwrap().refresh_token, before.refresh_token);
}
