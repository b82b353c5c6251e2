//! Users, sessions, keys, identities, revocations, throttles, audit events: their rows and the statements on them.

pub(super) mod api_keys;
pub(super) mod audit;
pub(super) mod email_keys;
pub(super) mod identities;
pub(super) mod login_challenges;
pub(super) mod mail_tokens;
pub(super) mod mails;
pub(super) mod registrations;
pub(super) mod revocations;
pub(super) mod second_factors;
pub(super) mod sessions;
pub(super) mod sweep;
pub(super) mod throttles;
pub(super) mod user_lifecycle;
pub(super) mod users;
