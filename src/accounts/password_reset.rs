//! A new password for whoever reads the account's mail.
//!
//! A token names its user and itself and holds 256 random bits, of which a hash is stored. It lasts an hour, is good once, and
//! ends with the password and the address that it was asked for. Who asks learns nothing: an address without an account takes
//! the same path, to a mail that nobody gets.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Accounts, Password};
use crate::auth::secret::{random, same};
use crate::domain::{
    AccountKind, AuditEventType, Email, Error, MailKind, MailPurpose, MailToken, MailTokenId, NewMail,
    NewMailToken, Result, Timestamp, Trace, User, UserId,
};
use crate::outbound::mail::Letter;

const PREFIX: &str = "twm_";
const SECRET_BYTES: usize = 32;
const TOKEN_BYTES: usize = 16 + 16 + SECRET_BYTES;
/// How long a token is good.
const LASTS: Duration = Duration::from_secs(60 * 60);
/// Tokens of one account that are good at once.
const LIVE_MAX: i64 = 5;
/// How long it is tried to send a warning.
const WARNING_LASTS: Duration = Duration::from_secs(24 * 60 * 60);

fn encode(user: UserId, id: MailTokenId, secret: &[u8; SECRET_BYTES]) -> String {
    let bytes = [&user.as_bytes()[..], id.as_bytes(), secret].concat();
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
}

fn decode(text: &str) -> Option<(UserId, MailTokenId, [u8; SECRET_BYTES])> {
    let text = text.strip_prefix(PREFIX)?;
    if text.len() != (TOKEN_BYTES * 4).div_ceil(3) {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (user, rest) = bytes.split_first_chunk::<16>()?;
    let (id, rest) = rest.split_first_chunk::<16>()?;
    Some((UserId::from_bytes(*user), MailTokenId::from_bytes(*id), rest.try_into().ok()?))
}

/// The account as it is: another password or address makes another hash.
fn proof(email: &str, password_hash: Option<&str>) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    for text in [email, password_hash.unwrap_or_default()] {
        // The length keeps the end of one text from being the beginning of the next.
        context.update(&text.len().to_le_bytes());
        context.update(text.as_bytes());
    }
    context.finish().as_ref().to_vec()
}

fn shown(time: Timestamp) -> String {
    let (seconds, _) = time.to_parts();
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| String::new(), |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

impl Accounts {
    /// Mails a token for another password to this address, if it is one of a person who may log in with a password. It answers
    /// the same, and does the same work, where it is not.
    ///
    /// # Errors
    /// `MailNotConfigured`, `SecretsKeyMissing`, `MailThrottled`, or those of the storage.
    pub async fn request_password_reset(&self, email: &Email, trace: &Trace) -> Result<()> {
        self.mailer.check()?;
        self.throttle.take_mail(email.key(), &trace.peer).await?;
        let account = self.storage.users().find_by_email(email).await?;
        let reached = account.filter(|account| {
            account.user.disable_time.is_none()
                && account.user.kind == AccountKind::Person
                && account.password_hash.is_some()
        });
        let now = self.clock.now();
        let (id, secret) = (MailTokenId::generate_at(now), random::<SECRET_BYTES>()?);
        // Where there is nobody, it is as if there were somebody whom nobody knows.
        let user = reached.as_ref().map_or_else(UserId::generate, |account| account.user.id);
        let hash = reached.as_ref().and_then(|account| account.password_hash.as_deref());
        // As it is stored, not as it was typed now.
        let to = reached.as_ref().map_or("", |account| account.user.email.as_str());
        let token = encode(user, id, &secret);
        let link = self.mailer.link(MailKind::PasswordReset, &token);
        let minutes = (LASTS.as_secs() / 60).to_string();
        let values = [("email", to.to_owned()), ("link", link), ("token", token), ("minutes", minutes)];
        let letter = letter(to, values);
        let mail = self.mailer.prepare(user, MailKind::PasswordReset, &letter, LASTS)?;
        let new = NewMailToken {
            user,
            id,
            purpose: MailPurpose::PasswordReset,
            secret_hash: digest(&SHA256, &secret).as_ref().to_vec(),
            proved_hash: proof(to, hash),
            expire_time: now.after(LASTS),
        };
        self.storage.mail_tokens().create(new, mail, LIVE_MAX, now).await.map(drop)
    }

    /// The account that a token is good for, so that the new password can be held against it.
    ///
    /// # Errors
    /// `MailTokenInvalid`, or those of the storage.
    pub async fn password_reset(&self, token: &str) -> Result<MailToken> {
        let (user, id, secret) = decode(token).ok_or(Error::MailTokenInvalid)?;
        let found = self.storage.mail_tokens().find(user, id, MailPurpose::PasswordReset).await?;
        found.filter(|found| self.is_good(found, &secret)).ok_or(Error::MailTokenInvalid)
    }

    fn is_good(&self, found: &MailToken, secret: &[u8]) -> bool {
        let proved = proof(found.user.email.as_str(), found.password_hash.as_deref());
        same(&found.secret_hash, digest(&SHA256, secret).as_ref())
            && same(&found.proved_hash, &proved)
            && found.expire_time > self.clock.now()
            && found.user.disable_time.is_none()
    }

    /// Spends a token for another password, and ends all sessions.
    ///
    /// # Errors
    /// `MailTokenInvalid`, `Overloaded`, or those of the storage.
    pub async fn reset_password(&self, token: MailToken, new: Password, trace: &Trace) -> Result<()> {
        let new_hash = self.passwords.hash(new).await?;
        let actor = Trace { actor: Some(token.user.id), ..trace.clone() };
        let mail = self.password_changed(&token.user)?;
        let draft = actor.did(AuditEventType::PasswordReset);
        self.storage.mail_tokens().reset_password(token, new_hash, draft, mail, self.clock.now()).await?;
        self.learn_revocations().await;
        Ok(())
    }

    /// The mail that tells of another password; none where there is no mail.
    pub(super) fn password_changed(&self, user: &User) -> Result<Option<NewMail>> {
        if self.mailer.check().is_err() {
            return Ok(None);
        }
        let email = user.email.as_str();
        let letter = letter(email, [("email", email.to_owned()), ("time", shown(self.clock.now()))]);
        self.mailer.prepare(user.id, MailKind::PasswordChanged, &letter, WARNING_LASTS).map(Some)
    }
}

fn letter<const N: usize>(to: &str, values: [(&str, String); N]) -> Letter {
    let values: BTreeMap<String, String> =
        values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Letter { to: to.to_owned(), values }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_and_nothing_else_is() {
        let (user, id, secret) = (UserId::generate(), MailTokenId::generate(), [7; SECRET_BYTES]);
        let text = encode(user, id, &secret);
        assert_eq!(decode(&text), Some((user, id, secret)));
        for wrong in ["", "twm_", &text[1..], &text[..text.len() - 1], &text.replace("twm_", "twc_")] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn another_password_or_address_is_another_account_to_a_token() {
        let of = |email, hash| proof(email, hash);
        assert_eq!(of("a@b", Some("h")), of("a@b", Some("h")));
        assert_ne!(of("a@b", Some("h")), of("a@b", Some("i")));
        assert_ne!(of("a@b", Some("h")), of("a@bh", Some("")));
        assert_ne!(of("a@b", Some("h")), of("a@c", Some("h")));
    }
}
