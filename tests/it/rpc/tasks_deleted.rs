//! Soft deletion: deleting, restoring, what may be done to a deleted task, and etags where tasks are deleted.

use taskwire::pb;

use super::{NO_TASK, alone, at, full, listing, seconds, titled};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::Refused as _;

both_engines!(
    a_deleted_task_is_answered_and_can_still_be_read,
    a_deleted_task_is_listed_only_on_request,
    a_task_is_deleted_once,
    allow_missing_makes_deletion_repeatable,
    a_deleted_task_cannot_be_updated,
    a_restored_task_is_as_it_was,
    a_live_task_cannot_be_restored,
    deletion_compares_the_etag,
    of_two_deletions_at_once_one_wins,
);

async fn a_deleted_task_is_answered_and_can_still_be_read(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let task = ada.create(full()).await.unwrap();
    server.clock.advance(seconds(60));
    let deleted = ada.delete(&task.name).await.unwrap();
    let expected = pb::Task {
        update_time: Some(at(60)),
        delete_time: Some(at(60)),
        purge_time: Some(at(60 + 30 * 24 * 60 * 60)),
        revision: 2,
        etag: deleted.etag.clone(),
        ..task.clone()
    };
    assert_eq!(deleted, expected);
    assert_ne!(deleted.etag, task.etag);
    assert_eq!(ada.get(&task.name).await.unwrap(), deleted);
}

async fn a_deleted_task_is_listed_only_on_request(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let live = ada.create(titled("live")).await.unwrap();
    let task = ada.create(titled("deleted")).await.unwrap();
    let deleted = ada.delete(&task.name).await.unwrap();
    assert_eq!(ada.all(listing()).await, std::slice::from_ref(&live));
    let request = pb::ListTasksRequest { show_deleted: true, ..listing() };
    assert_eq!(ada.all(request.clone()).await, [deleted.clone(), live]);
    let request = pb::ListTasksRequest { filter: "title:deleted".to_owned(), ..request };
    assert_eq!(ada.all(request).await, [deleted]);
    assert_eq!(ada.all(super::filtered("title:deleted")).await, []);
}

async fn a_task_is_deleted_once(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let task = ada.create(titled("x")).await.unwrap();
    let deleted = ada.delete(&task.name).await.unwrap();
    server.clock.advance(seconds(60));
    ada.delete(&task.name).await.refused("TASK_NOT_FOUND");
    ada.delete_with(&task.name, &deleted.etag, false).await.refused("TASK_NOT_FOUND");
    assert_eq!(ada.get(&task.name).await.unwrap(), deleted);
    assert_eq!(ada.me().await.revision, 2);
}

async fn allow_missing_makes_deletion_repeatable(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let task = ada.create(titled("x")).await.unwrap();
    let deleted = ada.delete_with(&task.name, "", true).await.unwrap();
    assert!(deleted.delete_time.is_some());
    server.clock.advance(seconds(60));
    // Once it is deleted, the etag is not compared either.
    for etag in ["", &deleted.etag, &task.etag, "nonsense"] {
        let again = ada.delete_with(&task.name, etag, true).await.unwrap();
        assert_eq!(again, deleted);
    }
    for etag in ["", "nonsense"] {
        let never = ada.delete_with(NO_TASK, etag, true).await.unwrap();
        assert_eq!(never, pb::Task::default());
    }
    ada.get(NO_TASK).await.refused("TASK_NOT_FOUND");
    assert_eq!(ada.me().await.revision, 2);
}

async fn a_deleted_task_cannot_be_updated(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let task = ada.create(titled("x")).await.unwrap();
    let deleted = ada.delete(&task.name).await.unwrap();
    for etag in ["", &deleted.etag, &task.etag] {
        for title in ["x", "y"] {
            let update = pb::Task { name: task.name.clone(), etag: etag.to_owned(), ..titled(title) };
            let refusal = ada.update(update, &["title"]).await.refused("TASK_DELETED");
            assert_eq!(refusal.code, tonic::Code::FailedPrecondition);
        }
    }
    // What is wrong with the request comes first.
    let update = pb::Task { name: task.name.clone(), ..pb::Task::default() };
    ada.update(update, &["title"]).await.refused_at("FIELD_INVALID", &["task.title"]);
    assert_eq!(ada.get(&task.name).await.unwrap(), deleted);
}

async fn a_restored_task_is_as_it_was(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let task = ada.create(full()).await.unwrap();
    server.clock.advance(seconds(60));
    ada.delete(&task.name).await.unwrap();
    server.clock.advance(seconds(60));
    let restored = ada.undelete(&task.name).await.unwrap();
    let expected =
        pb::Task { update_time: Some(at(120)), revision: 3, etag: restored.etag.clone(), ..task.clone() };
    assert_eq!(restored, expected);
    assert_eq!(ada.get(&task.name).await.unwrap(), restored);
    assert_eq!(ada.all(listing()).await, std::slice::from_ref(&restored));
    let update = pb::Task { etag: restored.etag, name: task.name, ..titled("writable again") };
    ada.update(update, &["title"]).await.unwrap();
}

async fn a_live_task_cannot_be_restored(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let task = ada.create(titled("x")).await.unwrap();
    let refusal = ada.undelete(&task.name).await.refused("TASK_NOT_DELETED");
    assert_eq!(refusal.code, tonic::Code::AlreadyExists);
    ada.delete(&task.name).await.unwrap();
    let restored = ada.undelete(&task.name).await.unwrap();
    ada.undelete(&task.name).await.refused("TASK_NOT_DELETED");
    assert_eq!(ada.get(&task.name).await.unwrap(), restored);
    assert_eq!(ada.me().await.revision, 3);
}

async fn deletion_compares_the_etag(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let task = ada.create(titled("x")).await.unwrap();
    let update = pb::Task { name: task.name.clone(), ..titled("y") };
    let updated = ada.update(update, &[]).await.unwrap();
    for etag in [task.etag.as_str(), "nonsense", "\0", " "] {
        for allow_missing in [false, true] {
            let refusal = ada.delete_with(&task.name, etag, allow_missing).await.refused("ETAG_MISMATCH");
            assert_eq!(refusal.metadata["current_etag"], updated.etag);
        }
    }
    ada.delete_with(NO_TASK, &task.etag, false).await.refused("TASK_NOT_FOUND");
    assert_eq!(ada.get(&task.name).await.unwrap(), updated);
    ada.delete_with(&task.name, &updated.etag, false).await.unwrap();
}

async fn of_two_deletions_at_once_one_wins(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let task = ada.create(titled("x")).await.unwrap();
    let (left, right) = tokio::join!(ada.delete(&task.name), ada.delete(&task.name));
    assert_ne!(left.is_ok(), right.is_ok(), "{left:?} {right:?}");
    left.and(right).refused("TASK_NOT_FOUND");
    assert_eq!(ada.me().await.revision, 2);
}
