//! The second half of a login: a challenge for whoever knew the password, completed by a code.
//!
//! A challenge names its user and itself and holds 256 random bits, of which a hash is stored; it is tried a few times,
//! lasts minutes, and ends with the password that was proved for it.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::second_factor::recovery_hash;
use super::{Accounts, Attempt, TokenPair};
use crate::auth::secret::{random, same};
use crate::domain::{
    AuditEventType, ChallengeId, ChallengeText, Device, Error, LoginChallenge, NewChallenge, Result, Trace,
    User, UserId,
};
use crate::storage::{Completion, ShownFactor, Verified};

const PREFIX: &str = "twc_";
const SECRET_BYTES: usize = 32;
const CHALLENGE_BYTES: usize = 16 + 16 + SECRET_BYTES;
const LASTS: Duration = Duration::from_secs(5 * 60);

/// What a login is completed with. Has no `Debug`: it is a secret.
#[expect(missing_debug_implementations, reason = "it is a secret")]
pub enum Shown {
    /// A code of the second factor.
    Code(String),
    /// A recovery code.
    RecoveryCode(String),
}

fn hash(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

fn encode(user: UserId, id: ChallengeId, secret: &[u8; SECRET_BYTES]) -> String {
    let bytes = [&user.as_bytes()[..], id.as_bytes(), secret].concat();
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
}

fn decode(text: &str) -> Option<(UserId, ChallengeId, [u8; SECRET_BYTES])> {
    let text = text.strip_prefix(PREFIX)?;
    if text.len() != (CHALLENGE_BYTES * 4).div_ceil(3) {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (user, rest) = bytes.split_first_chunk::<16>()?;
    let (id, rest) = rest.split_first_chunk::<16>()?;
    Some((UserId::from_bytes(*user), ChallengeId::from_bytes(*id), rest.try_into().ok()?))
}

impl Accounts {
    /// What a login is answered whose password was right, where a code is asked for as well.
    pub(super) async fn challenge(
        &self,
        user: &User,
        password_hash: Option<String>,
        device: Device,
    ) -> Result<Error> {
        let now = self.clock.now();
        let id = ChallengeId::generate_at(now);
        let secret: [u8; SECRET_BYTES] = random()?;
        let new = NewChallenge {
            user: user.id,
            id,
            secret_hash: hash(&secret),
            proved_hash: hash(password_hash.unwrap_or_default().as_bytes()),
            device,
            expire_time: now.after(LASTS),
        };
        self.storage.login_challenges().create(new).await?;
        Ok(Error::MfaRequired { challenge: ChallengeText::new(encode(user.id, id, &secret)) })
    }

    /// Completes a login with what its challenge asks for. Wrong codes count as wrong passwords do, and a challenge has a
    /// few tries.
    ///
    /// # Errors
    /// `ChallengeInvalid`, `CodeInvalid`, `UserDisabled`, `EmailUnverified`, `LoginThrottled`, `SecretsKeyMissing`, or those of the storage.
    pub async fn complete_login(&self, challenge: &str, shown: Shown, trace: Trace) -> Result<TokenPair> {
        let (user, id, secret) = decode(challenge).ok_or(Error::ChallengeInvalid)?;
        let found = self.storage.login_challenges().find(user, id).await?;
        let waiting = found.filter(|found| self.is_live(found, &secret)).ok_or(Error::ChallengeInvalid)?;
        let attempt = self.throttle.admit(waiting.user.email.key(), Some(user), &trace.peer).await?;
        // Before it is looked at: a hundred at once have no more tries than a hundred in a row.
        if !self.storage.login_challenges().take_try(user, id).await? {
            return Err(Error::ChallengeInvalid);
        }
        let factor = match shown {
            Shown::Code(code) => self.step_shown(user, &waiting.factor, &code)?.map(ShownFactor::Step),
            Shown::RecoveryCode(code) => {
                let used = Trace { actor: Some(user), ..trace.clone() }.did(AuditEventType::RecoveryCodeUsed);
                Some(ShownFactor::Recovery(recovery_hash(&code), used))
            }
        };
        let Some(factor) = factor else {
            return self.refuse_code(attempt, user, &trace).await;
        };
        if waiting.user.disable_time.is_some() {
            return Err(Error::UserDisabled);
        }
        self.check_verified(&waiting.user)?;
        let verified = Verified {
            password_hash: waiting.password_hash,
            rehashed: None,
            forgiven: attempt.forgiven(),
            completion: Some(Completion { challenge: id, shown: factor }),
        };
        match self.begin_session(waiting.user, waiting.device, trace.clone(), verified).await {
            // What had been spent before; and a password that was changed at this moment has ended the challenge.
            Err(Error::CodeInvalid) => self.refuse_code(attempt, user, &trace).await,
            Err(Error::CredentialsInvalid) => Err(Error::ChallengeInvalid),
            answer => answer,
        }
    }

    fn is_live(&self, found: &LoginChallenge, secret: &[u8]) -> bool {
        let password = found.password_hash.as_deref().unwrap_or_default();
        same(&found.secret_hash, &hash(secret))
            && same(&found.proved_hash, &hash(password.as_bytes()))
            && found.expire_time > self.clock.now()
            && found.factor.confirmed
    }

    async fn refuse_code(&self, attempt: Attempt, user: UserId, trace: &Trace) -> Result<TokenPair> {
        self.throttle.fail_at(AuditEventType::SecondFactorFailed, attempt, Some(user), trace).await?;
        Err(Error::CodeInvalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read_back_and_nothing_else_is() {
        let (user, id, secret) = (UserId::generate(), ChallengeId::generate(), [7; SECRET_BYTES]);
        let text = encode(user, id, &secret);
        assert_eq!(decode(&text), Some((user, id, secret)));
        for wrong in ["", "twc_", &text[1..], &text[..text.len() - 1], &text.replace("twc_", "twr_")] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
        let error = Error::MfaRequired { challenge: ChallengeText::new(text.clone()) };
        assert!(!format!("{error:?} {error}").contains(&text[4..]));
    }
}
