//! The bytes of one connection, watched: whether the peer has spoken, and whether it sends more than its calls need.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::handshakes::Handshake;
use crate::api::Intake;

/// Anything that bytes come from and go to.
pub(in crate::server) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// What a peer has to say at least: the preface of HTTP/2 (24 bytes), and a SETTINGS frame (9) right after it.
const GREETING_BYTES: u64 = 24 + 9;

/// What a connection may send without any call.
const ALLOWANCE_BYTES: u64 = 256 * 1024;
/// What it may send of its first call before it is known that there is one: all that the windows of HTTP/2 let through, which are hyper's.
const FIRST_CALL_BYTES: u64 = 1024 * 1024 + CALL_OVERHEAD_BYTES;
/// What is added every second. A client that acknowledges every message of a fast stream needs less; a flood of
/// PING or SETTINGS frames is a hundred times as much.
const ALLOWANCE_BYTES_PER_SECOND: u64 = 128 * 1024;
/// What is added with each call beyond its message: headers, frames, acknowledgements.
const CALL_OVERHEAD_BYTES: u64 = 64 * 1024;
/// The most that can be saved up.
const ALLOWANCE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What goes on on one connection.
#[derive(Debug)]
pub(in crate::server) struct Activity {
    begin: Instant,
    spoke: AtomicBool,
    calls_begun: AtomicU64,
    calls_open: AtomicUsize,
    /// What handlers have taken in of streams.
    pub(super) intake: Intake,
    /// When the last call ended, in milliseconds since the beginning.
    quiet_since: AtomicU64,
}

impl Activity {
    pub(in crate::server) fn begin() -> Arc<Self> {
        Arc::new(Self {
            begin: Instant::now(),
            spoke: AtomicBool::new(false),
            calls_begun: AtomicU64::new(0),
            calls_open: AtomicUsize::new(0),
            intake: Intake::default(),
            quiet_since: AtomicU64::new(0),
        })
    }

    pub(in crate::server) const fn since(&self) -> Instant {
        self.begin
    }

    /// Whether the peer has spoken HTTP/2.
    pub(in crate::server) fn spoke(&self) -> bool {
        self.spoke.load(Ordering::Relaxed)
    }

    /// When the connection fell quiet; `None` while calls are open.
    pub(in crate::server) fn quiet_since(&self) -> Option<Instant> {
        (self.calls_open.load(Ordering::Acquire) == 0)
            .then(|| self.begin + std::time::Duration::from_millis(self.quiet_since.load(Ordering::Relaxed)))
    }

    /// Whether several calls are open, so that what is ready of one may soon have company.
    pub(in crate::server) fn has_several_calls(&self) -> bool {
        self.calls_open.load(Ordering::Relaxed) > 1
    }

    /// A call begins; it ends when what this answers is dropped.
    pub(in crate::server) fn call(self: &Arc<Self>) -> OpenCall {
        self.calls_begun.fetch_add(1, Ordering::Relaxed);
        self.calls_open.fetch_add(1, Ordering::Relaxed);
        OpenCall(Arc::clone(self))
    }
}

/// A call of a connection.
#[derive(Debug)]
pub(in crate::server) struct OpenCall(Arc<Activity>);

impl Drop for OpenCall {
    fn drop(&mut self) {
        let now = u64::try_from(self.0.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.quiet_since.store(now, Ordering::Relaxed);
        self.0.calls_open.fetch_sub(1, Ordering::Release);
    }
}

/// How much a peer may send: so much at once, so much a second, so much with each call, and what handlers take in of streams.
#[derive(Debug)]
struct Allowance {
    bytes: u64,
    calls: u64,
    /// Of streams, by their handlers.
    taken: u64,
    at: Instant,
    per_call: u64,
}

impl Allowance {
    /// Takes `count` bytes out of it; false when there are not enough.
    fn spend(&mut self, count: u64, activity: &Activity) -> bool {
        if self.bytes < count {
            // Only now, so that the clock is rarely asked.
            let calls = activity.calls_begun.load(Ordering::Relaxed);
            let milliseconds = u64::try_from(self.at.elapsed().as_millis()).unwrap_or(u64::MAX);
            let taken = activity.intake.bytes();
            let more = (calls - self.calls)
                .saturating_mul(self.per_call)
                .saturating_add(taken - self.taken)
                .saturating_add(milliseconds.saturating_mul(ALLOWANCE_BYTES_PER_SECOND) / 1000);
            (self.calls, self.taken) = (calls, taken);
            self.at = Instant::now();
            self.bytes = self.bytes.saturating_add(more).min(ALLOWANCE_BYTES_MAX);
        }
        let enough = self.bytes >= count;
        self.bytes = self.bytes.saturating_sub(count);
        enough
    }
}

/// A connection's bytes on their way in and out.
pub(in crate::server) struct Watched<Inner> {
    inner: Inner,
    activity: Arc<Activity>,
    allowance: Allowance,
    /// Bytes of the greeting that have come.
    read: u64,
    /// Ends with the greeting.
    handshake: Option<Handshake>,
}

impl<Inner> Watched<Inner> {
    pub(in crate::server) fn new(
        inner: Inner,
        activity: Arc<Activity>,
        message_bytes_max: usize,
        handshake: Option<Handshake>,
    ) -> Self {
        let allowance = Allowance {
            bytes: ALLOWANCE_BYTES + FIRST_CALL_BYTES,
            calls: 0,
            taken: 0,
            at: activity.begin,
            per_call: message_bytes_max as u64 + CALL_OVERHEAD_BYTES,
        };
        Self { inner, activity, allowance, read: 0, handshake }
    }

    fn note(&mut self, count: u64) -> io::Result<()> {
        if self.read < GREETING_BYTES {
            self.read += count;
            if self.read >= GREETING_BYTES {
                self.activity.spoke.store(true, Ordering::Relaxed);
                self.handshake.take();
            }
        }
        if self.allowance.spend(count, &self.activity) {
            return Ok(());
        }
        Err(io::Error::other("the peer sends far more than its calls need"))
    }
}

impl<Inner: AsyncRead + Unpin> AsyncRead for Watched<Inner> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.inner).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => {
                let count = buffer.filled().len() - before;
                Poll::Ready(self.note(count as u64))
            }
            other => other,
        }
    }
}

impl<Inner: AsyncWrite + Unpin> AsyncWrite for Watched<Inner> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::{ALLOWANCE_BYTES, Activity, GREETING_BYTES, Watched};

    #[tokio::test]
    async fn a_peer_has_spoken_when_its_greeting_is_complete() {
        let activity = Activity::begin();
        let (mut peer, io) = tokio::io::duplex(1024);
        let mut watched = Watched::new(io, activity.clone(), 0, None);
        peer.write_all(&[0; GREETING_BYTES as usize - 1]).await.unwrap();
        let mut bytes = [0; GREETING_BYTES as usize];
        watched.read_exact(&mut bytes[1..]).await.unwrap();
        assert!(!activity.spoke());
        peer.write_all(&[0]).await.unwrap();
        watched.read_exact(&mut bytes[..1]).await.unwrap();
        assert!(activity.spoke());
    }

    #[tokio::test]
    async fn who_sends_without_calling_is_cut() {
        let activity = Activity::begin();
        let message_bytes_max = 8 * ALLOWANCE_BYTES;
        let flood = vec![0; message_bytes_max as usize];
        let mut bytes = flood.clone();
        let mut watched = Watched::new(flood.as_slice(), activity.clone(), message_bytes_max as usize, None);
        assert!(watched.read_exact(&mut bytes).await.is_err());

        let mut watched = Watched::new(flood.as_slice(), activity.clone(), message_bytes_max as usize, None);
        let _call = activity.call();
        watched.read_exact(&mut bytes).await.unwrap();
    }

    #[test]
    fn a_connection_is_quiet_when_its_last_call_has_ended() {
        let activity = Activity::begin();
        assert_eq!(activity.quiet_since(), Some(activity.since()));
        let call = activity.call();
        assert_eq!(activity.quiet_since(), None);
        drop(call);
        assert!(activity.quiet_since().is_some());
    }
}
