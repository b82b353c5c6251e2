//! Random calls about tasks that come again against a model in memory: when each is due, how often it still comes, what follows
//! what, what an undo brings back; and that the log tells all of it.

use std::collections::BTreeMap;

use taskwire::pb;

use super::harness::random::Random;
use super::harness::replica::{Tasks, World, rules};
use super::*;
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(random_occurrences_are_what_the_model_says);

const CALLS: usize = 200;
const DAY: i64 = 24 * 60 * 60;
/// The second of January 2026 at eight in the morning: nothing is past here, so that all comes of the rules alone.
const FIRST: i64 = 1_767_225_600 + DAY + 8 * 60 * 60;

/// How a task comes again: every so many days, and how often, this time included.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rule {
    interval: i64,
    left: Option<u32>,
}

#[derive(Debug, Clone, PartialEq)]
struct One {
    due: i64,
    is_open: bool,
    is_live: bool,
    rule: Option<Rule>,
    next: String,
}

type Model = BTreeMap<String, One>;

/// What can be seen of the model: how often something still comes, nobody is told.
fn visible(model: &Model) -> Model {
    let seen = |one: &One| One { rule: one.rule.map(|rule| Rule { left: None, ..rule }), ..one.clone() };
    model.iter().map(|(name, one)| (name.clone(), seen(one))).collect()
}

fn told(tasks: Vec<pb::Task>) -> Model {
    let one = |task: pb::Task| {
        let rule = task.recurrence.map(|recurrence| {
            let parts = recurrence.rrule.split(';').find_map(|part| part.strip_prefix("INTERVAL=")).unwrap();
            Rule { interval: parts.parse().unwrap(), left: None }
        });
        let due = (task.due_time.unwrap().seconds - FIRST) / DAY;
        let (is_open, is_live) = (!task.completed, task.delete_time.is_none());
        (task.name, One { due, is_open, is_live, rule, next: task.next_task })
    };
    tasks.into_iter().map(one).collect()
}

async fn replayed(tasks: &mut Tasks) -> Vec<pb::Task> {
    let told = changes(tasks, 0).await.into_iter().filter_map(|change| change.task);
    told.map(|task| (task.name.clone(), task)).collect::<BTreeMap<_, _>>().into_values().collect()
}

struct Run {
    tasks: Tasks,
    random: Random,
    model: Model,
    past: BTreeMap<i64, Model>,
}

impl Run {
    fn pick(&mut self, fits: impl Fn(&One) -> bool) -> Option<(String, One)> {
        let found: Vec<_> = self.model.iter().filter(|(_, one)| fits(one)).collect();
        self.random.pick(&found).map(|(name, one)| ((*name).clone(), (*one).clone()))
    }

    async fn call(&mut self) {
        match self.random.below(12) {
            0 | 1 => self.create().await,
            2..=4 => self.complete().await,
            5 | 6 => self.skip().await,
            7 => {
                let Some((name, one)) = self.pick(|one| one.is_live) else { return };
                let due = one.due + 1 + i64::try_from(self.random.below(20)).unwrap();
                let due_time = Some(prost_types::Timestamp { seconds: FIRST + due * DAY, nanos: 0 });
                let task = pb::Task { name: name.clone(), due_time, ..Default::default() };
                self.tasks.update_task(change(task, &["due_time"])).await.unwrap();
                self.model.get_mut(&name).unwrap().due = due;
            }
            8 => {
                let Some((name, _)) = self.pick(|one| one.is_live && !one.is_open) else { return };
                let task = pb::Task { name: name.clone(), ..Default::default() };
                self.tasks.update_task(change(task, &["completed"])).await.unwrap();
                self.model.get_mut(&name).unwrap().is_open = true;
            }
            9 => {
                let Some((name, one)) = self.pick(|_| true) else { return };
                if one.is_live {
                    self.tasks.delete_task(deletion(&name)).await.unwrap();
                } else {
                    self.tasks.undelete_task(undeletion(&name)).await.unwrap();
                }
                self.model.get_mut(&name).unwrap().is_live = !one.is_live;
            }
            _ => self.undo().await,
        }
    }

    async fn create(&mut self) {
        let interval = 1 + i64::try_from(self.random.below(9)).unwrap();
        let left = self.random.percent(50).then(|| 1 + u32::try_from(self.random.below(4)).unwrap());
        let count = left.map_or_else(String::new, |left| format!(";COUNT={left}"));
        let rrule = format!("FREQ=DAILY;INTERVAL={interval}{count}");
        let task = pb::Task {
            due_time: Some(prost_types::Timestamp { seconds: FIRST, nanos: 0 }),
            recurrence: Some(pb::Recurrence { rrule, ..Default::default() }),
            ..titled("again")
        };
        let name = self.tasks.create_task(creation(task)).await.unwrap().into_inner().name;
        let rule = Some(Rule { interval, left });
        self.model.insert(name, One { due: 0, is_open: true, is_live: true, rule, next: String::new() });
    }

    async fn complete(&mut self) {
        let Some((name, mut one)) = self.pick(|one| one.is_live && one.is_open) else { return };
        let task = pb::Task { name: name.clone(), completed: true, ..Default::default() };
        let before = revision(&mut self.tasks).await;
        let done = self.tasks.update_task(change(task, &["completed"])).await.unwrap().into_inner();
        one.is_open = false;
        let rule = one.rule.take().filter(|rule| rule.left.is_none_or(|left| left > 1));
        if let Some(Rule { interval, left }) = rule {
            let rule = Some(Rule { interval, left: left.map(|left| left - 1) });
            let next =
                One { due: one.due + interval, is_open: true, is_live: true, rule, next: String::new() };
            one.next.clone_from(&done.next_task);
            self.model.insert(done.next_task, next);
        }
        assert_eq!(revision(&mut self.tasks).await, before + 1 + i64::from(rule.is_some()));
        self.model.insert(name, one);
    }

    async fn skip(&mut self) {
        let Some((name, mut one)) = self.pick(|one| one.is_live && one.rule.is_some()) else { return };
        let rule = one.rule.as_mut().unwrap();
        let request = pb::SkipOccurrenceRequest { name: name.clone(), ..Default::default() };
        let skipped = self.tasks.skip_occurrence(request).await;
        if rule.left == Some(1) {
            assert_eq!(skipped.unwrap_err().code(), Code::FailedPrecondition);
            return;
        }
        skipped.unwrap();
        one.due += rule.interval;
        rule.left = rule.left.map(|left| left - 1);
        self.model.insert(name, one);
    }

    async fn undo(&mut self) {
        let starts: Vec<i64> = self.past.keys().rev().skip(1).take(5).copied().collect();
        let Some(start) = self.random.pick(&starts).copied() else { return };
        let end = revision(&mut self.tasks).await;
        let undone = self.tasks.undo_changes(undoing(start, end)).await.unwrap().into_inner();
        assert_eq!(undone.conflicts, []);
        let past = &self.past[&start];
        // What was made since is deleted now; all else is as it was.
        for (name, one) in &mut self.model {
            match past.get(name) {
                Some(then) => one.clone_from(then),
                None => one.is_live = false,
            }
        }
    }
}

async fn random_occurrences_are_what_the_model_says(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let tasks = replica.tasks(&replica.register("one@example.org").await);
    let random = Random::seeded();
    let mut run = Run { tasks, random, model: Model::new(), past: BTreeMap::new() };
    for call in 0..CALLS {
        run.call().await;
        let now = all(&mut run.tasks).await;
        assert_eq!(told(now.clone()), visible(&run.model), "call {call}");
        if call % 20 == 19 {
            assert_eq!(replayed(&mut run.tasks).await, now, "call {call}");
            database.assert_sound().await;
        }
        let revision = revision(&mut run.tasks).await;
        run.past.insert(revision, run.model.clone());
    }
}
