//! Subtasks: one level below a task, in its list, counted at it, and carried along with it.

use taskwire::pb;

use super::task_lists::in_list;
use super::{NO_TASK, Session, alone, filtered, listing, mask, titled, titles};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::{Answer, Refused as _};
use crate::support::server::{TestServer, answer};

both_engines!(
    a_subtask_is_counted_at_its_parent,
    a_parent_is_completed_with_its_subtasks_or_without,
    subtasks_go_and_come_back_with_their_parent,
    a_subtask_comes_back_alone_without_its_parent,
    subtasks_are_in_the_list_of_their_parent,
    subtasks_have_an_order_of_their_own,
    there_is_one_level,
    what_is_no_parent_is_refused,
    subtasks_are_found_by_their_parent,
    a_batch_makes_parents_and_subtasks,
    so_many_subtasks_and_no_more,
    a_batch_deletes_parents_and_subtasks,
);

/// A task below this one.
fn below(title: &str, parent: &str) -> pb::Task {
    pb::Task { parent_task: parent.to_owned(), ..titled(title) }
}

impl Session {
    async fn counts(&self, name: &str) -> (i32, i32) {
        let task = self.get(name).await.unwrap();
        (task.subtask_count, task.completed_subtask_count)
    }

    async fn complete(&self, name: &str, completed: bool, complete_subtasks: bool) -> Answer<pb::Task> {
        let task = pb::Task { name: name.to_owned(), completed, ..pb::Task::default() };
        let request = pb::UpdateTaskRequest {
            task: Some(task),
            update_mask: mask(&["completed"]),
            complete_subtasks,
            ..pb::UpdateTaskRequest::default()
        };
        answer(self.tasks().update_task(request).await)
    }

    async fn put_below(&self, name: &str, parent: &str) -> Answer<pb::Task> {
        let task = pb::Task { name: name.to_owned(), parent_task: parent.to_owned(), ..Default::default() };
        self.update(task, &["parent_task"]).await
    }

    async fn revision(&self) -> i64 {
        self.me().await.revision
    }
}

async fn a_subtask_is_counted_at_its_parent(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let parent = ada.create(titled("party")).await.unwrap();
    assert_eq!((parent.subtask_count, parent.completed_subtask_count), (0, 0));
    server.clock.advance(super::seconds(1));
    let cake = ada.create(below("cake", &parent.name)).await.unwrap();
    assert_eq!((&cake.parent_task, cake.revision), (&parent.name, 2));
    let counted = ada.get(&parent.name).await.unwrap();
    // It is a change of the parent.
    assert_eq!((counted.subtask_count, counted.revision), (1, 3));
    assert_ne!(counted.etag, parent.etag);
    let done = pb::Task { completed: true, ..below("invitations", &parent.name) };
    let done = ada.create(done).await.unwrap();
    assert_eq!(ada.counts(&parent.name).await, (2, 1));
    ada.complete(&cake.name, true, false).await.unwrap();
    assert_eq!(ada.counts(&parent.name).await, (2, 2));
    ada.complete(&done.name, false, false).await.unwrap();
    assert_eq!(ada.counts(&parent.name).await, (2, 1));
    ada.delete(&cake.name).await.unwrap();
    assert_eq!(ada.counts(&parent.name).await, (1, 0));
    ada.undelete(&cake.name).await.unwrap();
    assert_eq!(ada.counts(&parent.name).await, (2, 1));
    ada.put_below(&cake.name, "").await.unwrap();
    assert_eq!(ada.counts(&parent.name).await, (1, 0));
    // What is only counted is not for callers to write.
    let written = pb::Task { name: parent.name.clone(), subtask_count: 9, ..Default::default() };
    ada.update(written, &["subtask_count"]).await.unwrap();
    assert_eq!(ada.counts(&parent.name).await, (1, 0));
    // Another change of a subtask is none of the parent.
    let before = ada.get(&parent.name).await.unwrap();
    ada.update(pb::Task { name: done.name, ..titled("renamed") }, &["title"]).await.unwrap();
    assert_eq!(ada.get(&parent.name).await.unwrap(), before);
}

async fn a_parent_is_completed_with_its_subtasks_or_without(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let parent = ada.create(titled("party")).await.unwrap();
    let early = ada.create(below("early", &parent.name)).await.unwrap();
    let late = ada.create(below("late", &parent.name)).await.unwrap();
    ada.complete(&early.name, true, false).await.unwrap();
    let early = ada.get(&early.name).await.unwrap();
    server.clock.advance(super::seconds(60));
    let done = ada.complete(&parent.name, true, false).await.unwrap();
    assert_eq!((done.completed, done.completed_subtask_count), (true, 1));
    assert!(!ada.get(&late.name).await.unwrap().completed);
    let before = ada.revision().await;
    // It is completed already; its subtasks can follow.
    let done = ada.complete(&parent.name, true, true).await.unwrap();
    assert_eq!((done.completed, done.completed_subtask_count), (true, 2));
    assert_eq!(ada.get(&parent.name).await.unwrap(), done);
    let late = ada.get(&late.name).await.unwrap();
    assert_eq!((late.completed, late.complete_time), (true, Some(super::at(60))));
    assert_eq!(ada.get(&early.name).await.unwrap(), early, "it was done before");
    assert_eq!(ada.revision().await, before + 2);
    // Reopening concerns the task alone.
    ada.complete(&parent.name, false, true).await.unwrap();
    assert_eq!(ada.counts(&parent.name).await, (2, 2));

    let other = ada.create(titled("other")).await.unwrap();
    for title in ["a", "b"] {
        ada.create(below(title, &other.name)).await.unwrap();
    }
    let before = ada.revision().await;
    let done = ada.complete(&other.name, true, true).await.unwrap();
    assert_eq!((done.subtask_count, done.completed_subtask_count), (2, 2));
    // One change for each of the three.
    assert_eq!(ada.revision().await, before + 3);
    assert_eq!(ada.get(&other.name).await.unwrap(), done);
}

async fn subtasks_go_and_come_back_with_their_parent(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let parent = ada.create(titled("party")).await.unwrap();
    let gone = ada.create(below("gone before", &parent.name)).await.unwrap();
    let cake = ada.create(below("cake", &parent.name)).await.unwrap();
    let again = ada.create(below("deleted again", &parent.name)).await.unwrap();
    ada.delete(&gone.name).await.unwrap();
    let before = ada.revision().await;
    let deleted = ada.delete(&parent.name).await.unwrap();
    assert_eq!(ada.revision().await, before + 3);
    assert_eq!(ada.get(&parent.name).await.unwrap(), deleted);
    assert!(ada.all(listing()).await.is_empty());
    // One is taken back by itself, and deleted by itself.
    assert_eq!(ada.undelete(&again.name).await.unwrap().parent_task, "");
    ada.delete(&again.name).await.unwrap();
    let back = ada.undelete(&parent.name).await.unwrap();
    assert_eq!((back.subtask_count, back.completed_subtask_count), (1, 0));
    let mut live = ada.all(listing()).await;
    live.sort_by(|one, other| one.title.cmp(&other.title));
    assert_eq!(titles(&live), ["cake", "party"]);
    assert_eq!(ada.get(&cake.name).await.unwrap().parent_task, parent.name);
    assert_eq!(ada.counts(&parent.name).await, (1, 0));
}

async fn a_subtask_comes_back_alone_without_its_parent(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let parent = ada.create(titled("party")).await.unwrap();
    let cake = ada.create(below("cake", &parent.name)).await.unwrap();
    ada.delete(&parent.name).await.unwrap();
    let alone = ada.undelete(&cake.name).await.unwrap();
    assert_eq!((alone.parent_task.as_str(), alone.delete_time), ("", None));
    let back = ada.undelete(&parent.name).await.unwrap();
    assert_eq!(back.subtask_count, 0);
    assert_eq!(ada.get(&cake.name).await.unwrap(), alone);
}

async fn subtasks_are_in_the_list_of_their_parent(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let (one, two) = (ada.create_list("one").await.unwrap(), ada.create_list("two").await.unwrap());
    let parent = ada.create(in_list("party", &one.name)).await.unwrap();
    let cake = ada.create(below("cake", &parent.name)).await.unwrap();
    assert_eq!(cake.task_list, one.name, "it comes into the list of its parent");
    let elsewhere = pb::Task { task_list: two.name.clone(), ..below("x", &parent.name) };
    ada.create(elsewhere).await.refused_at("FIELD_INVALID", &["task.task_list"]);
    let out = pb::Task { name: cake.name.clone(), task_list: two.name.clone(), ..Default::default() };
    ada.update(out, &["task_list"]).await.refused_at("FIELD_INVALID", &["task.task_list"]);
    let loose = ada.create(in_list("loose", &two.name)).await.unwrap();
    let both = pb::Task { name: loose.name.clone(), ..below("", &parent.name) };
    ada.update(both.clone(), &["parent_task"]).await.refused_at("FIELD_INVALID", &["task.task_list"]);
    let both = ada.update(both, &["parent_task", "task_list"]).await.unwrap();
    assert_eq!(both.task_list, one.name);

    let before = ada.revision().await;
    let moved = pb::Task { name: parent.name.clone(), task_list: two.name.clone(), ..Default::default() };
    ada.update(moved, &["task_list"]).await.unwrap();
    assert_eq!(ada.revision().await, before + 3);
    for name in [&cake.name, &loose.name] {
        let task = ada.get(name).await.unwrap();
        assert_eq!((&task.task_list, &task.parent_task), (&two.name, &parent.name));
    }
    let request = pb::MoveTaskRequest {
        name: parent.name.clone(),
        task_list: Some(String::new()),
        ..pb::MoveTaskRequest::default()
    };
    answer(ada.tasks().move_task(request).await).unwrap();
    assert_eq!(ada.get(&cake.name).await.unwrap().task_list, "");
    // A subtask that goes into another list leaves its parent.
    let request = pb::MoveTaskRequest {
        name: cake.name.clone(),
        task_list: Some(one.name.clone()),
        ..pb::MoveTaskRequest::default()
    };
    let moved = answer(ada.tasks().move_task(request).await).unwrap();
    assert_eq!((&moved.task_list, moved.parent_task.as_str()), (&one.name, ""));
    assert_eq!(ada.counts(&parent.name).await, (1, 0));
}

async fn subtasks_have_an_order_of_their_own(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let parent = ada.create(titled("party")).await.unwrap();
    let mut names = Vec::new();
    for title in ["a", "b", "c"] {
        names.push(ada.create(below(title, &parent.name)).await.unwrap().name);
    }
    let beside = ada.create(titled("beside")).await.unwrap();
    let order = async || {
        let filter = format!("parent_task = \"{}\"", parent.name);
        let request = pb::ListTasksRequest { order_by: "position".into(), ..filtered(&filter) };
        titles(&ada.all(request).await).join(" ")
    };
    let shift = async |name: &str, parent: Option<&str>, before: &str| {
        let request = pb::MoveTaskRequest {
            name: name.to_owned(),
            parent_task: parent.map(str::to_owned),
            before: before.to_owned(),
            ..pb::MoveTaskRequest::default()
        };
        answer(ada.tasks().move_task(request).await)
    };
    shift(&names[2], None, &names[0]).await.unwrap();
    assert_eq!(order().await, "c a b");
    shift(&beside.name, Some(&parent.name), &names[1]).await.unwrap();
    assert_eq!((order().await.as_str(), ada.counts(&parent.name).await), ("c a beside b", (4, 0)));
    // The place is among its like.
    shift(&names[0], None, &parent.name).await.refused_at("POSITION_INVALID", &["before"]);
    shift(&names[0], Some(""), &parent.name).await.unwrap();
    assert_eq!((order().await.as_str(), ada.counts(&parent.name).await), ("c beside b", (3, 0)));
    shift(&parent.name, None, &beside.name).await.refused_at("POSITION_INVALID", &["before"]);
}

async fn there_is_one_level(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let parent = ada.create(titled("parent")).await.unwrap();
    let child = ada.create(below("child", &parent.name)).await.unwrap();
    let other = ada.create(titled("other")).await.unwrap();
    for refused in [
        ada.create(below("grandchild", &child.name)).await,
        ada.put_below(&parent.name, &other.name).await,
        ada.put_below(&parent.name, &child.name).await,
        ada.put_below(&other.name, &other.name).await,
    ] {
        assert_eq!(refused.unwrap_err().reason, "NESTING_TOO_DEEP");
    }
    let request = pb::MoveTaskRequest {
        name: parent.name.clone(),
        parent_task: Some(other.name.clone()),
        ..pb::MoveTaskRequest::default()
    };
    let refused = answer(ada.tasks().move_task(request).await);
    assert_eq!(refused.unwrap_err().reason, "NESTING_TOO_DEEP");
    // Without subtasks it may.
    ada.delete(&child.name).await.unwrap();
    ada.put_below(&parent.name, &other.name).await.unwrap();
    // And what it had comes back alone.
    assert_eq!(ada.undelete(&child.name).await.unwrap().parent_task, "");
}

async fn what_is_no_parent_is_refused(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let (ada, eve) = (server.register("ada@example.com").await, server.register("eve@example.com").await);
    let deleted = ada.create(titled("deleted")).await.unwrap();
    ada.delete(&deleted.name).await.unwrap();
    let stranger = eve.create(titled("eve's")).await.unwrap();
    for parent in [NO_TASK, &deleted.name] {
        assert_eq!(ada.create(below("x", parent)).await.unwrap_err().reason, "PARENT_TASK_NOT_FOUND");
    }
    let guessed = format!("users/me/tasks/{}", stranger.name.rsplit('/').next().unwrap());
    assert_eq!(ada.create(below("x", &guessed)).await.unwrap_err().reason, "PARENT_TASK_NOT_FOUND");
    ada.create(below("x", &stranger.name)).await.refused_at("FIELD_INVALID", &["task.parent_task"]);
    ada.create(below("x", "party")).await.refused_at("FIELD_INVALID", &["task.parent_task"]);
    assert_eq!(eve.get(&stranger.name).await.unwrap(), stranger);
    assert!(ada.all(listing()).await.is_empty());
}

async fn subtasks_are_found_by_their_parent(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let parent = ada.create(titled("p")).await.unwrap();
    ada.create(below("a", &parent.name)).await.unwrap();
    ada.create(titled("b")).await.unwrap();
    let of_me = parent.name.replace(&ada.me().await.name, "users/me");
    for (filter, expected) in [
        (format!("parent_task = {of_me}"), vec!["a"]),
        (format!("parent_task = \"{}\"", parent.name), vec!["a"]),
        (format!("parent_task != {of_me}"), vec!["b", "p"]),
        ("parent_task = \"\"".to_owned(), vec!["b", "p"]),
        ("parent_task:*".to_owned(), vec!["a"]),
        (format!("parent_task = {NO_TASK}"), vec![]),
    ] {
        let request = pb::ListTasksRequest { order_by: "title".into(), ..filtered(&filter) };
        assert_eq!(titles(&ada.all(request).await), expected, "{filter}");
    }
    for wrong in ["parent_task = p", "parent_task < \"\"", "parent_task:x"] {
        assert_eq!(ada.list(filtered(wrong)).await.unwrap_err().reason, "FILTER_INVALID", "{wrong}");
    }
}

async fn a_batch_makes_parents_and_subtasks(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let id = "0198c0de-0000-7000-8000-00000000000c";
    let parent = format!("users/me/tasks/{id}");
    let item = |task: pb::Task, task_id: &str| pb::CreateTaskRequest {
        task: Some(task),
        task_id: task_id.to_owned(),
        ..pb::CreateTaskRequest::default()
    };
    let requests =
        vec![item(titled("parent"), id), item(below("a", &parent), ""), item(below("b", &parent), "")];
    let request = pb::BatchCreateTasksRequest { parent: "users/me".into(), requests, ..Default::default() };
    let made = answer(ada.tasks().batch_create_tasks(request).await).unwrap().tasks;
    // The numbers are part of its own change.
    assert_eq!((made[0].subtask_count, made[0].revision, ada.revision().await), (2, 1, 3));
    assert_eq!(ada.get(&parent).await.unwrap(), made[0]);
    let requests = made.iter().map(|task| pb::DeleteTaskRequest {
        name: task.name.clone(),
        allow_missing: true,
        ..pb::DeleteTaskRequest::default()
    });
    let request = pb::BatchDeleteTasksRequest {
        parent: "users/me".into(),
        requests: requests.collect(),
        ..Default::default()
    };
    answer(ada.tasks().batch_delete_tasks(request).await).unwrap();
    assert_eq!((ada.all(listing()).await.len(), ada.revision().await), (0, 6));
    assert_eq!(ada.undelete(&parent).await.unwrap().subtask_count, 2);
}

async fn so_many_subtasks_and_no_more(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let parent = ada.create(titled("p")).await.unwrap().name;
    for batch in [200, 200, 100] {
        let item = |number: usize| pb::CreateTaskRequest {
            task: Some(below(&number.to_string(), &parent)),
            ..Default::default()
        };
        let requests = (0..batch).map(item).collect();
        let request =
            pb::BatchCreateTasksRequest { parent: "users/me".into(), requests, ..Default::default() };
        answer(ada.tasks().batch_create_tasks(request).await).unwrap();
    }
    assert_eq!(ada.counts(&parent).await, (500, 0));
    let refusal = ada.create(below("one too many", &parent)).await.unwrap_err();
    assert_eq!(refusal.reason, "QUOTA_EXCEEDED");
    assert!(refusal.message.contains("500 subtasks"), "{}", refusal.message);
    ada.delete(&parent).await.unwrap();
    assert_eq!(ada.undelete(&parent).await.unwrap().subtask_count, 500);
}

/// Whoever selects all of them and deletes them gets just that, in either order.
async fn a_batch_deletes_parents_and_subtasks(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    for parent_comes_first in [true, false] {
        let parent = ada.create(titled("party")).await.unwrap();
        let cake = ada.create(below("cake", &parent.name)).await.unwrap();
        let mut names = [parent.name.clone(), cake.name.clone()];
        if !parent_comes_first {
            names.reverse();
        }
        let item = |name: &String| pb::DeleteTaskRequest { name: name.clone(), ..Default::default() };
        let request = pb::BatchDeleteTasksRequest {
            parent: "users/me".to_owned(),
            requests: names.iter().map(item).collect(),
            ..Default::default()
        };
        let before = ada.revision().await;
        let deleted = answer(ada.tasks().batch_delete_tasks(request.clone()).await).unwrap().tasks;
        assert!(deleted.iter().all(|task| task.delete_time.is_some()));
        assert_eq!(
            deleted.iter().map(|task| &task.name).collect::<Vec<_>>(),
            names.iter().collect::<Vec<_>>()
        );
        assert!(ada.revision().await <= before + 3);
        // Deleted before, they are missing as ever.
        let refused = answer(ada.tasks().batch_delete_tasks(request).await);
        assert_eq!(refused.unwrap_err().reason, "TASK_NOT_FOUND");
        let back = ada.undelete(&parent.name).await.unwrap();
        assert_eq!(back.subtask_count, i32::from(parent_comes_first));
        ada.delete(&parent.name).await.unwrap();
    }
}
