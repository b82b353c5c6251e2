//! The conformance suite: what every caller of the storage relies on, each case on both engines.

mod changes;
mod concurrency;
mod deletes;
mod errors;
mod errors_postgres;
mod errors_sqlite;
mod filters;
mod leases;
mod lists;
mod migrations;
mod orders;
mod plans;
mod reminders;
pub(crate) mod schema;
mod secrets;
mod sessions;
mod shards;
mod together;
mod users;
mod values;
mod writes;

use std::sync::atomic::Ordering;
use std::time::Duration;

use taskwire::auth::{Credential, Principal};
use taskwire::domain::{
    Annotations, Description, DisplayName, Email, Filter, Labels, NewTask, NewUser, Owner, PageSize,
    Priority, Result, Role, SessionId, State, Task, TaskId, TaskOrder, TaskPage, TaskPatch, TaskQuery,
    TaskWrite, Timestamp, Title, UserId, WriteRules,
};
use taskwire::storage::{Limits, Operation, Outcome, Storage};

use crate::support::database::{Raw, TestDatabase, limits};

/// Live tasks that a user may have, where a case is not about that.
const QUOTA: i64 = 100_000;

/// How long a deleted task can be taken back, in these cases.
const PURGE_AFTER: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The time this many seconds after 2026-01-01T00:00:00Z.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_parts(1_767_225_600 + seconds, 0).unwrap()
}

fn rules(now: Timestamp) -> WriteRules {
    WriteRules { now, purge_after: PURGE_AFTER }
}

fn title(text: &str) -> Title {
    Title::parse(text).unwrap()
}

fn description(text: &str) -> Description {
    Description::parse(text).unwrap()
}

fn labels(texts: &[&str]) -> Labels {
    Labels::parse(texts.iter().map(|text| (*text).to_owned()).collect()).unwrap()
}

/// A task with nothing but a title.
fn task(text: &str) -> NewTask {
    NewTask {
        id_is_new: false,
        id: TaskId::generate(),
        title: title(text),
        description: None,
        completed: false,
        priority: Priority::Medium,
        due_time: None,
        labels: Labels::default(),
        due_date: None,
        start_time: None,
        time_zone: None,
        annotations: Annotations::default(),
        task_list: None,
        parent_task: None,
        recurrence: None,
        reminders: Default::default(),
    }
}

fn email(text: &str) -> Email {
    Email::parse(text).unwrap()
}

fn new_user(address: &str) -> NewUser {
    NewUser {
        id: UserId::generate(),
        email: email(address),
        display_name: DisplayName::default(),
        role: Role::User,
    }
}

fn page_size(size: i32) -> PageSize {
    PageSize::parse(size).unwrap()
}

/// The default list, with as many tasks on a page as there can be.
fn query() -> TaskQuery {
    TaskQuery {
        filter: Filter::everything(),
        order: TaskOrder::newest_first(),
        show_deleted: false,
        now: at(0),
        after: None,
        page_size: page_size(500),
        min_revision: None,
    }
}

fn ids(tasks: &[Task]) -> Vec<TaskId> {
    tasks.iter().map(|task| task.id).collect()
}

fn titles(tasks: &[Task]) -> Vec<&str> {
    tasks.iter().map(|task| task.title.as_str()).collect()
}

/// The right to a user's tasks, as `auth` gives it.
pub(crate) fn owner_of(user: UserId) -> Owner {
    let principal = Principal {
        user,
        credential: Credential::Session(SessionId::generate()),
        role: Role::User,
        issue_time: Timestamp::MIN,
        expire_time: Timestamp::MAX,
        auth_time: None,
    };
    principal.owner_of(user).unwrap()
}

/// An account at work: its tasks, with the parameters that most cases do not care about left out.
#[derive(Debug, Clone)]
struct Person {
    storage: Storage,
    owner: Owner,
}

impl Person {
    async fn new(database: &TestDatabase, name: &str) -> Self {
        let new = new_user(&format!("{name}@example.org"));
        let user = database.storage.users().create(new, "hash".into(), at(0)).await.unwrap();
        Self { storage: database.storage.clone(), owner: owner_of(user.id) }
    }

    /// The same person through other connections: with no lane, each call takes one of the pool by itself.
    fn through(&self, database: &TestDatabase, lanes: usize) -> Self {
        Self { storage: database.open(Limits { lanes, ..limits() }), owner: self.owner }
    }

    /// The same person at three replicas, with lanes and without.
    fn everywhere(&self, database: &TestDatabase) -> [Self; 3] {
        [self.clone(), self.through(database, 0), self.through(database, 2)]
    }

    fn user(&self) -> UserId {
        self.owner.user()
    }

    async fn write_within(&self, quota: i64, write: TaskWrite, now: Timestamp) -> Result<Option<Task>> {
        let operation = Operation::new(self.owner, vec![write.into()], rules(now), quota);
        match self.storage.tasks().write(operation).await {
            Ok(Outcome::Applied(mut written)) => Ok(written.remove(0).state.and_then(State::task)),
            Ok(Outcome::Replayed(_)) => panic!("there was no request to replay"),
            Err(failed) => Err(failed.error),
        }
    }

    async fn write(&self, write: TaskWrite, now: Timestamp) -> Result<Option<Task>> {
        self.write_within(QUOTA, write, now).await
    }

    async fn create(&self, new: NewTask, now: Timestamp) -> Task {
        self.write(TaskWrite::Create(Box::new(new)), now).await.unwrap().unwrap()
    }

    async fn update(&self, id: TaskId, patch: TaskPatch, now: Timestamp) -> Result<Task> {
        Ok(self.write(TaskWrite::Update { id, patch: Box::new(patch), etag: None }, now).await?.unwrap())
    }

    async fn delete(&self, id: TaskId, now: Timestamp) -> Result<Task> {
        Ok(self.write(TaskWrite::Delete { id, etag: None, allow_missing: false }, now).await?.unwrap())
    }

    async fn undelete(&self, id: TaskId, now: Timestamp) -> Result<Task> {
        Ok(self.write(TaskWrite::Undelete { id }, now).await?.unwrap())
    }

    async fn find(&self, id: TaskId) -> Result<Task> {
        self.storage.tasks().find(self.owner, id, None).await
    }

    async fn list(&self, query: &TaskQuery) -> TaskPage {
        self.storage.tasks().list(self.owner, query).await.unwrap()
    }

    /// All pages of a list, one after the other.
    async fn walk(&self, mut query: TaskQuery) -> Vec<Task> {
        let mut all = Vec::new();
        loop {
            let page = self.list(&query).await;
            assert!(page.tasks.len() <= query.page_size.get());
            all.extend(page.tasks);
            match page.next {
                Some(next) => query.after = Some(next),
                None => return all,
            }
        }
    }

    /// Operations in the first lane for writes, batches, and operations of those. There is no lane before the first call.
    fn write_lane(&self) -> (usize, u64, u64) {
        let metrics = self.storage.lane_metrics();
        let Some((_, lane)) = metrics.iter().find(|(kind, _)| *kind == "write") else { return (0, 0, 0) };
        let [batches, operations] =
            [&lane.batches, &lane.operations].map(|count| count.load(Ordering::SeqCst));
        (lane.waiting.load(Ordering::SeqCst), batches, operations)
    }

    /// Holds this person's row, so that what comes after a write of theirs in its lane goes together.
    async fn hold(&self, database: &TestDatabase) -> Raw {
        let mut holder = database.raw().await;
        let user = self.user().uuid();
        holder.execute(&format!("begin; select 1 from users where id = '{user}' for update")).await;
        holder
    }

    /// The number of this person's last change, as it is stored.
    async fn revision(&self) -> i64 {
        self.storage.users().find(self.user()).await.unwrap().revision
    }

    async fn live_tasks(&self, database: &TestDatabase) -> i64 {
        let user = database.id(self.user().uuid());
        database.query_i64(&format!("select live_tasks from users where id = {user}")).await
    }

    /// Checks what must hold after every transaction: the counters tell the truth, the changes are numbered from
    /// 1 without a gap, and each task carries the number of its last change.
    async fn check_books(&self, database: &TestDatabase) {
        let user = database.id(self.user().uuid());
        let revision = self.revision().await;
        let numbers = database
            .query_texts(&format!(
                "select revision from task_changes where user_id = {user} order by revision"
            ))
            .await;
        let expected: Vec<String> = (1..=revision).map(|number| number.to_string()).collect();
        assert_eq!(numbers, expected, "the numbers of the changes");

        let live = format!("select count(*) from tasks where user_id = {user} and delete_time is null");
        assert_eq!(
            self.live_tasks(database).await,
            database.query_i64(&live).await,
            "the count of live tasks"
        );

        let astray = format!(
            "select count(*) from tasks where user_id = {user} and revision is distinct from \
             (select max(revision) from task_changes where task_changes.user_id = tasks.user_id \
             and task_changes.task_id = tasks.task_id)"
        );
        assert_eq!(
            database.query_i64(&astray).await,
            0,
            "tasks that do not carry the number of their last change"
        );
    }
}

/// Waits until `happened` answers true, for a while that no machine is too slow for.
pub(crate) async fn eventually(what: &str, mut happened: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !happened().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), waiting).await.is_ok(), "never: {what}");
}
