//! Places for what is expensive: so many at once of all users, and one of each.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::{Error, Result, UserId};

/// The places for one kind of call, on this replica.
#[derive(Debug)]
pub(super) struct Places {
    of_all: Arc<Semaphore>,
    taken: Arc<Mutex<HashSet<UserId>>>,
    /// What there are too many of, in an error.
    what: (&'static str, &'static str),
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    user: UserId,
    taken: Arc<Mutex<HashSet<UserId>>>,
    _of_all: OwnedSemaphorePermit,
}

impl Places {
    /// So many; `what` completes "too many", of one user and of all.
    pub(super) fn new(count: usize, what: (&'static str, &'static str)) -> Self {
        Self { of_all: Arc::new(Semaphore::new(count)), taken: Arc::default(), what }
    }

    /// A place for a user.
    ///
    /// # Errors
    /// `RateLimited`, when the user has one or all are taken.
    pub(super) fn take(&self, user: UserId) -> Result<Place> {
        let of_all = Arc::clone(&self.of_all).try_acquire_owned();
        let of_all = of_all.map_err(|_| Error::RateLimited { what: self.what.1 })?;
        if !self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(user) {
            return Err(Error::RateLimited { what: self.what.0 });
        }
        Ok(Place { user, taken: Arc::clone(&self.taken), _of_all: of_all })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_one_place_and_all_have_so_many() {
        let places = Places::new(2, ("of this user", "of all users"));
        let [one, two, three] = [(); 3].map(|()| UserId::generate());
        let what = |refused: Result<Place>| match refused {
            Err(Error::RateLimited { what }) => what,
            other => panic!("{other:?}"),
        };
        let first = places.take(one).unwrap();
        assert_eq!(what(places.take(one)), "of this user");
        let second = places.take(two).unwrap();
        assert_eq!(what(places.take(three)), "of all users");
        drop(second);
        drop(places.take(three).unwrap());
        drop(first);
        places.take(one).unwrap();
    }
}
