//! Annotations: what other services note at a task.

use taskwire::pb;

use super::{Session, alone, filtered, titled, titles};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::Refused as _;

both_engines!(
    annotations_are_kept_and_replaced_as_a_whole,
    keys_and_values_have_their_rules,
    tasks_are_found_by_them,
    an_undo_brings_them_back,
);

fn annotated<const COUNT: usize>(title: &str, pairs: [(&str, &str); COUNT]) -> pb::Task {
    let annotations = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    pb::Task { annotations, ..titled(title) }
}

async fn annotations_are_kept_and_replaced_as_a_whole(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let pairs = [("crm.example/ticket", "4711"), ("one", "1"), ("text", "é \"quoted\"\n\t\\ 😀")];
    let created = ada.create(annotated("a", pairs)).await.unwrap();
    assert_eq!(created.annotations, annotated("a", pairs).annotations);
    assert_eq!(ada.get(&created.name).await.unwrap(), created);

    let other = pb::Task { name: created.name.clone(), ..annotated("", [("other", "1")]) };
    let updated = ada.update(other.clone(), &[]).await.unwrap();
    assert_eq!(updated.annotations, other.annotations);
    assert_ne!(updated.etag, created.etag);
    // The same again is no change, and another field leaves them alone.
    assert_eq!(ada.update(other, &["annotations"]).await.unwrap(), updated);
    let done = pb::Task { name: created.name.clone(), completed: true, ..pb::Task::default() };
    assert_eq!(ada.update(done, &["completed"]).await.unwrap().annotations, updated.annotations);
    let cleared = pb::Task { name: created.name.clone(), ..pb::Task::default() };
    assert!(ada.update(cleared, &["annotations"]).await.unwrap().annotations.is_empty());
}

async fn refused(ada: &Session, name: &str, task: pb::Task, part: &str) {
    let update = pb::Task { name: name.to_owned(), ..task.clone() };
    for refusal in [
        ada.create(task).await.refused_at("FIELD_INVALID", &["task.annotations"]),
        ada.update(update, &["annotations"]).await.refused_at("FIELD_INVALID", &["task.annotations"]),
    ] {
        assert!(format!("{refusal:?}").contains(part), "{refusal:?}");
    }
}

async fn keys_and_values_have_their_rules(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let task = ada.create(titled("a")).await.unwrap();
    let too_long = "k".repeat(64);
    for key in ["", "Key", "ké", "a b", "a=b", &too_long] {
        refused(&ada, &task.name, annotated("a", [(key, "v")]), "1 to 63 characters").await;
    }
    for control in super::fields::controls().filter(|control| !['\n', '\t'].contains(control)) {
        refused(&ada, &task.name, annotated("a", [("k", &control.to_string())]), "control characters").await;
    }
    refused(&ada, &task.name, annotated("a", [("k", &"é".repeat(257))]), "at most 256").await;
    // On the wire an empty one is left out, and the transcoder of the gateway falls over what is then missing.
    refused(&ada, &task.name, annotated("a", [("k", "")]), "must not be empty").await;
    let many = |count: usize| {
        let annotations = (0..count).map(|number| (format!("k{number}"), "é".repeat(256))).collect();
        pb::Task { annotations, ..titled("many") }
    };
    refused(&ada, &task.name, many(21), "at most 20 pairs").await;
    let full = ada.create(many(20)).await.unwrap();
    assert_eq!(ada.get(&full.name).await.unwrap().annotations, many(20).annotations);
    assert_eq!(ada.get(&task.name).await.unwrap(), task);
}

async fn tasks_are_found_by_them(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    ada.create(annotated("a", [("crm/ticket", "4711"), ("kind", "A b")])).await.unwrap();
    ada.create(annotated("b", [("crm/ticket", "4712"), ("a.b", "\"")])).await.unwrap();
    ada.create(annotated("c", [("one", "1")])).await.unwrap();
    ada.create(titled("d")).await.unwrap();
    for (filter, expected) in [
        ("annotations.crm/ticket = 4711", "a"),
        ("annotations.crm/ticket = \"4711\" OR annotations.crm/ticket = \"4712\"", "ab"),
        ("annotations.crm/ticket != \"4711\"", "bcd"),
        ("annotations.kind = \"A b\"", "a"),
        ("annotations.kind = \"a b\"", ""),
        ("annotations.a.b = \"\\\"\"", "b"),
        ("annotations.a = x", ""),
        ("annotations.crm/ticket:*", "ab"),
        ("NOT annotations.crm/ticket:*", "cd"),
        ("annotations.one = 1", "c"),
        ("annotations.one = \"\"", ""),
        ("annotations.one:*", "c"),
    ] {
        let request = pb::ListTasksRequest { order_by: "title".to_owned(), ..filtered(filter) };
        assert_eq!(titles(&ada.all(request).await).concat(), expected, "{filter}");
    }
    for filter in [
        "annotations.kind:a",
        "annotations.kind > a",
        "annotations = a",
        "annotations. = a",
        "annotations.K = a",
    ] {
        ada.list(filtered(filter)).await.refused_at("FILTER_INVALID", &["filter"]);
    }
}

async fn an_undo_brings_them_back(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let created = ada.create(annotated("a", [("k", "v")])).await.unwrap();
    let cleared = pb::Task { name: created.name.clone(), ..pb::Task::default() };
    let cleared = ada.update(cleared, &["annotations"]).await.unwrap();
    let undo = pb::UndoChangesRequest {
        parent: "users/me".to_owned(),
        start_revision: created.revision,
        end_revision: cleared.revision,
        ..pb::UndoChangesRequest::default()
    };
    ada.tasks().undo_changes(undo).await.unwrap();
    assert_eq!(ada.get(&created.name).await.unwrap().annotations, created.annotations);
}
