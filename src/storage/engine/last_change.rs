//! The file beside a SQLite database that says what its last change was. A database that lacks this change was put back
//! to an earlier state, and a new history begins.
//!
//! The file never runs ahead of the database: it is written after each commit, in place and without waiting for the
//! disk. So a crash at any moment leaves one that is behind, which is no sign of anything. It goes where the database
//! goes when the directory is moved or copied as a whole; `docs/OPERATIONS.md` says what follows from that.

use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use diesel::{
    ConnectionError, ConnectionResult, ExpressionMethods as _, OptionalExtension as _, QueryDsl as _,
};
use diesel_async::RunQueryDsl as _;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::connections::SqliteConn;
use super::types::Id;
use crate::domain::{HistoryId, UserId};
use crate::storage::schema::{database_state, users};

/// What `seen_on` says once there is a file.
const FILE: &str = "file";

/// What is known of the file; nothing before the first connection.
#[derive(Debug)]
pub(in crate::storage) struct LastChange {
    path: PathBuf,
    compared: OnceCell<()>,
    state: Mutex<Option<(File, Record)>>,
}

/// What stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record {
    history: HistoryId,
    /// As in the database at some time.
    mark: i64,
    /// The last change: whose, and its revision. The nil id: not known.
    user: UserId,
    revision: i64,
}

impl Record {
    /// Always of the same length, so that it is written in place.
    fn encode(&self) -> String {
        let Self { history, mark, user, revision } = self;
        format!("{} {mark:020} {} {revision:020}\n", history.uuid().as_simple(), user.uuid().as_simple())
    }

    fn decode(text: &str) -> Option<Self> {
        let mut words = text.strip_suffix('\n')?.split(' ');
        let mut id = || Uuid::try_parse(words.next()?).ok();
        let history = id()?;
        let mark = words.next()?.parse().ok()?;
        let mut id = || Uuid::try_parse(words.next()?).ok();
        let user = id()?;
        let revision = words.next()?.parse().ok()?;
        Some(Self { history: history.into(), mark, user: user.into(), revision })
    }
}

/// Whose change, where it is not known.
fn nobody() -> UserId {
    UserId::from(Uuid::nil())
}

impl LastChange {
    /// Beside the database in this file.
    pub(in crate::storage) fn beside(database: &std::path::Path) -> Self {
        let mut path = database.as_os_str().to_owned();
        path.push("-history");
        Self { path: path.into(), compared: OnceCell::new(), state: Mutex::default() }
    }

    /// Compares the database with the file, once in the life of a process and before anything else is done with it.
    /// A database that lacks the last change begins a new history. Answers the present one when it was compared
    /// just now; as long as there is no schema it cannot be.
    pub(in crate::storage) async fn compare<Connecting>(
        &self,
        connect: impl Fn() -> Connecting + Send,
    ) -> ConnectionResult<Option<HistoryId>>
    where
        Connecting: Future<Output = ConnectionResult<SqliteConn>> + Send,
    {
        let mut present = None;
        let failed =
            |text: String| ConnectionError::BadConnection(format!("{}: {text}", self.path.display()));
        let compared = self.compared.get_or_try_init(async || {
            let (file, before) = self.read().map_err(|error| Some(failed(error.to_string())))?;
            let mut connection = connect().await.map_err(Some)?;
            let now = compare(&mut connection, before).await.map_err(|error| match error.to_string() {
                text if text.contains("no such table") => None,
                text => Some(failed(text)),
            })?;
            let written = write(&file, &now).and_then(|()| file.sync_data());
            written.map_err(|error| Some(failed(error.to_string())))?;
            *self.lock() = Some((file, now));
            present = Some(now.history);
            Ok(())
        });
        match compared.await {
            Ok(_) | Err(None) => Ok(present),
            Err(Some(error)) => Err(error),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(File, Record)>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> io::Result<(File, Option<Record>)> {
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&self.path)?;
        let mut bytes = [0; 256];
        let length = file.read_at(&mut bytes, 0)?;
        let text = std::str::from_utf8(&bytes[..length]).unwrap_or_default();
        Ok((file, Record::decode(text)))
    }

    /// Notes that these users' changes have reached these revisions: after the commit.
    pub(in crate::storage) fn note(&self, raised: &[(UserId, i64)]) {
        if let Some((user, revision)) = raised.last() {
            self.change(|record| Record { user: *user, revision: *revision, ..record });
        }
    }

    /// Notes that a user is gone, and with it maybe the last change; `mark` was raised before.
    pub(in crate::storage) fn note_deletion(&self, mark: i64) {
        self.change(|record| Record { mark: mark.max(record.mark), user: nobody(), revision: 0, ..record });
    }

    /// Notes the present history, which another process may have begun.
    pub(in crate::storage) fn saw(&self, history: HistoryId) {
        self.change(|record| Record { history, ..record });
    }

    fn change(&self, change: impl FnOnce(Record) -> Record) {
        let mut state = self.lock();
        let Some((file, record)) = &mut *state else { return };
        let changed = change(*record);
        if changed == *record {
            return;
        }
        *record = changed;
        // One that cannot be written stays behind the database, which is no fault of the change.
        if let Err(error) = write(file, record) {
            tracing::warn!(%error, file = %self.path.display(), "cannot note the last change");
        }
    }
}

fn write(file: &File, record: &Record) -> io::Result<()> {
    file.write_all_at(record.encode().as_bytes(), 0)
}

/// What is to stand in the file from now on, given what stood there.
async fn compare(connection: &mut SqliteConn, before: Option<Record>) -> diesel::QueryResult<Record> {
    connection
        .immediate_transaction(async move |connection| {
            let (history, seen_on, mark): (Id, Option<String>, i64) = database_state::table
                .select((database_state::history, database_state::seen_on, database_state::mark))
                .first(connection)
                .await?;
            let history = HistoryId::from(history);
            let reached: Option<i64> = match before {
                None => None,
                Some(before) => {
                    let user = users::table.find(Id::from(before.user)).select(users::revision);
                    user.first(connection).await.optional()?
                }
            };
            let lacks_change = |before: Record| {
                let change_is_there = match reached {
                    _ if before.user == nobody() => true,
                    Some(reached) => reached >= before.revision,
                    // Deleted since; this raises the mark before anything goes.
                    None => mark > before.mark,
                };
                before.history != history || before.mark > mark || !change_is_there
            };
            // A database that was never seen with a file is new, or of a time before there was any.
            let went_back = seen_on.is_some() && before.is_none_or(lacks_change);
            let last = before.filter(|before| before.history == history && !went_back);
            let mark = mark.max(before.map_or(0, |before| before.mark)).saturating_add(1);
            let history = if went_back { HistoryId::generate() } else { history };
            if went_back {
                tracing::warn!(%history, "the database was put back to an earlier state: a new history begins");
            }
            diesel::update(database_state::table)
                .set((
                    database_state::history.eq(Id::from(history)),
                    database_state::seen_on.eq(Some(FILE)),
                    database_state::mark.eq(mark),
                ))
                .execute(connection)
                .await?;
            let (user, revision) = last.map_or((nobody(), 0), |last| (last.user, last.revision));
            Ok(Record { history, mark, user, revision })
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let record =
            Record { history: HistoryId::generate(), mark: 7, user: UserId::generate(), revision: i64::MAX };
        assert_eq!(Record::decode(&record.encode()), Some(record));
        assert_eq!(record.encode().len(), Record { user: nobody(), revision: 0, ..record }.encode().len());
        for damaged in ["", "\n", &record.encode()[1..], record.encode().trim_end()] {
            assert_eq!(Record::decode(damaged), None);
        }
    }
}
