//! Lists as streams: the next page is read when the last one is used up.

use std::vec;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio_stream::Stream;

use super::error::Result;
use super::tasks::{Checkpoint, ListOptions, Tasks};
use super::watch::{Event, are_gone};
use taskwire_proto as pb;

impl Tasks {
    /// Every task, or those that the filter lets through. Pages are read as they are needed.
    pub fn list(&self, options: ListOptions) -> impl Stream<Item = Result<pb::Task>> + Send + Unpin + use<> {
        tasks(self.clone(), options)
    }

    /// The changes of one task, the newest first, as far back as they are kept.
    pub fn revisions(&self, task: &str) -> impl Stream<Item = Result<pb::TaskChange>> + Send + Unpin + use<> {
        revisions(self.clone(), task.to_owned())
    }

    /// Every change after this place that is there now. Where the changes since are gone, everything begins again as with
    /// a watch: `StateBegin`, the lists, the tasks, `StateEnd`.
    pub fn changes(&self, after: Checkpoint) -> impl Stream<Item = Result<Event>> + Send + Unpin + use<> {
        changes(self.clone(), after)
    }
}

/// Where a list goes on.
enum Rest<Place> {
    From(Place),
    Over,
}

/// Where a list with page tokens goes on.
fn rest(next_page_token: String) -> Rest<String> {
    if next_page_token.is_empty() { Rest::Over } else { Rest::From(next_page_token) }
}

fn revisions(tasks: Tasks, task: String) -> BoxStream<'static, Result<pb::TaskChange>> {
    paged(String::new(), move |page_token: String| {
        let (tasks, task) = (tasks.clone(), task.clone());
        async move {
            let page = tasks.revision_page(&task, page_token).await?;
            Ok((page.revisions, rest(page.next_page_token)))
        }
    })
}

fn tasks(tasks: Tasks, options: ListOptions) -> BoxStream<'static, Result<pb::Task>> {
    paged(String::new(), move |page_token: String| {
        let (tasks, options) = (tasks.clone(), options.clone());
        async move {
            let page = tasks.page(&options, page_token).await?;
            Ok((page.tasks, rest(page.next_page_token)))
        }
    })
}

/// Where a list of changes goes on.
enum Place {
    /// After this change.
    Changes(Checkpoint),
    /// With this page of all tasks, then after this change.
    State(String, Checkpoint),
}

fn changes(tasks: Tasks, after: Checkpoint) -> BoxStream<'static, Result<Event>> {
    paged(Place::Changes(after), move |place| {
        let tasks = tasks.clone();
        async move {
            match place {
                Place::Changes(after) => change_events(&tasks, after).await,
                Place::State(page_token, then) => state_events(&tasks, page_token, then).await,
            }
        }
    })
}

async fn change_events(tasks: &Tasks, after: Checkpoint) -> Result<(Vec<Event>, Rest<Place>)> {
    let page = match tasks.change_page(after, 0).await {
        Ok(page) => page,
        Err(error) if are_gone(&error) => {
            let then = tasks.checkpoint().await?;
            let lists = tasks.lists(false).await?.into_iter().map(Event::TaskList);
            let events = std::iter::once(Event::StateBegin).chain(lists).collect();
            return Ok((events, Rest::From(Place::State(String::new(), then))));
        }
        Err(error) => return Err(error),
    };
    let place = |revision| Checkpoint { revision, history: page.history.clone() };
    let rest = match page.changes.last() {
        Some(last) if page.has_more => Rest::From(Place::Changes(place(last.revision))),
        _ => Rest::Over,
    };
    let event = |change: pb::TaskChange| {
        let place = place(change.revision);
        Event::Change(change, place)
    };
    Ok((page.changes.into_iter().map(event).collect(), rest))
}

async fn state_events(
    tasks: &Tasks,
    page_token: String,
    then: Checkpoint,
) -> Result<(Vec<Event>, Rest<Place>)> {
    let page = tasks.page(&ListOptions::default(), page_token).await?;
    let mut events: Vec<Event> = page.tasks.into_iter().map(Event::Task).collect();
    if page.next_page_token.is_empty() {
        events.push(Event::StateEnd(then.clone()));
        return Ok((events, Rest::From(Place::Changes(then))));
    }
    Ok((events, Rest::From(Place::State(page.next_page_token, then))))
}

/// One item after the other, from one page after the other. The first error is the last item.
fn paged<Item, Place, F, Fut>(first: Place, read: F) -> BoxStream<'static, Result<Item>>
where
    Item: Send + 'static,
    Place: Send + 'static,
    F: Fn(Place) -> Fut + Send + 'static,
    Fut: Future<Output = Result<(Vec<Item>, Rest<Place>)>> + Send + 'static,
{
    let state = (vec::IntoIter::<Item>::default(), Rest::From(first), read);
    let items = stream::unfold(state, |(mut page, mut rest, read)| async move {
        loop {
            if let Some(item) = page.next() {
                return Some((Ok(item), (page, rest, read)));
            }
            let Rest::From(place) = rest else { return None };
            match read(place).await {
                Ok((items, next)) => (page, rest) = (items.into_iter(), next),
                Err(error) => return Some((Err(error), (page, Rest::Over, read))),
            }
        }
    });
    Box::pin(items.fuse())
}
