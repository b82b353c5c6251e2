//! Request ids: a call that is repeated answers as it did the first time, and does nothing more.

use std::time::Duration;

use prost::Message;
use taskwire::api::TaskRules;
use taskwire::pb;
use taskwire::server::jobs;

use super::harness::replica::{Tasks, World, rules};
use super::*;
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(
    every_change_is_answered_again_byte_for_byte,
    an_answer_is_remembered_for_a_day,
    an_undo_is_answered_again_when_its_changes_are_no_longer_kept,
    an_answer_outlives_what_would_refuse_the_call_now,
    the_spelling_of_a_request_id_does_not_matter,
);

/// One call of every method that changes tasks, each with a request id of its own.
#[derive(Debug, Clone)]
struct Calls {
    create: pb::CreateTaskRequest,
    update: pb::UpdateTaskRequest,
    delete: pb::DeleteTaskRequest,
    undelete: pb::UndeleteTaskRequest,
    batch_create: pb::BatchCreateTasksRequest,
    batch_update: pb::BatchUpdateTasksRequest,
    batch_delete: pb::BatchDeleteTasksRequest,
    undo: pb::UndoChangesRequest,
}

fn id() -> String {
    uuid::Uuid::now_v7().to_string()
}

impl Calls {
    /// About two tasks that exist, of which the second is deleted, and two that are put away here.
    fn about(live: &str, gone: &str, one: &str, two: &str, revision: i64) -> Self {
        let strict = pb::Task { completed: true, ..titled("updated") };
        let lenient = pb::DeleteTaskRequest { allow_missing: true, ..deletion("users/me/tasks/") };
        let missing = format!("users/me/tasks/{}", id());
        let items = vec![deletion(one), pb::DeleteTaskRequest { name: missing, ..lenient }];
        Self {
            create: pb::CreateTaskRequest { request_id: id(), ..creation(titled("created")) },
            update: pb::UpdateTaskRequest {
                request_id: id(),
                ..change(pb::Task { name: live.to_owned(), ..strict }, &[])
            },
            delete: pb::DeleteTaskRequest { request_id: id(), ..deletion(two) },
            undelete: pb::UndeleteTaskRequest { request_id: id(), ..undeletion(gone) },
            batch_create: pb::BatchCreateTasksRequest {
                request_id: id(),
                ..batch_creation(vec![creation(titled("b")), creation(titled("a"))])
            },
            batch_update: pb::BatchUpdateTasksRequest {
                request_id: id(),
                ..batch_change(vec![retitling(live, "in a batch"), retitling(live, "in a batch")])
            },
            batch_delete: pb::BatchDeleteTasksRequest { request_id: id(), ..batch_deletion(items) },
            undo: pb::UndoChangesRequest { request_id: id(), ..undoing(revision - 1, revision) },
        }
    }

    /// The same ids, as they may also be written.
    fn spell_in_capitals(&mut self) {
        for id in [
            &mut self.create.request_id,
            &mut self.update.request_id,
            &mut self.delete.request_id,
            &mut self.undelete.request_id,
            &mut self.batch_create.request_id,
            &mut self.batch_update.request_id,
            &mut self.batch_delete.request_id,
            &mut self.undo.request_id,
        ] {
            *id = id.to_uppercase();
        }
    }

    /// Makes every call; the answers as they are encoded.
    async fn make(&self, tasks: &mut Tasks) -> Vec<Vec<u8>> {
        vec![
            encoded(tasks.create_task(self.create.clone()).await),
            encoded(tasks.update_task(self.update.clone()).await),
            encoded(tasks.delete_task(self.delete.clone()).await),
            encoded(tasks.undelete_task(self.undelete.clone()).await),
            encoded(tasks.batch_create_tasks(self.batch_create.clone()).await),
            encoded(tasks.batch_update_tasks(self.batch_update.clone()).await),
            encoded(tasks.batch_delete_tasks(self.batch_delete.clone()).await),
            encoded(tasks.undo_changes(self.undo.clone()).await),
        ]
    }
}

#[track_caller]
fn encoded<M: Message>(answered: Result<Response<M>, Status>) -> Vec<u8> {
    answered.unwrap_or_else(|status| panic!("{status:?}")).into_inner().encode_to_vec()
}

/// Calls that can be made, and the tasks that they are about.
async fn ready(tasks: &mut Tasks) -> Calls {
    let mut names = Vec::new();
    for title in ["live", "gone", "one", "two"] {
        names.push(create(tasks, title).await.name);
    }
    tasks.delete_task(deletion(&names[1])).await.unwrap();
    Calls::about(&names[0], &names[1], &names[2], &names[3], 5)
}

async fn every_change_is_answered_again_byte_for_byte(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    let mut tasks = replica.tasks(&user);
    let calls = ready(&mut tasks).await;
    let first = calls.make(&mut tasks).await;
    let after = (all(&mut tasks).await, revision(&mut tasks).await);
    assert_eq!(calls.make(&mut tasks).await, first);
    assert_eq!((all(&mut tasks).await, revision(&mut tasks).await), after);

    // The tasks go on; the answers stay.
    world.hand.advance(Duration::from_secs(60));
    for task in after.0 {
        match task.delete_time {
            Some(_) => drop(tasks.undelete_task(undeletion(&task.name)).await.unwrap()),
            None => drop(tasks.update_task(retitling(&task.name, "changed since")).await.unwrap()),
        }
    }
    let later = (all(&mut tasks).await, revision(&mut tasks).await);
    assert_eq!(calls.make(&mut tasks).await, first);

    // So they do in another server, after this one has stopped.
    replica.stop().await;
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&user);
    assert_eq!(calls.make(&mut tasks).await, first);
    assert_eq!((all(&mut tasks).await, revision(&mut tasks).await), later);
}

async fn an_answer_is_remembered_for_a_day(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    let mut tasks = replica.tasks(&user);
    let request = pb::CreateTaskRequest { request_id: id(), ..creation(titled("once")) };
    let first = encoded(tasks.create_task(request.clone()).await);
    world.hand.advance(Duration::from_secs(24 * 60 * 60));
    jobs::forget(&replica.services).await.unwrap();
    let mut tasks = replica.tasks(&user.again(&replica).await);
    assert_eq!(encoded(tasks.create_task(request.clone()).await), first);
    // Being asked for it again makes it no younger.
    world.hand.advance(Duration::from_micros(1));
    jobs::forget(&replica.services).await.unwrap();
    assert_ne!(encoded(tasks.create_task(request).await), first);
    assert_eq!(all(&mut tasks).await.len(), 2);
}

async fn an_undo_is_answered_again_when_its_changes_are_no_longer_kept(database: TestDatabase) {
    let world = World::on(&database.url);
    // A day is the least that can be configured; the undo comes late in it.
    let changes_kept = Duration::from_secs(24 * 60 * 60);
    let replica = world.serve(TaskRules { changes_kept, ..rules() }).await;
    let user = replica.register("one@example.org").await;
    create(&mut replica.tasks(&user), "one").await;
    world.hand.advance(changes_kept - Duration::from_secs(60));
    let mut tasks = replica.tasks(&user.again(&replica).await);
    let request = pb::UndoChangesRequest { request_id: id(), ..undoing(0, 1) };
    let first = encoded(tasks.undo_changes(request.clone()).await);
    world.hand.advance(Duration::from_secs(120));
    jobs::compact(&replica.services).await.unwrap();
    refused_for(tasks.undo_changes(undoing(0, 1)).await, "REVISION_COMPACTED");
    assert_eq!(encoded(tasks.undo_changes(request.clone()).await), first);
    // Another call does not get this one's answer.
    let other = pb::UndoChangesRequest { force: true, ..request };
    refused_for(tasks.undo_changes(other).await, "REQUEST_ID_REUSED");
}

async fn an_answer_outlives_what_would_refuse_the_call_now(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(TaskRules { live_tasks_max: 1, ..rules() }).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let request = pb::CreateTaskRequest { request_id: id(), task_id: id(), ..creation(titled("one")) };
    let made = tasks.create_task(request.clone()).await.unwrap().into_inner();
    // Neither the quota, nor the id that is taken, nor the etag that is stale.
    assert_eq!(tasks.create_task(request).await.unwrap().into_inner(), made);
    let request = pb::UpdateTaskRequest {
        request_id: id(),
        ..change(pb::Task { name: made.name.clone(), etag: made.etag.clone(), ..titled("two") }, &["title"])
    };
    let updated = tasks.update_task(request.clone()).await.unwrap().into_inner();
    assert_eq!(tasks.update_task(request).await.unwrap().into_inner(), updated);
    let request = pb::DeleteTaskRequest { request_id: id(), ..deletion(&made.name) };
    let deleted = tasks.delete_task(request.clone()).await.unwrap().into_inner();
    assert_eq!(tasks.delete_task(request).await.unwrap().into_inner(), deleted);
    assert_eq!(revision(&mut tasks).await, 3);
}

async fn the_spelling_of_a_request_id_does_not_matter(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let mut calls = ready(&mut tasks).await;
    let answers = calls.make(&mut tasks).await;
    let reached = revision(&mut tasks).await;
    calls.spell_in_capitals();
    assert_eq!(calls.make(&mut tasks).await, answers);
    assert_eq!(revision(&mut tasks).await, reached);
    // Another message is another one, however its id is spelled.
    let other = pb::CreateTaskRequest { task: Some(titled("other")), ..calls.create };
    refused_for(tasks.create_task(other).await, "REQUEST_ID_REUSED");
}
