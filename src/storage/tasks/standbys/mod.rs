//! Standbys that answer reads: which one is asked, and that the primary answers where none can.
//!
//! A caller says up to which revision of their user an answer has to be; each statement checks in its own snapshot whether the
//! standby holds that. What comes of asking a standby is an answer or nothing: never an error, never something older.

mod holdings;
mod lanes;
mod reads;
mod standby;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use self::reads::{AtLeast, Held};
use self::standby::Standby;
use crate::domain::{Error, Owner, Result};
use crate::storage::Limits;
use crate::storage::engine::deadline::Deadline;
use crate::storage::engine::meters::PoolState;
use crate::storage::engine::postgres::Target;
use crate::storage::engine::server::Server;

/// Why a standby did not answer, as labels: none could be asked, it did not hold enough, it failed.
const REASONS: [&str; 3] = ["none", "behind", "failed"];

/// All standbys.
#[derive(Debug)]
pub(in crate::storage) struct Standbys {
    all: Vec<Standby>,
    primary: Arc<Server>,
    by_primary: AtomicU64,
    fallbacks: [AtomicU64; REASONS.len()],
}

/// One standby, as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct StandbyState {
    /// Host, port and database.
    pub name: String,
    /// Whether it is asked.
    pub is_used: bool,
    /// How long ago there was already more than it has.
    pub lag: Duration,
    /// How many bytes of the log it lacks.
    pub lag_bytes: i64,
    /// Reads that it answered.
    pub answered: u64,
}

/// Who answered reads of tasks and changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadCounts {
    /// Reads that the primary answered.
    pub primary: u64,
    /// Of these, reads that a standby might have answered, by why none did.
    pub fallbacks: [(&'static str, u64); REASONS.len()],
}

/// Where the standbys are, out of a text that names them by their URLs: with spaces or commas between.
pub(in crate::storage) fn urls(text: &str) -> Vec<&str> {
    let mut urls = Vec::new();
    for mut rest in text.split_whitespace() {
        // A URL may have several hosts, with commas between them as well: the next one begins with a scheme.
        while let Some(comma) = next_scheme(rest) {
            urls.push(&rest[..comma]);
            rest = &rest[comma + 1..];
        }
        urls.push(rest);
    }
    urls.iter().map(|url| url.trim_matches(',')).filter(|url| !url.is_empty()).collect()
}

/// The comma after which another URL begins.
fn next_scheme(text: &str) -> Option<usize> {
    text.match_indices(',').map(|(comma, _)| comma).find(|comma| {
        let after = &text[comma + 1..];
        after
            .find("://")
            .is_some_and(|end| end > 0 && after[..end].bytes().all(|byte| byte.is_ascii_alphabetic()))
    })
}

impl Standbys {
    pub(in crate::storage) fn none(primary: &Arc<Server>) -> Self {
        Self {
            all: Vec::new(),
            primary: Arc::clone(primary),
            by_primary: AtomicU64::new(0),
            fallbacks: Default::default(),
        }
    }

    /// Those at these URLs.
    ///
    /// # Errors
    /// What is wrong with the URL of this number, without repeating it.
    pub(in crate::storage) fn at(
        urls: &[&str],
        limits: Limits,
        primary: &Arc<Server>,
    ) -> Result<Self, (usize, String)> {
        let mut standbys = Self::none(primary);
        for (number, url) in urls.iter().enumerate() {
            if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
                return Err((number, "must begin with postgres://".into()));
            }
            let target = Target::parse_standby(url, limits).map_err(|text| (number, text))?;
            standbys.all.push(Standby::new(target, limits, primary));
        }
        Ok(standbys)
    }

    pub(in crate::storage) const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Looks at all of them at once.
    pub(in crate::storage) async fn probe(&self) {
        futures_util::future::join_all(self.all.iter().map(|standby| standby.probe(&self.primary))).await;
    }

    /// The standby to be asked, unless the primary is to answer: without a `min_revision`, or where none can.
    pub(in crate::storage) fn ask(&self, owner: Owner, min_revision: Option<i64>) -> Option<Question<'_>> {
        let question = min_revision.filter(|_| !self.all.is_empty()).and_then(|revision| {
            let chosen = self.choose(owner, revision).zip(self.primary.present_history());
            if chosen.is_none() {
                self.fallbacks[0].fetch_add(1, Ordering::Relaxed);
            }
            let (standby, history) = chosen?;
            Some(Question { standbys: self, standby, owner, at_least: AtLeast { revision, history } })
        });
        if question.is_none() {
            self.by_primary.fetch_add(1, Ordering::Relaxed);
        }
        question
    }

    /// Always the same one for a user, as long as it is there: it has what it read before in memory, and answers in order.
    fn choose(&self, owner: Owner, revision: i64) -> Option<&Standby> {
        let used = self.all.iter().enumerate().filter(|(_, standby)| standby.is_used());
        let (_, standby) = used.max_by_key(|(number, _)| weight(owner, *number))?;
        standby.holdings().may_hold(owner, revision).then_some(standby)
    }

    pub(in crate::storage) fn states(&self) -> Vec<StandbyState> {
        let state = |standby: &Standby| StandbyState {
            name: standby.name.clone(),
            is_used: standby.is_used(),
            lag: standby.lag().time,
            lag_bytes: standby.lag().bytes,
            answered: standby.answered.load(Ordering::Relaxed),
        };
        self.all.iter().map(state).collect()
    }

    pub(in crate::storage) fn counts(&self) -> ReadCounts {
        let fallback = |at: usize| (REASONS[at], self.fallbacks[at].load(Ordering::Relaxed));
        ReadCounts {
            primary: self.by_primary.load(Ordering::Relaxed),
            fallbacks: std::array::from_fn(fallback),
        }
    }

    pub(in crate::storage) fn pool_state(&self) -> Option<PoolState> {
        PoolState::sum(self.all.iter().flat_map(Standby::pool_states))
    }
}

/// By which a user chooses among standbys: each user has an order of all of them, which stays when some are away.
fn weight(owner: Owner, number: usize) -> u64 {
    // FNV-1a, over the bytes of the id and the number.
    let owner = owner.user();
    let bytes = owner.as_bytes().iter().copied().chain(number.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A read that a standby is asked for.
#[derive(Debug)]
pub(in crate::storage) struct Question<'a> {
    standbys: &'a Standbys,
    pub(in crate::storage) standby: &'a Standby,
    owner: Owner,
    pub(in crate::storage) at_least: AtLeast,
}

impl Question<'_> {
    /// What the standby answered, and as of which revision of the user; `None` where the primary has to.
    pub(in crate::storage) async fn answer<T>(
        self,
        asked: impl Future<Output = Result<Held<T>>>,
    ) -> Option<(T, i64)> {
        // Then the primary is asked, which needs time as well.
        let patience = Deadline::cap(2 * self.standby.patience()) / 2;
        let reason = match tokio::time::timeout(patience, asked).await {
            Ok(Ok(Held::Yes(value, revision))) => {
                self.standby.holdings().held(self.owner, revision);
                self.standby.answered.fetch_add(1, Ordering::Relaxed);
                return Some((value, revision));
            }
            Ok(Ok(Held::No)) => {
                self.standby.holdings().missed(self.owner, self.at_least.revision);
                1
            }
            Ok(Err(error)) => {
                if let Error::StorageUnavailable(cause) = &error {
                    self.standby.set_aside(cause);
                }
                2
            }
            Err(_) => {
                self.standby.set_aside("it does not answer in time");
                2
            }
        };
        self.standbys.fallbacks[reason].fetch_add(1, Ordering::Relaxed);
        self.standbys.by_primary.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::urls;

    #[test]
    fn urls_are_told_from_the_hosts_of_one() {
        assert_eq!(urls(""), [""; 0]);
        assert_eq!(urls(" , "), [""; 0]);
        assert_eq!(urls("postgres://a/x"), ["postgres://a/x"]);
        let two = ["postgres://a,b:1/x?user=u", "postgresql://c/x"];
        for between in [",", " ", ", ", "\n\t"] {
            assert_eq!(urls(&two.join(between)), two);
        }
        assert_eq!(urls("postgres://a/x,mysql://b/x"), ["postgres://a/x", "mysql://b/x"]);
    }
}
