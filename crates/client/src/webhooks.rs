//! Webhooks: those of a user, and those of the administrators.

use std::fmt;
use std::sync::Arc;

use prost_types::FieldMask;
use tonic::transport::Channel;

use super::call::{Core, Kind};
use super::error::Result;
use taskwire_proto as pb;
use taskwire_proto::event_service_client::EventServiceClient;

/// The largest page that there is.
const PAGE_SIZE: i32 = 500;

/// The webhooks of a user, or of the administrators. One is named by its whole name, `users/{user}/webhooks/{webhook}` or
/// `webhooks/{webhook}`, or by its id.
#[derive(Clone)]
pub struct Webhooks {
    core: Arc<Core>,
    /// The user, `users/{user}`; empty for the administrators.
    parent: String,
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks").field("parent", &self.parent).finish_non_exhaustive()
    }
}

impl Webhooks {
    pub(super) fn new(core: Arc<Core>, parent: String) -> Self {
        Self { core, parent }
    }

    /// Makes a webhook that sends events of these types to this URL; the answer holds its secret, which is shown this once.
    ///
    /// It is not repeated after a lost answer: each success makes another webhook.
    pub async fn create(&self, url: &str, event_types: &[&str]) -> Result<pb::CreateWebhookResponse> {
        let webhook = pb::Webhook {
            url: url.to_owned(),
            event_types: event_types.iter().map(|one| (*one).to_owned()).collect(),
            ..pb::Webhook::default()
        };
        self.create_as(webhook).await
    }

    /// The same with all that can be said of a new one, as that it is not to send yet.
    pub async fn create_as(&self, webhook: pb::Webhook) -> Result<pb::CreateWebhookResponse> {
        let request = pb::CreateWebhookRequest { parent: self.parent.clone(), webhook: Some(webhook) };
        let create = |channel, request| async move { service(channel).create_webhook(request).await };
        self.core.authorized(Kind::NotRepeatable, request, create).await
    }

    /// A webhook.
    pub async fn get(&self, webhook: &str) -> Result<pb::Webhook> {
        let request = pb::GetWebhookRequest { name: self.name(webhook) };
        let get = |channel, request| async move { service(channel).get_webhook(request).await };
        self.core.authorized(Kind::Read, request, get).await
    }

    /// All of them, oldest first.
    pub async fn list(&self) -> Result<Vec<pb::Webhook>> {
        let request = pb::ListWebhooksRequest { parent: self.parent.clone() };
        let list = |channel, request| async move { service(channel).list_webhooks(request).await };
        Ok(self.core.authorized(Kind::Read, request, list).await?.webhooks)
    }

    /// Changes these fields of the webhook, out of `url`, `event_types` and `state`, to what it says of them; without paths,
    /// those that it says something of.
    pub async fn update(&self, webhook: pb::Webhook, paths: &[&str]) -> Result<pb::Webhook> {
        let name = self.name(&webhook.name);
        let mask = FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() };
        let request = pb::UpdateWebhookRequest {
            webhook: Some(pb::Webhook { name, ..webhook }),
            update_mask: (!paths.is_empty()).then_some(mask),
        };
        let update = |channel, request| async move { service(channel).update_webhook(request).await };
        self.core.authorized(Kind::Repeatable, request, update).await
    }

    /// Has a webhook send, or send nothing.
    pub async fn set_enabled(&self, webhook: &str, enabled: bool) -> Result<pb::Webhook> {
        let state = if enabled { pb::webhook::State::Enabled } else { pb::webhook::State::Disabled };
        let webhook = pb::Webhook { name: webhook.to_owned(), state: state.into(), ..pb::Webhook::default() };
        self.update(webhook, &["state"]).await
    }

    /// Deletes a webhook, and with it what it was still to be told. `WEBHOOK_NOT_FOUND` also where a first attempt did it whose
    /// answer was lost.
    pub async fn delete(&self, webhook: &str) -> Result<()> {
        let request = pb::DeleteWebhookRequest { name: self.name(webhook) };
        let delete = |channel, request| async move { service(channel).delete_webhook(request).await };
        let pb::DeleteWebhookResponse {} = self.core.authorized(Kind::Repeatable, request, delete).await?;
        Ok(())
    }

    /// Gives a webhook another secret; the answer holds it, this once. The one before is valid for a day.
    ///
    /// It is not repeated after a lost answer: with a third secret the first would no longer be valid.
    pub async fn rotate_secret(&self, webhook: &str) -> Result<pb::RotateWebhookSecretResponse> {
        let request = pb::RotateWebhookSecretRequest { name: self.name(webhook) };
        let rotate = |channel, request| async move { service(channel).rotate_webhook_secret(request).await };
        self.core.authorized(Kind::NotRepeatable, request, rotate).await
    }

    /// Sends the receiver an event `webhook.test`, and answers what became of it.
    pub async fn test(&self, webhook: &str) -> Result<pb::TestWebhookResponse> {
        let request = pb::TestWebhookRequest { name: self.name(webhook) };
        let test = |channel, request| async move { service(channel).test_webhook(request).await };
        self.core.authorized(Kind::NotRepeatable, request, test).await
    }

    /// Has a webhook told the changes after this revision once more, and answers how many these are. For one of the
    /// administrators, of which user; for one of a user `None`.
    pub async fn replay(&self, webhook: &str, start_revision: i64, user: Option<&str>) -> Result<i64> {
        let user = user.unwrap_or_default().to_owned();
        let request = pb::ReplayWebhookRequest { name: self.name(webhook), start_revision, user };
        let replay = |channel, request| async move { service(channel).replay_webhook(request).await };
        Ok(self.core.authorized(Kind::Repeatable, request, replay).await?.change_count)
    }

    /// What a webhook has still to be told, user by user.
    pub async fn queues(&self, webhook: &str) -> Result<Vec<pb::WebhookQueue>> {
        let (mut queues, mut page_token) = (Vec::new(), String::new());
        loop {
            let request =
                pb::ListWebhookQueuesRequest { parent: self.name(webhook), page_size: PAGE_SIZE, page_token };
            let list = |channel, request| async move { service(channel).list_webhook_queues(request).await };
            let page: pb::ListWebhookQueuesResponse = self.core.authorized(Kind::Read, request, list).await?;
            queues.extend(page.queues);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(queues);
            }
        }
    }

    fn name(&self, webhook: &str) -> String {
        match self.parent.as_str() {
            _ if webhook.contains('/') => webhook.to_owned(),
            "" => format!("webhooks/{webhook}"),
            parent => format!("{parent}/webhooks/{webhook}"),
        }
    }
}

pub(super) fn service(channel: Channel) -> EventServiceClient<Channel> {
    EventServiceClient::new(channel)
}
