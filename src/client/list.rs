//! Lists as streams: the next page is read when the last one is used up.

use std::vec;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};

use super::error::Result;
use super::tasks::Tasks;
use crate::pb;

/// What is listed, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Which tasks, in the grammar of AIP-160, as in `completed = false AND priority = HIGH`.
    pub filter: String,
    /// In which order, as in `due_time, title desc`. Newest first when empty.
    pub order_by: String,
    /// Whether deleted ones too.
    pub show_deleted: bool,
    /// How many are read at once; the service's default when 0.
    pub page_size: i32,
}

/// Where a list goes on.
enum Rest<Place> {
    From(Place),
    Over,
}

pub(super) fn tasks(tasks: Tasks, options: ListOptions) -> BoxStream<'static, Result<pb::Task>> {
    paged(String::new(), move |page_token: String| {
        let (tasks, options) = (tasks.clone(), options.clone());
        async move {
            let page = tasks.page(&options, page_token).await?;
            let rest = match page.next_page_token {
                token if token.is_empty() => Rest::Over,
                token => Rest::From(token),
            };
            Ok((page.tasks, rest))
        }
    })
}

pub(super) fn changes(tasks: Tasks, start_revision: i64) -> BoxStream<'static, Result<pb::TaskChange>> {
    paged(start_revision, move |start_revision| {
        let tasks = tasks.clone();
        async move {
            let page = tasks.change_page(start_revision, 0).await?;
            let rest = match page.changes.last() {
                Some(last) if page.has_more => Rest::From(last.revision),
                _ => Rest::Over,
            };
            Ok((page.changes, rest))
        }
    })
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
