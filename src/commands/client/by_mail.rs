//! `taskwire verify`, `reset-password` and `change-email`: what is proved by a token out of a mail.

use super::account::{Door, first_line, password};
use super::output::Output;
use super::{Context, Service, call};
use crate::cli::by_mail::{ByMail, Reset};
use crate::cli::client::Remote;
use crate::client::Error;
use crate::commands::{Failure, Outcome};

/// What was asked for.
enum Asked {
    /// A mail to this address.
    Mail(String),
    /// What this token is for.
    Token(String),
}

impl Asked {
    fn read(given: ByMail) -> Result<Self, Failure> {
        match (given.email, given.token) {
            (_, Some(token)) if token == "-" => {
                let line = first_line(std::io::stdin().lock());
                let unread = |error| Failure::new(format!("the token cannot be read: {error}"));
                Ok(Self::Token(line.map_err(unread)?.trim().to_owned()))
            }
            (_, Some(token)) => Ok(Self::Token(token)),
            (email, None) => Ok(Self::Mail(email.unwrap_or_default())),
        }
    }
}

/// What is said where it was done; nothing to programs, who have the exit status.
fn done(output: &Output, text: &str) -> Outcome {
    if output.is_json() { Ok(()) } else { output.line(text) }
}

fn refused(service: &Service) -> impl Fn(Error) -> Failure {
    |error| service.refused(&error)
}

pub(in crate::commands) async fn verify(remote: &Remote, given: ByMail) -> Outcome {
    let Door { client, service, output, .. } = Door::find(remote)?;
    match Asked::read(given)? {
        Asked::Mail(email) => {
            client.send_verification(&email).await.map_err(refused(&service))?;
            done(&output, "If that address is still to be verified, a mail with a token is on its way to it")
        }
        Asked::Token(token) => {
            client.verify_email(&token).await.map_err(refused(&service))?;
            done(&output, "The address is verified")
        }
    }
}

pub(in crate::commands) async fn reset_password(remote: &Remote, given: Reset) -> Outcome {
    let Door { client, service, output, .. } = Door::find(remote)?;
    match Asked::read(given.by_mail)? {
        Asked::Mail(email) => {
            client.request_password_reset(&email).await.map_err(refused(&service))?;
            done(&output, "If an account has that address, a mail with a token is on its way to it")
        }
        Asked::Token(token) => {
            let new = password(given.password_file.as_deref(), true)?;
            client.reset_password(&token, &new).await.map_err(refused(&service))?;
            let next = service.command("login");
            done(&output, &format!("The password is changed, and all sessions are over; {next} logs in"))
        }
    }
}

pub(in crate::commands) async fn change_email(remote: &Remote, given: ByMail) -> Outcome {
    match Asked::read(given)? {
        Asked::Mail(email) => {
            let context = call(remote)?;
            let Context { client, service, output } = &context;
            client.request_email_change(&email).await.map_err(refused(service))?;
            done(output, "A mail with a token is on its way to that address, unless another account has it")
        }
        Asked::Token(token) => {
            let Door { client, service, output, .. } = Door::find(remote)?;
            client.confirm_email_change(&token).await.map_err(refused(&service))?;
            done(&output, "The account has the new address")
        }
    }
}
