//! What an import refuses: calls that are wrong as a whole, and items that break a rule while the others go on.

use taskwire::api::TaskRules;
use taskwire::pb;
use taskwire::pb::ImportTasksRequest;
use taskwire::pb::import_tasks_request::{Conflict, Item};
use tokio_stream::StreamExt as _;

use super::imports::{counts, list_item, name, numbered, task_item};
use super::{Session, alone, titled};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::{Answer, Refused as _};
use crate::support::server::{Setup, TestServer, answer};

both_engines!(
    a_call_that_is_wrong_writes_nothing,
    broken_items_stand_among_good_ones,
    families_are_as_everywhere,
    too_many_and_too_large,
    a_full_account_takes_in_as_much_as_it_may,
    so_many_lists_and_no_more,
    nobody_is_reached_but_the_parent,
    one_import_of_a_user_at_once_and_one_that_breaks_off_writes_nothing,
);

impl Session {
    async fn import_messages(&self, messages: Vec<ImportTasksRequest>) -> Answer<pb::ImportTasksResponse> {
        answer(self.tasks().import_tasks(tokio_stream::iter(messages)).await)
    }
}

fn first(parent: &str) -> ImportTasksRequest {
    ImportTasksRequest { parent: parent.to_owned(), ..Default::default() }
}

fn one() -> Vec<Item> {
    vec![task_item(1, numbered(1, "one"))]
}

async fn a_call_that_is_wrong_writes_nothing(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let bob = server.register("bob@example.org").await;
    let with = |message: ImportTasksRequest| ImportTasksRequest { items: one(), ..message };
    ada.import_messages(Vec::new()).await.refused_at("FIELD_INVALID", &["parent"]);
    ada.import_messages(vec![with(first(""))]).await.refused_at("FIELD_INVALID", &["parent"]);
    ada.import_messages(vec![with(first("users/me/tasks"))]).await.refused_at("FIELD_INVALID", &["parent"]);
    ada.import_messages(vec![with(first(&bob.user))]).await.refused("PARENT_ACCESS_DENIED");
    let unknown = ImportTasksRequest { conflict: 9, ..with(first("users/me")) };
    ada.import_messages(vec![unknown]).await.refused_at("FIELD_INVALID", &["conflict"]);
    // What later messages say otherwise, after good items.
    let begin = || with(first("users/me"));
    for (field, message) in [
        ("parent", first(&bob.user)),
        ("parent", first("users/")),
        ("validate_only", ImportTasksRequest { validate_only: true, ..Default::default() }),
        ("conflict", ImportTasksRequest { conflict: Conflict::Overwrite.into(), ..Default::default() }),
    ] {
        ada.import_messages(vec![begin(), message]).await.refused_at("FIELD_INVALID", &[field]);
    }
    assert_eq!((ada.me().await.revision, bob.me().await.revision), (0, 0));
    // The same once more is no other.
    let same = ImportTasksRequest { parent: ada.user.clone(), ..Default::default() };
    let answered = ada.import_messages(vec![begin(), same]).await.unwrap();
    assert_eq!(counts(&answered), [1, 0, 0, 0, 0]);
    let nothing = ada.import_messages(vec![first("users/me")]).await.unwrap();
    assert_eq!((counts(&nothing), nothing.results.len(), nothing.revision), ([0; 5], 0, 1));
}

async fn broken_items_stand_among_good_ones(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let list_name = format!("users/me/taskLists/{}", uuid::Uuid::from_u128(1));
    let broken_list = pb::TaskList { name: list_name.clone(), title: " ".to_owned(), ..Default::default() };
    let much = pb::Task {
        labels: vec!["x".repeat(51)],
        priority: 17,
        due_time: time(i64::MAX),
        create_time: time(i64::MIN),
        task_list: "users/me/taskLists/x".to_owned(),
        parent_task: "x".to_owned(),
        next_task: "x".to_owned(),
        time_zone: "Mars/Olympus".to_owned(),
        ..numbered(3, "\u{7}")
    };
    let recurring = pb::Task {
        completed: true,
        due_time: time(1_800_000_000),
        recurrence: Some(pb::Recurrence { rrule: "FREQ=DAILY".to_owned(), basis: 0 }),
        ..numbered(4, "completed, and comes again")
    };
    let items = vec![
        task_item(1, numbered(1, "good")),
        task_item(2, pb::Task { name: String::new(), ..titled("without a name") }),
        list_item(3, broken_list),
        task_item(4, much),
        Item { line: 5, resource: None },
        task_item(6, recurring),
        task_item(7, numbered(1, "twice")),
        list_item(
            8,
            pb::TaskList { name: "users/me/tasks/1".to_owned(), title: "x".to_owned(), ..Default::default() },
        ),
        // The same id is another one for a list.
        list_item(9, pb::TaskList { name: list_name, title: "good".to_owned(), ..Default::default() }),
        task_item(10, pb::Task { description: Some("x".repeat(900_000)), ..numbered(5, "long") }),
        task_item(-11, numbered(6, "good")),
    ];
    let answered = ada.import(items).await;
    assert_eq!(counts(&answered), [3, 0, 0, 0, 8]);
    let told: Vec<(i64, &str, Vec<&str>)> = answered
        .results
        .iter()
        .map(|one| {
            let fields = one.violations.iter().map(|violation| violation.field.as_str());
            (one.line, one.reason.as_str(), fields.collect())
        })
        .collect();
    let all = vec![
        "task.next_task",
        "task.create_time",
        "task.title",
        "task.priority",
        "task.due_time",
        "task.labels",
        "task.time_zone",
        "task.task_list",
        "task.parent_task",
    ];
    let expected = [
        (1, "", vec![]),
        (2, "FIELD_INVALID", vec!["task.name"]),
        (3, "FIELD_INVALID", vec!["task_list.title"]),
        (4, "FIELD_INVALID", all),
        (5, "FIELD_INVALID", vec!["resource"]),
        (6, "RECURRENCE_INVALID", vec!["task.recurrence"]),
        (7, "FIELD_INVALID", vec!["task.name"]),
        (8, "FIELD_INVALID", vec!["task_list.name"]),
        (9, "", vec![]),
        (10, "FIELD_INVALID", vec!["task.description"]),
        (-11, "", vec![]),
    ];
    assert_eq!(told, expected);
    // A name that can be read is told, and a value never.
    assert_eq!(answered.results[3].name, name(3).replace(super::NOBODY, &ada.user));
    assert_eq!((answered.results[1].name.as_str(), answered.results[7].name.as_str()), ("", ""));
    assert!(!format!("{answered:?}").contains("Olympus"));
    assert_eq!(ada.me().await.revision, 3);
    server.database.assert_sound().await;
}

async fn families_are_as_everywhere(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let below = |number, parent| pb::Task { parent_task: name(parent), ..numbered(number, "below") };
    let no_list = super::task_lists::NO_LIST.to_owned();
    let items = vec![
        task_item(1, below(1, 2)),
        task_item(2, numbered(2, "parent")),
        task_item(3, below(3, 1)),
        task_item(4, below(4, 99)),
        task_item(5, below(5, 5)),
        task_item(6, below(6, 7)),
        task_item(7, below(7, 6)),
        task_item(8, pb::Task { task_list: no_list, ..numbered(8, "in a list that is not there") }),
    ];
    let tried = ada.import_with(items.clone(), Conflict::Keep, true).await.unwrap();
    let answered = ada.import(items).await;
    assert_eq!(answered.results, tried.results);
    let reasons: Vec<&str> = answered.results.iter().map(|one| one.reason.as_str()).collect();
    let missing = "PARENT_TASK_NOT_FOUND";
    assert_eq!(
        reasons,
        ["", "", "NESTING_TOO_DEEP", missing, missing, missing, missing, "TASK_LIST_NOT_FOUND"]
    );
    let parent = ada.get(&answered.results[1].name).await.unwrap();
    assert_eq!((parent.subtask_count, counts(&answered)), (1, [2, 0, 0, 0, 6]));
    server.database.assert_sound().await;
}

async fn too_many_and_too_large(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let some = |from: u128, count: u128| {
        let items = (from..from + count).map(|number| task_item(1, numbered(number, "one of many")));
        ImportTasksRequest { parent: "users/me".to_owned(), items: items.collect(), ..Default::default() }
    };
    let too_many = vec![some(1, 5000), some(5001, 5000), some(10_001, 1)];
    ada.import_messages(too_many).await.refused_at("BATCH_TOO_LARGE", &["items"]);
    let large = |number| {
        let task = pb::Task { description: Some("x".repeat(1_000_000)), ..numbered(number, "large") };
        ImportTasksRequest {
            parent: "users/me".to_owned(),
            items: vec![task_item(1, task)],
            ..Default::default()
        }
    };
    let too_large = (1..=17).map(large).collect();
    ada.import_messages(too_large).await.refused_at("BATCH_TOO_LARGE", &["items"]);
    let task = pb::Task { description: Some("x".repeat(1 << 20)), ..numbered(1, "larger than a message") };
    let message = ImportTasksRequest { items: vec![task_item(1, task)], ..first("users/me") };
    ada.import_messages(vec![message]).await.refused("MESSAGE_TOO_LARGE");
    assert_eq!(ada.me().await.revision, 0);
}

async fn a_full_account_takes_in_as_much_as_it_may(database: TestDatabase) {
    let defaults = Setup::default();
    let setup = Setup { tasks: TaskRules { live_tasks_max: 250, ..defaults.tasks }, ..defaults };
    let server = Box::pin(TestServer::with(database, setup)).await;
    let ada = server.register("ada@example.org").await;
    let items: Vec<Item> = (1..=300).map(|number| task_item(1, numbered(number, "one of many"))).collect();
    let tried = ada.import_with(items.clone(), Conflict::Keep, true).await.unwrap();
    let answered = ada.import(items.clone()).await;
    assert_eq!(counts(&answered), [250, 0, 0, 0, 50]);
    assert_eq!(answered.results, tried.results);
    assert_eq!(answered.results[250].reason, "QUOTA_EXCEEDED");
    // When there is room again, the same import goes on.
    for result in &answered.results[..10] {
        ada.delete(&result.name).await.unwrap();
    }
    let again = ada.import(items).await;
    assert_eq!(counts(&again), [10, 240, 0, 10, 40]);
    server.database.assert_sound().await;
}

async fn so_many_lists_and_no_more(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let list = |number| {
        let name = format!("users/me/taskLists/{}", uuid::Uuid::from_u128(number));
        list_item(1, pb::TaskList { name, title: "one of many".to_owned(), ..Default::default() })
    };
    let items: Vec<Item> = (1..=1003).map(list).collect();
    let tried = ada.import_with(items.clone(), Conflict::Keep, true).await.unwrap();
    let answered = ada.import(items).await;
    assert_eq!((counts(&answered), counts(&tried)), ([1000, 0, 0, 0, 3], [1000, 0, 0, 0, 3]));
    assert_eq!(answered.results[1000].reason, "QUOTA_EXCEEDED");
    server.database.assert_sound().await;
}

/// Names of somebody's tasks lead to one's own ids.
async fn nobody_is_reached_but_the_parent(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let bob = server.register("bob@example.org").await;
    let list = ada.create_list("Ada's").await.unwrap();
    let task = ada.create(pb::Task { task_list: list.name.clone(), ..titled("Ada's") }).await.unwrap();
    let (before, account) = (ada.get(&task.name).await.unwrap(), ada.me().await);
    let stolen = pb::Task { title: "Bob's".to_owned(), ..task.clone() };
    let below = pb::Task { parent_task: task.name.clone(), ..numbered(1, "below Ada's") };
    // Neither her list nor her task is there for Bob.
    let items = vec![task_item(1, stolen.clone()), task_item(2, below)];
    let answered = bob.import_with(items, Conflict::Overwrite, false).await.unwrap();
    let reasons: Vec<&str> = answered.results.iter().map(|one| one.reason.as_str()).collect();
    assert_eq!(reasons, ["TASK_LIST_NOT_FOUND", "PARENT_TASK_NOT_FOUND"]);
    let items = vec![list_item(1, list), task_item(2, stolen)];
    let answered = bob.import_with(items, Conflict::Overwrite, false).await.unwrap();
    assert_eq!(counts(&answered), [2, 0, 0, 0, 0]);
    assert!(answered.results.iter().all(|one| one.name.starts_with(&bob.user)));
    assert_eq!((ada.get(&task.name).await.unwrap(), ada.me().await), (before, account));
}

async fn one_import_of_a_user_at_once_and_one_that_breaks_off_writes_nothing(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let bob = server.register("bob@example.org").await;
    let mut tasks = ada.tasks();
    let begun = ImportTasksRequest { items: one(), ..first("users/me") };
    let call = tokio::spawn(async move {
        loop {
            // Without an end.
            let messages = tokio_stream::once(begun.clone()).chain(tokio_stream::pending());
            match answer(tasks.import_tasks(messages).await) {
                // One of those below had the place.
                Err(refusal) if refusal.reason == "RATE_LIMITED" => tokio::task::yield_now().await,
                ended => break ended.map(drop),
            }
        }
    });
    // Until the first one is there.
    while ada.import_messages(vec![first("users/me")]).await.is_ok() {}
    ada.import_messages(vec![first("users/me")]).await.refused("RATE_LIMITED");
    assert_eq!(counts(&bob.import(one()).await), [1, 0, 0, 0, 0]);
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    // Until it is gone.
    let answered = loop {
        if let Ok(answered) = ada.import_messages(vec![first("users/me")]).await {
            break answered;
        }
    };
    assert_eq!(answered.revision, 0);
}
