//! The real server, in this process, on a test's own database and clock; and clients that talk to it over TCP.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use argon2::Params;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body::{Body as _, Frame};
use taskwire::accounts::{Accounts, AccountsConfig, PasswordPolicy, Passwords, ThrottleRules};
use taskwire::api::TaskRules;
use taskwire::auth::{Authenticator, Issuers, SigningKey, TokenConfig, Tokens};
use taskwire::domain::{Clock, DisplayName, Email, ManualClock, Role, Timestamp, Trace};
use taskwire::outbound::{AddressPolicy, Outbound};
use taskwire::pb;
use taskwire::pb::event_service_client::EventServiceClient;
use taskwire::pb::task_service_client::TaskServiceClient;
use taskwire::pb::user_service_client::UserServiceClient;
use taskwire::server::{Services, TransportLimits, serve};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::ServiceExt as _;

use super::database::TestDatabase;
use super::refusal::{Answer, Refusal};
use super::{addresses, sealer, settings};

/// What everybody's password is, where a test is not about that.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// Where the clock stands at first, in seconds: 2026-01-01T00:00:00Z.
pub(crate) const START: i64 = 1_767_225_600;

/// Longer than any call takes on a busy machine, so that one that hangs fails instead.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

const PATIENT: ThrottleRules = ThrottleRules { account_free: 1000, address_free: 10_000 };

/// What a test may want otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) tasks: TaskRules,
    pub(crate) accounts: AccountsConfig,
    pub(crate) passwords: PasswordPolicy,
    pub(crate) limits: TransportLimits,
    pub(crate) addresses: AddressPolicy,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            tasks: settings().tasks(),
            // Tests about passwords try many wrong ones; those about throttling say so themselves.
            accounts: AccountsConfig { throttle: PATIENT, ..settings().accounts() },
            passwords: PasswordPolicy { code_points_min: 8 },
            limits: settings().transport_limits(),
            addresses: addresses(),
        }
    }
}

/// A server that stops when this is dropped.
#[derive(Debug)]
pub(crate) struct TestServer {
    stop: DropGuard,
    serving: JoinHandle<()>,
    channel: Channel,
    accounts: Accounts,
    passwords: PasswordPolicy,
    pub(crate) address: SocketAddr,
    /// The server's clock, which stands still until it is moved.
    pub(crate) clock: ManualClock,
    pub(crate) database: TestDatabase,
}

impl TestServer {
    /// Serves this database and waits until all of it is served.
    pub(crate) async fn start(database: TestDatabase) -> Self {
        // Boxed, as what starts a server holds all of it.
        Box::pin(Self::with(database, Setup::default())).await
    }

    /// As `start`, with other settings.
    pub(crate) async fn with(database: TestDatabase, setup: Setup) -> Self {
        let server = Box::pin(Self::unready(database, setup)).await;
        for service in ["", "taskwire.v1.TaskService", "taskwire.v1.UserService", "taskwire.v1.EventService"]
        {
            server.until_health(service, ServingStatus::Serving).await;
        }
        server
    }

    /// As `with`, but the server may not be ready yet, or ever.
    pub(crate) async fn unready(database: TestDatabase, setup: Setup) -> Self {
        let start = Timestamp::from_parts(START, 0).unwrap();
        let (clock, hand) = Clock::manual(start);
        let (services, accounts) = services(&database, &clock, setup.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let serving = tokio::spawn(async move {
            serve(listener, services, setup.limits, stopped).await.expect("serving fails");
        });
        let channel = Endpoint::from_shared(format!("http://{address}"))
            .unwrap()
            .timeout(CALL_TIMEOUT)
            .connect()
            .await
            .unwrap();
        Self {
            stop: stop.drop_guard(),
            serving,
            channel,
            accounts,
            passwords: setup.passwords,
            address,
            clock: hand,
            database,
        }
    }

    /// Stops the server; hands the database back for another one.
    pub(crate) async fn stop(self) -> TestDatabase {
        drop(self.stop);
        drop(self.channel);
        self.serving.await.unwrap();
        self.database
    }

    /// Tells the server to stop, and goes on watching.
    pub(crate) async fn begin_to_stop(self) -> (JoinHandle<()>, TestDatabase) {
        drop(self.stop);
        (self.serving, self.database)
    }

    /// A connection to the server.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Health checks.
    pub(crate) fn health(&self) -> HealthClient<Channel> {
        HealthClient::new(self.channel())
    }

    /// Waits until the server says so of a service.
    pub(crate) async fn until_health(&self, service: &str, status: ServingStatus) {
        let request = HealthCheckRequest { service: service.to_owned() };
        let mut changes = self.health().watch(request).await.unwrap().into_inner();
        while changes.message().await.unwrap().expect("the watch ended").status() != status {}
    }

    /// Accounts without a token.
    pub(crate) fn anonymous(&self) -> UserServiceClient<Channel> {
        UserServiceClient::new(self.channel())
    }

    /// Registers an account; it is not logged in.
    pub(crate) async fn sign_up(&self, email: &str, password: &str) -> Answer<pb::User> {
        let request = pb::CreateUserRequest {
            user: Some(pb::User { email: email.to_owned(), ..pb::User::default() }),
            password: password.to_owned(),
            ..pb::CreateUserRequest::default()
        };
        answer(self.anonymous().create_user(request).await)
    }

    /// Begins a session.
    pub(crate) async fn log_in(&self, email: &str, password: &str) -> Answer<Session> {
        let request = pb::LoginRequest {
            email: email.to_owned(),
            password: password.to_owned(),
            device: "test".to_owned(),
        };
        let pair = answer(self.anonymous().login(request).await)?;
        Ok(self.session(pair))
    }

    /// Exchanges a refresh token.
    pub(crate) async fn refresh(&self, refresh_token: &str) -> Answer<Session> {
        let request = pb::RefreshSessionRequest {
            refresh_token: refresh_token.to_owned(),
            ..pb::RefreshSessionRequest::default()
        };
        let pair = answer(self.anonymous().refresh_session(request).await)?;
        Ok(self.session(pair))
    }

    /// Somebody new, logged in.
    pub(crate) async fn register(&self, email: &str) -> Session {
        self.sign_up(email, PASSWORD).await.unwrap();
        self.log_in(email, PASSWORD).await.unwrap()
    }

    /// An administrator, whom no call can make; logged in.
    pub(crate) async fn register_admin(&self, email: &str) -> Session {
        let address = Email::parse(email).unwrap();
        let password = self.passwords.parse(PASSWORD, Some(&address)).unwrap();
        let nobody = Trace { actor: None, peer: String::new(), request_id: String::new() };
        let registered =
            self.accounts.register(address, DisplayName::default(), password, Role::Admin, &nobody).await;
        registered.unwrap();
        self.log_in(email, PASSWORD).await.unwrap()
    }

    fn session(&self, pair: pb::TokenPair) -> Session {
        let user = pair.user.clone().expect("a pair without a user");
        Session { user: user.name, email: user.email, pair, channel: self.channel() }
    }

    /// Sends a request as it is and reads the whole answer.
    pub(crate) async fn raw(&self, request: Request<Vec<u8>>) -> RawAnswer {
        let request = request.map(|bytes| tonic::body::Body::new(Once(Some(bytes.into()))));
        let response = self.channel().oneshot(request).await.unwrap();
        let (parts, mut body) = response.into_parts();
        let mut answer = RawAnswer {
            status: parts.status,
            headers: parts.headers,
            trailers: HeaderMap::new(),
            body: Vec::new(),
        };
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            match frame.unwrap().into_data() {
                Ok(data) => answer.body.extend_from_slice(&data),
                Err(frame) => answer.trailers.extend(frame.into_trailers().unwrap_or_default()),
            }
        }
        answer
    }
}

fn services(database: &TestDatabase, clock: &Clock, setup: Setup) -> (Services, Accounts) {
    let pem = SigningKey::generate_pem().unwrap();
    let key = SigningKey::from_pem(pem.as_bytes(), "a test").unwrap();
    let config = TokenConfig {
        issuer: "taskwire".to_owned(),
        audience: "taskwire".to_owned(),
        access_ttl: Duration::from_secs(15 * 60),
    };
    let tokens = Tokens::new(key, config, clock.clone());
    // The least that argon2 takes: these tests are about what is hashed, not about how hard that is.
    let params = Params::new(Params::MIN_M_COST, 1, 1, None).unwrap();
    let issuers = Issuers::none(database.storage.clone(), clock.clone());
    let authenticator =
        Arc::new(Authenticator::new(database.storage.clone(), clock.clone(), tokens.clone(), issuers));
    let accounts = Accounts::new(
        database.storage.clone(),
        tokens.clone(),
        Arc::clone(authenticator.revocations()),
        Passwords::with_params(4, params),
        sealer(),
        clock.clone(),
        setup.accounts,
    );
    let services = Services {
        outbound: Outbound::new(database.storage.clone(), clock.clone(), sealer(), setup.addresses),
        storage: database.storage.clone(),
        clock: clock.clone(),
        tokens,
        authenticator,
        accounts: accounts.clone(),
        sealer: sealer(),
        passwords: setup.passwords,
        tasks: setup.tasks,
        trusted_proxies: Arc::new([]),
    };
    (services, accounts)
}

/// Puts an access token into every call.
#[derive(Debug, Clone)]
pub(crate) struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

type Authorized = InterceptedService<Channel, Bearer>;

/// Tasks, as somebody.
pub(crate) type TasksOf = TaskServiceClient<Authorized>;

/// Somebody who is logged in.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// Their name, `users/{user}`.
    pub(crate) user: String,
    pub(crate) email: String,
    /// What the login or refresh answered.
    pub(crate) pair: pb::TokenPair,
    channel: Channel,
}

impl Session {
    fn bearer(&self) -> Bearer {
        Bearer(format!("Bearer {}", self.pair.access_token).parse().unwrap())
    }

    /// Tasks, with this session's token.
    pub(crate) fn tasks(&self) -> TaskServiceClient<Authorized> {
        TaskServiceClient::with_interceptor(self.channel.clone(), self.bearer())
    }

    /// The same over a connection that takes in no more than 64 KiB of a stream before it is read.
    pub(crate) async fn narrow(self, server: &TestServer) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
        let endpoint = endpoint.timeout(CALL_TIMEOUT).initial_stream_window_size(64 * 1024);
        Self { channel: endpoint.connect().await.unwrap(), ..self }
    }

    /// Tasks, with this API key.
    pub(crate) fn tasks_with(&self, secret: &str) -> TasksOf {
        let bearer = Bearer(format!("Bearer {secret}").parse().unwrap());
        TaskServiceClient::with_interceptor(self.channel.clone(), bearer)
    }

    /// Events and webhooks, with this session's token.
    pub(crate) fn events(&self) -> EventServiceClient<Authorized> {
        EventServiceClient::with_interceptor(self.channel.clone(), self.bearer())
    }

    /// Events of all users, with the key of a service that this administrator makes.
    pub(crate) async fn events_of_all(&self) -> EventServiceClient<Authorized> {
        let email = format!("{}@services.example.org", uuid::Uuid::now_v7());
        let user = Some(pb::User { email, ..pb::User::default() });
        let service = self.users().create_service_account(pb::CreateServiceAccountRequest { user }).await;
        let service = answer(service).unwrap();
        self.events_with_key(&service.name, "events.read").await
    }

    /// Events and webhooks, with an API key of this user's that has this scope.
    pub(crate) async fn events_by_key(&self, scope: &str) -> EventServiceClient<Authorized> {
        self.events_with_key("users/me", scope).await
    }

    async fn events_with_key(&self, parent: &str, scope: &str) -> EventServiceClient<Authorized> {
        let request = pb::CreateApiKeyRequest {
            parent: parent.to_owned(),
            api_key: Some(pb::ApiKey { scopes: vec![scope.to_owned()], ..pb::ApiKey::default() }),
        };
        let secret = answer(self.users().create_api_key(request).await).unwrap().secret;
        let bearer = Bearer(format!("Bearer {secret}").parse().unwrap());
        EventServiceClient::with_interceptor(self.channel.clone(), bearer)
    }

    /// Accounts, with this session's token.
    pub(crate) fn users(&self) -> UserServiceClient<Authorized> {
        UserServiceClient::with_interceptor(self.channel.clone(), self.bearer())
    }
}

/// The message that a call answered, or its error, checked.
#[track_caller]
pub(crate) fn answer<T>(answered: Result<tonic::Response<T>, tonic::Status>) -> Answer<T> {
    match answered {
        Ok(response) => {
            assert!(response.metadata().contains_key("x-request-id"));
            Ok(response.into_inner())
        }
        Err(status) => Err(Refusal::from(status)),
    }
}

/// An answer as it came over the wire.
#[derive(Debug)]
pub(crate) struct RawAnswer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl RawAnswer {
    /// The error that it must be.
    #[track_caller]
    pub(crate) fn refusal(&self) -> Refusal {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        Refusal::from_headers(&self.headers)
    }

    /// The status, wherever it stands.
    pub(crate) fn grpc_status(&self) -> Option<&str> {
        self.headers.get("grpc-status").or_else(|| self.trailers.get("grpc-status"))?.to_str().ok()
    }
}

/// A message as gRPC frames it: not compressed, its length, itself.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    let mut bytes = vec![0];
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(message);
    bytes
}

/// A body of one piece.
struct Once(Option<Bytes>);

impl http_body::Body for Once {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}
