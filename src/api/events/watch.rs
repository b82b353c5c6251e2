//! `WatchEvents`: one task per stream that reads the journal from where its reader stands. Numbers have no gap, so that a reader
//! knows when something is missing.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::mpsc::{self, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::convert_event::event_to_pb;
use crate::api::fields::Fields;
use crate::api::tasks::watch::{WatchLimits, WatchStream};
use crate::auth::Principal;
use crate::domain::{Clock, Error, EventCursor, EventTypes, QueuedEvent, Result, Rule};
use crate::outbound::events;
use crate::pb::{WatchEventsRequest, WatchEventsResponse};
use crate::storage::{Listener, Storage};

/// Streams of all callers. Each of them reads the whole journal.
const STREAMS_MAX: usize = 64;
/// Messages that wait for the reader.
const BUFFER_MESSAGES: usize = 64;
/// Events of the journal that are read at once.
const READ_MAX: i64 = 200;
/// How often the journal is looked at. Whoever puts events in order may be another replica.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// How often it is said that somebody reads.
const RENEW_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Opens and bounds streams.
#[derive(Debug)]
pub(super) struct EventStreams {
    storage: Storage,
    clock: Clock,
    limits: WatchLimits,
    places: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl EventStreams {
    pub(super) fn new(
        storage: Storage,
        clock: Clock,
        limits: WatchLimits,
        shutdown: CancellationToken,
    ) -> Self {
        Self { storage, clock, limits, places: Arc::new(Semaphore::new(STREAMS_MAX)), shutdown }
    }

    /// Opens a stream.
    pub(super) async fn open(
        &self,
        caller: &Principal,
        request: &WatchEventsRequest,
    ) -> Result<WatchStream<WatchEventsResponse>> {
        let (cursor, types) = parse(caller, request)?;
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| Error::RateLimited { what: "streams of all events" })?;
        self.storage.listeners().add(Listener::Streams, self.clock.now()).await?;
        let head = self.storage.journal().head().await?;
        let cursor = match cursor {
            Some(cursor) => {
                head.history.check(Some(cursor.history))?;
                if cursor.number < head.swept {
                    return Err(Error::CursorExpired);
                }
                if cursor.number > head.last {
                    return Err(Error::invalid(unknown().at("cursor")));
                }
                cursor
            }
            None => EventCursor { history: head.history, number: head.last, revision: 0 },
        };
        let (sender, receiver) = mpsc::channel(BUFFER_MESSAGES);
        let last_sender = sender.clone();
        let reading = Reading {
            storage: self.storage.clone(),
            clock: self.clock.clone(),
            cursor,
            types,
            sender,
            stall_timeout: self.limits.stall_timeout,
            bookmark_interval: self.limits.bookmark_interval,
            _place: place,
        };
        let lifetime = caller.expire_time.since(self.clock.now());
        let work = reading.run(lifetime, self.shutdown.clone());
        Ok(WatchStream::of(receiver, last_sender, work))
    }
}

fn unknown() -> Rule {
    Rule::field("must be a cursor as it was answered, unaltered")
}

fn parse(caller: &Principal, request: &WatchEventsRequest) -> Result<(Option<EventCursor>, EventTypes)> {
    let mut fields = Fields::new(caller);
    let cursor = if request.cursor.is_empty() {
        Ok(None)
    } else {
        let bytes = URL_SAFE_NO_PAD.decode(&request.cursor).map_err(|_| unknown());
        bytes.and_then(|bytes| EventCursor::from_bytes(&bytes).ok_or_else(unknown)).map(Some)
    };
    let cursor = fields.check("cursor", cursor);
    let types = if request.event_types.is_empty() {
        Ok(EventTypes::ALL)
    } else {
        EventTypes::parse(&request.event_types, true)
    };
    let types = fields.check("event_types", types);
    fields.finish(cursor.zip(types))
}

/// What came of a look at the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    /// There was nothing.
    Nothing,
    /// Nothing of the types that are asked for.
    Unasked,
    /// Something was sent.
    Sent,
}

/// One stream, on its writing side.
struct Reading {
    storage: Storage,
    clock: Clock,
    /// Everything up to here has been handed on.
    cursor: EventCursor,
    types: EventTypes,
    sender: Sender<Box<WatchEventsResponse>>,
    stall_timeout: Duration,
    bookmark_interval: Duration,
    _place: OwnedSemaphorePermit,
}

impl Reading {
    /// Runs until the reader leaves (`Ok`) or something ends the stream.
    async fn run(mut self, lifetime: Duration, shutdown: CancellationToken) -> Result<()> {
        let reader = self.sender.clone();
        tokio::select! {
            ended = self.follow() => ended,
            () = reader.closed() => Ok(()),
            () = shutdown.cancelled() => Err(Error::Draining),
            () = tokio::time::sleep(lifetime) => Err(Error::TokenExpired),
        }
    }

    async fn follow(&mut self) -> Result<()> {
        let (mut sent, mut renewed) = (Instant::now(), Instant::now());
        // So that whoever is cut off before anything happens knows where to go on.
        self.send(None).await?;
        loop {
            match Box::pin(self.read()).await {
                Ok(Read::Nothing) => tokio::time::sleep(LOOK_INTERVAL).await,
                Ok(Read::Unasked) => {}
                Ok(Read::Sent) => sent = Instant::now(),
                // A storage that is away for a moment ends no stream: the journal has everything when it is back.
                Err(Error::StorageUnavailable(_) | Error::Overloaded | Error::DeadlineExceeded) => {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                Err(error) => return Err(error),
            }
            if sent.elapsed() >= self.bookmark_interval {
                self.send(None).await?;
                sent = Instant::now();
            }
            if renewed.elapsed() >= RENEW_INTERVAL
                && self.storage.listeners().add(Listener::Streams, self.clock.now()).await.is_ok()
            {
                renewed = Instant::now();
            }
        }
    }

    /// Hands on some of what there is.
    async fn read(&mut self) -> Result<Read> {
        let head = self.storage.journal().head().await?;
        head.history.check(Some(self.cursor.history))?;
        if self.cursor.number < head.swept {
            return Err(Error::CursorExpired);
        }
        if self.cursor.number == head.last {
            return Ok(Read::Nothing);
        }
        let mut read = Read::Nothing;
        for queued in self.storage.journal().after(self.cursor.number, READ_MAX).await? {
            if queued.number != self.cursor.number + 1 {
                // Of several servers one may be behind another for a moment; what is missing comes, or is said to be gone.
                break;
            }
            let told = self.tell(&queued).await?;
            read = if read == Read::Sent { Read::Sent } else { told };
        }
        Ok(read)
    }

    async fn tell(&mut self, queued: &QueuedEvent) -> Result<Read> {
        let mut read = Read::Unasked;
        loop {
            let told = events::tell(&self.storage, queued, self.cursor.revision).await?;
            let mut events = told.events.into_iter().peekable();
            while let Some(event) = events.next() {
                let is_last = events.peek().is_none() && told.more_after.is_none();
                self.cursor = match &event.data {
                    _ if is_last => EventCursor { number: queued.number, revision: 0, ..self.cursor },
                    crate::domain::EventData::Change(change) => {
                        EventCursor { revision: change.revision, ..self.cursor }
                    }
                    _ => self.cursor,
                };
                if self.types.contains(event.kind) {
                    self.send(Some(event_to_pb(&event))).await?;
                    read = Read::Sent;
                }
            }
            match told.more_after {
                Some(last) => self.cursor.revision = last,
                None => break,
            }
        }
        self.cursor = EventCursor { number: queued.number, revision: 0, ..self.cursor };
        Ok(read)
    }

    async fn send(&self, event: Option<crate::pb::Event>) -> Result<()> {
        let message = WatchEventsResponse { event, cursor: URL_SAFE_NO_PAD.encode(self.cursor.to_bytes()) };
        match self.sender.send_timeout(Box::new(message), self.stall_timeout).await {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => Err(Error::StreamTooSlow),
            // The reader has gone; `run` ends by itself.
            Err(mpsc::error::SendTimeoutError::Closed(_)) => std::future::pending().await,
        }
    }
}
