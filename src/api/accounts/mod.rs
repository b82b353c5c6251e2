//! `UserService`: its handlers, and messages about accounts to values and back.

pub(super) mod convert_account;
pub(super) mod convert_service;
pub(super) mod convert_user;
pub(super) mod user_service;
