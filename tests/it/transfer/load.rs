//! Backups that are taken while people write: each is a state that existed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use taskwire::pb::{CreateTaskRequest, DeleteTaskRequest, Task, TokenPair, UpdateTaskRequest};

use super::{done, serve, somebody};
use crate::process::{authorised, patiently};
use crate::support::both_engines;
use crate::support::database::{Engine, Schema, TestDatabase};
use crate::support::process::{Sandbox, Service};

both_engines!(each_backup_under_load_is_a_state_that_existed);

/// As many as the issue asks for in a soak.
fn backups() -> usize {
    if std::env::var_os("TASKWIRE_SOAK").is_some() { 100 } else { 6 }
}

/// Writes until it is told to stop; answers how long the longest write took.
async fn write(service: &Service, pair: TokenPair, stop: Arc<AtomicBool>) -> Duration {
    let client = service.tasks().await;
    let (mut longest, mut number) = (Duration::ZERO, 0);
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let begin = Instant::now();
        let task = Task { title: format!("under load {number}"), ..Task::default() };
        let create =
            CreateTaskRequest { parent: "users/me".into(), task: Some(task), ..CreateTaskRequest::default() };
        let made = async || client.clone().create_task(authorised(create.clone(), &pair)).await;
        let mut task = patiently(made).await;
        match number % 3 {
            0 => {
                let delete = DeleteTaskRequest { name: task.name, ..DeleteTaskRequest::default() };
                patiently(async || client.clone().delete_task(authorised(delete.clone(), &pair)).await).await;
            }
            1 => {
                task.completed = true;
                let paths = vec!["completed".to_owned()];
                let update = UpdateTaskRequest {
                    task: Some(task),
                    update_mask: Some(prost_types::FieldMask { paths }),
                    ..UpdateTaskRequest::default()
                };
                patiently(async || client.clone().update_task(authorised(update.clone(), &pair)).await).await;
            }
            _ => {}
        }
        longest = longest.max(begin.elapsed());
    }
    longest
}

/// What a state must hold that existed: counters, tasks and the log agree for each user. Answers the revisions.
pub(super) async fn check(database: &TestDatabase) -> BTreeMap<String, i64> {
    let hex = match database.engine {
        Engine::Sqlite => "lower(hex(id))",
        Engine::Postgres => "replace(id::text, '-', '')",
    };
    let users = database.query_texts(&format!("select {hex} || ' ' || revision from users order by 1")).await;
    for (of, agrees) in [
        (
            "the log",
            "revision = (select coalesce(max(revision), 0) from task_changes c where c.user_id = users.id)",
        ),
        ("its gaps", "revision = (select count(*) from task_changes c where c.user_id = users.id)"),
        (
            "live tasks",
            "live_tasks = (select count(*) from tasks t where t.user_id = users.id and delete_time is null)",
        ),
        (
            "the newest task",
            "revision = (select coalesce(max(revision), 0) from tasks t where t.user_id = users.id)",
        ),
        ("the email", "exists (select 1 from emails e where e.user_id = users.id)"),
    ] {
        let wrong = database.query_i64(&format!("select count(*) from users where not ({agrees})")).await;
        assert_eq!(wrong, 0, "{of} and the users do not agree");
    }
    let revision = |line: &String| {
        let (user, revision) = line.split_once(' ').unwrap();
        (user.to_owned(), revision.parse().unwrap())
    };
    users.iter().map(revision).collect()
}

async fn each_backup_under_load_is_a_state_that_existed(database: TestDatabase) {
    let sandbox = Sandbox::new();
    let service = serve(&sandbox, &database);
    let mut people = Vec::new();
    for name in ["ada", "bob", "eve"] {
        people.push(somebody(&service, &format!("{name}@example.com"), 5).await);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writers = futures_util::future::join_all(
        people.into_iter().map(|pair| write(&service, pair, Arc::clone(&stop))),
    );
    let (taker, taken_stop, url) = (Arc::new(sandbox), Arc::clone(&stop), database.url.clone());
    let sandbox = Arc::clone(&taker);
    let taking = tokio::task::spawn_blocking(move || {
        for number in 0..backups() {
            done(&taker, &url, &["backup", &format!("{number}")]);
        }
        taken_stop.store(true, Ordering::Relaxed);
    });
    let (longest, taken) = tokio::join!(writers, taking);
    taken.unwrap();
    service.stop();

    let mut before = BTreeMap::new();
    for number in 0..backups() {
        // One engine after the other.
        let engine = if number % 2 == 0 { Engine::Sqlite } else { database.engine };
        let target = TestDatabase::create(engine, Schema::Empty).await.unwrap();
        done(&sandbox, &target.url, &["restore", &number.to_string()]);
        let revisions = check(&target).await;
        assert_eq!(revisions.len(), 3);
        for (user, revision) in &revisions {
            assert!(before.get(user).is_none_or(|before| before <= revision), "{user} went back");
        }
        assert!(done(&sandbox, &target.url, &["check"]).contains("sound"));
        before = revisions;
    }
    let last = check(&database).await;
    assert!(last.iter().all(|(user, revision)| before[user] <= *revision && *revision > 5), "{last:?}");
    // What waits for a backup would wait for all of it; a machine that is busy makes anybody wait for a while.
    assert!(longest.iter().all(|longest| *longest < Duration::from_secs(10)), "{longest:?}");
}
