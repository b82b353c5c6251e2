//! The generated code of `proto/`, and the `Debug` of the messages that carry secrets.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]

mod codec;

use std::fmt;

pub use codec::Codec;

/// What Google's APIs share.
pub mod google_type {
    tonic::include_proto!("google.r#type");
}

/// Answers that are no JSON over REST.
pub mod google_api {
    tonic::include_proto!("google.api");
}

pub use google_api::HttpBody;
pub use google_type::Date;

tonic::include_proto!("taskwire.v1");

/// The descriptor set of the whole contract, with its annotations, as reflection serves it.
pub const DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("taskwire_descriptor");

/// As `DESCRIPTOR_SET`, with the comments as well, from which the OpenAPI document is made.
pub const DOCUMENTED_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("taskwire_documented");

const HIDDEN: &str = "…";

impl fmt::Debug for CreateUserRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateUserRequest")
            .field("user", &self.user)
            .field("password", &HIDDEN)
            .field("request_id", &self.request_id)
            .finish()
    }
}

impl fmt::Debug for LoginRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginRequest")
            .field("email", &self.email)
            .field("password", &HIDDEN)
            .field("device", &self.device)
            .finish()
    }
}

impl fmt::Debug for RefreshSessionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshSessionRequest")
            .field("refresh_token", &HIDDEN)
            .field("request_id", &self.request_id)
            .finish()
    }
}

impl fmt::Debug for CreateWebhookResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateWebhookResponse")
            .field("webhook", &self.webhook)
            .field("secret", &HIDDEN)
            .finish()
    }
}

impl fmt::Debug for RotateWebhookSecretResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RotateWebhookSecretResponse")
            .field("webhook", &self.webhook)
            .field("secret", &HIDDEN)
            .finish()
    }
}

impl fmt::Debug for ChangePasswordRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangePasswordRequest")
            .field("name", &self.name)
            .field("current_password", &HIDDEN)
            .field("new_password", &HIDDEN)
            .finish()
    }
}

impl fmt::Debug for DeleteUserRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeleteUserRequest").field("name", &self.name).field("password", &HIDDEN).finish()
    }
}

impl fmt::Debug for CreateApiKeyResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateApiKeyResponse")
            .field("api_key", &self.api_key)
            .field("secret", &HIDDEN)
            .finish()
    }
}

impl fmt::Debug for TokenPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenPair")
            .field("access_token", &HIDDEN)
            .field("refresh_token", &HIDDEN)
            .field("token_type", &self.token_type)
            .field("access_expires_in", &self.access_expires_in)
            .field("refresh_expires_in", &self.refresh_expires_in)
            .field("user", &self.user)
            .field("session", &self.session)
            .finish()
    }
}

impl fmt::Debug for ResetPasswordRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResetPasswordRequest").field("token", &HIDDEN).field("new_password", &HIDDEN).finish()
    }
}

impl fmt::Debug for VerifyEmailRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyEmailRequest").field("token", &HIDDEN).finish()
    }
}

impl fmt::Debug for ConfirmEmailChangeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfirmEmailChangeRequest").field("token", &HIDDEN).finish()
    }
}

impl fmt::Debug for CompleteLoginRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompleteLoginRequest").field("challenge", &HIDDEN).field("proof", &HIDDEN).finish()
    }
}

impl fmt::Debug for complete_login_request::Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Debug for BeginTotpEnrolmentResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BeginTotpEnrolmentResponse")
            .field("secret", &HIDDEN)
            .field("otpauth_uri", &HIDDEN)
            .finish()
    }
}

impl fmt::Debug for ConfirmTotpEnrolmentRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfirmTotpEnrolmentRequest")
            .field("name", &self.name)
            .field("code", &HIDDEN)
            .finish()
    }
}

impl fmt::Debug for ConfirmTotpEnrolmentResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfirmTotpEnrolmentResponse").field("recovery_codes", &HIDDEN).finish()
    }
}

impl fmt::Debug for RegenerateRecoveryCodesResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegenerateRecoveryCodesResponse").field("recovery_codes", &HIDDEN).finish()
    }
}

impl fmt::Debug for ExchangeTokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangeTokenResponse")
            .field("access_token", &HIDDEN)
            .field("token_type", &self.token_type)
            .field("expires_in", &self.expires_in)
            .field("scopes", &self.scopes)
            .finish()
    }
}
