//! A lane carries operations of one kind to the database many at a time: what arrives while one batch is under
//! way forms the next. There is no timer, so an idle lane adds no wait; under load one statement and one commit
//! serve many callers. Whoever reads and is alone carries the own operation, without a hop to the task that drives the lane.
//!
//! Nothing here knows what is carried. Queues are bounded; whoever has gone away is dropped before dispatch; one
//! user's flood takes at most its share of a batch while others wait.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, oneshot};

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

/// One lane.
#[derive(Debug)]
pub(in crate::storage) struct Lane<Operation, Answer> {
    queue: mpsc::Sender<Waiting<Operation, Answer>>,
    carrier: Arc<Carrier<Operation, Answer>>,
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
        let carrier = Arc::new(Carrier {
            carry: Box::new(move |operations| carry(operations).boxed()),
            turn: Arc::default(),
            last: AtomicUsize::new(1),
            metrics: LaneMetrics::default(),
        });
        tokio::spawn(drive(arrivals, batch_max, Arc::clone(&carrier)));
        Self { queue, carrier }
    }

    /// Sends an operation, or carries it where nobody else is, and waits for its answer. For what waits for one answer of the database:
    /// each wakes the whole call around it, where the driver is a small task.
    ///
    /// # Errors
    /// As `send`.
    pub(in crate::storage) async fn send_or_carry(
        &self,
        user: UserId,
        class: i64,
        operation: Operation,
    ) -> Result<Answer> {
        let Some(turn) = self.carrier.turn_of_one_alone() else {
            return self.send(user, class, operation).await;
        };
        let _counted = Counted::one_more(&self.carrier.metrics.waiting);
        let carrier = Arc::clone(&self.carrier);
        let carried = async move {
            let answers = carrier.carry(vec![operation], std::iter::once(Duration::ZERO)).await;
            drop(turn);
            answers
        };
        let answers = ToItsEnd(Some(Box::pin(carried))).await;
        answers.and_then(|mut answers| answers.pop()).ok_or_else(unanswered)
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
        let metrics = &self.carrier.metrics;
        let _counted = Counted::one_more(&metrics.waiting);
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { user, class, operation, answer, since: Instant::now() };
        if self.queue.try_send(waiting).is_err() {
            metrics.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Error::Overloaded);
        }
        answered.await.map_err(|_| unanswered())
    }

    /// Whether a caller who comes now would be alone.
    pub(in crate::storage) fn is_lonely(&self) -> bool {
        self.carrier.is_lonely()
    }

    /// How the lane is doing.
    pub(in crate::storage) fn metrics(&self) -> &LaneMetrics {
        &self.carrier.metrics
    }
}

/// What carries the batches of a lane, one at a time.
struct Carrier<Operation, Answer> {
    carry: Box<dyn Fn(Vec<Operation>) -> BoxFuture<'static, Vec<Answer>> + Send + Sync>,
    /// Held while a batch is under way.
    turn: Arc<Mutex<()>>,
    /// Operations of the last batch.
    last: AtomicUsize,
    metrics: LaneMetrics,
}

impl<Operation, Answer> std::fmt::Debug for Carrier<Operation, Answer> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Carrier").field("metrics", &self.metrics).finish_non_exhaustive()
    }
}

impl<Operation, Answer> Carrier<Operation, Answer> {
    /// Whether nobody is here, and nobody was together with another one lately. Where others come, waiting for the driver is
    /// what gathers them.
    fn is_lonely(&self) -> bool {
        self.last.load(Ordering::Relaxed) == 1 && self.metrics.waiting.load(Ordering::Relaxed) == 0
    }

    /// The turn, for a caller who is alone.
    fn turn_of_one_alone(&self) -> Option<OwnedMutexGuard<()>> {
        if self.is_lonely() { Arc::clone(&self.turn).try_lock_owned().ok() } else { None }
    }

    /// Carries a batch, whose operations waited that long; `None` when it panicked, which costs its operations their answers,
    /// and not the lane its life.
    async fn carry(
        &self,
        operations: Vec<Operation>,
        waits: impl Iterator<Item = Duration>,
    ) -> Option<Vec<Answer>> {
        let metrics = &self.metrics;
        let count = operations.len();
        self.last.store(count, Ordering::Relaxed);
        metrics.batches.fetch_add(1, Ordering::Relaxed);
        metrics.operations.fetch_add(count as u64, Ordering::Relaxed);
        metrics.batch_sizes.observe(count as f64);
        for wait in waits {
            metrics.waits.observe(wait.as_secs_f64());
            let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
            metrics.waited_micros.fetch_add(micros, Ordering::Relaxed);
        }
        let carried = AssertUnwindSafe(async { (self.carry)(operations).await }).catch_unwind().await;
        carried.inspect_err(|_| tracing::error!("a batch panicked; its operations were not answered")).ok()
    }
}

/// Work that is brought to its end by a task of its own when whoever waits for it goes away.
struct ToItsEnd<T: Send + 'static>(Option<BoxFuture<'static, T>>);

impl<T: Send + 'static> Future for ToItsEnd<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(work) = &mut self.0 else { return Poll::Pending };
        let polled = work.as_mut().poll(context);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for ToItsEnd<T> {
    fn drop(&mut self) {
        // Without a runtime there is nothing that could bring it on.
        if let (Some(work), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(work);
        }
    }
}

fn unanswered() -> Error {
    Error::Internal("a batch ended without an answer".into())
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

async fn drive<Operation: Send, Answer: Send>(
    mut arrivals: mpsc::Receiver<Waiting<Operation, Answer>>,
    batch_max: usize,
    carrier: Arc<Carrier<Operation, Answer>>,
) {
    let mut pending = VecDeque::new();
    let mut arrived = Vec::new();
    loop {
        if arrivals.recv_many(&mut arrived, QUEUE_MAX).await == 0 {
            return;
        }
        let _turn = carrier.turn.lock().await;
        // Kept while there is something to carry.
        loop {
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
                break;
            }
            let mut waits = Vec::with_capacity(batch.len());
            let mut operations = Vec::with_capacity(batch.len());
            let mut answers = Vec::with_capacity(batch.len());
            for waiting in batch {
                waits.push(waiting.since.elapsed());
                operations.push(waiting.operation);
                answers.push(waiting.answer);
            }
            let outcomes = carrier.carry(operations, waits.into_iter()).await;
            for (answer, outcome) in answers.into_iter().zip(outcomes.into_iter().flatten()) {
                // Nobody need be listening any more.
                let _ = answer.send(outcome);
            }
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

    #[tokio::test(flavor = "multi_thread")]
    async fn who_is_alone_is_carried_without_a_hop() {
        let lane = Lane::open(BATCH_MAX, |batch: Vec<u32>| async move {
            // What carried it, for each of the batch.
            batch.into_iter().map(|_| tokio::task::try_id()).collect()
        });
        let user = UserId::from_bytes([1; 16]);
        let lone = tokio::spawn(async move {
            for number in 0..3 {
                assert_eq!(lane.send_or_carry(user, 0, number).await, Ok(tokio::task::try_id()));
            }
        });
        lone.await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_began_is_brought_to_its_end_before_the_next_when_its_caller_goes() {
        let gate = Arc::new(Notify::new());
        let done = Arc::new(Mutex::new(Vec::new()));
        let lane = {
            let (gate, done) = (Arc::clone(&gate), Arc::clone(&done));
            Lane::open(BATCH_MAX, move |batch: Vec<u32>| {
                let (gate, done) = (Arc::clone(&gate), Arc::clone(&done));
                async move {
                    gate.notified().await;
                    done.lock().unwrap().extend(batch.clone());
                    batch
                }
            })
        };
        let user = UserId::from_bytes([1; 16]);
        let mut first = Box::pin(lane.send_or_carry(user, 0, 1));
        assert!(futures_util::poll!(&mut first).is_pending());
        let mut second = Box::pin(lane.send(user, 0, 2));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        gate.notify_one();
        while done.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(futures_util::poll!(&mut second).is_pending());
        gate.notify_one();
        assert_eq!(second.await, Ok(2));
        assert_eq!(*done.lock().unwrap(), [1, 2]);
    }
}
