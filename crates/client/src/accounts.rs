//! Second factors, and services that take on a user's part.

use taskwire_proto as pb;
use taskwire_proto::complete_login_request::Proof;
use taskwire_proto::user_service_client::UserServiceClient;

use super::Client;
use super::call::Kind;
use super::error::{Error, Result};
use super::session::Session;

/// What completes a login of an account with a second factor. Has no `Debug`: it is a secret.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "it is a secret")]
pub enum SecondFactor {
    /// The six digits that an authenticator app shows.
    Code(String),
    /// A recovery code.
    RecoveryCode(String),
}

impl SecondFactor {
    /// What somebody typed: six digits are a code, anything else a recovery code.
    pub fn typed(text: &str) -> Self {
        let plain: String = text.chars().filter(|character| !character.is_whitespace()).collect();
        if plain.len() == 6 && plain.bytes().all(|byte| byte.is_ascii_digit()) {
            Self::Code(plain)
        } else {
            Self::RecoveryCode(plain)
        }
    }
}

/// The challenge in the error that [`Client::login`] answers for an account with a second factor.
pub fn challenge(error: &Error) -> Option<&str> {
    (error.reason() == "MFA_REQUIRED").then(|| error.metadata("challenge")).flatten()
}

fn me() -> String {
    "users/me".to_owned()
}

impl Client {
    /// Completes a login that answered a [`challenge`], begins a session and keeps it. It is not repeated after a lost answer.
    pub async fn complete_login(&self, challenge: &str, shown: SecondFactor) -> Result<Session> {
        let proof = match shown {
            SecondFactor::Code(code) => Proof::Code(code),
            SecondFactor::RecoveryCode(code) => Proof::RecoveryCode(code),
        };
        let request = pb::CompleteLoginRequest { challenge: challenge.to_owned(), proof: Some(proof) };
        let complete =
            |channel, request| async move { UserServiceClient::new(channel).complete_login(request).await };
        self.core.begin_session(request, complete).await
    }

    /// Makes the secret of a second factor, which counts from [`confirm_totp`](Self::confirm_totp) on.
    pub async fn begin_totp(&self) -> Result<pb::BeginTotpEnrolmentResponse> {
        let request = pb::BeginTotpEnrolmentRequest { name: me() };
        let begin = |channel, request| async move {
            UserServiceClient::new(channel).begin_totp_enrolment(request).await
        };
        // A second one takes the place of the first.
        self.core.authorized(Kind::Repeatable, request, begin).await
    }

    /// Has the second factor count, by a code of it; answers the recovery codes, this once.
    pub async fn confirm_totp(&self, code: &str) -> Result<Vec<String>> {
        let request = pb::ConfirmTotpEnrolmentRequest { name: me(), code: code.to_owned() };
        let confirm = |channel, request| async move {
            UserServiceClient::new(channel).confirm_totp_enrolment(request).await
        };
        let confirmed = self.core.authorized(Kind::NotRepeatable, request, confirm).await?;
        Ok(confirmed.recovery_codes)
    }

    /// Takes the second factor of a user away: `users/me`, or another one's by an administrator.
    pub async fn disable_totp(&self, user: &str) -> Result<()> {
        let request = pb::DisableTotpRequest { name: user.to_owned() };
        let disable =
            |channel, request| async move { UserServiceClient::new(channel).disable_totp(request).await };
        self.core.authorized(Kind::NotRepeatable, request, disable).await.map(drop)
    }

    /// New recovery codes in the place of those there are.
    pub async fn regenerate_recovery_codes(&self) -> Result<Vec<String>> {
        let request = pb::RegenerateRecoveryCodesRequest { name: me() };
        let regenerate = |channel, request| async move {
            UserServiceClient::new(channel).regenerate_recovery_codes(request).await
        };
        // Codes whose answer was lost are nobody's, and the next ones end them.
        let regenerated = self.core.authorized(Kind::Repeatable, request, regenerate).await?;
        Ok(regenerated.recovery_codes)
    }

    /// Makes an API key of the caller's with these scopes; the answer holds its secret, this once.
    pub async fn create_api_key(
        &self,
        display_name: &str,
        scopes: &[&str],
    ) -> Result<pb::CreateApiKeyResponse> {
        let scopes = scopes.iter().map(ToString::to_string).collect();
        let api_key = pb::ApiKey { display_name: display_name.to_owned(), scopes, ..pb::ApiKey::default() };
        let parent = "users/me".to_owned();
        let request = pb::CreateApiKeyRequest { parent, api_key: Some(api_key) };
        let create =
            |channel, request| async move { UserServiceClient::new(channel).create_api_key(request).await };
        self.core.authorized(Kind::NotRepeatable, request, create).await
    }

    /// Makes the account of a service, for an administrator.
    pub async fn create_service_account(&self, email: &str, display_name: &str) -> Result<pb::User> {
        let user = pb::User {
            email: email.to_owned(),
            display_name: display_name.to_owned(),
            ..pb::User::default()
        };
        let request = pb::CreateServiceAccountRequest { user: Some(user) };
        let create = |channel, request| async move {
            UserServiceClient::new(channel).create_service_account(request).await
        };
        self.core.authorized(Kind::NotRepeatable, request, create).await
    }

    /// A short token of a user, `users/{user}`, for a service whose API key has the scope `users.impersonate`. Without
    /// scopes it reaches all of the user's tasks.
    pub async fn exchange_token(
        &self,
        subject_user: &str,
        scopes: &[&str],
    ) -> Result<pb::ExchangeTokenResponse> {
        let scopes = scopes.iter().map(ToString::to_string).collect();
        let request = pb::ExchangeTokenRequest { subject_user: subject_user.to_owned(), scopes };
        let exchange =
            |channel, request| async move { UserServiceClient::new(channel).exchange_token(request).await };
        self.core.authorized(Kind::Repeatable, request, exchange).await
    }
}

#[cfg(test)]
mod tests {
    use super::SecondFactor;

    #[test]
    fn six_digits_are_a_code() {
        for code in ["287082", " 287 082 "] {
            assert!(matches!(SecondFactor::typed(code), SecondFactor::Code(code) if code == "287082"));
        }
        for other in ["28708", "2870822", "abcd-efgh-ijkl-mnop", "28708a", ""] {
            assert!(matches!(SecondFactor::typed(other), SecondFactor::RecoveryCode(_)), "{other}");
        }
    }
}
