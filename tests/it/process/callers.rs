//! Callers of several replicas behind one address: each writes and reads its own tasks, renews its session and watches, makes
//! a call that failed once more at most, and knows in the end what must be there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

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
/// Of one call, its repetition included.
const DEADLINE: Duration = Duration::from_secs(10);
/// The first pause of the published retry policy.
const PAUSE: Duration = Duration::from_millis(100);
const PASSWORD: &str = "correct horse battery staple";

/// All callers, at work.
pub(super) struct Callers {
    all: Vec<JoinHandle<Caller>>,
    watchers: Vec<JoinHandle<Vec<i64>>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    answered: AtomicU64,
    repeated: AtomicU64,
}

struct Caller {
    shared: Arc<Shared>,
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

impl Shared {
    /// Makes a call, and once more where that is what the answer asks for.
    async fn insist<T, Call, Calling>(&self, call: Call) -> T
    where
        Call: Fn() -> Calling,
        Calling: Future<Output = Result<Response<T>, Status>>,
    {
        let calling = async {
            let first = match call().await {
                Ok(answer) => return answer,
                Err(status) => status,
            };
            let reason = first.get_details_error_info().map(|info| info.reason).unwrap_or_default();
            let may_be_repeated =
                first.code() == Code::Unavailable || ["REQUEST_IN_PROGRESS", "CONFLICT"].contains(&&*reason);
            assert!(may_be_repeated, "{first:?}");
            self.repeated.fetch_add(1, Ordering::SeqCst);
            let asked = first.get_details_retry_info().and_then(|info| info.retry_delay).unwrap_or_default();
            tokio::time::sleep(asked.max(PAUSE)).await;
            call().await.unwrap_or_else(|again| panic!("{first:?}, and once more {again:?}"))
        };
        let answer = tokio::time::timeout(DEADLINE, calling).await.expect("a call takes too long");
        self.answered.fetch_add(1, Ordering::SeqCst);
        answer.into_inner()
    }
}

impl Caller {
    async fn open(address: &str, shared: &Arc<Shared>) -> Self {
        let channel = Endpoint::from_shared(address.to_owned()).unwrap().connect().await.unwrap();
        let users = UserServiceClient::new(channel.clone());
        let email = format!("{}@example.org", Uuid::now_v7());
        let user = pb::User { email: email.clone(), ..Default::default() };
        let create =
            pb::CreateUserRequest { user: Some(user), password: PASSWORD.into(), ..Default::default() };
        users.clone().create_user(create).await.unwrap();
        let login = pb::LoginRequest { email, password: PASSWORD.into(), ..Default::default() };
        let session = users.clone().login(login).await.unwrap().into_inner();
        let tasks = TaskServiceClient::new(channel);
        Self { shared: Arc::clone(shared), users, tasks, session, made: Vec::new() }
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
        let made = self.shared.insist(creating).await;
        let get = pb::GetTaskRequest { name: made.name.clone(), ..Default::default() };
        let getting = || {
            let (mut tasks, get) = (self.tasks.clone(), authorised(get.clone(), token));
            async move { tasks.get_task(get).await }
        };
        assert_eq!(self.shared.insist(getting).await, made);
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
        self.session = self.shared.insist(refreshing).await;
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
    pub(super) async fn start(address: &str) -> Self {
        let shared = Arc::new(Shared::default());
        let (mut all, mut watchers) = (Vec::new(), Vec::new());
        for _ in 0..CALLERS {
            let caller = Caller::open(address, &shared).await;
            let token = caller.session.access_token.clone();
            watchers.push(tokio::spawn(Caller::watch(caller.tasks.clone(), token)));
            all.push(tokio::spawn(caller.work()));
        }
        Self { all, watchers, shared }
    }

    /// Waits until so many more calls were answered.
    pub(super) async fn answered(&self, more: u64) {
        let enough = self.shared.answered.load(Ordering::SeqCst) + more;
        while self.shared.answered.load(Ordering::SeqCst) < enough {
            assert!(!self.all.iter().any(JoinHandle::is_finished), "a caller gave up");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Lets them end, and looks at what there is: all that was acknowledged, once, and nothing else; for the watchers too.
    pub(super) async fn finish(self, service: &Service) {
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
        let count = |count: &AtomicU64| count.load(Ordering::SeqCst);
        println!(
            "{} calls answered, {} made twice",
            count(&self.shared.answered),
            count(&self.shared.repeated)
        );
    }
}
