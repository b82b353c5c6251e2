//! `ExportUserData`: everything of one user, line by line, as of one revision of their tasks.
//!
//! Nothing is held meanwhile, no transaction and no connection: each page is read by itself, and what was changed since the
//! revision is taken from the change log as it was then. So a reader who is slow costs a few chunks in memory.

mod lines;
mod moment;

use std::collections::HashSet;

use self::lines::Lines;
use self::moment::Moment;
use super::accounts::{convert_account, convert_user};
use super::chunks::Files;
use super::events::convert_webhook::webhook_to_pb;
use super::places::{Place, Places};
use super::tasks::changes::change_to_pb;
use super::tasks::convert::task_to_pb;
use super::tasks::convert_list::list_to_pb;
use super::tasks::convert_value::time_to_pb;
use super::tasks::watch::WatchStream;
use super::{fields::Fields, names};
use crate::auth::Principal;
use crate::domain::{
    ApiKey, AuditEventType, Clock, Error, Owner, PageSize, Result, Session, Timestamp, Trace, User, Webhook,
    WebhookOwner,
};
use crate::pb;
use crate::pb::export_line::Line;
use crate::storage::Storage;

/// Exports of all users at once, on this replica: each reads as fast as it can.
const EXPORTS_MAX: usize = 16;
/// What the lines are.
const CONTENT_TYPE: &str = "application/jsonl";
/// Tasks, or changes, that are read at once.
const READ_MAX: usize = 200;
/// Of the lines as they are now.
const FORMAT_VERSION: i32 = 1;

/// Begins and bounds exports.
#[derive(Debug)]
pub(super) struct Exports {
    storage: Storage,
    clock: Clock,
    places: Places,
    files: Files,
}

impl Exports {
    pub(super) fn new(storage: Storage, clock: Clock, files: Files) -> Self {
        let places = Places::new(EXPORTS_MAX, 1, ("exports of this user", "exports of all users"));
        Self { storage, clock, places, files }
    }

    /// Begins an export of the caller's own data, and records that.
    pub(super) async fn open(
        &self,
        caller: &Principal,
        trace: &Trace,
        request: &pb::ExportUserDataRequest,
    ) -> Result<WatchStream<pb::HttpBody>> {
        let mut fields = Fields::new(caller);
        let user = fields.own_account("name", names::parse_user(&request.name))?;
        let user = fields.finish(user)?;
        let owner = caller.owner_of(user)?;
        let place = self.places.take(user)?;
        let began = self.clock.now();
        let draft = trace.did(AuditEventType::DataExported);
        self.storage.audit_events().record(user, draft, began).await?;
        let account = self.account(user, began).await?;
        let moment = Moment::new(self.storage.clone(), owner, (account.user.revision, account.user.history));
        let storage = self.storage.clone();
        let caller = *caller;
        let work = move |chunks| {
            let lines = Lines::new(chunks);
            Export { storage, owner, began, moment, lines, caller, _place: place }.tell(account)
        };
        Ok(self.files.stream(CONTENT_TYPE, caller.expire_time.since(began), work))
    }

    async fn account(&self, user: crate::domain::UserId, now: Timestamp) -> Result<Account> {
        let sessions = self.storage.sessions().list(user, now).await?;
        let api_keys = self.storage.api_keys().list(user).await?;
        let webhooks = self.storage.webhooks().list(WebhookOwner::User(user)).await?;
        // Last, as its revision is what everything else goes by.
        let user = self.storage.users().find(user).await?;
        Ok(Account { user, sessions, api_keys, webhooks })
    }
}

/// What there are few of, read when the export begins.
struct Account {
    user: User,
    sessions: Vec<Session>,
    api_keys: Vec<ApiKey>,
    webhooks: Vec<Webhook>,
}

/// One export, on its writing side.
struct Export {
    storage: Storage,
    owner: Owner,
    began: Timestamp,
    moment: Moment,
    lines: Lines,
    caller: Principal,
    _place: Place,
}

impl Export {
    async fn tell(mut self, account: Account) -> Result<()> {
        self.tell_account(account).await?;
        self.tell_lists().await?;
        self.tell_tasks().await?;
        let earliest = self.tell_changes().await?;
        self.tell_audit().await?;
        self.lines.end(earliest).await
    }

    async fn tell_account(&mut self, account: Account) -> Result<()> {
        let Account { user, sessions, api_keys, webhooks } = account;
        let begin = pb::ExportBegin {
            format_version: FORMAT_VERSION,
            user: names::user(user.id),
            create_time: Some(time_to_pb(self.began)),
            revision: user.revision,
            history: user.history.to_string(),
            service_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        self.lines.add(Line::Export(begin)).await?;
        self.lines.add(Line::User(convert_user::user_to_pb(&user))).await?;
        for session in &sessions {
            let session = convert_user::session_to_pb(session, self.caller.session());
            self.lines.add(Line::Session(session)).await?;
        }
        for key in &api_keys {
            self.lines.add(Line::ApiKey(convert_account::api_key_to_pb(key))).await?;
        }
        for webhook in &webhooks {
            self.lines.add(Line::Webhook(webhook_to_pb(webhook))).await?;
        }
        Ok(())
    }

    /// The lists, in the order of their places. One that is moved meanwhile may be passed over, and comes behind the others.
    async fn tell_lists(&mut self) -> Result<()> {
        let mut told = HashSet::new();
        let mut place = None;
        loop {
            let lists = self.storage.task_lists();
            let page = lists.list(self.owner, true, place.as_ref(), PageSize::LARGEST).await?;
            place = page.lists.last().map(|last| (last.position.clone(), last.id));
            for list in page.lists {
                if let Some(list) = self.moment.list(list).await?
                    && told.insert(list.id)
                {
                    self.lines.add(Line::TaskList(list_to_pb(list))).await?;
                }
            }
            if !page.has_more {
                break;
            }
        }
        for list in self.moment.changed_lists().await? {
            if told.insert(list.id) {
                self.lines.add(Line::TaskList(list_to_pb(list))).await?;
            }
        }
        Ok(())
    }

    async fn tell_tasks(&mut self) -> Result<()> {
        let mut after = None;
        loop {
            let page = self.storage.tasks().walk_all(self.owner, after, READ_MAX as i64).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id);
            for task in page {
                if let Some(task) = self.moment.task(task).await? {
                    self.lines.add(Line::Task(task_to_pb(task))).await?;
                }
            }
        }
    }

    /// The changes up to the revision; answers after which one they are all there.
    async fn tell_changes(&mut self) -> Result<i64> {
        let (mut position, mut earliest) = (0, 0);
        while position < self.moment.revision {
            let changes = self.storage.changes();
            let known = Some(self.moment.history);
            let page = match changes.list(self.owner, known, position, READ_MAX, None).await {
                // The oldest are dropped now and then, also in the middle of this.
                Err(Error::RevisionCompacted { earliest: kept }) => {
                    (position, earliest) = (kept, kept);
                    continue;
                }
                page => page?,
            };
            let Some(last) = page.changes.last() else { break };
            position = last.revision;
            for change in page.changes {
                if change.revision <= self.moment.revision {
                    self.lines.add(Line::Change(change_to_pb(self.owner, change))).await?;
                }
            }
        }
        Ok(earliest)
    }

    async fn tell_audit(&mut self) -> Result<()> {
        let mut after = None;
        loop {
            let events = self.storage.audit_events();
            let (page, more) = events.list(self.owner.user(), after, PageSize::LARGEST).await?;
            after = page.last().map(|last| last.id);
            for event in page.iter().filter(|event| event.create_time <= self.began) {
                self.lines.add(Line::AuditEvent(convert_account::audit_event_to_pb(event))).await?;
            }
            if !more {
                return Ok(());
            }
        }
    }
}
