//! Ends streams: by their caller's deadline, by the longest life there is, or because their connection closes.
//!
//! What the stream has to say goes first; it is ended when it is silent.

use std::time::Duration;

use futures_util::FutureExt as _;
use http_body::Body as _;
use tokio::time::{Instant, sleep_until};
use tonic::Status;
use tonic::body::Body;

use super::ending_body::{EndingBody, When};
use crate::api::reason::Reason;
use crate::api::status::refusal;
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
        if body.is_end_stream() { body } else { EndingBody::wrap(body, self.end().boxed(), When::Silent) }
    }

    /// Why the stream has to end, once it has to.
    async fn end(self) -> Status {
        let closing = async {
            match &self.closing {
                Some(closing) => closing.0.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = closing => refusal(Reason::Draining, "the connection is closing; go on on another one"),
            () = sleep_until(self.until) => match self.asked {
                true => Status::from(Error::DeadlineExceeded),
                false => {
                    refusal(Reason::Draining, "the stream has lasted as long as it may; open another one")
                }
            },
        }
    }
}
