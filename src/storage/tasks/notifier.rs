//! News of changes, for whoever waits for them.
//!
//! News is a hint and carries no data: whoever hears it reads the change log. Hints come from this process's own
//! commits, at once; from other processes on the same PostgreSQL, by `NOTIFY`; and from a slow poll of the watched
//! users' revisions, which finds what any other program wrote and whatever a broken connection swallowed.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel::select;
use diesel_async::{RunQueryDsl as _, SimpleAsyncConnection as _};
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::domain::{HistoryId, Owner, UserId};
use crate::storage::engine::connections::checkout;
use crate::storage::engine::pool::{Engine, answered};
use crate::storage::engine::postgres;
use crate::storage::engine::postgres::Planner;
use crate::storage::events::outbox::Ears;
use crate::storage::{Storage, Target};

/// The channel that processes on one PostgreSQL database tell each other on.
pub(in crate::storage) const CHANNEL: &str = "taskwire_changes";

/// How often the watched users' revisions are looked at. Half of what is promised for changes made elsewhere.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Between two attempts to listen.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(500);
/// A notification holds at most 8000 bytes: this many users of 33 bytes each, and the origin.
const USERS_NAMED_MAX: usize = 200;
/// Between two notifications that are not part of a commit.
const TELL_INTERVAL: Duration = Duration::from_millis(5);
/// Most users that one statement of the poll asks for.
const POLLED_MAX: usize = 1000;

diesel::define_sql_function! {
    /// PostgreSQL's `pg_notify`.
    fn pg_notify(channel: diesel::sql_types::Text, payload: diesel::sql_types::Text);
}

/// Who waits for news of whom. Clones share the same list.
#[derive(Debug, Clone)]
pub struct Notifier {
    origin: Uuid,
    watched: Arc<Mutex<HashMap<UserId, watch::Sender<i64>>>>,
    histories: watch::Receiver<Option<HistoryId>>,
    /// Of whom the other processes are still to be told.
    untold: watch::Sender<BTreeSet<UserId>>,
    ears: Arc<Ears>,
}

/// Somebody's wait for news of one user.
#[derive(Debug)]
pub struct Subscription {
    news: watch::Receiver<i64>,
    histories: watch::Receiver<Option<HistoryId>>,
    user: UserId,
    notifier: Notifier,
}

impl Subscription {
    /// Waits until there may be changes after `revision`, or another history than `known`.
    pub async fn beyond(&mut self, revision: i64, known: HistoryId) {
        let news = async { self.news.wait_for(|latest| *latest > revision).await.is_ok() };
        let is_another = |present: &Option<HistoryId>| present.is_some_and(|present| present != known);
        let another = async { self.histories.wait_for(is_another).await.is_ok() };
        tokio::select! {
            // The senders live as long as somebody waits, so this ends by news only.
            true = news => {}
            true = another => {}
            else => std::future::pending().await,
        }
    }

    /// The latest revision that was told of.
    pub fn told(&self) -> i64 {
        *self.news.borrow()
    }

    /// Takes back what was `told` before the log was read up to `reached` and did not hold it: it was of a history that
    /// is over, and would be news for ever.
    pub fn correct(&self, told: i64, reached: i64) {
        if told > reached
            && let Some(sender) = self.notifier.lock().get(&self.user)
        {
            sender.send_if_modified(|latest| {
                if *latest == told {
                    *latest = reached;
                }
                false
            });
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut watched = self.notifier.lock();
        // This one still counts itself.
        if watched.get(&self.user).is_some_and(|sender| sender.receiver_count() <= 1) {
            watched.remove(&self.user);
        }
    }
}

impl Notifier {
    /// Nobody waits yet; `histories` tells which history is the present one.
    pub(in crate::storage) fn new(histories: watch::Receiver<Option<HistoryId>>) -> Self {
        let untold = watch::Sender::new(BTreeSet::new());
        Self { origin: Uuid::now_v7(), watched: Arc::default(), histories, untold, ears: Arc::default() }
    }

    /// What this process knows of those who listen to everything that happens.
    pub(in crate::storage) const fn ears(&self) -> &Arc<Ears> {
        &self.ears
    }

    /// Names this process to others.
    pub(in crate::storage) const fn origin(&self) -> Uuid {
        self.origin
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<UserId, watch::Sender<i64>>> {
        // Nothing panics while it is held; were it so, the list would still be whole.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for news of this user from now on.
    pub fn subscribe(&self, owner: Owner) -> Subscription {
        let user = owner.user();
        let news = self.lock().entry(user).or_insert_with(|| watch::Sender::new(0)).subscribe();
        Subscription { news, histories: self.histories.clone(), user, notifier: self.clone() }
    }

    /// How many wait for news of this user.
    pub fn subscribers(&self, owner: Owner) -> usize {
        self.lock().get(&owner.user()).map_or(0, watch::Sender::receiver_count)
    }

    /// How many wait for news, and of how many users.
    pub fn counts(&self) -> (usize, usize) {
        let watched = self.lock();
        (watched.values().map(watch::Sender::receiver_count).sum(), watched.len())
    }

    /// Says that these users' changes reach these revisions now.
    pub(in crate::storage) fn announce(&self, raised: Vec<(UserId, i64)>) {
        let watched = self.lock();
        for (user, revision) in raised {
            if let Some(sender) = watched.get(&user) {
                sender.send_if_modified(|latest| {
                    let news = revision > *latest;
                    *latest = revision.max(*latest);
                    news
                });
            }
        }
    }

    /// Has the other processes told soon that these users' changes were committed, where the commit could not say so.
    pub(in crate::storage) fn tell_others(&self, users: impl Iterator<Item = UserId>) {
        self.untold.send_modify(|untold| {
            untold.extend(users);
            // From here on all are meant.
            while untold.len() > USERS_NAMED_MAX + 1 {
                untold.pop_last();
            }
        });
    }

    fn watched(&self) -> Vec<UserId> {
        self.lock().keys().copied().collect()
    }
}

impl Storage {
    /// Hears and polls until the shutdown.
    pub async fn follow_changes(&self, shutdown: CancellationToken) {
        let listening = async {
            match &self.target {
                Target::Postgres(_) => self.listen().await,
                Target::Sqlite(_) => std::future::pending().await,
            }
        };
        let polling = async {
            loop {
                tokio::time::sleep(POLL_INTERVAL).await;
                self.poll(&self.notifier.watched()).await;
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = listening => {}
            () = polling => {}
            () = Box::pin(self.tell()) => {}
        }
    }

    /// Tells the other processes what commits could not. What fails is found by their poll.
    async fn tell(&self) {
        let Engine::Postgres(connections) = &self.pool.engine else { return std::future::pending().await };
        let mut untold = self.notifier.untold.subscribe();
        while untold.wait_for(|users| !users.is_empty()).await.is_ok() {
            let users = self.notifier.untold.send_replace(BTreeSet::new());
            let told = self.pool.bounded(async {
                let payload = payload(self.notifier.origin, users.into_iter());
                let mut conn = checkout(connections).await?;
                let told = select(pg_notify(CHANNEL, payload)).execute(&mut *conn).await;
                answered(&mut *conn, told)
            });
            if let Err(error) = told.await {
                tracing::debug!(%error, "the other processes were not told of changes");
            }
            tokio::time::sleep(TELL_INTERVAL).await;
        }
    }

    /// Looks at the revisions of these users. A storage that is away is no news; the next look will tell.
    async fn poll(&self, users: &[UserId]) {
        for some in users.chunks(POLLED_MAX) {
            if let Ok(revisions) = self.changes().current_revisions(some).await {
                self.notifier.announce(revisions.into_iter().collect());
            }
        }
    }

    /// Listens on a connection of its own, and on a new one whenever that ends.
    async fn listen(&self) {
        loop {
            // Before the connection is made: one that is given up meanwhile is not kept.
            let mut turns = self.pool.server().turns();
            turns.mark_unchanged();
            if let Target::Postgres(target) = &self.target
                && let Ok(mut connection) =
                    postgres::establish(target, self.pool.limits, Planner::Free, self.pool.server()).await
                && connection.batch_execute(&format!("listen {CHANNEL}")).await.is_ok()
            {
                // What was said while nobody listened is lost; look for all of it once.
                self.poll(&self.notifier.watched()).await;
                let mut notifications = std::pin::pin!(connection.notifications_stream());
                loop {
                    tokio::select! {
                        told = notifications.next() => match told {
                            Some(Ok(notification)) => self.hear(&notification.payload).await,
                            _ => break,
                        },
                        _ = turns.changed() => break,
                    }
                }
                tracing::debug!("the connection that listens for changes has ended; making a new one");
            }
            tokio::time::sleep(RECONNECT_INTERVAL).await;
        }
    }

    async fn hear(&self, payload: &str) {
        let (origin, users) = payload.split_once(' ').unwrap_or((payload, ""));
        if origin == self.notifier.origin.as_simple().to_string() {
            return;
        }
        let watched = self.notifier.watched();
        if users == "*" {
            return self.poll(&watched).await;
        }
        let named: Vec<UserId> = users
            .split(' ')
            .filter_map(|user| Uuid::try_parse(user).ok())
            .map(UserId::from)
            .filter(|user| watched.contains(user))
            .collect();
        self.poll(&named).await;
    }
}

/// What is told to others: who tells, and of whom. Of too many to name, of all.
pub(in crate::storage) fn payload(origin: Uuid, users: impl ExactSizeIterator<Item = UserId>) -> String {
    let mut payload = origin.as_simple().to_string();
    if users.len() > USERS_NAMED_MAX {
        payload.push_str(" *");
        return payload;
    }
    for user in users {
        payload.push(' ');
        payload.push_str(&user.uuid().as_simple().to_string());
    }
    payload
}

#[cfg(test)]
mod tests {

    use tokio::sync::watch;
    use uuid::Uuid;

    use super::{Notifier, USERS_NAMED_MAX, payload};
    use crate::domain::{Owner, UserId};

    fn user(number: u8) -> UserId {
        UserId::from_bytes([number; 16])
    }

    fn notifier() -> Notifier {
        Notifier::new(watch::Sender::new(None).subscribe())
    }

    #[test]
    fn whoever_waits_is_counted_until_they_go() {
        let notifier = notifier();
        assert_eq!(notifier.counts(), (0, 0));
        let (one, other) = (Owner::vouched_for(user(1)), Owner::vouched_for(user(2)));
        let waiting = [notifier.subscribe(one), notifier.subscribe(one), notifier.subscribe(other)];
        assert_eq!((notifier.counts(), notifier.subscribers(one)), ((3, 2), 2));
        let [first, second, third] = waiting;
        drop(first);
        assert_eq!((notifier.counts(), notifier.subscribers(one)), ((2, 2), 1));
        drop((second, third));
        assert_eq!((notifier.counts(), notifier.subscribers(one)), ((0, 0), 0));
    }

    #[test]
    fn what_was_told_stays_until_it_is_taken_back() {
        let notifier = notifier();
        let news = notifier.subscribe(Owner::vouched_for(user(1)));
        assert_eq!(news.told(), 0);
        notifier.announce(vec![(user(1), 7), (user(2), 9)]);
        assert_eq!(news.told(), 7);
        notifier.announce(vec![(user(1), 5)]);
        assert_eq!(news.told(), 7);
        // Somebody told more meanwhile: that is not what was read in vain.
        news.correct(6, 3);
        assert_eq!(news.told(), 7);
        // What was reached is as it was told, or beyond.
        news.correct(7, 8);
        assert_eq!(news.told(), 7);
        news.correct(7, 3);
        assert_eq!(news.told(), 3);
    }

    #[test]
    fn as_many_are_named_as_there_is_room_for() {
        let origin = Uuid::from_u128(1);
        let of = |count: usize| payload(origin, vec![user(1); count].into_iter());
        assert_eq!(of(1), format!("{} {}", origin.as_simple(), user(1).uuid().as_simple()));
        assert_eq!(of(USERS_NAMED_MAX).split(' ').count(), 1 + USERS_NAMED_MAX);
        assert!(of(USERS_NAMED_MAX).len() < 8000);
        assert_eq!(of(USERS_NAMED_MAX + 1), format!("{} *", origin.as_simple()));
    }
}
