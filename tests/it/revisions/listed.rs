//! The change log as it is listed: page by page, and while others write.

use taskwire::pb;

use super::harness::replica::{World, rules};
use super::*;
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(pages_have_the_size_asked_for, a_list_agrees_with_itself_while_others_write);

async fn pages_have_the_size_asked_for(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let empty = tasks.list_task_changes(listing(0, 0)).await.unwrap().into_inner();
    let history = empty.history.clone();
    assert!(!history.is_empty());
    assert_eq!(empty, pb::ListTaskChangesResponse { history, ..pb::ListTaskChangesResponse::default() });
    for _ in 0..3 {
        let items = vec![creation(titled("x")); 200];
        tasks.batch_create_tasks(batch_creation(items)).await.unwrap();
    }
    for (start, size, expected, has_more) in [
        (0, 0, 50, true),
        (0, 1, 1, true),
        (0, 500, 500, true),
        (0, 501, 500, true),
        (0, i32::MAX, 500, true),
        (550, 0, 50, false),
        (551, 0, 49, false),
        (598, 1, 1, true),
        (599, 1, 1, false),
        (600, 0, 0, false),
    ] {
        let page = tasks.list_task_changes(listing(start, size)).await.unwrap().into_inner();
        assert_eq!((page.changes.len(), page.has_more), (expected, has_more), "{start} {size}");
        let revisions = page.changes.iter().map(|change| change.revision);
        assert!(revisions.eq(start + 1..=start + i64::try_from(expected).unwrap()));
        assert_eq!((page.current_revision, page.earliest_revision), (600, 0));
    }
}

async fn a_list_agrees_with_itself_while_others_write(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    let mut writer = replica.tasks(&user);
    let writing = tokio::spawn(async move {
        for number in 0..100 {
            create(&mut writer, &number.to_string()).await;
        }
    });
    let mut tasks = replica.tasks(&user);
    let mut seen = 0;
    while seen < 100 {
        let page = tasks.list_task_changes(listing(seen, 500)).await.unwrap().into_inner();
        for change in page.changes {
            assert_eq!((change.prev_revision, change.revision), (seen, seen + 1));
            seen += 1;
        }
        assert_eq!(page.has_more, seen < page.current_revision, "{seen} of {}", page.current_revision);
    }
    writing.await.unwrap();
}
