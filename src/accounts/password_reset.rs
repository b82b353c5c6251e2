//! A new password for whoever reads the account's mail.

use super::{Accounts, Password};
use crate::domain::{AccountKind, AuditEventType, Email, MailKind, MailPurpose, MailToken, Result, Trace};

impl Accounts {
    /// Mails a token for another password to this address, if it is one of a person who may log in with a password. It answers
    /// the same, and does the same work, where it is not.
    ///
    /// # Errors
    /// `SecretsKeyMissing`, `MailNotConfigured`, `MailThrottled`, or those of the storage.
    pub async fn request_password_reset(&self, email: &Email, trace: &Trace) -> Result<()> {
        let reaches = |account: &crate::storage::Account| {
            account.user.disable_time.is_none()
                && account.user.kind == AccountKind::Person
                && account.password_hash.is_some()
        };
        self.mail_token(email, MailPurpose::PasswordReset, reaches, trace).await
    }

    /// The account that a token is good for, so that the new password can be held against it.
    ///
    /// # Errors
    /// `MailTokenInvalid`, or those of the storage.
    pub async fn password_reset(&self, token: &str) -> Result<MailToken> {
        self.shown_token(token, MailPurpose::PasswordReset).await
    }

    /// Spends a token for another password, and ends all sessions.
    ///
    /// # Errors
    /// `MailTokenInvalid`, `Overloaded`, or those of the storage.
    pub async fn reset_password(&self, token: MailToken, new: Password, trace: &Trace) -> Result<()> {
        let new_hash = self.passwords.hash(new).await?;
        let actor = Trace { actor: Some(token.user.id), ..trace.clone() };
        let mail = self.warning(&token.user, MailKind::PasswordChanged)?;
        let draft = actor.did(AuditEventType::PasswordReset);
        self.storage.mail_tokens().reset_password(token, new_hash, draft, mail, self.clock.now()).await?;
        self.learn_revocations().await;
        Ok(())
    }
}
