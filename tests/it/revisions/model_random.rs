//! Calls chosen at random, with the model at hand so that most of them hit something.

use taskwire::pb;

use super::harness::random::Random;
use super::harness::replica::START;
use super::model::{Etags, Model, Op};
use super::{batch_change, batch_creation, batch_deletion, creation, deletion, undeletion, undoing};

/// Chooses calls for one user.
#[derive(Debug)]
pub(super) struct Chooser {
    pub(super) random: Random,
    /// Calls that carried a request id, to be sent again.
    sent: Vec<Op>,
}

impl Chooser {
    pub(super) fn new(random: Random) -> Self {
        Self { random, sent: Vec::new() }
    }

    /// The next call.
    pub(super) fn choose(&mut self, model: &Model, etags: &Etags) -> Op {
        if self.random.percent(10)
            && let Some(op) = self.random.pick(&self.sent)
        {
            return op.clone();
        }
        let op = match self.random.below(100) {
            0..20 => Op::Create(self.creation(model)),
            20..40 => Op::Update(self.update(model, etags)),
            40..52 => Op::Delete(self.deletion(model, etags)),
            52..60 => Op::Undelete(undeletion(&self.name(model, true))),
            60..66 => Op::BatchCreate(batch_creation(self.some(|this| this.creation(model)))),
            66..73 => Op::BatchUpdate(batch_change(self.some(|this| this.update(model, etags)))),
            73..79 => Op::BatchDelete(batch_deletion(self.some(|this| this.deletion(model, etags)))),
            79..92 => Op::Undo(self.undo(model)),
            92..96 => Op::Get(self.name(model, false)),
            _ => Op::Count { show_deleted: self.random.percent(50) },
        };
        self.with_request_id(op)
    }

    /// Gives some calls a request id, rarely one that was used for another call.
    fn with_request_id(&mut self, mut op: Op) -> Op {
        if !self.random.percent(40) {
            return op;
        }
        let used = self.random.pick(&self.sent).map(|op| op.request_id().to_owned());
        let id = used.filter(|_| self.random.percent(5)).unwrap_or_else(|| self.random.uuid().to_string());
        match &mut op {
            Op::Create(request) => request.request_id = id,
            Op::Update(request) => request.request_id = id,
            Op::Delete(request) => request.request_id = id,
            Op::Undelete(request) => request.request_id = id,
            Op::BatchCreate(request) => request.request_id = id,
            Op::BatchUpdate(request) => request.request_id = id,
            Op::BatchDelete(request) => request.request_id = id,
            Op::Undo(request) if !request.validate_only => request.request_id = id,
            _ => return op,
        }
        self.sent.push(op.clone());
        op
    }

    fn some<T>(&mut self, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..=self.random.below(5)).map(|_| one(self)).collect()
    }

    /// A task's name: one that is deleted or not as wanted, at times any other.
    fn name(&mut self, model: &Model, deleted: bool) -> String {
        let any = self.random.percent(15);
        let fits = |task: &&pb::Task| any || task.delete_time.is_some() == deleted;
        let names: Vec<&String> = model.tasks.values().filter(fits).map(|task| &task.name).collect();
        match self.random.pick(&names) {
            Some(name) if !self.random.percent(3) => (*name).clone(),
            _ => format!("{}/tasks/{}", model.user, self.random.uuid()),
        }
    }

    /// No etag, the current one, or an older one.
    fn etag(&mut self, model: &Model, etags: &Etags, name: &str) -> String {
        let Some(task) = model.tasks.get(name) else { return String::new() };
        let revision = match self.random.below(10) {
            0..6 => return String::new(),
            6..9 => task.revision,
            _ => model.log.iter().position(|entry| entry.name == name).map_or(0, |at| at as i64 + 1),
        };
        etags.get(&(name.to_owned(), revision)).cloned().unwrap_or_default()
    }

    /// Values out of few, so that a change often changes nothing.
    fn task(&mut self) -> pb::Task {
        let title = ["milk", "water", "bread", "Straße"][self.random.below(4)].to_owned();
        let description = [None, Some(""), Some("two\nlines")][self.random.below(3)].map(str::to_owned);
        let labels: &[&str] =
            [&[][..], &["home"], &["home", "work"], &["work", "home"]][self.random.below(4)];
        let due = [None, Some(START - 1000), Some(START + 1_000_000)][self.random.below(3)];
        pb::Task {
            title,
            description,
            completed: self.random.percent(40),
            priority: i32::try_from(self.random.below(4)).unwrap(),
            due_time: due.map(|seconds| prost_types::Timestamp { seconds, nanos: 0 }),
            labels: labels.iter().map(|&label| label.to_owned()).collect(),
            ..pb::Task::default()
        }
    }

    fn creation(&mut self, model: &Model) -> pb::CreateTaskRequest {
        let mut request = creation(self.task());
        if self.random.percent(40) {
            let names: Vec<&String> = model.tasks.keys().collect();
            let taken = self.random.pick(&names).filter(|_| self.random.percent(10));
            request.task_id = match taken {
                Some(name) => name.rsplit('/').next().unwrap().to_owned(),
                None => self.random.uuid().to_string(),
            };
        }
        request
    }

    fn update(&mut self, model: &Model, etags: &Etags) -> pb::UpdateTaskRequest {
        let name = self.name(model, false);
        let task = pb::Task { etag: self.etag(model, etags, &name), name, ..self.task() };
        let mut paths: Vec<String> = Vec::new();
        match self.random.below(4) {
            0 => {}
            1 => paths.push("*".to_owned()),
            _ => {
                for path in ["title", "description", "completed", "priority", "due_time", "labels", "etag"] {
                    if self.random.percent(30) {
                        paths.push(path.to_owned());
                    }
                }
            }
        }
        let update_mask = (!paths.is_empty()).then_some(prost_types::FieldMask { paths });
        pb::UpdateTaskRequest { task: Some(task), update_mask, ..Default::default() }
    }

    fn deletion(&mut self, model: &Model, etags: &Etags) -> pb::DeleteTaskRequest {
        let name = self.name(model, false);
        let etag = self.etag(model, etags, &name);
        pb::DeleteTaskRequest { etag, allow_missing: self.random.percent(30), ..deletion(&name) }
    }

    fn undo(&mut self, model: &Model) -> pb::UndoChangesRequest {
        let end = match self.random.below(10) {
            0..5 => model.revision().max(1),
            5..9 => model.revision() - i64::try_from(self.random.below(12)).unwrap(),
            _ => model.revision() + 1 + i64::try_from(self.random.below(2)).unwrap(),
        };
        let end = end.max(1);
        let start = (end - 1 - i64::try_from(self.random.below(8)).unwrap()).max(0);
        let (force, validate_only) = (self.random.percent(40), self.random.percent(20));
        pb::UndoChangesRequest { force, validate_only, ..undoing(start, end) }
    }
}
