//! One task's past: its revisions, the task as it was at one of them, and the way back.

use std::time::Duration;

use taskwire::pb;
use taskwire::pb::task_change::Type;
use taskwire::server::jobs;

use super::harness::replica::{Tasks, World, rules};
use super::*;
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(
    each_change_of_a_task_is_listed_and_read,
    pages_lead_through_all_of_it,
    what_is_no_revision_of_the_task_is_refused,
    what_is_compacted_is_refused,
    a_task_goes_back_and_forth,
    what_is_as_it_was_takes_no_revision,
    a_rollback_heeds_the_etag_and_the_request_id,
    a_deleted_task_comes_back_and_goes_again,
    subtasks_go_along,
    what_is_gone_is_left_out,
    a_rollback_does_not_pass_the_quota,
    an_answer_outlives_the_change,
);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn revisions_of(name: &str, page_size: i32, page_token: &str) -> pb::ListTaskRevisionsRequest {
    pb::ListTaskRevisionsRequest { name: name.to_owned(), page_size, page_token: page_token.to_owned() }
}

async fn past(tasks: &mut Tasks, name: &str) -> Vec<pb::TaskChange> {
    let page = tasks.list_task_revisions(revisions_of(name, 500, "")).await.unwrap().into_inner();
    assert_eq!(page.next_page_token, "");
    page.revisions
}

fn at(name: &str, revision: i64) -> pb::GetTaskRequest {
    pb::GetTaskRequest { name: name.to_owned(), revision: Some(revision), ..Default::default() }
}

fn rolling(name: &str, revision: i64) -> pb::RollbackTaskRequest {
    pb::RollbackTaskRequest { name: name.to_owned(), revision, ..Default::default() }
}

async fn roll_back(tasks: &mut Tasks, name: &str, revision: i64) -> pb::Task {
    tasks.rollback_task(rolling(name, revision)).await.unwrap().into_inner()
}

/// What a rollback brings back.
fn content(task: &pb::Task) -> pb::Task {
    let task = task.clone();
    pb::Task { revision: 0, update_time: None, etag: String::new(), purge_time: None, ..task }
}

fn full(title: &str) -> pb::Task {
    pb::Task {
        description: Some("about it".to_owned()),
        priority: pb::Priority::High.into(),
        due_time: Some(prost_types::Timestamp { seconds: 1_900_000_000, nanos: 0 }),
        labels: vec!["b".to_owned(), "a".to_owned()],
        annotations: [("app/ref".to_owned(), "17".to_owned())].into(),
        ..titled(title)
    }
}

async fn each_change_of_a_task_is_listed_and_read(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let other = create(&mut tasks, "other").await;
    let made = tasks.create_task(creation(full("first"))).await.unwrap().into_inner();
    let mut states = vec![made.clone()];
    for title in ["second", "third"] {
        // Changes of others lie between them.
        tasks.update_task(retitling(&other.name, title)).await.unwrap();
        states.push(tasks.update_task(retitling(&made.name, title)).await.unwrap().into_inner());
    }
    let done = pb::Task { name: made.name.clone(), completed: true, ..pb::Task::default() };
    states.push(tasks.update_task(change(done, &["completed", "labels"])).await.unwrap().into_inner());
    states.push(tasks.delete_task(deletion(&made.name)).await.unwrap().into_inner());
    states.push(tasks.undelete_task(undeletion(&made.name)).await.unwrap().into_inner());

    let listed = past(&mut tasks, &made.name).await;
    let whole = changes(&mut tasks, 0).await;
    let of_task = whole.into_iter().filter(|change| change.task.as_ref().unwrap().name == made.name);
    assert_eq!(listed, of_task.rev().collect::<Vec<_>>());
    assert!(listed.iter().rev().map(|change| change.task.clone().unwrap()).eq(states.iter().cloned()));
    let kinds: Vec<Type> = listed.iter().map(pb::TaskChange::r#type).collect();
    use Type::{Created, Deleted, Undeleted, Updated};
    assert_eq!(kinds, [Undeleted, Deleted, Updated, Updated, Updated, Created]);
    for state in states {
        let read = tasks.get_task(at(&made.name, state.revision)).await.unwrap().into_inner();
        assert_eq!(read, state);
    }
}

async fn pages_lead_through_all_of_it(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let (one, two) = (replica.register("one@example.org").await, replica.register("two@example.org").await);
    let mut tasks = replica.tasks(&one);
    let task = create(&mut tasks, "0").await;
    for title in 1..7 {
        tasks.update_task(retitling(&task.name, &title.to_string())).await.unwrap();
    }
    let mut found = Vec::new();
    let mut token = String::new();
    loop {
        let page = revisions_of(&task.name, 3, &token);
        let page = tasks.list_task_revisions(page).await.unwrap().into_inner();
        // What happens in between is on none of the later pages.
        tasks.update_task(retitling(&task.name, &format!("later {}", found.len()))).await.unwrap();
        found.push(page.revisions);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 1]);
    assert!(found.concat().iter().map(|change| change.revision).eq((1..=7).rev()));

    let page = tasks.list_task_revisions(revisions_of(&task.name, 1, "")).await.unwrap().into_inner();
    let other = create(&mut tasks, "other").await;
    let elsewhere = tasks.list_task_revisions(revisions_of(&other.name, 1, &page.next_page_token)).await;
    refused_for(elsewhere, "PAGE_TOKEN_MISMATCH");
    let made_up = tasks.list_task_revisions(revisions_of(&task.name, 1, "AAAA")).await;
    refused_for(made_up, "PAGE_TOKEN_INVALID");
    refused_for(tasks.list_task_revisions(revisions_of(&task.name, -1, "")).await, "FIELD_INVALID");
    let mut strangers = replica.tasks(&two);
    refused_for(strangers.list_task_revisions(revisions_of(&task.name, 1, "")).await, "PARENT_ACCESS_DENIED");
}

async fn what_is_no_revision_of_the_task_is_refused(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let (one, two) = (replica.register("one@example.org").await, replica.register("two@example.org").await);
    let mut tasks = replica.tasks(&one);
    let task = create(&mut tasks, "mine").await;
    let other = create(&mut tasks, "other").await;
    let (parent, _) = task.name.rsplit_once('/').unwrap();
    let unknown = format!("{parent}/00000000-0000-4000-8000-000000000000");
    for (name, revision, reason) in [
        (&task.name, other.revision, "REVISION_NOT_FOUND"),
        (&task.name, 3, "REVISION_NOT_FOUND"),
        (&task.name, i64::MAX, "REVISION_NOT_FOUND"),
        (&task.name, 0, "FIELD_INVALID"),
        (&task.name, -1, "FIELD_INVALID"),
        (&unknown, 1, "TASK_NOT_FOUND"),
    ] {
        let read = refused_for(tasks.get_task(at(name, revision)).await, reason);
        let rolled = refused_for(tasks.rollback_task(rolling(name, revision)).await, reason);
        assert_eq!((read.code(), read.message()), (rolled.code(), rolled.message()));
    }
    refused_for(tasks.list_task_revisions(revisions_of(&unknown, 0, "")).await, "TASK_NOT_FOUND");
    let mut strangers = replica.tasks(&two);
    refused_for(strangers.get_task(at(&task.name, 1)).await, "PARENT_ACCESS_DENIED");
    refused_for(strangers.rollback_task(rolling(&task.name, 1)).await, "PARENT_ACCESS_DENIED");
    assert_eq!(revision(&mut tasks).await, 2);
}

async fn what_is_compacted_is_refused(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    let mut tasks = replica.tasks(&user);
    let task = create(&mut tasks, "one").await;
    let quiet = create(&mut tasks, "quiet").await;
    tasks.update_task(retitling(&task.name, "two")).await.unwrap();
    world.hand.advance(DAY);
    let mut tasks = replica.tasks(&user.again(&replica).await);
    tasks.update_task(retitling(&task.name, "three")).await.unwrap();
    world.hand.advance(29 * DAY + Duration::from_micros(1));
    jobs::compact(&replica.services).await.unwrap();

    let mut tasks = replica.tasks(&user.again(&replica).await);
    assert!(past(&mut tasks, &task.name).await.iter().map(|change| change.revision).eq([4]));
    // It is as it was then, whatever is kept.
    assert_eq!(tasks.get_task(at(&quiet.name, 2)).await.unwrap().into_inner(), quiet);
    assert_eq!(past(&mut tasks, &quiet.name).await, []);
    for revision in [1, 3] {
        let read = refused_for(tasks.get_task(at(&task.name, revision)).await, "REVISION_COMPACTED");
        assert_eq!(info(&read, "earliest_revision"), "3");
        refused_for(tasks.rollback_task(rolling(&task.name, revision)).await, "REVISION_COMPACTED");
    }
    assert_eq!(get(&mut tasks, &task.name).await.title, "three");
}

async fn a_task_goes_back_and_forth(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let first = tasks.create_task(creation(full("first"))).await.unwrap().into_inner();
    let empty = pb::Task { name: first.name.clone(), completed: true, ..titled("second") };
    let second = tasks.update_task(change(empty, &["*"])).await.unwrap().into_inner();
    let other = create(&mut tasks, "other").await;
    world.hand.advance(Duration::from_secs(60));

    let third = roll_back(&mut tasks, &first.name, first.revision).await;
    assert_eq!((content(&third), third.revision), (content(&first), 4));
    assert_ne!((&third.etag, third.update_time), (&first.etag, second.update_time));
    let log = changes(&mut tasks, 3).await;
    assert_eq!((log.len(), log[0].r#type(), log[0].task.as_ref()), (1, Type::Updated, Some(&third)));
    let mut changed = log[0].changed_fields.clone();
    changed.sort_unstable();
    let expected = ["annotations", "completed", "description", "due_time", "labels", "priority", "title"];
    assert_eq!(changed, expected);
    assert_eq!(content(&roll_back(&mut tasks, &first.name, second.revision).await), content(&second));
    assert_eq!(content(&roll_back(&mut tasks, &first.name, third.revision).await), content(&first));
    assert_eq!(get(&mut tasks, &other.name).await, other);
    assert_eq!(past(&mut tasks, &first.name).await.len(), 5);
}

async fn what_is_as_it_was_takes_no_revision(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let task = create(&mut tasks, "one").await;
    assert_eq!(roll_back(&mut tasks, &task.name, 1).await, task);
    tasks.update_task(retitling(&task.name, "two")).await.unwrap();
    let again = tasks.update_task(retitling(&task.name, "one")).await.unwrap().into_inner();
    assert_eq!(roll_back(&mut tasks, &task.name, 1).await, again);
    assert_eq!(revision(&mut tasks).await, 3);
}

async fn a_rollback_heeds_the_etag_and_the_request_id(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let first = create(&mut tasks, "one").await;
    let second = tasks.update_task(retitling(&first.name, "two")).await.unwrap().into_inner();
    let stale = pb::RollbackTaskRequest { etag: first.etag.clone(), ..rolling(&first.name, 1) };
    let refused = refused_for(tasks.rollback_task(stale).await, "ETAG_MISMATCH");
    assert_eq!(
        (info(&refused, "current_etag"), current_task(&refused)),
        (second.etag.clone(), Some(second.clone()))
    );

    let request_id = "0198c5a4-7d3e-7c41-9b1f-2f6d8a5e4c10".to_owned();
    let call = pb::RollbackTaskRequest {
        etag: second.etag,
        request_id: request_id.clone(),
        ..rolling(&first.name, 1)
    };
    let back = tasks.rollback_task(call.clone()).await.unwrap().into_inner();
    tasks.update_task(retitling(&first.name, "three")).await.unwrap();
    // Repeated, it is answered as it was, and changes nothing.
    assert_eq!(tasks.rollback_task(call).await.unwrap().into_inner(), back);
    assert_eq!(get(&mut tasks, &first.name).await.title, "three");
    let other = pb::RollbackTaskRequest { request_id, ..rolling(&first.name, 2) };
    refused_for(tasks.rollback_task(other).await, "REQUEST_ID_REUSED");
    let bad = pb::RollbackTaskRequest { request_id: "x".to_owned(), ..rolling(&first.name, 0) };
    let bad = refused_for(tasks.rollback_task(bad).await, "FIELD_INVALID");
    assert!(bad.message().contains("and 1 more"), "{bad:?}");
}

async fn a_deleted_task_comes_back_and_goes_again(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let user = replica.register("one@example.org").await;
    let mut tasks = replica.tasks(&user);
    let task = create(&mut tasks, "one").await;
    let gone = tasks.delete_task(deletion(&task.name)).await.unwrap().into_inner();
    let back = roll_back(&mut tasks, &task.name, 1).await;
    assert_eq!((content(&back), back.revision), (content(&task), 3));
    world.hand.advance(Duration::from_secs(60));
    let again = roll_back(&mut tasks, &task.name, gone.revision).await;
    // Deleted now, not then: it can be taken back as long as any other.
    assert!(again.delete_time.unwrap().seconds >= gone.delete_time.unwrap().seconds + 60);
    assert!(again.purge_time.unwrap().seconds >= gone.purge_time.unwrap().seconds + 60);
    let kinds: Vec<Type> = past(&mut tasks, &task.name).await.iter().map(pb::TaskChange::r#type).collect();
    assert_eq!(kinds, [Type::Deleted, Type::Undeleted, Type::Deleted, Type::Created]);

    world.hand.advance(30 * DAY);
    jobs::purge(&replica.services).await.unwrap();
    let mut tasks = replica.tasks(&user.again(&replica).await);
    refused_for(tasks.rollback_task(rolling(&task.name, 3)).await, "TASK_NOT_FOUND");
    refused_for(tasks.get_task(at(&task.name, 3)).await, "TASK_NOT_FOUND");
}

async fn subtasks_go_along(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let parent = create(&mut tasks, "parent").await;
    let below = pb::Task { parent_task: parent.name.clone(), ..titled("child") };
    let child = tasks.create_task(creation(below)).await.unwrap().into_inner();
    let with_child = get(&mut tasks, &parent.name).await;
    tasks.delete_task(deletion(&parent.name)).await.unwrap();
    let gone = get(&mut tasks, &parent.name).await;
    assert!(get(&mut tasks, &child.name).await.delete_time.is_some());

    let back = roll_back(&mut tasks, &parent.name, with_child.revision).await;
    assert_eq!((back.delete_time, back.subtask_count), (None, 1));
    let child_back = get(&mut tasks, &child.name).await;
    assert_eq!((child_back.delete_time, &child_back.parent_task), (None, &parent.name));
    let again = roll_back(&mut tasks, &parent.name, gone.revision).await;
    assert!(again.delete_time.is_some());
    assert!(get(&mut tasks, &child.name).await.delete_time.is_some());

    // A child goes back below its parent, and the numbers follow.
    roll_back(&mut tasks, &parent.name, with_child.revision).await;
    let alone = pb::Task { name: child.name.clone(), ..pb::Task::default() };
    tasks.update_task(change(alone, &["parent_task"])).await.unwrap();
    assert_eq!(get(&mut tasks, &parent.name).await.subtask_count, 0);
    roll_back(&mut tasks, &child.name, child.revision).await;
    assert_eq!(get(&mut tasks, &parent.name).await.subtask_count, 1);
}

async fn what_is_gone_is_left_out(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let list = pb::CreateTaskListRequest {
        parent: "users/me".to_owned(),
        task_list: Some(pb::TaskList { title: "Groceries".to_owned(), ..Default::default() }),
        ..Default::default()
    };
    let list = tasks.create_task_list(list).await.unwrap().into_inner();
    let inside = pb::Task { task_list: list.name.clone(), ..titled("Milk") };
    let inside = tasks.create_task(creation(inside)).await.unwrap().into_inner();
    let outside = pb::Task { name: inside.name.clone(), ..titled("Oat milk") };
    tasks.update_task(change(outside, &["title", "task_list"])).await.unwrap();
    assert_eq!(roll_back(&mut tasks, &inside.name, inside.revision).await.task_list, list.name);

    let outside = pb::Task { name: inside.name.clone(), ..titled("Oat milk") };
    tasks.update_task(change(outside, &["title", "task_list"])).await.unwrap();
    let gone = pb::DeleteTaskListRequest { name: list.name.clone(), ..Default::default() };
    tasks.delete_task_list(gone).await.unwrap();
    let back = roll_back(&mut tasks, &inside.name, inside.revision).await;
    assert_eq!((back.title.as_str(), back.task_list.as_str(), back.delete_time), ("Milk", "", None));
}

async fn a_rollback_does_not_pass_the_quota(database: TestDatabase) {
    let world = World::on(&database.url);
    let mut rules = rules();
    rules.live_tasks_max = 2;
    let replica = world.serve(rules).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let one = create(&mut tasks, "one").await;
    tasks.delete_task(deletion(&one.name)).await.unwrap();
    create(&mut tasks, "two").await;
    let three = create(&mut tasks, "three").await;
    refused_for(tasks.rollback_task(rolling(&one.name, 1)).await, "QUOTA_EXCEEDED");
    tasks.delete_task(deletion(&three.name)).await.unwrap();
    assert_eq!(roll_back(&mut tasks, &one.name, 1).await.delete_time, None);
}

async fn an_answer_outlives_the_change(database: TestDatabase) {
    let world = World::on(&database.url);
    let mut rules = rules();
    rules.changes_kept = Duration::from_secs(60 * 60);
    let replica = world.serve(rules).await;
    let user = replica.register("one@example.org").await;
    let mut tasks = replica.tasks(&user);
    let task = create(&mut tasks, "one").await;
    tasks.update_task(retitling(&task.name, "two")).await.unwrap();
    let request_id = "0198c5a4-7d3e-7c41-9b1f-2f6d8a5e4c11".to_owned();
    let call = pb::RollbackTaskRequest { request_id, ..rolling(&task.name, 1) };
    let back = tasks.rollback_task(call.clone()).await.unwrap().into_inner();
    world.hand.advance(Duration::from_secs(2 * 60 * 60));
    jobs::compact(&replica.services).await.unwrap();
    let mut tasks = replica.tasks(&user.again(&replica).await);
    assert_eq!(tasks.rollback_task(call).await.unwrap().into_inner(), back);
    refused_for(tasks.rollback_task(rolling(&task.name, 1)).await, "REVISION_COMPACTED");
}
