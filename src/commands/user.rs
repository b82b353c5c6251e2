//! `taskwire user`: accounts that are made or erased beside the service.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use super::database::{checked_storage, prepare_schema, time_of};
use super::outcome::{Failure, Outcome, say};
use crate::accounts::Passwords;
use crate::auth::{ApiKeys, NewKey};
use crate::config::Settings;
use crate::domain::{AuditEventType, DisplayName, Email, Error, NewUser, Role, Rule, Scopes, Trace, UserId};

pub(super) async fn create(settings: Settings, email: &str, display_name: &str, admin: bool) -> Outcome {
    let policy = settings.passwords();
    let storage = checked_storage(settings)?;
    let wrong = |flag: &str, rule: Rule| Failure::usage(vec![format!("{flag}: {}", rule.text)]);
    let email = Email::parse(email).map_err(|rule| wrong("--email", rule))?;
    let display_name = DisplayName::parse(display_name).map_err(|rule| wrong("--display-name", rule))?;
    let typed =
        read_password().map_err(|error| Failure::new(format!("the password cannot be read: {error}")))?;
    let password = policy.parse(&typed, Some(&email)).map_err(|rule| wrong("password", rule))?;

    prepare_schema(&storage, false).await?;
    let hash = Passwords::new(1).hash(password).await.map_err(Failure::new)?;
    let now = time_of(&storage).await;
    let new = NewUser {
        id: UserId::generate_at(now),
        email,
        display_name,
        role: if admin { Role::Admin } else { Role::User },
    };
    let users = storage.users().recording(Trace::default().did(AuditEventType::UserCreated));
    let user = users.create(new, hash, now).await.map_err(Failure::new)?;
    say(&format!("users/{}", user.id))
}

pub(super) async fn create_service(
    settings: Settings,
    email: &str,
    display_name: &str,
    scopes: &[String],
) -> Outcome {
    let storage = checked_storage(settings)?;
    let wrong = |flag: &str, rule: Rule| Failure::usage(vec![format!("{flag}: {}", rule.text)]);
    let email = Email::parse(email).map_err(|rule| wrong("--email", rule))?;
    let display_name = DisplayName::parse(display_name).map_err(|rule| wrong("--display-name", rule))?;
    let scopes = match scopes {
        [] => None,
        scopes => Some(Scopes::parse(scopes).map_err(|rule| wrong("--scope", rule))?),
    };
    prepare_schema(&storage, false).await?;
    let now = time_of(&storage).await;
    let new = NewUser { id: UserId::generate_at(now), email, display_name, role: Role::User };
    let trace = Trace::default();
    let users = storage.users().recording(trace.did(AuditEventType::ServiceAccountCreated));
    let user = users.create_service(new, now).await.map_err(Failure::new)?;
    say(&format!("users/{}", user.id))?;
    let Some(scopes) = scopes else { return Ok(()) };
    let key = NewKey { user: user.id, display_name: DisplayName::default(), scopes, expire_time: None };
    let keys = ApiKeys::new(storage.clone(), storage.clock().clone());
    let (_, secret) = keys.create(key, &trace).await.map_err(Failure::new)?;
    say(&secret)
}

/// Erases an account and all that belongs to it.
pub(super) async fn erase(settings: Settings, user: &str, yes: bool) -> Outcome {
    let days = settings.audit_kept_days;
    let storage = checked_storage(settings)?;
    let which = Which::parse(user).ok_or_else(|| {
        Failure::usage(vec!["EMAIL|users/ID: must be an email address, or users/ID".to_owned()])
    })?;
    if !yes && !std::io::stdin().is_terminal() {
        let line = "--yes: must be given where there is no terminal to ask on";
        return Err(Failure::usage(vec![line.to_owned()]));
    }
    prepare_schema(&storage, false).await?;
    let missing = || Failure::new("there is no such user");
    let id = match which {
        Which::Id(id) => id,
        Which::Email(email) => {
            let account = storage.users().find_by_email(&email).await.map_err(Failure::new)?;
            account.ok_or_else(missing)?.user.id
        }
    };
    if !yes && !is_confirmed(id).map_err(Failure::new)? {
        return Err(Failure::new("nothing was erased"));
    }
    let now = time_of(&storage).await;
    let users = storage.users().recording(Trace::default().did(AuditEventType::UserDeleted));
    users.delete(id, now).await.map_err(|error| match error {
        Error::NotFound(_) => missing(),
        error => Failure::new(error),
    })?;
    say(&format!("erased users/{id}; its audit events are kept for {days} days"))
}

/// Which account is meant.
enum Which {
    Id(UserId),
    Email(Email),
}

impl Which {
    fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("users/") {
            Some(id) => UserId::parse(id).ok().map(Self::Id),
            None => Email::parse(text).ok().map(Self::Email),
        }
    }
}

fn is_confirmed(id: UserId) -> std::io::Result<bool> {
    write!(std::io::stderr(), "Erase users/{id} and all that belongs to it, for good? [y/N] ")?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// Asks on a terminal without showing what is typed; takes the first line elsewhere.
fn read_password() -> std::io::Result<String> {
    let input = std::io::stdin();
    if input.is_terminal() {
        return rpassword::prompt_password("Password: ");
    }
    let mut line = String::new();
    input.lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}
