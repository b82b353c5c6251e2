//! Mixed calls on two standbys that lag now and then: no answer is older than what was asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use taskwire::pb;

use super::{Setup, create, getting, listing, run};
use crate::revisions::harness::random::Random;
use crate::revisions::harness::replica::Tasks;

/// Calls of all callers. The larger number is the one that counts, run by hand with `TASKWIRE_SOAK=1`.
fn calls() -> u64 {
    let soak = std::env::var_os("TASKWIRE_SOAK").is_some_and(|value| value == "1");
    if soak { 100_000 } else { 2_000 }
}

const CALLERS: u64 = 8;

/// One caller: a task that counts how often it was changed, and what is known of it.
struct Caller {
    tasks: Tasks,
    name: String,
    /// The title and the revision that were answered last.
    known: (String, i64),
    writes: u64,
}

impl Caller {
    async fn write(&mut self) {
        self.writes += 1;
        let task =
            pb::Task { name: self.name.clone(), title: self.writes.to_string(), ..pb::Task::default() };
        let task = self.tasks.update_task(pb::UpdateTaskRequest { task: Some(task), ..Default::default() });
        let task = task.await.unwrap().into_inner();
        self.known = (task.title, task.revision);
    }

    /// Reads in one of the ways, and compares with what must be there: nobody else changes this task.
    async fn read(&mut self, way: usize) {
        let least = Some(self.known.1);
        let found = match way {
            0 => self.tasks.get_task(getting(&self.name, least)).await.unwrap().into_inner(),
            1 => {
                let page = self.tasks.list_tasks(listing(1, least)).await.unwrap().into_inner();
                page.tasks.into_iter().next().unwrap()
            }
            2 => {
                let names = vec![self.name.clone()];
                let batch =
                    pb::BatchGetTasksRequest { parent: "users/me".to_owned(), names, min_revision: least };
                self.tasks.batch_get_tasks(batch).await.unwrap().into_inner().tasks.remove(0)
            }
            3 => {
                let filter = format!("title = {:?}", self.known.0);
                let count = pb::CountTasksRequest {
                    parent: "users/me".to_owned(),
                    filter,
                    min_revision: least,
                    ..Default::default()
                };
                assert_eq!(self.tasks.count_tasks(count).await.unwrap().into_inner().total, 1);
                return;
            }
            _ => {
                let changes = pb::ListTaskChangesRequest {
                    parent: "users/me".to_owned(),
                    start_revision: self.known.1 - 1,
                    min_revision: least,
                    ..Default::default()
                };
                let page = self.tasks.list_task_changes(changes).await.unwrap().into_inner();
                assert_eq!(page.current_revision, self.known.1);
                page.changes.into_iter().next_back().unwrap().task.unwrap()
            }
        };
        assert_eq!((found.title, found.revision), self.known);
    }
}

async fn call(mut caller: Caller, seed: u64, calls: u64) {
    let mut random = Random::new(seed);
    for _ in 0..calls {
        match random.below(20) {
            0 => caller.write().await,
            other => caller.read(other % 5).await,
        }
    }
}

/// Keeps both standbys back for a while, again and again, and kills one of them once.
async fn disturb(setup: &Setup, is_over: &AtomicBool) {
    let mut random = Random::new(7);
    let mut turn = 0;
    while !is_over.load(Ordering::SeqCst) {
        let number = random.below(2);
        let while_so = Duration::from_millis(random.next() % 100);
        if random.below(2) == 0 {
            setup.pause(number, true).await;
            tokio::time::sleep(while_so).await;
            setup.pause(number, false).await;
        } else {
            for delay in [random.below(50), 0] {
                setup.standbys[number].configure(&format!("recovery_min_apply_delay = '{delay}ms'"));
                setup.standbys[number].reload();
                tokio::time::sleep(while_so).await;
            }
        }
        turn += 1;
        if turn == 3 {
            setup.standbys[1].crash();
            setup.standbys[1].resume();
        }
    }
    println!("standbys were disturbed {turn} times");
}

#[test]
fn no_answer_is_older_than_what_was_asked_for() {
    run(async {
        let Some(setup) = Setup::start(2).await else { return };
        let mut callers = Vec::new();
        for number in 0..CALLERS {
            let (_, mut tasks) = setup.user(&format!("user{number}@example.org")).await;
            let task = create(&mut tasks, "0").await;
            callers.push(Caller { tasks, name: task.name, known: (task.title, task.revision), writes: 0 });
        }
        let is_over = Arc::new(AtomicBool::new(false));
        let each = calls() / CALLERS;
        let calling =
            callers.into_iter().zip(1..).map(|(caller, seed)| tokio::spawn(call(caller, seed, each)));
        let calling = futures_util::future::join_all(calling);
        let calls = async {
            for result in calling.await {
                result.unwrap();
            }
            is_over.store(true, Ordering::SeqCst);
        };
        tokio::join!(calls, disturb(&setup, &is_over));
        let counts = setup.replica.services.storage.read_counts();
        println!("answered by standbys: {}, by the primary: {counts:?}", setup.answered());
        assert!(setup.answered() > 100 && setup.fallbacks("behind") > 0);
    });
}
