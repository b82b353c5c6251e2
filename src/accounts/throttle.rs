//! Wrong passwords: who has guessed too often has to wait, each time longer, never for ever.
//!
//! Counted are the account and the address, by keyed hashes, in the storage and so for all replicas together. An
//! address from which the user has a live session is counted by itself: a stranger who guesses at the account does not
//! lock out its user there. What is refused is not compared, and does not make the wait longer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use quick_cache::sync::Cache;
use tokio::sync::OnceCell;

use crate::auth::secret::random;
use crate::domain::{AuditEventType, Clock, Error, Result, Timestamp, Trace, UserId};
use crate::storage::{Counter, Storage};

/// The wait after the first one beyond; each further one doubles it.
const WAIT_FIRST: Duration = Duration::from_secs(1);
/// The longest wait: at most 96 guesses a day.
const WAIT_MAX: Duration = Duration::from_secs(15 * 60);
/// A counter that has rested for this long begins anew.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// Mails to one address that are free, and those that are asked for from one place.
const MAIL_ACCOUNT_FREE: u32 = 3;
const MAIL_ADDRESS_FREE: u32 = 30;
/// How long a refusal is remembered here, so that a flood does not become a flood of reads.
const REMEMBERED_FOR: Duration = Duration::from_secs(5);
/// Refusals remembered, about 100 bytes each.
const REMEMBERED_MAX: usize = 10_000;

type Key = Vec<u8>;

/// Counts wrong passwords.
#[derive(Clone)]
pub struct Throttle {
    storage: Storage,
    clock: Clock,
    rules: ThrottleRules,
    /// The emails of unknown accounts lie in the table as well: hashed with a key, they are nobody's to read.
    key: Arc<OnceCell<hmac::Key>>,
    /// Until when a key waits, and since when that is known.
    waiting: Arc<Cache<Key, (Timestamp, Timestamp)>>,
}

impl std::fmt::Debug for Throttle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Throttle").finish_non_exhaustive()
    }
}

/// From when on a wrong password makes the next attempt wait.
#[derive(Debug, Clone, Copy)]
pub struct ThrottleRules {
    /// Wrong passwords in a row that an account has free.
    pub account_free: u32,
    /// Those that an address has free, whoever is behind it.
    pub address_free: u32,
}

impl Default for ThrottleRules {
    fn default() -> Self {
        Self { account_free: 5, address_free: 50 }
    }
}

/// One attempt that may go on: what its outcome is to be counted under.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The account, or the account at an address that is known for it.
    account: Key,
    address: Option<Key>,
    /// What a wrong password now would make it wait; the next number of failures in a row.
    failures: u32,
    /// Whether there is a counter to forget.
    counted: bool,
}

impl Attempt {
    /// The counters that a right password forgets. That of the address stays: otherwise a guesser with an account of
    /// their own could clear it.
    pub fn forgiven(&self) -> Vec<Vec<u8>> {
        if self.counted { vec![self.account.clone()] } else { Vec::new() }
    }
}

impl Throttle {
    /// Counts in this storage.
    pub fn new(storage: Storage, clock: Clock, rules: ThrottleRules) -> Self {
        let waiting = Arc::new(Cache::new(REMEMBERED_MAX));
        Self { storage, clock, rules, key: Arc::new(OnceCell::new()), waiting }
    }

    /// Whether an attempt at this account from this address may go on. `email` is the folded address, whether or not
    /// there is such an account; `user` the account, if there is one.
    ///
    /// # Errors
    /// `LoginThrottled`, or those of the storage.
    pub async fn admit(&self, email: &str, user: Option<UserId>, peer: &str) -> Result<Attempt> {
        let key = self.key().await?;
        let account = keyed(key, "account", &[email]);
        let place = place(peer);
        let address = place.as_ref().map(|place| keyed(key, "address", &[place]));
        if let Some(address) = &address {
            self.refuse_remembered(address)?;
        }
        // Asked for an account that does not exist as well: the time must not tell.
        let asked = user.unwrap_or_else(|| UserId::from_bytes([0; 16]));
        let now = self.clock.now();
        let known = place.is_some() && self.storage.sessions().is_used_from(asked, peer, now).await?;
        let account = match &place {
            Some(place) if known => keyed(key, "account at address", &[email, place]),
            _ => account,
        };
        self.refuse_remembered(&account)?;

        let keys: Vec<Key> = [Some(account.clone()), address.clone()].into_iter().flatten().collect();
        let counters = self.storage.throttles().find(&keys).await?;
        let mut attempt = Attempt { account, address, failures: 1, counted: false };
        for counter in counters {
            let is_account = counter.key == attempt.account;
            if is_account {
                attempt.counted = true;
            }
            if now.since(counter.update_time) >= FORGOTTEN_AFTER {
                continue;
            }
            if is_account {
                attempt.failures = counter.failures + 1;
            }
            let free = if is_account { self.rules.account_free } else { self.rules.address_free };
            self.refuse_waiting(counter, free, now)?;
        }
        Ok(attempt)
    }

    /// Counts that mail to this address was asked for, whether or not there is such an account, and refuses it where that is too
    /// often.
    ///
    /// # Errors
    /// `MailThrottled`, or those of the storage.
    pub async fn take_mail(&self, email: &str, peer: &str) -> Result<()> {
        let key = self.key().await?;
        let account = keyed(key, "mail account", &[email]);
        let address = place(peer).map(|place| keyed(key, "mail address", &[&place]));
        let keys: Vec<Key> = [Some(account.clone()), address].into_iter().flatten().collect();
        let now = self.clock.now();
        for counter in self.storage.throttles().find(&keys).await? {
            let free = if counter.key == account { MAIL_ACCOUNT_FREE } else { MAIL_ADDRESS_FREE };
            if now.since(counter.update_time) < FORGOTTEN_AFTER
                && let Some(wait) = wait(counter.failures, free)
                && counter.update_time.after(wait) > now
            {
                return Err(Error::MailThrottled { retry_after: counter.update_time.after(wait).since(now) });
            }
        }
        self.storage.throttles().fail(keys, now.before(FORGOTTEN_AFTER), now, None).await
    }

    /// Counts a wrong password, and records it for the account if there is one.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn fail(&self, attempt: Attempt, user: Option<UserId>, trace: &Trace) -> Result<()> {
        self.fail_at(AuditEventType::LoginFailed, attempt, user, trace).await
    }

    /// As `fail`, for whatever else can be guessed at.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn fail_at(
        &self,
        what: AuditEventType,
        attempt: Attempt,
        user: Option<UserId>,
        trace: &Trace,
    ) -> Result<()> {
        let now = self.clock.now();
        let mut drafts = vec![trace.did(what)];
        if wait(attempt.failures, self.rules.account_free).is_some() {
            drafts.push(trace.did(AuditEventType::LoginThrottled));
        }
        let keys = [Some(attempt.account), attempt.address].into_iter().flatten().collect();
        let events = user.map(|user| (user, drafts));
        self.storage.throttles().fail(keys, now.before(FORGOTTEN_AFTER), now, events).await
    }

    /// Forgets the wrong passwords before a right one.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn forgive(&self, attempt: &Attempt) -> Result<()> {
        if attempt.counted { self.storage.throttles().forgive(attempt.forgiven()).await } else { Ok(()) }
    }

    /// Removes the counters that have rested for long enough.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn sweep(&self) -> Result<()> {
        let cutoff = self.clock.now().before(FORGOTTEN_AFTER);
        while self.storage.throttles().sweep(cutoff).await? > 0 {}
        Ok(())
    }

    fn refuse_waiting(&self, counter: Counter, free: u32, now: Timestamp) -> Result<()> {
        let Some(wait) = wait(counter.failures, free) else {
            return Ok(());
        };
        let end = counter.update_time.after(wait);
        if end <= now {
            return Ok(());
        }
        self.waiting.insert(counter.key, (end, now));
        Err(Error::LoginThrottled { retry_after: end.since(now) })
    }

    fn refuse_remembered(&self, key: &Key) -> Result<()> {
        let now = self.clock.now();
        match self.waiting.get(key) {
            Some((end, known)) if end > now && now.since(known) < REMEMBERED_FOR => {
                Err(Error::LoginThrottled { retry_after: end.since(now) })
            }
            _ => Ok(()),
        }
    }

    async fn key(&self) -> Result<&hmac::Key> {
        self.key
            .get_or_try_init(|| async {
                let candidate: [u8; 32] = random()?;
                let secrets = self.storage.secrets();
                let key = secrets.find_or_create("login_throttle", candidate.to_vec(), self.clock.now());
                Ok(hmac::Key::new(hmac::HMAC_SHA256, &key.await?))
            })
            .await
    }
}

/// How long the next attempt waits after this many wrong passwords in a row; `None` when it need not.
fn wait(failures: u32, free: u32) -> Option<Duration> {
    let beyond = failures.checked_sub(free + 1)?;
    // 2^10 s is above the longest wait.
    Some((WAIT_FIRST * 2_u32.pow(beyond.min(10))).min(WAIT_MAX))
}

fn keyed(key: &hmac::Key, kind: &str, texts: &[&str]) -> Key {
    let mut context = hmac::Context::with_key(key);
    context.update(kind.as_bytes());
    for text in texts {
        // The length keeps the end of one text from being the beginning of the next.
        context.update(&text.len().to_le_bytes());
        context.update(text.as_bytes());
    }
    context.sign().as_ref().to_vec()
}

/// What counts as one address: for IPv6 the network of 64 bits, as anybody has as many addresses in it as they like.
pub(super) fn place(peer: &str) -> Option<String> {
    match peer.parse::<IpAddr>().ok()?.to_canonical() {
        IpAddr::V4(address) => Some(address.to_string()),
        IpAddr::V6(address) => {
            let [first, second, third, fourth, ..] = address.segments();
            Some(format!("{first:x}:{second:x}:{third:x}:{fourth:x}::/64"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_and_has_an_end() {
        let seconds =
            |failures| wait(failures, ThrottleRules::default().account_free).map(|wait| wait.as_secs());
        assert_eq!(seconds(5), None);
        assert_eq!(seconds(6), Some(1));
        assert_eq!(seconds(7), Some(2));
        assert_eq!(seconds(15), Some(512));
        assert_eq!(seconds(16), Some(900));
        assert_eq!(seconds(u32::MAX), Some(900));
    }

    #[test]
    fn addresses_of_one_network_are_one_place() {
        assert_eq!(place("192.0.2.1"), place("::ffff:192.0.2.1"));
        assert_ne!(place("192.0.2.1"), place("192.0.2.2"));
        assert_eq!(place("2001:db8:1:2::3"), place("2001:db8:1:2:ffff::"));
        assert_ne!(place("2001:db8:1:2::3"), place("2001:db8:1:3::3"));
        assert_eq!(place(""), None);
        assert_eq!(place("me"), None);
    }
}
