//! What an event tells: the changes of a stretch, an account as it is, a task that is to be remembered.

use crate::domain::{
    DueReminder, Error, Event, EventData, EventKind, EventType, QueuedEvent, Resource, Result,
};
use crate::storage::Storage;

/// Changes that are read at once.
const AT_ONCE: usize = 100;

/// Some of what an event tells.
#[derive(Debug)]
pub struct Told {
    /// In their order.
    pub events: Vec<Event>,
    /// The last revision among them, if there is more of the same stretch.
    pub more_after: Option<i64>,
}

impl Told {
    const NOTHING: Self = Self { events: Vec::new(), more_after: None };

    fn one(event: Event) -> Self {
        Self { events: vec![event], more_after: None }
    }
}

/// What one event of the journal tells, of a stretch of changes those after this revision. Of a user who is gone there is
/// nothing to tell but that.
///
/// # Errors
/// `CursorExpired` when the changes are no longer kept, or those of the storage.
pub async fn tell(storage: &Storage, queued: &QueuedEvent, after: i64) -> Result<Told> {
    let Some(kind) = EventType::of_kind(queued.kind) else {
        return changes(storage, queued, after).await;
    };
    match queued.kind {
        EventKind::Reminder => reminder(storage, queued, kind).await,
        _ => {
            let account = match storage.users().find(queued.user).await {
                Ok(user) => Some(Box::new(user)),
                Err(Error::NotFound(Resource::User)) => None,
                Err(error) => return Err(error),
            };
            Ok(Told::one(Event::of_queued(queued, kind, EventData::Account(account))))
        }
    }
}

async fn changes(storage: &Storage, queued: &QueuedEvent, after: i64) -> Result<Told> {
    let owner = crate::auth::owner_for_service(queued.user);
    let start = after.max(queued.revision - 1);
    let page = match storage.changes().list(owner, None, start, AT_ONCE, None).await {
        Ok(page) => page,
        // The account is gone, and its log with it.
        Err(Error::SessionRevoked) => return Ok(Told::NOTHING),
        Err(Error::RevisionCompacted { .. }) => return Err(Error::CursorExpired),
        Err(error) => return Err(error),
    };
    let last = page.changes.last().map_or(start, |change| change.revision);
    let told = page.changes.into_iter().filter(|change| change.revision <= queued.last_revision);
    let events = told.map(|change| Event::of_change(queued.user, change)).collect();
    Ok(Told { events, more_after: (last < queued.last_revision && last > start).then_some(last) })
}

async fn reminder(storage: &Storage, queued: &QueuedEvent, kind: EventType) -> Result<Told> {
    let corrupt = || Error::Internal("a stored reminder cannot be read".into());
    let due = queued.payload.as_deref().and_then(DueReminder::from_text).ok_or_else(corrupt)?;
    let owner = crate::auth::owner_for_service(queued.user);
    let task = match storage.tasks().find(owner, due.task, None).await {
        Ok(task) => task,
        Err(Error::NotFound(Resource::Task)) => return Ok(Told::NOTHING),
        Err(error) => return Err(error),
    };
    // Done or put away since: there is nothing to be reminded of.
    if task.complete_time.is_some() || task.delete_time.is_some() {
        return Ok(Told::NOTHING);
    }
    Ok(Told::one(Event::of_queued(queued, kind, EventData::Reminder(Box::new(task), due))))
}
