//! The work that hands events on: what is in the outbox is put in order, and webhooks are told. One replica at a time does it for
//! all, under a lease, for as long as somebody listens.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};

use super::meters::Telling;
use super::{Outbound, Render, queue};
use crate::domain::{Result, UserId, WebhookId, WebhookQueue};

/// Queues that are told beside each other.
const QUEUES_AT_ONCE: usize = 64;
/// How often the outbox is looked at for what other replicas put there. What this one does wakes it.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// The longest wait of a queue whose way could not be noted: what it told is told again each time.
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(5);
/// After something was put in order: what comes within this time is put in order together.
const BREATH: Duration = Duration::from_millis(10);
/// How often it is asked whether anybody still listens.
const LISTENING_INTERVAL: Duration = Duration::from_secs(1);
/// How often what is still to be told is counted.
const COUNT_INTERVAL: Duration = Duration::from_secs(10);
/// No queue waits longer than the longest delay between two attempts.
const LONGEST: Duration = Duration::from_secs(5 * 60 * 60);

/// Hands events on until nobody listens any more, or whoever asked has enough of it.
///
/// # Errors
/// Those of the storage; whoever asked tries again.
pub async fn run(outbound: &Outbound, render: Render) -> Result<()> {
    let (telling, under_way, in_vain) = (JoinSet::new(), HashMap::new(), Arc::default());
    Dispatch { outbound, render, telling, under_way, in_vain }.run().await
}

struct Dispatch<'a> {
    outbound: &'a Outbound,
    render: Render,
    telling: JoinSet<()>,
    /// Which queue each of them is about.
    under_way: HashMap<Id, (UserId, WebhookId)>,
    /// How often in a row the storage failed a queue.
    in_vain: Arc<AtomicU32>,
}

impl Dispatch<'_> {
    async fn run(mut self) -> Result<()> {
        let storage = &self.outbound.storage;
        let _telling = Telling(&self.outbound.meters);
        let mut counted: Option<tokio::time::Instant> = None;
        let mut after = UserId::from_bytes([0; 16]);
        let mut asked = tokio::time::Instant::now();
        let mut first = true;
        loop {
            if first || asked.elapsed() > LISTENING_INTERVAL {
                first = false;
                asked = tokio::time::Instant::now();
                if !storage.listeners().anyone().await? {
                    // What a write that was under way still put there is nobody's.
                    storage.journal().sequence_all(self.outbound.clock.now()).await?;
                    return Ok(());
                }
            }
            if counted.is_none_or(|counted| counted.elapsed() > COUNT_INTERVAL) {
                counted = Some(tokio::time::Instant::now());
                self.outbound.meters.queued(Some(storage.webhook_queues().counts().await?));
            }
            let sequenced = storage.journal().sequence(after, self.outbound.clock.now()).await?;
            after = sequenced.after;
            self.begin().await?;
            let is_more = after != UserId::from_bytes([0; 16]);
            if is_more {
                continue;
            }
            if sequenced.count > 0 {
                tokio::time::sleep(BREATH).await;
            }
            let journal = storage.journal();
            tokio::select! {
                () = journal.filled() => {}
                Some(ended) = self.telling.join_next_with_id() => self.ended(ended),
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
            while let Some(ended) = self.telling.try_join_next_with_id() {
                self.ended(ended);
            }
        }
    }

    /// Begins with the queues whose time has come, as many as there is room for.
    async fn begin(&mut self) -> Result<()> {
        let room = QUEUES_AT_ONCE.saturating_sub(self.under_way.len());
        if room == 0 {
            return Ok(());
        }
        let limit = i64::try_from(QUEUES_AT_ONCE * 2).unwrap_or(i64::MAX);
        let queues = self.outbound.storage.webhook_queues();
        let due = queues.due(self.outbound.clock.now(), LONGEST, limit).await?;
        let free: Vec<WebhookQueue> = due
            .into_iter()
            .filter(|queue| !self.under_way.values().any(|key| *key == (queue.user, queue.webhook)))
            .take(room)
            .collect();
        for queue in free {
            let key = (queue.user, queue.webhook);
            let (outbound, render, in_vain) = (self.outbound.clone(), self.render, Arc::clone(&self.in_vain));
            let task = self.telling.spawn(async move {
                match queue::tell(&outbound, render, queue).await {
                    Ok(()) => in_vain.store(0, Ordering::Relaxed),
                    Err(cause) => {
                        tracing::debug!(webhook = %key.1, %cause, "a webhook could not be told; it will be told once more");
                        // A storage that is away or full is not asked again at once, nor a receiver told again.
                        let doubled = 1 << in_vain.fetch_add(1, Ordering::Relaxed).min(8);
                        tokio::time::sleep((LOOK_INTERVAL * doubled).min(LOOK_INTERVAL_MAX)).await;
                    }
                }
            });
            self.under_way.insert(task.id(), key);
        }
        Ok(())
    }

    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            // A bug in one must not keep the others waiting.
            Err(cause) => {
                tracing::error!(%cause, "telling a webhook stopped");
                cause.id()
            }
        };
        self.under_way.remove(&id);
    }
}
