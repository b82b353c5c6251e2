//! What standbys answer, and when they do not.

use std::time::Duration;

use taskwire::pb;
use taskwire::storage::Limits;
use tonic::Code;

use super::{Setup, create, getting, listing, run, titles};
use crate::revisions::harness::replica::Tasks;
use crate::storage::eventually;
use crate::support::database::limits;

const PARENT: &str = "users/me";

/// The answers of every read that takes a `min_revision`, in forms that take different ways.
async fn all_reads(tasks: &mut Tasks, names: &[String], min_revision: Option<i64>) -> Vec<String> {
    let mut answers = Vec::new();
    for name in names {
        let answer = tasks.get_task(getting(name, min_revision)).await;
        answers.push(format!("{:?}", answer.map(|task| task.into_inner()).map_err(|status| status.code())));
    }
    let singles = names.iter().map(|name| {
        let mut tasks = tasks.clone();
        async move { tasks.get_task(getting(name, min_revision)).await.map(tonic::Response::into_inner) }
    });
    for task in futures_util::future::join_all(singles).await {
        answers.push(format!("{:?}", task.map_err(|status| status.code())));
    }
    let mut of_batch = names.to_vec();
    of_batch.pop();
    of_batch.push(names[0].clone());
    let batch = pb::BatchGetTasksRequest { parent: PARENT.to_owned(), names: of_batch, min_revision };
    answers.push(format!("{:?}", tasks.batch_get_tasks(batch).await.unwrap().into_inner()));
    let missing = pb::BatchGetTasksRequest { parent: PARENT.to_owned(), names: names.to_vec(), min_revision };
    answers.push(tasks.batch_get_tasks(missing).await.unwrap_err().message().to_owned());
    let shapes = [
        ("", ""),
        ("completed = true", ""),
        ("completed = false AND priority = HIGH", ""),
        ("priority = LOW", "create_time"),
        ("", "title"),
        ("", "due_time desc, priority"),
        ("one", "update_time desc"),
        ("completed = true AND priority = HIGH", ""),
    ];
    for (filter, order_by) in shapes {
        for show_deleted in [false, true] {
            let mut request = pb::ListTasksRequest {
                filter: filter.to_owned(),
                order_by: order_by.to_owned(),
                show_deleted,
                ..listing(3, min_revision)
            };
            loop {
                let page = tasks.list_tasks(request.clone()).await.unwrap().into_inner();
                answers.push(format!("{:?}", page.tasks));
                request.page_token = page.next_page_token;
                if request.page_token.is_empty() {
                    break;
                }
            }
            let count = pb::CountTasksRequest {
                parent: PARENT.to_owned(),
                filter: filter.to_owned(),
                show_deleted,
                min_revision,
            };
            answers.push(format!("{:?}", tasks.count_tasks(count).await.unwrap().into_inner()));
        }
    }
    for (start_revision, page_size) in [(0, 0), (0, 2), (3, 500), (7, 1)] {
        let request = pb::ListTaskChangesRequest {
            parent: PARENT.to_owned(),
            start_revision,
            page_size,
            min_revision,
            ..Default::default()
        };
        answers.push(format!("{:?}", tasks.list_task_changes(request).await.unwrap().into_inner()));
    }
    answers
}

#[test]
fn a_standby_answers_as_the_primary_does() {
    run(answers_agree(limits()));
}

#[test]
fn without_lanes_a_standby_answers_as_the_primary_does() {
    run(answers_agree(Limits { lanes: 0, ..limits() }));
}

async fn answers_agree(limits: Limits) {
    let Some(setup) = Setup::within(1, limits).await else { return };
    let (_, mut tasks) = setup.user("ada@example.org").await;
    let mut names = Vec::new();
    for (number, title) in ["one", "two", "three", "One more", "five", "six"].iter().enumerate() {
        let number = i32::try_from(number).unwrap();
        let task = pb::Task {
            title: (*title).to_owned(),
            completed: number % 2 == 0,
            priority: 1 + number % 3,
            due_time: (number % 2 == 1)
                .then(|| prost_types::Timestamp { seconds: i64::from(number) * 1000, nanos: 0 }),
            ..pb::Task::default()
        };
        let request =
            pb::CreateTaskRequest { parent: PARENT.to_owned(), task: Some(task), ..Default::default() };
        names.push(tasks.create_task(request).await.unwrap().into_inner().name);
    }
    let gone = pb::DeleteTaskRequest { name: names[1].clone(), ..Default::default() };
    let last = tasks.delete_task(gone).await.unwrap().into_inner();
    names.push(format!("users/me/tasks/{}", uuid::Uuid::now_v7()));
    setup.caught_up().await;
    let on_primary = all_reads(&mut tasks, &names, None).await;
    assert_eq!(setup.answered(), 0);
    let before = setup.replica.services.storage.read_counts();
    assert_eq!(all_reads(&mut tasks, &names, Some(last.revision)).await, on_primary);
    assert_eq!(setup.replica.services.storage.read_counts(), before);
    assert_eq!(setup.answered(), before.primary);
}

#[test]
fn what_a_standby_does_not_hold_the_primary_answers() {
    run(async {
        let Some((setup, mut tasks, before)) = Setup::with_task("before").await else { return };
        setup.pause(0, true).await;
        let after = create(&mut tasks, "after").await;
        // Enough for who does not ask for more: this is the standby's.
        assert_eq!(titles(&mut tasks, Some(before.revision)).await, ["before"]);
        assert_eq!(titles(&mut tasks, Some(0)).await, ["before"]);
        let missing = tasks.get_task(getting(&after.name, Some(before.revision))).await.unwrap_err();
        assert_eq!(missing.code(), Code::NotFound);
        assert_eq!(setup.answered(), 3);
        // Not enough, and what nobody has is no error.
        for least in [Some(after.revision), Some(after.revision + 1000), None] {
            assert_eq!(titles(&mut tasks, least).await, ["after", "before"]);
            let found = tasks.get_task(getting(&after.name, least)).await.unwrap().into_inner();
            assert_eq!(found, after);
        }
        assert_eq!(setup.answered(), 3);
        assert_eq!(setup.fallbacks("behind"), 4);
        // Somebody of whom it has never heard.
        let (_, mut others) = setup.user("bob@example.org").await;
        create(&mut others, "of another").await;
        assert_eq!(titles(&mut others, Some(0)).await, ["of another"]);
        setup.pause(0, false).await;
        setup.caught_up().await;
        assert_eq!(titles(&mut others, Some(1)).await, ["of another"]);
        assert_eq!(setup.answered(), 4);
    });
}

#[test]
fn one_that_lags_is_hardly_asked_any_more() {
    run(async {
        let Some(setup) = Setup::start(1).await else { return };
        let (_, mut tasks) = setup.user("ada@example.org").await;
        setup.caught_up().await;
        setup.pause(0, true).await;
        let task = create(&mut tasks, "after").await;
        for _ in 0..200 {
            let found = tasks.get_task(getting(&task.name, Some(task.revision))).await.unwrap();
            assert_eq!(found.into_inner(), task);
        }
        let (behind, none) = (setup.fallbacks("behind"), setup.fallbacks("none"));
        assert_eq!(behind + none, 200);
        assert!(behind < 40, "{behind}");
        setup.pause(0, false).await;
        setup.caught_up().await;
        for _ in 0..100 {
            tasks.get_task(getting(&task.name, Some(task.revision))).await.unwrap();
        }
        assert!(setup.answered() > 80, "{}", setup.answered());
    });
}

#[test]
fn a_later_page_is_never_older_than_the_first() {
    run(async {
        let Some(setup) = Setup::start(1).await else { return };
        let (_, mut tasks) = setup.user("ada@example.org").await;
        for number in 0..4 {
            create(&mut tasks, &format!("old {number}")).await;
        }
        setup.caught_up().await;
        // That it is asked for what it holds, however often it lacks more.
        assert_eq!(titles(&mut tasks, Some(1)).await.len(), 4);
        setup.pause(0, true).await;
        let mut last = 0;
        for number in 0..4 {
            last = create(&mut tasks, &format!("new {number}")).await.revision;
        }
        // The first page is the primary's, since the standby has no such thing. The second one names less.
        for (first, second) in [(Some(last), Some(0)), (Some(last), None), (None, Some(0)), (None, None)] {
            let page = tasks.list_tasks(listing(2, first)).await.unwrap().into_inner();
            let rest = pb::ListTasksRequest { page_token: page.next_page_token, ..listing(4, second) };
            let rest = tasks.list_tasks(rest).await.unwrap().into_inner();
            let titles: Vec<_> = rest.tasks.iter().map(|task| task.title.as_str()).collect();
            assert_eq!(titles, ["new 1", "new 0", "old 3", "old 2"], "{first:?} {second:?}");
        }
        assert_eq!(setup.answered(), 1);
        // From a standby as well a list goes on without being told again, and there.
        let page = tasks.list_tasks(listing(2, Some(1))).await.unwrap().into_inner();
        let rest = pb::ListTasksRequest { page_token: page.next_page_token, ..listing(4, None) };
        let rest = tasks.list_tasks(rest).await.unwrap().into_inner();
        assert_eq!(rest.tasks.len(), 2);
        assert_eq!(setup.answered(), 3);
    });
}

#[test]
fn one_of_another_history_is_not_believed() {
    run(async {
        let Some((setup, mut tasks, _)) = Setup::with_task("before").await else { return };
        assert_eq!(titles(&mut tasks, Some(1)).await, ["before"]);
        assert_eq!(setup.answered(), 1);
        setup.pause(0, true).await;
        let last = create(&mut tasks, "after").await;
        // What the standby has belongs to a history that is over, however many changes it has of it.
        setup.replica.services.storage.begin_history().await.unwrap();
        for least in [0, 1, last.revision] {
            assert_eq!(titles(&mut tasks, Some(least)).await, ["after", "before"]);
        }
        setup.until_used(0, false).await;
        assert_eq!(setup.answered(), 1);
        setup.pause(0, false).await;
        setup.until_used(0, true).await;
        assert_eq!(titles(&mut tasks, Some(last.revision)).await, ["after", "before"]);
        assert_eq!(setup.answered(), 2);
    });
}

#[test]
fn a_standby_is_chosen_by_the_user() {
    run(async {
        let Some(setup) = Setup::start(2).await else { return };
        let mut people = Vec::new();
        for number in 0..16 {
            people.push(setup.user(&format!("user{number}@example.org")).await.1);
        }
        setup.caught_up().await;
        for _ in 0..2 {
            for tasks in &mut people {
                assert_eq!(titles(tasks, Some(0)).await, [""; 0]);
            }
        }
        let states = setup.replica.services.storage.standby_states();
        assert_eq!(states.iter().map(|standby| standby.answered).sum::<u64>(), 32);
        for state in states {
            assert!(state.answered % 2 == 0 && state.answered > 0, "{state:?}");
        }
    });
}

#[test]
fn how_far_a_standby_is_behind_is_told() {
    run(async {
        let Some(setup) = Setup::start(1).await else { return };
        let (_, mut tasks) = setup.user("ada@example.org").await;
        let state = || setup.replica.services.storage.standby_states().remove(0);
        setup.pause(0, true).await;
        create(&mut tasks, "after").await;
        eventually("it is behind", async || state().lag_bytes > 0 && state().lag > Duration::ZERO).await;
        setup.pause(0, false).await;
        eventually("it is not any more", async || state().lag_bytes == 0 && state().lag == Duration::ZERO)
            .await;
    });
}
