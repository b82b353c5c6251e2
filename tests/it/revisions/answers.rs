//! Tasks at their limits: no answer gets larger than what gRPC clients take by default, which these clients do.

use prost::Message as _;
use taskwire::api::answer::BYTES_MAX;
use taskwire::pb;

use super::harness::replica::{Tasks, World, rules};
use super::*;
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(lists_of_large_tasks_go_on, an_undo_that_is_too_large_is_not_done);

/// Every field at its limit, in characters of four bytes.
fn large(number: usize) -> pb::Task {
    let label = |label: usize| format!("{}{number:04}{label:02}", "🦀".repeat(44));
    pb::Task {
        title: format!("{}{number:04}", "🦀".repeat(196)),
        description: Some("🦀".repeat(1000)),
        priority: pb::Priority::High.into(),
        labels: (0..20).map(label).collect(),
        due_time: Some(prost_types::Timestamp { seconds: -62_135_596_800, nanos: 1000 }),
        completed: true,
        ..pb::Task::default()
    }
}

/// Five hundred of them, in as many batches as are needed.
async fn five_hundred(tasks: &mut Tasks) -> Vec<String> {
    let mut names = Vec::new();
    for begin in (0..500).step_by(100) {
        let items = (begin..begin + 100).map(large).map(creation).collect();
        let made = tasks.batch_create_tasks(batch_creation(items)).await.unwrap().into_inner();
        assert!(made.encoded_len() <= BYTES_MAX);
        names.extend(made.tasks.into_iter().map(|task| task.name));
    }
    names
}

async fn lists_of_large_tasks_go_on(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let names = five_hundred(&mut tasks).await;
    for order_by in ["", "title", "due_time desc", "priority, create_time"] {
        let (mut page_token, mut seen, mut pages) = (String::new(), Vec::new(), 0);
        loop {
            let request = pb::ListTasksRequest {
                parent: "users/me".to_owned(),
                page_size: 500,
                order_by: order_by.to_owned(),
                page_token,
                ..pb::ListTasksRequest::default()
            };
            let page = tasks.list_tasks(request).await.unwrap().into_inner();
            assert!(page.encoded_len() <= BYTES_MAX && !page.tasks.is_empty());
            // As much as fits: a page that is cut is nearly full.
            assert!(page.next_page_token.is_empty() || page.encoded_len() > BYTES_MAX - 20_000);
            seen.extend(page.tasks.into_iter().map(|task| task.name));
            pages += 1;
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(pages, 2, "{order_by}");
        let (mut expected, mut seen) = (names.clone(), seen);
        expected.sort();
        seen.sort();
        assert_eq!(seen, expected, "{order_by}");
    }

    let (mut start, mut pages) = (0, 0);
    loop {
        let page = tasks.list_task_changes(listing(start, 500)).await.unwrap().into_inner();
        assert!(page.encoded_len() <= BYTES_MAX);
        let revisions: Vec<i64> = page.changes.iter().map(|change| change.revision).collect();
        assert!(revisions.iter().copied().eq(start + 1..=start + revisions.len() as i64));
        start += revisions.len() as i64;
        pages += 1;
        assert_eq!(page.has_more, start < 500);
        if !page.has_more {
            break;
        }
    }
    assert_eq!((start, pages), (500, 2));

    // Nothing says where such a batch could go on.
    let get = |names: &[String]| pb::BatchGetTasksRequest {
        parent: "users/me".into(),
        names: names.to_vec(),
        ..Default::default()
    };
    let status = refused_for(tasks.batch_get_tasks(get(&names)).await, "MESSAGE_TOO_LARGE");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("fewer names"), "{}", status.message());
    let answer = tasks.batch_get_tasks(get(&names[..380])).await.unwrap().into_inner();
    assert!(answer.tasks.len() == 380 && answer.encoded_len() <= BYTES_MAX);
    // The same in an initial state, which is sent one by one.
    let request = pb::WatchTasksRequest { initial_state: true, ..watching(None) };
    let mut stream = tasks.watch_tasks(request).await.unwrap().into_inner();
    for _ in 0..500 {
        assert!(stream.message().await.unwrap().is_some());
    }
}

async fn an_undo_that_is_too_large_is_not_done(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    five_hundred(&mut tasks).await;
    for validate_only in [true, false] {
        let request_id = if validate_only { String::new() } else { uuid::Uuid::now_v7().to_string() };
        let undo = pb::UndoChangesRequest { validate_only, request_id, ..undoing(0, 500) };
        let status = refused_for(tasks.undo_changes(undo).await, "MESSAGE_TOO_LARGE");
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.message().contains("change fewer tasks"), "{}", status.message());
        assert_eq!(revision(&mut tasks).await, 500);
    }
    for (start, end, expected) in [(150, 500, 350), (0, 150, 150)] {
        let undone = tasks.undo_changes(undoing(start, end)).await.unwrap().into_inner();
        assert!(undone.tasks.len() == expected && undone.encoded_len() <= BYTES_MAX);
    }
    assert_eq!(revision(&mut tasks).await, 1000);
}
