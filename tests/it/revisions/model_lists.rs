//! Random calls about lists, places and tasks against a model in memory: in which list each task is and in which order, what
//! is deleted, what an undo brings back; and that the log tells all of it.

use std::collections::{BTreeMap, BTreeSet};

use taskwire::pb;
use taskwire::pb::delete_task_list_request::Tasks as OfDeleted;
use taskwire::pb::task_change::Type;

use super::harness::random::Random;
use super::harness::replica::{Tasks, World, rules};
use super::*;
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(random_moves_do_what_the_model_does);

const CALLS: usize = 220;

/// One user's tasks in their order, list by list: names, `""` standing for no list.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    lists: BTreeMap<String, bool>,
    /// The live tasks in the order of their places, with their lists.
    order: Vec<(String, String)>,
    /// The deleted ones: their list, and whether they went with it.
    deleted: BTreeMap<String, (String, bool)>,
}

impl Model {
    fn is_live(&self, list: &str) -> bool {
        list.is_empty() || self.lists[list]
    }

    fn of_list(&self, list: &str) -> Vec<String> {
        self.order.iter().filter(|(_, of)| of == list).map(|(name, _)| name.clone()).collect()
    }

    /// Takes a task out of the order, and puts it behind everything or beside another one.
    fn place(&mut self, name: &str, list: &str, anchor: Option<(&str, bool)>) {
        let at = |order: &[(String, String)], name: &str| order.iter().position(|(one, _)| one == name);
        if let Some((anchor, is_before)) = anchor {
            let order = self.of_list(list);
            let own = order.iter().position(|one| one == name);
            let other = order.iter().position(|one| one == anchor).unwrap();
            // It stands there already.
            if own.is_some_and(|own| if is_before { own + 1 == other } else { own == other + 1 }) {
                return;
            }
        } else if self.of_list(list).last().is_some_and(|last| last == name) {
            return;
        }
        if let Some(at) = at(&self.order, name) {
            self.order.remove(at);
        }
        let to = match anchor {
            None => self.order.len(),
            Some((anchor, is_before)) => at(&self.order, anchor).unwrap() + usize::from(!is_before),
        };
        self.order.insert(to, (name.to_owned(), list.to_owned()));
    }
}

/// The world as the service tells it.
async fn told(tasks: &mut Tasks) -> Model {
    let request =
        pb::ListTaskListsRequest { parent: "users/me".into(), show_deleted: true, ..Default::default() };
    let lists = tasks.list_task_lists(request).await.unwrap().into_inner().task_lists;
    let mut model = Model {
        lists: lists.into_iter().map(|list| (list.name, list.delete_time.is_none())).collect(),
        ..Model::default()
    };
    let mut all = all(tasks).await;
    all.sort_by(|one, other| one.position.cmp(&other.position));
    assert!(all.windows(2).all(|pair| pair[0].position < pair[1].position));
    for task in all {
        if task.delete_time.is_some() {
            model.deleted.insert(task.name, (task.task_list, false));
        } else {
            model.order.push((task.name, task.task_list));
        }
    }
    model
}

/// The same, but for what nobody is told: with which list a task went, and how lists stand to each other in the order.
fn as_told(
    model: &Model,
) -> (BTreeMap<String, bool>, BTreeMap<String, Vec<String>>, BTreeMap<String, String>) {
    let mut order: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, list) in &model.order {
        order.entry(list.clone()).or_default().push(name.clone());
    }
    let deleted = model.deleted.iter().map(|(name, (list, _))| (name.clone(), list.clone())).collect();
    (model.lists.clone(), order, deleted)
}

/// What the log says of everything, from its beginning.
async fn replayed(tasks: &mut Tasks) -> Model {
    let (mut lists, mut all) = (BTreeMap::new(), BTreeMap::new());
    for change in changes(tasks, 0).await {
        assert_ne!(change.r#type(), Type::Purged);
        match (change.task_list, change.task) {
            (Some(list), None) => drop(lists.insert(list.name, list.delete_time.is_none())),
            (None, Some(task)) => drop(all.insert(task.name.clone(), task)),
            both => panic!("{both:?}"),
        }
    }
    let mut model = Model { lists, ..Model::default() };
    let mut all: Vec<pb::Task> = all.into_values().collect();
    all.sort_by(|one, other| one.position.cmp(&other.position));
    for task in all {
        if task.delete_time.is_some() {
            model.deleted.insert(task.name, (task.task_list, false));
        } else {
            model.order.push((task.name, task.task_list));
        }
    }
    model
}

struct Run {
    tasks: Tasks,
    model: Model,
    random: Random,
    /// The model at each revision after which a call ended.
    past: BTreeMap<i64, Model>,
}

impl Run {
    fn list(&mut self, live: bool) -> Option<String> {
        let lists: Vec<String> =
            self.model.lists.iter().filter(|(_, is)| **is == live).map(|(name, _)| name.clone()).collect();
        self.random.pick(&lists).cloned()
    }

    fn live_task(&mut self) -> Option<(String, String)> {
        self.random.pick(&self.model.order.clone()).cloned()
    }

    /// A live list, or none.
    fn target(&mut self) -> String {
        if self.random.below(4) == 0 { String::new() } else { self.list(true).unwrap_or_default() }
    }

    async fn call(&mut self) {
        match self.random.below(16) {
            0 => {
                let request = pb::CreateTaskListRequest {
                    parent: "users/me".into(),
                    task_list: Some(pb::TaskList { title: "list".into(), ..Default::default() }),
                    ..Default::default()
                };
                let list = self.tasks.create_task_list(request).await.unwrap().into_inner();
                self.model.lists.insert(list.name, true);
            }
            1..=4 => {
                let list = self.target();
                let task = pb::Task { task_list: list.clone(), ..titled("task") };
                let made = self.tasks.create_task(creation(task)).await.unwrap().into_inner();
                self.model.order.push((made.name, list));
            }
            5..=9 => self.move_task().await,
            10 => {
                let Some((name, _)) = self.live_task() else { return };
                let list = self.target();
                let task = pb::Task { name: name.clone(), task_list: list.clone(), ..Default::default() };
                self.tasks.update_task(change(task, &["task_list"])).await.unwrap();
                if !self.model.order.contains(&(name.clone(), list.clone())) {
                    self.model.place(&name, &list, None);
                }
            }
            11 => {
                let Some((name, list)) = self.live_task() else { return };
                self.tasks.delete_task(deletion(&name)).await.unwrap();
                self.model.order.retain(|(one, _)| *one != name);
                self.model.deleted.insert(name, (list, false));
            }
            12 => self.undelete_task().await,
            13 => self.delete_list().await,
            14 => self.undelete_list().await,
            _ => self.undo().await,
        }
    }

    async fn move_task(&mut self) {
        let Some((name, own)) = self.live_task() else { return };
        let list = if self.random.below(2) == 0 { own.clone() } else { self.target() };
        let others: Vec<String> =
            self.model.of_list(&list).into_iter().filter(|other| *other != name).collect();
        let anchor = self.random.pick(&others).cloned().filter(|_| self.random.below(4) > 0);
        let is_before = self.random.below(2) == 0;
        let (mut before, mut after) = (String::new(), String::new());
        if let Some(anchor) = &anchor {
            *(if is_before { &mut before } else { &mut after }) = anchor.clone();
        }
        let task_list = (list != own).then(|| list.clone());
        let request =
            pb::MoveTaskRequest { name: name.clone(), task_list, before, after, ..Default::default() };
        self.tasks.move_task(request).await.unwrap();
        self.model.place(&name, &list, anchor.as_deref().map(|anchor| (anchor, is_before)));
    }

    async fn undelete_task(&mut self) {
        let names: Vec<String> = self.model.deleted.keys().cloned().collect();
        let Some(name) = self.random.pick(&names).cloned() else { return };
        self.tasks.undelete_task(undeletion(&name)).await.unwrap();
        // Where it stands among the others its position says.
        self.model = self.taken_over().await;
    }

    async fn delete_list(&mut self) {
        let Some(name) = self.list(true) else { return };
        let keep = self.random.below(2) == 0;
        let tasks = if keep { OfDeleted::Keep } else { OfDeleted::Delete };
        let request =
            pb::DeleteTaskListRequest { name: name.clone(), tasks: tasks.into(), ..Default::default() };
        self.tasks.delete_task_list(request).await.unwrap();
        self.model.lists.insert(name.clone(), false);
        for (task, list) in std::mem::take(&mut self.model.order) {
            match list == name {
                true if keep => self.model.order.push((task, String::new())),
                true => drop(self.model.deleted.insert(task, (list, true))),
                false => self.model.order.push((task, list)),
            }
        }
        if keep {
            // Where they come to stand among those without a list, their positions say.
            let (lists, order, deleted) = as_told(&self.model);
            self.model = self.taken_over().await;
            let members = |order: BTreeMap<String, Vec<String>>| -> BTreeMap<String, BTreeSet<String>> {
                order.into_iter().map(|(list, names)| (list, names.into_iter().collect())).collect()
            };
            let (lists_now, order_now, deleted_now) = as_told(&self.model);
            assert_eq!((lists_now, deleted_now), (lists, deleted));
            assert_eq!(members(order_now), members(order));
        }
    }

    async fn undelete_list(&mut self) {
        let Some(name) = self.list(false) else { return };
        let went: Vec<String> = self
            .model
            .deleted
            .iter()
            .filter(|(_, (list, with_it))| *list == name && *with_it)
            .map(|(task, _)| task.clone())
            .collect();
        let stays: Vec<String> =
            self.model.deleted.keys().filter(|task| !went.contains(task)).cloned().collect();
        let request = pb::UndeleteTaskListRequest { name, ..Default::default() };
        self.tasks.undelete_task_list(request).await.unwrap();
        self.model = self.taken_over().await;
        for task in went {
            assert!(
                !self.model.deleted.contains_key(&task),
                "{task} went with the list and did not come back"
            );
        }
        assert!(self.model.deleted.keys().eq(&stays), "more came back than went with the list");
    }

    async fn undo(&mut self) {
        let starts: Vec<i64> = self.past.keys().rev().skip(1).take(4).copied().collect();
        let Some(start) = self.random.pick(&starts).copied() else { return };
        let end = revision(&mut self.tasks).await;
        if start == end {
            return;
        }
        let undone = self.tasks.undo_changes(undoing(start, end)).await.unwrap().into_inner();
        assert_eq!(undone.conflicts, []);
        let (wanted, now) = (self.past[&start].clone(), told(&mut self.tasks).await);
        // What was made since is deleted now; all else is as it was.
        let (lists, order, deleted) = as_told(&now);
        let (lists_then, order_then, deleted_then) = as_told(&wanted);
        assert_eq!(order, order_then);
        assert!(lists_then.iter().all(|(name, live)| lists[name] == *live));
        assert!(lists.iter().all(|(name, live)| !live || lists_then.contains_key(name)));
        assert!(deleted_then.keys().all(|name| deleted.contains_key(name)));
        self.model.deleted.extend(wanted.deleted);
        self.model = self.taken_over().await;
    }

    /// The model of what is told, with what is known of how deleted tasks went.
    async fn taken_over(&mut self) -> Model {
        let mut model = told(&mut self.tasks).await;
        for (name, (_, with_it)) in &mut model.deleted {
            *with_it = self.model.deleted.get(name).is_some_and(|(_, with_it)| *with_it);
        }
        model
    }
}

async fn random_moves_do_what_the_model_does(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let tasks = replica.tasks(&replica.register("one@example.org").await);
    let random = Random::seeded();
    let mut run = Run { tasks, model: Model::default(), random, past: BTreeMap::new() };
    for call in 0..CALLS {
        run.call().await;
        let told = told(&mut run.tasks).await;
        assert_eq!(as_told(&told), as_told(&run.model), "call {call}");
        // A live task is in no deleted list.
        assert!(told.order.iter().all(|(_, list)| run.model.is_live(list)), "call {call}");
        let revision = revision(&mut run.tasks).await;
        run.past.insert(revision, run.model.clone());
        if call % 40 == 39 {
            assert_eq!(as_told(&replayed(&mut run.tasks).await), as_told(&run.model), "call {call}");
            database.assert_sound().await;
        }
    }
}
