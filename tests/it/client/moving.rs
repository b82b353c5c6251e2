//! What the client takes out of an account, and takes in.

use futures_util::TryStreamExt as _;
use taskwire::client::{Client, ImportOptions, ListOptions};
use taskwire::pb;
use taskwire::pb::import_tasks_request::Item;
use taskwire::pb::import_tasks_request::item::Resource;

use super::link::Link;
use super::{PASSWORD, account, ada, builder, titled, titles};
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(
    an_import_outlives_lost_answers_and_changes_nothing_twice,
    an_import_may_only_tell_and_overwrites_where_it_is_told_to,
    an_export_and_a_calendar_come_whole,
);

/// More than go in one message, in a list; the list comes last.
async fn made(client: &Client) -> Vec<Item> {
    let tasks = client.tasks();
    let list = tasks.create_list("Garden").await.unwrap();
    for number in 0..40 {
        let task = pb::Task { task_list: list.name.clone(), ..titled(&format!("{number:02}")) };
        tasks.create(task).await.unwrap();
    }
    let made: Vec<pb::Task> = tasks.list(ListOptions::default()).try_collect().await.unwrap();
    let resources = made.into_iter().map(Resource::Task).chain([Resource::TaskList(list)]);
    let item = |(line, resource): (usize, _)| Item { line: line as i64 + 1, resource: Some(resource) };
    resources.enumerate().map(item).collect()
}

async fn an_import_outlives_lost_answers_and_changes_nothing_twice(database: TestDatabase) {
    let (_world, replica, client) = ada(&database).await;
    let items = made(&client).await;
    let link = Link::to(replica.address).await;
    let eve = builder(link.address).connect().await.unwrap();
    eve.register(account("eve@example.org")).await.unwrap();
    eve.login("eve@example.org", PASSWORD, "a test").await.unwrap();
    link.lose_answers(1);
    let taken = eve.tasks().import(items.clone(), ImportOptions::default()).await.unwrap();
    assert_eq!(link.answers_lost(), 1);
    // The call whose answer was lost has made them.
    assert_eq!((taken.created_count, taken.unchanged_count), (0, 41));
    assert!(taken.results.iter().map(|result| result.line).eq(1..=41));
    assert_eq!(titles(&eve).await, titles(&client).await);
    let again = eve.tasks().import(items, ImportOptions::default()).await.unwrap();
    assert_eq!((again.unchanged_count, again.revision), (41, taken.revision));
}

async fn an_import_may_only_tell_and_overwrites_where_it_is_told_to(database: TestDatabase) {
    let (_world, _replica, client) = ada(&database).await;
    let tasks = client.tasks();
    let there = tasks.create(titled("as it is")).await.unwrap();
    let other = pb::Task { title: "another".to_owned(), ..there.clone() };
    let items = vec![Item { line: 7, resource: Some(Resource::Task(other)) }];
    let import =
        |overwrite, validate_only| tasks.import(items.clone(), ImportOptions { overwrite, validate_only });
    let kept = import(false, false).await.unwrap();
    assert_eq!((kept.skipped_count, kept.results[0].line), (1, 7));
    let told = import(true, true).await.unwrap();
    assert_eq!(told.overwritten_count, 1);
    assert_eq!(tasks.get(&there.name).await.unwrap(), there);
    let done = import(true, false).await.unwrap();
    assert_eq!(done.overwritten_count, 1);
    let after = tasks.get(&there.name).await.unwrap();
    assert_eq!((after.title.as_str(), after.revision), ("another", done.revision));
}

async fn an_export_and_a_calendar_come_whole(database: TestDatabase) {
    let (_world, _replica, client) = ada(&database).await;
    made(&client).await;
    let text = |pieces: Vec<Vec<u8>>| String::from_utf8(pieces.concat()).unwrap();
    let export = text(client.export().await.unwrap().try_collect().await.unwrap());
    let last: serde_json::Value = serde_json::from_str(export.lines().last().unwrap()).unwrap();
    assert_eq!(last["end"]["tasks"], "40", "{last}");
    assert_eq!(export.lines().filter(|line| line.starts_with("{\"task\":")).count(), 40);
    let one = client.tasks().calendar("title:\"07\"").await.unwrap();
    let one = text(one.try_collect().await.unwrap());
    assert!(one.contains("SUMMARY:07\r\n") && one.ends_with("END:VCALENDAR\r\n"), "{one}");
    assert_eq!(one.matches("BEGIN:VTODO").count(), 1);
    let all = text(client.tasks().calendar("").await.unwrap().try_collect().await.unwrap());
    assert_eq!(all.matches("BEGIN:VTODO").count(), 40);
    let refused = client.tasks().calendar("colour = blue").await.map(drop).unwrap_err();
    assert_eq!(refused.reason(), "FILTER_INVALID");
}
