//! Orders: every key in both directions, alone and in pairs, against the same order made in Rust.

use std::cmp::Ordering;

use taskwire::domain::{
    Day, NewTask, OrderField, OrderKey, Priority, Task, TaskOrder, TaskPatch, TaskQuery, Timestamp, text,
};

use super::{Person, at, page_size, query, task, titles};
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(
    every_key_in_both_directions,
    every_pair_of_keys_in_every_direction,
    five_keys_at_once,
    absent_due_times_come_last_in_both_directions,
    titles_are_ordered_folded_and_by_code_point,
    priorities_are_ordered_by_weight,
    two_keys_group_and_then_order,
);

const FIELDS: [OrderField; 8] = [
    OrderField::Position,
    OrderField::CreateTime,
    OrderField::UpdateTime,
    OrderField::DueTime,
    OrderField::Priority,
    OrderField::Title,
    OrderField::Due,
    OrderField::StartTime,
];

fn key(field: OrderField, descending: bool) -> OrderKey {
    OrderKey { field, descending }
}

fn absent_last(one: Option<Timestamp>, other: Option<Timestamp>, descending: bool) -> Ordering {
    match (one, other) {
        (Some(one), Some(other)) if descending => other.cmp(&one),
        (Some(one), Some(other)) => one.cmp(&other),
        (one, other) => one.is_none().cmp(&other.is_none()),
    }
}

/// The documented order: the keys, tasks without a time last, then the id in the last key's direction.
fn compare(keys: &[OrderKey], one: &Task, other: &Task) -> Ordering {
    let turned = |ordering: Ordering, descending| if descending { ordering.reverse() } else { ordering };
    let by_key = |key: &OrderKey| match key.field {
        OrderField::CreateTime => turned(one.create_time.cmp(&other.create_time), key.descending),
        OrderField::UpdateTime => turned(one.update_time.cmp(&other.update_time), key.descending),
        OrderField::Priority => turned(one.priority.cmp(&other.priority), key.descending),
        OrderField::Title => {
            let folded = |task: &Task| text::fold(task.title.as_str());
            turned(folded(one).cmp(&folded(other)), key.descending)
        }
        OrderField::DueTime => absent_last(one.due_time, other.due_time, key.descending),
        OrderField::Due => absent_last(one.due(), other.due(), key.descending),
        OrderField::StartTime => absent_last(one.start_time, other.start_time, key.descending),
        OrderField::Position => turned(one.position.cmp(&other.position), key.descending),
    };
    let ties = || turned(one.id.cmp(&other.id), keys.last().unwrap().descending);
    keys.iter().map(by_key).find(|ordering| ordering.is_ne()).unwrap_or_else(ties)
}

/// Tasks of which many are equal in any one field.
async fn assortment(person: &Person) -> Vec<Task> {
    let names = ["apple", "Apple", "Éclair", "e\u{301}clair", "zebra", "Straße", "STRASSE", "😀", "\u{fffd}"];
    for number in 0..27 {
        let new = NewTask {
            priority: Priority::ALL[number % 3],
            due_time: [None, Some(at(10)), Some(at(-10)), Some(at(10))][number % 4],
            due_date: (number % 8 == 0)
                .then(|| Day::from_number(10_000 + i32::try_from(number % 3).unwrap()).unwrap()),
            start_time: [None, Some(at(-20)), Some(at(-30))][number % 3].filter(|_| number % 8 != 0),
            ..task(names[number * 4 % names.len()])
        };
        let created = person.create(new, at((number % 5).try_into().unwrap())).await;
        if number % 2 == 0 {
            let patch = TaskPatch { completed: Some(true), ..TaskPatch::default() };
            person.update(created.id, patch, at(20 + i64::from(number % 3 == 0))).await.unwrap();
        }
    }
    person.list(&query()).await.tasks
}

async fn check(person: &Person, all: &[Task], keys: Vec<OrderKey>, sizes: &[i32]) {
    let mut expected = all.to_vec();
    expected.sort_by(|one, other| compare(&keys, one, other));
    let order = TaskOrder::by(keys).unwrap();
    for size in sizes {
        let wanted = TaskQuery { order: order.clone(), page_size: page_size(*size), ..query() };
        let walked = person.walk(wanted).await;
        assert_eq!(titles(&walked), titles(&expected), "{order:?}, pages of {size}");
        assert_eq!(walked, expected, "{order:?}, pages of {size}");
    }
}

async fn every_key_in_both_directions(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let all = assortment(&ada).await;
    assert_eq!(all.len(), 27);
    for field in FIELDS {
        for descending in [false, true] {
            check(&ada, &all, vec![key(field, descending)], &[1, 4, 500]).await;
        }
    }
}

async fn every_pair_of_keys_in_every_direction(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let all = assortment(&ada).await;
    for first in FIELDS {
        for second in FIELDS.into_iter().filter(|second| *second != first) {
            for directions in 0..4 {
                let keys = vec![key(first, directions & 1 > 0), key(second, directions & 2 > 0)];
                check(&ada, &all, keys, &[4]).await;
            }
        }
    }
}

async fn five_keys_at_once(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let all = assortment(&ada).await;
    let fields = [
        OrderField::Priority,
        OrderField::DueTime,
        OrderField::Title,
        OrderField::UpdateTime,
        OrderField::CreateTime,
    ];
    for directions in 0..32 {
        let keys = (0..).zip(fields).map(|(bit, field)| key(field, directions >> bit & 1 > 0)).collect();
        check(&ada, &all, keys, &[5]).await;
    }
}

async fn absent_due_times_come_last_in_both_directions(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    for (name, due) in [("never", None), ("late", Some(9)), ("whenever", None), ("soon", Some(-9))] {
        ada.create(NewTask { due_time: due.map(at), ..task(name) }, at(1)).await;
    }
    for (descending, expected) in [(false, ["soon", "late"]), (true, ["late", "soon"])] {
        let order = TaskOrder::by(vec![key(OrderField::DueTime, descending)]).unwrap();
        let walked = ada.walk(TaskQuery { order, page_size: page_size(1), ..query() }).await;
        assert_eq!(titles(&walked)[..2], expected);
        assert!(walked[2..].iter().all(|task| task.due_time.is_none()));
        assert_eq!(walked.len(), 4);
    }
}

async fn titles_are_ordered_folded_and_by_code_point(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    // U+FFFD stands before U+1F600 by code point, behind it in UTF-16; a language would put é beside e.
    let expected = ["1", "A b", "a-b", "B", "ab", "É", "Я", "\u{fffd}", "😀"];
    for name in expected.iter().rev() {
        ada.create(task(name), at(1)).await;
    }
    let order = TaskOrder::by(vec![key(OrderField::Title, false)]).unwrap();
    let mut sorted = expected;
    sorted.sort_by_key(|name| text::fold(name));
    let walked = ada.walk(TaskQuery { order, page_size: page_size(2), ..query() }).await;
    assert_eq!(titles(&walked), sorted);
    assert_eq!(sorted, ["1", "A b", "a-b", "ab", "B", "É", "Я", "\u{fffd}", "😀"]);
}

async fn priorities_are_ordered_by_weight(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    for priority in [Priority::Medium, Priority::High, Priority::Low] {
        ada.create(NewTask { priority, ..task(&format!("{priority:?}")) }, at(1)).await;
    }
    for (descending, expected) in [(false, ["Low", "Medium", "High"]), (true, ["High", "Medium", "Low"])] {
        let order = TaskOrder::by(vec![key(OrderField::Priority, descending)]).unwrap();
        assert_eq!(titles(&ada.list(&TaskQuery { order, ..query() }).await.tasks), expected);
    }
}

async fn two_keys_group_and_then_order(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    for (name, priority, due) in [
        ("b", Priority::High, Some(2)),
        ("d", Priority::Low, Some(1)),
        ("c", Priority::High, None),
        ("a", Priority::High, Some(1)),
    ] {
        ada.create(NewTask { priority, due_time: due.map(at), ..task(name) }, at(1)).await;
    }
    let order =
        TaskOrder::by(vec![key(OrderField::Priority, true), key(OrderField::DueTime, false)]).unwrap();
    let walked = ada.walk(TaskQuery { order, page_size: page_size(1), ..query() }).await;
    assert_eq!(titles(&walked), ["a", "b", "c", "d"]);
}
