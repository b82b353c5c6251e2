//! Whether what has to hold in the database does, where the schema does not see to it: read only, while others write.
//!
//! What is compared with each other is read by one statement, and so in one snapshot, or read again before it is called
//! wrong. Every statement is either about one key or about a stretch of users whose rows lie together, so that none is large
//! and all can be spread over several servers.

mod events;
mod names;
mod owners;
mod per_user;
mod questions;
mod rows;

use std::collections::BTreeMap;

use super::Storage;
use crate::domain::Result;

/// Findings of one kind that are kept; of more than these only the number is known.
pub const FINDINGS_MAX: u64 = 20;

/// What has to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// Every row belongs to a user who exists.
    Owners,
    /// The revisions of a user's log have no gap, from the compacted one up to the user's own.
    Revisions,
    /// A user's number of tasks is that of the rows.
    Counters,
    /// What is noted at a user of webhooks and second factors is so.
    Flags,
    /// The newest change of a task or list is the row.
    Log,
    /// A row can be read, and says nothing that contradicts itself.
    Rows,
    /// Keys by which texts are searched are those of the texts.
    Keys,
    /// A task's number of subtasks is that of the rows.
    Subtasks,
    /// A live subtask is below a live task of its list that is below none.
    Parents,
    /// A live task is in a live list or in none.
    Lists,
    /// Places are well-formed, and none is given twice.
    Positions,
    /// Each account has its email under the email's key, and each email an account.
    Emails,
    /// Other names of an account lead to one that exists.
    Identities,
    /// Outbox and journal tell of changes that there are, in their order and without a gap.
    Events,
    /// What is still to be told to a webhook is in the journal, and the webhook exists.
    Queues,
}

impl Invariant {
    /// Its name, as programs read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owners => "owners",
            Self::Revisions => "revisions",
            Self::Counters => "counters",
            Self::Flags => "flags",
            Self::Log => "log",
            Self::Rows => "rows",
            Self::Keys => "keys",
            Self::Subtasks => "subtasks",
            Self::Parents => "parents",
            Self::Lists => "lists",
            Self::Positions => "positions",
            Self::Emails => "emails",
            Self::Identities => "identities",
            Self::Events => "events",
            Self::Queues => "queues",
        }
    }

    /// How an operator mends it.
    pub const fn mend(self) -> &'static str {
        match self {
            Self::Owners => {
                "nobody can reach such rows; to remove them: delete from TABLE where user_id = 'USER'"
            }
            Self::Revisions | Self::Log => {
                "put a backup back; or, with the service stopped, drop the user's log, so that whoever syncs begins again: \
                 delete from task_changes where user_id = 'USER', and update users set revision = (the highest revision of all), \
                 compacted_revision = (the same) where id = 'USER'"
            }
            Self::Counters => "update users set live_tasks = (the number of rows) where id = 'USER'",
            Self::Flags => "update users set the column as the rows are where id = 'USER'",
            Self::Rows => "put a backup back, or delete the row together with what the log says of it",
            Self::Keys => {
                "write the title, or the description, once more through the service, as another one and back"
            }
            Self::Subtasks => "set [all, completed] as `subtasks` in tasks.details of this task",
            Self::Parents => {
                "update tasks set parent_id = null where user_id = 'USER' and task_id = 'TASK'; then check once more"
            }
            Self::Lists => {
                "update tasks set list_id = null where user_id = 'USER' and task_id = 'TASK'; then check once more"
            }
            Self::Positions => "move the task, or the list, through the service",
            Self::Emails => {
                "disable or delete one of the accounts, or write its email once more through the service"
            }
            Self::Identities => "nobody can use such a row; delete it by its key",
            Self::Events => {
                "readers of the stream and webhooks miss something: have them begin again, after `taskwire history new`"
            }
            Self::Queues => "delete the row; then replay to the webhook what it has missed",
        }
    }
}

/// Something that does not hold. Names rows by their keys, and never what is in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What does not hold.
    pub invariant: Invariant,
    /// Where.
    pub table: &'static str,
    /// Which row, as in `users/{user}/tasks/{task}`.
    pub key: String,
    /// What is wrong with it, in a sentence for people.
    pub problem: String,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// At most `FINDINGS_MAX` of each kind, in the order in which they were found.
    pub found: Vec<Finding>,
    /// How many there are of each kind.
    pub counts: BTreeMap<Invariant, u64>,
    /// How many users have rows, counted once per table.
    pub owners: usize,
    /// How many users were looked at.
    pub users: u64,
    /// How many tasks and lists were looked at.
    pub rows: u64,
}

impl Findings {
    /// Whether everything holds.
    pub fn is_sound(&self) -> bool {
        self.counts.is_empty()
    }

    fn note(&mut self, invariant: Invariant, table: &'static str, key: String, problem: String) {
        let count = self.counts.entry(invariant).or_default();
        *count += 1;
        if *count <= FINDINGS_MAX {
            self.found.push(Finding { invariant, table, key, problem });
        }
    }
}

impl Storage {
    /// Looks whether what has to hold does, over the whole database. Reads only, and may go on while others write; costs as
    /// much as there are rows, and holds no more than those of one user, or of a stretch of users with few, at a time.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn check(&self) -> Result<Findings> {
        let mut findings = Findings::default();
        owners::check(self, &mut findings).await?;
        per_user::check(self, &mut findings).await?;
        rows::check(self, &mut findings).await?;
        names::check(self, &mut findings).await?;
        events::check(self, &mut findings).await?;
        Ok(findings)
    }
}
