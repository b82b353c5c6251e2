//! Places for what is expensive: so many at once of all users, and so many of each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::{Error, Result, UserId};

/// How many places each user has taken.
type Taken = Arc<Mutex<HashMap<UserId, usize>>>;

/// The places for one kind of call, on this replica.
#[derive(Debug)]
pub(super) struct Places {
    of_all: Arc<Semaphore>,
    of_each: usize,
    taken: Taken,
    /// What there are too many of, in an error.
    what: (&'static str, &'static str),
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    user: UserId,
    taken: Taken,
    _of_all: OwnedSemaphorePermit,
}

impl Places {
    /// So many, and of each user so many; `what` completes "too many", of one user and of all.
    pub(super) fn new(count: usize, of_each: usize, what: (&'static str, &'static str)) -> Self {
        Self { of_all: Arc::new(Semaphore::new(count)), of_each, taken: Arc::default(), what }
    }

    /// A place for a user.
    ///
    /// # Errors
    /// `RateLimited`, when the user has as many as there are for each, or all are taken.
    pub(super) fn take(&self, user: UserId) -> Result<Place> {
        let of_all = Arc::clone(&self.of_all).try_acquire_owned();
        let of_all = of_all.map_err(|_| Error::RateLimited { what: self.what.1 })?;
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_user = taken.entry(user).or_default();
        if *of_user == self.of_each {
            return Err(Error::RateLimited { what: self.what.0 });
        }
        *of_user += 1;
        drop(taken);
        Ok(Place { user, taken: Arc::clone(&self.taken), _of_all: of_all })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.user) {
            Some(more) if *more > 1 => *more -= 1,
            _ => drop(taken.remove(&self.user)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_so_many_places_and_all_have_so_many() {
        let places = Places::new(2, 1, ("of this user", "of all users"));
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

        let places = Places::new(9, 2, ("of this user", "of all users"));
        let first = places.take(one).unwrap();
        let second = places.take(one).unwrap();
        assert_eq!(what(places.take(one)), "of this user");
        drop(first);
        let third = places.take(one).unwrap();
        assert_eq!(what(places.take(one)), "of this user");
        drop((second, third));
        assert!(places.taken.lock().unwrap().is_empty());
    }
}
