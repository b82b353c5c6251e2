//! A service in this process for the tests of its surface: its key is known, its clock stands still.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use taskwire::accounts::{Accounts, Passwords};
use taskwire::auth::{Authenticator, Issuers, SigningKey, Tokens};
use taskwire::domain::{Clock, ManualClock, Timestamp};
use taskwire::pb::user_service_client::UserServiceClient;
use taskwire::pb::{CreateUserRequest, LoginRequest, TokenPair, User};
use taskwire::server::{Services, serve};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::support::database::{Engine, Schema, TestDatabase};
use crate::support::{outbound, sealer, settings};

/// 2026-03-01T09:00:00Z, at which the clock stands.
pub(crate) const NOW: i64 = 1_772_355_600;

/// The password of every account.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// The service, and a connection to it.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) channel: Channel,
    pub(crate) clock: ManualClock,
    /// The key that signs, as PEM.
    pub(crate) pem: String,
    _stop: DropGuard,
    _database: TestDatabase,
}

impl Served {
    pub(crate) async fn start() -> Self {
        let database = TestDatabase::create(Engine::Sqlite, Schema::Migrated).await.unwrap();
        let storage = database.storage.clone();
        let settings = settings();
        let (clock, hand) = Clock::manual(Timestamp::from_parts(NOW, 0).unwrap());
        let pem = SigningKey::generate_pem().unwrap();
        let key = SigningKey::from_pem(pem.as_bytes(), "test").unwrap();
        let tokens = Tokens::new(key, settings.tokens(), clock.clone());
        let issuers = Issuers::none(storage.clone(), clock.clone());
        let authenticator =
            Arc::new(Authenticator::new(storage.clone(), clock.clone(), tokens.clone(), issuers));
        let accounts = Accounts::new(
            storage.clone(),
            tokens.clone(),
            Arc::clone(authenticator.revocations()),
            Passwords::new(2),
            sealer(),
            clock.clone(),
            settings.accounts(),
        );
        let services = Services {
            outbound: outbound(&storage, &clock),
            storage,
            clock,
            tokens,
            authenticator,
            accounts,
            sealer: sealer(),
            passwords: settings.passwords(),
            tasks: settings.tasks(),
            trusted_proxies: Arc::new([]),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serving = serve(listener, services, settings.transport_limits(), stop.clone());
        tokio::spawn(async move { serving.await.map_err(|error| error.to_string()) });
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        Self {
            address,
            channel: endpoint.connect().await.unwrap(),
            clock: hand,
            pem,
            _stop: stop.drop_guard(),
            _database: database,
        }
    }

    /// Another connection to the same service.
    pub(crate) async fn again(&self) -> Caller {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        Caller(endpoint.connect().await.unwrap())
    }

    /// Calls a method by its path with an empty message.
    pub(crate) async fn call<'a>(
        &self,
        path: &str,
        metadata: impl IntoIterator<Item = (&'static str, &'a [u8])>,
    ) -> Result<(), Status> {
        Caller(self.channel.clone()).call(path, metadata).await
    }

    pub(crate) fn users(&self) -> UserServiceClient<Channel> {
        UserServiceClient::new(self.channel.clone())
    }

    /// Registers an account and logs in.
    pub(crate) async fn log_in(&self, email: &str) -> TokenPair {
        let user = User { email: email.into(), ..User::default() };
        let create =
            CreateUserRequest { user: Some(user), password: PASSWORD.into(), ..CreateUserRequest::default() };
        self.users().create_user(create).await.unwrap();
        let login = LoginRequest { email: email.into(), password: PASSWORD.into(), device: "test".into() };
        self.users().login(login).await.unwrap().into_inner()
    }
}

/// A connection that calls methods by their paths.
pub(crate) struct Caller(Channel);

impl Caller {
    /// As `Served::call`.
    pub(crate) async fn call<'a>(
        &self,
        path: &str,
        metadata: impl IntoIterator<Item = (&'static str, &'a [u8])>,
    ) -> Result<(), Status> {
        let mut request = Request::new(());
        for (name, value) in metadata {
            let value = MetadataValue::try_from(Bytes::copy_from_slice(value)).unwrap();
            request.metadata_mut().append(name, value);
        }
        let mut client = tonic::client::Grpc::new(self.0.clone());
        client.ready().await.unwrap();
        let path = path.parse().unwrap();
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        client.unary(request, path, codec).await.map(|_| ())
    }
}

/// Runs a test on a runtime like the service's own.
pub(crate) fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(async { tokio::time::timeout(Duration::from_secs(60), test).await.unwrap() });
}
