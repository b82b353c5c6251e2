//! Mail: written and sealed for the queue, and sent from it.

mod meters;
pub mod templates;
pub mod transport;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use lettre::message::Mailbox;

pub use meters::MeterState;
pub use templates::Templates;
pub use transport::Transport;

use crate::auth::Sealer;
use crate::domain::{Clock, Error, Mail, MailId, MailKind, NewMail, Result, UserId};
use crate::storage::Storage;

/// The wait after each attempt that failed; the last one holds from then on.
const DELAYS: [Duration; 5] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(60 * 60),
];
/// No mail waits longer than the longest delay.
const LONGEST: Duration = Duration::from_secs(2 * 60 * 60);
/// Mails that are sent beside each other, so that a slow server holds up only some.
const AT_ONCE: usize = 8;
/// Mails that are read at once.
const CHUNK: i64 = 64;

/// Where mail goes and what it looks like.
#[derive(Debug, Clone)]
pub struct MailConfig {
    /// How it goes out.
    pub transport: Transport,
    /// Who it is from.
    pub from: Mailbox,
    /// Where links lead to.
    pub link_url: String,
    /// How it reads.
    pub templates: Templates,
}

/// What goes into a mail. Has no `Debug`: it may hold a token.
#[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
#[expect(missing_debug_implementations, reason = "it may hold a token")]
pub struct Letter {
    /// To whom; nobody where it only looks like a mail.
    pub to: String,
    /// What is put into its template.
    pub values: BTreeMap<String, String>,
}

/// Writes mails and sends them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Mailer {
    storage: Storage,
    clock: Clock,
    sealer: Arc<Sealer>,
    config: Option<Arc<MailConfig>>,
    meters: Arc<meters::Meters>,
    /// Whether this process sends what waits; else others do.
    sends: bool,
}

impl Mailer {
    /// Sends as configured; nothing at all without a configuration.
    pub fn new(storage: Storage, clock: Clock, sealer: Arc<Sealer>, config: Option<MailConfig>) -> Self {
        Self { storage, clock, sealer, config: config.map(Arc::new), meters: Arc::default(), sends: true }
    }

    /// Queues mail, and leaves it to others to send it.
    #[must_use]
    pub fn queueing_only(self) -> Self {
        Self { sends: false, ..self }
    }

    /// Checks that mail can be queued.
    ///
    /// # Errors
    /// `MailNotConfigured`, `SecretsKeyMissing`.
    pub fn check(&self) -> Result<()> {
        if self.config.is_none() {
            return Err(Error::MailNotConfigured);
        }
        self.sealer.check()
    }

    /// Where a link of this kind leads to with a token. It stands behind a `#`: no server on the way, and no log of one, gets to
    /// see that part.
    pub fn link(&self, kind: MailKind, token: &str) -> String {
        let base = self.config.as_ref().map_or("", |config| &config.link_url);
        format!("{base}#{}={token}", kind.name())
    }

    /// A mail for the queue.
    ///
    /// # Errors
    /// Those of `check`, or that it cannot be sealed.
    pub fn prepare(&self, user: UserId, kind: MailKind, letter: &Letter, lasts: Duration) -> Result<NewMail> {
        self.check()?;
        let now = self.clock.now();
        let id = MailId::generate_at(now);
        let plain = serde_json::to_vec(letter)
            .map_err(|_| Error::Internal("a mail cannot be written down".into()))?;
        let sealed = self.sealer.seal(&context(user, id), &plain)?;
        Ok(NewMail { user, id, kind, sealed, next_attempt_time: now, expire_time: now.after(lasts) })
    }

    /// What is counted of mail.
    pub fn meters(&self) -> MeterState {
        self.meters.state()
    }

    /// Whether a mail is to be sent now, and by this process.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn is_due(&self) -> Result<bool> {
        if self.config.is_none() || !self.sends {
            return Ok(false);
        }
        if self.meters.is_old() {
            self.meters.waiting(self.storage.mails().counts().await?);
        }
        Ok(!self.storage.mails().due(self.clock.now(), LONGEST, 1).await?.is_empty())
    }

    /// Sends what is to be sent now. At least once: a mail whose row could not be removed is sent again, after the wait that follows an
    /// attempt.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn send_due(&self) -> Result<()> {
        let Some(config) = &self.config else { return Ok(()) };
        loop {
            let due = self.storage.mails().due(self.clock.now(), LONGEST, CHUNK).await?;
            if due.is_empty() {
                self.meters.waiting(self.storage.mails().counts().await?);
                return Ok(());
            }
            let sent = due.into_iter().map(|mail| self.send(config, mail));
            // To the end of each: one that cannot be noted must not cut off others in the middle.
            let ended: Vec<Result<()>> = stream::iter(sent).buffer_unordered(AT_ONCE).collect().await;
            ended.into_iter().collect::<Result<()>>()?;
        }
    }

    async fn send(&self, config: &MailConfig, mail: Mail) -> Result<()> {
        let (user, id, kind) = (mail.user, mail.id, mail.kind);
        if mail.expire_time <= self.clock.now() {
            tracing::warn!(%user, mail = %id, kind = kind.name(), "a mail was not sent in time and is dropped");
            self.meters.dropped();
            return self.storage.mails().remove(user, id).await;
        }
        // Before it is sent: where nothing can be written, as on a full disk, the same mail would go out again and again.
        let last = DELAYS.len() - 1;
        let delay = DELAYS.get(usize::from(mail.attempts).min(last)).copied().unwrap_or_default();
        // At its end as well, so that it is dropped then.
        let next = self.clock.now().after(delay).min(mail.expire_time);
        self.storage.mails().postpone(&mail, next).await?;
        let failure = match self.open(&mail) {
            Ok(letter) if letter.to.is_empty() => return self.storage.mails().remove(user, id).await,
            Ok(letter) => self.send_letter(config, &mail, letter).await.err(),
            Err(cause) => Some(cause.to_string()),
        };
        self.meters.attempted(failure.is_none());
        if let Some(cause) = failure {
            tracing::warn!(%user, mail = %id, kind = kind.name(), cause, "a mail was not sent; it will be tried again");
            return Ok(());
        }
        self.storage.mails().remove(user, id).await
    }

    fn open(&self, mail: &Mail) -> Result<Letter> {
        let plain = self.sealer.open(&context(mail.user, mail.id), &mail.sealed)?;
        serde_json::from_slice(&plain).map_err(|_| Error::Internal("a stored mail cannot be read".into()))
    }

    async fn send_letter(&self, config: &MailConfig, mail: &Mail, letter: Letter) -> Result<(), String> {
        let values: Vec<(&str, &str)> =
            letter.values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let written = config.templates.write(mail.kind, &values).ok_or("there is no template")?;
        config.transport.send(&config.from, &letter.to, mail.id, written).await
    }
}

/// What a mail is sealed for.
fn context(user: UserId, id: MailId) -> Vec<u8> {
    [b"mails".as_slice(), user.as_bytes(), id.as_bytes()].concat()
}
