//! What is known of how far a standby has come with each user, so that it is not asked in vain. Each statement says itself what
//! the standby holds: this only saves round trips.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use quick_cache::sync::Cache;

use crate::domain::{Owner, UserId};

/// Users of whom something is known, about 150 bytes each.
const USERS_MAX: usize = 10_000;
/// So often in a row it may lack what is asked for, before it is asked now and then only.
const MISSES_MAX: u32 = 3;
/// Out of how many calls one asks nevertheless.
const TRIAL: u32 = 8;

/// Of one standby.
#[derive(Debug)]
pub(super) struct Holdings(Cache<UserId, Arc<Holding>>);

/// Of one user. What two callers note at once may count as one.
#[derive(Debug, Default)]
struct Holding {
    /// It held this revision when it was asked last.
    revision: AtomicI64,
    /// How often in a row it did not hold enough.
    misses: AtomicU32,
    asked: AtomicU32,
}

impl Holdings {
    pub(super) fn new() -> Self {
        Self(Cache::new(USERS_MAX))
    }

    /// Whether it is worth asking for this revision.
    pub(super) fn may_hold(&self, owner: Owner, revision: i64) -> bool {
        // Of whom nothing is known, anything may be.
        self.0.get(&owner.user()).is_none_or(|holding| {
            holding.revision.load(Ordering::Relaxed) >= revision
                || holding.misses.load(Ordering::Relaxed) < MISSES_MAX
                || holding.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(TRIAL)
        })
    }

    /// Notes that it answered as of this revision.
    pub(super) fn held(&self, owner: Owner, revision: i64) {
        let holding = self.of(owner);
        holding.revision.store(revision, Ordering::Relaxed);
        holding.misses.store(0, Ordering::Relaxed);
    }

    /// Notes that it did not hold this revision.
    pub(super) fn missed(&self, owner: Owner, revision: i64) {
        let holding = self.of(owner);
        // Where it was believed to, that was of a history that is over.
        if holding.revision.load(Ordering::Relaxed) >= revision {
            holding.revision.store(0, Ordering::Relaxed);
        }
        holding.misses.fetch_add(1, Ordering::Relaxed);
    }

    fn of(&self, owner: Owner) -> Arc<Holding> {
        let made =
            self.0.get_or_insert_with(&owner.user(), || Ok::<_, std::convert::Infallible>(Arc::default()));
        match made {
            Ok(holding) => holding,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Holdings, MISSES_MAX};
    use crate::domain::{Owner, UserId};

    fn owner(number: u8) -> Owner {
        Owner::vouched_for(UserId::from_bytes([number; 16]))
    }

    #[test]
    fn one_that_lags_is_asked_now_and_then_until_it_holds_enough_again() {
        let (holdings, writer, reader) = (Holdings::new(), owner(1), owner(2));
        let asked = |owner, revision| (0..80).filter(|_| holdings.may_hold(owner, revision)).count();
        assert_eq!(asked(writer, 5), 80);
        for _ in 1..MISSES_MAX {
            holdings.missed(writer, 5);
        }
        assert_eq!(asked(writer, 5), 80);
        holdings.missed(writer, 5);
        assert_eq!(asked(writer, 5), 10);
        // That concerns nobody else.
        assert_eq!(asked(reader, 5), 80);
        holdings.held(writer, 5);
        assert_eq!(asked(writer, 5), 80);
    }

    #[test]
    fn what_it_held_is_asked_for_whatever_it_lacks_else() {
        let (holdings, user) = (Holdings::new(), owner(1));
        let asked = |revision| (0..80).filter(|_| holdings.may_hold(user, revision)).count();
        holdings.held(user, 7);
        for _ in 0..MISSES_MAX {
            holdings.missed(user, 8);
        }
        assert_eq!((asked(7), asked(8)), (80, 10));
        // Another history has begun: it does not hold what it was believed to.
        holdings.missed(user, 7);
        assert_eq!((asked(7), asked(8)), (10, 10));
    }
}
