//! `UserService`: each handler parses, authorises, does one thing, and answers.

use prost::Message as _;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{convert_account, convert_service, convert_user};
use crate::accounts::{Accounts, PasswordPolicy, registration};
use crate::api::export::Exports;
use crate::api::idempotency::IdempotencyKey;
use crate::api::page_token::{List, PageTokens};
use crate::api::tasks::watch::WatchStream;
use crate::api::{Files, caller, idempotency, trace, traced};
use crate::auth::Principal;
use crate::auth::api_keys::ApiKeys;
use crate::domain::{Clock, Email, Role, Violations};
use crate::pb;
use crate::pb::user_service_server::UserService;
use crate::storage::{Registration, Storage};

/// The implementation of `UserService`.
#[derive(Debug)]
pub struct UserApi {
    storage: Storage,
    accounts: Accounts,
    api_keys: ApiKeys,
    clock: Clock,
    passwords: PasswordPolicy,
    page_tokens: PageTokens,
    exports: Exports,
}

impl UserApi {
    /// Serves the accounts in this storage.
    pub fn new(
        storage: Storage,
        accounts: Accounts,
        api_keys: ApiKeys,
        clock: Clock,
        passwords: PasswordPolicy,
        files: Files,
    ) -> Self {
        let exports = Exports::new(storage.clone(), clock.clone(), files);
        let page_tokens = PageTokens::new(storage.clone(), clock.clone(), "list_token");
        Self { storage, accounts, api_keys, clock, passwords, page_tokens, exports }
    }
}

/// A list that is cut by id: its method, and the text that must be the same on each of its pages.
fn list_by_id(caller: &Principal, method: &str, of: &str) -> List {
    let rule = "must come from a list with the same caller, parent and filter";
    List::of(caller, rule).with_text(method).with_text(of)
}

fn id(place: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(place).ok()
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl UserService for UserApi {
    type ExportUserDataStream = WatchStream<pb::HttpBody>;

    async fn create_user(&self, request: Request<pb::CreateUserRequest>) -> Answer<pb::User> {
        let trace = trace(&request);
        let caller = request.extensions().get::<Principal>();
        self.accounts.may_register(caller)?;
        let by_admin = caller.is_some_and(|caller| caller.role == Role::Admin);
        let new = convert_user::registration(request.get_ref(), self.passwords)?;
        let once = IdempotencyKey::of_registration(request.get_ref()).map(|key| Registration {
            caller: trace.actor,
            key: key.id,
            fingerprint: key.fingerprint,
            answer: |user| convert_user::user_to_pb(user).encode_to_vec(),
        });
        let user = match self.accounts.sign_up(new, once, by_admin, &trace).await? {
            registration::Answer::Made(user) => convert_user::user_to_pb(&user),
            registration::Answer::Replayed(bytes) => idempotency::decode_answer(&bytes)?,
        };
        Ok(Response::new(user))
    }

    async fn get_user(&self, request: Request<pb::GetUserRequest>) -> Answer<pb::User> {
        let (caller, request) = caller(request)?;
        let id = convert_user::user_name(&caller, &request.name)?;
        let user = self.storage.users().find(id).await?;
        Ok(Response::new(convert_user::user_to_pb(&user)))
    }

    async fn update_user(&self, request: Request<pb::UpdateUserRequest>) -> Answer<pb::User> {
        let (caller, trace, request) = traced(request)?;
        let (id, patch) = convert_user::user_update(&caller, request)?;
        let user = self.accounts.update(&caller, id, patch, &trace).await?;
        Ok(Response::new(convert_user::user_to_pb(&user)))
    }

    async fn delete_user(&self, request: Request<pb::DeleteUserRequest>) -> Answer<pb::DeleteUserResponse> {
        let (caller, trace, request) = traced(request)?;
        let user = convert_user::user_name(&caller, &request.name)?;
        self.accounts.delete(&caller, user, &request.password, &trace).await?;
        Ok(Response::new(pb::DeleteUserResponse {}))
    }

    async fn list_users(&self, request: Request<pb::ListUsersRequest>) -> Answer<pb::ListUsersResponse> {
        let (caller, request) = caller(request)?;
        let (filter, page_size) = convert_account::user_list(&request)?;
        let list = list_by_id(&caller, "ListUsers", &request.filter);
        let after = self.page_tokens.open(&list, &request.page_token, id).await?;
        let (users, more) = self.storage.users().list(&filter, after.map(Into::into), page_size).await?;
        let next_page_token = match users.last().filter(|_| more) {
            Some(last) => self.page_tokens.seal(&list, last.id.uuid().as_bytes()).await?,
            None => String::new(),
        };
        let users = users.iter().map(convert_user::user_to_pb).collect();
        Ok(Response::new(pb::ListUsersResponse { users, next_page_token }))
    }

    async fn disable_user(&self, request: Request<pb::DisableUserRequest>) -> Answer<pb::User> {
        let (caller, trace, request) = traced(request)?;
        let id = convert_user::user_name(&caller, &request.name)?;
        let user = self.accounts.disable(id, &trace).await?;
        Ok(Response::new(convert_user::user_to_pb(&user)))
    }

    async fn enable_user(&self, request: Request<pb::EnableUserRequest>) -> Answer<pb::User> {
        let (caller, trace, request) = traced(request)?;
        let id = convert_user::user_name(&caller, &request.name)?;
        let user = self.accounts.enable(id, &trace).await?;
        Ok(Response::new(convert_user::user_to_pb(&user)))
    }

    async fn login(&self, request: Request<pb::LoginRequest>) -> Answer<pb::TokenPair> {
        let mut trace = trace(&request);
        // Whoever logs in is nobody yet, whatever token they still have.
        trace.actor = None;
        let request = request.into_inner();
        let device = convert_user::device(&request.device)?;
        // What is no email is nobody's email: it answers as an unknown one does.
        let email = Email::parse(&request.email).ok();
        let pair = self.accounts.login(email, &request.password, device, trace).await?;
        Ok(Response::new(convert_user::token_pair_to_pb(pair)))
    }

    async fn complete_login(&self, request: Request<pb::CompleteLoginRequest>) -> Answer<pb::TokenPair> {
        let mut trace = trace(&request);
        trace.actor = None;
        let request = request.into_inner();
        let shown = convert_service::shown(request.proof)?;
        let pair = self.accounts.complete_login(&request.challenge, shown, trace).await?;
        Ok(Response::new(convert_user::token_pair_to_pb(pair)))
    }

    async fn refresh_session(&self, request: Request<pb::RefreshSessionRequest>) -> Answer<pb::TokenPair> {
        let mut trace = trace(&request);
        trace.actor = None;
        let request = request.into_inner();
        let mut violations = Violations::default();
        let key = violations.check("request_id", idempotency::parse(&request.request_id));
        let key = violations.finish_with(key)?;
        let pair = self.accounts.refresh(&request.refresh_token, key, &trace).await?;
        Ok(Response::new(convert_user::token_pair_to_pb(pair)))
    }

    async fn logout(&self, request: Request<pb::LogoutRequest>) -> Answer<pb::LogoutResponse> {
        let (caller, trace, _) = traced(request)?;
        self.accounts.logout(&caller, &trace).await?;
        Ok(Response::new(pb::LogoutResponse {}))
    }

    async fn change_password(
        &self,
        request: Request<pb::ChangePasswordRequest>,
    ) -> Answer<pb::ChangePasswordResponse> {
        let (caller, trace, request) = traced(request)?;
        convert_account::own_account(&caller, "name", &request.name)?;
        let user = self.storage.users().find(caller.user).await?;
        let new = convert_account::new_password(&caller, &request, Some(&user), self.passwords)?;
        self.accounts.change_password(&caller, &request.current_password, new, &trace).await?;
        Ok(Response::new(pb::ChangePasswordResponse {}))
    }

    async fn list_sessions(
        &self,
        request: Request<pb::ListSessionsRequest>,
    ) -> Answer<pb::ListSessionsResponse> {
        let (caller, request) = caller(request)?;
        let user = convert_account::account(&caller, "parent", &request.parent)?;
        self.storage.users().find(user).await?;
        let sessions = self.storage.sessions().list(user, self.clock.now()).await?;
        let sessions =
            sessions.iter().map(|session| convert_user::session_to_pb(session, caller.session())).collect();
        Ok(Response::new(pb::ListSessionsResponse { sessions }))
    }

    async fn revoke_session(
        &self,
        request: Request<pb::RevokeSessionRequest>,
    ) -> Answer<pb::RevokeSessionResponse> {
        let (caller, trace, request) = traced(request)?;
        let (user, session) = convert_account::session_name(&caller, &request.name)?;
        self.accounts.revoke_session(user, session, &trace).await?;
        Ok(Response::new(pb::RevokeSessionResponse {}))
    }

    async fn revoke_all_sessions(
        &self,
        request: Request<pb::RevokeAllSessionsRequest>,
    ) -> Answer<pb::RevokeAllSessionsResponse> {
        let (caller, trace, request) = traced(request)?;
        let user = convert_account::account(&caller, "parent", &request.parent)?;
        self.accounts.revoke_all_sessions(user, &trace).await?;
        Ok(Response::new(pb::RevokeAllSessionsResponse {}))
    }

    async fn create_api_key(
        &self,
        request: Request<pb::CreateApiKeyRequest>,
    ) -> Answer<pb::CreateApiKeyResponse> {
        let (caller, trace, request) = traced(request)?;
        let new = convert_account::new_api_key(&caller, request)?;
        self.accounts.step_up(&caller)?;
        self.accounts.may_manage_keys(&caller, new.user).await?;
        let (key, secret) = self.api_keys.create(new, &trace).await?;
        let api_key = Some(convert_account::api_key_to_pb(&key));
        Ok(Response::new(pb::CreateApiKeyResponse { api_key, secret }))
    }

    async fn list_api_keys(
        &self,
        request: Request<pb::ListApiKeysRequest>,
    ) -> Answer<pb::ListApiKeysResponse> {
        let (caller, request) = caller(request)?;
        let user = convert_account::account(&caller, "parent", &request.parent)?;
        self.accounts.may_manage_keys(&caller, user).await?;
        let keys = self.storage.api_keys().list(user).await?;
        let api_keys = keys.iter().map(convert_account::api_key_to_pb).collect();
        Ok(Response::new(pb::ListApiKeysResponse { api_keys }))
    }

    async fn revoke_api_key(
        &self,
        request: Request<pb::RevokeApiKeyRequest>,
    ) -> Answer<pb::RevokeApiKeyResponse> {
        let (caller, trace, request) = traced(request)?;
        let (user, key) = convert_account::api_key_name(&caller, &request.name)?;
        self.accounts.may_manage_keys(&caller, user).await?;
        self.accounts.revoke_api_key(user, key, &trace).await?;
        Ok(Response::new(pb::RevokeApiKeyResponse {}))
    }

    async fn list_audit_events(
        &self,
        request: Request<pb::ListAuditEventsRequest>,
    ) -> Answer<pb::ListAuditEventsResponse> {
        let (caller, request) = caller(request)?;
        let (user, page_size) = convert_account::event_list(&caller, &request)?;
        let list = list_by_id(&caller, "ListAuditEvents", &user.to_string());
        let after = self.page_tokens.open(&list, &request.page_token, id).await?;
        let (events, more) = self.storage.audit_events().list(user, after.map(Into::into), page_size).await?;
        let next_page_token = match events.last().filter(|_| more) {
            Some(last) => self.page_tokens.seal(&list, last.id.uuid().as_bytes()).await?,
            None => String::new(),
        };
        let audit_events = events.iter().map(convert_account::audit_event_to_pb).collect();
        Ok(Response::new(pb::ListAuditEventsResponse { audit_events, next_page_token }))
    }

    async fn export_user_data(
        &self,
        request: Request<pb::ExportUserDataRequest>,
    ) -> Answer<Self::ExportUserDataStream> {
        let (caller, trace, request) = traced(request)?;
        Ok(Response::new(self.exports.open(&caller, &trace, &request).await?))
    }

    async fn begin_totp_enrolment(
        &self,
        request: Request<pb::BeginTotpEnrolmentRequest>,
    ) -> Answer<pb::BeginTotpEnrolmentResponse> {
        let (caller, request) = caller(request)?;
        convert_account::own_account(&caller, "name", &request.name)?;
        let enrolment = self.accounts.begin_totp(&caller).await?;
        Ok(Response::new(convert_service::enrolment_to_pb(enrolment)))
    }

    async fn confirm_totp_enrolment(
        &self,
        request: Request<pb::ConfirmTotpEnrolmentRequest>,
    ) -> Answer<pb::ConfirmTotpEnrolmentResponse> {
        let (caller, trace, request) = traced(request)?;
        convert_account::own_account(&caller, "name", &request.name)?;
        let recovery_codes = self.accounts.confirm_totp(&caller, &request.code, &trace).await?;
        Ok(Response::new(pb::ConfirmTotpEnrolmentResponse { recovery_codes }))
    }

    async fn disable_totp(
        &self,
        request: Request<pb::DisableTotpRequest>,
    ) -> Answer<pb::DisableTotpResponse> {
        let (caller, trace, request) = traced(request)?;
        let user = convert_user::user_name(&caller, &request.name)?;
        self.accounts.disable_totp(&caller, user, &trace).await?;
        Ok(Response::new(pb::DisableTotpResponse {}))
    }

    async fn regenerate_recovery_codes(
        &self,
        request: Request<pb::RegenerateRecoveryCodesRequest>,
    ) -> Answer<pb::RegenerateRecoveryCodesResponse> {
        let (caller, trace, request) = traced(request)?;
        convert_account::own_account(&caller, "name", &request.name)?;
        let recovery_codes = self.accounts.regenerate_recovery_codes(&caller, &trace).await?;
        Ok(Response::new(pb::RegenerateRecoveryCodesResponse { recovery_codes }))
    }

    async fn request_password_reset(
        &self,
        request: Request<pb::RequestPasswordResetRequest>,
    ) -> Answer<pb::RequestPasswordResetResponse> {
        let trace = trace(&request);
        let email = convert_account::mail_address("email", &request.get_ref().email)?;
        self.accounts.request_password_reset(&email, &trace).await?;
        Ok(Response::new(pb::RequestPasswordResetResponse {}))
    }

    async fn reset_password(
        &self,
        request: Request<pb::ResetPasswordRequest>,
    ) -> Answer<pb::ResetPasswordResponse> {
        let trace = trace(&request);
        let request = request.into_inner();
        // What breaks the rules whoever it is for needs no look at the token.
        convert_account::reset_password(&request, None, self.passwords)?;
        let token = self.accounts.password_reset(&request.token).await?;
        let new = convert_account::reset_password(&request, Some(&token.user.email), self.passwords)?;
        self.accounts.reset_password(token, new, &trace).await?;
        Ok(Response::new(pb::ResetPasswordResponse {}))
    }

    async fn send_verification(
        &self,
        request: Request<pb::SendVerificationRequest>,
    ) -> Answer<pb::SendVerificationResponse> {
        let trace = trace(&request);
        let email = convert_account::mail_address("email", &request.get_ref().email)?;
        self.accounts.send_verification(&email, &trace).await?;
        Ok(Response::new(pb::SendVerificationResponse {}))
    }

    async fn verify_email(
        &self,
        request: Request<pb::VerifyEmailRequest>,
    ) -> Answer<pb::VerifyEmailResponse> {
        let trace = trace(&request);
        self.accounts.verify_email(&request.get_ref().token, &trace).await?;
        Ok(Response::new(pb::VerifyEmailResponse {}))
    }

    async fn request_email_change(
        &self,
        request: Request<pb::RequestEmailChangeRequest>,
    ) -> Answer<pb::RequestEmailChangeResponse> {
        let (caller, trace, request) = traced(request)?;
        convert_account::own_account(&caller, "name", &request.name)?;
        let next = convert_account::mail_address("new_email", &request.new_email)?;
        self.accounts.request_email_change(&caller, next, &trace).await?;
        Ok(Response::new(pb::RequestEmailChangeResponse {}))
    }

    async fn confirm_email_change(
        &self,
        request: Request<pb::ConfirmEmailChangeRequest>,
    ) -> Answer<pb::ConfirmEmailChangeResponse> {
        let trace = trace(&request);
        self.accounts.confirm_email_change(&request.get_ref().token, &trace).await?;
        Ok(Response::new(pb::ConfirmEmailChangeResponse {}))
    }

    async fn create_service_account(
        &self,
        request: Request<pb::CreateServiceAccountRequest>,
    ) -> Answer<pb::User> {
        let (_, trace, request) = traced(request)?;
        let (email, display_name) = convert_service::service_account(&request)?;
        let user = self.accounts.create_service(email, display_name, &trace).await?;
        Ok(Response::new(convert_user::user_to_pb(&user)))
    }

    async fn exchange_token(
        &self,
        request: Request<pb::ExchangeTokenRequest>,
    ) -> Answer<pb::ExchangeTokenResponse> {
        let (caller, trace, request) = traced(request)?;
        let (subject, scopes) = convert_service::exchange(&caller, &request)?;
        let exchanged = self.accounts.exchange(&caller, subject, scopes, &trace).await?;
        Ok(Response::new(convert_service::exchanged_to_pb(exchanged)))
    }
}
