//! Any number of servers of this process on one database, with one signing key and one clock; and clients of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use argon2::Params;
use taskwire::accounts::{Accounts, PasswordPolicy, Passwords};
use taskwire::api::TaskRules;
use taskwire::auth::{Authenticator, Issuers, SigningKey, TokenConfig, Tokens};
use taskwire::domain::{Clock, ManualClock, Timestamp, machine_time};
use taskwire::pb;
use taskwire::pb::task_service_client::TaskServiceClient;
use taskwire::pb::user_service_client::UserServiceClient;
use taskwire::server::{Services, TransportLimits, serve};
use taskwire::storage::{Limits, Storage};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

use crate::support::database::limits;
use crate::support::{outbound, sealer, settings};

/// Where the clocks stand at first, in seconds: 2026-01-01T00:00:00Z.
pub(crate) const START: i64 = 1_767_225_600;

/// How long a token lasts.
pub(crate) const TOKEN_TTL: Duration = Duration::from_secs(15 * 60);

const PASSWORD: &str = "correct horse battery staple";

/// What is configured about tasks where a test does not say otherwise.
pub(crate) fn rules() -> TaskRules {
    settings().tasks()
}

/// What the servers of one test share.
#[derive(Debug)]
pub(crate) struct World {
    url: String,
    key: String,
    clock: Clock,
    /// Moves the servers' clock, which stands still otherwise.
    pub(crate) hand: ManualClock,
}

impl World {
    /// A world on the database at this URL.
    pub(crate) fn on(url: &str) -> Self {
        let (clock, hand) = Clock::manual(Timestamp::from_parts(START, 0).unwrap());
        Self { url: url.to_owned(), key: SigningKey::generate_pem().unwrap(), clock, hand }
    }

    /// The time now.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Serves the database.
    pub(crate) async fn serve(&self, rules: TaskRules) -> Replica {
        self.serve_within(rules, limits()).await
    }

    /// As `serve`, with other limits of the storage.
    pub(crate) async fn serve_within(&self, rules: TaskRules, limits: Limits) -> Replica {
        Box::pin(Self::serve_these(self.services(rules, limits))).await
    }

    /// Serves by this storage.
    pub(crate) async fn serve_on(&self, storage: Storage, rules: TaskRules) -> Replica {
        Box::pin(Self::serve_these(self.services_of(storage, self.clock.clone(), rules))).await
    }

    /// Serves the database on a machine whose clock is so many seconds ahead, by the clock that the storage has.
    pub(crate) async fn serve_ahead(&self, seconds: i64) -> Replica {
        let machine = machine_time().as_micros() + seconds * 1_000_000;
        let now = Timestamp::from_micros(machine).unwrap();
        let storage = Storage::open_at(&self.url, limits(), now).unwrap();
        let clock = storage.clock().clone();
        Box::pin(Self::serve_these(self.services_of(storage, clock, rules()))).await
    }

    async fn serve_these(services: Services) -> Replica {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let served = services.clone();
        let stopped = stop.clone();
        let transport =
            TransportLimits { drain_timeout: Duration::from_secs(5), ..settings().transport_limits() };
        let serving = tokio::spawn(async move {
            serve(listener, served, transport, stopped).await.expect("serving fails");
        });
        let channel = connect(address).await;
        Replica { services, address, channel, stop: stop.drop_guard(), serving }
    }

    /// What a server is made of, for whoever does its background work by hand.
    pub(crate) fn services(&self, rules: TaskRules, limits: Limits) -> Services {
        self.services_of(Storage::open(&self.url, limits).unwrap(), self.clock.clone(), rules)
    }

    fn services_of(&self, storage: Storage, clock: Clock, rules: TaskRules) -> Services {
        let key = SigningKey::from_pem(self.key.as_bytes(), "a test").unwrap();
        let config = TokenConfig {
            issuer: "taskwire".to_owned(),
            audience: "taskwire".to_owned(),
            access_ttl: TOKEN_TTL,
        };
        let tokens = Tokens::new(key, config, clock.clone());
        // The least that argon2 takes: no test here is about passwords.
        let params = Params::new(Params::MIN_M_COST, 1, 1, None).unwrap();
        let issuers = Issuers::none(storage.clone(), clock.clone());
        let authenticator =
            Arc::new(Authenticator::new(storage.clone(), clock.clone(), tokens.clone(), issuers));
        let accounts = Accounts::new(
            storage.clone(),
            tokens.clone(),
            Arc::clone(authenticator.revocations()),
            Passwords::with_params(4, params),
            sealer(),
            clock.clone(),
            settings().accounts(),
        );
        Services {
            outbound: outbound(&storage, &clock),
            storage,
            clock,
            tokens,
            authenticator,
            accounts,
            sealer: sealer(),
            passwords: PasswordPolicy { code_points_min: 8 },
            tasks: rules,
            trusted_proxies: Arc::new([]),
        }
    }
}

/// A connection of one's own to whoever serves there.
pub(crate) async fn connect(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// One server. It stops when this is dropped.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) services: Services,
    pub(crate) address: SocketAddr,
    channel: Channel,
    stop: DropGuard,
    serving: JoinHandle<()>,
}

impl Replica {
    /// Tasks, on the one connection that everybody shares.
    pub(crate) fn tasks(&self, user: &User) -> Tasks {
        user.tasks(self.channel.clone())
    }

    /// The one connection that everybody shares.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Somebody new.
    pub(crate) async fn register(&self, email: &str) -> User {
        User::register(self.channel.clone(), email).await
    }

    /// Tells the server to stop. Drop what this answers to wait no longer.
    pub(crate) fn begin_to_stop(self) -> JoinHandle<()> {
        drop(self.stop);
        self.serving
    }

    /// Stops the server.
    pub(crate) async fn stop(self) {
        self.begin_to_stop().await.unwrap();
    }
}

/// Somebody who is logged in, on every server of their world.
#[derive(Debug, Clone)]
pub(crate) struct User {
    /// Their name, `users/{user}`.
    pub(crate) name: String,
    email: String,
    token: MetadataValue<Ascii>,
}

impl User {
    /// Registers and logs in.
    pub(crate) async fn register(channel: Channel, email: &str) -> Self {
        let request = pb::CreateUserRequest {
            user: Some(pb::User { email: email.to_owned(), ..pb::User::default() }),
            password: PASSWORD.to_owned(),
            ..pb::CreateUserRequest::default()
        };
        UserServiceClient::new(channel.clone()).create_user(request).await.unwrap();
        Self::log_in(channel, email).await
    }

    /// Logs in.
    pub(crate) async fn log_in(channel: Channel, email: &str) -> Self {
        let request = pb::LoginRequest {
            email: email.to_owned(),
            password: PASSWORD.to_owned(),
            ..pb::LoginRequest::default()
        };
        let pair = UserServiceClient::new(channel).login(request).await.unwrap().into_inner();
        Self {
            name: pair.user.unwrap().name,
            email: email.to_owned(),
            token: format!("Bearer {}", pair.access_token).parse().unwrap(),
        }
    }

    /// The same user with a new token, for when the clock has moved.
    pub(crate) async fn again(&self, replica: &Replica) -> Self {
        Self::log_in(replica.channel.clone(), &self.email).await
    }

    /// Their tasks, through this connection.
    pub(crate) fn tasks(&self, channel: Channel) -> Tasks {
        TaskServiceClient::with_interceptor(channel, Bearer(self.token.clone()))
    }

    /// The service of accounts, through this connection.
    fn users(&self, channel: Channel) -> Users {
        UserServiceClient::with_interceptor(channel, Bearer(self.token.clone()))
    }

    /// Their account.
    pub(crate) async fn account(&self, channel: Channel) -> pb::User {
        let request = pb::GetUserRequest { name: self.name.clone() };
        self.users(channel).get_user(request).await.unwrap().into_inner()
    }

    /// Their account, under another name.
    pub(crate) async fn rename(&self, channel: Channel, display_name: &str) -> pb::User {
        self.try_rename(channel, display_name).await.unwrap()
    }

    /// As `rename`, where it may be refused.
    pub(crate) async fn try_rename(
        &self,
        channel: Channel,
        display_name: &str,
    ) -> Result<pb::User, tonic::Status> {
        let (name, display_name) = (self.name.clone(), display_name.to_owned());
        let user = Some(pb::User { name, display_name, ..pb::User::default() });
        let request = pb::UpdateUserRequest { user, ..pb::UpdateUserRequest::default() };
        self.users(channel).update_user(request).await.map(tonic::Response::into_inner)
    }

    /// Ends their session.
    pub(crate) async fn log_out(&self, channel: Channel) {
        self.users(channel).logout(pb::LogoutRequest {}).await.unwrap();
    }

    /// Deletes their account.
    pub(crate) async fn delete(&self, channel: Channel) {
        let request = pb::DeleteUserRequest { name: self.name.clone(), password: PASSWORD.to_owned() };
        self.users(channel).delete_user(request).await.unwrap();
    }

    /// Their access token.
    pub(crate) fn access_token(&self) -> String {
        self.token.to_str().unwrap().trim_start_matches("Bearer ").to_owned()
    }

    /// The id in their name.
    pub(crate) fn id(&self) -> uuid::Uuid {
        self.name.trim_start_matches("users/").parse().unwrap()
    }
}

type Users = UserServiceClient<InterceptedService<Channel, Bearer>>;

/// A client with a token.
pub(crate) type Tasks = TaskServiceClient<InterceptedService<Channel, Bearer>>;

/// Puts an access token into every call.
#[derive(Debug, Clone)]
pub(crate) struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}
