//! Accounts and sessions, through the real channel: who gets in, who no longer does, and what attackers try.

mod api_keys;
mod audit;
mod email_change;
mod email_verification;
mod enumeration;
mod issuers;
mod keys;
mod mail_faults;
mod mail_server;
mod mail_warnings;
pub(crate) mod matrix;
mod password_reset;
mod passwords;
mod refresh;
mod registration;
mod revocation;
mod second_factor;
mod second_factor_races;
mod services;
mod step_up;
mod throttle;
mod users;
mod world;
