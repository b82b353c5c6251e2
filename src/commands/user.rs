//! `taskwire user`: accounts that are made beside the service.

use std::io::{BufRead as _, IsTerminal as _};

use super::database::{checked_storage, prepare_schema, time_of};
use super::outcome::{Failure, Outcome, say};
use crate::accounts::Passwords;
use crate::auth::{ApiKeys, NewKey};
use crate::config::Settings;
use crate::domain::{AuditEventType, DisplayName, Email, NewUser, Role, Rule, Scopes, Trace, UserId};

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
