//! Webhooks: from messages to domain values and back.

use crate::api::field_mask::{Mask, Writable};
use crate::api::fields::Fields;
use crate::api::names::{self, UserRef};
use crate::api::tasks::convert_value::time_to_pb;
use crate::auth::{Credential, Principal};
use crate::domain::{
    DisableReason, Error, EventTypes, FailureReason, PageSize, Result, Role, Rule, UserId, Webhook,
    WebhookFailure, WebhookId, WebhookOwner, WebhookPatch, WebhookQueue, WebhookUrl,
};
use crate::outbound::{AddressPolicy, Attempted};
use crate::pb;
use crate::pb::webhook as message;

const WRITABLE: Writable = Writable {
    fields: &["url", "event_types", "state"],
    ignored: &["name", "disable_reason", "create_time", "update_time", "last_success_time", "last_failure"],
};

/// A webhook to be made.
pub(super) struct Wanted {
    pub(super) owner: WebhookOwner,
    pub(super) url: WebhookUrl,
    pub(super) event_types: EventTypes,
    pub(super) enabled: bool,
}

/// Passes when the caller may see and change what is the owner's.
fn reaches(caller: &Principal, owner: WebhookOwner) -> Result<()> {
    match owner {
        WebhookOwner::User(user) => caller.is_self(user),
        // A key of an administrator reaches what is theirs alone.
        WebhookOwner::Administrators if matches!(caller.credential, Credential::ApiKey(..)) => {
            Err(Error::ScopeInsufficient)
        }
        WebhookOwner::Administrators if caller.role == Role::Admin => Ok(()),
        WebhookOwner::Administrators => Err(Error::AdminRequired),
    }
}

fn owner(caller: &Principal, user: Option<UserRef>) -> WebhookOwner {
    user.map_or(WebhookOwner::Administrators, |user| WebhookOwner::User(user.resolve(caller.user)))
}

/// Whose webhooks a parent means.
pub(super) fn parent(caller: &Principal, parent: &str) -> Result<WebhookOwner> {
    let mut fields = Fields::new(caller);
    let user = match parent {
        "" => Ok(None),
        user => names::parse_user(user).map(Some),
    };
    let owner = fields.check("parent", user).map(|user| owner(caller, user));
    let owner = fields.finish(owner)?;
    reaches(caller, owner).map(|()| owner)
}

/// The webhook that a name means, where the caller may see it.
pub(super) fn name(caller: &Principal, field: &'static str, name: &str) -> Result<(WebhookOwner, WebhookId)> {
    let mut fields = Fields::new(caller);
    let found = fields.check(field, names::parse_webhook(name));
    let (user, id) = fields.finish(found)?;
    let owner = owner(caller, user);
    reaches(caller, owner).map(|()| (owner, id))
}

/// A webhook to be made.
pub(super) fn wanted(
    caller: &Principal,
    request: pb::CreateWebhookRequest,
    addresses: &AddressPolicy,
) -> Result<Wanted> {
    let owner = parent(caller, &request.parent)?;
    let mut fields = Fields::new(caller);
    let given = fields.check("webhook", request.webhook.ok_or_else(|| Rule::field("is required")));
    let Some(webhook) = given else { return fields.finish(None) };
    let url = fields.check("webhook.url", addresses.parse(&webhook.url));
    let event_types = fields.check("webhook.event_types", types(owner, &webhook.event_types));
    let enabled = fields.check("webhook.state", state(webhook.state).map(|state| state.unwrap_or(true)));
    let parts = url.zip(event_types).zip(enabled);
    fields.finish(parts.map(|((url, event_types), enabled)| Wanted { owner, url, event_types, enabled }))
}

fn types(owner: WebhookOwner, names: &[String]) -> Result<EventTypes, Rule> {
    EventTypes::parse(names, owner == WebhookOwner::Administrators)
}

/// Whether it is to send; `None` where nothing is said.
fn state(number: i32) -> Result<Option<bool>, Rule> {
    match message::State::try_from(number) {
        Ok(message::State::Unspecified) => Ok(None),
        Ok(message::State::Enabled) => Ok(Some(true)),
        Ok(message::State::Disabled) => Ok(Some(false)),
        Err(_) => Err(Rule::field("must be STATE_ENABLED or STATE_DISABLED")),
    }
}

/// A change of a webhook.
pub(super) fn patch(
    caller: &Principal,
    request: pb::UpdateWebhookRequest,
    addresses: &AddressPolicy,
) -> Result<(WebhookOwner, WebhookId, WebhookPatch)> {
    let mut fields = Fields::new(caller);
    let given = fields.check("webhook", request.webhook.ok_or_else(|| Rule::field("is required")));
    let Some(webhook) = given else { return fields.finish(None) };
    let (owner, id) = name(caller, "webhook.name", &webhook.name)?;
    let mask = fields.check("update_mask", Mask::parse(request.update_mask, &WRITABLE));
    let patch = mask.map(|mask| WebhookPatch {
        url: mask
            .covers("url", !webhook.url.is_empty())
            .then(|| fields.check("webhook.url", addresses.parse(&webhook.url)))
            .flatten(),
        event_types: mask
            .covers("event_types", !webhook.event_types.is_empty())
            .then(|| fields.check("webhook.event_types", types(owner, &webhook.event_types)))
            .flatten(),
        enabled: mask
            .covers("state", webhook.state != 0)
            .then(|| {
                let said = state(webhook.state).and_then(|said| {
                    said.ok_or_else(|| Rule::field("must be STATE_ENABLED or STATE_DISABLED"))
                });
                fields.check("webhook.state", said)
            })
            .flatten(),
    });
    fields.finish(patch.map(|patch| (owner, id, patch)))
}

/// What is to be told once more: whose changes, and after which revision.
pub(super) fn replay(
    caller: &Principal,
    owner: WebhookOwner,
    request: &pb::ReplayWebhookRequest,
) -> Result<(UserId, i64)> {
    let mut fields = Fields::new(caller);
    let given = (!request.user.is_empty()).then(|| names::parse_user(&request.user));
    let user = match (owner, given) {
        (WebhookOwner::User(user), None) => Ok(user),
        (WebhookOwner::User(user), Some(given)) => given.and_then(|given| {
            let is_own = given.resolve(caller.user) == user;
            is_own.then_some(user).ok_or_else(|| Rule::field("must be the user whose webhook it is"))
        }),
        (WebhookOwner::Administrators, Some(given)) => given.map(|given| given.resolve(caller.user)),
        (WebhookOwner::Administrators, None) => {
            Err(Rule::field("is required for a webhook of the administrators"))
        }
    };
    let user = fields.check("user", user);
    let revision = crate::api::tasks::convert::revision(request.start_revision);
    let revision = fields.check("start_revision", revision);
    fields.finish(user.zip(revision))
}

/// How many queues to list.
pub(super) fn queue_page(caller: &Principal, page_size: i32) -> Result<PageSize> {
    let mut fields = Fields::new(caller);
    let page_size = fields.check("page_size", PageSize::parse(page_size));
    fields.finish(page_size)
}

/// A webhook as it is answered.
pub(in crate::api) fn webhook_to_pb(webhook: &Webhook) -> pb::Webhook {
    let state =
        if webhook.disable_reason.is_some() { message::State::Disabled } else { message::State::Enabled };
    let disable_reason = match webhook.disable_reason {
        None => message::DisableReason::Unspecified,
        Some(DisableReason::Asked) => message::DisableReason::Asked,
        Some(DisableReason::Failing) => message::DisableReason::Failing,
        Some(DisableReason::Gone) => message::DisableReason::Gone,
    };
    pb::Webhook {
        name: names::webhook(webhook.owner, webhook.id),
        url: webhook.url.as_str().to_owned(),
        event_types: webhook.event_types.iter().map(|one| one.name().to_owned()).collect(),
        state: state.into(),
        disable_reason: disable_reason.into(),
        create_time: Some(time_to_pb(webhook.create_time)),
        update_time: Some(time_to_pb(webhook.update_time)),
        last_success_time: webhook.last_success_time.map(time_to_pb),
        last_failure: webhook.last_failure.map(failure_to_pb),
    }
}

fn failure_to_pb(failure: WebhookFailure) -> message::Failure {
    let WebhookFailure { time, code, reason } = failure;
    message::Failure { time: Some(time_to_pb(time)), code: code.into(), text: text(code, reason) }
}

fn text(code: u16, reason: FailureReason) -> String {
    match reason {
        FailureReason::Refused => format!("the receiver answered {code}"),
        reason => reason.text().to_owned(),
    }
}

/// What became of a trial, as it is answered.
pub(super) fn trial_to_pb(attempted: Attempted, now: crate::domain::Timestamp) -> pb::TestWebhookResponse {
    let failure = attempted.failure.map(|reason| WebhookFailure { time: now, code: attempted.code, reason });
    pb::TestWebhookResponse { delivered: failure.is_none(), failure: failure.map(failure_to_pb) }
}

/// A queue as it is answered.
pub(super) fn queue_to_pb(queue: &WebhookQueue) -> pb::WebhookQueue {
    pb::WebhookQueue {
        user: names::user(queue.user),
        attempts: queue.attempts.into(),
        next_attempt_time: queue.next_attempt_time.map(time_to_pb),
        replaying: queue.replay.is_some(),
    }
}
