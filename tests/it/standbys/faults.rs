//! What happens to standbys costs nobody an error.

use std::time::Duration;

use taskwire::pb;
use taskwire::pb::watch_tasks_response::Event;

use super::{Setup, create, getting, run, titles};
use crate::support::database::assert_sound;

#[test]
fn a_standby_that_dies_is_not_missed() {
    run(async {
        let Some(setup) = Setup::start(2).await else { return };
        let mut people = Vec::new();
        for number in 0..8 {
            let (_, mut tasks) = setup.user(&format!("user{number}@example.org")).await;
            create(&mut tasks, "a task").await;
            people.push(tasks);
        }
        setup.caught_up().await;
        let mut read = async || {
            for tasks in &mut people {
                assert_eq!(titles(tasks, Some(1)).await, ["a task"]);
            }
        };
        read().await;
        assert_eq!(setup.answered(), 8);
        setup.standbys[0].crash();
        for _ in 0..5 {
            read().await;
        }
        setup.until_used(0, false).await;
        // The other one has all of them now.
        let before = setup.answered();
        read().await;
        assert_eq!(setup.answered(), before + 8);
        setup.standbys[0].resume();
        setup.until_used(0, true).await;
        let before = setup.replica.services.storage.standby_states()[0].answered;
        for _ in 0..5 {
            read().await;
        }
        assert!(setup.replica.services.storage.standby_states()[0].answered > before);
        assert_sound(&setup.replica.services.storage).await;
    });
}

#[test]
fn a_standby_that_hangs_costs_a_moment() {
    run(async {
        let Some((setup, mut tasks, task)) = Setup::with_task("a task").await else { return };
        assert_eq!(titles(&mut tasks, Some(1)).await, ["a task"]);
        setup.standbys[0].signal("STOP");
        let mut request = tonic::Request::new(getting(&task.name, Some(1)));
        // Less than the standby would be waited for: half of it is the primary's.
        request.set_timeout(Duration::from_secs(4));
        assert_eq!(tasks.get_task(request).await.unwrap().into_inner(), task);
        setup.until_used(0, false).await;
        let (none, failed) = (setup.fallbacks("none"), setup.fallbacks("failed"));
        for _ in 0..20 {
            assert_eq!(titles(&mut tasks, Some(1)).await, ["a task"]);
        }
        // Not one of them asked it.
        assert_eq!((setup.fallbacks("none"), setup.fallbacks("failed")), (none + 20, failed));
        setup.standbys[0].signal("CONT");
        setup.until_used(0, true).await;
        let before = setup.answered();
        assert_eq!(titles(&mut tasks, Some(1)).await, ["a task"]);
        assert_eq!(setup.answered(), before + 1);
    });
}

#[test]
fn a_standby_that_is_promoted_is_none() {
    run(async {
        let Some((setup, mut tasks, _)) = Setup::with_task("before").await else { return };
        assert_eq!(titles(&mut tasks, Some(1)).await, ["before"]);
        setup.standbys[0].promote();
        setup.until_used(0, false).await;
        let after = create(&mut tasks, "after").await;
        for least in [0, 1, after.revision] {
            assert_eq!(titles(&mut tasks, Some(least)).await, ["after", "before"]);
        }
        assert_eq!(setup.answered(), 1);
    });
}

#[test]
fn reads_go_on_while_the_primary_is_away() {
    run(async {
        let Some((setup, mut tasks, task)) = Setup::with_task("a task").await else { return };
        setup.primary.crash();
        for _ in 0..10 {
            assert_eq!(tasks.get_task(getting(&task.name, Some(1))).await.unwrap().into_inner(), task);
            assert_eq!(titles(&mut tasks, Some(1)).await, ["a task"]);
        }
        tasks.get_task(getting(&task.name, None)).await.unwrap_err();
    });
}

#[test]
fn a_watch_reads_from_standbys_and_misses_nothing() {
    run(async {
        let Some(setup) = Setup::start(1).await else { return };
        let (user, mut tasks) = setup.user("ada@example.org").await;
        for number in 0..30 {
            create(&mut tasks, &format!("task {number}")).await;
        }
        setup.caught_up().await;
        let watching = |start_revision, initial_state| pb::WatchTasksRequest {
            parent: "users/me".to_owned(),
            start_revision,
            initial_state,
            ..Default::default()
        };
        let mut backlog = tasks.watch_tasks(watching(Some(0), false)).await.unwrap().into_inner();
        let mut state = tasks.watch_tasks(watching(None, true)).await.unwrap().into_inner();
        for number in 1..=30 {
            let message = backlog.message().await.unwrap().unwrap();
            assert!(matches!(message.event, Some(Event::Change(change)) if change.revision == number));
            let message = state.message().await.unwrap().unwrap();
            assert!(matches!(message.event, Some(Event::Task(_))));
        }
        let message = state.message().await.unwrap().unwrap();
        assert!(matches!(message.event, Some(Event::InitialStateEnd(end)) if end.revision == 30));
        assert!(setup.answered() >= 2, "{}", setup.answered());
        // What the standby does not have comes all the same, also while nobody tells it.
        setup.pause(0, true).await;
        let mut writer = setup.replica.tasks(&user);
        for number in 31..=40 {
            create(&mut writer, &format!("task {number}")).await;
            for stream in [&mut backlog, &mut state] {
                let message = stream.message().await.unwrap().unwrap();
                assert!(matches!(message.event, Some(Event::Change(change)) if change.revision == number));
            }
        }
        setup.pause(0, false).await;
    });
}
