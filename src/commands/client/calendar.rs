//! The address under which a calendar finds its user's tasks.

use url::Url;

use super::call;
use crate::cli::client::Remote;
use crate::commands::Outcome;
use crate::commands::outcome::say;

/// Makes a key that is for the calendar alone, and prints the address that holds it.
pub(in crate::commands) async fn calendar(remote: &Remote, gateway: &Url, name: &str) -> Outcome {
    let context = call(remote)?;
    let made = context.client.create_api_key(name, &["calendar.read"]).await;
    let made = made.map_err(|error| context.service.refused(&error))?;
    let base = gateway.as_str().trim_end_matches('/');
    say(&format!("{base}/v1/users/me/tasks:ics?token={}", made.secret))
}
