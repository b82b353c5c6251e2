//! `WatchTasks`: one task per stream that reads the change log when there is news and hands changes on, through a
//! bounded buffer, for as long as the caller may see them.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::changes::change_to_pb;
use super::convert::{revision, task_to_pb};
use super::convert_list::list_to_pb;
use crate::api::fields::Fields;
use crate::api::names;
use crate::auth::Principal;
use crate::domain::{Clock, Error, HistoryId, Owner, PageSize, Result, Rule};
use crate::pb::watch_tasks_response::{Bookmark, Event, InitialStateEnd};
use crate::pb::{WatchTasksRequest, WatchTasksResponse};
use crate::storage::{Storage, Subscription};

/// Limits of streams.
#[derive(Debug, Clone, Copy)]
pub struct WatchLimits {
    /// Streams of one user.
    pub streams_per_user_max: usize,
    /// Streams of all users.
    pub streams_max: usize,
    /// How long a full buffer may stay full.
    pub stall_timeout: Duration,
    /// After how long a silence a bookmark is sent.
    pub bookmark_interval: Duration,
}

impl WatchLimits {
    /// So many streams of one user; the rest is not set by anybody.
    pub const fn of_user(streams_per_user_max: usize) -> Self {
        Self {
            streams_per_user_max,
            streams_max: 10_000,
            stall_timeout: Duration::from_secs(10),
            bookmark_interval: Duration::from_secs(15),
        }
    }
}

/// Messages that wait for the reader. The channel sets room aside for 32 at a time, therefore in boxes.
const BUFFER_MESSAGES: usize = 64;
/// Changes, or tasks of the initial state, that are read at once.
const READ_MAX: usize = 200;
/// Lists of the initial state that are read at once.
const LISTS_AT_ONCE: PageSize = PageSize::LARGEST;

/// Where a stream begins.
#[derive(Debug, Clone, Copy)]
enum Start {
    Now,
    After(i64),
    InitialState,
}

/// Opens and bounds streams.
#[derive(Debug)]
pub(in crate::api) struct Watches {
    storage: Storage,
    clock: Clock,
    limits: WatchLimits,
    places: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Watches {
    pub(in crate::api) fn new(
        storage: Storage,
        clock: Clock,
        limits: WatchLimits,
        shutdown: CancellationToken,
    ) -> Self {
        let places = Arc::new(Semaphore::new(limits.streams_max));
        Self { storage, clock, limits, places, shutdown }
    }

    /// Opens a stream.
    pub(in crate::api) async fn open(
        &self,
        caller: &Principal,
        request: &WatchTasksRequest,
    ) -> Result<WatchStream<WatchTasksResponse>> {
        let (owner, start) = parse(caller, request)?;
        let known = HistoryId::given(&request.history);
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| Error::RateLimited { what: "streams of all users" })?;
        if self.storage.notifier().subscribers(owner) >= self.limits.streams_per_user_max {
            return Err(Error::RateLimited { what: "streams of this user" });
        }
        // Before the first look at the log, so that nothing falls between the two.
        let news = self.storage.notifier().subscribe(owner);
        let changes = self.storage.changes();
        let (position, history, reached) = match start {
            Start::Now | Start::InitialState => {
                let (position, history) = changes.current_revision(owner).await?;
                history.check(known)?;
                (position, history, position)
            }
            // Refuses what is compacted, in the future or of another history before the stream begins.
            Start::After(revision) => {
                let page = changes.list(owner, known, revision, 0, None).await?;
                (revision, page.history, page.current_revision)
            }
        };
        let (sender, receiver) = mpsc::channel(BUFFER_MESSAGES);
        let last_sender = sender.clone();
        let watch = Watch {
            storage: self.storage.clone(),
            owner,
            position,
            history,
            reached,
            news,
            sender,
            stall_timeout: self.limits.stall_timeout,
            bookmark_interval: self.limits.bookmark_interval,
            _place: place,
        };
        let lifetime = caller.expire_time.since(self.clock.now());
        let work = watch.run(matches!(start, Start::InitialState), lifetime, self.shutdown.clone());
        Ok(WatchStream::of(receiver, last_sender, work))
    }
}

fn parse(caller: &Principal, request: &WatchTasksRequest) -> Result<(Owner, Start)> {
    let mut fields = Fields::new(caller);
    let owner = fields.owner("parent", names::parse_user(&request.parent))?;
    let start = match (request.start_revision, request.initial_state) {
        (Some(_), true) => Err(Rule::field("must not be given together with initial_state")),
        (Some(number), false) => revision(number).map(Start::After),
        (None, true) => Ok(Start::InitialState),
        (None, false) => Ok(Start::Now),
    };
    let start = fields.check("start_revision", start);
    fields.finish(owner.zip(start))
}

/// One stream, on its writing side.
struct Watch {
    storage: Storage,
    owner: Owner,
    /// Everything up to here has been handed on.
    position: i64,
    /// The one that the position belongs to. The stream ends with it.
    history: HistoryId,
    /// Where the log stood when the stream was opened. What is read has to hold that, and whatever was told since.
    reached: i64,
    news: Subscription,
    sender: Sender<Box<WatchTasksResponse>>,
    stall_timeout: Duration,
    bookmark_interval: Duration,
    _place: OwnedSemaphorePermit,
}

impl Watch {
    /// Runs until the reader leaves (`Ok`) or something ends the stream.
    async fn run(
        mut self,
        initial_state: bool,
        lifetime: Duration,
        shutdown: CancellationToken,
    ) -> Result<()> {
        let reader = self.sender.clone();
        tokio::select! {
            ended = self.follow(initial_state) => ended,
            () = reader.closed() => Ok(()),
            () = shutdown.cancelled() => Err(Error::Draining),
            () = tokio::time::sleep(lifetime) => Err(Error::TokenExpired),
        }
    }

    async fn follow(&mut self, initial_state: bool) -> Result<()> {
        if initial_state {
            Box::pin(self.send_initial_state()).await?;
        }
        loop {
            let told = self.news.told();
            // In a box, so that a stream that waits does not keep the room for reading.
            Box::pin(self.send_changes()).await?;
            self.news.correct(told, self.position);
            tokio::select! {
                () = self.news.beyond(self.position, self.history) => {}
                () = tokio::time::sleep(self.bookmark_interval) => {
                    self.send(Event::Bookmark(Bookmark { revision: self.position })).await?;
                }
            }
        }
    }

    /// Every live list and task, then the mark. What changes meanwhile comes again as a change.
    async fn send_initial_state(&mut self) -> Result<()> {
        let mut place = None;
        loop {
            let lists = self.storage.task_lists();
            let page = lists.list(self.owner, false, place.as_ref(), LISTS_AT_ONCE).await?;
            place = page.lists.last().map(|last| (last.position.clone(), last.id));
            for list in page.lists {
                self.send(Event::TaskList(list_to_pb(list))).await?;
            }
            if !page.has_more {
                break;
            }
        }
        let mut after = None;
        loop {
            let page =
                self.storage.tasks().walk(self.owner, after, READ_MAX as i64, Some(self.reached)).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            for task in page {
                self.send(Event::Task(task_to_pb(task))).await?;
            }
        }
        self.send(Event::InitialStateEnd(InitialStateEnd { revision: self.position })).await
    }

    async fn send_changes(&mut self) -> Result<()> {
        loop {
            let changes = self.storage.changes();
            let min_revision = Some(self.reached.max(self.news.told()));
            let list = changes.list(self.owner, Some(self.history), self.position, READ_MAX, min_revision);
            let page = match list.await {
                Ok(page) => page,
                // A storage that is away for a moment ends no stream: the log has everything when it is back.
                Err(Error::StorageUnavailable(_) | Error::Overloaded | Error::DeadlineExceeded) => {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            for change in page.changes {
                let revision = change.revision;
                self.send(Event::Change(change_to_pb(self.owner, change))).await?;
                self.position = revision;
            }
            if !page.has_more {
                return Ok(());
            }
        }
    }

    async fn send(&self, event: Event) -> Result<()> {
        let message = WatchTasksResponse { event: Some(event), history: self.history.to_string() };
        match self.sender.send_timeout(Box::new(message), self.stall_timeout).await {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => Err(Error::StreamTooSlow),
            // The reader has gone; `run` ends by itself.
            Err(mpsc::error::SendTimeoutError::Closed(_)) => std::future::pending().await,
        }
    }
}

/// One stream, on its reading side.
#[derive(Debug)]
pub struct WatchStream<Message> {
    receiver: Receiver<Box<Message>>,
    /// Why the stream ended. A reader who was too slow does not get what still waits.
    ended: Arc<OnceLock<Status>>,
}

impl<Message> WatchStream<Message> {
    /// What `work` sends, until that ends and why.
    pub(in crate::api) fn of(
        receiver: Receiver<Box<Message>>,
        last_sender: Sender<Box<Message>>,
        work: impl Future<Output = Result<()>> + Send + 'static,
    ) -> Self
    where
        Message: Send + 'static,
    {
        let ended = Arc::new(OnceLock::new());
        let reason = Arc::clone(&ended);
        tokio::spawn(async move {
            // Whatever ends the work ends the stream; the reader going away needs no word.
            if let Err(error) = work.await {
                let _ = reason.set(Status::from(error));
            }
            // In this order: once the last sender is gone, the reader takes the reason, and needs it for itself.
            drop(reason);
            drop(last_sender);
        });
        Self { receiver, ended }
    }
}

impl<Message> Stream for WatchStream<Message> {
    type Item = Result<Message, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.receiver.poll_recv(context) {
            Poll::Ready(Some(message)) => Poll::Ready(Some(Ok(*message))),
            Poll::Ready(None) => match Arc::get_mut(&mut self.ended).and_then(OnceLock::take) {
                Some(status) => Poll::Ready(Some(Err(status))),
                None => Poll::Ready(None),
            },
            Poll::Pending => Poll::Pending,
        }
    }
}
