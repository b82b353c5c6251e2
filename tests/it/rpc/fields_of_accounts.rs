//! Requests about accounts in which one text is not as it should be.

use taskwire::pb;

use super::Session;
use super::fields::Field;
use crate::support::refusal::Answer;
use crate::support::server::{PASSWORD, TestServer, answer};

impl Field {
    pub(super) async fn send_user_update(&self, session: &Session, text: String) -> Answer<()> {
        let mut user = pb::User { name: session.user.clone(), ..pb::User::default() };
        match self.path {
            "user.name" => user.name = text,
            "user.email" => user.email = text,
            "user.display_name" => user.display_name = text,
            "user.etag" => user.etag = text,
            _ => return session.update_account(user, &[&text]).await.map(drop),
        }
        session.update_account(user, &[]).await.map(drop)
    }

    pub(super) async fn send_about_mail(&self, server: &TestServer, text: String) -> Answer<()> {
        let mut anyone = server.anonymous();
        match self.message {
            "RequestPasswordResetRequest" => {
                let request = pb::RequestPasswordResetRequest { email: text };
                answer(anyone.request_password_reset(request).await).map(drop)
            }
            "SendVerificationRequest" => {
                let request = pb::SendVerificationRequest { email: text };
                answer(anyone.send_verification(request).await).map(drop)
            }
            "VerifyEmailRequest" => {
                answer(anyone.verify_email(pb::VerifyEmailRequest { token: text }).await).map(drop)
            }
            _ => {
                let request = pb::ConfirmEmailChangeRequest { token: text };
                answer(anyone.confirm_email_change(request).await).map(drop)
            }
        }
    }

    pub(super) async fn send_reset(&self, server: &TestServer, text: String) -> Answer<()> {
        let mut request = pb::ResetPasswordRequest {
            token: "twm_AQID".to_owned(),
            new_password: "correct horse battery staple".to_owned(),
        };
        match self.path {
            "token" => request.token = text,
            _ => request.new_password = text,
        }
        answer(server.anonymous().reset_password(request).await).map(drop)
    }

    pub(super) async fn send_completion(&self, server: &TestServer, text: String) -> Answer<()> {
        use pb::complete_login_request::Proof;
        let mut request = pb::CompleteLoginRequest {
            challenge: "twc_AQID".to_owned(),
            proof: Some(Proof::Code("287082".to_owned())),
        };
        match self.path {
            "challenge" => request.challenge = text,
            "code" => request.proof = Some(Proof::Code(text)),
            _ => request.proof = Some(Proof::RecoveryCode(text)),
        }
        answer(server.anonymous().complete_login(request).await).map(drop)
    }

    pub(super) async fn send_anonymously(&self, server: &TestServer, text: String) -> Answer<()> {
        let mut client = server.anonymous();
        let mut user = pb::User { email: "new@example.com".to_owned(), ..pb::User::default() };
        let mut password = PASSWORD.to_owned();
        let mut login = pb::LoginRequest {
            email: "ada@example.com".to_owned(),
            password: PASSWORD.to_owned(),
            ..pb::LoginRequest::default()
        };
        match (self.message, self.path) {
            ("RefreshSessionRequest", _) => return server.refresh(&text).await.map(drop),
            ("LoginRequest", "email") => login.email = text,
            ("LoginRequest", "password") => login.password = text,
            ("LoginRequest", _) => login.device = text,
            (_, "user.email") => user.email = text,
            (_, "user.name") => user.name = text,
            (_, "user.display_name") => user.display_name = text,
            _ => password = text,
        }
        if self.message == "LoginRequest" {
            return answer(client.login(login).await).map(drop);
        }
        let request =
            pb::CreateUserRequest { user: Some(user), password, ..pb::CreateUserRequest::default() };
        answer(client.create_user(request).await).map(drop)
    }

    pub(super) async fn send_email_change(&self, session: &Session, text: String) -> Answer<()> {
        let mut request = pb::RequestEmailChangeRequest {
            name: "users/me".to_owned(),
            new_email: "other@example.com".to_owned(),
        };
        match self.path {
            "name" => request.name = text,
            _ => request.new_email = text,
        }
        answer(session.users().request_email_change(request).await).map(drop)
    }
}
