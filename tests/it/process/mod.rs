//! The program as people and machines run it: started, stopped, misconfigured, without its database.

pub(crate) mod callers;
mod canaries;
mod cluster;
mod commands;
mod crash;
mod databases;
mod erasure;
mod flood;
mod imports;
mod keys;
mod logs;
mod one_address;
mod outages;
mod readme;
mod replicas;
mod rotation;
mod settings;
mod start;
mod stop;

use taskwire::pb::{CreateUserRequest, LoginRequest, TokenPair, User};
use tonic::{Request, Response, Status};

use crate::support::process::Service;

const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "canary-correct-horse";

/// Whether the service had no place for a call, and did nothing.
pub(crate) fn is_busy(status: &Status) -> bool {
    use tonic_types::StatusExt as _;
    status.get_details_error_info().is_some_and(|info| info.reason == "OVERLOADED")
}

/// Calls until the service is not too busy for it, as clients do: by its own limits it is, for a moment, on a machine that does many other
/// things.
pub(crate) async fn patiently<T>(mut call: impl AsyncFnMut() -> Result<Response<T>, Status>) -> T {
    loop {
        match call().await {
            Ok(answer) => return answer.into_inner(),
            Err(status) if is_busy(&status) => {}
            Err(status) => panic!("{status:?}"),
        }
    }
}

/// Registers an account and logs in.
pub(crate) async fn log_in(service: &Service) -> TokenPair {
    log_in_as(service, EMAIL).await
}

/// Registers and logs in somebody with this address.
pub(crate) async fn log_in_as(service: &Service, email: &str) -> TokenPair {
    let user = User { email: email.into(), ..User::default() };
    let create =
        CreateUserRequest { user: Some(user), password: PASSWORD.into(), ..CreateUserRequest::default() };
    let users = service.users().await;
    patiently(async || users.clone().create_user(create.clone()).await).await;
    let login = LoginRequest { email: email.into(), password: PASSWORD.into(), device: "test".into() };
    patiently(async || users.clone().login(login.clone()).await).await
}

pub(crate) async fn log_in_again(service: &Service) -> TokenPair {
    let login = LoginRequest { email: EMAIL.into(), password: PASSWORD.into(), device: "test".into() };
    service.users().await.login(login).await.unwrap().into_inner()
}

/// A request that carries an access token.
pub(crate) fn authorised<T>(message: T, pair: &TokenPair) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {}", pair.access_token);
    request.metadata_mut().insert("authorization", bearer.parse().unwrap());
    request
}
