//! Counting tasks: by completion, by priority, overdue, under any filter.

use std::time::Duration;

use taskwire::pb;

use super::harness::replica::{START, Tasks, World, rules};
use super::*;
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(counts_agree_with_the_tasks, a_filter_that_cannot_be_read_is_refused);

/// Total, completed, open, low, medium, high, overdue.
type Counts = [i64; 7];

async fn count(tasks: &mut Tasks, filter: &str, show_deleted: bool) -> Counts {
    let request = pb::CountTasksRequest {
        parent: "users/me".to_owned(),
        filter: filter.to_owned(),
        show_deleted,
        ..Default::default()
    };
    let counts = tasks.count_tasks(request).await.unwrap().into_inner();
    [
        counts.total,
        counts.completed,
        counts.open,
        counts.low_priority,
        counts.medium_priority,
        counts.high_priority,
        counts.overdue,
    ]
}

/// Twelve tasks of every kind; every third is deleted.
async fn fill(tasks: &mut Tasks) {
    for number in 0..12 {
        let due = [None, Some(START - 60), Some(START + 60)][number % 3];
        let task = pb::Task {
            completed: number % 4 == 0,
            priority: i32::try_from(number % 3 + 1).unwrap(),
            due_time: due.map(|seconds| prost_types::Timestamp { seconds, nanos: 0 }),
            labels: if number < 6 { vec!["home".to_owned()] } else { Vec::new() },
            ..titled(&format!("task {number}"))
        };
        let made = tasks.create_task(creation(task)).await.unwrap().into_inner();
        if number % 5 == 1 {
            tasks.delete_task(deletion(&made.name)).await.unwrap();
        }
    }
}

async fn counts_agree_with_the_tasks(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let (one, two) = two(&replica).await;
    let (mut tasks, mut others) = (replica.tasks(&one), replica.tasks(&two));
    create(&mut others, "somebody else's").await;
    assert_eq!(count(&mut tasks, "", true).await, [0; 7]);
    fill(&mut tasks).await;

    // Numbers 1, 6 and 11 are deleted. Due in the past are 1, 4, 7 and 10, of which 4 is completed.
    assert_eq!(count(&mut tasks, "", true).await, [12, 3, 9, 4, 4, 4, 2]);
    assert_eq!(count(&mut tasks, "", false).await, [9, 3, 6, 3, 3, 3, 2]);
    assert_eq!(count(&mut tasks, "completed = true", false).await, [3, 3, 0, 1, 1, 1, 0]);
    assert_eq!(count(&mut tasks, "priority = HIGH", false).await, [3, 1, 2, 0, 0, 3, 0]);
    assert_eq!(
        count(&mut tasks, "priority >= MEDIUM AND completed = false", false).await,
        [4, 0, 4, 0, 2, 2, 2]
    );
    assert_eq!(count(&mut tasks, "labels:\"home\"", true).await, [6, 2, 4, 2, 2, 2, 0]);
    assert_eq!(count(&mut tasks, "NOT due_time:*", false).await, [3, 1, 2, 3, 0, 0, 0]);
    assert_eq!(count(&mut tasks, "nowhere", true).await, [0; 7]);

    // Two minutes later what was due in a minute is overdue too.
    world.hand.advance(Duration::from_secs(120));
    assert_eq!(count(&mut tasks, "", false).await[6], 4);
}

async fn a_filter_that_cannot_be_read_is_refused(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let request = |filter: String| pb::CountTasksRequest {
        parent: "users/me".to_owned(),
        filter,
        show_deleted: false,
        ..Default::default()
    };
    for filter in ["completed = maybe", "(", "colour = red", "a AND"] {
        let status = refused_for(tasks.count_tasks(request(filter.to_owned())).await, "FILTER_INVALID");
        assert_eq!(fields(&status), ["filter"]);
    }
    refused_for(tasks.count_tasks(request("x".repeat(1001))).await, "FILTER_INVALID");
}
