//! Replicas of the service over one database and one clock, and people who talk to them.

use std::sync::Arc;
use std::time::Duration;

use argon2::Params;
use ipnet::IpNet;
use taskwire::accounts::{Accounts, AccountsConfig, PasswordPolicy, Passwords};
use taskwire::api::TaskRules;
use taskwire::auth::{Authenticator, Issuers, KeyRing, Sealer, SigningKey, TokenConfig, Tokens};
use taskwire::domain::{Clock, DisplayName, Email, ManualClock, Role, Timestamp, Trace};
use taskwire::outbound::{MailConfig, Mailer};
use taskwire::pb;
use taskwire::pb::task_service_client::TaskServiceClient;
use taskwire::pb::user_service_client::UserServiceClient;
use taskwire::server::{Services, serve};
use taskwire::storage::{Limits, Storage};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

use crate::support::database::{TestDatabase, limits};
use crate::support::refusal::{Answer, Refusal};
use crate::support::{outbound, sealer, settings};

pub(crate) const PASSWORD: &str = "correct horse battery staple";
/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600;
pub(crate) const ACCESS_TTL: Duration = Duration::from_secs(15 * 60);

/// What a test may want otherwise.
pub(crate) struct Setup {
    pub(crate) accounts: AccountsConfig,
    pub(crate) proxies: Vec<IpNet>,
    /// What makes the issuers, given storage and clock.
    pub(crate) issuers: Option<Box<dyn Fn(Storage, Clock) -> Issuers + Send + Sync>>,
    pub(crate) passwords: Option<Passwords>,
    pub(crate) limits: Option<Limits>,
    /// What seals secrets; that of all tests when there is none.
    pub(crate) sealer: Option<Arc<Sealer>>,
    /// How mail goes out; not at all when there is none.
    pub(crate) mail: Option<MailConfig>,
    /// Whether mail leaves only when a test has it sent.
    pub(crate) mail_by_hand: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            accounts: settings().accounts(),
            proxies: Vec::new(),
            issuers: None,
            passwords: None,
            limits: None,
            sealer: None,
            mail: None,
            mail_by_hand: false,
        }
    }
}

/// One database, one clock, one key file; any number of replicas.
pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) clock: Clock,
    pub(crate) hand: ManualClock,
    pub(crate) key_file: String,
    setup: Setup,
}

/// One process of the service. It stops when this is dropped.
pub(crate) struct Replica {
    channel: Channel,
    pub(crate) accounts: Accounts,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) tokens: Arc<Tokens>,
    _stop: DropGuard,
}

pub(crate) fn token_config() -> TokenConfig {
    TokenConfig { issuer: "taskwire".into(), audience: "taskwire".into(), access_ttl: ACCESS_TTL }
}

/// The least that argon2 takes.
pub(crate) fn cheap() -> Params {
    Params::new(Params::MIN_M_COST, 1, 1, None).unwrap()
}

impl World {
    pub(crate) fn new(database: TestDatabase) -> Self {
        Self::with(database, Setup::default())
    }

    pub(crate) fn with(database: TestDatabase, setup: Setup) -> Self {
        let (clock, hand) = Clock::manual(Timestamp::from_parts(START, 0).unwrap());
        Self { database, clock, hand, key_file: SigningKey::generate_pem().unwrap(), setup }
    }

    pub(crate) fn ring(&self) -> KeyRing {
        KeyRing::parse(&self.key_file, "test").unwrap()
    }

    /// Another process, with connections of its own.
    pub(crate) async fn replica(&self) -> Replica {
        // Boxed, so that no test carries the room for what starts one.
        Box::pin(self.start()).await
    }

    async fn start(&self) -> Replica {
        let storage = self.database.open(self.setup.limits.unwrap_or_else(limits));
        let tokens = Tokens::with_ring(self.ring(), token_config(), self.clock.clone());
        let passwords = self.setup.passwords.clone().unwrap_or_else(|| Passwords::with_params(4, cheap()));
        let seals = self.setup.sealer.clone().unwrap_or_else(sealer);
        let clock = self.clock.clone();
        let issuers = match &self.setup.issuers {
            Some(issuers) => issuers(storage.clone(), clock.clone()),
            None => Issuers::none(storage.clone(), clock.clone()),
        };
        let authenticator = Authenticator::new(storage.clone(), clock.clone(), tokens.clone(), issuers);
        let authenticator = Arc::new(authenticator);
        let accounts = Accounts::new(
            storage.clone(),
            tokens.clone(),
            Arc::clone(authenticator.revocations()),
            passwords,
            Arc::clone(&seals),
            clock.clone(),
            self.setup.accounts,
        );
        let mail = self.setup.mail.clone();
        let mailer = Mailer::new(storage.clone(), clock.clone(), Arc::clone(&seals), mail);
        let accounts = accounts.with_mail(mailer.clone());
        let mailer = if self.setup.mail_by_hand { mailer.queueing_only() } else { mailer };
        let services = Services {
            outbound: outbound(&storage, &clock),
            storage,
            clock,
            tokens: tokens.clone(),
            authenticator: Arc::clone(&authenticator),
            accounts: accounts.clone().with_mail(mailer),
            sealer: seals,
            passwords: PasswordPolicy { code_points_min: 8 },
            tasks: TaskRules {
                purge_after: Duration::from_secs(30 * 24 * 3600),
                live_tasks_max: 1000,
                changes_kept: Duration::from_secs(30 * 24 * 3600),
                watch: settings().tasks().watch,
            },
            trusted_proxies: self.setup.proxies.clone().into(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serving = serve(listener, services, settings().transport_limits(), stop.clone());
        tokio::spawn(async move { serving.await.expect("serving fails") });
        let channel = Endpoint::from_shared(format!("http://{address}"))
            .unwrap()
            .timeout(Duration::from_secs(60))
            .connect()
            .await
            .unwrap();
        let replica = Replica { channel, accounts, authenticator, tokens, _stop: stop.drop_guard() };
        // It answers once it has read the revocations.
        replica.anonymous().get_user(pb::GetUserRequest::default()).await.unwrap_err();
        replica
    }
}

/// Puts metadata into every call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metadata(MetadataMap);

impl Interceptor for Metadata {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        for entry in self.0.iter() {
            if let tonic::metadata::KeyAndValueRef::Ascii(key, value) = entry {
                request.metadata_mut().insert(key, value.clone());
            }
        }
        Ok(request)
    }
}

pub(crate) type Caller = InterceptedService<Channel, Metadata>;

impl Replica {
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(crate) fn anonymous(&self) -> UserServiceClient<Channel> {
        UserServiceClient::new(self.channel())
    }

    /// Accounts, with this token.
    pub(crate) fn users(&self, token: &str) -> UserServiceClient<Caller> {
        UserServiceClient::with_interceptor(self.channel(), bearer(token))
    }

    /// Tasks, with this token.
    pub(crate) fn tasks(&self, token: &str) -> TaskServiceClient<Caller> {
        TaskServiceClient::with_interceptor(self.channel(), bearer(token))
    }

    /// Accounts, as seen through a gateway that says so of the caller's address.
    pub(crate) fn at_address(&self, address: &str) -> UserServiceClient<Caller> {
        let mut metadata = MetadataMap::new();
        metadata.insert("x-forwarded-for", address.parse().unwrap());
        UserServiceClient::with_interceptor(self.channel(), Metadata(metadata))
    }

    pub(crate) async fn sign_up(&self, email: &str, password: &str) -> Answer<pb::User> {
        answer(self.anonymous().create_user(new_user(email, password)).await)
    }

    pub(crate) async fn log_in(&self, email: &str, password: &str) -> Answer<pb::TokenPair> {
        answer(self.anonymous().login(credentials(email, password)).await)
    }

    pub(crate) async fn refresh(&self, token: &str, request_id: &str) -> Answer<pb::TokenPair> {
        let request =
            pb::RefreshSessionRequest { refresh_token: token.to_owned(), request_id: request_id.to_owned() };
        answer(self.anonymous().refresh_session(request).await)
    }

    /// Somebody new, logged in.
    pub(crate) async fn register(&self, email: &str) -> pb::TokenPair {
        self.sign_up(email, PASSWORD).await.unwrap();
        self.log_in(email, PASSWORD).await.unwrap()
    }

    /// An administrator, whom no call can make; logged in.
    pub(crate) async fn register_admin(&self, email: &str) -> pb::TokenPair {
        self.make_admin(email).await;
        self.log_in(email, PASSWORD).await.unwrap()
    }

    /// An administrator who is not logged in.
    pub(crate) async fn make_admin(&self, email: &str) {
        let address = Email::parse(email).unwrap();
        let password = PasswordPolicy { code_points_min: 8 }.parse(PASSWORD, None).unwrap();
        let name = DisplayName::default();
        self.accounts.register(address, name, password, Role::Admin, &Trace::default()).await.unwrap();
    }

    /// A key of this user's, with its secret.
    pub(crate) async fn api_key(&self, token: &str, scopes: &[&str]) -> pb::CreateApiKeyResponse {
        let request = new_key(scopes);
        answer(self.users(token).create_api_key(request).await).unwrap()
    }

    /// The account of a service with one key: its name, and the key's secret.
    pub(crate) async fn service(&self, admin: &str, email: &str, scopes: &[&str]) -> (String, String) {
        let user = Some(pb::User { email: email.to_owned(), ..Default::default() });
        let mut admins = self.users(admin);
        let request = pb::CreateServiceAccountRequest { user };
        let service = answer(admins.create_service_account(request).await).unwrap().name;
        let request = pb::CreateApiKeyRequest { parent: service.clone(), ..new_key(scopes) };
        (service, answer(admins.create_api_key(request).await).unwrap().secret)
    }

    /// A token of this user, for the service whose key this is.
    pub(crate) async fn exchange(
        &self,
        key: &str,
        user: &str,
        scopes: &[&str],
    ) -> Answer<pb::ExchangeTokenResponse> {
        let scopes = scopes.iter().map(ToString::to_string).collect();
        let request = pb::ExchangeTokenRequest { subject_user: user.to_owned(), scopes };
        answer(self.users(key).exchange_token(request).await)
    }

    /// What a call with this token is answered that only needs one.
    pub(crate) async fn probe(&self, token: &str) -> Answer<pb::User> {
        let request = pb::GetUserRequest { name: "users/me".into() };
        answer(self.users(token).get_user(request).await)
    }

    /// What a call with this token or key is answered that reads tasks.
    pub(crate) async fn read_tasks(&self, token: &str) -> Answer<pb::ListTasksResponse> {
        let request = pb::ListTasksRequest { parent: "users/me".into(), ..Default::default() };
        answer(self.tasks(token).list_tasks(request).await)
    }
}

pub(crate) fn bearer(token: &str) -> Metadata {
    let mut metadata = MetadataMap::new();
    let value: MetadataValue<Ascii> = format!("Bearer {token}").parse().unwrap();
    metadata.insert("authorization", value);
    Metadata(metadata)
}

pub(crate) fn new_user(email: &str, password: &str) -> pb::CreateUserRequest {
    let user = pb::User { email: email.to_owned(), ..Default::default() };
    pb::CreateUserRequest { user: Some(user), password: password.to_owned(), request_id: String::new() }
}

pub(crate) fn credentials(email: &str, password: &str) -> pb::LoginRequest {
    pb::LoginRequest { email: email.to_owned(), password: password.to_owned(), device: "test".into() }
}

pub(crate) fn new_key(scopes: &[&str]) -> pb::CreateApiKeyRequest {
    let scopes = scopes.iter().map(ToString::to_string).collect();
    let api_key = pb::ApiKey { display_name: "a key".into(), scopes, ..Default::default() };
    pb::CreateApiKeyRequest { parent: "users/me".into(), api_key: Some(api_key) }
}

/// The message that a call answered, or its error, checked.
#[track_caller]
pub(crate) fn answer<T>(answered: Result<tonic::Response<T>, tonic::Status>) -> Answer<T> {
    answered.map(tonic::Response::into_inner).map_err(Refusal::from)
}

/// The delay of the `RetryInfo` that a call was refused with.
pub(crate) fn retry_after<T: std::fmt::Debug>(
    answered: Result<tonic::Response<T>, tonic::Status>,
) -> Duration {
    use tonic_types::StatusExt as _;
    let status = answered.expect_err("was answered");
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "LOGIN_THROTTLED", "{status:?}");
    details.retry_info().unwrap().retry_delay.unwrap()
}
