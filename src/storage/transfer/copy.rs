//! From one database to another while the first one serves: round after round, each of one moment, until little is left; then a short
//! stop, or none.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use data_encoding::HEXLOWER;

use super::TransferError;
use super::catalogue::{COPY_TABLE, Table};
use super::differences::{OF_USERS, differences};
use super::fence::{self, FileLock, Held};
use super::side::{Page, Side, compare};
use crate::domain::HistoryId;
use crate::storage::Storage;
use crate::storage::engine::sqlite::Role;

/// How many bytes a page is to have.
const PAGE_BYTES: usize = 1024 * 1024;
/// Rows of the first page of a table, before it is known how large they are, and of the largest.
const PAGE_ROWS: usize = 100;
const PAGE_ROWS_MAX: usize = 5000;
/// So few rows that were mended in a round are left for the last one.
const LITTLE: u64 = 1000;
/// More rounds than this do not come closer.
const ROUNDS_MAX: usize = 8;
/// What is looked for by itself of the tasks whose user's row is as it was: the time of the next reminder.
const REMINDED: &str = "(details->>'remind_time') is not null";

/// What is told while it goes on.
#[derive(Debug, Clone, Copy)]
pub enum Told<'a> {
    /// So many rows there are at the source.
    Whole(u64),
    /// A round begins.
    Round(usize),
    /// A table is looked at.
    Table(&'a str),
    /// So many rows were looked at.
    Rows(u64),
    /// The source takes no writes from now on.
    Stopped,
    /// Each row is compared.
    Verifying,
}

/// How a copy is to end.
#[derive(Debug, Clone, Copy, Default)]
pub struct CopyEnd {
    /// The source takes no writes any more, and the history goes on at the target.
    pub cutover: bool,
    /// Every row is compared at the end.
    pub verify: bool,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Rounds, with the last one; 0 where it was finished before.
    pub rounds: usize,
    /// Rows that were written to the target.
    pub written: u64,
    /// Rows that were compared at the end, if they were.
    pub verified: Option<u64>,
    /// The history of the target.
    pub history: HistoryId,
}

/// Which rows a round looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    /// Those that can be others than in the round before.
    Changed,
    /// All, and nothing is mended: the first that differs is an error.
    Verify,
}

struct Copying<'a> {
    source: Side,
    target: Side,
    /// That of a file. A server's goes with the connection.
    _lock: Option<FileLock>,
    /// As the source has it and as the target has it.
    tables: Vec<(Table, Table)>,
    tell: &'a (dyn Fn(Told<'_>) + Send + Sync),
    /// Whether there was nothing left to do.
    is_finished: bool,
    /// Rows that were written in this round.
    written: u64,
    /// Users whose rows differed in this round.
    users: BTreeSet<Vec<u8>>,
}

impl Storage {
    /// Copies this database to another one, which is empty or holds an unfinished copy of this one. May be ended at any time, and goes on
    /// when it is called again.
    ///
    /// # Errors
    /// `NotEmpty`, `Busy`, `Unfit`, `Differs`; those of the databases.
    pub async fn copy_to(
        &self,
        target: &Self,
        end: CopyEnd,
        tell: &(dyn Fn(Told<'_>) + Send + Sync),
    ) -> Result<Copied, TransferError> {
        let mut copying = begin(self, target, end, tell).await?;
        let (mut rounds, mut written) = (0, 0);
        if let Some(history) = copying.finished_before().await? {
            copying.source.begin_snapshot().await?;
            let verified = if end.verify { Some(copying.verify().await?) } else { None };
            return Ok(Copied { rounds, written, verified, history });
        }
        loop {
            rounds += 1;
            tell(Told::Round(rounds));
            copying.source.begin_snapshot().await?;
            copying.round(if rounds == 1 { Scope::All } else { Scope::Changed }).await?;
            written += copying.written;
            if (rounds > 1 && copying.written <= LITTLE) || rounds == ROUNDS_MAX {
                break;
            }
            copying.source.run("commit".to_owned()).await?;
        }
        let mut verified = None;
        let history = if end.cutover {
            copying.source.run("commit".to_owned()).await?;
            rounds += 1;
            let history = copying.cut_over(self).await?;
            written += copying.written;
            if end.verify {
                copying.source.begin_snapshot().await?;
                verified = Some(copying.verify().await?);
            }
            history
        } else {
            if end.verify {
                verified = Some(copying.verify().await?);
            }
            HistoryId::generate()
        };
        fence::finish(&mut copying.target, history).await?;
        Ok(Copied { rounds, written, verified, history })
    }
}

/// Makes the target ready, and sees whether both fit together.
async fn begin<'a>(
    from: &Storage,
    to: &Storage,
    end: CopyEnd,
    tell: &'a (dyn Fn(Told<'_>) + Send + Sync),
) -> Result<Copying<'a>, TransferError> {
    let mut source = Side::connect(from, Role::Reader).await?;
    let here = source.catalogue().await?;
    let seen = source.source().await?;
    // Before anything is asked of the target: a server may be at work yet for a copy that was killed.
    let held = fence::hold(to).await?;
    if end.cutover && !seen.one_moment {
        return Err(TransferError::Unfit(
            "tables that are spread over several servers cannot be closed".into(),
        ));
    }
    let history = seen.history.map(|history| history.to_string()).unwrap_or_default();
    let marked = to.copied_from().await?;
    let occupied = if marked.is_none() { to.occupied().await? } else { None };
    match (&marked, &occupied) {
        (Some(other), _) if *other != history => return Err(TransferError::OtherCopy(other.clone())),
        (Some(_), _) | (None, Some(_)) => {}
        (None, None) => drop(to.migrate().await?),
    }
    let (mut target, lock) = match held {
        Held::Server(target) => (target, None),
        Held::File(lock) => (Side::connect(to, Role::Writer).await?, Some(lock)),
    };
    let there = target.source().await?;
    // A kill may have come between the end and the word of it.
    let is_finished = occupied.is_some()
        && end.cutover
        && there.history == seen.history
        && fence::is_stopped(&mut source).await?;
    if let Some(table) = occupied.filter(|_| !is_finished) {
        return Err(TransferError::NotEmpty(table));
    }
    if there.schema != seen.schema {
        let text = format!("its schema is {}, and that of the source is {}", there.schema, seen.schema);
        return Err(TransferError::Unfit(format!("{text}: bring both up to date first")));
    }
    let mut all = target.catalogue().await?;
    let mut tables = Vec::new();
    for table in here {
        let same =
            all.iter().position(|other| other.name() == table.name() && other.columns == table.columns);
        let same = same.ok_or_else(|| TransferError::Unfit(format!("the table {}", table.name())))?;
        tables.push((table, all.swap_remove(same)));
    }
    if marked.is_none() && !is_finished {
        fence::mark(&mut target, &history).await?;
    }
    // What a power failure takes here is copied again. The end waits for the disk.
    target
        .run(match &target {
            Side::Postgres(_) => "set synchronous_commit = off".to_owned(),
            Side::Sqlite(_) => "pragma synchronous = normal; pragma cache_size = -24576".to_owned(),
        })
        .await?;
    let mut whole = 0;
    for (table, _) in &tables {
        let count = source.text(format!("select count(*) from {}", table.name())).await?;
        whole += count.and_then(|count| count.parse::<u64>().ok()).unwrap_or(0);
    }
    tell(Told::Whole(whole));
    Ok(Copying { source, target, _lock: lock, tables, tell, is_finished, written: 0, users: BTreeSet::new() })
}

impl Copying<'_> {
    /// The history that goes on at the target, if the copy was finished before.
    async fn finished_before(&mut self) -> Result<Option<HistoryId>, TransferError> {
        Ok(if self.is_finished { self.source.source().await?.history } else { None })
    }

    /// Looks at all tables in the present snapshot of the source, and makes the target the same.
    async fn round(&mut self, scope: Scope) -> Result<u64, TransferError> {
        (self.written, self.users) = (0, BTreeSet::new());
        let mut seen = 0;
        for number in 0..self.tables.len() {
            let Some((table, _)) = self.tables.get(number) else { break };
            let name = table.name();
            (self.tell)(Told::Table(name));
            if scope != Scope::Changed || !OF_USERS.contains(&name) {
                seen += self.table(number, None, scope, false).await?;
                continue;
            }
            if name == "tasks" {
                self.table(number, Some(REMINDED), scope, true).await?;
            }
            for user in self.users.clone() {
                let condition = self.of_user(&user);
                seen += self.table_of_user(number, &condition, scope).await?;
            }
        }
        Ok(seen)
    }

    /// The condition for rows of a user, at the source and at the target.
    fn of_user(&self, user: &[u8]) -> (String, String) {
        let hex = HEXLOWER.encode(user);
        let condition = |side: &Side| match side {
            Side::Postgres(_) => format!("user_id = '{hex}'::uuid"),
            Side::Sqlite(_) => format!("user_id = x'{hex}'"),
        };
        (condition(&self.source), condition(&self.target))
    }

    async fn table_of_user(
        &mut self,
        number: usize,
        condition: &(String, String),
        scope: Scope,
    ) -> Result<u64, TransferError> {
        self.pages(number, (Some(&condition.0), Some(&condition.1)), scope, false).await
    }

    async fn table(
        &mut self,
        number: usize,
        condition: Option<&str>,
        scope: Scope,
        users_alone: bool,
    ) -> Result<u64, TransferError> {
        self.pages(number, (condition, condition), scope, users_alone).await
    }

    /// Goes through a table, page by page, in step on both sides. With `users_alone` nothing is mended: whose rows differ is noted.
    async fn pages(
        &mut self,
        number: usize,
        conditions: (Option<&str>, Option<&str>),
        scope: Scope,
        users_alone: bool,
    ) -> Result<u64, TransferError> {
        let Some((here, there)) = self.tables.get(number).cloned() else { return Ok(0) };
        let keys = here.keys();
        let (mut limit, mut seen) = (PAGE_ROWS, 0);
        let mut after: Option<Vec<u8>> = None;
        // Read ahead while the page before is written.
        let mut ahead: Option<Page> = None;
        let mut target_ended = false;
        loop {
            let source = match ahead.take() {
                Some(page) => page,
                None => self.source.page(&here, conditions.0, after.as_deref(), limit).await?,
            };
            let target = if target_ended {
                Page::default()
            } else {
                self.target.page(&there, conditions.1, after.as_deref(), limit).await?
            };
            // As far as both pages tell all that there is.
            let ends = [&source, &target].into_iter().filter(|page| page.is_full).filter_map(Page::last);
            let bound = ends.min_by(|one, other| compare(one, other, keys)).map(<[u8]>::to_vec);
            // What lies behind that comes again with the next page.
            let is_within = |last: &[u8]| {
                bound.as_deref().is_none_or(|bound| compare(last, bound, keys) != Ordering::Greater)
            };
            target_ended |= !target.is_full && target.last().is_none_or(is_within);
            let all_of_source = source.last().is_none_or(is_within);
            let page = differences(&here, &source, &target, bound.as_deref());
            seen += page.seen;
            (self.tell)(Told::Rows(page.seen));
            limit = next_limit(limit, &source);
            let next = bound.clone().filter(|_| source.is_full && all_of_source);
            let (read, mended) = {
                let Self { source: from, target: to, users, written, .. } = &mut *self;
                let read = async {
                    match &next {
                        Some(next) => from.page(&here, conditions.0, Some(next), limit).await.map(Some),
                        None => Ok(None),
                    }
                };
                let mend = async {
                    if scope == Scope::Verify {
                        return page.refuse(&here);
                    }
                    page.note_users(&here, users)?;
                    if users_alone {
                        return Ok(());
                    }
                    *written += page.mend(to, &there).await?;
                    Ok(())
                };
                tokio::join!(read, mend)
            };
            mended?;
            ahead = read?;
            let Some(bound) = bound else { return Ok(seen) };
            after = Some(bound);
        }
    }

    /// Compares every row.
    async fn verify(&mut self) -> Result<u64, TransferError> {
        (self.tell)(Told::Verifying);
        self.round(Scope::Verify).await
    }

    /// The last round, while nobody can write, after which nobody writes there any more. Answers the history of the source.
    async fn cut_over(&mut self, from: &Storage) -> Result<HistoryId, TransferError> {
        let mut fenced = Side::connect(from, Role::Writer).await?;
        let tables: Vec<&'static str> = self.tables.iter().map(|(table, _)| table.name()).collect();
        fence::stop(&mut fenced, &tables).await?;
        (self.tell)(Told::Stopped);
        std::mem::swap(&mut self.source, &mut fenced);
        self.round(Scope::Changed).await?;
        let history = self.source.source().await?.history;
        // From here on the source is closed. Before, a kill would have opened it again.
        self.source.run("commit".to_owned()).await?;
        history.ok_or_else(|| TransferError::Unfit("the source has no history".into()))
    }
}

/// So many rows as make a page, by those of the last one; never many more at once.
fn next_limit(limit: usize, page: &Page) -> usize {
    let bytes = page.bytes.len().max(1);
    let fitting = page.rows.len().saturating_mul(PAGE_BYTES) / bytes;
    fitting.clamp(1, limit.saturating_mul(2).min(PAGE_ROWS_MAX))
}

impl Storage {
    /// The history of which this is an unfinished copy, if it is one.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn copied_from(&self) -> Result<Option<String>, TransferError> {
        if self.file().is_some_and(|file| !file.exists()) {
            return Ok(None);
        }
        let mut side = Side::connect(self, Role::Reader).await?;
        if !fence::is_marked(&mut side).await? {
            return Ok(None);
        }
        side.text(format!("select source from {COPY_TABLE}"))
            .await
            .map(|source| Some(source.unwrap_or_default()))
    }

    /// Lets a source be written to again that a cutover has closed.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn reopen(&self) -> Result<(), TransferError> {
        let mut side = Side::connect(self, Role::Writer).await?;
        let tables: Vec<&'static str> = side.catalogue().await?.iter().map(Table::name).collect();
        fence::reopen(&mut side, &tables).await
    }
}
