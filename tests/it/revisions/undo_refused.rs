//! Undos that are refused.

use taskwire::pb;

use super::harness::replica::{World, rules};
use super::*;
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(a_range_that_cannot_be_is_refused, a_range_in_the_future_is_refused);

async fn a_range_that_cannot_be_is_refused(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    create(&mut tasks, "one").await;
    for (start, end, field) in [
        (-1, 1, "start_revision"),
        (1, 1, "end_revision"),
        (1, 0, "end_revision"),
        (0, 0, "end_revision"),
        (0, -1, "end_revision"),
        (0, 1001, "end_revision"),
        (0, i64::MAX, "end_revision"),
        (i64::MIN, i64::MAX, "start_revision"),
    ] {
        let status = refused_for(tasks.undo_changes(undoing(start, end)).await, "FIELD_INVALID");
        assert_eq!(
            (status.code(), fields(&status)),
            (Code::InvalidArgument, vec![field.to_owned()]),
            "{start} {end}"
        );
    }
    let request = pb::UndoChangesRequest { request_id: "no id".to_owned(), ..undoing(-1, -1) };
    let status = refused_for(tasks.undo_changes(request).await, "FIELD_INVALID");
    assert_eq!(fields(&status), ["request_id", "start_revision", "end_revision"]);
    assert_eq!(revision(&mut tasks).await, 1);
}

async fn a_range_in_the_future_is_refused(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    create(&mut tasks, "one").await;
    for (start, end) in [(0, 2), (1, 2), (5, 6), (0, 1000)] {
        let status = refused_for(tasks.undo_changes(undoing(start, end)).await, "REVISION_IN_FUTURE");
        assert_eq!((status.code(), info(&status, "current_revision").as_str()), (Code::OutOfRange, "1"));
    }
    assert_eq!(revision(&mut tasks).await, 1);
}
