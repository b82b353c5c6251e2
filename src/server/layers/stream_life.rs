//! Ends streams: by their caller's deadline, by the longest life there is, or because their connection closes.
//!
//! What the stream has to say goes first; it is ended when it is silent.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::Status;
use tonic::body::Body;

use crate::api::status::{Reason, refusal};
use crate::domain::Error;
use crate::server::connections::connection::Closing;

/// How long a stream may last.
#[derive(Debug)]
pub(in crate::server) struct StreamLife {
    until: Instant,
    /// Whether `until` is what the caller asked for.
    asked: bool,
    closing: Option<Closing>,
}

impl StreamLife {
    /// From now on.
    pub(in crate::server) fn begin(
        given: Option<Duration>,
        max: Duration,
        closing: Option<&Closing>,
    ) -> Self {
        let asked = given.filter(|given| *given < max);
        Self {
            until: Instant::now() + asked.unwrap_or(max),
            asked: asked.is_some(),
            closing: closing.cloned(),
        }
    }

    /// Puts an end to the body of a stream.
    pub(in crate::server) fn bound(self, body: Body) -> Body {
        if body.is_end_stream() {
            return body;
        }
        Body::new(BoundedBody {
            body,
            until: Box::pin(sleep_until(self.until)),
            asked: self.asked,
            closing: self.closing.map(|closing| Box::pin(closing.0.cancelled_owned())),
            ended: false,
        })
    }
}

struct BoundedBody {
    body: Body,
    until: Pin<Box<Sleep>>,
    asked: bool,
    closing: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    ended: bool,
}

impl BoundedBody {
    /// Why the stream has to end now.
    fn end(&mut self, context: &mut Context<'_>) -> Option<Status> {
        if let Some(closing) = &mut self.closing
            && closing.as_mut().poll(context).is_ready()
        {
            return Some(refusal(Reason::Draining, "the connection is closing; go on on another one"));
        }
        if self.until.as_mut().poll(context).is_pending() {
            return None;
        }
        Some(match self.asked {
            true => Status::from(Error::DeadlineExceeded),
            false => refusal(Reason::Draining, "the stream has lasted as long as it may; open another one"),
        })
    }
}

impl http_body::Body for BoundedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        let Some(status) = self.end(context) else {
            return Poll::Pending;
        };
        self.ended = true;
        let mut trailers = HeaderMap::new();
        // What cannot be written down ends the stream without a word.
        status.add_header(&mut trailers)?;
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
