//! Standbys that answer reads: what a caller who says how new is new enough may rely on, whatever happens to them.

mod client;
mod faults;
mod mixed;
mod reads;

use std::future::Future;
use std::time::Duration;

use taskwire::pb;
use taskwire::storage::{Limits, Storage};

use crate::revisions::harness::cluster::Cluster;
use crate::revisions::harness::replica::{Replica, Tasks, User, World, rules};
use crate::storage::eventually;
use crate::support::database::limits;

/// A primary with standbys, and a server that asks them.
struct Setup {
    primary: Cluster,
    standbys: Vec<Cluster>,
    replica: Replica,
}

impl Setup {
    /// With so many standbys, all of which are asked; `None` where there are no programs to make them with.
    async fn start(count: usize) -> Option<Self> {
        Self::within(count, limits()).await
    }

    /// As `start`, with other limits of the storage.
    async fn within(count: usize, limits: Limits) -> Option<Self> {
        let primary = Cluster::start("").await?;
        Storage::open(&primary.url(), limits).unwrap().migrate().await.unwrap();
        let standbys: Vec<Cluster> = (0..count).map(|_| primary.standby()).collect();
        let world = World::on(&primary.url());
        let urls: Vec<String> = standbys.iter().map(Cluster::url).collect();
        let storage = Storage::open(&primary.url(), limits).unwrap();
        let replica = world.serve_on(storage.with_standbys(&urls.join(",")).unwrap(), rules()).await;
        let setup = Self { primary, standbys, replica };
        for number in 0..count {
            setup.until_used(number, true).await;
        }
        Some(setup)
    }

    /// One standby, and somebody with a task of this title, which the standby has.
    async fn with_task(title: &str) -> Option<(Self, Tasks, pb::Task)> {
        let setup = Self::start(1).await?;
        let (_, mut tasks) = setup.user("ada@example.org").await;
        let task = create(&mut tasks, title).await;
        setup.caught_up().await;
        Some((setup, tasks, task))
    }

    async fn user(&self, email: &str) -> (User, Tasks) {
        let user = self.replica.register(email).await;
        let tasks = self.replica.tasks(&user);
        (user, tasks)
    }

    /// Waits until a standby is asked, or no longer.
    async fn until_used(&self, number: usize, is_used: bool) {
        eventually("the standby is asked or not", async || {
            self.replica.services.storage.standby_states()[number].is_used == is_used
        })
        .await;
    }

    /// Waits until the standbys have all that the primary has.
    async fn caught_up(&self) {
        for standby in &self.standbys {
            self.primary.caught_up(standby).await;
        }
    }

    /// Reads that standbys answered.
    fn answered(&self) -> u64 {
        self.replica.services.storage.standby_states().iter().map(|standby| standby.answered).sum()
    }

    /// Reads that fell to the primary for this reason.
    fn fallbacks(&self, reason: &str) -> u64 {
        let counts = self.replica.services.storage.read_counts().fallbacks;
        counts.into_iter().find(|(name, _)| *name == reason).unwrap().1
    }

    /// Keeps a standby where it is, or lets it go on.
    async fn pause(&self, number: usize, is_paused: bool) {
        let function = if is_paused { "pg_wal_replay_pause" } else { "pg_wal_replay_resume" };
        let mut raw = self.standbys[number].raw().await;
        raw.query_texts(&format!("select {function}()")).await;
        if is_paused {
            eventually("the standby stands still", async || {
                raw.query_texts("select pg_get_wal_replay_pause_state()").await == ["paused"]
            })
            .await;
        }
    }
}

/// Runs a case on a runtime of its own. Each makes the servers that it needs.
fn run(case: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(600), case).await.expect("the case hangs");
    });
}

async fn create(tasks: &mut Tasks, title: &str) -> pb::Task {
    let task = Some(pb::Task { title: title.to_owned(), ..pb::Task::default() });
    let request = pb::CreateTaskRequest { parent: "users/me".to_owned(), task, ..Default::default() };
    tasks.create_task(request).await.unwrap().into_inner()
}

fn getting(name: &str, min_revision: Option<i64>) -> pb::GetTaskRequest {
    pb::GetTaskRequest { name: name.to_owned(), min_revision, revision: None }
}

fn listing(page_size: i32, min_revision: Option<i64>) -> pb::ListTasksRequest {
    pb::ListTasksRequest { parent: "users/me".to_owned(), page_size, min_revision, ..Default::default() }
}

/// The titles on the first page of a list, newest first.
async fn titles(tasks: &mut Tasks, min_revision: Option<i64>) -> Vec<String> {
    let page = tasks.list_tasks(listing(500, min_revision)).await.unwrap().into_inner();
    page.tasks.into_iter().map(|task| task.title).collect()
}
