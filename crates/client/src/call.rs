//! One call: its deadline, its attempts, its token.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::Mutex;
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use super::error::{Error, Result};
use super::retry::{Budget, may_repeat, pause};
use super::session::{CachedSession, Exchange, Session, SessionStore, is_over};
use taskwire_proto as pb;

/// How often a call is made with other tokens: what another process left may have expired as well.
const EXCHANGES_MAX: u32 = 2;

/// What a second call does when the first was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It reads again.
    Read,
    /// It opens a stream, which lives longer than any deadline.
    Stream,
    /// It carries the same idempotency key, and is answered as the first was.
    Idempotent,
    /// It finds done what it asks for.
    Repeatable,
    /// It does it once more.
    NotRepeatable,
}

/// What all clones of a client share.
pub(super) struct Core {
    pub(super) channel: Channel,
    pub(super) session_store: SessionStore,
    pub(super) api_key: Option<MetadataValue<Ascii>>,
    pub(super) timeout: Duration,
    pub(super) attempts: u32,
    pub(super) budget: Budget,
    /// Held by whoever changes the session.
    pub(super) exchange: Mutex<Exchange>,
    pub(super) seen: Seen,
}

/// How far the changes of the session's user were seen: reads are to hold at least as much.
#[derive(Debug)]
pub(super) struct Seen {
    revision: AtomicI64,
    /// Whether reads are to hold everything.
    everything: bool,
}

impl Seen {
    pub(super) const fn nothing(everything: bool) -> Self {
        Self { revision: AtomicI64::new(0), everything }
    }

    /// Notes a revision that was answered.
    pub(super) fn note(&self, revision: i64) {
        self.revision.fetch_max(revision, Ordering::Relaxed);
    }

    /// Forgets what was seen, for somebody else.
    fn forget(&self) {
        self.revision.store(0, Ordering::Relaxed);
    }

    /// What a read has to hold at least; everything, as long as nothing was seen.
    pub(super) fn min_revision(&self) -> Option<i64> {
        Some(self.revision.load(Ordering::Relaxed)).filter(|revision| *revision > 0 && !self.everything)
    }
}

/// How often and how long a call is tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) deadline: Instant,
    pub(super) attempts: u32,
}

impl Core {
    pub(super) fn session(&self) -> Option<Session> {
        self.session_store.get().map(|held| held.session.clone())
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds { deadline: Instant::now() + self.timeout, attempts: self.attempts }
    }

    /// A call with the caller's token, if there is one; it is exchanged in time, or when the service calls it expired.
    pub(super) async fn authorized<Req, Res, F, Fut>(&self, kind: Kind, request: Req, send: F) -> Result<Res>
    where
        Req: Clone,
        F: Fn(Channel, Request<Req>) -> Fut,
        Fut: Future<Output = Result<Response<Res>, Status>>,
    {
        let bounds = self.bounds();
        let Some(mut held) = self.fresh(bounds).await? else {
            return self.repeated(kind, bounds, self.api_key.as_ref(), &request, &send).await;
        };
        let mut exchanges = 0;
        let answer = loop {
            let answer = self.repeated(kind, bounds, Some(&held.bearer), &request, &send).await;
            match answer {
                // Refused before it was looked at, so that any call may come again.
                Err(error) if error.reason() == "TOKEN_EXPIRED" && exchanges < EXCHANGES_MAX => {
                    exchanges += 1;
                    held = self.exchanged(&held, bounds).await?;
                }
                answer => break answer,
            }
        };
        if let Err(error) = &answer
            && error.reason() == "SESSION_REVOKED"
        {
            self.forget(&held).await;
        }
        answer
    }

    /// A call without a token.
    pub(super) async fn anonymous<Req, Res, F, Fut>(&self, kind: Kind, request: Req, send: F) -> Result<Res>
    where
        Req: Clone,
        F: Fn(Channel, Request<Req>) -> Fut,
        Fut: Future<Output = Result<Response<Res>, Status>>,
    {
        self.repeated(kind, self.bounds(), None, &request, &send).await
    }

    /// The call as it is, again for as long as that is safe and can help.
    pub(super) async fn repeated<Req, Res, F, Fut>(
        &self,
        kind: Kind,
        bounds: Bounds,
        bearer: Option<&MetadataValue<Ascii>>,
        message: &Req,
        send: &F,
    ) -> Result<Res>
    where
        Req: Clone,
        F: Fn(Channel, Request<Req>) -> Fut,
        Fut: Future<Output = Result<Response<Res>, Status>>,
    {
        let mut failures = 0;
        let mut earlier: Option<Error> = None;
        loop {
            let mut request = Request::new(message.clone());
            if let Some(bearer) = bearer {
                request.metadata_mut().insert("authorization", bearer.clone());
            }
            if kind != Kind::Stream {
                request.set_timeout(bounds.deadline.saturating_duration_since(Instant::now()));
            }
            let sent = tokio::time::timeout_at(bounds.deadline, send(self.channel.clone(), request));
            let error = match sent.await {
                Ok(Ok(response)) => {
                    self.budget.note_success();
                    return Ok(response.into_inner());
                }
                // As a server says it whose own timer was the first.
                Ok(Err(status)) if status.code() == Code::Cancelled && Instant::now() >= bounds.deadline => {
                    Error::deadline()
                }
                Ok(Err(status)) => Error::from(status),
                Err(_) => Error::deadline(),
            };
            let error = error.after(earlier.as_ref());
            failures += 1;
            if !may_repeat(kind != Kind::NotRepeatable, &error) || failures >= bounds.attempts {
                return Err(error);
            }
            let wait = pause(failures, error.retry_after());
            // What went wrong says more than that there was no time for another attempt.
            if Instant::now() + wait >= bounds.deadline || !self.budget.spend() {
                return Err(error);
            }
            earlier = Some(error);
            tokio::time::sleep(wait).await;
        }
    }

    /// Logs in.
    pub(super) async fn begin_session<Req, F, Fut>(&self, request: Req, send: F) -> Result<Session>
    where
        Req: Clone,
        F: Fn(Channel, Request<Req>) -> Fut,
        Fut: Future<Output = Result<Response<pb::TokenPair>, Status>>,
    {
        let asked = SystemTime::now();
        let pair = self.repeated(Kind::NotRepeatable, self.bounds(), None, &request, &send).await?;
        let held = CachedSession::answered(pair, asked)?;
        let _changing = self.exchange.lock().await;
        self.session_store.put(Some(Arc::clone(&held)));
        self.seen.forget();
        Ok(held.session.clone())
    }

    /// Lets the session of this client go, whichever it is.
    pub(super) async fn forget_session(&self) {
        let _changing = self.exchange.lock().await;
        self.session_store.put(None);
    }

    /// Lets a session go that has ended, unless another one has taken its place.
    async fn forget(&self, ended: &CachedSession) {
        let _changing = self.exchange.lock().await;
        if self.session_store.get().is_some_and(|held| held.session == ended.session) {
            self.session_store.put(None);
        }
    }

    /// The session, with a token that will live through a call.
    async fn fresh(&self, bounds: Bounds) -> Result<Option<Arc<CachedSession>>> {
        let Some(held) = self.session_store.get() else {
            return Ok(None);
        };
        if !held.is_near_its_end() {
            return Ok(Some(held));
        }
        if held.is_at_its_end() {
            return self.exchanged(&held, bounds).await.map(Some);
        }
        // There is time yet: a service in trouble is not waited for.
        match self.exchanged(&held, Bounds { attempts: 1, ..bounds }).await {
            Err(error) if !is_over(&error) => Ok(Some(held)),
            exchanged => exchanged.map(Some),
        }
    }
}
