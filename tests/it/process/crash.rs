//! A process that is killed between a change and its answer: whoever asks again gets what was lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diesel::Connection as _;
use diesel::connection::SimpleConnection as _;
use taskwire::pb::user_service_client::UserServiceClient;
use taskwire::pb::{CreateTaskRequest, GetUserRequest, RefreshSessionRequest, Task, TokenPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::Endpoint;
use tonic_health::pb::health_check_response::ServingStatus;

use super::{authorised, log_in};
use crate::support::database::TestDatabase;
use crate::support::process::{Sandbox, Service};
use crate::support::{both_engines, one_engine};

both_engines!(
    a_kill_between_rotation_and_answer_leaves_the_request_id,
    a_kill_between_rotation_and_answer_leaves_the_grace,
);

one_engine!(Sqlite: a_killed_service_goes_on_with_its_history_and_a_copy_put_back_does_not);

/// A way to a service on which answers can be held back.
struct Proxy {
    address: SocketAddr,
    withholding: Arc<AtomicBool>,
}

impl Proxy {
    async fn to(service: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let withholding = Arc::new(AtomicBool::new(false));
        let held = Arc::clone(&withholding);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(service).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
                let held = Arc::clone(&held);
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
                        if !held.load(Ordering::SeqCst)
                            && to_client.write_all(&buffer[..length]).await.is_err()
                        {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, withholding }
    }

    async fn users(&self) -> UserServiceClient<tonic::transport::Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        UserServiceClient::new(endpoint.connect().await.unwrap())
    }
}

fn settings(sandbox: &Sandbox, database: &TestDatabase) -> [String; 4] {
    if !sandbox.path("key.pem").exists() {
        assert_eq!(sandbox.run(["keys", "generate", "--out", "key.pem"]).status, Some(0));
    }
    ["--database-url".into(), database.url.clone(), "--signing-key-file".into(), "key.pem".into()]
}

async fn serve(sandbox: &Sandbox, database: &TestDatabase) -> Service {
    let settings = settings(sandbox, database);
    let service = sandbox.serve(&settings.each_ref().map(String::as_str));
    service.wait_until(ServingStatus::Serving).await;
    service
}

/// Refreshes a session at a service that is killed once the rotation is in the database; the answer never comes.
async fn killed(mut service: Service, database: &TestDatabase, request: RefreshSessionRequest) {
    let proxy = Proxy::to(service.address).await;
    let mut users = proxy.users().await;
    proxy.withholding.store(true, Ordering::SeqCst);
    let call = tokio::spawn(async move { users.refresh_session(request).await });
    let mut raw = database.raw().await;
    while raw.query_texts("select count(*) from sessions where previous_hash is not null").await != ["1"] {
        assert!(!call.is_finished(), "the call ended without a rotation");
    }
    service.running.signal("KILL");
    let ended = service.running.end();
    assert_eq!(ended.status, None, "{}", ended.stderr);
    assert!(!ended.stderr.contains("taskwire has stopped"), "{}", ended.stderr);
    // The way stays open, so that nothing but the answer is missing.
    assert!(!call.is_finished() || call.await.unwrap().is_err());
}

/// Goes on with a pair as a client does.
async fn goes_on(service: &Service, database: &TestDatabase, pair: TokenPair) {
    let mut users = service.users().await;
    let me = || GetUserRequest { name: "users/me".into() };
    users.get_user(authorised(me(), &pair)).await.unwrap();
    let next = RefreshSessionRequest { refresh_token: pair.refresh_token, ..Default::default() };
    let next = users.refresh_session(next).await.unwrap().into_inner();
    users.get_user(authorised(me(), &next)).await.unwrap();
    let live = "select count(*) from sessions where revoke_time is null";
    assert_eq!(database.query_i64(live).await, 1);
}

async fn a_kill_between_rotation_and_answer_leaves_the_request_id(database: TestDatabase) {
    let sandbox = Sandbox::new();
    let service = serve(&sandbox, &database).await;
    let ada = log_in(&service).await;
    let request_id = "0b9e5d1c-6d0f-4c61-9a55-0c8d2b7e4f10".to_owned();
    let request = RefreshSessionRequest { refresh_token: ada.refresh_token, request_id };
    killed(service, &database, request.clone()).await;

    let service = serve(&sandbox, &database).await;
    let pair = service.users().await.refresh_session(request).await.unwrap().into_inner();
    goes_on(&service, &database, pair).await;
    database.assert_sound().await;
}

async fn a_kill_between_rotation_and_answer_leaves_the_grace(database: TestDatabase) {
    let sandbox = Sandbox::new();
    let service = serve(&sandbox, &database).await;
    // Another replica, which is there when the first one dies: the grace is ten seconds of real time.
    let standby = serve(&sandbox, &database).await;
    let ada = log_in(&service).await;
    let request = RefreshSessionRequest { refresh_token: ada.refresh_token, ..Default::default() };
    killed(service, &database, request.clone()).await;
    let mut users = standby.users().await;
    let asked = tokio::time::timeout(Duration::from_secs(30), users.refresh_session(request));
    let pair = asked.await.unwrap().unwrap().into_inner();
    goes_on(&standby, &database, pair).await;
    database.assert_sound().await;
}

async fn a_killed_service_goes_on_with_its_history_and_a_copy_put_back_does_not(_: TestDatabase) {
    let sandbox = Sandbox::new();
    let add = async |service: &Service, pair: &TokenPair, count: usize| {
        let mut tasks = service.tasks().await;
        for _ in 0..count {
            let task = Some(Task { title: "one".into(), ..Task::default() });
            let request = CreateTaskRequest { parent: "users/me".into(), task, ..Default::default() };
            tasks.create_task(authorised(request, pair)).await.unwrap();
        }
    };
    let known = async |service: &Service, pair: &TokenPair| {
        let request = GetUserRequest { name: "users/me".into() };
        let user = service.users().await.get_user(authorised(request, pair)).await.unwrap().into_inner();
        (user.revision, user.history)
    };
    let mut service = sandbox.serve(&[]);
    let pair = log_in(&service).await;
    add(&service, &pair, 5).await;
    let (_, history) = known(&service, &pair).await;
    let data = sandbox.path("taskwire-data");
    for turn in 1..=3 {
        service.running.signal("KILL");
        service.running.end();
        service = sandbox.serve(&[]);
        assert_eq!(known(&service, &pair).await, (4 + turn, history.clone()));
        add(&service, &pair, 1).await;
    }
    // A copy as `.backup` makes one, three more changes, a kill; and then the copy is put back.
    let copy = data.join("copy.db");
    let mut database =
        diesel::SqliteConnection::establish(&data.join("taskwire.db").display().to_string()).unwrap();
    database.batch_execute(&format!("vacuum into '{}'", copy.display())).unwrap();
    drop(database);
    add(&service, &pair, 3).await;
    service.running.signal("KILL");
    service.running.end();
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(data.join(format!("taskwire.db{suffix}")));
    }
    std::fs::rename(copy, data.join("taskwire.db")).unwrap();
    let service = sandbox.serve(&[]);
    let (revision, another) = known(&service, &pair).await;
    assert_eq!(revision, 8);
    assert_ne!(another, history);
    let checked = sandbox.run(["check"]);
    assert_eq!((checked.status, checked.complaints()), (Some(0), Vec::<&str>::new()));
    service.stop();
}
