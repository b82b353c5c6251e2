//! `EventService`: each handler parses, authorises, does one thing, and answers.

use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::body::test_body;
use super::convert_webhook::{self, Wanted};
use super::watch::EventStreams;
use crate::api::page_token::{List, PageTokens};
use crate::api::tasks::watch::{WatchLimits, WatchStream};
use crate::api::{caller, traced};
use crate::auth::secret::random;
use crate::domain::{
    AuditEventType, Clock, Error, NewWebhook, Resource, Result, Trace, Webhook, WebhookId, WebhookOwner,
};
use crate::outbound::{Outbound, signature};
use crate::pb;
use crate::pb::event_service_server::EventService;
use crate::storage::{Listener, Storage};

/// How long the secret before the present one is valid.
const PREVIOUS_VALID: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

/// How long a receiver that is tried may take: whoever waits for the answer gives calls no more than 10 seconds.
const TRIAL_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(8);

/// The implementation of `EventService`.
#[derive(Debug)]
pub struct EventApi {
    outbound: Outbound,
    storage: Storage,
    clock: Clock,
    streams: EventStreams,
    page_tokens: PageTokens,
}

impl EventApi {
    /// Serves what leaves the house of this storage; streams end with `shutdown`.
    pub fn new(
        outbound: Outbound,
        storage: Storage,
        clock: Clock,
        limits: WatchLimits,
        shutdown: CancellationToken,
    ) -> Self {
        let streams = EventStreams::new(storage.clone(), clock.clone(), limits, shutdown);
        let page_tokens = PageTokens::new(storage.clone(), clock.clone(), "list_token");
        Self { outbound, storage, clock, streams, page_tokens }
    }

    /// A new secret, sealed for a webhook, and as it is shown.
    fn secret(&self, owner: WebhookOwner, id: WebhookId) -> Result<(Vec<u8>, String)> {
        let secret: [u8; signature::SECRET_BYTES] = random()?;
        let sealed = self.outbound.sealer().seal(&crate::outbound::context(owner, id), &secret)?;
        Ok((sealed, signature::shown(&secret)))
    }

    /// Has what happens written down for the owner's webhooks, from here on.
    async fn listen(&self, owner: WebhookOwner) -> Result<()> {
        let listener = match owner {
            WebhookOwner::User(_) => Listener::Webhooks,
            WebhookOwner::Administrators => Listener::AdministratorsWebhooks,
        };
        self.storage.listeners().add(listener, self.clock.now()).await
    }

    async fn create(&self, wanted: Wanted, trace: &Trace) -> Result<(Webhook, String)> {
        let Wanted { owner, url, event_types, enabled } = wanted;
        let now = self.clock.now();
        let id = WebhookId::generate_at(now);
        let (sealed, shown) = self.secret(owner, id)?;
        let new = NewWebhook { id, owner, url, event_types, enabled, secret: sealed, create_time: now };
        let webhooks = self.storage.webhooks().recorded(trace.did(AuditEventType::WebhookCreated));
        let webhook = webhooks.create(new).await?;
        // After the webhook is there: whoever looks whether somebody listens finds it.
        if enabled {
            self.listen(owner).await?;
        }
        Ok((webhook, shown))
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl EventService for EventApi {
    type WatchEventsStream = WatchStream<pb::WatchEventsResponse>;

    async fn watch_events(
        &self,
        request: Request<pb::WatchEventsRequest>,
    ) -> Answer<Self::WatchEventsStream> {
        let (caller, request) = caller(request)?;
        Ok(Response::new(self.streams.open(&caller, &request).await?))
    }

    async fn create_webhook(
        &self,
        request: Request<pb::CreateWebhookRequest>,
    ) -> Answer<pb::CreateWebhookResponse> {
        let (caller, trace, request) = traced(request)?;
        let wanted = convert_webhook::wanted(&caller, request, self.outbound.addresses())?;
        let looked_up = self.outbound.addresses().look_up(&wanted.url).await;
        looked_up.map_err(|rule| Error::invalid(rule.at("webhook.url")))?;
        let (webhook, secret) = self.create(wanted, &trace).await?;
        let webhook = Some(convert_webhook::webhook_to_pb(&webhook));
        Ok(Response::new(pb::CreateWebhookResponse { webhook, secret }))
    }

    async fn get_webhook(&self, request: Request<pb::GetWebhookRequest>) -> Answer<pb::Webhook> {
        let (caller, request) = caller(request)?;
        let (owner, id) = convert_webhook::name(&caller, "name", &request.name)?;
        let webhook = self.storage.webhooks().find(owner, id).await?;
        Ok(Response::new(convert_webhook::webhook_to_pb(&webhook)))
    }

    async fn list_webhooks(
        &self,
        request: Request<pb::ListWebhooksRequest>,
    ) -> Answer<pb::ListWebhooksResponse> {
        let (caller, request) = caller(request)?;
        let owner = convert_webhook::parent(&caller, &request.parent)?;
        let webhooks = self.storage.webhooks().list(owner).await?;
        let webhooks = webhooks.iter().map(convert_webhook::webhook_to_pb).collect();
        Ok(Response::new(pb::ListWebhooksResponse { webhooks }))
    }

    async fn update_webhook(&self, request: Request<pb::UpdateWebhookRequest>) -> Answer<pb::Webhook> {
        let (caller, request) = caller(request)?;
        let (owner, id, patch) = convert_webhook::patch(&caller, request, self.outbound.addresses())?;
        if let Some(url) = &patch.url {
            let looked_up = self.outbound.addresses().look_up(url).await;
            looked_up.map_err(|rule| Error::invalid(rule.at("webhook.url")))?;
        }
        let webhook = self.storage.webhooks().update(owner, id, patch, self.clock.now()).await?;
        if webhook.disable_reason.is_none() {
            self.listen(owner).await?;
        }
        Ok(Response::new(convert_webhook::webhook_to_pb(&webhook)))
    }

    async fn delete_webhook(
        &self,
        request: Request<pb::DeleteWebhookRequest>,
    ) -> Answer<pb::DeleteWebhookResponse> {
        let (caller, trace, request) = traced(request)?;
        let (owner, id) = convert_webhook::name(&caller, "name", &request.name)?;
        let webhooks = self.storage.webhooks().recorded(trace.did(AuditEventType::WebhookDeleted));
        webhooks.delete(owner, id, self.clock.now()).await?;
        Ok(Response::new(pb::DeleteWebhookResponse {}))
    }

    async fn rotate_webhook_secret(
        &self,
        request: Request<pb::RotateWebhookSecretRequest>,
    ) -> Answer<pb::RotateWebhookSecretResponse> {
        let (caller, trace, request) = traced(request)?;
        let (owner, id) = convert_webhook::name(&caller, "name", &request.name)?;
        let (sealed, secret) = self.secret(owner, id)?;
        let now = self.clock.now();
        let webhooks = self.storage.webhooks().recorded(trace.did(AuditEventType::WebhookSecretRotated));
        let webhook = webhooks.rotate(owner, id, sealed, now.after(PREVIOUS_VALID), now).await?;
        let webhook = Some(convert_webhook::webhook_to_pb(&webhook));
        Ok(Response::new(pb::RotateWebhookSecretResponse { webhook, secret }))
    }

    async fn test_webhook(
        &self,
        request: Request<pb::TestWebhookRequest>,
    ) -> Answer<pb::TestWebhookResponse> {
        let (caller, request) = caller(request)?;
        let (owner, id) = convert_webhook::name(&caller, "name", &request.name)?;
        let webhook = self.storage.webhooks().find(owner, id).await?;
        let now = self.clock.now();
        let message = format!("evt_{}", Uuid::now_v7().as_simple());
        let attempted = self.outbound.send_within(TRIAL_TIMEOUT, &webhook, &message, test_body(now)).await?;
        Ok(Response::new(convert_webhook::trial_to_pb(attempted, now)))
    }

    async fn replay_webhook(
        &self,
        request: Request<pb::ReplayWebhookRequest>,
    ) -> Answer<pb::ReplayWebhookResponse> {
        let (caller, request) = caller(request)?;
        let (owner, id) = convert_webhook::name(&caller, "name", &request.name)?;
        let (user, start_revision) = convert_webhook::replay(&caller, owner, &request)?;
        self.storage.webhooks().find(owner, id).await?;
        let queues = self.storage.webhook_queues();
        let replayed = queues.replay((owner, id), user, start_revision, self.clock.now()).await;
        let change_count = replayed.map_err(|error| match error {
            Error::SessionRevoked if owner == WebhookOwner::Administrators => Error::NotFound(Resource::User),
            error => error,
        })?;
        Ok(Response::new(pb::ReplayWebhookResponse { change_count }))
    }

    async fn list_webhook_queues(
        &self,
        request: Request<pb::ListWebhookQueuesRequest>,
    ) -> Answer<pb::ListWebhookQueuesResponse> {
        let (caller, request) = caller(request)?;
        let (owner, id) = convert_webhook::name(&caller, "parent", &request.parent)?;
        let page_size = convert_webhook::queue_page(&caller, request.page_size)?.get();
        self.storage.webhooks().find(owner, id).await?;
        let rule = "must come from a list with the same caller and parent";
        let list = List::of(&caller, rule).with_text("ListWebhookQueues").with_text(&id.to_string());
        let after =
            self.page_tokens.open(&list, &request.page_token, |place| Uuid::from_slice(place).ok()).await?;
        let queues = self.storage.webhook_queues();
        let mut found = queues.of_webhook(id, after.map(Into::into), page_size + 1).await?;
        let more = found.len() > page_size;
        found.truncate(page_size);
        let next_page_token = match found.last().filter(|_| more) {
            Some(last) => self.page_tokens.seal(&list, last.user.as_bytes()).await?,
            None => String::new(),
        };
        let queues = found.iter().map(convert_webhook::queue_to_pb).collect();
        Ok(Response::new(pb::ListWebhookQueuesResponse { queues, next_page_token }))
    }
}
