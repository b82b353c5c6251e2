//! Lists and tasks that are taken in: the same that was taken out, in another account, in another service, and once more.

use std::collections::BTreeMap;

use taskwire::pb;
use taskwire::pb::export_line::Line;
use taskwire::pb::import_tasks_request::{Conflict, Item, item::Resource};
use taskwire::pb::import_tasks_response::{ItemResult, Outcome};

use super::{Session, alone, at, full, titled};
use crate::support::both_engines;
use crate::support::database::{Engine, Schema, TestDatabase};
use crate::support::refusal::Answer;
use crate::support::server::{TestServer, answer};

both_engines!(
    what_was_taken_out_is_taken_in_elsewhere,
    a_second_import_changes_nothing,
    what_is_there_otherwise_is_kept_or_overwritten,
    what_only_says_a_part_is_met_as_well,
    what_is_deleted_is_left_alone,
    trying_it_out_writes_nothing_and_tells_the_same,
    many_are_taken_in_and_out,
    one_who_watches_sees_each_of_them,
);

pub(super) fn task_item(line: i64, task: pb::Task) -> Item {
    Item { line, resource: Some(Resource::Task(task)) }
}

pub(super) fn list_item(line: i64, list: pb::TaskList) -> Item {
    Item { line, resource: Some(Resource::TaskList(list)) }
}

/// A name below nobody in particular.
pub(super) fn name(number: u128) -> String {
    format!("{}/tasks/{}", super::NOBODY, uuid::Uuid::from_u128(number))
}

/// A task with this number as its id.
pub(super) fn numbered(number: u128, title: &str) -> pb::Task {
    pb::Task { name: name(number), ..titled(title) }
}

impl Session {
    /// Takes items in, in messages of so many as go into one.
    pub(super) async fn import_with(
        &self,
        items: Vec<Item>,
        conflict: Conflict,
        validate_only: bool,
    ) -> Answer<pb::ImportTasksResponse> {
        let conflict = conflict.into();
        let first =
            pb::ImportTasksRequest { parent: "users/me".to_owned(), validate_only, conflict, items: vec![] };
        let later = items
            .chunks(150)
            .map(|items| pb::ImportTasksRequest { items: items.to_vec(), ..Default::default() });
        let messages: Vec<_> = std::iter::once(first).chain(later).collect();
        answer(self.tasks().import_tasks(tokio_stream::iter(messages)).await)
    }

    pub(super) async fn import(&self, items: Vec<Item>) -> pb::ImportTasksResponse {
        self.import_with(items, Conflict::Unspecified, false).await.unwrap()
    }
}

/// The lists and tasks of an export, as they are taken in, from the last line to the first.
fn items(lines: &[Line]) -> Vec<Item> {
    let item = |(at, line): (usize, &Line)| {
        let line_number = i64::try_from(at).unwrap() + 1;
        match line {
            Line::TaskList(list) => Some(list_item(line_number, list.clone())),
            Line::Task(task) => Some(task_item(line_number, task.clone())),
            _ => None,
        }
    };
    let mut items: Vec<Item> = lines.iter().enumerate().filter_map(item).collect();
    items.reverse();
    items
}

/// Created, unchanged, overwritten, skipped, refused.
pub(super) fn counts(answer: &pb::ImportTasksResponse) -> [i32; 5] {
    let counted = |outcome: Outcome| {
        let is = |result: &&ItemResult| result.outcome() == outcome;
        i32::try_from(answer.results.iter().filter(is).count()).unwrap()
    };
    let counts = [
        answer.created_count,
        answer.unchanged_count,
        answer.overwritten_count,
        answer.skipped_count,
        answer.refused_count,
    ];
    use Outcome::{Created, Overwritten, Refused, Skipped, Unchanged};
    assert_eq!(counts, [Created, Unchanged, Overwritten, Skipped, Refused].map(counted));
    for result in &answer.results {
        let is_told = matches!(result.outcome(), Skipped | Refused);
        assert_eq!((result.reason.is_empty(), result.text.is_empty()), (!is_told, !is_told), "{result:?}");
    }
    counts
}

/// What has to be the same wherever a task is: all but whose it is, when it came there, and where exactly it stands.
fn comparable(task: &pb::Task, user: &str) -> pb::Task {
    let below = |name: &str| name.replace(user, "users/me");
    pb::Task {
        name: below(&task.name),
        task_list: below(&task.task_list),
        parent_task: below(&task.parent_task),
        next_task: below(&task.next_task),
        position: String::new(),
        update_time: None,
        revision: 0,
        etag: String::new(),
        ..task.clone()
    }
}

/// The live tasks of an export, in the order of their places, and the live lists by title in theirs.
fn content(lines: &[Line], user: &str) -> (Vec<pb::Task>, Vec<String>) {
    let (mut tasks, mut lists) = (BTreeMap::new(), BTreeMap::new());
    for line in lines {
        match line {
            Line::Task(task) if task.delete_time.is_none() => {
                tasks.insert(task.position.clone(), comparable(task, user));
            }
            Line::TaskList(list) if list.delete_time.is_none() => {
                lists.insert(list.position.clone(), list.name.replace(user, "users/me") + &list.title);
            }
            _ => {}
        }
    }
    (tasks.into_values().collect(), lists.into_values().collect())
}

/// Makes something of everything: lists in another order than they were made, subtasks, order, days, recurrence, what others note,
/// completed and deleted ones. Answers how many are deleted.
async fn furnish(ada: &Session) -> i32 {
    let mut lists = Vec::new();
    for title in ["Groceries", "Work", "gone"] {
        lists.push(ada.create_list(title).await.unwrap());
    }
    let first = pb::MoveTaskListRequest {
        name: lists[1].name.clone(),
        before: lists[0].name.clone(),
        ..Default::default()
    };
    answer(ada.tasks().move_task_list(first).await).unwrap();
    let gone = pb::DeleteTaskListRequest { name: lists[2].name.clone(), ..Default::default() };
    answer(ada.tasks().delete_task_list(gone).await).unwrap();
    let groceries = lists[0].name.clone();
    let milk = ada.create(pb::Task { task_list: groceries.clone(), ..full() }).await.unwrap();
    for title in ["half fat", "lactose free"] {
        let below = pb::Task { parent_task: milk.name.clone(), ..titled(title) };
        ada.create(below).await.unwrap();
    }
    let bread = ada.create(pb::Task { task_list: groceries, ..titled("Bread") }).await.unwrap();
    let before = pb::MoveTaskRequest { name: bread.name, before: milk.name, ..Default::default() };
    answer(ada.tasks().move_task(before).await).unwrap();
    let on_a_day = pb::Task {
        due_date: Some(pb::Date { year: 2026, month: 3, day: 1 }),
        time_zone: "Europe/Berlin".to_owned(),
        start_time: Some(at(10)),
        annotations: std::iter::once(("crm/id".to_owned(), "4711".to_owned())).collect(),
        description: Some(String::new()),
        ..titled("on a day")
    };
    ada.create(on_a_day).await.unwrap();
    let offset = pb::reminder::When::Offset(prost_types::Duration { seconds: 3600, nanos: 0 });
    let weekly = pb::Task {
        due_time: Some(at(100_000)),
        time_zone: "Asia/Kathmandu".to_owned(),
        recurrence: Some(pb::Recurrence { rrule: "FREQ=WEEKLY;BYDAY=MO,TH".to_owned(), basis: 1 }),
        reminders: vec![pb::Reminder { when: Some(offset) }],
        ..titled("weekly")
    };
    let weekly = ada.create(weekly).await.unwrap();
    // Another one follows it.
    ada.update(pb::Task { name: weekly.name, completed: true, ..Default::default() }, &["completed"])
        .await
        .unwrap();
    let away = ada.create(titled("away")).await.unwrap();
    ada.delete(&away.name).await.unwrap();
    2
}

async fn what_was_taken_out_is_taken_in_elsewhere(database: TestDatabase) {
    let engine = database.engine;
    let (server, ada) = alone(database).await;
    let deleted = furnish(&ada).await;
    let taken_out = ada.export().await;
    let (tasks, lists) = content(&taken_out, &ada.user);
    assert_eq!((tasks.len(), lists.len()), (7, 2));
    let items = items(&taken_out);
    let created = i32::try_from(tasks.len() + lists.len()).unwrap();
    // Time goes on meanwhile, and stands in what is taken in.
    server.clock.advance(super::seconds(600));
    let bob = server.register("bob@example.org").await;
    bob.create(titled("there before")).await.unwrap();
    let taken_in = bob.import(items.clone()).await;
    assert_eq!(counts(&taken_in), [created, 0, 0, deleted, 0]);
    assert_eq!(taken_in.revision, bob.me().await.revision);
    // In the order in which they came, under names of the new account.
    assert!(taken_in.results.iter().map(|result| result.line).eq(items.iter().map(|item| item.line)));
    assert!(taken_in.results.iter().all(|result| result.name.starts_with(&bob.user)));
    let (mut theirs, their_lists) = content(&bob.export().await, &bob.user);
    assert_eq!(theirs.remove(0).title, "there before");
    assert_eq!((theirs, their_lists), (tasks.clone(), lists.clone()));
    // Nothing of Ada's was touched.
    assert_eq!(content(&ada.export().await, &ada.user), (tasks.clone(), lists.clone()));
    server.database.assert_sound().await;

    let other = if engine == Engine::Sqlite { Engine::Postgres } else { Engine::Sqlite };
    let Some(database) = TestDatabase::create(other, Schema::Migrated).await else { return };
    let server = TestServer::start(database).await;
    // Here it is the first time, and they have completed nothing yet when it came.
    server.clock.advance(super::seconds(600));
    let cyd = server.register("cyd@example.org").await;
    assert_eq!(counts(&cyd.import(items).await), [created, 0, 0, deleted, 0]);
    assert_eq!(content(&cyd.export().await, &cyd.user), (tasks, lists));
    server.database.assert_sound().await;
}

async fn a_second_import_changes_nothing(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let deleted = furnish(&ada).await;
    let items = items(&ada.export().await);
    let bob = server.register("bob@example.org").await;
    let [created, ..] = counts(&bob.import(items.clone()).await);
    let (before, revision) = (bob.export().await, bob.me().await.revision);
    server.clock.advance(super::seconds(60));
    for conflict in [Conflict::Keep, Conflict::Overwrite] {
        let again = bob.import_with(items.clone(), conflict, false).await.unwrap();
        assert_eq!(counts(&again), [0, created, 0, deleted, 0]);
    }
    // What came out of the account itself is what is there; what it has deleted stays so.
    let again = ada.import(items).await;
    assert_eq!(counts(&again), [0, created, 0, deleted, 0]);
    assert_eq!(bob.me().await.revision, revision);
    assert_eq!(content(&bob.export().await, &bob.user), content(&before, &bob.user));
}

async fn what_is_there_otherwise_is_kept_or_overwritten(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let list = pb::TaskList {
        name: format!("{}/taskLists/{}", super::NOBODY, uuid::Uuid::from_u128(9)),
        ..Default::default()
    };
    let list = |title: &str| list_item(1, pb::TaskList { title: title.to_owned(), ..list.clone() });
    let items = |title: &str, completed| {
        let task = pb::Task { completed, ..numbered(1, title) };
        vec![list(title), task_item(2, task), task_item(3, numbered(2, "the same"))]
    };
    assert_eq!(counts(&ada.import(items("one", false)).await), [3, 0, 0, 0, 0]);
    server.clock.advance(super::seconds(60));
    let kept = ada.import_with(items("two", true), Conflict::Keep, false).await.unwrap();
    assert_eq!(counts(&kept), [0, 1, 0, 2, 0]);
    let reasons: Vec<&str> = kept.results.iter().map(|result| result.reason.as_str()).collect();
    assert_eq!(reasons, ["TASK_LIST_ALREADY_EXISTS", "TASK_ALREADY_EXISTS", ""]);
    let before = ada.get(&kept.results[1].name).await.unwrap();
    assert_eq!((before.title.as_str(), before.completed, kept.revision), ("one", false, 3));
    let overwritten = ada.import_with(items("two", true), Conflict::Overwrite, false).await.unwrap();
    assert_eq!(counts(&overwritten), [0, 1, 2, 0, 0]);
    assert_eq!(overwritten.revision, 5);
    let after = ada.get(&kept.results[1].name).await.unwrap();
    let expected = pb::Task {
        title: "two".to_owned(),
        completed: true,
        complete_time: Some(at(60)),
        update_time: Some(at(60)),
        revision: 5,
        etag: after.etag.clone(),
        ..before
    };
    assert_eq!(after, expected);
    assert_eq!(ada.get_list(&kept.results[0].name).await.unwrap().title, "two");
    server.database.assert_sound().await;
}

/// What neither says when something was completed nor in which list a subtask is.
async fn what_only_says_a_part_is_met_as_well(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let list = ada.create_list("Groceries").await.unwrap();
    let parent = pb::Task { task_list: list.name.clone(), ..numbered(1, "parent") };
    let done = pb::Task { parent_task: name(1), completed: true, ..numbered(2, "done") };
    let future = pb::Task { complete_time: Some(at(1_000_000)), create_time: Some(at(1_000_000)), ..done };
    let items = vec![task_item(1, future), task_item(2, parent)];
    let first = ada.import(items.clone()).await;
    assert_eq!(counts(&first), [2, 0, 0, 0, 0]);
    let below = ada.get(&first.results[0].name).await.unwrap();
    assert_eq!(
        (below.task_list, below.complete_time, below.create_time),
        (list.name, Some(at(0)), Some(at(0)))
    );
    server.clock.advance(super::seconds(60));
    let again = ada.import_with(items, Conflict::Overwrite, false).await.unwrap();
    assert_eq!(counts(&again), [0, 2, 0, 0, 0]);
    // What was known is kept where it is said.
    let earlier = pb::Task {
        completed: true,
        complete_time: Some(at(-500)),
        create_time: Some(at(-900)),
        ..numbered(3, "earlier")
    };
    let earlier = ada.import(vec![task_item(1, earlier)]).await;
    let earlier = ada.get(&earlier.results[0].name).await.unwrap();
    assert_eq!(
        (earlier.complete_time, earlier.create_time, earlier.update_time),
        (Some(at(-500)), Some(at(-900)), Some(at(60)))
    );
    server.database.assert_sound().await;
}

async fn what_is_deleted_is_left_alone(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let here = ada.import(vec![task_item(1, numbered(1, "here"))]).await;
    ada.delete(&here.results[0].name).await.unwrap();
    let gone = pb::Task { delete_time: Some(at(0)), ..numbered(2, "gone") };
    let list = ada.create_list("gone").await.unwrap();
    let request = pb::DeleteTaskListRequest { name: list.name.clone(), ..Default::default() };
    answer(ada.tasks().delete_task_list(request).await).unwrap();
    let items = vec![
        task_item(1, numbered(1, "here")),
        task_item(2, gone),
        list_item(3, pb::TaskList { delete_time: None, purge_time: None, ..list.clone() }),
        task_item(4, pb::Task { task_list: list.name.clone(), ..numbered(3, "in a list that is gone") }),
    ];
    let revision = ada.me().await.revision;
    let answered = ada.import_with(items, Conflict::Overwrite, false).await.unwrap();
    assert_eq!(counts(&answered), [0, 0, 0, 3, 1]);
    let reasons: Vec<&str> = answered.results.iter().map(|result| result.reason.as_str()).collect();
    assert_eq!(reasons, ["TASK_DELETED", "TASK_DELETED", "TASK_LIST_DELETED", "TASK_LIST_DELETED"]);
    assert_eq!(ada.me().await.revision, revision);
}

async fn trying_it_out_writes_nothing_and_tells_the_same(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    furnish(&ada).await;
    let mut items = items(&ada.export().await);
    items.push(task_item(900, pb::Task { title: String::new(), ..numbered(1, "") }));
    items.push(task_item(901, pb::Task { parent_task: name(7), ..numbered(2, "below nothing") }));
    let bob = server.register("bob@example.org").await;
    let tried = bob.import_with(items.clone(), Conflict::Keep, true).await.unwrap();
    assert_eq!((bob.me().await.revision, tried.revision), (0, 0));
    let empty = bob.export().await;
    assert_eq!(content(&empty, &bob.user), (Vec::new(), Vec::new()));
    let done = bob.import(items.clone()).await;
    assert_eq!(done.results, tried.results);
    assert_eq!(counts(&done), counts(&tried));
    let tried = bob.import_with(items, Conflict::Keep, true).await.unwrap();
    assert_eq!((counts(&tried)[0], tried.revision), (0, done.revision));
    server.database.assert_sound().await;
}

async fn many_are_taken_in_and_out(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    const CALL: u128 = 5000;
    for call in 0..4 {
        let task = |number| match call {
            // More than a connection lets pass for one message.
            0 => pb::Task { description: Some("x".repeat(500)), ..numbered(number, "one of many") },
            _ => numbered(number, "one of many"),
        };
        let items = (0..CALL).map(|number| task_item(1, task(1 + call * CALL + number)));
        let taken_in = ada.import(items.collect()).await;
        assert_eq!(counts(&taken_in), [5000, 0, 0, 0, 0]);
    }
    let bytes = super::exports::rest(ada.open_export_in_turn().await).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let lines_of = |kind: &str| text.lines().filter(|line| line.starts_with(kind)).count();
    assert_eq!((lines_of("{\"task\":"), lines_of("{\"change\":")), (20_000, 20_000));
    assert!(text.lines().last().unwrap().starts_with("{\"end\":"));
    server.database.assert_sound().await;
}

async fn one_who_watches_sees_each_of_them(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let request = pb::WatchTasksRequest { parent: "users/me".to_owned(), ..Default::default() };
    let mut watch = answer(ada.tasks().watch_tasks(request).await).unwrap();
    let items = (1..=450).map(|number| task_item(1, numbered(number, "watched")));
    assert_eq!(counts(&ada.import(items.collect()).await), [450, 0, 0, 0, 0]);
    let mut revision = 0;
    while revision < 450 {
        let message = watch.message().await.unwrap().unwrap();
        if let Some(pb::watch_tasks_response::Event::Change(change)) = message.event {
            assert_eq!((change.prev_revision, change.r#type()), (revision, pb::task_change::Type::Created));
            revision = change.revision;
        }
    }
}
