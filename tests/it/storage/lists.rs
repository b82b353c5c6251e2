//! Lists in pages: every task once, whatever the page size and whatever happens between two pages.

use std::collections::HashSet;

use taskwire::domain::{
    Condition, Filter, NewTask, OrderField, OrderKey, Priority, TaskId, TaskOrder, TaskQuery, Timestamp,
};

use super::{Person, at, ids, page_size, query, task, titles};
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(
    default_list_is_newest_first,
    empty_list_is_one_empty_page,
    pages_of_every_size_make_up_the_list,
    last_page_has_no_successor,
    page_size_may_change_between_pages,
    cursor_outlives_its_task,
    inserts_and_deletes_between_pages_neither_repeat_nor_skip,
    walks_are_stable_while_others_write,
    deleted_tasks_are_listed_when_asked_for,
    filter_holds_on_every_page,
    ties_are_broken_by_the_id,
);

async fn numbered(person: &Person, count: i64) -> Vec<TaskId> {
    let mut ids = Vec::new();
    for number in 0..count {
        ids.push(person.create(task(&format!("number {number}")), at(number)).await.id);
    }
    ids
}

async fn default_list_is_newest_first(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    numbered(&ada, 3).await;
    let page = ada.list(&query()).await;
    assert_eq!(titles(&page.tasks), ["number 2", "number 1", "number 0"]);
    assert_eq!(page.next, None);
}

async fn empty_list_is_one_empty_page(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let page = ada.list(&query()).await;
    assert!(page.tasks.is_empty());
    assert_eq!(page.next, None);
}

async fn pages_of_every_size_make_up_the_list(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let mut expected = numbered(&ada, 12).await;
    expected.reverse();
    for size in [1, 2, 3, 5, 11, 12, 13, 500] {
        let walked = ada.walk(TaskQuery { page_size: page_size(size), ..query() }).await;
        assert_eq!(ids(&walked), expected, "pages of {size}");
    }
}

async fn last_page_has_no_successor(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    numbered(&ada, 4).await;
    let full = ada.list(&TaskQuery { page_size: page_size(4), ..query() }).await;
    assert_eq!((full.tasks.len(), full.next), (4, None), "exactly full is the last one");
    let first = ada.list(&TaskQuery { page_size: page_size(3), ..query() }).await;
    assert_eq!(first.next, Some(TaskOrder::newest_first().cursor_at(&first.tasks[2])));
    let second = ada.list(&TaskQuery { page_size: page_size(3), after: first.next, ..query() }).await;
    assert_eq!((titles(&second.tasks), second.next), (vec!["number 0"], None));
}

async fn page_size_may_change_between_pages(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let mut expected = numbered(&ada, 10).await;
    expected.reverse();
    let (mut walked, mut after) = (Vec::new(), None);
    for size in [1, 4, 2, 500] {
        let page = ada.list(&TaskQuery { page_size: page_size(size), after, ..query() }).await;
        walked.extend(ids(&page.tasks));
        after = page.next;
    }
    assert_eq!(walked, expected);
    assert_eq!(after, None);
}

async fn cursor_outlives_its_task(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let made = numbered(&ada, 6).await;
    let first = ada.list(&TaskQuery { page_size: page_size(3), ..query() }).await;
    // The task that the cursor names goes, first into the bin and then for good.
    ada.delete(made[3], at(50)).await.unwrap();
    let rest = TaskQuery { after: first.next, ..query() };
    assert_eq!(ids(&ada.list(&rest).await.tasks), [made[2], made[1], made[0]]);
    database.execute(&format!("delete from tasks where task_id = {}", database.id(made[3].uuid()))).await;
    assert_eq!(ids(&ada.list(&rest).await.tasks), [made[2], made[1], made[0]]);
}

async fn inserts_and_deletes_between_pages_neither_repeat_nor_skip(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    for descending in [true, false] {
        let order = TaskOrder::by(vec![OrderKey { field: OrderField::CreateTime, descending }]).unwrap();
        let stayers = numbered(&ada, 12).await;
        let passers = numbered(&ada, 12).await;
        let mut wanted = TaskQuery { order, page_size: page_size(4), ..query() };
        let mut seen = Vec::new();
        for (page_number, passer) in (0..).zip(passers) {
            let page = ada.list(&wanted).await;
            seen.extend(ids(&page.tasks));
            // Before the cursor, at it and behind it, something comes and something goes.
            ada.create(task("first"), at(-1)).await;
            ada.create(task("middle"), at(page_number)).await;
            ada.create(task("last"), at(100)).await;
            ada.delete(passer, at(200)).await.unwrap();
            match page.next {
                Some(next) => wanted.after = Some(next),
                None => break,
            }
        }
        let mut distinct = HashSet::new();
        assert!(seen.iter().all(|id| distinct.insert(*id)), "nothing is seen twice");
        assert!(stayers.iter().all(|id| distinct.contains(id)), "nothing that stayed is skipped");
        for task in ada.list(&query()).await.tasks {
            ada.delete(task.id, at(300)).await.unwrap();
        }
    }
}

async fn walks_are_stable_while_others_write(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let stayers: HashSet<TaskId> = numbered(&ada, 40).await.into_iter().collect();
    let churn = {
        let ada = ada.clone();
        tokio::spawn(async move {
            for round in 0..40 {
                let new =
                    NewTask { priority: Priority::ALL[round % 3], ..task(&format!("number {round} too")) };
                let passer = ada.create(new, at((round * 7 % 40).try_into().unwrap())).await;
                ada.delete(passer.id, at(100)).await.unwrap();
            }
        })
    };
    let fields = [OrderField::CreateTime, OrderField::Title, OrderField::Priority, OrderField::UpdateTime];
    let mut rounds = 0;
    while !churn.is_finished() || rounds == 0 {
        for field in fields {
            let order = TaskOrder::by(vec![OrderKey { field, descending: rounds % 2 == 0 }]).unwrap();
            let walked = ids(&ada.walk(TaskQuery { order, page_size: page_size(7), ..query() }).await);
            let distinct: HashSet<TaskId> = walked.iter().copied().collect();
            assert_eq!(distinct.len(), walked.len(), "{field:?}: nothing is seen twice");
            assert!(distinct.is_superset(&stayers), "{field:?}: nothing that stayed is skipped");
        }
        rounds += 1;
    }
    churn.await.unwrap();
    ada.check_books(&database).await;
}

async fn deleted_tasks_are_listed_when_asked_for(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let made = numbered(&ada, 6).await;
    for id in [made[0], made[3], made[5]] {
        ada.delete(id, at(60)).await.unwrap();
    }
    assert_eq!(ids(&ada.list(&query()).await.tasks), [made[4], made[2], made[1]]);
    let all = ada.walk(TaskQuery { show_deleted: true, page_size: page_size(2), ..query() }).await;
    let mut newest_first = made.clone();
    newest_first.reverse();
    assert_eq!(ids(&all), newest_first);
    assert_eq!(all[0].delete_time, Some(at(60)));

    let filter = Filter::Is(Condition::TitleContains("number 3".into()));
    let found = ada.list(&TaskQuery { show_deleted: true, filter: filter.clone(), ..query() }).await;
    assert_eq!(ids(&found.tasks), [made[3]]);
    assert!(ada.list(&TaskQuery { filter, ..query() }).await.tasks.is_empty());
}

async fn filter_holds_on_every_page(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    for number in 0..20 {
        let priority = if number % 2 == 0 { Priority::High } else { Priority::Low };
        ada.create(NewTask { priority, ..task(&format!("number {number}")) }, at(number)).await;
    }
    // A choice of two, so that its `or` stands beside those of the cursor.
    let filter = Filter::Any(vec![
        Filter::Is(Condition::Priority(taskwire::domain::Comparison::Equal, Priority::High)),
        Filter::Is(Condition::TitleIs("number 7".into())),
    ]);
    let keys = [OrderField::CreateTime, OrderField::Title, OrderField::DueTime];
    for field in keys {
        let order = TaskOrder::by(vec![OrderKey { field, descending: false }]).unwrap();
        let wanted = TaskQuery { filter: filter.clone(), order, page_size: page_size(3), ..query() };
        let walked = ada.walk(wanted).await;
        assert_eq!(walked.len(), 11, "{field:?}");
        let fits = |task: &taskwire::domain::Task| {
            task.priority == Priority::High || task.title.as_str() == "number 7"
        };
        assert!(walked.iter().all(fits), "{field:?}");
    }
}

async fn ties_are_broken_by_the_id(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let mut expected = Vec::new();
    // First bytes on both sides of what a signed comparison would get wrong.
    for first in [0x00, 0x7f, 0x80, 0xff, 0x01] {
        let mut bytes = [7; 16];
        bytes[0] = first;
        let id = TaskId::from_bytes(bytes);
        ada.create(NewTask { id, due_time: Some(Timestamp::MIN), ..task("same") }, at(1)).await;
        expected.push(id);
    }
    expected.sort();
    for descending in [false, true] {
        for field in [OrderField::CreateTime, OrderField::DueTime, OrderField::Priority, OrderField::Title] {
            let order = TaskOrder::by(vec![OrderKey { field, descending }]).unwrap();
            let walked = ada.walk(TaskQuery { order, page_size: page_size(2), ..query() }).await;
            assert_eq!(ids(&walked), expected, "{field:?}, descending: {descending}");
        }
        expected.reverse();
    }
}
