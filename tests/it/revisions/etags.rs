//! A conflict of etags carries what is needed to resolve it: the current task and its etag.

use taskwire::pb;

use super::harness::replica::{World, rules};
use super::*;
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(a_conflict_carries_the_current_task, concurrent_updates_with_one_etag_have_one_winner);

async fn a_conflict_carries_the_current_task(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let old = create(&mut tasks, "old").await;
    let full = pb::Task {
        name: old.name.clone(),
        description: Some("Zeile\nzwei ✓".repeat(80)),
        labels: vec!["home".to_owned()],
        ..titled("current")
    };
    let current = tasks.update_task(change(full, &[])).await.unwrap().into_inner();
    let stale = pb::Task { name: old.name.clone(), etag: old.etag.clone(), ..titled("mine") };
    let delete = pb::DeleteTaskRequest { etag: old.etag.clone(), ..deletion(&old.name) };
    let batch = batch_change(vec![retitling(&old.name, "current"), change(stale.clone(), &["title"])]);
    let batch_delete = batch_deletion(vec![delete.clone()]);
    for status in [
        refused_for(tasks.update_task(change(stale, &["title"])).await, "ETAG_MISMATCH"),
        refused_for(tasks.delete_task(delete).await, "ETAG_MISMATCH"),
        refused_for(tasks.batch_update_tasks(batch).await, "ETAG_MISMATCH"),
        refused_for(tasks.batch_delete_tasks(batch_delete).await, "ETAG_MISMATCH"),
    ] {
        assert_eq!((status.code(), info(&status, "current_etag")), (Code::Aborted, current.etag.clone()));
        assert_eq!(current_task(&status), Some(current.clone()));
    }
    // With it the change is made at the second attempt.
    let merged = pb::Task { name: old.name, etag: current.etag, ..titled("mine") };
    assert_eq!(tasks.update_task(change(merged, &["title"])).await.unwrap().into_inner().revision, 3);
}

async fn concurrent_updates_with_one_etag_have_one_winner(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    let mut tasks = replica.tasks(&user);
    let task = create(&mut tasks, "one").await;
    let mut calls = Vec::new();
    for number in 0..10 {
        let mut tasks = user.tasks(harness::replica::connect(replica.address).await);
        let (name, etag) = (task.name.clone(), task.etag.clone());
        let request = change(pb::Task { name, etag, ..titled(&format!("winner {number}")) }, &["title"]);
        calls.push(tokio::spawn(async move { tasks.update_task(request).await }));
    }
    let (mut winners, mut losers) = (Vec::new(), Vec::new());
    for call in calls {
        match call.await.unwrap() {
            Ok(answer) => winners.push(answer.into_inner()),
            Err(status) => losers.push(status),
        }
    }
    assert_eq!((winners.len(), losers.len()), (1, 9));
    for status in losers {
        assert_eq!(reason(&status), "ETAG_MISMATCH");
        assert_eq!(current_task(&status).as_ref(), winners.first());
    }
    assert_eq!(revision(&mut tasks).await, 2);
}
