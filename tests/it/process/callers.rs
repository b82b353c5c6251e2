//! Callers of several replicas behind one address: each writes and reads its own tasks, renews its session and watches, makes
//! a call that failed once more at most, and knows in the end what must be there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use taskwire::pb;
use taskwire::pb::task_service_client::TaskServiceClient;
use taskwire::pb::user_service_client::UserServiceClient;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::support::process::Service;

const CALLERS: usize = 6;
/// Of one call.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
/// The first pause of the published retry policy.
const PAUSE: Duration = Duration::from_millis(100);
const PASSWORD: &str = "correct horse battery staple";

/// How often a call that failed is made again.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Repeats {
    /// Once.
    Once,
    /// Until so much time is over.
    For(Duration),
}

/// All callers, at work.
pub(crate) struct Callers {
    all: Vec<JoinHandle<Caller>>,
    watchers: Vec<JoinHandle<Vec<i64>>>,
    shared: Arc<Shared>,
    /// Of each: who it is, and how it fares.
    pub(crate) users: Vec<(Uuid, Arc<Fortune>)>,
}

/// How a caller fares.
#[derive(Debug, Default)]
pub(crate) struct Fortune {
    answered: AtomicU64,
    failed: AtomicU64,
    /// The longest time that an attempt took, in milliseconds.
    slowest: AtomicU64,
}

impl Fortune {
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::SeqCst)
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::SeqCst)
    }

    pub(crate) fn slowest(&self) -> Duration {
        Duration::from_millis(self.slowest.load(Ordering::SeqCst))
    }
}

struct Shared {
    repeats: Repeats,
    is_over: AtomicBool,
}

struct Caller {
    shared: Arc<Shared>,
    fortune: Arc<Fortune>,
    users: UserServiceClient<Channel>,
    tasks: TaskServiceClient<Channel>,
    session: pb::TokenPair,
    /// Of every task that was acknowledged: its title and revision.
    made: Vec<(String, i64)>,
}

fn authorised<T>(message: T, access_token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {access_token}").parse().unwrap());
    request
}

impl Caller {
    /// Makes a call, and again as often as may be where that is what the answer asks for.
    async fn insist<T, Call, Calling>(&self, call: Call) -> T
    where
        Call: Fn() -> Calling,
        Calling: Future<Output = Result<Response<T>, Status>>,
    {
        let began = Instant::now();
        let mut failures: Vec<Status> = Vec::new();
        loop {
            let attempted = Instant::now();
            let answer = tokio::time::timeout(DEADLINE, call()).await;
            let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer came")));
            let took = u64::try_from(attempted.elapsed().as_millis()).unwrap();
            self.fortune.slowest.fetch_max(took, Ordering::SeqCst);
            match answer {
                Ok(answer) => {
                    self.fortune.answered.fetch_add(1, Ordering::SeqCst);
                    return answer.into_inner();
                }
                Err(status) => failures.push(status),
            }
            self.fortune.failed.fetch_add(1, Ordering::SeqCst);
            let last = failures.last().unwrap();
            let reason = last.get_details_error_info().map(|info| info.reason).unwrap_or_default();
            let may_be_repeated = [Code::Unavailable, Code::DeadlineExceeded].contains(&last.code())
                || ["REQUEST_IN_PROGRESS", "CONFLICT"].contains(&&*reason);
            let is_allowed = match self.shared.repeats {
                Repeats::Once => failures.len() == 1 && last.code() != Code::DeadlineExceeded,
                Repeats::For(time) => began.elapsed() < time,
            };
            assert!(may_be_repeated && is_allowed, "{failures:?}");
            let asked = last.get_details_retry_info().and_then(|info| info.retry_delay).unwrap_or_default();
            tokio::time::sleep(asked.max(PAUSE)).await;
        }
    }
}

impl Caller {
    async fn open(address: &str, shared: &Arc<Shared>) -> (Uuid, Self) {
        let channel = Endpoint::from_shared(address.to_owned()).unwrap().connect().await.unwrap();
        let users = UserServiceClient::new(channel.clone());
        let email = format!("{}@example.org", Uuid::now_v7());
        let user = pb::User { email: email.clone(), ..Default::default() };
        let create =
            pb::CreateUserRequest { user: Some(user), password: PASSWORD.into(), ..Default::default() };
        let user = users.clone().create_user(create).await.unwrap().into_inner();
        let login = pb::LoginRequest { email, password: PASSWORD.into(), ..Default::default() };
        let session = users.clone().login(login).await.unwrap().into_inner();
        let tasks = TaskServiceClient::new(channel);
        let (shared, fortune) = (Arc::clone(shared), Arc::default());
        let id = user.name.strip_prefix("users/").unwrap().parse().unwrap();
        (id, Self { shared, fortune, users, tasks, session, made: Vec::new() })
    }

    async fn work(mut self) -> Self {
        while !self.shared.is_over.load(Ordering::SeqCst) {
            self.write_and_read().await;
            if self.made.len() % 10 == 5 {
                self.refresh().await;
            }
        }
        self
    }

    async fn write_and_read(&mut self) {
        let title = self.made.len().to_string();
        let create = pb::CreateTaskRequest {
            parent: "users/me".into(),
            task: Some(pb::Task { title: title.clone(), ..Default::default() }),
            request_id: Uuid::now_v7().to_string(),
            ..Default::default()
        };
        let token = &self.session.access_token;
        let creating = || {
            let (mut tasks, create) = (self.tasks.clone(), authorised(create.clone(), token));
            async move { tasks.create_task(create).await }
        };
        let made = self.insist(creating).await;
        let get = pb::GetTaskRequest { name: made.name.clone(), ..Default::default() };
        let getting = || {
            let (mut tasks, get) = (self.tasks.clone(), authorised(get.clone(), token));
            async move { tasks.get_task(get).await }
        };
        assert_eq!(self.insist(getting).await, made);
        self.made.push((title, made.revision));
    }

    async fn refresh(&mut self) {
        let refresh = pb::RefreshSessionRequest {
            refresh_token: self.session.refresh_token.clone(),
            request_id: Uuid::now_v7().to_string(),
        };
        let refreshing = || {
            let (mut users, refresh) = (self.users.clone(), refresh.clone());
            async move { users.refresh_session(refresh).await }
        };
        self.session = self.insist(refreshing).await;
    }

    /// Watches from the beginning, and goes on where a stream ended; answers the revisions as they came.
    async fn watch(tasks: TaskServiceClient<Channel>, token: String) -> Vec<i64> {
        let mut seen: Vec<i64> = Vec::new();
        loop {
            let watch = pb::WatchTasksRequest {
                parent: "users/me".into(),
                start_revision: Some(seen.last().copied().unwrap_or(0)),
                ..Default::default()
            };
            let mut tasks = tasks.clone();
            let Ok(stream) = tasks.watch_tasks(authorised(watch, &token)).await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let mut stream = stream.into_inner();
            while let Ok(Some(answer)) = stream.message().await {
                if let Some(pb::watch_tasks_response::Event::Change(change)) = answer.event {
                    let is_last = change.task.is_some_and(|task| task.title == LAST);
                    seen.push(change.revision);
                    if is_last {
                        return seen;
                    }
                }
            }
        }
    }
}

/// The title of the task by which a watcher knows that all is over.
const LAST: &str = "the last one";

impl Callers {
    /// Lets them begin, at this address.
    pub(crate) async fn start(address: &str, repeats: Repeats) -> Self {
        let shared = Arc::new(Shared { repeats, is_over: AtomicBool::new(false) });
        let mut callers =
            Self { all: Vec::new(), watchers: Vec::new(), shared: Arc::clone(&shared), users: Vec::new() };
        for _ in 0..CALLERS {
            let (id, caller) = Caller::open(address, &shared).await;
            let token = caller.session.access_token.clone();
            callers.users.push((id, Arc::clone(&caller.fortune)));
            callers.watchers.push(tokio::spawn(Caller::watch(caller.tasks.clone(), token)));
            callers.all.push(tokio::spawn(caller.work()));
        }
        callers
    }

    fn total(&self) -> u64 {
        self.users.iter().map(|(_, fortune)| fortune.answered()).sum()
    }

    /// Waits until so many more calls were answered.
    pub(crate) async fn answered(&self, more: u64) {
        let enough = self.total() + more;
        self.until(|callers| callers.total() >= enough).await;
    }

    /// Waits until each of these callers was answered so many more calls.
    pub(crate) async fn each_answered(&self, of: &[Uuid], more: u64) {
        let fortunes = self.users.iter().filter(|(id, _)| of.contains(id)).map(|(_, fortune)| fortune);
        let enough: Vec<_> = fortunes.map(|fortune| (fortune, fortune.answered() + more)).collect();
        self.until(|_| enough.iter().all(|(fortune, enough)| fortune.answered() >= *enough)).await;
    }

    async fn until(&self, is_enough: impl Fn(&Self) -> bool) {
        while !is_enough(self) {
            assert!(!self.all.iter().any(JoinHandle::is_finished), "a caller gave up");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Lets them end, and looks at what there is: all that was acknowledged, once, and nothing else; for the watchers too.
    pub(crate) async fn finish(self, service: &Service) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        let mut straight = service.tasks().await;
        for (caller, watcher) in self.all.into_iter().zip(self.watchers) {
            let caller = caller.await.unwrap();
            let token = &caller.session.access_token;
            let mut found = Vec::new();
            let mut page_token = String::new();
            loop {
                let list = pb::ListTasksRequest {
                    parent: "users/me".into(),
                    page_size: 100,
                    page_token,
                    ..Default::default()
                };
                let page = straight.list_tasks(authorised(list, token)).await.unwrap().into_inner();
                found.extend(page.tasks.into_iter().map(|task| (task.title, task.revision)));
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
            found.sort_by_key(|(_, revision)| *revision);
            assert_eq!(found, caller.made);

            let task = pb::Task { title: LAST.into(), ..Default::default() };
            let create =
                pb::CreateTaskRequest { parent: "users/me".into(), task: Some(task), ..Default::default() };
            let last = straight.create_task(authorised(create, token)).await.unwrap().into_inner();
            let watched = tokio::time::timeout(DEADLINE, watcher).await.unwrap().unwrap();
            let expected: Vec<i64> = (1..=last.revision).collect();
            assert_eq!(watched, expected);
        }
        let sum =
            |of: fn(&Fortune) -> u64| -> u64 { self.users.iter().map(|(_, fortune)| of(fortune)).sum() };
        println!("{} calls answered, {} attempts failed", sum(Fortune::answered), sum(Fortune::failed));
    }
}
