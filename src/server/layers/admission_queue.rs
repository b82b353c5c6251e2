//! The queue that calls pass: so many at a time, so many in line, and a word at once to whoever would wait in vain.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::domain::{Error, Result};
use crate::methods::Class;

/// How much one call moves the estimate of how long calls take.
const WEIGHT: f64 = 1.0 / 32.0;
/// What a refused caller is told to wait, at least and at most.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// How many calls there may be.
#[derive(Debug, Clone, Copy)]
pub struct AdmissionLimits {
    /// Calls under way at the same time. Several batches of a lane, so that the next one is full when one is done.
    pub calls_max: usize,
    /// Calls that wait for room.
    pub waiting_max: usize,
}

impl AdmissionLimits {
    /// Of the calls under way, those that do many things at once: there is always room for single ones.
    pub(in crate::server) const fn batch_max(&self) -> usize {
        self.calls_max.div_ceil(2)
    }
}

/// The queue. There is one for all connections.
#[derive(Debug)]
pub(in crate::server) struct AdmissionQueue {
    limits: AdmissionLimits,
    state: Mutex<State>,
    refused: AtomicU64,
}

/// How the queue stands.
#[derive(Debug, Clone, Copy)]
pub(in crate::server) struct QueueState {
    /// Calls inside.
    pub(in crate::server) inside: usize,
    /// Calls there may be inside.
    pub(in crate::server) calls_max: usize,
    /// Single calls in line.
    pub(in crate::server) interactive: usize,
    /// Batches in line.
    pub(in crate::server) batch: usize,
    /// Calls that were refused.
    pub(in crate::server) refused: u64,
}

#[derive(Debug)]
struct State {
    inside: usize,
    batch_inside: usize,
    interactive: VecDeque<Waiting>,
    batch: VecDeque<Waiting>,
    /// How long a call takes, in seconds; a moving average.
    call_seconds: f64,
    /// When a call last left, or when it became full after that.
    moved: Instant,
}

type Waiting = oneshot::Sender<Permit>;

/// The right to be inside. It ends when this is dropped.
#[derive(Debug)]
pub(in crate::server) struct Permit {
    queue: Arc<AdmissionQueue>,
    class: Class,
    since: Instant,
}

impl AdmissionQueue {
    pub(in crate::server) fn new(limits: AdmissionLimits) -> Arc<Self> {
        let state = State {
            inside: 0,
            batch_inside: 0,
            interactive: VecDeque::new(),
            batch: VecDeque::new(),
            call_seconds: 0.0,
            moved: Instant::now(),
        };
        Arc::new(Self { limits, state: Mutex::new(state), refused: AtomicU64::new(0) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it stands now.
    pub(in crate::server) fn queue_state(&self) -> QueueState {
        let state = self.state();
        QueueState {
            inside: state.inside,
            calls_max: self.limits.calls_max,
            interactive: state.interactive.len(),
            batch: state.batch.len(),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    /// Goes in, if there is room now.
    pub(in crate::server) fn try_enter(self: &Arc<Self>, class: Class) -> Option<Permit> {
        let mut state = self.state();
        // Whoever comes now must not overtake those who wait.
        let first = match class {
            Class::Batch => state.interactive.is_empty() && state.batch.is_empty(),
            _ => state.interactive.is_empty(),
        };
        (first && state.has_room(class, &self.limits)).then(|| {
            state.enter(class, &self.limits);
            drop(state);
            self.permit(class)
        })
    }

    fn permit(self: &Arc<Self>, class: Class) -> Permit {
        Permit { queue: Arc::clone(self), class, since: Instant::now() }
    }

    /// Waits in line to go in.
    ///
    /// # Errors
    /// `Busy`, at once: when the line is full, or when it is so long that the call would not be done in `remaining`.
    pub(in crate::server) async fn enter(
        self: &Arc<Self>,
        class: Class,
        remaining: Duration,
    ) -> Result<Permit> {
        let turn = {
            let mut state = self.state();
            if state.waiting() >= self.limits.waiting_max {
                state.forget_the_gone();
            }
            let wait = state.expected_wait(class, &self.limits);
            let needed = wait + Duration::from_secs_f64(state.call_seconds);
            if state.waiting() >= self.limits.waiting_max || needed > remaining {
                self.refused.fetch_add(1, Ordering::Relaxed);
                return Err(Error::Busy { retry_after: wait.clamp(RETRY_MIN, RETRY_MAX) });
            }
            let (sender, turn) = oneshot::channel();
            state.line(class).push_back(sender);
            turn
        };
        // Somebody may have left in between.
        self.let_in();
        turn.await.map_err(|_| Error::Internal("the queue is gone".to_owned()))
    }

    /// Lets in whoever is next, as long as there is room.
    fn let_in(self: &Arc<Self>) {
        loop {
            let (next, class) = {
                let mut state = self.state();
                let Some((next, class)) = state.next(&self.limits) else { return };
                state.enter(class, &self.limits);
                (next, class)
            };
            // Outside of the lock, as a permit that nobody waits for any more gives its place back.
            let _ = next.send(self.permit(class));
        }
    }
}

impl State {
    fn has_room(&self, class: Class, limits: &AdmissionLimits) -> bool {
        self.inside < limits.calls_max && (class != Class::Batch || self.batch_inside < limits.batch_max())
    }

    fn enter(&mut self, class: Class, limits: &AdmissionLimits) {
        self.inside += 1;
        if class == Class::Batch {
            self.batch_inside += 1;
        }
        if self.inside == limits.calls_max || self.batch_inside == limits.batch_max() {
            self.moved = Instant::now();
        }
    }

    fn waiting(&self) -> usize {
        self.interactive.len() + self.batch.len()
    }

    fn line(&mut self, class: Class) -> &mut VecDeque<Waiting> {
        if class == Class::Batch { &mut self.batch } else { &mut self.interactive }
    }

    /// Callers who stopped waiting leave their place in line behind.
    fn forget_the_gone(&mut self) {
        self.interactive.retain(|waiting| !waiting.is_closed());
        self.batch.retain(|waiting| !waiting.is_closed());
    }

    fn next(&mut self, limits: &AdmissionLimits) -> Option<(Waiting, Class)> {
        for class in [Class::Interactive, Class::Batch] {
            while self.has_room(class, limits) {
                match self.line(class).pop_front() {
                    Some(gone) if gone.is_closed() => {}
                    Some(next) => return Some((next, class)),
                    None => break,
                }
            }
        }
        None
    }

    /// How long the line takes: those ahead, each as long as calls take, so many at a time. A line that has not
    /// moved for a while is not expected to move sooner.
    fn expected_wait(&self, class: Class, limits: &AdmissionLimits) -> Duration {
        let (ahead, places) = match class {
            Class::Batch => (self.waiting(), limits.batch_max()),
            _ => (self.interactive.len(), limits.calls_max),
        };
        let seconds = (ahead + 1) as f64 * self.call_seconds / places as f64;
        Duration::from_secs_f64(seconds).max(self.moved.elapsed())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let took = self.since.elapsed().as_secs_f64();
        let mut state = self.queue.state();
        state.inside -= 1;
        if self.class == Class::Batch {
            state.batch_inside -= 1;
        }
        state.call_seconds += (took - state.call_seconds) * WEIGHT;
        let waiting = state.waiting() > 0;
        state.moved = self.since + Duration::from_secs_f64(took);
        drop(state);
        if waiting {
            self.queue.let_in();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use futures_util::FutureExt as _;

    use super::{AdmissionLimits, AdmissionQueue};
    use crate::domain::Error;
    use crate::methods::Class::{Batch, Interactive};

    fn queue(calls_max: usize, waiting_max: usize) -> Arc<AdmissionQueue> {
        AdmissionQueue::new(AdmissionLimits { calls_max, waiting_max })
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn whoever_leaves_lets_the_next_one_in() {
        let queue = queue(1, 4);
        let inside = queue.try_enter(Interactive).unwrap();
        assert!(queue.try_enter(Interactive).is_none());
        let mut first = Box::pin(queue.enter(Interactive, LONG));
        let mut second = Box::pin(queue.enter(Interactive, LONG));
        assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
        drop(inside);
        let inside = first.await.unwrap();
        assert!((&mut second).now_or_never().is_none());
        drop(inside);
        drop(second.await.unwrap());
        assert!(queue.try_enter(Interactive).is_some());
    }

    #[tokio::test]
    async fn a_single_call_goes_before_a_batch() {
        let queue = queue(2, 4);
        let inside = (queue.try_enter(Batch).unwrap(), queue.try_enter(Interactive).unwrap());
        let mut batch = Box::pin(queue.enter(Batch, LONG));
        assert!((&mut batch).now_or_never().is_none());
        let mut single = Box::pin(queue.enter(Interactive, LONG));
        assert!((&mut single).now_or_never().is_none());
        drop(inside.0);
        let single = single.await.unwrap();
        assert!((&mut batch).now_or_never().is_none());
        drop((single, inside.1));
        batch.await.unwrap();
    }

    #[tokio::test]
    async fn batches_leave_room_for_single_calls() {
        let queue = queue(4, 4);
        let inside = [queue.try_enter(Batch).unwrap(), queue.try_enter(Batch).unwrap()];
        assert!(queue.try_enter(Batch).is_none());
        assert!(queue.try_enter(Interactive).is_some());
        drop(inside);
        assert!(queue.try_enter(Batch).is_some());
    }

    #[tokio::test]
    async fn a_full_line_refuses_and_forgets_who_has_gone() {
        let queue = queue(1, 1);
        let _inside = queue.try_enter(Interactive).unwrap();
        let mut waiting = Box::pin(queue.enter(Interactive, LONG));
        assert!((&mut waiting).now_or_never().is_none());
        let refused = queue.enter(Interactive, LONG).await;
        assert!(matches!(refused, Err(Error::Busy { retry_after }) if retry_after >= super::RETRY_MIN));
        drop(waiting);
        assert!(queue.enter(Interactive, LONG).now_or_never().is_none());
    }

    #[tokio::test]
    async fn who_cannot_be_done_in_time_hears_of_it_at_once() {
        let queue = queue(1, 10);
        queue.state().call_seconds = 1.0;
        let _inside = queue.try_enter(Interactive).unwrap();
        let begin = Instant::now();
        let refused = queue.enter(Interactive, Duration::from_millis(1500)).await;
        assert!(matches!(refused, Err(Error::Busy { retry_after }) if retry_after >= Duration::from_secs(1)));
        assert!(begin.elapsed() < Duration::from_millis(500));
        assert!(queue.enter(Interactive, Duration::from_millis(2500)).now_or_never().is_none());
    }

    /// The best of many rounds: other work on the machine is not what is measured.
    #[test]
    fn with_room_it_costs_less_than_a_microsecond() {
        const CALLS: u32 = 1000;
        let queue = queue(512, 2048);
        let round = || {
            let begin = Instant::now();
            for _ in 0..CALLS {
                drop(queue.try_enter(Interactive));
            }
            begin.elapsed() / CALLS
        };
        let best = (0..200).map(|_| round()).min().unwrap();
        println!("{best:?} a call");
        assert!(best < Duration::from_micros(1), "{best:?}");
    }

    #[tokio::test]
    async fn a_turn_that_nobody_takes_is_given_on() {
        let queue = queue(1, 4);
        let inside = queue.try_enter(Interactive).unwrap();
        let mut gone = Box::pin(queue.enter(Interactive, LONG));
        assert!((&mut gone).now_or_never().is_none());
        drop(inside);
        // Let in, but dropped before it looked.
        drop(gone);
        assert!(queue.try_enter(Interactive).is_some());
    }
}
