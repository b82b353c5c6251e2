//! `UserService`: each handler parses, authorises, does one thing, and answers.

use tonic::{Request, Response, Status};

use super::{caller, convert_user, peer};
use crate::auth::{Accounts, PasswordPolicy};
use crate::domain::{Clock, Email, Role};
use crate::pb;
use crate::pb::user_service_server::UserService;
use crate::storage::Storage;

/// The implementation of `UserService`.
#[derive(Debug)]
pub struct UserApi {
    storage: Storage,
    accounts: Accounts,
    clock: Clock,
    passwords: PasswordPolicy,
}

impl UserApi {
    /// Serves the accounts in this storage.
    pub const fn new(storage: Storage, accounts: Accounts, clock: Clock, passwords: PasswordPolicy) -> Self {
        Self { storage, accounts, clock, passwords }
    }
}

#[tonic::async_trait]
impl UserService for UserApi {
    async fn create_user(
        &self,
        request: Request<pb::CreateUserRequest>,
    ) -> Result<Response<pb::User>, Status> {
        let new = convert_user::registration(request.get_ref(), self.passwords)?;
        let user = self.accounts.register(new.email, new.display_name, new.password, Role::User).await?;
        Ok(Response::new(convert_user::user_to_pb(&user)))
    }

    async fn get_user(&self, request: Request<pb::GetUserRequest>) -> Result<Response<pb::User>, Status> {
        let (caller, request) = caller(request)?;
        let id = convert_user::user_name(&caller, &request.name)?;
        let user = self.storage.users().find(id).await?;
        Ok(Response::new(convert_user::user_to_pb(&user)))
    }

    async fn update_user(
        &self,
        request: Request<pb::UpdateUserRequest>,
    ) -> Result<Response<pb::User>, Status> {
        let (caller, request) = caller(request)?;
        let (id, patch) = convert_user::user_update(&caller, request)?;
        let user = self.storage.users().update(id, patch, self.clock.now()).await?;
        Ok(Response::new(convert_user::user_to_pb(&user)))
    }

    async fn login(&self, request: Request<pb::LoginRequest>) -> Result<Response<pb::TokenPair>, Status> {
        let peer = peer(&request);
        let request = request.into_inner();
        let device = convert_user::device(&request.device)?;
        // What is no email is nobody's email: it answers as an unknown one does.
        let email = Email::parse(&request.email).ok();
        let pair = self.accounts.login(email, &request.password, device, peer).await?;
        Ok(Response::new(convert_user::token_pair_to_pb(pair)))
    }

    async fn refresh_session(
        &self,
        request: Request<pb::RefreshSessionRequest>,
    ) -> Result<Response<pb::TokenPair>, Status> {
        let peer = peer(&request);
        let pair = self.accounts.refresh(&request.get_ref().refresh_token, peer).await?;
        Ok(Response::new(convert_user::token_pair_to_pb(pair)))
    }

    async fn logout(
        &self,
        request: Request<pb::LogoutRequest>,
    ) -> Result<Response<pb::LogoutResponse>, Status> {
        let (caller, _) = caller(request)?;
        self.accounts.logout(&caller).await?;
        Ok(Response::new(pb::LogoutResponse {}))
    }
}
