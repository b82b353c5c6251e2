//! A watch that outlives its connections: it resumes after the last revision it saw, and proves that it missed nothing.

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio_stream::Stream;
use tonic::{Code, Streaming};

use super::error::{Error, Origin, Result};
use super::retry::pause;
use super::tasks::{Checkpoint, Tasks};
use taskwire_proto::watch_tasks_response::Event as Sent;
use taskwire_proto::{Task, TaskChange, TaskList, WatchTasksResponse};

/// Where a watch begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchFrom {
    /// With the first change from now on.
    Now,
    /// With every list and task that is not deleted, then the changes.
    State,
    /// With the first change after this place.
    After(Checkpoint),
}

/// What a watch tells.
// Handed on one at a time; a box would be in everybody's way.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// All lists and tasks follow, one by one, up to `StateEnd`: what was known before is void. So begins `WatchFrom::State`; any
    /// watch comes to it that was away for longer than the service keeps changes, whose database was put back to an
    /// earlier state, or that broke off before `StateEnd`.
    StateBegin,
    /// A list as it stands. All of them come before the tasks.
    TaskList(TaskList),
    /// A task as it stands.
    Task(Task),
    /// That was the last one. Changes after this place follow.
    StateEnd(Checkpoint),
    /// A change, and the place that it leads to. Each one is told, once, in order.
    Change(TaskChange, Checkpoint),
}

/// So often a stream may go on at another place than where the last one ended, before the service is not believed.
const GAPS_MAX: u32 = 3;

#[derive(Debug, Clone)]
enum Position {
    Now,
    State,
    After(Checkpoint),
}

struct Watch {
    tasks: Tasks,
    position: Position,
    stream: Option<Streaming<WatchTasksResponse>>,
    /// Whether the service has ever answered.
    is_known: bool,
    is_over: bool,
    /// Since something was last told.
    failures: u32,
    gaps: u32,
}

impl Tasks {
    /// Follows the changes, for as long as the session lives. It resumes by itself where a connection breaks.
    pub fn watch(&self, from: WatchFrom) -> impl Stream<Item = Result<Event>> + Send + Unpin + use<> {
        events(self.clone(), from)
    }
}

fn events(tasks: Tasks, from: WatchFrom) -> BoxStream<'static, Result<Event>> {
    let position = match from {
        WatchFrom::Now => Position::Now,
        WatchFrom::State => Position::State,
        WatchFrom::After(place) => Position::After(place),
    };
    let watch =
        Watch { tasks, position, stream: None, is_known: false, is_over: false, failures: 0, gaps: 0 };
    let events = stream::unfold(watch, |mut watch| async move {
        if watch.is_over {
            return None;
        }
        let event = watch.next().await;
        watch.is_over = event.is_err();
        Some((event, watch))
    });
    Box::pin(events.fuse())
}

impl Watch {
    async fn next(&mut self) -> Result<Event> {
        loop {
            let told = match &mut self.stream {
                None => self.open().await,
                Some(stream) => match stream.message().await {
                    Ok(Some(message)) => self.read(message),
                    Ok(None) => self.interrupted(None).await.map(|()| None),
                    Err(status) => Err(Error::from(status)),
                },
            };
            match told {
                Ok(Some(event)) => return Ok(event),
                Ok(None) => {}
                Err(error) => self.interrupted(Some(error)).await?,
            }
        }
    }

    /// Opens the stream where the last one ended.
    async fn open(&mut self) -> Result<Option<Event>> {
        let start = match &self.position {
            Position::State => None,
            Position::After(place) => Some(place.clone()),
            Position::Now => {
                // A stream that begins now says where that is only with its first message, which may never come.
                let place = self.tasks.checkpoint().await?;
                self.position = Position::After(place.clone());
                Some(place)
            }
        };
        let is_state = start.is_none();
        self.stream = Some(self.tasks.open_watch(start).await?);
        self.is_known = true;
        Ok(is_state.then_some(Event::StateBegin))
    }

    fn read(&mut self, message: WatchTasksResponse) -> Result<Option<Event>> {
        let WatchTasksResponse { event, history } = message;
        let event = match (event, &self.position) {
            (Some(Sent::TaskList(list)), Position::State) => Some(Event::TaskList(list)),
            (Some(Sent::Task(task)), Position::State) => Some(Event::Task(task)),
            (Some(Sent::InitialStateEnd(end)), Position::State) => {
                let place = Checkpoint { revision: end.revision, history };
                self.position = Position::After(place.clone());
                Some(Event::StateEnd(place))
            }
            (Some(Sent::Bookmark(bookmark)), Position::After(place)) => {
                if bookmark.revision != place.revision {
                    return self.gap(place.revision, bookmark.revision);
                }
                self.position = Position::After(Checkpoint { revision: bookmark.revision, history });
                None
            }
            (Some(Sent::Change(change)), Position::After(place)) => {
                if change.revision <= place.revision {
                    return Ok(None);
                }
                if change.prev_revision != place.revision {
                    return self.gap(place.revision, change.prev_revision);
                }
                let place = Checkpoint { revision: change.revision, history };
                self.position = Position::After(place.clone());
                Some(Event::Change(change, place))
            }
            // Of a newer service.
            _ => None,
        };
        (self.failures, self.gaps) = (0, 0);
        if let Position::After(place) = &self.position {
            self.tasks.note([place.revision]);
        }
        Ok(event)
    }

    /// What was sent does not follow on what was told: what lies between is asked for again.
    fn gap(&mut self, told: i64, sent: i64) -> Result<Option<Event>> {
        self.stream = None;
        self.gaps += 1;
        if self.gaps >= GAPS_MAX {
            let text = format!("the service sent what follows on revision {sent} after revision {told}");
            return Err(Error::broken_promise(text));
        }
        Ok(None)
    }

    /// Waits before the stream is opened again; answers the error when that cannot help.
    async fn interrupted(&mut self, error: Option<Error>) -> Result<()> {
        self.stream = None;
        if let Some(error) = &error {
            if self.begins_anew(error) {
                self.position = Position::State;
                return Ok(());
            }
            if !self.is_known || !passes(error) {
                return Err(error.clone());
            }
        }
        self.failures = self.failures.saturating_add(1);
        let asked = error.as_ref().and_then(Error::retry_after);
        tokio::time::sleep(pause(self.failures, asked)).await;
        Ok(())
    }

    fn begins_anew(&self, error: &Error) -> bool {
        // At first it is the caller who is wrong.
        are_gone(error) || (self.is_known && error.reason() == "REVISION_IN_FUTURE")
    }
}

/// Whether the changes since a place are gone: too old, or of a database that was put back to an earlier state.
pub(super) fn are_gone(error: &Error) -> bool {
    matches!(error.reason(), "REVISION_COMPACTED" | "HISTORY_CHANGED")
}

/// Whether the same stream can be had later.
pub(super) fn passes(error: &Error) -> bool {
    match error.origin() {
        Origin::Unsent | Origin::Lost => true,
        Origin::Here => error.code() == Code::DeadlineExceeded,
        Origin::Service => {
            matches!(error.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled)
                || matches!(error.reason(), "TOKEN_EXPIRED" | "STREAM_TOO_SLOW" | "RATE_LIMITED" | "CONFLICT")
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{Checkpoint, Event, Position, Sent, Watch};
    use crate::{Client, Result};
    use taskwire_proto::watch_tasks_response::{Bookmark, InitialStateEnd};
    use taskwire_proto::{Task, TaskChange, WatchTasksResponse};

    fn watch(position: Position) -> Watch {
        let client = Client::builder("http://127.0.0.1:1").connect_lazy().unwrap();
        let tasks = client.tasks();
        Watch { tasks, position, stream: None, is_known: true, is_over: false, failures: 0, gaps: 0 }
    }

    fn change(prev_revision: i64, revision: i64) -> Sent {
        Sent::Change(TaskChange { prev_revision, revision, ..TaskChange::default() })
    }

    fn read(watch: &mut Watch, event: Sent) -> Result<Option<Event>> {
        watch.read(WatchTasksResponse { event: Some(event), history: String::new() })
    }

    #[tokio::test]
    async fn what_was_told_is_not_told_again() {
        let mut watch = watch(Position::After(Checkpoint::from(3)));
        assert_eq!(read(&mut watch, change(2, 3)).unwrap(), None);
        let told = read(&mut watch, change(3, 4)).unwrap();
        assert!(matches!(told, Some(Event::Change(change, _)) if change.revision == 4));
        assert_eq!(read(&mut watch, Sent::Bookmark(Bookmark { revision: 4 })).unwrap(), None);
        assert_eq!(watch.gaps, 0);
    }

    #[tokio::test]
    async fn what_does_not_follow_is_asked_for_again_and_not_believed_for_ever() {
        let mut watch = watch(Position::After(Checkpoint::from(3)));
        // After either of these a service would be asked for what follows on 3.
        assert_eq!(read(&mut watch, change(4, 5)).unwrap(), None);
        assert_eq!(read(&mut watch, Sent::Bookmark(Bookmark { revision: 5 })).unwrap(), None);
        assert!(matches!(&watch.position, Position::After(place) if place.revision == 3));
        let error = read(&mut watch, change(4, 5)).unwrap_err();
        assert!(error.message().contains("revision 4 after revision 3"), "{error}");
        // What follows makes up for it.
        assert!(read(&mut watch, change(3, 4)).unwrap().is_some());
        assert_eq!(read(&mut watch, change(6, 7)).unwrap(), None);
    }

    #[tokio::test]
    async fn changes_count_from_the_end_of_the_state() {
        let mut watch = watch(Position::State);
        assert_eq!(read(&mut watch, change(1, 2)).unwrap(), None);
        assert!(matches!(read(&mut watch, Sent::Task(Task::default())).unwrap(), Some(Event::Task(_))));
        let end = Sent::InitialStateEnd(InitialStateEnd { revision: 9 });
        assert_eq!(read(&mut watch, end).unwrap(), Some(Event::StateEnd(Checkpoint::from(9))));
        assert!(read(&mut watch, change(9, 10)).unwrap().is_some());
    }
}
