//! Pages as one stream.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, TryStreamExt as _};
use taskwire::client::ListOptions;
use taskwire::pb;

use super::link::Link;
use super::{ada, builder, changes, titled};
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(
    a_list_goes_on_over_its_pages,
    a_list_outlives_lost_answers,
    a_list_that_is_refused_says_so_once,
    changes_go_on_over_their_pages,
);

/// Titles in many scripts, more of them than a page has.
fn many() -> Vec<String> {
    (0..45).map(|number| format!("{} – Straße, 牛乳, 🧹, é {number:02}", number % 10)).collect()
}

fn pages(page_size: i32) -> ListOptions {
    ListOptions { order_by: "title".to_owned(), page_size, ..ListOptions::default() }
}

async fn a_list_goes_on_over_its_pages(database: TestDatabase) {
    let (_world, _replica, client) = ada(&database).await;
    let tasks = client.tasks();
    let mut wanted = many();
    for title in &wanted {
        tasks.create(titled(title)).await.unwrap();
    }
    wanted.sort();
    for page_size in [1, 7, 45, 0] {
        let listed = tasks.list(pages(page_size)).map_ok(|task| task.title);
        assert_eq!(listed.try_collect::<Vec<_>>().await.unwrap(), wanted, "pages of {page_size}");
    }
    let options = ListOptions { filter: "title:\"牛乳, 🧹, é 4\"".to_owned(), ..pages(2) };
    let found: Vec<pb::Task> = tasks.list(options).try_collect().await.unwrap();
    assert_eq!(found.len(), 5);
    // What is made while it is listed does not disturb it.
    let mut listing = tasks.list(pages(10));
    let mut seen = BTreeSet::new();
    while let Some(task) = listing.try_next().await.unwrap() {
        if seen.len() < 20 {
            tasks.create(titled("0 – before all the others")).await.unwrap();
        }
        assert!(seen.insert(task.name), "it was told twice");
    }
    assert_eq!(seen.len(), 45);
}

async fn a_list_outlives_lost_answers(database: TestDatabase) {
    let (_world, replica, client) = ada(&database).await;
    for number in 0..12 {
        client.tasks().create(titled(&format!("{number:02}"))).await.unwrap();
    }
    let link = Link::to(replica.address).await;
    let far = builder(link.address).session(client.session().unwrap()).connect().await.unwrap();
    let mut listing = far.tasks().list(pages(2));
    let mut seen = Vec::new();
    while let Some(task) = listing.try_next().await.unwrap() {
        link.lose_answers(1);
        seen.push(task.title);
    }
    assert!(seen.iter().map(|title| title.parse::<i32>().unwrap()).eq(0..12), "{seen:?}");
    assert_eq!(link.answers_lost(), 5);
}

async fn a_list_that_is_refused_says_so_once(database: TestDatabase) {
    let (_world, _replica, client) = ada(&database).await;
    let options = ListOptions { filter: "colour = blue".to_owned(), ..ListOptions::default() };
    let mut listing = client.tasks().list(options);
    assert_eq!(listing.next().await.unwrap().unwrap_err().reason(), "FILTER_INVALID");
    assert!(listing.next().await.is_none());
    assert!(listing.next().await.is_none());
}

async fn changes_go_on_over_their_pages(database: TestDatabase) {
    let (_world, _replica, client) = ada(&database).await;
    let tasks = client.tasks();
    let made = tasks.create(titled("0")).await.unwrap();
    for number in 1..120 {
        let renamed = pb::Task { name: made.name.clone(), ..titled(&number.to_string()) };
        tasks.update(renamed, &["title"]).await.unwrap();
    }
    let told = changes(&client, 0).await;
    assert!(told.iter().map(|change| change.revision).eq(1..=120));
    assert!(changes(&client, 120).await.is_empty());
}
