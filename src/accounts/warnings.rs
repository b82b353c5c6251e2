//! Mails that tell the owner of an account what was done to it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Accounts;
use super::throttle::place;
use crate::domain::{MailKind, NewMail, Result, Timestamp, User, UserId};
use crate::outbound::mail::Letter;

/// How long it is tried to send a warning.
const WARNING_LASTS: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn letter<const N: usize>(to: &str, values: [(&str, String); N]) -> Letter {
    let values: BTreeMap<String, String> =
        values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Letter { to: to.to_owned(), values }
}

fn shown(time: Timestamp) -> String {
    let (seconds, _) = time.to_parts();
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| String::new(), |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

impl Accounts {
    /// The mail that tells of something that is about to be done to this account; none where there is no mail.
    pub(super) fn warning(&self, user: &User, kind: MailKind) -> Result<Option<NewMail>> {
        self.warning_with(user.id, user.email.as_str(), kind, ("", ""))
    }

    /// As `warning`, of an account that is not at hand.
    pub(super) async fn warning_of(&self, user: UserId, kind: MailKind) -> Result<Option<NewMail>> {
        if self.mailer.check().is_err() {
            return Ok(None);
        }
        self.warning(&self.storage.users().find(user).await?, kind)
    }

    /// As `warning`, with a value more.
    pub(super) fn warning_with(
        &self,
        about: UserId,
        to: &str,
        kind: MailKind,
        (name, value): (&str, &str),
    ) -> Result<Option<NewMail>> {
        if self.mailer.check().is_err() {
            return Ok(None);
        }
        let time = shown(self.clock.now());
        let letter = letter(to, [("email", to.to_owned()), ("time", time), (name, value.to_owned())]);
        self.mailer.prepare(about, kind, &letter, WARNING_LASTS).map(Some)
    }

    /// The mail that tells of a login from an address that no session came from that is still known of; none of the first login.
    pub(super) async fn login_warning(&self, user: &User, peer: &str) -> Result<Option<NewMail>> {
        let Some(here) = place(peer).filter(|_| self.mailer.check().is_ok()) else { return Ok(None) };
        let known = self.storage.sessions().peers(user.id).await?;
        if known.is_empty() || known.iter().any(|peer| place(peer).as_ref() == Some(&here)) {
            return Ok(None);
        }
        let kind = MailKind::LoginFromNewAddress;
        self.warning_with(user.id, user.email.as_str(), kind, ("address", peer))
    }
}
