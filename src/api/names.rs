//! Resource names (AIP-122): `users/{user}`, and what lies below it, as `users/{user}/tasks/{task}`.

use crate::domain::{
    ApiKeyId, AuditEventId, Rule, SessionId, Task, TaskId, TaskListId, UserId, WebhookId, WebhookOwner,
};

/// The user in a name: the caller themself, or an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UserRef {
    /// `me`
    Me,
    /// A UUID.
    Id(UserId),
}

impl UserRef {
    /// The id, given who is calling.
    pub(super) fn resolve(self, caller: UserId) -> UserId {
        match self {
            Self::Me => caller,
            Self::Id(id) => id,
        }
    }

    fn parse(segment: &str) -> Result<Self, Rule> {
        if segment == "me" { Ok(Self::Me) } else { UserId::parse(segment).map(Self::Id) }
    }
}

/// Reads `users/{user}`.
pub(super) fn parse_user(name: &str) -> Result<UserRef, Rule> {
    let form = || Rule::field("must have the form users/{user}, where {user} is a UUID or `me`");
    let user = name.strip_prefix("users/").ok_or_else(form)?;
    UserRef::parse(user).map_err(|_| form())
}

/// Reads `users/{user}/tasks/{task}`.
pub(super) fn parse_task(name: &str) -> Result<(UserRef, TaskId), Rule> {
    let form = || {
        Rule::field(
            "must have the form users/{user}/tasks/{task}, where {user} is a UUID or `me` and {task} a UUID",
        )
    };
    let (user, task) =
        name.strip_prefix("users/").and_then(|rest| rest.split_once("/tasks/")).ok_or_else(form)?;
    Ok((UserRef::parse(user).map_err(|_| form())?, TaskId::parse(task).map_err(|_| form())?))
}

/// Reads `users/{user}/taskLists/{task_list}`.
pub(super) fn parse_task_list(name: &str) -> Result<(UserRef, TaskListId), Rule> {
    let form = "must have the form users/{user}/taskLists/{task_list}, where {user} is a UUID or `me` and {task_list} a UUID";
    parse_below(name, "/taskLists/", TaskListId::parse).ok_or_else(|| Rule::field(form))
}

/// Reads `users/{user}/sessions/{session}`.
pub(super) fn parse_session(name: &str) -> Result<(UserRef, SessionId), Rule> {
    let form = "must have the form users/{user}/sessions/{session}, where {user} is a UUID or `me` and {session} a UUID";
    parse_below(name, "/sessions/", SessionId::parse).ok_or_else(|| Rule::field(form))
}

/// Reads `users/{user}/apiKeys/{api_key}`.
pub(super) fn parse_api_key(name: &str) -> Result<(UserRef, ApiKeyId), Rule> {
    let form = "must have the form users/{user}/apiKeys/{api_key}, where {user} is a UUID or `me` and {api_key} a UUID";
    parse_below(name, "/apiKeys/", ApiKeyId::parse).ok_or_else(|| Rule::field(form))
}

/// Reads `users/{user}/webhooks/{webhook}`, or `webhooks/{webhook}` without a user.
pub(super) fn parse_webhook(name: &str) -> Result<(Option<UserRef>, WebhookId), Rule> {
    let form = "must have the form users/{user}/webhooks/{webhook} or webhooks/{webhook}, where {user} is a UUID or `me` and {webhook} a UUID";
    let found = match name.strip_prefix("webhooks/") {
        Some(id) => WebhookId::parse(id).ok().map(|id| (None, id)),
        None => parse_below(name, "/webhooks/", WebhookId::parse).map(|(user, id)| (Some(user), id)),
    };
    found.ok_or_else(|| Rule::field(form))
}

fn parse_below<T>(
    name: &str,
    collection: &str,
    parse: impl FnOnce(&str) -> Result<T, Rule>,
) -> Option<(UserRef, T)> {
    let (user, below) = name.strip_prefix("users/")?.split_once(collection)?;
    Some((UserRef::parse(user).ok()?, parse(below).ok()?))
}

/// The name of a user.
pub(super) fn user(id: UserId) -> String {
    format!("users/{id}")
}

/// The name of a task.
pub(super) fn task(task: &Task) -> String {
    task_of(task.owner, task.id)
}

/// The name of a user's task.
pub(super) fn task_of(user: UserId, id: TaskId) -> String {
    below(user, "/tasks/", id.uuid())
}

/// By hand: a page of tasks has many names, and formatting takes longer than all else about them.
fn below(user: UserId, collection: &str, id: uuid::Uuid) -> String {
    let mut digits = uuid::Uuid::encode_buffer();
    let mut name = String::with_capacity("users/".len() + 2 * digits.len() + collection.len());
    name.push_str("users/");
    name.push_str(user.uuid().as_hyphenated().encode_lower(&mut digits));
    name.push_str(collection);
    name.push_str(id.as_hyphenated().encode_lower(&mut digits));
    name
}

/// The name of a user's list of tasks.
pub(super) fn task_list(user: UserId, id: TaskListId) -> String {
    below(user, "/taskLists/", id.uuid())
}

/// The name of a session.
pub(super) fn session(user: UserId, id: SessionId) -> String {
    format!("users/{user}/sessions/{id}")
}

/// The name of an API key.
pub(super) fn api_key(user: UserId, id: ApiKeyId) -> String {
    format!("users/{user}/apiKeys/{id}")
}

/// The name of a webhook.
pub(super) fn webhook(owner: WebhookOwner, id: WebhookId) -> String {
    match owner {
        WebhookOwner::User(user) => format!("users/{user}/webhooks/{id}"),
        WebhookOwner::Administrators => format!("webhooks/{id}"),
    }
}

/// The name of an audit event.
pub(super) fn audit_event(user: UserId, id: AuditEventId) -> String {
    format!("users/{user}/auditEvents/{id}")
}

#[cfg(test)]
mod tests {
    use super::{UserRef, parse_task, parse_user};

    #[test]
    fn names_have_one_form_only() {
        let id = "0198c0de-0000-7000-8000-00000000000a";
        assert_eq!(parse_user("users/me").unwrap(), UserRef::Me);
        assert!(parse_user(&format!("users/{}", id.to_uppercase())).is_ok());
        assert!(parse_task(&format!("users/me/tasks/{id}")).is_ok());
        for wrong in [
            "",
            "users",
            "users/",
            "users/ME",
            "users/-",
            "users/me/",
            "/users/me",
            "users//me",
            "users/me/tasks",
            "users/{0198c0de-0000-7000-8000-00000000000a}",
            "users/urn:uuid:0198c0de-0000-7000-8000-00000000000a",
            "users/0198c0de00007000800000000000000a",
            "users/0198c0de-0000-7000-8000-00000000000",
            "tasks/../users/me",
            "users/%2e%2e",
            "users/me\0",
        ] {
            assert!(parse_user(wrong).is_err(), "{wrong:?}");
        }
        for wrong in [
            "users/me/tasks/",
            "users/me/tasks/me",
            "users/me/tasks/-",
            "users/me/tasks/*",
            "users/me/task/x",
            "users/me/tasks/0198c0de-0000-7000-8000-00000000000a/",
            "users/me/tasks/a/b",
            "users/me/tasks/../tasks/x",
            "users//tasks/0198c0de-0000-7000-8000-00000000000a",
            "users/me/tasks%2f0198c0de-0000-7000-8000-00000000000a",
        ] {
            assert!(parse_task(wrong).is_err(), "{wrong:?}");
        }
    }
}
