//! What leaves the house: the client that it goes out by and where that may go, how it is signed, what an event tells, and the
//! work that hands events on.
//!
//! What is told stands in `storage`; how a message looks is `api`'s, which gives it as a function.

pub mod addresses;
pub mod client;
pub mod dispatch;
pub mod events;
pub mod mail;
mod meters;
mod queue;
pub mod signature;

use std::sync::Arc;
use std::time::Duration;

use crate::auth::Sealer;
use crate::domain::{Clock, Event, Result, Timestamp, Webhook, WebhookId, WebhookOwner};
use crate::storage::Storage;

pub use addresses::{AddressPolicy, Resolver};
pub use client::{Attempted, Client};
pub use mail::{MailConfig, Mailer};
pub use meters::MeterState;

/// How an event is written down for a receiver: the JSON of its body.
pub type Render = fn(&Event) -> Vec<u8>;

/// Everything that sending needs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbound {
    storage: Storage,
    clock: Clock,
    sealer: Arc<Sealer>,
    client: Client,
    meters: Arc<meters::Meters>,
}

/// The secrets that a delivery is signed with: the one there is, and the one before as long as it is valid.
pub(crate) type Secrets = Vec<Vec<u8>>;

impl Outbound {
    /// Sends to addresses that are allowed.
    pub fn new(storage: Storage, clock: Clock, sealer: Arc<Sealer>, addresses: AddressPolicy) -> Self {
        Self { storage, clock, sealer, client: Client::new(addresses), meters: Arc::default() }
    }

    /// Which addresses are allowed.
    pub fn addresses(&self) -> &AddressPolicy {
        self.client.addresses()
    }

    /// What was counted so far.
    pub fn meters(&self) -> MeterState {
        self.meters.state()
    }

    /// What seals secrets.
    pub fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// The secrets of a webhook that are valid now.
    ///
    /// # Errors
    /// `SecretsKeyMissing`, `NotFound`, or those of the storage.
    pub async fn secrets(&self, owner: WebhookOwner, id: WebhookId, now: Timestamp) -> Result<Secrets> {
        let (secret, previous) = self.storage.webhooks().secrets(owner, id, now).await?;
        let context = context(owner, id);
        std::iter::once(secret).chain(previous).map(|sealed| self.sealer.open(&context, &sealed)).collect()
    }

    /// Sends one message to the receiver of a webhook.
    ///
    /// # Errors
    /// Those of the storage. That the receiver did not take it is no error.
    pub async fn send(&self, webhook: &Webhook, id: &str, body: Vec<u8>) -> Result<Attempted> {
        self.send_within(client::TIMEOUT, webhook, id, body).await
    }

    /// As `send`, waiting no longer than this for the receiver.
    ///
    /// # Errors
    /// As `send`.
    pub async fn send_within(
        &self,
        longest: Duration,
        webhook: &Webhook,
        id: &str,
        body: Vec<u8>,
    ) -> Result<Attempted> {
        let now = self.clock.now();
        let secrets = match self.secrets(webhook.owner, webhook.id, now).await {
            Ok(secrets) => secrets,
            Err(crate::domain::Error::SecretsKeyMissing) => return Ok(Attempted::SECRET_LOST),
            Err(error) => return Err(error),
        };
        Ok(self.client.post(longest, webhook.url.as_str(), (id, now), &secrets, body).await)
    }
}

/// What the secrets of a webhook are sealed for.
pub fn context(owner: WebhookOwner, id: WebhookId) -> Vec<u8> {
    [b"webhooks".as_slice(), owner.key().as_bytes(), id.as_bytes()].concat()
}
