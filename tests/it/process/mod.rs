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
use tonic::Request;

use crate::support::process::Service;

const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "canary-correct-horse";

/// Registers an account and logs in.
pub(crate) async fn log_in(service: &Service) -> TokenPair {
    log_in_as(service, EMAIL).await
}

/// Registers and logs in somebody with this address.
pub(crate) async fn log_in_as(service: &Service, email: &str) -> TokenPair {
    let user = User { email: email.into(), ..User::default() };
    let create =
        CreateUserRequest { user: Some(user), password: PASSWORD.into(), ..CreateUserRequest::default() };
    service.users().await.create_user(create).await.unwrap();
    let login = LoginRequest { email: email.into(), password: PASSWORD.into(), device: "test".into() };
    service.users().await.login(login).await.unwrap().into_inner()
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
