//! What is proved by a token out of a mail: an address, a new password, another address.

use taskwire_proto as pb;
use taskwire_proto::user_service_client::UserServiceClient;

use super::Client;
use super::call::Kind;
use super::error::Result;

impl Client {
    /// Has a token for a new password mailed to this address; answers the same whether or not an account has it. Nobody has to be
    /// logged in. It is not repeated after a lost answer: each call sends a mail.
    pub async fn request_password_reset(&self, email: &str) -> Result<()> {
        let request = pb::RequestPasswordResetRequest { email: email.to_owned() };
        let ask = |channel, request| async move {
            UserServiceClient::new(channel).request_password_reset(request).await
        };
        self.core.anonymous(Kind::NotRepeatable, request, ask).await.map(drop)
    }

    /// Takes the token out of the mail and sets a new password. All sessions end, that of this client too if it is of the account.
    pub async fn reset_password(&self, token: &str, new_password: &str) -> Result<()> {
        let request =
            pb::ResetPasswordRequest { token: token.to_owned(), new_password: new_password.to_owned() };
        let reset =
            |channel, request| async move { UserServiceClient::new(channel).reset_password(request).await };
        self.core.anonymous(Kind::NotRepeatable, request, reset).await.map(drop)
    }

    /// Has a token mailed that verifies this address; answers the same whether or not an account has it. Nobody has to be logged in.
    /// It is not repeated after a lost answer: each call sends a mail.
    pub async fn send_verification(&self, email: &str) -> Result<()> {
        let request = pb::SendVerificationRequest { email: email.to_owned() };
        let ask = |channel, request| async move {
            UserServiceClient::new(channel).send_verification(request).await
        };
        self.core.anonymous(Kind::NotRepeatable, request, ask).await.map(drop)
    }

    /// Takes the token out of the mail: the address of its account is verified.
    pub async fn verify_email(&self, token: &str) -> Result<()> {
        let request = pb::VerifyEmailRequest { token: token.to_owned() };
        let verify =
            |channel, request| async move { UserServiceClient::new(channel).verify_email(request).await };
        self.core.anonymous(Kind::NotRepeatable, request, verify).await.map(drop)
    }

    /// Has a token mailed to the address that the account of whoever is logged in is to have. It is not repeated after a lost
    /// answer: each call sends a mail.
    pub async fn request_email_change(&self, new_email: &str) -> Result<()> {
        let request =
            pb::RequestEmailChangeRequest { name: "users/me".to_owned(), new_email: new_email.to_owned() };
        let ask = |channel, request| async move {
            UserServiceClient::new(channel).request_email_change(request).await
        };
        self.core.authorized(Kind::NotRepeatable, request, ask).await.map(drop)
    }

    /// Takes the token out of the mail: its account has the address that the mail went to. Nobody has to be logged in.
    pub async fn confirm_email_change(&self, token: &str) -> Result<()> {
        let request = pb::ConfirmEmailChangeRequest { token: token.to_owned() };
        let confirm = |channel, request| async move {
            UserServiceClient::new(channel).confirm_email_change(request).await
        };
        self.core.anonymous(Kind::NotRepeatable, request, confirm).await.map(drop)
    }
}
