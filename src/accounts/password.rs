//! Passwords: what is accepted, and how they are hashed without stopping anything else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params, PasswordHasher as _, PasswordVerifier as _};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::domain::{Email, Error, InvalidReason, Result, Rule, text};

/// Callers that may be inside for each hash that may be made at the same time: one who hashes, four who wait.
const PLACES_PER_PERMIT: usize = 5;

/// A password as typed, normalised to NFC. Never shown.
#[derive(Debug, Clone)]
pub struct Password(SecretString);

/// Which new passwords are accepted (NIST SP 800-63B-4).
#[derive(Debug, Clone, Copy)]
pub struct PasswordPolicy {
    /// Fewest code points after normalisation.
    pub code_points_min: usize,
}

impl PasswordPolicy {
    /// Most code points after normalisation.
    pub const CODE_POINTS_MAX: usize = 128;

    /// Reads a new password for the account with this email. Nothing is trimmed, nothing cut off.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(&self, raw: &str, email: Option<&Email>) -> Result<Password, Rule> {
        let password = text::nfc(raw);
        if password.chars().any(char::is_control) {
            return Err(Rule::field("must not contain control characters"));
        }
        let code_points = password.chars().count();
        if code_points > Self::CODE_POINTS_MAX {
            return Err(Rule::field(format!("must have at most {} characters", Self::CODE_POINTS_MAX)));
        }
        if code_points < self.code_points_min {
            let text = format!("must have at least {} characters", self.code_points_min);
            return Err(Rule::of(InvalidReason::PasswordTooShort, text));
        }
        if super::is_common(&password) {
            return Err(Rule::of(
                InvalidReason::PasswordCommon,
                "must not be one of the most common passwords",
            ));
        }
        if email.is_some_and(|email| email.key() == text::fold(&password)) {
            return Err(Rule::of(InvalidReason::PasswordCommon, "must not be the email address"));
        }
        Ok(Password(password.into()))
    }
}

impl Password {
    /// Takes a password to be compared with a stored one. `None` when it is longer than any that was ever accepted.
    pub fn to_compare(raw: &str) -> Option<Self> {
        // Four bytes a code point, twice: normalisation may have shortened it.
        if raw.len() > PasswordPolicy::CODE_POINTS_MAX * 8 {
            return None;
        }
        Some(Self(text::nfc(raw).into()))
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// Starts the threads that hash; they end with the last sender. Always the same few, since the allocator keeps for each
/// thread what it once used: on whichever thread is free, 19 MiB would soon be held by every one of them.
fn workers(count: usize) -> Sender<Job> {
    let (sender, jobs) = channel::<Job>();
    let jobs = Arc::new(Mutex::new(jobs));
    for _ in 0..count {
        let jobs = Arc::clone(&jobs);
        let work = move || {
            let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            while let Ok(job) = next() {
                if catch_unwind(AssertUnwindSafe(job)).is_err() {
                    tracing::error!("hashing a password panicked");
                }
            }
        };
        if let Err(cause) = std::thread::Builder::new().name("passwords".into()).spawn(work) {
            tracing::error!(%cause, "a thread that hashes passwords cannot be started");
        }
    }
    sender
}

/// Hashes and verifies passwords with argon2id, on threads of their own, a bounded number at a time.
#[derive(Clone)]
pub struct Passwords {
    argon2: Argon2<'static>,
    /// A hash of no password, with the same cost: what an unknown account is compared with.
    nobody: Arc<str>,
    permits: Arc<Semaphore>,
    /// Bounds who waits: beyond it there is no use in waiting.
    places: Arc<Semaphore>,
    jobs: Sender<Job>,
    parallel_max: usize,
    refused: Arc<AtomicU64>,
}

/// How the hashing of passwords stands.
#[derive(Debug, Clone, Copy)]
pub struct HashingState {
    /// Hashes that may be made at the same time.
    pub parallel_max: usize,
    /// Hashes that are being made.
    pub running: usize,
    /// Callers who wait for their turn.
    pub waiting: usize,
    /// Callers who were refused because too many waited, or waited too long.
    pub refused: u64,
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passwords").field("free", &self.permits.available_permits()).finish_non_exhaustive()
    }
}

/// A place among those who have a password hashed, or wait for it.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Passwords {
    /// Longest wait for a free place.
    const WAIT_MAX: Duration = Duration::from_secs(1);
    /// Highest cost read from a stored hash that is paid: a planted hash must not eat the memory.
    const MEMORY_KIB_MAX: u32 = 256 * 1024;
    const ITERATIONS_MAX: u32 = 16;

    /// With OWASP's parameters (19 MiB, two passes, one lane) and this many at a time.
    pub fn new(parallel_max: usize) -> Self {
        Self::with_params(parallel_max, Params::default())
    }

    /// With other parameters; for tests that hash a lot.
    pub fn with_params(parallel_max: usize, params: Params) -> Self {
        let nobody = format!(
            "$argon2id$v=19$m={},t={},p={}$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            params.m_cost(),
            params.t_cost(),
            params.p_cost(),
        );
        Self {
            argon2: Argon2::from(params),
            nobody: nobody.into(),
            permits: Arc::new(Semaphore::new(parallel_max)),
            places: Arc::new(Semaphore::new(parallel_max * PLACES_PER_PERMIT)),
            jobs: workers(parallel_max),
            parallel_max,
            refused: Arc::default(),
        }
    }

    /// How it stands now.
    pub fn state(&self) -> HashingState {
        let running = self.parallel_max.saturating_sub(self.permits.available_permits());
        let inside = (self.parallel_max * PLACES_PER_PERMIT).saturating_sub(self.places.available_permits());
        HashingState {
            parallel_max: self.parallel_max,
            running,
            waiting: inside.saturating_sub(running),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    /// Takes a place, if there is one. Whoever may not be let in takes it before anything else: what a flood of strangers
    /// has read from the database is then bounded as well.
    ///
    /// # Errors
    /// `Overloaded` when too many others wait.
    pub fn place(&self) -> Result<Place> {
        Arc::clone(&self.places)
            .try_acquire_owned()
            .map(|permit| Place { _permit: permit })
            .map_err(|_| self.refuse())
    }

    /// The hash of a new password, in PHC form.
    ///
    /// # Errors
    /// `Overloaded` when too many others wait.
    pub async fn hash(&self, password: Password) -> Result<String> {
        self.hash_at(self.place()?, password).await
    }

    /// As `hash`, with a place that was taken before.
    ///
    /// # Errors
    /// `Overloaded` when the wait takes too long.
    pub async fn hash_at(&self, place: Place, password: Password) -> Result<String> {
        let argon2 = self.argon2.clone();
        self.run(place, move || {
            argon2.hash_password(password.0.expose_secret().as_bytes()).map(|hash| hash.to_string())
        })
        .await?
        .map_err(|error| Error::Internal(format!("a password cannot be hashed: {error}")))
    }

    /// Whether the password belongs to the hash. Without a hash (no such account) or without a password (too long)
    /// the answer is no, and takes as long.
    ///
    /// # Errors
    /// `Overloaded` when too many others wait.
    pub async fn verify(&self, password: Option<Password>, hash: Option<String>) -> Result<bool> {
        self.verify_at(self.place()?, password, hash).await
    }

    /// As `verify`, with a place that was taken before.
    ///
    /// # Errors
    /// `Overloaded` when the wait takes too long.
    pub async fn verify_at(
        &self,
        place: Place,
        password: Option<Password>,
        hash: Option<String>,
    ) -> Result<bool> {
        let hash = hash.unwrap_or_else(|| self.nobody.to_string());
        let argon2 = self.argon2.clone();
        self.run(place, move || match (PasswordHash::new(&hash), &password) {
            (Ok(hash), _) if !Self::is_affordable(&hash) => {
                tracing::error!("a stored password hash has a cost beyond the ceiling; the login is refused");
                false
            }
            (Ok(hash), password) => {
                let typed = password.as_ref().map_or("", |password| password.0.expose_secret());
                argon2.verify_password(typed.as_bytes(), &hash).is_ok() && password.is_some()
            }
            (Err(_), _) => {
                tracing::error!("a stored password hash cannot be read; the login is refused");
                false
            }
        })
        .await
    }

    /// Whether the hash was made with other parameters than those of now, and so should be made again.
    pub fn is_outdated(&self, hash: &str) -> bool {
        let current = self.argon2.params();
        PasswordHash::new(hash).is_ok_and(|hash| {
            let same = Params::try_from(&hash).is_ok_and(|params| {
                params.m_cost() == current.m_cost()
                    && params.t_cost() == current.t_cost()
                    && params.p_cost() == current.p_cost()
            });
            !same || hash.algorithm != argon2::ARGON2ID_IDENT
        })
    }

    fn is_affordable(hash: &PasswordHash) -> bool {
        Params::try_from(hash).is_ok_and(|params| {
            params.m_cost() <= Self::MEMORY_KIB_MAX && params.t_cost() <= Self::ITERATIONS_MAX
        })
    }

    async fn run<T: Send + 'static>(
        &self,
        place: Place,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let permit = self.permit().await.map_err(|_| self.refuse())?;
        let (answer, answered) = oneshot::channel();
        // The permit goes into the work: a caller who leaves does not make room while the work goes on.
        let job = move || {
            let _held = (place, permit);
            // Nobody need be waiting any more.
            let _ = answer.send(work());
        };
        self.jobs.send(Box::new(job)).map_err(|_| Error::Internal("no thread hashes passwords".into()))?;
        answered.await.map_err(|_| Error::Internal("password hashing stopped".into()))
    }

    fn refuse(&self) -> Error {
        self.refused.fetch_add(1, Ordering::Relaxed);
        Error::Overloaded
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit> {
        match tokio::time::timeout(Self::WAIT_MAX, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Error::Overloaded),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cheap() -> Passwords {
        Passwords::with_params(2, Params::new(Params::MIN_M_COST, 2, 1, None).unwrap())
    }

    #[test]
    fn lengths_are_bounded_on_both_sides() {
        let policy = PasswordPolicy { code_points_min: 8 };
        let parse = |count: usize| policy.parse(&"ü".repeat(count), None);
        assert!(parse(7).is_err() && parse(8).is_ok());
        assert!(parse(PasswordPolicy::CODE_POINTS_MAX).is_ok());
        assert!(parse(PasswordPolicy::CODE_POINTS_MAX + 1).is_err());
    }

    #[test]
    fn what_could_have_been_accepted_is_compared() {
        let bytes_max = PasswordPolicy::CODE_POINTS_MAX * 8;
        assert!(Password::to_compare(&"x".repeat(bytes_max)).is_some());
        assert!(Password::to_compare(&"x".repeat(bytes_max + 1)).is_none());
    }

    #[test]
    fn whoever_has_a_place_and_no_permit_waits() {
        let passwords = cheap();
        let state = || (passwords.state().running, passwords.state().waiting);
        assert_eq!(state(), (0, 0));
        let places = passwords.places.try_acquire_many(3).unwrap();
        let permit = passwords.permits.try_acquire().unwrap();
        assert_eq!(state(), (1, 2));
        drop((places, permit));
        assert_eq!(state(), (0, 0));
        assert!(format!("{passwords:?}").starts_with("Passwords"));
    }

    #[test]
    fn a_hash_is_outdated_by_each_of_its_parameters() {
        let now = Params::new(16, 2, 2, None).unwrap();
        let passwords = Passwords::with_params(1, now);
        let hash = |algorithm: &str, m: u32, t: u32, p: u32| {
            let text = "AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
            passwords.is_outdated(&format!("${algorithm}$v=19$m={m},t={t},p={p}${text}"))
        };
        assert!(!hash("argon2id", 16, 2, 2));
        assert!(hash("argon2id", 32, 2, 2));
        assert!(hash("argon2id", 16, 3, 2));
        assert!(hash("argon2id", 16, 2, 1));
        assert!(hash("argon2i", 16, 2, 2));
    }
}
