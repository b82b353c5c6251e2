//! How a page of one side of a copy differs from that of the other, and how it is made the same.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::catalogue::Table;
use super::row::{self, Field};
use super::side::{Page, Side, compare, key_of};
use super::{TransferError, misfit};

/// Tables whose rows are as they were where the row of their user is: each change of theirs changes that as well. All but the time of the
/// next reminder, which is looked for by itself.
pub(super) const OF_USERS: [&str; 3] = ["task_lists", "tasks", "task_changes"];

/// How a page of one side differs from that of the other.
pub(super) struct Differences<'a> {
    /// Rows of the source.
    pub(super) seen: u64,
    /// At the target alone.
    gone: Vec<&'a [u8]>,
    /// At both, and not the same: as the source has them, and as the target has.
    changed: Vec<(&'a [u8], &'a [u8])>,
    /// At the source alone.
    new: Vec<&'a [u8]>,
}

/// How they differ, up to a row that both pages reach.
pub(super) fn differences<'a>(
    table: &Table,
    source: &'a Page,
    target: &'a Page,
    bound: Option<&[u8]>,
) -> Differences<'a> {
    let keys = table.keys();
    let within = |row: &&[u8]| bound.is_none_or(|bound| compare(row, bound, keys) != Ordering::Greater);
    let mut all = Differences { seen: 0, gone: Vec::new(), changed: Vec::new(), new: Vec::new() };
    let (mut here, mut there) = (0, 0);
    loop {
        let (one, other) = (source.row(here).filter(within), target.row(there).filter(within));
        let order = match (one, other) {
            (None, None) => return all,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(other)) => compare(one, other, keys),
        };
        if let Some(one) = one.filter(|_| order != Ordering::Greater) {
            (here, all.seen) = (here + 1, all.seen + 1);
            match other.filter(|_| order == Ordering::Equal) {
                Some(other) if other == one => {}
                Some(other) => all.changed.push((one, other)),
                None => all.new.push(one),
            }
        }
        if order != Ordering::Less {
            if let Some(other) = other.filter(|_| order == Ordering::Greater) {
                all.gone.push(other);
            }
            there += 1;
        }
    }
}

impl Differences<'_> {
    /// Notes whose rows these are.
    pub(super) fn note_users(
        &self,
        table: &Table,
        users: &mut BTreeSet<Vec<u8>>,
    ) -> Result<(), TransferError> {
        let is_of_users = table.name() == "users" || OF_USERS.contains(&table.name());
        let changed = self.changed.iter().map(|(row, _)| row);
        for row in self.gone.iter().chain(changed).chain(&self.new).filter(|_| is_of_users) {
            match row::next_field(&mut &**row) {
                Some(Field::Bytes(user)) => users.insert(user.to_vec()),
                _ => return Err(misfit(table)),
            };
        }
        Ok(())
    }

    /// Makes the target the same; answers how many rows were written.
    pub(super) async fn mend(&self, target: &mut Side, table: &Table) -> Result<u64, TransferError> {
        let count = self.gone.len() + self.changed.len() + self.new.len();
        if count == 0 {
            return Ok(0);
        }
        target.run("begin".to_owned()).await?;
        let changed: Vec<&[u8]> = self.changed.iter().map(|(row, _)| *row).collect();
        target.mend(table, &self.gone, &changed).await?;
        if !self.new.is_empty() {
            let mut rows = Vec::new();
            for row in &self.new {
                let at = row::begin(&mut rows);
                rows.extend_from_slice(row);
                row::end(&mut rows, at);
            }
            target.fill(table, rows).await?;
        }
        target.run("commit".to_owned()).await?;
        Ok(count as u64)
    }

    /// Fails with the first difference.
    pub(super) fn refuse(&self, table: &Table) -> Result<(), TransferError> {
        let differs = |row: &[u8], what: String| {
            Err(TransferError::Differs(format!(
                "{}, the row with {}: {what}",
                table.name(),
                key_of(table, row)
            )))
        };
        if let Some(row) = self.gone.first() {
            return differs(row, "the source has none".to_owned());
        }
        if let Some(row) = self.new.first() {
            return differs(row, "the target has none".to_owned());
        }
        let Some((one, other)) = self.changed.first() else { return Ok(()) };
        let (mut here, mut there) = (*one, *other);
        for column in &table.columns {
            if row::next_field(&mut here) != row::next_field(&mut there) {
                return differs(one, format!("the column {} is not the same", column.name));
            }
        }
        differs(one, "it is not the same".to_owned())
    }
}
