//! The stream of all events, which outlives its connections: it goes on after the last cursor that it saw.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio_stream::Stream;
use tonic::{Request, Streaming};

use super::Client;
use super::call::{Core, Kind};
use super::error::{Error, Result};
use super::retry::pause;
use super::watch::passes;
use super::webhooks::service;
use taskwire_proto::{WatchEventsRequest, WatchEventsResponse};

/// Which events are told, and from where on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventOptions {
    /// The cursor of the last message that was dealt with. From now on when empty.
    pub cursor: String,
    /// Which types, as in `task.*`; all when empty.
    pub event_types: Vec<String>,
}

impl Client {
    /// Follows the events of all users, with an API key that has the scope `events.read`. It resumes by itself where a connection
    /// breaks.
    ///
    /// Each message has a cursor, to be kept once it is dealt with; one without an event only tells how far the stream has come.
    /// After an error with the reason `CURSOR_EXPIRED` or `HISTORY_CHANGED` whatever was built from the events has to be
    /// built anew.
    pub fn watch_events(
        &self,
        options: EventOptions,
    ) -> impl Stream<Item = Result<WatchEventsResponse>> + Send + Unpin + use<> {
        messages(Arc::clone(&self.core), options)
    }
}

struct Reading {
    core: Arc<Core>,
    /// Where the stream is opened next.
    position: EventOptions,
    stream: Option<Streaming<WatchEventsResponse>>,
    /// Whether the service has ever answered.
    is_known: bool,
    is_over: bool,
    /// Since something was last told.
    failures: u32,
}

fn messages(core: Arc<Core>, position: EventOptions) -> BoxStream<'static, Result<WatchEventsResponse>> {
    let reading = Reading { core, position, stream: None, is_known: false, is_over: false, failures: 0 };
    let messages = stream::unfold(reading, |mut reading| async move {
        if reading.is_over {
            return None;
        }
        let message = reading.next().await;
        reading.is_over = message.is_err();
        Some((message, reading))
    });
    Box::pin(messages.fuse())
}

impl Reading {
    async fn next(&mut self) -> Result<WatchEventsResponse> {
        loop {
            let told = match &mut self.stream {
                None => self.open().await.map(|()| None),
                Some(stream) => match stream.message().await {
                    Ok(Some(message)) => Ok(Some(message)),
                    Ok(None) => {
                        self.interrupted(None).await?;
                        continue;
                    }
                    Err(status) => Err(Error::from(status)),
                },
            };
            match told {
                Ok(Some(message)) => {
                    self.position.cursor.clone_from(&message.cursor);
                    self.failures = 0;
                    return Ok(message);
                }
                Ok(None) => {}
                Err(error) => self.interrupted(Some(error)).await?,
            }
        }
    }

    /// Opens the stream where the last one ended.
    async fn open(&mut self) -> Result<()> {
        let EventOptions { cursor, event_types } = self.position.clone();
        let request = WatchEventsRequest { cursor, event_types };
        let watch =
            |channel, request: Request<_>| async move { service(channel).watch_events(request).await };
        self.stream = Some(self.core.authorized(Kind::Stream, request, watch).await?);
        self.is_known = true;
        Ok(())
    }

    /// Waits before the stream is opened again; answers the error when that cannot help.
    async fn interrupted(&mut self, error: Option<Error>) -> Result<()> {
        self.stream = None;
        if let Some(error) = &error
            && (!self.is_known || !passes(error))
        {
            return Err(error.clone());
        }
        self.failures = self.failures.saturating_add(1);
        let asked = error.as_ref().and_then(Error::retry_after);
        tokio::time::sleep(pause(self.failures, asked)).await;
        Ok(())
    }
}
