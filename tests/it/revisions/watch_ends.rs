//! How streams end, and how many there may be.

use std::time::Duration;

use futures_util::future::join_all;
use taskwire::api::{TaskRules, WatchLimits};
use taskwire::pb;
use tonic::transport::Endpoint;

use super::harness::replica::{Replica, TOKEN_TTL, World, connect, rules};
use super::*;
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::settings;

both_engines!(
    a_shutdown_ends_every_stream,
    a_stream_ends_with_its_token,
    a_reader_who_does_not_read_is_cut_off,
    a_user_has_so_many_streams,
    all_users_together_have_so_many_streams,
    a_stream_that_is_left_makes_room,
);

async fn serve(world: &World, watch: WatchLimits) -> Replica {
    world.serve(TaskRules { watch, ..rules() }).await
}

async fn a_shutdown_ends_every_stream(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let (one, two) = two(&replica).await;
    let mut streams = Vec::new();
    for user in [&one, &two] {
        for _ in 0..3 {
            let mut tasks = user.tasks(connect(replica.address).await);
            for _ in 0..10 {
                streams.push(tasks.watch_tasks(watching(Some(0))).await.unwrap().into_inner());
            }
        }
    }
    // Some have just been told something.
    create(&mut replica.tasks(&one), "one").await;
    let stopped = replica.begin_to_stop();
    for status in join_all(streams.iter_mut().map(end)).await {
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "DRAINING"));
        assert!(status.get_details_retry_info().and_then(|info| info.retry_delay).is_some());
    }
    tokio::time::timeout(PATIENCE, stopped).await.expect("the server does not stop").unwrap();
}

async fn a_stream_ends_with_its_token(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    let mut old = replica.tasks(&user);
    world.hand.advance(TOKEN_TTL / 2);
    let mut new = replica.tasks(&user.again(&replica).await);
    // The older token has half a second left, the newer one some minutes.
    world.hand.advance(TOKEN_TTL / 2 - Duration::from_millis(500));
    let mut short = old.watch_tasks(watching(None)).await.unwrap().into_inner();
    let mut long = new.watch_tasks(watching(None)).await.unwrap().into_inner();
    create(&mut new, "one").await;
    assert_eq!(next_change(&mut short).await.revision, 1);
    let status = end(&mut short).await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unauthenticated, "TOKEN_EXPIRED"));
    assert_eq!(next_change(&mut long).await.revision, 1);
    create(&mut new, "two").await;
    assert_eq!(next_change(&mut long).await.revision, 2);
}

async fn a_reader_who_does_not_read_is_cut_off(database: TestDatabase) {
    let world = World::on(&database.url);
    let stall_timeout = Duration::from_millis(200);
    let replica = serve(&world, WatchLimits { stall_timeout, ..settings().tasks().watch }).await;
    let user = replica.register("one@example.org").await;
    let mut tasks = replica.tasks(&user);
    // A connection of its own, so that its full window holds up nobody else; a small one, so that it is soon full.
    let endpoint = Endpoint::from_shared(format!("http://{}", replica.address)).unwrap();
    let channel = endpoint.initial_stream_window_size(65_535).connect().await.unwrap();
    let mut slow = user.tasks(channel);
    let mut stream = slow.watch_tasks(watching(Some(0))).await.unwrap().into_inner();
    let mut quick = tasks.watch_tasks(watching(Some(0))).await.unwrap().into_inner();
    // More than windows and buffers hold.
    let large = pb::Task { description: Some("x".repeat(1000)), ..titled("large") };
    let mut told = 0;
    while replica.services.storage.notifier().subscribers(owner(&replica, &user)) > 1 {
        let items = vec![creation(large.clone()); 100];
        tasks.batch_create_tasks(batch_creation(items)).await.unwrap();
        for _ in 0..100 {
            told += 1;
            assert_eq!(next_change(&mut quick).await.revision, told);
        }
    }
    let mut seen = 0;
    let status = loop {
        match tokio::time::timeout(PATIENCE, stream.message()).await.unwrap() {
            Ok(Some(pb::WatchTasksResponse { event: Some(Event::Change(change)), .. })) => {
                seen += 1;
                assert_eq!(change.revision, seen);
            }
            Ok(other) => panic!("{other:?}"),
            Err(status) => break status,
        }
    };
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "STREAM_TOO_SLOW"));
    assert!(seen < told, "{seen} of {told}");
    // It goes on where it was.
    let mut stream = slow.watch_tasks(watching(Some(seen))).await.unwrap().into_inner();
    assert_eq!(next_change(&mut stream).await.revision, seen + 1);
}

/// The right to somebody's tasks, as the server itself has it.
fn owner(replica: &Replica, user: &User) -> taskwire::domain::Owner {
    replica.services.tokens.verify(&user.access_token()).unwrap().owner_of(user.id().into()).unwrap()
}

async fn a_user_has_so_many_streams(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = serve(&world, WatchLimits { streams_per_user_max: 3, ..settings().tasks().watch }).await;
    let (one, two) = two(&replica).await;
    // All at once, on connections of their own.
    let mut clients = Vec::new();
    for _ in 0..4 {
        let tasks = one.tasks(connect(replica.address).await);
        clients.extend([tasks.clone(), tasks.clone(), tasks]);
    }
    let opened = join_all(clients.iter_mut().map(|tasks| tasks.watch_tasks(watching(None)))).await;
    let (open, refused): (Vec<_>, Vec<_>) = opened.into_iter().partition(Result::is_ok);
    assert_eq!((open.len(), refused.len()), (3, 9));
    for answered in refused {
        let status = refused_for(answered, "RATE_LIMITED");
        assert_eq!(status.code(), Code::ResourceExhausted);
    }
    // Somebody else has streams of their own, and those that are open go on.
    replica.tasks(&two).watch_tasks(watching(None)).await.unwrap();
    create(&mut clients[0], "one").await;
    for stream in open {
        assert_eq!(next_change(&mut stream.unwrap().into_inner()).await.revision, 1);
    }
}

async fn all_users_together_have_so_many_streams(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = serve(&world, WatchLimits { streams_max: 4, ..settings().tasks().watch }).await;
    let (one, two) = two(&replica).await;
    let mut open = Vec::new();
    for user in [&one, &two, &one, &two] {
        open.push(replica.tasks(user).watch_tasks(watching(None)).await.unwrap());
    }
    for user in [&one, &two] {
        let status = refused_for(replica.tasks(user).watch_tasks(watching(None)).await, "RATE_LIMITED");
        assert_eq!(status.code(), Code::ResourceExhausted);
    }
    // A stream that is refused for another reason takes no place, and one that ends gives it back.
    drop(open.pop());
    let mut tasks = replica.tasks(&one);
    for _ in 0..10 {
        let status = opened(&mut tasks, Some(7)).await.unwrap_err();
        assert_eq!(reason(&status), "REVISION_IN_FUTURE");
    }
    opened(&mut tasks, None).await.unwrap();
}

async fn a_stream_that_is_left_makes_room(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = serve(&world, WatchLimits { streams_per_user_max: 1, ..settings().tasks().watch }).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    for _ in 0..5 {
        let stream = opened(&mut tasks, None).await.unwrap();
        drop(stream);
    }
}

/// Opens a stream as soon as there is room: the server hears of one that was left a little later.
async fn opened(
    tasks: &mut harness::replica::Tasks,
    start: Option<i64>,
) -> Result<Streaming<pb::WatchTasksResponse>, Status> {
    let begin = std::time::Instant::now();
    loop {
        match tasks.watch_tasks(watching(start)).await {
            Err(status) if reason(&status) == "RATE_LIMITED" && begin.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            answered => return answered.map(Response::into_inner),
        }
    }
}
