//! Users and sessions: from messages to domain values and back.

use std::time::Duration;

use crate::accounts::registration::NewAccount;
use crate::accounts::{PasswordPolicy, TokenPair};
use crate::api::field_mask::{Mask, Writable};
use crate::api::fields::Fields;
use crate::api::tasks::convert_value::time_to_pb;
use crate::api::{idempotency, names};
use crate::auth::Principal;
use crate::domain::{
    AccountKind, Device, DisplayName, Email, Etag, Result, Role, Rule, Session, SessionId, User, UserId,
    UserPatch, Violations,
};
use crate::pb;

const WRITABLE: Writable = Writable {
    fields: &["email", "display_name"],
    ignored: &[
        "name",
        "role",
        "create_time",
        "update_time",
        "disabled",
        "revision",
        "etag",
        "kind",
        "totp_enabled",
        "email_verified",
    ],
};

/// Reads an account to be made.
pub(in crate::api) fn registration(
    request: &pb::CreateUserRequest,
    policy: PasswordPolicy,
) -> Result<NewAccount> {
    let mut violations = Violations::default();
    let user = violations.check("user", request.user.as_ref().ok_or_else(|| Rule::field("is required")));
    let email = user.and_then(|user| violations.check("user.email", Email::parse(&user.email)));
    let display_name =
        user.and_then(|user| violations.check("user.display_name", DisplayName::parse(&user.display_name)));
    let password = violations.check("password", policy.parse(&request.password, email.as_ref()));
    violations.check("request_id", idempotency::parse(&request.request_id));
    let parts = email.zip(display_name).zip(password);
    let account = parts.map(|((email, display_name), password)| NewAccount { email, display_name, password });
    violations.finish_with(account)
}

/// A user by their name.
pub(in crate::api) fn user_name(caller: &Principal, name: &str) -> Result<UserId> {
    let mut fields = Fields::new(caller);
    let user = fields.account("name", names::parse_user(name))?;
    fields.finish(user)
}

/// A change of an account.
pub(in crate::api) fn user_update(
    caller: &Principal,
    request: pb::UpdateUserRequest,
) -> Result<(UserId, UserPatch)> {
    let mut fields = Fields::new(caller);
    let given = fields.check("user", request.user.ok_or_else(|| Rule::field("is required")));
    let Some(user) = given else {
        return fields.finish(None);
    };
    let target = fields.account("user.name", names::parse_user(&user.name))?;
    let mask = fields.check("update_mask", Mask::parse(request.update_mask, &WRITABLE));
    let patch = mask.map(|mask| UserPatch {
        email: mask
            .covers("email", !user.email.is_empty())
            .then(|| fields.check("user.email", Email::parse(&user.email)))
            .flatten(),
        display_name: mask
            .covers("display_name", !user.display_name.is_empty())
            .then(|| fields.check("user.display_name", DisplayName::parse(&user.display_name)))
            .flatten(),
        etag: Etag::given(user.etag),
    });
    fields.finish(target.zip(patch))
}

/// A device name.
pub(in crate::api) fn device(raw: &str) -> Result<Device> {
    let mut violations = Violations::default();
    let device = violations.check("device", Device::parse(raw));
    violations.finish_with(device)
}

/// An account as it is answered.
pub(in crate::api) fn user_to_pb(user: &User) -> pb::User {
    let role = match user.role {
        Role::User => pb::Role::User,
        Role::Admin => pb::Role::Admin,
    };
    let kind = match user.kind {
        AccountKind::Person => pb::user::Kind::Person,
        AccountKind::Service => pb::user::Kind::Service,
    };
    pb::User {
        name: names::user(user.id),
        email: user.email.as_str().to_owned(),
        display_name: user.display_name.as_str().to_owned(),
        role: role.into(),
        create_time: Some(time_to_pb(user.create_time)),
        update_time: Some(time_to_pb(user.update_time)),
        disabled: user.disable_time.is_some(),
        revision: user.revision,
        etag: user.etag().into_string(),
        history: user.history.to_string(),
        kind: kind.into(),
        totp_enabled: user.totp_enabled,
        email_verified: user.email_verified,
    }
}

pub(in crate::api) fn session_to_pb(session: &Session, current: Option<SessionId>) -> pb::Session {
    pb::Session {
        name: names::session(session.user, session.id),
        device: session.device.as_str().to_owned(),
        peer: session.peer.clone(),
        create_time: Some(time_to_pb(session.create_time)),
        last_use_time: Some(time_to_pb(session.last_use_time)),
        expire_time: Some(time_to_pb(session.expire_time)),
        current: Some(session.id) == current,
    }
}

/// What a login answers.
pub(in crate::api) fn token_pair_to_pb(pair: TokenPair) -> pb::TokenPair {
    pb::TokenPair {
        access_token: pair.access_token,
        refresh_token: pair.refresh_token,
        token_type: "Bearer".to_owned(),
        access_expires_in: Some(duration(pair.access_expires_in)),
        refresh_expires_in: Some(duration(pair.refresh_expires_in)),
        user: Some(user_to_pb(&pair.user)),
        session: Some(session_to_pb(&pair.session, Some(pair.session.id))),
    }
}

pub(in crate::api) fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}
