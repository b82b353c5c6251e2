//! Tokens that mails bring: made, read back, and held against the account as it is.
//!
//! A token names its user and itself and holds 256 random bits, of which a hash is stored. It lasts an hour, is good once and for
//! one thing, and ends with the password and the address that it was made for. Who asks for one learns nothing: an address that
//! none is for takes the same path, to a mail that nobody gets.

use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Accounts;
use super::warnings::letter;
use crate::auth::secret::{random, same};
use crate::domain::{
    Email, Error, MailKind, MailPurpose, MailToken, MailTokenId, NewMail, NewMailToken, Result, Trace, UserId,
};
use crate::storage::Account;

const PREFIX: &str = "twm_";
const SECRET_BYTES: usize = 32;
const TOKEN_BYTES: usize = 16 + 16 + SECRET_BYTES;
/// How long a token is good.
const LASTS: Duration = Duration::from_secs(60 * 60);
/// Tokens of one account and kind that are good at once.
const LIVE_MAX: i64 = 5;

/// A token to be made, and the mail that brings it.
pub(super) struct Wanted<'a> {
    /// Whose account it reaches.
    pub(super) user: UserId,
    /// The account as it is: its address, and the hash of its password.
    pub(super) email: &'a str,
    pub(super) password_hash: Option<&'a str>,
    /// What it is good for, and the address that it proves where that is another one.
    pub(super) purpose: MailPurpose,
    pub(super) new_email: Option<Email>,
    /// To whom the mail goes; to nobody where this is empty.
    pub(super) to: &'a str,
}

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

const fn kind_of(purpose: MailPurpose) -> MailKind {
    match purpose {
        MailPurpose::PasswordReset => MailKind::PasswordReset,
        MailPurpose::EmailVerification => MailKind::EmailVerification,
        MailPurpose::EmailChange => MailKind::EmailChange,
    }
}

impl Accounts {
    /// Mails a token to this address, if it is that of an account that such a token reaches. It answers the same, and does the
    /// same work, where it is not.
    pub(super) async fn mail_token(
        &self,
        email: &Email,
        purpose: MailPurpose,
        reaches: fn(&Account) -> bool,
        trace: &Trace,
    ) -> Result<()> {
        self.mailer.check()?;
        self.throttle.take_mail(email.key(), &trace.peer).await?;
        let found = self.storage.users().find_by_email(email).await?;
        if found.is_none() {
            // The read of the account that an address leads to, so that the time does not tell.
            match self.storage.users().find_account(UserId::generate()).await {
                Ok(_) | Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let reached = found.filter(reaches);
        // Where there is nobody, it is as if there were somebody whom nobody knows.
        let user = reached.as_ref().map_or_else(UserId::generate, |account| account.user.id);
        // As it is stored, not as it was typed now.
        let to = reached.as_ref().map_or("", |account| account.user.email.as_str());
        let password_hash = reached.as_ref().and_then(|account| account.password_hash.as_deref());
        let wanted = Wanted { user, email: to, password_hash, purpose, new_email: None, to };
        let (token, mail) = self.new_token(wanted)?;
        self.keep_token(token, mail).await
    }

    /// A token, and the mail that brings it.
    pub(super) fn new_token(&self, wanted: Wanted<'_>) -> Result<(NewMailToken, NewMail)> {
        let Wanted { user, email, password_hash, purpose, new_email, to } = wanted;
        let now = self.clock.now();
        let (id, secret) = (MailTokenId::generate_at(now), random::<SECRET_BYTES>()?);
        let (token, kind) = (encode(user, id, &secret), kind_of(purpose));
        let link = self.mailer.link(kind, &token);
        let minutes = (LASTS.as_secs() / 60).to_string();
        let values = [("email", to.to_owned()), ("link", link), ("token", token), ("minutes", minutes)];
        let mail = self.mailer.prepare(user, kind, &letter(to, values), LASTS)?;
        let new = NewMailToken {
            user,
            id,
            purpose,
            secret_hash: digest(&SHA256, &secret).as_ref().to_vec(),
            proved_hash: proof(email, password_hash),
            new_email,
            expire_time: now.after(LASTS),
        };
        Ok((new, mail))
    }

    /// Keeps a token and queues the mail that brings it, unless there are as many already.
    pub(super) async fn keep_token(&self, token: NewMailToken, mail: NewMail) -> Result<()> {
        self.storage.mail_tokens().create(token, mail, LIVE_MAX, self.clock.now()).await.map(drop)
    }

    /// The stored token that is shown, with its account.
    ///
    /// # Errors
    /// `MailTokenInvalid`, or those of the storage.
    pub(super) async fn shown_token(&self, token: &str, purpose: MailPurpose) -> Result<MailToken> {
        let (user, id, secret) = decode(token).ok_or(Error::MailTokenInvalid)?;
        let found = self.storage.mail_tokens().find(user, id, purpose).await?;
        found.filter(|found| self.is_good(found, &secret)).ok_or(Error::MailTokenInvalid)
    }

    fn is_good(&self, found: &MailToken, secret: &[u8]) -> bool {
        let proved = proof(found.user.email.as_str(), found.password_hash.as_deref());
        same(&found.secret_hash, digest(&SHA256, secret).as_ref())
            && same(&found.proved_hash, &proved)
            && found.expire_time > self.clock.now()
            && found.user.disable_time.is_none()
    }
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
