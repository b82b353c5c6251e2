//! Sessions, API keys, audit events and the filter on users: from messages to domain values and back.

use crate::accounts::{Password, PasswordPolicy};
use crate::api::fields::Fields;
use crate::api::names;
use crate::api::tasks::convert_value::time_to_pb;
use crate::auth::{NewKey, Principal};
use crate::domain::{
    ApiKey, ApiKeyId, AuditEvent, AuditEventType, AuditTarget, DisplayName, Email, EmailFilter,
    InvalidReason, PageSize, Result, Rule, Scope, Scopes, SessionId, Timestamp, User, UserId, Violations,
    text,
};
use crate::pb;

/// Longest filter, in bytes.
const FILTER_BYTES_MAX: usize = 1000;

/// The account that a name or a parent leads to, which the caller may manage.
pub(in crate::api) fn account(caller: &Principal, field: &'static str, name: &str) -> Result<UserId> {
    let mut fields = Fields::new(caller);
    let user = fields.account(field, names::parse_user(name))?;
    fields.finish(user)
}

/// The caller's own account.
pub(in crate::api) fn own_account(caller: &Principal, field: &'static str, name: &str) -> Result<UserId> {
    let mut fields = Fields::new(caller);
    let user = fields.own_account(field, names::parse_user(name))?;
    fields.finish(user)
}

/// A session that the caller may end.
pub(in crate::api) fn session_name(caller: &Principal, name: &str) -> Result<(UserId, SessionId)> {
    let mut fields = Fields::new(caller);
    let session = fields.below_account("name", names::parse_session(name))?;
    fields.finish(session)
}

/// An API key that the caller may revoke, as far as is known without the account.
pub(in crate::api) fn api_key_name(caller: &Principal, name: &str) -> Result<(UserId, ApiKeyId)> {
    let mut fields = Fields::new(caller);
    let key = fields.below_account("name", names::parse_api_key(name))?;
    fields.finish(key)
}

/// The new password of the caller's own account.
pub(in crate::api) fn new_password(
    caller: &Principal,
    request: &pb::ChangePasswordRequest,
    user: Option<&User>,
    policy: PasswordPolicy,
) -> Result<Password> {
    let mut fields = Fields::new(caller);
    fields.own_account("name", names::parse_user(&request.name))?;
    let email = user.map(|user| &user.email);
    let password = fields.check("new_password", policy.parse(&request.new_password, email));
    fields.finish(password)
}

/// The address that mail is asked for.
pub(in crate::api) fn mail_address(field: &'static str, raw: &str) -> Result<Email> {
    let mut violations = Violations::default();
    let email = violations.check(field, Email::parse(raw));
    violations.finish_with(email)
}

/// The password that takes the place of one that was lost; the account is not known yet where there is no `email`.
pub(in crate::api) fn reset_password(
    request: &pb::ResetPasswordRequest,
    email: Option<&Email>,
    policy: PasswordPolicy,
) -> Result<Password> {
    let mut violations = Violations::default();
    let password = violations.check("new_password", policy.parse(&request.new_password, email));
    violations.finish_with(password)
}

/// An API key to be made.
pub(in crate::api) fn new_api_key(caller: &Principal, request: pb::CreateApiKeyRequest) -> Result<NewKey> {
    let mut fields = Fields::new(caller);
    let user = fields.account("parent", names::parse_user(&request.parent))?;
    let given = fields.check("api_key", request.api_key.ok_or_else(|| Rule::field("is required")));
    let Some(key) = given else {
        return fields.finish(None);
    };
    let display_name = fields.check("api_key.display_name", DisplayName::parse(&key.display_name));
    let scopes = fields.check("api_key.scopes", Scopes::parse(&key.scopes));
    let expire_time = key
        .expire_time
        .map(|time| fields.check("api_key.expire_time", Timestamp::from_parts(time.seconds, time.nanos)));
    let parts = user.zip(display_name).zip(scopes);
    fields.finish(parts.map(|((user, display_name), scopes)| NewKey {
        user,
        display_name,
        scopes,
        expire_time: expire_time.flatten(),
    }))
}

/// Which accounts to list, and how many.
pub(in crate::api) fn user_list(request: &pb::ListUsersRequest) -> Result<(EmailFilter, PageSize)> {
    let mut violations = Violations::default();
    let filter = violations.check("filter", email_filter(&request.filter));
    let page_size = violations.check("page_size", PageSize::parse(request.page_size));
    violations.finish_with(filter.zip(page_size))
}

/// Whose events to list, and how many.
pub(in crate::api) fn event_list(
    caller: &Principal,
    request: &pb::ListAuditEventsRequest,
) -> Result<(UserId, PageSize)> {
    let mut fields = Fields::new(caller);
    let user = fields.account("parent", names::parse_user(&request.parent))?;
    let page_size = fields.check("page_size", PageSize::parse(request.page_size));
    fields.finish(user.zip(page_size))
}

/// Reads `email = "…"` or `email : "…"`; empty is any.
fn email_filter(raw: &str) -> Result<EmailFilter, Rule> {
    let form = || {
        let text = "must be empty, `email = \"…\"` or `email : \"…\"`, at most 1000 bytes";
        Rule::of(InvalidReason::Filter, text)
    };
    let raw = raw.trim();
    if raw.is_empty() {
        return Ok(EmailFilter::Any);
    }
    if raw.len() > FILTER_BYTES_MAX || raw.chars().any(char::is_control) {
        return Err(form());
    }
    let rest = raw.strip_prefix("email").ok_or_else(form)?.trim_start();
    let (operator, rest) = rest.split_at_checked(1).ok_or_else(form)?;
    let given = quoted(rest.trim_start()).ok_or_else(form)?;
    match operator {
        "=" => Ok(EmailFilter::Is(Email::key_of(&given))),
        ":" => Ok(EmailFilter::Contains(text::fold(&given))),
        _ => Err(form()),
    }
}

/// The text between double quotes, with `\"` and `\\`; `None` when it is anything else.
fn quoted(raw: &str) -> Option<String> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return None,
            '\\' => text.push(characters.next().filter(|escaped| matches!(escaped, '"' | '\\'))?),
            other => text.push(other),
        }
    }
    Some(text)
}

/// An API key as it is answered.
pub(in crate::api) fn api_key_to_pb(key: &ApiKey) -> pb::ApiKey {
    pb::ApiKey {
        name: names::api_key(key.user, key.id),
        display_name: key.display_name.as_str().to_owned(),
        scopes: key.scopes.iter().map(Scope::name).map(str::to_owned).collect(),
        create_time: Some(time_to_pb(key.create_time)),
        expire_time: key.expire_time.map(time_to_pb),
    }
}

/// An audit event as it is answered.
pub(in crate::api) fn audit_event_to_pb(event: &AuditEvent) -> pb::AuditEvent {
    use pb::audit_event::Type;
    let kind = match event.kind {
        AuditEventType::UserCreated => Type::UserCreated,
        AuditEventType::UserUpdated => Type::UserUpdated,
        AuditEventType::UserDisabled => Type::UserDisabled,
        AuditEventType::UserEnabled => Type::UserEnabled,
        AuditEventType::UserDeleted => Type::UserDeleted,
        AuditEventType::LoginSucceeded => Type::LoginSucceeded,
        AuditEventType::LoginFailed => Type::LoginFailed,
        AuditEventType::LoginThrottled => Type::LoginThrottled,
        AuditEventType::RefreshTokenReused => Type::RefreshTokenReused,
        AuditEventType::SessionLoggedOut => Type::SessionLoggedOut,
        AuditEventType::SessionRevoked => Type::SessionRevoked,
        AuditEventType::AllSessionsRevoked => Type::AllSessionsRevoked,
        AuditEventType::PasswordChanged => Type::PasswordChanged,
        AuditEventType::ApiKeyCreated => Type::ApiKeyCreated,
        AuditEventType::ApiKeyRevoked => Type::ApiKeyRevoked,
        AuditEventType::TotpEnabled => Type::TotpEnabled,
        AuditEventType::TotpDisabled => Type::TotpDisabled,
        AuditEventType::RecoveryCodesRegenerated => Type::RecoveryCodesRegenerated,
        AuditEventType::RecoveryCodeUsed => Type::RecoveryCodeUsed,
        AuditEventType::SecondFactorFailed => Type::SecondFactorFailed,
        AuditEventType::ServiceAccountCreated => Type::ServiceAccountCreated,
        AuditEventType::TokenExchanged => Type::TokenExchanged,
        AuditEventType::PasswordReset => Type::PasswordReset,
        AuditEventType::EmailVerified => Type::EmailVerified,
        AuditEventType::EmailChanged => Type::EmailChanged,
        AuditEventType::DataExported => Type::DataExported,
        AuditEventType::WebhookCreated => Type::WebhookCreated,
        AuditEventType::WebhookDeleted => Type::WebhookDeleted,
        AuditEventType::WebhookSecretRotated => Type::WebhookSecretRotated,
        AuditEventType::WebhookDisabled => Type::WebhookDisabled,
    };
    let target = event.target.map(|target| match target {
        AuditTarget::Session(id) => names::session(event.user, id),
        AuditTarget::ApiKey(id) => names::api_key(event.user, id),
    });
    pb::AuditEvent {
        name: names::audit_event(event.user, event.id),
        r#type: kind.into(),
        actor: event.trace.actor.map(names::user).unwrap_or_default(),
        target: target.unwrap_or_default(),
        create_time: Some(time_to_pb(event.create_time)),
        peer: event.trace.peer.clone(),
        request_id: event.trace.request_id.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_on_users_is_bounded() {
        let filter = |length: usize| email_filter(&format!("email:\"{}\"", "x".repeat(length - 8)));
        assert!(filter(FILTER_BYTES_MAX).is_ok());
        assert!(filter(FILTER_BYTES_MAX + 1).is_err());
    }

    #[test]
    fn the_filter_on_users_has_two_forms() {
        assert_eq!(email_filter(""), Ok(EmailFilter::Any));
        assert_eq!(
            email_filter("email = \"Ada@Example.com\""),
            Ok(EmailFilter::Is("ada@example.com".into()))
        );
        assert_eq!(email_filter("email:\"@EXAMPLE\""), Ok(EmailFilter::Contains("@example".into())));
        assert_eq!(email_filter(r#"email:"a\"b\\""#), Ok(EmailFilter::Contains(r#"a"b\"#.into())));
        for wrong in [
            "email",
            "email=",
            "email=ada",
            "email = \"a\" OR email = \"b\"",
            "name = \"a\"",
            "email != \"a\"",
            "email : \"a\\\"",
            "email : \"",
            "email € \"a\"",
            "email : \"\0\"",
        ] {
            assert!(email_filter(wrong).is_err(), "{wrong}");
        }
        assert!(email_filter(&format!("email:\"{}\"", "a".repeat(1000))).is_err());
    }
}
