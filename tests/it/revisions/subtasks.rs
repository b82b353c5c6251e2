//! Subtasks under random calls: whatever is done, and undone, the numbers at a parent are exact, there is one level, and a subtask
//! is live below a live parent in its list; and the log tells all of it.

use std::collections::BTreeMap;

use taskwire::pb;

use super::harness::random::Random;
use super::harness::replica::{Tasks, World, rules};
use super::*;
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(
    whatever_is_done_the_numbers_are_exact,
    a_deleted_parent_is_undone_and_redone,
    a_large_list_keeps_its_subtasks,
    a_list_comes_back_after_the_parent,
);

const CALLS: usize = 260;

/// What of a task an undo brings back; a deleted one as such.
fn restorable(task: &pb::Task) -> Option<pb::Task> {
    let bare = pb::Task { revision: 0, update_time: None, etag: String::new(), ..task.clone() };
    (task.delete_time.is_none()).then_some(bare)
}

fn check(all: &[pb::Task]) {
    let by_name: BTreeMap<&str, &pb::Task> = all.iter().map(|task| (task.name.as_str(), task)).collect();
    for task in all.iter().filter(|task| task.delete_time.is_none()) {
        let below = || all.iter().filter(|one| one.parent_task == task.name && one.delete_time.is_none());
        let completed = below().filter(|one| one.completed).count();
        assert_eq!(
            (task.subtask_count, task.completed_subtask_count),
            (below().count().try_into().unwrap(), completed.try_into().unwrap()),
            "{task:?}"
        );
        if !task.parent_task.is_empty() {
            let parent = by_name[task.parent_task.as_str()];
            assert_eq!((parent.delete_time, parent.parent_task.as_str()), (None, ""), "{task:?}");
            assert_eq!((&parent.task_list, task.subtask_count), (&task.task_list, 0), "{task:?}");
        }
    }
}

async fn replayed(tasks: &mut Tasks) -> Vec<pb::Task> {
    let mut all = BTreeMap::new();
    for change in changes(tasks, 0).await {
        if let Some(task) = change.task {
            all.insert(task.name.clone(), task);
        }
    }
    all.into_values().collect()
}

struct Run {
    tasks: Tasks,
    random: Random,
    lists: Vec<String>,
    past: BTreeMap<i64, Vec<pb::Task>>,
}

impl Run {
    async fn call(&mut self) {
        let all = all(&mut self.tasks).await;
        let live: Vec<pb::Task> = all.iter().filter(|task| task.delete_time.is_none()).cloned().collect();
        let gone: Vec<pb::Task> = all.iter().filter(|task| task.delete_time.is_some()).cloned().collect();
        let task = self.random.pick(&live).cloned().unwrap_or_default();
        let other = self.random.pick(&live).cloned().unwrap_or_default().name;
        let list = self.random.pick(&self.lists.clone()).cloned().unwrap_or_default();
        // Much of this is refused, and then does nothing.
        match self.random.below(14) {
            0 | 1 => {
                let task = pb::Task { task_list: list, ..titled("task") };
                let _ = self.tasks.create_task(creation(task)).await;
            }
            2..=4 => {
                let task = pb::Task { parent_task: other, ..titled("below") };
                let _ = self.tasks.create_task(creation(task)).await;
            }
            5 => {
                let moved = pb::Task { name: task.name, parent_task: other, ..Default::default() };
                let _ = self.tasks.update_task(change(moved, &["parent_task", "task_list"])).await;
            }
            6 => {
                let done = pb::Task { name: task.name, completed: !task.completed, ..Default::default() };
                let mut request = change(done, &["completed"]);
                request.complete_subtasks = self.random.percent(50);
                let _ = self.tasks.update_task(request).await;
            }
            7 => drop(self.tasks.delete_task(deletion(&task.name)).await),
            8 | 9 => {
                let Some(gone) = self.random.pick(&gone) else { return };
                self.tasks.undelete_task(undeletion(&gone.name)).await.unwrap();
            }
            10 => {
                let moved = pb::Task { name: task.name, task_list: list, ..Default::default() };
                let _ = self.tasks.update_task(change(moved, &["task_list"])).await;
            }
            11 => {
                let parent_task = self.random.percent(50).then(|| other.clone());
                let task_list = self.random.percent(30).then_some(list);
                let request =
                    pb::MoveTaskRequest { name: task.name, task_list, parent_task, ..Default::default() };
                let _ = self.tasks.move_task(request).await;
            }
            12 => {
                let name = list.clone();
                let _ = self
                    .tasks
                    .delete_task_list(pb::DeleteTaskListRequest { name, ..Default::default() })
                    .await;
                if self.random.percent(70) {
                    let name = list;
                    let request = pb::UndeleteTaskListRequest { name, ..Default::default() };
                    let _ = self.tasks.undelete_task_list(request).await;
                }
            }
            _ => self.undo().await,
        }
    }

    async fn undo(&mut self) {
        let starts: Vec<i64> = self.past.keys().rev().skip(1).take(5).copied().collect();
        let Some(start) = self.random.pick(&starts).copied() else { return };
        let end = revision(&mut self.tasks).await;
        let undone = self.tasks.undo_changes(undoing(start, end)).await.unwrap().into_inner();
        assert_eq!(undone.conflicts, []);
        let now = all(&mut self.tasks).await;
        let live = |all: &[pb::Task]| all.iter().filter_map(restorable).collect::<Vec<_>>();
        assert_eq!(live(&now), live(&self.past[&start]));
    }
}

async fn whatever_is_done_the_numbers_are_exact(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let mut lists = vec![String::new()];
    for _ in 0..2 {
        lists.push(new_list(&mut tasks).await);
    }
    let mut run = Run { tasks, random: Random::seeded(), lists, past: BTreeMap::new() };
    for call in 0..CALLS {
        run.call().await;
        let all = all(&mut run.tasks).await;
        check(&all);
        if call % 20 == 19 {
            assert_eq!(replayed(&mut run.tasks).await, all, "call {call}");
        }
        let revision = revision(&mut run.tasks).await;
        run.past.insert(revision, all);
    }
}

async fn a_deleted_parent_is_undone_and_redone(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let parent = create(&mut tasks, "parent").await;
    for title in ["a", "b"] {
        let task = pb::Task { parent_task: parent.name.clone(), ..titled(title) };
        tasks.create_task(creation(task)).await.unwrap();
    }
    let before: Vec<_> = all(&mut tasks).await.iter().filter_map(restorable).collect();
    let start = revision(&mut tasks).await;
    let id = uuid::Uuid::now_v7().to_string();
    let delete = pb::DeleteTaskRequest { request_id: id, ..deletion(&parent.name) };
    let deleted = tasks.delete_task(delete.clone()).await.unwrap().into_inner();
    assert_eq!(deleted.subtask_count, 0);
    assert_eq!(tasks.delete_task(delete).await.unwrap().into_inner(), deleted);
    let end = revision(&mut tasks).await;
    assert_eq!(end, start + 3);
    tasks.undo_changes(undoing(start, end)).await.unwrap();
    let restored: Vec<_> = all(&mut tasks).await.iter().filter_map(restorable).collect();
    assert_eq!(restored, before);
    // The undo of the undo deletes them again, together: they come back together.
    let redo = undoing(end, revision(&mut tasks).await);
    tasks.undo_changes(redo).await.unwrap();
    tasks.undelete_task(undeletion(&parent.name)).await.unwrap();
    let restored: Vec<_> = all(&mut tasks).await.iter().filter_map(restorable).collect();
    assert_eq!(restored, before);
    check(&all(&mut tasks).await);
}

async fn new_list(tasks: &mut Tasks) -> String {
    let request = pb::CreateTaskListRequest {
        parent: "users/me".into(),
        task_list: Some(pb::TaskList { title: "list".into(), ..Default::default() }),
        ..Default::default()
    };
    tasks.create_task_list(request).await.unwrap().into_inner().name
}

async fn delete_list(tasks: &mut Tasks, name: &str) {
    let request = pb::DeleteTaskListRequest { name: name.into(), ..Default::default() };
    tasks.delete_task_list(request).await.unwrap();
}

async fn undelete_list(tasks: &mut Tasks, name: &str) {
    let request = pb::UndeleteTaskListRequest { name: name.into(), ..Default::default() };
    tasks.undelete_task_list(request).await.unwrap();
}

/// A list of more than one step, where a parent and its subtasks are far apart.
async fn a_large_list_keeps_its_subtasks(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let task_list = new_list(&mut tasks).await;
    let parent = creation(pb::Task { task_list: task_list.clone(), ..titled("parent") });
    let parent = tasks.create_task(parent).await.unwrap().into_inner().name;
    for from in (0..1400).step_by(200) {
        let items = (from..from + 200).map(|at| {
            let parent_task = if at % 4 == 0 { parent.clone() } else { String::new() };
            creation(pb::Task { task_list: task_list.clone(), parent_task, ..titled(&at.to_string()) })
        });
        tasks.batch_create_tasks(batch_creation(items.collect())).await.unwrap();
    }
    let before: Vec<_> = all(&mut tasks).await.iter().filter_map(restorable).collect();
    delete_list(&mut tasks, &task_list).await;
    let gone = all(&mut tasks).await;
    assert!(gone.iter().all(|task| task.delete_time.is_some() && task.subtask_count == 0));
    undelete_list(&mut tasks, &task_list).await;
    let restored: Vec<_> = all(&mut tasks).await.iter().filter_map(restorable).collect();
    assert_eq!(restored, before);
    check(&all(&mut tasks).await);
}

/// A subtask follows its parent out of a list that was deleted, even if the list comes back first.
async fn a_list_comes_back_after_the_parent(database: TestDatabase) {
    let world = World::on(&database.url);
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);
    let task_list = new_list(&mut tasks).await;
    let parent = creation(pb::Task { task_list: task_list.clone(), ..titled("parent") });
    let parent = tasks.create_task(parent).await.unwrap().into_inner().name;
    let other = create(&mut tasks, "other").await.name;
    for parent_task in [&parent, &other] {
        let task_list = if parent_task == &parent { task_list.clone() } else { String::new() };
        let task = pb::Task { parent_task: parent_task.clone(), task_list, ..titled("below") };
        tasks.create_task(creation(task)).await.unwrap();
    }
    delete_list(&mut tasks, &task_list).await;
    tasks.undelete_task(undeletion(&parent)).await.unwrap();
    undelete_list(&mut tasks, &task_list).await;
    let now = all(&mut tasks).await;
    check(&now);
    assert!(now.iter().all(|task| task.delete_time.is_none() && task.task_list.is_empty()), "{now:?}");
    assert_eq!(now.iter().filter(|task| task.parent_task == parent).count(), 1);
}
