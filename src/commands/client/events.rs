//! What happens to all users, as it happens.

use futures_util::TryStreamExt as _;

use super::table::{line, time_of_day};
use super::text::visible;
use super::watch::{INTERRUPTED, told};
use super::{Context, Failure, Outcome};
use crate::cli::webhooks::EventsCommand;
use crate::client::EventOptions;
use crate::pb::Event;
use crate::pb::event::Data;

pub(super) async fn run(context: &Context, command: EventsCommand) -> Outcome {
    let EventsCommand::Watch { from, events: event_types } = command;
    let options = EventOptions { cursor: from.unwrap_or_default(), event_types };
    let mut messages = context.client.watch_events(options);
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        let message = tokio::select! {
            _ = &mut interrupted => return Err(Failure { lines: Vec::new(), status: INTERRUPTED }),
            message = messages.try_next() => message.map_err(|error| context.service.refused(&error))?,
        };
        let Some(message) = message else { return Ok(()) };
        let words = message.event.as_ref().map(in_words);
        // How far the stream has come is nothing that people read.
        if context.output.is_json() || words.is_some() {
            context.output.answer("WatchEventsResponse", &message, || words.unwrap_or_default())?;
        }
    }
}

fn in_words(event: &Event) -> String {
    let what = match &event.data {
        Some(Data::Change(change)) => told(change),
        Some(Data::Reminder(reminder)) => {
            let task = reminder.task.clone().unwrap_or_default();
            format!("{}  {:>8}  {}", time_of_day(event.create_time), "reminder", line(&task))
        }
        Some(Data::Account(account)) => {
            let what = event.r#type.strip_prefix("user.").unwrap_or_default();
            format!("{}  {:>8}  account", time_of_day(event.create_time), visible(what))
                + &(if account.email.is_empty() {
                    String::new()
                } else {
                    format!("  {}", visible(&account.email))
                })
        }
        None => format!("{}  {}", time_of_day(event.create_time), visible(&event.r#type)),
    };
    format!("{}  {what}", visible(&event.user))
}
