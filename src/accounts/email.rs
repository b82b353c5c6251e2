//! Addresses: proved by whoever reads their mail, and replaced by others that are.

use super::Accounts;
use super::mail_token::Wanted;
use crate::auth::Principal;
use crate::domain::{
    AccountKind, AuditEventType, Email, EmailVerification, Error, MailKind, MailPurpose, NewMail,
    NewMailToken, Result, Role, Trace, User, UserId, UserPatch, Violations,
};
use crate::storage::Account;

impl Accounts {
    /// Checks that an account whose password was right may come in.
    ///
    /// # Errors
    /// `EmailUnverified` where addresses have to be proved.
    pub(super) fn check_verified(&self, user: &User) -> Result<()> {
        let lacks = self.config.email_verification == EmailVerification::Required && !user.email_verified;
        if lacks { Err(Error::EmailUnverified) } else { Ok(()) }
    }

    /// Mails a token that proves this address, if it is that of a person who has not proved it. It answers the same, and does
    /// the same work, where it is not.
    ///
    /// # Errors
    /// `SecretsKeyMissing`, `MailNotConfigured`, `MailThrottled`, or those of the storage.
    pub async fn send_verification(&self, email: &Email, trace: &Trace) -> Result<()> {
        let reaches = |account: &Account| {
            account.user.disable_time.is_none()
                && account.user.kind == AccountKind::Person
                && !account.user.email_verified
        };
        self.mail_token(email, MailPurpose::EmailVerification, reaches, trace).await
    }

    /// Spends a token that proves the address of its account.
    ///
    /// # Errors
    /// `MailTokenInvalid`, `Conflict`, or those of the storage.
    pub async fn verify_email(&self, token: &str, trace: &Trace) -> Result<()> {
        let token = self.shown_token(token, MailPurpose::EmailVerification).await?;
        let actor = Trace { actor: Some(token.user.id), ..trace.clone() };
        let draft = actor.did(AuditEventType::EmailVerified);
        self.storage.mail_tokens().verify_email(token, draft, self.clock.now()).await
    }

    /// Mails a token to the address that the caller's account is to have. Where another account has that, its owner is told, and
    /// the caller learns nothing of it.
    ///
    /// # Errors
    /// `StepUpRequired`, `Invalid` for the address that the account has, `SecretsKeyMissing`, `MailNotConfigured`,
    /// `MailThrottled`, or those of the storage.
    pub async fn request_email_change(&self, caller: &Principal, next: Email, trace: &Trace) -> Result<()> {
        self.step_up(caller)?;
        self.mailer.check()?;
        let account = self.storage.users().find_account(caller.user).await?;
        if account.user.email.key() == next.key() {
            let mut violations = Violations::default();
            let rule = crate::domain::Rule::field("must be another address than the account has");
            violations.check("new_email", Err::<(), _>(rule));
            return violations.finish_with(None);
        }
        self.throttle.take_mail(next.key(), &trace.peer).await?;
        let owner = self.storage.users().find_by_email(&next).await?;
        let (token, mut mail) = self.new_token(Wanted {
            user: caller.user,
            email: account.user.email.as_str(),
            password_hash: account.password_hash.as_deref(),
            purpose: MailPurpose::EmailChange,
            to: next.as_str(),
            new_email: Some(next.clone()),
        })?;
        // That token is then nobody's: it is in no mail.
        if let Some(owner) = owner
            && let Some(told) = self.email_taken(caller.user, &owner.user)?
        {
            mail = told;
        }
        self.keep_token(token, mail).await
    }

    /// Spends a token for the address that it proves, and tells the one before.
    ///
    /// # Errors
    /// `MailTokenInvalid`, `UserAlreadyExists`, `Conflict`, or those of the storage.
    pub async fn confirm_email_change(&self, token: &str, trace: &Trace) -> Result<()> {
        let token = self.shown_token(token, MailPurpose::EmailChange).await?;
        let actor = Trace { actor: Some(token.user.id), ..trace.clone() };
        let mail = self.warning(&token.user, MailKind::EmailChanged)?;
        let draft = actor.did(AuditEventType::EmailChanged);
        self.storage.mail_tokens().change_email(token, draft, mail, self.clock.now()).await
    }

    /// The mail that tells the owner of an address that somebody wanted it for an account. It belongs to `about`, whose call it
    /// comes from.
    pub(super) fn email_taken(&self, about: UserId, owner: &User) -> Result<Option<NewMail>> {
        self.warning_with(about, owner.email.as_str(), MailKind::EmailTaken, ("", ""))
    }

    /// Checks an update of an account that may bring another address; answers the mail that tells the old one, and the token that the
    /// new one is mailed where addresses are verified. Whoever sends back what there is changes nothing.
    pub(super) async fn before_update(
        &self,
        caller: &Principal,
        user: UserId,
        patch: &UserPatch,
        trace: &Trace,
    ) -> Result<(Option<NewMail>, Option<(NewMailToken, NewMail)>)> {
        let Some(email) = &patch.email else { return Ok((None, None)) };
        let Account { user: current, password_hash } = self.storage.users().find_account(user).await?;
        if current.email == *email {
            return Ok((None, None));
        }
        self.step_up(caller)?;
        if current.email.key() == email.key() {
            return Ok((None, None));
        }
        // An address that has to be proved first comes by mail; admins know what they do, and whose it is.
        let by_mail = self.config.email_verification == EmailVerification::Required;
        let by_admin = caller.role == Role::Admin;
        if by_mail && !by_admin {
            return Err(Error::EmailUnverified);
        }
        let told = self.warning(&current, MailKind::EmailChanged)?;
        // Services prove no address, and nobody comes in who is disabled.
        let is_asked = current.kind == AccountKind::Person && current.disable_time.is_none();
        if !is_asked || !self.greets(email, by_admin, trace).await? {
            return Ok((told, None));
        }
        let token = self.new_token(Wanted {
            user,
            email: email.as_str(),
            password_hash: password_hash.as_deref(),
            purpose: MailPurpose::EmailVerification,
            new_email: None,
            to: email.as_str(),
        })?;
        Ok((told, Some(token)))
    }
}
