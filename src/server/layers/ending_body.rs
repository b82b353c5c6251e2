//! A body that may be ended from outside, with a status of its own.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

/// When a body is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// However much there still is to say.
    AtOnce,
    /// Once it is silent: what it has to say goes first.
    Silent,
}

/// A body that ends early, with the status that a future comes to.
pub(super) struct EndingBody {
    body: Body,
    /// `None` once it has ended the body.
    end: Option<BoxFuture<'static, Status>>,
    when: When,
}

impl EndingBody {
    /// This body, until `end`.
    pub(super) fn wrap(body: Body, end: BoxFuture<'static, Status>, when: When) -> Body {
        Body::new(Self { body, end: Some(end), when })
    }

    /// The last frame, if the end has come. What cannot be written down ends the stream without a word.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Option<Result<Frame<Bytes>, Status>> {
        let Poll::Ready(status) = self.end.as_mut()?.poll_unpin(context) else { return None };
        self.end = None;
        let mut trailers = HeaderMap::new();
        Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers)))
    }
}

impl http_body::Body for EndingBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.end.is_none() {
            return Poll::Ready(None);
        }
        if self.when == When::AtOnce
            && let Some(last) = self.poll_end(context)
        {
            return Poll::Ready(Some(last));
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        if self.when == When::AtOnce {
            return Poll::Pending;
        }
        self.poll_end(context).map_or(Poll::Pending, |last| Poll::Ready(Some(last)))
    }

    fn is_end_stream(&self) -> bool {
        self.end.is_none() || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
