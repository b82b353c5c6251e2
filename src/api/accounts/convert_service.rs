//! Second factors, accounts of services and their tokens: from messages to domain values and back.

use super::convert_user::duration;
use crate::accounts::{Enrolment, Exchanged, Shown};
use crate::api::fields::Fields;
use crate::api::names;
use crate::auth::Principal;
use crate::domain::{DisplayName, Email, Error, Result, Rule, Scope, Scopes, UserId, Violations};
use crate::pb;
use crate::pb::complete_login_request::Proof;

/// What a login is completed with.
pub(in crate::api) fn shown(proof: Option<Proof>) -> Result<Shown> {
    match proof {
        Some(Proof::Code(code)) => Ok(Shown::Code(code)),
        Some(Proof::RecoveryCode(code)) => Ok(Shown::RecoveryCode(code)),
        None => Err(Error::invalid(Rule::field("is required, or `recovery_code` is").at("code"))),
    }
}

/// A secret that was made.
pub(in crate::api) fn enrolment_to_pb(enrolment: Enrolment) -> pb::BeginTotpEnrolmentResponse {
    pb::BeginTotpEnrolmentResponse { secret: enrolment.secret, otpauth_uri: enrolment.uri }
}

/// The account of a service to be made.
pub(in crate::api) fn service_account(
    request: &pb::CreateServiceAccountRequest,
) -> Result<(Email, DisplayName)> {
    let mut violations = Violations::default();
    let user = violations.check("user", request.user.as_ref().ok_or_else(|| Rule::field("is required")));
    let email = user.and_then(|user| violations.check("user.email", Email::parse(&user.email)));
    let display_name =
        user.and_then(|user| violations.check("user.display_name", DisplayName::parse(&user.display_name)));
    violations.finish_with(email.zip(display_name))
}

/// Whose part to take on, and for what.
pub(in crate::api) fn exchange(
    caller: &Principal,
    request: &pb::ExchangeTokenRequest,
) -> Result<(UserId, Scopes)> {
    let mut fields = Fields::new(caller);
    let subject = fields.check("subject_user", names::parse_user(&request.subject_user));
    let scopes = fields.check("scopes", scopes(&request.scopes));
    let subject = subject.map(|subject| subject.resolve(caller.user));
    fields.finish(subject.zip(scopes))
}

fn scopes(names: &[String]) -> Result<Scopes, Rule> {
    let rule = || Rule::field("must hold only `tasks.read` and `tasks.write`");
    if names.is_empty() {
        return Scopes::parse(&[Scope::TasksWrite.name().to_owned()]);
    }
    let asked = Scopes::parse(names).map_err(|_| rule())?;
    asked.of_tasks().filter(|of_tasks| *of_tasks == asked).ok_or_else(rule)
}

/// The token of a user for a service.
pub(in crate::api) fn exchanged_to_pb(exchanged: Exchanged) -> pb::ExchangeTokenResponse {
    pb::ExchangeTokenResponse {
        access_token: exchanged.access_token,
        token_type: "Bearer".to_owned(),
        expires_in: Some(duration(exchanged.expires_in)),
        scopes: exchanged.scopes.iter().map(Scope::name).map(str::to_owned).collect(),
    }
}
