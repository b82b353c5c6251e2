//! `order_by`, end to end.

use taskwire::pb;

use super::{alone, at, ordered, seconds, titled, titles};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::Refused as _;

both_engines!(
    every_field_orders_both_ways,
    several_fields_order_one_after_the_other,
    ids_break_ties_in_the_direction_of_the_last_field,
    titles_are_ordered_by_folded_code_points,
    what_is_no_order_is_refused,
);

async fn every_field_orders_both_ways(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let mut names = Vec::new();
    // Made in the order a, b, c, d.
    for (title, priority, due_time) in [
        ("a", pb::Priority::High, Some(at(2000))),
        ("b", pb::Priority::Low, None),
        ("c", pb::Priority::Medium, Some(at(1000))),
        ("d", pb::Priority::Unspecified, Some(at(3000))),
    ] {
        server.clock.advance(seconds(60));
        let task = pb::Task { priority: priority.into(), due_time, ..titled(title) };
        names.push(ada.create(task).await.unwrap().name);
    }
    server.clock.advance(seconds(60));
    let touched = pb::Task { name: names[1].clone(), completed: true, ..pb::Task::default() };
    ada.update(touched, &[]).await.unwrap();
    for (order_by, expected) in [
        ("", "dcba"),
        (" ", "dcba"),
        ("create_time desc", "dcba"),
        ("create_time", "abcd"),
        ("update_time", "acdb"),
        ("update_time desc", "bdca"),
        ("due_time", "cadb"),
        // Those without one come last either way.
        ("due_time desc", "dacb"),
        ("priority", "bcda"),
        ("priority desc", "adcb"),
        ("title", "abcd"),
        ("title desc", "dcba"),
        ("  title   desc  ", "dcba"),
    ] {
        let tasks = ada.all(ordered(order_by)).await;
        assert_eq!(titles(&tasks).concat(), expected, "{order_by:?}");
    }
}

async fn several_fields_order_one_after_the_other(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    for (title, priority, due_time) in [
        ("a", pb::Priority::High, None),
        ("b", pb::Priority::High, Some(at(2))),
        ("c", pb::Priority::Low, Some(at(1))),
        ("d", pb::Priority::Low, Some(at(1))),
        ("e", pb::Priority::High, Some(at(1))),
        ("f", pb::Priority::Low, None),
    ] {
        let task = pb::Task { priority: priority.into(), due_time, ..titled(title) };
        ada.create(task).await.unwrap();
    }
    for (order_by, expected) in [
        ("priority, due_time, title", "cdfeba"),
        ("priority desc, due_time, title desc", "ebadcf"),
        ("priority desc,due_time desc,title", "beacdf"),
        ("due_time, priority, title", "cdebfa"),
        ("due_time desc, title desc", "bedcfa"),
        ("create_time, update_time, due_time, priority, title", "cdebfa"),
        ("create_time desc, title desc", "fedcba"),
    ] {
        let tasks = ada.all(ordered(order_by)).await;
        assert_eq!(titles(&tasks).concat(), expected, "{order_by}");
    }
}

async fn ids_break_ties_in_the_direction_of_the_last_field(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    // The clock stands still, so that everything but the id is the same.
    for digit in ["8", "0", "f", "7", "a"] {
        let id = format!("{digit}0000000-0000-4000-8000-000000000000");
        ada.create_as(titled("same"), &id).await.unwrap();
    }
    let ids = |tasks: &[pb::Task]| -> String {
        let first = |task: &pb::Task| task.name.split("/tasks/").nth(1).unwrap()[..1].to_owned();
        tasks.iter().map(first).collect()
    };
    for (order_by, expected) in [
        ("", "fa870"),
        ("create_time", "078af"),
        ("update_time desc", "fa870"),
        ("due_time", "078af"),
        ("due_time desc", "fa870"),
        ("priority", "078af"),
        ("title desc", "fa870"),
        ("title, priority desc", "fa870"),
        ("title desc, priority", "078af"),
    ] {
        assert_eq!(ids(&ada.all(ordered(order_by)).await), expected, "{order_by}");
    }
}

async fn titles_are_ordered_by_folded_code_points(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    // As they shall come out. Neither a language's collation nor UTF-16 would order them so.
    let expected = [
        "!",
        "1",
        "10",
        "2",
        "_",
        "A",
        "a b",
        "AB",
        "abc",
        "b",
        "ﬁ",
        "FIN",
        "ß",
        "SST",
        "z",
        "É",
        "e\u{301}z",
        "ы",
        "中",
        "\u{E000}",
        "\u{FF41}",
        "😀",
        "\u{10FFFD}",
    ];
    for at in 0..expected.len() {
        // Not in this order, nor in the opposite one.
        let title = expected[(at * 7 + 3) % expected.len()];
        ada.create(titled(title)).await.unwrap();
    }
    let tasks = ada.all(ordered("title")).await;
    assert_eq!(titles(&tasks), expected);
    let mut reversed = expected;
    reversed.reverse();
    let tasks = ada.all(ordered("title desc")).await;
    assert_eq!(titles(&tasks), reversed);
}

async fn what_is_no_order_is_refused(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let long = format!("title{}", " ".repeat(1000));
    let many = "title,".repeat(100_000);
    for order_by in [
        "nonsense",
        "Title",
        "TITLE",
        "dueTime",
        "completed",
        "labels",
        "description",
        "revision",
        "delete_time",
        "name",
        "id",
        "user_id",
        "1",
        "desc",
        "title DESC",
        "title descending",
        "title desc desc",
        "title priority",
        "-title",
        "title;",
        "title,",
        ",title",
        ",",
        "title,,priority",
        "title, title",
        "title, title desc",
        "due_time.seconds",
        "title; drop table tasks",
        "(select 1)",
        "title collate nocase",
        "random()",
        "title\tdesc",
        "title\u{A0}desc",
        "ｔitle",
        &long,
        &many,
    ] {
        ada.list(ordered(order_by)).await.refused_at("ORDER_BY_INVALID", &["order_by"]);
    }
}
