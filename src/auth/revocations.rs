//! What has been taken back lately, in memory: a call costs a look into a table, not a read of the database.
//!
//! The bound: a revocation takes effect at once on the replica that made it, and on every other one with its next
//! look at the storage, which it takes every second. When the storage is away nothing new is learned, and an access
//! token ends by itself at the latest when it expires. A replica that has never reached the storage admits nobody.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

use super::{Credential, Principal};
use crate::domain::{Clock, Error, Result, Timestamp};
use crate::storage::{Revocation, RevocationMark, Storage};

/// Entries held at most, about 60 bytes each. Beyond them older tokens are refused instead of forgotten about.
const ENTRIES_MAX: usize = 200_000;

/// The revocations that a replica knows.
#[derive(Debug)]
pub struct Revocations {
    known: RwLock<Known>,
    clock: Clock,
    /// How long a revocation is of use: as long as anything issued before it can live.
    keep: Duration,
    /// Counts the looks that brought something new.
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Known {
    revoked: HashMap<Uuid, Timestamp>,
    /// Whatever was issued up to here is refused, because revocations of that time were dropped for want of room.
    floor: Option<Timestamp>,
    /// When the storage was last read, and how far.
    read_time: Option<Timestamp>,
    read_up_to: Option<RevocationMark>,
}

impl Revocations {
    /// Knows nothing yet, and so admits nobody. `access_ttl` is how long an access token lives.
    pub fn new(clock: Clock, access_ttl: Duration) -> Self {
        Self {
            known: RwLock::default(),
            clock,
            // The rest is for clocks that differ, and for what is issued while it is being revoked.
            keep: access_ttl + Duration::from_secs(120),
            changes: watch::Sender::new(()),
        }
    }

    /// Whether the caller may still be heard.
    ///
    /// # Errors
    /// `SessionRevoked` or `ApiKeyInvalid` when not, `TokenExpired` when that can no longer be told, and
    /// `StorageUnavailable` as long as the storage has never been reached.
    pub fn check(&self, principal: &Principal) -> Result<()> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.read_time.is_none() {
            return Err(Error::StorageUnavailable("the revocations have not been read yet".into()));
        }
        if known.floor.is_some_and(|floor| principal.issue_time <= floor) {
            return Err(Error::TokenExpired);
        }
        if known.revoked.is_empty() {
            return Ok(());
        }
        let is_revoked = |subject: Uuid| known.revoked.contains_key(&subject);
        let user_is = is_revoked(principal.user.uuid());
        match principal.credential {
            Credential::Session(id) if user_is || is_revoked(id.uuid()) => Err(Error::SessionRevoked),
            Credential::ApiKey(id, _) if user_is || is_revoked(id.uuid()) => Err(Error::ApiKeyInvalid),
            Credential::Issuer if user_is => Err(Error::SessionRevoked),
            Credential::Exchanged(actor, _)
                if user_is || is_revoked(actor.service.uuid()) || is_revoked(actor.api_key.uuid()) =>
            {
                Err(Error::SessionRevoked)
            }
            _ => Ok(()),
        }
    }

    /// Reads what is new in the storage.
    ///
    /// # Errors
    /// Those of the storage; what is known stays known.
    pub async fn refresh(&self, storage: &Storage) -> Result<()> {
        let read_up_to = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            known.read_up_to
        };
        let (news, mark) = storage.revocations().news(read_up_to).await?;
        // Only now: the first answer of the storage sets the clock.
        if self.learn(&news, Some(mark), self.clock.now()) {
            self.changes.send_replace(());
        }
        Ok(())
    }

    /// How many revocations are known, and how long ago the storage was read; `None` before the first time.
    pub fn state(&self) -> (usize, Option<Duration>) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        (known.revoked.len(), known.read_time.map(|time| self.clock.now().since(time)))
    }

    /// Tells when something was revoked; streams use it to end themselves.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Takes in what was read; answers whether anything of it is new.
    fn learn(&self, news: &[Revocation], mark: Option<RevocationMark>, now: Timestamp) -> bool {
        let horizon = now.before(self.keep);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = false;
        for revocation in news {
            changed |= if revocation.revoked {
                known.revoked.insert(revocation.subject, revocation.time) != Some(revocation.time)
            } else {
                known.revoked.remove(&revocation.subject).is_some()
            };
        }
        if known.revoked.len() > ENTRIES_MAX || known.read_time.is_none_or(|time| time < now) {
            known.revoked.retain(|_, time| *time >= horizon);
        }
        if known.revoked.len() > ENTRIES_MAX {
            known.make_room();
            tracing::warn!("more revocations than there is room for: older access tokens are refused");
        }
        known.read_time = Some(now);
        known.read_up_to = mark;
        changed
    }
}

impl Known {
    /// Drops the older half and refuses instead whatever was issued up to then: its holders refresh, and that reads
    /// the database.
    fn make_room(&mut self) {
        let mut times: Vec<Timestamp> = self.revoked.values().copied().collect();
        let middle = times.len() / 2;
        let (_, cut, _) = times.select_nth_unstable(middle);
        let cut = *cut;
        self.revoked.retain(|_, time| *time > cut);
        self.floor = self.floor.max(Some(cut));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Role, SessionId, UserId};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_parts(1_790_000_000 + seconds, 0).unwrap()
    }

    fn principal(issued: i64) -> Principal {
        Principal {
            user: UserId::generate(),
            credential: Credential::Session(SessionId::generate()),
            role: Role::User,
            issue_time: at(issued),
            expire_time: at(issued + 900),
            auth_time: None,
        }
    }

    fn revocation(subject: Uuid, revoked: bool, time: i64) -> Revocation {
        Revocation { subject, revoked, time: at(time) }
    }

    #[test]
    fn nobody_is_admitted_before_the_storage_was_read() {
        let (clock, hand) = Clock::manual(at(0));
        let revocations = Revocations::new(clock, Duration::from_secs(900));
        let caller = principal(0);
        assert_eq!(revocations.state(), (0, None));
        assert!(matches!(revocations.check(&caller), Err(Error::StorageUnavailable(_))));
        revocations.learn(&[], None, at(0));
        hand.advance(Duration::from_secs(3));
        assert_eq!(revocations.state(), (0, Some(Duration::from_secs(3))));
        assert_eq!(revocations.check(&caller), Ok(()));
    }

    #[test]
    fn a_user_can_be_taken_back_and_given_back() {
        let (clock, _) = Clock::manual(at(0));
        let revocations = Revocations::new(clock, Duration::from_secs(900));
        let caller = principal(0);
        assert!(revocations.learn(&[revocation(caller.user.uuid(), true, 1)], None, at(1)));
        assert!(!revocations.learn(&[revocation(caller.user.uuid(), true, 1)], None, at(2)));
        assert_eq!(revocations.state().0, 1);
        assert_eq!(revocations.check(&caller), Err(Error::SessionRevoked));
        assert!(revocations.learn(&[revocation(caller.user.uuid(), false, 3)], None, at(3)));
        assert_eq!(revocations.check(&caller), Ok(()));
    }

    #[test]
    fn memory_is_bounded_and_what_is_dropped_is_refused() {
        let (clock, _) = Clock::manual(at(0));
        let revocations = Revocations::new(clock, Duration::from_secs(900));
        let many: Vec<Revocation> = (0..=ENTRIES_MAX)
            .map(|number| {
                let time = i64::try_from(number).unwrap() / 1000;
                revocation(Uuid::from_u128(number as u128 + 1), true, time)
            })
            .collect();
        revocations.learn(&many, None, at(200));
        assert!(revocations.known.read().unwrap().revoked.len() <= ENTRIES_MAX / 2 + 1000);
        assert_eq!(revocations.check(&principal(10)), Err(Error::TokenExpired));
        assert_eq!(revocations.check(&principal(199)), Ok(()));
        // The newest one of all still counts.
        let last = Credential::Session(SessionId::from(Uuid::from_u128(ENTRIES_MAX as u128 + 1)));
        let caller = Principal { credential: last, ..principal(150) };
        assert_eq!(revocations.check(&caller), Err(Error::SessionRevoked));
    }

    #[test]
    fn what_is_of_no_use_any_more_is_forgotten() {
        let (clock, _) = Clock::manual(at(0));
        let revocations = Revocations::new(clock, Duration::from_secs(900));
        revocations.learn(&[revocation(Uuid::from_u128(1), true, 0)], None, at(0));
        revocations.learn(&[], None, at(1021));
        assert!(revocations.known.read().unwrap().revoked.is_empty());
    }
}
