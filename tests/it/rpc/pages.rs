//! Pages: how large, and that walking through them meets every task once, whatever happens in between.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use taskwire::pb;

use super::{Session, alone, at, listing, seconds, titled, titles};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::Refused as _;

both_engines!(
    page_sizes_are_bounded,
    only_the_last_page_has_no_token,
    every_order_is_walked_without_gap_or_repetition,
    what_comes_and_goes_between_pages_moves_nothing,
    the_task_at_the_edge_of_a_page_may_go,
    a_walk_amid_concurrent_changes_meets_the_others_once,
    filtered_and_deleted_tasks_are_walked_alike,
);

/// Walks to the end with pages of this size; the tasks of each page.
async fn walk(session: &Session, request: &pb::ListTasksRequest, page_size: i32) -> Vec<Vec<pb::Task>> {
    let mut pages = Vec::new();
    let mut request = pb::ListTasksRequest { page_size, ..request.clone() };
    loop {
        let page = session.list(request.clone()).await.unwrap();
        assert!(page.tasks.len() <= usize::try_from(page_size).unwrap());
        pages.push(page.tasks);
        if page.next_page_token.is_empty() {
            return pages;
        }
        request.page_token = page.next_page_token;
    }
}

async fn create_numbered(session: &Session, count: usize) -> Vec<String> {
    let mut names = Vec::with_capacity(count);
    for number in 0..count {
        let task = session.create(titled(&format!("{number:04}"))).await.unwrap();
        names.push(task.name);
    }
    names
}

async fn page_sizes_are_bounded(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let calls = (0..501).map(|number| {
        let ada = ada.clone();
        tokio::spawn(async move { ada.create(titled(&number.to_string())).await.unwrap() })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    for (page_size, count) in [
        (0, 50),
        (1, 1),
        (49, 49),
        (50, 50),
        (499, 499),
        (500, 500),
        (501, 500),
        (502, 500),
        (65_536, 500),
        (65_537, 500),
        (i32::MAX, 500),
    ] {
        let request = pb::ListTasksRequest { page_size, ..listing() };
        let page = ada.list(request).await.unwrap();
        assert_eq!(page.tasks.len(), count, "{page_size}");
        assert_ne!(page.next_page_token, "", "{page_size}");
    }
    for page_size in [-1, -50, i32::MIN] {
        let request = pb::ListTasksRequest { page_size, ..listing() };
        ada.list(request).await.refused_at("FIELD_INVALID", &["page_size"]);
    }
}

async fn only_the_last_page_has_no_token(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let empty = ada.list(listing()).await.unwrap();
    assert_eq!(empty, pb::ListTasksResponse::default());
    create_numbered(&ada, 6).await;
    for (page_size, sizes) in [
        (1, vec![1; 6]),
        (2, vec![2, 2, 2]),
        (3, vec![3, 3]),
        (4, vec![4, 2]),
        (5, vec![5, 1]),
        (6, vec![6]),
        (7, vec![6]),
    ] {
        let pages = walk(&ada, &listing(), page_size).await;
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), sizes);
    }
}

/// Tasks that agree in some fields and differ in others, so that pages end within ties.
async fn create_ties(session: &Session, server: &crate::support::server::TestServer) {
    for number in 0..24 {
        if number % 5 == 0 {
            server.clock.advance(seconds(1));
        }
        let task = pb::Task {
            priority: number % 4,
            due_time: (number % 3 > 0).then(|| at(i64::from(number % 3))),
            ..titled(["É", "e\u{301}", "ss", "ß", "a", "ａ"][usize::try_from(number % 6).unwrap()])
        };
        session.create(task).await.unwrap();
    }
}

async fn every_order_is_walked_without_gap_or_repetition(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    create_ties(&ada, &server).await;
    let fields = ["create_time", "update_time", "due_time", "priority", "title"];
    let mut orders = vec![String::new()];
    for first in fields {
        for direction in ["", " desc"] {
            orders.push(format!("{first}{direction}"));
            for second in fields.into_iter().filter(|second| *second != first) {
                orders.push(format!("{first}{direction}, {second}"));
                orders.push(format!("{first}{direction}, {second} desc"));
            }
        }
    }
    orders.push("priority desc, due_time desc, title, create_time desc, update_time".to_owned());
    for (number, order_by) in orders.into_iter().enumerate() {
        let request = super::ordered(&order_by);
        let whole = ada.all(request.clone()).await;
        assert_eq!(whole.len(), 24);
        let page_size = [1, 3, 5, 7][number % 4];
        let walked = walk(&ada, &request, page_size).await.concat();
        assert_eq!(walked, whole, "{order_by} by {page_size}");
    }
}

async fn what_comes_and_goes_between_pages_moves_nothing(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    for order_by in ["", "create_time", "title", "priority desc, due_time"] {
        let names = create_numbered(&ada, 20).await;
        let mut request = pb::ListTasksRequest { page_size: 3, order_by: order_by.to_owned(), ..listing() };
        // Every fourth task goes while the walk is under way; the others are there throughout.
        let mut going = names.iter().step_by(4);
        let mut seen = Vec::new();
        for round in 0.. {
            let page = ada.list(request.clone()).await.unwrap();
            seen.extend(page.tasks.into_iter().map(|task| task.name));
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
            if round < 5 {
                server.clock.advance(seconds(1));
                for title in ["0000", "0010x", "9999"] {
                    ada.create(titled(title)).await.unwrap();
                }
                ada.delete(going.next().unwrap()).await.unwrap();
            }
        }
        for (at, name) in names.iter().enumerate() {
            let times = seen.iter().filter(|other| *other == name).count();
            let throughout = at % 4 != 0;
            assert!(times == 1 || (!throughout && times == 0), "{order_by}: {at}: {times}");
        }
        let different: BTreeSet<&String> = seen.iter().collect();
        assert_eq!(different.len(), seen.len(), "{order_by}");
        for task in ada.all(listing()).await {
            ada.delete(&task.name).await.unwrap();
        }
    }
}

async fn the_task_at_the_edge_of_a_page_may_go(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    for order_by in ["title", "title desc", "create_time, title"] {
        let names = create_numbered(&ada, 6).await;
        let request = pb::ListTasksRequest { page_size: 3, order_by: order_by.to_owned(), ..listing() };
        let page = ada.list(request.clone()).await.unwrap();
        let mut expected: Vec<pb::Task> = ada.all(super::ordered(order_by)).await.split_off(3);
        for gone in [page.tasks[2].clone(), expected.remove(0)] {
            ada.delete(&gone.name).await.unwrap();
        }
        let request = pb::ListTasksRequest { page_token: page.next_page_token, ..request };
        let rest = ada.list(request).await.unwrap();
        assert_eq!(titles(&rest.tasks), titles(&expected), "{order_by}");
        for name in names {
            ada.delete_with(&name, "", true).await.unwrap();
        }
    }
}

async fn a_walk_amid_concurrent_changes_meets_the_others_once(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let stable: BTreeSet<String> = create_numbered(&ada, 60).await.into_iter().collect();
    server.clock.advance(seconds(1));
    let walking = Arc::new(AtomicBool::new(true));
    let busy = {
        let ada = ada.clone();
        let walking = Arc::clone(&walking);
        tokio::spawn(async move {
            for round in 0.. {
                let title = format!("{:04}", round % 60);
                let task = ada.create(titled(&title)).await.unwrap();
                ada.delete(&task.name).await.unwrap();
                if !walking.load(Ordering::SeqCst) {
                    break;
                }
            }
        })
    };
    for order_by in ["", "create_time", "title", "title desc", "priority, title"] {
        let walked = walk(&ada, &super::ordered(order_by), 7).await.concat();
        let names: Vec<String> = walked.into_iter().map(|task| task.name).collect();
        let different: BTreeSet<String> = names.iter().cloned().collect();
        assert_eq!(names.len(), different.len(), "{order_by}");
        assert!(stable.is_subset(&different), "{order_by}");
    }
    walking.store(false, Ordering::SeqCst);
    busy.await.unwrap();
}

async fn filtered_and_deleted_tasks_are_walked_alike(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    create_ties(&ada, &server).await;
    for task in ada.all(listing()).await.iter().step_by(3) {
        ada.delete(&task.name).await.unwrap();
    }
    for show_deleted in [false, true] {
        for filter in ["", "priority >= MEDIUM", "title:SS OR NOT due_time:*"] {
            let request = pb::ListTasksRequest {
                show_deleted,
                order_by: "due_time desc, title".to_owned(),
                ..super::filtered(filter)
            };
            let whole = ada.all(request.clone()).await;
            assert!(whole.len() > 4, "{filter}");
            let walked = walk(&ada, &request, 4).await.concat();
            assert_eq!(walked, whole, "{filter}");
        }
    }
}
