//! Telling one webhook what it has still to be told of one user: in order, each event after the one before was taken.

use std::time::Duration;

use super::client::Attempted;
use super::{Outbound, Render, events};
use crate::domain::{
    AuditEventType, Delivery, DisableReason, Error, Event, EventKind, QueuedEvent, RETRY_DELAYS, Replay,
    Resource, Result, Trace, Webhook, WebhookFailure, WebhookQueue,
};

/// Events of the journal that are read at once.
const EVENTS_AT_ONCE: i64 = 50;

/// After so many events it is noted how far a queue has come: what a kill has told once more is no more than that.
const NOTED_AFTER: usize = 50;

/// How the telling of a queue ended.
enum End {
    /// Everything was taken.
    Told,
    /// Something was not.
    Failed(Attempted),
    /// The webhook was disabled or deleted meanwhile.
    Stopped,
}

/// One queue while it is told.
pub(super) struct Telling<'a> {
    outbound: &'a Outbound,
    render: Render,
    webhook: Webhook,
    queue: WebhookQueue,
    /// How far it has come.
    reached: Delivery,
    /// How often the next event was sent in vain.
    attempts: u16,
    taken: bool,
    /// What was taken since that was noted.
    unnoted: usize,
}

/// Tells a webhook what it has still to be told of a user, until that is nothing or something is not taken.
///
/// # Errors
/// Those of the storage; then nothing of what was told is noted, and it is told once more.
pub(super) async fn tell(outbound: &Outbound, render: Render, queue: WebhookQueue) -> Result<()> {
    let webhook = match outbound.storage.webhooks().find(queue.owner, queue.webhook).await {
        Ok(webhook) => webhook,
        // Deleted meanwhile: what was put into the queue since goes as well.
        Err(Error::NotFound(Resource::Webhook)) => {
            return outbound.storage.webhook_queues().drop_all(queue.webhook).await;
        }
        Err(error) => return Err(error),
    };
    if webhook.disable_reason.is_some() {
        // Put there by a write that was under way when it was disabled.
        let reached = as_it_is(&queue);
        return outbound.storage.webhook_queues().postpone(&queue, reached, queue.attempts, None).await;
    }
    let reached = as_it_is(&queue);
    let attempts = queue.attempts;
    let mut telling =
        Telling { outbound, render, webhook, queue, reached, attempts, taken: false, unnoted: 0 };
    let end = telling.run().await?;
    telling.note(end).await
}

const fn as_it_is(queue: &WebhookQueue) -> Delivery {
    Delivery { next_number: queue.next_number, next_revision: queue.next_revision, replay: queue.replay }
}

impl Telling<'_> {
    async fn run(&mut self) -> Result<End> {
        if let Some(replay) = self.queue.replay {
            match self.replay(replay).await? {
                End::Told => {}
                end => return Ok(end),
            }
            self.reached.replay = None;
        }
        loop {
            let journal = self.outbound.storage.journal();
            let (from, until) = (self.reached.next_number, self.queue.last_number);
            let queued = journal.of_user(self.queue.user, from, until, EVENTS_AT_ONCE).await?;
            if queued.is_empty() {
                return Ok(End::Told);
            }
            for one in &queued {
                if one.number != self.reached.next_number {
                    self.reached.next_number = one.number;
                    self.reached.next_revision = 0;
                }
                match self.tell_event(one).await? {
                    End::Told => {}
                    end => return Ok(end),
                }
                self.reached.next_number = one.number + 1;
                self.reached.next_revision = 0;
            }
        }
    }

    /// The changes after a revision, once more.
    async fn replay(&mut self, replay: Replay) -> Result<End> {
        let now = self.outbound.clock.now();
        let stretch = QueuedEvent {
            number: 0,
            user: self.queue.user,
            revision: replay.revision + 1,
            last_revision: replay.until,
            kind: EventKind::Changes,
            id: uuid::Uuid::nil(),
            payload: None,
            create_time: now,
        };
        let mut after = replay.revision;
        loop {
            let told = match events::tell(&self.outbound.storage, &stretch, after).await {
                Ok(told) => told,
                // No longer kept: what is left of it cannot be told.
                Err(Error::CursorExpired) => return Ok(End::Told),
                Err(error) => return Err(error),
            };
            for event in told.events {
                let told = self.tell_one(&event).await?;
                if matches!(told, End::Told) {
                    after = revision(&event).unwrap_or(after);
                }
                self.reached.replay = Some(Replay { revision: after, until: replay.until });
                match told {
                    End::Told => {}
                    end => return Ok(end),
                }
            }
            match told.more_after {
                Some(last) => after = last,
                None => return Ok(End::Told),
            }
        }
    }

    async fn tell_event(&mut self, queued: &QueuedEvent) -> Result<End> {
        loop {
            let told = match events::tell(&self.outbound.storage, queued, self.reached.next_revision).await {
                Ok(told) => told,
                Err(Error::CursorExpired) => return Ok(End::Told),
                Err(error) => return Err(error),
            };
            for event in &told.events {
                match self.tell_one(event).await? {
                    End::Told => {}
                    end => return Ok(end),
                }
                self.reached.next_revision = revision(event).unwrap_or(0);
            }
            match told.more_after {
                Some(last) => self.reached.next_revision = last,
                None => return Ok(End::Told),
            }
        }
    }

    async fn tell_one(&mut self, event: &Event) -> Result<End> {
        if self.unnoted >= NOTED_AFTER && !self.go_on().await? {
            return Ok(End::Stopped);
        }
        if !self.webhook.event_types.contains(event.kind) {
            return Ok(End::Told);
        }
        let attempted = self.outbound.send(&self.webhook, &event.id, (self.render)(event)).await?;
        self.outbound.meters.attempted(attempted.failure.is_none());
        if attempted.failure.is_some() {
            return Ok(End::Failed(attempted));
        }
        self.taken = true;
        self.attempts = 0;
        self.unnoted += 1;
        Ok(End::Told)
    }

    /// Notes how far it has come, and looks at the webhook again; answers whether that still sends.
    async fn go_on(&mut self) -> Result<bool> {
        let (storage, now) = (&self.outbound.storage, self.outbound.clock.now());
        self.unnoted = 0;
        storage.webhook_queues().postpone(&self.queue, self.reached, 0, Some(now)).await?;
        self.queue.replay = self.reached.replay;
        match storage.webhooks().find(self.queue.owner, self.queue.webhook).await {
            Ok(webhook) => self.webhook = webhook,
            Err(Error::NotFound(Resource::Webhook)) => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(self.webhook.disable_reason.is_none())
    }

    /// Writes down how it ended.
    async fn note(self, end: End) -> Result<()> {
        let (storage, now) = (&self.outbound.storage, self.outbound.clock.now());
        let (owner, id) = (self.webhook.owner, self.webhook.id);
        if self.taken {
            storage.webhooks().succeeded(owner, id, now).await?;
        }
        let attempted = match end {
            End::Told => return storage.webhook_queues().told(&self.queue, now).await,
            // What is left is kept, and not tried until it is enabled again.
            End::Stopped => {
                return storage.webhook_queues().postpone(&self.queue, self.reached, 0, None).await;
            }
            End::Failed(attempted) => attempted,
        };
        let Some(reason) = attempted.failure else { return Ok(()) };
        let delay = RETRY_DELAYS.get(usize::from(self.attempts));
        let disable = match delay {
            _ if attempted.is_gone() => Some(DisableReason::Gone),
            None => Some(DisableReason::Failing),
            Some(_) => None,
        };
        let wait = delay.copied().unwrap_or_default().max(attempted.retry_after.unwrap_or(Duration::ZERO));
        let next = disable.is_none().then(|| now.after(wait));
        let failure = WebhookFailure { time: now, code: attempted.code, reason };
        let draft = Trace::default().did(AuditEventType::WebhookDisabled);
        if storage.webhooks().recorded(draft).failed(owner, id, failure, disable).await? {
            self.outbound.meters.disabled();
            tracing::warn!(webhook = %id, reason = reason.text(), "a webhook was disabled");
        }
        storage.webhook_queues().postpone(&self.queue, self.reached, self.attempts + 1, next).await
    }
}

/// The revision of a change.
fn revision(event: &Event) -> Option<i64> {
    match &event.data {
        crate::domain::EventData::Change(change) => Some(change.revision),
        _ => None,
    }
}
