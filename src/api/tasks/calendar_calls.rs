//! What `GetCalendar` does: the tasks of a user as a file that calendars read.

use tonic::{Request, Response, Status};

use super::convert;
use super::convert_list::list_to_pb;
use super::task_service::TaskApi;
use super::watch::WatchStream;
use crate::api::caller;
use crate::api::chunks::Chunks;
use crate::api::places::Place;
use crate::domain::{Owner, PageSize, Result, TaskQuery};
use crate::interchange::ical::Calendar;
use crate::pb;
use crate::storage::Storage;

/// Tasks that are read at once.
const READ_MAX: i32 = 200;
/// What the file is.
const CONTENT_TYPE: &str = "text/calendar; charset=utf-8";
/// What calendars call it.
const NAME: &str = "Tasks";

impl TaskApi {
    pub(super) async fn calendar(
        &self,
        request: Request<pb::GetCalendarRequest>,
    ) -> Result<Response<WatchStream<pb::HttpBody>>, Status> {
        let (caller, request) = caller(request)?;
        let now = self.clock.now();
        let list = pb::ListTasksRequest {
            parent: request.parent,
            filter: request.filter,
            order_by: "create_time".to_owned(),
            page_size: READ_MAX,
            ..pb::ListTasksRequest::default()
        };
        let (owner, query) = convert::task_query(&caller, &list, now)?;
        let place = self.calendars.take(owner.user())?;
        let calendar = Calendar::new(Some(NAME));
        let feed = Feed { storage: self.storage.clone(), owner, calendar, _place: place };
        let lifetime = caller.expire_time.since(now);
        Ok(Response::new(self.files.stream(CONTENT_TYPE, lifetime, |chunks| feed.tell(chunks, query))))
    }
}

/// One calendar, on its writing side.
struct Feed {
    storage: Storage,
    owner: Owner,
    calendar: Calendar,
    _place: Place,
}

impl Feed {
    async fn tell(mut self, mut chunks: Chunks, mut query: TaskQuery) -> Result<()> {
        // The first page before anything is sent: a database that is away is answered as such.
        let mut page = self.storage.tasks().list(self.owner, &query).await?;
        self.name_lists().await?;
        chunks.add(self.calendar.head().as_bytes()).await?;
        loop {
            for task in page.tasks {
                // A large one takes a while to be written, and others wait for this thread.
                tokio::task::yield_now().await;
                let todo = self.calendar.todo(&convert::task_to_pb(task));
                chunks.add(todo.as_bytes()).await?;
            }
            let Some(next) = page.next else { break };
            query.after = Some(next);
            query.min_revision = page.revision.max(query.min_revision);
            page = self.storage.tasks().list(self.owner, &query).await?;
        }
        chunks.add(self.calendar.tail().as_bytes()).await?;
        chunks.end().await
    }

    /// Learns how the lists are called.
    async fn name_lists(&mut self) -> Result<()> {
        let mut place = None;
        loop {
            let lists = self.storage.task_lists();
            let page = lists.list(self.owner, false, place.as_ref(), PageSize::LARGEST).await?;
            place = page.lists.last().map(|last| (last.position.clone(), last.id));
            for list in page.lists {
                self.calendar.add_list(&list_to_pb(list));
            }
            if !page.has_more {
                return Ok(());
            }
        }
    }
}
