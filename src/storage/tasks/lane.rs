//! A lane carries operations of one kind to the database many at a time: what arrives while one batch is under
//! way forms the next. There is no timer, so an idle lane adds no wait; under load one statement and one commit
//! serve many callers.
//!
//! Nothing here knows what is carried. Queues are bounded; whoever has gone away is dropped before dispatch; one
//! user's flood takes at most its share of a batch while others wait.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use futures_util::FutureExt as _;
use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::{mpsc, oneshot};

use crate::domain::{Error, Owner, Result, UserId};

/// Operations that may wait in one lane. Beyond it the database is too slow for what comes in.
const QUEUE_MAX: usize = 4096;
/// Operations of one batch.
pub(in crate::storage) const BATCH_MAX: usize = 128;
/// Lists that are read together: each is as much work as dozens of single tasks.
pub(in crate::storage) const LISTS_MAX: usize = 16;

/// How a lane is doing. Counters only ever rise.
#[derive(Debug)]
pub struct LaneMetrics {
    /// Operations that wait or are under way.
    pub waiting: AtomicUsize,
    /// Batches carried.
    pub batches: AtomicU64,
    /// Operations carried.
    pub operations: AtomicU64,
    /// Time that operations waited before their batch began, all together, in microseconds.
    pub waited_micros: AtomicU64,
    /// Operations refused because the queue was full.
    pub refused: AtomicU64,
    /// Batches by the number of their operations.
    pub batch_sizes: Histogram,
    /// Operations by how long they waited before their batch began, in seconds.
    pub waits: Histogram,
}

impl Default for LaneMetrics {
    fn default() -> Self {
        Self {
            waiting: AtomicUsize::default(),
            batches: AtomicU64::default(),
            operations: AtomicU64::default(),
            waited_micros: AtomicU64::default(),
            refused: AtomicU64::default(),
            batch_sizes: Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, BATCH_MAX as f64]),
            waits: crate::storage::engine::meters::waits(),
        }
    }
}

/// One lane. Clones lead to the same queue.
#[derive(Debug)]
pub(in crate::storage) struct Lane<Operation, Answer> {
    queue: mpsc::Sender<Waiting<Operation, Answer>>,
    metrics: Arc<LaneMetrics>,
}

#[derive(Debug)]
struct Waiting<Operation, Answer> {
    user: UserId,
    /// Only those of one class go together.
    class: i64,
    operation: Operation,
    answer: oneshot::Sender<Answer>,
    since: Instant,
}

impl<Operation: Send + 'static, Answer: Send + 'static> Lane<Operation, Answer> {
    /// Opens a lane; `carry` takes a batch of at most so many and answers each of its operations, in order. The lane
    /// closes when it is dropped, after what waits has been carried.
    pub(in crate::storage) fn open<Carry, Carried>(batch_max: usize, carry: Carry) -> Self
    where
        Carry: Fn(Vec<Operation>) -> Carried + Send + Sync + 'static,
        Carried: Future<Output = Vec<Answer>> + Send + 'static,
    {
        let (queue, arrivals) = mpsc::channel(QUEUE_MAX);
        let metrics = Arc::new(LaneMetrics::default());
        tokio::spawn(drive(arrivals, batch_max, carry, Arc::clone(&metrics)));
        Self { queue, metrics }
    }

    /// Sends an operation and waits for its answer. Only operations of the same class go together.
    ///
    /// A caller who stops waiting before the batch begins is not carried; after that the operation is carried
    /// out whether or not anyone hears of it.
    ///
    /// # Errors
    /// `Overloaded` when the queue is full, `Internal` when the batch ended without an answer.
    pub(in crate::storage) async fn send(
        &self,
        user: UserId,
        class: i64,
        operation: Operation,
    ) -> Result<Answer> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { user, class, operation, answer, since: Instant::now() };
        if self.queue.try_send(waiting).is_err() {
            self.metrics.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Error::Overloaded);
        }
        let _counted = Counted::one_more(&self.metrics.waiting);
        answered.await.map_err(|_| Error::Internal("a batch ended without an answer".into()))
    }

    /// How the lane is doing.
    pub(in crate::storage) fn metrics(&self) -> &LaneMetrics {
        &self.metrics
    }
}

/// The lane of a user. The last bytes of a UUID of either common version are random.
pub(in crate::storage) fn place(owner: Owner, lanes: usize) -> usize {
    let bytes = owner.user();
    let tail =
        bytes.as_bytes()[8..].iter().fold(0_usize, |hash, byte| hash.wrapping_mul(31) ^ usize::from(*byte));
    tail % lanes.max(1)
}

/// Counts a caller for as long as it waits, whether it gets its answer or goes away.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn one_more(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn drive<Operation, Answer, Carry, Carried>(
    mut arrivals: mpsc::Receiver<Waiting<Operation, Answer>>,
    batch_max: usize,
    carry: Carry,
    metrics: Arc<LaneMetrics>,
) where
    Carry: Fn(Vec<Operation>) -> Carried + Send + Sync,
    Carried: Future<Output = Vec<Answer>> + Send + 'static,
{
    let mut pending = VecDeque::new();
    let mut arrived = Vec::new();
    loop {
        if pending.is_empty() && arrivals.recv_many(&mut arrived, QUEUE_MAX).await == 0 {
            return;
        }
        pending.extend(arrived.drain(..));
        while let Ok(waiting) = arrivals.try_recv() {
            pending.push_back(waiting);
            if pending.len() >= 2 * QUEUE_MAX {
                break;
            }
        }
        pending.retain(|waiting| !waiting.answer.is_closed());
        let batch = next_batch(&mut pending, batch_max);
        if batch.is_empty() {
            continue;
        }
        metrics.batches.fetch_add(1, Ordering::Relaxed);
        metrics.operations.fetch_add(batch.len() as u64, Ordering::Relaxed);
        metrics.batch_sizes.observe(batch.len() as f64);
        let mut operations = Vec::with_capacity(batch.len());
        let mut answers = Vec::with_capacity(batch.len());
        for waiting in batch {
            let waited = waiting.since.elapsed();
            metrics.waits.observe(waited.as_secs_f64());
            let waited = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
            metrics.waited_micros.fetch_add(waited, Ordering::Relaxed);
            operations.push(waiting.operation);
            answers.push(waiting.answer);
        }
        // A panic costs this batch its answers, which its callers learn, and not the lane its life.
        let carried = AssertUnwindSafe(async { carry(operations).await }).catch_unwind().await;
        let Ok(outcomes) = carried else {
            tracing::error!("a batch panicked; its operations were not answered");
            continue;
        };
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            // Nobody need be listening any more.
            let _ = answer.send(outcome);
        }
    }
}

/// Takes the next batch out of what waits: those of the class of the oldest, oldest first. When not all of it fits, each user
/// gets an even share before anyone gets more. The order among one user's operations stays.
fn next_batch<Operation, Answer>(
    pending: &mut VecDeque<Waiting<Operation, Answer>>,
    max: usize,
) -> Vec<Waiting<Operation, Answer>> {
    let Some(class) = pending.front().map(|oldest| oldest.class) else { return Vec::new() };
    if pending.len() <= max && pending.iter().all(|waiting| waiting.class == class) {
        return pending.drain(..).collect();
    }
    let mut taken: HashMap<UserId, usize> = HashMap::new();
    for waiting in pending.iter().filter(|waiting| waiting.class == class) {
        taken.entry(waiting.user).or_default();
    }
    let share = (max / taken.len()).max(1);
    let mut chosen = vec![false; pending.len()];
    let mut count = 0;
    for only_share in [true, false] {
        for (waiting, chosen) in pending.iter().zip(&mut chosen) {
            if waiting.class != class {
                continue;
            }
            let of_user = taken.entry(waiting.user).or_default();
            if count < max && !*chosen && (!only_share || *of_user < share) {
                *of_user += 1;
                *chosen = true;
                count += 1;
            }
        }
    }
    let mut batch = Vec::with_capacity(count);
    let mut rest = VecDeque::with_capacity(pending.len() - count);
    for (waiting, chosen) in pending.drain(..).zip(chosen) {
        if chosen { batch.push(waiting) } else { rest.push_back(waiting) }
    }
    *pending = rest;
    batch
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    use tokio::sync::{Notify, oneshot};

    use super::{BATCH_MAX, Lane, Waiting, next_batch};
    use crate::domain::UserId;

    fn queue(users: &[u8]) -> VecDeque<Waiting<usize, ()>> {
        let waiting = |(operation, user): (usize, &u8)| Waiting {
            user: UserId::from_bytes([*user; 16]),
            class: i64::from(*user / 10),
            operation,
            answer: oneshot::channel().0,
            since: Instant::now(),
        };
        users.iter().enumerate().map(waiting).collect()
    }

    fn taken(pending: &mut VecDeque<Waiting<usize, ()>>, max: usize) -> Vec<usize> {
        next_batch(pending, max).into_iter().map(|waiting| waiting.operation).collect()
    }

    #[test]
    fn a_flood_leaves_room_for_others() {
        let mut pending = queue(&[1, 1, 1, 1, 1, 1, 2, 1, 3, 1]);
        assert_eq!(taken(&mut pending, 4), [0, 1, 6, 8]);
        assert_eq!(taken(&mut pending, 4), [2, 3, 4, 5]);
        assert_eq!(taken(&mut pending, 4), [7, 9]);
        assert!(pending.is_empty());
    }

    #[test]
    fn only_those_of_one_class_go_together() {
        let mut pending = queue(&[1, 11, 2, 12, 1, 11]);
        assert_eq!(taken(&mut pending, 8), [0, 2, 4]);
        assert_eq!(taken(&mut pending, 2), [1, 3]);
        pending.extend(queue(&[1]));
        assert_eq!(taken(&mut pending, 8), [5]);
        assert_eq!(taken(&mut pending, 8), [0]);
        assert_eq!(taken(&mut pending, 8), [0; 0]);
    }

    #[test]
    fn with_more_users_than_places_the_oldest_come_first() {
        let mut pending = queue(&[1, 1, 2, 3, 4, 5]);
        assert_eq!(taken(&mut pending, 3), [0, 2, 3]);
        assert_eq!(taken(&mut pending, 3), [1, 4, 5]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_arrives_during_a_batch_forms_the_next() {
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let gate = Arc::new(Notify::new());
        let lane = {
            let (sizes, gate) = (Arc::clone(&sizes), Arc::clone(&gate));
            Lane::open(BATCH_MAX, move |batch: Vec<u32>| {
                sizes.lock().unwrap().push(batch.len());
                let gate = Arc::clone(&gate);
                async move {
                    gate.notified().await;
                    batch.into_iter().map(|number| number * 2).collect()
                }
            })
        };
        let user = UserId::from_bytes([1; 16]);
        let (first, others) = {
            let mut all = (0..5).map(|number| Box::pin(lane.send(user, 0, number))).collect::<Vec<_>>();
            // The first is on its way before the others are sent.
            assert!(futures_util::poll!(&mut all[0]).is_pending());
            while sizes.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
            let others = all.split_off(1);
            (all.remove(0), futures_util::future::join_all(others))
        };
        let mut others = Box::pin(others);
        assert!(futures_util::poll!(&mut others).is_pending());
        gate.notify_one();
        assert_eq!(first.await, Ok(0));
        gate.notify_one();
        assert_eq!(others.await, [Ok(2), Ok(4), Ok(6), Ok(8)]);
        assert_eq!(*sizes.lock().unwrap(), [1, 4]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_batch_that_panics_fails_its_callers_and_not_the_lane() {
        let lane = Lane::open(BATCH_MAX, |batch: Vec<u32>| async move {
            assert!(!batch.contains(&13), "thirteen");
            batch
        });
        let user = UserId::from_bytes([1; 16]);
        assert!(lane.send(user, 0, 13).await.is_err());
        assert_eq!(lane.send(user, 0, 7).await, Ok(7));
    }
}
