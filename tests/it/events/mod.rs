//! What leaves the house: webhooks and the stream of all events, as receivers and readers see them.

mod access;
mod delivery;
mod faults;
mod kills;
mod rebinding;
pub(crate) mod receiver;
mod reminders;
mod rules;
mod stream;
mod webhooks;

use taskwire::pb;
use taskwire::pb::event_service_client::EventServiceClient;

use crate::storage::eventually;
use crate::support::server::{Session, answer};
use receiver::Receiver;

/// The types that a user can ask for.
const ALL: [&str; 3] = ["task.*", "task_list.*", "reminder.due"];

/// A webhook to be made for somebody, for `users/me` or, with an empty parent, for the administrators.
fn wanted(parent: &str, url: &str, types: &[&str]) -> pb::CreateWebhookRequest {
    let event_types = types.iter().map(ToString::to_string).collect();
    let webhook = pb::Webhook { url: url.to_owned(), event_types, ..pb::Webhook::default() };
    pb::CreateWebhookRequest { parent: parent.to_owned(), webhook: Some(webhook) }
}

/// A webhook that sends to this receiver, and its secret.
async fn hook(session: &Session, receiver: &Receiver, types: &[&str]) -> (pb::Webhook, String) {
    let made = answer(session.events().create_webhook(wanted("users/me", &receiver.url(), types)).await);
    let made = made.unwrap();
    (made.webhook.unwrap(), made.secret)
}

/// The webhook as it is now.
async fn look(session: &Session, name: &str) -> pb::Webhook {
    let request = pb::GetWebhookRequest { name: name.to_owned() };
    answer(session.events().get_webhook(request).await).unwrap()
}

/// The queues of a webhook.
async fn queues(session: &Session, webhook: &str) -> Vec<pb::WebhookQueue> {
    let request = pb::ListWebhookQueuesRequest { parent: webhook.to_owned(), ..Default::default() };
    answer(session.events().list_webhook_queues(request).await).unwrap().queues
}

/// Waits until the next event was sent in vain so often.
async fn failed(session: &Session, webhook: &str, attempts: i32) {
    eventually("the attempt is noted", async || {
        queues(session, webhook).await.first().is_some_and(|queue| queue.attempts == attempts)
    })
    .await;
}

/// A new task.
async fn add(session: &Session, title: &str) -> pb::Task {
    let task = pb::Task { title: title.to_owned(), ..pb::Task::default() };
    let request = pb::CreateTaskRequest {
        parent: "users/me".to_owned(),
        task: Some(task),
        ..pb::CreateTaskRequest::default()
    };
    answer(session.tasks().create_task(request).await).unwrap()
}

/// A task with other values; the mask names them.
async fn change(session: &Session, task: pb::Task, paths: &[&str]) -> pb::Task {
    let mask = prost_types::FieldMask { paths: paths.iter().map(ToString::to_string).collect() };
    let request = pb::UpdateTaskRequest {
        task: Some(pb::Task { etag: String::new(), ..task }),
        update_mask: Some(mask),
        ..pb::UpdateTaskRequest::default()
    };
    answer(session.tasks().update_task(request).await).unwrap()
}

/// Reads all events from a cursor on.
async fn watch<Inner>(
    events: &mut EventServiceClient<Inner>,
    cursor: &str,
    types: &[&str],
) -> tonic::Streaming<pb::WatchEventsResponse>
where
    Inner: tonic::client::GrpcService<tonic::body::Body>,
    Inner::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    Inner::ResponseBody: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    <Inner::ResponseBody as http_body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    let event_types = types.iter().map(ToString::to_string).collect();
    let request = pb::WatchEventsRequest { cursor: cursor.to_owned(), event_types };
    events.watch_events(request).await.unwrap().into_inner()
}

/// The next event, past bookmarks, and its cursor.
async fn next(stream: &mut tonic::Streaming<pb::WatchEventsResponse>) -> (pb::Event, String) {
    loop {
        let message = stream.message().await.unwrap().expect("the stream ended");
        if let Some(event) = message.event {
            return (event, message.cursor);
        }
    }
}
