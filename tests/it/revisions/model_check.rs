//! Random calls of several users, each through several connections at once, compared with the model: there must be an
//! order in which the model answers the same, and in the end both must have the same tasks and the same log.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use prost_types::Timestamp;
use taskwire::api::TaskRules;
use taskwire::pb;
use taskwire::server::jobs;

use super::harness::random::Random;
use super::harness::replica::{Replica, Tasks, User, World, connect, rules};
use super::model::{Circumstances, Etags, Model, Op, Outcome};
use super::model_random::Chooser;
use super::*;
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(random_calls_do_what_the_model_does);

const USERS: usize = 4;
const PHASES: usize = 5;
/// Of one user in one phase.
const CALLS: usize = 105;
/// Most calls of one user that are under way at once.
const AT_ONCE: usize = 4;
const PURGE_AFTER: Duration = Duration::from_secs(3600);
const LIVE_TASKS_MAX: usize = 20;

/// One user, and what there is to know of them.
struct Subject {
    user: User,
    clients: Vec<Tasks>,
    model: Model,
    etags: Etags,
    chooser: Chooser,
}

async fn random_calls_do_what_the_model_does(database: TestDatabase) {
    let mut random = Random::seeded();
    let world = World::on(&database.url);
    let live_tasks_max = i64::try_from(LIVE_TASKS_MAX).unwrap();
    let replica = world.serve(TaskRules { live_tasks_max, purge_after: PURGE_AFTER, ..rules() }).await;
    let mut subjects = Vec::new();
    for number in 0..USERS {
        let user = replica.register(&format!("{number}@example.org")).await;
        let (model, chooser) = (Model::new(&user.name), Chooser::new(random.fork()));
        subjects.push(Subject { user, clients: Vec::new(), model, etags: Etags::new(), chooser });
    }
    for _ in 0..PHASES {
        let (seconds, nanos) = world.now().to_parts();
        let now = Timestamp { seconds, nanos };
        let purge_after = i64::try_from(PURGE_AFTER.as_secs()).unwrap();
        let at = Arc::new(Circumstances { now, purge_after, live_tasks_max: LIVE_TASKS_MAX });
        let address = replica.address;
        let phases = subjects.into_iter().map(|mut subject| {
            let at = Arc::clone(&at);
            tokio::spawn(async move {
                subject.clients.clear();
                for _ in 0..AT_ONCE {
                    subject.clients.push(subject.user.tasks(connect(address).await));
                }
                subject.phase(&at).await;
                subject
            })
        });
        subjects = join_all(phases).await.into_iter().map(Result::unwrap).collect();
        world.hand.advance(Duration::from_secs(25 * 60));
        let (seconds, nanos) = world.now().to_parts();
        for subject in &mut subjects {
            subject.user = subject.user.again(&replica).await;
        }
        purge(&replica, &mut subjects, Timestamp { seconds, nanos }).await;
    }
    for subject in &subjects {
        subject.compare(&database, &replica.tasks(&subject.user)).await;
    }
    database.assert_sound().await;
    let purged = subjects.iter().flat_map(|subject| &subject.model.log);
    assert!(purged.filter(|entry| entry.after.is_none()).count() > 0, "nothing was purged");
}

/// Lets the service purge what is due, and the model with it, in the order that the log tells.
async fn purge(replica: &Replica, subjects: &mut [Subject], now: Timestamp) {
    jobs::purge(&replica.services).await.unwrap();
    for subject in subjects {
        let due = |task: &&pb::Task| task.purge_time.is_some_and(|time| time.seconds <= now.seconds);
        let mut due: Vec<String> =
            subject.model.tasks.values().filter(due).map(|task| task.name.clone()).collect();
        for change in changes(&mut replica.tasks(&subject.user), subject.model.revision()).await {
            let name = change.task.unwrap().name;
            due.retain(|one| *one != name);
            subject.model.purge(&name, now);
        }
        assert_eq!(due, [""; 0], "not purged");
    }
}

impl Subject {
    async fn phase(&mut self, at: &Circumstances) {
        let mut calls = 0;
        while calls < CALLS {
            let mut ops = Vec::new();
            for _ in 0..=self.chooser.random.below(AT_ONCE) {
                ops.push(self.chooser.choose(&self.model, &self.etags));
            }
            // At times the same call twice at once.
            if ops.len() > 1 && self.chooser.random.percent(20) && !ops[0].request_id().is_empty() {
                ops[1] = ops[0].clone();
            }
            calls += ops.len();
            let running = self.clients.iter().zip(&ops).map(|(tasks, op)| perform(tasks.clone(), op.clone()));
            let mut answered = Vec::new();
            for outcome in join_all(running.map(tokio::spawn)).await {
                answered.push(self.learn(outcome.unwrap()));
            }
            let round: Vec<(Op, Outcome)> = ops.into_iter().zip(answered).collect();
            match explain(&self.model, &round, &self.etags, at) {
                Some(model) => self.model = model,
                None => panic!("{}", self.unexplained(&round, at)),
            }
        }
    }

    /// Takes the etags out of an answer. Each stands for one state of one task.
    fn learn(&mut self, mut outcome: Outcome) -> Outcome {
        let tasks = match &mut outcome {
            Outcome::Tasks(tasks) => tasks,
            Outcome::Undone(undone) => &mut undone.tasks,
            _ => return outcome,
        };
        for task in tasks.iter_mut().filter(|task| !task.name.is_empty()) {
            let etag = std::mem::take(&mut task.etag);
            let known = self.etags.entry((task.name.clone(), task.revision)).or_insert_with(|| etag.clone());
            assert_eq!(*known, etag, "{task:?}");
        }
        outcome
    }

    /// What to read when no order explains the answers: what the model says of each call alone.
    fn unexplained(&self, round: &[(Op, Outcome)], at: &Circumstances) -> String {
        let mut text = format!("no order explains these answers at revision {}:\n", self.model.revision());
        for (op, outcome) in round {
            let alone = self.model.clone().apply(op, outcome, &self.etags, at);
            text.push_str(&format!("  call: {op:?}\n    answered: {outcome:?}\n    alone: {alone:?}\n"));
        }
        text
    }

    /// Compares everything that there is with the model.
    async fn compare(&self, database: &TestDatabase, tasks: &Tasks) {
        let mut tasks = tasks.clone();
        let etagless = |mut task: pb::Task| {
            assert!(!task.etag.is_empty());
            task.etag.clear();
            task
        };
        let found: Vec<_> = all(&mut tasks).await.into_iter().map(etagless).collect();
        assert_eq!(found, self.model.tasks.values().cloned().collect::<Vec<_>>());

        let mut replayed = std::collections::BTreeMap::new();
        let listed = changes(&mut tasks, 0).await;
        assert_eq!(listed.len(), self.model.log.len());
        for (change, entry) in listed.into_iter().zip(&self.model.log) {
            assert_eq!(change.prev_revision, change.revision - 1);
            let gone = || pb::Task { name: entry.name.clone(), ..pb::Task::default() };
            let mut task = change.task.clone().unwrap();
            task.etag.clear();
            assert_eq!(task, entry.after.clone().unwrap_or_else(gone), "{change:?}");
            assert_eq!((change.r#type(), &change.changed_fields), (entry.kind, &entry.fields), "{change:?}");
            assert_eq!(change.create_time, Some(entry.time));
            match entry.after {
                Some(_) => drop(replayed.insert(task.name.clone(), task)),
                None => drop(replayed.remove(&task.name)),
            }
        }
        assert_eq!(replayed, self.model.tasks);

        let id = database.id(self.user.id());
        let live = database.query_i64(&format!("select live_tasks from users where id = {id}")).await;
        let revision = database.query_i64(&format!("select revision from users where id = {id}")).await;
        assert_eq!((live, revision), (i64::try_from(self.model.live()).unwrap(), self.model.revision()));
        let request =
            pb::CountTasksRequest { parent: "users/me".to_owned(), ..pb::CountTasksRequest::default() };
        assert_eq!(tasks.count_tasks(request).await.unwrap().into_inner().total, live);
    }
}

/// The model after these calls, in an order in which it answers as the service did; `None` when there is none.
fn explain(model: &Model, round: &[(Op, Outcome)], etags: &Etags, at: &Circumstances) -> Option<Model> {
    if round.is_empty() {
        return Some(model.clone());
    }
    (0..round.len()).find_map(|first| {
        let (op, answered) = &round[first];
        let mut next = model.clone();
        if next.apply(op, answered, etags, at) != *answered {
            return None;
        }
        let rest: Vec<_> = round[..first].iter().chain(&round[first + 1..]).cloned().collect();
        explain(&next, &rest, etags, at)
    })
}

/// Makes a call.
async fn perform(mut tasks: Tasks, op: Op) -> Outcome {
    let one = |answer: Response<pb::Task>| Outcome::Tasks(vec![answer.into_inner()]);
    let answered = match op {
        Op::Create(request) => tasks.create_task(request).await.map(one),
        Op::Update(request) => tasks.update_task(request).await.map(one),
        Op::Delete(request) => tasks.delete_task(request).await.map(one),
        Op::Undelete(request) => tasks.undelete_task(request).await.map(one),
        Op::Get(name) => tasks.get_task(pb::GetTaskRequest { name, ..Default::default() }).await.map(one),
        Op::BatchCreate(request) => {
            tasks.batch_create_tasks(request).await.map(|answer| Outcome::Tasks(answer.into_inner().tasks))
        }
        Op::BatchUpdate(request) => {
            tasks.batch_update_tasks(request).await.map(|answer| Outcome::Tasks(answer.into_inner().tasks))
        }
        Op::BatchDelete(request) => {
            tasks.batch_delete_tasks(request).await.map(|answer| Outcome::Tasks(answer.into_inner().tasks))
        }
        Op::Undo(request) => {
            tasks.undo_changes(request).await.map(|answer| Outcome::Undone(answer.into_inner()))
        }
        Op::Count { show_deleted } => {
            let request = pb::CountTasksRequest {
                parent: "users/me".to_owned(),
                filter: String::new(),
                show_deleted,
                ..Default::default()
            };
            tasks.count_tasks(request).await.map(|answer| counts(answer.into_inner()))
        }
    };
    answered.unwrap_or_else(|status| {
        let info = status.get_details_error_info().unwrap_or_else(|| panic!("{status:?}"));
        Outcome::Refused(info.reason, info.metadata.get("path").cloned())
    })
}

fn counts(answer: pb::CountTasksResponse) -> Outcome {
    Outcome::Counts([
        answer.total,
        answer.completed,
        answer.open,
        answer.low_priority,
        answer.medium_priority,
        answer.high_priority,
        answer.overdue,
    ])
}
