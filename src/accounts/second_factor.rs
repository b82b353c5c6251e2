//! A second factor: set up, confirmed, taken away, and the recovery codes that stand in for it.

use aws_lc_rs::digest::{SHA256, digest};

use super::{Accounts, totp};
use crate::auth::Principal;
use crate::auth::secret::random;
use crate::domain::{AuditEventType, Error, MailKind, Result, SecondFactor, Trace, UserId};

/// As long as the tag of the HMAC, as RFC 4226 recommends.
const SECRET_BYTES: usize = 20;
const RECOVERY_CODES: usize = 10;
/// 80 bits: nobody guesses them, so that a fast hash keeps them well.
const RECOVERY_BYTES: usize = 10;

/// What is shown once, for an app to keep. Has no `Debug`: it is a secret.
#[expect(missing_debug_implementations, reason = "it is a secret")]
pub struct Enrolment {
    /// The secret in base32.
    pub secret: String,
    /// The same as a link.
    pub uri: String,
}

/// A recovery code as it is shown: four groups of four.
fn recovery_code() -> Result<String> {
    let text = totp::base32(&random::<RECOVERY_BYTES>()?).to_lowercase();
    let groups: Vec<&str> = [0, 4, 8, 12].iter().filter_map(|at| text.get(*at..at + 4)).collect();
    Ok(groups.join("-"))
}

/// What is kept of a recovery code, however it is typed.
pub(super) fn recovery_hash(typed: &str) -> Vec<u8> {
    let plain: String = typed.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
    digest(&SHA256, plain.to_ascii_lowercase().as_bytes()).as_ref().to_vec()
}

/// New recovery codes, and what is kept of them.
fn recovery_codes() -> Result<(Vec<String>, Vec<Vec<u8>>)> {
    let codes = (0..RECOVERY_CODES).map(|_| recovery_code()).collect::<Result<Vec<_>>>()?;
    let hashes = codes.iter().map(|code| recovery_hash(code)).collect();
    Ok((codes, hashes))
}

/// The place that a sealed secret belongs to.
fn context(user: UserId) -> Vec<u8> {
    [b"second_factors:", &user.as_bytes()[..]].concat()
}

impl Accounts {
    /// Makes a secret for the caller's second factor, which counts once a code of it was shown.
    ///
    /// # Errors
    /// `StepUpRequired`, `TotpAlreadyEnabled`, `SecretsKeyMissing`, or those of the storage.
    pub async fn begin_totp(&self, caller: &Principal) -> Result<Enrolment> {
        self.step_up(caller)?;
        let secret: [u8; SECRET_BYTES] = random()?;
        let sealed = self.sealer.seal(&context(caller.user), &secret)?;
        let user = self.storage.users().find(caller.user).await?;
        self.storage.second_factors().begin(caller.user, sealed, self.clock.now()).await?;
        let secret = totp::base32(&secret);
        let uri = totp::uri(self.tokens.issuer(), user.email.as_str(), &secret);
        Ok(Enrolment { secret, uri })
    }

    /// Makes the second factor count, by a code of it; answers the recovery codes, which cannot be had again. Wrong codes
    /// count as wrong passwords do.
    ///
    /// # Errors
    /// `CodeInvalid`, `TotpNotEnabled` when none was begun, `TotpAlreadyEnabled`, `LoginThrottled`, `SecretsKeyMissing`,
    /// `Conflict`, or those of the storage.
    pub async fn confirm_totp(&self, caller: &Principal, code: &str, trace: &Trace) -> Result<Vec<String>> {
        let factor = self.storage.second_factors().find(caller.user).await?.ok_or(Error::TotpNotEnabled)?;
        if factor.confirmed {
            return Err(Error::TotpAlreadyEnabled);
        }
        let user = self.storage.users().find(caller.user).await?;
        let attempt = self.throttle.admit(user.email.key(), Some(user.id), &trace.peer).await?;
        let Some(step) = self.step_shown(user.id, &factor, code)? else {
            let what = AuditEventType::SecondFactorFailed;
            self.throttle.fail_at(what, attempt, Some(user.id), trace).await?;
            return Err(Error::CodeInvalid);
        };
        let (codes, hashes) = recovery_codes()?;
        let mail = self.warning(&user, MailKind::SecondFactorAdded)?;
        let factors = self.storage.second_factors().recording(trace.did(AuditEventType::TotpEnabled));
        let factors = factors.mailing(mail);
        factors.confirm(user.id, factor.sealed, step, hashes, self.clock.now()).await?;
        Ok(codes)
    }

    /// Takes a second factor away: the caller's own, or one that its user has lost, by an administrator.
    ///
    /// # Errors
    /// `StepUpRequired`, `TotpNotEnabled`, `NotFound` when there is no such user, or those of the storage.
    pub async fn disable_totp(&self, caller: &Principal, user: UserId, trace: &Trace) -> Result<()> {
        self.step_up(caller)?;
        let mail = self.warning_of(user, MailKind::SecondFactorRemoved).await?;
        let factors = self.storage.second_factors().recording(trace.did(AuditEventType::TotpDisabled));
        factors.mailing(mail).disable(user, self.clock.now()).await
    }

    /// New recovery codes for the caller, in the place of those there are.
    ///
    /// # Errors
    /// `StepUpRequired`, `TotpNotEnabled`, or those of the storage.
    pub async fn regenerate_recovery_codes(&self, caller: &Principal, trace: &Trace) -> Result<Vec<String>> {
        self.step_up(caller)?;
        let (codes, hashes) = recovery_codes()?;
        let draft = trace.did(AuditEventType::RecoveryCodesRegenerated);
        let mail = self.warning_of(caller.user, MailKind::RecoveryCodesRegenerated).await?;
        let factors = self.storage.second_factors().recording(draft).mailing(mail);
        factors.replace_recovery_codes(caller.user, hashes, self.clock.now()).await?;
        Ok(codes)
    }

    /// The step of this code, if it is one of the factor that was not spent.
    pub(super) fn step_shown(&self, user: UserId, factor: &SecondFactor, code: &str) -> Result<Option<i64>> {
        let secret = self.sealer.open(&context(user), &factor.sealed)?;
        let step = totp::step_of(&secret, code, self.clock.now());
        Ok(step.filter(|step| *step > factor.last_step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_code_is_read_however_it_is_typed() {
        let code = recovery_code().unwrap();
        assert_eq!(code.len(), 19);
        assert_ne!(code, recovery_code().unwrap());
        let hash = recovery_hash(&code);
        for typed in [code.to_uppercase(), code.replace('-', ""), format!(" {} ", code.replace('-', " "))] {
            assert_eq!(recovery_hash(&typed), hash, "{typed}");
        }
        assert_ne!(recovery_hash(&code[1..]), hash);
        assert_eq!(recovery_codes().unwrap().0.len(), 10);
    }
}
